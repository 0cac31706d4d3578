//! The TaskExecutor. It knows the leader and which slot holds which attempt, and decides what to tell each attempt. Pure.
//!
//! If the leader is silent, the TaskExecutor looks for a leader; it never fails the tasks. Orders carry the leader's epoch. An
//! epoch lower than the highest seen is refused (E4).

pub mod effect;
pub mod event;
pub mod gateway;
pub mod leader_watch;
pub mod link;
pub mod outbox;
pub mod runner;
pub mod search;

use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};
use std::time::Duration;

use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{
    CheckpointDecline, Deployment, HeldAttempt, LeaderAddress, Order, Registration, TaskDeployment, TaskFailure, TaskStateUpdate,
    ToJobManager, ToTaskManager,
};
use weir_protocol::{AllocationId, EpochFence, ExecutionAttemptId, TaskManagerId};
use weir_world::flaw::{Flaw, is_planted};
use weir_world::{Backoff, Millis};

use crate::task::control::TaskOrder;
use crate::task::report::{TaskReport, failure};
use effect::{Effect, TaskStart};
use event::{Event, LinkNumber};
use outbox::Outbox;

/// Waits between tries to reach a leader.
const BACKOFF: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));

/// The identity of this TaskManager and its heartbeat settings.
#[derive(Debug, Clone)]
pub struct Identity {
    /// Resource id and incarnation.
    pub task_manager: TaskManagerId,
    /// `host:port` of its data service.
    pub data_address: String,
    /// `host:port` of its HTTP service.
    pub http_address: String,
    /// Number of slots.
    pub slots: u32,
    /// Memory budget in bytes.
    pub memory_bytes: u64,
    /// Time between two heartbeats, in milliseconds.
    pub heartbeat_interval_ms: u64,
    /// A leader that is silent for this many milliseconds counts as lost.
    pub heartbeat_timeout_ms: u64,
    /// Varies the waits between tries, so that TaskManagers do not connect all at once.
    pub seed: u64,
}

/// The state of the link to the leader.
#[derive(Debug, Clone, PartialEq, Hash)]
enum Link {
    /// There is no link. The next try is not before `retry_at`.
    Searching {
        retry_at: Millis,
    },
    Connecting {
        link: LinkNumber,
        leader: LeaderAddress,
        since: Millis,
    },
    /// The registration was sent, but not answered yet.
    Registering {
        link: LinkNumber,
        leader: LeaderAddress,
        since: Millis,
    },
    /// The leader has accepted the registration.
    Registered {
        link: LinkNumber,
        leader: LeaderAddress,
        heard: Millis,
        next_heartbeat: Millis,
    },
}

impl Link {
    fn current(&self) -> Option<(LinkNumber, &LeaderAddress)> {
        match self {
            Self::Searching { .. } => None,
            Self::Connecting { link, leader, .. }
            | Self::Registering { link, leader, .. }
            | Self::Registered { link, leader, .. } => Some((*link, leader)),
        }
    }
}

/// An attempt that occupies a slot.
#[derive(Debug, Clone, Copy, Hash)]
struct Held {
    slot: u32,
    allocation: AllocationId,
    state: ExecutionState,
    input_ended: bool,
}

/// The state machine of the TaskExecutor.
#[derive(Debug, Clone)]
pub struct TaskExecutor {
    identity: Identity,
    fence: EpochFence,
    link: Link,
    links: u64,
    failures_in_a_row: u32,
    jitter: u64,
    best_leader: Option<LeaderAddress>,
    /// The stale leader that was logged last.
    refused_leader: Option<LeaderAddress>,
    held: BTreeMap<ExecutionAttemptId, Held>,
    outbox: Outbox,
}

impl Hash for TaskExecutor {
    /// Hashes everything except the identity, which never changes, and what was logged.
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { identity: _, fence, link, links, failures_in_a_row, jitter, best_leader, refused_leader: _, held, outbox } =
            self;
        (fence, link, links, failures_in_a_row, jitter, best_leader, held, outbox).hash(state);
    }
}

impl TaskExecutor {
    /// A TaskExecutor that holds no attempt and knows no leader.
    pub fn new(identity: Identity) -> Self {
        let jitter = identity.seed | 1;
        Self {
            identity,
            fence: EpochFence::default(),
            link: Link::Searching { retry_at: Millis(0) },
            links: 0,
            failures_in_a_row: 0,
            jitter,
            best_leader: None,
            refused_leader: None,
            held: BTreeMap::new(),
            outbox: Outbox::default(),
        }
    }

