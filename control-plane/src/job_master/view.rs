//! The view of a job: plain data that the JobMaster publishes after every change and REST reads.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_protocol::checkpoint::CheckpointKind;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::{ExecutionState, JobStatus};
use weir_protocol::link::TaskMetrics;
use weir_protocol::{CheckpointId, ExecutionAttemptId, JobId, TaskManagerId};

/// A job as REST shows it. Times are wall-clock milliseconds since 1970.
#[derive(Debug, Clone)]
pub struct JobView {
    pub job: JobId,
    pub graph: Arc<JobGraph>,
    pub status: JobStatus,
    /// Why the job waits or failed, or what it lacks while it runs, for people.
    pub reason: Option<String>,
    pub submitted_at: u64,
    pub ended_at: Option<u64>,
    /// When each state was last entered.
    pub timestamps: BTreeMap<JobStatus, u64>,
    /// The executions by vertex, in graph order.
    pub vertices: Vec<VertexView>,
    /// Number of restarts under this leader.
    pub restarts: u32,
    pub checkpoints: CheckpointsView,
    /// Failures, newest first. Their number is bounded by `web.exception-history-size`.
    pub exceptions: Vec<ExceptionView>,
}

/// A vertex of a job, as REST shows it.
#[derive(Debug, Clone)]
pub struct VertexView {
    /// The id that the user chose.
    pub uid: String,
    pub subtasks: Vec<SubtaskView>,
}

/// A subtask of a vertex, as REST shows it. Times are wall-clock milliseconds since 1970.
#[derive(Debug, Clone)]
pub struct SubtaskView {
    /// The newest attempt, if the subtask was deployed.
    pub attempt: Option<ExecutionAttemptId>,
    pub state: ExecutionState,
    /// Number of attempts before this one under this leader.
    pub attempt_number: u32,
    pub task_manager: Option<TaskManagerId>,
    /// When the attempt was deployed.
    pub started_at: Option<u64>,
    pub ended_at: Option<u64>,
    /// The newest counters of the attempt.
    pub metrics: Option<TaskMetrics>,
}

/// A failure of a job, as REST shows it.
#[derive(Debug, Clone)]
pub struct ExceptionView {
    /// Wall-clock milliseconds since 1970.
    pub timestamp: u64,
    pub code: String,
    pub message: String,
    /// Name of the vertex and number of the subtask, if a task failed.
    pub task: Option<String>,
    pub task_manager: Option<TaskManagerId>,
}

/// The checkpoints of a job under this leader, as REST shows them.
#[derive(Debug, Clone, Default)]
pub struct CheckpointsView {
    /// How often the job restored from a checkpoint.
    pub restored: u64,
    pub total: u64,
    pub in_progress: u64,
    pub completed: u64,
    /// Failed or aborted.
    pub failed: u64,
    /// Checkpoints, newest first. Their number is bounded by `web.checkpoints.history`.
    pub history: Vec<CheckpointView>,
    /// The checkpoint of the latest restore.
    pub latest_restored: Option<CheckpointId>,
    pub latest_restored_at: Option<u64>,
}

/// The status of a checkpoint, as REST shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointStatus {
    InProgress,
    Completed,
    /// Failed or aborted.
    Failed,
}

/// A checkpoint, as REST shows it. Times are wall-clock milliseconds since 1970.
#[derive(Debug, Clone)]
pub struct CheckpointView {
    pub id: CheckpointId,
    pub kind: CheckpointKind,
    pub status: CheckpointStatus,
    pub triggered_at: u64,
    /// When the newest acknowledgement arrived.
    pub latest_ack_at: Option<u64>,
    /// When the checkpoint completed or failed.
    pub ended_at: Option<u64>,
    /// Subtasks that take part.
    pub subtasks: u32,
    /// Subtasks that have acknowledged.
    pub acknowledged: u32,
    /// Bytes that were written for this checkpoint.
    pub checkpointed_bytes: u64,
    /// Bytes that this checkpoint references.
    pub state_bytes: u64,
    /// The longest alignment of a subtask, microseconds.
    pub alignment_us: u64,
    /// URI of the directory with the metadata. Set when the checkpoint is complete.
    pub external_path: Option<String>,
    pub failure: Option<String>,
}
