//! Detects TaskManagers that are silent for too long.
//!
//! The monitor itself never fails a job: its caller decides what an expiry means.

use std::collections::BTreeMap;

use weir_world::Millis;

/// The times of the last heartbeats. Pure: `now` is passed in.
#[derive(Debug, Clone, Hash)]
pub(super) struct HeartbeatMonitor<K> {
    timeout_ms: u64,
    last_heard: BTreeMap<K, Millis>,
    recent_expiries: Vec<Millis>,
}

/// The result of [`HeartbeatMonitor::tick`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expiry<K> {
    /// Ids without a heartbeat for the whole timeout, in order. They are no longer watched.
    pub expired: Vec<K>,
    /// More than half of all watched ids, and at least two, expired within one timeout. The fault is then probably on this side,
    /// so the caller should warn operators and wait longer.
    pub mass_suspicion: bool,
}

impl<K: Ord + Clone> HeartbeatMonitor<K> {
    /// Creates a monitor that watches nothing.
    pub(super) fn new(timeout_ms: u64) -> Self {
        Self { timeout_ms, last_heard: BTreeMap::new(), recent_expiries: Vec::new() }
    }

    /// Watches `id` from now on. `now` counts as its first heartbeat.
    pub(super) fn watch(&mut self, id: K, now: Millis) {
        self.last_heard.insert(id, now);
    }

    /// Stops watching `id` without an expiry.
    pub(super) fn forget(&mut self, id: &K) {
        self.last_heard.remove(id);
    }

    /// Records a heartbeat of `id`. Returns `false` if `id` is not watched: after an expiry it must register again.
    pub(super) fn beat(&mut self, id: &K, now: Millis) -> bool {
        match self.last_heard.get_mut(id) {
            Some(heard) => {
                *heard = now.max(*heard);
                true
            }
            None => false,
        }
    }

    /// Restarts the timeouts of all ids, after a takeover or after a pause of this process (H1).
    pub(super) fn reset(&mut self, now: Millis) {
        self.last_heard.values_mut().for_each(|heard| *heard = now.max(*heard));
        self.recent_expiries.clear();
    }

    /// The time of the last heartbeat of `id`.
    pub(super) fn last_heard(&self, id: &K) -> Option<Millis> {
        self.last_heard.get(id).copied()
    }

    /// Removes and returns the ids that have been silent for the timeout.
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
    fn a_silent_id_expires_once_and_its_later_heartbeat_is_refused() {
        let mut monitor = watching(&[1, 2, 3]);
        assert!(monitor.beat(&1, Millis(60)));
        assert!(monitor.beat(&3, Millis(60)));
        assert_eq!(monitor.tick(Millis(99)).expired, Vec::<u32>::new());
        assert_eq!(monitor.tick(Millis(100)), Expiry { expired: vec![2], mass_suspicion: false });
        assert_eq!(monitor.tick(Millis(101)).expired, Vec::<u32>::new());
        assert!(!monitor.beat(&2, Millis(102)));
    }

    #[test]
    fn h1_after_a_reset_no_id_expires_because_of_the_pause() {
        let mut monitor = watching(&[1, 2]);
        monitor.reset(Millis(5_000));
        assert_eq!(monitor.tick(Millis(5_099)).expired, Vec::<u32>::new());
        assert_eq!(monitor.tick(Millis(5_100)).expired, vec![1, 2]);
    }

    #[test]
    fn a_heartbeat_never_moves_back_in_time() {
        let mut monitor = watching(&[1]);
        monitor.beat(&1, Millis(50));
        monitor.beat(&1, Millis(20));
        assert_eq!(monitor.last_heard(&1), Some(Millis(50)));
    }

    #[test]
    fn mass_suspicion_is_raised_when_most_ids_expire_within_one_timeout() {
        let mut monitor = watching(&[1, 2, 3, 4, 5]);
        [3, 4, 5].iter().for_each(|id| assert!(monitor.beat(id, Millis(30))));
        assert_eq!(monitor.tick(Millis(100)), Expiry { expired: vec![1, 2], mass_suspicion: false });
        monitor.beat(&4, Millis(110));
        monitor.beat(&5, Millis(110));
        assert_eq!(monitor.tick(Millis(130)), Expiry { expired: vec![3], mass_suspicion: true });
        // The first expiries are no longer in the window.
        assert_eq!(monitor.tick(Millis(210)), Expiry { expired: vec![4, 5], mass_suspicion: true });
        assert_eq!(watching(&[1]).tick(Millis(100)), Expiry { expired: vec![1], mass_suspicion: false });
    }

    #[test]
    fn a_forgotten_id_does_not_expire() {
        let mut monitor = watching(&[1]);
        monitor.forget(&1);
        assert_eq!(monitor.tick(Millis(1_000)).expired, Vec::<u32>::new());
    }
}
