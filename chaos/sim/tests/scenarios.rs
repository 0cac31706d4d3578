//! Failures of other systems, reproduced in simulated clusters: see `weir-sim scenarios --list`.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

use std::process::Command;

use weir_sim::scenario::SCENARIOS;

#[test]
fn every_scenario_is_played_and_breaks_no_invariant() {
    let output = Command::new(env!("CARGO_BIN_EXE_weir-sim")).arg("scenarios").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{text}");
    for scenario in SCENARIOS {
        assert!(text.contains(&format!("{}: ", scenario.name)), "{} was not played", scenario.name);
    }
}

#[test]
fn a_scenario_finds_a_planted_flaw() {
    let arguments = ["run", "--scenario", "a-leader-is-killed", "--flaw", "epoch-not-raised"];
    let output = Command::new(env!("CARGO_BIN_EXE_weir-sim")).args(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(!output.status.success() && text.contains("VIOLATION"), "{text}");
}
