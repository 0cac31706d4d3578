//! Monotonic and wall clocks.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::simulation;

/// A point of monotonic time in milliseconds. Pure cores take it as `now`. It has a meaning only within one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// This point plus `milliseconds`.
    pub fn after(self, milliseconds: u64) -> Self {
        Self(self.0.saturating_add(milliseconds))
    }

    /// Milliseconds from `earlier` to this point; 0 if `earlier` is later.
    pub fn since(self, earlier: Self) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

/// A monotonic clock that starts at its creation. It follows tokio's clock, so simulated time drives it.
#[derive(Debug, Clone, Copy)]
pub struct MonotonicClock {
    start: tokio::time::Instant,
}

impl MonotonicClock {
    /// A clock that shows 0 now.
    pub fn start() -> Self {
        Self { start: tokio::time::Instant::now() }
    }

    /// The time since the clock's start.
    pub fn now(&self) -> Millis {
        Millis(self.start.elapsed().as_millis() as u64)
    }

    /// Waits until the clock shows `deadline`.
    pub async fn sleep_until(&self, deadline: Millis) {
        tokio::time::sleep_until(self.start + Duration::from_millis(deadline.0)).await;
    }
}

/// Wall-clock time at the start plus the monotonic time since then. It neither jumps nor stops when the wall clock is set. Tasks
/// use it as processing time.
#[derive(Debug, Clone, Copy)]
pub struct SteadyClock {
    at_start_ms: u64,
    passed: MonotonicClock,
}

impl SteadyClock {
    /// A clock that agrees with the wall clock now.
    pub fn start() -> Self {
        Self { at_start_ms: wall_clock_ms(), passed: MonotonicClock::start() }
    }

    /// Milliseconds since 1970, if the wall clock was right at the start.
    pub fn now_ms(&self) -> u64 {
        self.at_start_ms.saturating_add(self.passed.now().0)
    }
}

/// Wall-clock milliseconds since 1970. Use it for records that people read, never for decisions.
pub fn wall_clock_ms() -> u64 {
    if let Some(simulation) = simulation::current() {
        return simulation.wall_clock_ms();
    }
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}
