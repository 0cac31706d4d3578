//! Leader election, and a store for the few facts that must survive every process.
//!
//! Each coordination system has one [`HaProvider`], and all of them pass one conformance suite. The typed stores are built on
//! top. Every write of a leader is conditional on its [`LeaderEpoch`], in the same atomic operation (E3). So the store refuses
//! the write of a superseded leader, however late it arrives.

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
mod provider;
mod provider_thread;
pub mod raft;
mod record;
mod resolved_commit;
mod sql_store;
mod store_error;
pub mod store_identity;
mod watchers;
pub mod zookeeper;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_protocol::LeaderEpoch;

pub use availability::{StoreAvailability, StoreWatch};
pub use checkpoint_id_counter::CheckpointIdCounter;
pub use completed_checkpoint_store::{CompletedCheckpoint, CompletedCheckpointStore, MAX_SUBSUMED};
pub use drill_store::{Begun, DrillStore};
pub use election::LeaderElection;
pub use job_graph_store::{ClientToken, GRAPH_LIMIT, GraphDigest, INLINE_GRAPH_LIMIT, JobGraphStore, RecoveredJob, Submission};
pub use job_result_store::{JobResult, JobResultStore};
pub use membership::{MemberChange, MembershipError};
pub use memory::{MemoryProvider, MemoryStore, UnknownCommit};
pub use provider::{CoordinationStore, Election, GroupAdmin, HaProvider, HaServices, StoreUsage};
pub use sql_store::{Found, SqlChanges, SqlCommit, SqlHandle, SqlStore};
pub use store_error::StoreError;

/// A JobManager that could lead, and the addresses at which it can be reached when it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Candidate {
    /// Stable name of the JobManager, e.g. `jm-1`.
    pub name: String,
    /// `host:port` of its gRPC service for TaskManagers.
    pub rpc_address: String,
    /// `host:port` of its REST service.
    pub rest_address: String,
}

/// The leader, as published in the store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeaderRecord {
    pub epoch: LeaderEpoch,
    pub leader: Candidate,
    /// Wall-clock milliseconds since 1970 when leadership was granted. For people only: no code compares it.
    pub granted_at_ms: u64,
}

/// The right to act as leader. Only a [`LeaderElection`] gives it, and every write takes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leadership {
    epoch: LeaderEpoch,
    leader: Candidate,
    granted_at_ms: u64,
}

impl Leadership {
    /// Grants leadership. Only the providers of this crate may do so.
    pub(crate) fn grant(epoch: LeaderEpoch, leader: Candidate, granted_at_ms: u64) -> Self {
        Self { epoch, leader, granted_at_ms }
    }

    /// The epoch of this leadership, which fences its writes.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The record that [`Election::publish`] writes for this leadership.
    pub fn record(&self) -> LeaderRecord {
        LeaderRecord { epoch: self.epoch, leader: self.leader.clone(), granted_at_ms: self.granted_at_ms }
    }
}

/// An event that an election delivers to its contender. `Granted` and `Revoked` strictly alternate (E7).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeadershipEvent {
    /// This process leads, under a new epoch that is already durable.
    Granted(Leadership),
    /// This process no longer leads. The new leader may be unknown.
    Revoked,
}

/// A value and the store version of its last change.
///
/// The versions of one key strictly increase, even if the key is deleted and created again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Versioned {
    /// The bytes, far below 1 MB. A bigger value belongs in file storage, with a handle here.
    pub value: Bytes,
    pub version: u64,
}

/// The condition that a commit checks on a key before it changes the key.
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
    Put { key: String, value: Bytes, expect: Expect },
    /// Remove `key`. To remove an absent key under `Expect::Any` is no error (G4).
    Delete { key: String, expect: Expect },
}

/// The three outcomes of a store write. After `Unknown`, delete nothing and read back under the same epoch (G3).
#[derive(Debug, Clone, PartialEq, Eq)]
#[must_use = "an unknown outcome must be resolved by reading back"]
pub enum CommitOutcome {
    /// The write is durable.
    Committed {
        /// The version that every key of this commit now has.
        version: u64,
    },
    /// The write was certainly not applied.
    Rejected(Rejection),
    /// The write may or may not have been applied, or may still be applied later.
    Unknown {
        /// What happened; for people.
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
    /// A key did not meet its [`Expect`].
    #[error("key {key:?} is not as expected")]
    Conflict {
        /// The first such key.
        key: String,
    },
    /// The commit exceeds a limit of the store (value size, operations per commit).
    #[error("over the limit: {0}")]
    OverLimit(String),
}

/// Why a read gave no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// No quorum, or no connection to one, within the deadline. A retry can help.
    #[error("the coordination store is unavailable: {0}")]
    Unavailable(String),
    /// The stored data is damaged. A retry can't help.
    #[error("the coordination store is damaged: {0}")]
    Corrupt(String),
}

/// A change under a watched prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WatchEvent {
    /// A key was written.
    Put { key: String, value: Versioned },
    /// A key was removed.
    Deleted {
        key: String,
        /// The store version of the removal.
        version: u64,
    },
    /// Events were dropped because the watcher was too slow. List the keys again.
    Lagged,
}

/// Why leadership was not handed over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TransferError {
    /// This process does not lead.
    #[error("this JobManager does not lead")]
    NotLeader,
    /// There is no member of that name, or no member that could lead.
    #[error("no member to hand over to: {0}")]
    NoTarget(String),
    /// No other member led within the deadline.
    #[error("no other member led within the deadline")]
    TimedOut,
    /// The provider has no way to hand over leadership.
    #[error("this provider can't hand over leadership")]
    Unsupported,
}

/// The state of the coordination group as one process sees it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HaStatus {
    /// The kind of provider: `raft`, `etcd`, `zookeeper` or `memory`.
    pub provider: String,
    /// The newest epoch known here.
    pub epoch: LeaderEpoch,
    /// Name of the member that leads the group, if known.
    pub leader: Option<String>,
    /// Whether this process can reach a quorum right now.
    pub has_quorum: bool,
    /// How many more members may fail before the group stops, as known here.
    pub failures_tolerated: u32,
    pub members: Vec<HaMember>,
    /// Whether this process was removed from the group. Then it knows nothing of the group, and nothing else here counts.
    pub removed: bool,
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
    /// Whether it answered lately; `None` if this process can't know.
    pub reachable: Option<bool>,
    /// How many log entries it is behind the leader; `None` if this process can't know.
    pub lag_entries: Option<u64>,
}
