//! Runs a role or a local cluster in this process until it is told to stop.

use std::future::{Future, pending};
use std::io::Read;
use std::pin::Pin;
use std::time::Duration;

use tokio::sync::oneshot;
use weir_local::{LocalCluster, LocalClusterOptions};
use weir_world::out_line;

use super::exit_code::Failure;
use super::{LocalArguments, RoleArguments};
use crate::config::Config;
use crate::config::option;
use crate::config::value::LogFormat;
use crate::{assembly, logging};

/// Pause between two checks of a local cluster's processes. It also limits how often a process that ends at once is restarted.
const SUPERVISION_PACE: Duration = Duration::from_millis(500);

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
    role().map_err(|failure| match format {
        LogFormat::Text => failure,
        LogFormat::Json => {
            tracing::error!("{failure}");
            failure.already_reported()
        }
    })
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
    std::fs::create_dir_all(&arguments.dir)?;
    let directory = arguments.dir.canonicalize()?;
    let mut cluster = LocalCluster::start(LocalClusterOptions {
        jobmanagers: arguments.jobmanagers,
        taskmanagers: arguments.taskmanagers,
        slots: arguments.slots,
        rest_port: Some(arguments.rest_port),
        settings: arguments.settings.clone(),
        ..LocalClusterOptions::under(&directory)?
    })?;
    out_line!("{} JobManagers, {} TaskManagers of {} slots", arguments.jobmanagers, arguments.taskmanagers, arguments.slots);
    out_line!("  REST   {}", cluster.rest_addresses().join(", "));
    out_line!("  files  {}", directory.display());
    out_line!("  logs   {}", cluster.logs().display());
    out_line!("Ctrl-C stops the cluster. Try: weir ha status -m {}", cluster.rest_addresses().join(","));
    let supervisor = supervise(&mut cluster, arguments.supervise);
    wait_for_the_end(false, supervisor, async || out_line!("stopping"))?;
    Ok(cluster.shutdown()?)
}

/// Restarts processes that have ended by themselves. If a restart fails, returns the reason; otherwise never returns.
async fn supervise(cluster: &mut LocalCluster, wanted: bool) -> String {
    if !wanted {
        return pending().await;
    }
    loop {
        match cluster.revive() {
            Ok(revived) => revived.iter().for_each(|name| out_line!("{name} had ended and was restarted")),
            Err(error) => return format!("a process that had ended can't be restarted: {error}"),
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
