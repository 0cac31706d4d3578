//! Repeats what fails for a while.

use std::time::Duration;

use tokio::time::Instant;
use weir_world::Backoff;

use super::ClientError;

/// Decides how often an attempt is repeated: until a deadline, after pauses that grow to a second.
#[derive(Debug)]
pub(crate) struct Patience {
    deadline: Instant,
    backoff: Backoff,
}

impl Patience {
    pub(crate) fn until(deadline: Instant) -> Self {
        Self { deadline, backoff: Backoff::new(Duration::from_millis(5), Duration::from_secs(1)) }
    }

    pub(crate) fn of(time: Duration) -> Self {
        Self::until(Instant::now() + time)
    }

    /// Waits before the next attempt. Gives the error back if it is not temporary, or no time is left.
    pub(crate) async fn bear(&mut self, error: ClientError) -> Result<(), ClientError> {
        let delay = self.backoff.next_delay();
        if !error.is_temporary() || Instant::now() + delay > self.deadline {
            return Err(error);
        }
        tokio::time::sleep(delay).await;
        Ok(())
    }
}
