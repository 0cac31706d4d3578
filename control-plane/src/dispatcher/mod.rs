//! The Dispatcher takes submissions, starts a JobMaster for each job, and cleans up after jobs that have ended.
//!
//! A client is answered only when its job is durable. The end of a job is durable before it is reported (R2) and before
//! anything that belongs to the job is deleted.

pub(crate) mod cleanup;
pub mod effect;
pub mod event;
pub mod gateway;
pub mod job_registry;
pub mod recovery;
pub(crate) mod runner;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use weir_ha::{JobResult, RecoveredJob, StoreAvailability, StoreError, Submission};
use weir_protocol::JobId;
use weir_protocol::job_graph::{CheckpointConfig, JobGraph, RestartStrategyConfig};
use weir_protocol::job_status::JobStatus;
use weir_world::flaw::{Flaw, is_planted};
use weir_world::{Backoff, Millis};

use self::effect::{CancelError, Effect, SubmitError, Submitted};
use self::event::{CleanupStep, Event, Ticket};
use crate::store_away::StoreAway;

/// Limits of the Dispatcher, and defaults for job graphs.
#[derive(Debug, Clone, PartialEq)]
pub struct DispatcherOptions {
    /// Maximum number of jobs that have not ended.
    pub max_jobs: usize,
    /// Maximum number of ended jobs that are remembered (`jobstore.max-capacity`).
    pub max_results: usize,
    /// How long ended jobs are remembered, milliseconds (`jobstore.expiration-time`).
    pub result_retention_ms: u64,
    /// Default for job graphs without `checkpointing` (`execution.checkpointing.*`).
    pub checkpointing: CheckpointConfig,
    /// Default for job graphs without `restart_strategy` (`restart-strategy.*`).
    pub restart_strategy: RestartStrategyConfig,
}

impl Default for DispatcherOptions {
    fn default() -> Self {
        Self {
            max_jobs: 10_000,
            max_results: 10_000,
            result_retention_ms: 24 * 3_600_000,
            checkpointing: CheckpointConfig::default(),
            restart_strategy: RestartStrategyConfig::default(),
        }
    }
}

/// Maximum number of submissions that wait for the store at once.
const MAX_SUBMISSIONS: usize = 256;
/// Wait between two attempts at a store operation.
const RETRY: Backoff = Backoff::new(Duration::from_millis(100), RETRY_MAX);
const RETRY_MAX: Duration = Duration::from_secs(30);
/// If the outcome of a submission is unknown, the store is read this many times. After that, the job counts as not submitted.
const REREADS_OF_UNKNOWN: u32 = 12;
/// Time between two searches for results that are too old, milliseconds.
const RETENTION_CHECK_MS: u64 = 60_000;

/// The pure core of the Dispatcher.
#[derive(Debug, Clone)]
pub struct Dispatcher {
    options: DispatcherOptions,
    submissions: BTreeMap<Ticket, Submitting>,
    jobs: BTreeMap<JobId, Phase>,
    retries: BTreeMap<JobId, Retry>,
    store: StoreAvailability,
    next_retention_check: Millis,
}

#[derive(Debug, Clone)]
struct Submitting {
    graph: Box<JobGraph>,
    submitted_at_ms: u64,
}

#[derive(Debug, Clone, Hash)]
enum Phase {
    /// It is not known whether the store holds the job, so the store is read.
    Unknown,
    /// The job graph can't be read.
    Quarantined,
    /// A JobMaster runs the job.
    Live { name: String, retain_on_cancellation: bool, submitted_at_ms: u64 },
    /// The job has ended, but its result is not durable yet.
    Ending { result: JobResult, first_step: CleanupStep },
    /// The result is durable, but cleanup is not complete.
    Dirty { result: JobResult, step: CleanupStep },
    /// Only the result is left.
    Ended {
        result: JobResult,
        /// When this leader found it or stored it.
        known_since: Millis,
    },
}

/// A store operation of a job that is retried.
#[derive(Debug, Clone, Hash)]
struct Retry {
    attempts: u32,
    at: Option<Millis>,
}

impl Hash for Dispatcher {
    /// Hashes everything but the options, which never change.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { options: _, submissions, jobs, retries, store, next_retention_check } = self;
        (submissions, jobs, retries, store, next_retention_check).hash(state);
    }
}

impl Hash for Submitting {
    /// Hashes the job id instead of the graph, because the id determines the graph.
    fn hash<H: Hasher>(&self, state: &mut H) {
        (self.graph.job_id, self.submitted_at_ms).hash(state);
    }
}

