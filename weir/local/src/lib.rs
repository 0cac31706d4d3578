//! A whole cluster on this machine: every role a process of its own, on loopback, under one directory.
//!
//! What `weir local`, the demo and the real-process tests run on.

mod coordination;
mod host;
pub mod ports;
pub mod process;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use nix::sys::signal::Signal;
use weir_client::{ClientError, ClusterClient};
pub use weir_servers::Fault;

pub use coordination::Coordination;
use coordination::CoordinationServers;
pub use host::Host;
use ports::ReservedPort;
use process::RoleProcess;

/// How long a role gets to stop by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// What to start.
#[derive(Debug, Clone)]
pub struct LocalClusterOptions {
    /// Everything the cluster writes goes under here.
    pub directory: PathBuf,
    /// What all processes share: checkpoints, and what is kept for high availability.
    pub file_storage: PathBuf,
    /// The `weir` binary.
    pub binary: PathBuf,
    /// Number of JobManagers.
    pub jobmanagers: u32,
    /// Number of TaskManagers.
    pub taskmanagers: u32,
    /// Slots of each TaskManager.
    pub slots: u32,
    /// What the JobManagers coordinate through.
    pub coordination: Coordination,
    /// Whether the way to the servers they coordinate through can be interrupted: there is a proxy before each then.
    pub interruptible: bool,
    /// Where those proxies listen: an address that every JobManager reaches.
    pub proxy_address: IpAddr,
    /// Hosts of processes, by name, that do not simply run on loopback.
    pub hosts: BTreeMap<String, Host>,
    /// First REST port; further JobManagers take the next ones. `None`: any free ones.
    pub rest_port: Option<u16>,
    /// Further settings, `key=value`, for every process.
    pub settings: Vec<String>,
}

impl LocalClusterOptions {
    /// Three JobManagers and two TaskManagers of two slots, run from the binary that runs now.
    pub fn under(directory: &Path) -> io::Result<Self> {
        Ok(Self {
            directory: directory.to_owned(),
            file_storage: directory.to_owned(),
            binary: std::env::current_exe()?,
            jobmanagers: 3,
            taskmanagers: 2,
            slots: 2,
            coordination: Coordination::default(),
            interruptible: false,
            proxy_address: IpAddr::V4(Ipv4Addr::LOCALHOST),
            hosts: BTreeMap::new(),
            rest_port: None,
            settings: Vec::new(),
        })
    }

    /// `jm-1`, `jm-2`, …
    pub fn jobmanager_names(&self) -> Vec<String> {
        (1..=self.jobmanagers).map(|index| format!("jm-{index}")).collect()
    }

    /// Local directory of one JobManager's raft log.
    pub fn raft_directory(&self, name: &str) -> PathBuf {
        self.directory.join(name).join("raft")
    }

    /// `tm-1`, `tm-2`, …
    pub fn taskmanager_names(&self) -> Vec<String> {
        (1..=self.taskmanagers).map(|index| format!("tm-{index}")).collect()
    }
}

/// The ports of one JobManager.
#[derive(Debug)]
struct JobManagerPorts {
    raft: ReservedPort,
    rpc: ReservedPort,
    rest: u16,
    _rest_mark: Option<ReservedPort>,
}

/// A running local cluster. Dropping it kills its processes; [`LocalCluster::shutdown`] stops them in order.
#[derive(Debug)]
pub struct LocalCluster {
    options: LocalClusterOptions,
    processes: BTreeMap<String, RoleProcess>,
    ports: Vec<JobManagerPorts>,
    // Last, so that it goes last: those who use it stop first.
    servers: CoordinationServers,
}

impl LocalCluster {
    /// Starts every process. Returns once they are started, not once they serve.
    pub fn start(options: LocalClusterOptions) -> io::Result<Self> {
        let ports = (0..options.jobmanagers).map(|index| take_ports(&options, index)).collect::<io::Result<Vec<_>>>()?;
        let servers = CoordinationServers::start(&options)?;
        let mut cluster = Self { processes: BTreeMap::new(), ports, options, servers };
        std::fs::create_dir_all(cluster.logs())?;
        for name in cluster.jobmanager_names().into_iter().chain(cluster.taskmanager_names()) {
            let mut process = cluster.describe(&name);
            process.start()?;
            cluster.processes.insert(name, process);
        }
        Ok(cluster)
    }

