//! Leadership as a value: [`Leader`] owns everything that only a leader has.

use std::sync::Arc;
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use tokio::sync::{OnceCell, watch};
use tokio::task::JoinHandle;
use weir_ha::store_identity::{Markers, Verdict};
use weir_ha::{
    CheckpointIdCounter, CommitOutcome, CompletedCheckpointStore, DrillStore, HaServices, Leadership, Rejection, StoreError,
    migration, store_identity,
};
use weir_protocol::LeaderEpoch;
use weir_storage::StorageOptions;
use weir_storage::checkpoint::CheckpointStorage;
use weir_storage::file_system::FileSystemRef;
use weir_world::{Backoff, MonotonicClock};

use crate::cluster_metrics;
use crate::dispatcher::DispatcherOptions;
use crate::dispatcher::cleanup::Stores;
use crate::dispatcher::job_registry::JobRegistry;
use crate::dispatcher::runner::{self as dispatcher_runner, DispatcherContext, Recovered, StartJobMaster};
use crate::drills::DrillTime;
use crate::job_master::runner::{JobMasterContext, SubmittedJob};
use crate::job_master::{JobMaster, JobMasterOptions};
use crate::leader_history;
use crate::leading::Leading;
use crate::led_service::LedServices;
use crate::metrics;
use crate::resource_manager::gateway::ResourceManagerGateway;
use crate::resource_manager::{self, HeartbeatOptions};
use crate::rest::operations::Operations;
use crate::rpc::links::TaskManagerLinks;

/// Shortest and longest wait before a read or write of the store is retried.
const RETRY: Backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));

/// What every leadership of this process needs.
#[derive(Clone)]
pub(crate) struct LeaderContext {
    pub(crate) ha: HaServices,
    pub(crate) files: FileSystemRef,
    pub(crate) checkpoints: CheckpointStorage,
    pub(crate) savepoint_dir: Option<String>,
    /// Options for opening savepoint directories that users name.
    pub(crate) storage_options: StorageOptions,
    pub(crate) heartbeat: HeartbeatOptions,
    pub(crate) dispatcher: DispatcherOptions,
    pub(crate) job_master: JobMasterOptions,
    /// What else runs while this process leads.
    pub(crate) services: LedServices,
    /// Gives REST and the TaskManager service the leader in this process, if there is one.
    pub(crate) leading: watch::Sender<Option<Leading>>,
    /// Whether the coordination store survives the end of all JobManagers.
    pub(crate) store_survives: bool,
    /// What file storage knew of the coordination store when this process read it first.
    pub(crate) markers: Arc<OnceCell<Markers>>,
    /// Set to the reason if this process must not lead.
    pub(crate) refused: watch::Sender<Option<String>>,
}

/// A leadership in use. It must be ended with [`Self::stop`]; dropping it is not enough.
pub(crate) struct Leader {
    context: LeaderContext,
    jobs: JobRegistry,
    links: TaskManagerLinks,
    tasks: Vec<JoinHandle<()>>,
    superseded: watch::Receiver<bool>,
}

impl Leader {
    /// Begins to lead. In the background it reads the store, recovers jobs, opens the services and publishes the leader, in this
    /// order.
    pub(crate) fn start(context: LeaderContext, leadership: Leadership) -> Self {
        let jobs = JobRegistry::default();
        let links = TaskManagerLinks::new(leadership.epoch());
        let (superseded, superseded_end) = watch::channel(false);
        let (resource_manager, requests) = resource_manager::gateway::channel();
        let drill_time = DrillTime::none();
        let stores = Stores::new(context.ha.clone(), context.files.clone(), context.checkpoints.clone());
        let (dispatcher, runner) = dispatcher_runner::prepare(DispatcherContext {
            options: context.dispatcher.clone(),
            leadership: leadership.clone(),
            stores: stores.clone(),
            store: context.ha.availability(),
            registry: jobs.clone(),
            resource_manager: resource_manager.clone(),
            start_job_master: job_master_starter(&context, &leadership, &resource_manager, &links, &drill_time),
            superseded: superseded.clone(),
        });
        let leading = Leading {
            leadership: Arc::new(leadership),
            ha: context.ha.clone(),
            jobs: jobs.clone(),
            dispatcher,
            resource_manager,
            links: links.clone(),
            operations: Operations::default(),
            store: context.ha.availability(),
            drill_time,
        };
        let takeover = TakeOver { context: context.clone(), leading: leading.clone(), stores, superseded };
        let tasks = vec![
            weir_world::spawn("resource-manager", resource_manager::runner::run(requests, links.clone(), context.heartbeat)),
            weir_world::spawn("dispatcher", takeover.lead(runner)),
            weir_world::spawn("leader-metrics", cluster_metrics::run(leading)),
        ];
        Self { context, jobs, links, tasks, superseded: superseded_end }
    }

