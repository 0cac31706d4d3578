//! The handle to the running TaskExecutor.

use tokio::sync::{mpsc, watch};
use weir_protocol::LeaderEpoch;

/// The status of the TaskExecutor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskExecutorStatus {
    /// Epoch of the leader that has accepted this TaskManager, if one has.
    pub registered_with: Option<LeaderEpoch>,
    /// Number of attempts that occupy slots.
    pub tasks: usize,
    /// Whether it has stopped.
    pub stopped: bool,
}

/// Reads the TaskExecutor's status, and asks it to stop.
#[derive(Debug, Clone)]
pub struct TaskExecutorGateway {
    stop: mpsc::Sender<()>,
    status: watch::Receiver<TaskExecutorStatus>,
}

impl TaskExecutorGateway {
    pub(crate) fn new(stop: mpsc::Sender<()>, status: watch::Receiver<TaskExecutorStatus>) -> Self {
        Self { stop, status }
    }

    /// The TaskExecutor's current status.
    pub fn status(&self) -> TaskExecutorStatus {
        *self.status.borrow()
    }

    /// Asks the TaskExecutor to stop its tasks and then itself. Does not wait.
    pub fn stop(&self) {
        // If the queue is full, it was asked already. If the queue is closed, it has stopped.
        let _ = self.stop.try_send(());
    }

    /// Waits until the TaskExecutor has stopped.
    pub async fn stopped(&self) {
        let mut status = self.status.clone();
        // An error means that the runner was dropped, so it has stopped.
        let _ = status.wait_for(|status| status.stopped).await;
    }
}
