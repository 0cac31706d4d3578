//! What a TaskExecutor must never do, and what it must never forget.

use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointKind};
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{Order, Registration, TaskDeployment, ToJobManager, ToTaskManager};
use weir_protocol::{CheckpointId, ExecutionAttemptId, LeaderEpoch};
use weir_worker::task_executor::effect::Effect;
use weir_worker::task_executor::event::{Event, LinkNumber};
use weir_world::Millis;

use super::{Command, Executor, JOB, SLOTS, Sent, Task, attempt, deployment};
use crate::search::require;

impl Executor {
    pub(super) fn handle(&mut self, event: Event) -> Result<(), String> {
        self.sent.clear();
        self.connected = false;
        let effects = self.core.handle(event, Millis(self.now));
        effects.into_iter().try_for_each(|effect| self.perform(effect))
    }

    fn perform(&mut self, effect: Effect) -> Result<(), String> {
        let counted = matches!(effect, Effect::CountStale(_));
        require(counted || !self.stale, "E4: an order of a former leader, or over a former link, has an effect")?;
        match effect {
            Effect::Connect { link, leader } => {
                require(
                    leader.epoch.0 >= self.obeyed,
                    "E4: the TaskExecutor connects to a leader of a lower epoch than it has obeyed",
                )?;
                require(self.links.insert(link.0, leader.epoch.0).is_none(), "the number of a link is used twice")?;
                (self.open, self.up, self.registered) = (Some(link.0), false, false);
                (self.connected, self.heard) = (true, self.now);
            }
            Effect::Disconnect => (self.open, self.registered) = (None, false),
            Effect::Send(message) => self.send(message)?,
            Effect::SendHeartbeat => {
                require(self.registered, "a heartbeat is sent without a leader")?;
                self.sent.push(Sent::Heartbeat);
            }
            Effect::Deploy(start) => {
                let TaskDeployment { attempt, slot, allocation, .. } = start.task;
                require(slot < SLOTS, "a task is deployed into a slot that does not exist")?;
                let same_slot = |task: &&Task| task.slot == slot;
                let foreign = self.tasks.values().filter(same_slot).any(|task| task.allocation != allocation);
                require(!foreign, "S1: a slot holds tasks of two grants")?;
                let subtask = |other: &ExecutionAttemptId| other.execution_vertex == attempt.execution_vertex;
                let twice = self.tasks.iter().any(|(other, task)| subtask(other) && task.slot == slot);
                require(!twice, "F2: two attempts of a subtask share a slot")?;
                let task = Task { slot, allocation, running: false, canceling: false, input_ended: false };
                require(self.tasks.insert(attempt, task).is_none(), "a task is started twice")?;
            }
            Effect::Cancel(attempt) => match self.tasks.get_mut(&attempt) {
                Some(task) => task.canceling = true,
                None => return Err("a task is canceled that does not exist".to_owned()),
            },
            Effect::Tell { attempt, .. } => {
                require(self.tasks.contains_key(&attempt), "a task is told something, but does not exist")?;
            }
            Effect::Forget(attempt) => require(!self.tasks.contains_key(&attempt), "a running task is forgotten")?,
            Effect::CountStale(_) => require(self.stale, "an order of the present leader is refused")?,
            Effect::Registered(_) => self.registered = true,
            Effect::LeaderLost(_) => {}
            Effect::CountDropped => return Err("a message is dropped".to_owned()),
        }
        Ok(())
    }

    fn send(&mut self, message: ToJobManager) -> Result<(), String> {
        require(self.open.is_some(), "a message is sent without a link")?;
        let sent = match message {
            ToJobManager::Register(registration) => {
                self.judge(&registration)?;
                Sent::Register
            }
            ToJobManager::Heartbeat(_) => return Ok(()),
            ToJobManager::TaskState(update) => {
                self.untold.remove(&update.attempt);
                Sent::State(update.attempt, update.state)
            }
            ToJobManager::Acknowledge(acknowledgement) => Sent::Acknowledge(acknowledgement.attempt),
            ToJobManager::Decline(decline) => Sent::Decline(decline.attempt),
            ToJobManager::InputEnded(attempt) => Sent::InputEnded(attempt),
        };
        self.sent.push(sent);
        Ok(())
    }

