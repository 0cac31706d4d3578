//! `weir chaos` as users run it: real processes, real faults, and a report that can be judged again.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use weir_chaos::cluster::network::Network;
use weir_chaos::cluster::weir_binary;
use weir_chaos::history::{HISTORY_FILE, History, What};

fn chaos(arguments: &[&str]) -> Output {
    Command::new(weir_binary()).arg("chaos").args(arguments).output().expect("the command runs")
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

fn report(directory: &Path) -> Value {
    let text = std::fs::read_to_string(directory.join("report.json")).expect("a report");
    serde_json::from_str(&text).expect("JSON")
}

fn text(path: &Path) -> &str {
    path.to_str().expect("it is UTF-8")
}

#[test]
fn a_run_passes_and_is_judged_the_same_again_and_a_spoiled_history_fails() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path();
    let arguments = ["run", "--workload", "churn", "--nemesis", "kill-leader,kill-taskmanager,isolate-leader"];
    let output = chaos(&[&arguments[..], &["--duration", "12s", "--seed", "3", "--report", text(place)]].concat());
    println!("{}", said(&output));
    assert!(output.status.success(), "{}", said(&output));
    let before = report(place);
    assert_eq!(before["verdict"], "passed");
    assert!(before["leader_changes"].as_u64() >= Some(1), "the faults took effect: {before}");
    let page = std::fs::read_to_string(place.join("report.html")).expect("a page");
    assert!(page.contains("PASSED") && page.contains("<svg") && page.contains("kill-leader"));
    if Network::hindrance().is_none() {
        assert_eq!(before["skipped"], Value::Array(Vec::new()));
    }

    let again = chaos(&["check", text(place)]);
    assert!(again.status.success(), "{}", said(&again));
    let verdicts = |text: &str| text.lines().filter(|line| line.starts_with("  held")).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(verdicts(&said(&again)), verdicts(&said(&output)), "the same code gives the same verdicts");

    let mut history = History::read(place).expect("a history");
    for event in &mut history.events {
        if let What::Rows { lines } = &mut event.what {
            lines.push(lines[0].clone());
        }
    }
    let lines: Vec<_> = history.events.iter().map(|event| serde_json::to_string(event).expect("JSON")).collect();
    std::fs::write(place.join(HISTORY_FILE), lines.join("\n")).expect("is written");
    let spoiled = chaos(&["check", text(place)]);
    assert_eq!(spoiled.status.code(), Some(1));
    assert!(said(&spoiled).contains("present more than once"), "{}", said(&spoiled));
}

#[test]
fn an_impossible_fault_is_skipped_and_never_passes() {
    let place = tempfile::tempdir().expect("a directory");
    let place = place.path();
    let output = chaos(&["run", "--nemesis", "store-reset", "--ha", "raft", "--duration", "2s", "--report", text(place)]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    let report = report(place);
    assert_eq!(report["verdict"], "no-footprint", "{report}");
    assert_eq!(report["skipped"][0][0], "store-reset");
}

#[test]
fn nonsense_is_refused() {
    let output = chaos(&["run", "--nemesis", "rain"]);
    assert_eq!(output.status.code(), Some(2), "{}", said(&output));
    assert!(said(&output).contains("weir chaos list"));
    let place = tempfile::tempdir().expect("a directory");
    assert_eq!(chaos(&["check", text(place.path())]).status.code(), Some(1));
    std::fs::write(place.path().join(HISTORY_FILE), "nonsense\n").expect("is written");
    let output = chaos(&["check", text(place.path())]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("line 1"), "{}", said(&output));
    assert!(said(&chaos(&["--help"])).contains("smoke"));
    assert!(said(&chaos(&["list"])).contains("kill-leader"));
}
