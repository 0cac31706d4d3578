//! The CheckpointCoordinator decides when a checkpoint is taken, and when it is complete.
//!
//! A checkpoint is complete when its pointer is durable in the coordination store under this leader's epoch, not
//! before (C3). The trigger fixes which tasks take part: every task of the job, all of them running (B4).

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use weir_ha::CompletedCheckpoint;
use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointKind, CheckpointMetadata};
use weir_protocol::job_graph::CheckpointConfig;
use weir_protocol::link::{CheckpointAcknowledgement, CheckpointDecline};
use weir_protocol::{CheckpointId, ExecutionAttemptId, Generation, JobId, LeaderEpoch};
use weir_world::Millis;
use weir_world::flaw::{Flaw, is_planted};

use super::completed::CompletedCheckpoints;
use super::effect::{CheckpointEffect, SavepointOutcome, StoreCall};
use super::event::CheckpointEvent;
use super::pending::{Acknowledged, CheckpointRequest, PendingCheckpoint, PendingPhase};
use super::stats::CheckpointStats;
use super::{AppendOutcome, WrittenMetadata};

/// Number of checkpoint ids that are reserved with one write.
pub const RESERVED_IDS: u64 = 1_000;

/// Number of savepoint and checkpoint requests that may wait for their turn.
pub const WAITING_REQUESTS: usize = 16;

/// Number of checkpoints that are taken and held, without pointer, while the coordination store is unavailable. After that,
/// none is triggered until the store answers.
pub const HELD_CHECKPOINTS: usize = 1;

/// Wait before a call to a store and before a failed final checkpoint is retried, milliseconds.
pub const RETRY_MS: u64 = 1_000;

/// What every checkpoint records about its job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CheckpointedJob {
    pub job: JobId,
    /// This leader's epoch.
    pub epoch: LeaderEpoch,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Fingerprint of the job graph.
    pub graph_crc32c: u32,
}

/// A reading of two clocks: the monotonic clock for decisions, the wall clock for records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment {
    pub now: Millis,
    /// Wall-clock milliseconds since 1970.
    pub wall_ms: u64,
}

/// The tasks that take part in checkpoints, while all of them run.
#[derive(Debug, Clone, PartialEq, Hash)]
struct Plan {
    attempts: Vec<ExecutionAttemptId>,
    generation: Generation,
    /// All input has been processed, so only a final checkpoint is useful.
    input_ended: bool,
    /// The last checkpoint is complete and tasks finish, so nothing is triggered any more.
    finishing: bool,
}

/// Why a checkpoint was aborted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    /// The checkpoint itself failed. This counts towards the tolerable failures.
    Itself,
    /// The tasks stopped, or a later checkpoint is complete.
    Other,
}

/// Triggers, completes and aborts the checkpoints of one job.
#[derive(Debug, Clone, Hash)]
pub struct CheckpointCoordinator {
    config: CheckpointConfig,
    job: CheckpointedJob,
    plan: Option<Plan>,
    ids: Range<u64>,
    reserving: bool,
    reserve_again_at: Option<Millis>,
    pending: BTreeMap<CheckpointId, PendingCheckpoint>,
    completed: CompletedCheckpoints,
    requests: VecDeque<CheckpointRequest>,
    next_periodic: Millis,
    last_end: Option<Millis>,
    final_not_before: Millis,
    failures_in_a_row: u32,
    /// The checkpoints that the newest one subsumed.
    subsumed: Vec<CompletedCheckpoint>,
    /// Whether garbage is being collected, and whether there has been more since that run began.
    collecting: bool,
    collect_again: bool,
    store_away: bool,
    stats: CheckpointStats,
}

impl CheckpointCoordinator {
    /// Creates a coordinator that knows of no checkpoint. Its statistics show the newest `history` checkpoints.
    pub fn new(config: CheckpointConfig, job: CheckpointedJob, history: usize) -> Self {
        let completed = CompletedCheckpoints::new(config.retained);
        Self {
            config,
            job,
            plan: None,
            ids: 0..0,
            reserving: false,
            reserve_again_at: None,
            pending: BTreeMap::new(),
            completed,
            requests: VecDeque::new(),
            next_periodic: Millis(0),
            last_end: None,
            final_not_before: Millis(0),
            failures_in_a_row: 0,
            subsumed: Vec::new(),
            collecting: false,
            collect_again: false,
            store_away: false,
            stats: CheckpointStats::new(history),
        }
    }

