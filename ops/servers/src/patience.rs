//! How long a test waits before it gives up: on a busy machine, it waits longer.

use std::time::{Duration, Instant};

use tokio::time::timeout;

/// Where Linux reports for how long any process has waited for a processor (pressure stall information).
const PRESSURE: &str = "/proc/pressure/cpu";
/// How often a wait is interrupted to check whether the patience is over.
const PACE: Duration = Duration::from_millis(500);

/// A bound on waiting that grows on a busy machine: time in which any process waited for a processor counts only a tenth.
#[derive(Debug, Clone)]
pub struct Patience {
    bound: Duration,
    started: Instant,
    stalled: Duration,
}

impl Patience {
    /// Starts now. `bound` is the time on an idle machine; on a busy one, it is up to ten times as long.
    pub fn of(bound: Duration) -> Self {
        Self { bound, started: Instant::now(), stalled: stalled() }
    }

    /// Whether the bound is used up.
    pub fn is_over(&self) -> bool {
        let elapsed = self.started.elapsed();
        // Read the pressure only when it can matter.
        elapsed > self.bound && idle_time(elapsed, stalled().saturating_sub(self.stalled)) > self.bound
    }
}

/// Waits for a future; `None` if the bound is used up first. Needs a runtime whose clock is not paused.
pub async fn within<F: Future>(bound: Duration, future: F) -> Option<F::Output> {
    let patience = Patience::of(bound);
    let mut future = std::pin::pin!(future);
    loop {
        if let Ok(output) = timeout(PACE, &mut future).await {
            return Some(output);
        }
        if patience.is_over() {
            return None;
        }
    }
}

fn idle_time(elapsed: Duration, stalled: Duration) -> Duration {
    elapsed - stalled.min(elapsed) * 9 / 10
}

/// For how long any process has waited for a processor since the machine started. Zero if the machine does not report it.
fn stalled() -> Duration {
    std::fs::read_to_string(PRESSURE).ok().and_then(|text| total(&text)).unwrap_or_default()
}

fn total(pressure: &str) -> Option<Duration> {
    let line = pressure.lines().find_map(|line| line.strip_prefix("some "))?;
    let total = line.split(' ').find_map(|field| field.strip_prefix("total="))?;
    total.parse().ok().map(Duration::from_micros)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_secs(60);

    #[test]
    fn stalled_time_counts_a_tenth() {
        assert_eq!(idle_time(BOUND, Duration::ZERO), BOUND);
        assert_eq!(idle_time(BOUND, BOUND), BOUND / 10);
        assert_eq!(idle_time(BOUND, BOUND * 2), BOUND / 10, "counters of other clocks may run ahead");
    }

    #[test]
    fn the_kernels_figure_is_read() {
        let text = "some avg10=1.88 avg60=3.18 avg300=6.07 total=48294305\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(total(text), Some(Duration::from_micros(48_294_305)));
        assert_eq!(total("nonsense"), None);
    }

    #[tokio::test]
    async fn a_future_that_never_completes_is_given_up() {
        assert_eq!(within(Duration::from_millis(10), std::future::ready(7)).await, Some(7));
        assert_eq!(within(Duration::from_millis(10), std::future::pending::<()>()).await, None);
    }
}
