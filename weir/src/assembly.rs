//! Starts the roles from a configuration. Only this module knows every part of a process.

use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use weir_connectors::query_results::local_directory;
use weir_control_plane::dispatcher::DispatcherOptions;
use weir_control_plane::job_manager::{JobManager, JobManagerOptions};
use weir_control_plane::job_master::JobMasterOptions;
use weir_control_plane::resource_manager::HeartbeatOptions;
use weir_dataflow::registry::OperatorRegistry;
use weir_drill::agent::ProcessFaults;
use weir_ha::HaServices;
use weir_protocol::drill::FaultInjectorRef;
use weir_protocol::http_access::HttpAccess;
use weir_protocol::job_graph::JobGraph;
use weir_sql_gateway::results::ResultPlace;
use weir_sql_gateway::{GatewayOptions, SqlGateway};
use weir_storage::{StorageOptions, StorageOutage};
use weir_worker::{TaskManager, TaskManagerOptions};

use crate::config::Config;
use crate::config::option::{self, ConfigOption};
use crate::config::value::HaType;
use crate::coordination;
pub use crate::start_error::StartError;
use crate::storage_check;

/// Registers the operators of the author of this binary.
static OWN: OnceLock<fn(&mut OperatorRegistry)> = OnceLock::new();

/// Adds operators to those that this process can run. Only the first call counts.
pub(crate) fn register_own(register: fn(&mut OperatorRegistry)) {
    OWN.get_or_init(|| register);
}

/// Every operator that this process can run.
pub fn operators() -> OperatorRegistry {
    let mut registry = OperatorRegistry::default();
    weir_dataflow::operators::register_operators(&mut registry);
    weir_connectors::register_connectors(&mut registry);
    #[cfg(feature = "kafka")]
    weir_kafka::register_kafka(&mut registry);
    if let Some(register) = OWN.get() {
        register(&mut registry);
    }
    registry
}

/// Checks whether this build can run a graph: first its structure and options, then its expressions and schemas. Opens nothing
/// that the graph names. The error has one message for each problem.
pub fn check_graph(graph: &JobGraph) -> Result<(), Vec<String>> {
    weir_protocol::job_graph::validate::validate(graph)
        .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    weir_dataflow::check::check_graph(graph, &operators()).map_err(|errors| errors.iter().map(ToString::to_string).collect())
}

/// Starts a JobManager in this process.
pub fn start_job_manager(config: &Config) -> Result<JobManager, StartError> {
    let storage_dir = config.require("a JobManager", &option::HA_STORAGE_DIR)?;
    let checkpoint_dir = config.require("a JobManager", &option::CHECKPOINTING_DIR)?;
    let metrics = install_metrics();
    let mut storage_options = storage_options(config);
    // Before this JobManager joins the others: with a wrong configuration it could only lead badly.
    storage_check::check(config, &[&option::HA_STORAGE_DIR, &option::CHECKPOINTING_DIR], &storage_options)?;
    let ha = coordination::start(config)?;
    let mut faults = None;
    if config.get(&option::DRILL_AGENT_ENABLED) {
        let checkpoints = weir_storage::open(&checkpoint_dir, &storage_options)?;
        let outage = StorageOutage::below(checkpoints.uri());
        faults = Some(agent(Some(ha.clone()), outage.clone()));
        storage_options.outage = Some(outage);
    }
    let options = JobManagerOptions {
        name: config.get(&option::JOBMANAGER_NAME),
        ha,
        store_survives: config.get(&option::HA_TYPE) != HaType::None,
        files: weir_storage::open(&storage_dir, &storage_options)?,
        checkpoints: weir_storage::open(&checkpoint_dir, &storage_options)?,
        savepoint_dir: config.get(&option::CHECKPOINTING_SAVEPOINT_DIR),
        rest_bind: address(config, &option::REST_BIND_ADDRESS, &option::REST_PORT)?,
        rpc_bind: address(config, &option::JOBMANAGER_BIND_HOST, &option::JOBMANAGER_RPC_PORT)?,
        advertised_host: config.get(&option::JOBMANAGER_RPC_ADDRESS),
        http_access: http_access(config),
        heartbeat: HeartbeatOptions {
            interval_ms: config.milliseconds(&option::HEARTBEAT_INTERVAL),
            timeout_ms: config.milliseconds(&option::HEARTBEAT_TIMEOUT),
        },
        dispatcher: DispatcherOptions {
            max_results: config.get(&option::JOBSTORE_MAX_CAPACITY),
            result_retention_ms: config.milliseconds(&option::JOBSTORE_EXPIRATION_TIME),
            checkpointing: config.checkpoint_config(),
            restart_strategy: config.restart_strategy_config(),
            ..DispatcherOptions::default()
        },
        job_master: JobMasterOptions {
            slot_request_timeout_ms: config.milliseconds(&option::SLOT_REQUEST_TIMEOUT),
            cancellation_interval_ms: config.milliseconds(&option::TASK_CANCELLATION_INTERVAL),
            cancellation_timeout_ms: config.milliseconds(&option::TASK_CANCELLATION_TIMEOUT),
            checkpoint_history: config.get(&option::WEB_CHECKPOINTS_HISTORY),
            exception_history: config.get(&option::WEB_EXCEPTION_HISTORY_SIZE),
        },
        config: config.shown(),
        storage_options,
        metrics,
        faults,
        services: [Arc::new(gateway(config, &checkpoint_dir)) as _].into(),
    };
    Ok(JobManager::start(options)?)
}

fn gateway(config: &Config, checkpoint_dir: &str) -> SqlGateway {
    SqlGateway::new(GatewayOptions::default(), result_place(config, checkpoint_dir), check_graph)
}