impl Dispatcher {
    /// Creates a Dispatcher without jobs.
    pub fn new(options: DispatcherOptions, now: Millis) -> Self {
        Self {
            options,
            submissions: BTreeMap::new(),
            jobs: BTreeMap::new(),
            retries: BTreeMap::new(),
            store: StoreAvailability::default(),
            next_retention_check: now,
        }
    }

    /// Takes an event and returns what must be done, in this order.
    pub fn handle(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Recovered { jobs, results } => self.recover(jobs, results, now, &mut effects),
            Event::Submit { ticket, graph, client_token, wall_clock_ms } => {
                self.submit(ticket, graph, client_token, wall_clock_ms, &mut effects);
            }
            Event::Persisted { ticket, outcome } => self.persisted(ticket, outcome, now, &mut effects),
            Event::Reread { job, outcome } => self.reread(job, outcome, now, &mut effects),
            Event::Cancel { ticket, job, wall_clock_ms } => self.cancel(ticket, job, wall_clock_ms, &mut effects),
            Event::JobEnded { job, status, failure, wall_clock_ms } => {
                self.job_ended(job, status, failure, wall_clock_ms, &mut effects);
            }
            Event::ResultStored { job, outcome } => self.result_stored(job, outcome, now, &mut effects),
            Event::CleanedUp { job, step, outcome } => self.cleaned_up(job, step, outcome, now, &mut effects),
            Event::Store(store) => self.store_changed(store, now, &mut effects),
            Event::Tick => self.tick(now, &mut effects),
        }
        effects
    }

    /// When the next [`Event::Tick`] is due.
    pub fn next_deadline(&self) -> Millis {
        let retries = self.retries.values().filter_map(|retry| retry.at);
        retries.chain([self.next_retention_check]).min().unwrap_or(self.next_retention_check)
    }

    fn recover(&mut self, jobs: Vec<RecoveredJob>, results: Vec<JobResult>, now: Millis, effects: &mut Vec<Effect>) {
        let plan = recovery::plan(jobs, results);
        for result in plan.ended {
            self.jobs.insert(result.job, Phase::Ended { result: result.clone(), known_since: now });
            effects.push(Effect::ShowEnded { result });
        }
        for (result, step) in plan.clean_up {
            let job = result.job;
            self.jobs.insert(job, Phase::Dirty { result: result.clone(), step });
            effects.push(Effect::ShowEnded { result });
            effects.push(Effect::CleanUp { job, step });
        }
        for quarantine in plan.quarantine {
            self.quarantine(quarantine.job, quarantine.reason, now, effects);
        }
        for (graph, submitted_at_ms) in plan.start {
            self.start(Box::new(graph), submitted_at_ms, effects);
        }
    }

    fn submit(
        &mut self,
        ticket: Ticket,
        mut graph: Box<JobGraph>,
        client_token: Option<String>,
        submitted_at_ms: u64,
        effects: &mut Vec<Effect>,
    ) {
        let live = self.jobs.values().filter(|phase| !matches!(phase, Phase::Ended { .. })).count();
        let refusal = match graph.job_id {
            None => Some(SubmitError::Invalid(vec!["JG-NO-ID: the job graph has no id".to_string()])),
            Some(_) if self.submissions.len() >= MAX_SUBMISSIONS => {
                Some(SubmitError::Busy(format!("JOB-BUSY: {MAX_SUBMISSIONS} submissions are under way; try again")))
            }
            Some(_) if live + self.submissions.len() >= self.options.max_jobs => {
                let limit = self.options.max_jobs;
                Some(SubmitError::Busy(format!("JOB-LIMIT: the cluster runs {live} jobs; the limit is {limit}")))
            }
            Some(job) => match self.jobs.get(&job) {
                // With a token, the submission may be a repetition. Only the store can tell.
                Some(Phase::Ended { result, .. } | Phase::Dirty { result, .. } | Phase::Ending { result, .. })
                    if client_token.is_none() =>
                {
                    let status = result.status.as_str();
                    Some(SubmitError::Conflict(format!("JOB-ENDED: job {job} has already ended: {status}")))
                }
                _ => StoreAway::check(self.store).err().map(SubmitError::StoreAway),
            },
        };
        if let Some(refusal) = refusal {
            effects.push(Effect::AnswerSubmit { ticket, answer: Err(refusal) });
            return;
        }
        // Defaults are filled in before the graph is stored, so that every later leader runs the job with the same settings.
        graph.checkpointing.get_or_insert(self.options.checkpointing);
        graph.restart_strategy.get_or_insert_with(|| self.options.restart_strategy.clone());
        self.submissions.insert(ticket, Submitting { graph: graph.clone(), submitted_at_ms });
        if let (Some(job), true) = (graph.job_id, is_planted(Flaw::AnsweredBeforeDurable)) {
            effects.push(Effect::AnswerSubmit { ticket, answer: Ok(Submitted { job, already: false }) });
        }
        let client_token = client_token.filter(|_| !is_planted(Flaw::ForgottenToken));
        effects.push(Effect::Persist { ticket, graph, client_token, submitted_at_ms });
    }

    fn persisted(&mut self, ticket: Ticket, outcome: Result<Submission, StoreError>, now: Millis, effects: &mut Vec<Effect>) {
        let Some(Submitting { graph, submitted_at_ms }) = self.submissions.remove(&ticket) else { return };
        let Some(job) = graph.job_id else { return };
        let answer = match outcome {
            Ok(Submission::Created) => {
                // A repetition of this submission may have been answered first, and its job started from what the store held.
                let started = !matches!(self.jobs.get(&job), None | Some(Phase::Unknown | Phase::Quarantined));
                if !started || is_planted(Flaw::StartedTwice) {
                    self.retries.remove(&job);
                    self.start(graph, submitted_at_ms, effects);
                }
                Ok(Submitted { job, already: false })
            }
            Ok(Submission::AlreadySubmitted { job }) => {
                if !self.jobs.contains_key(&job) {
                    // The outcome of its first submission was unknown, so the job has not been started yet.
                    self.look_for(job, effects);
                }
                Ok(Submitted { job, already: true })
            }
            Err(error @ StoreError::Unresolved { .. }) => {
                if let Entry::Vacant(entry) = self.jobs.entry(job) {
                    entry.insert(Phase::Unknown);
                    self.retry_later(job, now);
                }
                Err(SubmitError::Unknown(format!("{error}; submit again with the same client token")))
            }
            Err(error) => {
                if let StoreError::Superseded { .. } = error {
                    effects.push(Effect::StepDown { reason: error.to_string() });
                }
                Err(refusal(&error))
            }
        };
        effects.push(Effect::AnswerSubmit { ticket, answer });
    }

    fn look_for(&mut self, job: JobId, effects: &mut Vec<Effect>) {
        self.jobs.insert(job, Phase::Unknown);
        self.retries.insert(job, Retry { attempts: 0, at: None });
        effects.push(Effect::Reread { job });
    }

    fn reread(&mut self, job: JobId, outcome: Result<Option<RecoveredJob>, StoreError>, now: Millis, effects: &mut Vec<Effect>) {
        let unknown = match self.jobs.get(&job) {
            Some(Phase::Unknown) => true,
            Some(Phase::Quarantined) => false,
            _ => return,
        };
        match outcome {
            Ok(Some(RecoveredJob::Readable { graph, submitted_at_ms, .. })) => {
                self.retries.remove(&job);
                self.start(Box::new(graph), submitted_at_ms, effects);
            }
            Ok(Some(RecoveredJob::Unreadable { reason, .. })) => {
                self.quarantine(job, reason, now, effects);
            }
            Ok(None) if unknown => {
                let attempts = self.retries.get(&job).map_or(0, |retry| retry.attempts);
                if attempts >= REREADS_OF_UNKNOWN {
                    self.retries.remove(&job);
                    self.jobs.remove(&job);
                } else {
                    self.retry_later(job, now);
                }
            }
            Ok(None) | Err(_) => {
                self.retry_later(job, now);
            }
        }
    }

    fn cancel(&mut self, ticket: Ticket, job: JobId, wall_clock_ms: u64, effects: &mut Vec<Effect>) {
        let answer = match self.jobs.get(&job) {
            None | Some(Phase::Unknown) => Err(CancelError::NotFound(job)),
            Some(Phase::Live { .. } | Phase::Quarantined) if self.store != StoreAvailability::Available => {
                StoreAway::check(self.store).map_err(CancelError::StoreAway)
            }
            Some(Phase::Live { .. }) => {
                if !is_planted(Flaw::CancellationForgotten) {
                    effects.push(Effect::CancelJob { job });
                }
                Ok(())
            }
            Some(Phase::Quarantined) => {
                // None of its tasks runs, so the job ends at once.
                self.job_ended(job, JobStatus::Canceled, None, wall_clock_ms, effects);
                Ok(())
            }
            Some(Phase::Ending { result, .. } | Phase::Dirty { result, .. } | Phase::Ended { result, .. }) => match result.status
            {
                JobStatus::Canceled => Ok(()),
                status => Err(CancelError::Ended { job, status: status.as_str() }),
            },
        };
        effects.push(Effect::AnswerCancel { ticket, answer });
    }

    fn job_ended(&mut self, job: JobId, status: JobStatus, failure: Option<String>, ended_at_ms: u64, effects: &mut Vec<Effect>) {
        let (name, submitted_at_ms, retained) = match self.jobs.get(&job) {
            Some(Phase::Live { name, retain_on_cancellation, submitted_at_ms }) => {
                (name.clone(), *submitted_at_ms, *retain_on_cancellation)
            }
            // Without a readable graph, the name and the user's wish about checkpoints are not known. So the files are kept.
            Some(Phase::Quarantined) => (String::new(), ended_at_ms, true),
            _ => return,
        };
        let result = JobResult { job, name, status, submitted_at_ms, ended_at_ms, failure, dirty: true };
        let keep = retained && status != JobStatus::Finished;
        let first_step = if keep { CleanupStep::ReleaseCheckpoints } else { CleanupStep::DiscardCheckpoints };
        self.jobs.insert(job, Phase::Ending { result: result.clone(), first_step });
        self.retries.insert(job, Retry { attempts: 0, at: None });
        if is_planted(Flaw::ResultNotStored) {
            effects.push(Effect::ShowEnded { result });
            return;
        }
        effects.push(Effect::StoreResult { result });
    }

    fn result_stored(&mut self, job: JobId, outcome: Result<(), StoreError>, now: Millis, effects: &mut Vec<Effect>) {
        let Some(Phase::Ending { result, first_step }) = self.jobs.get(&job) else { return };
        let (result, step) = (result.clone(), *first_step);
        match outcome {
            Ok(()) => {
                self.retries.insert(job, Retry { attempts: 0, at: None });
                self.jobs.insert(job, Phase::Dirty { result: result.clone(), step });
                effects.push(Effect::ShowEnded { result });
                effects.push(Effect::CleanUp { job, step });
            }
            Err(error) => self.failed(job, &error, "the result of a job that has ended", now, effects),
        }
    }

    fn cleaned_up(
        &mut self,
        job: JobId,
        done: CleanupStep,
        outcome: Result<(), StoreError>,
        now: Millis,
        effects: &mut Vec<Effect>,
    ) {
        let Some(Phase::Dirty { result, step }) = self.jobs.get_mut(&job) else { return };
        if *step != done {
            return;
        }
        if let Err(error) = outcome {
            self.failed(job, &error, "a cleanup step of a job that has ended", now, effects);
            return;
        }
        let next = match done {
            CleanupStep::DiscardCheckpoints | CleanupStep::ReleaseCheckpoints => CleanupStep::JobGraph,
            CleanupStep::JobGraph => CleanupStep::MarkClean,
            CleanupStep::MarkClean => {
                let result = JobResult { dirty: false, ..result.clone() };
                self.jobs.insert(job, Phase::Ended { result, known_since: now });
                self.retries.remove(&job);
                return;
            }
        };
        *step = next;
        self.retries.insert(job, Retry { attempts: 0, at: None });
        effects.push(Effect::CleanUp { job, step: next });
    }

    /// While the store is unavailable, callers are answered at once. Submissions in flight get `HA-UNKNOWN`, but their writes
    /// continue. When the store answers again, failed operations are retried at once.
    fn store_changed(&mut self, store: StoreAvailability, now: Millis, effects: &mut Vec<Effect>) {
        self.store = store;
        match StoreAway::check(store) {
            Err(away) => {
                let unknown = || {
                    let reason =
                        "the store stopped answering while the job was being recorded; submit again with the same client token";
                    SubmitError::Unknown(format!("HA-UNKNOWN: it is not known whether the job was accepted: {away}: {reason}"))
                };
                let waiting = self.submissions.keys();
                effects.extend(waiting.map(|ticket| Effect::AnswerSubmit { ticket: *ticket, answer: Err(unknown()) }));
            }
            Ok(()) => {
                for retry in self.retries.values_mut().filter(|retry| retry.at.is_some()) {
                    *retry = Retry { attempts: 0, at: Some(now) };
                }
            }
        }
    }

    /// A store operation failed. It is retried until it succeeds, or until a newer leader takes over.
    fn failed(&mut self, job: JobId, error: &StoreError, what: &str, now: Millis, effects: &mut Vec<Effect>) {
        if let StoreError::Superseded { .. } = error {
            effects.push(Effect::StepDown { reason: error.to_string() });
            return;
        }
        let attempts = self.retry_later(job, now);
        if error.is_retryable() {
            tracing::warn!(%job, attempts, %error, "{what} could not be written; trying again");
        } else if attempts == 1 {
            tracing::error!(%job, %error, "{what} can't be written; retrying for ever, but an operator must look at the store");
        }
    }

    /// Schedules the next attempt for the job. Returns the number of attempts so far.
    fn retry_later(&mut self, job: JobId, now: Millis) -> u32 {
        let retry = self.retries.entry(job).or_insert(Retry { attempts: 0, at: None });
        retry.attempts = retry.attempts.saturating_add(1);
        retry.at = Some(now.after(RETRY.after(retry.attempts).as_millis() as u64));
        retry.attempts
    }

    fn tick(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        for (job, retry) in &mut self.retries {
            if retry.at.is_some_and(|at| at <= now) {
                retry.at = None;
                match self.jobs.get(job) {
                    Some(Phase::Unknown | Phase::Quarantined) => effects.push(Effect::Reread { job: *job }),
                    Some(Phase::Ending { result, .. }) => effects.push(Effect::StoreResult { result: result.clone() }),
                    Some(Phase::Dirty { step, .. }) => effects.push(Effect::CleanUp { job: *job, step: *step }),
                    Some(Phase::Live { .. } | Phase::Ended { .. }) | None => {}
                }
            }
        }
        if self.next_retention_check <= now {
            self.next_retention_check = now.after(RETENTION_CHECK_MS);
            self.forget_old_results(now, effects);
        }
    }

    /// Forgets results that this leader has known for longer than they are kept, and the oldest ones above the limit. The age is
    /// counted by this leader's own timer, because its wall clock or that of the leader that stored a result may be days off. So
    /// after a change of leader a result is kept for longer.
    fn forget_old_results(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let ended = self.jobs.iter().filter_map(|(job, phase)| match phase {
            Phase::Ended { result, known_since } => Some((*known_since, result.ended_at_ms, *job)),
            _ => None,
        });
        let mut ended: Vec<_> = ended.collect();
        ended.sort_unstable();
        let surplus = ended.len().saturating_sub(self.options.max_results);
        let of_age = |known_since: Millis| {
            known_since.after(self.options.result_retention_ms) <= now || is_planted(Flaw::ResultsForgotten)
        };
        let aged = ended.iter().take_while(|(known_since, ..)| of_age(*known_since)).count();
        let forgotten: Vec<JobId> = ended.iter().take(surplus.max(aged)).map(|(.., job)| *job).collect();
        if forgotten.is_empty() {
            return;
        }
        for job in &forgotten {
            self.jobs.remove(job);
            effects.push(Effect::Forget { job: *job });
        }
        effects.push(Effect::ForgetResults { jobs: forgotten });
    }

    fn start(&mut self, graph: Box<JobGraph>, submitted_at_ms: u64, effects: &mut Vec<Effect>) {
        let Some(job) = graph.job_id else { return };
        let retain_on_cancellation = graph.checkpoint_config().retain_on_cancellation;
        self.jobs.insert(job, Phase::Live { name: graph.name.clone(), retain_on_cancellation, submitted_at_ms });
        effects.push(Effect::StartJobMaster { graph, submitted_at_ms });
    }

    fn quarantine(&mut self, job: JobId, reason: String, now: Millis, effects: &mut Vec<Effect>) {
        let known = matches!(self.jobs.insert(job, Phase::Quarantined), Some(Phase::Quarantined));
        if !known {
            tracing::error!(%job, reason, "quarantined: the job's graph can't be read; restore it, and the job starts within {} s, or cancel the job", RETRY_MAX.as_secs());
        }
        effects.push(Effect::ShowQuarantined { job, reason });
        self.retry_later(job, now);
    }
}

fn refusal(error: &StoreError) -> SubmitError {
    match error {
        StoreError::Refused { .. } => SubmitError::Invalid(vec![error.to_string()]),
        StoreError::Conflict { .. } | StoreError::TokenTaken { .. } => SubmitError::Conflict(error.to_string()),
        StoreError::NoRoom { .. } => SubmitError::Busy(error.to_string()),
        StoreError::Unresolved { .. } => SubmitError::Unknown(error.to_string()),
        StoreError::Superseded { .. } | StoreError::Unavailable(_) | StoreError::Corrupt { .. } | StoreError::File(_) => {
            SubmitError::Unavailable(error.to_string())
        }
    }
}
