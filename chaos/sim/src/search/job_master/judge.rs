//! What a JobMaster must never do, and what it must never forget.

use weir_control_plane::checkpoint::effect::{SavepointOutcome, StoreCall};
use weir_control_plane::job_master::effect::JobMasterEffect;
use weir_protocol::ExecutionAttemptId;
use weir_protocol::job_status::JobStatus;
use weir_protocol::link::{Deployment, Order};

use super::Job;
use super::cluster::{Command, Mail, number_of};
use crate::search::require;

impl Job {
    /// Judges an effect of the JobMaster, and carries it out.
    pub(super) fn perform(&mut self, effect: JobMasterEffect) -> Result<(), String> {
        require(!self.over, "R1: a JobMaster acts after its job has ended")?;
        match effect {
            JobMasterEffect::ReadNewestCheckpoint { question } => {
                self.store.ask(question);
                Ok(())
            }
            JobMasterEffect::DeclareRequirements { slots } => {
                let unused = self.live.is_empty() || slots > 0;
                if slots == 0 {
                    self.held.clear();
                }
                self.slots.wish(slots);
                require(unused, "S3: slots are given back while tasks run in them")
            }
            JobMasterEffect::ReleaseSlot { allocation } => {
                self.slots.release(allocation);
                require(self.held.remove(&allocation).is_some(), "S1: a slot is given back that the job does not hold")?;
                let used = self.task_managers.iter().any(|one| one.holds(allocation));
                require(!used, "S3: a slot is given back while a task runs in it")
            }
            JobMasterEffect::Send { task_manager, order } => self.send(number_of(&task_manager), order),
            JobMasterEffect::Disconnect { task_manager, .. } => {
                let number = number_of(&task_manager);
                self.lose(number, false);
                self.unreached.push(number);
                Ok(())
            }
            JobMasterEffect::Checkpoint(StoreCall::ReserveIds { .. }) => self.store.reserve(),
            JobMasterEffect::Checkpoint(StoreCall::WriteMetadata { metadata, .. }) => {
                require(metadata.subtasks.len() == self.subtasks, "C1: a subtask is missing from the metadata")?;
                self.store.write(*metadata)
            }
            JobMasterEffect::Checkpoint(StoreCall::AppendPointer { pointer, subsumed }) => self.store.append(*pointer, subsumed),
            JobMasterEffect::Checkpoint(StoreCall::CollectGarbage { .. }) => Ok(()),
            JobMasterEffect::Answer { request, outcome } => self.answer(request, &outcome),
            JobMasterEffect::End(ended) => self.end(ended.status),
            JobMasterEffect::StopSuperseded => {
                self.over = true;
                Ok(())
            }
        }
    }

    fn answer(&mut self, request: u64, outcome: &SavepointOutcome) -> Result<(), String> {
        let Some(answered) = self.asked.get_mut(request as usize - 1) else {
            return Err("a request is answered that was never made".to_owned());
        };
        require(!std::mem::replace(answered, true), "a request is answered twice")?;
        match outcome {
            SavepointOutcome::Completed { checkpoint, .. } => {
                require(self.store.was_appended(*checkpoint), "C3: a checkpoint is called complete before its pointer is durable")
            }
            SavepointOutcome::Failed { .. } => Ok(()),
        }
    }

    fn end(&mut self, status: JobStatus) -> Result<(), String> {
        self.over = true;
        require(self.live.is_empty(), "a job has ended while its tasks run")?;
        require(!self.store.is_appending(), "C6: a job has ended while the outcome of its newest checkpoint is unknown")?;
        require(self.asked.iter().all(|answered| *answered), "S4: a request is never answered")?;
        let finished = status != JobStatus::Finished || self.store.ends_with_a_last_one();
        require(finished, "T1: a job has finished without a last checkpoint")
    }

