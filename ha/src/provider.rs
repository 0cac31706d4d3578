//! The interface to a coordination system: three traits, which every provider implements.

use std::sync::Arc;

use futures::future::BoxFuture;
use tokio::sync::{mpsc, watch};
use weir_protocol::LeaderEpoch;

use crate::{
    Candidate, CommitOutcome, HaStatus, LeaderElection, LeaderRecord, Leadership, MemberChange, MembershipError, Operation,
    ReadError, StoreWatch, TransferError, Versioned, WatchEvent,
};

/// Elects one leader.
///
/// Every provider guarantees, and the conformance suite asserts:
///
/// - The epochs of `Granted` strictly increase over the life of the cluster (E1).
/// - The epoch is durable in the store before `Granted` is delivered (E2).
/// - A revoked leader gets `Revoked` even if no successor is known (E9).
pub trait Election: Send + Sync + 'static {
    /// Contends for leadership under the name and addresses of `candidate` until the handle is dropped.
    fn campaign(&self, candidate: Candidate) -> LeaderElection;

    /// The newest published leader record, or `None` until this process has seen one. Its epoch never decreases (E8).
    fn leader(&self) -> watch::Receiver<Option<LeaderRecord>>;

    /// Publishes the leader record, so that others find the leader. A new leader does this last, after it has loaded everything.
    fn publish<'a>(&'a self, leadership: &'a Leadership) -> BoxFuture<'a, CommitOutcome>;

    /// Makes every epoch that is granted from now on exceed `floor`. If `floor` is above the epoch of `leadership`, this
    /// leadership is revoked and the candidate contends again. Needed for state that comes from another provider (E1).
    fn raise_epoch<'a>(&'a self, leadership: &'a Leadership, floor: LeaderEpoch) -> BoxFuture<'a, CommitOutcome>;

    /// Hands leadership to the member named `to`; `None` means the most caught-up one. Returns when another member leads.
    fn transfer_leadership<'a>(&'a self, to: Option<&'a str>) -> BoxFuture<'a, Result<(), TransferError>>;
}

/// A small, linearizable key-value store whose writes are fenced by the leader's epoch.
///
/// Every provider guarantees, and the conformance suite asserts:
///
/// - `commit` applies all operations or none, and only if the leadership's epoch is still the newest (E3).
/// - `get` and `list` are linearizable.
pub trait CoordinationStore: Send + Sync + 'static {
    /// Linearizable read of one key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>>;

    /// Linearizable read of all keys that start with `prefix`, in key order, as of one moment.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, Versioned)>, ReadError>>;

    /// Applies all of `operations` or none of them. It applies none if a newer leadership exists.
    fn commit<'a>(&'a self, leadership: &'a Leadership, operations: Vec<Operation>) -> BoxFuture<'a, CommitOutcome>;

    /// Reports changes under `prefix` from now on. The receiver is bounded: a slow reader gets `WatchEvent::Lagged` and lists
    /// again.
    fn watch<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<WatchEvent>, ReadError>>;

    /// Whether the store answers. While it does not, callers refuse at once what could only wait. A provider whose leader steps
    /// down when it loses its store, like raft's, always reports `Available`.
    fn availability(&self) -> StoreWatch;

    /// How full the store is, as far as this process has applied its log. `None` for an external system, which has limits of its
    /// own that it does not tell.
    fn usage(&self) -> Option<StoreUsage>;
}

/// How full a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreUsage {
    /// Bytes of all keys and values.
    pub bytes: u64,
    /// The most bytes that the store accepts.
    pub limit: u64,
}

/// Administration of the group of coordinating processes, and of this process's part in it.
pub trait GroupAdmin: Send + Sync + 'static {
    /// The members of the group and how far each has progressed, as this process knows it.
    fn status(&self) -> HaStatus;

    /// For drills. After `true`, this process can't reach the store until `false`, as if its cable were pulled: connections break
    /// and no new one is made. Returns `false` if the provider has no store that it could be cut off from.
    fn set_isolated(&self, isolated: bool) -> bool;

    /// Adds a member to the group, or removes one. Only the leader can do this.
    fn change_members<'a>(&'a self, change: MemberChange) -> BoxFuture<'a, Result<(), MembershipError>>;

    /// Stops the provider. A leader hands over first if it can.
    fn shutdown<'a>(&'a self) -> BoxFuture<'a, ()>;
}

/// A coordination system: election, store and administration.
pub trait HaProvider: Election + CoordinationStore + GroupAdmin {}

impl<T: Election + CoordinationStore + GroupAdmin> HaProvider for T {}

/// A shared provider, as its users hold it.
pub type HaServices = Arc<dyn HaProvider>;
