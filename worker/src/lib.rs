//! The TaskManager role: runs tasks in slots, exchanges their rows, and takes part in checkpoints.
//!
//! It has three kinds of threads, so that load does not delay heartbeats. One thread per slot (`slot-N`) runs the tasks. The I/O
//! runtime (`io`) serves the exchange and uploads. The agent (`agent`) communicates with the leader and never waits for the
//! others.

pub mod checkpoint;
pub mod checkpoint_storages;
pub mod http;
pub mod metrics;
pub mod network;
pub mod task;
pub mod task_executor;
pub mod task_series;

use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::PrometheusHandle;
use tokio::sync::watch;
use weir_dataflow::registry::OperatorRegistry;
use weir_protocol::TaskManagerId;
use weir_protocol::checkpoint::INLINE_STATE_LIMIT;
use weir_protocol::drill::{DrillAgent, FaultInjectorRef};
use weir_protocol::http_access::HttpAccess;
use weir_storage::StorageOptions;
use weir_world::net::{BoundListener, ConnectionLimits};
use weir_world::{Ended, OwnRuntime};

use checkpoint_storages::CheckpointStorages;
use network::NetworkOptions;
use network::client::Connections;
use network::registry::ChannelRegistry;
use network::server::DataService;
use task::deploy::Deployer;
use task::slot::Slot;
use task_executor::Identity;
use task_executor::gateway::{TaskExecutorGateway, TaskExecutorStatus};
use task_executor::runner::{Runner, RunnerParts};
use task_series::TaskSeries;

/// Threads of the I/O runtime.
const IO_THREADS: usize = 2;
/// Other TaskManagers may use one part in so many of the process's file descriptors.
const DATA_CONNECTIONS: u64 = 4;
/// Threads for blocking work of tasks: restoring, serialising, files.
const BLOCKING_THREADS: usize = 8;
/// When a runtime ends, it waits this long for blocking work.
const THREAD_GRACE: Option<Duration> = Some(Duration::from_secs(1));

/// The options of a TaskManager.
#[derive(Clone)]
pub struct TaskManagerOptions {
    /// Resource id; this process's incarnation is appended. If it is empty, the address of the data service is the id.
    pub id: String,
    /// `host:port` of the gRPC services of all JobManagers.
    pub jobmanagers: Vec<String>,
    /// Host to listen on.
    pub bind_host: String,
    /// Host under which others reach this TaskManager. `None`: the host to listen on.
    pub host: Option<String>,
    /// Ports of the data service. The first free one is taken; 0 takes any free one.
    pub data_ports: Vec<u16>,
    /// Ports of `/metrics`, `/livez` and `/readyz`. The first free one is taken; 0 takes any free one.
    pub http_ports: Vec<u16>,
    /// Number of slots.
    pub slots: u32,
    /// Memory budget in bytes, as reported to the JobManager.
    pub memory_bytes: u64,
    /// Time between two heartbeats, in milliseconds.
    pub heartbeat_interval_ms: u64,
    /// A leader that is silent for this many milliseconds counts as lost. Tasks continue.
    pub heartbeat_timeout_ms: u64,
    /// How to reach checkpoint storage.
    pub storage: StorageOptions,
    /// The kinds of operators that this process can run.
    pub registry: OperatorRegistry,
    /// Limits of the exchange between tasks.
    pub network: NetworkOptions,
    /// Most rows that a source reads at a time.
    pub max_batch_rows: usize,
    /// A subtask's new state of at most this many bytes goes into the checkpoint's metadata, larger state into its own file.
    pub inline_state_limit: usize,
    /// Which HTTP requests are accepted. `bind_host` is always accepted.
    pub http_access: HttpAccess,
    /// Renders `/metrics`. The program installs the recorder, because a process can have only one.
    pub metrics: Option<PrometheusHandle>,
    /// The series of a task stays in `/metrics` for this many milliseconds after the task has ended.
    pub keep_ended_series_ms: u64,
    /// Injects the faults of drills (`drill.agent.enabled`). If `None`, this process refuses them.
    pub faults: Option<FaultInjectorRef>,
}

