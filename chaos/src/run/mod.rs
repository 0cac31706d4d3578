//! A run: starts a cluster and a workload, injects the planned faults, heals everything, waits for the end, and judges the
//! history.

mod ending;
mod observer;
pub mod scene;
pub mod smoke;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use clap::ValueEnum;
use weir_client::ClusterClient;
use weir_local::{Coordination, LocalClusterOptions};
use weir_protocol::JobId;
use weir_world::err_line;

use crate::checkers::{Judged, judge};
use crate::cluster::leftovers;
use crate::cluster::turn::take_turn;
use crate::faults::{Hindrances, NEMESES, Need, Nemesis, Plan};
use crate::history::{Call, HISTORY_VERSION, History, InjectedFault, Operation, Outcome, Phase, Recorder, RunHeader, What};
use crate::lossy_disk::LossyDisk;
use crate::report;
use crate::workload::churn::Churn;
use crate::workload::{CountingJob, JudgedJob, KafkaJob, SqlJob, kafka};
use observer::Observer;
use scene::{Parts, Scene};

/// What the cluster does while faults happen to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Workload {
    /// One job whose correct output can be computed.
    #[default]
    Counting,
    /// The counting job, and beside it submissions, cancellations, savepoints, short jobs and transfers of leadership.
    Churn,
    /// A SQL script: windows, and aggregates whose rows change. Beside it, a client reads the rows of a query.
    Sql,
    /// The counting job from one topic of Kafka into another one.
    Kafka,
}

impl Workload {
    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counting => "counting",
            Self::Churn => "churn",
            Self::Sql => "sql",
            Self::Kafka => "kafka",
        }
    }

    /// Says in one sentence what it does.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::Counting => "one job counts numbered rows, exactly-once into files; its correct output can be computed",
            Self::Churn => {
                "the same job, and beside it submissions with tokens, cancellations, savepoints, short jobs and leadership transfers"
            }
            Self::Sql => {
                "a SQL script (a fifth of the rows): windows, aggregates whose changes are files, and a query whose rows a client reads; \
                 what it means can be computed"
            }
            Self::Kafka => {
                "two jobs: one writes numbered rows to a topic of Kafka, the other counts them into another topic, both exactly-once; \
                 Kafka's own consumer reads what is committed"
            }
        }
    }
}

/// The options of a run.
#[derive(Debug, Clone)]
pub struct RunOptions {
    /// The `weir` binary.
    pub binary: PathBuf,
    pub workload: Workload,
    /// The kinds of faults to inject.
    pub nemeses: Vec<&'static Nemesis>,
    /// For how long faults are planned.
    pub duration: Duration,
    /// All random choices follow from this seed.
    pub seed: u64,
    /// What the JobManagers coordinate through.
    pub coordination: Coordination,
    /// Rows per second of the counting job. The SQL job has a fifth of them.
    pub rows_per_second: u64,
    /// Directory of the report.
    pub report: PathBuf,
    /// Whether network namespaces may be used.
    pub namespaces: bool,
    /// Whether the disks under raft logs only pretend to sync. Such a run shows whether the checks notice this.
    pub lying_disks: bool,
    /// Called with one line for each thing that happens.
    pub progress: fn(&str),
    /// The command that repeats the run.
    pub command: String,
}

impl RunOptions {
    /// The command that repeats a run with these options.
    pub fn repeated(&self) -> String {
        let nemeses: Vec<_> = self.nemeses.iter().map(|nemesis| nemesis.name).collect();
        let nemeses = if nemeses.len() == NEMESES.len() { "all".to_owned() } else { nemeses.join(",") };
        let workload = self.workload.name();
        let duration = self.duration.as_millis();
        let duration = if duration.is_multiple_of(1_000) { format!("{}s", duration / 1_000) } else { format!("{duration}ms") };
        let mut command =
            format!("weir chaos run --workload {workload} --nemesis {nemeses} --duration {duration} --seed {}", self.seed);
        command += &format!(" --ha {} --rate {}", coordination_name(self.coordination), self.rows_per_second);
        if !self.namespaces {
            command += " --no-namespaces";
        }
        if self.lying_disks { command + " --lying-disks" } else { command }
    }
}

