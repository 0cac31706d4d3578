//! The time of a drill. During a drill, restarts of tasks do not count against a job's restart strategy (D1).
//!
//! The end of this time is in the coordination store, so that it survives if the drill kills the leader. The store holds a
//! wall-clock time. Each leader converts it to its monotonic clock once, when it reads it. The duration is bounded, so that wrong
//! clocks can't make restarts free for ever.

use tokio::sync::watch;
use weir_protocol::rest::{DrillBegin, DrillUnderWay};
use weir_world::{Millis, MonotonicClock};

/// How long restarts stay free after the end of a drill, milliseconds, because effects of its fault may appear late. It never
/// extends beyond the drill's deadline.
pub(crate) const GRACE_MS: u64 = 10_000;

/// Where a leader sets the time until which restarts are free. Clones share this time.
#[derive(Debug, Clone)]
pub(crate) struct DrillTime {
    clock: MonotonicClock,
    free_until: watch::Sender<Millis>,
}

/// Where a JobMaster reads until when restarts are free.
#[derive(Debug, Clone)]
pub struct DrillWatch {
    clock: MonotonicClock,
    free_until: watch::Receiver<Millis>,
}

impl DrillTime {
    /// Creates a value without any drill: all restarts count.
    pub(crate) fn none() -> Self {
        Self { clock: MonotonicClock::start(), free_until: watch::Sender::new(Millis(0)) }
    }

    /// Sets how long restarts are free, according to the newest drill. `wall_clock_ms` is the time now, milliseconds since 1970.
    pub(crate) fn set(&self, newest: Option<&DrillUnderWay>, wall_clock_ms: u64) {
        let left = newest.map_or(0, |drill| drill.restarts_free_until_ms.saturating_sub(wall_clock_ms));
        let until = self.clock.now().after(left.min(DrillBegin::MAX_MS));
        self.free_until.send_replace(until);
    }

    /// Creates a watch for a JobMaster.
    pub(crate) fn watch(&self) -> DrillWatch {
        DrillWatch { clock: self.clock, free_until: self.free_until.subscribe() }
    }
}

impl DrillWatch {
    /// Creates a watch that never reports a drill.
    pub fn never() -> Self {
        DrillTime::none().watch()
    }

    /// For how many milliseconds from now restarts are free. [`Self::changed`] reports later changes.
    pub fn look(&mut self) -> u64 {
        self.free_until.borrow_and_update().since(self.clock.now())
    }

    /// Waits for a change and returns for how many milliseconds from then restarts are free.
    pub async fn changed(&mut self) -> u64 {
        if self.free_until.changed().await.is_err() {
            // The leader has stopped, so there will be no change.
            std::future::pending::<()>().await;
        }
        self.look()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drill(free_until_ms: u64) -> DrillUnderWay {
        DrillUnderWay { restarts_free_until_ms: free_until_ms, ..DrillUnderWay::default() }
    }

    #[tokio::test(start_paused = true)]
    async fn restarts_are_free_for_the_rest_of_a_drill_and_never_for_ever() {
        let time = DrillTime::none();
        let mut watch = time.watch();
        assert_eq!(watch.look(), 0);
        time.set(Some(&drill(5_000)), 2_000);
        assert_eq!(watch.changed().await, 3_000);
        tokio::time::sleep(std::time::Duration::from_millis(1_000)).await;
        assert_eq!(watch.look(), 2_000, "time passes");
        time.set(Some(&drill(5_000)), 9_000);
        assert_eq!(watch.look(), 0, "the drill is over");
        time.set(Some(&drill(u64::MAX)), 0);
        assert_eq!(watch.look(), DrillBegin::MAX_MS, "the time is bounded, whatever the clocks say");
        time.set(None, 0);
        assert_eq!(watch.look(), 0);
    }
}
