//! `weir drill` as operators run it, against real processes: what it breaks, what it measures, what it refuses, and what it
//! records.

#![allow(clippy::print_stdout, reason = "a test harness captures only what the macro prints")]

mod outages;

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use weir_chaos::cluster::turn::take_turn;
use weir_chaos::cluster::{ClusterUnderTest, PATIENCE, all_running, attempts, newest_checkpoint, poll, weir_binary};
use weir_chaos::workload::CountingJob;
use weir_local::Coordination;
use weir_protocol::JobId;
use weir_protocol::job_graph::RestartStrategyConfig;
use weir_protocol::rest::DrillResult;
use weir_servers::ReservedPort;

const AGENT: &str = "drill.agent.enabled=true";

/// The result of a `weir drill run`.
struct Drilled {
    code: Option<i32>,
    said: String,
    told: String,
}

impl Drilled {
    /// The result of a drill that must have passed.
    fn passed(self) -> DrillResult {
        assert_eq!(self.code, Some(0), "{}\n{}", self.told, self.said);
        let result: DrillResult = serde_json::from_str(&self.said).expect("a result");
        println!("{}", self.said);
        assert!(result.passed && result.missed.is_empty(), "{result:?}");
        result
    }
}

/// A running drill, and the files of its output.
struct Running {
    child: Child,
    said: PathBuf,
    told: PathBuf,
}

impl Running {
    fn start(addresses: &str, directory: &Path, arguments: &[&str]) -> Self {
        let (said, told) = (directory.join("drill.out"), directory.join("drill.err"));
        // Sooner than this test gives up, so that the drill itself says what it has waited for.
        let deadline = if arguments.contains(&"--deadline") { &[][..] } else { &["--deadline", "90 s"] };
        let child = Command::new(weir_binary())
            .args(["drill", "run"])
            .args(arguments)
            .args(deadline)
            .args(["--target", addresses, "-o", "json"])
            .stdin(Stdio::null())
            .stdout(File::create(&said).expect("a file"))
            .stderr(File::create(&told).expect("a file"))
            .spawn()
            .expect("the command runs");
        Self { child, said, told }
    }

