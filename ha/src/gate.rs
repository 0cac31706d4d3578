//! Runs reads and writes on a provider's thread. Limits how many are in flight and how long each waits for its turn, and records
//! metrics.

use std::future::Future;
use std::time::Duration;

use metrics::{counter, histogram};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::metrics as names;
use crate::provider_thread::ProviderThread;
use crate::{CommitOutcome, ReadError, Rejection};

/// Reads in flight at once; others wait.
const READS: usize = 64;

/// Limits the number of operations on the thread. The thread divides its time fairly among its tasks, so too many operations
/// would delay the provider's own work.
pub(crate) struct Gate {
    reads: Semaphore,
    writes: Semaphore,
    /// How long an operation waits for its turn.
    patience: Duration,
}

impl Gate {
    /// Allows `writes` writes at once. An operation that waits longer than `patience` for its turn is refused.
    pub(crate) fn new(writes: usize, patience: Duration) -> Self {
        Self { reads: Semaphore::new(READS), writes: Semaphore::new(writes), patience }
    }

    /// Runs a write on the thread, whatever runtime the caller uses.
    pub(crate) async fn write(
        &self,
        thread: &ProviderThread,
        write: impl Future<Output = CommitOutcome> + Send + 'static,
    ) -> CommitOutcome {
        let started = Instant::now();
        // The semaphore is never closed.
        let Ok(Ok(_turn)) = timeout(self.patience, self.writes.acquire()).await else {
            return CommitOutcome::Unknown { reason: "nothing was sent: too many writes are waiting".into() };
        };
        let outcome = thread.run(write).await;
        histogram!(names::COMMIT_SECONDS).record(started.elapsed().as_secs_f64());
        let outcome = outcome.unwrap_or_else(|| CommitOutcome::Unknown { reason: "the provider has stopped".into() });
        match &outcome {
            CommitOutcome::Rejected(Rejection::StaleEpoch { .. }) => counter!(names::STALE_EPOCH_REFUSALS).increment(1),
            CommitOutcome::Unknown { .. } => counter!(names::UNKNOWN_OUTCOMES).increment(1),
            _ => {}
        }
        outcome
    }

    /// Runs a read on the thread, whatever runtime the caller uses.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        thread: &ProviderThread,
        read: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    ) -> Result<T, ReadError> {
        let Ok(Ok(_turn)) = timeout(self.patience, self.reads.acquire()).await else {
            return Err(ReadError::Unavailable("too many reads are waiting".into()));
        };
        thread.run(read).await.unwrap_or_else(|| Err(ReadError::Unavailable("the provider has stopped".into())))
    }
}
