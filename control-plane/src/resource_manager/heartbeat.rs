//! Who has fallen silent: the rule that a leader applies to its TaskManagers.
//!
//! Silence alone never fails a job on its own authority: the caller decides what an expiry means.

use std::collections::BTreeMap;

use weir_world::Millis;

/// Deadlines of those who ought to be heard from. Pure; `now` is passed in.
#[derive(Debug, Clone, Hash)]
pub(super) struct HeartbeatMonitor<K> {
    timeout_ms: u64,
    last_heard: BTreeMap<K, Millis>,
    recent_expiries: Vec<Millis>,
}

/// What a [`HeartbeatMonitor::tick`] found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expiry<K> {
    /// Those who were not heard from for the timeout, in order. They are watched no longer.
    pub expired: Vec<K>,
    /// More than half of all watched fell silent within one timeout, and at least two: likely the fault is on
    /// this side. Something to tell people, and a reason to go slow.
    pub mass_suspicion: bool,
}

impl<K: Ord + Clone> HeartbeatMonitor<K> {
    /// A monitor with nobody to watch.
    pub(super) fn new(timeout_ms: u64) -> Self {
        Self { timeout_ms, last_heard: BTreeMap::new(), recent_expiries: Vec::new() }
    }

    /// Watches `id` from now on; it counts as heard from.
    pub(super) fn watch(&mut self, id: K, now: Millis) {
        self.last_heard.insert(id, now);
    }

    /// Watches `id` no longer, without an expiry.
    pub(super) fn forget(&mut self, id: &K) {
        self.last_heard.remove(id);
    }

    /// `id` was heard from. `false` if it is not watched: an expired one has to register again.
    pub(super) fn beat(&mut self, id: &K, now: Millis) -> bool {
        match self.last_heard.get_mut(id) {
            Some(heard) => {
                *heard = now.max(*heard);
                true
            }
            None => false,
        }
    }

    /// Everybody counts as heard from now: after a takeover, or after this process itself was paused (H1).
    pub(super) fn reset(&mut self, now: Millis) {
        self.last_heard.values_mut().for_each(|heard| *heard = now.max(*heard));
        self.recent_expiries.clear();
    }

    /// When each was last heard from.
    pub(super) fn last_heard(&self, id: &K) -> Option<Millis> {
        self.last_heard.get(id).copied()
    }

    /// Takes out those who have been silent for the timeout.
    pub(super) fn tick(&mut self, now: Millis) -> Expiry<K> {
        let watched = self.last_heard.len();
        let silent = |heard: Millis| now.since(heard) >= self.timeout_ms;
        let expired: Vec<K> = self.last_heard.iter().filter(|(_, heard)| silent(**heard)).map(|(id, _)| id.clone()).collect();
        for id in &expired {
            self.last_heard.remove(id);
        }
        self.recent_expiries.retain(|at| now.since(*at) < self.timeout_ms);
        let watched_in_window = watched + self.recent_expiries.len();
        self.recent_expiries.extend(expired.iter().map(|_| now));
        let silent_in_window = self.recent_expiries.len();
        let mass_suspicion = !expired.is_empty() && silent_in_window >= 2 && silent_in_window * 2 > watched_in_window;
        Expiry { expired, mass_suspicion }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn watching(ids: &[u32]) -> HeartbeatMonitor<u32> {
        let mut monitor = HeartbeatMonitor::new(100);
        ids.iter().for_each(|id| monitor.watch(*id, Millis(0)));
        monitor
    }

    #[test]
    fn the_silent_one_expires_once_and_its_later_beat_is_not_taken() {
        let mut monitor = watching(&[1, 2, 3]);
        assert!(monitor.beat(&1, Millis(60)));
        assert!(monitor.beat(&3, Millis(60)));
        assert_eq!(monitor.tick(Millis(99)).expired, Vec::<u32>::new());
        assert_eq!(monitor.tick(Millis(100)), Expiry { expired: vec![2], mass_suspicion: false });
        assert_eq!(monitor.tick(Millis(101)).expired, Vec::<u32>::new());
        assert!(!monitor.beat(&2, Millis(102)));
    }

    #[test]
    fn after_a_reset_nobody_is_blamed_for_the_gap_h1() {
        let mut monitor = watching(&[1, 2]);
        monitor.reset(Millis(5_000));
        assert_eq!(monitor.tick(Millis(5_099)).expired, Vec::<u32>::new());
        assert_eq!(monitor.tick(Millis(5_100)).expired, vec![1, 2]);
    }

    #[test]
    fn a_beat_never_goes_back_in_time() {
        let mut monitor = watching(&[1]);
        monitor.beat(&1, Millis(50));
        monitor.beat(&1, Millis(20));
        assert_eq!(monitor.last_heard(&1), Some(Millis(50)));
    }

    #[test]
    fn most_of_them_falling_silent_within_one_timeout_is_mass_suspicion() {
        let mut monitor = watching(&[1, 2, 3, 4, 5]);
        [3, 4, 5].iter().for_each(|id| assert!(monitor.beat(id, Millis(30))));
        assert_eq!(monitor.tick(Millis(100)), Expiry { expired: vec![1, 2], mass_suspicion: false });
        monitor.beat(&4, Millis(110));
        monitor.beat(&5, Millis(110));
        assert_eq!(monitor.tick(Millis(130)), Expiry { expired: vec![3], mass_suspicion: true });
        // The old ones leave the window.
        assert_eq!(monitor.tick(Millis(210)), Expiry { expired: vec![4, 5], mass_suspicion: true });
        assert_eq!(watching(&[1]).tick(Millis(100)), Expiry { expired: vec![1], mass_suspicion: false });
    }

    #[test]
    fn a_forgotten_one_does_not_expire() {
        let mut monitor = watching(&[1]);
        monitor.forget(&1);
        assert_eq!(monitor.tick(Millis(1_000)).expired, Vec::<u32>::new());
    }
}
