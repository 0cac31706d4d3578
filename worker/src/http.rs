//! `/metrics` and `/healthz` of a TaskManager.

use std::io;
use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use metrics_exporter_prometheus::PrometheusHandle;
use weir_protocol::world::net::{BoundListener, TcpListener, TcpStream};

use crate::task_executor::gateway::TaskExecutorGateway;

/// What the pages show.
#[derive(Clone)]
pub struct Pages {
    /// Renders the metrics; without it `/metrics` is not found.
    pub metrics: Option<PrometheusHandle>,
    /// The agent.
    pub executor: TaskExecutorGateway,
}

/// Serves until dropped.
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

/// The routes.
pub fn router(pages: Pages) -> Router {
    Router::new().route("/metrics", get(metrics)).route("/healthz", get(healthz)).with_state(pages)
}

async fn metrics(State(pages): State<Pages>) -> Response {
    match pages.metrics {
        Some(handle) => {
            handle.run_upkeep();
            ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], handle.render()).into_response()
        }
        None => (StatusCode::NOT_FOUND, "this process records no metrics\n").into_response(),
    }
}

/// The process is healthy without a leader: it goes on and looks for one. The text says how it stands.
async fn healthz(State(pages): State<Pages>) -> Response {
    let status = pages.executor.status();
    if status.stopped {
        return (StatusCode::SERVICE_UNAVAILABLE, "stopped\n").into_response();
    }
    let leader = status.registered_with.map_or_else(|| "none".to_owned(), |epoch| epoch.to_string());
    format!("ok\nleader epoch: {leader}\ntasks: {}\n", status.tasks).into_response()
}