    fn send(&mut self, number: usize, order: Order) -> Result<(), String> {
        let command = match order {
            Order::Deploy(deployment) => self.deploy(number, &deployment)?,
            Order::Cancel(attempts) => Command::Cancel(attempts),
            Order::TriggerCheckpoint { attempts, barrier } => {
                let runs = |attempt: &ExecutionAttemptId| self.ran.contains(attempt);
                let all = self.newest.len() == self.subtasks && self.newest.values().all(runs);
                require(all, "B4: a checkpoint is triggered while not all tasks run")?;
                let newest = attempts.iter().all(|attempt| self.newest.get(&attempt.execution_vertex) == Some(attempt));
                require(newest, "B4: a former attempt takes part in a checkpoint")?;
                Command::Trigger(attempts, barrier.id)
            }
            Order::NotifyCheckpointComplete { attempts, checkpoint, last, .. } => {
                require(
                    self.store.was_appended(checkpoint),
                    "C3: a checkpoint is called complete before its pointer is durable",
                )?;
                require(!last || self.store.ends_with_a_last_one(), "tasks finish after a checkpoint that is not the last")?;
                Command::Complete(attempts, last)
            }
            Order::NotifyCheckpointAborted { attempts, checkpoint, .. } => {
                require(!self.store.was_appended(checkpoint), "C3: a checkpoint is called aborted, but its pointer exists")?;
                Command::Aborted(attempts, checkpoint)
            }
            Order::Registered | Order::HeartbeatAck => {
                return Err("a JobMaster sends an order that only the ResourceManager may send".to_owned());
            }
        };
        if self.task_managers[number].linked {
            self.task_managers[number].orders.push_back(command);
        } else {
            self.unreached.push(number);
        }
        Ok(())
    }

    fn deploy(&mut self, number: usize, deployment: &Deployment) -> Result<Command, String> {
        require(!self.canceled, "R1: a canceled job is deployed")?;
        require(deployment.restore_checkpoint == self.store.newest(), "C6: the restored checkpoint is not the newest one")?;
        let mut tasks = Vec::new();
        for task in &deployment.tasks {
            let (attempt, subtask) = (task.attempt, task.attempt.execution_vertex);
            let lives = self.live.keys().any(|other| other.execution_vertex == subtask);
            require(!lives, "F2: a subtask is deployed while its former attempt may still run")?;
            require(
                self.held.get(&task.allocation) == Some(&number),
                "S1: a task is deployed into a slot that the job does not hold",
            )?;
            let former = self.newest.insert(subtask, attempt);
            require(former.is_none_or(|former| former.generation < attempt.generation), "F2: a generation does not increase")?;
            require(attempt.generation.epoch.0 == self.epoch, "E4: a task is deployed under another epoch")?;
            self.live.insert(attempt, number);
            tasks.push((attempt, task.slot, task.allocation));
        }
        Ok(Command::Deploy(tasks))
    }

    /// Checks that everything that the JobMaster waits for will arrive, and that every running task will be stopped some day
    /// (S4).
    pub(super) fn nothing_is_lost(&self) -> Result<(), String> {
        if self.over {
            return Ok(());
        }
        let wakes = self.core.next_deadline().is_some();
        require(wakes || self.onward().is_some(), "S4: the JobMaster waits for something that will never arrive")?;
        for (attempt, number) in &self.live {
            let one = &self.task_managers[*number];
            let told = self.mail.iter().any(|mail| mail.tells_the_end_of(attempt, *number));
            let will =
                one.tasks.contains_key(attempt) || one.mentions(attempt) || one.outbox.iter().any(|report| report.ends(attempt));
            // If an overrun dropped the report, the JobMaster cancels the task again at a deadline, and so gets another report.
            let reminded = wakes && self.overrun;
            require(told || will || reminded, "S4: the JobMaster is never told how a task ended")?;
        }
        for (number, one) in self.task_managers.iter().enumerate().filter(|(_, one)| one.linked) {
            let lost = self.mail.iter().any(|mail| matches!(mail, Mail::Lost(lost) if *lost == number));
            let orphan = |attempt: &ExecutionAttemptId| !self.live.contains_key(attempt) && !one.will_end(attempt) && !lost;
            require(!one.tasks.keys().any(orphan), "S4: a task runs that will never be stopped")?;
        }
        Ok(())
    }
}
