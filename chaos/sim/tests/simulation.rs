//! Simulated clusters: pinned seeds pass, and a seed alone determines a run.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

use std::path::Path;
use std::process::Command;

fn simulate(arguments: &[&str]) -> (bool, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_weir-sim")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

/// Returns the count after a name in a run's footprint, or 0 if the name is not there.
fn footprint(text: &str, name: &str) -> u64 {
    let found = text.split([',', ';']).find_map(|part| part.trim().strip_prefix(name)?.trim().lines().next()?.parse().ok());
    found.unwrap_or(0)
}

#[test]
fn pinned_seeds_pass_and_their_faults_take_effect() {
    let (mut kills, mut refused) = (0, 0);
    for seed in ["1", "2", "3"] {
        let (good, text) = simulate(&["run", "--seed", seed, "--seconds", "30"]);
        assert!(good, "{text}");
        assert!(footprint(&text, "rows") > 100, "{text}");
        assert!(footprint(&text, "checkpoints") > 5, "{text}");
        assert!(footprint(&text, "epoch") > 1, "the leader never changed: {text}");
        kills += footprint(&text, "kill");
        refused += footprint(&text, "store refused") + footprint(&text, "disk lost");
    }
    assert!(kills > 0 && refused > 0, "no fault took effect: {kills} kills, {refused} operations refused or lost");
}

/// The seeds of bugs that a simulation once found. docs/reliability.md lists the bugs.
#[test]
fn seeds_that_once_found_a_bug_pass() {
    let minute = ["2002", "2016", "2017", "2028", "2029", "7600173"].map(|seed| (seed, "60"));
    for (seed, seconds) in minute.into_iter().chain([("497744010", "20")]) {
        let (good, text) = simulate(&["run", "--seed", seed, "--seconds", seconds]);
        assert!(good, "{text}");
    }
}

#[test]
fn a_forgotten_sync_is_found() {
    let lost = |seed: &u32| !simulate(&["run", "--seed", &seed.to_string(), "--seconds", "30", "--lying-disks"]).0;
    assert!((1..=20).any(|seed| lost(&seed)), "20 runs passed on disks that never sync");
}

#[test]
fn a_seed_run_twice_is_the_same_run_to_the_byte() {
    let directory = tempfile::tempdir().unwrap();
    let trace = |name: &str| {
        let path = directory.path().join(name);
        let (good, text) = simulate(&["run", "--seed", "7", "--seconds", "15", "--trace", path.to_str().unwrap()]);
        assert!(good, "{text}");
        std::fs::read(Path::new(&path)).unwrap()
    };
    let (first, second) = (trace("a"), trace("b"));
    assert!(first.len() > 10_000, "the trace is too short: {} bytes", first.len());
    let differ = first.iter().zip(&second).position(|(a, b)| a != b);
    assert!(first == second, "traces of {} and {} bytes differ from byte {differ:?}", first.len(), second.len());
}
