//! A minimal cluster around one JobMaster. It checks every order against the invariants.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use weir_ha::CompletedCheckpoint;
use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointKind, OperatorSnapshot, SubtaskCheckpointStats, SubtaskSnapshot};
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::{ExecutionState, JobStatus};
use weir_protocol::link::{CheckpointAcknowledgement, Deployment, Order, TaskFailure, TaskMetrics, TaskStateUpdate};
use weir_protocol::{AllocationId, CheckpointId, ExecutionAttemptId, LeaderEpoch, TaskManagerId};
use weir_storage::checkpoint::MetadataHandle;
use weir_world::Millis;

use crate::checkpoint::completed::RestorePoint;
use crate::checkpoint::effect::{SavepointOutcome, StoreCall};
use crate::checkpoint::event::CheckpointEvent;
use crate::checkpoint::{AppendOutcome, WrittenMetadata};
use crate::job_master::effect::{JobEnded, JobMasterEffect};
use crate::job_master::event::{JobMasterEvent, TaskManagerReport};
use crate::job_master::testing::{JOB, metadata};
use crate::job_master::{JobMaster, JobMasterOptions, JobToRun};
use crate::resource_manager::effect::GrantedSlot;

/// What each task has read when it ends.
pub(super) const FINAL_RECORDS: u64 = 200_000;

/// A task as its TaskManager sees it.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) state: ExecutionState,
    pub(super) barriers: BTreeSet<CheckpointId>,
    pub(super) input_ended: bool,
    slot: u32,
}

/// The tasks and orders of one TaskManager.
#[derive(Debug, Default)]
pub(super) struct TaskManager {
    pub(super) tasks: BTreeMap<ExecutionAttemptId, Task>,
    pub(super) orders: VecDeque<Order>,
}

/// The cluster around the JobMaster.
pub(super) struct Model {
    pub(super) core: JobMaster,
    pub(super) now: Millis,
    pub(super) graph: Arc<JobGraph>,
    pub(super) task_managers: BTreeMap<TaskManagerId, TaskManager>,
    /// Messages to the JobMaster, in order.
    pub(super) inbox: VecDeque<JobMasterEvent>,
    /// Calls to stores that have not been made.
    pub(super) calls: VecDeque<JobMasterEffect>,
    /// Completed checkpoints in the store.
    pub(super) store: Vec<CompletedCheckpoint>,
    pub(super) kinds: BTreeMap<CheckpointId, CheckpointKind>,
    pub(super) ended: Option<JobEnded>,
    pub(super) answers: BTreeMap<u64, SavepointOutcome>,
    pub(super) deployments: Vec<(TaskManagerId, Deployment)>,
    granted: BTreeMap<AllocationId, GrantedSlot>,
    required: u32,
    next_id: u64,
    next_allocation: u128,
}

impl Model {
    pub(super) fn new(graph: Arc<JobGraph>, seed: u64) -> Self {
        let what = JobToRun {
            job: JOB,
            graph: Arc::clone(&graph),
            graph_crc32c: 7,
            submitted_at_ms: 1,
            epoch: LeaderEpoch(3),
            checkpoint_dir: "file:///c".to_string(),
            wall_at_zero_ms: 1_000_000,
            seed,
        };
        let mut model = Self {
            core: JobMaster::new(what, JobMasterOptions::default()).expect("a sound graph"),
            now: Millis(0),
            graph,
            task_managers: BTreeMap::new(),
            inbox: VecDeque::new(),
            calls: VecDeque::new(),
            store: Vec::new(),
            kinds: BTreeMap::new(),
            ended: None,
            answers: BTreeMap::new(),
            deployments: Vec::new(),
            granted: BTreeMap::new(),
            required: 0,
            next_id: 1,
            next_allocation: 1,
        };
        model.handle(JobMasterEvent::Start);
        model
    }

    pub(super) fn status(&self) -> JobStatus {
        self.core.status()
    }

    pub(super) fn newest(&self) -> Option<CheckpointId> {
        self.store.last().map(|newest| newest.id)
    }

    pub(super) fn add_task_manager(&mut self, name: &str) {
        self.task_managers.insert(TaskManagerId(name.to_string()), TaskManager::default());
    }

    /// Kills the process. The JobMaster learns of it through its inbox.
    pub(super) fn kill(&mut self, task_manager: &TaskManagerId) {
        self.task_managers.remove(task_manager);
        self.granted.retain(|_, slot| &slot.task_manager != task_manager);
        let reason = "killed".to_string();
        self.inbox.push_back(JobMasterEvent::TaskManagerLost { task_manager: task_manager.clone(), reason });
    }

