//! Handlers about the whole cluster: overview, configuration, leadership, metrics.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::de::DeserializeOwned;
use weir_ha::{MemberChange, MembershipError, TransferError};
use weir_protocol::job_status::JobStatus;
use weir_protocol::link::LeaderAddress;
use weir_protocol::rest::{
    ClusterOverview, ConfigEntry, DashboardConfig, DashboardFeatures, HaMemberInfo, HaResponse, TransferRequest, TransferResponse,
};
use weir_world::wall_clock_ms;

use super::RestState;
use super::error::RestError;
use crate::leader_history;
use crate::leading::Leading;
use crate::store_away::StoreAway;

const VERSION: &str = env!("CARGO_PKG_VERSION");
/// If the store does not answer within this time, the leader history is left out.
const HISTORY_DEADLINE: Duration = Duration::from_secs(1);
/// If no other member leads within this time, the transfer has failed.
const TRANSFER_DEADLINE: Duration = Duration::from_secs(30);

pub(super) async fn overview(Extension(leading): Extension<Leading>) -> Json<ClusterOverview> {
    let resources = leading.resource_manager.view();
    let mut overview = ClusterOverview {
        taskmanagers: resources.task_managers.len() as u32,
        slots_total: resources.slots_total(),
        slots_available: resources.slots_free(),
        flink_version: VERSION.to_string(),
        flink_commit: "weir".to_string(),
        ..ClusterOverview::default()
    };
    for job in leading.jobs.list() {
        match job.status {
            JobStatus::Finished => overview.jobs_finished += 1,
            JobStatus::Canceled => overview.jobs_cancelled += 1,
            JobStatus::Failed => overview.jobs_failed += 1,
            _ => overview.jobs_running += 1,
        }
    }
    Json(overview)
}

pub(super) async fn dashboard_config() -> Json<DashboardConfig> {
    Json(DashboardConfig {
        refresh_interval: 3_000,
        timezone_name: "Coordinated Universal Time".to_string(),
        timezone_offset: 0,
        flink_version: VERSION.to_string(),
        flink_revision: format!("weir {VERSION}"),
        features: DashboardFeatures { web_submit: false, web_cancel: true, web_rescale: false, web_history: false },
    })
}

pub(super) async fn job_manager_config(State(rest): RestState) -> Json<Vec<ConfigEntry>> {
    let entry = |(key, value): (&String, &String)| ConfigEntry { key: key.clone(), value: value.clone() };
    Json(rest.shared.config.iter().map(entry).collect())
}

/// The coordination group as this process sees it. Under `/weir/v1/ha/group` only the leader gets here.
pub(super) async fn ha(State(rest): RestState) -> Json<HaResponse> {
    let ha = &rest.shared.ha;
    let status = ha.status();
    let leader = ha.leader().borrow().clone().map(|record| LeaderAddress {
        epoch: record.epoch,
        name: record.leader.name,
        rpc_address: record.leader.rpc_address,
        rest_address: record.leader.rest_address,
    });
    let store_away_since_ms = ha.availability().now().away_since_ms();
    let history = match store_away_since_ms {
        None => tokio::time::timeout(HISTORY_DEADLINE, leader_history::read(&**ha)).await.ok().and_then(Result::ok),
        Some(_) => None,
    };
    let members = status.members.into_iter().map(|member| HaMemberInfo {
        leader: status.leader.as_ref() == Some(&member.name),
        name: member.name,
        address: member.address,
        voter: member.voter,
        reachable: member.reachable,
        lag_entries: member.lag_entries,
    });
    Json(HaResponse {
        answered_by: rest.shared.name.clone(),
        now_ms: wall_clock_ms(),
        provider: status.provider,
        leader,
        epoch: status.epoch,
        has_quorum: status.has_quorum,
        // A group that has stopped tolerates none, also if the provider counts JobManagers and the store's servers are gone.
        failures_tolerated: if status.has_quorum { status.failures_tolerated } else { 0 },
        members: members.collect(),
        store_away_since_ms,
        leader_history: history.unwrap_or_default(),
    })
}

pub(super) fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, RestError> {
    serde_json::from_slice(body).map_err(|error| RestError::bad_request(format!("REST-JSON: {error}")))
}

/// Adds a member to the coordination group or removes one. The answer is the changed group.
pub(super) async fn change_members(State(rest): RestState, body: Bytes) -> Result<Json<HaResponse>, RestError> {
    let change: MemberChange = parse(&body)?;
    StoreAway::check(rest.shared.ha.availability().now())?;
    match rest.shared.ha.change_members(change).await {
        Ok(()) => Ok(ha(State(rest)).await),
        Err(error) => {
            let text = format!("HA-MEMBERS: {error}");
            Err(match error {
                MembershipError::Refused(_) | MembershipError::Unreachable(_) => RestError::bad_request(text),
                MembershipError::Unsupported | MembershipError::InProgress => RestError::conflict(text),
                MembershipError::NotLeader | MembershipError::TimedOut => RestError::unavailable(text),
            })
        }
    }
}

pub(super) async fn transfer(State(rest): RestState, body: Bytes) -> Result<Json<TransferResponse>, RestError> {
    let request: TransferRequest = if body.is_empty() { TransferRequest::default() } else { parse(&body)? };
    let ha = &rest.shared.ha;
    StoreAway::check(ha.availability().now())?;
    let transfer = ha.transfer_leadership(request.to.as_deref());
    let outcome = tokio::time::timeout(TRANSFER_DEADLINE, transfer).await.unwrap_or(Err(TransferError::TimedOut));
    match outcome {
        Ok(()) => {
            let status = ha.status();
            Ok(Json(TransferResponse { leader: status.leader, epoch: status.epoch }))
        }
        Err(error @ TransferError::NoTarget(_)) => Err(RestError::bad_request(format!("HA-TRANSFER: {error}"))),
        Err(error @ TransferError::Unsupported) => Err(RestError::conflict(format!("HA-TRANSFER: {error}"))),
        Err(error @ (TransferError::NotLeader | TransferError::TimedOut)) => {
            Err(RestError::unavailable(format!("HA-TRANSFER: {error}")))
        }
    }
}

pub(super) async fn metrics(State(rest): RestState) -> Response {
    match &rest.shared.metrics {
        Some(metrics) => ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response(),
        None => RestError::not_found("this process records no metrics").into_response(),
    }
}