fn coordination_name(coordination: Coordination) -> String {
    coordination.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned())
}

/// The cluster must recover within this time after the last fault.
const RECOVERY_BOUND: Duration = Duration::from_secs(60);
/// The counting job lasts this many seconds longer than the planned faults, because the steps after them need a running job.
const MARGIN_SECONDS: u64 = 3;
/// Most rows per second of the SQL job: event times are one millisecond apart at least.
const SQL_ROWS_PER_SECOND: u64 = 1_000;
/// How long a transaction of Kafka may be open. Outages of workers are often longer.
const TRANSACTION_TIMEOUT_MS: u64 = 10_000;
/// Shortest pause between two faults, in milliseconds.
const PAUSE_MS: u64 = 500;
/// How long a cluster may take to accept its first job.
const FIRST_SUBMISSION: Duration = Duration::from_secs(60);

/// Runs, judges and writes the report. An error means that the run could not take place.
pub fn run(options: &RunOptions, stop: &Arc<AtomicBool>) -> io::Result<Judged> {
    let _turn = take_turn();
    leftovers::remove();
    let recorder = Recorder::create(&options.report)?;
    let directory = leftovers::working_directory()?;
    let mut cluster = LocalClusterOptions::under(&directory)?;
    // Everything must fit on one TaskManager.
    cluster.slots += match options.workload {
        Workload::Counting | Workload::Churn => 0,
        // The query.
        Workload::Sql => 1,
        // The job that fills the topic.
        Workload::Kafka => kafka::WRITERS,
    };
    let job = judged_job(options, cluster.slots);
    recorder.note(What::Run(header(options, &job, &cluster)));
    let hindrances = Hindrances::of_this_machine();
    let hindrances = if options.namespaces { hindrances } else { hindrances.without_network() };
    let hindrances = hindrances.of_workload(options.workload);
    let mut possible = Vec::new();
    for nemesis in &options.nemeses {
        match hindrances.hinders(nemesis.need, Some(options.coordination)) {
            None => possible.push(*nemesis),
            Some(why) => {
                (options.progress)(&format!("skipped  {}: {why}", nemesis.name));
                recorder.note(What::Skipped { nemesis: nemesis.name.to_owned(), why });
            }
        }
    }
    let plan = Plan::draw(options.seed, &possible, options.duration);
    let needed = |need: Need| possible.iter().any(|nemesis| nemesis.need == need);
    let parts = Parts {
        slots: cluster.slots,
        network: hindrances.hinders(Need::Network, None).is_none(),
        clocks: needed(Need::Clock),
        // When the file storage loses power, so do the machines with raft logs.
        raft_disks: options.coordination == Coordination::Raft && (needed(Need::RaftDisk) || needed(Need::FileStorage)),
        file_storage: needed(Need::FileStorage),
        memory: needed(Need::MemoryGroups),
        links: needed(Need::Links),
        kafka: options.workload == Workload::Kafka,
        seed: options.seed,
    };
    if let Err(error) = go(options, &job, &plan, parts, &directory, &recorder, stop) {
        (options.progress)(&format!("trouble  {error}"));
        recorder.note(What::Trouble { what: error.to_string() });
    }
    recorder.finish()?;
    let history = History::of(recorder.events()).map_err(io::Error::other)?;
    let judged = judge(&history);
    report::write(&options.report, &history, &judged)?;
    if judged.verdict == crate::checkers::RunVerdict::Failed {
        keep_logs(&directory, &options.report);
    }
    std::fs::remove_dir_all(&directory)?;
    Ok(judged)
}