    /// Grants free slots, up to the required number. Each TaskManager has two slots.
    pub(super) fn grant(&mut self) {
        let mut grants = Vec::new();
        for task_manager in self.task_managers.keys() {
            for slot in 0..2 {
                let taken = |held: &GrantedSlot| &held.task_manager == task_manager && held.slot == slot;
                if self.granted.len() >= self.required as usize || self.granted.values().any(taken) {
                    continue;
                }
                let allocation = AllocationId(self.next_allocation);
                self.next_allocation += 1;
                let data_address = format!("{task_manager}:1");
                let grant = GrantedSlot { allocation, task_manager: task_manager.clone(), slot, data_address };
                self.granted.insert(allocation, grant.clone());
                grants.push(grant);
            }
        }
        if !grants.is_empty() {
            self.inbox.push_back(JobMasterEvent::SlotsGranted(grants));
        }
    }

    pub(super) fn handle(&mut self, event: JobMasterEvent) {
        for effect in self.core.handle(event, self.now) {
            assert!(self.ended.is_none(), "no effect follows the end: {effect:?}");
            self.perform(effect);
        }
    }

    /// Delivers the next message to the JobMaster. Returns whether there was one.
    pub(super) fn deliver(&mut self) -> bool {
        let Some(event) = self.inbox.pop_front() else { return false };
        self.handle(event);
        true
    }

    fn perform(&mut self, effect: JobMasterEffect) {
        match effect {
            JobMasterEffect::DeclareRequirements { slots } => {
                self.required = slots;
                if slots == 0 {
                    self.granted.clear();
                }
            }
            JobMasterEffect::ReleaseSlot { allocation } => {
                assert!(self.granted.remove(&allocation).is_some(), "only granted slots are returned");
            }
            JobMasterEffect::Send { task_manager, order } => self.send(task_manager, order),
            JobMasterEffect::Disconnect { task_manager, .. } => self.kill(&task_manager),
            JobMasterEffect::Answer { request, outcome } => {
                assert!(self.answers.insert(request, outcome).is_none(), "V1: one answer per request");
            }
            JobMasterEffect::End(ended) => {
                assert!(ended.status.is_globally_terminal());
                let living = self.task_managers.values().flat_map(|one| one.tasks.values()).any(|task| !task.state.is_terminal());
                assert!(!living, "a job ends only when none of its tasks runs");
                assert!(
                    !self.calls.iter().any(|call| matches!(call, JobMasterEffect::Checkpoint(StoreCall::AppendPointer { .. }))),
                    "a job ends only when it is certain which checkpoint is the newest"
                );
                self.ended = Some(ended);
            }
            JobMasterEffect::StopSuperseded => panic!("the JobMaster stopped, but no newer leader exists"),
            call => self.calls.push_back(call),
        }
    }

    fn send(&mut self, to: TaskManagerId, order: Order) {
        match &order {
            Order::Deploy(deployment) => self.check_deployment(&to, deployment),
            Order::NotifyCheckpointComplete { checkpoint, last, .. } => {
                let kind = self.kinds.get(checkpoint);
                assert!(kind.is_some(), "C3: checkpoint {checkpoint} was notified without a durable pointer");
                let finishes = matches!(kind, Some(CheckpointKind::Final | CheckpointKind::Stop));
                assert!(!last || finishes, "tasks finish only after a final checkpoint or a savepoint to stop with");
            }
            _ => {}
        }
        if let Some(task_manager) = self.task_managers.get_mut(&to) {
            task_manager.orders.push_back(order);
        }
    }

    fn check_deployment(&mut self, to: &TaskManagerId, deployment: &Deployment) {
        assert_eq!(deployment.restore_checkpoint, self.newest(), "C6: tasks restore from the newest checkpoint");
        for task in &deployment.tasks {
            if let Some(grant) = self.granted.get(&task.allocation) {
                assert_eq!((&grant.task_manager, grant.slot), (to, task.slot), "S1: a grant is for one slot");
            } else {
                assert!(!self.task_managers.contains_key(to), "tasks are deployed only into granted slots");
            }
            for (id, one) in self.task_managers.values().flat_map(|one| &one.tasks) {
                let other_attempt = id.execution_vertex == task.attempt.execution_vertex;
                assert!(id.generation < task.attempt.generation || !other_attempt, "F2: generations increase");
                assert!(!other_attempt || one.state.is_terminal(), "F2: the old attempt has ended before the new one starts");
            }
        }
        self.deployments.push((to.clone(), deployment.clone()));
    }

