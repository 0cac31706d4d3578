//! The TaskManagers with the tasks that really run on them, and the ResourceManager as one job sees it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use weir_control_plane::resource_manager::effect::GrantedSlot;
use weir_protocol::job_status::ExecutionState;
use weir_protocol::{AllocationId, CheckpointId, ExecutionAttemptId, TaskManagerId};

use super::{Limits, Step};
use crate::search::require;

/// A message to the JobMaster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Mail {
    Granted(Vec<GrantedSlot>),
    /// A TaskManager on which the job had slots is lost.
    Lost(usize),
    Report(usize, Report),
}

impl Mail {
    pub(super) fn tells_the_end_of(&self, attempt: &ExecutionAttemptId, number: usize) -> bool {
        match self {
            Self::Granted(_) => false,
            Self::Lost(lost) => *lost == number,
            Self::Report(from, report) => *from == number && report.ends(attempt),
        }
    }
}

/// A report of a TaskManager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Report {
    /// A task has changed its state. The flag says whether a restart can help.
    State(ExecutionAttemptId, ExecutionState, bool),
    Acknowledged(ExecutionAttemptId, CheckpointId),
    Declined(ExecutionAttemptId, CheckpointId),
    InputEnded(ExecutionAttemptId),
}

impl Report {
    pub(super) fn ends(&self, attempt: &ExecutionAttemptId) -> bool {
        matches!(self, Self::State(ended, state, _) if ended == attempt && state.is_terminal())
    }
}

/// An order in flight.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Command {
    Deploy(Vec<(ExecutionAttemptId, u32, AllocationId)>),
    Cancel(Vec<ExecutionAttemptId>),
    Trigger(Vec<ExecutionAttemptId>, CheckpointId),
    /// A checkpoint is complete. The flag says whether it is the last one of the job.
    Complete(Vec<ExecutionAttemptId>, bool),
    Aborted(Vec<ExecutionAttemptId>, CheckpointId),
}

/// How a task ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The task fails, and a restart can help.
    Failed,
    /// The task fails, and no restart can help.
    Fatal,
    Canceled,
    Finished,
}

impl End {
    pub(super) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Fatal)
    }
}

/// A task in its real state, which the JobMaster may not know.
#[derive(Debug, Clone, Hash)]
pub(super) struct Task {
    slot: u32,
    allocation: AllocationId,
    running: bool,
    canceling: bool,
    /// Whether the last checkpoint is complete, so that the task is about to finish.
    finishing: bool,
    input_ended: bool,
    barriers: BTreeSet<CheckpointId>,
}

/// A TaskManager with its tasks.
#[derive(Debug, Clone, Hash, Default)]
pub(super) struct TaskManager {
    /// Whether there is a link to the present leader.
    pub(super) linked: bool,
    pub(super) orders: VecDeque<Command>,
    pub(super) tasks: BTreeMap<ExecutionAttemptId, Task>,
    /// Reports of tasks that ended while there was no link.
    pub(super) outbox: Vec<Report>,
}

/// Returns the id of the TaskManager with this number.
pub(super) fn named(number: usize) -> TaskManagerId {
    TaskManagerId(if number == 0 { "a" } else { "b" }.to_owned())
}

/// Returns the number of a TaskManager.
pub(super) fn number_of(task_manager: &TaskManagerId) -> usize {
    usize::from(task_manager.0 != "a")
}

impl TaskManager {
    /// Ends the link, and with `dies` the process. Returns whether there was a link.
    pub(super) fn cut(&mut self, dies: bool) -> bool {
        self.orders.clear();
        if dies {
            self.tasks.clear();
            self.outbox.clear();
        }
        std::mem::take(&mut self.linked)
    }

    /// Opens a link. The ResourceManager cancels all tasks. Returns the reports that could not be sent without a link.
    pub(super) fn connect(&mut self) -> Vec<Report> {
        self.linked = true;
        if !self.tasks.is_empty() {
            self.orders.push_back(Command::Cancel(self.tasks.keys().copied().collect()));
        }
        std::mem::take(&mut self.outbox)
    }

    pub(super) fn holds(&self, allocation: AllocationId) -> bool {
        self.tasks.values().any(|task| task.allocation == allocation)
    }

    /// Returns whether an order in flight deploys or cancels this attempt.
    pub(super) fn mentions(&self, attempt: &ExecutionAttemptId) -> bool {
        self.orders.iter().any(|command| match command {
            Command::Deploy(tasks) => tasks.iter().any(|(deployed, ..)| deployed == attempt),
            Command::Cancel(attempts) => attempts.contains(attempt),
            _ => false,
        })
    }

    /// Returns whether this task has ended, ends by itself, was told to stop, or will be told to stop by an order in flight.
    pub(super) fn will_end(&self, attempt: &ExecutionAttemptId) -> bool {
        let told = self.tasks.get(attempt).is_none_or(|task| task.canceling || task.finishing);
        told || self.mentions(attempt)
    }