fn judged_job(options: &RunOptions, slots: u32) -> JudgedJob {
    let seconds = options.duration.as_secs() + MARGIN_SECONDS;
    // Some kinds of faults need work on every TaskManager. Without such faults, the job fits on a single remaining TaskManager.
    let on_all = options.nemeses.iter().any(|nemesis| matches!(nemesis.need, Need::Links | Need::MemoryGroups));
    let counting = CountingJob::lasting(seconds);
    let parallelism = if on_all { slots + 1 } else { counting.parallelism };
    if options.workload == Workload::Sql {
        // Every row of the input can change three tables, and the history holds all changes.
        let rows_per_second = (options.rows_per_second / 5).clamp(1, SQL_ROWS_PER_SECOND);
        let rows = seconds * rows_per_second;
        let checkpoint_interval_ms = counting.checkpoint_interval_ms;
        return JudgedJob::Sql(SqlJob { rows, rows_per_second, parallelism, checkpoint_interval_ms });
    }
    // The number of output rows does not depend on the rate.
    let window_ms = (options.rows_per_second / 5).max(1);
    let rows = seconds * options.rows_per_second;
    let counting = CountingJob { rows, rows_per_second: options.rows_per_second, window_ms, parallelism, ..counting };
    match options.workload {
        Workload::Kafka => JudgedJob::Kafka(KafkaJob { counting, transaction_timeout_ms: TRANSACTION_TIMEOUT_MS }),
        _ => JudgedJob::Counting(counting),
    }
}

fn header(options: &RunOptions, job: &JudgedJob, cluster: &LocalClusterOptions) -> RunHeader {
    RunHeader {
        version: HISTORY_VERSION,
        weir_version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_ms: weir_world::wall_clock_ms(),
        command: options.command.clone(),
        seed: options.seed,
        duration_ms: options.duration.as_millis() as u64,
        coordination: coordination_name(options.coordination),
        workload: options.workload.name().to_owned(),
        jobmanagers: cluster.jobmanager_names(),
        taskmanagers: cluster.taskmanager_names(),
        slots: cluster.slots,
        job: job.clone(),
        recovery_bound_ms: RECOVERY_BOUND.as_millis() as u64,
    }
}

/// The part of a run that needs the cluster.
fn go(
    options: &RunOptions,
    judged: &JudgedJob,
    plan: &Plan,
    parts: Parts,
    directory: &Path,
    recorder: &Recorder,
    stop: &Arc<AtomicBool>,
) -> io::Result<()> {
    let mut scene = Scene::start(options.binary.clone(), directory, options.coordination, parts, recorder, stop)?;
    let addresses = scene.cluster.rest_addresses();
    let jobmanagers: Vec<_> = scene.cluster.jobmanager_names().into_iter().zip(addresses.clone()).collect();
    // What Kafka's consumer reads must not be lost with a disk of the cluster.
    let output = if scene.kafka.is_some() { Scene::consumed(directory) } else { scene.file_storage.join("output") };
    let _observer = Observer::start(&jobmanagers, &output, recorder, &scene.view)?;
    let job = submit(options, &scene, judged, directory, &output)?;
    scene.view.with(|view| view.watched = Some(job));
    let query = match judged {
        JudgedJob::Sql(sql) => Some(sql.start_query(&options.binary, &addresses, directory)?),
        JudgedJob::Counting(_) | JudgedJob::Kafka(_) => None,
    };
    let churn = match options.workload {
        Workload::Counting | Workload::Sql | Workload::Kafka => None,
        Workload::Churn => Some(Churn::start(addresses, options.seed, &scene.file_storage.join("churn"), recorder)?),
    };
    recorder.note(What::Phase { phase: Phase::Faults });
    let begun = recorder.now_ms();
    let first = scene.until(RECOVERY_BOUND, |view| view.job.as_ref()?.checkpoint);
    if first.is_none() && !scene.stopped() {
        return Err(io::Error::other("the first checkpoint did not complete"));
    }
    if options.lying_disks {
        scene.lossy_disks.values().for_each(LossyDisk::lie);
    }
    inflict(options, plan, &mut scene, begun)?;
    if scene.stopped() {
        recorder.note(What::Phase { phase: Phase::Interrupted });
        (options.progress)("stopped by the user: all faults are healed, the remaining steps are skipped");
        return Ok(());
    }
    recorder.note(What::Phase { phase: Phase::Healing });
    ending::await_recovery(&scene, RECOVERY_BOUND, options.progress);
    ending::note_files_of_newest(&scene, job)?;
    if let Some(churn) = churn {
        churn.end();
    }
    recorder.note(What::Phase { phase: Phase::Ending });
    ending::end(&mut scene, judged, query, &output, options.progress)
}

