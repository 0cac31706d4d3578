//! Effects that the TaskExecutor asks for.

use weir_protocol::link::{LeaderAddress, TaskDeployment, ToJobManager};
use weir_protocol::{CheckpointId, ExecutionAttemptId, StaleEpoch};

use super::event::LinkNumber;
use crate::task::control::TaskOrder;

/// An effect of the TaskExecutor.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Open a link to this leader, closing any other.
    Connect { link: LinkNumber, leader: LeaderAddress },
    /// Close the link.
    Disconnect,
    /// Send this to the leader.
    Send(ToJobManager),
    /// Send a heartbeat with the tasks' current counters.
    SendHeartbeat,
    /// Start this task.
    Deploy(Box<TaskStart>),
    /// Stop this task.
    Cancel(ExecutionAttemptId),
    /// Give this order to the task.
    Tell { attempt: ExecutionAttemptId, order: TaskOrder },
    /// The task has ended: forget its handle.
    Forget(ExecutionAttemptId),
    /// An order was refused because of its epoch: count and log it.
    CountStale(StaleEpoch),
    /// A leader was lost: count and log it. Tasks continue.
    LeaderLost(String),
    /// A leader has accepted this TaskManager.
    Registered(LeaderAddress),
    /// There was no leader and no room in the outbox, so a message was dropped: count it.
    CountDropped,
}

/// A task to start, with the values that it shares with the other tasks of its deployment.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskStart {
    pub task: TaskDeployment,
    /// The job's name, for people.
    pub job_name: String,
    /// Number of key groups of the job.
    pub max_parallelism: u32,
    /// Root of all checkpoints, as a URI.
    pub checkpoint_dir: String,
    /// The checkpoint that it restores from, if any.
    pub restore_checkpoint: Option<CheckpointId>,
}
