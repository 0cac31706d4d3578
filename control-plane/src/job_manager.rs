//! The JobManager: composition root of the control plane in one process.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use weir_ha::{Candidate, HaServices, LeadershipEvent};
use weir_protocol::drill::{DrillAgent, FaultInjectorRef};
use weir_storage::StorageOptions;
use weir_storage::checkpoint::CheckpointStorage;
use weir_storage::file_system::FileSystemRef;
use weir_world::net::BoundListener;
use weir_world::{Ended, OwnRuntime};

use crate::dispatcher::DispatcherOptions;
use crate::job_master::JobMasterOptions;
use crate::leader::{Leader, LeaderContext};
use crate::metrics;
use crate::resource_manager::HeartbeatOptions;
use crate::rest::{self, Rest};
use crate::rpc::service::{self, LinkService};

/// Handing over leadership may take this long at shutdown.
const HAND_OVER_DEADLINE: Duration = Duration::from_secs(20);
/// The threads may take this long to end.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// Threads of the control plane's runtime: one may be busy with a big graph while the other hears heartbeats.
const CONTROL_THREADS: usize = 2;
/// Threads for work that blocks, per runtime: tokio's own limit.
const BLOCKING_THREADS: usize = 512;
/// For work that blocks to end when its runtime does.
const THREAD_GRACE: Duration = Duration::from_secs(1);

/// What a JobManager is made from.
pub struct JobManagerOptions {
    /// Its stable name in the cluster, e.g. `jm-1`.
    pub name: String,
    /// Who leads, and what must survive.
    pub ha: HaServices,
    /// Where job graphs are kept (`high-availability.storageDir`).
    pub files: FileSystemRef,
    /// Where checkpoints are kept (`execution.checkpointing.dir`); tasks open it by its URI.
    pub checkpoints: FileSystemRef,
    /// Where savepoints go whose user names no place (`execution.checkpointing.savepoint-dir`); `None`: beside the checkpoints.
    pub savepoint_dir: Option<String>,
    /// How to open savepoint directories that users name.
    pub storage_options: StorageOptions,
    /// Where REST listens; port 0 takes a free one.
    pub rest_bind: SocketAddr,
    /// Where the service for TaskManagers listens; port 0 takes a free one.
    pub rpc_bind: SocketAddr,
    /// The host under which others reach both.
    pub advertised_host: String,
    /// How TaskManagers' silence is judged.
    pub heartbeat: HeartbeatOptions,
    /// Limits of jobs and results.
    pub dispatcher: DispatcherOptions,
    /// Limits of each job.
    pub job_master: JobMasterOptions,
    /// What `GET /jobmanager/config` shows; secrets already masked.
    pub config: BTreeMap<String, String>,
    /// The process's recorder, for `GET /metrics`.
    pub metrics: Option<PrometheusHandle>,
    /// Carries out the faults of drills (`drill.agent.enabled`); `None`: none is taken.
    pub faults: Option<FaultInjectorRef>,
}

impl fmt::Debug for JobManagerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobManagerOptions").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a JobManager did not start. A retry helps only once the cause is gone.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address can't be listened on.
    #[error("JM-BIND: can't listen on {address} for {what}: {source}")]
    Bind {
        address: SocketAddr,
        what: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The system gives no thread.
    #[error("JM-THREAD: can't start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running JobManager: a standby that leads whenever it is granted leadership.
pub struct JobManager {
    ha: HaServices,
    rest_address: SocketAddr,
    rpc_address: SocketAddr,
    stop: watch::Sender<bool>,
    refused: watch::Receiver<Option<String>>,
    ended: Vec<Ended>,
}

impl fmt::Debug for JobManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobManager").field("rest", &self.rest_address).field("rpc", &self.rpc_address).finish_non_exhaustive()
    }
}

impl JobManager {
    /// Starts to serve and to contend for leadership.
    ///
    /// REST and the control plane (the service for TaskManagers and every actor) each have threads of their own, so
    /// that a flood of requests delays no heartbeat.
    pub fn start(options: JobManagerOptions) -> Result<Self, StartError> {
        metrics::describe();
        ::metrics::gauge!(metrics::IS_LEADER).set(0.0);
        let rest_listener = bind(options.rest_bind, "REST")?;
        let rpc_listener = bind(options.rpc_bind, "TaskManagers")?;
        let (rest_address, rpc_address) = (rest_listener.local_addr()?, rpc_listener.local_addr()?);
        let host = &options.advertised_host;
        let candidate = Candidate {
            name: options.name.clone(),
            rpc_address: format!("{host}:{}", rpc_address.port()),
            rest_address: format!("{host}:{}", rest_address.port()),
        };
        let (leading, leading_end) = watch::channel(None);
        let (refused, refused_end) = watch::channel(None);
        let context = LeaderContext {
            ha: options.ha.clone(),
            files: options.files,
            checkpoints: CheckpointStorage::new(options.checkpoints),
            savepoint_dir: options.savepoint_dir,
            storage_options: options.storage_options,
            heartbeat: options.heartbeat,
            dispatcher: options.dispatcher,
            job_master: options.job_master,
            leading,
            refused,
        };
        let agent = DrillAgent::new(options.name.clone(), options.faults);
        let rest = Rest::new(options.name, options.ha.clone(), leading_end.clone(), options.config, options.metrics, agent);
        let (stop, stop_end) = watch::channel(false);
        let service = LinkService::new(leading_end, options.ha.clone());
        let ended = vec![
            run_thread(
                "weir-control",
                CONTROL_THREADS,
                run_control(context, candidate, rpc_listener, service, stop_end.clone()),
            )?,
            run_thread("weir-rest", 1, run_rest(rest, rest_listener, stop_end))?,
        ];
        tracing::info!(%rest_address, %rpc_address, "JobManager started");
        Ok(Self { ha: options.ha, rest_address, rpc_address, stop, refused: refused_end, ended })
    }