impl TaskManagerOptions {
    /// Options with default values: one slot, loopback, free ports.
    pub fn new(id: impl Into<String>, jobmanagers: Vec<String>, registry: OperatorRegistry) -> Self {
        Self {
            id: id.into(),
            jobmanagers,
            bind_host: "127.0.0.1".into(),
            host: None,
            data_ports: vec![0],
            http_ports: vec![0],
            slots: 1,
            memory_bytes: 1728 << 20,
            heartbeat_interval_ms: 500,
            heartbeat_timeout_ms: 3_000,
            storage: StorageOptions::default(),
            registry,
            network: NetworkOptions::default(),
            max_batch_rows: 8_192,
            inline_state_limit: INLINE_STATE_LIMIT,
            http_access: HttpAccess::default(),
            metrics: None,
            keep_ended_series_ms: 120_000,
            faults: None,
        }
    }
}

/// Why a TaskManager could not start. It leaves nothing behind.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An option has an invalid value.
    #[error("TM-OPTION: {0}")]
    Option(String),
    /// A port is not available.
    #[error("TM-BIND: can't listen at {address}: {source}; is another process using the port?")]
    Bind { address: String, source: std::io::Error },
    /// All ports of a range are in use.
    #[error("TM-BIND: can't listen at any of the {ports} ports from {address} on, because they are in use: configure more ports")]
    BindRange { address: String, ports: usize },
    /// A thread could not be started.
    #[error("TM-THREAD: can't start a thread: {0}")]
    Thread(std::io::Error),
}

/// The addresses of a TaskManager's services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// `host:port` of its data service.
    pub data: String,
    /// `host:port` of its HTTP service.
    pub http: String,
}

/// A running TaskManager. Dropping it stops it without waiting.
pub struct TaskManager {
    id: TaskManagerId,
    addresses: Addresses,
    executor: TaskExecutorGateway,
    slots: Vec<Slot>,
    end: watch::Sender<bool>,
    threads: Vec<Ended>,
}

impl TaskManager {
    /// Starts the threads and listens. The search for the leader continues in the background.
    pub fn start(options: TaskManagerOptions) -> Result<Self, StartError> {
        check(&options)?;
        metrics::describe();
        let (data_listener, data_port) = bind(&options.bind_host, &options.data_ports)?;
        let (http_listener, http_port) = bind(&options.bind_host, &options.http_ports)?;
        let host = options.host.as_ref().unwrap_or(&options.bind_host);
        let addresses = Addresses { data: format!("{host}:{data_port}"), http: format!("{host}:{http_port}") };
        let name = if options.id.is_empty() { &addresses.data } else { &options.id };
        let id = TaskManagerId(format!("{name}-{:016x}", weir_world::random_id() as u64));

        let io = OwnRuntime::multi_threaded("io", IO_THREADS, BLOCKING_THREADS).map_err(StartError::Thread)?;
        let agent = OwnRuntime::single_threaded().map_err(StartError::Thread)?;

        let channels = Arc::new(ChannelRegistry::default());
        let mut threads = Vec::new();
        let mut slots = Vec::new();
        for index in 0..options.slots {
            let (slot, thread) = Slot::start(index, channels.clone()).map_err(StartError::Thread)?;
            slots.push(slot);
            threads.push(thread);
        }
        let deployer = Arc::new(Deployer {
            task_manager: id.clone(),
            operators: options.registry,
            channels: channels.clone(),
            connections: Connections::new(id.clone(), options.network.clone()),
            network: options.network.clone(),
            max_batch_rows: options.max_batch_rows.max(1),
            inline_state_limit: options.inline_state_limit,
        });
        let identity = Identity {
            task_manager: id.clone(),
            data_address: addresses.data.clone(),
            http_address: addresses.http.clone(),
            slots: options.slots,
            memory_bytes: options.memory_bytes,
            heartbeat_interval_ms: options.heartbeat_interval_ms.max(1),
            heartbeat_timeout_ms: options.heartbeat_timeout_ms.max(1),
            seed: weir_world::random_id() as u64,
        };
        let series = Arc::new(TaskSeries::new(options.keep_ended_series_ms));
        let parts = RunnerParts {
            identity,
            jobmanagers: options.jobmanagers,
            deployer,
            slots: slots.clone(),
            storages: Arc::new(CheckpointStorages::new(options.storage)),
            series: series.clone(),
            io: io.handle(),
        };
        let (runner, executor) = Runner::launch(parts);
        let drills = DrillAgent::new(id.0.clone(), options.faults);
        let access = options.http_access.and_host(&options.bind_host);
        let access = options.host.iter().fold(access, |access, host| access.and_host(host));
        let pages = http::Pages { metrics: options.metrics, series, executor: executor.clone(), drills, access };
        let service = Arc::new(DataService { task_manager: id.clone(), registry: channels, options: options.network });
        let (end, ended) = watch::channel(false);
        let (io_ended, agent_ended) = (ended.clone(), ended);
        let io = io.drive("io-main", THREAD_GRACE, move || serve_data(service, data_listener, io_ended), || {});
        threads.push(io.map_err(StartError::Thread)?);
        let agent = agent.drive("agent", THREAD_GRACE, move || run_agent(runner, pages, http_listener, agent_ended), || {});
        threads.push(agent.map_err(StartError::Thread)?);
        tracing::info!(task_manager = %id, data = addresses.data, http = addresses.http, slots = slots.len(), "TaskManager started");
        Ok(Self { id, addresses, executor, slots, end, threads })
    }

