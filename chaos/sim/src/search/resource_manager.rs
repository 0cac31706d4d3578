//! Searches the ResourceManager. Its surrounding is two TaskManagers, and two jobs that deploy into the slots that they are
//! granted.

use std::collections::{BTreeMap, BTreeSet};

use weir_control_plane::resource_manager::effect::Effect;
use weir_control_plane::resource_manager::effect::GrantedSlot;
use weir_control_plane::resource_manager::event::Event;
use weir_control_plane::resource_manager::event::Wishes;
use weir_control_plane::resource_manager::{HeartbeatOptions, ResourceManager};
use weir_control_plane::rpc::links::LinkId;
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{HeldAttempt, Order, Registration};
use weir_protocol::{
    AllocationId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch, TaskManagerId,
};
use weir_world::Millis;

use super::{Surrounding, require};

const TASK_MANAGERS: [&str; 2] = ["tm-1", "tm-2"];
const SLOTS: u32 = 2;
const JOBS: [JobId; 2] = [JobId(1), JobId(2)];
/// Maximum numbers of links that are opened and of wishes that jobs make.
const LINKS: u64 = 4;
const WISHES: u32 = 4;
const HEARTBEAT: HeartbeatOptions = HeartbeatOptions { interval_ms: 100, timeout_ms: 1_000 };

/// A running task, in the slot where it really runs.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Running {
    task_manager: TaskManagerId,
    slot: u32,
    attempt: ExecutionAttemptId,
    allocation: AllocationId,
}

/// The ResourceManager and its surrounding.
#[derive(Debug, Clone, Hash)]
pub struct Slots {
    core: ResourceManager,
    now: u64,
    links: u64,
    wishes: u32,
    deployments: u32,
    /// The open link of each TaskManager.
    open: BTreeMap<TaskManagerId, LinkId>,
    /// The tasks that really run, even if the ResourceManager does not know them.
    tasks: BTreeSet<Running>,
    /// The slots that jobs hold, as far as the jobs were told.
    granted: BTreeMap<AllocationId, (JobId, GrantedSlot)>,
    /// All allocations that were ever granted.
    known: BTreeSet<AllocationId>,
}

/// An event that may happen next.
#[derive(Debug, Clone)]
pub enum Step {
    /// A TaskManager opens a link and reports its tasks.
    Register(TaskManagerId),
    /// The link of a TaskManager ends.
    Lose(TaskManagerId),
    Beat(TaskManagerId),
    /// A job declares how many slots it needs.
    Wish(JobId, u32),
    /// A job deploys into a slot it was granted.
    Deploy(AllocationId),
    /// A job gives back a slot in which none of its tasks run.
    Release(AllocationId),
    /// A task ends. If its TaskManager has a link, it reports that.
    End(ExecutionAttemptId),
    /// This many milliseconds pass.
    Pass(u64),
}

impl Slots {
    /// A start without TaskManagers, where both jobs are registered.
    pub fn none() -> Self {
        let mut start = Self {
            core: ResourceManager::new(LeaderEpoch(1), HEARTBEAT, Millis(0)),
            now: 0,
            links: 0,
            wishes: 0,
            deployments: 0,
            open: BTreeMap::new(),
            tasks: BTreeSet::new(),
            granted: BTreeMap::new(),
            known: BTreeSet::new(),
        };
        for job in JOBS {
            start.handle(Event::JobRegistered { job }).expect("the start breaks no invariant");
        }
        start
    }

    fn handle(&mut self, event: Event) -> Result<(), String> {
        let effects = self.core.handle(event, Millis(self.now));
        effects.into_iter().try_for_each(|effect| self.perform(effect))
    }

    fn perform(&mut self, effect: Effect) -> Result<(), String> {
        match effect {
            Effect::Send { task_manager, order } => {
                let known = self.open.contains_key(&task_manager);
                require(known || matches!(order, Order::Cancel(_)), "an order is sent to a TaskManager without a link")
            }
            Effect::BreakLink { task_manager, .. } => {
                self.open.remove(&task_manager);
                Ok(())
            }
            Effect::Grant { job, slots } => slots.into_iter().try_for_each(|slot| self.grant(job, slot)),
            Effect::TaskManagerLost { job, task_manager, .. } => {
                self.granted.retain(|_, (owner, slot)| *owner != job || slot.task_manager != task_manager);
                Ok(())
            }
            Effect::StillClearing { .. } | Effect::Shortage { .. } | Effect::MassSuspicion { .. } | Effect::SuspicionOver => {
                Ok(())
            }
        }
    }

