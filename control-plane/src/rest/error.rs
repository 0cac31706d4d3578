//! Errors of REST requests, in Flink's form: `{"errors": [...]}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weir_protocol::rest::ErrorResponse;

use crate::dispatcher::effect::{CancelError, SubmitError};
use crate::job_master::gateway::JobGone;
use crate::store_away::StoreAway;

/// An error answer: an HTTP status and messages.
#[derive(Debug)]
pub(crate) struct RestError {
    status: StatusCode,
    errors: Vec<String>,
}

impl RestError {
    pub(super) fn new(status: StatusCode, error: impl Into<String>) -> Self {
        Self { status, errors: vec![error.into()] }
    }

    pub(super) fn bad_request(error: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, error)
    }

    pub(super) fn all_bad(errors: Vec<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, errors }
    }

    pub(super) fn not_found(error: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, error)
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "this path does not support this method")
    }

    pub(super) fn conflict(error: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, error)
    }

    /// Status 503, after which Flink's clients retry.
    pub(super) fn unavailable(error: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, error)
    }
}

impl IntoResponse for RestError {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorResponse { errors: self.errors })).into_response()
    }
}

impl From<SubmitError> for RestError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Invalid(errors) => Self::all_bad(errors),
            SubmitError::Conflict(error) => Self::conflict(error),
            SubmitError::Busy(error) => Self::new(StatusCode::TOO_MANY_REQUESTS, error),
            SubmitError::Unknown(error) | SubmitError::Unavailable(error) => Self::unavailable(error),
            SubmitError::StoreAway(away) => away.into(),
        }
    }
}

impl From<CancelError> for RestError {
    fn from(error: CancelError) -> Self {
        let text = error.to_string();
        match error {
            CancelError::NotFound(_) => Self::not_found(text),
            CancelError::Ended { .. } => Self::conflict(text),
            CancelError::NotLeader | CancelError::StoreAway(_) => Self::unavailable(text),
        }
    }
}

impl From<StoreAway> for RestError {
    fn from(away: StoreAway) -> Self {
        Self::unavailable(away.to_string())
    }
}

impl From<JobGone> for RestError {
    fn from(gone: JobGone) -> Self {
        Self::unavailable(format!("JOB-GONE: {gone}"))
    }
}
