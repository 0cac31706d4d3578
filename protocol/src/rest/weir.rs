//! Weir's own endpoints, under `/weir/v1`.

use serde::{Deserialize, Serialize};

use super::{CheckpointCounts, CheckpointEntry, RestoredCheckpoint};
use crate::job_graph::JobGraph;
use crate::job_status::{ExecutionState, JobStatus};
use crate::link::LeaderAddress;
use crate::{JobId, JobVertexId, LeaderEpoch, TaskManagerId};

/// Body of `POST /weir/v1/jobs`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubmitRequest {
    pub job_graph: JobGraph,
    /// Token that the client draws; see [`SubmitRequest::is_token`]. A second submission with the same token creates no new job,
    /// even at another leader.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_token: Option<String>,
    /// As in Flink: the same as `allow_non_restored_state` in the job graph.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", rename = "allowNonRestoredState")]
    pub allow_non_restored_state: bool,
}

impl SubmitRequest {
    /// Longest client token, in bytes.
    pub const MAX_TOKEN_BYTES: usize = 128;

    /// Whether `token` may be a client token: 1 to [`Self::MAX_TOKEN_BYTES`] characters of `A-Z a-z 0-9 . _ -`.
    pub fn is_token(token: &str) -> bool {
        let legal = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        (1..=Self::MAX_TOKEN_BYTES).contains(&token.len()) && token.bytes().all(legal)
    }
}

/// Answer to a submission. It is sent only once the job is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubmitResponse {
    pub job_id: JobId,
    pub status: SubmitStatus,
}

/// Whether a submission created the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubmitStatus {
    Created,
    /// An earlier submission with the same client token or job id created it.
    AlreadySubmitted,
}

/// Answer to `GET /weir/v1/ha`: the coordination group as the answering process sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HaResponse {
    /// Name of the JobManager that answers.
    pub answered_by: String,
    /// Its wall clock, in milliseconds since 1970. It shows whether the clocks of processes differ.
    #[serde(default)]
    pub now_ms: u64,
    /// The coordination provider: `raft`, `memory`, ...
    pub provider: String,
    /// The published leader, if known.
    pub leader: Option<LeaderAddress>,
    /// The newest epoch known.
    pub epoch: LeaderEpoch,
    /// Whether the answering process reaches a quorum right now.
    pub has_quorum: bool,
    /// If the coordination store does not answer this process: since when, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub store_away_since_ms: Option<u64>,
    /// How many further members may fail before the group stops.
    pub failures_tolerated: u32,
    pub members: Vec<HaMemberInfo>,
    /// The newest leaderships, newest first.
    pub leader_history: Vec<LeaderHistoryEntry>,
}

/// One member of the coordination group.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HaMemberInfo {
    /// Stable name, e.g. `jm-1`.
    pub name: String,
    /// `host:port` of its peer service.
    pub address: String,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it leads the group, as far as the answering process knows.
    pub leader: bool,
    /// Whether it answered lately. `null` if this can't be known.
    pub reachable: Option<bool>,
    /// Number of log entries that it lacks. `null` if this can't be known.
    pub lag_entries: Option<u64>,
}

/// One past or present leadership.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LeaderHistoryEntry {
    pub epoch: LeaderEpoch,
    pub name: String,
    pub granted_at_ms: u64,
}

/// Body of `POST /weir/v1/ha/transfer`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransferRequest {
    /// The member that is to lead. Default: the most caught-up member.
    pub to: Option<String>,
}

/// Answer to a transfer. It is sent once another member leads.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TransferResponse {
    /// Name of the new leader, if it is known already.
    pub leader: Option<String>,
    /// The newest epoch known.
    pub epoch: LeaderEpoch,
}

/// Answer to `GET /weir/v1/jobs/:jobid`: everything about one job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobDescription {
    pub job_id: JobId,
    pub name: String,
    pub status: JobStatus,
    /// For people: why the job waits or failed.
    pub reason: Option<String>,
    pub submitted_at_ms: u64,
    pub ended_at_ms: Option<u64>,
    /// Number of restarts under the present leader.
    pub restarts: u32,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Epoch of the leader that answers.
    pub epoch: LeaderEpoch,
    /// Its vertices, in graph order.
    pub vertices: Vec<VertexDescription>,
    pub checkpoints: CheckpointsDescription,
    /// The newest failures, newest first.
    pub exceptions: Vec<ExceptionDescription>,
}

impl JobDescription {
    /// Why the job waits or failed: the reason, or else the newest failure.
    pub fn cause(&self) -> Option<String> {
        let newest = || self.exceptions.first().map(|failure| format!("{} {}", failure.code, failure.message));
        self.reason.clone().or_else(newest)
    }
}

/// One vertex of a job.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VertexDescription {
    /// The user-chosen id.
    pub id: String,
    /// The id derived from it, as Flink's endpoints show it.
    pub vertex_id: JobVertexId,
    pub name: String,
    /// Number of subtasks.
    pub parallelism: u32,
    /// The combined state of its subtasks; see [`ExecutionState::aggregate`].
    pub state: ExecutionState,
    pub subtasks: Vec<SubtaskDescription>,
}

/// One parallel instance of a vertex.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubtaskDescription {
    /// Number of the instance, from 0.
    pub subtask: u32,
    /// The state of its current attempt.
    pub state: ExecutionState,
    /// Number of earlier attempts under the present leader.
    pub attempt_number: u32,
    /// The current attempt's generation, e.g. `3-1`, if an attempt was deployed.
    pub generation: Option<String>,
    pub task_manager: Option<TaskManagerId>,
    /// When the current attempt was deployed.
    pub started_at_ms: Option<u64>,
    pub ended_at_ms: Option<u64>,
    /// The attempt's newest counters.
    pub metrics: Option<SubtaskMetrics>,
}

/// Counters of one attempt since its start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SubtaskMetrics {
    /// Rows received, or read by a source.
    pub records_in: u64,
    /// Rows sent, or written by a sink.
    pub records_out: u64,
    pub bytes_in: u64,
    pub bytes_out: u64,
    /// Milliseconds spent processing.
    pub busy_ms: u64,
    /// Milliseconds spent waiting for room downstream.
    pub backpressured_ms: u64,
    /// Milliseconds spent waiting for input.
    pub idle_ms: u64,
    /// Current watermark, in milliseconds since 1970; `null` before the first.
    pub watermark_ms: Option<i64>,
    /// Rows that came too late for their window.
    pub late_records: u64,
}

impl From<&crate::link::TaskMetrics> for SubtaskMetrics {
    fn from(metrics: &crate::link::TaskMetrics) -> Self {
        Self {
            records_in: metrics.records_in,
            records_out: metrics.records_out,
            bytes_in: metrics.bytes_in,
            bytes_out: metrics.bytes_out,
            busy_ms: metrics.busy_ms,
            backpressured_ms: metrics.backpressured_ms,
            idle_ms: metrics.idle_ms,
            watermark_ms: (metrics.watermark_ms != i64::MIN).then_some(metrics.watermark_ms),
            late_records: metrics.late_records,
        }
    }
}

/// A summary of a job's checkpoints.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckpointsDescription {
    pub counts: CheckpointCounts,
    pub latest_completed: Option<CheckpointEntry>,
    /// The checkpoint that the job last restored.
    pub latest_restored: Option<RestoredCheckpoint>,
}

/// One failure of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExceptionDescription {
    pub timestamp_ms: u64,
    pub code: String,
    pub message: String,
    /// Vertex and subtask, if a task failed.
    pub task: Option<String>,
    /// The TaskManager on which the task ran.
    pub task_manager: Option<TaskManagerId>,
}
