//! The gateway under one leader: its sessions, its catalogue, and how both are changed.
//!
//! Everything is in the coordination store before a client hears of it, and only the leader writes, so the next leader answers as this
//! one would have.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::OnceCell;
use weir_control_plane::Leading;
use weir_ha::{Found, SqlChanges, SqlCommit, SqlHandle, SqlStore, StoreError};
use weir_sql::catalog::CatalogChange;
use weir_world::{random_id, wall_clock_ms};

use crate::catalogue::{Catalogue, Snapshot};
use crate::decide::{Decision, Planner, Request};
use crate::error::GatewayError;
use crate::execute;
use crate::live::LiveSession;
use crate::records::{Operation, SessionRecord, State};
use crate::results::{ResultPlace, Results};
use crate::service::GatewayOptions;

/// A session that is used is noted in the store this often, in milliseconds.
const USE_NOTED_EVERY_MS: u64 = 60_000;
/// Longest record of a session, in bytes.
const MAX_SESSION_BYTES: usize = 256 << 10;

/// The gateway of one leadership.
#[derive(Debug)]
pub(crate) struct Led {
    pub(crate) leading: Leading,
    pub(crate) store: SqlStore,
    pub(crate) catalogue: Catalogue,
    pub(crate) results: Results,
    pub(crate) planner: Planner,
    pub(crate) options: GatewayOptions,
    /// Whether the leadership has ended.
    is_over: AtomicBool,
    /// Held while a session is opened, so that there are never more than the limit.
    opening: tokio::sync::Mutex<()>,
    /// All sessions, once they are read.
    sessions: OnceCell<Mutex<BTreeMap<SqlHandle, Arc<LiveSession>>>>,
}

/// Changes that belong together.
#[derive(Debug, Default)]
pub(crate) struct Update {
    /// The session after the change, if it changes.
    pub(crate) session: Option<SessionRecord>,
    /// An operation and its state from now on. It is new if the session has none of this handle. A closed one stays closed.
    pub(crate) operation: Option<(SqlHandle, State)>,
    /// Operations to remove.
    pub(crate) removed: Vec<SqlHandle>,
    /// Changes of the catalogue, and the generation of the snapshot on which they were decided.
    pub(crate) catalogue: Option<(u64, Vec<CatalogChange>)>,
}

/// The outcome of [`Led::commit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Committed {
    Done,
    /// Nothing was changed: the catalogue is not the one on which the change was decided.
    Outdated,
}

impl Led {
    pub(crate) fn new(leading: Leading, planner: Planner, options: GatewayOptions, place: ResultPlace) -> Self {
        let store = SqlStore::new(leading.ha().clone());
        Self {
            catalogue: Catalogue::new(store.clone()),
            results: Results::new(leading.clone(), place),
            leading,
            store,
            planner,
            options,
            is_over: AtomicBool::new(false),
            opening: tokio::sync::Mutex::new(()),
            sessions: OnceCell::new(),
        }
    }

