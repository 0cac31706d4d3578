//! What always holds, judged from facts as they are observed. Ids as in docs/invariants.md.
//!
//! A fact is what somebody outside the product saw: a fenced write and its outcome, an answer to a client, a row that became
//! visible. Nothing here asks the product what it believes, so that simulations and real processes are judged alike.

mod checkpoint_files;
mod checkpoint_ids;
mod exactly_once;
mod fenced_writes;
mod leader_epochs;
mod submissions;

use std::collections::BTreeMap;

use crate::fact::Fact;

pub use exactly_once::{ExactlyOnce, Oracle};

/// Something that must always hold.
pub trait Invariant {
    /// Its id in docs/invariants.md.
    fn id(&self) -> &'static str;

    /// Takes in a fact; the error says what is wrong.
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

/// All of them, watching.
pub struct Watch {
    invariants: Vec<Box<dyn Invariant>>,
    facts: BTreeMap<&'static str, u64>,
}

impl Watch {
    /// Watches everything; `oracle` says what a job's sources say.
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

    /// Takes in a fact.
    pub fn observe(&mut self, fact: &Fact) -> Vec<Violation> {
        let judge = |invariant: &mut Box<dyn Invariant>| {
            let judged = invariant.observe(fact);
            judged.err().map(|what| Violation { id: invariant.id().to_owned(), what })
        };
        let violations = self.invariants.iter_mut().filter_map(judge).collect();
        *self.facts.entry(fact.kind()).or_default() += 1;
        violations
    }

    /// How many facts of each kind there were: an invariant that saw none held for nothing.
    pub fn facts(&self) -> &BTreeMap<&'static str, u64> {
        &self.facts
    }
}
