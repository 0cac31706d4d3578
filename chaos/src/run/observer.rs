//! Observes a cluster from outside, all the time, and records what it sees.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use weir_client::ClusterClient;
use weir_protocol::JobId;
use weir_protocol::job_status::ExecutionState;
use weir_protocol::rest::JobDescription;

use crate::history::{JobSeen, Recorder, What};

/// How long one look may take: a killed or stopped process does not answer.
const LOOK: Duration = Duration::from_millis(500);
/// Pause between two looks at the leader or at the output.
const PACE: Duration = Duration::from_millis(50);
/// Pause between two looks at the job or at the slots.
const JOB_PACE: Duration = Duration::from_millis(100);
/// If a look sees nothing new, it is recorded again after this time.
const AGAIN: Duration = Duration::from_millis(500);

/// What a JobManager reported last.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LeaderView {
    pub name: Option<String>,
    /// The newest epoch known.
    pub epoch: u64,
    /// Whether the JobManager reaches a quorum.
    pub quorum: bool,
    /// Whether the coordination store is unavailable.
    pub away: bool,
}

/// What was last seen of the cluster.
#[derive(Debug, Clone, Default)]
pub struct View {
    /// By JobManager. Contains only those that answered the last look.
    pub leaders: BTreeMap<String, LeaderView>,
    /// The last description of the watched job.
    pub job: Option<JobSeen>,
    /// The number of the current process of each name, counted from 1.
    pub incarnations: BTreeMap<String, u32>,
    /// The job to look at.
    pub watched: Option<JobId>,
}

impl View {
    /// The leader of the newest epoch that any JobManager with a quorum reports.
    pub fn leader(&self) -> Option<(String, u64)> {
        let newest = self.leaders.values().filter(|view| view.quorum).max_by_key(|view| view.epoch)?;
        Some((newest.name.clone()?, newest.epoch))
    }

    /// Whether any JobManager reports that the coordination store is unavailable.
    pub fn store_is_away(&self) -> bool {
        self.leaders.values().any(|view| view.away)
    }
}

/// What was last seen of the cluster, shared between threads.
#[derive(Debug, Clone, Default)]
pub struct SharedView(Arc<Mutex<View>>);

