//! What a JobMaster wants done.

use std::collections::BTreeSet;

use weir_ha::CompletedCheckpoint;
use weir_protocol::checkpoint::CheckpointMetadata;
use weir_protocol::job_status::JobStatus;
use weir_protocol::link::Order;
use weir_protocol::{AllocationId, CheckpointId, JobId, TaskManagerId};

use super::gateway::SavepointOutcome;

/// What the runner is to do, in this order.
#[derive(Debug, Clone, PartialEq)]
pub enum JobMasterEffect {
    /// Read and verify the newest completed checkpoint; answered with this question's number.
    ReadNewestCheckpoint {
        /// Number of the question.
        question: u64,
    },
    /// Tell the ResourceManager how many slots the job wants in all; 0 gives everything back.
    DeclareRequirements { slots: u32 },
    /// Give one slot back.
    ReleaseSlot { allocation: AllocationId },
    /// Send an order to a TaskManager.
    Send { task_manager: TaskManagerId, order: Order },
    /// Break the link to a TaskManager: it has to register again.
    Disconnect {
        task_manager: TaskManagerId,
        /// Why, for people.
        reason: String,
    },
    /// Reserve a block of checkpoint ids in the store (fenced).
    ReserveCheckpointIds { count: u64 },
    /// Write a checkpoint's metadata file.
    WriteCheckpointMetadata {
        metadata: Box<CheckpointMetadata>,
        /// For a savepoint: the directory the user asked for.
        target_directory: Option<String>,
    },
    /// Append a checkpoint's pointer to the store (fenced): the commit point. Safe to repeat.
    AppendCheckpointPointer { pointer: Box<CompletedCheckpoint> },
    /// Remove these pointers from the store (fenced); files follow once that is certain.
    RemoveCheckpointPointers { checkpoints: Vec<CheckpointId> },
    /// Delete files that nothing references any more.
    CollectGarbage {
        /// Completed checkpoints whose files stay, oldest first.
        keep: Vec<CompletedCheckpoint>,
        /// Checkpoints under way: their files stay.
        pending: BTreeSet<CheckpointId>,
        /// Pointers that were just removed. Removing them again is refused once there is a newer leader, which then has
        /// the say over files (C5).
        removed: Vec<CheckpointId>,
    },
    /// Answer a savepoint or checkpoint request.
    Answer {
        /// Number of the request.
        request: u64,
        outcome: SavepointOutcome,
    },
    /// The job has ended for good. Last effect.
    End(JobEnded),
    /// A newer leader took over: stop without a trace. Last effect.
    StopSuperseded,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnded {
    pub job: JobId,
    /// A globally terminal status.
    pub status: JobStatus,
    /// Why it failed, if it did: code and message.
    pub failure: Option<String>,
}
