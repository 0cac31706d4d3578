//! How a JobMaster handles failures and restarts, cancels tasks, and ends the job.

use std::collections::BTreeSet;

use weir_protocol::TaskManagerId;
use weir_protocol::job_status::{ExecutionState, JobStatus};
use weir_protocol::link::Order;
use weir_world::Millis;
use weir_world::flaw::{Flaw, is_planted};

use super::effect::{JobEnded, JobMasterEffect};
use super::execution_graph::Place;
use super::failover::restart_strategy::RestartDecision;
use super::view::ExceptionView;
use super::{Cancellation, JobMaster, Stage};
use crate::checkpoint::event::CheckpointEvent;

/// A failure after which the job must restart or end.
#[derive(Debug, Clone)]
pub(super) struct Failure {
    /// A stable code.
    pub(super) code: String,
    /// What happened, and what to try.
    pub(super) message: String,
    /// Whether a restart can help.
    pub(super) retryable: bool,
    /// The task that failed, if it was a task.
    pub(super) task: Option<Place>,
    /// The TaskManager on which it happened.
    pub(super) task_manager: Option<TaskManagerId>,
}

impl Failure {
    fn of_job(code: &str, message: String) -> Self {
        Self { code: code.to_string(), message, retryable: true, task: None, task_manager: None }
    }
}

impl JobMaster {
    /// A TaskManager is lost, and with it its slots and all tasks in them.
    pub(super) fn task_manager_lost(
        &mut self,
        task_manager: &TaskManagerId,
        reason: &str,
        now: Millis,
        out: &mut Vec<JobMasterEffect>,
    ) {
        let slots = if is_planted(Flaw::LostSlotsKept) { 0 } else { self.pool.lose(task_manager) };
        let lost = self.graph.live_on(task_manager);
        // The TaskManager may already have reconnected and received a deployment over the new link, which it did not report when
        // it registered. Cancel its tasks here, because nothing else would ever stop them.
        let attempts = lost.iter().filter_map(|place| self.graph.execution(*place)).map(|execution| execution.attempt);
        if !is_planted(Flaw::LostNotCanceled) {
            self.send_grouped(attempts.collect(), out, Order::Cancel);
        }
        for place in &lost {
            self.set_execution_state(*place, ExecutionState::Failed, now);
        }
        if slots > 0 && !matches!(self.stage, Stage::Ending { .. } | Stage::Ended) {
            self.declare(out);
        }
        if !lost.is_empty() {
            let mut failure = Failure::of_job("TM-LOST", format!("TaskManager {task_manager} is lost: {reason}"));
            failure.task_manager = Some(task_manager.clone());
            self.fail(&lost, failure, now, out);
        }
    }

    /// Messages were dropped: everything restarts, and all slots are requested again.
    pub(super) fn messages_lost(&mut self, now: Millis, out: &mut Vec<JobMasterEffect>) {
        if matches!(self.stage, Stage::Ending { .. }) {
            return;
        }
        self.slots_uncertain = true;
        if self.graph.nothing_lives() {
            self.declare(out);
            return;
        }
        let everything = self.graph.places().collect();
        let message = "the JobMaster was overrun by messages and dropped some of them";
        self.fail(&everything, Failure::of_job("JOB-OVERRUN", message.to_string()), now, out);
    }

    /// Too many checkpoints failed in a row.
    pub(super) fn checkpoints_failed(&mut self, message: String, now: Millis, out: &mut Vec<JobMasterEffect>) {
        let everything = self.graph.places().collect();
        self.fail(&everything, Failure::of_job("CHECKPOINTS-FAILED", message), now, out);
    }

    /// The job has waited too long for slots.
    pub(super) fn slots_timed_out(&mut self, now: Millis, out: &mut Vec<JobMasterEffect>) {
        let (missing, needed) = (self.pool.missing(), self.pool.needed());
        let waited = self.options.slot_request_timeout_ms;
        let why = self.trouble.as_deref().unwrap_or("the ResourceManager gave no reason");
        let message = format!("{missing} of {needed} slots were not granted within {waited} ms: {why}");
        let waiting = self.to_deploy.clone();
        self.fail(&waiting, Failure::of_job("SLOT-TIMEOUT", message), now, out);
    }

    /// Something failed: the affected failover regions restart, or the job fails.
    pub(super) fn fail(&mut self, failed: &BTreeSet<Place>, failure: Failure, now: Millis, out: &mut Vec<JobMasterEffect>) {
        self.record(&failure, now);
        let text = format!("{}: {}", failure.code, failure.message);
        match &self.stage {
            Stage::Ending { .. } | Stage::Ended if !is_planted(Flaw::EndingJobRestarts) => return,
            // These tasks are already being stopped. If a restart can help, the restart in progress handles this failure, too.
            Stage::Stopping { .. } if failure.retryable && failed.is_subset(&self.to_deploy) => return,
            _ => {}
        }
        if !failure.retryable {
            self.end(JobStatus::Failed, Some(text), now, out);
            return;
        }
        let decision = if now < self.restarts_free_until {
            RestartDecision::After(self.restart_strategy.delay_of_a_free_restart())
        } else {
            self.restart_strategy.on_failure(now)
        };
        let delay = match decision {
            RestartDecision::After(delay) => delay,
            RestartDecision::GiveUp(why) => {
                self.end(JobStatus::Failed, Some(format!("{text} ({why})")), now, out);
                return;
            }
        };
        tracing::warn!(job = %self.what.job, failure = text, delay_ms = delay, "the job restarts");
        // If some tasks have finished or have been told to finish, the others can't run without them (FLINK-21030).
        let uneven = self.coordinator.is_finishing()
            || self.graph.executions().any(|execution| execution.state() == ExecutionState::Finished);
        let affected = if uneven { self.graph.places().collect() } else { self.regions.restarted_with(failed) };
        self.to_deploy.extend(affected);
        self.restore = None;
        self.restarts += 1;
        let earlier = if let Stage::Stopping { restart_at, .. } = &self.stage { *restart_at } else { now };
        let restart_at = now.after(delay).max(earlier);
        self.stage = Stage::Stopping { restart_at, cancellation: self.cancellation(now) };
        self.trouble = Some(text.clone());
        self.set_status(JobStatus::Restarting, now);
        self.coordinate(CheckpointEvent::TasksStopped { reason: format!("the job restarts after {text}") }, now, out);
        self.cancel_places(self.to_deploy.clone(), now, out);
    }

