//! Raft groups of real JobManagers.

mod flood;
mod quiet;
mod removed;

use std::fs::File;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use weir_client::ClusterClient;
use weir_servers::ReservedPort;

/// How long one attempt to connect or one request may take.
const LOOK: Duration = Duration::from_secs(5);
/// A deadline for what takes seconds on a machine that is not overloaded.
const PATIENCE: Duration = Duration::from_secs(240);
/// File descriptors of a JobManager for which a test does not care.
const MANY_DESCRIPTORS: usize = 4_096;

/// A JobManager, which is killed in the end.
struct JobManager {
    process: Child,
    log: PathBuf,
    rest: String,
}

impl Drop for JobManager {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The ports of one JobManager.
struct Ports {
    raft: ReservedPort,
    rpc: ReservedPort,
    rest: ReservedPort,
}

impl Ports {
    fn take() -> Self {
        let take = || ReservedPort::take().expect("a port");
        Self { raft: take(), rpc: take(), rest: take() }
    }

    fn addresses(&self) -> [SocketAddr; 3] {
        [&self.raft, &self.rpc, &self.rest].map(|port| SocketAddr::from(([127, 0, 0, 1], port.number())))
    }
}

impl JobManager {
    fn start(place: &Path, number: usize, ports: &Ports, members: &str, descriptors: usize, further: &[String]) -> Self {
        let log = place.join(format!("jm-{number}.log"));
        let settings = [
            format!("jobmanager.name=jm-{number}"),
            "high-availability.type=raft".to_owned(),
            format!("high-availability.raft.members={members}"),
            format!("high-availability.raft.dir={}/raft-{number}", place.display()),
            format!("high-availability.storageDir={}/ha", place.display()),
            format!("execution.checkpointing.dir={}/checkpoints", place.display()),
            format!("rest.port={}", ports.rest.number()),
            format!("jobmanager.rpc.port={}", ports.rpc.number()),
        ];
        let mut command = Command::new("prlimit");
        command.args([&format!("--nofile={descriptors}:{descriptors}"), env!("CARGO_BIN_EXE_weir"), "jobmanager"]);
        command.args(settings.iter().chain(further).flat_map(|setting| ["-D", setting]));
        let output = File::create(&log).expect("a log");
        let process = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(output).spawn().expect("it starts");
        Self { process, log, rest: format!("127.0.0.1:{}", ports.rest.number()) }
    }

    fn lines(&self) -> Vec<String> {
        std::fs::read_to_string(&self.log).expect("its log").lines().map(str::to_owned).collect()
    }

    /// How many lines of its log contain this text.
    fn has_said(&self, what: &str) -> usize {
        self.lines().iter().filter(|line| line.contains(what)).count()
    }

    fn limit_of_descriptors(&self) -> String {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", self.process.id())).expect("it runs");
        let line = limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("the limit");
        line.split_whitespace().nth(1).expect("the hard limit").to_owned()
    }
}

/// The members of a raft group.
struct Group {
    members: Vec<JobManager>,
    ports: [Ports; 3],
}

impl Group {
    /// Starts three JobManagers, and waits until one leads and all answer.
    fn start(place: &Path, descriptors: usize, settings: &[String]) -> Self {
        let ports = [(); 3].map(|()| Ports::take());
        let members = ports.iter().zip(1..).map(|(ports, number)| format!("jm-{number}@127.0.0.1:{}", ports.raft.number()));
        let members = members.collect::<Vec<_>>().join(";");
        let start = |(ports, number)| JobManager::start(place, number, ports, &members, descriptors, settings);
        let group = Self { members: ports.iter().zip(1..).map(start).collect(), ports };
        wait_until("a JobManager leads", || group.have_said("leading epoch=") > 0);
        let clients = group.clients();
        wait_until("every JobManager answers", || clients.iter().all(Client::is_answered));
        group
    }

    /// How many lines of all logs contain this text.
    fn have_said(&self, what: &str) -> usize {
        self.members.iter().map(|one| one.has_said(what)).sum()
    }

    /// A client of each.
    fn clients(&self) -> Vec<Client> {
        self.members.iter().map(|one| Client::of(vec![one.rest.clone()])).collect()
    }
}

fn wait_until(what: &str, mut condition: impl FnMut() -> bool) {
    let started = Instant::now();
    while !condition() {
        assert!(started.elapsed() < PATIENCE, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A client of these JobManagers, and its runtime.
struct Client {
    client: ClusterClient,
    runtime: Runtime,
}

impl Client {
    fn of(addresses: Vec<String>) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        Self { client: ClusterClient::new(addresses).expect("addresses"), runtime }
    }

    /// Whether its JobManagers answer a question.
    fn is_answered(&self) -> bool {
        self.runtime.block_on(self.client.overview(LOOK)).is_ok()
    }
}

/// The status code and the body of the answer to a GET request. `None` if there is no answer.
fn get(address: &str, path: &str) -> Option<(u16, String)> {
    let mut connection = TcpStream::connect(address).ok()?;
    connection.set_read_timeout(Some(LOOK)).ok()?;
    write!(connection, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    connection.read_to_string(&mut answer).ok()?;
    let (head, body) = answer.split_once("\r\n\r\n")?;
    Some((head.split(' ').nth(1)?.parse().ok()?, body.to_owned()))
}
