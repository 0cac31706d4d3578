//! `/weir/v1/queries`: jobs whose rows come back, for clients that plan their statements themselves, such as `weir sql`.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{Path, Query};
use axum::http::StatusCode;
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::Deserialize;
use tokio::time::Instant;
use weir_control_plane::submission;
use weir_dataflow::time_zone::Zone;
use weir_protocol::JobId;
use weir_protocol::rest::{Empty, QUERY_ROWS_WAIT_MS, QueryRows, SubmitResponse};

use super::request::Gateway;
use crate::error::GatewayError;
use crate::render::text_rows;
use crate::results::ResultPage;
use crate::service::SqlGateway;

/// How long an answer waits for rows.
const WAIT: Duration = Duration::from_millis(QUERY_ROWS_WAIT_MS);
/// Time between two looks for rows.
const LOOK_EVERY: Duration = Duration::from_millis(25);
/// Most rows in one answer.
const MAX_ROWS: usize = 10_000;

pub(super) fn routes() -> Router<SqlGateway> {
    Router::new()
        .route("/weir/v1/queries", post(submit))
        .route("/weir/v1/queries/{query}", delete(close))
        .route("/weir/v1/queries/{query}/rows", get(rows))
}

async fn submit(Gateway(led): Gateway, body: Bytes) -> Result<(StatusCode, Json<SubmitResponse>), GatewayError> {
    let request = submission::read(&body).map_err(GatewayError::bad_request)?;
    Ok(submission::answer(led.results.submit(request.client_token, request.job_graph).await?))
}

#[derive(Debug, Deserialize)]
struct Wanted {
    from: u64,
    max: Option<usize>,
    zone: Option<String>,
}

async fn rows(
    Gateway(led): Gateway,
    Path(query): Path<String>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<QueryRows>, GatewayError> {
    let query = job_id(&query)?;
    let max_rows = wanted.max.unwrap_or(MAX_ROWS).clamp(1, MAX_ROWS);
    let started = Instant::now();
    loop {
        let page = led.results.page(query, wanted.from, wanted.from, max_rows).await?;
        if !page.rows.is_empty() || page.is_end || started.elapsed() >= WAIT {
            return answer(page, wanted.zone.as_deref().unwrap_or("UTC")).map(Json);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn answer(page: ResultPage, zone: &str) -> Result<QueryRows, GatewayError> {
    let ResultPage { first_row, rows: batches, is_end, failure, status, columns } = page;
    let zone = Zone::parse(zone).map_err(|error| GatewayError::bad_request(format!("SQL-OPTION: {error}")))?;
    let mut rows = Vec::new();
    for batch in &batches {
        rows.extend(text_rows(batch, &columns, zone)?);
    }
    Ok(QueryRows { first: first_row, rows, is_end, status, failure })
}

async fn close(Gateway(led): Gateway, Path(query): Path<String>) -> Result<Json<Empty>, GatewayError> {
    led.results.close(job_id(&query)?).await?;
    Ok(Json(Empty {}))
}

fn job_id(text: &str) -> Result<JobId, GatewayError> {
    text.parse().map_err(|_| GatewayError::not_found(format!("JOB-NOT-FOUND: {text:?} is not the id of a job")))
}
