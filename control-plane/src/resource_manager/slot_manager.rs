//! Decides deterministically which job gets which free slots.
//!
//! The oldest job is served first. A job gets all the slots it is missing or none, so that no slots are idle in jobs that can't
//! start. If an older job can't get enough slots, a younger job that needs fewer goes ahead. The slots of a job are spread evenly
//! over the TaskManagers.

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::{AllocationId, ExecutionAttemptId, JobId, LeaderEpoch, TaskManagerId};
use weir_world::flaw::{Flaw, is_planted};

use super::effect::Effect;
use super::effect::GrantedSlot;
use super::event::Wishes;

/// The slots of all TaskManagers and the claims of all jobs.
#[derive(Debug, Clone, Hash)]
pub(super) struct SlotManager {
    epoch: LeaderEpoch,
    allocations: u64,
    ages: u64,
    task_managers: BTreeMap<TaskManagerId, Vec<Slot>>,
    claims: BTreeMap<JobId, Claim>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Slot {
    /// No task runs here.
    Free,
    /// Attempts that were deployed here under an earlier leadership or link are being cancelled.
    Clearing(BTreeSet<ExecutionAttemptId>),
    Granted(JobId, AllocationId),
}

#[derive(Debug, Clone, Hash, Default)]
struct Claim {
    age: u64,
    wanted: u32,
    granted: BTreeMap<AllocationId, (TaskManagerId, u32)>,
    /// The shortage that the job was last told about, so that it is told once.
    told: Option<(u32, String)>,
}

impl Claim {
    fn missing(&self) -> u32 {
        self.wanted.saturating_sub(self.granted.len() as u32)
    }
}

impl SlotManager {
    pub(super) fn new(epoch: LeaderEpoch) -> Self {
        Self { epoch, allocations: 0, ages: 0, task_managers: BTreeMap::new(), claims: BTreeMap::new() }
    }

    pub(super) fn register_job(&mut self, job: JobId) {
        if !self.claims.contains_key(&job) {
            self.ages += 1;
            self.claims.insert(job, Claim { age: self.ages, ..Claim::default() });
        }
    }

    pub(super) fn remove_job(&mut self, job: JobId) {
        self.release_all(job);
        self.claims.remove(&job);
    }

    pub(super) fn apply(&mut self, job: JobId, wishes: Wishes) {
        self.register_job(job);
        if wishes.release_all {
            self.release_all(job);
        }
        for allocation in wishes.releases {
            self.release(job, allocation);
        }
        if let (Some(slots), Some(claim)) = (wishes.slots, self.claims.get_mut(&job)) {
            claim.wanted = slots;
            // After a new declaration, the job is told about a shortage again.
            claim.told = None;
        }
    }

    pub(super) fn add(&mut self, id: TaskManagerId, slots: u32, mut held: BTreeMap<u32, BTreeSet<ExecutionAttemptId>>) {
        let slots = (0..slots).map(|index| {
            let held = held.remove(&index).filter(|_| !is_planted(Flaw::SlotsNotCleared));
            held.map_or(Slot::Free, Slot::Clearing)
        });
        self.task_managers.insert(id, slots.collect());
    }

    /// Removes the slots of a TaskManager. Returns the jobs that had slots there.
    pub(super) fn remove(&mut self, id: &TaskManagerId) -> BTreeSet<JobId> {
        let mut jobs = BTreeSet::new();
        for slot in self.task_managers.remove(id).unwrap_or_default() {
            if let Slot::Granted(job, allocation) = slot
                && let Some(claim) = self.claims.get_mut(&job)
            {
                claim.granted.remove(&allocation);
                jobs.insert(job);
            }
        }
        jobs
    }

    /// Records that an attempt has ended. Returns whether this freed a slot.
    pub(super) fn cleared(&mut self, id: &TaskManagerId, attempt: &ExecutionAttemptId) -> bool {
        let mut freed = false;
        for slot in self.task_managers.get_mut(id).into_iter().flatten() {
            if let Slot::Clearing(attempts) = slot
                && attempts.remove(attempt)
                && attempts.is_empty()
            {
                *slot = Slot::Free;
                freed = true;
            }
        }
        freed
    }

    /// The attempts that must end before their slots on a TaskManager are free.
    pub(super) fn clearing_on(&self, id: &TaskManagerId) -> Vec<ExecutionAttemptId> {
        let attempts = |slot: &Slot| match slot {
            Slot::Clearing(attempts) => attempts.iter().copied().collect(),
            _ => Vec::new(),
        };
        self.task_managers.get(id).into_iter().flatten().flat_map(attempts).collect()
    }

    pub(super) fn free_on(&self, id: &TaskManagerId) -> u32 {
        self.task_managers.get(id).map_or(0, |slots| free(slots))
    }

