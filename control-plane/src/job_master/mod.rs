//! The JobMaster runs one job, from its JobGraph to its end.
//!
//! Subtasks that must run but are not deployed are in `to_deploy`. The stage says what must happen before they are deployed:
//! former attempts end, the restart delay passes, the newest checkpoint is read, slots are granted. The first deployment takes
//! the same path as every restart.

pub mod effect;
mod ending;
pub mod event;
pub mod execution_graph;
pub mod failover;
pub mod gateway;
mod recovery;
mod reports;
pub mod restore;
pub mod runner;
pub mod scheduler;
mod show;
pub mod slot_pool;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
pub mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use weir_ha::StoreAvailability;
use weir_protocol::checkpoint::CheckpointMetadata;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::{ExecutionState, JobStatus};
use weir_protocol::link::Order;
use weir_protocol::{Generation, JobId, LeaderEpoch};
use weir_world::Millis;
use weir_world::flaw::{Flaw, is_planted};

use self::effect::JobMasterEffect;
use self::event::JobMasterEvent;
use self::execution_graph::{DanglingEdge, ExecutionGraph, Place};
use self::failover::region::FailoverRegions;
use self::failover::restart_strategy::RestartStrategy;
use self::scheduler::DeploymentPlan;
use self::slot_pool::SlotPool;
use self::view::ExceptionView;
use crate::checkpoint::coordinator::{CheckpointCoordinator, CheckpointedJob, Moment};
use crate::checkpoint::effect::{CheckpointEffect, SavepointOutcome};
use crate::checkpoint::event::CheckpointEvent;

/// The settings of JobMasters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobMasterOptions {
    /// How long a job waits for slots before this counts as a failure, milliseconds (`slot.request.timeout`).
    pub slot_request_timeout_ms: u64,
    /// Time between two orders to cancel the same task, milliseconds (`task.cancellation.interval`).
    pub cancellation_interval_ms: u64,
    /// If tasks have not stopped after this time, their TaskManager is disconnected, milliseconds (`task.cancellation.timeout`).
    pub cancellation_timeout_ms: u64,
    /// How many checkpoints are shown (`web.checkpoints.history`).
    pub checkpoint_history: usize,
    /// How many failures are shown (`web.exception-history-size`).
    pub exception_history: usize,
}

impl Default for JobMasterOptions {
    fn default() -> Self {
        Self {
            slot_request_timeout_ms: 300_000,
            cancellation_interval_ms: 30_000,
            cancellation_timeout_ms: 180_000,
            checkpoint_history: 10,
            exception_history: 16,
        }
    }
}

/// The job that a JobMaster runs, and what it needs to know.
#[derive(Debug, Clone)]
pub struct JobToRun {
    pub job: JobId,
    pub graph: Arc<JobGraph>,
    /// Fingerprint of the job graph.
    pub graph_crc32c: u32,
    /// When it was submitted: wall-clock milliseconds since 1970.
    pub submitted_at_ms: u64,
    /// This leader's epoch.
    pub epoch: LeaderEpoch,
    /// URI of the root of all checkpoints, for the tasks.
    pub checkpoint_dir: String,
    /// The wall clock at monotonic time 0: milliseconds since 1970.
    pub wall_at_zero_ms: u64,
    /// Seed for the jitter of restart delays.
    pub seed: u64,
}

/// What must happen next so that the job runs or ends.
#[derive(Debug, Clone, PartialEq, Hash)]
enum Stage {
    /// The JobMaster has not started yet.
    New,
    /// Former attempts are being stopped. The restart continues at `restart_at` at the earliest.
    Stopping { restart_at: Millis, cancellation: Cancellation },
    /// The newest checkpoint is being read. If it can't be read, `again_at` is the time of the next attempt.
    Reading { question: u64, again_at: Option<Millis> },
    /// Slots are missing.
    WaitingForSlots { since: Millis },
    /// All tasks are deployed.
    Deployed,
    /// All tasks are being stopped for good.
    Ending { status: JobStatus, failure: Option<String>, cancellation: Cancellation },
    /// The job has ended, or another leader has taken over.
    Ended,
}

/// When the cancel order is repeated to tasks that don't stop, and when their TaskManager is disconnected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Cancellation {
    again_at: Millis,
    give_up_at: Millis,
}

