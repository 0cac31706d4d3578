//! The states of jobs and executions, and a table of legal transitions for each (Flink's JobStatus and ExecutionState).

use serde::{Deserialize, Serialize};

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// The job is accepted. Its JobMaster starts, or reads the newest checkpoint.
    Initializing,
    /// Waiting for slots for the first time.
    Created,
    /// Tasks are deployed or running.
    Running,
    /// Tasks are being stopped because one failed for good.
    Failing,
    Failed,
    /// Tasks are being stopped because the user canceled the job.
    Cancelling,
    Canceled,
    /// The job has processed all its input.
    Finished,
    /// Waiting to run again after a failure (delay, or slots).
    Restarting,
    /// This leader lost leadership. The job continues under another leader. This status is never stored.
    Suspended,
    /// A new leader compares the tasks that should run with those that do.
    Reconciling,
}

impl JobStatus {
    /// Every status, for exhaustive tests and for REST's counters.
    pub const ALL: [Self; 11] = [
        Self::Initializing,
        Self::Created,
        Self::Running,
        Self::Failing,
        Self::Failed,
        Self::Cancelling,
        Self::Canceled,
        Self::Finished,
        Self::Restarting,
        Self::Suspended,
        Self::Reconciling,
    ];

    /// Whether the job has ended for good.
    pub fn is_globally_terminal(self) -> bool {
        matches!(self, Self::Failed | Self::Canceled | Self::Finished)
    }

    /// Whether `self` may become `next`.
    pub fn may_become(self, next: Self) -> bool {
        use JobStatus::*;
        match self {
            Initializing => matches!(next, Created | Reconciling | Failed | Cancelling | Canceled | Suspended),
            Reconciling => matches!(next, Created | Running | Restarting | Failing | Cancelling | Suspended),
            Created => matches!(next, Running | Restarting | Failing | Cancelling | Suspended),
            Running => matches!(next, Restarting | Failing | Cancelling | Finished | Suspended),
            Restarting => matches!(next, Created | Running | Failing | Cancelling | Suspended),
            Failing => matches!(next, Failed | Suspended),
            Cancelling => matches!(next, Canceled | Failing | Finished | Suspended),
            Failed | Canceled | Finished | Suspended => false,
        }
    }

    /// The spelling of REST and of Flink.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Initializing => "INITIALIZING",
            Self::Created => "CREATED",
            Self::Running => "RUNNING",
            Self::Failing => "FAILING",
            Self::Failed => "FAILED",
            Self::Cancelling => "CANCELLING",
            Self::Canceled => "CANCELED",
            Self::Finished => "FINISHED",
            Self::Restarting => "RESTARTING",
            Self::Suspended => "SUSPENDED",
            Self::Reconciling => "RECONCILING",
        }
    }
}

/// The state of one execution attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ExecutionState {
    /// Nothing has been done for the attempt yet.
    Created,
    /// Waiting for its slot.
    Scheduled,
    /// Sent to its TaskManager.
    Deploying,
    /// Restoring state and connecting channels.
    Initializing,
    Running,
    /// All input is processed and committed.
    Finished,
    Canceling,
    Canceled,
    Failed,
    /// A TaskManager has reported the attempt, but the leader has not adopted it yet.
    Reconciling,
}

impl ExecutionState {
    /// Every state, for exhaustive tests and for REST's counters.
    pub const ALL: [Self; 10] = [
        Self::Created,
        Self::Scheduled,
        Self::Deploying,
        Self::Initializing,
        Self::Running,
        Self::Finished,
        Self::Canceling,
        Self::Canceled,
        Self::Failed,
        Self::Reconciling,
    ];