    /// The counts and the history of checkpoints.
    pub fn stats(&self) -> &CheckpointStats {
        &self.stats
    }

    /// The completed checkpoints.
    pub fn completed(&self) -> &CompletedCheckpoints {
        &self.completed
    }

    /// Whether it is certain which checkpoint is the newest: none is being completed, and no append has an unknown outcome. Only
    /// then may tasks be restored, and only then may the job end.
    pub fn is_settled(&self) -> bool {
        !self.pending.values().any(PendingCheckpoint::is_completing)
    }

    /// Whether tasks have been told to finish.
    pub fn is_finishing(&self) -> bool {
        self.plan.as_ref().is_some_and(|plan| plan.finishing)
    }

    /// Whether checkpoints are being taken.
    pub fn is_active(&self) -> bool {
        self.plan.is_some()
    }

    /// Takes an event and returns what must be done, in this order.
    pub fn handle(&mut self, event: CheckpointEvent, at: Moment) -> Vec<CheckpointEffect> {
        let mut out = Vec::new();
        match event {
            CheckpointEvent::Loaded { completed, restored } => self.load(completed, restored, at),
            CheckpointEvent::TasksRunning { attempts, generation } => self.tasks_running(attempts, generation, at, &mut out),
            CheckpointEvent::TasksStopped { reason } => self.tasks_stopped(&reason, at, &mut out),
            CheckpointEvent::InputEnded => self.input_ended(at, &mut out),
            CheckpointEvent::Requested(request) => self.request(request, at, &mut out),
            CheckpointEvent::Store { away } => self.store_changed(away, at, &mut out),
            CheckpointEvent::IdsReserved(ids) => self.ids_reserved(ids, at, &mut out),
            CheckpointEvent::IdsNotReserved => self.ids_not_reserved(at),
            CheckpointEvent::Acknowledged(acknowledgement) => self.acknowledge(&acknowledgement, at, &mut out),
            CheckpointEvent::Declined(decline) => self.decline(&decline, at, &mut out),
            CheckpointEvent::NotTriggered { checkpoint, reason } => self.not_triggered(checkpoint, &reason, at, &mut out),
            CheckpointEvent::MetadataWritten { checkpoint, result } => {
                self.metadata_written(checkpoint, result, at, &mut out);
            }
            CheckpointEvent::PointerAppended { checkpoint, outcome } => {
                self.pointer_appended(checkpoint, outcome, at, &mut out);
            }
            CheckpointEvent::GarbageCollected => {
                self.collecting = false;
                if std::mem::take(&mut self.collect_again) {
                    self.collect_garbage(&mut out);
                }
            }
            CheckpointEvent::Tick => self.tick(at, &mut out),
        }
        out
    }

    fn load(&mut self, completed: Vec<CompletedCheckpoint>, restored: Option<CheckpointId>, at: Moment) {
        debug_assert!(self.is_settled(), "C6: the newest checkpoint is not certain");
        self.completed.load(completed);
        if let Some(id) = restored {
            self.stats.restored(id, at.wall_ms);
        }
    }

    fn tasks_running(
        &mut self,
        attempts: Vec<ExecutionAttemptId>,
        generation: Generation,
        at: Moment,
        out: &mut Vec<CheckpointEffect>,
    ) {
        self.plan = Some(Plan { attempts, generation, input_ended: false, finishing: false });
        self.next_periodic = at.now.after(self.config.interval_ms);
        self.proceed(at, out);
    }

    fn input_ended(&mut self, at: Moment, out: &mut Vec<CheckpointEffect>) {
        match &mut self.plan {
            Some(plan) if !plan.input_ended => plan.input_ended = true,
            _ => return,
        }
        self.proceed(at, out);
    }

