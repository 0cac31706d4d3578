//! A ZooKeeper ensemble.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::installed::ZooKeeperVersion;
use crate::port::ReservedPort;
use crate::process::{ServerProcess, StartError};

/// What is started, in errors.
const NAME: &str = "the ZooKeeper server";
/// How often the start is tried with new ports, because another process may take a port meanwhile.
const ATTEMPTS: u32 = 4;
/// How long one `srvr` command may take.
const ASK: Duration = Duration::from_millis(500);

/// Additional options of an ensemble.
#[derive(Debug, Clone, Default)]
pub struct ZooKeeperOptions {
    /// Which version is started.
    pub version: ZooKeeperVersion,
    /// Additional arguments of `java`, e.g. `-Djute.maxbuffer=4194304`.
    pub java: Vec<String>,
    /// Additional lines of `zoo.cfg`. `{secure_port}` stands for a free port: see [`ZooKeeperEnsemble::secure_addresses`].
    pub config: Vec<String>,
}

#[derive(Debug)]
struct Node {
    client: u16,
    secure: u16,
    peer: u16,
    election: u16,
    directory: PathBuf,
    process: Option<ServerProcess>,
    /// Reserves the ports also while a server is down.
    _ports: [ReservedPort; 4],
}

/// One server, or several that elect a leader. They end when the value is dropped.
#[derive(Debug)]
pub struct ZooKeeperEnsemble {
    nodes: Vec<Node>,
    options: ZooKeeperOptions,
}

impl ZooKeeperEnsemble {
    /// Starts `size` servers with all their files under `directory`, and waits until they serve.
    pub fn start(size: usize, directory: &Path) -> Result<Self, StartError> {
        Self::start_with(size, directory, ZooKeeperOptions::default())
    }

    /// Like [`ZooKeeperEnsemble::start`], with options.
    pub fn start_with(size: usize, directory: &Path, options: ZooKeeperOptions) -> Result<Self, StartError> {
        let mut attempt = 1;
        loop {
            let started = Self::attempt(size, &directory.join(format!("ensemble-{attempt}")), &options);
            match started {
                Err(_) if attempt < ATTEMPTS => attempt += 1,
                started => return started,
            }
        }
    }

    fn attempt(size: usize, directory: &Path, options: &ZooKeeperOptions) -> Result<Self, StartError> {
        let failed = |error: io::Error| StartError::io(Path::new(NAME), &error);
        let node = |number| {
            let ports = ReservedPort::take_several()?;
            let [client, secure, peer, election] = ports.each_ref().map(ReservedPort::number);
            let directory = directory.join(format!("zookeeper-{number}"));
            Ok(Node { client, secure, peer, election, directory, process: None, _ports: ports })
        };
        let nodes = (1..=size).map(node).collect::<io::Result<_>>().map_err(failed)?;
        let mut ensemble = Self { nodes, options: options.clone() };
        for number in 0..size {
            ensemble.configure(number).map_err(failed)?;
            ensemble.spawn(number)?;
        }
        for number in 0..size {
            ensemble.await_serving(number)?;
        }
        Ok(ensemble)
    }

    /// `host:port` of every server, in the form that ZooKeeper's clients expect.
    pub fn connect_string(&self) -> String {
        let addresses: Vec<_> = self.client_addresses().iter().map(ToString::to_string).collect();
        addresses.join(",")
    }

