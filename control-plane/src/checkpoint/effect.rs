//! The effects of the CheckpointCoordinator.

use std::collections::BTreeSet;

use weir_ha::CompletedCheckpoint;
use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointMetadata};
use weir_protocol::{CheckpointId, ExecutionAttemptId};

/// The outcome of a savepoint or checkpoint that a user requested.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SavepointOutcome {
    /// The checkpoint or savepoint is durable.
    Completed {
        checkpoint: CheckpointId,
        /// URI of the directory that holds it.
        location: String,
    },
    /// No checkpoint or savepoint was taken. The job continues.
    Failed {
        /// A stable code, e.g. `SAVEPOINT-FAILED`.
        code: String,
        /// What happened, and what to try.
        reason: String,
    },
}

/// A call to the stores. [`super::stores::CheckpointStores::perform`] makes it and returns the event that answers it.
#[derive(Debug, Clone, PartialEq)]
pub enum StoreCall {
    /// Reserve a block of checkpoint ids (fenced).
    ReserveIds { count: u64 },
    /// Write a checkpoint's metadata file.
    WriteMetadata {
        metadata: Box<CheckpointMetadata>,
        /// For a savepoint: the directory that the user named.
        target_directory: Option<String>,
    },
    /// Append a checkpoint's pointer (fenced): the commit point. Safe to repeat.
    AppendPointer {
        pointer: Box<CompletedCheckpoint>,
        /// Checkpoints whose pointers the same commit removes.
        subsumed: Vec<CheckpointId>,
    },
    /// Delete files that nothing references. `GarbageCollected` answers this call, whether or not it succeeds.
    CollectGarbage {
        /// Completed checkpoints whose files stay, oldest first.
        keep: Vec<CompletedCheckpoint>,
        /// Checkpoints in flight, whose files stay.
        pending: BTreeSet<CheckpointId>,
    },
}

/// What the JobMaster must do for the CheckpointCoordinator. Effects are carried out in order.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckpointEffect {
    /// Call the stores.
    Store(StoreCall),
    /// Have the sources inject this barrier.
    Trigger {
        barrier: CheckpointBarrier,
        /// All tasks of the job.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// The checkpoint is complete: tell the tasks that took part to commit.
    NotifyComplete {
        checkpoint: CheckpointId,
        attempts: Vec<ExecutionAttemptId>,
        /// Whether the tasks finish after they have committed.
        last: bool,
    },
    /// The checkpoint will never complete.
    NotifyAborted { checkpoint: CheckpointId, attempts: Vec<ExecutionAttemptId> },
    /// Answer a request.
    Answer {
        /// Number of the request.
        request: u64,
        outcome: SavepointOutcome,
    },
    /// The savepoint to stop with is durable. Answer the request when the job has ended.
    StoppedWithSavepoint {
        /// Number of the request.
        request: u64,
        outcome: SavepointOutcome,
    },
    /// Too many checkpoints failed in a row: the job must restart or fail.
    FailJob {
        /// What happened, for people.
        message: String,
    },
}