    /// Not all tasks run any more. A checkpoint whose pointer is being appended continues (C3). The others are aborted, also one
    /// whose files are being written: a restart or a cancellation must not wait for the export of a savepoint.
    fn tasks_stopped(&mut self, reason: &str, at: Moment, out: &mut Vec<CheckpointEffect>) {
        self.plan = None;
        let aborted: Vec<_> = self.pending.values().filter(|one| !one.is_appending()).map(PendingCheckpoint::id).collect();
        for id in aborted {
            self.abort(id, reason, Cause::Other, at, out);
        }
        for request in std::mem::take(&mut self.requests) {
            out.push(refusal(&request, reason));
        }
    }

    fn request(&mut self, request: CheckpointRequest, at: Moment, out: &mut Vec<CheckpointEffect>) {
        let refused = match &self.plan {
            None => Some("not all tasks of the job are running".to_string()),
            Some(plan) if plan.finishing => Some("the job is finishing".to_string()),
            Some(_) if self.store_away => Some("the coordination store does not answer".to_string()),
            Some(_) if self.requests.len() >= WAITING_REQUESTS => Some(format!("{WAITING_REQUESTS} requests wait already")),
            Some(_) => None,
        };
        match refused {
            Some(reason) => out.push(refusal(&request, &reason)),
            None => self.requests.push_back(request),
        }
        self.proceed(at, out);
    }

    /// The coordination store stopped answering, or answers again. When it answers again, held writes are sent to it at once.
    fn store_changed(&mut self, away: bool, at: Moment, out: &mut Vec<CheckpointEffect>) {
        self.store_away = away;
        if !away {
            self.append_held(|_| true, out);
            self.reserve_again_at = None;
        }
        self.proceed(at, out);
    }

    fn ids_reserved(&mut self, ids: Range<u64>, at: Moment, out: &mut Vec<CheckpointEffect>) {
        self.reserving = false;
        self.ids = ids;
        self.proceed(at, out);
    }

    fn ids_not_reserved(&mut self, at: Moment) {
        self.reserving = false;
        self.reserve_again_at = Some(at.now.after(RETRY_MS));
    }

    fn acknowledge(&mut self, ack: &CheckpointAcknowledgement, at: Moment, out: &mut Vec<CheckpointEffect>) {
        let Some(pending) = self.pending.get_mut(&ack.checkpoint) else { return };
        match pending.acknowledge(ack) {
            Acknowledged::Ignored => {}
            Acknowledged::Malformed(reason) => self.abort(ack.checkpoint, &reason, Cause::Itself, at, out),
            Acknowledged::Partly => self.stats.acknowledged(ack.checkpoint, &ack.stats, at.wall_ms),
            Acknowledged::Fully => {
                self.stats.acknowledged(ack.checkpoint, &ack.stats, at.wall_ms);
                pending.phase = PendingPhase::Acknowledged;
                let older = self.pending.range(..ack.checkpoint);
                let subsumed: Vec<_> =
                    older.filter(|(_, one)| one.phase == PendingPhase::Collecting).map(|(id, _)| *id).collect();
                for id in subsumed {
                    self.abort(id, "a later checkpoint is complete", Cause::Other, at, out);
                }
            }
        }
        self.proceed(at, out);
    }

    fn decline(&mut self, decline: &CheckpointDecline, at: Moment, out: &mut Vec<CheckpointEffect>) {
        let Some(pending) = self.pending.get(&decline.checkpoint) else { return };
        if pending.phase != PendingPhase::Collecting || !pending.attempts.contains(&decline.attempt) {
            return;
        }
        let reason = format!("subtask {} declined: {}", decline.attempt.execution_vertex, decline.reason);
        self.abort(decline.checkpoint, &reason, Cause::Itself, at, out);
        self.proceed(at, out);
    }

    /// The tasks that were told drop the checkpoint. It counts as no failure of the job: a restart would only add orders.
    fn not_triggered(&mut self, id: CheckpointId, reason: &str, at: Moment, out: &mut Vec<CheckpointEffect>) {
        if self.pending.get(&id).is_some_and(|pending| pending.phase == PendingPhase::Collecting) {
            self.abort(id, reason, Cause::Other, at, out);
        }
        self.proceed(at, out);
    }

