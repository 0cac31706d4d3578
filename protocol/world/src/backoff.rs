//! Exponential backoff: the wait before each further try is twice the one before, up to a longest.

use std::time::Duration;

use crate::random_id;

/// The waits between the tries of one operation. Each wait is cut at random to between half and all of its length, so that
/// clients that failed together do not retry together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backoff {
    min: Duration,
    max: Duration,
    failures: u32,
}

impl Backoff {
    /// The first wait is `min`, no wait is longer than `max`.
    pub const fn new(min: Duration, max: Duration) -> Self {
        Self { min, max, failures: 0 }
    }

    /// The uncut wait after the n-th failure in a row, counted from 1. Pure, for state machines, which have no randomness.
    pub fn after(&self, failures: u32) -> Duration {
        self.min.saturating_mul(1 << failures.saturating_sub(1).min(30)).min(self.max)
    }

    /// Counts a failure and returns how long to wait after it.
    pub fn next_delay(&mut self) -> Duration {
        self.failures = self.failures.saturating_add(1);
        self.after(self.failures) * (512 + (random_id() % 513) as u32) / 1024
    }

    /// Counts a failure and waits.
    pub async fn wait(&mut self) {
        tokio::time::sleep(self.next_delay()).await;
    }

    /// Tells that a try succeeded. The next failure counts as the first again.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures since the last success.
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_the_longest_and_start_over_after_a_success() {
        let (min, max) = (Duration::from_millis(100), Duration::from_millis(350));
        let mut backoff = Backoff::new(min, max);
        for uncut in [100, 200, 350, 350] {
            let delay = backoff.next_delay().as_millis();
            assert!((uncut / 2..=uncut).contains(&delay), "{delay} is not between half and all of {uncut}");
        }
        backoff.reset();
        assert_eq!((backoff.failures(), backoff.after(1)), (0, min));
        assert_eq!(backoff.after(u32::MAX), max);
    }
}
