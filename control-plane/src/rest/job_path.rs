//! Finds the job that a path names.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::request::Parts;
use weir_protocol::JobId;

use super::Rest;
use super::error::RestError;
use crate::dispatcher::job_registry::JobSnapshot;
use crate::job_master::view::JobView;
use crate::leading::Leading;

/// The job id in a path. A malformed id is answered with 400.
pub(super) struct JobPath(pub(super) JobId);

impl FromRequestParts<Rest> for JobPath {
    type Rejection = RestError;

    async fn from_request_parts(parts: &mut Parts, state: &Rest) -> Result<Self, RestError> {
        let path: Result<Path<BTreeMap<String, String>>, _> = Path::from_request_parts(parts, state).await;
        let Path(parameters) = path.map_err(|error| RestError::bad_request(format!("JOB-ID: {error}")))?;
        let text = parameters.get("job").map_or("", String::as_str);
        text.parse().map(Self).map_err(|error| RestError::bad_request(format!("JOB-ID: {error}")))
    }
}

pub(super) fn find(leading: &Leading, job: JobId) -> Result<JobSnapshot, RestError> {
    leading.jobs.get(job).ok_or_else(|| RestError::not_found(format!("JOB-NOT-FOUND: there is no job {job}")))
}

/// The details of a job. Fails with 404 if only its status is known.
pub(super) fn view_of(snapshot: JobSnapshot) -> Result<Arc<JobView>, RestError> {
    let gone = || {
        let (job, status) = (snapshot.job, snapshot.status.as_str());
        RestError::not_found(format!("JOB-NO-DETAILS: job {job} is {status}, and no details about it are known"))
    };
    snapshot.view.clone().ok_or_else(gone)
}