    /// The client address of every server.
    pub fn client_addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| SocketAddr::from(([127, 0, 0, 1], node.client))).collect()
    }

    /// The TLS client address of every server, if the configuration has one.
    pub fn secure_addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| SocketAddr::from(([127, 0, 0, 1], node.secure))).collect()
    }

    /// Kills a server (SIGKILL), as a power cut would.
    pub fn kill(&mut self, number: usize) {
        if let Some(mut process) = self.nodes[number].process.take() {
            process.kill();
        }
    }

    /// Restarts a killed server on its data. Does not wait until it serves, because it may need other servers for that.
    pub fn restart(&mut self, number: usize) -> Result<(), StartError> {
        self.kill(number);
        self.spawn(number)
    }

    /// Waits until a running server serves clients. Fails if the server ends, or takes longer than two minutes.
    pub fn await_serving(&mut self, number: usize) -> Result<(), StartError> {
        let port = self.nodes[number].client;
        let Some(process) = &mut self.nodes[number].process else {
            let reason = format!("server {number} is not running");
            return Err(StartError { program: PathBuf::from(NAME), reason, output: String::new() });
        };
        process.await_ready(|| ask(port, "srvr").is_some_and(|answer| answer.contains("Mode: ")))
    }

    /// Pauses a server (SIGSTOP).
    pub fn pause(&self, number: usize) {
        if let Some(process) = &self.nodes[number].process {
            process.pause();
        }
    }

    /// Lets a paused server continue (SIGCONT).
    pub fn resume(&self, number: usize) {
        if let Some(process) = &self.nodes[number].process {
            process.resume();
        }
    }

    /// The number of the server that leads now, if there is one.
    pub fn leader(&self) -> Option<usize> {
        let leads = |node: &Node| ask(node.client, "srvr").is_some_and(|answer| answer.contains("Mode: leader"));
        self.nodes.iter().position(leads)
    }

    fn configure(&self, number: usize) -> std::io::Result<()> {
        let node = &self.nodes[number];
        let data = node.directory.join("data");
        std::fs::create_dir_all(&data)?;
        let mut lines = vec![
            "tickTime=250".to_owned(),
            "initLimit=40".to_owned(),
            "syncLimit=20".to_owned(),
            format!("dataDir={}", data.display()),
            format!("clientPort={}", node.client),
            "clientPortAddress=127.0.0.1".to_owned(),
            "admin.enableServer=false".to_owned(),
            "4lw.commands.whitelist=*".to_owned(),
            "maxClientCnxns=0".to_owned(),
            // Sessions of 0.5 to 20 s.
            "minSessionTimeout=500".to_owned(),
            "maxSessionTimeout=20000".to_owned(),
        ];
        if self.nodes.len() > 1 {
            let server = |(id, node): (usize, &Node)| format!("server.{}=127.0.0.1:{}:{}", id + 1, node.peer, node.election);
            lines.extend(self.nodes.iter().enumerate().map(server));
            std::fs::write(data.join("myid"), (number + 1).to_string())?;
        }
        let secure = node.secure.to_string();
        lines.extend(self.options.config.iter().map(|line| line.replace("{secure_port}", &secure)));
        std::fs::write(node.directory.join("zoo.cfg"), lines.join("\n") + "\n")
    }

    fn spawn(&mut self, number: usize) -> Result<(), StartError> {
        let node = &self.nodes[number];
        let mut command = Command::new("java");
        // Small and quick to start: the second compiler would take processor time from the tests.
        command.args(["-Xmx128m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]);
        command.arg("-Dorg.slf4j.simpleLogger.defaultLogLevel=warn").args(&self.options.java);
        command.arg("-cp").arg(self.options.version.class_path()).args(["org.apache.zookeeper.server.quorum.QuorumPeerMain"]);
        command.arg(node.directory.join("zoo.cfg")).current_dir(&node.directory);
        let process = ServerProcess::spawn(&mut command, &node.directory.join("server.log"))?;
        self.nodes[number].process = Some(process);
        Ok(())
    }
}

/// The answer to a four-letter command; `None` if the server does not answer.
fn ask(port: u16, command: &str) -> Option<String> {
    let mut stream = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), ASK).ok()?;
    stream.set_read_timeout(Some(ASK)).ok()?;
    stream.write_all(command.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ensemble_starts_elects_and_survives_a_kill() {
        let directory = std::env::temp_dir().join(format!("weir-zookeeper-{}", std::process::id()));
        let mut ensemble = ZooKeeperEnsemble::start(3, &directory).expect("starts");
        let leader = ensemble.leader().expect("there is a leader");
        ensemble.kill(leader);
        assert_ne!(ensemble.leader(), Some(leader));
        ensemble.restart(leader).expect("starts again");
        ensemble.await_serving(leader).expect("serves");
        drop(ensemble);
        std::fs::remove_dir_all(&directory).expect("is removed");
    }

    /// The default must not be an older version unnoticed.
    #[test]
    fn each_version_is_the_one_that_its_name_says() {
        for (version, said) in [(ZooKeeperVersion::Newest, "version: 3.9.5"), (ZooKeeperVersion::Debian, "version: 3.8")] {
            let directory = std::env::temp_dir().join(format!("weir-zookeeper-{version:?}-{}", std::process::id()));
            let options = ZooKeeperOptions { version, ..ZooKeeperOptions::default() };
            let ensemble = ZooKeeperEnsemble::start_with(1, &directory, options).expect("starts");
            let answer = ask(ensemble.nodes[0].client, "srvr").expect("answers");
            assert!(answer.contains(said), "{version:?}: {answer}");
            drop(ensemble);
            std::fs::remove_dir_all(&directory).expect("is removed");
        }
    }
}
