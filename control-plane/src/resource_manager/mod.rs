//! The ResourceManager knows the TaskManagers and grants their slots to jobs.
//!
//! Its state ends with the leadership. TaskManagers register again with the next leader and report the attempts that they hold.
//! A slot is granted only when no task runs in it. If a registering TaskManager still holds attempts, they are cancelled first,
//! and their slots stay unavailable until all of them are reported terminal.

pub mod effect;
pub mod event;
pub mod gateway;
mod heartbeat;
pub(crate) mod runner;
mod slot_manager;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::link::{Order, Registration};
use weir_protocol::{LeaderEpoch, TaskManagerId};
use weir_world::Millis;

use self::effect::Effect;
use self::event::Event;
use self::heartbeat::HeartbeatMonitor;
use self::slot_manager::SlotManager;
pub use self::view::{ResourcesView, TaskManagerView};
use crate::rpc::links::LinkId;

/// The heartbeat settings of TaskManagers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeartbeatOptions {
    /// Time between two heartbeats of a TaskManager, milliseconds.
    pub interval_ms: u64,
    /// A TaskManager without a heartbeat for this time is lost, milliseconds.
    pub timeout_ms: u64,
}

/// Interval at which a TaskManager is told again to cancel tasks of an earlier leadership or link, milliseconds.
const CLEARING_REMINDER_MS: u64 = 30_000;

/// The pure core of the ResourceManager.
#[derive(Debug, Clone, Hash)]
pub struct ResourceManager {
    heartbeat: HeartbeatOptions,
    heartbeats: HeartbeatMonitor<TaskManagerId>,
    /// TaskManagers that expired together with most others, and therefore have one more timeout.
    suspects: BTreeSet<TaskManagerId>,
    task_managers: BTreeMap<TaskManagerId, Registered>,
    slots: SlotManager,
    last_tick: Millis,
}

#[derive(Debug, Clone, Hash)]
struct Registered {
    link: LinkId,
    registration: Registration,
    /// When it is told again to cancel the tasks that it held when it registered.
    remind_at: Millis,
}

impl ResourceManager {
    /// Creates a ResourceManager without TaskManagers and jobs.
    pub fn new(epoch: LeaderEpoch, heartbeat: HeartbeatOptions, now: Millis) -> Self {
        Self {
            heartbeat,
            heartbeats: HeartbeatMonitor::new(heartbeat.timeout_ms),
            suspects: BTreeSet::new(),
            task_managers: BTreeMap::new(),
            slots: SlotManager::new(epoch),
            last_tick: now,
        }
    }

    /// Takes an event and returns what must be done, in this order.
    pub fn handle(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        let mut effects = Vec::new();
        match event {
            Event::Register { registration, link } => self.register(registration, link, now, &mut effects),
            Event::LinkLost { task_manager, link, reason } => {
                if self.is_current(&task_manager, link) {
                    self.lose(&task_manager, &reason, &mut effects);
                }
            }
            Event::Heartbeat { task_manager, link } => {
                if self.is_current(&task_manager, link) {
                    self.heartbeats.beat(&task_manager, now);
                    if self.suspects.remove(&task_manager) && self.suspects.is_empty() {
                        effects.push(Effect::SuspicionOver);
                    }
                    effects.push(Effect::Send { task_manager, order: Order::HeartbeatAck });
                }
                return effects;
            }
            Event::AttemptEnded { task_manager, link, attempt } => {
                if !self.is_current(&task_manager, link) || !self.slots.cleared(&task_manager, &attempt) {
                    return effects;
                }
            }
            Event::JobRegistered { job } => self.slots.register_job(job),
            Event::JobGone { job } => self.slots.remove_job(job),
            Event::Wished { job, wishes } => self.slots.apply(job, wishes),
            Event::Tick => self.tick(now, &mut effects),
        }
        let task_managers = &self.task_managers;
        let address =
            |id: &TaskManagerId| task_managers.get(id).map_or_else(String::new, |known| known.registration.data_address.clone());
        self.slots.allocate(&address, &mut effects);
        effects
    }