    fn metadata_written(
        &mut self,
        id: CheckpointId,
        result: Result<WrittenMetadata, String>,
        at: Moment,
        out: &mut Vec<CheckpointEffect>,
    ) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        if pending.phase != PendingPhase::Writing {
            return;
        }
        match result {
            Ok(written) => {
                let pointer = Box::new(CompletedCheckpoint {
                    job: self.job.job,
                    id,
                    kind: pending.barrier.kind,
                    metadata: written.handle,
                    epoch: self.job.epoch,
                    generation: pending.generation,
                    completed_at_ms: at.wall_ms,
                    external_path: Some(written.external_path),
                });
                pending.phase = PendingPhase::Appending(pointer.clone());
                if is_planted(Flaw::NotifiedBeforeDurable) {
                    let attempts = pending.attempts.clone();
                    out.push(CheckpointEffect::NotifyComplete { checkpoint: id, attempts, last: false });
                }
                if is_planted(Flaw::FilesBeforePointers) {
                    let subsumed = self.completed.subsumed_by_next();
                    let keep =
                        self.completed.iter().filter(|one| !subsumed.contains(&one.id)).chain([&*pointer]).cloned().collect();
                    let pending = self.pending.keys().copied().collect();
                    out.push(CheckpointEffect::Store(StoreCall::CollectGarbage { keep, pending }));
                }
                out.push(append(&self.completed, pointer));
            }
            Err(reason) => self.abort(id, &format!("its metadata could not be written: {reason}"), Cause::Itself, at, out),
        }
        self.proceed(at, out);
    }

    fn pointer_appended(&mut self, id: CheckpointId, outcome: AppendOutcome, at: Moment, out: &mut Vec<CheckpointEffect>) {
        let Some(pending) = self.pending.get_mut(&id) else { return };
        let PendingPhase::Appending(pointer) = &pending.phase else { return };
        let pointer = pointer.clone();
        match outcome {
            AppendOutcome::Committed => self.complete(*pointer, at, out),
            AppendOutcome::Unknown(reason) if is_planted(Flaw::UnknownAppendIsFailure) => {
                self.abort(id, &reason, Cause::Itself, at, out);
            }
            AppendOutcome::Unknown(_) => pending.phase = PendingPhase::Held(pointer, at.now.after(RETRY_MS)),
            AppendOutcome::Refused(reason) => {
                self.abort(id, &format!("its pointer was refused: {reason}"), Cause::Itself, at, out);
            }
        }
        self.proceed(at, out);
    }

    /// Deletes files that are no longer needed. There is one run at a time: on slow file storage, runs would pile up, and each
    /// would list and delete the same files.
    fn collect_garbage(&mut self, out: &mut Vec<CheckpointEffect>) {
        if self.collecting {
            self.collect_again = true;
            return;
        }
        self.collecting = true;
        // Files of the checkpoints that were subsumed last stay until the next collection. A task that has not yet heard of the
        // newest checkpoint may still refer to the previous one in the checkpoint that it is taking (C4).
        let keep = self.subsumed.iter().chain(self.completed.iter()).cloned().collect();
        let pending = self.pending.keys().copied().collect();
        out.push(CheckpointEffect::Store(StoreCall::CollectGarbage { keep, pending }));
    }

    fn tick(&mut self, at: Moment, out: &mut Vec<CheckpointEffect>) {
        let late = |one: &&PendingCheckpoint| one.phase == PendingPhase::Collecting && one.deadline <= at.now;
        let late: Vec<_> = self.pending.values().filter(late).map(|one| (one.id(), one.missing())).collect();
        for (id, missing) in late {
            let reason = format!("timed out after {} ms: {missing} subtasks did not acknowledge", self.config.timeout_ms);
            self.abort(id, &reason, Cause::Itself, at, out);
        }
        self.append_held(|again_at| again_at <= at.now, out);
        if self.reserve_again_at.is_some_and(|again_at| again_at <= at.now) {
            self.reserve_again_at = None;
        }
        self.proceed(at, out);
    }

    fn append_held(&mut self, is_due: impl Fn(Millis) -> bool, out: &mut Vec<CheckpointEffect>) {
        for pending in self.pending.values_mut() {
            if let PendingPhase::Held(pointer, again_at) = &pending.phase
                && is_due(*again_at)
            {
                let pointer = pointer.clone();
                out.push(append(&self.completed, pointer.clone()));
                pending.phase = PendingPhase::Appending(pointer);
            }
        }
    }

    /// When the coordinator needs the next [`CheckpointEvent::Tick`]; `None` if it waits for other events only.
    pub fn next_deadline(&self) -> Option<Millis> {
        let pending = self.pending.values().filter_map(|one| match &one.phase {
            PendingPhase::Collecting => Some(one.deadline),
            PendingPhase::Held(_, again_at) => Some(*again_at),
            _ => None,
        });
        pending.chain(self.reserve_again_at).chain(self.next_trigger()).min()
    }

    /// When the next checkpoint is due; `None` if it waits for something other than time.
    fn next_trigger(&self) -> Option<Millis> {
        let plan = self.plan.as_ref()?;
        if plan.finishing || self.reserving || self.reserve_again_at.is_some() {
            return None;
        }
        if plan.input_ended {
            return self.pending.is_empty().then_some(self.final_not_before);
        }
        let exclusive = |one: &PendingCheckpoint| one.request.is_some() || one.barrier.kind != CheckpointKind::Checkpoint;
        let limit = if self.store_away { HELD_CHECKPOINTS } else { self.config.max_concurrent.max(1) as usize };
        let room = self.pending.len() < limit;
        if self.config.interval_ms == 0 || !room || !self.requests.is_empty() || self.pending.values().any(exclusive) {
            return None;
        }
        let rested = self.last_end.map_or(Millis(0), |end| end.after(self.config.min_pause_ms));
        Some(self.next_periodic.max(rested))
    }

    /// Does what is due: completes an acknowledged checkpoint, triggers the next one.
    fn proceed(&mut self, at: Moment, out: &mut Vec<CheckpointEffect>) {
        self.write_next(at, out);
        self.trigger_next(at, out);
    }

    /// Writes the metadata of the next acknowledged checkpoint. Checkpoints are completed one at a time, in order of ids (B1).
    fn write_next(&mut self, at: Moment, out: &mut Vec<CheckpointEffect>) {
        if !self.is_settled() {
            return;
        }
        let Some(next) = self.pending.values_mut().find(|one| one.phase == PendingPhase::Acknowledged) else { return };
        next.phase = PendingPhase::Writing;
        let metadata = CheckpointMetadata {
            job: self.job.job,
            id: next.id(),
            kind: next.barrier.kind,
            epoch: self.job.epoch,
            generation: next.generation,
            max_parallelism: self.job.max_parallelism,
            graph_crc32c: self.job.graph_crc32c,
            triggered_at_ms: next.barrier.timestamp_ms,
            completed_at_ms: at.wall_ms,
            subtasks: next.take_parts(),
        };
        let target_directory = next.request.as_ref().and_then(|request| request.target_directory.clone());
        out.push(CheckpointEffect::Store(StoreCall::WriteMetadata { metadata: Box::new(metadata), target_directory }));
    }

    fn trigger_next(&mut self, at: Moment, out: &mut Vec<CheckpointEffect>) {
        let Some(plan) = &self.plan else { return };
        if plan.finishing {
            return;
        }
        let asked = !self.requests.is_empty() && self.pending.is_empty();
        let due = self.next_trigger().is_some_and(|trigger_at| trigger_at <= at.now);
        if self.ids.is_empty() {
            // Ids are reserved ahead, so that the first checkpoint does not have to wait for them.
            if !self.reserving && self.reserve_again_at.is_none() {
                self.reserving = true;
                out.push(CheckpointEffect::Store(StoreCall::ReserveIds { count: RESERVED_IDS }));
            }
            return;
        }
        if asked && let Some(request) = self.requests.pop_front() {
            let kind = match &request {
                CheckpointRequest { stop: true, .. } => CheckpointKind::Stop,
                CheckpointRequest { savepoint: true, .. } => CheckpointKind::Savepoint,
                _ => CheckpointKind::Checkpoint,
            };
            self.trigger(kind, Some(request), at, out);
        } else if due {
            let kind = if plan.input_ended { CheckpointKind::Final } else { CheckpointKind::Checkpoint };
            self.next_periodic = at.now.after(self.config.interval_ms);
            self.trigger(kind, None, at, out);
        }
    }

    fn trigger(&mut self, kind: CheckpointKind, request: Option<CheckpointRequest>, at: Moment, out: &mut Vec<CheckpointEffect>) {
        let Some(plan) = &self.plan else { return };
        let Some(id) = self.ids.next().map(CheckpointId) else { return };
        debug_assert!(self.completed.newest().is_none_or(|newest| newest.id < id), "C2: ids increase over leaders");
        let barrier = CheckpointBarrier { id, kind, timestamp_ms: at.wall_ms };
        let deadline = at.now.after(self.config.timeout_ms);
        let attempts = plan.attempts.clone();
        self.stats.triggered(&barrier, attempts.len() as u32);
        self.pending.insert(id, PendingCheckpoint::new(barrier, plan.generation, attempts.clone(), deadline, request));
        out.push(CheckpointEffect::Trigger { barrier, attempts });
    }

    /// C3: called only when the pointer is durable.
    fn complete(&mut self, pointer: CompletedCheckpoint, at: Moment, out: &mut Vec<CheckpointEffect>) {
        let Some(pending) = self.pending.remove(&pointer.id) else { return };
        let id = pointer.id;
        self.last_end = Some(at.now);
        self.failures_in_a_row = 0;
        self.stats.completed(id, pointer.external_path.clone(), at.wall_ms);
        let location = pointer.external_path.clone().unwrap_or_default();
        self.subsumed = self.completed.add(pointer);

        let stops = pending.request.as_ref().is_some_and(|request| request.stop);
        // Tasks finish only if all of them still run. If only some finished, the others would be left without their peers.
        let last = (stops || pending.barrier.kind == CheckpointKind::Final) && self.plan.is_some();
        if last && let Some(plan) = &mut self.plan {
            plan.finishing = true;
        }
        out.push(CheckpointEffect::NotifyComplete { checkpoint: id, attempts: pending.attempts, last });
        if let Some(CheckpointRequest { request, .. }) = pending.request {
            let outcome = SavepointOutcome::Completed { checkpoint: id, location };
            out.push(if stops {
                CheckpointEffect::StoppedWithSavepoint { request, outcome }
            } else {
                CheckpointEffect::Answer { request, outcome }
            });
        }
        if last {
            for request in std::mem::take(&mut self.requests) {
                out.push(refusal(&request, "the job is finishing"));
            }
        }
        if !self.subsumed.is_empty() {
            self.collect_garbage(out);
        }
    }

    fn abort(&mut self, id: CheckpointId, reason: &str, cause: Cause, at: Moment, out: &mut Vec<CheckpointEffect>) {
        let Some(pending) = self.pending.remove(&id) else { return };
        self.last_end = Some(at.now);
        self.final_not_before = at.now.after(RETRY_MS);
        self.stats.failed(id, reason, at.wall_ms);
        out.push(CheckpointEffect::NotifyAborted { checkpoint: id, attempts: pending.attempts });
        if let Some(request) = &pending.request {
            out.push(refusal(request, reason));
        }
        let counts = self.plan.is_some() && !pending.barrier.kind.is_savepoint();
        if cause == Cause::Itself && counts {
            self.failures_in_a_row += 1;
            if self.failures_in_a_row > self.config.tolerable_failures {
                let (failures, tolerable) = (self.failures_in_a_row, self.config.tolerable_failures);
                self.failures_in_a_row = 0;
                let message =
                    format!("{failures} checkpoints failed in a row, {tolerable} are tolerable; checkpoint {id}: {reason}");
                out.push(CheckpointEffect::FailJob { message });
            }
        }
    }
}

/// The append of a pointer. Until its outcome is certain, no other checkpoint completes, so each attempt subsumes the same ones.
fn append(completed: &CompletedCheckpoints, pointer: Box<CompletedCheckpoint>) -> CheckpointEffect {
    CheckpointEffect::Store(StoreCall::AppendPointer { pointer, subsumed: completed.subsumed_by_next() })
}

fn refusal(request: &CheckpointRequest, reason: &str) -> CheckpointEffect {
    let code = if request.savepoint { "SAVEPOINT-FAILED" } else { "CHECKPOINT-FAILED" };
    let outcome = SavepointOutcome::Failed { code: code.to_string(), reason: reason.to_string() };
    CheckpointEffect::Answer { request: request.request, outcome }
}

#[cfg(test)]
mod tests;
