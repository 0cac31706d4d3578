//! The states of jobs and executions and their legal transitions: one table each (Flink's JobStatus, ExecutionState).

use serde::{Deserialize, Serialize};

/// The state of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum JobStatus {
    /// Accepted; its JobMaster is being started or reads the newest checkpoint.
    Initializing,
    /// Waiting for slots for the first time.
    Created,
    /// Tasks are deployed or running.
    Running,
    /// Tasks are being stopped because one failed for good.
    Failing,
    /// Ended: failed.
    Failed,
    /// Tasks are being stopped because the user asked.
    Cancelling,
    /// Ended: canceled.
    Canceled,
    /// Ended: all input was processed.
    Finished,
    /// Waiting to run again after a failure (delay, or slots).
    Restarting,
    /// This leader lost leadership; the job goes on under another. Never stored.
    Suspended,
    /// A new leader compares what should run with what does.
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
    /// Known, nothing done yet.
    Created,
    /// Waiting for its slot.
    Scheduled,
    /// Sent to its TaskManager.
    Deploying,
    /// Restoring state and connecting channels.
    Initializing,
    /// Processing.
    Running,
    /// Ended: all input processed and committed.
    Finished,
    /// Being stopped.
    Canceling,
    /// Ended: stopped.
    Canceled,
    /// Ended: failed.
    Failed,
    /// Reported by a TaskManager, not yet adopted.
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