    /// Checks that a registration reports exactly the tasks that the TaskManager holds.
    fn judge(&self, registration: &Registration) -> Result<(), String> {
        require(registration.highest_epoch.0 == self.obeyed, "E4: a registration does not name the highest epoch seen")?;
        let held = registration.attempts.iter().map(|held| (held.attempt, held.slot, held.allocation));
        let real = self.tasks.iter().map(|(attempt, task)| (*attempt, task.slot, task.allocation));
        require(held.eq(real), "S3: a registration does not report exactly the tasks that are held")
    }

    /// A leader sends an order.
    pub(super) fn ordered(&mut self, link: u64, epoch: u64, command: &Command) -> Result<(), String> {
        let current = self.open == Some(link);
        self.stale = !current || epoch < self.obeyed;
        if !self.stale {
            (self.obeyed, self.heard) = (epoch, self.now);
        }
        let attempts = |attempt: &ExecutionAttemptId| vec![*attempt];
        let checkpoint = CheckpointId(1);
        let order = match command {
            Command::Registered => Order::Registered,
            Command::Deploy(subtask, slot) => {
                self.deployed += 1;
                Order::Deploy(deployment(attempt(epoch, self.deployed, *subtask), *slot))
            }
            Command::Again(attempt) => {
                let slot = self.tasks.get(attempt).map_or(0, |task| task.slot);
                Order::Deploy(deployment(*attempt, slot))
            }
            Command::Cancel(attempt) => Order::Cancel(attempts(attempt)),
            Command::Trigger(attempt) => {
                let barrier = CheckpointBarrier { id: checkpoint, kind: CheckpointKind::Checkpoint, timestamp_ms: 0 };
                Order::TriggerCheckpoint { attempts: attempts(attempt), barrier }
            }
            Command::Complete(attempt) => {
                Order::NotifyCheckpointComplete { job: JOB, attempts: attempts(attempt), checkpoint, last: false }
            }
        };
        let there = |attempt: &ExecutionAttemptId| self.tasks.contains_key(attempt);
        let expected = match command {
            Command::Cancel(attempt) if !there(attempt) => Some(Sent::State(*attempt, ExecutionState::Canceled)),
            Command::Trigger(attempt) if !there(attempt) => Some(Sent::Decline(*attempt)),
            _ => None,
        };
        let stopping = if let Command::Cancel(attempt) = command { Some(*attempt).filter(there) } else { None };
        let message = ToTaskManager { epoch: LeaderEpoch(epoch), order };
        self.handle(Event::FromLeader { link: LinkNumber(link), message })?;
        if std::mem::take(&mut self.stale) {
            return Ok(());
        }
        require(
            expected.is_none_or(|expected| self.sent.contains(&expected)),
            "S4: an order about a task that does not exist is not answered",
        )?;
        let canceled = |attempt: &ExecutionAttemptId| self.tasks.get(attempt).is_some_and(|task| task.canceling);
        require(stopping.as_ref().is_none_or(canceled), "a task is not told that it is to stop")?;
        if *command == Command::Registered {
            require(self.registered, "a leader's acceptance is ignored")?;
            require(self.untold.is_empty(), "S4: a new leader is not told how a task ended")?;
            let ended = self.tasks.iter().filter(|(_, task)| task.input_ended);
            let told = ended.clone().all(|(attempt, _)| self.sent.contains(&Sent::InputEnded(*attempt)));
            require(told, "a new leader is not told that a task's input has ended")?;
        }
        Ok(())
    }
}
