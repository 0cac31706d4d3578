//! `/metrics`, `/livez` and `/readyz` of a TaskManager, and its drill agent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::rejection::JsonRejection;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::serve::IncomingStream;
use axum::{Extension, Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use weir_protocol::drill::{AgentInfo, DrillAgent, FaultAccepted, FaultRequest};
use weir_protocol::http_access::{HttpAccess, RequestHead};
use weir_protocol::rest::ErrorResponse;
use weir_world::net::{BoundListener, ConnectionLimits, Standing, TcpListener, TcpStream};

use crate::task_executor::gateway::{TaskExecutorGateway, TaskExecutorStatus};
use crate::task_series::TaskSeries;

/// HTTP clients may use one part in so many of the process's file descriptors.
const CONNECTIONS: u64 = 16;
/// If a request has not arrived and been answered within this time, the answer is 503.
const REQUEST_DEADLINE: Duration = Duration::from_secs(30);

/// What the HTTP service needs for its pages.
#[derive(Clone)]
pub struct Pages {
    /// Renders the metrics. If `None`, `/metrics` answers 404.
    pub metrics: Option<PrometheusHandle>,
    /// The series of tasks, which `/metrics` shows as well.
    pub series: Arc<TaskSeries>,
    pub executor: TaskExecutorGateway,
    /// Accepts or refuses the faults of drills.
    pub drills: DrillAgent,
    /// Which requests are accepted.
    pub access: HttpAccess,
}

/// Serves the pages until the future is dropped.
pub async fn serve(pages: Pages, listener: BoundListener) -> io::Result<()> {
    let listener = HttpListener(listener.serve(ConnectionLimits::http(CONNECTIONS))?);
    let service = router(pages).into_make_service_with_connect_info::<Client>();
    axum::serve(listener, service).await
}

struct HttpListener(TcpListener);

impl axum::serve::Listener for HttpListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        self.0.accept().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// The connection of a request.
#[derive(Clone)]
struct Client(Option<Arc<Standing>>);

impl Connected<IncomingStream<'_, HttpListener>> for Client {
    fn connect_info(stream: IncomingStream<'_, HttpListener>) -> Self {
        Self(stream.io().standing())
    }
}

/// The routes of the HTTP service.
pub fn router(pages: Pages) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(live))
        .route("/livez", get(live))
        .route("/readyz", get(ready))
        .route("/weir/v1/drill/agent", get(drill_agent))
        .route("/weir/v1/drill/fault", post(drill_fault))
        .layer(from_fn_with_state(pages.clone(), check_access))
        .layer(from_fn(observe))
        .with_state(pages)
}

/// Limits the time of a request. Meanwhile its connection is not idle.
async fn observe(client: Option<Extension<ConnectInfo<Client>>>, request: Request, next: Next) -> Response {
    let _busy = client.and_then(|Extension(ConnectInfo(Client(standing)))| standing.as_ref().map(Standing::busy));
    tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await.unwrap_or_else(|_| {
        let late =
            "REST-TIMEOUT: the request did not arrive, or was not answered, in time; it is not known whether it was carried out";
        (StatusCode::SERVICE_UNAVAILABLE, Json(ErrorResponse::of(late.to_owned()))).into_response()
    })
}

async fn check_access(State(pages): State<Pages>, request: Request, next: Next) -> Response {
    let checked = RequestHead::of(request.method(), request.uri(), request.headers(), |head| pages.access.check(head));
    match checked {
        Ok(()) => next.run(request).await,
        Err(refused) => {
            let status = StatusCode::from_u16(refused.http_status()).unwrap_or(StatusCode::FORBIDDEN);
            (status, Json(ErrorResponse::of(refused.to_string()))).into_response()
        }
    }
}

async fn metrics(State(pages): State<Pages>) -> Response {
    match pages.metrics {
        Some(handle) => {
            handle.run_upkeep();
            let text = handle.render() + &pages.series.render();
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text).into_response()
        }
        None => (StatusCode::NOT_FOUND, "this process records no metrics\n").into_response(),
    }
}

/// Answers 200 as long as this process can make progress. It needs no leader for that, because it looks for one.
async fn live(State(pages): State<Pages>) -> Response {
    health(&pages, |_| None)
}

/// Answers 200 if a leader can deploy tasks here.
async fn ready(State(pages): State<Pages>) -> Response {
    health(&pages, |status| {
        status.registered_with.is_none().then_some("TM-NOT-READY: this TaskManager is registered with no leader")
    })
}

fn health(pages: &Pages, fault: impl Fn(&TaskExecutorStatus) -> Option<&'static str>) -> Response {
    let status = pages.executor.status();
    let fault = if status.stopped { Some("TM-STOPPED: this TaskManager has stopped") } else { fault(&status) };
    let leader = status.registered_with.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string());
    let text = format!("{}\nleader epoch: {leader}\ntasks: {}\n", fault.unwrap_or("ok"), status.tasks);
    let code = if fault.is_some() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    (code, text).into_response()
}

async fn drill_agent(State(pages): State<Pages>) -> Json<AgentInfo> {
    Json(pages.drills.info())
}

async fn drill_fault(
    State(pages): State<Pages>,
    order: Result<Json<FaultRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<FaultAccepted>), (StatusCode, Json<ErrorResponse>)> {
    let refuse = |status: StatusCode, error: String| (status, Json(ErrorResponse::of(error)));
    let Json(order) = order.map_err(|error| refuse(error.status(), format!("REST-JSON: {}", error.body_text())))?;
    let accepted = pages.drills.carry_out(&order).map_err(|refused| {
        let status = StatusCode::from_u16(refused.http_status()).unwrap_or(StatusCode::CONFLICT);
        refuse(status, refused.to_string())
    })?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}
