//! What is seen of an outage: its effect, its end, and what it must not cause. Pure.

use weir_protocol::rest::Health;

use crate::step::{Disruption, Step};
use crate::survey::Survey;

/// An outage may still be seen this many milliseconds after its end, because descriptions come late.
const AFTERGLOW_MS: u64 = 5_000;

/// An outage of the coordination store, or of checkpoint storage.
#[derive(Debug)]
pub(super) struct Outage {
    /// What is unavailable, for people.
    pub(super) what: &'static str,
    /// Whether it is an outage of the coordination store.
    pub(super) of_store: bool,
    /// Whether the same leader must continue and no task may restart.
    pub(super) nobody_restarts: bool,
    /// When its effect was first seen.
    pub(super) bit_at: Option<u64>,
    /// When everything can be reached again, as far as known.
    pub(super) ends_at: Option<u64>,
}

impl Outage {
    /// `None` if the step is not an outage.
    pub(super) fn of(survey: &Survey, step: &Step) -> Option<Self> {
        let (what, for_ms) = step.disruption.outage()?;
        let of_store = matches!(step.disruption, Disruption::StoreOutage { .. });
        let outlives = survey.bounds.as_ref().is_some_and(|bounds| bounds.leadership_outlives(for_ms));
        Some(Self { what, of_store, nobody_restarts: !of_store || outlives, bit_at: None, ends_at: None })
    }

    /// Whether everything can be reached again at this time.
    pub(super) fn is_over(&self, at: u64) -> bool {
        self.ends_at.is_some_and(|ends_at| at >= ends_at)
    }

    /// Whether its effect was not seen and can't be seen any more.
    pub(super) fn did_not_bite(&self, now: u64) -> bool {
        self.bit_at.is_none() && self.ends_at.is_some_and(|ends_at| now >= ends_at + AFTERGLOW_MS)
    }

    /// What this answer of the former leader shows of the outage, for people: its store is unavailable or, on raft, it no longer
    /// leads. On raft, a leader leads only as long as it reaches the others.
    pub(super) fn shows(&self, health: &Health) -> Option<&'static str> {
        if !self.of_store || self.bit_at.is_some() {
            return None;
        }
        let away = health.store_away.then_some("reports that the coordination store is unavailable");
        away.or((!health.leading).then_some("no longer leads"))
    }
}
