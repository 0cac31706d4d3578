//! What a JobMaster shows of its job: plain data, published after every change, read by REST.

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
    /// What it runs.
    pub graph: Arc<JobGraph>,
    pub status: JobStatus,
    /// Why it waits or failed, or what it lacks while it runs, in words for people.
    pub reason: Option<String>,
    /// When it was submitted.
    pub submitted_at: u64,
    /// When it ended, if it has.
    pub ended_at: Option<u64>,
    /// When each state was last entered.
    pub timestamps: BTreeMap<JobStatus, u64>,
    /// Its executions: by vertex (in graph order), then by subtask.
    pub vertices: Vec<VertexView>,
    /// Restarts under this leader.
    pub restarts: u32,
    pub checkpoints: CheckpointsView,
    /// Failures, newest first; bounded.
    pub exceptions: Vec<ExceptionView>,
}

/// A vertex.
#[derive(Debug, Clone)]
pub struct VertexView {
    /// Its user-chosen id.
    pub uid: String,
    /// Its parallel instances.
    pub subtasks: Vec<SubtaskView>,
}

/// One parallel instance.
#[derive(Debug, Clone)]
pub struct SubtaskView {
    /// The current attempt, if one was deployed.
    pub attempt: Option<ExecutionAttemptId>,
    pub state: ExecutionState,
    /// Number of attempts before this one under this leader.
    pub attempt_number: u32,
    /// Where it runs.
    pub task_manager: Option<TaskManagerId>,
    /// When it was deployed.
    pub started_at: Option<u64>,
    /// When it ended.
    pub ended_at: Option<u64>,
    /// Its newest counters.
    pub metrics: Option<TaskMetrics>,
}

/// A failure.
#[derive(Debug, Clone)]
pub struct ExceptionView {
    pub timestamp: u64,
    pub code: String,
    pub message: String,
    /// Name of the vertex and number of the subtask, if it was a task's.
    pub task: Option<String>,
    /// Where it ran.
    pub task_manager: Option<TaskManagerId>,
}

/// A job's checkpoints.
#[derive(Debug, Clone, Default)]
pub struct CheckpointsView {
    /// Restored from, under this leader.
    pub restored: u64,
    pub total: u64,
    pub in_progress: u64,
    pub completed: u64,
    /// Failed or aborted.
    pub failed: u64,
    /// The newest ones, newest first; bounded by `web.checkpoints.history`.
    pub history: Vec<CheckpointView>,
    /// The checkpoint last restored from.
    pub latest_restored: Option<CheckpointId>,
    pub latest_restored_at: Option<u64>,
}

/// How far a checkpoint came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CheckpointStatus {
    InProgress,
    Completed,
    /// Failed or aborted.
    Failed,
}

/// One checkpoint.
#[derive(Debug, Clone)]
pub struct CheckpointView {
    pub id: CheckpointId,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// How far it came.
    pub status: CheckpointStatus,
    /// When it was triggered.
    pub triggered_at: u64,
    /// When the newest acknowledgement came.
    pub latest_ack_at: Option<u64>,
    /// When it completed or failed.
    pub ended_at: Option<u64>,
    /// Subtasks that take part.
    pub subtasks: u32,
    /// Subtasks that have acknowledged.
    pub acknowledged: u32,
    /// Bytes written for it.
    pub checkpointed_bytes: u64,
    /// Bytes it references.
    pub state_bytes: u64,
    /// Longest alignment of a subtask, microseconds.
    pub alignment_us: u64,
    /// Where its metadata is, once complete.
    pub external_path: Option<String>,
    /// Why it failed.
    pub failure: Option<String>,
}
