//! Many small jobs with a checkpoint each second: whether checkpoints are on time, and how fast REST answers.

use std::time::{Duration, Instant};

use serde_json::json;
use weir_chaos::cluster::{ClusterUnderTest, all_running};
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;

use super::print_row;

/// Time for the jobs to settle after the last one runs.
const SETTLE: Duration = Duration::from_secs(15);
/// Time between two requests to REST.
const PACE: Duration = Duration::from_millis(50);

/// Runs `jobs` jobs on raft for `seconds`, and measures from outside.
pub(super) fn jobs(jobs: u32, seconds: u64) {
    let mut test = ClusterUnderTest::start_with(|options| options.slots = jobs.div_ceil(2));
    let (leader, _) = test.await_leader_after(0);
    let ids: Vec<JobId> = (0..jobs).map(|number| test.submit_graph(&graph(number))).collect();
    for id in &ids {
        let job = test.await_job(*id, "it runs", |job| all_running(job) || job.status.is_globally_terminal());
        assert!(all_running(&job), "{job:#?}");
    }
    std::thread::sleep(SETTLE);
    let names: Vec<String> = test.cluster.jobmanager_names().into_iter().chain(test.cluster.taskmanager_names()).collect();
    let before: Vec<f64> = names.iter().map(|name| cpu(&mut test, name)).collect();
    let counted = |test: &ClusterUnderTest, what: &str| test.metric(&leader, &format!("weir_checkpoints_{what}_total"));
    let (completed, failed) = (counted(&test, "completed"), counted(&test, "failed"));
    let started = Instant::now();
    let times = requests(&test, &leader, &ids, started + Duration::from_secs(seconds));
    let elapsed = started.elapsed().as_secs_f64();
    let (completed, failed) = (counted(&test, "completed") - completed, counted(&test, "failed") - failed);
    println!(
        "{jobs} jobs with a checkpoint each second: {:.1} checkpoints a second completed ({:.1} % of those due), {failed} failed",
        completed / elapsed,
        completed / elapsed / f64::from(jobs) * 100.0
    );
    for (what, mut times) in times {
        times.sort_by(f64::total_cmp);
        let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
        println!("{what}: p50 {:.1} / p99 {:.1} / max {:.1} ms (n={})", at(0.5), at(0.99), at(1.0), times.len());
    }
    let restarted = ids.iter().filter(|id| test.describe(**id).is_none_or(|job| job.restarts > 0)).count();
    println!("jobs that restarted: {restarted}");
    for (name, before) in names.iter().zip(before) {
        let role = if *name == leader { " (leader)" } else { "" };
        print_row(&format!("{name}{role}: processor"), "% of a core", vec![(cpu(&mut test, name) - before) / elapsed * 100.0]);
    }
}

fn cpu(test: &mut ClusterUnderTest, name: &str) -> f64 {
    test.cluster.process(name).and_then(|process| process.cpu_seconds()).unwrap_or_default()
}

/// Asks the leader for the list of jobs, for one job and for its checkpoints in turn. Returns the times in milliseconds.
fn requests(test: &ClusterUnderTest, leader: &str, ids: &[JobId], until: Instant) -> Vec<(&'static str, Vec<f64>)> {
    let address = test.cluster.rest_address(leader).expect("the leader has an address");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let http = reqwest::Client::new();
    let mut times =
        vec![("GET /jobs/overview", Vec::new()), ("GET /jobs/ID", Vec::new()), ("GET /jobs/ID/checkpoints", Vec::new())];
    for id in ids.iter().cycle() {
        if Instant::now() >= until {
            break;
        }
        let paths = ["/jobs/overview".to_owned(), format!("/jobs/{id}"), format!("/jobs/{id}/checkpoints")];
        for (path, (_, times)) in paths.iter().zip(&mut times) {
            let asked = Instant::now();
            let answer = runtime.block_on(async { http.get(format!("http://{address}{path}")).send().await?.bytes().await });
            answer.expect("REST answers");
            times.push(asked.elapsed().as_secs_f64() * 1_000.0);
            std::thread::sleep(PACE);
        }
    }
    times
}

fn graph(number: u32) -> JobGraph {
    serde_json::from_value(json!({
        "version": 1,
        "name": format!("small-{number}"),
        "vertices": [{
            "id": "count", "parallelism": 1,
            "operators": [
                {"kind": "source.datagen", "options": {
                    "rows": 1_000_000_000, "rows_per_second": 1, "seed": 1,
                    "fields": [{"name": "id", "type": "bigint", "kind": "sequence", "min": 0}],
                }},
                {"kind": "sink.blackhole", "options": {}},
            ],
        }],
        "edges": [],
        "checkpointing": {"interval_ms": 1_000},
    }))
    .expect("the graph is a graph")
}
