//! What a coordination system must do: three traits, which every provider implements.

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
/// Guarantees that every provider gives, and the conformance suite asserts: epochs of `Granted` strictly increase over the life of
/// the cluster (E1); the epoch is durable in the store before `Granted` is delivered (E2); a revoked leader gets `Revoked` even
/// when no successor is known (E9).
pub trait Election: Send + Sync + 'static {
    /// Contends for leadership under the name and addresses of `candidate` until the handle is dropped.
    fn campaign(&self, candidate: Candidate) -> LeaderElection;

    /// The newest published leader record; `None` until one was seen. Never goes to a lower epoch (E8).
    fn leader(&self) -> watch::Receiver<Option<LeaderRecord>>;

    /// Makes the leader findable. Done last when taking over, after everything was loaded.
    fn publish<'a>(&'a self, leadership: &'a Leadership) -> BoxFuture<'a, CommitOutcome>;

    /// Makes every epoch granted from now on exceed `floor`. If that is above the leadership's epoch it is the last thing this
    /// leader does: it is revoked, and contends again. For state that comes from another provider (E1).
    fn raise_epoch<'a>(&'a self, leadership: &'a Leadership, floor: LeaderEpoch) -> BoxFuture<'a, CommitOutcome>;

    /// Hands leadership to another member (`None`: the most caught-up one). Returns when another leads.
    fn transfer_leadership<'a>(&'a self, to: Option<&'a str>) -> BoxFuture<'a, Result<(), TransferError>>;
}

/// A small, linearizable key-value store whose writes are fenced by the leader's epoch.
///
/// Guarantees that every provider gives, and the conformance suite asserts: `commit` applies all operations or none, and only if
/// the leadership's epoch is still the newest (E3); `get` and `list` are linearizable.
pub trait CoordinationStore: Send + Sync + 'static {
    /// Linearizable read of one key.
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>>;

    /// Linearizable read of all keys that start with `prefix`, in key order, as of one moment.
    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, Versioned)>, ReadError>>;

    /// Applies all of `operations`, or none, if `leadership` is still the newest.
    fn commit<'a>(&'a self, leadership: &'a Leadership, operations: Vec<Operation>) -> BoxFuture<'a, CommitOutcome>;

    /// Changes under `prefix` from now on. The receiver is bounded: a slow reader gets `WatchEvent::Lagged` and lists again.
    fn watch<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<WatchEvent>, ReadError>>;

    /// Whether the store answers, for refusing at once what could only wait. A provider whose leader steps down when it loses
    /// its store, as raft's does, is available always.
    fn availability(&self) -> StoreWatch;
}

/// What an operator asks of the group of coordinating processes, and of this process's part in it.
pub trait GroupAdmin: Send + Sync + 'static {
    /// Who is in the group and how far each has come, as this process knows it.
    fn status(&self) -> HaStatus;

    /// With `true` this process does not reach the store until `false`, as if its cable were pulled: connections break and none is
    /// made. For drills. `false` is returned by a provider that has no store to be cut off from.
    fn set_isolated(&self, isolated: bool) -> bool;

    /// Lets a member into the group, or removes one. On the leader.
    fn change_members<'a>(&'a self, change: MemberChange) -> BoxFuture<'a, Result<(), MembershipError>>;

    /// Stops the provider; a leader hands over first where it can.
    fn shutdown<'a>(&'a self) -> BoxFuture<'a, ()>;
}

/// A coordination system.
pub trait HaProvider: Election + CoordinationStore + GroupAdmin {}

impl<T: Election + CoordinationStore + GroupAdmin> HaProvider for T {}

/// A provider as others hold it.
pub type HaServices = Arc<dyn HaProvider>;
