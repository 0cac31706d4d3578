//! A cluster of real processes under test.

pub mod brokers;
pub mod clocks;
pub(crate) mod control_group;
pub mod leftovers;
pub mod links;
pub mod memory_groups;
pub mod network;
pub mod small_disk;
pub mod turn;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use weir_client::{ClientError, ClusterClient};
use weir_local::{Coordination, LocalCluster, LocalClusterOptions};
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::{ExecutionState, JobStatus};
use weir_protocol::rest::{HaResponse, JobDescription, JobOverview};
use weir_servers::Patience;

use self::turn::{Turn, take_turn};
use crate::workload::{CountingJob, Verdict};

/// How long anything may take on an idle machine before a test gives up. It is long, because timings must never decide a test.
pub const PATIENCE: Duration = Duration::from_secs(120);
/// How long one look may take: a killed or stopped process does not answer.
const LOOK: Duration = Duration::from_secs(2);
const PACE: Duration = Duration::from_millis(5);

/// Sessions and leases as short as the stores' defaults allow, so that tests take seconds.
pub(crate) const SHORT_SESSIONS: [&str; 2] =
    ["high-availability.etcd.lease-ttl=2 s", "high-availability.zookeeper.client.session-timeout=2 s"];

/// A cluster for a test, with its directory. If the test fails, the directory stays and its path is printed.
#[derive(Debug)]
pub struct ClusterUnderTest {
    pub cluster: LocalCluster,
    client: ClusterClient,
    runtime: Runtime,
    directory: PathBuf,
    /// A time before any job began.
    started: Instant,
    _turn: Turn,
}

impl ClusterUnderTest {
    /// Starts three JobManagers and two TaskManagers with two slots each, with these additional settings.
    pub fn start(settings: &[&str]) -> Self {
        Self::start_with(|options| options.settings.extend(settings.iter().map(|setting| (*setting).to_owned())))
    }

    /// Starts the same cluster, coordinated through real servers of this kind, with sessions as short as possible.
    pub fn start_on(coordination: Coordination) -> Self {
        Self::start_with(|options| {
            options.coordination = coordination;
            options.settings.extend(SHORT_SESSIONS.map(str::to_owned));
        })
    }

    /// Starts the same cluster as [`Self::start`] after `change` has changed its options.
    #[expect(clippy::print_stdout, reason = "a test harness captures only what the macro prints")]
    pub fn start_with(change: impl FnOnce(&mut LocalClusterOptions)) -> Self {
        let turn = take_turn();
        let started = Instant::now();
        let directory = tempfile::tempdir().expect("a temporary directory").keep();
        println!("cluster directory: {}", directory.display());
        let mut options =
            LocalClusterOptions { binary: weir_binary(), ..LocalClusterOptions::under(&directory).expect("options") };
        change(&mut options);
        let cluster = LocalCluster::start(options).expect("the cluster starts");
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime");
        let client = cluster.client().expect("the addresses are addresses");
        Self { cluster, client, runtime, directory, started, _turn: turn }
    }

    /// Directory of everything that the cluster writes.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Directory of the job's output.
    pub fn output(&self) -> PathBuf {
        self.directory.join("output")
    }

    /// Submits the workload and waits until it runs and has completed a checkpoint.
    pub fn submit(&self, job: &CountingJob) -> JobId {
        let graph = job.graph(&self.output()).expect("the workload is a job graph");
        let id = self.submit_graph(&graph);
        self.await_job(id, "it runs and has a checkpoint", |job| {
            job.status == JobStatus::Running && job.checkpoints.latest_completed.is_some()
        });
        id
    }

    /// Submits a graph and returns the job's id.
    pub fn submit_graph(&self, graph: &JobGraph) -> JobId {
        self.runtime.block_on(self.client.submit(graph, None, PATIENCE)).expect("the submission is accepted").job_id
    }

