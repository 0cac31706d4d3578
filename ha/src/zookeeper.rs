//! Coordination through a ZooKeeper ensemble.
//!
//! ```text
//! <root>/<cluster>/latch/candidate-<number>   one ephemeral znode per candidate, as JSON; the lowest number leads
//! <root>/<cluster>/successor                  name of the znode that leads next whatever its number, while that exists
//! <root>/<cluster>/epoch                      the highest epoch ever granted, in decimal; every write changes its version
//! <root>/<cluster>/leader_record              the published leader, as JSON
//! <root>/<cluster>/leader/rest_server/connection_info
//!                                             the leader's REST address as Flink's command line reads it; ephemeral
//! <root>/<cluster>/store/...                  the typed stores' keys; each `/` in a key is a level of znodes, for `ls`
//! ```
//!
//! `root` and `cluster` are Flink's `high-availability.zookeeper.path.root` and `high-availability.cluster-id`. None of
//! these names is used by Flink below its cluster id, except for `connection_info`. That name is the same on purpose: a
//! stock `flink` command line with the same quorum, root and cluster id finds the leader.
//!
//! The epoch is the higher of two numbers: the id of the transaction that created the leader's candidate znode, and one
//! more than the highest epoch before. The files below explain the rest:
//! - `fenced_write.rs`: how writes are fenced;
//! - `commits.rs`: how several commits share a transaction;
//! - `plan.rs`: how a key is compared;
//! - `ensemble.rs`: why a list shows one moment;
//! - `session.rs`: how long a session is kept.
//!
//! While ZooKeeper can't be reached, a leader does nothing new, but it is not revoked. It is revoked in three cases:
//! ZooKeeper says that its session has expired, its candidate znode or its epoch is gone, or the outage has lasted longer
//! than the outage tolerance.
//!
//! Only this file and this folder use zookeeper_client.

mod candidates;
mod changes;
mod commit_queue;
mod commits;
mod connection_info;
mod ensemble;
mod fenced_write;
mod layout;
mod options;
mod plan;
mod runner;
mod session;
mod tethered;

#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;
use weir_protocol::LeaderEpoch;
use weir_world::spawn;

pub use options::{Acl, Credentials, StartError, Tls, ZooKeeperOptions};

use crate::campaign::Campaigns;
use crate::election::LeaderElection;
use crate::fenced_store::check_limits;
use crate::gate::Gate;
use crate::provider_thread::ProviderThread;
use crate::{
    Candidate, CommitOutcome, CoordinationStore, Election, GroupAdmin, HaStatus, LeaderRecord, Leadership, MemberChange,
    MembershipError, Operation, ReadError, StoreUsage, StoreWatch, TransferError, Versioned, WatchEvent,
};
use ensemble::{CALL_DEADLINE, Ensemble, OPERATION_DEADLINE, data, within};
use runner::{Inbox, Request};

/// Maximum number of writes in flight; others wait.
const WRITES: usize = 512;
/// Maximum number of requests that wait for the runner.
const REQUESTS: usize = 16;
/// How long a hand-over waits for another member to lead.
const HAND_OVER_DEADLINE: Duration = Duration::from_secs(15);
const HAND_OVER_POLL: Duration = Duration::from_millis(50);
/// Deadline for leaving the election and closing the session.
const STOP_DEADLINE: Duration = Duration::from_secs(10);

/// The coordination store of one JobManager, with ZooKeeper behind it. All clones are the same member. When the last clone
/// is dropped, the member stops at once and does not close its session.
#[derive(Clone)]
pub struct ZooKeeperProvider {
    inner: Arc<Inner>,
}

struct Inner {
    ensemble: Arc<Ensemble>,
    thread: ProviderThread,
    campaigns: Campaigns,
    requests: mpsc::Sender<Request>,
    /// Limits the operations in flight, because ZooKeeper answers the requests of a session one after the other.
    gate: Gate,
}

impl fmt::Debug for ZooKeeperProvider {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ZooKeeperProvider").field("name", &self.inner.ensemble.name).finish_non_exhaustive()
    }
}

impl ZooKeeperProvider {
    /// Checks the options and starts. Does not wait for ZooKeeper: the provider connects in the background, with retries.
    pub fn start(options: &ZooKeeperOptions) -> Result<Self, StartError> {
        let connection = options.check()?;
        let ensemble = Arc::new(Ensemble::new(options));
        let campaigns = Campaigns::new();
        let (requests, inbox) = mpsc::channel(REQUESTS);
        let inbox = Inbox { campaign: campaigns.subscribe(), requests: inbox };
        let talking = Arc::clone(&ensemble);
        let work = move || async move {
            let contact = Arc::clone(&talking);
            spawn("zookeeper-contact", async move { contact.watch_contact().await });
            runner::run(talking, connection, inbox).await;
            // The runtime must live on, so that reads get an error until the thread is stopped.
            std::future::pending::<()>().await;
        };
        let thread = ProviderThread::start("zookeeper", work, || ()).map_err(StartError::Resources)?;
        let gate = Gate::new(WRITES, OPERATION_DEADLINE);
        Ok(Self { inner: Arc::new(Inner { ensemble, thread, campaigns, requests, gate }) })
    }

    /// Stops at once and does not tell ZooKeeper, as if the process were killed. For drills and tests.
    pub async fn kill(&self) {
        self.inner.thread.stop().await;
        self.inner.campaigns.end();
        self.inner.ensemble.set_reign(None);
        session::close(&self.inner.ensemble);
    }

