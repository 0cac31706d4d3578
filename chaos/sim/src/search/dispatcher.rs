//! Searches the Dispatcher. Its surrounding is clients, JobMasters and a coordination store, over changes of leadership.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::json;
use weir_control_plane::dispatcher::effect::Effect;
use weir_control_plane::dispatcher::event::{CleanupStep, Event, Ticket};
use weir_control_plane::dispatcher::{Dispatcher, DispatcherOptions};
use weir_ha::{JobResult, RecoveredJob, StoreAvailability, StoreError, Submission};
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::JobStatus;
use weir_world::Millis;

use super::{Surrounding, require};

const JOBS: u128 = 2;
/// Maximum numbers of submissions (including repeated ones), cancellations, leaders, and outages of the store.
const SUBMISSIONS: u64 = 3;
const CANCELLATIONS: u64 = 1;
const LEADERS: u32 = 2;
const OUTAGES: u32 = 1;

/// The Dispatcher and its surrounding.
#[derive(Debug, Clone, Hash)]
pub struct Jobs {
    core: Dispatcher,
    now: u64,
    leaders: u32,
    outages: u32,
    away: bool,
    submissions: u64,
    cancellations: u64,
    /// The job of each submission that waits for an answer, by ticket.
    waiting: BTreeMap<u64, JobId>,
    persisting: BTreeMap<u64, Persisting>,
    /// The writes whose outcome is unknown and that may still reach the store.
    late: BTreeSet<JobId>,
    rereading: BTreeSet<JobId>,
    storing: BTreeMap<JobId, JobResult>,
    cleaning: BTreeMap<JobId, CleanupStep>,
    /// The JobMasters that the present leader runs.
    running: BTreeSet<JobId>,
    /// The graphs and the results in the store.
    graphs: BTreeSet<JobId>,
    results: BTreeMap<JobId, JobResult>,
    /// The acknowledgements and statuses that clients were told.
    acknowledged: BTreeSet<JobId>,
    shown: BTreeMap<JobId, JobStatus>,
    cancelled: BTreeSet<JobId>,
}

/// The write of a submission.
#[derive(Debug, Clone, Copy, Hash)]
struct Persisting {
    job: JobId,
    /// Set once the write has reached the store: whether an earlier submission had created the job.
    reached: Option<bool>,
}

/// An event that may happen next.
#[derive(Debug, Clone)]
pub enum Step {
    /// A client submits a job under the job's token, perhaps not for the first time.
    Submit(JobId),
    /// The write of a submission reaches the store.
    Reached(u64),
    /// A write whose outcome is unknown reaches the store after all.
    ReachedLate(JobId),
    /// The write of a submission ends: whether its outcome is known.
    Persisted(u64, bool),
    /// The store answers a read of a job, or fails to.
    Reread(JobId, bool),
    /// A client cancels a job.
    Cancel(JobId),
    /// A JobMaster reports that its job has ended.
    Ended(JobId, JobStatus),
    /// The write of a result ends: whether it reaches the store, and whether its outcome is known.
    Stored(JobId, bool, bool),
    /// A step of the cleanup succeeds or fails.
    Cleaned(JobId, bool),
    /// The next deadline is reached.
    Tick,
    /// The store becomes unavailable (true) or available again.
    Store(bool),
    LeaderChanged,
}

fn graph(job: JobId) -> JobGraph {
    static GRAPH: LazyLock<JobGraph> = LazyLock::new(any_graph);
    JobGraph { job_id: Some(job), ..GRAPH.clone() }
}

fn any_graph() -> JobGraph {
    let graph = json!({
        "version": JobGraph::VERSION, "name": "job",
        "vertices": [{"id": "v", "parallelism": 1, "operators": [{"kind": "source.datagen"}]}],
        "edges": [],
    });
    serde_json::from_value(graph).expect("the JSON is a job graph")
}

fn unresolved() -> StoreError {
    StoreError::Unresolved { key: String::new(), reason: "no answer".to_owned() }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("no quorum".to_owned())
}

impl Jobs {
    /// A start without jobs, with a leader that has read the store.
    pub fn none() -> Self {
        let mut start = Self {
            core: Dispatcher::new(DispatcherOptions::default(), Millis(0)),
            now: 0,
            leaders: 0,
            outages: 0,
            away: false,
            submissions: 0,
            cancellations: 0,
            waiting: BTreeMap::new(),
            persisting: BTreeMap::new(),
            late: BTreeSet::new(),
            rereading: BTreeSet::new(),
            storing: BTreeMap::new(),
            cleaning: BTreeMap::new(),
            running: BTreeSet::new(),
            graphs: BTreeSet::new(),
            results: BTreeMap::new(),
            acknowledged: BTreeSet::new(),
            shown: BTreeMap::new(),
            cancelled: BTreeSet::new(),
        };
        start.take(&Step::LeaderChanged).expect("the start breaks no invariant");
        start
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        let effects = self.core.handle(event, Millis(self.now));
        effects.into_iter().try_for_each(|effect| self.perform(effect))
    }

