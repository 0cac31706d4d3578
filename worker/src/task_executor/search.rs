//! What a TaskManager says while it finds no leader: which JobManagers it tries, and why that fails.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use weir_world::Millis;

/// A search that has lasted this many milliseconds is reported. An election takes less.
const FIRST_REPORT_MS: u64 = 5_000;
/// Shortest and longest time between two reports of one search, in milliseconds.
const REPORT_MS: (u64, u64) = (10_000, 300_000);

/// Decides when the search for a leader is reported.
#[derive(Debug, Default)]
pub struct LeaderSearch {
    /// When the search began, when it is reported next, and the time from that report to the one after it.
    under_way: Option<(Millis, Millis, u64)>,
}

impl LeaderSearch {
    /// Notes whether there is a leader now. Returns the duration of the search in milliseconds if it is to be reported.
    pub fn note(&mut self, registered: bool, now: Millis) -> Option<u64> {
        if registered {
            self.under_way = None;
            return None;
        }
        let (since, report_at, pause) = self.under_way.get_or_insert((now, now.after(FIRST_REPORT_MS), REPORT_MS.0));
        if now < *report_at {
            return None;
        }
        *report_at = now.after(*pause);
        *pause = (*pause * 2).min(REPORT_MS.1);
        Some(now.since(*since))
    }
}

/// The newest failure at each JobManager's address.
#[derive(Debug, Clone, Default)]
pub struct WatchFailures(Arc<Mutex<BTreeMap<String, String>>>);

impl WatchFailures {
    /// Notes that the JobManager at `address` can't be watched, and why.
    pub fn failed(&self, address: &str, reason: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(address.to_owned(), reason);
    }

    /// Notes that the JobManager at `address` has answered.
    pub fn answered(&self, address: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(address);
    }

    /// What is known about each address, for people.
    pub fn text(&self, addresses: &[String]) -> String {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known =
            |address: &String| failures.get(address).map_or("it answers, but knows no leader that accepts us", String::as_str);
        addresses.iter().map(|address| format!("{address}: {}", known(address))).collect::<Vec<_>>().join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_search_is_reported_more_and_more_rarely() {
        let mut search = LeaderSearch::default();
        let reported: Vec<u64> = (0..600_000).step_by(1_000).filter(|now| search.note(false, Millis(*now)).is_some()).collect();
        assert_eq!(reported, [5_000, 15_000, 35_000, 75_000, 155_000, 315_000]);
        assert_eq!(search.note(true, Millis(600_000)), None);
        assert_eq!(search.note(false, Millis(700_000)), None, "a new search");
        assert_eq!(search.note(false, Millis(705_000)), Some(5_000));
    }

    #[test]
    fn every_address_is_named_with_its_failure() {
        let failures = WatchFailures::default();
        failures.failed("a:1", "connection refused".to_owned());
        failures.failed("b:1", "no such host".to_owned());
        failures.answered("b:1");
        let text = failures.text(&["a:1".to_owned(), "b:1".to_owned()]);
        assert_eq!(text, "a:1: connection refused; b:1: it answers, but knows no leader that accepts us");
    }
}
