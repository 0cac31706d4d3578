//! `/weir/v1/sql/catalog`: the permanent databases, tables and views, for clients that plan their statements themselves.

use axum::body::Bytes;
use axum::extract::Query;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::Deserialize;
use weir_sql::catalog::{CatalogCommit, CatalogCommitted};

use super::request::{Gateway, to_its_end};
use crate::error::GatewayError;
use crate::service::SqlGateway;

pub(super) fn routes() -> Router<SqlGateway> {
    Router::new().route("/weir/v1/sql/catalog", get(read).post(commit))
}

#[derive(Debug, Deserialize)]
struct Wanted {
    /// The generation that the client has.
    known: Option<String>,
}

async fn read(Gateway(led): Gateway, Query(wanted): Query<Wanted>) -> Result<Response, GatewayError> {
    let answer = led.catalogue_answer(wanted.known.as_deref()).await?;
    Ok(([(header::CONTENT_TYPE, "application/json")], answer).into_response())
}

async fn commit(Gateway(led): Gateway, body: Bytes) -> Result<Json<CatalogCommitted>, GatewayError> {
    let commit: CatalogCommit =
        serde_json::from_slice(&body).map_err(|error| GatewayError::bad_request(format!("REST-JSON: {error}")))?;
    to_its_end(&led.clone(), async move { led.commit_catalogue(commit).await }).await.map(Json)
}
