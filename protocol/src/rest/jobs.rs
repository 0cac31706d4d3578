//! The endpoints under `/jobs`, except those of checkpoints and savepoints.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::job_graph::{JobGraph, Partitioning, RestartStrategyConfig};
use crate::job_status::{ExecutionState, JobStatus};
use crate::{JobId, JobVertexId};

/// Answer to `GET /jobs`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct JobIdsWithStatus {
    /// Every known job.
    pub jobs: Vec<JobIdWithStatus>,
}

/// One job of `GET /jobs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobIdWithStatus {
    pub id: JobId,
    pub status: JobStatus,
}

/// Answer to `GET /jobs/overview`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct JobsOverview {
    /// Every known job, running or ended.
    pub jobs: Vec<JobOverview>,
}

/// One job of `GET /jobs/overview`. Flink's CLI requires every field.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobOverview {
    pub jid: JobId,
    pub name: String,
    #[serde(rename = "jobType")]
    pub job_type: String,
    #[serde(rename = "schedulerType")]
    pub scheduler_type: String,
    /// When it was submitted.
    pub start_time: i64,
    /// When it ended; -1 while it runs.
    pub end_time: i64,
    /// From submission to the end, or until now.
    pub duration: i64,
    pub state: JobStatus,
    /// When its state last changed.
    pub last_modification: i64,
    /// Number of tasks in each state, by lower-case name, and their `total`; see [`overview_tasks`].
    pub tasks: BTreeMap<String, u32>,
    pub pending_operators: u32,
}

/// The number of executions in each state. Every state is present.
pub fn execution_counts(states: impl IntoIterator<Item = ExecutionState>) -> BTreeMap<ExecutionState, u32> {
    let mut counts: BTreeMap<_, _> = ExecutionState::ALL.into_iter().map(|state| (state, 0)).collect();
    for state in states {
        *counts.entry(state).or_default() += 1;
    }
    counts
}

/// The `tasks` of [`JobOverview`]: [`execution_counts`] by lower-case name, and their `total`.
pub fn overview_tasks(states: impl IntoIterator<Item = ExecutionState>) -> BTreeMap<String, u32> {
    let counts = execution_counts(states);
    let total = counts.values().sum();
    let mut tasks: BTreeMap<_, _> = counts.into_iter().map(|(state, n)| (state.as_str().to_ascii_lowercase(), n)).collect();
    tasks.insert("total".to_owned(), total);
    tasks
}

/// The `timestamps` of [`JobDetail`]. Every status is present; 0 means that the job never entered it.
pub fn status_timestamps(entered: &BTreeMap<JobStatus, u64>) -> BTreeMap<JobStatus, u64> {
    JobStatus::ALL.into_iter().map(|status| (status, entered.get(&status).copied().unwrap_or(0))).collect()
}

/// Answer to `GET /jobs/:jobid`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobDetail {
    pub jid: JobId,
    /// The job's own id: each job is its own application.
    pub application_id: JobId,
    pub name: String,
    /// Whether the job can be stopped without a savepoint. Always false.
    #[serde(rename = "isStoppable")]
    pub is_stoppable: bool,
    pub state: JobStatus,
    pub job_type: String,
    #[serde(rename = "schedulerType")]
    pub scheduler_type: String,
    /// When it was submitted.
    pub start_time: i64,
    /// When it ended; -1 while it runs.
    pub end_time: i64,
    /// From submission to the end, or until now.
    pub duration: i64,
    /// Number of key groups.
    #[serde(rename = "maxParallelism")]
    pub max_parallelism: i64,
    /// The server's wall clock.
    pub now: i64,
    /// When the job last entered each status; see [`status_timestamps`].
    pub timestamps: BTreeMap<JobStatus, u64>,
    /// Its vertices, in graph order.
    pub vertices: Vec<JobVertexDetail>,
    /// Number of vertices in each state.
    pub status_counts: BTreeMap<ExecutionState, u32>,
    pub plan: JobPlan,
    pub pending_operators: u32,
}

