//! Who leads, and the few facts that must survive.
//!
//! One [`HaProvider`] per coordination system, one conformance suite for all of them, and typed stores on top.
//! Everything a leader writes is conditional on its [`LeaderEpoch`] in the same atomic operation (E3), so a
//! superseded leader's write is refused by the store no matter how late it arrives.

mod availability;
mod campaign;
mod checkpoint_id_counter;
mod completed_checkpoint_store;
#[cfg(any(test, feature = "conformance"))]
pub mod conformance;
#[cfg(test)]
mod contest;
mod drill_store;
mod election;
pub mod etcd;
pub mod fenced_store;
pub mod fitness;
mod gate;
mod isolation;
mod job_graph_store;
mod job_result_store;
pub mod keys;
mod membership;
pub mod memory;
pub mod metrics;
pub mod migration;
mod provider_thread;
pub mod raft;
mod record;
mod resolved_commit;
mod store_error;
mod watchers;
pub mod zookeeper;

use std::sync::Arc;

use bytes::Bytes;
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};
use weir_protocol::LeaderEpoch;

pub use availability::{StoreAvailability, StoreWatch};
pub use checkpoint_id_counter::CheckpointIdCounter;
pub use completed_checkpoint_store::{CompletedCheckpoint, CompletedCheckpointStore};
pub use drill_store::{Begun, DrillStore};
pub use election::LeaderElection;
pub use job_graph_store::{GRAPH_LIMIT, INLINE_GRAPH_LIMIT, JobGraphStore, RecoveredJob, Submission};
pub use job_result_store::{JobResult, JobResultStore};
pub use membership::{MemberChange, MembershipError};
pub use memory::{MemoryProvider, MemoryStore, UnknownCommit};
pub use store_error::StoreError;

/// A coordination system: elects one leader and keeps a small, linearizable, fenced key-value store.
///
/// Guarantees every provider gives (the conformance suite asserts them):
/// - `Granted` epochs strictly increase over the life of the cluster (E1), and the epoch is durable in the store
///   before `Granted` is delivered (E2);
/// - `commit` applies all operations or none, and only if the leadership's epoch is still the newest (E3);
/// - `get` and `list` are linearizable;
/// - a revoked leader gets `Revoked` even when no successor is known (E9).
pub trait HaProvider: Send + Sync + 'static {
    /// Contends for leadership under the name and addresses of `candidate` until the handle is dropped.
    fn campaign(&self, candidate: Candidate) -> LeaderElection;

    /// The newest published leader record; `None` until one was seen. Never goes to a lower epoch (E8).
    fn leader(&self) -> watch::Receiver<Option<LeaderRecord>>;

    /// Makes the leader findable. Done last when taking over, after everything was loaded.
    fn publish<'a>(&'a self, leadership: &'a Leadership) -> BoxFuture<'a, CommitOutcome>;

    /// Linearizable read of one key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>>;

    /// Linearizable read of all keys that start with `prefix`, in key order, as of one moment.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, Versioned)>, ReadError>>;

    /// Applies all of `operations`, or none, if `leadership` is still the newest.
    fn commit<'a>(&'a self, leadership: &'a Leadership, operations: Vec<Operation>) -> BoxFuture<'a, CommitOutcome>;

    /// Makes every epoch granted from now on exceed `floor`. If that is above the leadership's epoch it is the last thing this
    /// leader does: it is revoked, and contends again. For state that comes from another provider (E1).
    fn raise_epoch<'a>(&'a self, leadership: &'a Leadership, floor: LeaderEpoch) -> BoxFuture<'a, CommitOutcome>;

    /// Changes under `prefix` from now on. The receiver is bounded: a slow reader gets `WatchEvent::Lagged` and lists again.
    fn watch<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<WatchEvent>, ReadError>>;

    /// Who is in the group and how far each has come, as this process knows it.
    fn status(&self) -> HaStatus;

    /// Whether the store answers, for refusing at once what could only wait. A provider whose leader steps down when it loses
    /// its store, as raft's does, is available always.
    fn availability(&self) -> StoreWatch {
        StoreWatch::always_available()
    }

    /// With `true` this process does not reach the store until `false`, as if its cable were pulled: connections break and none is
    /// made. For drills. `false` is returned by a provider that has no store to be cut off from.
    fn set_isolated(&self, _isolated: bool) -> bool {
        false
    }

    /// Hands leadership to another member (`None`: the most caught-up one). Returns when another leads.
    fn transfer_leadership<'a>(&'a self, to: Option<&'a str>) -> BoxFuture<'a, Result<(), TransferError>>;

    /// Lets a member into the group, or removes one. On the leader.
    fn change_members<'a>(&'a self, _change: MemberChange) -> BoxFuture<'a, Result<(), MembershipError>> {
        Box::pin(std::future::ready(Err(MembershipError::Unsupported)))
    }

    /// Stops the provider; a leader hands over first where it can.
    fn shutdown<'a>(&'a self) -> BoxFuture<'a, ()>;
}

/// A provider as others hold it.
pub type HaServices = Arc<dyn HaProvider>;

