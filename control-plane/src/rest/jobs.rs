//! Handlers of Flink's `/jobs` and of our `/weir/v1/jobs`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use weir_protocol::job_graph::JobVertex;
use weir_protocol::job_status::{ExecutionState, JobStatus};
use weir_protocol::rest::{
    ApplicationOverview, ApplicationsOverview, CheckpointsDescription, Empty, ExceptionDescription, ExceptionEntry,
    ExceptionHistory, IoMetrics, JobConfigResponse, JobDescription, JobDetail, JobExceptions, JobIdWithStatus, JobIdsWithStatus,
    JobOverview, JobPlan, JobPlanResponse, JobStatusResponse, JobVertexDetail, JobsOverview, SubmitResponse, SubtaskDescription,
    SubtaskMetrics, VertexDescription, execution_counts, overview_tasks, status_timestamps,
};
use weir_protocol::{JobId, LeaderEpoch};
use weir_world::wall_clock_ms;

use super::error::RestError;
use super::job_path::{JobPath, find, view_of};
use super::{Rest, checkpoints, submission};
use crate::dispatcher::job_registry::JobSnapshot;
use crate::job_master::view::{ExceptionView, SubtaskView, VertexView};
use crate::leading::Leading;

/// Accepts a job. `Leading` validates the graph, so the Dispatcher gets only valid graphs.
pub(super) async fn submit(
    Extension(leading): Extension<Leading>,
    body: Bytes,
) -> Result<(StatusCode, Json<SubmitResponse>), RestError> {
    let request = submission::read(&body).map_err(RestError::bad_request)?;
    Ok(submission::answer(leading.submit(request.job_graph, request.client_token).await?))
}

#[derive(Debug, Deserialize)]
pub(super) struct TerminationMode {
    mode: Option<String>,
}

/// Handles `PATCH /jobs/:jobid?mode=cancel`.
pub(super) async fn terminate(
    Extension(leading): Extension<Leading>,
    JobPath(job): JobPath,
    Query(TerminationMode { mode }): Query<TerminationMode>,
) -> Result<(StatusCode, Json<Empty>), RestError> {
    match mode.as_deref() {
        None | Some("cancel") => cancel(&leading, job).await,
        Some(mode) => Err(RestError::bad_request(format!("JOB-MODE: a job can't be terminated by {mode:?}; use mode=cancel"))),
    }
}

/// `GET /jobs/:jobid/yarn-cancel`, which the cancel button of Flink's web UI calls. `access` lets no other page call it.
pub(super) async fn cancel_from_page(
    Extension(leading): Extension<Leading>,
    JobPath(job): JobPath,
) -> Result<(StatusCode, Json<Empty>), RestError> {
    cancel(&leading, job).await
}

async fn cancel(leading: &Leading, job: JobId) -> Result<(StatusCode, Json<Empty>), RestError> {
    leading.dispatcher.cancel(job).await?;
    Ok((StatusCode::ACCEPTED, Json(Empty {})))
}

pub(super) async fn ids(Extension(leading): Extension<Leading>) -> Json<JobIdsWithStatus> {
    let jobs = leading.jobs.list();
    Json(JobIdsWithStatus { jobs: jobs.iter().map(|job| JobIdWithStatus { id: job.job, status: job.status }).collect() })
}

pub(super) async fn overview(Extension(leading): Extension<Leading>) -> Json<JobsOverview> {
    Json(overview_of_all(&leading))
}

/// All jobs that the leader knows.
pub(crate) fn overview_of_all(leading: &Leading) -> JobsOverview {
    let now = wall_clock_ms();
    JobsOverview { jobs: leading.jobs.list().iter().map(|job| overview_of(job, now)).collect() }
}

pub(super) async fn applications(Extension(leading): Extension<Leading>) -> Json<ApplicationsOverview> {
    let now = wall_clock_ms();
    let application = |job: &JobSnapshot| ApplicationOverview {
        id: job.job,
        name: job.name.clone(),
        start_time: job.submitted_at as i64,
        end_time: end_time(job.ended_at),
        duration: duration(job, now),
        status: job.status,
        jobs: BTreeMap::from([(job.status, 1)]),
    };
    Json(ApplicationsOverview { applications: leading.jobs.list().iter().map(application).collect() })
}

pub(super) async fn status(
    Extension(leading): Extension<Leading>,
    JobPath(job): JobPath,
) -> Result<Json<JobStatusResponse>, RestError> {
    Ok(Json(JobStatusResponse { status: find(&leading, job)?.status }))
}

pub(super) async fn plan(
    Extension(leading): Extension<Leading>,
    JobPath(job): JobPath,
) -> Result<Json<JobPlanResponse>, RestError> {
    Ok(Json(JobPlanResponse { plan: plan_of(&find(&leading, job)?) }))
}

pub(super) async fn config(
    Extension(leading): Extension<Leading>,
    JobPath(job): JobPath,
) -> Result<Json<JobConfigResponse>, RestError> {
    let view = view_of(find(&leading, job)?)?;
    Ok(Json(JobConfigResponse::of(job, &view.graph)))
}

