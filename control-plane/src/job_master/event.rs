//! What a JobMaster learns.

use weir_ha::StoreAvailability;
use weir_protocol::link::{CheckpointAcknowledgement, CheckpointDecline, TaskMetrics, TaskStateUpdate};
use weir_protocol::{ExecutionAttemptId, TaskManagerId};

use crate::checkpoint::completed::RestorePoint;
use crate::checkpoint::event::CheckpointEvent;
use crate::resource_manager::effect::GrantedSlot;

/// What a TaskManager tells the JobMaster of the job concerned.
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

/// What happened, as the state machine takes it.
#[derive(Debug, Clone, PartialEq)]
pub enum JobMasterEvent {
    /// The JobMaster begins its work. First event, once.
    Start,
    /// Time has passed; sent at [`super::JobMaster::next_deadline`].
    Tick,
    /// Answer to `ReadNewestCheckpoint`: the newest completed checkpoint, read and verified.
    CheckpointRead {
        /// Which question this answers.
        question: u64,
        /// What was found.
        restore: RestorePoint,
    },
    /// Answer to `ReadNewestCheckpoint`: it can't be read. Never answered with an older one (C6).
    CheckpointUnreadable {
        /// Which question this answers.
        question: u64,
        /// What is wrong and what to do, for people.
        reason: String,
        /// Whether it may be readable later; if not, the job fails.
        retryable: bool,
    },
    /// Slots the job may deploy into.
    SlotsGranted(Vec<GrantedSlot>),
    /// So many slots can't be had now.
    SlotShortage {
        missing: u32,
        /// Why, for people.
        reason: String,
    },
    /// The TaskManager is gone, with all it held.
    TaskManagerLost {
        task_manager: TaskManagerId,
        /// Why, for people.
        reason: String,
    },
    /// A TaskManager reports.
    Report { task_manager: TaskManagerId, report: TaskManagerReport },
    /// Messages to this JobMaster were dropped: it can't know what runs any more.
    MessagesLost,
    /// The user cancels the job.
    Cancel,
    /// Something that concerns checkpoints only: a request, or an answer of the stores.
    Checkpoint(CheckpointEvent),
    /// Whether the coordination store answers has changed.
    Store(StoreAvailability),
    /// A drill has begun or ended: restarts do not count for so long from now on.
    Drill {
        /// Milliseconds; 0 = they count.
        restarts_free_ms: u64,
    },
    /// A newer leader has been elected: this JobMaster's writes are refused.
    Superseded,
}