/// Who contends, and where it can be reached when it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Stable name of the JobManager, e.g. `jm-1`.
    pub name: String,
    /// `host:port` of its gRPC service for TaskManagers.
    pub rpc_address: String,
    /// `host:port` of its REST service.
    pub rest_address: String,
}

/// Who leads, as published in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
    pub leader: Candidate,
    /// Wall-clock milliseconds since 1970 when leadership was granted; for people, never compared.
    pub granted_at_ms: u64,
}

/// The right to act as leader: had only from a [`LeaderElection`], and shown at every write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    epoch: LeaderEpoch,
    leader: Candidate,
    granted_at_ms: u64,
}

impl Leadership {
    /// Only this crate's providers grant leadership.
    pub(crate) fn grant(epoch: LeaderEpoch, leader: Candidate, granted_at_ms: u64) -> Self {
        Self { epoch, leader, granted_at_ms }
    }

    /// The fencing token.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// What is published when this leadership is.
    pub fn record(&self) -> LeaderRecord {
        LeaderRecord { epoch: self.epoch, leader: self.leader.clone(), granted_at_ms: self.granted_at_ms }
    }
}

/// What an election tells its contender. `Granted` and `Revoked` strictly alternate (E7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeadershipEvent {
    /// This process leads, under a new epoch that is already durable.
    Granted(Leadership),
    /// This process no longer leads. Who does may be unknown.
    Revoked,
}

/// A value and the store version of its last change; versions of one key strictly increase, also over deletion.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes; far below 1 MB, anything bigger goes to file storage with a handle here.
    pub value: Bytes,
    /// Version of the key's last change.
    pub version: u64,
}

/// What a commit demands of a key before it changes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Expect {
    Any,
    /// The key must not exist.
    Absent,
    /// The key must exist at exactly this version.
    Version(u64),
}

/// One operation of a fenced commit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operation {
    /// Write `value` to `key`.
    Put {
        key: String,
        /// The new value.
        value: Bytes,
        expect: Expect,
    },
    /// Remove `key`; removing an absent key under `Expect::Any` is fine (G4).
    Delete { key: String, expect: Expect },
}

/// The three outcomes of a store write. `Unknown` never deletes anything: read back under the same epoch (G3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an unknown outcome must be resolved by reading back"]
pub enum CommitOutcome {
    /// Durable. The version every changed key now has.
    Committed {
        /// Version of all keys this commit put.
        version: u64,
    },
    /// Certainly not applied.
    Rejected(Rejection),
    /// May or may not have been applied, or may be later.
    Unknown {
        /// What happened, for people.
        reason: String,
    },
}

/// Why a commit was refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub enum Rejection {
    /// A newer leader has been elected (E3).
    #[error("epoch {epoch} is superseded by epoch {current}")]
    StaleEpoch {
        /// The writer's epoch.
        epoch: LeaderEpoch,
        /// The newest epoch in the store.
        current: LeaderEpoch,
    },
    /// A key was not as expected.
    #[error("key {key:?} is not as expected")]
    Conflict {
        /// The first such key.
        key: String,
    },
    /// The commit breaks a limit of the store (value size, operations per commit).
    #[error("over the limit: {0}")]
    OverLimit(String),
}

/// A read that gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No quorum, or no connection to it, within the deadline; a retry can help.
    #[error("the coordination store is unavailable: {0}")]
    Unavailable(String),
    /// What is stored is damaged; a retry can't help.
    #[error("the coordination store is damaged: {0}")]
    Corrupt(String),
}

/// A change under a watched prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// A key was written.
    Put {
        key: String,
        /// Its new value.
        value: Versioned,
    },
    /// A key was removed.
    Deleted {
        key: String,
        /// Version of the removal.
        version: u64,
    },
    /// Events were dropped: list again.
    Lagged,
}

/// Leadership could not be handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This process does not lead.
    #[error("this JobManager does not lead")]
    NotLeader,
    /// No member of that name, or none that could lead.
    #[error("no member to hand over to: {0}")]
    NoTarget(String),
    /// No other member led within the deadline.
    #[error("no other member led within the deadline")]
    TimedOut,
    /// The provider has no hand-over.
    #[error("this provider can't hand over leadership")]
    Unsupported,
}

/// The state of the coordination group as one process sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaStatus {
    /// `raft`, `memory`, ...
    pub provider: String,
    /// The newest epoch known here.
    pub epoch: LeaderEpoch,
    /// Name of the member that leads the group, if known.
    pub leader: Option<String>,
    /// Whether this process can reach a quorum right now.
    pub has_quorum: bool,
    /// How many further members may fail before the group stops, as known here.
    pub failures_tolerated: u32,
    pub members: Vec<HaMember>,
}

/// One member of the coordination group.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaMember {
    /// Stable name, e.g. `jm-1`.
    pub name: String,
    /// `host:port` of its peer service.
    pub address: String,
    /// Whether it votes.
    pub voter: bool,
    /// Whether it answered lately; `None` where this process can't know.
    pub reachable: Option<bool>,
    /// Log entries it is behind the leader; `None` where this process can't know.
    pub lag_entries: Option<u64>,
}
