//! The way onto a provider's thread for reads and writes: how many are under way at once, for how long one waits for its turn,
//! and what is counted.

use std::future::Future;
use std::time::Duration;

use metrics::{counter, histogram};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use crate::metrics as names;
use crate::provider_thread::ProviderThread;
use crate::{CommitOutcome, ReadError, Rejection};

/// Reads under way at once; others wait.
const READS: usize = 64;

/// Lets a limited number of operations onto the thread: it shares its time fairly among its tasks, so these must be few.
pub(crate) struct Gate {
    reads: Semaphore,
    writes: Semaphore,
    /// For a turn.
    patience: Duration,
}

impl Gate {
    /// So many writes at once; whoever waits longer than `patience` for its turn is turned away.
    pub(crate) fn new(writes: usize, patience: Duration) -> Self {
        Self { reads: Semaphore::new(READS), writes: Semaphore::new(writes), patience }
    }

    /// Carries out a write on the thread, whatever the caller's runtime.
    pub(crate) async fn write(
        &self,
        thread: &ProviderThread,
        write: impl Future<Output = CommitOutcome> + Send + 'static,
    ) -> CommitOutcome {
        let started = Instant::now();
        // The permits' semaphore is never closed.
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

    /// Carries out a read on the thread, whatever the caller's runtime.
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
