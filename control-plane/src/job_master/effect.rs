//! The effects of a JobMaster.

use weir_protocol::job_status::JobStatus;
use weir_protocol::link::Order;
use weir_protocol::{AllocationId, JobId, TaskManagerId};

use crate::checkpoint::effect::{SavepointOutcome, StoreCall};

/// What the runner must do. Effects are carried out in order.
#[derive(Debug, Clone, PartialEq)]
pub enum JobMasterEffect {
    /// Read and verify the newest completed checkpoint. The answer carries the same question number.
    ReadNewestCheckpoint { question: u64 },
    /// Tell the ResourceManager how many slots the job needs in total; 0 returns all of them.
    DeclareRequirements { slots: u32 },
    /// Return one slot.
    ReleaseSlot { allocation: AllocationId },
    /// Send an order to a TaskManager.
    Send { task_manager: TaskManagerId, order: Order },
    /// Break the link to a TaskManager, which must then register again.
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
    /// The job has ended for good. This is the last effect.
    End(JobEnded),
    /// A newer leader has taken over: stop and change nothing. This is the last effect.
    StopSuperseded,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobEnded {
    pub job: JobId,
    /// A globally terminal status.
    pub status: JobStatus,
    /// Code and message of the failure, if the job failed.
    pub failure: Option<String>,
}
