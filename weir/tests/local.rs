//! `weir local` as users run it.

use std::fs::File;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use tokio::runtime::Runtime;
use weir_client::ClusterClient;
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::JobStatus;
use weir_protocol::rest::JobDescription;
use weir_servers::ReservedPort;

/// How long anything may take before a test gives up. It is long, because timings must never decide a test.
const PATIENCE: Duration = Duration::from_secs(120);
const PACE: Duration = Duration::from_millis(20);
/// How long one look at the cluster may take.
const LOOK: Duration = Duration::from_secs(2);

/// A running `weir local`. Its processes end when it is killed.
struct Local {
    process: Child,
    output: PathBuf,
}

impl Local {
    fn start(directory: &Path, rest_port: u16, arguments: &[&str]) -> Self {
        let output = directory.with_extension("log");
        let log = File::create(&output).expect("a file");
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.args(["local", "--rest-port", &rest_port.to_string(), "--taskmanagers", "1", "--dir"]).arg(directory);
        command.args(arguments).stdin(Stdio::null()).stdout(log.try_clone().expect("a handle")).stderr(log);
        Self { process: command.spawn().expect("it starts"), output }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Stops it in order.
    fn stop(mut self) -> ExitStatus {
        kill(Pid::from_raw(self.process.id() as i32), Signal::SIGTERM).expect("it runs");
        self.end()
    }

    /// Waits until it ends by itself.
    fn end(&mut self) -> ExitStatus {
        until("its end", || self.process.try_wait().expect("it can be waited for"))
    }

    /// Process id and command line of each of its processes.
    fn processes(&self) -> Vec<(Pid, String)> {
        let parent = self.process.id().to_string();
        let is_child = |status: &str| status.lines().any(|line| line.split_whitespace().eq(["PPid:", &parent]));
        let places = std::fs::read_dir("/proc").expect("/proc").flatten().map(|entry| entry.path());
        let children = places.filter(|place| std::fs::read_to_string(place.join("status")).is_ok_and(|status| is_child(&status)));
        let process = |place: PathBuf| {
            let line = std::fs::read(place.join("cmdline")).unwrap_or_default();
            let id = place.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("a process id");
            (Pid::from_raw(id), String::from_utf8_lossy(&line).replace('\0', " "))
        };
        children.map(process).collect()
    }
}

impl Drop for Local {
    fn drop(&mut self) {
        // If it has ended, nothing is left to kill.
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(started.elapsed() < PATIENCE, "not seen in time: {what}");
        std::thread::sleep(PACE);
    }
}

/// A client and its runtime.
struct Cluster {
    client: ClusterClient,
    runtime: Runtime,
}

impl Cluster {
    fn at(ports: &[u16]) -> Self {
        let addresses = ports.iter().map(|port| format!("127.0.0.1:{port}")).collect();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { client: ClusterClient::new(addresses).expect("addresses"), runtime }
    }

    /// Submits an endless job that discards its rows.
    fn submit(&self) -> JobId {
        self.submit_with(&json!({"kind": "sink.blackhole"}), &json!({"type": "fixed-delay", "attempts": 100, "delay_ms": 500}))
    }

    /// Submits an endless job with this sink and this restart strategy.
    fn submit_with(&self, sink: &Value, restart_strategy: &Value) -> JobId {
        let source = json!({"kind": "source.datagen", "options": {"rows": 1_000_000_000, "rows_per_second": 100,
            "fields": [{"name": "n", "type": "bigint", "kind": "sequence"}]}});
        let graph = json!({"version": 1, "name": "endless", "restart_strategy": restart_strategy,
            "vertices": [{"id": "numbers", "parallelism": 1, "operators": [source, sink]}],
            "checkpointing": {"interval_ms": 100}});
        let graph = JobGraph::from_json(&graph.to_string()).expect("a graph");
        let submitted = self.client.submit(&graph, None, PATIENCE);
        self.runtime.block_on(submitted).expect("it is accepted").job_id
    }

    /// Waits until the job is RUNNING and has a checkpoint above this id. Returns the newest checkpoint's id.
    fn await_checkpoint_above(&self, job: JobId, id: u64) -> u64 {
        let newest = |job: &JobDescription| job.checkpoints.latest_completed.as_ref().map_or(0, |newest| newest.facts().id);
        until("a newer checkpoint of the running job", || {
            let job = self.runtime.block_on(self.client.describe(job, LOOK)).ok()?;
            (job.status == JobStatus::Running && newest(&job) > id).then(|| newest(&job))
        })
    }
}

/// A REST port with `further` free ones after it.
fn rest_port(further: u16) -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut taken = (0..1_000).map(|_| ReservedPort::take().expect("a port").number());
    taken.find(|port| (1..=further).all(|step| free(port + step))).expect("ports in a row")
}