/// Where the rows of queries are: in the configured directory, or else below that of the checkpoints.
fn result_place(config: &Config, checkpoint_dir: &str) -> ResultPlace {
    let directory = match config.get(&option::SQL_RESULTS_DIR) {
        Some(path) => local_directory(&path).ok_or_else(|| format!("sql.results.dir is {path:?}, which is not a local path")),
        None => local_directory(checkpoint_dir).map(|directory| directory.join("query-results")).ok_or_else(|| {
            let why = format!("execution.checkpointing.dir is {checkpoint_dir:?}, where the rows of queries can't be");
            format!("{why}; set sql.results.dir to a directory that all JobManagers and TaskManagers share")
        }),
    };
    ResultPlace { directory, idle_timeout_ms: config.milliseconds(&option::SQL_RESULTS_IDLE_TIMEOUT) }
}

/// Starts a TaskManager in this process.
pub fn start_task_manager(config: &Config) -> Result<TaskManager, StartError> {
    let metrics = install_metrics();
    // Without a name, the TaskManager is named after the address of its data service.
    let id = config.get(&option::TASKMANAGER_RESOURCE_ID).unwrap_or_default();
    let mut jobmanagers = config.get(&option::JOBMANAGER_RPC_ADDRESSES);
    if jobmanagers.is_empty() {
        let (host, port) = (config.get(&option::JOBMANAGER_RPC_ADDRESS), config.get(&option::JOBMANAGER_RPC_PORT));
        jobmanagers.push(format!("{host}:{port}"));
    }
    let mut storage = storage_options(config);
    storage_check::check(config, &[&option::CHECKPOINTING_DIR], &storage)?;
    let mut faults = None;
    if config.get(&option::DRILL_AGENT_ENABLED) {
        // A TaskManager opens only checkpoints and savepoints with these options, so the outage may affect everything.
        let outage = StorageOutage::of_everything();
        faults = Some(agent(None, outage.clone()));
        storage.outage = Some(outage);
    }
    let options = TaskManagerOptions {
        bind_host: config.get(&option::TASKMANAGER_BIND_HOST),
        host: config.get(&option::TASKMANAGER_HOST),
        data_ports: config.get(&option::TASKMANAGER_DATA_PORT).0,
        http_ports: config.get(&option::TASKMANAGER_HTTP_PORT).0,
        slots: config.get(&option::TASKMANAGER_SLOTS),
        memory_bytes: config.get(&option::TASKMANAGER_MEMORY_PROCESS_SIZE).0,
        inline_state_limit: config.get(&option::CHECKPOINTING_DATA_INLINE_THRESHOLD).0 as usize,
        heartbeat_interval_ms: config.milliseconds(&option::HEARTBEAT_INTERVAL),
        heartbeat_timeout_ms: config.milliseconds(&option::HEARTBEAT_TIMEOUT),
        storage,
        http_access: http_access(config),
        metrics,
        faults,
        ..TaskManagerOptions::new(id, jobmanagers, operators())
    };
    Ok(TaskManager::start(options)?)
}

/// The agent through which drills can inject faults into this process. Only for processes with `drill.agent.enabled`.
fn agent(store: Option<HaServices>, storage: StorageOutage) -> FaultInjectorRef {
    tracing::warn!("drill.agent.enabled is true: anyone who reaches the HTTP port of this process can kill it");
    Arc::new(ProcessFaults::new(store, storage))
}

fn http_access(config: &Config) -> HttpAccess {
    HttpAccess::new(config.get(&option::REST_ALLOWED_HOSTS), config.get(&option::REST_ALLOWED_ORIGINS))
}

fn address(config: &Config, host: &ConfigOption<String>, port: &ConfigOption<u16>) -> Result<SocketAddr, StartError> {
    Ok(SocketAddr::new(ip(config, host)?, config.get(port)))
}

fn ip(config: &Config, host: &ConfigOption<String>) -> Result<IpAddr, StartError> {
    let text = config.get(host);
    let refuse = |reason: String| StartError::Address { key: host.key, text: text.clone(), reason };
    let mut found = (text.as_str(), 0).to_socket_addrs().map_err(|error| refuse(error.to_string()))?;
    found.next().map(|address| address.ip()).ok_or_else(|| refuse("no such host".to_owned()))
}

pub(crate) fn storage_options(config: &Config) -> StorageOptions {
    let mut options = StorageOptions::default();
    options.s3.endpoint = config.get(&option::S3_ENDPOINT);
    options.s3.access_key = config.get(&option::S3_ACCESS_KEY);
    options.s3.secret_key = config.get(&option::S3_SECRET_KEY).map(|secret| secret.0);
    options.s3.region = Some(config.get(&option::S3_REGION));
    options.s3.path_style = config.get(&option::S3_PATH_STYLE_ACCESS);
    options
}

/// How often the metrics recorder merges its samples into summaries, which bounds its memory.
const METRICS_UPKEEP: Duration = Duration::from_secs(5);

/// Installs the metrics recorder of the process. Returns `None` if there is one already, as in a test program.
fn install_metrics() -> Option<PrometheusHandle> {
    let handle = PrometheusBuilder::new().install_recorder().ok()?;
    weir_ha::metrics::describe();
    weir_connectors::metrics::describe();
    #[cfg(feature = "kafka")]
    weir_kafka::metrics::describe();
    let kept_up = handle.clone();
    let upkeep = move || loop {
        std::thread::sleep(METRICS_UPKEEP);
        kept_up.run_upkeep();
    };
    if let Err(error) = std::thread::Builder::new().name("metrics".to_owned()).spawn(upkeep) {
        tracing::warn!(%error, "the thread for metrics did not start: the memory of metrics will grow");
    }
    Some(handle)
}
