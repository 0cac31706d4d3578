//! Reports from tasks to the agent.

use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use weir_protocol::ExecutionAttemptId;
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{CheckpointAcknowledgement, CheckpointDecline, TaskFailure, TaskMetrics, TaskStateUpdate};

/// A report of one task.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskReport {
    /// The attempt changed state.
    State(TaskStateUpdate),
    /// The attempt has processed all of its input.
    InputEnded(ExecutionAttemptId),
    /// Its part of a checkpoint is durable.
    Acknowledged(CheckpointAcknowledgement),
    /// It can't take part in a checkpoint.
    Declined(CheckpointDecline),
}

/// Most reports that wait for the agent. If there is no room, a slot thread waits. The agent never waits for slot threads, so
/// there is no deadlock.
const QUEUE: usize = 4096;

/// The tasks' end of the report queue.
#[derive(Debug, Clone)]
pub struct TaskReports {
    sender: mpsc::Sender<TaskReport>,
}

/// The agent's end of the report queue.
#[derive(Debug)]
pub struct TaskReportReceiver {
    receiver: mpsc::Receiver<TaskReport>,
}

/// Creates the report queue from tasks to the agent.
pub fn task_reports() -> (TaskReports, TaskReportReceiver) {
    let (sender, receiver) = mpsc::channel(QUEUE);
    (TaskReports { sender }, TaskReportReceiver { receiver })
}

impl TaskReports {
    /// Sends a report from a slot thread. Blocks the thread while there is no room.
    pub fn tell_blocking(&self, report: TaskReport) {
        if let Err(TrySendError::Full(report)) = self.sender.try_send(report) {
            // An error means that the agent has ended, which happens only when the process is shutting down.
            let _ = self.sender.blocking_send(report);
        }
    }

    /// Sends a report from the I/O runtime.
    pub async fn tell(&self, report: TaskReport) {
        let _ = self.sender.send(report).await;
    }
}

impl TaskReportReceiver {
    /// The next report. `None` if no task is left to report.
    pub async fn next(&mut self) -> Option<TaskReport> {
        self.receiver.recv().await
    }
}

/// The report of a state change without failure.
pub fn state(attempt: ExecutionAttemptId, state: ExecutionState) -> TaskReport {
    TaskReport::State(TaskStateUpdate { attempt, state, failure: None, counters: None })
}

/// The report that an attempt failed.
pub fn failed(attempt: ExecutionAttemptId, failure: TaskFailure) -> TaskReport {
    TaskReport::State(TaskStateUpdate { attempt, state: ExecutionState::Failed, failure: Some(failure), counters: None })
}

/// The report that an attempt has ended, with its final counters.
pub fn ended(state: ExecutionState, failure: Option<TaskFailure>, counters: TaskMetrics) -> TaskReport {
    TaskReport::State(TaskStateUpdate { attempt: counters.attempt, state, failure, counters: Some(counters) })
}

/// A failure with a code.
pub fn failure(code: &str, message: impl Into<String>, retryable: bool) -> TaskFailure {
    TaskFailure { code: code.to_owned(), message: message.into(), retryable }
}