    /// Submits the workload with a deadline. The cluster may refuse it.
    pub fn try_submit(&self, job: &CountingJob, deadline: Duration) -> Result<JobId, ClientError> {
        let graph = job.graph(&self.directory.join("refused")).expect("the workload is a job graph");
        let submitted = self.runtime.block_on(self.client.submit(&graph, None, deadline))?;
        Ok(submitted.job_id)
    }

    /// Submits a graph with a client token and a deadline.
    pub fn submit_with_token(&self, graph: &JobGraph, token: &str, deadline: Duration) -> Result<JobId, ClientError> {
        Ok(self.runtime.block_on(self.client.submit(graph, Some(token), deadline))?.job_id)
    }

    /// All jobs that the leader knows.
    pub fn overview_of_jobs(&self) -> Vec<JobOverview> {
        self.runtime.block_on(self.client.list(PATIENCE)).expect("the leader answers").jobs
    }

    /// Number of slots and of those that are granted to no job; `None` if no JobManager answers.
    pub fn slots(&self) -> Option<(u32, u32)> {
        let overview = self.runtime.block_on(self.client.overview(LOOK)).ok()?;
        Some((overview.slots_total, overview.slots_available))
    }

    /// The job as the leader describes it; `None` if no JobManager answers.
    pub fn describe(&self, job: JobId) -> Option<JobDescription> {
        self.runtime.block_on(self.client.describe(job, LOOK)).ok()
    }

    /// The status of the JobManagers, as one of them reports it.
    pub fn ha_as_seen_by(&self, name: &str) -> Option<HaResponse> {
        let one = ClusterClient::new(vec![self.cluster.rest_address(name)?]).ok()?;
        self.runtime.block_on(one.ha_status(LOOK)).ok()
    }

    /// Name and epoch of the current leader, from the newest answer of a JobManager that has a quorum.
    pub fn leader(&self) -> Option<(String, u64)> {
        // Ask each JobManager once. A killed one does not answer, and waiting for it would hide how fast the others are.
        let answers = self.runtime.block_on(self.client.ha_status_of_each(LOOK));
        let answers: Vec<_> = answers.into_iter().filter_map(|(_, answer)| answer.ok()).filter(|ha| ha.has_quorum).collect();
        let newest = answers.iter().max_by_key(|ha| ha.epoch)?;
        let leader = newest.leader.as_ref()?;
        (leader.epoch == newest.epoch).then(|| (leader.name.clone(), newest.epoch.0))
    }

    /// Waits for a leader with a higher epoch than `epoch`.
    pub fn await_leader_after(&self, epoch: u64) -> (String, u64) {
        self.until("another leader", || self.leader().filter(|(_, newer)| *newer > epoch))
    }

    /// Waits until `condition` holds for the job. `what` describes the condition if the test fails.
    pub fn await_job(&self, job: JobId, what: &str, condition: impl Fn(&JobDescription) -> bool) -> JobDescription {
        let mut last = None;
        let seen = poll(PATIENCE, || {
            last = self.describe(job).or(last.take());
            last.clone().filter(|job| condition(job))
        });
        seen.unwrap_or_else(|| panic!("{what}: did not happen in {PATIENCE:?}; last seen: {last:#?}"))
    }

    /// Waits until every task runs and a checkpoint with a higher id than `checkpoint` is complete.
    pub fn await_progress(&self, job: JobId, checkpoint: u64) -> JobDescription {
        self.await_job(job, "every task runs and a new checkpoint is complete", |job| {
            all_running(job) && newest_checkpoint(job) > checkpoint
        })
    }

    /// Waits until the job is FINISHED, and compares its output with the expected output. Stops an endless job first.
    pub fn finish(&self, id: JobId, job: &CountingJob) -> Verdict {
        let (id, job) = if job.ends() { (id, job.clone()) } else { self.run_out(id, job) };
        let end = self.await_job(id, "the job ends", |job| job.status.is_globally_terminal());
        assert_eq!(end.status, JobStatus::Finished, "{:#?}", end.exceptions);
        let verdict = job.check(&self.output()).expect("the output can be read");
        assert!(verdict.is_exactly_once(), "X1: {verdict:?}");
        verdict
    }

