//! Handlers of savepoints, stopping with a savepoint, and checkpoints on demand. A POST triggers them, and a GET polls them.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::extract::Path;
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::de::DeserializeOwned;
use weir_protocol::JobId;
use weir_protocol::rest::{
    AsyncOperationResponse, CheckpointInfo, CheckpointTriggerRequest, SavepointInfo, SavepointTriggerRequest, StopRequest,
    TriggerResponse,
};

use super::error::RestError;
use super::job_path::{JobPath, find};
use super::operations::{Begun, Progress};
use crate::checkpoint::effect::SavepointOutcome;
use crate::job_master::gateway::JobMasterGateway;
use crate::leading::Leading;
use crate::store_away::StoreAway;

type Triggered = Result<(StatusCode, Json<TriggerResponse>), RestError>;

/// What the JobMaster must do.
enum Asked {
    Savepoint { target_directory: Option<String>, then_cancel: bool },
    Stop { target_directory: Option<String> },
    Checkpoint,
}

pub(super) async fn trigger_savepoint(Extension(leading): Extension<Leading>, JobPath(job): JobPath, body: Bytes) -> Triggered {
    let request: SavepointTriggerRequest = body_of(&body)?;
    let asked = Asked::Savepoint { target_directory: request.target_directory, then_cancel: request.cancel_job };
    begin(&leading, job, request.trigger_id, asked)
}

pub(super) async fn stop(Extension(leading): Extension<Leading>, JobPath(job): JobPath, body: Bytes) -> Triggered {
    let request: StopRequest = body_of(&body)?;
    if request.drain {
        return Err(RestError::bad_request("STOP-DRAIN: stopping with drain is not supported; stop without --drain"));
    }
    begin(&leading, job, request.trigger_id, Asked::Stop { target_directory: request.target_directory })
}

pub(super) async fn trigger_checkpoint(Extension(leading): Extension<Leading>, JobPath(job): JobPath, body: Bytes) -> Triggered {
    let request: CheckpointTriggerRequest = body_of(&body)?;
    begin(&leading, job, request.trigger_id, Asked::Checkpoint)
}

pub(super) async fn poll_savepoint(
    Extension(leading): Extension<Leading>,
    JobPath(job): JobPath,
    Path(parameters): Path<BTreeMap<String, String>>,
) -> Result<Json<AsyncOperationResponse<SavepointInfo>>, RestError> {
    let done = poll(&leading, job, &parameters)?;
    Ok(Json(done.map_or_else(AsyncOperationResponse::in_progress, |(_, location)| {
        AsyncOperationResponse::completed(SavepointInfo { location })
    })))
}

pub(super) async fn poll_checkpoint(
    Extension(leading): Extension<Leading>,
    JobPath(job): JobPath,
    Path(parameters): Path<BTreeMap<String, String>>,
) -> Result<Json<AsyncOperationResponse<CheckpointInfo>>, RestError> {
    let done = poll(&leading, job, &parameters)?;
    Ok(Json(done.map_or_else(AsyncOperationResponse::in_progress, |(checkpoint_id, _)| {
        AsyncOperationResponse::completed(CheckpointInfo { checkpoint_id })
    })))
}

fn body_of<T: DeserializeOwned + Default>(body: &Bytes) -> Result<T, RestError> {
    if body.is_empty() {
        return Ok(T::default());
    }
    serde_json::from_slice(body).map_err(|error| RestError::bad_request(format!("REST-JSON: {error}")))
}

fn begin(leading: &Leading, job: JobId, trigger: Option<String>, asked: Asked) -> Triggered {
    if trigger.as_ref().is_some_and(|trigger| trigger.parse::<JobId>().is_err()) {
        return Err(RestError::bad_request("TRIGGER-ID: a trigger id has 32 hexadecimal characters"));
    }
    let snapshot = find(leading, job)?;
    let job_master = leading.jobs.job_master(job).ok_or_else(|| {
        RestError::conflict(format!("JOB-NOT-RUNNING: job {job} is {} and takes no checkpoints", snapshot.status.as_str()))
    })?;
    let begun = trigger.as_ref().is_some_and(|trigger| leading.operations.progress(job, trigger).is_some());
    if !begun {
        StoreAway::check(leading.store.now())?;
    }
    let request_id = match leading.operations.begin(job, trigger) {
        Begun::Known(request_id) => request_id,
        Begun::TooMany => return Err(RestError::unavailable("SAVEPOINT-BUSY: too many savepoints are under way; try again")),
        Begun::New(request_id) => {
            let (operations, trigger) = (leading.operations.clone(), request_id.clone());
            weir_world::spawn("savepoint", async move {
                let outcome = carry_out(&job_master, asked).await;
                operations.end(job, &trigger, outcome);
            });
            request_id
        }
    };
    Ok((StatusCode::ACCEPTED, Json(TriggerResponse { request_id })))
}

async fn carry_out(job_master: &JobMasterGateway, asked: Asked) -> Result<SavepointOutcome, String> {
    let (outcome, then_cancel) = match asked {
        Asked::Savepoint { target_directory, then_cancel } => {
            (job_master.trigger_savepoint(target_directory, false).await, then_cancel)
        }
        Asked::Stop { target_directory } => (job_master.trigger_savepoint(target_directory, true).await, false),
        Asked::Checkpoint => (job_master.trigger_checkpoint().await, false),
    };
    let outcome = outcome.map_err(|gone| format!("JOB-GONE: {gone}"))?;
    if then_cancel && matches!(outcome, SavepointOutcome::Completed { .. }) {
        // An error means that the job has ended, as the user wanted.
        let _ = job_master.cancel().await;
    }
    Ok(outcome)
}

/// Id and location of the operation's checkpoint, or `None` while it is in progress. If the operation failed, the poll gets an
/// error, which Flink's CLI prints as the cause.
fn poll(leading: &Leading, job: JobId, parameters: &BTreeMap<String, String>) -> Result<Option<(u64, String)>, RestError> {
    let trigger = parameters.get("trigger").map_or("", String::as_str);
    if trigger.parse::<JobId>().is_err() {
        return Err(RestError::bad_request("TRIGGER-ID: a trigger id has 32 hexadecimal characters"));
    }
    match leading.operations.progress(job, trigger) {
        None => Err(RestError::not_found(format!(
            "TRIGGER-NOT-FOUND: this leader knows no savepoint or checkpoint {trigger} of job {job}; if the leader changed, look at the job's checkpoints"
        ))),
        Some(Progress::InProgress) => Ok(None),
        Some(Progress::Ended(Ok(SavepointOutcome::Completed { checkpoint, location }))) => Ok(Some((checkpoint.0, location))),
        Some(Progress::Ended(Ok(SavepointOutcome::Failed { code, reason }))) => {
            Err(RestError::conflict(format!("{code}: {reason}")))
        }
        Some(Progress::Ended(Err(reason))) => Err(RestError::conflict(reason)),
    }
}
