//! Holds the rules of the house that neither the compiler nor clippy can: budgets, names, who may name whom.

#![allow(clippy::unwrap_used, reason = "a test that can not go on fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use weir_tidy::{check, code_before_tests, files, is_comment, is_test_file, root};

const FILE_LINES_MAX: usize = 800;
const FILE_LINES_USUAL: usize = 400;
/// Nine files in ten keep to [`FILE_LINES_USUAL`].
const USUAL_SHARE: f64 = 0.9;

const FORBIDDEN_FILES: [&str; 9] = ["utils", "util", "common", "helpers", "misc", "shared", "base", "imp", "core"];
const KNOWN_MANAGERS: [&str; 5] = ["JobManager", "TaskManager", "ResourceManager", "SlotManager", "MemoryManager"];

/// Which of our crates each crate may name (build and normal dependencies; tests may reach further).
const MAY_NAME: [(&str, &[&str]); 21] = [
    ("weir-world", &[]),
    ("weir-protocol", &[]),
    ("weir-storage", &["weir-protocol", "weir-world"]),
    ("weir-dataflow", &["weir-protocol"]),
    ("weir-connectors", &["weir-dataflow", "weir-storage", "weir-protocol"]),
    ("weir-kafka", &["weir-connectors", "weir-dataflow", "weir-protocol", "weir-world"]),
    ("weir-sql", &["weir-dataflow", "weir-protocol"]),
    ("weir-sql-reference", &["weir-sql", "weir-dataflow", "weir-protocol"]),
    ("weir-ha", &["weir-storage", "weir-protocol", "weir-world"]),
    ("weir-client", &["weir-sql", "weir-protocol", "weir-world"]),
    ("weir-control-plane", &["weir-ha", "weir-storage", "weir-protocol", "weir-world"]),
    (
        "weir-sql-gateway",
        &[
            "weir-control-plane",
            "weir-ha",
            "weir-storage",
            "weir-sql",
            "weir-connectors",
            "weir-dataflow",
            "weir-protocol",
            "weir-world",
        ],
    ),
    ("weir-worker", &["weir-storage", "weir-dataflow", "weir-connectors", "weir-protocol", "weir-world"]),
    ("weir-local", &["weir-client", "weir-servers"]),
    ("weir-drill", &["weir-ha", "weir-client", "weir-storage", "weir-protocol", "weir-world"]),
    ("weir", &["*"]),
    ("weir-verdict", &["weir-protocol"]),
    ("weir-sim", &["*"]),
    (
        "weir-chaos",
        &[
            "weir-local",
            "weir-verdict",
            "weir-sql-reference",
            "weir-client",
            "weir-storage",
            "weir-servers",
            "weir-protocol",
            "weir-world",
        ],
    ),
    ("weir-servers", &[]),
    ("weir-tidy", &[]),
];

/// A word that may stand only under one path.
const CONFINED: [(&str, &str); 7] = [
    ("kafka_protocol::", "connectors/kafka/src"),
    ("openraft::", "ha/src/raft"),
    ("etcd_client::", "ha/src/etcd"),
    ("zookeeper_client::", "ha/src/zookeeper"),
    ("tokio::spawn(", "protocol/world"),
    ("unbounded_channel", "nowhere"),
    ("object_store::", "storage/src/file_system"),
];

/// Where the world is reached through `weir_world` alone, so that a simulation can take its place.
const SIMULATED: [&str; 4] = ["ha/src/raft/", "ha/src/provider_thread.rs", "control-plane/src/", "worker/src/"];

/// The world itself.
const WORLD: [&str; 8] = [
    "std::fs",
    "std::time::Instant",
    "SystemTime",
    "thread::spawn",
    "thread::Builder",
    "tokio::net",
    "tokio::runtime::Builder",
    "TcpListener::bind(",
];

/// Words that have no place in a pure core: events, effects, and the file that handles them.
const NOT_IN_CORES: [&str; 5] = ["async fn", "tokio::", "Instant::now", "wall_clock_ms()", "random_id()"];

#[test]
fn files_are_short() {
    let sizes: Vec<(String, usize)> = files(".rs")
        .into_iter()
        .filter(|(path, _)| !is_test_file(path))
        .map(|(path, text)| (path, code_before_tests(&text).count()))
        .collect();
    let too_long =
        |(path, lines): &(String, usize)| format!("{path}: {lines} lines before its tests, the limit is {FILE_LINES_MAX}");
    check(sizes.iter().filter(|(_, lines)| *lines > FILE_LINES_MAX).map(too_long).collect());
    let usual = sizes.iter().filter(|(_, lines)| *lines <= FILE_LINES_USUAL).count();
    let share = usual as f64 / sizes.len() as f64;
    assert!(share >= USUAL_SHARE, "only {:.0} % of the files have at most {FILE_LINES_USUAL} lines", share * 100.0);
}

#[test]
fn names_are_nouns_and_not_drawers() {
    let mut problems = Vec::new();
    for (path, text) in files(".rs") {
        for part in path.trim_end_matches(".rs").split('/') {
            if FORBIDDEN_FILES.contains(&part) {
                problems.push(format!("{path}: {part:?} says nothing; name the noun"));
            }
        }
        for line in text.lines() {
            problems.extend(bad_type_name(line).map(|why| format!("{path}: {line:?}: {why}")));
        }
    }
    check(problems);
}