    /// Runs `work` on the provider's own runtime, not on the caller's. `None` if the provider has stopped.
    async fn on_thread<T, F>(&self, work: impl FnOnce(Arc<Ensemble>) -> F) -> Option<T>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        self.inner.thread.run(work(Arc::clone(&self.inner.ensemble))).await
    }

    async fn write<F>(&self, write: impl FnOnce(Arc<Ensemble>) -> F) -> CommitOutcome
    where
        F: Future<Output = CommitOutcome> + Send + 'static,
    {
        self.inner.gate.write(&self.inner.thread, write(Arc::clone(&self.inner.ensemble)).boxed()).await
    }

    async fn read<T, F>(&self, read: impl FnOnce(Arc<Ensemble>) -> F) -> Result<T, ReadError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ReadError>> + Send + 'static,
    {
        self.inner.gate.read(&self.inner.thread, read(Arc::clone(&self.inner.ensemble)).boxed()).await
    }

    async fn hand_over(&self, to: Option<&str>) -> Result<(), TransferError> {
        let (answer, resigned) = oneshot::channel();
        let request = Request::HandOver(to.map(str::to_owned), answer);
        self.inner.requests.send(request).await.map_err(|_| TransferError::NotLeader)?;
        let epoch = resigned.await.map_err(|_| TransferError::NotLeader)??;
        let waiting = tokio::time::timeout(HAND_OVER_DEADLINE, self.on_thread(move |ensemble| followed(ensemble, epoch)));
        match waiting.await {
            Ok(Some(true)) => Ok(()),
            _ => Err(TransferError::TimedOut),
        }
    }
}

/// Waits until there is an epoch after this one. `true` if another member holds it.
async fn followed(ensemble: Arc<Ensemble>, epoch: LeaderEpoch) -> bool {
    loop {
        if let Ok(client) = ensemble.client(Instant::now() + OPERATION_DEADLINE).await
            && let Ok(Some((text, _))) = within(CALL_DEADLINE, data(&client, &ensemble.layout.epoch())).await
            && let Some(newer) = fenced_write::parse_epoch(&text).filter(|newer| *newer > epoch)
        {
            return ensemble.reign().is_none_or(|reign| reign.epoch != newer);
        }
        tokio::time::sleep(HAND_OVER_POLL).await;
    }
}

impl Election for ZooKeeperProvider {
    fn campaign(&self, candidate: Candidate) -> LeaderElection {
        self.inner.campaigns.begin(candidate)
    }

    fn leader(&self) -> watch::Receiver<Option<LeaderRecord>> {
        self.inner.ensemble.published.subscribe()
    }

    fn publish<'a>(&'a self, leadership: &'a Leadership) -> BoxFuture<'a, CommitOutcome> {
        let record = leadership.record();
        self.write(move |ensemble| async move { ensemble.publish(&record).await }).boxed()
    }

    fn raise_epoch<'a>(&'a self, leadership: &'a Leadership, floor: LeaderEpoch) -> BoxFuture<'a, CommitOutcome> {
        let epoch = leadership.epoch();
        self.write(move |ensemble| async move { ensemble.raise_epoch(epoch, floor).await }).boxed()
    }

    fn transfer_leadership<'a>(&'a self, to: Option<&'a str>) -> BoxFuture<'a, Result<(), TransferError>> {
        self.hand_over(to).boxed()
    }
}

impl CoordinationStore for ZooKeeperProvider {
    fn get<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Versioned>, ReadError>> {
        let key = key.to_owned();
        self.read(move |ensemble| async move { ensemble.get(&key).await }).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<(String, Versioned)>, ReadError>> {
        let prefix = prefix.to_owned();
        self.read(move |ensemble| async move { ensemble.list(&prefix).await }).boxed()
    }

    fn commit<'a>(&'a self, leadership: &'a Leadership, operations: Vec<Operation>) -> BoxFuture<'a, CommitOutcome> {
        let commit = async move {
            if let Err(rejection) = check_limits(&operations) {
                return CommitOutcome::Rejected(rejection);
            }
            let epoch = leadership.epoch();
            self.write(move |ensemble| async move { ensemble.commit(epoch, operations).await }).await
        };
        commit.boxed()
    }

    fn watch<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<mpsc::Receiver<WatchEvent>, ReadError>> {
        let watch = async move {
            self.read(|ensemble| async move { changes::ensure_watched(&ensemble).await }).await?;
            Ok(self.inner.ensemble.watchers().watch(prefix))
        };
        watch.boxed()
    }

    fn availability(&self) -> StoreWatch {
        self.inner.ensemble.contact.watch()
    }

    fn usage(&self) -> Option<StoreUsage> {
        None
    }
}

impl GroupAdmin for ZooKeeperProvider {
    fn status(&self) -> HaStatus {
        self.inner.ensemble.status()
    }

    fn set_isolated(&self, isolated: bool) -> bool {
        self.inner.ensemble.isolation.set(isolated);
        true
    }

    fn change_members<'a>(&'a self, _change: MemberChange) -> BoxFuture<'a, Result<(), MembershipError>> {
        Box::pin(std::future::ready(Err(MembershipError::Unsupported)))
    }

    fn shutdown<'a>(&'a self) -> BoxFuture<'a, ()> {
        let stop = async move {
            let (answer, stopped) = oneshot::channel();
            if self.inner.requests.send(Request::Stop(answer)).await.is_ok() {
                // After the deadline the provider stops even if the session is not closed.
                let _ = tokio::time::timeout(STOP_DEADLINE, stopped).await;
            }
            self.kill().await;
        };
        stop.boxed()
    }
}
