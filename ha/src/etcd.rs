//! Coordination through etcd (3.4 or newer).
//!
//! ```text
//! <root>/<cluster id>/latch              its holder leads; on the leader's lease; value: the leader's Candidate, as JSON
//! <root>/<cluster id>/epoch              the highest epoch ever granted, as decimal text; never removed (C7)
//! <root>/<cluster id>/leader             the published LeaderRecord, as JSON
//! <root>/<cluster id>/hand-over          name of the candidate that may contend first for a short time; on its own lease
//! <root>/<cluster id>/candidates/<name>  a candidate in elections; on that candidate's lease; value: its Candidate, as JSON
//! <root>/<cluster id>/store/<key>        the typed stores' keys (`keys.rs`)
//! ```
//!
//! *Election.* If `latch` does not exist, a candidate creates it on its own lease. The candidate then raises `epoch`, on
//! condition that the latch is still its own. The new epoch is the larger of two numbers: the latch's create revision, and
//! one more than the highest epoch that is stored or that this process has seen. Only then is leadership granted (E1, E2).
//! E1 has one limit. If all of etcd is restored from a backup while no JobManager is alive to remember the newer epochs,
//! E1 depends on the revision alone, and the restore sets that back too.
//!
//! *Fence.* A commit is one transaction. It compares the epoch and the latch's create revision with those of the
//! leadership, and every key with what the commit expects (E3). So safety depends on no clock and no lease.
//!
//! *Liveness.* etcd detects a dead process only when its lease expires. A crashed leader is replaced after the lease plus
//! up to 0.5 s, because etcd looks for expired leases twice a second. The lease is in whole seconds and at least 1.5 times
//! etcd's election timeout (2 s with etcd's default settings). Every candidate watches the latch. So when a leader resigns,
//! hands over or shuts down, the next one leads within milliseconds.
//!
//! *Outage.* A leader does not lose leadership because etcd does not answer: no other candidate can be elected meanwhile,
//! and the fence holds. If etcd is back before the lease has expired, the leader continues under the same epoch (a
//! restarted etcd gives every lease its full time again). The leader is revoked when it learns that the latch or the lease
//! does not exist any more, or when the outage lasts longer than the outage tolerance.
//!
//! Only this file and this folder use etcd_client.

mod changes;
mod connection;
mod hand_over;
mod layout;
mod member;
mod observer;
mod options;
mod runner;
mod session;
mod store;
mod view;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use etcd_client::GetOptions;
use futures::FutureExt;
use futures::future::BoxFuture;
use futures::stream::{FuturesUnordered, StreamExt};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;
use tracing::warn;
use weir_protocol::LeaderEpoch;
use weir_world::spawn;

pub use options::{Credentials, EtcdOptions, StartError, Tls};

use crate::campaign::Campaigns;
use crate::election::LeaderElection;
use crate::fenced_store::check_limits;
use crate::gate::Gate;
use crate::provider_thread::ProviderThread;
use crate::{
    Candidate, CommitOutcome, CoordinationStore, Election, GroupAdmin, HaStatus, LeaderRecord, Leadership, MemberChange,
    MembershipError, Operation, ReadError, Rejection, StoreUsage, StoreWatch, TransferError, Versioned, WatchEvent,
};
use connection::{CallError, Connection, Fault, OPERATION_DEADLINE};
use layout::Layout;
use member::{Member, Timing};

/// Maximum number of writes in flight; others wait.
const WRITES: usize = 256;
/// How long the provider's start waits for an endpoint's first answer.
const FIRST_LOOK: Duration = Duration::from_secs(3);
/// How long a shutdown waits for the session to end.
const FAREWELL: Duration = Duration::from_secs(5);

/// The coordination store of one JobManager, with etcd behind it. All clones are the same member. When the last clone is
/// dropped, the member stops at once and does not tell etcd.
#[derive(Clone)]
pub struct EtcdProvider {
    inner: Arc<Inner>,
}

struct Inner {
    member: Arc<Member>,
    thread: ProviderThread,
    campaigns: Campaigns,
    gate: Gate,
}

