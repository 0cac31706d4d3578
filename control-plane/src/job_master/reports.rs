//! How a JobMaster handles the reports of TaskManagers.

use std::collections::BTreeSet;

use weir_protocol::TaskManagerId;
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{CheckpointAcknowledgement, CheckpointDecline, TaskMetrics, TaskStateUpdate};
use weir_world::Millis;

use super::JobMaster;
use super::effect::JobMasterEffect;
use super::ending::Failure;
use super::event::TaskManagerReport;
use crate::checkpoint::event::CheckpointEvent;

impl JobMaster {
    pub(super) fn report(
        &mut self,
        task_manager: &TaskManagerId,
        report: TaskManagerReport,
        now: Millis,
        out: &mut Vec<JobMasterEffect>,
    ) {
        match report {
            TaskManagerReport::TaskState(update) => self.task_state(task_manager, update, now, out),
            TaskManagerReport::Acknowledge(acknowledgement) => {
                let Some((place, _)) = self.graph.current(acknowledgement.attempt) else { return };
                let (saved, expected) =
                    (acknowledgement.snapshot.operators.len(), self.graph.vertices[place.0].descriptor.operators.len());
                if saved != expected {
                    // A checkpoint with this part could never be restored.
                    let reason = format!("it saved the state of {saved} operators, its chain has {expected}");
                    let CheckpointAcknowledgement { attempt, checkpoint, .. } = acknowledgement;
                    let decline = CheckpointDecline { attempt, checkpoint, reason };
                    self.coordinate(CheckpointEvent::Declined(decline), now, out);
                    return;
                }
                self.coordinate(CheckpointEvent::Acknowledged(acknowledgement), now, out);
            }
            TaskManagerReport::Decline(decline) => {
                if self.graph.current(decline.attempt).is_some() {
                    self.coordinate(CheckpointEvent::Declined(decline), now, out);
                }
            }
            TaskManagerReport::InputEnded(attempt) => self.graph.input_ended(attempt),
            TaskManagerReport::Metrics(metrics) => self.metrics(&metrics),
        }
    }

    fn task_state(&mut self, task_manager: &TaskManagerId, update: TaskStateUpdate, now: Millis, out: &mut Vec<JobMasterEffect>) {
        let Some((place, execution)) = self.graph.current(update.attempt) else { return };
        if execution.task_manager() != task_manager {
            return;
        }
        if let Some(counters) = update.counters {
            execution.metrics = Some(counters);
        }
        let before = execution.state();
        if !self.set_execution_state(place, update.state, now) {
            return;
        }
        let unasked = before != ExecutionState::Canceling;
        let failure = match update.state {
            ExecutionState::Failed => {
                let failure = update.failure.unwrap_or_else(|| weir_protocol::link::TaskFailure {
                    code: "TASK-FAILED".to_string(),
                    message: "the TaskManager gave no reason".to_string(),
                    retryable: true,
                });
                (failure.code, failure.message, failure.retryable)
            }
            ExecutionState::Canceled if unasked => {
                ("TASK-CANCELED".to_string(), "the task was canceled, but not by its JobMaster".to_string(), true)
            }
            ExecutionState::Finished if unasked && !self.coordinator.is_finishing() => {
                ("TASK-FINISHED-EARLY".to_string(), "the task finished before the final checkpoint".to_string(), true)
            }
            _ => return,
        };
        let (code, message, retryable) = failure;
        let task_manager = Some(task_manager.clone());
        let failure = Failure { code, message, retryable, task: Some(place), task_manager };
        self.fail(&BTreeSet::from([place]), failure, now, out);
    }

    fn metrics(&mut self, metrics: &[TaskMetrics]) {
        for counters in metrics {
            if let Some((_, execution)) = self.graph.current(counters.attempt) {
                execution.metrics = Some(*counters);
            }
        }
    }
}
