//! What a cluster writes to its logs while one of its JobManagers is down.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use weir_servers::ReservedPort;

/// How long the leader runs without the member.
const WITHOUT: Duration = Duration::from_secs(10);
/// A deadline for what takes seconds on a machine that is not overloaded.
const PATIENCE: Duration = Duration::from_secs(240);

/// A JobManager, which is killed in the end.
struct JobManager {
    process: Child,
    log: PathBuf,
}

impl Drop for JobManager {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl JobManager {
    fn start(place: &Path, number: usize, members: &str) -> Self {
        let log = place.join(format!("jm-{number}.log"));
        let settings = [
            format!("jobmanager.name=jm-{number}"),
            "high-availability.type=raft".to_owned(),
            format!("high-availability.raft.members={members}"),
            format!("high-availability.raft.dir={}/raft-{number}", place.display()),
            format!("high-availability.storageDir={}/ha", place.display()),
            format!("execution.checkpointing.dir={}/checkpoints", place.display()),
            "rest.port=0".to_owned(),
            "jobmanager.rpc.port=0".to_owned(),
        ];
        let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
        command.arg("jobmanager").args(settings.iter().flat_map(|setting| ["-D", setting]));
        let output = File::create(&log).expect("a log");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn().expect("it starts");
        Self { process, log }
    }

    fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(&self.log).expect("its log").lines().map(str::to_owned).collect()
    }

    fn has_said(&self, what: &str) -> bool {
        self.lines().iter().any(|line| line.contains(what))
    }
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Before, the leader wrote thousands of lines a second about the member that is down.
#[test]
fn a_leader_says_once_that_a_member_is_down() {
    let place = tempfile::tempdir().expect("a directory");
    let ports = [(); 3].map(|()| ReservedPort::take().expect("a port"));
    let members = ports.iter().zip(1..).map(|(port, number)| format!("jm-{number}@127.0.0.1:{}", port.number()));
    let members = members.collect::<Vec<_>>().join(",");
    let mut job_managers: Vec<_> = (1..=3).map(|number| JobManager::start(place.path(), number, &members)).collect();
    let leads = |one: &JobManager| one.has_said("leading epoch=");
    wait_until("a JobManager leads", || job_managers.iter().any(leads));
    let leader = job_managers.iter().position(leads).expect("it leads");
    drop(job_managers.remove(if leader == 0 { 1 } else { 0 }));
    let leader = &job_managers[leader.saturating_sub(1)];
    wait_until("the leader misses the member", || leader.has_said("a member does not answer"));
    let before = leader.lines().len();
    std::thread::sleep(WITHOUT);
    let said = leader.lines().split_off(before);
    assert!(said.len() <= 10, "{} lines in {} s: {:#?}", said.len(), WITHOUT.as_secs(), &said[..10]);
}
