//! Errors of the gateway, in Flink's form: `{"errors": [...]}`.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use weir_control_plane::StopError;
use weir_control_plane::dispatcher::effect::{CancelError, SubmitError};
use weir_control_plane::store_away::StoreAway;
use weir_ha::StoreError;
use weir_protocol::rest::ErrorResponse;

/// Why a request is refused, or why an operation failed. The text begins with a stable code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GatewayError {
    status: StatusCode,
    text: String,
}

impl GatewayError {
    pub(crate) fn new(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, text: text.into() }
    }

    /// The request or the statement is wrong.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, text)
    }

    pub(crate) fn not_found(text: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, text)
    }

    pub(crate) fn conflict(text: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, text)
    }

    pub(crate) fn too_many(text: impl Into<String>) -> Self {
        Self::new(StatusCode::TOO_MANY_REQUESTS, text)
    }

    /// A retry may succeed.
    pub fn unavailable(text: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, text)
    }

    pub(crate) fn internal(text: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, text)
    }

    /// The code, and a sentence.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether the same request may succeed later, perhaps under another leader. Such an error says nothing about a statement.
    pub fn is_passing(&self) -> bool {
        matches!(self.status, StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS)
    }
}

impl IntoResponse for GatewayError {
    fn into_response(self) -> Response {
        (self.status, Json(ErrorResponse::of(self.text))).into_response()
    }
}

impl From<StoreError> for GatewayError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Superseded { .. } => Self::unavailable("NO-LEADER: a newer leader exists; try again"),
            StoreError::Conflict { .. } => Self::conflict(error.to_string()),
            StoreError::Refused { .. } | StoreError::TokenTaken { .. } => Self::bad_request(error.to_string()),
            StoreError::Unavailable(_)
            | StoreError::Unresolved { .. }
            | StoreError::Corrupt { .. }
            | StoreError::NoRoom { .. }
            | StoreError::File(_) => Self::unavailable(error.to_string()),
        }
    }
}

impl From<StoreAway> for GatewayError {
    fn from(away: StoreAway) -> Self {
        Self::unavailable(away.to_string())
    }
}

impl From<SubmitError> for GatewayError {
    fn from(error: SubmitError) -> Self {
        let text = error.to_string();
        match error {
            SubmitError::Invalid(_) => Self::bad_request(text),
            SubmitError::Conflict(_) => Self::conflict(text),
            SubmitError::Busy(_) => Self::too_many(text),
            SubmitError::Unknown(_) | SubmitError::Unavailable(_) | SubmitError::StoreAway(_) => Self::unavailable(text),
        }
    }
}

impl From<CancelError> for GatewayError {
    fn from(error: CancelError) -> Self {
        let text = error.to_string();
        match error {
            CancelError::NotFound(_) => Self::not_found(text),
            CancelError::Ended { .. } => Self::conflict(text),
            CancelError::NotLeader | CancelError::StoreAway(_) => Self::unavailable(text),
        }
    }
}

impl From<StopError> for GatewayError {
    fn from(error: StopError) -> Self {
        let text = error.to_string();
        match error {
            StopError::NotFound(_) => Self::not_found(text),
            StopError::NotRunning { .. } | StopError::Failed { .. } | StopError::Gone(_) => Self::conflict(text),
            StopError::StoreAway(_) => Self::unavailable(text),
        }
    }
}
