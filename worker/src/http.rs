//! `/metrics` and `/healthz` of a TaskManager, and its drill agent.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::State;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use metrics_exporter_prometheus::PrometheusHandle;
use weir_protocol::drill::{AgentInfo, DrillAgent, FaultAccepted, FaultRequest};
use weir_protocol::rest::ErrorResponse;
use weir_world::net::{BoundListener, TcpListener, TcpStream};

use crate::task_executor::gateway::TaskExecutorGateway;
use crate::task_series::TaskSeries;

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
}

/// Serves the pages until the future is dropped.
pub async fn serve(pages: Pages, listener: BoundListener) -> io::Result<()> {
    axum::serve(HttpListener(listener.serve()?), router(pages)).await
}

struct HttpListener(TcpListener);

impl axum::serve::Listener for HttpListener {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        self.0.accept_patiently().await
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }
}

/// The routes of the HTTP service.
pub fn router(pages: Pages) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(healthz))
        .route("/weir/v1/drill/agent", get(drill_agent))
        .route("/weir/v1/drill/fault", post(drill_fault))
        .with_state(pages)
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

/// The process is healthy without a leader, because it continues and looks for one. The text shows its status.
async fn healthz(State(pages): State<Pages>) -> Response {
    let status = pages.executor.status();
    if status.stopped {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopped\n").into_response();
    }
    let leader = status.registered_with.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string());
    format!("ok\nleader epoch: {leader}\ntasks: {}\n", status.tasks).into_response()
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