    /// `jm-1`, `jm-2`, …
    pub fn jobmanager_names(&self) -> Vec<String> {
        self.options.jobmanager_names()
    }

    /// `tm-1`, `tm-2`, …
    pub fn taskmanager_names(&self) -> Vec<String> {
        self.options.taskmanager_names()
    }

    /// REST addresses (`host:port`) of all JobManagers, in the order of their names.
    pub fn rest_addresses(&self) -> Vec<String> {
        let names = self.jobmanager_names();
        names.iter().zip(&self.ports).map(|(name, ports)| format!("{}:{}", self.host(name).address, ports.rest)).collect()
    }

    /// REST address of one JobManager.
    pub fn rest_address(&self, name: &str) -> Option<String> {
        let index = self.jobmanager_names().iter().position(|known| known == name)?;
        self.rest_addresses().get(index).cloned()
    }

    /// A client of this cluster.
    pub fn client(&self) -> Result<ClusterClient, ClientError> {
        ClusterClient::new(self.rest_addresses())
    }

    /// Everything the cluster writes is under here.
    pub fn directory(&self) -> &Path {
        &self.options.directory
    }

    /// Where the processes' output goes.
    pub fn logs(&self) -> PathBuf {
        self.options.directory.join("logs")
    }

    /// Local directory of one JobManager's raft log.
    pub fn raft_directory(&self, name: &str) -> PathBuf {
        self.options.raft_directory(name)
    }

    /// The checkpoint directory.
    pub fn checkpoint_directory(&self) -> PathBuf {
        self.options.file_storage.join("checkpoints")
    }

    /// One process.
    pub fn process(&mut self, name: &str) -> Option<&mut RoleProcess> {
        self.processes.get_mut(name)
    }

    /// Kills a process (SIGKILL).
    pub fn kill(&mut self, name: &str) -> io::Result<()> {
        self.named(name)?.kill()
    }

    /// Freezes a process (SIGSTOP).
    pub fn pause(&mut self, name: &str) -> io::Result<()> {
        self.signal(name, Signal::SIGSTOP)
    }

    /// Lets a frozen process go on (SIGCONT).
    pub fn resume(&mut self, name: &str) -> io::Result<()> {
        self.signal(name, Signal::SIGCONT)
    }

    /// Starts a process again that was killed or has ended.
    pub fn restart(&mut self, name: &str) -> io::Result<()> {
        let process = self.named(name)?;
        process.kill()?;
        process.start()
    }

    /// Starts every process again that has ended by itself, as a supervisor does; their names. One that was killed through
    /// [`LocalCluster::kill`] stays down.
    pub fn revive(&mut self) -> io::Result<Vec<String>> {
        let mut revived = Vec::new();
        for process in self.processes.values_mut() {
            if process.has_ended() {
                process.start()?;
                revived.push(process.name().to_owned());
            }
        }
        Ok(revived)
    }

    /// Kills the servers that the JobManagers coordinate through, if they are not the JobManagers themselves.
    pub fn kill_coordination(&mut self) {
        self.servers.kill();
    }

    /// Starts those servers again on their data, and waits until they serve.
    pub fn restart_coordination(&mut self) -> io::Result<()> {
        self.servers.restart()
    }

    /// Stops the JobManagers in order; TaskManagers and their tasks go on.
    pub fn stop_jobmanagers(&mut self) -> io::Result<()> {
        for name in self.jobmanager_names() {
            self.named(&name)?.stop(STOP_PATIENCE)?;
        }
        Ok(())
    }

    /// What the JobManagers coordinate through when they are started the next time, on servers of its own.
    pub fn set_coordination(&mut self, coordination: Coordination) -> io::Result<()> {
        self.options.coordination = coordination;
        self.servers = CoordinationServers::start(&self.options)?;
        for name in self.jobmanager_names() {
            let process = self.describe(&name);
            self.processes.insert(name, process);
        }
        Ok(())
    }

    /// The settings of a process, `key=value`.
    pub fn settings(&self, name: &str) -> Vec<String> {
        let mut settings = self.settings_of_all();
        if let Some(index) = self.jobmanager_names().iter().position(|known| known == name) {
            settings.extend(self.jobmanager_settings(name, &self.ports[index]));
            settings.extend(self.host(name).jobmanager_settings());
        } else {
            settings.push(format!("taskmanager.resource-id={name}"));
            settings.push(format!("taskmanager.numberOfTaskSlots={}", self.options.slots));
            settings.extend(self.host(name).taskmanager_settings());
        }
        settings.extend(self.options.settings.iter().cloned());
        settings
    }

