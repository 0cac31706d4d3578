//! The replicated state: a [`FencedStore`], with notifications of its changes.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard};

use bytes::Bytes;
use futures::{Stream, TryStreamExt};
use metrics::gauge;
use openraft::entry::EntryPayload;
use openraft::storage::{EntryResponder, RaftStateMachine};
use openraft::{OptionalSend, RaftSnapshotBuilder};
use tokio::sync::{mpsc, watch};
use weir_protocol::LeaderEpoch;
use weir_world::flaw::{Flaw, is_planted};

use super::log::{DiskFailureHook, LogError};
use super::snapshot::{Snapshot, SnapshotDirectory, decode, encode, off_thread};
use super::types::{LogId, SnapshotMeta, StoredMembership, TypeConfig};
use crate::fenced_store::{Command, FencedStore};
use crate::metrics as names;
use crate::watchers::Watchers;
use crate::{Expect, LeaderRecord, Operation, WatchEvent};

/// openraft with this state machine.
pub(crate) type Raft = openraft::Raft<TypeConfig, StateMachine>;

type OpenraftSnapshot = openraft::type_config::alias::SnapshotOf<TypeConfig, Bytes>;

/// The agreed state, as far as this member has applied the log.
#[derive(Debug, Default)]
struct State {
    store: FencedStore,
    applied: Option<LogId>,
    membership: StoredMembership,
}

/// The state as the provider shares it with raft.
#[derive(Debug)]
pub(crate) struct Replica {
    state: RwLock<State>,
    watchers: Mutex<Watchers>,
    published: watch::Sender<Option<LeaderRecord>>,
    epoch: watch::Sender<LeaderEpoch>,
}

impl Replica {
    pub(crate) fn new() -> Self {
        Self {
            state: RwLock::default(),
            watchers: Mutex::default(),
            published: watch::Sender::new(None),
            epoch: watch::Sender::new(LeaderEpoch::default()),
        }
    }

    /// Runs `read` on the store.
    pub(crate) fn read<T>(&self, read: impl FnOnce(&FencedStore) -> T) -> T {
        read(&self.state().store)
    }

    /// The newest published leader record.
    pub(crate) fn published(&self) -> watch::Receiver<Option<LeaderRecord>> {
        self.published.subscribe()
    }

    /// The newest epoch that was applied.
    pub(crate) fn epoch(&self) -> watch::Receiver<LeaderEpoch> {
        self.epoch.subscribe()
    }

    /// Reports changes under `prefix` from now on.
    pub(crate) fn watch(&self, prefix: &str) -> mpsc::Receiver<WatchEvent> {
        self.watchers().watch(prefix)
    }

    fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn watchers(&self) -> MutexGuard<'_, Watchers> {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// Sends the epoch and the published leader to their watchers, and updates the metrics.
    fn announce(&self) {
        let (epoch, published, keys, bytes) =
            self.read(|store| (store.epoch(), store.published().cloned(), store.len(), store.bytes()));
        self.epoch.send_if_modified(|known| std::mem::replace(known, epoch) != epoch);
        self.published.send_if_modified(|known| {
            let changed = *known != published;
            *known = published;
            changed
        });
        gauge!(names::EPOCH).set(epoch.0 as f64);
        gauge!(names::STORE_KEYS).set(keys as f64);
        gauge!(names::STORE_BYTES).set(bytes as f64);
    }

    /// A snapshot of the state. Its cost does not depend on the number of keys, because it shares the store's entries.
    fn snapshot(&self) -> Snapshot {
        let state = self.state();
        let meta = SnapshotMeta { last_log_id: state.applied, last_membership: state.membership.clone() };
        Snapshot { meta, store: state.store.clone() }
    }

    fn install(&self, mut snapshot: Snapshot) {
        if is_planted(Flaw::ShortSnapshot)
            && let Some((key, _)) = snapshot.store.list("").pop()
        {
            let operations = vec![Operation::Delete { key, expect: Expect::Any }];
            snapshot.store.apply(&Command::Commit { epoch: snapshot.store.epoch(), operations }, 0);
        }
        self.change(|state| {
            *state =
                State { store: snapshot.store, applied: snapshot.meta.last_log_id, membership: snapshot.meta.last_membership };
        });
        self.watchers().notify_lagged();
        self.announce();
    }
}

/// The state machine as openraft uses it.
pub(crate) struct StateMachine {
    replica: Arc<Replica>,
    snapshots: SnapshotDirectory,
    /// The newest snapshot, as the bytes of its file.
    current: Arc<Mutex<Option<(SnapshotMeta, Bytes)>>>,
    on_disk_failure: DiskFailureHook,
}

