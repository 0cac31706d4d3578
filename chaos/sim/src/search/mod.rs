//! Every order of events, within bounds, against the pure cores themselves: not a model of them, but the code that is shipped.
//!
//! A core is put into a surrounding as small as can be (a store, some tasks, clients), which says what may happen next. Each such
//! step is tried in each state that can be reached in so many steps, and what the core wants done is judged at once. Invariants'
//! ids as in docs/invariants.md.
//!
//! What has been reached is remembered by a hash of 64 bits alone, with the number of steps that were left then: among a hundred
//! million states two share one with a probability of 3 in 10,000, and then one of them is not looked at again.

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

/// A core in its surrounding. What its hash does not tell apart is taken for the same.
pub trait Surrounding: Clone + Debug + Hash {
    /// Something that may happen.
    type Step: Clone + Debug;

    /// All that may happen next.
    fn steps(&self) -> Vec<Self::Step>;

    /// It happens; the error says which invariant broke and how.
    fn take(&mut self, step: &Self::Step) -> Result<(), String>;
}

/// The error is what does not hold.
fn require(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// How much was searched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Searched {
    pub transitions: u64,
    /// States that differ.
    pub states: u64,
    /// Most steps from where it began.
    pub depth: usize,
    /// Places it began at.
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

/// The cores that are searched, by name.
pub const CORES: [&str; 6] =
    ["barrier-aligner", "checkpoint-coordinator", "dispatcher", "job-master", "resource-manager", "task-executor"];

/// Searches the core of this name, as deep as takes seconds and so many steps more, or fewer.
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

/// Searches from several places, each with a name.
fn search_all<S: Surrounding>(starts: impl FnOnce() -> Vec<(&'static str, S)>, depth: usize) -> Result<Searched, String> {
    let starts =
        catch_unwind(AssertUnwindSafe(starts)).map_err(|panic| format!("on the way to the start {}", panicked(&*panic)))?;
    let mut all = Searched::default();
    for (name, start) in starts {
        all = all.and(search(&start, depth).map_err(|broken| format!("{broken}\nfrom {name:?}"))?);
    }
    Ok(all)
}

/// Tries everything that can happen in up to `depth` steps from `start`. The error says what broke, and after which steps: as few as
/// it takes.
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

/// What broke, after which steps, and where that led.
struct Broken<S: Surrounding> {
    what: String,
    steps: Vec<S::Step>,
    state: S,
}

struct Search<S: Surrounding> {
    /// What was reached, and how many steps were left then.
    seen: HashMap<u64, u8, Fingerprints>,
    transitions: u64,
    /// The steps to where it is.
    trail: Vec<S::Step>,
}

impl<S: Surrounding> Search<S> {
    fn new() -> Self {
        Self { seen: HashMap::default(), transitions: 0, trail: Vec::new() }
    }

    /// Goes on from `state` for up to `left` steps. Depth first: only the states on the way are kept.
    fn descend(&mut self, state: S, left: usize) -> Result<(), Box<Broken<S>>> {
        let Some(left) = left.checked_sub(1) else { return Ok(()) };
        let steps = state.steps();
        let count = steps.len();
        let mut state = Some(state);
        for (number, step) in steps.into_iter().enumerate() {
            // The last one may have the state itself.
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

    /// Whether this was not reached before with as many steps left.
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
    format!("it panicked: {}", said.unwrap_or("without a word"))
}

#[cfg(test)]
mod tests;
