//! Invariants, judged from facts as they are observed. Their ids are those of docs/invariants.md.
//!
//! A fact is what an observer outside the product saw: a fenced write and its outcome, an answer to a client, a row that became
//! visible. This code never asks the product what it believes, so it can judge simulations and real processes alike.

mod checkpoint_files;
mod checkpoint_ids;
mod exactly_once;
mod fenced_writes;
mod leader_epochs;
mod submissions;

use std::collections::BTreeMap;

use crate::fact::Fact;

pub use exactly_once::{ExactlyOnce, Oracle, Whole};

/// A property that must always hold.
pub trait Invariant {
    /// Returns the invariant's id in docs/invariants.md.
    fn id(&self) -> &'static str;

    /// Judges the next fact. The error says how the fact breaks the invariant.
    fn observe(&mut self, fact: &Fact) -> Result<(), String>;
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub id: String,
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

/// All invariants, with the number of facts that they have judged.
pub struct Watch {
    invariants: Vec<Box<dyn Invariant>>,
    facts: BTreeMap<&'static str, u64>,
}

impl Watch {
    /// Watches every invariant. `oracle` says what the sources of a job produce.
    pub fn new(oracle: Oracle) -> Self {
        let invariants: Vec<Box<dyn Invariant>> = vec![
            Box::new(leader_epochs::LeaderEpochs::default()),
            Box::new(fenced_writes::FencedWrites::default()),
            Box::new(checkpoint_ids::CheckpointIds::default()),
            Box::new(checkpoint_files::CheckpointFiles::default()),
            Box::new(submissions::Submissions::default()),
            Box::new(ExactlyOnce::new(oracle)),
        ];
        Self { invariants, facts: BTreeMap::new() }
    }

    /// Judges the next fact, and returns the invariants that it breaks.
    pub fn observe(&mut self, fact: &Fact) -> Vec<Violation> {
        let judge = |invariant: &mut Box<dyn Invariant>| {
            let judged = invariant.observe(fact);
            judged.err().map(|what| Violation { id: invariant.id().to_owned(), what })
        };
        let violations = self.invariants.iter_mut().filter_map(judge).collect();
        *self.facts.entry(fact.kind()).or_default() += 1;
        violations
    }

    /// Returns the number of facts of each kind. If there were none, the invariants about them prove nothing.
    pub fn facts(&self) -> &BTreeMap<&'static str, u64> {
        &self.facts
    }
}
