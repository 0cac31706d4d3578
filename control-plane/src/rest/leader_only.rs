//! Lets the leader answer: in this process, or through its REST service. A redirect is never sent, because Flink's clients
//! don't follow redirects.

use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use weir_protocol::rest::{ErrorResponse, HOPS_HEADER};
use weir_world::simulation;

use super::error::RestError;
use super::{BODY_LIMIT, Rest, bodies};

/// Maximum length of an answer that is passed on, bytes.
const ANSWER_LIMIT: usize = 64 * 1024 * 1024;

/// A request that may wait for a leader waits this long. It is Flink's `rest.await-leader-timeout`.
const LEADER_AWAITED: Duration = Duration::from_secs(30);
/// Pause before the leader is looked for again.
const LEADER_LOOK: Duration = Duration::from_millis(100);
/// How the answer of a JobManager begins that does not lead any more. What it was asked was not done, or can be repeated.
const NO_LEADER: &[u8] = b"{\"errors\":[\"NO-LEADER";

/// Why the leader has not answered.
struct Unanswered {
    error: RestError,
    /// Whether the leader may have carried out the request.
    may_be_done: bool,
}

impl Unanswered {
    /// Nothing was done.
    fn undone(error: &str) -> Self {
        Self { error: RestError::unavailable(error), may_be_done: false }
    }
}

/// Answers if this process leads. Otherwise asks the leader and passes its answer on.
pub(super) async fn answer_or_proxy(State(rest): State<Rest>, mut request: Request, next: Next) -> Response {
    let leading = rest.shared.leading.borrow().clone();
    match leading {
        Some(leading) => {
            request.extensions_mut().insert(leading);
            next.run(request).await
        }
        None => proxy(&rest, request).await.unwrap_or_else(|unanswered| unanswered.error.into_response()),
    }
}

/// As [`answer_or_proxy`], but if there is no leader, waits for one. For clients that don't repeat requests.
pub(super) async fn answer_or_wait(State(rest): State<Rest>, request: Request, next: Next) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, BODY_LIMIT).await else { return bodies::too_long().into_response() };
    // The JobManager that has passed it on looks for the leader again.
    let is_passed_on = parts.headers.contains_key(HOPS_HEADER);
    let is_repeatable = matches!(parts.method, Method::GET | Method::HEAD | Method::DELETE);
    let deadline = tokio::time::Instant::now() + LEADER_AWAITED;
    loop {
        let mut request = Request::from_parts(parts.clone(), Body::from(body.clone()));
        let leading = rest.shared.leading.borrow().clone();
        let answered = match leading {
            Some(leading) => {
                request.extensions_mut().insert(leading);
                answered(next.clone().run(request).await).await
            }
            None => proxy(&rest, request).await,
        };
        match answered {
            Ok(answer) => return answer,
            Err(Unanswered { error, may_be_done }) => {
                let is_late = tokio::time::Instant::now() + LEADER_LOOK > deadline;
                if is_passed_on || is_late || (may_be_done && !is_repeatable) {
                    return error.into_response();
                }
            }
        }
        tokio::time::sleep(LEADER_LOOK).await;
    }
}

/// The answer of this process, unless it says that it does not lead any more.
async fn answered(response: Response) -> Result<Response, Unanswered> {
    if response.status() != StatusCode::SERVICE_UNAVAILABLE {
        return Ok(response);
    }
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, ANSWER_LIMIT).await.unwrap_or_default();
    match no_leader(&body) {
        Some(unanswered) => Err(unanswered),
        None => Ok(Response::from_parts(parts, Body::from(body))),
    }
}

/// What an unavailable JobManager says, if it says that it does not lead any more.
fn no_leader(body: &[u8]) -> Option<Unanswered> {
    if !body.starts_with(NO_LEADER) {
        return None;
    }
    let changing = || ErrorResponse::of("NO-LEADER: leadership is changing; try again");
    let said: ErrorResponse = serde_json::from_slice(body).unwrap_or_else(|_| changing());
    Some(Unanswered::undone(&said.errors.join("; ")))
}

async fn proxy(rest: &Rest, request: Request) -> Result<Response, Unanswered> {
    if request.headers().contains_key(HOPS_HEADER) {
        // Another JobManager believes that this one leads, so leadership is changing.
        return Err(Unanswered::undone("NO-LEADER: leadership is changing; try again"));
    }
    let leader = rest.shared.ha.leader().borrow().clone();
    let leader = leader.ok_or_else(|| Unanswered::undone("NO-LEADER: no JobManager leads at the moment; try again"))?;
    if leader.leader.name == rest.shared.name {
        return Err(Unanswered::undone("NO-LEADER: this JobManager was the last leader, and no other leads yet; try again"));
    }
    if simulation::current().is_some() {
        // The HTTP client can use only the real network. A simulated client asks every JobManager.
        return Err(Unanswered::undone("NO-LEADER: this JobManager does not lead; ask another"));
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
    let body = body.map_err(|_| Unanswered { error: bodies::too_long(), may_be_done: true })?;
    let unreachable = |error: &reqwest::Error| {
        let name = &leader.leader.name;
        let text = format!("NO-LEADER: the leader {name} does not answer ({error}); try again");
        Unanswered { error: RestError::unavailable(text), may_be_done: !error.is_connect() }
    };
    let answer = outgoing.header(HOPS_HEADER, "1").body(body).send().await.map_err(|error| unreachable(&error))?;
    let status = answer.status();
    let content_type = answer.headers().get(header::CONTENT_TYPE).cloned();
    if answer.content_length().is_some_and(|length| length > ANSWER_LIMIT as u64) {
        let error = RestError::unavailable("REST-ANSWER: the leader's answer is too long to pass on");
        return Err(Unanswered { error, may_be_done: true });
    }
    let body = answer.bytes().await.map_err(|error| unreachable(&error))?;
    if status == StatusCode::SERVICE_UNAVAILABLE
        && let Some(unanswered) = no_leader(&body)
    {
        return Err(unanswered);
    }
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let content_type = content_type.unwrap_or(HeaderValue::from_static("application/json"));
    response.headers_mut().insert(header::CONTENT_TYPE, content_type);
    Ok(response)
}