    pub(super) fn granted_on(&self, id: &TaskManagerId) -> BTreeMap<JobId, u32> {
        let mut by_job = BTreeMap::new();
        for slot in self.task_managers.get(id).into_iter().flatten() {
            if let Slot::Granted(job, _) = slot {
                *by_job.entry(*job).or_default() += 1;
            }
        }
        by_job
    }

    /// Grants slots to the jobs that can get all they are missing, and tells the others about the shortage.
    pub(super) fn allocate(&mut self, address: &impl Fn(&TaskManagerId) -> String, effects: &mut Vec<Effect>) {
        let mut waiting: Vec<_> =
            self.claims.iter().filter(|(_, claim)| claim.missing() > 0).map(|(job, claim)| (claim.age, *job)).collect();
        waiting.sort_unstable();
        let mut free: u32 = self.task_managers.values().map(|slots| free(slots)).sum();
        let mut short = Vec::new();
        for (_, job) in waiting {
            let missing = self.claims.get(&job).map_or(0, Claim::missing);
            if missing > free {
                short.push((job, missing));
                continue;
            }
            free -= missing;
            let slots = (0..missing).filter_map(|_| self.grant_one(job, address)).collect();
            effects.push(Effect::Grant { job, slots });
        }
        if !short.is_empty() {
            self.tell_shortages(short, effects);
        }
    }

    fn tell_shortages(&mut self, short: Vec<(JobId, u32)>, effects: &mut Vec<Effect>) {
        let reason = self.describe();
        for (job, missing) in short {
            let Some(claim) = self.claims.get_mut(&job) else { continue };
            let told = Some((missing, reason.clone()));
            if claim.told != told {
                claim.told = told;
                effects.push(Effect::Shortage { job, missing, reason: reason.clone() });
            }
        }
    }

    /// Describes the state of the slots, for people.
    fn describe(&self) -> String {
        let slots = self.task_managers.values().flatten();
        let (mut total, mut free, mut clearing) = (0_u32, 0_u32, 0_u32);
        for slot in slots {
            total += 1;
            free += u32::from(*slot == Slot::Free);
            clearing += u32::from(matches!(slot, Slot::Clearing(_)));
        }
        match self.task_managers.len() {
            0 => "no TaskManager is registered".to_string(),
            count => {
                let plural = if count == 1 { "TaskManager" } else { "TaskManagers" };
                let clearing = if clearing > 0 { format!(", {clearing} being cleared") } else { String::new() };
                format!("{count} {plural} registered with {total} slots, {free} free{clearing}")
            }
        }
    }

    /// Grants the free slot that spreads the job most evenly. If there are several, it takes the one that spreads the load of the
    /// cluster most evenly.
    fn grant_one(&mut self, job: JobId, address: &impl Fn(&TaskManagerId) -> String) -> Option<GrantedSlot> {
        let candidates = self.task_managers.iter().filter(|(_, slots)| free(slots) > 0);
        let best = candidates.min_by_key(|(id, slots)| {
            let of_job = slots.iter().filter(|slot| matches!(slot, Slot::Granted(owner, _) if *owner == job)).count();
            let used = slots.len() - free(slots) as usize;
            (of_job, used * 1000 / slots.len(), *id)
        });
        let id = best?.0.clone();
        let slots = self.task_managers.get_mut(&id)?;
        let index = slots.iter().position(|slot| *slot == Slot::Free)?;
        self.allocations += 1;
        let allocation = AllocationId(u128::from(self.epoch.0) << 64 | u128::from(self.allocations));
        slots[index] = Slot::Granted(job, allocation);
        let claim = self.claims.get_mut(&job)?;
        claim.granted.insert(allocation, (id.clone(), index as u32));
        claim.told = None;
        Some(GrantedSlot { allocation, data_address: address(&id), task_manager: id, slot: index as u32 })
    }

    fn release_all(&mut self, job: JobId) {
        let granted = self.claims.get(&job).map(|claim| claim.granted.keys().copied().collect::<Vec<_>>());
        for allocation in granted.unwrap_or_default() {
            self.release(job, allocation);
        }
    }

    fn release(&mut self, job: JobId, allocation: AllocationId) {
        let Some((id, index)) = self.claims.get_mut(&job).and_then(|claim| claim.granted.remove(&allocation)) else { return };
        if let Some(slot) = self.task_managers.get_mut(&id).and_then(|slots| slots.get_mut(index as usize)) {
            *slot = Slot::Free;
        }
    }
}

fn free(slots: &[Slot]) -> u32 {
    slots.iter().filter(|slot| **slot == Slot::Free).count() as u32
}