/// Submits the judged job, as a client does.
fn submit(options: &RunOptions, scene: &Scene, judged: &JudgedJob, directory: &Path, output: &Path) -> io::Result<JobId> {
    let addresses = scene.cluster.rest_addresses();
    let began_ms = scene.recorder.now_ms();
    let acknowledged = |key: &str, job: JobId| {
        let outcome = Outcome::Ok { job: Some(job), status: None, epoch: None };
        let (client, key) = ("main".to_owned(), key.to_owned());
        scene.recorder.note(What::Call(Call { client, began_ms, key, operation: Operation::Submit, outcome }));
    };
    let job = match judged {
        JudgedJob::Counting(counting) => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            let client = ClusterClient::new(addresses).map_err(io::Error::other)?;
            let graph = counting.graph(output)?;
            let submission = client.submit(&graph, Some(judged.key()), FIRST_SUBMISSION);
            runtime.block_on(submission).map_err(io::Error::other)?.job_id
        }
        JudgedJob::Sql(sql) => sql.submit(&options.binary, &addresses, directory, output)?,
        JudgedJob::Kafka(job) => {
            let brokers = scene.kafka.as_ref().map(|kafka| kafka.nodes.bootstrap_servers()).unwrap_or_default();
            let [feed, job] = job.submit(&options.binary, &addresses, directory, &brokers)?;
            acknowledged(kafka::FEED, feed);
            job
        }
    };
    acknowledged(judged.key(), job);
    Ok(job)
}

fn inflict(options: &RunOptions, plan: &Plan, scene: &mut Scene, begun: u64) -> io::Result<()> {
    let mut earliest = 0;
    for (step, fault) in plan.steps.iter().zip(1..) {
        // If a fault took longer than planned, there must still be a pause before the next one.
        let at = (begun + step.at.as_millis() as u64).max(earliest);
        scene.wait(Duration::from_millis(at.saturating_sub(scene.recorder.now_ms())));
        let late = scene.recorder.now_ms() > begun + options.duration.as_millis() as u64;
        if scene.stopped() || (late && fault > 1) {
            return Ok(());
        }
        let nemesis = step.nemesis.name.to_owned();
        let began_ms = scene.recorder.now_ms();
        scene.recorder.note(What::FaultBegan { fault, nemesis: nemesis.clone() });
        let effect = step.nemesis.inflict(scene, step.draw);
        let effect = effect.map_err(|error| io::Error::other(format!("{nemesis}: {error}")))?;
        if scene.stopped() {
            // The fault was healed early, and may not have had the time to take effect.
            return Ok(());
        }
        let said = effect.footprint.clone().unwrap_or_else(|looked_for| format!("NO FOOTPRINT: {looked_for}"));
        let seconds = began_ms as f64 / 1_000.0;
        (options.progress)(&format!("{seconds:>6.1} s  {nemesis} on {}: {said}", effect.target));
        let fault = InjectedFault { fault, nemesis, began_ms, target: effect.target, footprint: effect.footprint };
        scene.recorder.note(What::FaultEnded(fault));
        earliest = scene.recorder.now_ms() + PAUSE_MS;
    }
    Ok(())
}

/// Copies the logs of a failed run to its report.
fn keep_logs(directory: &Path, report: &Path) {
    let logs = report.join("logs");
    let copied = std::fs::create_dir_all(&logs).and_then(|()| {
        for entry in std::fs::read_dir(directory.join("logs"))? {
            let path = entry?.path();
            std::fs::copy(&path, logs.join(path.file_name().unwrap_or_default()))?;
        }
        Ok(())
    });
    if let Err(error) = copied {
        err_line!("the logs could not be copied to the report: {error}");
    }
}
