//! Liveness and readiness of this process, for supervisors and load balancers. No request is passed on to the leader.
//!
//! A process that is not live can only be restarted. A process that is not ready should get no requests, but a restart would not
//! help.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};
use weir_ha::keys;
use weir_protocol::rest::Health;

use super::error::RestError;
use super::{Rest, RestState};
use crate::leading::Leading;
use crate::store_away::StoreAway;

/// If a read of the coordination store takes longer, this process is not ready.
const READ_DEADLINE: Duration = Duration::from_secs(2);
/// For this long, the result of a read answers further requests, so that many probes don't load the store.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// The last read of the store by a readiness probe: when it ended, and why it failed if it did.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    last: Mutex<Option<(Instant, Result<(), String>)>>,
}

/// Answers 200 as long as this process can make progress, with or without a leader.
pub(super) async fn live(State(rest): RestState) -> Result<Json<Health>, RestError> {
    if rest.shared.leading.has_changed().is_err() {
        return Err(RestError::unavailable("JM-ENDED: the control plane of this process has ended; restart the process"));
    }
    Ok(Json(of(&rest)))
}

/// Answers 200 if this process can answer requests: itself as the leader, or through the leader.
pub(super) async fn ready(State(rest): RestState) -> Result<Json<Health>, RestError> {
    let Json(health) = live(State(rest.clone())).await?;
    let not_ready = |reason: &str| RestError::unavailable(format!("HA-NOT-READY: {reason}"));
    StoreAway::check(rest.shared.ha.availability().now())?;
    let status = rest.shared.ha.status();
    if status.removed {
        return Err(not_ready("this JobManager was removed from the coordination group; stop it (HA-RAFT-REMOVED)"));
    }
    let has_groups = status.provider == "raft";
    if has_groups && !status.members.iter().any(|member| member.name == rest.shared.name) {
        return Err(not_ready("this JobManager is no member of the coordination group"));
    }
    if health.leading {
        return Ok(Json(health));
    }
    if rest.shared.ha.leader().borrow().is_none() {
        return Err(not_ready("this JobManager knows no leader"));
    }
    // A member that was removed from its group may not have learned of it. But the leader has gone on without it, so it can't read.
    match rest.shared.readiness.read(&rest).await {
        Ok(()) => Ok(Json(health)),
        Err(error) => Err(not_ready(&format!(
            "this JobManager can't read the coordination store: no leader answers it, or it was removed from the group ({error})"
        ))),
    }
}

impl Readiness {
    async fn read(&self, rest: &Rest) -> Result<(), String> {
        let mut last = self.last.lock().await;
        if let Some((at, outcome)) = &*last
            && at.elapsed() < READ_AGAIN
        {
            return outcome.clone();
        }
        let outcome = match timeout(READ_DEADLINE, rest.shared.ha.get(keys::LEADER_HISTORY)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("no answer within {} s", READ_DEADLINE.as_secs())),
        };
        *last = Some((Instant::now(), outcome.clone()));
        outcome
    }
}

fn of(rest: &Rest) -> Health {
    let leads_under = rest.shared.leading.borrow().as_ref().map(Leading::epoch);
    let status = rest.shared.ha.status();
    Health {
        status: if status.removed { "removed" } else { "ok" }.to_owned(),
        name: rest.shared.name.clone(),
        leading: leads_under.is_some(),
        epoch: leads_under.unwrap_or(status.epoch),
        leader: status.leader,
        store_away: rest.shared.ha.availability().now().away_since_ms().is_some(),
        instance: rest.shared.instance.clone(),
    }
}
