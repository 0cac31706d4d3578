//! Runs a role or a local cluster in this process until it is told to stop.

use std::future::{Future, pending};
use std::io::Read;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::oneshot;
use weir_client::ClusterClient;
use weir_local::{Decision, LocalCluster, LocalClusterOptions, StartError, Supervisor};
use weir_world::out_line;

use super::exit_code::Failure;
use super::{LocalArguments, RoleArguments};
use crate::config::Config;
use crate::config::option;
use crate::config::value::LogFormat;
use crate::{assembly, logging};

/// Pause between two checks of a local cluster's processes. It also limits how often a process that ends at once is restarted.
const SUPERVISION_PACE: Duration = Duration::from_millis(500);
/// How long a local cluster is asked at a time whether it has a leader.
const LEADER_LOOK: Duration = Duration::from_millis(500);

/// Below this limit of file descriptors, a role warns at its start.
const FEW_DESCRIPTORS: u64 = 1_024;

/// Runs a JobManager until SIGINT or SIGTERM.
pub(super) fn job_manager(arguments: &RoleArguments, log: Option<&str>) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    logged(&config, log, || {
        abort_on_panic();
        let running = assembly::start_job_manager(&config)?;
        wait_for_the_end(arguments.exit_with_parent, running.refused(), || running.shutdown())
    })
}

/// Starts the log and runs a role. In JSON, the reason of a failure is part of the log, so that all of the output is JSON.
fn logged(config: &Config, log: Option<&str>, role: impl FnOnce() -> Result<(), Failure>) -> Result<(), Failure> {
    let format = config.get(&option::LOG_FORMAT);
    logging::start(log, format);
    config.notices().iter().for_each(|notice| tracing::warn!("{notice}"));
    raise_descriptor_limit();
    role().map_err(|failure| match format {
        LogFormat::Text => failure,
        LogFormat::Json => {
            tracing::error!("{failure}");
            failure.already_reported()
        }
    })
}

/// Connections share the file descriptors with the raft log and with checkpoints, and many systems allow only 1,024 at first.
fn raise_descriptor_limit() {
    match weir_world::descriptors::raise_limit() {
        Ok(limit) if limit < FEW_DESCRIPTORS => {
            tracing::warn!(limit, "this process may open few files and connections: raise its limit (LimitNOFILE, ulimit -n)");
        }
        Ok(limit) => tracing::info!(limit, "limit of file descriptors"),
        Err(error) => tracing::warn!(%error, "the limit of file descriptors can't be raised"),
    }
}

/// Makes a panic in any thread end the process, so that a standby takes over. A JobManager that has lost a thread could keep
/// leadership without doing its work.
fn abort_on_panic() {
    let report = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        report(panic);
        std::process::abort();
    }));
}

/// Runs a TaskManager until SIGINT or SIGTERM.
pub(super) fn task_manager(arguments: &RoleArguments, log: Option<&str>) -> Result<(), Failure> {
    let config = arguments.config.load()?;
    logged(&config, log, || {
        let running = assembly::start_task_manager(&config)?;
        wait_for_the_end(arguments.exit_with_parent, pending(), || running.shutdown())
    })
}

/// Runs a whole cluster on this machine until Ctrl-C.
pub(super) fn local(arguments: &LocalArguments) -> Result<(), Failure> {
    let settings = arguments.config.load_for_others()?;
    let created = std::fs::create_dir_all(&arguments.dir).and_then(|()| arguments.dir.canonicalize());
    let directory = created.map_err(|source| StartError::Directory { directory: arguments.dir.clone(), source })?;
    let mut cluster = LocalCluster::start(LocalClusterOptions {
        jobmanagers: arguments.jobmanagers,
        taskmanagers: arguments.taskmanagers,
        slots: arguments.slots,
        rest_port: Some(arguments.rest_port),
        settings,
        ..LocalClusterOptions::under(&directory)?
    })?;
    out_line!("starting {} JobManagers and {} TaskManagers", arguments.jobmanagers, arguments.taskmanagers);
    let client = cluster.client()?;
    let announcement = announcement(&cluster, arguments);
    let supervisor = watch_over(&mut cluster, &client, arguments.supervise, announcement);
    let outcome = wait_for_the_end(false, supervisor, async || out_line!("stopping"));
    let stopped = cluster.shutdown();
    outcome?;
    Ok(stopped?)
}