    /// The TaskManager's id, including its incarnation.
    pub fn id(&self) -> &TaskManagerId {
        &self.id
    }

    /// The addresses of its services.
    pub fn addresses(&self) -> &Addresses {
        &self.addresses
    }

    /// The TaskManager's current status.
    pub fn status(&self) -> TaskExecutorStatus {
        self.executor.status()
    }

    /// Stops the tasks, tells the leader and ends all threads. Waits a few seconds at most. A thread whose operator does not
    /// return is left running.
    pub async fn shutdown(mut self) {
        self.executor.stop();
        self.executor.stopped().await;
        self.end_threads();
        let threads = std::mem::take(&mut self.threads);
        let _ = tokio::time::timeout(Duration::from_secs(5), futures::future::join_all(threads)).await;
    }

    fn end_threads(&self) {
        for slot in &self.slots {
            slot.stop();
        }
        self.end.send_replace(true);
    }
}

impl Drop for TaskManager {
    fn drop(&mut self) {
        self.executor.stop();
        self.end_threads();
    }
}

fn check(options: &TaskManagerOptions) -> Result<(), StartError> {
    let refuse = |message: &str| Err(StartError::Option(message.to_owned()));
    if options.id.len() > 200 {
        return refuse("the id must have at most 200 characters");
    }
    if options.data_ports.is_empty() || options.http_ports.is_empty() {
        return refuse("name at least one port for each service");
    }
    if options.slots == 0 || options.slots > 1024 {
        return refuse("slots must be from 1 to 1024");
    }
    if options.jobmanagers.is_empty() {
        return refuse("name at least one JobManager");
    }
    if options.heartbeat_timeout_ms <= options.heartbeat_interval_ms {
        return refuse("the heartbeat timeout must exceed the interval");
    }
    Ok(())
}

/// Listens at the first of the ports that is not in use.
fn bind(host: &str, ports: &[u16]) -> Result<(BoundListener, u16), StartError> {
    for port in ports {
        let address = format!("{host}:{port}");
        let listen = || -> std::io::Result<_> {
            let listener = BoundListener::bind(&address)?;
            let port = listener.local_addr()?.port();
            Ok((listener, port))
        };
        match listen() {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse && ports.len() > 1 => {}
            outcome => return outcome.map_err(|source| StartError::Bind { address: address.clone(), source }),
        }
    }
    let first = ports.first().copied().unwrap_or_default();
    Err(StartError::BindRange { address: format!("{host}:{first}"), ports: ports.len() })
}

async fn serve_data(service: Arc<DataService>, listener: BoundListener, mut ended: watch::Receiver<bool>) {
    let limits = ConnectionLimits::processes(DATA_CONNECTIONS);
    let limits = ConnectionLimits { most: limits.most.min(service.options.max_connections), ..limits };
    match listener.serve(limits) {
        Ok(listener) => drop(weir_world::spawn("data-service", service.serve(listener))),
        Err(error) => tracing::error!(%error, "the data service can't listen"),
    }
    let _ = ended.wait_for(|ended| *ended).await;
}

async fn run_agent(
    runner: impl Future<Output = ()>,
    pages: http::Pages,
    listener: BoundListener,
    mut ended: watch::Receiver<bool>,
) {
    weir_world::spawn("http", async move {
        if let Err(error) = http::serve(pages, listener).await {
            tracing::error!(%error, "the HTTP service can't listen");
        }
    });
    tokio::select! {
        () = runner => {}
        _ = ended.wait_for(|ended| *ended) => {}
    }
}