    /// The job must end: all tasks stop.
    pub(super) fn end(&mut self, status: JobStatus, failure: Option<String>, now: Millis, out: &mut Vec<JobMasterEffect>) {
        if matches!(self.stage, Stage::Ending { .. } | Stage::Ended) {
            return;
        }
        let stopping = if status == JobStatus::Failed { JobStatus::Failing } else { JobStatus::Cancelling };
        if self.status.may_become(stopping) {
            self.set_status(stopping, now);
        }
        self.trouble = failure.clone();
        self.stage = Stage::Ending { status, failure, cancellation: self.cancellation(now) };
        let reason = if status == JobStatus::Failed { "the job has failed" } else { "the job is being stopped" };
        self.coordinate(CheckpointEvent::TasksStopped { reason: reason.to_string() }, now, out);
        self.cancel_places(self.graph.places().collect(), now, out);
    }

    /// No task of the job runs any more: the job has ended for good.
    pub(super) fn ended(&mut self, status: JobStatus, failure: Option<String>, now: Millis, out: &mut Vec<JobMasterEffect>) {
        debug_assert!(self.graph.nothing_lives() && self.coordinator.is_settled());
        if !self.status.may_become(status) {
            self.set_status(JobStatus::Cancelling, now);
        }
        self.set_status(status, now);
        self.stage = Stage::Ended;
        out.push(JobMasterEffect::DeclareRequirements { slots: 0 });
        if let Some((request, outcome)) = self.stopped_with.take() {
            out.push(JobMasterEffect::Answer { request, outcome });
        }
        out.push(JobMasterEffect::End(JobEnded { job: self.what.job, status, failure }));
    }

    /// Repeats the cancel order to tasks that don't stop. After a timeout, their TaskManager is disconnected. It must register
    /// again, and its slots become available only when they are free.
    pub(super) fn remind(&mut self, now: Millis, out: &mut Vec<JobMasterEffect>) {
        let (interval, timeout) = (self.options.cancellation_interval_ms, self.options.cancellation_timeout_ms);
        let (Stage::Stopping { cancellation, .. } | Stage::Ending { cancellation, .. }) = &mut self.stage else { return };
        let give_up = cancellation.give_up_at <= now;
        if !give_up && now < cancellation.again_at {
            return;
        }
        cancellation.again_at = now.after(interval);
        if give_up {
            cancellation.give_up_at = now.after(timeout);
        }
        let stuck = self.graph.executions().filter(|execution| execution.state() == ExecutionState::Canceling);
        for (task_manager, attempts) in self.graph.by_task_manager(stuck.map(|execution| execution.attempt)) {
            out.push(if give_up {
                let reason = format!("{} canceled tasks have not stopped within {timeout} ms", attempts.len());
                JobMasterEffect::Disconnect { task_manager, reason }
            } else {
                JobMasterEffect::Send { task_manager, order: Order::Cancel(attempts) }
            });
        }
    }

    /// Orders the live executions at these places to stop.
    fn cancel_places(&mut self, places: BTreeSet<Place>, now: Millis, out: &mut Vec<JobMasterEffect>) {
        let mut canceled = Vec::new();
        for place in places {
            let live = self.graph.execution(place).filter(|execution| execution.is_live());
            let Some(attempt) = live.map(|execution| execution.attempt) else { continue };
            if self.set_execution_state(place, ExecutionState::Canceling, now) {
                canceled.push(attempt);
            }
        }
        self.send_grouped(canceled, out, Order::Cancel);
    }

    /// Changes the state of an execution, if the transition is legal. Returns whether it changed.
    pub(super) fn set_execution_state(&mut self, place: Place, state: ExecutionState, now: Millis) -> bool {
        let wall = self.wall(now);
        let Some(attempt) = self.graph.execution(place).map(|execution| execution.attempt) else { return false };
        match self.graph.transition(place, state, wall) {
            Ok(()) => true,
            Err(illegal) => {
                tracing::debug!(%attempt, %illegal, "ignored");
                false
            }
        }
    }

    fn record(&mut self, failure: &Failure, now: Millis) {
        self.exceptions.push_front(ExceptionView {
            timestamp: self.wall(now),
            code: failure.code.clone(),
            message: failure.message.clone(),
            task: failure.task.map(|place| self.graph.describe(place)),
            task_manager: failure.task_manager.clone(),
        });
        self.exceptions.truncate(self.options.exception_history.max(1));
    }

    fn cancellation(&self, now: Millis) -> Cancellation {
        Cancellation {
            again_at: now.after(self.options.cancellation_interval_ms),
            give_up_at: now.after(self.options.cancellation_timeout_ms),
        }
    }
}
