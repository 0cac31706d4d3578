//! Coordination through etcd (3.4 or newer).
//!
//! ```text
//! <root>/<cluster id>/latch              whoever holds it leads; on the leader's lease; value: its Candidate, as JSON
//! <root>/<cluster id>/epoch              the highest epoch ever granted, as decimal text; never removed (C7)
//! <root>/<cluster id>/leader             the published LeaderRecord, as JSON
//! <root>/<cluster id>/hand-over          name of the candidate that goes first for a moment; on a lease of its own
//! <root>/<cluster id>/candidates/<name>  who stands in elections; on that candidate's lease; value: its Candidate, as JSON
//! <root>/<cluster id>/store/<key>        the typed stores' keys (`keys.rs`)
//! ```
//!
//! *Election.* A candidate creates `latch` if there is none, on its lease, and then raises `epoch` to the larger of the
//! latch's create revision and one more than what is stored or was ever seen here, on condition that the latch is still
//! its own. Only then is leadership granted (E1, E2). Should all of etcd be restored from a backup while no process of ours
//! is alive to remember the newer epochs, E1 rests on the revision, which such a backup sets back too.
//!
//! *Fence.* A commit is one transaction that compares the epoch and the latch's create revision with the leadership's own,
//! and every key with what is expected of it (E3). So safety rests on no clock and no lease.
//!
//! *Liveness.* etcd has no faster sign of a dead process than the end of its lease: a leader killed without a word is
//! replaced after the lease and up to half a second (etcd looks for expired leases twice a second). The lease is whole
//! seconds and at least one and a half times etcd's election timeout (2 s as etcd is shipped). Every candidate watches
//! the latch: one that resigns, hands over, or shuts down is followed within milliseconds.
//!
//! *Outage.* Silence of etcd takes leadership from nobody: nobody else can be elected meanwhile either, and the fence
//! holds. The leader goes on under the same epoch when etcd is back before the lease has run out (a restarted etcd gives
//! every lease its full time again). It is revoked when it learns that latch or lease is gone, or after the outage tolerance.
//!
//! etcd_client is named here and in this folder and nowhere else.

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
    MembershipError, Operation, ReadError, Rejection, StoreWatch, TransferError, Versioned, WatchEvent,
};
use connection::{CallError, Connection, Fault, OPERATION_DEADLINE};
use layout::Layout;
use member::{Member, Timing};

/// Writes under way at once; others wait.
const WRITES: usize = 256;
/// For the first look at etcd while the provider starts.
const FIRST_LOOK: Duration = Duration::from_secs(3);
/// For a session to end when the provider shuts down.
const FAREWELL: Duration = Duration::from_secs(5);

/// One process's way to etcd. Clones are the same member; it stops abruptly when the last is dropped.
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
    /// Checks the options, looks whether etcd takes them (blocks for up to three seconds), and starts. An etcd that can't be
    /// reached is no error: the provider keeps trying.
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
            // The other end waits for it.
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

    /// Stops at once, telling nobody, as if the process were killed: for drills and tests.
    pub async fn kill(&self) {
        self.inner.thread.stop().await;
        self.inner.campaigns.end();
    }

    /// Runs on the provider's own runtime, whatever the caller's; `None` once that has stopped.
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

/// Whether some endpoint takes us, or at least none refuses.
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
}

impl GroupAdmin for EtcdProvider {
    /// `members` are the candidates. Any one of them can lead alone, so as many may fail as there are, less one; how many
    /// nodes of etcd may fail is etcd's to tell. `has_quorum` says whether etcd answered within the time of the lease.
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
            // No longer a candidate: the runner revokes at once, then the lease goes and another may lead.
            self.inner.campaigns.end();
            let farewell = self.on_thread(|member| async move {
                let gone = runner::idle(&member);
                if timeout(FAREWELL, gone).await.is_err() {
                    warn!("stops without telling etcd; its lease will run out");
                }
            });
            farewell.await;
            self.inner.thread.stop().await;
        };
        stop.boxed()
    }
}
