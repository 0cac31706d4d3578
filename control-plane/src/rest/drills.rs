//! Handlers of drills. Every process takes faults for itself. The leader knows the current drill and the results of earlier ones.

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

/// The name of this process, and whether it takes faults. This request is never passed on to the leader.
pub(super) async fn agent(State(rest): RestState) -> Json<AgentInfo> {
    Json(rest.shared.agent.info())
}

/// Takes a fault for this process, and never passes it on. The content type must be JSON, because a web page can't send that to
/// another site without the site's consent.
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

/// Begins a drill. Restarts are free, also under later leaders, until the drill ends or its time is over.
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
            Err(RestError::conflict(format!("DRILL-UNDER-WAY: drill {drill} ({id}) is under way; only one can run at a time")))
        }
    }
}

/// Ends a drill. The answer is sent when the result is durable.
pub(super) async fn end(
    State(rest): RestState,
    Extension(leading): Extension<Leading>,
    Path(id): Path<String>,
    body: Bytes,
) -> Result<Json<DrillsResponse>, RestError> {
    let result: DrillResult = parse(&body)?;
    if result.id != id || id.is_empty() || id.len() > DrillBegin::MAX_ID_BYTES {
        return Err(RestError::bad_request(format!("DRILL-REQUEST: the result belongs to drill {:?}", result.id)));
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
