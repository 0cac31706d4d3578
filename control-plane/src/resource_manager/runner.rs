//! The runner of the ResourceManager.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_protocol::{JobId, TaskManagerId};
use weir_world::{MonotonicClock, wall_clock_ms};

use super::effect::Effect;
use super::event::Event;
use super::gateway::{Mail, REPORTS, Requests};
use super::{HeartbeatOptions, ResourceManager};
use crate::job_master::gateway::JobMasterGateway;
use crate::metrics;
use crate::rpc::links::TaskManagerLinks;

/// Runs the ResourceManager of one leadership until it is dropped.
pub(crate) async fn run(requests: Requests, links: TaskManagerLinks, heartbeat: HeartbeatOptions) {
    let clock = MonotonicClock::start();
    let core = ResourceManager::new(links.epoch(), heartbeat, clock.now());
    let mut runner = Runner { clock, core, links, job_masters: BTreeMap::new() };
    let tick_ms = (heartbeat.timeout_ms / 10).clamp(10, 1_000);
    let mut next_tick = clock.now().after(tick_ms);
    let Requests { letterbox, mut reports, view } = requests;
    loop {
        tokio::select! {
            () = letterbox.arrived() => {}
            Some(event) = reports.recv() => runner.handle(event),
            () = clock.sleep_until(next_tick) => {}
        }
        // Whatever woke it, what waits is processed: a storm of requests of JobMasters must not delay heartbeats. A tick comes
        // last, so that waiting heartbeats are processed before a TaskManager expires.
        if let Some(mail) = letterbox.take() {
            runner.take(mail);
        }
        for _ in 0..REPORTS {
            let Ok(event) = reports.try_recv() else { break };
            runner.handle(event);
        }
        if next_tick <= clock.now() {
            runner.handle(Event::Tick);
            next_tick = clock.now().after(tick_ms);
        }
        view.send_replace(Arc::new(runner.core.view(clock.now(), wall_clock_ms())));
    }
}

struct Runner {
    clock: MonotonicClock,
    core: ResourceManager,
    links: TaskManagerLinks,
    job_masters: BTreeMap<JobId, JobMasterGateway>,
}

impl Runner {
    fn take(&mut self, mail: Mail) {
        for job_master in mail.registered {
            let job = job_master.job();
            self.job_masters.insert(job, job_master);
            self.handle(Event::JobRegistered { job });
        }
        for (job, wishes) in mail.wishes {
            // A JobMaster is registered before it asks for slots. If there is none, the job has ended.
            if self.job_masters.contains_key(&job) {
                self.handle(Event::Wished { job, wishes });
            }
        }
        for job in mail.gone {
            self.job_masters.remove(&job);
            self.handle(Event::JobGone { job });
        }
    }

    fn handle(&mut self, event: Event) {
        if let Event::Register { registration, .. } = &event {
            let held = registration.attempts.len();
            tracing::info!(task_manager = %registration.task_manager, slots = registration.slots, held, "TaskManager registered");
        }
        for effect in self.core.handle(event, self.clock.now()) {
            self.perform(effect);
        }
    }

    fn perform(&self, effect: Effect) {
        match effect {
            Effect::Send { task_manager, order } => {
                // If the link is broken, its stream reports this.
                let _ = self.links.send(&task_manager, order);
            }
            Effect::BreakLink { task_manager, reason } => {
                tracing::warn!(%task_manager, reason, "breaking the link to a TaskManager");
                self.links.break_link(&task_manager, &reason);
            }
            Effect::StillClearing { task_manager, attempts } => tracing::warn!(
                %task_manager, attempts,
                "tasks that were canceled when the TaskManager registered still run; they are canceled again, and their slots can't be used until they stop. If they don't, restart that TaskManager"
            ),
            Effect::Grant { job, slots } => self.tell(job, |job_master| job_master.slots_granted(slots)),
            Effect::Shortage { job, missing, reason } => {
                tracing::info!(%job, missing, reason, "a job waits for slots");
                self.tell(job, |job_master| job_master.slot_shortage(missing, reason));
            }
            Effect::TaskManagerLost { job, task_manager, reason } => self.job_lost(job, task_manager, reason),
            Effect::MassSuspicion { registered } => {
                ::metrics::gauge!(metrics::MASS_SUSPICION).set(1.0);
                tracing::warn!(
                    registered,
                    "most TaskManagers became silent at once: suspecting the network rather than the TaskManagers"
                );
            }
            Effect::SuspicionOver => ::metrics::gauge!(metrics::MASS_SUSPICION).set(0.0),
        }
    }

    fn job_lost(&self, job: JobId, task_manager: TaskManagerId, reason: String) {
        // The JobMaster logs what follows from this for the job.
        tracing::debug!(%job, %task_manager, reason, "a job lost a TaskManager");
        ::metrics::counter!(metrics::TASK_MANAGERS_LOST_BY_JOBS).increment(1);
        self.tell(job, |job_master| job_master.task_manager_lost(task_manager, reason));
    }

    fn tell(&self, job: JobId, message: impl FnOnce(&JobMasterGateway)) {
        if let Some(job_master) = self.job_masters.get(&job) {
            message(job_master);
        }
    }
}
