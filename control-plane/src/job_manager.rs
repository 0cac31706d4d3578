//! The JobManager: it creates and connects the parts of the control plane in one process.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use weir_ha::store_identity::Markers;
use weir_ha::{Candidate, HaServices, LeadershipEvent};
use weir_protocol::drill::{DrillAgent, FaultInjectorRef};
use weir_protocol::http_access::HttpAccess;
use weir_storage::StorageOptions;
use weir_storage::checkpoint::CheckpointStorage;
use weir_storage::file_system::FileSystemRef;
use weir_world::net::{BoundListener, ConnectionLimits};
use weir_world::{Ended, OwnRuntime};

use crate::dispatcher::DispatcherOptions;
use crate::job_master::JobMasterOptions;
use crate::leader::{Leader, LeaderContext};
use crate::led_service::LedServices;
use crate::metrics;
use crate::resource_manager::HeartbeatOptions;
use crate::rest::{self, Rest};
use crate::rpc::service::{self, LinkService};

/// At shutdown, a handover of leadership may take this long.
const HAND_OVER_DEADLINE: Duration = Duration::from_secs(20);
/// The threads may take this long to end.
const STOP_DEADLINE: Duration = Duration::from_secs(10);
/// TaskManagers may use one part in so many of the process's file descriptors.
const TASK_MANAGER_CONNECTIONS: u64 = 4;
/// Threads of the control plane's runtime. While one is busy with a big graph, the other receives heartbeats.
const CONTROL_THREADS: usize = 2;
/// Maximum number of threads for blocking work in each runtime. This is tokio's default.
const BLOCKING_THREADS: usize = 512;
/// When a runtime ends, its blocking work may take this long to end.
const THREAD_GRACE: Duration = Duration::from_secs(1);

/// The settings and services that a JobManager needs.
pub struct JobManagerOptions {
    /// The stable name in the cluster, e.g. `jm-1`.
    pub name: String,
    /// Leader election, and the coordination store.
    pub ha: HaServices,
    /// Whether the coordination store survives the end of all JobManagers. If so, a leader checks that it is the store that the
    /// files belong to.
    pub store_survives: bool,
    /// Storage of job graphs (`high-availability.storageDir`).
    pub files: FileSystemRef,
    /// Storage of checkpoints (`execution.checkpointing.dir`). Tasks open it by its URI.
    pub checkpoints: FileSystemRef,
    /// URI of the directory for savepoints whose user names no directory (`execution.checkpointing.savepoint-dir`). `None` means
    /// a directory beside the checkpoints.
    pub savepoint_dir: Option<String>,
    /// Options for opening savepoint directories that users name.
    pub storage_options: StorageOptions,
    /// Address on which REST listens. Port 0 means any free port.
    pub rest_bind: SocketAddr,
    /// Address on which the service for TaskManagers listens. Port 0 means any free port.
    pub rpc_bind: SocketAddr,
    /// Host name or address at which others reach both services.
    pub advertised_host: String,
    /// Which HTTP requests REST accepts. The advertised host is always accepted.
    pub http_access: HttpAccess,
    /// Heartbeat settings: after how long a silent TaskManager is lost.
    pub heartbeat: HeartbeatOptions,
    /// Limits of jobs and results.
    pub dispatcher: DispatcherOptions,
    /// Limits of each job.
    pub job_master: JobMasterOptions,
    /// What `GET /jobmanager/config` shows. Secrets must already be masked.
    pub config: BTreeMap<String, String>,
    /// The metrics recorder of the process, for `GET /metrics`.
    pub metrics: Option<PrometheusHandle>,
    /// Carries out the faults of drills (`drill.agent.enabled`). `None` means that this process refuses faults.
    pub faults: Option<FaultInjectorRef>,
    /// Services that this process carries out while it leads. Standbys pass their requests on.
    pub services: LedServices,
}

