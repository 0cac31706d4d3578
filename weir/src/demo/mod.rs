//! `weir demo`: runs a real job on real data, kills the leader and a TaskManager, and checks every row of the output.

mod data;
mod job;
mod observer;
mod oracle;
mod report;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use weir_client::{ClientError, ClusterClient};
use weir_protocol::JobId;
use weir_protocol::rest::JobDescription;

use observer::{Before, OutputWatch, Victim};
use report::{DemoReport, FailoverReport};
use weir_local::{Coordination, LocalCluster, LocalClusterOptions};
use weir_world::out_line;

/// How long the cluster and the job may take to start.
const START_PATIENCE: Duration = Duration::from_secs(60);
/// How long the job may take to end after the last failover.
const END_PATIENCE: Duration = Duration::from_secs(300);
/// How long one request to the cluster may take.
const CALL: Duration = Duration::from_secs(10);
/// Number of rows in the data: all flights of the year.
const ROWS: u64 = 336_776;

/// The options of the demo.
#[derive(Debug, Clone)]
pub struct DemoOptions {
    /// Rows per second that the whole job reads.
    pub rows_per_second: u64,
    /// What the JobManagers coordinate through.
    pub coordination: Coordination,
    /// Working directory. `None`: a temporary directory, which is removed at the end.
    pub directory: Option<PathBuf>,
    /// The file to which the report is written.
    pub report: PathBuf,
    /// Further settings for every process, as `key=value`.
    pub settings: Vec<String>,
}