    /// The leader that has accepted this TaskManager, if any.
    pub fn registered_with(&self) -> Option<&LeaderAddress> {
        match &self.link {
            Link::Registered { leader, .. } => Some(leader),
            _ => None,
        }
    }

    /// Number of attempts that occupy slots.
    pub fn tasks(&self) -> usize {
        self.held.len()
    }

    /// Handles an event and returns the effects to carry out.
    pub fn handle(&mut self, event: Event, now: Millis) -> Vec<Effect> {
        match event {
            Event::LeaderSeen(leader) => self.leader_seen(leader, now),
            Event::LinkUp(link) => self.link_up(link, now),
            Event::LinkLost { link, reason } => self.link_lost(link, reason, now),
            Event::FromLeader { link, message } => self.on_order(link, message, now),
            Event::FromTask(report) => self.on_report(report),
            Event::Tick => self.tick(now),
            Event::Stop => self.held.keys().map(|attempt| Effect::Cancel(*attempt)).collect(),
        }
    }

    fn leader_seen(&mut self, leader: LeaderAddress, now: Millis) -> Vec<Effect> {
        let stale = self.best_leader.as_ref().is_some_and(|best| best.epoch > leader.epoch || *best == leader);
        if leader.epoch < self.fence.highest() {
            self.report_refused(leader);
            return Vec::new();
        }
        if stale {
            return Vec::new();
        }
        let superseded = self.link.current().is_some_and(|(_, current)| *current != leader);
        self.best_leader = Some(leader);
        self.failures_in_a_row = 0;
        let mut effects = Vec::new();
        if superseded {
            if self.registered_with().is_some() {
                effects.push(Effect::LeaderLost("a newer leader was published".into()));
            }
            effects.push(Effect::Disconnect);
            self.link = Link::Searching { retry_at: now };
        }
        if matches!(self.link, Link::Searching { .. }) {
            effects.extend(self.connect(now));
        }
        effects
    }

    /// Logs once that a leader is refused. An operator must see it: if its store was put back from a backup, it will never lead
    /// these tasks.
    fn report_refused(&mut self, leader: LeaderAddress) {
        if self.refused_leader.as_ref() == Some(&leader) || self.best_leader.as_ref() == Some(&leader) {
            return;
        }
        let (name, epoch, seen) = (&leader.name, leader.epoch, self.fence.highest());
        tracing::warn!(
            name, %epoch, %seen,
            "TM-STALE-LEADER: a leader is refused, because this TaskManager has obeyed one under a higher epoch. A former leader soon \
             learns of its successor. If this one stays, its coordination store was put back from a backup: see weir ha accept-restore"
        );
        self.refused_leader = Some(leader);
    }

    fn connect(&mut self, now: Millis) -> Option<Effect> {
        let leader = self.best_leader.clone().filter(|leader| leader.epoch >= self.fence.highest())?;
        self.links += 1;
        let link = LinkNumber(self.links);
        self.link = Link::Connecting { link, leader: leader.clone(), since: now };
        Some(Effect::Connect { link, leader })
    }

    fn link_up(&mut self, number: LinkNumber, now: Millis) -> Vec<Effect> {
        match &self.link {
            Link::Connecting { link, leader, .. } if *link == number => {
                self.link = Link::Registering { link: number, leader: leader.clone(), since: now };
                vec![Effect::Send(ToJobManager::Register(self.registration()))]
            }
            _ => Vec::new(),
        }
    }

    fn registration(&self) -> Registration {
        let told = self.held.iter().filter(|_| !is_planted(Flaw::HeldUntold));
        let attempts = told.map(|(attempt, held)| HeldAttempt {
            attempt: *attempt,
            state: held.state,
            slot: held.slot,
            allocation: held.allocation,
        });
        Registration {
            task_manager: self.identity.task_manager.clone(),
            highest_epoch: self.fence.highest(),
            data_address: self.identity.data_address.clone(),
            http_address: self.identity.http_address.clone(),
            slots: self.identity.slots,
            memory_bytes: self.identity.memory_bytes,
            attempts: attempts.collect(),
        }
    }

    fn link_lost(&mut self, number: LinkNumber, reason: String, now: Millis) -> Vec<Effect> {
        if self.link.current().is_none_or(|(link, _)| link != number) {
            return Vec::new();
        }
        let mut effects = Vec::new();
        let retry_at = if self.registered_with().is_some() {
            // This leader had accepted the TaskManager, so most likely a new leader will follow soon. Look for it at once.
            effects.push(Effect::LeaderLost(reason));
            self.failures_in_a_row = 0;
            now.after(self.varied(BACKOFF.after(1)))
        } else {
            self.failures_in_a_row += 1;
            now.after(self.varied(BACKOFF.after(self.failures_in_a_row)))
        };
        self.link = Link::Searching { retry_at };
        effects.push(Effect::Disconnect);
        effects
    }