    /// Carries out an order as the TaskExecutor does, and returns the reports.
    pub(super) fn obey(&mut self, command: Command) -> Vec<Report> {
        match command {
            Command::Deploy(tasks) => {
                tasks.into_iter().filter_map(|(attempt, slot, allocation)| self.deploy(attempt, slot, allocation)).collect()
            }
            Command::Cancel(attempts) => {
                let missing = |attempt| Report::State(attempt, ExecutionState::Canceled, true);
                let canceled = attempts.into_iter().filter_map(|attempt| match self.tasks.get_mut(&attempt) {
                    Some(task) => {
                        task.canceling = true;
                        None
                    }
                    None => Some(missing(attempt)),
                });
                canceled.collect()
            }
            Command::Trigger(attempts, id) => {
                let declined = attempts.into_iter().filter_map(|attempt| match self.tasks.get_mut(&attempt) {
                    Some(task) => {
                        task.barriers.insert(id);
                        None
                    }
                    None => Some(Report::Declined(attempt, id)),
                });
                declined.collect()
            }
            Command::Complete(attempts, last) => {
                for attempt in attempts {
                    self.tasks.entry(attempt).and_modify(|task| task.finishing |= last);
                }
                Vec::new()
            }
            Command::Aborted(attempts, id) => {
                for attempt in attempts {
                    self.tasks.entry(attempt).and_modify(|task| _ = task.barriers.remove(&id));
                }
                Vec::new()
            }
        }
    }

    fn deploy(&mut self, attempt: ExecutionAttemptId, slot: u32, allocation: AllocationId) -> Option<Report> {
        let subtask = attempt.execution_vertex;
        let taken = |(other, task): (&ExecutionAttemptId, &Task)| {
            task.slot == slot && (task.allocation != allocation || other.execution_vertex == subtask)
        };
        if self.tasks.iter().any(taken) {
            return Some(Report::State(attempt, ExecutionState::Failed, true));
        }
        let (running, canceling, finishing, input_ended) = (false, false, false, false);
        let barriers = BTreeSet::new();
        self.tasks.insert(attempt, Task { slot, allocation, running, canceling, finishing, input_ended, barriers });
        None
    }

    /// Makes a task run. Unless the task is to stop, it reports that it runs.
    pub(super) fn run(&mut self, attempt: ExecutionAttemptId) -> Option<Report> {
        let task = self.tasks.get_mut(&attempt)?;
        task.running = true;
        (!task.canceling).then_some(Report::State(attempt, ExecutionState::Running, true))
    }

    pub(super) fn end(&mut self, attempt: ExecutionAttemptId, end: End) -> Option<Report> {
        self.tasks.remove(&attempt)?;
        let state = match end {
            End::Failed | End::Fatal => ExecutionState::Failed,
            End::Canceled => ExecutionState::Canceled,
            End::Finished => ExecutionState::Finished,
        };
        Some(Report::State(attempt, state, end != End::Fatal))
    }

    pub(super) fn snapshot(&mut self, attempt: ExecutionAttemptId, well: bool) -> Option<Report> {
        let id = self.tasks.get_mut(&attempt)?.barriers.pop_first()?;
        Some(if well { Report::Acknowledged(attempt, id) } else { Report::Declined(attempt, id) })
    }

    pub(super) fn end_input(&mut self, attempt: ExecutionAttemptId) -> Option<Report> {
        self.tasks.get_mut(&attempt)?.input_ended = true;
        Some(Report::InputEnded(attempt))
    }

    /// Adds the steps that its tasks may take next.
    pub(super) fn steps(&self, left: &Limits, steps: &mut Vec<Step>) {
        for (attempt, task) in &self.tasks {
            steps.extend(task.onward(*attempt));
            if left.failures > 0 {
                steps.push(Step::Ends(*attempt, End::Failed));
            }
            if left.failures > 1 {
                steps.push(Step::Ends(*attempt, End::Fatal));
            }
            if task.finishing && task.canceling {
                steps.push(Step::Ends(*attempt, End::Finished));
            }
            if left.troubles > 0 && task.acts() && !task.barriers.is_empty() {
                steps.push(Step::Snapshots(*attempt, false));
            }
            if left.ends_of_input > 0 && task.acts() && !task.input_ended {
                steps.push(Step::InputEnds(*attempt));
            }
        }
    }

    /// Returns a step that one of its tasks takes by itself.
    pub(super) fn onward(&self) -> Option<Step> {
        self.tasks.iter().find_map(|(attempt, task)| task.onward(*attempt))
    }
}

impl Task {
    fn acts(&self) -> bool {
        self.running && !self.canceling
    }

