//! Searches the JobMaster. Its surrounding is TaskManagers, a ResourceManager, stores and clients, over changes of leadership.
//!
//! All messages reach the JobMaster through one queue, because it has one mailbox. If a TaskManager loses its link, the orders to
//! it are lost, but its tasks keep running. A restart waits for the next deadline, which may be reached at any time.

mod cluster;
mod judge;
mod starts;
mod store;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_control_plane::checkpoint::AppendOutcome;
use weir_control_plane::checkpoint::event::CheckpointEvent;
use weir_control_plane::checkpoint::pending::CheckpointRequest;
use weir_control_plane::job_master::JobMaster;
use weir_control_plane::job_master::event::{JobMasterEvent, TaskManagerReport};
use weir_protocol::checkpoint::{OperatorSnapshot, SubtaskCheckpointStats, SubtaskSnapshot};
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{CheckpointAcknowledgement, CheckpointDecline, TaskFailure, TaskStateUpdate};
use weir_protocol::{AllocationId, CheckpointId, ExecutionAttemptId, ExecutionVertexId, JobId};
use weir_world::Millis;

use self::cluster::{End, Mail, Report, Slots, TaskManager, named, number_of};
use self::starts::core;
pub(super) use self::starts::starts;
use self::store::Store;
use super::Surrounding;

const JOB: JobId = JobId(1);
const TASK_MANAGERS: usize = 2;

/// How often each event may happen that needs no cause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
struct Limits {
    failures: u32,
    losses: u32,
    cancellations: u32,
    savepoints: u32,
    repetitions: u32,
    overruns: u32,
    leaders: u32,
    /// Failures of snapshots, files and stores.
    troubles: u32,
    ends_of_input: u32,
}

/// The JobMaster and its surrounding.
#[derive(Debug, Clone, Hash)]
pub struct Job {
    core: JobMaster,
    /// Number of subtasks of the job.
    subtasks: usize,
    shape: Shape,
    now: u64,
    epoch: u64,
    left: Limits,
    task_managers: Vec<TaskManager>,
    slots: Slots,
    store: Store,
    /// Messages that the JobMaster has not received yet, in order.
    mail: VecDeque<Mail>,
    /// The last report that the JobMaster received, which may arrive once more.
    last_report: Option<(usize, Report)>,
    /// The slots that the JobMaster holds as far as it knows, and the TaskManager of each: granted, not given back, and not
    /// reported lost.
    held: BTreeMap<AllocationId, usize>,
    /// The attempts that the JobMaster has deployed and whose end it does not know, and the TaskManager of each.
    live: BTreeMap<ExecutionAttemptId, usize>,
    /// The newest attempt of each subtask, across all leaders.
    newest: BTreeMap<ExecutionVertexId, ExecutionAttemptId>,
    /// The attempts that have run.
    ran: BTreeSet<ExecutionAttemptId>,
    /// For each request of a user, whether it was answered.
    asked: Vec<bool>,
    canceled: bool,
    /// Whether a message to the JobMaster was dropped.
    overrun: bool,
    over: bool,
    /// TaskManagers without a link to which the JobMaster sent an order.
    unreached: Vec<usize>,
}

/// The shape of the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shape {
    /// Two subtasks without a connection, so that each restarts alone. The job needs two slots, and each TaskManager has two.
    Apart,
    /// A source and a sink that restart together. The job needs one slot, and each TaskManager has one.
    Joined,
}

