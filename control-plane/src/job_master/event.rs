//! The events of a JobMaster.

use weir_ha::StoreAvailability;
use weir_protocol::link::{CheckpointAcknowledgement, CheckpointDecline, TaskMetrics, TaskStateUpdate};
use weir_protocol::{ExecutionAttemptId, TaskManagerId};

use crate::checkpoint::completed::RestorePoint;
use crate::checkpoint::event::CheckpointEvent;
use crate::resource_manager::effect::GrantedSlot;

/// What a TaskManager reports to the JobMaster of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskManagerReport {
    /// An attempt changed state.
    TaskState(TaskStateUpdate),
    /// A subtask's part of a checkpoint is durable.
    Acknowledge(CheckpointAcknowledgement),
    /// A subtask can't take part in a checkpoint.
    Decline(CheckpointDecline),
    /// A subtask has processed all of its input.
    InputEnded(ExecutionAttemptId),
    /// Counters of running attempts.
    Metrics(Vec<TaskMetrics>),
}

/// What the JobMaster reacts to.
#[derive(Debug, Clone, PartialEq)]
pub enum JobMasterEvent {
    /// The JobMaster begins its work. This is the first event, and it occurs once.
    Start,
    /// Time has passed. Sent at [`super::JobMaster::next_deadline`].
    Tick,
    /// Answer to `ReadNewestCheckpoint`: the newest completed checkpoint, read and verified.
    CheckpointRead {
        /// The number in `ReadNewestCheckpoint`.
        question: u64,
        restore: RestorePoint,
    },
    /// Answer to `ReadNewestCheckpoint`: the newest checkpoint can't be read. An older one is never used instead (C6).
    CheckpointUnreadable {
        /// The number in `ReadNewestCheckpoint`.
        question: u64,
        /// What is wrong and what to do, for people.
        reason: String,
        /// Whether a later read may succeed. If not, the job fails.
        retryable: bool,
    },
    /// Slots into which the job may deploy.
    SlotsGranted(Vec<GrantedSlot>),
    /// The ResourceManager can't grant some slots now.
    SlotShortage {
        missing: u32,
        /// Why, for people.
        reason: String,
    },
    /// The TaskManager is lost, with its slots and tasks.
    TaskManagerLost {
        task_manager: TaskManagerId,
        /// Why, for people.
        reason: String,
    },
    /// A TaskManager reports.
    Report { task_manager: TaskManagerId, report: TaskManagerReport },
    /// Messages to this JobMaster were dropped, so it no longer knows what runs.
    MessagesLost,
    /// The user cancels the job.
    Cancel,
    /// An event for the CheckpointCoordinator: a request, or an answer of the stores.
    Checkpoint(CheckpointEvent),
    /// The coordination store stopped answering, or answers again.
    Store(StoreAvailability),
    /// A drill has begun or ended. For this time from now, restarts do not count.
    Drill {
        /// Milliseconds; 0 means that restarts count.
        restarts_free_ms: u64,
    },
    /// A newer leader has been elected, so the store refuses this JobMaster's writes.
    Superseded,
}