/// The reason why the demo failed.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    /// The output differs from the expected rows; the text is the verdict.
    #[error("the output is not exactly-once: {0}")]
    NotExactlyOnce(&'static str),
    /// The cluster or the job did not make progress in time.
    #[error("{what}; the logs are in {logs}")]
    Stuck {
        /// What did not happen.
        what: String,
        /// Directory of the log files.
        logs: String,
    },
    /// The cluster refused a request, or did not answer.
    #[error(transparent)]
    Client(#[from] ClientError),
    /// The cluster could not be started.
    #[error(transparent)]
    Start(#[from] weir_local::StartError),
    /// An operation on files or processes failed.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The job graph or the report is not valid JSON.
    #[error(transparent)]
    Json(#[from] serde_json::Error),
}

/// Runs the demo and prints its progress and its report. Returns an error unless every row is in the output exactly once.
pub fn run(options: &DemoOptions) -> Result<(), DemoError> {
    let temporary = match options.directory {
        Some(_) => None,
        None => Some(WorkDirectory::create()?),
    };
    let directory = options.directory.clone().or_else(|| temporary.as_ref().map(|made| made.path.clone())).unwrap_or_default();
    std::fs::create_dir_all(&directory)?;
    let directory = directory.canonicalize()?;

    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(play(options, &directory))?;
    report.write(&options.report)?;
    out_line!("{}", report.text());
    out_line!("report: {}", options.report.display());
    if report.verdict == "exactly-once" { Ok(()) } else { Err(DemoError::NotExactlyOnce(report.verdict)) }
}

async fn play(options: &DemoOptions, directory: &Path) -> Result<DemoReport, DemoError> {
    let (data, output) = (directory.join("flights"), directory.join("output"));
    out_line!("unpacking the {ROWS} flights that left New York City in 2013");
    data::unpack_flights(&data)?;
    let expected = oracle::expected(&data)?;

    out_line!("starting 3 JobManagers and 2 TaskManagers under {}", directory.display());
    let mut cluster = LocalCluster::start(LocalClusterOptions {
        settings: options.settings.clone(),
        coordination: options.coordination,
        ..LocalClusterOptions::under(directory)?
    })?;
    let stuck = |what: String, cluster: &LocalCluster| DemoError::Stuck { what, logs: cluster.logs().display().to_string() };
    let client = cluster.client()?;
    let graph = job::flights_job(&data, &output, options.rows_per_second)?;
    let token = format!("demo-{:032x}", weir_world::random_id());
    let job = client.submit(&graph, Some(&token), START_PATIENCE).await?.job_id;
    out_line!("submitted job {job}: departures, average and worst delay per origin and hour");
    let watch = OutputWatch::start(&output)?;
    observer::settled(&client, job, START_PATIENCE).await.map_err(|what| stuck(what, &cluster))?;

    let mut failovers = Vec::new();
    progress_until(&client, job, ROWS / 3).await;
    failovers.push(kill_leader(&mut cluster, &client, job, &watch).await.map_err(|what| stuck(what, &cluster))?);
    progress_until(&client, job, ROWS * 2 / 3).await;
    failovers.push(kill_task_manager(&mut cluster, &client, job, &watch).await.map_err(|what| stuck(what, &cluster))?);

    out_line!("waiting for the job to finish");
    let end = client.wait(job, END_PATIENCE).await.map_err(|error| stuck(error.to_string(), &cluster))?;
    out_line!("job {}", end.status.as_str());
    let leader_changes = client.ha_status(CALL).await.map_or(0, |ha| ha.leader_history.len().saturating_sub(1) as u64);
    cluster.shutdown()?;
    Ok(DemoReport::new(&oracle::compare(&output, &expected)?, leader_changes, failovers))
}

/// Prints the job's progress until it has read `rows` rows or has ended, for at most [`END_PATIENCE`].
async fn progress_until(client: &ClusterClient, job: JobId, rows: u64) {
    let mut printed = Instant::now();
    let started = Instant::now();
    while started.elapsed() < END_PATIENCE {
        if let Ok(description) = client.describe(job, CALL).await {
            let read = progress(&description);
            if read >= rows || description.status.is_globally_terminal() {
                return;
            }
            if printed.elapsed() > Duration::from_secs(2) {
                printed = Instant::now();
                out_line!("  {:>3} % of the year, {} checkpoints", read * 100 / ROWS, description.checkpoints.counts.completed);
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Estimates the rows read from the watermark's position in the year. Unlike the counters of one attempt, it survives restarts.
fn progress(job: &JobDescription) -> u64 {
    const YEAR_START_MS: i64 = 1_357_034_400_000;
    const YEAR_MS: i64 = 365 * 86_400_000;
    let sources = job.vertices.first().map(|vertex| vertex.subtasks.as_slice()).unwrap_or_default();
    let watermark = sources.iter().filter_map(|subtask| subtask.metrics.and_then(|metrics| metrics.watermark_ms)).min();
    let elapsed = watermark.map_or(0, |watermark| watermark.saturating_sub(YEAR_START_MS).clamp(0, YEAR_MS));
    elapsed as u64 * ROWS / YEAR_MS as u64
}

async fn kill_leader(
    cluster: &mut LocalCluster,
    client: &ClusterClient,
    job: JobId,
    watch: &OutputWatch,
) -> Result<FailoverReport, String> {
    let before = before(client, job).await?;
    let leader = before.ha.leader.as_ref().ok_or("no leader is known")?.name.clone();
    out_line!("killing {leader}, the leader (epoch {})", before.ha.epoch);
    let dead = cluster.rest_address(&leader).ok_or_else(|| format!("{leader} is not one of ours"))?;
    let living: Vec<_> = cluster.rest_addresses().into_iter().filter(|address| *address != dead).collect();
    let survivors = ClusterClient::new(living).map_err(|error| error.to_string())?;
    strike(cluster, Victim::Leader(&leader), &before, &survivors, watch).await
}

async fn kill_task_manager(
    cluster: &mut LocalCluster,
    client: &ClusterClient,
    job: JobId,
    watch: &OutputWatch,
) -> Result<FailoverReport, String> {
    let before = before(client, job).await?;
    let mut hosts =
        before.job.vertices.iter().flat_map(|vertex| &vertex.subtasks).filter_map(|subtask| subtask.task_manager.as_ref());
    let host = hosts.next().ok_or("no task runs anywhere")?;
    let names = cluster.taskmanager_names();
    let name = names.iter().find(|name| host.0.starts_with(name.as_str())).ok_or_else(|| format!("{host} is not one of ours"))?;
    out_line!("killing {name}, a TaskManager with running tasks");
    strike(cluster, Victim::TaskManager(name), &before, client, watch).await
}

async fn before(client: &ClusterClient, job: JobId) -> Result<Before, String> {
    let ha = client.ha_status(CALL).await.map_err(|error| error.to_string())?;
    let job = client.describe(job, CALL).await.map_err(|error| error.to_string())?;
    Ok(Before { ha, job })
}

async fn strike(
    cluster: &mut LocalCluster,
    victim: Victim<'_>,
    before: &Before,
    survivors: &ClusterClient,
    watch: &OutputWatch,
) -> Result<FailoverReport, String> {
    let (Victim::Leader(name) | Victim::TaskManager(name)) = victim;
    let (killed_at, killed_at_ms) = (Instant::now(), weir_world::wall_clock_ms());
    cluster.kill(name).map_err(|error| error.to_string())?;
    let mut report = observer::follow(victim, before, killed_at, killed_at_ms, survivors).await;
    report.output_gap_ms = watch.gap_around(killed_at_ms);
    match (report.running_ms, report.output_gap_ms) {
        (Some(running), gap) => {
            out_line!("  running again after {running} ms; gap in committed output: {} ms", gap.unwrap_or_default());
            Ok(report)
        }
        (None, _) => Err(format!("the job did not recover after {name} was killed")),
    }
}

/// A temporary directory. It is removed when this value is dropped, except after a panic, so that its files can be examined.
struct WorkDirectory {
    path: PathBuf,
}

impl WorkDirectory {
    fn create() -> std::io::Result<Self> {
        let path = std::env::temp_dir().join(format!("weir-demo-{:08x}", weir_world::random_id() as u32));
        std::fs::create_dir_all(&path)?;
        Ok(Self { path })
    }
}

impl Drop for WorkDirectory {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(std::fs::remove_dir_all(&self.path));
        }
    }
}
