//! Apache Kafka: one node or a cluster of several. Each node is a broker and a KRaft controller.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::installed::kafka_class_path;
use crate::port::ReservedPort;
use crate::process::{ServerProcess, StartError, on_free_ports};

mod api_versions;
mod properties;
#[cfg(test)]
mod tests;

/// What is started, in errors.
const NAME: &str = "the Kafka node";
/// What a node prints goes there.
const SERVER_LOG: &str = "server.log";
/// Small and quick to start: the second compiler would take processor time from the tests.
const JAVA: [&str; 3] = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"];
/// The heap of a node, and of a tool.
const HEAP: &str = "-Xmx256m";

/// Additional options of a cluster.
#[derive(Debug, Clone, Default)]
pub struct KafkaOptions {
    /// Additional arguments of the nodes' `java`, e.g. `-Xmx1g`, which replaces a heap of 256 MB.
    pub java: Vec<String>,
    /// Additional lines of `server.properties`, which replace those of the same key. `{port}`, `{controller_port}` and
    /// `{secure_port}` stand for the node's ports; the last is free for an additional listener: see
    /// [`KafkaCluster::secure_addresses`].
    pub properties: Vec<String>,
    /// The address at which clients reach the nodes; 127.0.0.1 if there is none.
    pub host: Option<IpAddr>,
}

impl KafkaOptions {
    fn host(&self) -> IpAddr {
        self.host.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }
}

#[derive(Debug)]
struct Node {
    broker: u16,
    controller: u16,
    secure: u16,
    directory: PathBuf,
    process: Option<ServerProcess>,
    /// Reserves the ports also while a node is down.
    _ports: [ReservedPort; 3],
}

/// One node, or several. Topics have up to three replicas, of which two must have a write. Topics are not created by use.
/// A node's number is its `node.id` too, so the number of a leader or coordinator can be used here. The nodes end when the value
/// is dropped.
///
/// A node serves its clients only while a majority of the nodes runs.
#[derive(Debug)]
pub struct KafkaCluster {
    nodes: Vec<Node>,
    options: KafkaOptions,
}

impl KafkaCluster {
    /// Starts `size` nodes with all their files under `directory`, and waits until they serve.
    pub fn start(size: usize, directory: &Path) -> Result<Self, StartError> {
        Self::start_with(size, directory, KafkaOptions::default())
    }

    /// Like [`KafkaCluster::start`], with options.
    pub fn start_with(size: usize, directory: &Path, options: KafkaOptions) -> Result<Self, StartError> {
        on_free_ports(|attempt| Self::attempt(size, &directory.join(format!("cluster-{attempt}")), &options))
    }

    fn attempt(size: usize, directory: &Path, options: &KafkaOptions) -> Result<Self, StartError> {
        let failed = |error: io::Error| StartError::io(Path::new(NAME), &error);
        let node = |number| Node::new(directory.join(format!("kafka-{number}")));
        let nodes = (0..size).map(node).collect::<io::Result<_>>().map_err(failed)?;
        let mut cluster = Self { nodes, options: options.clone() };
        cluster.write_properties().map_err(failed)?;
        cluster.format()?;
        (0..size).try_for_each(|number| cluster.spawn(number))?;
        (0..size).try_for_each(|number| cluster.await_serving(number))?;
        Ok(cluster)
    }

    /// `host:port` of every node, as Kafka's clients expect it.
    pub fn bootstrap_servers(&self) -> String {
        let addresses: Vec<_> = self.broker_addresses().iter().map(ToString::to_string).collect();
        addresses.join(",")
    }

    /// Number of nodes.
    pub fn size(&self) -> usize {
        self.nodes.len()
    }