    fn onward(&self, attempt: ExecutionAttemptId) -> Option<Step> {
        if self.canceling {
            return Some(Step::Ends(attempt, End::Canceled));
        }
        if !self.running {
            return Some(Step::Runs(attempt));
        }
        if self.finishing {
            return Some(Step::Ends(attempt, End::Finished));
        }
        (!self.barriers.is_empty()).then_some(Step::Snapshots(attempt, true))
    }
}

/// What the ResourceManager knows of slots. Only this job wants slots.
#[derive(Debug, Clone, Hash)]
pub(super) struct Slots {
    per_task_manager: u32,
    registered: BTreeSet<usize>,
    /// The attempts that TaskManagers held when they registered, and whose end was not reported since.
    clearing: BTreeSet<ExecutionAttemptId>,
    granted: BTreeMap<AllocationId, (usize, u32)>,
    grants: u64,
    wanted: u32,
    /// Wishes that the ResourceManager has not handled: whether to give back all slots first, how many slots the job needs, and
    /// which slots to give back.
    wishes: (bool, Option<u32>, BTreeSet<AllocationId>),
}

impl Slots {
    pub(super) fn new(per_task_manager: u32) -> Self {
        Self {
            per_task_manager,
            registered: BTreeSet::new(),
            clearing: BTreeSet::new(),
            granted: BTreeMap::new(),
            grants: 0,
            wanted: 0,
            wishes: (false, None, BTreeSet::new()),
        }
    }

    pub(super) fn per_task_manager(&self) -> u32 {
        self.per_task_manager
    }

    /// The job declares how many slots it needs.
    pub(super) fn wish(&mut self, slots: u32) {
        let (release_all, wanted, releases) = &mut self.wishes;
        if slots == 0 {
            *release_all = true;
            releases.clear();
        }
        *wanted = Some(slots);
    }

    /// The job gives a slot back.
    pub(super) fn release(&mut self, allocation: AllocationId) {
        self.wishes.2.insert(allocation);
    }

    /// Returns whether there are wishes that the ResourceManager has not handled.
    pub(super) fn wants(&self) -> bool {
        let (release_all, wanted, releases) = &self.wishes;
        *release_all || wanted.is_some() || !releases.is_empty()
    }

    pub(super) fn take_wishes(&mut self) {
        let (release_all, wanted, releases) = std::mem::take(&mut self.wishes);
        if release_all {
            self.granted.clear();
        }
        self.granted.retain(|allocation, _| !releases.contains(allocation));
        self.wanted = wanted.unwrap_or(self.wanted);
    }

    /// The link to a TaskManager has ended. Returns whether the job had slots there.
    pub(super) fn lose(&mut self, number: usize) -> bool {
        self.registered.remove(&number);
        let before = self.granted.len();
        self.granted.retain(|_, (on, _)| *on != number);
        self.granted.len() < before
    }

    pub(super) fn register(&mut self, number: usize, held: impl Iterator<Item = ExecutionAttemptId>) {
        self.registered.insert(number);
        self.clearing.extend(held);
    }

    /// Grants all missing slots, or none if there are too few free ones.
    pub(super) fn allocate(&mut self, epoch: u64, task_managers: &[TaskManager]) -> Result<Vec<GrantedSlot>, String> {
        let missing = (self.wanted as usize).saturating_sub(self.granted.len());
        let mut grants = Vec::new();
        while grants.len() < missing {
            let slots = self.registered.iter().flat_map(|number| (0..self.per_task_manager).map(|slot| (*number, slot)));
            let free = slots.filter(|place| self.is_free(*place, task_managers));
            let used = |number: usize| self.granted.values().filter(|(on, _)| *on == number).count();
            let Some((number, slot)) = free.min_by_key(|(number, slot)| (used(*number), *number, *slot)) else { break };
            self.grants += 1;
            let allocation = AllocationId(u128::from(epoch) << 64 | u128::from(self.grants));
            self.granted.insert(allocation, (number, slot));
            grants.push(GrantedSlot { allocation, task_manager: named(number), slot, data_address: String::new() });
        }
        if grants.len() < missing {
            for grant in grants.drain(..) {
                self.granted.remove(&grant.allocation);
            }
        }
        for grant in &grants {
            let mut tasks = task_managers[number_of(&grant.task_manager)].tasks.values();
            require(!tasks.any(|task| task.slot == grant.slot), "S3: a slot is granted while a task runs in it")?;
        }
        Ok(grants)
    }

    fn is_free(&self, place: (usize, u32), task_managers: &[TaskManager]) -> bool {
        let clearing = |(attempt, task): (&ExecutionAttemptId, &Task)| task.slot == place.1 && self.clearing.contains(attempt);
        !self.granted.values().any(|granted| *granted == place) && !task_managers[place.0].tasks.iter().any(clearing)
    }
}
