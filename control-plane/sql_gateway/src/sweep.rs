//! What a leader does without being asked: it carries on what an earlier one has begun, and removes what is no longer used.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use weir_world::{Backoff, wall_clock_ms};

use crate::error::GatewayError;
use crate::led::{Led, Update};
use crate::live::LiveSession;
use crate::records::State;

/// Time between two looks.
const PACE: Duration = Duration::from_secs(30);
/// Closed operations are kept this long, in milliseconds.
const CLOSED_KEPT_MS: u64 = 600_000;
/// Most operations that are removed in one commit.
const REMOVED_AT_ONCE: usize = 50;
/// Shortest and longest wait before the sessions are read again.
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));

/// Runs until it is dropped.
pub(crate) async fn run(led: &Arc<Led>) {
    let mut backoff = RETRY;
    while let Err(error) = carry_on(led).await {
        tracing::warn!(error = error.text(), "the sessions of the SQL gateway can't be read; trying again");
        backoff.wait().await;
    }
    loop {
        tokio::time::sleep(PACE).await;
        let Ok(sessions) = led.all().await else { continue };
        for live in sessions {
            if let Err(error) = look_after(led, &live).await {
                tracing::debug!(error = error.text(), session = %live.id, "a session can't be looked after; trying again");
            }
        }
    }
}

/// Reads the sessions, which carries on pending operations, and removes operations whose session is gone.
async fn carry_on(led: &Arc<Led>) -> Result<(), GatewayError> {
    let known: BTreeSet<_> = led.all().await?.iter().map(|live| live.id).collect();
    for (session, operation) in led.store.operation_handles().await? {
        // A session that can't be read, or that was opened meanwhile, is not gone.
        if !known.contains(&session) && led.store.session::<serde_json::Value>(session).await?.is_none() {
            led.remove_operations(session, std::iter::once(operation)).await?;
        }
    }
    Ok(())
}

async fn look_after(led: &Arc<Led>, live: &LiveSession) -> Result<(), GatewayError> {
    let now_ms = wall_clock_ms();
    if live.is_idle(now_ms) && live.turn.try_lock().is_ok() {
        tracing::info!(session = %live.id, "an idle session of the SQL gateway has expired");
        return led.close(live).await;
    }
    led.note_use(live).await?;
    let is_old = |state: &State, changed_at_ms: u64| {
        matches!(state, State::Closed) && now_ms.saturating_sub(changed_at_ms) >= CLOSED_KEPT_MS
    };
    let removed: Vec<_> = live
        .stored()
        .operations
        .iter()
        .filter(|(_, found)| is_old(&found.record.state, found.record.changed_at_ms))
        .map(|(id, _)| *id)
        .take(REMOVED_AT_ONCE)
        .collect();
    if !removed.is_empty() {
        led.commit(live, Update { removed, ..Update::default() }).await?;
    }
    Ok(())
}
