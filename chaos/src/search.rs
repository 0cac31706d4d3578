//! Every order of events, within bounds, against the pure cores themselves: not a model of them, but the code that is shipped.
//!
//! A core is put into a surrounding as small as can be (a store, some tasks, clients), which says what may happen next. Each such
//! step is tried in each state that can be reached in so many steps, and what the core wants done is judged at once. Invariants'
//! ids as in docs/invariants.md.

pub mod checkpoint_coordinator;
pub mod dispatcher;
pub mod resource_manager;

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::fmt::{self, Debug, Write};
use std::hash::{Hash, Hasher};

/// A core in its surrounding.
pub trait Surrounding: Clone + Debug {
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
    /// Steps taken.
    pub transitions: u64,
    /// States that differ.
    pub states: u64,
}

impl Searched {
    fn and(self, other: Self) -> Self {
        Self { transitions: self.transitions + other.transitions, states: self.states + other.states }
    }
}

/// The cores that are searched, by name.
pub const CORES: [&str; 3] = ["checkpoint-coordinator", "dispatcher", "resource-manager"];

/// Searches the core of this name; without a depth as deep as takes seconds.
pub fn search_core(name: &str, depth: Option<usize>) -> Result<Searched, String> {
    match name {
        "checkpoint-coordinator" => {
            let (first, second) =
                (checkpoint_coordinator::Checkpoints::running(), checkpoint_coordinator::Checkpoints::after_one());
            let depth = depth.unwrap_or(8);
            Ok(search(&first, depth)?.and(search(&second, depth)?))
        }
        "dispatcher" => search(&dispatcher::Jobs::none(), depth.unwrap_or(7)),
        "resource-manager" => search(&resource_manager::Slots::none(), depth.unwrap_or(6)),
        other => Err(format!("there is no core {other}; there are: {}", CORES.join(", "))),
    }
}

/// Tries everything that can happen in up to `depth` steps from `start`. The error says what broke, and after which steps.
pub fn search<S: Surrounding>(start: &S, depth: usize) -> Result<Searched, String> {
    let mut searched = Searched { transitions: 0, states: 1 };
    let mut seen = HashSet::from([fingerprint(start)]);
    // Each with the steps that led there, as a chain of indices into `trail`.
    let mut trail: Vec<(usize, S::Step)> = Vec::new();
    let mut frontier = vec![(start.clone(), None)];
    for _ in 0..depth {
        let mut next = Vec::new();
        for (state, from) in frontier {
            for step in state.steps() {
                let mut after = state.clone();
                searched.transitions += 1;
                if let Err(what) = after.take(&step) {
                    return Err(format!("{what}\nafter {:#?}\nin {after:?}", steps_to(&trail, from, step)));
                }
                if seen.insert(fingerprint(&after)) {
                    searched.states += 1;
                    trail.push((from.map_or(usize::MAX, |index: usize| index), step));
                    next.push((after, Some(trail.len() - 1)));
                }
            }
        }
        frontier = next;
    }
    Ok(searched)
}

fn steps_to<T: Clone>(trail: &[(usize, T)], mut from: Option<usize>, last: T) -> Vec<T> {
    let mut steps = vec![last];
    while let Some((before, step)) = from.and_then(|index| trail.get(index)) {
        steps.push(step.clone());
        from = Some(*before);
    }
    steps.reverse();
    steps
}

/// Hashes what is written to it.
struct Fingerprint(DefaultHasher);

impl Write for Fingerprint {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.hash(&mut self.0);
        Ok(())
    }
}

/// Tells states apart by all that they show of themselves.
fn fingerprint(state: &impl Debug) -> u64 {
    let mut fingerprint = Fingerprint(DefaultHasher::new());
    // Never fails: the writer does not.
    let _ = write!(fingerprint, "{state:?}");
    fingerprint.0.finish()
}
