//! The one seam to the world: time, randomness and named tasks.
//!
//! Coordination, control plane and the worker's agent take these from here and from nowhere else (clippy bans the
//! others), so that the same code runs deterministically under simulated time.

use std::future::Future;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::task::JoinHandle;

/// Milliseconds of monotonic time; what the pure cores take as `now`. Meaningful only within one process.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
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

/// Wall-clock milliseconds since 1970: for records that people read, never for decisions.
pub fn wall_clock_ms() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |elapsed| elapsed.as_millis() as u64)
}

/// 128 random bits, for ids.
pub fn random_id() -> u128 {
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    uuid::Uuid::new_v4().as_u128()
}

/// Starts a task under a name. Its panic is logged with that name; dropping the handle does not stop it.
pub fn spawn<F>(name: &'static str, future: F) -> JoinHandle<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let named = async move {
        let guard = PanicReport(name);
        let output = future.await;
        std::mem::forget(guard);
        output
    };
    #[expect(clippy::disallowed_methods, reason = "this is the seam")]
    tokio::spawn(named)
}

struct PanicReport(&'static str);

impl Drop for PanicReport {
    fn drop(&mut self) {
        if std::thread::panicking() {
            tracing::error!(task = self.0, "task panicked");
        }
    }
}