    fn grant(&mut self, job: JobId, slot: GrantedSlot) -> Result<(), String> {
        require(self.known.insert(slot.allocation), "S1: an allocation is granted twice")?;
        let same = |other: &GrantedSlot| (&other.task_manager, other.slot) == (&slot.task_manager, slot.slot);
        require(!self.granted.values().any(|(_, other)| same(other)), "S1: a slot is granted twice at the same time")?;
        let taken = self.tasks.iter().any(|task| (&task.task_manager, task.slot) == (&slot.task_manager, slot.slot));
        require(!taken, "S3: a slot is granted while a task runs in it")?;
        require(self.open.contains_key(&slot.task_manager), "a slot of a TaskManager without a link is granted")?;
        self.granted.insert(slot.allocation, (job, slot));
        Ok(())
    }

    fn register(&mut self, task_manager: &TaskManagerId) -> Result<(), String> {
        self.links += 1;
        let link = LinkId(self.links);
        self.open.insert(task_manager.clone(), link);
        let held = |task: &Running| HeldAttempt {
            attempt: task.attempt,
            state: ExecutionState::Running,
            slot: task.slot,
            allocation: task.allocation,
        };
        let registration = Registration {
            task_manager: task_manager.clone(),
            highest_epoch: LeaderEpoch(1),
            data_address: String::new(),
            http_address: String::new(),
            slots: SLOTS,
            memory_bytes: 1,
            attempts: self.tasks.iter().filter(|task| task.task_manager == *task_manager).map(held).collect(),
        };
        self.handle(Event::Register { registration, link })
    }

    fn deploy(&mut self, allocation: AllocationId) {
        let Some((job, slot)) = self.granted.get(&allocation).cloned() else { return };
        self.deployments += 1;
        let attempt = ExecutionAttemptId {
            job,
            execution_vertex: ExecutionVertexId { vertex: JobVertexId(1), subtask: slot.slot },
            generation: Generation { epoch: LeaderEpoch(1), attempt: self.deployments },
        };
        self.tasks.insert(Running { task_manager: slot.task_manager, slot: slot.slot, attempt, allocation });
    }

    fn occupied(&self, allocation: AllocationId) -> bool {
        self.tasks.iter().any(|task| task.allocation == allocation)
    }
}

impl Surrounding for Slots {
    type Step = Step;

    fn steps(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for name in TASK_MANAGERS {
            let id = TaskManagerId(name.to_owned());
            if self.links < LINKS {
                steps.push(Step::Register(id.clone()));
            }
            if self.open.contains_key(&id) {
                steps.extend([Step::Lose(id.clone()), Step::Beat(id)]);
            }
        }
        if self.wishes < WISHES {
            steps.extend(JOBS.iter().flat_map(|job| [0, 1, 2].map(|slots| Step::Wish(*job, slots))));
        }
        for allocation in self.granted.keys().filter(|allocation| !self.occupied(**allocation)) {
            steps.extend([Step::Deploy(*allocation), Step::Release(*allocation)]);
        }
        steps.extend(self.tasks.iter().map(|task| Step::End(task.attempt)));
        steps.extend([Step::Pass(400), Step::Pass(2_000)]);
        steps
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        match step.clone() {
            Step::Register(id) => self.register(&id),
            Step::Lose(task_manager) => match self.open.remove(&task_manager) {
                Some(link) => self.handle(Event::LinkLost { task_manager, link, reason: String::new() }),
                None => Ok(()),
            },
            Step::Beat(task_manager) => match self.open.get(&task_manager).copied() {
                Some(link) => self.handle(Event::Heartbeat { task_manager, link }),
                None => Ok(()),
            },
            Step::Wish(job, slots) => {
                // A JobMaster gives back its slots only if none of its tasks run in them.
                if slots == 0 && self.tasks.iter().any(|task| task.attempt.job == job) {
                    return Ok(());
                }
                self.wishes += 1;
                if slots == 0 {
                    self.granted.retain(|_, (owner, _)| *owner != job);
                }
                self.handle(Event::Wished {
                    job,
                    wishes: Wishes { release_all: slots == 0, slots: Some(slots), ..Wishes::default() },
                })
            }
            Step::Deploy(allocation) => {
                self.deploy(allocation);
                Ok(())
            }
            Step::Release(allocation) => match self.granted.remove(&allocation) {
                Some((job, _)) => {
                    let wishes = Wishes { releases: BTreeSet::from([allocation]), ..Wishes::default() };
                    self.handle(Event::Wished { job, wishes })
                }
                None => Ok(()),
            },
            Step::End(attempt) => {
                let Some(task) = self.tasks.iter().find(|task| task.attempt == attempt).cloned() else { return Ok(()) };
                self.tasks.remove(&task);
                match self.open.get(&task.task_manager).copied() {
                    Some(link) => self.handle(Event::AttemptEnded { task_manager: task.task_manager, link, attempt }),
                    None => Ok(()),
                }
            }
            Step::Pass(milliseconds) => {
                self.now += milliseconds;
                self.handle(Event::Tick)
            }
        }
    }
}