    /// Waits until the store says that a newer leader exists.
    pub(crate) async fn superseded(&mut self) {
        if self.superseded.wait_for(|superseded| *superseded).await.is_err() {
            std::future::pending().await
        }
    }

    /// Stops leading. From now on it sends no orders, deletes nothing and cancels no task.
    pub(crate) async fn stop(mut self, reason: &str) {
        self.context.leading.send_replace(None);
        // Before the links close, so that no JobMaster takes this for the loss of its TaskManagers and begins a restart.
        for task in &self.tasks {
            task.abort();
        }
        for task in self.tasks.drain(..) {
            // The task was aborted, so its result is of no interest.
            let _ = task.await;
        }
        for job_master in self.jobs.job_masters() {
            job_master.suspend();
        }
        self.links.close(reason);
        cluster_metrics::clear();
    }
}

/// The takeover by a new leader.
struct TakeOver {
    context: LeaderContext,
    leading: Leading,
    stores: Stores,
    superseded: watch::Sender<bool>,
}

impl TakeOver {
    /// Reads the store, recovers the jobs, opens the services, publishes the leader, and then runs the Dispatcher until dropped.
    /// Clients can find this leader only after the registry shows every job.
    async fn lead(self, mut dispatcher: dispatcher_runner::Runner) {
        let clock = MonotonicClock::start();
        let since_grant = |phase: &'static str| {
            let seconds = clock.now().0 as f64 / 1000.0;
            ::metrics::histogram!(metrics::TAKEOVER_SECONDS, "phase" => phase).record(seconds);
        };
        weir_world::delay_at_times("leadership-granted").await;
        let recovered = match self.read().await {
            Ok(recovered) => recovered,
            Err(verdict) => return self.obey(verdict).await,
        };
        weir_world::delay_at_times("recovery-read").await;
        since_grant("read");
        let (jobs, results) = (recovered.jobs.len(), recovered.results.len());
        dispatcher.recover(recovered);
        since_grant("recovered");
        self.context.leading.send_replace(Some(self.leading.clone()));
        let announce = async {
            self.publish().await;
            since_grant("published");
            let (epoch, took_ms) = (self.leading.epoch(), clock.now().0);
            tracing::info!(%epoch, jobs, results, took_ms, "leading");
            leader_history::record(&*self.context.ha, &self.leading.leadership).await;
            self.announce().await;
        };
        let services = self.context.services.iter().map(|service| service.lead(self.leading.clone()));
        tokio::join!(dispatcher.run(), announce, join_all(services));
    }

    /// Reads everything the store holds, or the verdict that forbids to act on it. Retries until it succeeds or the leadership ends.
    async fn read(&self) -> Result<Recovered, Verdict> {
        let mut backoff = RETRY;
        loop {
            match self.try_read().await {
                Ok(found) => return found,
                Err(error) if error.is_retryable() => {
                    tracing::warn!(%error, "taking over: the store can't be read; trying again")
                }
                Err(error) => tracing::error!(%error, "taking over: the store is damaged, and no job can be run; trying again"),
            }
            backoff.wait().await;
        }
    }

    async fn try_read(&self) -> Result<Result<Recovered, Verdict>, StoreError> {
        let (migration, verdict) = tokio::try_join!(migration::look(&*self.context.ha), self.judge_store())?;
        if let Some(objection) = migration.and_then(|mark| mark.objection()) {
            return Ok(Err(Verdict::Refused(objection)));
        }
        if verdict != Verdict::Known {
            return Ok(Err(verdict));
        }
        let jobs = async { self.stores.graphs.recover().await.map_err(StoreError::from) };
        let drills = DrillStore::new(self.context.ha.clone());
        let (jobs, results, drill) = tokio::try_join!(jobs, self.stores.results.list(), drills.newest())?;
        // This happens before any job is started, because restarts that a drill causes must not count.
        self.leading.drill_time.set(drill.as_ref(), weir_world::wall_clock_ms());
        Ok(Ok(Recovered { jobs, results }))
    }

    /// Does what a verdict demands of this leadership: nothing, or never to act.
    async fn obey(&self, verdict: Verdict) {
        match verdict {
            Verdict::Known => {}
            Verdict::RaiseAbove(epoch) => self.raise_epoch(epoch).await,
            Verdict::Refused(objection) => {
                self.context.refused.send_replace(Some(objection));
            }
        }
    }

    /// Whether this is the store that the files belong to. The markers are read from file storage once in a process, so that a
    /// takeover does not wait for file storage.
    async fn judge_store(&self) -> Result<Verdict, StoreError> {
        if !self.context.store_survives {
            return Ok(Verdict::Known);
        }
        let files = &*self.context.files;
        let markers = self.context.markers.get_or_try_init(|| Markers::read(files)).await.map_err(StoreError::from)?;
        let store = store_identity::look(&*self.context.ha).await?;
        Ok(markers.judge(store.as_ref(), self.leading.epoch()))
    }

    /// Raises the epoch above `floor`. This ends this leadership, and the next one acts.
    async fn raise_epoch(&self, floor: LeaderEpoch) {
        tracing::warn!(%floor, "the coordination store was put back and accepted: raising the epoch");
        let mut backoff = RETRY;
        loop {
            let outcome = self.context.ha.raise_epoch(&self.leading.leadership, LeaderEpoch(floor.0 + 1)).await;
            tracing::info!(?outcome, "raised the epoch");
            backoff.wait().await;
        }
    }

    /// Announces this leadership in the store and in file storage, again and again, so that a store from a backup is noticed.
    /// First compares the store with the markers that are in file storage now: others may have been left there since this process
    /// started.
    async fn announce(&self) {
        if !self.context.store_survives {
            return;
        }
        let (mut backoff, mut number) = (RETRY, 0);
        loop {
            match self.try_announce(number).await {
                Ok(()) => {
                    backoff.reset();
                    number += 1;
                    tokio::time::sleep(store_identity::BEAT).await;
                }
                Err(StoreError::Superseded { .. }) => return,
                Err(error) => {
                    tracing::warn!(%error, "this leadership could not be announced in file storage; trying again");
                    backoff.wait().await;
                }
            }
        }
    }

    async fn try_announce(&self, number: u64) -> Result<(), StoreError> {
        let (ha, files) = (&*self.context.ha, &*self.context.files);
        let store = store_identity::look(ha).await?;
        let markers = Markers::read(files).await?;
        match markers.judge(store.as_ref(), self.leading.epoch()) {
            Verdict::Known => markers.announce(ha, files, &self.leading.leadership, number, store).await,
            verdict => {
                self.obey(verdict).await;
                Ok(())
            }
        }
    }

    /// Publishes the leader. This is the last step of a takeover.
    async fn publish(&self) {
        let mut backoff = RETRY;
        loop {
            match self.context.ha.publish(&self.leading.leadership).await {
                CommitOutcome::Committed { .. } => return,
                CommitOutcome::Rejected(rejection @ Rejection::StaleEpoch { .. }) => {
                    tracing::warn!(%rejection, "a newer leader exists: stepping down");
                    self.superseded.send_replace(true);
                    return std::future::pending().await;
                }
                CommitOutcome::Rejected(rejection) => tracing::error!(%rejection, "the leader record was refused; trying again"),
                CommitOutcome::Unknown { reason } => {
                    tracing::warn!(reason, "it is not known whether the leader record was published; trying again");
                }
            }
            backoff.wait().await;
        }
    }
}

