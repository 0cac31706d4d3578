//! `weir drill`: a fault as an exercise on a live cluster. First whether the cluster can bear it, then the fault, then what it cost
//! against what was declared.
//!
//! What is decided (preconditions, plan, measures from samples, verdict) is plain functions and values; [`run`] does things.

pub mod agent;
mod bounds;
pub mod command_template;
mod finding;
pub mod outage;
mod plan;
mod precondition;
mod probe;
mod reach;
pub mod report;
pub mod run;
mod step;
mod survey;
mod switch;
mod timeline;
mod verdict;
mod victim;

use clap::ValueEnum;

pub use finding::Finding;

/// A drill.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Drill {
    LeaderTransfer,
    LeaderKill,
    LeaderPause,
    #[value(name = "taskmanager-kill")]
    TaskManagerKill,
    RollingRestart,
    StoreOutage,
    CheckpointStorageOutage,
}

impl Drill {
    pub const ALL: [Self; 7] = [
        Self::LeaderTransfer,
        Self::LeaderKill,
        Self::LeaderPause,
        Self::TaskManagerKill,
        Self::RollingRestart,
        Self::StoreOutage,
        Self::CheckpointStorageOutage,
    ];

    /// As the command line and the history call it.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeaderTransfer => "leader-transfer",
            Self::LeaderKill => "leader-kill",
            Self::LeaderPause => "leader-pause",
            Self::TaskManagerKill => "taskmanager-kill",
            Self::RollingRestart => "rolling-restart",
            Self::StoreOutage => "store-outage",
            Self::CheckpointStorageOutage => "checkpoint-storage-outage",
        }
    }

    /// Whether it takes something away that every process needs, instead of breaking processes.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::StoreOutage | Self::CheckpointStorageOutage)
    }

    /// What it does.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::LeaderTransfer => "Leadership is handed to another JobManager in order. Ends no process.",
            Self::LeaderKill => "The leading JobManager is killed (SIGKILL); another takes over.",
            Self::LeaderPause => {
                "The leading JobManager freezes (SIGSTOP) for --pause; another takes over, and the sleeper follows it."
            }
            Self::TaskManagerKill => {
                "A TaskManager that runs tasks is killed (SIGKILL); they go on elsewhere from the newest checkpoint."
            }
            Self::RollingRestart => {
                "Every process stops in order (SIGTERM) and comes back, one after the other: standbys, the leader, TaskManagers."
            }
            Self::StoreOutage => {
                "No JobManager reaches etcd or ZooKeeper (on raft: any other member) for --duration. Tasks run on; checkpoints wait."
            }
            Self::CheckpointStorageOutage => {
                "No process writes or reads checkpoints for --duration. Checkpoints fail; no task restarts; then they complete again."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_knows_every_drill_by_the_name_that_the_history_shows() {
        for drill in Drill::ALL {
            assert_eq!(Drill::from_str(drill.name(), false), Ok(drill));
        }
        assert_eq!(Drill::value_variants().len(), Drill::ALL.len());
    }
}
