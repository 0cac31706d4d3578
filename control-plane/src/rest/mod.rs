//! The REST service: Flink's paths and field names, and our own under `/weir/v1`. Every JobManager answers. If it does not
//! lead, it asks the leader and passes the answer on.

mod access;
mod bodies;
mod checkpoints;
mod cluster;
mod drills;
mod error;
mod health;
mod job_path;
pub(crate) mod jobs;
mod leader_only;
pub(crate) mod operations;
mod savepoints;
pub mod submission;
mod task_managers;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::connect_info::{ConnectInfo, Connected};
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, patch, post};
use axum::serve::IncomingStream;
use axum::{Extension, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use weir_ha::HaServices;
use weir_protocol::drill::DrillAgent;
use weir_protocol::http_access::HttpAccess;
use weir_world::net::{BoundListener, ConnectionLimits, Standing, TcpListener, TcpStream};

use self::error::RestError;
use crate::leading::Leading;
use crate::led_service::LedServices;
use crate::metrics;

/// Maximum length of a request body, bytes.
pub(crate) const BODY_LIMIT: usize = 8 * 1024 * 1024;
/// If a request is not answered within this time, the answer is 503.
const REQUEST_DEADLINE: Duration = Duration::from_secs(60);
/// Timeout of requests to the leader. It is shorter than [`REQUEST_DEADLINE`], so that the answer names the cause.
const PROXY_DEADLINE: Duration = Duration::from_secs(55);
/// Idle connections to the leader are closed after this time. The leader would close them a little later.
const POOL_IDLE: Duration = Duration::from_secs(20);
/// If a connection to the leader takes longer, the leader counts as unavailable.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);

/// REST clients may use one part in so many of the process's file descriptors.
const CONNECTIONS: u64 = 4;

/// The state of the REST service. Clones share it.
#[derive(Clone)]
pub(crate) struct Rest {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    /// Differs after every start of the process.
    instance: String,
    ha: HaServices,
    leading: watch::Receiver<Option<Leading>>,
    config: BTreeMap<String, String>,
    metrics: Option<PrometheusHandle>,
    agent: DrillAgent,
    access: HttpAccess,
    client: reqwest::Client,
    readiness: health::Readiness,
    large_bodies: bodies::LargeBodies,
}

impl Rest {
    pub(crate) fn new(
        name: String,
        ha: HaServices,
        leading: watch::Receiver<Option<Leading>>,
        config: BTreeMap<String, String>,
        metrics: Option<PrometheusHandle>,
        agent: DrillAgent,
        access: HttpAccess,
    ) -> Self {
        let client = reqwest::Client::builder()
            .connect_timeout(CONNECT_DEADLINE)
            .timeout(PROXY_DEADLINE)
            .pool_idle_timeout(POOL_IDLE)
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .tcp_nodelay(true)
            .build()
            // Only the setup of TLS or DNS can fail, and neither is configured.
            .unwrap_or_default();
        let instance = format!("{:016x}", weir_world::random_id() as u64);
        Self {
            shared: Arc::new(Shared {
                name,
                instance,
                ha,
                leading,
                config,
                metrics,
                agent,
                access,
                client,
                readiness: health::Readiness::default(),
                large_bodies: bodies::LargeBodies::default(),
            }),
        }
    }
}

/// Serves requests until it is dropped.
pub(crate) async fn serve(rest: Rest, services: &LedServices, listener: BoundListener) -> Result<(), io::Error> {
    let listener = HttpListener(listener.serve(ConnectionLimits::http(CONNECTIONS))?);
    let service = router(rest, services).into_make_service_with_connect_info::<Client>();
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

fn router(rest: Rest, services: &LedServices) -> Router {
    let led = Router::new().merge(flink()).nest("/v1", flink()).merge(weir());
    let led = led.route_layer(from_fn_with_state(rest.clone(), leader_only::answer_or_proxy));
    let mut served = Router::new();
    for service in services.iter() {
        let routes = service.routes().with_state(());
        served = served.merge(routes.route_layer(from_fn_with_state(rest.clone(), leader_only::answer_or_wait)));
    }
    Router::new()
        .merge(led)
        .merge(served)
        .merge(local())
        .fallback(|| async { RestError::not_found("no such path; see docs/rest.md for all of them") })
        .method_not_allowed_fallback(|| async { RestError::method_not_allowed() })
        .layer(DefaultBodyLimit::max(BODY_LIMIT))
        .layer(from_fn_with_state(rest.clone(), bodies::read))
        .layer(from_fn_with_state(rest.clone(), access::check))
        .layer(from_fn(observe))
        .with_state(rest)
}

/// Flink's paths, which only the leader can answer.
fn flink() -> Router<Rest> {
    Router::new()
        .route("/overview", get(cluster::overview))
        .route("/config", get(cluster::dashboard_config))
        .route("/jobmanager/config", get(cluster::job_manager_config))
        .route("/jobs", get(jobs::ids))
        .route("/jobs/overview", get(jobs::overview))
        .route("/jobs/{job}", get(jobs::detail).patch(jobs::terminate))
        .route("/jobs/{job}/yarn-cancel", get(jobs::cancel_from_page))
        .route("/jobs/{job}/status", get(jobs::status))
        .route("/jobs/{job}/plan", get(jobs::plan))
        .route("/jobs/{job}/config", get(jobs::config))
        .route("/jobs/{job}/exceptions", get(jobs::exceptions))
        .route("/jobs/{job}/checkpoints", get(checkpoints::statistics).post(savepoints::trigger_checkpoint))
        .route("/jobs/{job}/checkpoints/config", get(checkpoints::config))
        .route("/jobs/{job}/checkpoints/{trigger}", get(savepoints::poll_checkpoint))
        .route("/jobs/{job}/savepoints", post(savepoints::trigger_savepoint))
        .route("/jobs/{job}/savepoints/{trigger}", get(savepoints::poll_savepoint))
        .route("/jobs/{job}/stop", post(savepoints::stop))
        .route("/applications/overview", get(jobs::applications))
        .route("/taskmanagers", get(task_managers::list))
        .route("/taskmanagers/{id}", get(task_managers::detail))
}

/// Our own paths, which only the leader can answer.
fn weir() -> Router<Rest> {
    Router::new()
        .route("/weir/v1/jobs", post(jobs::submit))
        .route("/weir/v1/jobs/{job}", get(jobs::describe).merge(patch(jobs::terminate)))
        .route("/weir/v1/ha/group", get(cluster::ha))
        .route("/weir/v1/ha/transfer", post(cluster::transfer))
        .route("/weir/v1/ha/members", post(cluster::change_members))
        .route("/weir/v1/drills", get(drills::list).post(drills::begin))
        .route("/weir/v1/drills/{drill}/result", post(drills::end))
}

/// Paths that every process answers about itself.
fn local() -> Router<Rest> {
    Router::new()
        .route("/weir/v1/ha", get(cluster::ha))
        .route("/metrics", get(cluster::metrics))
        .route("/healthz", get(health::live))
        .route("/livez", get(health::live))
        .route("/readyz", get(health::ready))
        .route("/weir/v1/drill/agent", get(drills::agent))
        .route("/weir/v1/drill/fault", post(drills::fault))
}

/// Limits the time of a request, and counts the request. Meanwhile its connection is not idle.
async fn observe(client: Option<Extension<ConnectInfo<Client>>>, request: Request, next: Next) -> Response {
    let _busy = client.and_then(|Extension(ConnectInfo(Client(standing)))| standing.as_ref().map(Standing::busy));
    let started = tokio::time::Instant::now();
    let method = match request.method().as_str() {
        "GET" => "GET",
        "POST" => "POST",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        _ => "other",
    };
    let late =
        || RestError::unavailable("REST-TIMEOUT: no answer within 60 s; it is not known whether the request was carried out");
    let response = tokio::time::timeout(REQUEST_DEADLINE, next.run(request)).await.unwrap_or_else(|_| late().into_response());
    let response = bodies::with_code(response).await;
    let status = response.status().as_u16().to_string();
    ::metrics::counter!(metrics::REST_REQUESTS, "method" => method, "status" => status).increment(1);
    ::metrics::histogram!(metrics::REST_SECONDS).record(started.elapsed().as_secs_f64());
    response
}

/// The extractor of the state in handlers.
type RestState = State<Rest>;