    /// Breaks, or mends, every connection between the JobManagers and those servers, if they were started interruptible.
    pub fn interrupt_coordination(&self, fault: Fault) {
        self.servers.interrupt(fault);
    }

    /// Stops all processes: TaskManagers first, then JobManagers, each gets SIGTERM and some seconds.
    pub fn shutdown(mut self) -> io::Result<()> {
        for name in self.taskmanager_names().into_iter().chain(self.jobmanager_names()) {
            self.named(&name)?.stop(STOP_PATIENCE)?;
        }
        Ok(())
    }

    fn signal(&mut self, name: &str, signal: Signal) -> io::Result<()> {
        if self.named(name)?.signal(signal) { Ok(()) } else { Err(io::Error::other(format!("{name} does not run"))) }
    }

    /// Where a process runs.
    pub fn host(&self, name: &str) -> Host {
        self.options.hosts.get(name).cloned().unwrap_or_default()
    }

    /// Bytes of answers of the coordination servers that were held back so far ([`Fault::LostAnswers`]).
    pub fn held_answers(&self) -> u64 {
        self.servers.held_answers()
    }

    /// Where JobManagers listen for each other and for TaskManagers, `host:port`.
    pub fn coordination_addresses(&self) -> Vec<String> {
        let raft = self.addresses_of_jobmanagers(|ports| ports.raft.number());
        raft.into_iter().chain(self.addresses_of_jobmanagers(|ports| ports.rpc.number())).map(|(_, address)| address).collect()
    }

    fn addresses_of_jobmanagers(&self, port: impl Fn(&JobManagerPorts) -> u16) -> Vec<(String, String)> {
        let names = self.jobmanager_names().into_iter().zip(&self.ports);
        names.map(|(name, ports)| (name.clone(), format!("{}:{}", self.host(&name).address, port(ports)))).collect()
    }

    fn named(&mut self, name: &str) -> io::Result<&mut RoleProcess> {
        self.processes.get_mut(name).ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no process {name}")))
    }

    fn describe(&self, name: &str) -> RoleProcess {
        let is_jobmanager = self.jobmanager_names().iter().any(|known| known == name);
        let mut arguments = vec![if is_jobmanager { "jobmanager" } else { "taskmanager" }.to_owned()];
        arguments.extend(self.settings(name).into_iter().flat_map(|setting| ["-D".to_owned(), setting]));
        RoleProcess::new(name, &self.options.binary, arguments, &self.logs()).on(self.host(name))
    }

    fn settings_of_all(&self) -> Vec<String> {
        let rpc = self.addresses_of_jobmanagers(|ports| ports.rpc.number());
        vec![
            format!("high-availability.storageDir={}/ha", self.options.file_storage.display()),
            format!("execution.checkpointing.dir={}", self.checkpoint_directory().display()),
            format!("jobmanager.rpc.addresses={}", rpc.iter().map(|(_, address)| address.as_str()).collect::<Vec<_>>().join(";")),
        ]
    }

    fn jobmanager_settings(&self, name: &str, ports: &JobManagerPorts) -> Vec<String> {
        let mut settings = vec![
            format!("jobmanager.name={name}"),
            format!("jobmanager.rpc.port={}", ports.rpc.number()),
            format!("rest.port={}", ports.rest),
        ];
        if self.options.coordination != Coordination::Raft {
            settings.extend(self.servers.settings());
        } else if self.options.jobmanagers > 1 {
            let peers = self.addresses_of_jobmanagers(|ports| ports.raft.number());
            let members: Vec<_> = peers.iter().map(|(name, address)| format!("{name}@{address}")).collect();
            settings.push("high-availability.type=raft".to_owned());
            settings.push(format!("high-availability.raft.members={}", members.join(";")));
            settings.push(format!("high-availability.raft.dir={}", self.raft_directory(name).display()));
        }
        settings
    }
}

fn take_ports(options: &LocalClusterOptions, index: u32) -> io::Result<JobManagerPorts> {
    let (rest, mark) = match options.rest_port {
        Some(first) => (first + index as u16, None),
        None => {
            let port = ReservedPort::take()?;
            (port.number(), Some(port))
        }
    };
    Ok(JobManagerPorts { raft: ReservedPort::take()?, rpc: ReservedPort::take()?, rest, _rest_mark: mark })
}