    /// Stops the job with a savepoint, and starts the rest of the job from it. The rest ends at a row that the job can't have
    /// reached yet at its rate.
    fn run_out(&self, id: JobId, job: &CountingJob) -> (JobId, CountingJob) {
        let target = self.directory.join("stopped").display().to_string();
        let mut refusal = None;
        let stopped = poll(PATIENCE, || {
            // If the stop is refused, the job may not have recovered yet from the last fault.
            let stopped = self.runtime.block_on(self.client.stop(id, Some(&target), false, PATIENCE));
            stopped.map_err(|error| refusal = Some(error)).ok()
        });
        let savepoint = stopped.unwrap_or_else(|| panic!("the job can't be stopped with a savepoint: {refusal:?}"));
        let rest = job.up_to((self.started.elapsed().as_secs() + 2) * job.rows_per_second);
        let mut graph = rest.graph(&self.output()).expect("the workload is a job graph");
        graph.restore_from = Some(savepoint);
        (self.submit_graph(&graph), rest)
    }

    /// Waits until `look` returns something. `what` describes it if the test fails.
    pub fn until<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        poll(PATIENCE, look).unwrap_or_else(|| panic!("{what}: did not happen in {PATIENCE:?}"))
    }

    /// What a process has logged so far.
    pub fn log_of(&self, name: &str) -> String {
        std::fs::read_to_string(self.cluster.logs().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// The sum of the samples of a metric in a JobManager's `/metrics`; 0 if there is none.
    pub fn metric(&self, name: &str, metric: &str) -> f64 {
        let Some(address) = self.cluster.rest_address(name) else { return 0.0 };
        let text =
            self.runtime.block_on(async { reqwest::get(format!("http://{address}/metrics")).await.ok()?.text().await.ok() });
        let text = text.unwrap_or_default();
        let samples = text.lines().filter(|line| line.split([' ', '{']).next() == Some(metric));
        samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

impl Drop for ClusterUnderTest {
    #[expect(clippy::print_stderr, reason = "a test harness captures only what the macro prints")]
    fn drop(&mut self) {
        for name in self.cluster.taskmanager_names().into_iter().chain(self.cluster.jobmanager_names()) {
            // A paused process can be killed, too.
            drop(self.cluster.kill(&name));
        }
        if std::thread::panicking() {
            eprintln!("the cluster's directory is kept: {}", self.directory.display());
        } else {
            drop(std::fs::remove_dir_all(&self.directory));
        }
    }
}

/// Whether the job is RUNNING with every task running.
pub fn all_running(job: &JobDescription) -> bool {
    let mut subtasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    job.status == JobStatus::Running && subtasks.all(|subtask| subtask.state == ExecutionState::Running)
}

/// The generations of the job's tasks. They differ from earlier ones if any task has restarted.
pub fn attempts(job: &JobDescription) -> Vec<Option<String>> {
    let subtasks = job.vertices.iter().flat_map(|vertex| &vertex.subtasks);
    subtasks.map(|subtask| subtask.generation.clone()).collect()
}

/// Id of the newest completed checkpoint; 0 if there is none.
pub fn newest_checkpoint(job: &JobDescription) -> u64 {
    job.checkpoints.latest_completed.as_ref().map_or(0, |checkpoint| checkpoint.facts().id)
}

/// Calls `look` until it returns something or the time is over. On a busy machine, the time is longer than `bound`.
pub fn poll<T>(bound: Duration, mut look: impl FnMut() -> Option<T>) -> Option<T> {
    let patience = Patience::of(bound);
    loop {
        if let Some(seen) = look() {
            return Some(seen);
        }
        if patience.is_over() {
            return None;
        }
        std::thread::sleep(PACE);
    }
}

/// The `weir` binary beside this test program.
pub fn weir_binary() -> PathBuf {
    let here = std::env::current_exe().expect("this program's path");
    let target = here.ancestors().find(|directory| directory.join("weir").is_file());
    target.expect("the weir binary is built: `cargo build --workspace`").join("weir")
}