    /// The TaskManager carries out its next order. Returns whether there was one.
    pub(super) fn obey(&mut self, id: &TaskManagerId) -> bool {
        let Some(task_manager) = self.task_managers.get_mut(id) else { return false };
        let Some(order) = task_manager.orders.pop_front() else { return false };
        let mut states = Vec::new();
        match order {
            Order::Deploy(deployment) => {
                for task in deployment.tasks {
                    let state = ExecutionState::Deploying;
                    let slot = task.slot;
                    let fresh = Task { state, barriers: BTreeSet::new(), input_ended: false, slot };
                    task_manager.tasks.insert(task.attempt, fresh);
                }
            }
            Order::Cancel(attempts) => {
                for attempt in attempts {
                    if task_manager.tasks.get(&attempt).is_some_and(|task| !task.state.is_terminal()) {
                        states.push((attempt, ExecutionState::Canceled, None));
                    }
                }
            }
            Order::TriggerCheckpoint { attempts, barrier: CheckpointBarrier { id: checkpoint, .. } } => {
                for attempt in attempts {
                    if let Some(task) = task_manager.tasks.get_mut(&attempt) {
                        assert!(task.state.is_terminal() || task.state == ExecutionState::Running, "B4");
                        task.barriers.insert(checkpoint);
                    }
                }
            }
            Order::NotifyCheckpointComplete { attempts, last, .. } => {
                for attempt in attempts {
                    if last && task_manager.tasks.get(&attempt).is_some_and(|task| task.state == ExecutionState::Running) {
                        states.push((attempt, ExecutionState::Finished, None));
                    }
                }
            }
            Order::NotifyCheckpointAborted { attempts, checkpoint, .. } => {
                for attempt in attempts {
                    if let Some(task) = task_manager.tasks.get_mut(&attempt) {
                        task.barriers.remove(&checkpoint);
                    }
                }
            }
            Order::Registered | Order::HeartbeatAck => {}
        }
        for (attempt, state, failure) in states {
            self.report_state(id, attempt, state, failure);
        }
        true
    }

    pub(super) fn report_state(
        &mut self,
        task_manager: &TaskManagerId,
        attempt: ExecutionAttemptId,
        state: ExecutionState,
        failure: Option<TaskFailure>,
    ) {
        if let Some(task) = self.task_managers.get_mut(task_manager).and_then(|one| one.tasks.get_mut(&attempt)) {
            task.state = state;
        }
        // Heartbeats report counters only now and then. The report of the end has the last ones.
        let last = TaskMetrics {
            attempt,
            records_in: FINAL_RECORDS,
            records_out: 0,
            bytes_in: 0,
            bytes_out: 0,
            busy_ms: 0,
            backpressured_ms: 0,
            idle_ms: 0,
            watermark_ms: i64::MIN,
            late_records: 0,
        };
        let counters = state.is_terminal().then_some(last);
        self.report(task_manager, TaskManagerReport::TaskState(TaskStateUpdate { attempt, state, failure, counters }));
    }

    fn report(&mut self, task_manager: &TaskManagerId, report: TaskManagerReport) {
        self.inbox.push_back(JobMasterEvent::Report { task_manager: task_manager.clone(), report });
    }

    /// Tasks that match the filter.
    pub(super) fn tasks(&self, wanted: impl Fn(&Task) -> bool) -> Vec<(TaskManagerId, ExecutionAttemptId)> {
        let tasks =
            self.task_managers.iter().flat_map(|(id, one)| one.tasks.iter().map(move |(attempt, task)| (id, attempt, task)));
        tasks.filter(|(_, _, task)| wanted(task)).map(|(id, attempt, _)| (id.clone(), *attempt)).collect()
    }

    pub(super) fn end_input(&mut self, task_manager: &TaskManagerId, attempt: ExecutionAttemptId) {
        if let Some(task) = self.task_managers.get_mut(task_manager).and_then(|one| one.tasks.get_mut(&attempt)) {
            task.input_ended = true;
        }
        self.report(task_manager, TaskManagerReport::InputEnded(attempt));
    }

    /// Acknowledges the oldest pending checkpoint of the task.
    pub(super) fn acknowledge(&mut self, task_manager: &TaskManagerId, attempt: ExecutionAttemptId) {
        let task = self.task_managers.get_mut(task_manager).and_then(|one| one.tasks.get_mut(&attempt));
        let Some(checkpoint) = task.and_then(|task| task.barriers.pop_first()) else { return };
        let operators = vec![OperatorSnapshot::default()];
        let snapshot = SubtaskSnapshot { execution_vertex: attempt.execution_vertex, operators };
        let stats = SubtaskCheckpointStats::default();
        let acknowledgement = CheckpointAcknowledgement { attempt, checkpoint, snapshot, stats };
        self.report(task_manager, TaskManagerReport::Acknowledge(acknowledgement));
    }

