//! The time of a drill: while it lasts, restarts of tasks do not count against a job's restart strategy.
//!
//! The fact is kept in the coordination store, so that it outlives the leader that is killed in the drill. There it is a
//! wall-clock time; it becomes a stretch of this leader's own time once, when it is read, and is bounded whatever the clocks say.

use tokio::sync::watch;
use weir_protocol::rest::{DrillBegin, DrillUnderWay};
use weir_world::{Millis, MonotonicClock};

/// After a drill's end restarts are free for so long, milliseconds: what it broke may wake up late. Never beyond its deadline.
pub(crate) const GRACE_MS: u64 = 10_000;

/// Where a leader says until when restarts are free. Clones are the same.
#[derive(Debug, Clone)]
pub(crate) struct DrillTime {
    clock: MonotonicClock,
    free_until: watch::Sender<Millis>,
}

/// Where a JobMaster looks until when restarts are free.
#[derive(Debug, Clone)]
pub struct DrillWatch {
    clock: MonotonicClock,
    free_until: watch::Receiver<Millis>,
}

impl DrillTime {
    /// No drill is known.
    pub(crate) fn none() -> Self {
        Self { clock: MonotonicClock::start(), free_until: watch::Sender::new(Millis(0)) }
    }

    /// Restarts are free as the newest drill says, at this wall-clock time.
    pub(crate) fn set(&self, newest: Option<&DrillUnderWay>, wall_clock_ms: u64) {
        let left = newest.map_or(0, |drill| drill.restarts_free_until_ms.saturating_sub(wall_clock_ms));
        let until = self.clock.now().after(left.min(DrillBegin::MAX_MS));
        self.free_until.send_replace(until);
    }

    /// For a JobMaster.
    pub(crate) fn watch(&self) -> DrillWatch {
        DrillWatch { clock: self.clock, free_until: self.free_until.subscribe() }
    }
}

impl DrillWatch {
    /// Where there are no drills.
    pub fn never() -> Self {
        DrillTime::none().watch()
    }

    /// For how many milliseconds from now on restarts are free. [`Self::changed`] tells of changes after this.
    pub fn look(&mut self) -> u64 {
        self.free_until.borrow_and_update().since(self.clock.now())
    }

    /// Waits for a change and says for how long restarts are free from now on.
    pub async fn changed(&mut self) -> u64 {
        if self.free_until.changed().await.is_err() {
            // Nobody is left to tell of one.
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
    async fn restarts_are_free_for_what_is_left_of_a_drill_and_never_for_ever() {
        let time = DrillTime::none();
        let mut watch = time.watch();
        assert_eq!(watch.look(), 0);
        time.set(Some(&drill(5_000)), 2_000);
        assert_eq!(watch.changed().await, 3_000);
        tokio::time::sleep(std::time::Duration::from_millis(1_000)).await;
        assert_eq!(watch.look(), 2_000, "time passes");
        time.set(Some(&drill(5_000)), 9_000);
        assert_eq!(watch.look(), 0, "it is over");
        time.set(Some(&drill(u64::MAX)), 0);
        assert_eq!(watch.look(), DrillBegin::MAX_MS, "whatever the clocks say");
        time.set(None, 0);
        assert_eq!(watch.look(), 0);
    }
}