    /// Whether the attempt has ended.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Canceled | Self::Failed)
    }

    /// Whether `self` may become `next`.
    pub fn may_become(self, next: Self) -> bool {
        use ExecutionState::*;
        match self {
            Created => matches!(next, Scheduled | Reconciling | Canceled | Failed),
            Scheduled => matches!(next, Deploying | Canceled | Failed),
            Deploying => matches!(next, Initializing | Running | Canceling | Canceled | Failed | Finished),
            Initializing => matches!(next, Running | Canceling | Canceled | Failed | Finished),
            Running => matches!(next, Finished | Canceling | Canceled | Failed),
            Canceling => matches!(next, Canceled | Failed | Finished),
            Reconciling => matches!(next, Initializing | Running | Finished | Canceling | Canceled | Failed),
            Finished | Canceled | Failed => false,
        }
    }

    /// The spelling of REST and of Flink.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "CREATED",
            Self::Scheduled => "SCHEDULED",
            Self::Deploying => "DEPLOYING",
            Self::Initializing => "INITIALIZING",
            Self::Running => "RUNNING",
            Self::Finished => "FINISHED",
            Self::Canceling => "CANCELING",
            Self::Canceled => "CANCELED",
            Self::Failed => "FAILED",
            Self::Reconciling => "RECONCILING",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All states that are reachable from `start`.
    fn reachable<S: Copy + PartialEq>(start: S, all: &[S], may_become: fn(S, S) -> bool) -> Vec<S> {
        let mut found = vec![start];
        let mut next = 0;
        while let Some(&from) = found.get(next) {
            next += 1;
            for &to in all {
                if may_become(from, to) && !found.contains(&to) {
                    found.push(to);
                }
            }
        }
        found
    }

    #[test]
    fn a_job_moves_exactly_as_the_table_says() {
        // Rows: from; columns: to, both in the order of ALL:
        // INITIALIZING CREATED RUNNING FAILING FAILED CANCELLING CANCELED FINISHED RESTARTING SUSPENDED RECONCILING
        let table = [
            ".x..xxx..xx", // INITIALIZING
            "..xx.x..xx.", // CREATED
            "...x.x.xxx.", // RUNNING
            "....x....x.", // FAILING
            "...........", // FAILED
            "...x..xx.x.", // CANCELLING
            "...........", // CANCELED
            "...........", // FINISHED
            ".xxx.x...x.", // RESTARTING
            "...........", // SUSPENDED
            ".xxx.x..xx.", // RECONCILING
        ];
        for (from, row) in JobStatus::ALL.into_iter().zip(table) {
            for (to, mark) in JobStatus::ALL.into_iter().zip(row.chars()) {
                assert_eq!(from.may_become(to), mark == 'x', "{} -> {}", from.as_str(), to.as_str());
            }
        }
    }

    #[test]
    fn an_execution_moves_exactly_as_the_table_says() {
        // CREATED SCHEDULED DEPLOYING INITIALIZING RUNNING FINISHED CANCELING CANCELED FAILED RECONCILING
        let table = [
            ".x.....xxx", // CREATED
            "..x....xx.", // SCHEDULED
            "...xxxxxx.", // DEPLOYING
            "....xxxxx.", // INITIALIZING
            ".....xxxx.", // RUNNING
            "..........", // FINISHED
            ".....x.xx.", // CANCELING
            "..........", // CANCELED
            "..........", // FAILED
            "...xxxxxx.", // RECONCILING
        ];
        for (from, row) in ExecutionState::ALL.into_iter().zip(table) {
            for (to, mark) in ExecutionState::ALL.into_iter().zip(row.chars()) {
                assert_eq!(from.may_become(to), mark == 'x', "{} -> {}", from.as_str(), to.as_str());
            }
        }
    }

    #[test]
    fn terminal_states_never_change_and_every_other_state_can_end() {
        for status in JobStatus::ALL {
            let ends = JobStatus::ALL.into_iter().all(|next| !status.may_become(next));
            assert_eq!(ends, status.is_globally_terminal() || status == JobStatus::Suspended);
            let can_end = reachable(status, &JobStatus::ALL, JobStatus::may_become);
            assert!(status == JobStatus::Suspended || can_end.iter().any(|status| status.is_globally_terminal()));
            if !ends {
                // Leadership may be lost at any moment, and the user may cancel at any moment.
                assert!(status.may_become(JobStatus::Suspended));
                assert!(matches!(status, JobStatus::Failing | JobStatus::Cancelling) || status.may_become(JobStatus::Cancelling));
            }
        }
        for state in ExecutionState::ALL {
            assert_eq!(state.is_terminal(), ExecutionState::ALL.into_iter().all(|next| !state.may_become(next)));
            assert!(state.is_terminal() || state.may_become(ExecutionState::Failed));
        }
    }

    #[test]
    fn every_state_is_reachable_from_the_first() {
        for status in JobStatus::ALL {
            assert!(reachable(JobStatus::Initializing, &JobStatus::ALL, JobStatus::may_become).contains(&status));
        }
        for state in ExecutionState::ALL {
            assert!(reachable(ExecutionState::Created, &ExecutionState::ALL, ExecutionState::may_become).contains(&state));
        }
    }

    #[test]
    fn the_spelling_is_the_same_everywhere() {
        for status in JobStatus::ALL {
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        for state in ExecutionState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.as_str());
        }
    }
}