    /// Makes the next call to a store. `applied`: whether a write takes effect. `answered`: whether the caller gets the answer.
    pub(super) fn call(&mut self, applied: bool, answered: bool) -> bool {
        let Some(call) = self.calls.pop_front() else { return false };
        let sorry = || "injected".to_string();
        let event = match call {
            JobMasterEffect::ReadNewestCheckpoint { question } if !applied => {
                JobMasterEvent::CheckpointUnreadable { question, reason: sorry(), retryable: true }
            }
            JobMasterEffect::ReadNewestCheckpoint { question } => {
                let newest = self.newest().map(|id| Arc::new(metadata(id.0, &self.graph)));
                JobMasterEvent::CheckpointRead { question, restore: RestorePoint { completed: self.store.clone(), newest } }
            }
            JobMasterEffect::Checkpoint(StoreCall::ReserveIds { .. }) if !applied => {
                JobMasterEvent::Checkpoint(CheckpointEvent::IdsNotReserved)
            }
            JobMasterEffect::Checkpoint(StoreCall::ReserveIds { .. }) => {
                let first = self.next_id;
                self.next_id += 3; // Small blocks, so that they run out.
                JobMasterEvent::Checkpoint(CheckpointEvent::IdsReserved(first..self.next_id))
            }
            JobMasterEffect::Checkpoint(StoreCall::WriteMetadata { metadata, .. }) => {
                assert_eq!(metadata.subtasks.len(), self.core.graph.places().count(), "every subtask takes part");
                let handle = MetadataHandle { path: format!("chk-{}", metadata.id), length: 1, crc32c: 1 };
                let written = WrittenMetadata { handle, external_path: format!("file:///chk-{}", metadata.id) };
                let result = if applied { Ok(written) } else { Err(sorry()) };
                JobMasterEvent::Checkpoint(CheckpointEvent::MetadataWritten { checkpoint: metadata.id, result })
            }
            JobMasterEffect::Checkpoint(StoreCall::AppendPointer { pointer, subsumed }) => {
                let checkpoint = pointer.id;
                if applied && !self.store.contains(&pointer) {
                    assert!(self.newest().is_none_or(|newest| newest < checkpoint), "C2: ids increase");
                    assert!(!subsumed.contains(&checkpoint), "C6: the pointer of the newest checkpoint is never removed");
                    self.store.retain(|one| !subsumed.contains(&one.id));
                    self.kinds.insert(checkpoint, pointer.kind);
                    self.store.push(*pointer);
                }
                let certain = applied && answered;
                let outcome = if certain { AppendOutcome::Committed } else { AppendOutcome::Unknown(sorry()) };
                JobMasterEvent::Checkpoint(CheckpointEvent::PointerAppended { checkpoint, outcome })
            }
            JobMasterEffect::Checkpoint(StoreCall::CollectGarbage { keep, .. }) => {
                assert!(self.newest().is_none_or(|newest| keep.iter().any(|one| one.id == newest) || newest > keep[0].id), "C4");
                JobMasterEvent::Checkpoint(CheckpointEvent::GarbageCollected)
            }
            other => panic!("not a call: {other:?}"),
        };
        self.handle(event);
        true
    }

    /// Processes everything that is due, without failures, until nothing is left to do at this moment. Tasks start, and
    /// acknowledge their checkpoints.
    pub(super) fn settle(&mut self) {
        loop {
            let mut busy = self.deliver();
            busy |= self.call(true, true);
            for id in self.task_managers.keys().cloned().collect::<Vec<_>>() {
                busy |= self.obey(&id);
            }
            for (id, attempt) in self.tasks(|task| task.state == ExecutionState::Deploying) {
                self.report_state(&id, attempt, ExecutionState::Running, None);
                busy = true;
            }
            for (id, attempt) in self.tasks(|task| task.state == ExecutionState::Running && !task.barriers.is_empty()) {
                self.acknowledge(&id, attempt);
                busy = true;
            }
            self.grant();
            if !busy && self.inbox.is_empty() {
                return;
            }
        }
    }

    /// Advances time to the next deadline, but not beyond `limit`.
    pub(super) fn pass_time(&mut self, limit: Millis) {
        let next = self.core.next_deadline().unwrap_or(limit).min(limit);
        self.now = self.now.max(next);
        self.handle(JobMasterEvent::Tick);
    }

    /// Alternates between settling and advancing time for this many milliseconds.
    pub(super) fn run_for(&mut self, milliseconds: u64) {
        let end = self.now.after(milliseconds);
        self.settle();
        while self.now < end && self.ended.is_none() {
            self.pass_time(end);
            self.settle();
        }
    }

    pub(super) fn slot_of(&self, attempt: ExecutionAttemptId) -> Option<(TaskManagerId, u32)> {
        let found = |(id, one): (&TaskManagerId, &TaskManager)| one.tasks.get(&attempt).map(|task| (id.clone(), task.slot));
        self.task_managers.iter().find_map(found)
    }
}
