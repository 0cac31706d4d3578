//! Clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::simulation;

/// Milliseconds of monotonic time; what the pure cores take as `now`. Meaningful only within one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// This moment plus so many milliseconds.
    pub fn after(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to this moment; 0 if it is not earlier.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A monotonic clock that starts at its creation. Follows tokio's clock, so simulated time drives it.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock {
    start: tokio::time::Instant,
}

impl MonotonicClock {
    /// A clock that shows 0 now.
    pub fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }

    /// The time it shows.
    pub fn now(&self) -> Millis {
        Millis(self.start.elapsed().as_millis() as u64)
    }

    /// Waits until the clock shows `deadline`.
    pub async fn sleep_until(&self, deadline: Millis) {
        tokio::time::sleep_until(self.start + Duration::from_millis(deadline.0)).await;
    }
}

/// Wall-clock time as it was at the start, and the time that has passed since: it neither jumps nor stands still when somebody
/// sets the wall clock. What tasks take for the present.
#[derive(Debug, Clone, Copy)]
pub struct SteadyClock {
    at_start_ms: u64,
    passed: MonotonicClock,
}

impl SteadyClock {
    /// Right at this moment.
    pub fn start() -> Self {
        Self { at_start_ms: wall_clock_ms(), passed: MonotonicClock::start() }
    }

    /// Milliseconds since 1970, as far as the wall clock was right at the start.
    pub fn now_ms(&self) -> u64 {
        self.at_start_ms.saturating_add(self.passed.now().0)
    }
}

/// Wall-clock milliseconds since 1970: for records that people read, never for decisions.
pub fn wall_clock_ms() -> u64 {
    if let Some(simulation) = simulation::current() {
        return simulation.wall_clock_ms();
    }
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}
