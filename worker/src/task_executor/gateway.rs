//! The handle on the running TaskExecutor.

use tokio::sync::{mpsc, watch};
use weir_protocol::LeaderEpoch;

/// How the TaskExecutor stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TaskExecutorStatus {
    /// Epoch of the leader that has accepted this TaskManager, if one has.
    pub registered_with: Option<LeaderEpoch>,
    /// Attempts that occupy slots.
    pub tasks: usize,
    /// Whether it has stopped.
    pub stopped: bool,
}

/// Asks the TaskExecutor to stop, and tells how it stands.
#[derive(Debug, Clone)]
pub struct TaskExecutorGateway {
    stop: mpsc::Sender<()>,
    status: watch::Receiver<TaskExecutorStatus>,
}

impl TaskExecutorGateway {
    pub(crate) fn new(stop: mpsc::Sender<()>, status: watch::Receiver<TaskExecutorStatus>) -> Self {
        Self { stop, status }
    }

    /// How it stands now.
    pub fn status(&self) -> TaskExecutorStatus {
        *self.status.borrow()
    }

    /// Asks it to stop its tasks and then itself. Does not wait.
    pub fn stop(&self) {
        // Full means that it was asked already; closed, that it has stopped.
        let _ = self.stop.try_send(());
    }

    /// Waits until it has stopped.
    pub async fn stopped(&self) {
        let mut status = self.status.clone();
        // An error means that the runner is gone, so it has stopped.
        let _ = status.wait_for(|status| status.stopped).await;
    }
}
