//! Reads the bodies of requests within limits, and gives every refusal its code.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::sync::Semaphore;

use super::error::RestError;
use super::{BODY_LIMIT, Rest};

/// Longer bodies wait for one of [`LARGE_BODIES`], so that many of them at once don't use up the memory.
const SMALL_BODY: usize = 64 * 1024;
/// Number of long bodies that are read and processed at a time. Together they have at most 256 MiB.
const LARGE_BODIES: usize = 32;
/// Longest text of a refusal that axum wrote, in bytes.
const REFUSAL_LIMIT: usize = 4 * 1024;

/// The right to hold a long body in memory.
#[derive(Debug)]
pub(super) struct LargeBodies(Semaphore);

impl Default for LargeBodies {
    fn default() -> Self {
        Self(Semaphore::new(LARGE_BODIES))
    }
}

/// Reads the whole body before a handler runs.
pub(super) async fn read(State(rest): State<Rest>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let length = parts.headers.get(header::CONTENT_LENGTH).map(|length| length.to_str().ok().and_then(|text| text.parse().ok()));
    let announced: usize = match length {
        Some(Some(length)) => length,
        Some(None) => return RestError::bad_request("REST-REQUEST: the content length is not a number").into_response(),
        None if parts.headers.contains_key(header::TRANSFER_ENCODING) => BODY_LIMIT,
        None => 0,
    };
    if announced > BODY_LIMIT {
        return too_long().into_response();
    }
    let _room = match announced > SMALL_BODY {
        true => rest.shared.large_bodies.0.acquire().await.ok(),
        false => None,
    };
    match to_bytes(body, BODY_LIMIT).await {
        Ok(body) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(error) if is_about_length(&error) => too_long().into_response(),
        Err(error) => RestError::bad_request(format!("REST-REQUEST: the body did not arrive: {error}")).into_response(),
    }
}

fn is_about_length(error: &axum::Error) -> bool {
    std::error::Error::source(error).is_some_and(|source| source.to_string().contains("length limit"))
}

pub(super) fn too_long() -> RestError {
    RestError::new(StatusCode::PAYLOAD_TOO_LARGE, format!("REST-BODY: the body has more than {BODY_LIMIT} bytes"))
}

/// Gives a refusal of axum itself, e.g. for a query that can't be read, the form of all others.
pub(super) async fn with_code(response: Response) -> Response {
    let status = response.status();
    let is_json =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if is_json || !(status.is_client_error() || status.is_server_error()) {
        return response;
    }
    let text = to_bytes(response.into_body(), REFUSAL_LIMIT).await.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let reason = if text.is_empty() { status.canonical_reason().unwrap_or("refused") } else { text.trim() };
    RestError::new(status, format!("REST-REQUEST: {reason}")).into_response()
}