    /// The client address of every node.
    pub fn broker_addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| SocketAddr::new(self.options.host(), node.broker)).collect()
    }

    /// The address of every node's additional listener, if the properties have one.
    pub fn secure_addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(|node| SocketAddr::from(([127, 0, 0, 1], node.secure))).collect()
    }

    /// Kills a node (SIGKILL), as a power cut would.
    pub fn kill(&mut self, number: usize) {
        self.nodes[number].process = None;
    }

    /// Stops a node in order (SIGTERM), and waits until it has ended.
    pub fn stop(&mut self, number: usize) {
        if let Some(mut process) = self.nodes[number].process.take() {
            process.stop();
        }
    }

    /// Restarts a node on its data and ports; one that still runs is killed before. Does not wait until it serves, because it may
    /// need other nodes for that.
    pub fn restart(&mut self, number: usize) -> Result<(), StartError> {
        self.kill(number);
        self.spawn(number)
    }

    /// Waits until a running node serves clients. Fails if the node ends, or takes longer than two minutes. A coordinator loads
    /// its transactions only afterwards, so clients must still expect `NOT_COORDINATOR`.
    pub fn await_serving(&mut self, number: usize) -> Result<(), StartError> {
        let address = self.broker_addresses()[number];
        let Some(process) = &mut self.nodes[number].process else {
            let reason = format!("node {number} is not running");
            return Err(StartError { program: PathBuf::from(NAME), reason, output: String::new() });
        };
        process.await_ready(|| api_versions::answers(address))
    }

    /// Whether a node answers a request now. A paused one does not.
    pub fn answers(&self, number: usize) -> bool {
        api_versions::answers(self.broker_addresses()[number])
    }

    /// The log of a node.
    pub fn log(&self, number: usize) -> PathBuf {
        self.nodes[number].directory.join(SERVER_LOG)
    }

    /// Pauses a node (SIGSTOP).
    pub fn pause(&self, number: usize) {
        self.nodes[number].process.iter().for_each(ServerProcess::pause);
    }

    /// Lets a paused node continue (SIGCONT).
    pub fn resume(&self, number: usize) {
        self.nodes[number].process.iter().for_each(ServerProcess::resume);
    }

    /// Runs one of Kafka's command line tools, e.g. `org.apache.kafka.tools.consumer.ConsoleConsumer`, which takes a second or two.
    /// Returns what it printed. The caller passes all arguments, `--bootstrap-server` included.
    pub fn tool(&self, class: &str, arguments: &[&str]) -> io::Result<String> {
        let output = tool(class, arguments).output()?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        if output.status.success() {
            return Ok(text(&output.stdout));
        }
        Err(io::Error::other(format!("{class}: {}\n{}{}", output.status, text(&output.stdout), text(&output.stderr))))
    }

    /// Starts a tool that runs until it is stopped, e.g. a consumer. What it prints goes to the file `out`.
    pub fn spawn_tool(&self, class: &str, arguments: &[&str], out: &Path) -> Result<ServerProcess, StartError> {
        ServerProcess::spawn(&mut tool(class, arguments), out)
    }

    fn write_properties(&self) -> io::Result<()> {
        let ports: Vec<_> = self.nodes.iter().map(|node| [node.broker, node.controller, node.secure]).collect();
        for (number, node) in self.nodes.iter().enumerate() {
            std::fs::create_dir_all(&node.directory)?;
            let lines = properties::of(number, self.options.host(), &ports, &node.data(), &self.options.properties);
            std::fs::write(node.properties(), lines.join("\n") + "\n")?;
        }
        Ok(())
    }

    /// Formats the empty data directories, all at once, because each takes a Java process.
    fn format(&self) -> Result<(), StartError> {
        let cluster = properties::new_cluster_id();
        let spawn = |node: &Node| {
            let mut command = java();
            command.args(["-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-Xmx128m", "kafka.tools.StorageTool"]);
            command.args(["format", "-t", &cluster, "-c"]).arg(node.properties());
            ServerProcess::spawn(&mut command, &node.directory.join("format.log"))
        };
        let mut formats = self.nodes.iter().map(spawn).collect::<Result<Vec<_>, _>>()?;
        formats.iter_mut().try_for_each(ServerProcess::await_success)
    }

    fn spawn(&mut self, number: usize) -> Result<(), StartError> {
        let node = &mut self.nodes[number];
        let mut command = java();
        command.arg(HEAP).args(&self.options.java).arg("kafka.Kafka").arg(node.properties()).current_dir(&node.directory);
        node.process = Some(ServerProcess::spawn(&mut command, &node.directory.join(SERVER_LOG))?);
        Ok(())
    }
}

impl Node {
    fn new(directory: PathBuf) -> io::Result<Self> {
        let ports = ReservedPort::take_several()?;
        let [broker, controller, secure] = ports.each_ref().map(ReservedPort::number);
        Ok(Self { broker, controller, secure, directory, process: None, _ports: ports })
    }

    fn properties(&self) -> PathBuf {
        self.directory.join("server.properties")
    }

    fn data(&self) -> PathBuf {
        self.directory.join("data")
    }
}

fn tool(class: &str, arguments: &[&str]) -> Command {
    let mut command = java();
    command.args([HEAP, "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", class]).args(arguments);
    command
}

/// Java with everything of Kafka in its class path.
fn java() -> Command {
    let mut command = Command::new("java");
    command.args(JAVA).arg("-cp").arg(kafka_class_path());
    command
}
