//! Watches a cluster from outside while one of its processes is killed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use weir_client::ClusterClient;
use weir_protocol::JobId;
use weir_protocol::job_status::{ExecutionState, JobStatus};
use weir_protocol::rest::{HaResponse, JobDescription};

use super::report::FailoverReport;

/// Pause between two polls of the cluster or of the output.
const PACE: Duration = Duration::from_millis(5);
/// How long one request may take. A dead process does not answer.
const LOOK: Duration = Duration::from_millis(500);
/// How long a failover is followed at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// The process that was killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Victim<'a> {
    /// The leading JobManager, by name.
    Leader(&'a str),
    /// A TaskManager, by name.
    TaskManager(&'a str),
}

/// The state of the cluster before the kill.
#[derive(Debug, Clone)]
pub(super) struct Before {
    /// The coordination group, with its epoch.
    pub ha: HaResponse,
    /// The job, with its generations.
    pub job: JobDescription,
}

/// Follows a failover from the kill to the first checkpoint after it. `killed_at` and `killed_at_ms`, by the wall clock, are the
/// same moment. `client` must know only JobManagers that run.
pub(super) async fn follow(
    victim: Victim<'_>,
    before: &Before,
    killed_at: Instant,
    killed_at_ms: u64,
    client: &ClusterClient,
) -> FailoverReport {
    let name = match victim {
        Victim::Leader(name) => format!("{name}, the leading JobManager, killed (SIGKILL)"),
        Victim::TaskManager(name) => format!("{name}, a TaskManager, killed (SIGKILL)"),
    };
    let mut report = FailoverReport { cause: name, ..FailoverReport::default() };
    while report.first_checkpoint_ms.is_none() && killed_at.elapsed() < PATIENCE {
        if let Victim::Leader(dead) = victim
            && report.elect_ms.is_none()
        {
            look_at_group(&mut report, dead, before, killed_at, client).await;
        }
        if report.elect_ms.is_some() || matches!(victim, Victim::TaskManager(_)) {
            look_at_job(&mut report, victim, before, killed_at, killed_at_ms, client).await;
        }
        tokio::time::sleep(PACE).await;
    }
    report
}

fn note(phase: &mut Option<u64>, killed_at: Instant) {
    phase.get_or_insert(killed_at.elapsed().as_millis() as u64);
}

async fn look_at_group(report: &mut FailoverReport, dead: &str, before: &Before, killed_at: Instant, client: &ClusterClient) {
    for (_, answer) in client.ha_status_of_each(LOOK).await {
        let Ok(ha) = answer else { continue };
        if !ha.members.iter().any(|member| member.leader && member.name == dead) {
            note(&mut report.detect_ms, killed_at);
        }
        if ha.epoch > before.ha.epoch {
            note(&mut report.elect_ms, killed_at);
            return;
        }
    }
}

async fn look_at_job(
    report: &mut FailoverReport,
    victim: Victim<'_>,
    before: &Before,
    killed_at: Instant,
    killed_at_ms: u64,
    client: &ClusterClient,
) {
    let Ok(job) = client.describe(before.job.job_id, LOOK).await else { return };
    match victim {
        Victim::Leader(_) => note(&mut report.store_read_ms, killed_at),
        // If there is a new leader meanwhile, it counts restarts from zero. Therefore a new epoch counts as detection, too.
        Victim::TaskManager(_)
            if job.status != JobStatus::Running || job.restarts > before.job.restarts || job.epoch != before.job.epoch =>
        {
            note(&mut report.detect_ms, killed_at);
        }
        Victim::TaskManager(_) => return,
    }
    if report.running_ms.is_none() && runs_anew(&job, &before.job) {
        note(&mut report.running_ms, killed_at);
    }
    let checkpoint = job.checkpoints.latest_completed.as_ref();
    if report.running_ms.is_some()
        && checkpoint.is_some_and(|checkpoint| checkpoint.facts().trigger_timestamp as u64 > killed_at_ms)
    {
        note(&mut report.first_checkpoint_ms, killed_at);
    }
    if job.status.is_globally_terminal() && report.running_ms.is_some() {
        note(&mut report.first_checkpoint_ms, killed_at);
    }
}

/// Whether every task is running, in another generation than before.
fn runs_anew(job: &JobDescription, before: &JobDescription) -> bool {
    let generations = |job: &JobDescription| -> Vec<Option<String>> {
        job.vertices.iter().flat_map(|vertex| vertex.subtasks.iter().map(|subtask| subtask.generation.clone())).collect()
    };
    let mut subtasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    job.status == JobStatus::Running
        && subtasks.all(|subtask| subtask.state == ExecutionState::Running)
        && generations(job).iter().zip(generations(before)).all(|(now, then)| *now != then)
}

/// Waits until the job is RUNNING and has completed a checkpoint. The error gives the job's last known state.
pub(super) async fn settled(client: &ClusterClient, job: JobId, patience: Duration) -> Result<JobDescription, String> {
    let started = Instant::now();
    let mut seen = "it was not found".to_owned();
    while started.elapsed() < patience {
        if let Ok(description) = client.describe(job, LOOK).await {
            if description.status == JobStatus::Running && description.checkpoints.latest_completed.is_some() {
                return Ok(description);
            }
            let reason = description.reason.unwrap_or_default();
            seen = format!("it is {} {reason}", description.status.as_str()).trim_end().to_owned();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Err(format!("the job completed no checkpoint within {} s: {seen}", patience.as_secs()))
}

/// Records the times at which committed output appears in a directory. It polls in a separate thread until it is dropped.
#[derive(Debug)]
pub(super) struct OutputWatch {
    changes: Arc<Mutex<Vec<u64>>>,
    stop: Arc<AtomicBool>,
}

impl OutputWatch {
    /// Starts to watch `directory`.
    pub(super) fn start(directory: &Path) -> std::io::Result<Self> {
        let watch = Self { changes: Arc::default(), stop: Arc::default() };
        let (changes, stop, directory) = (watch.changes.clone(), watch.stop.clone(), directory.to_owned());
        std::thread::Builder::new().name("output-watch".to_owned()).spawn(move || {
            let mut files = 0;
            while !stop.load(Ordering::Relaxed) {
                let now = visible_files(&directory);
                if now != files {
                    files = now;
                    changes.lock().unwrap_or_else(PoisonError::into_inner).push(weir_world::wall_clock_ms());
                }
                std::thread::sleep(PACE);
            }
        })?;
        Ok(watch)
    }

    /// Milliseconds from the last commit at or before `moment_ms` to the first one after it; `None` if one of them was not seen.
    pub(super) fn gap_around(&self, moment_ms: u64) -> Option<u64> {
        let changes = self.changes.lock().unwrap_or_else(PoisonError::into_inner);
        let last_before = changes.iter().rev().find(|at| **at <= moment_ms)?;
        let first_after = changes.iter().find(|at| **at > moment_ms)?;
        Some(first_after - last_before)
    }
}

impl Drop for OutputWatch {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

fn visible_files(directory: &PathBuf) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    entries.flatten().filter(|entry| !entry.file_name().to_string_lossy().starts_with('.')).count()
}