    fn perform(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Persist { ticket, graph, .. } => {
                self.persisting.extend(graph.job_id.map(|job| (ticket.0, Persisting { job, reached: None })));
            }
            Effect::AnswerSubmit { ticket, answer } => {
                // A second answer finds no waiting client.
                if self.waiting.remove(&ticket.0).is_some()
                    && let Ok(submitted) = answer
                {
                    let durable = self.graphs.contains(&submitted.job) || self.results.contains_key(&submitted.job);
                    require(durable, "G2: a submission is acknowledged before it is durable")?;
                    self.acknowledged.insert(submitted.job);
                }
            }
            Effect::AnswerCancel { .. } | Effect::ShowQuarantined { .. } => {}
            Effect::StartJobMaster { graph, .. } => {
                let Some(job) = graph.job_id else { return Err("a job without an id is started".to_owned()) };
                require(self.graphs.contains(&job), "a job is started although it is not in the store")?;
                require(!self.results.contains_key(&job), "R1: a job is started although it has a result")?;
                require(self.running.insert(job), "a job is started twice under one leader")?;
            }
            Effect::CancelJob { job } => {
                require(self.running.contains(&job), "a job is cancelled although it does not run")?;
                self.cancelled.insert(job);
            }
            Effect::Reread { job } => require(self.rereading.insert(job), "a job is read twice at the same time")?,
            Effect::StoreResult { result } => {
                require(self.storing.insert(result.job, result).is_none(), "a result is stored twice at the same time")?;
            }
            Effect::ShowEnded { result } => {
                let stored = self.results.get(&result.job).map(|stored| stored.status);
                require(stored == Some(result.status), "R2: a job is shown as ended before its result is durable")?;
                let before = *self.shown.entry(result.job).or_insert(result.status);
                require(before == result.status, "R2: the terminal status of a job has changed")?;
                self.running.remove(&result.job);
            }
            Effect::CleanUp { job, step } => {
                require(self.results.contains_key(&job), "R2: a job is cleaned up before its result is durable")?;
                require(self.cleaning.insert(job, step).is_none(), "two cleanup steps of a job at the same time")?;
            }
            Effect::Forget { .. } | Effect::ForgetResults { .. } => return Err("a fresh result is forgotten".to_owned()),
            Effect::StepDown { .. } => return Err("the leader steps down although there is no newer one".to_owned()),
        }
        Ok(())
    }

    /// Writes a job to the store. Returns whether an earlier submission had created it.
    fn reach(&mut self, job: JobId) -> bool {
        self.results.contains_key(&job) || !self.graphs.insert(job)
    }

    fn persisted(&mut self, ticket: u64, answered: bool) -> Result<(), String> {
        let Some(Persisting { job, reached }) = self.persisting.remove(&ticket) else { return Ok(()) };
        let outcome = match (answered, reached) {
            (false, reached) => {
                if reached.is_none() {
                    self.late.insert(job);
                }
                Err(unresolved())
            }
            (true, Some(true)) => Ok(Submission::AlreadySubmitted { job }),
            (true, Some(false)) => Ok(Submission::Created),
            (true, None) => Err(unavailable()),
        };
        self.handle(Event::Persisted { ticket: Ticket(ticket), outcome })
    }

    fn reread(&mut self, job: JobId, answered: bool) -> Result<(), String> {
        self.rereading.remove(&job);
        let there = self.graphs.contains(&job) && !self.results.contains_key(&job);
        let found = there.then(|| RecoveredJob::Readable { job, graph: graph(job), submitted_at_ms: 1 });
        self.handle(Event::Reread { job, outcome: if answered { Ok(found) } else { Err(unavailable()) } })
    }

    fn stored(&mut self, job: JobId, reaches: bool, answered: bool) -> Result<(), String> {
        let Some(result) = self.storing.remove(&job) else { return Ok(()) };
        let other = self.results.get(&job).is_some_and(|known| known.status != result.status);
        require(!other, "R2: a job has another result already")?;
        if reaches {
            self.results.entry(job).or_insert(result);
        }
        let well = answered && self.results.contains_key(&job);
        self.handle(Event::ResultStored { job, outcome: if well { Ok(()) } else { Err(unresolved()) } })
    }

    fn cleaned(&mut self, job: JobId, well: bool) -> Result<(), String> {
        let Some(step) = self.cleaning.remove(&job) else { return Ok(()) };
        if well {
            match step {
                CleanupStep::JobGraph => drop(self.graphs.remove(&job)),
                CleanupStep::MarkClean => {
                    require(!self.graphs.contains(&job), "a result is marked clean while the job graph still exists")?;
                    self.results.entry(job).and_modify(|result| result.dirty = false);
                }
                CleanupStep::DiscardCheckpoints | CleanupStep::ReleaseCheckpoints => {}
            }
        }
        self.handle(Event::CleanedUp { job, step, outcome: if well { Ok(()) } else { Err(unavailable()) } })
    }

    /// Replaces the leader. Only what is in the store remains of the former one.
    fn change_leader(&mut self) -> Result<(), String> {
        self.leaders += 1;
        self.core = Dispatcher::new(DispatcherOptions::default(), Millis(self.now));
        self.waiting.clear();
        // The store refuses what a former leader had not written by now.
        self.persisting.clear();
        self.late.clear();
        self.rereading.clear();
        self.storing.clear();
        self.cleaning.clear();
        self.running.clear();
        let lost = self.acknowledged.iter().find(|job| !self.graphs.contains(job) && !self.results.contains_key(job));
        require(lost.is_none(), "G2: an acknowledged job is lost")?;
        let readable = |job: &JobId| RecoveredJob::Readable { job: *job, graph: graph(*job), submitted_at_ms: 1 };
        let jobs = self.graphs.iter().map(readable).collect();
        let results = self.results.values().cloned().collect();
        self.handle(Event::Recovered { jobs, results })?;
        let idle = self.graphs.iter().find(|job| !self.results.contains_key(job) && !self.running.contains(job));
        require(idle.is_none(), "a recovered job is not started")
    }
}

