//! What the CheckpointCoordinator wants done.

use std::collections::BTreeSet;

use weir_ha::CompletedCheckpoint;
use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointMetadata};
use weir_protocol::{CheckpointId, ExecutionAttemptId};

/// What became of a savepoint or of a checkpoint that was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum SavepointOutcome {
    /// It is durable.
    Completed {
        checkpoint: CheckpointId,
        /// URI of the directory that holds it.
        location: String,
    },
    /// There is none; the job goes on.
    Failed {
        /// A stable code, e.g. `SAVEPOINT-NOT-RUNNING`.
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
        /// For a savepoint: the directory the user asked for.
        target_directory: Option<String>,
    },
    /// Append a checkpoint's pointer (fenced): the commit point. Safe to repeat.
    AppendPointer { pointer: Box<CompletedCheckpoint> },
    /// Remove these pointers (fenced); their files follow once that is certain.
    RemovePointers { checkpoints: Vec<CheckpointId> },
    /// Delete files that nothing references. There is no answer.
    CollectGarbage {
        /// Completed checkpoints whose files stay, oldest first.
        keep: Vec<CompletedCheckpoint>,
        /// Checkpoints in flight, whose files stay.
        pending: BTreeSet<CheckpointId>,
        /// Pointers that were just removed. Once there is a newer leader the store refuses to remove them again: then that
        /// leader decides about files (C5).
        removed: Vec<CheckpointId>,
    },
}

/// What the JobMaster is to do for the coordinator, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckpointEffect {
    /// Call the stores.
    Store(StoreCall),
    /// Have the sources inject this barrier.
    Trigger {
        barrier: CheckpointBarrier,
        /// Every task takes part.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// The checkpoint is complete: the tasks that took part and still run commit.
    NotifyComplete {
        checkpoint: CheckpointId,
        attempts: Vec<ExecutionAttemptId>,
        /// Tasks finish after committing.
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
    /// The savepoint to stop with is durable; the request is answered when the job has ended.
    StoppedWithSavepoint {
        /// Number of the request.
        request: u64,
        outcome: SavepointOutcome,
    },
    /// Too many checkpoints failed in a row: the job has to fail over.
    FailJob {
        /// What happened, for people.
        message: String,
    },
}