impl SharedView {
    /// A copy of the current view.
    pub fn get(&self) -> View {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes the view under its lock.
    pub fn with<T>(&self, change: impl FnOnce(&mut View) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The threads that observe. They end when this is dropped.
#[derive(Debug)]
pub(super) struct Observer {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Observer {
    /// Starts to observe these JobManagers (name and REST address) and the output in this directory.
    pub(super) fn start(
        jobmanagers: &[(String, String)],
        output: &Path,
        recorder: &Recorder,
        view: &SharedView,
    ) -> io::Result<Self> {
        let mut observer = Self { stop: Arc::default(), threads: Vec::new() };
        for (name, address) in jobmanagers {
            let look = LeaderLook { name: name.clone(), client: client(vec![address.clone()])?, noted: Noted::default() };
            observer.watch("leaders", PACE, look, recorder, view)?;
        }
        let all: Vec<_> = jobmanagers.iter().map(|(_, address)| address.clone()).collect();
        observer.watch("job", JOB_PACE, JobLook { client: client(all.clone())?, noted: Noted::default() }, recorder, view)?;
        observer.watch("slots", JOB_PACE, SlotsLook { client: client(all)?, noted: Noted::default() }, recorder, view)?;
        let look = OutputLook { directory: output.to_owned(), noted: Noted::default() };
        observer.watch("output", PACE, look, recorder, view)?;
        Ok(observer)
    }

    fn watch(
        &mut self,
        name: &str,
        pace: Duration,
        mut look: impl Look + 'static,
        recorder: &Recorder,
        view: &SharedView,
    ) -> io::Result<()> {
        let (stop, recorder, view) = (self.stop.clone(), recorder.clone(), view.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(move || {
            while !stop.load(Ordering::Relaxed) {
                runtime.block_on(look.look(&recorder, &view));
                std::thread::sleep(pace);
            }
        })?;
        self.threads.push(thread);
        Ok(())
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // A thread that panicked has already printed why.
            let _ = thread.join();
        }
    }
}

fn client(addresses: Vec<String>) -> io::Result<ClusterClient> {
    ClusterClient::new(addresses).map_err(io::Error::other)
}

/// Something that is looked at repeatedly.
trait Look: Send {
    /// Looks once, and records what is new.
    fn look(&mut self, recorder: &Recorder, view: &SharedView) -> impl Future<Output = ()>;
}

/// The event that was recorded last, and when.
#[derive(Debug, Default)]
struct Noted(Option<(What, Instant)>);

impl Noted {
    /// Records the event if it is new, or if the last record is old.
    fn note(&mut self, recorder: &Recorder, what: What) {
        if self.0.as_ref().is_none_or(|(noted, at)| *noted != what || at.elapsed() > AGAIN) {
            recorder.note(what.clone());
            self.0 = Some((what, Instant::now()));
        }
    }
}

struct LeaderLook {
    name: String,
    client: ClusterClient,
    noted: Noted,
}

impl Look for LeaderLook {
    async fn look(&mut self, recorder: &Recorder, view: &SharedView) {
        let incarnation = |view: &SharedView| view.with(|view| view.incarnations.get(&self.name).copied().unwrap_or(1));
        let before = incarnation(view);
        let answer = self.client.ha_status_of_each(LOOK).await.into_iter().find_map(|(_, answer)| answer.ok());
        // If the process was replaced meanwhile, it is unknown which one answered.
        let Some(ha) = answer.filter(|_| incarnation(view) == before) else {
            view.with(|view| view.leaders.remove(&self.name));
            return;
        };
        let seen = LeaderView {
            name: ha.leader.filter(|leader| leader.epoch == ha.epoch).map(|leader| leader.name),
            epoch: ha.epoch.0,
            quorum: ha.has_quorum,
            away: ha.store_away_since_ms.is_some(),
        };
        view.with(|view| view.leaders.insert(self.name.clone(), seen.clone()));
        let LeaderView { name, epoch, quorum, away } = seen;
        let seen_by = format!("{}/{before}", self.name);
        self.noted.note(recorder, What::Leader { seen_by, name, epoch, quorum, away });
    }
}

struct JobLook {
    client: ClusterClient,
    noted: Noted,
}

impl Look for JobLook {
    async fn look(&mut self, recorder: &Recorder, view: &SharedView) {
        let Some(job) = view.with(|view| view.watched) else { return };
        let Ok(description) = self.client.describe(job, LOOK).await else { return };
        let seen = job_seen(&description);
        view.with(|view| view.job = Some(seen.clone()));
        self.noted.note(recorder, What::Job(seen));
    }
}

/// The part of a job's description that the history keeps.
fn job_seen(job: &JobDescription) -> JobSeen {
    let subtasks: Vec<_> = job.vertices.iter().flat_map(|vertex| &vertex.subtasks).collect();
    let sources = job.vertices.first().into_iter().flat_map(|vertex| &vertex.subtasks);
    JobSeen {
        job: job.job_id,
        epoch: job.epoch.0,
        status: job.status,
        restarts: job.restarts,
        running: subtasks.iter().filter(|subtask| subtask.state == ExecutionState::Running).count() as u32,
        tasks: subtasks.len() as u32,
        checkpoint: job.checkpoints.latest_completed.as_ref().map(|checkpoint| checkpoint.facts().id),
        failed: job.checkpoints.counts.failed,
        restored: job.checkpoints.latest_restored.as_ref().map(|restored| (restored.id, restored.restore_timestamp)),
        records: sources.filter_map(|subtask| subtask.metrics).map(|metrics| metrics.records_out).sum(),
    }
}

struct SlotsLook {
    client: ClusterClient,
    noted: Noted,
}

impl Look for SlotsLook {
    async fn look(&mut self, recorder: &Recorder, _: &SharedView) {
        let Ok(overview) = self.client.overview(LOOK).await else { return };
        let (taskmanagers, total, available) = (overview.taskmanagers, overview.slots_total, overview.slots_available);
        self.noted.note(recorder, What::Slots { taskmanagers, total, available });
    }
}

struct OutputLook {
    directory: PathBuf,
    noted: Noted,
}

impl Look for OutputLook {
    async fn look(&mut self, recorder: &Recorder, _: &SharedView) {
        let (mut files, mut bytes) = (0, 0);
        let mut open = vec![self.directory.clone()];
        while let Some(directory) = open.pop() {
            for entry in std::fs::read_dir(&directory).into_iter().flatten().flatten() {
                if entry.file_name().to_string_lossy().starts_with('.') {
                    continue;
                }
                match entry.metadata() {
                    // Each table of the SQL job has a directory.
                    Ok(metadata) if metadata.is_dir() => open.push(entry.path()),
                    metadata => {
                        files += 1;
                        bytes += metadata.map_or(0, |metadata| metadata.len());
                    }
                }
            }
        }
        self.noted.note(recorder, What::Output { files, bytes });
    }
}