impl Surrounding for Jobs {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.submissions < SUBMISSIONS {
            steps.extend((1..=JOBS).map(|job| Step::Submit(JobId(job))));
        }
        let fates = [(true, true), (true, false), (false, true), (false, false)];
        for (ticket, write) in &self.persisting {
            if write.reached.is_none() {
                steps.push(Step::Reached(*ticket));
            }
            steps.extend([true, false].map(|answered| Step::Persisted(*ticket, answered)));
        }
        steps.extend(self.late.iter().map(|job| Step::ReachedLate(*job)));
        steps.extend(self.rereading.iter().flat_map(|job| [true, false].map(|answered| Step::Reread(*job, answered))));
        if self.cancellations < CANCELLATIONS {
            steps.extend((1..=JOBS).map(|job| Step::Cancel(JobId(job))));
        }
        for job in &self.running {
            if !self.storing.contains_key(job) {
                let status = if self.cancelled.contains(job) { JobStatus::Canceled } else { JobStatus::Finished };
                steps.push(Step::Ended(*job, status));
            }
        }
        steps.extend(self.storing.keys().flat_map(|job| fates.map(|(there, told)| Step::Stored(*job, there, told))));
        steps.extend(self.cleaning.keys().flat_map(|job| [true, false].map(|well| Step::Cleaned(*job, well))));
        steps.push(Step::Tick);
        if self.leaders < LEADERS {
            steps.push(Step::LeaderChanged);
        }
        if self.away || self.outages < OUTAGES {
            steps.push(Step::Store(!self.away));
        }
        steps
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        match step.clone() {
            Step::Submit(job) => {
                self.submissions += 1;
                let ticket = self.submissions;
                self.waiting.insert(ticket, job);
                let client_token = Some(job.to_string());
                self.handle(Event::Submit { ticket: Ticket(ticket), graph: Box::new(graph(job)), client_token, wall_clock_ms: 1 })
            }
            Step::Reached(ticket) => {
                if let Some(write) = self.persisting.get(&ticket).copied() {
                    let known = self.reach(write.job);
                    self.persisting.insert(ticket, Persisting { reached: Some(known), ..write });
                }
                Ok(())
            }
            Step::ReachedLate(job) => {
                self.late.remove(&job);
                self.reach(job);
                Ok(())
            }
            Step::Persisted(ticket, answered) => self.persisted(ticket, answered),
            Step::Reread(job, answered) => self.reread(job, answered),
            Step::Cancel(job) => {
                self.cancellations += 1;
                self.handle(Event::Cancel { ticket: Ticket(100), job, wall_clock_ms: 1 })
            }
            Step::Ended(job, status) => self.handle(Event::JobEnded { job, status, failure: None, wall_clock_ms: 1 }),
            Step::Stored(job, reaches, answered) => self.stored(job, reaches, answered),
            Step::Cleaned(job, well) => self.cleaned(job, well),
            Step::Tick => {
                self.now = self.core.next_deadline().0.max(self.now);
                self.handle(Event::Tick)
            }
            Step::Store(away) => {
                (self.away, self.outages) = (away, self.outages + u32::from(away));
                let availability = if away { StoreAvailability::Away { since_ms: 1 } } else { StoreAvailability::Available };
                self.handle(Event::Store(availability))
            }
            Step::LeaderChanged => self.change_leader(),
        }
    }
}
