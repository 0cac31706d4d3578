//! Measures a cluster of real processes from outside. Build with `--release`; docs/measurements.md has the figures.
//!
//! usage: measure failover [RUNS] [fast] [etcd|zookeeper] | submit [RUNS] | jobs [JOBS] [SECONDS] | memory | csv FILE ROWS PARALLELISM [RUNS]

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints as a small program would")]

mod jobs;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::json;
use weir_chaos::cluster::{ClusterUnderTest, all_running, newest_checkpoint, poll};
use weir_chaos::workload::{CountingJob, committed_lines};
use weir_local::Coordination;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::JobStatus;

/// Timeouts for a quiet network: the "fast" column of the tables.
const FAST: [&str; 5] = [
    "high-availability.raft.heartbeat-interval=30 ms",
    "high-availability.raft.election-timeout.min=150 ms",
    "high-availability.raft.election-timeout.max=300 ms",
    "high-availability.etcd.lease-ttl=1 s",
    "high-availability.zookeeper.client.session-timeout=1 s",
];
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> std::process::ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, otherwise: u64| arguments.get(at).and_then(|text| text.parse().ok()).unwrap_or(otherwise);
    match arguments.first().map(String::as_str) {
        Some("failover") => {
            let asked = |word: &str| arguments.iter().any(|argument| argument == word);
            let external = [("etcd", Coordination::Etcd), ("zookeeper", Coordination::ZooKeeper)];
            let coordination = external.into_iter().find(|(word, _)| asked(word)).map_or(Coordination::Raft, |(_, kind)| kind);
            failover(number(1, 20), asked("fast"), coordination);
        }
        Some("submit") => submit(number(1, 10)),
        Some("jobs") => jobs::jobs(number(1, 1_000) as u32, number(2, 60)),
        Some("memory") => memory(),
        Some("csv") if arguments.len() >= 4 => csv(Path::new(&arguments[1]), number(2, 0), number(3, 1) as u32, number(4, 3)),
        _ => {
            eprintln!(
                "usage: measure failover [RUNS] [fast] [etcd|zookeeper] | submit [RUNS] | jobs [JOBS] [SECONDS] | memory | csv FILE ROWS PARALLELISM [RUNS]"
            );
            return std::process::ExitCode::from(2);
        }
    }
    std::process::ExitCode::SUCCESS
}

fn print_row(what: &str, unit: &str, mut values: Vec<f64>) {
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (values.first(), values.last()) else { return };
    let median = values[values.len() / 2];
    println!("{what}: min {least:.1} / median {median:.1} / max {most:.1} {unit} (n={})", values.len());
}

/// Kills the leader several times while a job reads 1000 rows per second.
fn failover(runs: u64, fast: bool, coordination: Coordination) {
    let settings: &[&str] = if fast { &FAST } else { &[] };
    let mut test = ClusterUnderTest::start_with(|options| {
        options.coordination = coordination;
        options.settings.extend(settings.iter().map(|setting| (*setting).to_owned()));
    });
    let job = CountingJob { rows: 100_000_000, rows_per_second: 1_000, ..CountingJob::lasting(1) };
    let id = test.submit(&job);
    let (mut leader, mut epoch) = test.await_leader_after(0);
    let (mut elected, mut running, mut checkpointed) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..runs {
        let before = test.describe(id).expect("the job is known");
        let killed = Instant::now();
        let since = |started: Instant| started.elapsed().as_secs_f64() * 1_000.0;
        test.cluster.kill(&leader).expect("the leader runs");
        let dead = leader;
        (leader, epoch) = poll(PATIENCE, || test.leader().filter(|(_, newer)| *newer > epoch)).expect("another leader");
        elected.push(since(killed));
        poll(PATIENCE, || test.describe(id).filter(|job| job.epoch > before.epoch && all_running(job))).expect("it runs");
        running.push(since(killed));
        poll(PATIENCE, || test.describe(id).filter(|job| newest_checkpoint(job) > newest_checkpoint(&before)))
            .expect("a checkpoint");
        checkpointed.push(since(killed));
        test.cluster.restart(&dead).expect("it starts again");
        test.until("the restarted member has caught up", || {
            let members = test.ha_as_seen_by(&leader)?.members;
            members.into_iter().find(|member| {
                member.name == dead && member.reachable != Some(false) && member.lag_entries.is_none_or(|lag| lag < 50)
            })
        });
    }
    let profile = format!("{coordination:?}, {}", if fast { "fast" } else { "default" });
    print_row(&format!("{profile}: leader SIGKILL to new leader serving"), "ms", elected);
    print_row(&format!("{profile}: leader SIGKILL to every task RUNNING"), "ms", running);
    print_row(&format!("{profile}: leader SIGKILL to next completed checkpoint"), "ms", checkpointed);
}

