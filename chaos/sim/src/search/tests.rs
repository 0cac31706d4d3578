//! Tests that the search finds every failure by the fewest steps, and that it counts states correctly.

use super::{Surrounding, search};

/// A counter that grows by one or by two, and breaks at one number.
#[derive(Debug, Clone, Hash)]
struct Counter {
    at: u32,
    breaks_at: u32,
    panics: bool,
}

impl Surrounding for Counter {
    type Step = u32;

    fn steps(&self) -> Vec<u32> {
        vec![1, 2]
    }

    fn take(&mut self, step: &u32) -> Result<(), String> {
        self.at += step;
        assert!(!self.panics || self.at != self.breaks_at, "at {}", self.at);
        if self.at == self.breaks_at { Err(format!("broken at {}", self.at)) } else { Ok(()) }
    }
}

#[test]
fn every_state_within_the_depth_is_reached_and_counted_once() {
    let start = Counter { at: 0, breaks_at: 100, panics: false };
    let searched = search(&start, 10).expect("nothing breaks");
    assert_eq!(searched.states, 21);
    assert!(searched.transitions >= searched.states, "{searched:?}");
}

#[test]
fn failures_and_panics_are_found_by_the_fewest_steps() {
    for panics in [false, true] {
        let broken = search(&Counter { at: 0, breaks_at: 7, panics }, 10).expect_err("7 is reached");
        assert!(broken.contains(if panics { "panicked: at 7" } else { "broken at 7" }), "{broken}");
        assert_eq!(broken.lines().filter(|line| line.trim().ends_with(',')).count(), 4, "{broken}");
        assert!(search(&Counter { at: 0, breaks_at: 7, panics }, 3).is_ok(), "7 takes four steps");
    }
}