/// What the user needs to know about a cluster that is ready.
fn announcement(cluster: &LocalCluster, arguments: &LocalArguments) -> String {
    let addresses = cluster.rest_addresses();
    let LocalArguments { jobmanagers, taskmanagers, slots, .. } = arguments;
    [
        format!("{jobmanagers} JobManagers, {taskmanagers} TaskManagers of {slots} slots"),
        format!("  REST   {}", addresses.join(", ")),
        format!("  files  {}", cluster.directory().display()),
        format!("  logs   {}", cluster.logs().display()),
        format!("Ctrl-C stops the cluster. Try: weir ha status -m {}", addresses.join(",")),
    ]
    .join("\n")
}

/// Announces the cluster once it has a leader, and watches over its processes. Restarts those that end by themselves if `restart`
/// says so. Returns only to say why the cluster can't continue.
async fn watch_over(cluster: &mut LocalCluster, client: &ClusterClient, restart: bool, announcement: String) -> String {
    let (mut supervisor, mut announcement) = (Supervisor::default(), Some(announcement));
    loop {
        for end in cluster.take_ended() {
            let name = &end.name;
            if !restart {
                out_line!("{name} has ended {}", end.text());
                continue;
            }
            if let Decision::GiveUp(times) = supervisor.ended(name, end.lived) {
                let logs = cluster.logs();
                return format!(
                    "LOCAL-PROCESS: {name} ended {times} times in a row right after its start, the last time {}; its log is {}",
                    end.text(),
                    logs.join(format!("{name}.log")).display()
                );
            }
            if let Err(error) = cluster.restart(name) {
                return format!("LOCAL-PROCESS: {name} has ended and can't be restarted: {error}");
            }
            out_line!("{name} had ended and was restarted: {}", end.text());
        }
        if announcement.is_some()
            && client.ha_status(LEADER_LOOK).await.is_ok_and(|status| status.leader.is_some())
            && let Some(text) = announcement.take()
        {
            out_line!("{text}");
        }
        tokio::time::sleep(SUPERVISION_PACE).await;
    }
}

/// Blocks until the process is asked to stop, or until `failed` gives the reason why it can't continue. Then runs `stop`.
fn wait_for_the_end(with_parent: bool, failed: impl Future<Output = String>, stop: impl AsyncFnOnce()) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let reason = tokio::select! {
            asked = asked_to_stop() => asked.map(|()| None)?,
            () = parent_gone(with_parent) => {
                tracing::warn!("the parent process has ended: stopping");
                None
            }
            reason = failed => Some(reason),
        };
        stop().await;
        reason.map_or(Ok(()), |reason| Err(Failure::error(reason)))
    })
}

/// Waits for SIGINT, SIGTERM or SIGHUP.
pub(super) async fn asked_to_stop() -> std::io::Result<()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}

/// If `matters`, waits until standard input closes; otherwise never returns.
fn parent_gone(matters: bool) -> Pin<Box<dyn Future<Output = ()>>> {
    if !matters {
        return Box::pin(pending());
    }
    let (closed, on_closed) = oneshot::channel();
    let watch = move || {
        let mut buffer = [0; 64];
        while matches!(std::io::stdin().read(&mut buffer), Ok(count) if count > 0) {}
        let _ = closed.send(());
    };
    Box::pin(async move {
        let watcher = std::thread::Builder::new().name("parent-watch".to_owned()).spawn(watch);
        if watcher.is_err() || on_closed.await.is_err() {
            pending::<()>().await;
        }
    })
}