/// Measures the time from the submission until all tasks are RUNNING.
fn submit(runs: u64) {
    let test = ClusterUnderTest::start(&[]);
    test.await_leader_after(0);
    test.until("two TaskManagers", || (test.log_of("tm-1").len().min(test.log_of("tm-2").len()) > 0).then_some(()));
    let mut times = Vec::new();
    for run in 0..runs {
        let job = CountingJob { rows: 5_000, ..CountingJob::lasting(1) };
        let graph = job.graph(&test.output().join(run.to_string())).expect("a graph");
        let started = Instant::now();
        let id = test.submit_graph(&graph);
        poll(PATIENCE, || test.describe(id).filter(all_running)).expect("it runs");
        times.push(started.elapsed().as_secs_f64() * 1_000.0);
        test.await_job(id, "it ends", |job| job.status.is_globally_terminal());
    }
    print_row("submission to every task RUNNING", "ms", times);
}

/// Prints the resident memory of idle processes.
fn memory() {
    let mut test = ClusterUnderTest::start(&[]);
    let (leader, _) = test.await_leader_after(0);
    std::thread::sleep(Duration::from_secs(10));
    for name in test.cluster.jobmanager_names().into_iter().chain(test.cluster.taskmanager_names()) {
        let bytes = test.cluster.process(&name).and_then(|process| process.resident_bytes()).unwrap_or_default();
        let role = if name == leader { " (leader)" } else { "" };
        println!("{name}{role}: {:.1} MB resident, idle", bytes as f64 / 1e6);
    }
}

/// Measures a job that reads bids from a CSV file, and writes a 10 s tumbling window per auction to CSV files.
fn csv(file: &Path, rows: u64, parallelism: u32, runs: u64) {
    let mut test = ClusterUnderTest::start_with(|options| {
        options.jobmanagers = 1;
        options.taskmanagers = 1;
        options.slots = parallelism;
    });
    let (mut wall, mut cpu) = (Vec::new(), Vec::new());
    for run in 0..runs {
        let graph = bids_graph(file, &test.output().join(run.to_string()), parallelism);
        let before = test.cluster.process("tm-1").and_then(|process| process.cpu_seconds()).unwrap_or_default();
        let id = test.submit_graph(&graph);
        let end = test.await_job(id, "it ends", |job| job.status.is_globally_terminal());
        assert_eq!(end.status, JobStatus::Finished, "{end:#?}");
        let lines = committed_lines(&test.output().join(run.to_string())).expect("the output can be read");
        let counted: u64 = lines.iter().filter_map(|line| line.split(',').nth(2)?.parse::<u64>().ok()).sum();
        assert_eq!(counted, rows, "every row is counted once");
        let after = test.cluster.process("tm-1").and_then(|process| process.cpu_seconds()).unwrap_or_default();
        wall.push(rows as f64 / ((end.ended_at_ms.unwrap_or_default() - end.submitted_at_ms) as f64 / 1_000.0) / 1e6);
        cpu.push(rows as f64 / (after - before) / 1e6);
    }
    print_row(&format!("parallelism {parallelism}: rows per second"), "M/s", wall);
    print_row(&format!("parallelism {parallelism}: rows per TaskManager CPU second"), "M", cpu);
}

fn bids_graph(file: &Path, output: &Path, parallelism: u32) -> JobGraph {
    let bigint = |name: &str| json!({"name": name, "type": "bigint"});
    let schema = json!([bigint("auction"), bigint("bidder"), bigint("price"), {"name": "ts", "type": "timestamp_ms"}]);
    serde_json::from_value(json!({
        "version": 1,
        "name": "bids",
        "vertices": [
            {"id": "bids", "parallelism": parallelism, "output_schema": schema, "operators": [
                {"kind": "source.file", "options": {"path": file, "format": "csv", "header": false, "schema": schema}},
                {"kind": "watermark", "options": {"column": "ts", "out_of_orderness_ms": 1000}},
            ]},
            {"id": "windows", "parallelism": parallelism, "operators": [
                {"kind": "window.tumbling", "options": {
                    "time_column": "ts", "size_ms": 10_000, "keys": ["auction"],
                    "aggregates": [
                        {"name": "n", "function": "count"},
                        {"name": "s", "function": "sum", "column": "price"},
                        {"name": "m", "function": "max", "column": "price"},
                    ],
                }},
                {"kind": "sink.file", "options": {"path": output, "format": "csv"}},
            ]},
        ],
        "edges": [{"from": "bids", "to": "windows", "partitioning": {"type": "hash", "keys": ["auction"]}}],
        "checkpointing": {"interval_ms": 10_000},
    }))
    .expect("the graph is a graph")
}
