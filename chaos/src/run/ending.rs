//! The end of a run: waits until the cluster has recovered and until all jobs have ended, and then records what is left.

use std::collections::BTreeSet;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use weir_client::ClusterClient;
use weir_protocol::JobId;
use weir_protocol::rest::{CheckpointEntry, JobDescription};
use weir_servers::Patience;
use weir_storage::checkpoint::{layout, metadata};

use super::scene::Scene;
use crate::checkers::checkpoints::is_half_written;
use crate::checkers::recovery::recovered;
use crate::cluster::brokers::Brokers;
use crate::history::{FinalJob, History, Phase, What};
use crate::workload::sql::{Query, committed_tables};
use crate::workload::{JudgedJob, committed_lines};

const PACE: Duration = Duration::from_millis(200);
/// How long one call may take.
const CALL: Duration = Duration::from_secs(10);
/// How long clean-up in the background may take.
const TIDY: Duration = Duration::from_secs(15);

/// Waits until the cluster has recovered, but no longer than `bound`.
pub(super) fn await_recovery(scene: &Scene, bound: Duration, progress: fn(&str)) {
    let started = Instant::now();
    let mut missing = String::new();
    while started.elapsed() < bound && !scene.stopped() {
        match History::of(scene.recorder.events()).and_then(|history| recovered(&history)) {
            Ok(_) => {
                return progress(&format!("the cluster recovered {} ms after the last fault", started.elapsed().as_millis()));
            }
            Err(still) => missing = still,
        }
        std::thread::sleep(PACE);
    }
    progress(&format!("the cluster has not recovered: {missing}"));
}

/// Records whether the files exist that the newest completed checkpoint references.
pub(super) fn note_files_of_newest(scene: &Scene, job: JobId) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = ClusterClient::new(scene.cluster.rest_addresses()).map_err(io::Error::other)?;
    let root = scene.cluster.checkpoint_directory();
    let newest = || {
        let answer = runtime.block_on(client.checkpoints(job, CALL)).ok()?;
        answer.latest.completed.map(|entry: CheckpointEntry| weir_protocol::CheckpointId(entry.facts().id))
    };
    let started = Instant::now();
    // Files of this checkpoint may be removed if newer checkpoints have replaced it meanwhile, or if the job has ended.
    let ended = || scene.view.get().job.is_some_and(|job| job.status.is_globally_terminal());
    while started.elapsed() < CALL {
        if let Some(checkpoint) = newest() {
            let (referenced, missing) = missing_files(&root, job, checkpoint);
            if missing.is_empty() || (newest() == Some(checkpoint) && !ended()) {
                scene.recorder.note(What::Files { referenced, missing, unreferenced: None });
                break;
            }
        }
        std::thread::sleep(PACE);
    }
    Ok(())
}

/// How many files a checkpoint references, its metadata file included, and which of them are missing or too short.
fn missing_files(root: &Path, job: JobId, checkpoint: weir_protocol::CheckpointId) -> (u64, Vec<String>) {
    let path = layout::metadata_path(job, checkpoint);
    let read = std::fs::read(root.join(&path)).map_err(|error| error.to_string());
    let decoded = read.and_then(|file| metadata::decode(&path, Some(job), &Bytes::from(file)).map_err(|error| error.to_string()));
    let metadata = match decoded {
        Ok(metadata) => metadata,
        Err(error) => return (1, vec![format!("{path}: {error}")]),
    };
    let directory = root.join(layout::job_directory(job));
    let mut needed: BTreeSet<(&str, u64)> = BTreeSet::new();
    needed.extend(metadata::segments(&metadata).map(|segment| (segment.path.as_str(), segment.offset + segment.length)));
    let there = |path: &str, length: u64| std::fs::metadata(directory.join(path)).is_ok_and(|file| file.len() >= length);
    let missing = needed.iter().filter(|(path, length)| !there(path, *length)).map(|(path, _)| (*path).to_owned()).collect();
    let files: BTreeSet<_> = needed.iter().map(|(path, _)| path).collect();
    (files.len() as u64 + 1, missing)
}

