//! The newest leaderships, kept in the coordination store for people.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_ha::{CommitOutcome, CoordinationStore, Expect, LeaderRecord, Leadership, Operation, ReadError};
use weir_protocol::rest::LeaderHistoryEntry;

/// Number of leaderships that are kept.
const KEPT: usize = 50;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Stored {
    version: u32,
    leaders: Vec<LeaderHistoryEntry>,
}

/// Adds this leadership to the history. A failure is only logged, because nothing depends on the history.
pub(crate) async fn record(ha: &dyn CoordinationStore, leadership: &Leadership) {
    let mut leaders = match read(ha).await {
        Ok(leaders) => leaders,
        Err(error) => {
            tracing::warn!(%error, "the leader history was not updated");
            return;
        }
    };
    let LeaderRecord { epoch, leader, granted_at_ms } = leadership.record();
    leaders.retain(|entry| entry.epoch != epoch);
    leaders.insert(0, LeaderHistoryEntry { epoch, name: leader.name, granted_at_ms });
    leaders.truncate(KEPT);
    let Ok(value) = serde_json::to_vec(&Stored { version: 1, leaders }) else { return };
    let put = Operation::Put { key: weir_ha::keys::LEADER_HISTORY.to_owned(), value: Bytes::from(value), expect: Expect::Any };
    match ha.commit(leadership, vec![put]).await {
        CommitOutcome::Committed { .. } => {}
        outcome => tracing::warn!(?outcome, "the leader history was not updated"),
    }
}

/// Reads the history, newest leadership first. A damaged history is read as an empty one.
pub(crate) async fn read(ha: &dyn CoordinationStore) -> Result<Vec<LeaderHistoryEntry>, ReadError> {
    let Some(found) = ha.get(weir_ha::keys::LEADER_HISTORY).await? else { return Ok(Vec::new()) };
    let stored: Stored = serde_json::from_slice(&found.value).unwrap_or_else(|error| {
        tracing::warn!(%error, "the leader history can't be read");
        Stored::default()
    });
    Ok(stored.leaders)
}
