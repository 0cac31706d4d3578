//! `weir drill`: a fault in a live cluster as an exercise. First it checks that the cluster can survive the fault. Then it
//! injects the fault, measures its effect, and compares it with the declared objectives.
//!
//! Preconditions, plan, measures and verdict are plain functions and values. Only [`run`] changes anything.

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

/// A kind of drill.
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
    /// Every kind of drill.
    pub const ALL: [Self; 7] = [
        Self::LeaderTransfer,
        Self::LeaderKill,
        Self::LeaderPause,
        Self::TaskManagerKill,
        Self::RollingRestart,
        Self::StoreOutage,
        Self::CheckpointStorageOutage,
    ];

    /// Its name on the command line and in the history.
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

    /// Whether it makes something unavailable that every process needs, instead of breaking single processes.
    pub fn is_outage(self) -> bool {
        matches!(self, Self::StoreOutage | Self::CheckpointStorageOutage)
    }

    /// Says in one or more sentences what it does.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::LeaderTransfer => "Leadership is transferred to another JobManager in order. No process ends.",
            Self::LeaderKill => "The leading JobManager is killed (SIGKILL). Another one takes over.",
            Self::LeaderPause => {
                "The leading JobManager is paused (SIGSTOP) for --pause. Another one takes over, and then the paused one follows it."
            }
            Self::TaskManagerKill => {
                "A TaskManager that runs tasks is killed (SIGKILL). The tasks continue elsewhere from the newest checkpoint."
            }
            Self::RollingRestart => {
                "Every process stops in order (SIGTERM) and comes back, one after the other: standbys, the leader, TaskManagers."
            }
            Self::StoreOutage => {
                "For --duration, no JobManager reaches etcd or ZooKeeper (on raft: any other member). Tasks keep running; checkpoints wait."
            }
            Self::CheckpointStorageOutage => {
                "For --duration, no process writes or reads checkpoints. Checkpoints fail, no task restarts, then checkpoints complete again."
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_and_the_history_use_the_same_names() {
        for drill in Drill::ALL {
            assert_eq!(Drill::from_str(drill.name(), false), Ok(drill));
        }
        assert_eq!(Drill::value_variants().len(), Drill::ALL.len());
    }
}