/// A vertex of [`JobDetail`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobVertexDetail {
    pub id: JobVertexId,
    /// The slot sharing group. Each job has one.
    #[serde(rename = "slotSharingGroupId")]
    pub slot_sharing_group_id: String,
    pub name: String,
    /// Number of key groups.
    #[serde(rename = "maxParallelism")]
    pub max_parallelism: i64,
    /// Number of subtasks.
    pub parallelism: u32,
    /// The combined state of its subtasks; see [`ExecutionState::aggregate`].
    pub status: ExecutionState,
    /// When its first subtask was deployed; -1 if none was.
    pub start_time: i64,
    /// When its last subtask ended; -1 while one runs.
    pub end_time: i64,
    /// From start to end, or until now; -1 if no subtask was deployed.
    pub duration: i64,
    /// Number of subtasks in each state.
    pub tasks: BTreeMap<ExecutionState, u32>,
    /// Sums over its subtasks.
    pub metrics: IoMetrics,
}

impl ExecutionState {
    /// Combines the states of a vertex's subtasks into one, as Flink does.
    pub fn aggregate(counts: &BTreeMap<Self, u32>) -> Self {
        let n = |state: Self| counts.get(&state).copied().unwrap_or(0);
        let total: u32 = counts.values().sum();
        if n(Self::Failed) > 0 {
            return Self::Failed;
        }
        if n(Self::Canceling) > 0 {
            return Self::Canceling;
        }
        if n(Self::Canceled) > 0 {
            return Self::Canceled;
        }
        if total > 0 && n(Self::Finished) == total {
            return Self::Finished;
        }
        let by_progress = [Self::Initializing, Self::Running, Self::Deploying, Self::Scheduled, Self::Reconciling];
        match by_progress.into_iter().find(|state| n(*state) > 0) {
            Some(state) => state,
            // Some have finished and the others are not scheduled yet.
            None if n(Self::Finished) > 0 => Self::Running,
            None => Self::Created,
        }
    }
}

/// Input, output and time use since the start of the attempts.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct IoMetrics {
    pub read_bytes: u64,
    /// Whether every attempt has reported them.
    pub read_bytes_complete: bool,
    pub write_bytes: u64,
    /// Whether every attempt has reported them.
    pub write_bytes_complete: bool,
    pub read_records: u64,
    /// Whether every attempt has reported them.
    pub read_records_complete: bool,
    pub write_records: u64,
    /// Whether every attempt has reported them.
    pub write_records_complete: bool,
    /// Milliseconds spent waiting for room downstream.
    pub accumulated_backpressured_time: u64,
    /// Milliseconds spent waiting for input.
    pub accumulated_idle_time: u64,
    /// Milliseconds spent processing.
    pub accumulated_busy_time: f64,
}

/// Answer to `GET /jobs/:jobid/status`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatusResponse {
    pub status: JobStatus,
}

/// Answer to `GET /jobs/:jobid/plan`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlanResponse {
    pub plan: JobPlan,
}

/// The job graph as the web UI draws it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlan {
    pub jid: JobId,
    pub name: String,
    #[serde(rename = "type")]
    pub plan_type: String,
    pub nodes: Vec<JobPlanNode>,
}

/// A vertex of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlanNode {
    pub id: JobVertexId,
    /// Number of subtasks.
    pub parallelism: u32,
    pub operator: String,
    pub operator_strategy: String,
    /// The vertex's name, escaped for HTML.
    pub description: String,
    /// Edges into the vertex. Omitted for sources.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<JobPlanInput>,
    pub optimizer_properties: BTreeMap<String, String>,
}

/// An edge of the plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobPlanInput {
    /// Number of the edge into the vertex, from 0.
    pub num: u32,
    pub id: JobVertexId,
    /// `FORWARD`, `HASH`, `REBALANCE` or `BROADCAST`.
    pub ship_strategy: String,
    pub exchange: String,
}

