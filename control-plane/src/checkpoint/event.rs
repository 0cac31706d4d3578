//! What the CheckpointCoordinator learns.

use std::ops::Range;

use weir_ha::CompletedCheckpoint;
use weir_protocol::link::{CheckpointAcknowledgement, CheckpointDecline};
use weir_protocol::{CheckpointId, ExecutionAttemptId, Generation};

use super::pending::CheckpointRequest;
use super::{AppendOutcome, WrittenMetadata};

/// What happened, as the state machine takes it.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckpointEvent {
    /// The job goes back to what the store holds.
    Loaded {
        /// The job's completed checkpoints, oldest first.
        completed: Vec<CompletedCheckpoint>,
        /// The checkpoint that its tasks restore from.
        restored: Option<CheckpointId>,
    },
    /// All tasks of the job run: from now on checkpoints are taken (B4).
    TasksRunning {
        /// Every task takes part.
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
    /// The user asks for a savepoint or a checkpoint.
    Requested(CheckpointRequest),
    /// The coordination store stopped answering, or answers again.
    Store { away: bool },
    /// Answer to `ReserveIds`.
    IdsReserved(Range<u64>),
    /// Answer to `ReserveIds`: there are none now.
    IdsNotReserved,
    /// A subtask's part of a checkpoint is durable.
    Acknowledged(CheckpointAcknowledgement),
    /// A subtask can't take part in a checkpoint.
    Declined(CheckpointDecline),
    /// Answer to `WriteMetadata`: where the file is, or why it is not there.
    MetadataWritten { checkpoint: CheckpointId, result: Result<WrittenMetadata, String> },
    /// Answer to `AppendPointer`.
    PointerAppended { checkpoint: CheckpointId, outcome: AppendOutcome },
    /// Answer to `RemovePointers`: they are gone from the store, or why they may not be.
    PointersRemoved { checkpoints: Vec<CheckpointId>, result: Result<(), String> },
    /// Time has passed; sent at [`super::coordinator::CheckpointCoordinator::next_deadline`].
    Tick,
}
