//! Plants bugs in the product, one after the other, and looks for each by the search and by simulations.

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use weir_world::flaw::Flaw;
use weir_world::{out_line, output};

use crate::processes::{Ended, child};

/// Steps to add to the usual depth for the first search. The shallow search takes a second.
const SHALLOW: i32 = -1;
/// Number of seeds that are tried before the search with the usual depth.
const FIRST_SEEDS: u64 = 5;

/// Scenarios with faults that simulations do not draw at random.
const SCENARIOS: [&str; 5] = [
    "a-copy-of-a-member-runs-elsewhere",
    "a-second-process-has-the-name-of-a-member",
    "all-disks-are-put-back-from-a-backup",
    "files-arrive-while-a-job-starts",
    "a-member-stays-dead-for-a-minute",
];

/// The result of looking for a flaw.
struct Found {
    /// What found the flaw; `None` if nothing did.
    by: Option<Finder>,
    /// Processor time in seconds, including the attempts that did not find the flaw.
    cpu_s: f64,
}

/// What found a flaw.
struct Finder {
    what: String,
    seed: Option<u64>,
    said: String,
}

/// An attempt to find a flaw: the arguments of a run, and the seed if the run is a simulation.
struct Attempt {
    /// `search`, `simulation` or the name of a scenario.
    what: String,
    arguments: Vec<String>,
    seed: Option<u64>,
}

/// Looks for each flaw, `jobs` at a time, and prints what found it. Exit code 1 if a flaw was not found.
pub(crate) fn find_all(flaws: &[Flaw], seeds: &Range<u64>, seconds: u64, jobs: usize) -> ExitCode {
    let (next, started) = (AtomicUsize::new(0), Instant::now());
    let found = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                while !output::reader_is_gone() {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let Some(flaw) = flaws.get(number) else { return };
                    let result = find(*flaw, seeds, seconds);
                    match &result.by {
                        Some(by) => out_line!("{}: found by {}: {}", flaw.name(), by.name(), by.said),
                        None => out_line!("{}: NOT FOUND: {}", flaw.name(), flaw.what()),
                    }
                    found.lock().unwrap_or_else(PoisonError::into_inner).insert(number, result);
                }
            });
        }
    });
    let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
    out_line!("\n{:30} {:32} {:>5} {:>8}", "flaw", "found by", "seed", "CPU s");
    for (number, result) in &found {
        let by = result.by.as_ref().map_or("NOT FOUND", |by| &by.what);
        let seed = result.by.as_ref().and_then(|by| by.seed).map(|seed| seed.to_string()).unwrap_or_default();
        out_line!("{:30} {by:32} {seed:>5} {:8.1}", flaws[*number].name(), result.cpu_s);
    }
    let missed = found.values().filter(|result| result.by.is_none()).count();
    let cpu_s: f64 = found.values().map(|result| result.cpu_s).sum();
    let wall_s = started.elapsed().as_secs_f64();
    out_line!("{} planted bugs, {missed} not found; {cpu_s:.0} s of CPU, {wall_s:.0} s with {jobs} at a time", flaws.len());
    if missed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Looks for a flaw by the search and by simulations, until one of them finds it.
fn find(flaw: Flaw, seeds: &Range<u64>, seconds: u64) -> Found {
    let planted = || format!("--flaw={}", flaw.name());
    let search = |deeper: i32| Attempt {
        what: "search".to_owned(),
        arguments: vec!["search".to_owned(), format!("--deeper={deeper}"), planted()],
        seed: None,
    };
    let simulation = |seed: u64| Attempt {
        what: "simulation".to_owned(),
        arguments: vec!["run".to_owned(), format!("--seed={seed}"), format!("--seconds={seconds}"), planted()],
        seed: Some(seed),
    };
    let scenario = |name: &str| Attempt {
        what: name.to_owned(),
        arguments: vec!["run".to_owned(), format!("--scenario={name}"), planted()],
        seed: None,
    };
    let first = seeds.start..seeds.end.min(seeds.start + FIRST_SEEDS);
    let rest = first.end..seeds.end;
    let attempts = [search(SHALLOW)].into_iter().chain(first.map(simulation)).chain(SCENARIOS.map(scenario));
    let attempts = attempts.chain([search(0)]).chain(rest.map(simulation));
    let mut cpu_s = 0.0;
    for attempt in attempts {
        // A program that can't be run finds nothing.
        let ended = child(&attempt.arguments);
        let Ok(Ended { good, text, cpu_s: took }) = ended else { continue };
        cpu_s += took;
        if !good {
            return Found { by: Some(Finder::new(&attempt, &text)), cpu_s };
        }
    }
    Found { by: None, cpu_s }
}

impl Finder {
    fn new(attempt: &Attempt, text: &str) -> Self {
        let told = text.lines().find(|line| line.contains("VIOLATION") || line.contains("panicked"));
        let told = told.or_else(|| text.lines().next_back()).unwrap_or_default().trim();
        let short = |text: &str| text.chars().take(160).collect();
        let (core, said) = told.split_once(": VIOLATION ").unwrap_or(("", told));
        let what = if core.is_empty() { attempt.what.clone() } else { format!("{}, {core}", attempt.what) };
        Self { what, seed: attempt.seed, said: short(said.trim_start_matches("VIOLATION ")) }
    }

    fn name(&self) -> String {
        self.seed.map_or_else(|| self.what.clone(), |seed| format!("{}, seed {seed}", self.what))
    }
}