/// A job runs through two stops of the whole cluster: one in order, one by SIGKILL.
fn jobs_continue_after_a_restart(jobmanagers: u16) {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("cluster");
    let port = rest_port(jobmanagers - 1);
    let ports: Vec<u16> = (port..port + jobmanagers).collect();
    let count = jobmanagers.to_string();
    let arguments = ["--jobmanagers", &count];
    let local = Local::start(&directory, port, &arguments);
    let cluster = Cluster::at(&ports);
    let job = cluster.submit();
    let first = cluster.await_checkpoint_above(job, 0);
    assert!(local.stop().success());

    let mut local = Local::start(&directory, port, &arguments);
    let second = cluster.await_checkpoint_above(job, first);
    local.process.kill().expect("it runs");
    local.end();

    let local = Local::start(&directory, port, &arguments);
    cluster.await_checkpoint_above(job, second);
    let announced = until("the announcement", || Some(local.text()).filter(|text| text.contains("Ctrl-C stops the cluster")));
    assert!(announced.contains(&format!("127.0.0.1:{port}")), "{announced}");
    assert!(local.stop().success());
}

#[test]
fn the_jobs_of_three_jobmanagers_continue_after_a_restart_on_the_same_directory() {
    jobs_continue_after_a_restart(3);
}

#[test]
fn the_jobs_of_a_single_jobmanager_continue_after_a_restart_on_the_same_directory() {
    jobs_continue_after_a_restart(1);
}

#[test]
fn restarts_failures_and_orderly_stops_can_be_told_apart_in_the_log() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("cluster");
    let port = rest_port(0);
    let local = Local::start(&directory, port, &["--jobmanagers", "1"]);
    let log = || std::fs::read_to_string(directory.join("logs/jm-1.log")).unwrap_or_default();
    let cluster = Cluster::at(&[port]);
    let job = cluster.submit();
    let checkpoint = cluster.await_checkpoint_above(job, 0);
    assert!(log().contains("the job is RUNNING") && !log().contains("RUNNING again"), "{}", log());

    let said = place.path().join("said");
    let address = format!("127.0.0.1:{port}");
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_weir"))
        .args(["job", "wait", &job.to_string(), "-m", &address])
        .stdout(Stdio::null())
        .stderr(File::create(&said).expect("a file"))
        .spawn()
        .expect("it starts");
    let said = || std::fs::read_to_string(&said).unwrap_or_default();
    until("the command sees the job run", || said().contains("the job is RUNNING").then_some(()));
    let task_manager = local.processes().into_iter().find(|(_, line)| line.contains(" taskmanager ")).expect("a TaskManager").0;
    kill(task_manager, Signal::SIGKILL).expect("it runs");
    cluster.await_checkpoint_above(job, checkpoint);
    until("the restart is logged", || log().contains("the job is RUNNING again").then_some(()));
    until("the command says so", || (said().contains("RESTARTING: TM-LOST") && said().contains("RUNNING again")).then_some(()));
    until("the supervisor says so", || local.text().contains("tm-1 had ended and was restarted").then_some(()));
    cluster.runtime.block_on(cluster.client.cancel(job, PATIENCE)).expect("it is canceled");
    assert_eq!(waiting.wait().expect("it ends").code(), Some(1));

    let file = place.path().join("file");
    std::fs::write(&file, "no directory").expect("a file");
    let path = file.join("rows").display().to_string();
    let sink = json!({"kind": "sink.file", "options": {"path": path, "format": "csv"}});
    let failing = cluster.submit_with(&sink, &json!({"type": "none"}));
    let end = cluster.runtime.block_on(cluster.client.wait(failing, PATIENCE)).expect("it ends");
    assert_eq!(end.status, JobStatus::Failed);
    let is_said =
        |line: &str| line.contains(" ERROR ") && line.contains(&failing.to_string()) && line.contains("the job has FAILED");
    assert!(log().lines().any(is_said), "{}", log());

    let before = log().len();
    assert!(local.stop().success());
    let log = log();
    assert!(log[before..].contains("the TaskManager closed the connection"), "{}", &log[before..]);
    assert!(!log[before..].contains("h2 protocol error"), "{}", &log[before..]);
}

