//! Tries every order of events, within bounds, against the pure cores. The cores are the shipped code, not models of it.
//!
//! A core gets a surrounding that is as small as possible (a store, some tasks, clients) and that says what may happen next. The
//! search tries each such step in each state that it can reach within a number of steps, and judges the effects of the core at
//! once. The ids of invariants are those of docs/invariants.md.
//!
//! The search remembers a state only by a 64-bit hash, with the number of steps that were left. Among a hundred million states,
//! two share a hash with a probability of 3 in 10,000. Then one of the two is not searched.

pub mod barrier_aligner;
pub mod checkpoint_coordinator;
pub mod dispatcher;
mod fingerprint;
pub mod job_master;
pub mod resource_manager;
pub mod task_executor;

use std::any::Any;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt::Debug;
use std::hash::Hash;
use std::panic::{AssertUnwindSafe, catch_unwind};

use fingerprint::{Fingerprints, fingerprint};

/// A core in its surrounding. States with the same hash count as the same state.
pub trait Surrounding: Clone + Debug + Hash {
    /// An event that may happen.
    type Step: Clone + Debug;

    /// Returns all events that may happen next.
    fn steps(&self) -> Vec<Self::Step>;

    /// Makes a step happen. The error says which invariant broke and how.
    fn take(&mut self, step: &Self::Step) -> Result<(), String>;
}

/// Fails with `what` unless `holds`.
fn require(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// The extent of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Searched {
    pub transitions: u64,
    /// Number of different states.
    pub states: u64,
    /// Maximum number of steps from a start.
    pub depth: usize,
    /// Number of states from which the search started.
    pub starts: u32,
}

impl Searched {
    fn and(self, other: Self) -> Self {
        Self {
            transitions: self.transitions + other.transitions,
            states: self.states + other.states,
            depth: self.depth.max(other.depth),
            starts: self.starts + other.starts,
        }
    }
}

/// Names of the cores that can be searched.
pub const CORES: [&str; 6] =
    ["barrier-aligner", "checkpoint-coordinator", "dispatcher", "job-master", "resource-manager", "task-executor"];

/// Searches the core with this name. With `deeper` 0 this takes seconds. Other values add steps to that depth, or remove some.
/// The error says what broke, and after which steps.
pub fn search_core(name: &str, deeper: i32) -> Result<Searched, String> {
    let depth = |usual: u32| usual.saturating_add_signed(deeper) as usize;
    match name {
        "barrier-aligner" => search_all(barrier_aligner::starts, depth(24)),
        "checkpoint-coordinator" => search_all(checkpoint_coordinator::starts, depth(8)),
        "dispatcher" => search_all(|| vec![("none", dispatcher::Jobs::none())], depth(7)),
        "job-master" => search_all(job_master::starts, depth(6)),
        "resource-manager" => search_all(|| vec![("none", resource_manager::Slots::none())], depth(6)),
        "task-executor" => search_all(task_executor::starts, depth(6)),
        other => Err(format!("there is no core {other}; there are: {}", CORES.join(", "))),
    }
}

/// Searches from several starts, each with a name.
fn search_all<S: Surrounding>(starts: impl FnOnce() -> Vec<(&'static str, S)>, depth: usize) -> Result<Searched, String> {
    let starts =
        catch_unwind(AssertUnwindSafe(starts)).map_err(|panic| format!("before the search started, {}", panicked(&*panic)))?;
    let mut all = Searched::default();
    for (name, start) in starts {
        all = all.and(search(&start, depth).map_err(|broken| format!("{broken}\nfrom {name:?}"))?);
    }
    Ok(all)
}

/// Tries everything that can happen in up to `depth` steps from `start`. The error says what broke, after the smallest number of
/// steps that breaks something.
pub fn search<S: Surrounding>(start: &S, depth: usize) -> Result<Searched, String> {
    let mut search = Search::new();
    let Err(mut broken) = search.descend(start.clone(), depth) else {
        let states = search.seen.len() as u64 + 1;
        return Ok(Searched { transitions: search.transitions, states, depth, starts: 1 });
    };
    while let Err(shorter) = Search::new().descend(start.clone(), broken.steps.len() - 1) {
        broken = shorter;
    }
    let Broken { what, steps, state } = *broken;
    Err(format!("{what}\nafter {steps:#?}\nin {state:?}"))
}

/// A broken invariant, the steps that led to it, and the state after them.
struct Broken<S: Surrounding> {
    what: String,
    steps: Vec<S::Step>,
    state: S,
}

struct Search<S: Surrounding> {
    /// Fingerprints of the states that were reached, with the greatest number of steps that were left there.
    seen: HashMap<u64, u8, Fingerprints>,
    transitions: u64,
    /// The steps to the present state.
    trail: Vec<S::Step>,
}

impl<S: Surrounding> Search<S> {
    fn new() -> Self {
        Self { seen: HashMap::default(), transitions: 0, trail: Vec::new() }
    }

    /// Searches up to `left` steps from `state`, depth first, so that only the states on the trail are in memory.
    fn descend(&mut self, state: S, left: usize) -> Result<(), Box<Broken<S>>> {
        let Some(left) = left.checked_sub(1) else { return Ok(()) };
        let steps = state.steps();
        let count = steps.len();
        let mut state = Some(state);
        for (number, step) in steps.into_iter().enumerate() {
            // The last step can take the state without a clone.
            let next = if number + 1 == count { state.take() } else { state.clone() };
            let Some(mut after) = next else { break };
            self.transitions += 1;
            let taken = catch_unwind(AssertUnwindSafe(|| after.take(&step)));
            self.trail.push(step);
            if let Err(what) = taken.unwrap_or_else(|panic| Err(panicked(&*panic))) {
                return Err(Box::new(Broken { what, steps: std::mem::take(&mut self.trail), state: after }));
            }
            if self.is_news(fingerprint(&after), left) {
                self.descend(after, left)?;
            }
            self.trail.pop();
        }
        Ok(())
    }

    /// Returns whether the state was never reached before with at least this many steps left.
    fn is_news(&mut self, state: u64, left: usize) -> bool {
        let left = u8::try_from(left).unwrap_or(u8::MAX);
        match self.seen.entry(state) {
            Entry::Vacant(vacant) => {
                vacant.insert(left);
                true
            }
            Entry::Occupied(known) if *known.get() >= left => false,
            Entry::Occupied(mut known) => {
                known.insert(left);
                true
            }
        }
    }
}

fn panicked(panic: &(dyn Any + Send)) -> String {
    let said = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    format!("the core panicked: {}", said.unwrap_or("no message"))
}

#[cfg(test)]
mod tests;
