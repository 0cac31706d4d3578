//! Submissions whose answers get lost between a JobManager and etcd, and that are repeated with the same token.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use weir_chaos::cluster::{ClusterUnderTest, PATIENCE};
use weir_local::{Coordination, Fault};
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::JobStatus;
use weir_servers::Patience;
use weir_verdict::random::Random;

/// Rounds of a run, unless its time is over before.
const ROUNDS: u64 = 60;
/// How long new rounds begin.
const TIME: Duration = Duration::from_secs(40);
/// Clients that submit one token at the same time.
const CLIENTS: usize = 3;
/// Set it to the seed that a failed run printed.
const SEED: &str = "WEIR_TEST_SEED";

#[expect(clippy::disallowed_methods, reason = "a test can't be given arguments")]
fn seed() -> u64 {
    std::env::var(SEED).map_or_else(|_| u64::from(std::process::id()), |seed| seed.parse().expect("a number"))
}

/// A job of one task that ends at once.
fn short_job(name: &str) -> JobGraph {
    let fields = [json!({"name": "id", "type": "bigint", "kind": "sequence", "min": 0})];
    let graph = json!({
        "version": JobGraph::VERSION,
        "name": name,
        "vertices": [{"id": "numbers", "parallelism": 1, "operators": [
            {"kind": "source.datagen", "options": {"rows": 10, "seed": 1, "fields": fields}},
            {"kind": "sink.blackhole"},
        ]}],
    });
    serde_json::from_value(graph).expect("a job graph")
}

/// Submits until the job is acknowledged, as a client does that gives up on an answer after a moment.
fn submit(test: &ClusterUnderTest, token: &str, pause: Duration) -> (JobId, u64) {
    std::thread::sleep(pause);
    let (graph, patience, mut unanswered) = (short_job(token), Patience::of(PATIENCE), 0);
    loop {
        match test.submit_with_token(&graph, token, Duration::from_millis(300)) {
            Ok(job) => return (job, unanswered),
            Err(error) => assert!(!patience.is_over(), "{token} is never acknowledged: {error}"),
        }
        unanswered += 1;
    }
}

/// Cuts the answers of etcd off for a while. Some of them are lost for good.
fn cut(test: &ClusterUnderTest, random: &Random) {
    let sleep = |at_most_ms| std::thread::sleep(Duration::from_millis(random.between(0, at_most_ms)));
    // Many cuts begin right after the first submission: between its commit and the commit's answer.
    sleep(if random.chance(700) { 8 } else { 60 });
    test.cluster.interrupt_coordination(Fault::LostAnswers);
    sleep(1_200);
    if random.chance(700) {
        test.cluster.interrupt_coordination(Fault::Reset);
        sleep(100);
    }
    test.cluster.interrupt_coordination(Fault::None);
}

#[test]
fn a_submission_whose_answer_is_lost_and_that_is_repeated_starts_one_job_once() {
    let seed = seed();
    println!("to repeat the faults: {SEED}={seed}");
    let random = Random::new(seed, "lost answers");
    let test = ClusterUnderTest::start_with(|options| {
        options.coordination = Coordination::Etcd;
        options.interruptible = true;
        // A cut is much shorter than these leases, so one leader gets all submissions.
        options.settings.push("high-availability.etcd.lease-ttl=30 s".to_owned());
    });
    let (leader, epoch) = test.await_leader_after(0);
    let (mut jobs, mut unanswered) = (BTreeSet::new(), 0);
    let time = Patience::of(TIME);
    for round in 0..ROUNDS {
        if time.is_over() {
            break;
        }
        let token = format!("token-{round}");
        let pauses: Vec<_> = (0..CLIENTS).map(|_| Duration::from_millis(random.between(0, 10))).collect();
        let submitted: Vec<_> = std::thread::scope(|scope| {
            let (test, token) = (&test, token.as_str());
            let clients: Vec<_> = pauses.into_iter().map(|pause| scope.spawn(move || submit(test, token, pause))).collect();
            cut(test, &random);
            clients.into_iter().map(|client| client.join().expect("the client submits")).collect()
        });
        unanswered += submitted.iter().map(|(_, unanswered)| unanswered).sum::<u64>();
        let ids: BTreeSet<JobId> = submitted.into_iter().map(|(job, _)| job).collect();
        assert_eq!(ids.len(), 1, "G2: {token} has several jobs: {ids:?}");
        jobs.extend(ids);
    }
    println!("{} submissions, {unanswered} requests without an answer", jobs.len());
    assert!(unanswered > 0 && test.cluster.held_answers() > 0, "no answer was lost");

    let log = |name: &str| test.log_of(name);
    for job in &jobs {
        for name in test.cluster.jobmanager_names() {
            let id = job.to_string();
            let starts = log(&name).lines().filter(|line| line.contains("JobMaster started") && line.contains(&id)).count();
            let expected = usize::from(name == leader);
            assert_eq!(starts, expected, "{name} started job {job} {starts} times");
        }
    }
    for job in &jobs {
        let end = test.await_job(*job, "the job ends", |job| job.status.is_globally_terminal());
        assert_eq!(end.status, JobStatus::Finished, "{:#?}", end.exceptions);
    }
    let known: Vec<_> = test.overview_of_jobs().into_iter().filter(|job| job.name.starts_with("token-")).collect();
    assert_eq!(known.len(), jobs.len(), "G2: one job for each token: {known:#?}");
    test.until("every slot is given back", || test.slots().filter(|(total, available)| *total > 0 && total == available));
    assert_eq!(test.leader(), Some((leader, epoch)), "one leader got all submissions");
}