#[test]
fn secrets_reach_the_processes_but_not_their_command_lines() {
    let place = tempfile::tempdir().expect("a directory");
    let settings = place.path().join("config.yaml");
    std::fs::write(&settings, "s3.secret-key: hush\ns3.access-key: me\n").expect("a file");
    let directory = place.path().join("cluster");
    let local = Local::start(&directory, rest_port(0), &["--jobmanagers", "1", "--config", &settings.display().to_string()]);
    until("the announcement", || local.text().contains("Ctrl-C stops the cluster").then_some(()));
    let lines: Vec<_> = local.processes().into_iter().map(|(_, line)| line).collect();
    assert_eq!(lines.len(), 2, "a JobManager and a TaskManager: {lines:?}");
    assert!(!lines.concat().contains("hush"), "{lines:?}");
    for name in ["jm-1", "tm-1"] {
        let file = directory.join("conf").join(format!("{name}.yaml"));
        assert!(std::fs::read_to_string(&file).expect("its configuration").contains("hush"));
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&file).expect("its mode").permissions());
        assert_eq!(mode & 0o777, 0o600);
    }
    assert!(local.text().contains("chmod 600"), "other users may read the user's file: {}", local.text());
}

#[test]
fn a_taken_rest_port_is_named_and_no_other_clusters_address_is_announced() {
    let place = tempfile::tempdir().expect("a directory");
    let other = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = other.local_addr().expect("its address").port();
    let mut local = Local::start(&place.path().join("cluster"), port, &["--jobmanagers", "1"]);
    assert_eq!(local.end().code(), Some(1));
    let text = local.text();
    assert!(text.contains("LOCAL-PORT") && text.contains(&port.to_string()) && text.contains("--rest-port"), "{text}");
    assert!(!text.contains("Ctrl-C stops"), "{text}");
}

#[test]
fn a_process_that_can_not_start_is_given_up_with_its_reason() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("file");
    std::fs::write(&file, "no directory").expect("a file");
    let setting = format!("execution.checkpointing.dir={}/checkpoints", file.display());
    let mut local = Local::start(&place.path().join("cluster"), rest_port(0), &["--jobmanagers", "1", "-D", &setting]);
    assert_eq!(local.end().code(), Some(1));
    let text = local.text();
    assert!(text.contains("LOCAL-PROCESS") && text.contains("STORAGE-UNUSABLE") && text.contains("5 times"), "{text}");
}

#[test]
fn a_directory_that_can_not_be_created_is_named() {
    let place = tempfile::tempdir().expect("a directory");
    let file = place.path().join("file");
    std::fs::write(&file, "no directory").expect("a file");
    let mut local = Local::start(&file, rest_port(0), &[]);
    assert_eq!(local.end().code(), Some(1));
    let text = local.text();
    assert!(text.contains("LOCAL-DIRECTORY") && text.contains("/file:"), "{text}");
}

#[test]
fn an_invalid_setting_is_refused_before_anything_starts() {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("cluster");
    let mut local = Local::start(&directory, rest_port(0), &["-D", "rest.prt=1"]);
    assert_eq!(local.end().code(), Some(2));
    assert!(local.text().contains("CONFIG-UNKNOWN-KEY") && !directory.exists(), "{}", local.text());
}

#[test]
fn a_directory_of_another_cluster_is_refused() {
    let place = tempfile::tempdir().expect("a directory");
    let refusal = |directory: &Path, arguments: &[&str]| {
        let mut local = Local::start(directory, rest_port(2), arguments);
        assert_eq!(local.end().code(), Some(1));
        local.text()
    };
    let directory = place.path().join("of-three");
    std::fs::create_dir(&directory).expect("a directory");
    std::fs::write(directory.join("ports"), "jm-1 raft=1 rpc=2\njm-2 raft=3 rpc=4\njm-3 raft=5 rpc=6\n").expect("a file");
    let text = refusal(&directory, &["--jobmanagers", "1"]);
    assert!(text.contains("LOCAL-MEMBERS") && text.contains("--jobmanagers 3"), "{text}");
    std::fs::write(directory.join("ports"), "jm-1 raft=x\n").expect("a file");
    assert!(refusal(&directory, &["--jobmanagers", "1"]).contains("LOCAL-PORTS-FILE"));

    let directory = place.path().join("without-ports");
    std::fs::create_dir_all(directory.join("jm-1/raft")).expect("a directory");
    std::fs::write(directory.join("jm-1/raft/log"), "entries").expect("a file");
    let text = refusal(&directory, &["--jobmanagers", "1"]);
    assert!(text.contains("LOCAL-PORTS-FILE") && text.contains("jm-1/raft"), "{text}");
}
