//! Lets the leader answer: in this process, or through its REST service. A redirect is never sent, because Flink's clients
//! don't follow redirects.

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use weir_protocol::rest::HOPS_HEADER;
use weir_world::simulation;

use super::error::RestError;
use super::{BODY_LIMIT, Rest, bodies};

/// Maximum length of an answer that is passed on, bytes.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// Answers if this process leads. Otherwise asks the leader and passes its answer on.
pub(super) async fn answer_or_proxy(State(rest): State<Rest>, mut request: Request, next: Next) -> Response {
    let leading = rest.shared.leading.borrow().clone();
    match leading {
        Some(leading) => {
            request.extensions_mut().insert(leading);
            next.run(request).await
        }
        None => proxy(&rest, request).await.unwrap_or_else(IntoResponse::into_response),
    }
}

async fn proxy(rest: &Rest, request: Request) -> Result<Response, RestError> {
    if request.headers().contains_key(HOPS_HEADER) {
        // Another JobManager believes that this one leads, so leadership is changing.
        return Err(RestError::unavailable("NO-LEADER: leadership is changing; try again"));
    }
    let leader = rest.shared.ha.leader().borrow().clone();
    let leader = leader.ok_or_else(|| RestError::unavailable("NO-LEADER: no JobManager leads at the moment; try again"))?;
    if leader.leader.name == rest.shared.name {
        return Err(RestError::unavailable("NO-LEADER: this JobManager was the last leader, and no other leads yet; try again"));
    }
    if simulation::current().is_some() {
        // The HTTP client can use only the real network. A simulated client asks every JobManager.
        return Err(RestError::unavailable("NO-LEADER: this JobManager does not lead; ask another"));
    }
    let path = request.uri().path_and_query().map_or("/", |path| path.as_str());
    let url = format!("http://{}{path}", leader.leader.rest_address);
    let mut outgoing = rest.shared.client.request(request.method().clone(), url);
    for name in [header::CONTENT_TYPE, header::ACCEPT, header::AUTHORIZATION] {
        if let Some(value) = request.headers().get(&name) {
            outgoing = outgoing.header(name, value);
        }
    }
    let body = to_bytes(request.into_body(), BODY_LIMIT).await;
    let body = body.map_err(|_| bodies::too_long())?;
    let unreachable = |error: &reqwest::Error| {
        let name = &leader.leader.name;
        RestError::unavailable(format!("NO-LEADER: the leader {name} does not answer ({error}); try again"))
    };
    let answer = outgoing.header(HOPS_HEADER, "1").body(body).send().await.map_err(|error| unreachable(&error))?;
    let status = answer.status();
    let content_type = answer.headers().get(header::CONTENT_TYPE).cloned();
    if answer.content_length().is_some_and(|length| length > ANSWER_LIMIT as u64) {
        return Err(RestError::unavailable("REST-ANSWER: the leader's answer is too long to pass on"));
    }
    let body = answer.bytes().await.map_err(|error| unreachable(&error))?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}