/// Waits until all jobs have ended, and records the final state.
pub(super) fn end(scene: &mut Scene, job: &JudgedJob, query: Option<Query>, output: &Path, progress: fn(&str)) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let client = ClusterClient::new(scene.cluster.rest_addresses()).map_err(io::Error::other)?;
    // The job may have to read everything again at its given rate, and it may have to recover once more.
    let bound = Duration::from_secs(job.rows() / job.rows_per_second()) + super::RECOVERY_BOUND;
    progress("waiting for the jobs to end");
    if let (JudgedJob::Kafka(job), Some(id)) = (job, scene.view.get().watched) {
        if !await_results(scene, job.results(), bound) && !scene.stopped() {
            progress("results are missing; writing down how the job and the transactions stand, and starting Kafka's nodes anew");
            let described = runtime.block_on(client.describe(id, CALL));
            note_state(scene, described.ok().as_ref())?;
            restart_nodes(scene)?;
            await_results(scene, job.results(), bound);
        }
        runtime.block_on(client.stop(id, None, false, super::RECOVERY_BOUND)).map_err(io::Error::other)?;
    }
    let ended = |scene: &Scene| scene.view.get().job.is_some_and(|job| job.status.is_globally_terminal());
    let patience = Patience::of(bound);
    while !ended(scene) && !patience.is_over() && !scene.stopped() {
        std::thread::sleep(PACE);
    }
    if scene.stopped() {
        scene.recorder.note(What::Phase { phase: Phase::Interrupted });
        return Ok(());
    }
    let selected = query.map(|query| query.end(bound)).transpose()?;
    let listed = runtime.block_on(client.list(CALL)).map_err(io::Error::other)?;
    let jobs = listed.jobs.into_iter().map(|job| FinalJob { job: job.jid, name: job.name, status: job.state });
    scene.recorder.note(What::FinalJobs { jobs: jobs.collect() });
    let patience = Patience::of(TIDY);
    let mut left = files_of_jobs(&scene.cluster.checkpoint_directory());
    while !left.iter().all(|file| is_half_written(file)) && !patience.is_over() {
        std::thread::sleep(PACE);
        left = files_of_jobs(&scene.cluster.checkpoint_directory());
    }
    scene.recorder.note(What::Files { referenced: 0, missing: Vec::new(), unreferenced: Some(left) });
    note_slots_and_strangers(scene, &runtime, &client)?;
    scene.recorder.note(match job {
        JudgedJob::Kafka(_) => {
            What::Rows { lines: scene.kafka.as_ref().map_or_else(|| Ok(Vec::new()), Brokers::committed_lines)? }
        }
        JudgedJob::Counting(_) => What::Rows { lines: committed_lines(output)? },
        JudgedJob::Sql(_) => What::Tables { tables: committed_tables(output)?.into_iter().chain(selected).collect() },
    });
    scene.recorder.note(What::Phase { phase: Phase::Done });
    Ok(())
}

/// Waits until Kafka's consumer has read this many results. Returns whether it has. The judge says what is missing if they don't come.
fn await_results(scene: &Scene, count: usize, bound: Duration) -> bool {
    let patience = Patience::of(bound);
    let has_all = || scene.kafka.as_ref().is_none_or(|kafka| kafka.consumed() >= count);
    while !has_all() && !patience.is_over() && !scene.stopped() {
        std::thread::sleep(PACE);
    }
    has_all()
}

/// Writes into the logs how a job and Kafka stand, for one who looks for missing results.
fn note_state(scene: &Scene, job: Option<&JobDescription>) -> io::Result<()> {
    let logs = scene.cluster.logs();
    if let Some(job) = job {
        std::fs::write(logs.join("job.json"), serde_json::to_string_pretty(job)?)?;
    }
    scene.kafka.as_ref().map_or(Ok(()), |kafka| kafka.note_state(&logs))
}

/// What Kafka's operator would do if its nodes do not find together again, as happens on a busy machine. It tells results that can't be
/// seen yet from results that are lost.
fn restart_nodes(scene: &mut Scene) -> io::Result<()> {
    let Some(kafka) = &mut scene.kafka else { return Ok(()) };
    let nodes: Vec<_> = (0..kafka.nodes.size()).collect();
    kafka.restart(&nodes).map_err(io::Error::other)
}

/// Files below the checkpoint root that belong to jobs. Savepoints are not among them, because they belong to users.
fn files_of_jobs(root: &Path) -> Vec<String> {
    let mut files = Vec::new();
    let mut open: Vec<_> = std::fs::read_dir(root).into_iter().flatten().flatten().map(|entry| entry.path()).collect();
    open.retain(|path| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.parse::<JobId>().is_ok()));
    while let Some(path) = open.pop() {
        if path.is_dir() {
            open.extend(std::fs::read_dir(&path).into_iter().flatten().flatten().map(|entry| entry.path()));
        } else if let Ok(relative) = path.strip_prefix(root) {
            files.push(relative.display().to_string());
        }
    }
    files
}

fn note_slots_and_strangers(scene: &mut Scene, runtime: &tokio::runtime::Runtime, client: &ClusterClient) -> io::Result<()> {
    let patience = Patience::of(TIDY);
    loop {
        let seen = runtime.block_on(client.overview(CALL)).map_err(io::Error::other)?;
        let (taskmanagers, total, available) = (seen.taskmanagers, seen.slots_total, seen.slots_available);
        let all = taskmanagers as usize == scene.cluster.taskmanager_names().len() && total == available;
        if all || patience.is_over() {
            scene.recorder.note(What::Slots { taskmanagers, total, available });
            break;
        }
        std::thread::sleep(PACE);
    }
    let mut pids = Vec::new();
    for name in scene.names() {
        let ours = scene.cluster.process(&name).and_then(|process| process.pid());
        let there = scene.network.as_ref().map(|network| network.processes(&name)).unwrap_or_default();
        pids.extend(there.into_iter().filter(|pid| Some(*pid) != ours));
    }
    scene.recorder.note(What::Strangers { pids });
    Ok(())
}