fn bad_type_name(line: &str) -> Option<&'static str> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let at = words.iter().position(|word| ["struct", "enum", "trait"].contains(word))?;
    if words[..at].iter().any(|word| !word.starts_with("pub")) {
        return None;
    }
    let name: String = words.get(at + 1)?.chars().take_while(|c| c.is_alphanumeric()).collect();
    if name.ends_with("Factory") {
        return Some("construct it directly");
    }
    if name.ends_with("Impl") || name.starts_with("Default") {
        return Some("name what it is");
    }
    if name.ends_with("Manager") && !KNOWN_MANAGERS.iter().any(|known| name.ends_with(known)) {
        return Some("no manager beyond Flink's own");
    }
    None
}

#[test]
fn crates_name_only_what_they_may() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON");
    let allowed: BTreeMap<&str, &[&str]> = MAY_NAME.into_iter().collect();
    let mut problems = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = package["name"].as_str().unwrap();
        let Some(may_name) = allowed.get(name) else {
            problems.push(format!("{name}: a new crate needs a decision record and a line in MAY_NAME"));
            continue;
        };
        for dependency in package["dependencies"].as_array().unwrap() {
            let other = dependency["name"].as_str().unwrap();
            let ours = allowed.contains_key(other);
            let is_test_only = dependency["kind"].as_str() == Some("dev");
            if ours && !is_test_only && !may_name.contains(&"*") && !may_name.contains(&other) {
                problems.push(format!("{name} names {other}: against the direction of dependencies"));
            }
        }
    }
    check(problems);
}

#[test]
fn some_words_stay_in_their_rooms() {
    let mut problems = Vec::new();
    for (path, text) in files(".rs") {
        if path.starts_with("ops/tidy") {
            continue;
        }
        for (word, home) in CONFINED {
            if !path.starts_with(home) && code_before_tests(&text).any(|line| !is_comment(line) && line.contains(word)) {
                problems.push(format!("{path}: {word} belongs under {home}"));
            }
        }
    }
    check(problems);
}

#[test]
fn what_a_simulation_runs_reaches_the_world_through_its_seam() {
    let mut problems = Vec::new();
    for (path, text) in files(".rs") {
        if is_test_file(&path) || !SIMULATED.iter().any(|room| path.starts_with(room)) {
            continue;
        }
        for line in code_before_tests(&text).filter(|line| !is_comment(line)) {
            let named = WORLD.iter().find(|word| line.replace("BoundListener::bind(", "").contains(**word));
            problems.extend(named.map(|word| format!("{path}: {word} instead of weir_world")));
        }
    }
    check(problems);
}

#[test]
fn every_actor_has_the_same_shape_and_its_core_only_decides() {
    let all = files(".rs");
    let folders: BTreeSet<_> = all.iter().filter_map(|(path, _)| path.strip_suffix("/effect.rs")).collect();
    assert!(folders.len() >= 5, "expected the actors' folders, found {folders:?}");
    let mut problems = Vec::new();
    for folder in folders {
        let inside: Vec<_> = all
            .iter()
            .filter(|(path, _)| {
                path.strip_prefix(folder).is_some_and(|rest| rest[1..].ends_with(".rs") && !rest[1..].contains('/'))
            })
            .collect();
        if !inside.iter().any(|(path, _)| path.ends_with("/event.rs")) {
            problems.push(format!("{folder}: has effects and no event.rs"));
        }
        let handles = |text: &str| code_before_tests(text).any(|line| line.contains("pub fn handle(&mut self, event"));
        let cores: Vec<_> = inside.iter().filter(|(_, text)| handles(text)).collect();
        if cores.len() != 1 {
            problems.push(format!("{folder}: one file has `pub fn handle(&mut self, event, …)`, found {}", cores.len()));
        }
        let pure = |path: &str| ["event.rs", "effect.rs"].iter().any(|name| path.ends_with(&format!("/{name}")));
        for (path, text) in cores.into_iter().copied().chain(inside.iter().copied().filter(|(path, _)| pure(path))) {
            for word in NOT_IN_CORES {
                if code_before_tests(text).any(|line| !is_comment(line) && line.contains(word)) {
                    problems.push(format!("{path}: {word} in a pure core"));
                }
            }
        }
    }
    check(problems);
}

#[test]
fn every_error_code_has_a_page_line() {
    let pages: String =
        files(".md").into_iter().filter(|(path, _)| path.starts_with("docs/errors/")).map(|(_, text)| text).collect();
    let mut missing = BTreeSet::new();
    for (path, text) in files(".rs") {
        if is_test_file(&path) || path.starts_with("ops/tidy") {
            continue;
        }
        for line in code_before_tests(&text).filter(|line| !is_comment(line)) {
            missing.extend(codes_in(line).filter(|code| !pages.contains(code.as_str())).map(|code| format!("{code} ({path})")));
        }
    }
    check(missing.into_iter().map(|code| format!("no line in docs/errors for {code}")).collect());
}

/// Quoted words like `JG-CYCLE` or the start of `CONFIG-FILE: …`.
fn codes_in(line: &str) -> impl Iterator<Item = String> {
    const FAMILIES: [&str; 23] = [
        "JG-", "CKPT-", "CONFIG-", "EXPR-", "CHAIN-", "SINK-", "SOURCE-", "OP-", "TASK-", "FILE-", "STATE-", "WINDOW-", "NET-",
        "RPC-", "RAFT-", "SLOT-", "JOB-", "DRILL-", "HA-", "REST-", "CLIENT-", "LOCAL-", "PROGRAM-",
    ];
    line.split('"').skip(1).step_by(2).filter_map(|quoted| {
        let code: String = quoted.chars().take_while(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || *c == '-').collect();
        let known = FAMILIES.iter().any(|family| code.starts_with(family) && code.len() > family.len());
        let whole = code.len() == quoted.len() || quoted[code.len()..].starts_with(':');
        (known && whole && !code.ends_with('-')).then_some(code)
    })
}