    /// Milliseconds of a wait, cut at random to between half and all of it (xorshift).
    fn varied(&mut self, wait: Duration) -> u64 {
        let milliseconds = wait.as_millis() as u64;
        self.jitter ^= self.jitter << 13;
        self.jitter ^= self.jitter >> 7;
        self.jitter ^= self.jitter << 17;
        milliseconds / 2 + self.jitter % (milliseconds / 2 + 1)
    }

    fn tick(&mut self, now: Millis) -> Vec<Effect> {
        let timeout = self.identity.heartbeat_timeout_ms;
        match &mut self.link {
            Link::Searching { retry_at } => {
                if now >= *retry_at && !(is_planted(Flaw::NeverReconnects) && self.links > 0) {
                    return self.connect(now).into_iter().collect();
                }
            }
            Link::Connecting { link, since, .. } | Link::Registering { link, since, .. } => {
                let link = *link;
                if now.since(*since) >= timeout {
                    return self.link_lost(link, format!("no answer to the registration for {timeout} ms"), now);
                }
            }
            Link::Registered { link, heard, next_heartbeat, .. } => {
                let link = *link;
                if now.since(*heard) >= timeout {
                    return self.link_lost(link, format!("the leader was silent for {timeout} ms"), now);
                }
                if now >= *next_heartbeat {
                    *next_heartbeat = now.after(self.identity.heartbeat_interval_ms);
                    return vec![Effect::SendHeartbeat];
                }
            }
        }
        Vec::new()
    }

    fn on_order(&mut self, number: LinkNumber, message: ToTaskManager, now: Millis) -> Vec<Effect> {
        if self.link.current().is_none_or(|(link, _)| link != number) {
            return Vec::new();
        }
        if let Err(stale) = self.fence.admit(message.epoch)
            && !is_planted(Flaw::StaleOrderObeyed)
        {
            return vec![Effect::CountStale(stale)];
        }
        if let Link::Registered { heard, .. } = &mut self.link {
            *heard = now;
        }
        match message.order {
            Order::Registered => self.registered(now),
            Order::HeartbeatAck => Vec::new(),
            Order::Deploy(deployment) => self.deploy(deployment),
            Order::Cancel(attempts) => attempts.into_iter().flat_map(|attempt| self.cancel(attempt)).collect(),
            Order::TriggerCheckpoint { attempts, barrier } => attempts
                .into_iter()
                .map(|attempt| {
                    if self.held.contains_key(&attempt) {
                        return Effect::Tell { attempt, order: TaskOrder::Trigger(barrier) };
                    }
                    let reason = "the attempt is not on this TaskManager".to_owned();
                    Effect::Send(ToJobManager::Decline(CheckpointDecline { attempt, checkpoint: barrier.id, reason }))
                })
                .collect(),
            Order::NotifyCheckpointComplete { .. } if is_planted(Flaw::LostCompletion) => Vec::new(),
            Order::NotifyCheckpointComplete { attempts, checkpoint, last, .. } => {
                self.tell(&attempts, TaskOrder::Complete { checkpoint, last })
            }
            Order::NotifyCheckpointAborted { attempts, checkpoint, .. } => self.tell(&attempts, TaskOrder::Aborted(checkpoint)),
        }
    }

    fn tell(&self, attempts: &[ExecutionAttemptId], order: TaskOrder) -> Vec<Effect> {
        let held = attempts.iter().filter(|attempt| self.held.contains_key(attempt));
        held.map(|attempt| Effect::Tell { attempt: *attempt, order }).collect()
    }

    fn registered(&mut self, now: Millis) -> Vec<Effect> {
        let Some((link, leader)) = self.link.current() else { return Vec::new() };
        let leader = leader.clone();
        self.failures_in_a_row = 0;
        let next_heartbeat = now.after(self.identity.heartbeat_interval_ms);
        self.link = Link::Registered { link, leader: leader.clone(), heard: now, next_heartbeat };
        let mut effects = vec![Effect::Registered(leader), Effect::SendHeartbeat];
        // The registration named the held attempts. Messages about other attempts are dropped, except how those ended.
        let relevant = |message: &ToJobManager| match message {
            ToJobManager::Acknowledge(acknowledgement) => self.held.contains_key(&acknowledgement.attempt),
            ToJobManager::Decline(decline) => self.held.contains_key(&decline.attempt),
            _ => true,
        };
        let kept: Vec<_> = self.outbox.take().filter(relevant).collect();
        effects.extend(kept.into_iter().map(Effect::Send));
        let ended = self.held.iter().filter(|(_, held)| held.input_ended);
        effects.extend(ended.map(|(attempt, _)| Effect::Send(ToJobManager::InputEnded(*attempt))));
        effects
    }