#[derive(Debug, Deserialize)]
pub(super) struct MaxExceptions {
    #[serde(rename = "maxExceptions")]
    max_exceptions: Option<usize>,
}

pub(super) async fn exceptions(
    Extension(leading): Extension<Leading>,
    JobPath(job): JobPath,
    Query(MaxExceptions { max_exceptions }): Query<MaxExceptions>,
) -> Result<Json<JobExceptions>, RestError> {
    let snapshot = find(&leading, job)?;
    let known = snapshot.view.as_ref().map_or(&[][..], |view| &view.exceptions);
    let resources = leading.resource_manager.view();
    let entry = |exception: &ExceptionView| ExceptionEntry {
        exception_name: exception.code.clone(),
        stacktrace: format!("{}: {}", exception.code, exception.message),
        timestamp: exception.timestamp as i64,
        task_name: exception.task.clone(),
        endpoint: exception
            .task_manager
            .as_ref()
            .and_then(|id| resources.task_managers.iter().find(|known| known.id == *id).map(|known| known.data_address.clone())),
        task_manager_id: exception.task_manager.as_ref().map(ToString::to_string),
        ..ExceptionEntry::default()
    };
    let limit = max_exceptions.unwrap_or(20);
    let mut entries: Vec<_> = known.iter().take(limit).map(entry).collect();
    if let (true, Some(reason)) = (known.is_empty() && limit > 0, &snapshot.reason) {
        // If there are no details about the job, show the reason in its result or quarantine.
        let (name, timestamp) =
            (reason.split(':').next().unwrap_or_default(), snapshot.ended_at.unwrap_or(snapshot.submitted_at));
        let (exception_name, stacktrace) = (name.to_string(), reason.clone());
        entries.push(ExceptionEntry { exception_name, stacktrace, timestamp: timestamp as i64, ..ExceptionEntry::default() });
    }
    let truncated = known.len() > entries.len();
    Ok(Json(JobExceptions { exception_history: ExceptionHistory { entries, truncated } }))
}

pub(super) async fn detail(Extension(leading): Extension<Leading>, JobPath(job): JobPath) -> Result<Json<JobDetail>, RestError> {
    Ok(Json(detail_of(&find(&leading, job)?, wall_clock_ms())))
}

pub(super) async fn describe(
    Extension(leading): Extension<Leading>,
    State(_): State<Rest>,
    JobPath(job): JobPath,
) -> Result<Json<JobDescription>, RestError> {
    Ok(Json(description_of(&find(&leading, job)?, leading.epoch(), wall_clock_ms())))
}

fn end_time(ended_at: Option<u64>) -> i64 {
    ended_at.map_or(-1, |at| at as i64)
}

fn duration(job: &JobSnapshot, now: u64) -> i64 {
    job.ended_at.unwrap_or(now).saturating_sub(job.submitted_at) as i64
}

fn subtasks(job: &JobSnapshot) -> impl Iterator<Item = &SubtaskView> {
    job.view.iter().flat_map(|view| &view.vertices).flat_map(|vertex| &vertex.subtasks)
}

fn overview_of(job: &JobSnapshot, now: u64) -> JobOverview {
    let entered = job.view.iter().flat_map(|view| view.timestamps.values()).max();
    JobOverview {
        jid: job.job,
        name: job.name.clone(),
        job_type: "STREAMING".to_string(),
        scheduler_type: "Default".to_string(),
        start_time: job.submitted_at as i64,
        end_time: end_time(job.ended_at),
        duration: duration(job, now),
        state: job.status,
        last_modification: entered.copied().or(job.ended_at).unwrap_or(job.submitted_at) as i64,
        tasks: overview_tasks(subtasks(job).map(|subtask| subtask.state)),
        pending_operators: 0,
    }
}

fn plan_of(job: &JobSnapshot) -> JobPlan {
    match &job.view {
        Some(view) => JobPlan::of(job.job, &view.graph),
        None => JobPlan { jid: job.job, name: job.name.clone(), plan_type: "STREAMING".to_string(), nodes: Vec::new() },
    }
}

fn detail_of(job: &JobSnapshot, now: u64) -> JobDetail {
    let view = job.view.as_deref();
    let max_parallelism = view.map_or(-1, |view| i64::from(view.graph.max_parallelism));
    let vertices: Vec<_> = vertices(job).map(|(vertex, shown)| vertex_of(vertex, shown, max_parallelism, now)).collect();
    let mut timestamps = view.map_or_else(BTreeMap::new, |view| view.timestamps.clone());
    if let (None, Some(ended_at)) = (view, job.ended_at) {
        timestamps.insert(job.status, ended_at);
    }
    timestamps.entry(JobStatus::Initializing).or_insert(job.submitted_at);
    JobDetail {
        jid: job.job,
        application_id: job.job,
        name: job.name.clone(),
        is_stoppable: false,
        state: job.status,
        job_type: "STREAMING".to_string(),
        scheduler_type: "Default".to_string(),
        start_time: job.submitted_at as i64,
        end_time: end_time(job.ended_at),
        duration: duration(job, now),
        max_parallelism,
        now: now as i64,
        timestamps: status_timestamps(&timestamps),
        status_counts: execution_counts(vertices.iter().map(|vertex| vertex.status)),
        vertices,
        plan: plan_of(job),
        pending_operators: 0,
    }
}