/// An event that may happen next.
#[derive(Debug, Clone)]
pub enum Step {
    /// The JobMaster receives the next message.
    Hear,
    /// The JobMaster receives the last report of a task again.
    Repeat,
    /// The ResourceManager handles the wishes of the job.
    Wishes,
    /// A TaskManager receives the next order.
    Obey(usize),
    /// A task runs.
    Runs(ExecutionAttemptId),
    /// A task ends.
    Ends(ExecutionAttemptId, End),
    /// A task's part of its oldest triggered checkpoint is durable (true), or the task declines.
    Snapshots(ExecutionAttemptId, bool),
    /// A task's input has ended.
    InputEnds(ExecutionAttemptId),
    /// The link to a TaskManager breaks. The flag says whether its process dies.
    Lose(usize, bool),
    /// A TaskManager connects again.
    Return(usize),
    /// A question about the newest checkpoint is answered: with the checkpoint (true) or with an error.
    Read(u64, bool),
    /// The store hands out ids, or fails to.
    Reserved(bool),
    /// The metadata file is written, or could not be written.
    Written(CheckpointId, bool),
    /// The append of a pointer ends: whether the write reaches the store, and whether its outcome is known.
    Appended(CheckpointId, bool, bool),
    /// The next deadline is reached.
    Tick,
    /// The user cancels the job.
    Cancel,
    /// The user requests a savepoint. The flag says whether the job stops with it.
    Savepoint(bool),
    /// The newest message to the JobMaster is dropped.
    Overrun,
    /// Another leader takes over. The flag says whether writes in flight reach the store before that.
    LeaderChanged(bool),
    /// The JobMaster learns from the store that a newer leader was elected.
    Superseded,
}

impl Job {
    fn handle(&mut self, event: JobMasterEvent) -> Result<(), String> {
        let effects = self.core.handle(event, Millis(self.now));
        for effect in effects {
            self.perform(effect)?;
        }
        match self.unreached.pop() {
            None => Ok(()),
            Some(task_manager) => self.lost(task_manager),
        }
    }

    /// The JobMaster learns that a TaskManager is lost.
    fn lost(&mut self, task_manager: usize) -> Result<(), String> {
        self.live.retain(|_, place| *place != task_manager);
        self.held.retain(|_, place| *place != task_manager);
        self.handle(JobMasterEvent::TaskManagerLost { task_manager: named(task_manager), reason: String::new() })
    }

    /// The link to a TaskManager breaks. The ResourceManager notices that and tells the job.
    fn lose(&mut self, number: usize, dies: bool) {
        if self.task_managers[number].cut(dies) && self.slots.lose(number) {
            self.mail.push_back(Mail::Lost(number));
        }
    }

    /// A TaskManager registers. Its tasks are canceled, and its slots become free when the tasks have ended.
    fn register(&mut self, number: usize) -> Result<(), String> {
        let untold = self.task_managers[number].connect();
        self.slots.register(number, self.task_managers[number].tasks.keys().copied());
        self.mail.extend(untold.into_iter().map(|report| Mail::Report(number, report)));
        self.allocate()
    }

    fn allocate(&mut self) -> Result<(), String> {
        let grants = self.slots.allocate(self.epoch, &self.task_managers)?;
        if !grants.is_empty() {
            self.mail.push_back(Mail::Granted(grants));
        }
        Ok(())
    }

    /// Sends a task's report to the JobMaster. Without a link, the TaskManager keeps reports of ended tasks and drops the others.
    fn report(&mut self, number: usize, report: Report) -> Result<(), String> {
        let ended = matches!(report, Report::State(_, state, _) if state.is_terminal());
        if !self.task_managers[number].linked {
            if ended {
                self.task_managers[number].outbox.push(report);
            }
            return Ok(());
        }
        self.mail.push_back(Mail::Report(number, report));
        if ended { self.allocate() } else { Ok(()) }
    }

    fn obey(&mut self, number: usize) -> Result<(), String> {
        let Some(command) = self.task_managers[number].orders.pop_front() else { return Ok(()) };
        let reports = self.task_managers[number].obey(command);
        reports.into_iter().try_for_each(|report| self.report(number, report))
    }

    fn hear(&mut self, mail: Mail) -> Result<(), String> {
        match mail {
            Mail::Granted(slots) => {
                self.held.extend(slots.iter().map(|slot| (slot.allocation, number_of(&slot.task_manager))));
                self.handle(JobMasterEvent::SlotsGranted(slots))
            }
            Mail::Lost(number) => self.lost(number),
            Mail::Report(number, report) => {
                if let Report::State(attempt, state, _) = report
                    && state.is_terminal()
                    && self.live.get(&attempt) == Some(&number)
                {
                    self.live.remove(&attempt);
                }
                self.last_report = Some((number, report));
                self.handle(JobMasterEvent::Report { task_manager: named(number), report: spelled_out(report) })
            }
        }
    }