    /// Notes that the leadership has ended: nothing is tried again.
    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Relaxed)
    }

    /// The sessions by handle. Reads them first, if that has not been done, and carries on what an earlier leader has begun.
    async fn sessions(self: &Arc<Self>) -> Result<&Mutex<BTreeMap<SqlHandle, Arc<LiveSession>>>, GatewayError> {
        let read = || async {
            let mut sessions = BTreeMap::new();
            for (id, session) in self.store.sessions::<SessionRecord>().await? {
                let operations = self.store.operations::<Operation>(id).await?.into_iter().collect();
                let live = Arc::new(LiveSession::new(id, session, operations, wall_clock_ms()));
                execute::carry_on(self, &live);
                sessions.insert(id, live);
            }
            Ok::<_, StoreError>(Mutex::new(sessions))
        };
        Ok(self.sessions.get_or_try_init(read).await?)
    }

    async fn locked(self: &Arc<Self>) -> Result<MutexGuard<'_, BTreeMap<SqlHandle, Arc<LiveSession>>>, GatewayError> {
        Ok(self.sessions().await?.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All sessions of this cluster.
    pub(crate) async fn all(self: &Arc<Self>) -> Result<Vec<Arc<LiveSession>>, GatewayError> {
        Ok(self.locked().await?.values().cloned().collect())
    }

    /// A session that a request names. The request counts as a use of it.
    pub(crate) async fn session(self: &Arc<Self>, id: SqlHandle) -> Result<Arc<LiveSession>, GatewayError> {
        let found = self.locked().await?.get(&id).cloned();
        let unknown = || GatewayError::not_found(format!("SQL-SESSION: there is no session {id}; it was closed or has expired"));
        let live = found.ok_or_else(unknown)?;
        self.refresh(&live).await?;
        if live.stored().is_closed {
            return Err(unknown());
        }
        live.touch(wall_clock_ms());
        Ok(live)
    }

    /// Opens a session.
    pub(crate) async fn open(self: &Arc<Self>, record: SessionRecord) -> Result<SqlHandle, GatewayError> {
        self.leading.check_store()?;
        let _opening = self.opening.lock().await;
        if self.locked().await?.len() >= self.options.max_sessions {
            let most = self.options.max_sessions;
            return Err(GatewayError::too_many(format!("SQL-SESSIONS: there are {most} sessions already; close some")));
        }
        check_size(&record)?;
        let id = SqlHandle(random_id());
        let mut changes = SqlChanges::default();
        changes.put_session(id, &record, None)?;
        let version = match self.store.commit(self.leading.leadership(), changes).await? {
            SqlCommit::Applied { version } => version,
            SqlCommit::Conflict { key } => return Err(GatewayError::conflict(format!("HA-CONFLICT: {key} exists"))),
        };
        let live = LiveSession::new(id, Found { record, version: version.unwrap_or(0) }, BTreeMap::new(), wall_clock_ms());
        live.stored().is_stale = version.is_none();
        self.locked().await?.insert(id, Arc::new(live));
        Ok(id)
    }

    /// Closes a session: first for clients, then what it leaves behind is removed. Its jobs go on, except for those of its queries.
    pub(crate) async fn close(self: &Arc<Self>, live: &LiveSession) -> Result<(), GatewayError> {
        self.leading.check_store()?;
        let _writing = live.writing.lock().await;
        let mut changes = SqlChanges::default();
        changes.delete_session(live.id);
        self.store.commit(self.leading.leadership(), changes).await?;
        live.stored().is_closed = true;
        self.locked().await?.remove(&live.id);
        let operations = live.stored().operations.clone();
        for operation in operations.values() {
            if let Err(error) = self.end_query(&operation.record.state).await {
                tracing::warn!(error = error.text(), session = %live.id, "the query of a closed session may go on");
            }
        }
        self.remove_operations(live.id, operations.keys().copied()).await
    }

    /// Removes the operations of a session that is gone.
    pub(crate) async fn remove_operations(
        &self,
        session: SqlHandle,
        operations: impl Iterator<Item = SqlHandle>,
    ) -> Result<(), GatewayError> {
        let operations: Vec<_> = operations.collect();
        for part in operations.chunks(weir_ha::fenced_store::MAX_OPERATIONS) {
            let mut changes = SqlChanges::default();
            part.iter().for_each(|operation| changes.delete_operation(session, *operation));
            self.store.commit(self.leading.leadership(), changes).await?;
        }
        Ok(())
    }

    /// Ends the job of a query, because the client reads no further rows.
    pub(crate) async fn end_query(&self, state: &State) -> Result<(), GatewayError> {
        match state {
            State::Query { job, .. } => self.results.close(*job).await,
            _ => Ok(()),
        }
    }

    /// What a statement asks for, on the newest catalogue.
    pub(crate) async fn decide(
        &self,
        session: SessionRecord,
        statement: &str,
        config: &BTreeMap<String, String>,
        only_settings: bool,
    ) -> Result<Decision, GatewayError> {
        let snapshot = self.catalogue.snapshot().await?;
        let request = Request { session, snapshot, statement: statement.to_owned(), config: config.clone(), only_settings };
        self.planner.decide(request).await
    }

    pub(crate) async fn snapshot(&self) -> Result<Arc<Snapshot>, GatewayError> {
        Ok(self.catalogue.snapshot().await?)
    }

    /// Makes changes durable, all or none of them.
    pub(crate) async fn commit(&self, live: &LiveSession, update: Update) -> Result<Committed, GatewayError> {
        // A former leader does not see what becomes of its jobs. What it concludes must not be recorded.
        if self.is_over() {
            return Err(over());
        }
        self.leading.check_store()?;
        let _writing = live.writing.lock().await;
        self.read_again_if_stale(live).await?;
        let catalogue = update.catalogue.filter(|(_, changes)| !changes.is_empty());
        let change = match catalogue {
            None => None,
            Some((generation, changes)) => match self.catalogue.change(generation, changes).await {
                Some(change) => Some(change),
                None => return Ok(Committed::Outdated),
            },
        };
        let mut next = live.stored().clone();
        if next.is_closed {
            return Err(GatewayError::not_found(format!("SQL-SESSION: session {} was closed", live.id)));
        }
        let mut changes = SqlChanges::default();
        let session = with_use(update.session.unwrap_or_else(|| next.session.record.clone()), live.used_at_ms());
        let session_changes = session != next.session.record;
        if session_changes {
            check_size(&session)?;
            changes.put_session(live.id, &session, Some(next.session.version))?;
            next.session.record = session;
        }
        let operation = update.operation.filter(|(id, state)| next.takes(*id, state));
        if let Some((id, state)) = &operation {
            let known = next.operations.get(id).map(|known| (known.record.number, known.version));
            let (number, expected) = match known {
                Some((number, version)) => (number, Some(version)),
                None => {
                    let (number, oldest) = next.room()?;
                    if let Some(oldest) = oldest {
                        changes.delete_operation(live.id, oldest);
                        next.operations.remove(&oldest);
                    }
                    (number, None)
                }
            };
            let record = Operation { number, changed_at_ms: wall_clock_ms(), state: state.clone() };
            changes.put_operation(live.id, *id, &record, expected)?;
            next.operations.insert(*id, Found { record, version: 0 });
        }
        for id in &update.removed {
            changes.delete_operation(live.id, *id);
            next.operations.remove(id);
        }
        if let Some(change) = &change {
            change.write(&mut changes)?;
        }
        let outcome = self.store.commit(self.leading.leadership(), changes).await;
        let version = match outcome {
            Ok(SqlCommit::Applied { version }) => version,
            Ok(SqlCommit::Conflict { key }) => {
                live.stored().is_stale = true;
                change.into_iter().for_each(|change| change.forget());
                return Err(GatewayError::conflict(format!("HA-CONFLICT: {key}: another leader has changed it; try again")));
            }
            Err(error) => {
                live.stored().is_stale = true;
                change.into_iter().for_each(|change| change.forget());
                return Err(error.into());
            }
        };
        next.is_stale = version.is_none();
        let version = version.unwrap_or(0);
        if session_changes {
            next.session.version = version;
        }
        if let Some((id, _)) = &operation
            && let Some(found) = next.operations.get_mut(id)
        {
            found.version = version;
        }
        *live.stored() = next;
        if let Some(change) = change {
            change.applied((version > 0).then_some(version));
        }
        Ok(Committed::Done)
    }

    /// Reads a session again if the outcome of a write of it is not known.
    async fn refresh(&self, live: &LiveSession) -> Result<(), GatewayError> {
        if !live.stored().is_stale {
            return Ok(());
        }
        let _writing = live.writing.lock().await;
        self.read_again_if_stale(live).await
    }

    async fn read_again_if_stale(&self, live: &LiveSession) -> Result<(), GatewayError> {
        if !live.stored().is_stale {
            return Ok(());
        }
        let session = self.store.session::<SessionRecord>(live.id).await?;
        let operations = self.store.operations::<Operation>(live.id).await?;
        let mut stored = live.stored();
        match session {
            Some(session) => stored.session = session,
            None => stored.is_closed = true,
        }
        stored.operations = operations.into_iter().collect();
        stored.is_stale = false;
        Ok(())
    }

    /// Notes in the store that a session is used, if that has not been done for a while.
    pub(crate) async fn note_use(&self, live: &LiveSession) -> Result<(), GatewayError> {
        let session = live.session();
        if with_use(session.clone(), live.used_at_ms()) == session {
            return Ok(());
        }
        self.commit(live, Update::default()).await.map(|_| ())
    }
}

/// The error of everything that is asked of a former leader.
pub(crate) fn over() -> GatewayError {
    GatewayError::unavailable("NO-LEADER: this JobManager stopped leading; try again")
}

/// The session with the time of its last use, which is noted once a minute.
fn with_use(session: SessionRecord, used_at_ms: u64) -> SessionRecord {
    let is_due = used_at_ms >= session.used_at_ms.saturating_add(USE_NOTED_EVERY_MS);
    SessionRecord { used_at_ms: if is_due { used_at_ms } else { session.used_at_ms }, ..session }
}

fn check_size(session: &SessionRecord) -> Result<(), GatewayError> {
    let bytes = serde_json::to_vec(session).map_or(usize::MAX, |bytes| bytes.len());
    if bytes <= MAX_SESSION_BYTES {
        return Ok(());
    }
    Err(GatewayError::bad_request(format!(
        "SQL-LIMIT: the session would have {bytes} bytes of options and temporary tables and views; the maximum is {MAX_SESSION_BYTES}"
    )))
}
