//! Drills: faults for this process, and for the leader what is under way and how earlier ones ended.

use axum::body::Bytes;
use axum::extract::rejection::JsonRejection;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use weir_ha::{Begun, DrillStore, StoreError};
use weir_protocol::drill::{AgentInfo, FaultAccepted, FaultRequest};
use weir_protocol::rest::{DrillBegin, DrillResult, DrillUnderWay, DrillsResponse};
use weir_world::wall_clock_ms;

use super::RestState;
use super::cluster::parse;
use super::error::RestError;
use crate::drills::GRACE_MS;
use crate::leading::Leading;
use crate::store_away::StoreAway;

/// Who answers, and whether it takes faults: never asked of another process.
pub(super) async fn agent(State(rest): RestState) -> Json<AgentInfo> {
    Json(rest.shared.agent.info())
}

/// A fault for this process: never passed on. JSON by its content type, which no web page can send to another site unasked.
pub(super) async fn fault(
    State(rest): RestState,
    order: Result<Json<FaultRequest>, JsonRejection>,
) -> Result<(StatusCode, Json<FaultAccepted>), RestError> {
    let Json(order) = order.map_err(|error| RestError::new(error.status(), format!("REST-JSON: {}", error.body_text())))?;
    let accepted = rest.shared.agent.carry_out(&order).map_err(|refused| {
        let status = StatusCode::from_u16(refused.http_status()).unwrap_or(StatusCode::CONFLICT);
        RestError::new(status, refused.to_string())
    })?;
    Ok((StatusCode::ACCEPTED, Json(accepted)))
}

pub(super) async fn list(State(rest): RestState) -> Result<Json<DrillsResponse>, RestError> {
    StoreAway::check(rest.shared.ha.availability().now())?;
    let drills = DrillStore::new(rest.shared.ha.clone());
    let is_under_way = |drill: &DrillUnderWay| !drill.ended && wall_clock_ms() < drill.restarts_free_until_ms;
    let under_way = drills.newest().await.map_err(refusal)?.filter(is_under_way);
    Ok(Json(DrillsResponse { under_way, results: drills.history().await.map_err(refusal)? }))
}

/// A drill begins: from now on, and under every later leader, restarts are free until it ends or its time is over.
pub(super) async fn begin(
    State(rest): RestState,
    Extension(leading): Extension<Leading>,
    body: Bytes,
) -> Result<(StatusCode, Json<DrillUnderWay>), RestError> {
    let begin: DrillBegin = parse(&body)?;
    if let Some(fault) = begin.fault() {
        return Err(RestError::bad_request(format!("DRILL-REQUEST: {fault}")));
    }
    StoreAway::check(rest.shared.ha.availability().now())?;
    let now = wall_clock_ms();
    let drill = DrillUnderWay {
        id: begin.id,
        drill: begin.drill,
        began_at_ms: now,
        restarts_free_until_ms: now.saturating_add(begin.for_ms),
        ended: false,
    };
    match DrillStore::new(rest.shared.ha.clone()).begin(&leading.leadership, &drill, now).await.map_err(refusal)? {
        Begun::Begun(drill) => {
            leading.drill_time.set(Some(&drill), now);
            tracing::warn!(id = drill.id, drill = drill.drill, "a drill begins: restarts do not count until it ends");
            Ok((StatusCode::CREATED, Json(drill)))
        }
        Begun::Other(DrillUnderWay { id, drill, .. }) => {
            Err(RestError::conflict(format!("DRILL-UNDER-WAY: drill {drill} ({id}) is under way; one at a time")))
        }
    }
}

/// A drill has ended; answered once its result is durable.
pub(super) async fn end(
    State(rest): RestState,
    Extension(leading): Extension<Leading>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<DrillsResponse>, RestError> {
    let result: DrillResult = parse(&body)?;
    if result.id != id || id.is_empty() || id.len() > DrillBegin::MAX_ID_BYTES {
        return Err(RestError::bad_request(format!("DRILL-REQUEST: the result is that of drill {:?}", result.id)));
    }
    StoreAway::check(rest.shared.ha.availability().now())?;
    let drills = DrillStore::new(rest.shared.ha.clone());
    let now = wall_clock_ms();
    drills.end(&leading.leadership, &result, now.saturating_add(GRACE_MS)).await.map_err(refusal)?;
    leading.drill_time.set(drills.newest().await.map_err(refusal)?.as_ref(), now);
    tracing::info!(id, drill = result.drill, passed = result.passed, "a drill has ended");
    list(State(rest)).await
}

fn refusal(error: StoreError) -> RestError {
    match error {
        StoreError::Refused { reason } => RestError::bad_request(format!("DRILL-REQUEST: {reason}")),
        StoreError::Conflict { .. } => RestError::conflict(error.to_string()),
        StoreError::Superseded { .. } => RestError::unavailable("NO-LEADER: a newer leader exists; try again"),
        error => RestError::unavailable(error.to_string()),
    }
}