    fn place_of(&self, attempt: &ExecutionAttemptId) -> Option<usize> {
        self.task_managers.iter().position(|one| one.tasks.contains_key(attempt))
    }

    fn task_does(
        &mut self,
        attempt: ExecutionAttemptId,
        does: impl FnOnce(&mut TaskManager) -> Option<Report>,
    ) -> Result<(), String> {
        let Some(number) = self.place_of(&attempt) else { return Ok(()) };
        match does(&mut self.task_managers[number]) {
            Some(report) => self.report(number, report),
            None => Ok(()),
        }
    }

    fn change_leader(&mut self, reaches: bool) -> Result<(), String> {
        self.left.leaders -= 1;
        self.epoch += 1;
        self.core = core(self.shape, self.epoch);
        self.store.change_leader(reaches);
        self.slots = Slots::new(self.slots.per_task_manager());
        self.task_managers.iter_mut().for_each(|one| {
            one.cut(false);
        });
        self.mail.clear();
        self.live.clear();
        self.held.clear();
        self.asked.clear();
        (self.last_report, self.canceled, self.overrun) = (None, false, false);
        self.handle(JobMasterEvent::Start)
    }

    /// Returns a step that happens by itself, without a failure or a user.
    fn onward(&self) -> Option<Step> {
        let asked = self.store.last_question().map(|question| Step::Read(question, true));
        let asked = asked.or_else(|| self.slots.wants().then_some(Step::Wishes));
        let heard = asked.or_else(|| (!self.mail.is_empty()).then_some(Step::Hear));
        let obeyed = |(number, one): (usize, &TaskManager)| (!one.orders.is_empty()).then_some(Step::Obey(number));
        let heard = heard.or_else(|| self.task_managers.iter().enumerate().find_map(obeyed));
        let done = heard.or_else(|| self.task_managers.iter().find_map(TaskManager::onward));
        done.or_else(|| self.store.onward())
    }
}

fn spelled_out(report: Report) -> TaskManagerReport {
    match report {
        Report::State(attempt, state, retryable) => {
            let failure = TaskFailure { code: "TASK-PANIC".to_owned(), message: String::new(), retryable };
            let failure = (state == ExecutionState::Failed).then_some(failure);
            TaskManagerReport::TaskState(TaskStateUpdate { attempt, state, failure, counters: None })
        }
        Report::Acknowledged(attempt, checkpoint) => {
            let operators = vec![OperatorSnapshot::default()];
            let snapshot = SubtaskSnapshot { execution_vertex: attempt.execution_vertex, operators };
            let stats = SubtaskCheckpointStats::default();
            TaskManagerReport::Acknowledge(CheckpointAcknowledgement { attempt, checkpoint, snapshot, stats })
        }
        Report::Declined(attempt, checkpoint) => {
            TaskManagerReport::Decline(CheckpointDecline { attempt, checkpoint, reason: String::new() })
        }
        Report::InputEnded(attempt) => TaskManagerReport::InputEnded(attempt),
    }
}

impl Surrounding for Job {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        if !self.mail.is_empty() {
            steps.push(Step::Hear);
        }
        if self.over {
            return steps;
        }
        let left = &self.left;
        steps.extend((left.repetitions > 0 && self.last_report.is_some()).then_some(Step::Repeat));
        steps.extend((left.overruns > 0 && !self.mail.is_empty()).then_some(Step::Overrun));
        steps.extend(self.slots.wants().then_some(Step::Wishes));
        for (number, one) in self.task_managers.iter().enumerate() {
            steps.extend((!one.orders.is_empty()).then_some(Step::Obey(number)));
            one.steps(left, &mut steps);
            if !one.linked {
                steps.push(Step::Return(number));
            } else if left.losses > 0 {
                steps.extend([Step::Lose(number, false), Step::Lose(number, true)]);
            }
        }
        self.store.steps(left.troubles > 0, &mut steps);
        steps.extend(self.core.next_deadline().map(|_| Step::Tick));
        steps.extend((left.cancellations > 0).then_some(Step::Cancel));
        if left.savepoints > 0 {
            steps.extend([true, false].map(Step::Savepoint));
        }
        if left.leaders > 0 {
            steps.extend([Step::LeaderChanged(true), Step::Superseded]);
            steps.extend(self.store.is_appending().then_some(Step::LeaderChanged(false)));
        }
        steps
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        self.happen(step.clone())?;
        self.nothing_is_lost()
    }
}

