//! The `weir` command as users run it, against real processes.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;
use weir_chaos::cluster::turn::take_turn;
use weir_chaos::cluster::{ClusterUnderTest, all_running, newest_checkpoint, weir_binary};
use weir_chaos::workload::CountingJob;
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;

fn weir(arguments: &[&str]) -> Output {
    Command::new(weir_binary()).args(arguments).output().expect("the command runs")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim().to_owned()
}

/// The output of a command that must succeed.
fn printed(arguments: &[&str]) -> String {
    let output = weir(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

/// The exit code and message of a command that must fail.
fn refused(arguments: &[&str]) -> (Option<i32>, String) {
    let output = weir(arguments);
    (output.status.code(), text(&output.stderr))
}

fn write_graph(path: &Path, graph: &JobGraph) {
    std::fs::write(path, serde_json::to_string(graph).expect("a graph is JSON")).expect("the file is written");
}

#[test]
fn the_demo_kills_a_leader_and_a_task_manager_and_finds_every_row_once() {
    let _turn = take_turn();
    let directory = tempfile::tempdir().expect("a directory");
    let report = directory.path().join("report.json");
    let work = directory.path().join("work");
    printed(&["demo", "--report", &report.display().to_string(), "--dir", &work.display().to_string()]);
    let report: Value = serde_json::from_str(&std::fs::read_to_string(report).expect("a report")).expect("JSON");
    assert_eq!(report["verdict"], "exactly-once", "X1: {report}");
    assert_eq!(report["rows"], 19_434);
    assert_eq!([&report["lost"], &report["duplicated"], &report["wrong"]], [0, 0, 0]);
    assert!(report["leader_changes"].as_u64() >= Some(1), "the fault took effect: {report}");
    let failovers = report["failovers"].as_array().expect("a list");
    assert_eq!(failovers.len(), 2);
    for failover in failovers {
        assert!(failover["running_ms"].is_u64() && failover["first_checkpoint_ms"].is_u64(), "{failover}");
    }
}

#[test]
fn a_job_stopped_with_a_savepoint_continues_from_it_and_counts_nothing_twice() {
    // The graph has no checkpoint settings, so the cluster's settings apply.
    let test = ClusterUnderTest::start(&["execution.checkpointing.interval=200 ms", "restart-strategy.type=none"]);
    let addresses = test.cluster.rest_addresses().join(",");
    let job = CountingJob::lasting(120);
    let mut graph = job.graph(&test.output()).expect("a graph");
    (graph.checkpointing, graph.restart_strategy) = (None, None);
    let file = test.directory().join("job.json");
    write_graph(&file, &graph);
    let file = file.display().to_string();

    let id = printed(&["job", "submit", &file, "-m", &addresses, "--token", "once"]);
    assert_eq!(printed(&["job", "submit", &file, "-m", &addresses, "--token", "once"]), id, "G2: one token, one job");
    let first: JobId = id.parse().expect("an id is printed");
    test.await_job(first, "it runs and has checkpoints", |job| all_running(job) && newest_checkpoint(job) > 2);
    let listed: Value = serde_json::from_str(&printed(&["job", "list", "-m", &addresses, "-o", "json"])).expect("JSON");
    assert_eq!(listed["jobs"][0]["jid"], *id);
    assert!(printed(&["job", "describe", &id, "-m", &addresses]).contains("RUNNING"));
    assert!(printed(&["ha", "history", "-m", &addresses]).contains("jm-"));

    let savepoints = test.directory().join("kept").display().to_string();
    let stopped = printed(&["job", "stop", &id, "--savepoint-dir", &savepoints, "-m", &addresses]);
    let savepoint = stopped.rsplit(' ').next().expect("a place is printed").to_owned();
    assert!(savepoint.contains("/kept/savepoint-"), "{stopped}");
    printed(&["job", "wait", &id, "-m", &addresses]);
    let partly = job.check(&test.output()).expect("the output can be read");
    assert!(partly.lost > 0 && partly.duplicated == 0, "it was stopped in the middle: {partly:?}");

    // The job reads the rest of its two minutes at once.
    graph = job.up_to(job.rows).graph(&test.output()).expect("a graph");
    (graph.checkpointing, graph.restart_strategy, graph.restore_from) = (None, None, Some(savepoint));
    write_graph(Path::new(&file), &graph);
    let again: JobId = printed(&["job", "submit", &file, "-m", &addresses]).parse().expect("an id is printed");
    test.finish(again, &job);
}

#[test]
fn failures_say_what_happened_and_have_their_exit_codes() {
    let nobody = "127.0.0.1:1";
    let some_job = "00000000000000000000000000000001";
    let (code, message) = refused(&["job", "list", "-m", nobody, "--timeout", "300 ms"]);
    assert_eq!(code, Some(4), "{message}");
    assert!(message.contains("refused"), "{message}");
    let (code, message) = refused(&["jobmanager", "-D", "heartbeat.intervall=1 s"]);
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("CONFIG-UNKNOWN-KEY") && message.contains("did you mean"), "{message}");
    let (code, message) = refused(&["jobmanager", "-D", "execution.checkpointing.interval=1 ms"]);
    assert_eq!(code, Some(2), "{message}");
    assert!(message.contains("JG-CHECKPOINTING"), "{message}");
    assert_eq!(refused(&["job", "describe", "not-an-id"]).0, Some(2));
    assert_eq!(refused(&["job", "submit", "/nowhere/graph.json", "-m", nobody]).0, Some(1));

    let test = ClusterUnderTest::start_with(|options| options.jobmanagers = 1);
    let addresses = test.cluster.rest_addresses().join(",");
    let (code, message) = refused(&["job", "describe", some_job, "-m", &addresses]);
    assert_eq!(code, Some(3), "{message}");
    let id = test.submit(&CountingJob::endless()).to_string();
    let (code, message) = refused(&["job", "wait", &id, "--until", "100 ms", "-m", &addresses]);
    assert_eq!(code, Some(5), "{message}");
    printed(&["job", "cancel", &id, "-m", &addresses]);
    let (code, message) = refused(&["job", "wait", &id, "-m", &addresses]);
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("CANCELED"), "{message}");
}

#[test]
fn a_coordination_system_is_checked_before_it_is_used() {
    let directory = tempfile::tempdir().expect("a directory");
    let setting = |text: String| ["-D".to_owned(), text];
    let raft = [
        setting("high-availability.type=raft".to_owned()),
        setting("high-availability.raft.members=jm-1@127.0.0.1:1;jm-2@127.0.0.1:1".to_owned()),
        setting(format!("high-availability.raft.dir={}/raft", directory.path().display())),
    ];
    let arguments: Vec<&str> = ["ha", "check"].into_iter().chain(raft.iter().flatten().map(String::as_str)).collect();
    let found = printed(&arguments);
    for part in ["a write of the former leader was refused", "jm-2 at 127.0.0.1:1 can't be reached", "This raft is fit"] {
        assert!(found.contains(part), "{part:?} is not in\n{found}");
    }
    assert_eq!(std::fs::read_dir(directory.path()).expect("a directory").count(), 0, "nothing is left behind");

    let nobody = ["-D", "high-availability.type=etcd", "-D", "high-availability.etcd.endpoints=http://127.0.0.1:1"];
    let (code, message) = refused(&[&["ha", "check"], nobody.as_slice()].concat());
    assert_eq!(code, Some(1), "{message}");
    assert!(message.contains("not fit to be relied on: an election"), "{message}");
}
