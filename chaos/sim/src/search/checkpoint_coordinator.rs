//! Searches the CheckpointCoordinator. Its surrounding is two tasks, a coordination store and a place for files.

use std::collections::{BTreeMap, BTreeSet};

use weir_control_plane::checkpoint::coordinator::{CheckpointCoordinator, CheckpointedJob, Moment};
use weir_control_plane::checkpoint::effect::{CheckpointEffect, StoreCall};
use weir_control_plane::checkpoint::event::CheckpointEvent;
use weir_control_plane::checkpoint::pending::CheckpointRequest;
use weir_control_plane::checkpoint::{AppendOutcome, WrittenMetadata};
use weir_ha::CompletedCheckpoint;
use weir_protocol::checkpoint::{OperatorSnapshot, SubtaskCheckpointStats, SubtaskSnapshot};
use weir_protocol::job_graph::CheckpointConfig;
use weir_protocol::link::{CheckpointAcknowledgement, CheckpointDecline};
use weir_protocol::{CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch};
use weir_storage::checkpoint::MetadataHandle;
use weir_world::Millis;

use super::{Surrounding, require};

const JOB: JobId = JobId(1);
const SUBTASKS: u32 = 2;
/// Number of ids in one reservation. There are few, so that the coordinator needs another one.
const RESERVED: u64 = 3;
/// How many times tasks fail, requests are made, and the store becomes unavailable.
const FAILURES: u32 = 1;
const REQUESTS: u64 = 2;
const OUTAGES: u32 = 1;

/// The CheckpointCoordinator and its surrounding.
#[derive(Debug, Clone, Hash)]
pub struct Checkpoints {
    core: CheckpointCoordinator,
    now: u64,
    attempt: u32,
    running: bool,
    away: bool,
    failures: u32,
    outages: u32,
    requests: u64,
    answered: BTreeSet<u64>,
    /// The counter in the store, and whether a reservation is in flight.
    next_id: u64,
    reserving: bool,
    /// The highest id triggered.
    triggered: CheckpointId,
    /// Triggers that a subtask has not answered.
    triggers: BTreeSet<(CheckpointId, ExecutionAttemptId)>,
    writing: BTreeSet<CheckpointId>,
    /// Pointers that are being appended, with the checkpoints that they subsume.
    appending: BTreeMap<CheckpointId, (CompletedCheckpoint, Vec<CheckpointId>)>,
    /// The run of garbage collection: the checkpoints whose files stay, completed and in flight.
    collecting: Option<(BTreeSet<CheckpointId>, BTreeSet<CheckpointId>)>,
    pointers: BTreeMap<CheckpointId, CompletedCheckpoint>,
    newest: CheckpointId,
    files: BTreeSet<CheckpointId>,
    complete: BTreeSet<CheckpointId>,
}

/// An event that may happen next.
#[derive(Debug, Clone)]
pub enum Step {
    /// The store hands out ids, or fails to.
    Reserved(bool),
    /// A subtask acknowledges.
    Acknowledged(CheckpointId, ExecutionAttemptId),
    /// A subtask declines.
    Declined(CheckpointId, ExecutionAttemptId),
    /// The metadata file is written, or could not be written.
    Written(CheckpointId, bool),
    /// The append of a pointer ends: whether the write reaches the store, and whether its outcome is known.
    Appended(CheckpointId, bool, bool),
    /// A TaskManager is behind with its orders, so it was not told to take a checkpoint.
    NotTriggered(CheckpointId),
    /// A collection of garbage ends.
    Collected,
    /// The next deadline is reached.
    Tick,
    Failed,
    /// The tasks run again.
    Restarted,
    /// A user requests a savepoint. The flag says whether the job stops with it.
    Requested(bool),
    /// The store becomes unavailable (true) or available again.
    Store(bool),
}

fn attempt(subtask: u32, attempt: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        job: JOB,
        execution_vertex: ExecutionVertexId { vertex: JobVertexId(1), subtask },
        generation: Generation { epoch: LeaderEpoch(1), attempt },
    }
}

/// Returns the states from which the search starts, by name.
pub(super) fn starts() -> Vec<(&'static str, Checkpoints)> {
    vec![("running", Checkpoints::running()), ("after one", Checkpoints::after_one())]
}

impl Checkpoints {
    /// A start with two running tasks and no checkpoint yet.
    pub fn running() -> Self {
        let config = CheckpointConfig {
            interval_ms: 100,
            timeout_ms: 300,
            retained: 1,
            tolerable_failures: 100,
            ..CheckpointConfig::default()
        };
        let job = CheckpointedJob { job: JOB, epoch: LeaderEpoch(1), max_parallelism: 8, graph_crc32c: 1 };
        let mut start = Self {
            core: CheckpointCoordinator::new(config, job, 1),
            now: 0,
            attempt: 1,
            running: false,
            away: false,
            failures: 0,
            outages: 0,
            requests: 0,
            answered: BTreeSet::new(),
            next_id: 1,
            reserving: false,
            triggered: CheckpointId(0),
            triggers: BTreeSet::new(),
            writing: BTreeSet::new(),
            appending: BTreeMap::new(),
            collecting: None,
            pointers: BTreeMap::new(),
            newest: CheckpointId(0),
            files: BTreeSet::new(),
            complete: BTreeSet::new(),
        };
        start.take(&Step::Restarted).expect("the start breaks no invariant");
        start
    }

