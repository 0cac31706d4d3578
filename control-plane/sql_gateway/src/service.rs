//! The gateway as a service of the leader.

use axum::routing::get;
use axum::{Json, Router};
use futures::future::BoxFuture;
use serde_json::json;
use weir_control_plane::{Leading, LedService};

/// The SQL gateway of a process.
#[derive(Debug, Default)]
pub struct SqlGateway {}

impl LedService for SqlGateway {
    fn routes(&self) -> Router {
        let info = || async { Json(json!({"productName": "Weir", "version": env!("CARGO_PKG_VERSION")})) };
        Router::new().route("/info", get(info))
    }

    fn lead(&self, _leading: Leading) -> BoxFuture<'static, ()> {
        Box::pin(async {})
    }
}