/// The pure core that runs one job under one leader.
#[derive(Debug, Clone)]
pub struct JobMaster {
    what: Arc<JobToRun>,
    options: JobMasterOptions,
    graph: ExecutionGraph,
    regions: Arc<FailoverRegions>,
    pool: SlotPool,
    restart_strategy: RestartStrategy,
    coordinator: CheckpointCoordinator,
    store: StoreAvailability,
    status: JobStatus,
    stage: Stage,
    to_deploy: BTreeSet<Place>,
    restore: Option<Arc<CheckpointMetadata>>,
    generation: Generation,
    questions: u64,
    /// Grants may have been missed, so all slots are requested again before the next deployment.
    slots_uncertain: bool,
    /// Why the newest checkpoint can't be read, slots can't be granted, or the job failed.
    trouble: Option<String>,
    /// Set when the savepoint to stop with is durable. The job then ends with it, whatever happens.
    stopped_with: Option<(u64, SavepointOutcome)>,
    restarts: u32,
    /// Until this time, a drill causes restarts, and they do not count.
    restarts_free_until: Millis,
    timestamps: BTreeMap<JobStatus, u64>,
    exceptions: VecDeque<ExceptionView>,
}

impl Hash for JobMaster {
    /// Hashes only what influences later decisions. Values that never change under one leader, and values for people, are left
    /// out.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { graph, pool, restart_strategy, coordinator, store, status, stage, to_deploy, restore, .. } = self;
        (graph, pool, restart_strategy, coordinator, store, status, stage, to_deploy, restore).hash(state);
        let Self { generation, questions, slots_uncertain, stopped_with, restarts_free_until, .. } = self;
        (generation, questions, slots_uncertain, stopped_with, restarts_free_until).hash(state);
    }
}

impl JobMaster {
    /// Creates a JobMaster that has not started yet. Fails if an edge of the graph names a vertex that does not exist.
    pub fn new(what: JobToRun, options: JobMasterOptions) -> Result<Self, DanglingEdge> {
        let graph = ExecutionGraph::new(Arc::clone(&what.graph))?;
        let checkpointed = CheckpointedJob {
            job: what.job,
            epoch: what.epoch,
            max_parallelism: what.graph.max_parallelism,
            graph_crc32c: what.graph_crc32c,
        };
        let coordinator = CheckpointCoordinator::new(what.graph.checkpoint_config(), checkpointed, options.checkpoint_history);
        Ok(Self {
            regions: Arc::new(FailoverRegions::of(&graph)),
            pool: SlotPool::new(scheduler::slots_needed(&what.graph)),
            restart_strategy: RestartStrategy::new(what.graph.restart_strategy_config(), what.seed),
            coordinator,
            store: StoreAvailability::default(),
            status: JobStatus::Initializing,
            stage: Stage::New,
            to_deploy: graph.places().collect(),
            restore: None,
            generation: Generation { epoch: what.epoch, attempt: 0 },
            questions: 0,
            slots_uncertain: false,
            trouble: None,
            stopped_with: None,
            restarts: 0,
            restarts_free_until: Millis(0),
            timestamps: BTreeMap::new(),
            exceptions: VecDeque::new(),
            graph,
            options,
            what: Arc::new(what),
        })
    }

    /// The status of the job.
    pub fn status(&self) -> JobStatus {
        self.status
    }

    /// Takes an event and returns what must be done, in this order.
    pub fn handle(&mut self, event: JobMasterEvent, now: Millis) -> Vec<JobMasterEffect> {
        let mut out = Vec::new();
        if self.stage == Stage::Ended {
            return out;
        }
        match event {
            JobMasterEvent::Start => self.begin(now, &mut out),
            JobMasterEvent::Tick => self.tick(now, &mut out),
            JobMasterEvent::CheckpointRead { question, restore } => self.checkpoint_read(question, restore, now, &mut out),
            JobMasterEvent::CheckpointUnreadable { question, reason, retryable } => {
                self.checkpoint_unreadable(question, reason, retryable, now, &mut out);
            }
            JobMasterEvent::SlotsGranted(slots) => {
                let surplus = self.pool.offer(slots);
                out.extend(surplus.into_iter().map(|allocation| JobMasterEffect::ReleaseSlot { allocation }));
            }
            JobMasterEvent::SlotShortage { reason, .. } => {
                if matches!(self.stage, Stage::WaitingForSlots { .. }) {
                    self.trouble = Some(reason);
                }
            }
            JobMasterEvent::TaskManagerLost { task_manager, reason } => {
                self.task_manager_lost(&task_manager, &reason, now, &mut out);
            }
            JobMasterEvent::Report { task_manager, report } => self.report(&task_manager, report, now, &mut out),
            JobMasterEvent::MessagesLost => self.messages_lost(now, &mut out),
            JobMasterEvent::Cancel => self.end(JobStatus::Canceled, None, now, &mut out),
            JobMasterEvent::Checkpoint(event) => self.coordinate(event, now, &mut out),
            JobMasterEvent::Store(store) => {
                self.store = store;
                let away = store != StoreAvailability::Available;
                self.coordinate(CheckpointEvent::Store { away }, now, &mut out);
            }
            JobMasterEvent::Drill { restarts_free_ms } => self.restarts_free_until = now.after(restarts_free_ms),
            JobMasterEvent::Superseded => {
                self.stage = Stage::Ended;
                out.push(JobMasterEffect::StopSuperseded);
            }
        }
        self.advance(now, &mut out);
        out
    }

