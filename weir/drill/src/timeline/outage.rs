//! What is seen of an outage: that it bit, when it was over, and what must not have come of it. Pure.

use weir_protocol::rest::Health;

use crate::step::{Disruption, Step};
use crate::survey::Survey;

/// So long after its end an outage may still show, milliseconds: descriptions come late.
const AFTERGLOW_MS: u64 = 5_000;

/// An outage of the coordination store, or of checkpoint storage.
#[derive(Debug)]
pub(super) struct Outage {
    /// What is taken away, for people.
    pub(super) what: &'static str,
    /// Of the coordination store.
    pub(super) of_store: bool,
    /// The same leader goes on, and no task restarts.
    pub(super) nobody_restarts: bool,
    /// When it was first seen.
    pub(super) bit_at: Option<u64>,
    /// When everything may be reached again, as far as known.
    pub(super) ends_at: Option<u64>,
}

impl Outage {
    /// `None` if the step is none.
    pub(super) fn of(survey: &Survey, step: &Step) -> Option<Self> {
        let (what, for_ms) = step.disruption.outage()?;
        let of_store = matches!(step.disruption, Disruption::StoreOutage { .. });
        let outlives = survey.bounds.as_ref().is_some_and(|bounds| bounds.leadership_outlives(for_ms));
        Some(Self { what, of_store, nobody_restarts: !of_store || outlives, bit_at: None, ends_at: None })
    }

    /// Whether everything may be reached again at this time.
    pub(super) fn is_over(&self, at: u64) -> bool {
        self.ends_at.is_some_and(|ends_at| at >= ends_at)
    }

    /// Whether it will not be seen any more, as it was not seen in its time.
    pub(super) fn did_not_bite(&self, now: u64) -> bool {
        self.bit_at.is_none() && self.ends_at.is_some_and(|ends_at| now >= ends_at + AFTERGLOW_MS)
    }

    /// What this answer of the JobManager that led shows of it, for people: that its store is away or, on raft, where a leader is
    /// one as long as it reaches the others, that it leads no more.
    pub(super) fn shows(&self, health: &Health) -> Option<&'static str> {
        if !self.of_store || self.bit_at.is_some() {
            return None;
        }
        let away = health.store_away.then_some("says that the coordination store is away");
        away.or((!health.leading).then_some("leads no more"))
    }
}