    /// Where REST listens.
    pub fn rest_address(&self) -> SocketAddr {
        self.rest_address
    }

    /// Where the service for TaskManagers listens.
    pub fn rpc_address(&self) -> SocketAddr {
        self.rpc_address
    }

    /// Waits until it is known that this process must not lead, and why: its store says so. Then shut it down.
    pub fn refused(&self) -> impl Future<Output = String> + use<> {
        let mut refused = self.refused.clone();
        async move {
            let reason = refused.wait_for(Option::is_some).await.ok().and_then(|reason| reason.clone());
            match reason {
                Some(reason) => reason,
                None => std::future::pending().await,
            }
        }
    }

    /// Hands leadership over, if it leads, and stops. Running tasks go on under the next leader.
    pub async fn shutdown(self) {
        if tokio::time::timeout(HAND_OVER_DEADLINE, self.ha.shutdown()).await.is_err() {
            tracing::warn!("leadership was not handed over in time; the others elect without us");
        }
        self.stop.send_replace(true);
        for ended in self.ended {
            if tokio::time::timeout(STOP_DEADLINE, ended).await.is_err() {
                tracing::error!("a thread of the JobManager did not end in time");
            }
        }
    }
}

fn bind(address: SocketAddr, what: &'static str) -> Result<BoundListener, StartError> {
    BoundListener::bind(&address.to_string()).map_err(|source| StartError::Bind { address, what, source })
}

/// Runs a future on a runtime and threads of its own; the receiver hears when it has ended.
fn run_thread(
    name: &'static str,
    workers: usize,
    future: impl Future<Output = ()> + Send + 'static,
) -> Result<Ended, std::io::Error> {
    // A task, so that the workers share it and this thread only waits.
    let main = move || async move {
        if weir_world::spawn(name, future).await.is_err() {
            tracing::error!(thread = name, "a part of the JobManager panicked");
        }
    };
    OwnRuntime::multi_threaded(name, workers, BLOCKING_THREADS)?.drive(name, Some(THREAD_GRACE), main, || {})
}

async fn run_rest(rest: Rest, listener: BoundListener, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        outcome = rest::serve(rest, listener) => {
            if let Err(error) = outcome {
                tracing::error!(%error, "REST has ended");
            }
        }
    }
}

async fn run_control(
    context: LeaderContext,
    candidate: Candidate,
    listener: BoundListener,
    service: LinkService,
    mut stop: watch::Receiver<bool>,
) {
    // Without its service this process can still answer REST, but must not lead.
    let serve = async move {
        let listener = match listener.serve() {
            Ok(listener) => listener,
            Err(error) => {
                tracing::error!(%error, "the service for TaskManagers can't start: withdrawing from leadership");
                return;
            }
        };
        tokio::select! {
            biased;
            _ = stop.wait_for(|stop| *stop) => {}
            outcome = service::serve(listener, service) => {
                tracing::error!(?outcome, "the service for TaskManagers has ended: withdrawing from leadership");
            }
        }
    };
    contend(context, candidate, serve).await;
}

/// What this process is to the cluster.
enum State {
    Standby,
    Leader(Box<Leader>),
}

impl State {
    async fn superseded(&mut self) {
        match self {
            Self::Standby => std::future::pending().await,
            Self::Leader(leader) => leader.superseded().await,
        }
    }

    /// Takes the leader out, if there is one, and stops it.
    async fn stop_leading(&mut self, reason: &str) {
        if let Self::Leader(leader) = std::mem::replace(self, Self::Standby) {
            ::metrics::gauge!(metrics::IS_LEADER).set(0.0);
            tracing::warn!(reason, "no longer leading");
            if tokio::time::timeout(STOP_DEADLINE, leader.stop(reason)).await.is_err() {
                tracing::error!("the former leader's tasks did not end in time; the store refuses what they write");
            }
        }
    }
}

/// Contends for leadership, and leads when granted, until `serve` ends.
async fn contend(context: LeaderContext, candidate: Candidate, serve: impl Future<Output = ()>) {
    let mut serve = std::pin::pin!(serve);
    let mut election = context.ha.campaign(candidate);
    let mut refused = context.refused.subscribe();
    let mut state = State::Standby;
    loop {
        tokio::select! {
            biased;
            event = election.next() => match event {
                Some(LeadershipEvent::Granted(leadership)) => {
                    state.stop_leading("granted anew").await;
                    let epoch = leadership.epoch();
                    tracing::info!(%epoch, "leadership granted: taking over");
                    ::metrics::gauge!(metrics::IS_LEADER).set(1.0);
                    ::metrics::gauge!(metrics::LEADER_EPOCH).set(epoch.0 as f64);
                    ::metrics::counter!(metrics::LEADERSHIPS).increment(1);
                    state = State::Leader(Box::new(Leader::start(context.clone(), leadership)));
                }
                Some(LeadershipEvent::Revoked) => {
                    weir_world::delay_at_times("leadership-revoked").await;
                    state.stop_leading("leadership revoked").await;
                }
                None => {
                    state.stop_leading("the HA provider has stopped").await;
                    serve.await;
                    return;
                }
            },
            true = async { refused.wait_for(Option::is_some).await.is_ok() } => {
                state.stop_leading("nobody may lead here").await;
                return;
            }
            () = state.superseded() => state.stop_leading("superseded by a newer leader").await,
            () = &mut serve => {
                state.stop_leading("shutting down").await;
                return;
            }
        }
    }
}