    fn deploy(&mut self, deployment: Deployment) -> Vec<Effect> {
        let Deployment { job_name, max_parallelism, checkpoint_dir, restore_checkpoint, tasks, .. } = deployment;
        let mut effects = Vec::new();
        for task in tasks {
            let attempt = task.attempt;
            // A repeated order changes nothing.
            if self.held.contains_key(&attempt) {
                continue;
            }
            if let Some(refusal) = self.refusal(&task) {
                effects.push(state_change(attempt, ExecutionState::Failed, Some(refusal)));
                continue;
            }
            let state = ExecutionState::Initializing;
            self.held.insert(attempt, Held { slot: task.slot, allocation: task.allocation, state, input_ended: false });
            effects.push(state_change(attempt, state, None));
            effects.push(Effect::Deploy(Box::new(TaskStart {
                task,
                job_name: job_name.clone(),
                max_parallelism,
                checkpoint_dir: checkpoint_dir.clone(),
                restore_checkpoint,
            })));
        }
        effects
    }

    /// Why a task can't get its slot, if it can't.
    fn refusal(&self, task: &TaskDeployment) -> Option<TaskFailure> {
        if task.slot >= self.identity.slots {
            let message = format!("slot {} was ordered, but this TaskManager has {} slots", task.slot, self.identity.slots);
            return Some(failure("TM-NO-SUCH-SLOT", message, true));
        }
        let (vertex, job) = (task.attempt.execution_vertex, task.attempt.job);
        let taken_by = self.held.iter().find(|(attempt, held)| {
            held.slot == task.slot
                && !is_planted(Flaw::RefusesNoSlot)
                && (held.allocation != task.allocation || attempt.job != job || attempt.execution_vertex == vertex)
        });
        taken_by.map(|(attempt, held)| {
            let message = format!("slot {} is still held by {attempt} ({})", held.slot, held.state.as_str());
            failure("TM-SLOT-TAKEN", message, true)
        })
    }

    fn cancel(&mut self, attempt: ExecutionAttemptId) -> Vec<Effect> {
        match self.held.get_mut(&attempt) {
            None => vec![state_change(attempt, ExecutionState::Canceled, None)],
            Some(held) if held.state == ExecutionState::Canceling => Vec::new(),
            Some(held) => {
                held.state = ExecutionState::Canceling;
                vec![Effect::Cancel(attempt)]
            }
        }
    }

    fn on_report(&mut self, report: TaskReport) -> Vec<Effect> {
        let attempt = match &report {
            TaskReport::State(update) => update.attempt,
            TaskReport::InputEnded(attempt) => *attempt,
            TaskReport::Acknowledged(acknowledgement) => acknowledgement.attempt,
            TaskReport::Declined(decline) => decline.attempt,
        };
        let Some(held) = self.held.get_mut(&attempt) else { return Vec::new() };
        let mut effects = Vec::new();
        let message = match report {
            TaskReport::State(update) => {
                if update.state.is_terminal() {
                    self.held.remove(&attempt);
                    effects.push(Effect::Forget(attempt));
                } else if held.state == ExecutionState::Canceling {
                    return effects;
                } else {
                    held.state = update.state;
                }
                ToJobManager::TaskState(update)
            }
            TaskReport::InputEnded(attempt) => {
                held.input_ended = true;
                ToJobManager::InputEnded(attempt)
            }
            TaskReport::Acknowledged(acknowledgement) => ToJobManager::Acknowledge(acknowledgement),
            TaskReport::Declined(decline) => ToJobManager::Decline(decline),
        };
        if self.registered_with().is_some() {
            effects.push(Effect::Send(message));
        } else if !matches!(message, ToJobManager::InputEnded(_)) && !is_planted(Flaw::EndsUntold) && self.outbox.keep(message) {
            effects.push(Effect::CountDropped);
        }
        effects
    }
}

fn state_change(attempt: ExecutionAttemptId, state: ExecutionState, failure: Option<TaskFailure>) -> Effect {
    Effect::Send(ToJobManager::TaskState(TaskStateUpdate { attempt, state, failure, counters: None }))
}

#[cfg(test)]
mod tests;
