//! The bodies of a submission: what a client sends, and what it is told. The SQL gateway takes the same for its queries.

use axum::Json;
use axum::http::StatusCode;
use weir_protocol::job_graph::json_words;
use weir_protocol::rest::{SubmitRequest, SubmitResponse, SubmitStatus};

use crate::dispatcher::effect::Submitted;

/// Reads a submission. The error (`JG-JSON`) names the place and the member that is wrong.
pub fn read(body: &[u8]) -> Result<SubmitRequest, String> {
    let unreadable = |error: serde_json::Error| {
        let what = json_words::explain(&String::from_utf8_lossy(body), &error);
        format!("JG-JSON: line {}, column {}: {what}", error.line(), error.column())
    };
    let mut request: SubmitRequest = serde_json::from_slice(body).map_err(unreadable)?;
    request.job_graph.allow_non_restored_state |= request.allow_non_restored_state;
    Ok(request)
}

/// The answer to a submission that was accepted: 201, or 200 if it was repeated.
pub fn answer(submitted: Submitted) -> (StatusCode, Json<SubmitResponse>) {
    let (code, status) = match submitted.already {
        false => (StatusCode::CREATED, SubmitStatus::Created),
        true => (StatusCode::OK, SubmitStatus::AlreadySubmitted),
    };
    (code, Json(SubmitResponse { job_id: submitted.job, status }))
}
