//! What a JobMaster wants done.

use weir_protocol::job_status::JobStatus;
use weir_protocol::link::Order;
use weir_protocol::{AllocationId, JobId, TaskManagerId};

use crate::checkpoint::effect::{SavepointOutcome, StoreCall};

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
    /// Call the stores for the CheckpointCoordinator; answered by [`super::event::JobMasterEvent::Checkpoint`].
    Checkpoint(StoreCall),
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
