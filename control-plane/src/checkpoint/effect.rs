//! What the CheckpointCoordinator wants done.

use std::collections::BTreeSet;

use weir_ha::CompletedCheckpoint;
use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointMetadata};
use weir_protocol::{CheckpointId, ExecutionAttemptId};

use crate::job_master::gateway::SavepointOutcome;

/// What the JobMaster is to do for the coordinator, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum CheckpointEffect {
    /// Reserve a block of ids in the store.
    ReserveIds { count: u64 },
    /// Have the sources inject this barrier.
    Trigger {
        barrier: CheckpointBarrier,
        /// Everyone who takes part.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// Write the metadata file.
    WriteMetadata {
        metadata: Box<CheckpointMetadata>,
        /// For a savepoint: the directory the user asked for.
        target_directory: Option<String>,
    },
    /// Append the pointer: the commit point.
    AppendPointer { pointer: Box<CompletedCheckpoint> },
    /// The checkpoint is complete: those who took part and still live commit.
    NotifyComplete {
        checkpoint: CheckpointId,
        /// Who took part.
        attempts: Vec<ExecutionAttemptId>,
        /// Tasks finish after committing.
        last: bool,
    },
    /// The checkpoint will never complete.
    NotifyAborted {
        checkpoint: CheckpointId,
        /// Who took part.
        attempts: Vec<ExecutionAttemptId>,
    },
    /// Remove these pointers from the store.
    RemovePointers { checkpoints: Vec<CheckpointId> },
    /// Delete files that nothing references.
    CollectGarbage {
        /// Completed checkpoints whose files stay, oldest first.
        keep: Vec<CompletedCheckpoint>,
        /// Checkpoints under way: their files stay.
        pending: BTreeSet<CheckpointId>,
        /// Pointers that were just removed. Removing them again is refused once there is a newer leader, which then has
        /// the say over files (C5).
        removed: Vec<CheckpointId>,
    },
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