impl fmt::Debug for JobManagerOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobManagerOptions").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Why a JobManager did not start. A retry helps only when the cause has been removed.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The JobManager can't listen on an address.
    #[error("JM-BIND: can't listen on {address} for {what}: {source}")]
    Bind {
        address: SocketAddr,
        what: &'static str,
        /// The error of the operating system.
        source: std::io::Error,
    },
    /// The operating system can't start a thread.
    #[error("JM-THREAD: can't start a thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A running JobManager. It is a standby, and leads while it is granted leadership.
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
    /// Starts the services and contends for leadership.
    ///
    /// REST and the control plane (the service for TaskManagers and all actors) have separate threads, so that a flood of
    /// requests does not delay heartbeats.
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
            services: Arc::clone(&options.services),
            leading,
            store_survives: options.store_survives,
            markers: Arc::default(),
            refused,
        };
        let agent = DrillAgent::new(options.name.clone(), options.faults);
        let access = options.http_access.and_host(host);
        let rest =
            Rest::new(options.name, options.ha.clone(), leading_end.clone(), options.config, options.metrics, agent, access);
        let (stop, stop_end) = watch::channel(false);
        let service = LinkService::new(leading_end, options.ha.clone());
        let ended = vec![
            run_thread(
                "weir-control",
                CONTROL_THREADS,
                run_control(context, candidate, rpc_listener, service, stop_end.clone()),
            )?,
            run_thread("weir-rest", 1, run_rest(rest, options.services, rest_listener, stop_end))?,
        ];
        tracing::info!(%rest_address, %rpc_address, "JobManager started");
        Ok(Self { ha: options.ha, rest_address, rpc_address, stop, refused: refused_end, ended })
    }

    /// The address on which REST listens.
    pub fn rest_address(&self) -> SocketAddr {
        self.rest_address
    }

    /// The address on which the service for TaskManagers listens.
    pub fn rpc_address(&self) -> SocketAddr {
        self.rpc_address
    }

    /// Waits until the store says that this process must not lead, and returns the reason. The caller must then shut it down.
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

    /// Hands over leadership, if this JobManager leads, and stops. Jobs continue under the next leader.
    pub async fn shutdown(self) {
        if tokio::time::timeout(HAND_OVER_DEADLINE, self.ha.shutdown()).await.is_err() {
            tracing::warn!("leadership was not handed over in time; the other JobManagers will elect a leader");
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

/// Runs a future on its own runtime and threads. The result completes when they have ended.
fn run_thread(
    name: &'static str,
    workers: usize,
    future: impl Future<Output = ()> + Send + 'static,
) -> Result<Ended, std::io::Error> {
    // The future runs as a task on the workers, and this thread only waits.
    let main = move || async move {
        if weir_world::spawn(name, future).await.is_err() {
            tracing::error!(thread = name, "a part of the JobManager panicked");
        }
    };
    OwnRuntime::multi_threaded(name, workers, BLOCKING_THREADS)?.drive(name, Some(THREAD_GRACE), main, || {})
}

async fn run_rest(rest: Rest, services: LedServices, listener: BoundListener, mut stop: watch::Receiver<bool>) {
    tokio::select! {
        biased;
        _ = stop.wait_for(|stop| *stop) => {}
        outcome = rest::serve(rest, &services, listener) => {
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
    // If the service for TaskManagers fails, this process can still answer REST, but must not lead.
    let serve = async move {
        let listener = match listener.serve(ConnectionLimits::processes(TASK_MANAGER_CONNECTIONS)) {
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
    // So that the first takeover of this process need not wait for file storage.
    let (markers, files) = (Arc::clone(&context.markers), Arc::clone(&context.files));
    let first_read = async move {
        // A takeover tries again.
        let _ = markers.get_or_try_init(|| Markers::read(&*files)).await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = contend(context, candidate, serve) => {}
        () = first_read => {}
    }
}

/// The role of this process in the cluster.
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

    /// Stops leading, if this process leads.
    async fn stop_leading(&mut self, reason: &str) {
        if let Self::Leader(leader) = std::mem::replace(self, Self::Standby) {
            ::metrics::gauge!(metrics::IS_LEADER).set(0.0);
            tracing::warn!(reason, "no longer leading");
            if tokio::time::timeout(STOP_DEADLINE, leader.stop(reason)).await.is_err() {
                tracing::error!("the former leader's tasks did not end in time; the store refuses their writes");
            }
        }
    }
}

/// Contends for leadership until `serve` ends, and leads while leadership is granted.
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
                state.stop_leading("this process must not lead").await;
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
