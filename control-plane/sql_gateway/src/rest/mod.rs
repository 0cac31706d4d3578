//! The endpoints of Flink's SQL gateway, versions 1 to 4, and our own for queries and the catalogue. A path without a version means
//! version 4.

mod catalog;
mod operations;
mod queries;
mod request;
mod sessions;
mod statements;

use axum::extract::Extension;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde_json::{Value, json};

use crate::error::GatewayError;
use crate::service::SqlGateway;

/// A version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Version {
    V1,
    V2,
    V3,
    V4,
}

impl Version {
    const ALL: [Self; 4] = [Self::V1, Self::V2, Self::V3, Self::V4];

    /// The first part of its paths.
    fn prefix(self) -> &'static str {
        match self {
            Self::V1 => "/v1",
            Self::V2 => "/v2",
            Self::V3 => "/v3",
            Self::V4 => "/v4",
        }
    }
}

/// The endpoints. Each path exists without a version, and in every version that knows it.
pub(crate) fn router(gateway: SqlGateway) -> Router {
    let mut router = endpoints(Version::V4);
    for version in Version::ALL {
        router = router.nest(version.prefix(), endpoints(version));
    }
    router.merge(queries::routes()).merge(catalog::routes()).with_state(gateway)
}

fn endpoints(version: Version) -> Router<SqlGateway> {
    let session = "/sessions/{session}";
    let operation = "/sessions/{session}/operations/{operation}";
    let mut router = Router::new()
        .route("/info", get(info))
        .route("/api_versions", get(versions))
        .route("/sessions", post(sessions::open))
        .route(session, get(sessions::properties).delete(sessions::close))
        .route(&format!("{session}/heartbeat"), post(sessions::heartbeat))
        .route(&format!("{session}/statements"), post(statements::submit))
        .route(&format!("{operation}/status"), get(operations::status))
        .route(&format!("{operation}/result/{{token}}"), get(operations::result))
        .route(&format!("{operation}/cancel"), post(operations::cancel))
        .route(&format!("{operation}/close"), delete(operations::close));
    if version >= Version::V2 {
        router = router
            .route(&format!("{session}/configure-session"), post(sessions::configure))
            .route(&format!("{session}/complete-statement"), get(statements::complete).post(statements::complete));
    }
    if version >= Version::V3 {
        router = router.route(&format!("{session}/materialized-tables/{{table}}/refresh"), post(refused_refresh));
    }
    if version >= Version::V4 {
        router = router.route(&format!("{session}/scripts"), post(refused_script));
    }
    router.route_layer(Extension(version))
}

/// Flink's clients read the version as Flink's, and choose their behaviour by it.
async fn info() -> Json<Value> {
    Json(json!({"productName": "Weir", "version": env!("CARGO_PKG_VERSION")}))
}

async fn versions() -> Json<Value> {
    Json(json!({"versions": ["V1", "V2", "V3", "V4"]}))
}

async fn refused_refresh() -> GatewayError {
    GatewayError::bad_request("SQL-UNSUPPORTED: a materialized table is not supported; INSERT INTO a table instead")
}

async fn refused_script() -> GatewayError {
    let text = "SQL-UNSUPPORTED: deploying a script is not supported; send its statements one by one, or run `weir sql -f`";
    GatewayError::bad_request(text)
}
