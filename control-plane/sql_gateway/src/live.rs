//! The sessions of a leader: what the coordination store holds of them, and the locks that order what changes it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use weir_ha::{Found, SqlHandle};

use crate::error::GatewayError;
use crate::records::{Operation, SessionRecord, State};

/// Most operations of a session. Beyond it the oldest one that has ended makes room.
pub(crate) const MAX_OPERATIONS: usize = 100;

/// A session under this leader.
#[derive(Debug)]
pub(crate) struct LiveSession {
    pub(crate) id: SqlHandle,
    /// The statement that is being decided or carried out. The next one waits for it.
    pub(crate) turn: Arc<tokio::sync::Mutex<()>>,
    /// The write to the store that is in progress. The next one waits for it.
    pub(crate) writing: tokio::sync::Mutex<()>,
    /// The page of rows that is being read. The next one waits for it.
    pub(crate) paging: tokio::sync::Mutex<()>,
    stored: Mutex<Stored>,
    /// Wall-clock milliseconds since 1970 of the last request.
    used_at_ms: AtomicU64,
}

/// A session as it is in the store.
#[derive(Debug, Clone)]
pub(crate) struct Stored {
    pub(crate) session: Found<SessionRecord>,
    pub(crate) operations: BTreeMap<SqlHandle, Found<Operation>>,
    /// Whether the outcome of a write is not known: it has to be read again.
    pub(crate) is_stale: bool,
    pub(crate) is_closed: bool,
}

impl LiveSession {
    /// A session that is in the store. It counts as used now: requests may have waited for a leader.
    pub(crate) fn new(
        id: SqlHandle,
        session: Found<SessionRecord>,
        operations: BTreeMap<SqlHandle, Found<Operation>>,
        now_ms: u64,
    ) -> Self {
        Self {
            id,
            turn: Arc::default(),
            writing: tokio::sync::Mutex::default(),
            paging: tokio::sync::Mutex::default(),
            stored: Mutex::new(Stored { session, operations, is_stale: false, is_closed: false }),
            used_at_ms: AtomicU64::new(now_ms),
        }
    }

    pub(crate) fn stored(&self) -> MutexGuard<'_, Stored> {
        self.stored.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn session(&self) -> SessionRecord {
        self.stored().session.record.clone()
    }

    /// An operation of the session.
    pub(crate) fn operation(&self, operation: SqlHandle) -> Result<Operation, GatewayError> {
        let found = self.stored().operations.get(&operation).map(|found| found.record.clone());
        found.ok_or_else(|| {
            let text = format!("SQL-OPERATION: session {} has no operation {operation}", self.id);
            GatewayError::not_found(text)
        })
    }

    /// Notes a request.
    pub(crate) fn touch(&self, now_ms: u64) {
        self.used_at_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    pub(crate) fn used_at_ms(&self) -> u64 {
        self.used_at_ms.load(Ordering::Relaxed)
    }

    /// Whether no request has come for as long as the session allows.
    pub(crate) fn is_idle(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.used_at_ms()) >= self.stored().session.record.idle_timeout_ms
    }
}

impl Stored {
    /// Whether an operation may get this state: a closed one stays closed, and a canceled one can only be closed.
    pub(crate) fn takes(&self, operation: SqlHandle, state: &State) -> bool {
        match self.operations.get(&operation).map(|found| &found.record.state) {
            Some(State::Closed) => false,
            Some(State::Canceled) => *state == State::Closed,
            _ => true,
        }
    }

    /// The number of the next operation, and the operation that makes room for it, if one has to.
    pub(crate) fn room(&self) -> Result<(u64, Option<SqlHandle>), GatewayError> {
        let number = self.operations.values().map(|found| found.record.number + 1).max().unwrap_or(0);
        if self.operations.len() < MAX_OPERATIONS {
            return Ok((number, None));
        }
        let ended = self.operations.iter().filter(|(_, found)| found.record.state.is_ended());
        match ended.min_by_key(|(_, found)| found.record.number) {
            Some((oldest, _)) => Ok((number, Some(*oldest))),
            None => Err(GatewayError::too_many(format!(
                "SQL-OPERATIONS: {MAX_OPERATIONS} operations of the session have not ended; close some"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::records::Outcome;

    fn session(states: impl IntoIterator<Item = State>) -> LiveSession {
        let operation = |(number, state): (u64, State)| {
            let record = Operation { number, changed_at_ms: 0, state };
            (SqlHandle(u128::from(number)), Found { record, version: 1 })
        };
        let operations = (0..).zip(states).map(operation).collect();
        let record = Found { record: SessionRecord::new(None, 600_000, 0), version: 1 };
        LiveSession::new(SqlHandle(1), record, operations, 1_000)
    }

    fn running() -> State {
        State::Running { job: weir_protocol::JobId(1) }
    }

    #[test]
    fn the_oldest_operation_that_has_ended_makes_room() {
        assert_eq!(session([]).stored().room(), Ok((0, None)));
        assert_eq!(session([running(), State::Closed]).stored().room(), Ok((2, None)));
        let states = (0..MAX_OPERATIONS).map(|i| if i < 3 { running() } else { State::Finished(Outcome::ok()) });
        assert_eq!(session(states).stored().room(), Ok((100, Some(SqlHandle(3)))));
        let full = session((0..MAX_OPERATIONS).map(|_| running()));
        assert!(full.stored().room().unwrap_err().text().starts_with("SQL-OPERATIONS"));
    }

    #[test]
    fn a_session_is_idle_after_its_time_without_a_request() {
        let session = session([]);
        assert!(!session.is_idle(600_999));
        assert!(session.is_idle(601_000));
        session.touch(2_000);
        assert!(!session.is_idle(601_000));
        session.touch(500);
        assert!(!session.is_idle(601_999), "a clock that was set back does not make it idle");
    }
}
