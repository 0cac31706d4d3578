//! The embedded coordination system: a raft group of the JobManagers themselves.
//!
//! The raft leader is the leading JobManager. Its epoch is the log index of its `Acquire` entry. Leadership is granted when that
//! entry is applied. A write is checked *when it is applied*: it is refused if a newer epoch has been applied before it (E3).
//!
//! Raft runs on its own thread and runtime, and its log has another thread, so that no load elsewhere in the process costs
//! leadership. Only this folder uses openraft.

mod compaction;
mod detector;
mod elector;
mod followers;
mod formation;
mod group;
mod identity;
mod log;
mod machine;
mod membership;
mod messages;
mod network;
mod options;
mod peer_service;
mod quorum;
mod removal;
mod runner;
mod senders;
mod snapshot;
mod thread;
mod types;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{Notify, mpsc, watch};
use weir_protocol::LeaderEpoch;

pub use log::{DiskFailureHook, LogError};
pub use options::{Listen, RaftOptions, RaftTiming, StartError};
pub use types::Member;

use crate::campaign::Campaigns;
use crate::election::LeaderElection;
use crate::fenced_store::{Command, FencedStore, check_limits};
use crate::gate::Gate;
use crate::provider_thread::ProviderThread;
use crate::{
    Candidate, CommitOutcome, CoordinationStore, Election, GroupAdmin, HaStatus, LeaderRecord, Leadership, MemberChange,
    MembershipError, Operation, ReadError, Rejection, StoreUsage, StoreWatch, TransferError, Versioned, WatchEvent,
};
use group::{Group, OPERATION_DEADLINE};
use runner::Inbox;

/// One member of the raft group. Clones are the same member, which stops abruptly when the last clone is dropped.
#[derive(Clone)]
pub struct RaftProvider {
    inner: Arc<Inner>,
}

struct Inner {
    group: Arc<Group>,
    thread: ProviderThread,
    campaigns: Campaigns,
    doubted: Arc<Notify>,
    gate: Gate,
}

/// Writes in flight at once; others wait.
const WRITES: usize = 512;

impl fmt::Debug for RaftProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftProvider").field("me", &self.inner.group.me).finish_non_exhaustive()
    }
}

impl RaftProvider {
    /// Opens the log, binds the peer service and starts the member. Blocks while the log is read. The member finds or founds the
    /// group in the background.
    pub fn start(options: RaftOptions) -> Result<Self, StartError> {
        let campaigns = Campaigns::new();
        let doubted = Arc::new(Notify::new());
        let inbox = Inbox { campaign: campaigns.subscribe(), doubted: Arc::clone(&doubted) };
        let (group, thread) = thread::start(options, inbox)?;
        let gate = Gate::new(WRITES, OPERATION_DEADLINE);
        Ok(Self { inner: Arc::new(Inner { group, thread, campaigns, doubted, gate }) })
    }

    /// For drills and tests. After `true`, no message passes between this member and the others until `false`, as if its cable
    /// were pulled.
    pub fn set_isolated(&self, isolated: bool) {
        self.inner.group.wire.set_isolated(isolated);
    }

    /// For drills and tests. Stops the member at once and without notice to the others, as if the process were killed.
    pub async fn kill(&self) {
        self.inner.campaigns.end();
        self.inner.thread.stop().await;
    }

    /// Runs `work` on raft's runtime, whatever runtime the caller uses. `None` if raft has stopped.
    async fn on_raft<T, F>(&self, work: impl FnOnce(Arc<Group>) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.inner.thread.run(work(Arc::clone(&self.inner.group))).await
    }

    async fn write(&self, leadership: &Leadership, command: Command) -> CommitOutcome {
        let (group, epoch) = (Arc::clone(&self.inner.group), leadership.epoch());
        let outcome = self.inner.gate.write(&self.inner.thread, async move { group.commit(epoch, command).await }).await;
        if let CommitOutcome::Rejected(Rejection::StaleEpoch { epoch, current }) = &outcome
            && epoch == current
        {
            // Raft itself refused the write, so this member does not lead, even if it was granted leadership.
            self.inner.doubted.notify_one();
        }
        outcome
    }