    /// The same start after the first checkpoint, so that a second checkpoint needs fewer steps.
    pub fn after_one() -> Self {
        let mut start = Self::running();
        let id = CheckpointId(1);
        let acknowledged = (0..SUBTASKS).map(|subtask| Step::Acknowledged(id, attempt(subtask, 1)));
        let first = [Step::Reserved(true), Step::Tick].into_iter().chain(acknowledged);
        for step in first.chain([Step::Written(id, true), Step::Appended(id, true, true)]) {
            start.take(&step).expect("the first checkpoint breaks no invariant");
        }
        start
    }

    fn handle(&mut self, event: CheckpointEvent) -> Result<(), String> {
        let effects = self.core.handle(event, Moment { now: Millis(self.now), wall_ms: self.now });
        effects.into_iter().try_for_each(|effect| self.perform(effect))
    }

    fn perform(&mut self, effect: CheckpointEffect) -> Result<(), String> {
        match effect {
            CheckpointEffect::Store(StoreCall::ReserveIds { .. }) => {
                require(!std::mem::replace(&mut self.reserving, true), "two reservations of ids at the same time")
            }
            CheckpointEffect::Trigger { barrier, attempts } => {
                require(self.running, "B4: a checkpoint is triggered while tasks do not run")?;
                require(barrier.id > self.triggered, "C2: a checkpoint id is triggered twice, or after a higher one")?;
                self.triggered = barrier.id;
                self.triggers.extend(attempts.into_iter().map(|attempt| (barrier.id, attempt)));
                Ok(())
            }
            CheckpointEffect::Store(StoreCall::WriteMetadata { metadata, .. }) => {
                require(metadata.subtasks.len() == SUBTASKS as usize, "C1: a subtask is missing from the metadata")?;
                require(self.writing.insert(metadata.id), "the same metadata is written twice at the same time")
            }
            CheckpointEffect::Store(StoreCall::AppendPointer { pointer, subsumed }) => {
                require(self.files.contains(&pointer.id), "C1: a pointer is appended before its metadata is written")?;
                require(subsumed.iter().all(|id| *id < pointer.id), "C6: the newest pointer is to be removed")?;
                let append = self.appending.insert(pointer.id, (*pointer, subsumed));
                require(append.is_none(), "a pointer is appended twice at the same time")
            }
            CheckpointEffect::NotifyComplete { checkpoint, .. } => {
                require(
                    self.pointers.contains_key(&checkpoint),
                    "C3: tasks are told that a checkpoint is complete before its pointer is durable",
                )?;
                require(self.complete.insert(checkpoint), "B1: tasks are told twice that a checkpoint is complete")
            }
            CheckpointEffect::NotifyAborted { checkpoint, .. } => {
                self.triggers.retain(|(id, _)| *id != checkpoint);
                require(
                    !self.pointers.contains_key(&checkpoint),
                    "C3: tasks are told that a checkpoint is aborted, but its pointer exists",
                )
            }
            CheckpointEffect::Store(StoreCall::CollectGarbage { keep, pending }) => {
                let keep = keep.iter().map(|kept| kept.id).collect();
                require(self.collecting.replace((keep, pending)).is_none(), "two collections of garbage at the same time")
            }
            CheckpointEffect::Answer { request, .. } | CheckpointEffect::StoppedWithSavepoint { request, .. } => {
                require(self.answered.insert(request), "a request is answered twice")
            }
            CheckpointEffect::FailJob { .. } => Ok(()),
        }
    }

    fn acknowledge(&mut self, checkpoint: CheckpointId, attempt: ExecutionAttemptId) -> Result<(), String> {
        let operators = vec![OperatorSnapshot::default()];
        let snapshot = SubtaskSnapshot { execution_vertex: attempt.execution_vertex, operators };
        let stats = SubtaskCheckpointStats::default();
        let acknowledgement = CheckpointAcknowledgement { attempt, checkpoint, snapshot, stats };
        self.handle(CheckpointEvent::Acknowledged(acknowledgement))
    }

    fn written(&mut self, id: CheckpointId, well: bool) -> Result<(), String> {
        self.writing.remove(&id);
        let written = if well {
            self.files.insert(id);
            let handle = MetadataHandle { path: id.to_string(), length: 1, crc32c: 1 };
            Ok(WrittenMetadata { handle, external_path: String::new() })
        } else {
            Err("the disk is full".to_owned())
        };
        self.handle(CheckpointEvent::MetadataWritten { checkpoint: id, result: written })
    }