impl fmt::Debug for EtcdProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EtcdProvider").field("endpoints", &self.inner.member.connection.endpoints()).finish_non_exhaustive()
    }
}

impl EtcdProvider {
    /// Checks the options, asks etcd whether it accepts them (blocks for up to three seconds), and starts. If etcd can't be
    /// reached, that is no error: the provider retries.
    pub fn start(options: &EtcdOptions) -> Result<Self, StartError> {
        let layout = Layout::new(&options.root, &options.cluster_id)?;
        let urls = options.urls()?;
        options.lease_seconds()?;
        let connection = Connection::new(urls, options.connect_options()?);
        let timing = Timing { lease: options.lease_ttl, outage_tolerance: options.outage_tolerance };
        let member = Arc::new(Member::new(layout, connection, timing));
        let campaigns = Campaigns::new();
        let (found, first_look) = std::sync::mpsc::sync_channel(1);
        let (own, campaign) = (Arc::clone(&member), campaigns.subscribe());
        let work = move || async move {
            let acceptable = look(&own).await;
            let refused = acceptable.is_err();
            // This can't fail: `start` waits for the message.
            let _ = found.send(acceptable);
            if !refused {
                spawn("etcd-observer", observer::observe(Arc::clone(&own)));
                spawn("etcd-probe", observer::probe(Arc::clone(&own)));
                let isolated = Arc::clone(&own);
                spawn("etcd-isolation", async move { isolated.connection.break_when_isolated().await });
                Box::pin(runner::run(own, campaign)).await;
            }
        };
        let thread = ProviderThread::start("etcd", work, || ()).map_err(|error| StartError::Resources(Arc::new(error)))?;
        let ended = || StartError::Resources(Arc::new(std::io::Error::other("the etcd thread ended")));
        first_look.recv().map_err(|_| ended())??;
        let gate = Gate::new(WRITES, OPERATION_DEADLINE);
        Ok(Self { inner: Arc::new(Inner { member, thread, campaigns, gate }) })
    }

    /// Stops at once and does not tell etcd, as if the process were killed. For drills and tests.
    pub async fn kill(&self) {
        self.inner.thread.stop().await;
        self.inner.campaigns.end();
    }

    /// Runs `work` on the provider's own runtime, not on the caller's. `None` if the provider has stopped.
    async fn on_thread<T, F>(&self, work: impl FnOnce(Arc<Member>) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.inner.thread.run(work(Arc::clone(&self.inner.member))).await
    }

    async fn write<F>(&self, write: impl FnOnce(Arc<Member>) -> F) -> CommitOutcome
    where
        F: Future<Output = CommitOutcome> + Send + 'static,
    {
        let outcome = self.inner.gate.write(&self.inner.thread, write(Arc::clone(&self.inner.member)).boxed()).await;
        if let CommitOutcome::Rejected(Rejection::StaleEpoch { .. }) = &outcome {
            self.inner.member.doubted.notify_one();
        }
        outcome
    }

    async fn read<T, F>(&self, read: impl FnOnce(Arc<Member>) -> F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ReadError>> + Send + 'static,
    {
        self.inner.gate.read(&self.inner.thread, read(Arc::clone(&self.inner.member)).boxed()).await
    }
}

/// Fails if no endpoint accepts this process and at least one refuses it.
async fn look(member: &Member) -> Result<(), StartError> {
    let key = member.layout.latch();
    let mut looks: FuturesUnordered<_> =
        member.connection.endpoints().iter().map(|endpoint| look_at(member, endpoint, &key)).collect();
    let mut refusal = Ok(());
    while let Some((endpoint, answer)) = looks.next().await {
        let Err(CallError { fault, reason }) = answer else { return Ok(()) };
        match fault {
            Fault::Denied => refusal = Err(StartError::Denied { endpoint, reason }),
            Fault::Tls => refusal = Err(StartError::Handshake { endpoint, reason }),
            _ => warn!(endpoint, reason, "etcd does not answer yet"),
        }
    }
    refusal
}

async fn look_at(member: &Member, endpoint: &str, key: &str) -> (String, Result<(), CallError>) {
    let read = async {
        let client = member.connection.connect(endpoint).await?;
        let found = client.kv_client().get(key, Some(GetOptions::new())).await;
        found.map(|_| ()).map_err(|error| CallError::of(&error))
    };
    let late = CallError { fault: Fault::Unanswered, reason: "no answer".to_owned() };
    (endpoint.to_owned(), timeout(FIRST_LOOK, read).await.unwrap_or(Err(late)))
}

impl Election for EtcdProvider {
    fn campaign(&self, candidate: Candidate) -> LeaderElection {
        self.inner.campaigns.begin(candidate)
    }

