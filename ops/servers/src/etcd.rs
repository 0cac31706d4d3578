//! etcd: one node or a cluster of several.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::http;
use crate::port::ReservedPort;
use crate::process::{ServerProcess, StartError, on_free_ports};

/// The options of a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdOptions {
    /// TLS for clients; `None` means plain connections.
    pub tls: Option<EtcdTls>,
    /// A follower that hears nothing from the leader for this long starts an election. No lease is shorter than 1.5 times this.
    pub election_timeout: Duration,
}

impl Default for EtcdOptions {
    fn default() -> Self {
        Self { tls: None, election_timeout: Duration::from_millis(500) }
    }
}

/// The PEM files of nodes that serve their clients over TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdTls {
    /// The nodes' certificate, for 127.0.0.1.
    pub certificate: PathBuf,
    pub key: PathBuf,
    /// The authority that must have signed a client's certificate. `None`: clients need no certificate.
    pub client_ca: Option<PathBuf>,
}

/// A cluster of etcd nodes on real disks, with short heartbeats and election timeouts.
#[derive(Debug)]
pub struct EtcdCluster {
    program: PathBuf,
    directory: PathBuf,
    options: EtcdOptions,
    nodes: Vec<Node>,
}

#[derive(Debug)]
struct Node {
    name: String,
    client: u16,
    peer: u16,
    health: u16,
    process: Option<ServerProcess>,
    /// Reserves the ports also while a node is down.
    _ports: [ReservedPort; 3],
}

impl EtcdCluster {
    /// Starts `size` nodes that keep their data under `directory`, and waits until they answer.
    pub fn start(program: &Path, size: usize, directory: &Path) -> Result<Self, StartError> {
        Self::start_with(program, size, directory, EtcdOptions::default())
    }

    /// Like [`EtcdCluster::start`], with options.
    pub fn start_with(program: &Path, size: usize, directory: &Path, options: EtcdOptions) -> Result<Self, StartError> {
        on_free_ports(|attempt| {
            let nodes = (0..size).map(|number| Node::new(&format!("etcd-{number}"))).collect::<io::Result<_>>();
            let nodes = nodes.map_err(|error| StartError::io(program, &error))?;
            let directory = directory.join(format!("attempt-{attempt}"));
            let mut cluster = Self { program: program.to_owned(), directory, options: options.clone(), nodes };
            cluster.start_all().map(|()| cluster)
        })
    }

    fn start_all(&mut self) -> Result<(), StartError> {
        std::fs::create_dir_all(&self.directory).map_err(|error| StartError::io(&self.program, &error))?;
        for number in 0..self.nodes.len() {
            self.nodes[number].process = Some(self.spawn(number)?);
        }
        (0..self.nodes.len()).try_for_each(|number| self.await_ready(number))
    }

    /// The client addresses of all nodes, as URLs.
    pub fn endpoints(&self) -> Vec<String> {
        let scheme = self.scheme();
        self.nodes.iter().map(|node| format!("{scheme}://127.0.0.1:{}", node.client)).collect()
    }

