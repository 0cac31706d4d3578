//! The events of the CheckpointCoordinator.

use std::ops::Range;

use weir_ha::CompletedCheckpoint;
use weir_protocol::link::{CheckpointAcknowledgement, CheckpointDecline};
use weir_protocol::{CheckpointId, ExecutionAttemptId, Generation};

use super::pending::CheckpointRequest;
use super::{AppendOutcome, WrittenMetadata};

/// What the CheckpointCoordinator reacts to.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckpointEvent {
    /// The job goes back to the completed checkpoints that the store holds.
    Loaded {
        /// The job's completed checkpoints, oldest first.
        completed: Vec<CompletedCheckpoint>,
        /// The checkpoint that its tasks restore from.
        restored: Option<CheckpointId>,
    },
    /// All tasks of the job run. From now on checkpoints are taken (B4).
    TasksRunning {
        /// All tasks of the job.
        attempts: Vec<ExecutionAttemptId>,
        generation: Generation,
    },
    /// Not all tasks run any more.
    TasksStopped {
        /// Why, for people.
        reason: String,
    },
    /// Every task has processed all of its input. May be repeated.
    InputEnded,
    /// The user requests a savepoint or a checkpoint.
    Requested(CheckpointRequest),
    /// The coordination store stopped answering, or answers again.
    Store { away: bool },
    /// Answer to `ReserveIds`.
    IdsReserved(Range<u64>),
    /// Answer to `ReserveIds`: the ids could not be reserved.
    IdsNotReserved,
    /// A subtask's part of a checkpoint is durable.
    Acknowledged(CheckpointAcknowledgement),
    /// A subtask can't take part in a checkpoint.
    Declined(CheckpointDecline),
    /// Not all tasks could be told to take a checkpoint, because a TaskManager is behind with its orders.
    NotTriggered {
        checkpoint: CheckpointId,
        /// Why, for people.
        reason: String,
    },
    /// Answer to `WriteMetadata`: where the file is, or why it was not written.
    MetadataWritten { checkpoint: CheckpointId, result: Result<WrittenMetadata, String> },
    /// Answer to `AppendPointer`.
    PointerAppended { checkpoint: CheckpointId, outcome: AppendOutcome },
    /// Answer to `CollectGarbage`: the run has ended.
    GarbageCollected,
    /// Time has passed. Sent at [`super::coordinator::CheckpointCoordinator::next_deadline`].
    Tick,
}