    /// When the next [`JobMasterEvent::Tick`] is due.
    pub fn next_deadline(&self) -> Option<Millis> {
        let own = match &self.stage {
            Stage::New | Stage::Deployed | Stage::Ended => None,
            Stage::Stopping { restart_at, cancellation } => {
                let settled = !self.anything_lives(&self.to_deploy);
                Some(if settled { *restart_at } else { cancellation.next() })
                    .filter(|_| !settled || self.coordinator.is_settled())
            }
            Stage::Ending { cancellation, .. } => (!self.graph.nothing_lives()).then(|| cancellation.next()),
            Stage::Reading { again_at, .. } => *again_at,
            Stage::WaitingForSlots { since } => Some(since.after(self.options.slot_request_timeout_ms)),
        };
        if self.stage == Stage::Ended {
            return None;
        }
        own.into_iter().chain(self.coordinator.next_deadline()).min()
    }

    fn begin(&mut self, now: Millis, out: &mut Vec<JobMasterEffect>) {
        if self.stage != Stage::New {
            return;
        }
        self.timestamps.insert(JobStatus::Initializing, self.wall(now));
        self.declare(out);
        self.ask_for_checkpoint(out);
    }

    fn tick(&mut self, now: Millis, out: &mut Vec<JobMasterEffect>) {
        self.coordinate(CheckpointEvent::Tick, now, out);
        match self.stage.clone() {
            Stage::Reading { again_at: Some(again_at), .. } if again_at <= now => self.ask_for_checkpoint(out),
            Stage::WaitingForSlots { since } if now.since(since) >= self.options.slot_request_timeout_ms => {
                self.slots_timed_out(now, out);
            }
            Stage::Stopping { .. } | Stage::Ending { .. } => self.remind(now, out),
            _ => {}
        }
    }

    /// Moves from stage to stage until it must wait for an event.
    fn advance(&mut self, now: Millis, out: &mut Vec<JobMasterEffect>) {
        loop {
            let before = self.stage.clone();
            match &self.stage {
                Stage::Stopping { restart_at, .. } => {
                    if !self.coordinator.is_settled() && !is_planted(Flaw::UnsettledRestart) {
                        // Wait: it is not certain yet which checkpoint is the newest (C6).
                    } else if self.graph.all_are(ExecutionState::Finished) {
                        self.ended(JobStatus::Finished, None, now, out);
                    } else if *restart_at <= now && !self.anything_lives(&self.to_deploy) {
                        self.declare(out);
                        self.ask_for_checkpoint(out);
                    }
                }
                Stage::WaitingForSlots { .. } if self.pool.missing() == 0 => self.deploy(now, out),
                Stage::Deployed => self.watch_over(now, out),
                Stage::Ending { status, failure, .. } => {
                    if self.graph.nothing_lives() && self.coordinator.is_settled() {
                        // If all tasks finished before they were canceled, the job has finished.
                        let finished = *status == JobStatus::Canceled && self.graph.all_are(ExecutionState::Finished);
                        let status = if finished { JobStatus::Finished } else { *status };
                        let failure = failure.clone();
                        self.ended(status, failure, now, out);
                    }
                }
                Stage::New | Stage::Reading { .. } | Stage::WaitingForSlots { .. } | Stage::Ended => {}
            }
            if self.stage == before {
                return;
            }
        }
    }

    /// All tasks are deployed. Checkpoints begin when all tasks run (B4), and the final checkpoint when all input is processed.
    /// The job ends when all tasks have finished.
    fn watch_over(&mut self, now: Millis, out: &mut Vec<JobMasterEffect>) {
        if self.graph.all_are(ExecutionState::Finished) {
            self.ended(JobStatus::Finished, None, now, out);
            return;
        }
        if !self.graph.all_are(ExecutionState::Running) {
            return;
        }
        if self.stopped_with.is_some() && !self.coordinator.is_finishing() {
            // The savepoint is durable, and every sink has committed it during the restore. Nothing is left to do.
            self.end(JobStatus::Finished, None, now, out);
            return;
        }
        if !self.coordinator.is_active() {
            let attempts = self.graph.executions().map(|execution| execution.attempt).collect();
            let generation = self.generation;
            self.coordinate(CheckpointEvent::TasksRunning { attempts, generation }, now, out);
        }
        if self.graph.all_inputs_ended() {
            self.coordinate(CheckpointEvent::InputEnded, now, out);
        }
    }