fn job_master_starter(
    context: &LeaderContext,
    leadership: &Leadership,
    resource_manager: &ResourceManagerGateway,
    links: &TaskManagerLinks,
    drill_time: &DrillTime,
) -> StartJobMaster {
    let (context, leadership) = (context.clone(), leadership.clone());
    let (resource_manager, links, drills) = (resource_manager.clone(), links.clone(), drill_time.watch());
    let completed_checkpoints = CompletedCheckpointStore::new(context.ha.clone());
    let checkpoint_ids = CheckpointIdCounter::new(context.ha.clone());
    Box::new(move |graph, submitted_at_ms, dispatcher| {
        let dispatcher = dispatcher.clone();
        let ended = move |ended, last_view| {
            let dispatcher = dispatcher.clone();
            Box::pin(async move { dispatcher.job_ended(ended, last_view).await }) as BoxFuture<'static, ()>
        };
        let checkpoint_root_uri = context.checkpoints.files().uri().to_string();
        let beside_the_checkpoints = || format!("{}/savepoints", checkpoint_root_uri.trim_end_matches('/'));
        let context = JobMasterContext {
            leadership: leadership.clone(),
            checkpoints: context.checkpoints.clone(),
            savepoint_root: context.savepoint_dir.clone().unwrap_or_else(beside_the_checkpoints),
            checkpoint_root_uri,
            storage_options: context.storage_options.clone(),
            completed_checkpoints: completed_checkpoints.clone(),
            checkpoint_ids: checkpoint_ids.clone(),
            store: context.ha.availability(),
            drills: drills.clone(),
            resource_manager: resource_manager.clone(),
            links: links.clone(),
            ended: Arc::new(ended),
            options: context.job_master,
        };
        JobMaster::start(context, SubmittedJob { graph: Arc::new(graph), submitted_at_ms })
    })
}