    fn leader(&self) -> watch::Receiver<Option<LeaderRecord>> {
        self.inner.member.published.subscribe()
    }

    fn publish<'a>(&'a self, leadership: &'a Leadership) -> BoxFuture<'a, CommitOutcome> {
        let leadership = leadership.clone();
        self.write(|member| async move { member.publish(&leadership).await }).boxed()
    }

    fn raise_epoch<'a>(&'a self, leadership: &'a Leadership, floor: LeaderEpoch) -> BoxFuture<'a, CommitOutcome> {
        let epoch = leadership.epoch();
        self.write(move |member| async move { member.raise_epoch(epoch, floor).await }).boxed()
    }

    fn transfer_leadership<'a>(&'a self, to: Option<&'a str>) -> BoxFuture<'a, Result<(), TransferError>> {
        let to = to.map(str::to_owned);
        let transfer = self.on_thread(|member| async move { hand_over::hand_over(&member, to.as_deref()).await });
        transfer.map(|outcome| outcome.unwrap_or(Err(TransferError::NotLeader))).boxed()
    }
}

impl CoordinationStore for EtcdProvider {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>> {
        let key = key.to_owned();
        self.read(|member| async move { member.get(&key).await }).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, Versioned)>, ReadError>> {
        let prefix = prefix.to_owned();
        self.read(|member| async move { member.list(&prefix).await }).boxed()
    }

    fn commit<'a>(&'a self, leadership: &'a Leadership, operations: Vec<Operation>) -> BoxFuture<'a, CommitOutcome> {
        let commit = async move {
            if let Err(rejection) = check_limits(&operations) {
                return CommitOutcome::Rejected(rejection);
            }
            let epoch = leadership.epoch();
            self.write(|member| async move { member.commit(epoch, &operations).await }).await
        };
        commit.boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<WatchEvent>, ReadError>> {
        let prefix = prefix.to_owned();
        self.read(|member| changes::watch(member, prefix)).boxed()
    }

    fn availability(&self) -> StoreWatch {
        self.inner.member.contact.watch()
    }

    fn usage(&self) -> Option<StoreUsage> {
        None
    }
}

impl GroupAdmin for EtcdProvider {
    /// `members` are the candidates. Any one of them can lead alone, so `failures_tolerated` is their number less one. It
    /// does not count the nodes of etcd. `has_quorum` is true if etcd has answered within the last lease period.
    fn status(&self) -> HaStatus {
        self.inner.member.status()
    }

    fn set_isolated(&self, isolated: bool) -> bool {
        self.inner.member.connection.isolation.set(isolated);
        true
    }

    fn change_members<'a>(&'a self, _change: MemberChange) -> BoxFuture<'a, Result<(), MembershipError>> {
        Box::pin(std::future::ready(Err(MembershipError::Unsupported)))
    }

    fn shutdown<'a>(&'a self) -> BoxFuture<'a, ()> {
        let stop = async move {
            // This order matters: the runner first revokes the leadership and then ends the lease, so that another may lead.
            self.inner.campaigns.end();
            let farewell = self.on_thread(|member| async move {
                let gone = runner::idle(&member);
                if timeout(FAREWELL, gone).await.is_err() {
                    warn!("etcd was not told of the shutdown; the lease will expire");
                }
            });
            farewell.await;
            self.inner.thread.stop().await;
        };
        stop.boxed()
    }
}