    fn deploy(&mut self, now: Millis, out: &mut Vec<JobMasterEffect>) {
        self.trouble = None;
        self.generation.attempt += 1; // F2: increased before the first new task is deployed.
        let places = std::mem::take(&mut self.to_deploy);
        let plan = DeploymentPlan {
            job: self.what.job,
            generation: self.generation,
            places: &places,
            slots: self.pool.assign(),
            checkpoint_dir: &self.what.checkpoint_dir,
            restore: self.restore.as_deref(),
            wall_ms: self.what.wall_at_zero_ms.saturating_add(now.0),
        };
        for (task_manager, deployment) in scheduler::deploy(&mut self.graph, &plan) {
            out.push(JobMasterEffect::Send { task_manager, order: Order::Deploy(deployment) });
        }
        self.restore = None;
        self.stage = Stage::Deployed;
        self.set_status(JobStatus::Running, now);
    }

    fn declare(&mut self, out: &mut Vec<JobMasterEffect>) {
        if self.slots_uncertain && self.graph.nothing_lives() {
            self.slots_uncertain = false;
            self.pool.clear();
            out.push(JobMasterEffect::DeclareRequirements { slots: 0 });
        }
        out.push(JobMasterEffect::DeclareRequirements { slots: self.pool.needed() });
    }

    /// Passes an event to the CheckpointCoordinator and carries out its effects.
    fn coordinate(&mut self, event: CheckpointEvent, now: Millis, out: &mut Vec<JobMasterEffect>) {
        let at = Moment { now, wall_ms: self.wall(now) };
        for effect in self.coordinator.handle(event, at) {
            self.carry_out(effect, now, out);
        }
    }

    fn carry_out(&mut self, effect: CheckpointEffect, now: Millis, out: &mut Vec<JobMasterEffect>) {
        let job = self.what.job;
        match effect {
            CheckpointEffect::Store(call) => out.push(JobMasterEffect::Checkpoint(call)),
            CheckpointEffect::Trigger { barrier, attempts } => {
                self.send_grouped(attempts, out, |attempts| Order::TriggerCheckpoint { attempts, barrier });
            }
            CheckpointEffect::NotifyComplete { checkpoint, attempts, last } => {
                self.send_grouped(attempts, out, |attempts| Order::NotifyCheckpointComplete { job, attempts, checkpoint, last });
            }
            CheckpointEffect::NotifyAborted { checkpoint, attempts } => {
                self.send_grouped(attempts, out, |attempts| Order::NotifyCheckpointAborted { job, attempts, checkpoint });
            }
            CheckpointEffect::Answer { request, outcome } => out.push(JobMasterEffect::Answer { request, outcome }),
            CheckpointEffect::StoppedWithSavepoint { .. } if is_planted(Flaw::StopForgotten) => {}
            CheckpointEffect::StoppedWithSavepoint { request, outcome } => self.stopped_with = Some((request, outcome)),
            CheckpointEffect::FailJob { message } => self.checkpoints_failed(message, now, out),
        }
    }

    fn send_grouped(
        &self,
        attempts: Vec<weir_protocol::ExecutionAttemptId>,
        out: &mut Vec<JobMasterEffect>,
        order: impl Fn(Vec<weir_protocol::ExecutionAttemptId>) -> Order,
    ) {
        for (task_manager, attempts) in self.graph.by_task_manager(attempts) {
            out.push(JobMasterEffect::Send { task_manager, order: order(attempts) });
        }
    }

    fn anything_lives(&self, places: &BTreeSet<Place>) -> bool {
        let live = |place: &Place| self.graph.execution(*place).is_some_and(|execution| execution.is_live());
        places.iter().any(live) && !is_planted(Flaw::FormerAttemptsNotAwaited)
    }

    fn set_status(&mut self, status: JobStatus, now: Millis) {
        if self.status == status {
            return;
        }
        debug_assert!(self.status.may_become(status), "{:?} can't become {status:?}", self.status);
        self.status = status;
        self.timestamps.insert(status, self.wall(now));
    }

    fn wall(&self, now: Millis) -> u64 {
        self.what.wall_at_zero_ms.saturating_add(now.0)
    }
}

impl Cancellation {
    fn next(&self) -> Millis {
        self.again_at.min(self.give_up_at)
    }
}