impl JobPlan {
    /// The plan of `graph` under the id `job`.
    pub fn of(job: JobId, graph: &JobGraph) -> Self {
        let nodes = graph.vertices.iter().map(|vertex| {
            let inputs = graph.inputs_of(&vertex.uid).zip(0..).map(|(edge, num)| {
                let ship_strategy = match edge.partitioning {
                    Partitioning::Forward => "FORWARD",
                    Partitioning::Hash { .. } => "HASH",
                    Partitioning::Rebalance => "REBALANCE",
                    Partitioning::Broadcast => "BROADCAST",
                };
                JobPlanInput {
                    num,
                    id: JobVertexId::from_uid(&edge.from),
                    ship_strategy: ship_strategy.to_owned(),
                    exchange: "pipelined_bounded".to_owned(),
                }
            });
            JobPlanNode {
                id: vertex.id(),
                parallelism: vertex.parallelism,
                operator: String::new(),
                operator_strategy: String::new(),
                description: escape_html(vertex.display_name()),
                inputs: inputs.collect(),
                optimizer_properties: BTreeMap::new(),
            }
        });
        Self { jid: job, name: graph.name.clone(), plan_type: "STREAMING".to_owned(), nodes: nodes.collect() }
    }
}

fn escape_html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// Answer to `GET /jobs/:jobid/config`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct JobConfigResponse {
    pub jid: JobId,
    pub name: String,
    pub execution_config: ExecutionConfig,
}

/// Execution settings of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExecutionConfig {
    /// Describes the restart strategy for people.
    pub restart_strategy: String,
    /// The highest parallelism of its vertices.
    pub job_parallelism: u32,
    pub object_reuse_mode: bool,
    pub user_config: BTreeMap<String, String>,
}

impl JobConfigResponse {
    /// The configuration of `graph` under the id `job`.
    pub fn of(job: JobId, graph: &JobGraph) -> Self {
        let restart_strategy = match &graph.restart_strategy_config() {
            RestartStrategyConfig::None => "Restart deactivated.".to_owned(),
            RestartStrategyConfig::FixedDelay { attempts, delay_ms } => {
                format!("Restart up to {attempts} times with a delay of {delay_ms} ms.")
            }
            RestartStrategyConfig::ExponentialDelay { initial_backoff_ms, max_backoff_ms, .. } => {
                format!("Restart with a delay growing from {initial_backoff_ms} to {max_backoff_ms} ms.")
            }
            RestartStrategyConfig::FailureRate { max_failures_per_interval, interval_ms, delay_ms } => format!(
                "Restart after {delay_ms} ms unless there are more than {max_failures_per_interval} failures in {interval_ms} ms."
            ),
        };
        let job_parallelism = graph.vertices.iter().map(|vertex| vertex.parallelism).max().unwrap_or(0);
        Self {
            jid: job,
            name: graph.name.clone(),
            execution_config: ExecutionConfig { restart_strategy, job_parallelism, ..ExecutionConfig::default() },
        }
    }
}

/// Answer to `GET /jobs/:jobid/exceptions`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct JobExceptions {
    pub exception_history: ExceptionHistory,
}

/// The failures of a job, newest first.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ExceptionHistory {
    /// The newest failures, newest first.
    pub entries: Vec<ExceptionEntry>,
    /// Whether there are older failures.
    pub truncated: bool,
}

/// One failure of a job.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExceptionEntry {
    /// The failure's stable code.
    pub exception_name: String,
    /// Code and message.
    pub stacktrace: String,
    pub timestamp: i64,
    pub failure_labels: BTreeMap<String, String>,
    /// Vertex and subtask, if a task failed.
    pub task_name: Option<String>,
    /// Address of the TaskManager.
    pub endpoint: Option<String>,
    pub task_manager_id: Option<String>,
    /// Failures that this one caused.
    pub concurrent_exceptions: Vec<ExceptionEntry>,
}

/// Answer to `GET /applications/overview`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ApplicationsOverview {
    /// One application per job.
    pub applications: Vec<ApplicationOverview>,
}

/// An application, which is one job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ApplicationOverview {
    /// The job's id.
    pub id: JobId,
    /// The job's name.
    pub name: String,
    /// When it was submitted.
    pub start_time: i64,
    /// When it ended; -1 while it runs.
    pub end_time: i64,
    /// From submission to the end, or until now.
    pub duration: i64,
    /// The job's state.
    pub status: JobStatus,
    /// Number of its jobs by state.
    pub jobs: BTreeMap<JobStatus, u32>,
}