    /// The view of the TaskManagers. `wall_clock_ms` is milliseconds since 1970.
    pub fn view(&self, now: Millis, wall_clock_ms: u64) -> ResourcesView {
        let task_managers = self.task_managers.iter().map(|(id, registered)| TaskManagerView {
            id: id.clone(),
            data_address: registered.registration.data_address.clone(),
            http_address: registered.registration.http_address.clone(),
            memory_bytes: registered.registration.memory_bytes,
            slots: registered.registration.slots,
            free_slots: self.slots.free_on(id),
            slots_by_job: self.slots.granted_on(id),
            last_heartbeat_ms: wall_clock_ms.saturating_sub(self.heartbeats.last_heard(id).map_or(0, |heard| now.since(heard))),
        });
        ResourcesView { task_managers: task_managers.collect(), mass_suspicion: !self.suspects.is_empty() }
    }

    fn register(&mut self, registration: Registration, link: LinkId, now: Millis, effects: &mut Vec<Effect>) {
        let task_manager = registration.task_manager.clone();
        if self.task_managers.get(&task_manager).is_some_and(|known| known.link >= link) {
            return;
        }
        self.lose(&task_manager, "it registered again", effects);
        let mut held: BTreeMap<u32, BTreeSet<_>> = BTreeMap::new();
        for attempt in registration.attempts.iter().filter(|held| !held.state.is_terminal()) {
            held.entry(attempt.slot).or_default().insert(attempt.attempt);
        }
        effects.push(Effect::Send { task_manager: task_manager.clone(), order: Order::Registered });
        let cancel: Vec<_> = held.values().flatten().copied().collect();
        if !cancel.is_empty() {
            effects.push(Effect::Send { task_manager: task_manager.clone(), order: Order::Cancel(cancel) });
        }
        self.slots.add(task_manager.clone(), registration.slots, held);
        self.heartbeats.watch(task_manager.clone(), now);
        let remind_at = now.after(CLEARING_REMINDER_MS);
        self.task_managers.insert(task_manager, Registered { link, registration, remind_at });
    }

    /// Removes a TaskManager, if it is known, and tells the jobs that had slots there.
    fn lose(&mut self, task_manager: &TaskManagerId, reason: &str, effects: &mut Vec<Effect>) {
        if self.task_managers.remove(task_manager).is_none() {
            return;
        }
        self.heartbeats.forget(task_manager);
        if self.suspects.remove(task_manager) && self.suspects.is_empty() {
            effects.push(Effect::SuspicionOver);
        }
        for job in self.slots.remove(task_manager) {
            effects.push(Effect::TaskManagerLost { job, task_manager: task_manager.clone(), reason: reason.to_string() });
        }
    }

    fn tick(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        let stalled = now.since(self.last_tick) >= self.heartbeat.timeout_ms / 2;
        self.last_tick = now;
        if stalled {
            // This process was paused and could receive no heartbeats, so all timeouts start again (H1).
            self.heartbeats.reset(now);
            return;
        }
        let expiry = self.heartbeats.tick(now);
        for task_manager in expiry.expired {
            if expiry.mass_suspicion && !self.suspects.contains(&task_manager) {
                if self.suspects.is_empty() {
                    effects.push(Effect::MassSuspicion { registered: self.task_managers.len() as u32 });
                }
                self.heartbeats.watch(task_manager.clone(), now);
                self.suspects.insert(task_manager);
                continue;
            }
            let reason = format!("no heartbeat for {} ms", self.heartbeat.timeout_ms);
            effects.push(Effect::BreakLink { task_manager: task_manager.clone(), reason: reason.clone() });
            self.lose(&task_manager, &reason, effects);
        }
        self.remind(now, effects);
    }

    /// Repeats the cancel order for tasks whose slots are still being cleared. The order may have been lost on the TaskManager, and
    /// no JobMaster knows these tasks.
    fn remind(&mut self, now: Millis, effects: &mut Vec<Effect>) {
        for (task_manager, registered) in self.task_managers.iter_mut().filter(|(_, registered)| registered.remind_at <= now) {
            registered.remind_at = now.after(CLEARING_REMINDER_MS);
            let attempts = self.slots.clearing_on(task_manager);
            if !attempts.is_empty() {
                effects.push(Effect::StillClearing { task_manager: task_manager.clone(), attempts: attempts.len() });
                effects.push(Effect::Send { task_manager: task_manager.clone(), order: Order::Cancel(attempts) });
            }
        }
    }

    fn is_current(&self, task_manager: &TaskManagerId, link: LinkId) -> bool {
        self.task_managers.get(task_manager).is_some_and(|known| known.link == link)
    }
}