impl Job {
    fn happen(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Hear => match self.mail.pop_front() {
                Some(mail) => self.hear(mail),
                None => Ok(()),
            },
            Step::Repeat => {
                self.left.repetitions -= 1;
                let Some((number, report)) = self.last_report else { return Ok(()) };
                self.hear(Mail::Report(number, report))
            }
            Step::Wishes => {
                self.slots.take_wishes();
                self.allocate()
            }
            Step::Obey(number) => self.obey(number),
            Step::Runs(attempt) => {
                self.ran.insert(attempt);
                self.task_does(attempt, |one| one.run(attempt))
            }
            Step::Ends(attempt, end) => {
                self.left.failures -= u32::from(end.is_failure());
                self.task_does(attempt, |one| one.end(attempt, end))
            }
            Step::Snapshots(attempt, well) => {
                self.left.troubles -= u32::from(!well);
                self.task_does(attempt, |one| one.snapshot(attempt, well))
            }
            Step::InputEnds(attempt) => {
                self.left.ends_of_input -= 1;
                self.task_does(attempt, |one| one.end_input(attempt))
            }
            Step::Lose(number, dies) => {
                self.left.losses -= 1;
                self.lose(number, dies);
                Ok(())
            }
            Step::Return(number) => self.register(number),
            Step::Tick => {
                self.now = self.core.next_deadline().map_or(self.now, |deadline| deadline.0.max(self.now));
                self.handle(JobMasterEvent::Tick)
            }
            Step::Cancel => {
                (self.left.cancellations, self.canceled) = (self.left.cancellations - 1, true);
                self.handle(JobMasterEvent::Cancel)
            }
            Step::Savepoint(stop) => {
                self.left.savepoints -= 1;
                self.asked.push(false);
                let request = self.asked.len() as u64;
                self.handle(JobMasterEvent::Checkpoint(CheckpointEvent::Requested(CheckpointRequest {
                    request,
                    savepoint: true,
                    target_directory: None,
                    stop,
                })))
            }
            Step::Overrun => {
                (self.left.overruns, self.overrun) = (self.left.overruns - 1, true);
                self.mail.pop_back();
                self.handle(JobMasterEvent::MessagesLost)
            }
            Step::LeaderChanged(reaches) => self.change_leader(reaches),
            Step::Superseded => self.handle(JobMasterEvent::Superseded),
            stores => self.store_does(stores),
        }
    }

    fn store_does(&mut self, step: Step) -> Result<(), String> {
        let event = match step {
            Step::Read(question, well) => {
                self.left.troubles -= u32::from(!well);
                self.store.read(question, well)
            }
            Step::Reserved(well) => {
                self.left.troubles -= u32::from(!well);
                Some(self.store.reserved(well))
            }
            Step::Written(id, well) => {
                self.left.troubles -= u32::from(!well);
                self.store.written(id, well)
            }
            Step::Appended(checkpoint, reaches, told) => {
                self.left.troubles -= u32::from(!told);
                let outcome = self.store.appended(checkpoint, reaches);
                let outcome = if told { outcome } else { AppendOutcome::Unknown(String::new()) };
                Some(JobMasterEvent::Checkpoint(CheckpointEvent::PointerAppended { checkpoint, outcome }))
            }
            _ => None,
        };
        event.map_or(Ok(()), |event| self.handle(event))
    }
}
