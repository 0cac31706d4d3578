//! From a configuration to a running role: the only place that knows every part.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Arc;
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use weir_control_plane::dispatcher::DispatcherOptions;
use weir_control_plane::job_manager::{JobManager, JobManagerOptions};
use weir_control_plane::job_master::JobMasterOptions;
use weir_control_plane::resource_manager::HeartbeatOptions;
use weir_dataflow::registry::OperatorRegistry;
use weir_ha::HaServices;
use weir_protocol::drill::FaultInjectorRef;
use weir_protocol::job_graph::JobGraph;
use weir_storage::{StorageOptions, StorageOutage};
use weir_worker::{TaskManager, TaskManagerOptions};

use crate::config::Config;
use crate::coordination;
pub use crate::start_error::StartError;
use weir_drill::agent::ProcessFaults;

/// Every operator this build can run.
pub fn operators() -> OperatorRegistry {
    let mut registry = OperatorRegistry::default();
    weir_dataflow::operators::register_operators(&mut registry);
    weir_connectors::register_connectors(&mut registry);
    registry
}

/// Whether a graph could run here: structure and options first, then expressions and schemas. Touches nothing outside.
pub fn check_graph(graph: &JobGraph) -> Result<(), Vec<String>> {
    weir_protocol::job_graph::validate::validate(graph)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    weir_dataflow::check::check_graph(graph, &operators()).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// Starts a JobManager.
pub fn start_job_manager(config: &Config) -> Result<JobManager, StartError> {
    config.require("a JobManager", &["high-availability.storageDir", "execution.checkpointing.dir"])?;
    let metrics = install_metrics();
    let mut storage_options = storage_options(config);
    let ha = coordination::start(config)?;
    let mut faults = None;
    if config.boolean("drill.agent.enabled") {
        let checkpoints = weir_storage::open(&config.text("execution.checkpointing.dir"), &storage_options)?;
        let outage = StorageOutage::below(checkpoints.uri());
        faults = Some(agent(Some(ha.clone()), outage.clone()));
        storage_options.outage = Some(outage);
    }
    let open = |key| weir_storage::open(&config.text(key), &storage_options);
    let options = JobManagerOptions {
        name: config.text("jobmanager.name"),
        ha,
        files: open("high-availability.storageDir")?,
        checkpoints: open("execution.checkpointing.dir")?,
        savepoint_dir: config.get("execution.checkpointing.savepoint-dir").map(str::to_owned),
        rest_bind: address(config, "rest.bind-address", "rest.port")?,
        rpc_bind: address(config, "jobmanager.bind-host", "jobmanager.rpc.port")?,
        advertised_host: config.text("jobmanager.rpc.address"),
        heartbeat: HeartbeatOptions {
            interval_ms: config.milliseconds("heartbeat.interval"),
            timeout_ms: config.milliseconds("heartbeat.timeout"),
        },
        dispatcher: DispatcherOptions {
            checkpointing: config.checkpoint_config(),
            restart_strategy: config.restart_strategy_config(),
            ..DispatcherOptions::default()
        },
        job_master: JobMasterOptions {
            slot_request_timeout_ms: config.milliseconds("slot.request.timeout"),
            checkpoint_history: config.integer("web.checkpoints.history") as usize,
            ..JobMasterOptions::default()
        },
        config: config.shown(),
        storage_options,
        metrics,
        faults,
    };
    Ok(JobManager::start(options)?)
}

/// Starts a TaskManager.
pub fn start_task_manager(config: &Config) -> Result<TaskManager, StartError> {
    let metrics = install_metrics();
    let id =
        config.get("taskmanager.resource-id").map_or_else(|| format!("tm-{:08x}", weir_world::random_id() as u32), str::to_owned);
    let mut jobmanagers = config.list("jobmanager.rpc.addresses");
    if jobmanagers.is_empty() {
        jobmanagers.push(format!("{}:{}", config.text("jobmanager.rpc.address"), config.text("jobmanager.rpc.port")));
    }
    let mut storage = storage_options(config);
    let mut faults = None;
    if config.boolean("drill.agent.enabled") {
        // Nothing but checkpoints and savepoints is opened by it.
        let outage = StorageOutage::of_everything();
        faults = Some(agent(None, outage.clone()));
        storage.outage = Some(outage);
    }
    let options = TaskManagerOptions {
        bind_host: config.text("taskmanager.bind-host"),
        data_port: config.integer("taskmanager.data.port") as u16,
        http_port: config.integer("taskmanager.http.port") as u16,
        slots: config.integer("taskmanager.numberOfTaskSlots") as u32,
        memory_bytes: config.size("taskmanager.memory.process.size"),
        inline_state_limit: config.size("execution.checkpointing.data-inline-threshold") as usize,
        heartbeat_interval_ms: config.milliseconds("heartbeat.interval"),
        heartbeat_timeout_ms: config.milliseconds("heartbeat.timeout"),
        storage,
        metrics,
        faults,
        ..TaskManagerOptions::new(id, jobmanagers, operators())
    };
    Ok(TaskManager::start(options)?)
}

/// What drills may order this process to do to itself, where that is switched on.
fn agent(store: Option<HaServices>, storage: StorageOutage) -> FaultInjectorRef {
    tracing::warn!("drill.agent.enabled: whoever reaches the HTTP port of this process can kill it");
    Arc::new(ProcessFaults::new(store, storage))
}

fn address(config: &Config, host: &'static str, port: &'static str) -> Result<SocketAddr, StartError> {
    let number = config.text(port);
    let number =
        number.parse::<u16>().map_err(|error| StartError::Address { key: port, text: number, reason: error.to_string() })?;
    Ok(SocketAddr::new(ip(config, host)?, number))
}

fn ip(config: &Config, key: &'static str) -> Result<IpAddr, StartError> {
    let text = config.text(key);
    let refuse = |reason: String| StartError::Address { key, text: text.clone(), reason };
    let mut found = (text.as_str(), 0).to_socket_addrs().map_err(|error| refuse(error.to_string()))?;
    found.next().map(|address| address.ip()).ok_or_else(|| refuse("no such host".to_owned()))
}

fn storage_options(config: &Config) -> StorageOptions {
    let text = |key| config.get(key).map(str::to_owned);
    let mut options = StorageOptions::default();
    options.s3.endpoint = text("s3.endpoint");
    options.s3.access_key = text("s3.access-key");
    options.s3.secret_key = text("s3.secret-key");
    options.s3.region = text("s3.region");
    options.s3.path_style = config.boolean("s3.path.style.access");
    options
}

/// How often the recorder folds its samples into summaries.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Installs the process's metrics recorder; `None` if there is one already (a test program).
fn install_metrics() -> Option<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder().ok()?;
    weir_ha::metrics::describe();
    weir_connectors::metrics::describe();
    let kept_up = handle.clone();
    let upkeep = move || loop {
        std::thread::sleep(METRICS_UPKEEP);
        kept_up.run_upkeep();
    };
    if let Err(error) = std::thread::Builder::new().name("metrics".to_owned()).spawn(upkeep) {
        tracing::warn!(%error, "metrics are not kept up: their memory will grow");
    }
    Some(handle)
}