/// The vertices of the graph, each with its view.
fn vertices(job: &JobSnapshot) -> impl Iterator<Item = (&JobVertex, &VertexView)> {
    job.view.iter().flat_map(|view| view.graph.vertices.iter().zip(&view.vertices))
}

fn vertex_of(vertex: &JobVertex, shown: &VertexView, max_parallelism: i64, now: u64) -> JobVertexDetail {
    let tasks = execution_counts(shown.subtasks.iter().map(|subtask| subtask.state));
    let started_at = shown.subtasks.iter().filter_map(|subtask| subtask.started_at).min();
    let all_ended = shown.subtasks.iter().all(|subtask| subtask.ended_at.is_some());
    let ended_at = shown.subtasks.iter().filter_map(|subtask| subtask.ended_at).max().filter(|_| all_ended);
    JobVertexDetail {
        id: vertex.id(),
        slot_sharing_group_id: format!("{:032x}", 0),
        name: vertex.display_name().to_string(),
        max_parallelism,
        parallelism: vertex.parallelism,
        status: ExecutionState::aggregate(&tasks),
        start_time: started_at.map_or(-1, |at| at as i64),
        end_time: end_time(ended_at),
        duration: started_at.map_or(-1, |at| ended_at.unwrap_or(now).saturating_sub(at) as i64),
        tasks,
        metrics: io_of(shown),
    }
}

fn io_of(vertex: &VertexView) -> IoMetrics {
    let complete = vertex.subtasks.iter().all(|subtask| subtask.metrics.is_some());
    let mut io = IoMetrics {
        read_bytes_complete: complete,
        write_bytes_complete: complete,
        read_records_complete: complete,
        write_records_complete: complete,
        ..IoMetrics::default()
    };
    for metrics in vertex.subtasks.iter().filter_map(|subtask| subtask.metrics.as_ref()) {
        io.read_bytes += metrics.bytes_in;
        io.write_bytes += metrics.bytes_out;
        io.read_records += metrics.records_in;
        io.write_records += metrics.records_out;
        io.accumulated_backpressured_time += metrics.backpressured_ms;
        io.accumulated_idle_time += metrics.idle_ms;
        io.accumulated_busy_time += metrics.busy_ms as f64;
    }
    io
}

pub(crate) fn description_of(job: &JobSnapshot, epoch: LeaderEpoch, now: u64) -> JobDescription {
    let view = job.view.as_deref();
    let checkpoints = view.map(|view| &view.checkpoints);
    let exception = |exception: &ExceptionView| ExceptionDescription {
        timestamp_ms: exception.timestamp,
        code: exception.code.clone(),
        message: exception.message.clone(),
        task: exception.task.clone(),
        task_manager: exception.task_manager.clone(),
    };
    JobDescription {
        job_id: job.job,
        name: job.name.clone(),
        status: job.status,
        reason: job.reason.clone(),
        submitted_at_ms: job.submitted_at,
        ended_at_ms: job.ended_at,
        restarts: view.map_or(0, |view| view.restarts),
        max_parallelism: view.map_or(0, |view| view.graph.max_parallelism),
        epoch,
        vertices: vertices(job).map(|(vertex, shown)| describe_vertex(vertex, shown)).collect(),
        checkpoints: checkpoints.map_or_else(CheckpointsDescription::default, |shown| CheckpointsDescription {
            counts: checkpoints::counts(shown),
            latest_completed: checkpoints::latest_completed(shown, now),
            latest_restored: checkpoints::restored(shown),
        }),
        exceptions: view.map_or_else(Vec::new, |view| view.exceptions.iter().map(exception).collect()),
    }
}

fn describe_vertex(vertex: &JobVertex, shown: &VertexView) -> VertexDescription {
    let subtask = |(subtask, index): (&SubtaskView, u32)| SubtaskDescription {
        subtask: index,
        state: subtask.state,
        attempt_number: subtask.attempt_number,
        generation: subtask.attempt.map(|attempt| attempt.generation.to_string()),
        task_manager: subtask.task_manager.clone(),
        started_at_ms: subtask.started_at,
        ended_at_ms: subtask.ended_at,
        metrics: subtask.metrics.as_ref().map(SubtaskMetrics::from),
    };
    VertexDescription {
        id: vertex.uid.clone(),
        vertex_id: vertex.id(),
        name: vertex.display_name().to_string(),
        parallelism: vertex.parallelism,
        state: ExecutionState::aggregate(&execution_counts(shown.subtasks.iter().map(|subtask| subtask.state))),
        subtasks: shown.subtasks.iter().zip(0..).map(subtask).collect(),
    }
}