    /// Ends the append of a pointer. The store accepts the pointer if it is newer than all others, or already stored.
    fn appended(&mut self, id: CheckpointId, reaches: bool, answered: bool) -> Result<(), String> {
        let Some((pointer, subsumed)) = self.appending.remove(&id) else { return Ok(()) };
        let there = self.pointers.contains_key(&id);
        let taken = there || (reaches && id > self.newest);
        if taken && !there {
            self.pointers.retain(|id, _| !subsumed.contains(id));
            self.pointers.insert(id, pointer);
            self.newest = id;
        }
        let outcome = match (answered, taken) {
            (false, _) => AppendOutcome::Unknown("no answer".to_owned()),
            (true, true) => AppendOutcome::Committed,
            (true, false) => AppendOutcome::Refused("not the newest".to_owned()),
        };
        self.handle(CheckpointEvent::PointerAppended { checkpoint: id, outcome })
    }

    /// The collection of garbage deletes files, as it was told when it began, and ends.
    fn collected(&mut self) -> Result<(), String> {
        let Some((keep, pending)) = self.collecting.take() else { return Ok(()) };
        if let Some(newest) = keep.last() {
            self.files.retain(|id| id > newest || pending.contains(id) || keep.contains(id));
        }
        let mut needed = self.pointers.keys().chain(self.appending.keys());
        require(needed.all(|id| self.files.contains(id)), "C4: a file is deleted although a pointer names it")?;
        self.handle(CheckpointEvent::GarbageCollected)
    }

    fn restart(&mut self) -> Result<(), String> {
        self.running = true;
        let listed: Vec<_> = self.pointers.values().cloned().collect();
        let restored = listed.last().map(|newest| newest.id);
        require(restored.is_none_or(|id| id == self.newest), "C6: the newest checkpoint is lost")?;
        let attempts: Vec<_> = (0..SUBTASKS).map(|subtask| attempt(subtask, self.attempt)).collect();
        let generation = attempts[0].generation;
        self.handle(CheckpointEvent::Loaded { completed: listed, restored })?;
        self.handle(CheckpointEvent::TasksRunning { attempts, generation })
    }
}

impl Surrounding for Checkpoints {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.reserving {
            steps.extend([true, false].map(Step::Reserved));
        }
        for (id, attempt) in &self.triggers {
            steps.extend([Step::Acknowledged(*id, *attempt), Step::Declined(*id, *attempt)]);
        }
        steps.extend(self.triggers.iter().map(|(id, _)| *id).collect::<BTreeSet<_>>().into_iter().map(Step::NotTriggered));
        steps.extend(self.writing.iter().flat_map(|id| [true, false].map(|well| Step::Written(*id, well))));
        let fates = |id: &CheckpointId| {
            [(true, true), (true, false), (false, false)].map(|(reaches, told)| Step::Appended(*id, reaches, told))
        };
        steps.extend(self.appending.keys().flat_map(fates));
        if self.collecting.is_some() {
            steps.push(Step::Collected);
        }
        if self.core.next_deadline().is_some() {
            steps.push(Step::Tick);
        }
        if self.running && self.failures < FAILURES {
            steps.push(Step::Failed);
        }
        if !self.running && self.core.is_settled() {
            steps.push(Step::Restarted);
        }
        if self.requests < REQUESTS {
            steps.extend([true, false].map(Step::Requested));
        }
        if self.away || self.outages < OUTAGES {
            steps.push(Step::Store(!self.away));
        }
        steps
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        match step.clone() {
            Step::Reserved(well) => {
                self.reserving = false;
                if !well {
                    return self.handle(CheckpointEvent::IdsNotReserved);
                }
                let ids = self.next_id..self.next_id + RESERVED;
                self.next_id = ids.end;
                self.handle(CheckpointEvent::IdsReserved(ids))
            }
            Step::Acknowledged(id, attempt) => {
                self.triggers.remove(&(id, attempt));
                self.acknowledge(id, attempt)
            }
            Step::Declined(checkpoint, attempt) => {
                self.triggers.remove(&(checkpoint, attempt));
                let decline = CheckpointDecline { attempt, checkpoint, reason: "no".to_owned() };
                self.handle(CheckpointEvent::Declined(decline))
            }
            Step::Written(id, well) => self.written(id, well),
            Step::Appended(id, reaches, answered) => self.appended(id, reaches, answered),
            Step::NotTriggered(checkpoint) => {
                self.handle(CheckpointEvent::NotTriggered { checkpoint, reason: "1024 orders wait".to_owned() })
            }
            Step::Collected => self.collected(),
            Step::Tick => {
                self.now = self.core.next_deadline().map_or(self.now, |deadline| deadline.0.max(self.now));
                self.handle(CheckpointEvent::Tick)
            }
            Step::Failed => {
                (self.running, self.failures, self.attempt) = (false, self.failures + 1, self.attempt + 1);
                self.handle(CheckpointEvent::TasksStopped { reason: "a task failed".to_owned() })
            }
            Step::Restarted => self.restart(),
            Step::Requested(stop) => {
                self.requests += 1;
                let request = CheckpointRequest { request: self.requests, savepoint: true, target_directory: None, stop };
                self.handle(CheckpointEvent::Requested(request))
            }
            Step::Store(away) => {
                (self.away, self.outages) = (away, self.outages + u32::from(away));
                self.handle(CheckpointEvent::Store { away })
            }
        }
    }
}