    async fn read<T: Send + 'static>(&self, read: impl FnOnce(&Group) -> T + Send + 'static) -> Result<T, ReadError> {
        let group = Arc::clone(&self.inner.group);
        let reading = async move { group.catch_up().await.map(|()| read(&group)) };
        self.inner.gate.read(&self.inner.thread, reading).await
    }

    async fn hand_over(&self, to: Option<String>) -> Result<(), TransferError> {
        let work = |group: Arc<Group>| async move {
            let raft = group.raft.get().ok_or(TransferError::NotLeader)?;
            let metrics = group.metrics().ok_or(TransferError::NotLeader)?;
            if metrics.current_leader != Some(metrics.id) {
                return Err(TransferError::NotLeader);
            }
            let target = group.successor(to.as_deref()).await.map_err(TransferError::NoTarget)?;
            raft.trigger().transfer_leader(target).await.map_err(|_| TransferError::NotLeader)?;
            let me = metrics.id;
            let wait = raft.wait(Some(group.timing.election_max * 2));
            let led = wait.metrics(|metrics| metrics.current_leader.is_some_and(|leader| leader != me), "another leader");
            led.await.map(|_| ()).map_err(|_| TransferError::TimedOut)
        };
        self.on_raft(work).await.unwrap_or(Err(TransferError::NotLeader))
    }
}

impl Election for RaftProvider {
    fn campaign(&self, candidate: Candidate) -> LeaderElection {
        self.inner.campaigns.begin(candidate)
    }

    fn leader(&self) -> watch::Receiver<Option<LeaderRecord>> {
        self.inner.group.replica.published()
    }

    fn publish<'a>(&'a self, leadership: &'a Leadership) -> BoxFuture<'a, CommitOutcome> {
        self.write(leadership, Command::Publish { record: leadership.record() }).boxed()
    }

    fn raise_epoch<'a>(&'a self, leadership: &'a Leadership, floor: LeaderEpoch) -> BoxFuture<'a, CommitOutcome> {
        self.write(leadership, Command::RaiseEpoch { epoch: leadership.epoch(), floor }).boxed()
    }

    fn transfer_leadership<'a>(&'a self, to: Option<&'a str>) -> BoxFuture<'a, Result<(), TransferError>> {
        self.hand_over(to.map(str::to_owned)).boxed()
    }
}

impl CoordinationStore for RaftProvider {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>> {
        let key = key.to_owned();
        self.read(move |group| group.replica.read(|store| store.get(&key))).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, Versioned)>, ReadError>> {
        let prefix = prefix.to_owned();
        self.read(move |group| group.replica.read(|store| store.list(&prefix))).boxed()
    }

    fn commit<'a>(&'a self, leadership: &'a Leadership, operations: Vec<Operation>) -> BoxFuture<'a, CommitOutcome> {
        let commit = async move {
            if let Err(rejection) = check_limits(&operations) {
                return CommitOutcome::Rejected(rejection);
            }
            self.write(leadership, Command::Commit { epoch: leadership.epoch(), operations }).await
        };
        commit.boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<WatchEvent>, ReadError>> {
        // The watcher gets the changes as this member applies them: in order and without gaps.
        async move { Ok(self.inner.group.replica.watch(prefix)) }.boxed()
    }

    fn availability(&self) -> StoreWatch {
        StoreWatch::always_available()
    }

    fn usage(&self) -> Option<StoreUsage> {
        Some(self.inner.group.replica.read(FencedStore::usage))
    }
}

impl GroupAdmin for RaftProvider {
    fn status(&self) -> HaStatus {
        self.inner.group.status()
    }

    fn set_isolated(&self, isolated: bool) -> bool {
        Self::set_isolated(self, isolated);
        true
    }

    fn change_members<'a>(&'a self, change: MemberChange) -> BoxFuture<'a, Result<(), MembershipError>> {
        let changing = async move {
            let changed = self.on_raft(|group| async move {
                match change {
                    MemberChange::Add { name, address } => group.admit(Member { name, address }, None).await,
                    MemberChange::Remove { name } => group.remove(&name).await,
                }
            });
            changed.await.unwrap_or(Err(MembershipError::NotLeader))
        };
        changing.boxed()
    }

    fn shutdown<'a>(&'a self) -> BoxFuture<'a, ()> {
        let stop = async move {
            // Without a campaign the runner revokes at once. After that, another member may lead.
            self.inner.campaigns.end();
            if let Err(error) = self.hand_over(None).await
                && error != TransferError::NotLeader
            {
                tracing::info!(%error, "stops without a hand-over");
            }
            let stopping = self.on_raft(|group| async move {
                if let Some(raft) = group.raft.get() {
                    // The shutdown fails only if raft's task panicked, which has been logged.
                    let _ = tokio::time::timeout(Duration::from_secs(5), raft.shutdown()).await;
                }
            });
            stopping.await;
            self.inner.thread.stop().await;
        };
        stop.boxed()
    }
}