    /// The client addresses of all nodes.
    pub fn client_addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| SocketAddr::from(([127, 0, 0, 1], node.client))).collect()
    }

    /// The number of the node that leads, as the nodes report it.
    pub fn leader(&self) -> Option<usize> {
        self.nodes.iter().position(|node| node.ask("/metrics").is_some_and(|text| text.contains("\netcd_server_is_leader 1")))
    }

    /// Kills a node (SIGKILL), as a power cut would.
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].process = None;
    }

    /// Restarts a killed node on its data and ports, and waits until it answers. It answers only if a majority is running.
    pub fn restart(&mut self, number: usize) -> Result<(), StartError> {
        self.restart_all(&[number])
    }

    /// Restarts several killed nodes, and then waits until they answer.
    pub fn restart_all(&mut self, numbers: &[usize]) -> Result<(), StartError> {
        for number in numbers {
            self.nodes[*number].process = Some(self.spawn(*number)?);
        }
        numbers.iter().try_for_each(|number| self.await_ready(*number))
    }

    /// Pauses a node (SIGSTOP).
    pub fn pause(&self, number: usize) {
        self.nodes[number].process.iter().for_each(ServerProcess::pause);
    }

    /// Lets a paused node continue (SIGCONT).
    pub fn resume(&self, number: usize) {
        self.nodes[number].process.iter().for_each(ServerProcess::resume);
    }

    fn scheme(&self) -> &'static str {
        if self.options.tls.is_some() { "https" } else { "http" }
    }

    fn await_ready(&mut self, number: usize) -> Result<(), StartError> {
        let node = &mut self.nodes[number];
        let health = node.health;
        let Some(process) = &mut node.process else { return Ok(()) };
        process.await_ready(|| http::ask(health, "GET", "/health", "").is_some_and(|text| text.contains(r#""health":"true""#)))
    }

    fn spawn(&self, number: usize) -> Result<ServerProcess, StartError> {
        let node = &self.nodes[number];
        let client = format!("{}://127.0.0.1:{}", self.scheme(), node.client);
        let peer = format!("http://127.0.0.1:{}", node.peer);
        let cluster: Vec<_> = self.nodes.iter().map(|node| format!("{}=http://127.0.0.1:{}", node.name, node.peer)).collect();
        let mut command = Command::new(&self.program);
        let mut set = |flag: &str, value: &str| {
            command.arg(flag).arg(value);
        };
        set("--name", &node.name);
        set("--listen-client-urls", &client);
        set("--advertise-client-urls", &client);
        set("--listen-peer-urls", &peer);
        set("--initial-advertise-peer-urls", &peer);
        set("--initial-cluster", &cluster.join(","));
        set("--initial-cluster-token", &format!("test-{}", self.nodes[0].peer));
        set("--listen-metrics-urls", &format!("http://127.0.0.1:{}", node.health));
        set("--heartbeat-interval", "50");
        set("--election-timeout", &self.options.election_timeout.as_millis().to_string());
        set("--logger", "zap");
        set("--log-level", "warn");
        command.arg("--data-dir").arg(self.directory.join(&node.name));
        command.args(self.tls_flags());
        ServerProcess::spawn(&mut command, &self.directory.join(format!("{}.log", node.name)))
    }

    fn tls_flags(&self) -> Vec<OsString> {
        let Some(tls) = &self.options.tls else { return Vec::new() };
        let mut flags: Vec<OsString> =
            vec!["--cert-file".into(), tls.certificate.clone().into(), "--key-file".into(), tls.key.clone().into()];
        if let Some(client_ca) = &tls.client_ca {
            flags.extend(["--client-cert-auth".into(), "--trusted-ca-file".into(), client_ca.clone().into()]);
        }
        flags
    }
}

impl Node {
    fn new(name: &str) -> io::Result<Self> {
        let ports = ReservedPort::take_several()?;
        let [client, peer, health] = ports.each_ref().map(ReservedPort::number);
        Ok(Self { name: name.to_owned(), client, peer, health, process: None, _ports: ports })
    }

    fn ask(&self, path: &str) -> Option<String> {
        self.process.as_ref()?;
        http::ask(self.health, "GET", path, "")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The default must not be an older version unnoticed.
    #[test]
    fn each_version_is_the_one_that_its_name_says() {
        let versions = [
            (crate::etcd(), r#""etcdserver":"3.7.3""#),
            (crate::etcd_3_7(), r#""etcdserver":"3.7.3""#),
            (crate::etcd_3_5(), r#""etcdserver":"3.5.1""#),
            (crate::etcd_3_4(), r#""etcdserver":"3.4."#),
        ];
        for (program, version) in versions {
            let directory = std::env::temp_dir().join(format!("weir-etcd-{}", std::process::id()));
            let cluster = EtcdCluster::start(&program, 1, &directory).expect("starts");
            let answer = http::ask(cluster.nodes[0].client, "GET", "/version", "").expect("answers");
            assert!(answer.contains(version), "{}: {answer}", program.display());
            drop(cluster);
            std::fs::remove_dir_all(&directory).expect("is removed");
        }
    }
}