impl StateMachine {
    /// Loads the newest snapshot into `replica`.
    pub(crate) fn open(
        replica: Arc<Replica>,
        snapshots: SnapshotDirectory,
        on_disk_failure: DiskFailureHook,
    ) -> Result<Self, LogError> {
        let loaded = snapshots.load()?;
        let current = loaded.map(|(snapshot, bytes)| {
            let meta = snapshot.meta.clone();
            replica.install(snapshot);
            (meta, bytes)
        });
        Ok(Self { replica, snapshots, current: Arc::new(Mutex::new(current)), on_disk_failure })
    }

    /// The last entry in the newest snapshot.
    pub(crate) fn snapshot_end(&self) -> Option<LogId> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner).as_ref().and_then(|(meta, _)| meta.last_log_id)
    }
}

/// Builds one snapshot for openraft.
pub(crate) struct SnapshotBuilder {
    snapshot: Snapshot,
    snapshots: SnapshotDirectory,
    current: Arc<Mutex<Option<(SnapshotMeta, Bytes)>>>,
    on_disk_failure: DiskFailureHook,
}

impl RaftSnapshotBuilder<TypeConfig> for SnapshotBuilder {
    type SnapshotData = Bytes;

    async fn build_snapshot(&mut self) -> Result<OpenraftSnapshot, io::Error> {
        let (snapshot, snapshots) = (self.snapshot.clone(), self.snapshots.clone());
        let hook = Arc::clone(&self.on_disk_failure);
        let (meta, bytes) = off_thread("raft-snapshot", move || {
            let bytes = encode(&snapshot).map_err(io::Error::other)?;
            save(&snapshots, &snapshot.meta, &bytes, &hook)?;
            Ok((snapshot.meta, bytes))
        })
        .await?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((meta.clone(), bytes.clone()));
        Ok(OpenraftSnapshot { meta, snapshot: bytes })
    }
}

fn save(snapshots: &SnapshotDirectory, meta: &SnapshotMeta, bytes: &[u8], hook: &DiskFailureHook) -> io::Result<()> {
    snapshots.save(meta, bytes).map_err(|error| {
        hook(&error.to_string());
        error.into()
    })
}

impl RaftStateMachine<TypeConfig> for StateMachine {
    type SnapshotData = Bytes;
    type SnapshotBuilder = SnapshotBuilder;

    async fn applied_state(&mut self) -> Result<(Option<LogId>, StoredMembership), io::Error> {
        let state = self.replica.state();
        Ok((state.applied, state.membership.clone()))
    }

    async fn apply<Strm>(&mut self, mut entries: Strm) -> Result<(), io::Error>
    where
        Strm: Stream<Item = Result<EntryResponder<TypeConfig>, io::Error>> + Unpin + OptionalSend,
    {
        while let Some((entry, responder)) = entries.try_next().await? {
            let log_id = entry.log_id;
            let (applied, changes) = self.replica.change(|state| {
                state.applied = Some(log_id);
                match entry.payload {
                    EntryPayload::Blank => (None, Vec::new()),
                    EntryPayload::Normal(command) => {
                        let (applied, changes) = state.store.apply(&command, log_id.index);
                        (Some(applied), changes)
                    }
                    EntryPayload::Membership(membership) => {
                        state.membership = StoredMembership::new(Some(log_id), membership);
                        (None, Vec::new())
                    }
                }
            });
            self.replica.watchers().notify(&changes);
            self.replica.announce();
            if let Some(responder) = responder {
                responder.send(applied);
            }
        }
        Ok(())
    }

    async fn get_snapshot_builder(&mut self) -> SnapshotBuilder {
        SnapshotBuilder {
            snapshot: self.replica.snapshot(),
            snapshots: self.snapshots.clone(),
            current: Arc::clone(&self.current),
            on_disk_failure: Arc::clone(&self.on_disk_failure),
        }
    }

    async fn install_snapshot(&mut self, meta: &SnapshotMeta, snapshot: Bytes) -> Result<(), io::Error> {
        let (snapshots, expected, bytes) = (self.snapshots.clone(), meta.clone(), snapshot.clone());
        let hook = Arc::clone(&self.on_disk_failure);
        let decoded = off_thread("raft-snapshot", move || {
            let snapshot = decode(&bytes).map_err(|what| io::Error::new(io::ErrorKind::InvalidData, what))?;
            if snapshot.meta != expected {
                return Err(io::Error::new(io::ErrorKind::InvalidData, "the snapshot is not the announced one"));
            }
            save(&snapshots, &expected, &bytes, &hook)?;
            Ok(snapshot)
        })
        .await?;
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Some((meta.clone(), snapshot));
        self.replica.install(decoded);
        Ok(())
    }

    async fn get_current_snapshot(&mut self) -> Result<Option<OpenraftSnapshot>, io::Error> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(current.as_ref().map(|(meta, bytes)| OpenraftSnapshot { meta: meta.clone(), snapshot: bytes.clone() }))
    }
}
