//! Refuses requests that a page of another site made a browser send. `weir_protocol::http_access` has the rules.

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use weir_protocol::http_access::{AccessRefused, RequestHead};
use weir_protocol::rest::HOPS_HEADER;

use super::Rest;
use super::error::RestError;

/// The end of the only path whose GET changes something: the cancel button of Flink's web UI sends it.
pub(super) const CANCEL_BY_GET: &str = "/yarn-cancel";

/// Checks a request before any handler sees it. Pages of listed origins may read the answer (CORS).
pub(super) async fn check(State(rest): State<Rest>, request: Request, next: Next) -> Response {
    let access = &rest.shared.access;
    // A page can't send the header of a standby to another site unasked. The standby has checked what it passes on.
    let own_page_only = request.uri().path().ends_with(CANCEL_BY_GET) && !request.headers().contains_key(HOPS_HEADER);
    // A path that does not exist needs no content type. Flink's command line tries some.
    let is_known = request.extensions().get::<MatchedPath>().is_some();
    let checked = RequestHead::of(request.method(), request.uri(), request.headers(), |head| -> Result<_, AccessRefused> {
        match access.check(head) {
            Err(AccessRefused::ContentType(_)) if !is_known => {}
            checked => checked?,
        }
        if own_page_only {
            access.check_own_page(head)?;
        }
        Ok(access.reader(head).and_then(|origin| HeaderValue::from_str(origin).ok()))
    });
    let reader = match checked {
        Ok(reader) => reader,
        Err(refused) => return RestError::from(refused).into_response(),
    };
    let Some(origin) = reader else { return next.run(request).await };
    let asks = request.method() == Method::OPTIONS && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD);
    let mut response = if asks { StatusCode::NO_CONTENT.into_response() } else { next.run(request).await };
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
    headers.insert(header::VARY, HeaderValue::from_static("origin"));
    if asks {
        headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST, PATCH, DELETE"));
        headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("content-type"));
    }
    response
}

impl From<AccessRefused> for RestError {
    fn from(refused: AccessRefused) -> Self {
        let status = StatusCode::from_u16(refused.http_status()).unwrap_or(StatusCode::FORBIDDEN);
        Self::new(status, refused.to_string())
    }
}