    /// Waits until the drill ends. Calls `meanwhile` repeatedly while it waits.
    fn end(mut self, mut meanwhile: impl FnMut()) -> Drilled {
        let status = poll(PATIENCE, || {
            meanwhile();
            self.child.try_wait().expect("it can be waited for")
        });
        let text = |path: &Path| std::fs::read_to_string(path).unwrap_or_default();
        let drilled = Drilled { code: status.and_then(|status| status.code()), said: text(&self.said), told: text(&self.told) };
        assert!(status.is_some(), "the drill did not end: {}", drilled.told);
        drilled
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // If the drill has ended, as it should have, nothing is left to kill.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// Runs a drill to its end. Restarts the processes that the drill ends, as a supervisor would.
fn drill(test: &mut ClusterUnderTest, arguments: &[&str]) -> Drilled {
    let running = Running::start(&test.cluster.rest_addresses().join(","), test.directory(), arguments);
    running.end(|| drop(test.cluster.revive().expect("what has ended is restarted")))
}

fn weir(arguments: &[&str]) -> Output {
    Command::new(weir_binary()).args(arguments).output().expect("the command runs")
}

/// Waits until the leader knows all three JobManagers and one of them may fail. Returns the leader's name and epoch.
fn await_redundancy(test: &ClusterUnderTest) -> (String, u64) {
    let look = || {
        let (leader, epoch) = test.leader()?;
        let ha = test.ha_as_seen_by(&leader)?;
        let close = ha.members.iter().all(|member| member.reachable != Some(false) && member.lag_entries.unwrap_or(0) < 100);
        (ha.failures_tolerated >= 1 && ha.members.len() == 3 && close).then_some((leader, epoch))
    };
    test.until("three JobManagers, of which one may fail", look)
}

/// Submits the workload with a restart strategy that allows no restart.
fn submit_without_restarts(test: &ClusterUnderTest, job: &CountingJob) -> JobId {
    let mut graph = job.graph(&test.output()).expect("the workload is a job graph");
    graph.restart_strategy = Some(RestartStrategyConfig::None);
    let id = test.submit_graph(&graph);
    test.await_job(id, "it runs and has a checkpoint", |job| all_running(job) && newest_checkpoint(job) > 0);
    id
}

#[test]
fn leader_drills_pass_measure_their_effect_and_are_recorded() {
    let mut test = ClusterUnderTest::start(&[AGENT]);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (first, epoch) = await_redundancy(&test);

    let before = attempts(&test.describe(id).expect("the leader answers"));
    let dry = drill(&mut test, &["leader-kill", "--dry-run"]);
    assert_eq!(dry.code, Some(0), "{}", dry.told);
    let examination: Value = serde_json::from_str(&dry.said).expect("JSON");
    assert!(examination["steps"][0].as_str().is_some_and(|step| step.contains(&first)), "{examination}");
    assert_eq!(test.leader(), Some((first.clone(), epoch)), "a dry run touches nothing");
    assert_eq!(attempts(&test.describe(id).expect("the leader answers")), before);

    let killed = drill(&mut test, &["leader-kill", "--rto", "60 s"]).passed();
    assert_eq!(killed.victims, [first.as_str()]);
    test.await_leader_after(epoch);
    let measures = killed.measures;
    for measure in [measures.detection_ms, measures.recovery_ms, measures.first_checkpoint_ms, measures.back_ms] {
        assert!(measure.is_some(), "{measures:?}");
    }
    assert!(
        measures.detection_ms <= measures.recovery_ms && measures.recovery_ms <= measures.first_checkpoint_ms,
        "{measures:?}"
    );
    assert!(measures.control_plane_outage_ms > Some(0), "{measures:?}");
    assert_eq!((measures.records_lost, measures.records_reprocessed), (Some(0), None), "not measured is not 0");

    let (second, epoch) = await_redundancy(&test);
    let transferred = drill(&mut test, &["leader-transfer"]).passed();
    assert_eq!(transferred.victims, [second.as_str()]);
    let (successor, _) = test.await_leader_after(epoch);
    assert_ne!(successor, second, "the fault took effect");
    let log = test.log_of(&second);
    let farewell = log.rsplit("no longer leading").next().unwrap_or_default();
    assert!(farewell.len() < log.len() && !farewell.contains("restarts"), "who hands over restarts nothing: {farewell}");

    let (third, epoch) = await_redundancy(&test);
    let paused = drill(&mut test, &["leader-pause", "--pause", "4 s"]).passed();
    assert_eq!(paused.victims, [third.as_str()]);
    let back_ms = paused.measures.back_ms.expect("it takes part again");
    assert!(back_ms >= 3_000, "it was paused: {back_ms} ms");
    test.await_leader_after(epoch);

    await_redundancy(&test);
    let missed = drill(&mut test, &["leader-transfer", "--rto", "1 ms"]);
    assert_eq!(missed.code, Some(1), "{}", missed.told);
    assert!(missed.told.contains("DRILL-MISSED") && missed.told.contains("the objective is 1 ms"), "{}", missed.told);

    // Change the leader once more: the record of drills belongs to the cluster, not to one leader.
    let (leader, epoch) = await_redundancy(&test);
    test.cluster.kill(&leader).expect("it runs");
    test.await_leader_after(epoch);
    let addresses = test.cluster.rest_addresses().join(",");
    let history = weir(&["ha", "history", "-m", &addresses, "-o", "json"]);
    let history: Value = serde_json::from_slice(&history.stdout).expect("JSON");
    let drills = history["drills"].as_array().expect("a list");
    let names: Vec<_> = drills.iter().map(|drill| drill["drill"].as_str().unwrap_or_default()).collect();
    assert_eq!(names, ["leader-transfer", "leader-pause", "leader-transfer", "leader-kill"], "newest first");
    assert_eq!(drills.iter().map(|drill| drill["passed"] == true).collect::<Vec<_>>(), [false, true, true, true]);
    let shown = weir(&["ha", "history", "-m", &addresses]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("leader-pause"));
    test.cluster.restart(&leader).expect("it starts again");
    test.finish(id, &job);
}

#[test]
fn a_job_without_restarts_survives_a_drill() {
    let mut test = ClusterUnderTest::start(&[AGENT]);
    let job = CountingJob::endless();
    let id = submit_without_restarts(&test, &job);
    await_redundancy(&test);
    let before = test.describe(id).expect("the leader answers");
    let killed = drill(&mut test, &["taskmanager-kill", "--rto", "60 s"]).passed();
    let after = test.describe(id).expect("the leader answers");
    assert!(after.restarts > before.restarts, "the fault took effect");
    assert_ne!(attempts(&after), attempts(&before));
    let victim = killed.victims[0].as_str();
    assert!(test.cluster.taskmanager_names().iter().any(|name| name == victim), "{victim}");
    assert!(killed.measures.detection_ms.is_some() && killed.measures.back_ms.is_some(), "{:?}", killed.measures);
    test.finish(id, &job);
}

#[test]
fn too_little_redundancy_is_refused_and_nothing_is_touched() {
    let mut test = ClusterUnderTest::start_with(|options| {
        options.jobmanagers = 2;
        options.settings.push(AGENT.to_owned());
    });
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (leader, epoch) = test.await_leader_after(0);
    let before = attempts(&test.describe(id).expect("the leader answers"));
    for arguments in [["leader-kill", "--rto=1 s"], ["leader-kill", "--dry-run"], ["leader-pause", "--rpo=0"]] {
        let refused = drill(&mut test, &arguments);
        assert_eq!(refused.code, Some(6), "{}", refused.told);
        assert!(
            refused.told.contains("DRILL-REFUSED") && refused.told.contains("0 more JobManagers may fail"),
            "{}",
            refused.told
        );
    }
    assert_eq!(test.leader(), Some((leader, epoch)));
    assert_eq!(attempts(&test.describe(id).expect("the leader answers")), before);
    let unknown = drill(&mut test, &["earthquake"]);
    assert_eq!(unknown.code, Some(2), "{}", unknown.told);
    test.finish(id, &job);
}

#[test]
fn without_an_agent_faults_are_refused_and_a_command_can_replace_it() {
    let mut test = ClusterUnderTest::start(&[]);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (leader, epoch) = await_redundancy(&test);
    let refused = drill(&mut test, &["leader-kill"]);
    assert_eq!(refused.code, Some(6), "{}", refused.told);
    assert!(refused.told.contains("DRILL-AGENT-OFF") && refused.told.contains("drill.agent.enabled"), "{}", refused.told);
    let address = test.cluster.rest_address(&leader).expect("its address");
    let order = serde_json::json!({"process": leader, "fault": {"kind": "kill"}});
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let (status, answer) = runtime.block_on(async {
        let url = format!("http://{address}/weir/v1/drill/fault");
        let answer = reqwest::Client::new().post(url).json(&order).send().await.expect("it answers");
        (answer.status().as_u16(), answer.text().await.unwrap_or_default())
    });
    assert_eq!(status, 403, "{answer}");
    assert!(answer.contains("DRILL-AGENT-OFF"), "{answer}");
    assert_eq!(test.leader(), Some((leader.clone(), epoch)));

    let paused = drill(&mut test, &["leader-pause", "--pause", "4 s", "--command", "kill -{signal} {pid}"]).passed();
    assert_eq!(paused.victims, [leader.as_str()]);
    assert!(paused.measures.back_ms >= Some(3_000), "it was paused: {:?}", paused.measures);
    let (successor, _) = test.await_leader_after(epoch);
    assert_ne!(successor, leader, "the fault took effect");
    test.finish(id, &job);
}

#[test]
fn an_interrupted_drill_resumes_the_process_that_it_paused_and_says_so() {
    let test = ClusterUnderTest::start(&[]);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (leader, epoch) = await_redundancy(&test);
    let addresses = test.cluster.rest_addresses().join(",");
    let arguments = ["leader-pause", "--pause", "100 s", "--command", "kill -{signal} {pid}"];
    let running = Running::start(&addresses, test.directory(), &arguments);
    let (successor, _) = test.await_leader_after(epoch);
    assert_ne!(successor, leader);
    assert_eq!(test.ha_as_seen_by(&leader), None, "the fault took effect: the leader is paused");
    kill(Pid::from_raw(running.child.id() as i32), Signal::SIGINT).expect("Ctrl-C");
    let broken_off = running.end(|| ());
    assert_eq!(broken_off.code, Some(1), "{}", broken_off.told);
    let told = &broken_off.told;
    assert!(told.contains("DRILL-INTERRUPTED") && told.contains("nothing is left broken"), "{told}");
    test.until("the resumed leader answers", || test.ha_as_seen_by(&leader));
    let history = weir(&["ha", "history", "-m", &addresses, "-o", "json"]);
    let history: Value = serde_json::from_slice(&history.stdout).expect("JSON");
    assert_eq!((&history["drill_under_way"], &history["drills"][0]["passed"]), (&Value::Null, &Value::Bool(false)), "{history}");
    test.finish(id, &job);
}

fn a_leader_is_killed_in_a_drill(coordination: Coordination) {
    let mut test = ClusterUnderTest::start_with(|options| {
        options.coordination = coordination;
        let settings = [AGENT, "high-availability.etcd.lease-ttl=2 s", "high-availability.zookeeper.client.session-timeout=2 s"];
        options.settings.extend(settings.map(str::to_owned));
    });
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (leader, epoch) = await_redundancy(&test);
    let killed = drill(&mut test, &["leader-kill"]).passed();
    assert_eq!(killed.victims, [leader.as_str()]);
    assert!(killed.measures.detection_ms.is_some() && killed.measures.back_ms.is_some(), "{:?}", killed.measures);
    // The new leader may be the same JobManager, after its restart.
    test.await_leader_after(epoch);
    test.finish(id, &job);
}

#[test]
fn a_leader_can_be_killed_in_a_drill_on_etcd() {
    a_leader_is_killed_in_a_drill(Coordination::Etcd);
}

#[test]
fn a_leader_can_be_killed_in_a_drill_on_zookeeper() {
    a_leader_is_killed_in_a_drill(Coordination::ZooKeeper);
}

/// `weir local` as users run it. Its processes end when it is killed.
struct Local(Child);

impl Drop for Local {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A port with two free ones after it.
fn three_ports() -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut taken = (0..100).map(|_| ReservedPort::take().expect("a port").number());
    taken.find(|port| free(port + 1) && free(port + 2)).expect("three ports in a row")
}

#[test]
fn a_local_cluster_restarts_what_a_drill_has_killed() {
    let _turn = take_turn();
    let directory = tempfile::tempdir().expect("a directory");
    let port = three_ports();
    let log = File::create(directory.path().join("local.log")).expect("a file");
    let place = directory.path().join("cluster").display().to_string();
    let started = Command::new(weir_binary())
        .args(["local", "--rest-port", &port.to_string(), "--dir", &place, "-D", AGENT])
        .stdin(Stdio::null())
        .stdout(log)
        .spawn();
    let mut local = Local(started.expect("the command runs"));
    let addresses = (port..port + 3).map(|port| format!("127.0.0.1:{port}")).collect::<Vec<_>>().join(",");
    let graph = CountingJob::endless().graph(&directory.path().join("output")).expect("the workload is a job graph");
    let file = directory.path().join("job.json");
    std::fs::write(&file, serde_json::to_string(&graph).expect("JSON")).expect("the file is written");
    let submitted = weir(&["job", "submit", &file.display().to_string(), "-m", &addresses]);
    assert!(submitted.status.success(), "{}", String::from_utf8_lossy(&submitted.stderr));

    let run = |arguments: &[&str]| Running::start(&addresses, directory.path(), arguments).end(|| ());
    let bearable = poll(PATIENCE, || (run(&["leader-kill", "--dry-run"]).code == Some(0)).then_some(()));
    assert!(bearable.is_some(), "{}", run(&["leader-kill", "--dry-run"]).told);
    let killed = run(&["leader-kill"]).passed();
    assert!(killed.measures.back_ms.is_some(), "its supervisor restarted it: {:?}", killed.measures);
    let log = std::fs::read_to_string(directory.path().join("local.log")).expect("a log");
    assert!(log.contains(&format!("{} had ended and was restarted", killed.victims[0])), "{log}");
    kill(Pid::from_raw(local.0.id() as i32), Signal::SIGTERM).expect("it is told to stop");
    let status = poll(PATIENCE, || local.0.try_wait().expect("it can be waited for"));
    assert!(status.is_some_and(|status| status.success()), "{status:?}");
}

#[test]
fn a_rolling_restart_stops_every_process_once_and_the_job_continues() {
    let mut test = ClusterUnderTest::start(&[AGENT]);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let (leader, _) = await_redundancy(&test);
    let started = test.directory().join("started");
    std::fs::create_dir(&started).expect("a directory");
    let command = format!("touch {}/{{name}}", started.display());
    let restarted = drill(&mut test, &["rolling-restart", "--restart-command", &command, "--rto", "60 s"]).passed();
    let mut victims = restarted.victims;
    assert_eq!(victims[2], leader, "the leader after the standbys: {victims:?}");
    victims.sort();
    assert_eq!(victims, ["jm-1", "jm-2", "jm-3", "tm-1", "tm-2"]);
    assert!(victims.iter().all(|name| started.join(name).is_file()), "the command was to restart each process");
    test.finish(id, &job);
}
