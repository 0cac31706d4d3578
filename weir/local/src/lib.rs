//! A whole cluster on this machine: every role is a separate process, on loopback, with all files under one directory.
//!
//! `weir local`, the demo and the tests with real processes use it.

mod coordination;
mod host;
mod ports;
pub mod process;
mod settings_file;
mod start_error;
mod supervision;

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
use ports::JobManagerPorts;
use process::RoleProcess;
pub use start_error::StartError;
pub use supervision::{Decision, ProcessEnd, Supervisor};

/// How long a role may take to stop by itself.
const STOP_PATIENCE: Duration = Duration::from_secs(5);

/// The options of a local cluster.
#[derive(Debug, Clone)]
pub struct LocalClusterOptions {
    /// Directory of everything that the cluster writes.
    pub directory: PathBuf,
    /// Directory that all processes share: checkpoints, and data for high availability.
    pub file_storage: PathBuf,
    /// The `weir` binary.
    pub binary: PathBuf,
    pub jobmanagers: u32,
    pub taskmanagers: u32,
    /// Number of slots of each TaskManager.
    pub slots: u32,
    /// What the JobManagers coordinate through.
    pub coordination: Coordination,
    /// Whether connections to the coordination servers can be interrupted. If so, there is a proxy before each server.
    pub interruptible: bool,
    /// The address that these proxies listen on. Every JobManager must reach it.
    pub proxy_address: IpAddr,
    /// Hosts of processes, by name. A process without a host runs on plain loopback.
    pub hosts: BTreeMap<String, Host>,
    /// REST port of the first JobManager. Further JobManagers take the next ports. `None`: any free ports.
    pub rest_port: Option<u16>,
    /// Additional settings for every process, as `key=value`.
    pub settings: Vec<String>,
}

impl LocalClusterOptions {
    /// Three JobManagers, and two TaskManagers with two slots each. They run the binary that runs now.
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

    /// Names of the JobManagers: `jm-1`, `jm-2`, …
    pub fn jobmanager_names(&self) -> Vec<String> {
        (1..=self.jobmanagers).map(|index| format!("jm-{index}")).collect()
    }

    /// Local directory of one JobManager's raft log.
    pub fn raft_directory(&self, name: &str) -> PathBuf {
        self.directory.join(name).join("raft")
    }

    /// Names of the TaskManagers: `tm-1`, `tm-2`, …
    pub fn taskmanager_names(&self) -> Vec<String> {
        (1..=self.taskmanagers).map(|index| format!("tm-{index}")).collect()
    }
}

/// A running local cluster. If it is dropped, its processes are killed; [`LocalCluster::shutdown`] stops them in order.
#[derive(Debug)]
pub struct LocalCluster {
    options: LocalClusterOptions,
    processes: BTreeMap<String, RoleProcess>,
    ports: Vec<JobManagerPorts>,
    // The last field, so that it is dropped last: the processes that use the servers must stop first.
    servers: CoordinationServers,
}

impl LocalCluster {
    /// Starts every process. Returns when they are started, which is before they serve. A cluster that has run in the same
    /// directory before takes its ports again; its raft log and its jobs are used further.
    pub fn start(options: LocalClusterOptions) -> Result<Self, StartError> {
        let ports = ports::take(&options)?;
        let servers = CoordinationServers::start(&options)?;
        let mut cluster = Self { processes: BTreeMap::new(), ports, options, servers };
        std::fs::create_dir_all(cluster.logs())?;
        std::fs::create_dir_all(cluster.settings_directory())?;
        for name in cluster.jobmanager_names().into_iter().chain(cluster.taskmanager_names()) {
            let mut process = cluster.describe(&name)?;
            process.start()?;
            cluster.processes.insert(name, process);
        }
        Ok(cluster)
    }

    /// Names of the JobManagers: `jm-1`, `jm-2`, …
    pub fn jobmanager_names(&self) -> Vec<String> {
        self.options.jobmanager_names()
    }

    /// Names of the TaskManagers: `tm-1`, `tm-2`, …
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

    /// Directory of everything that the cluster writes.
    pub fn directory(&self) -> &Path {
        &self.options.directory
    }

    /// Directory of the processes' output.
    pub fn logs(&self) -> PathBuf {
        self.options.directory.join("logs")
    }

    /// Directory of the processes' configuration files, which only this user can read.
    fn settings_directory(&self) -> PathBuf {
        self.options.directory.join("conf")
    }

    /// Local directory of one JobManager's raft log.
    pub fn raft_directory(&self, name: &str) -> PathBuf {
        self.options.raft_directory(name)
    }

    /// The checkpoint directory.
    pub fn checkpoint_directory(&self) -> PathBuf {
        self.options.file_storage.join("checkpoints")
    }

    /// The process of this name.
    pub fn process(&mut self, name: &str) -> Option<&mut RoleProcess> {
        self.processes.get_mut(name)
    }

    /// Kills a process (SIGKILL).
    pub fn kill(&mut self, name: &str) -> io::Result<()> {
        self.named(name)?.kill()
    }

    /// Pauses a process (SIGSTOP).
    pub fn pause(&mut self, name: &str) -> io::Result<()> {
        self.signal(name, Signal::SIGSTOP)
    }

    /// Lets a paused process continue (SIGCONT).
    pub fn resume(&mut self, name: &str) -> io::Result<()> {
        self.signal(name, Signal::SIGCONT)
    }

    /// Starts a process again that was killed or has ended.
    pub fn restart(&mut self, name: &str) -> io::Result<()> {
        let process = self.named(name)?;
        process.kill()?;
        process.start()
    }

    /// The processes that have ended by themselves since the last call. A process that was killed through
    /// [`LocalCluster::kill`] is not among them.
    pub fn take_ended(&mut self) -> Vec<ProcessEnd> {
        self.processes.values_mut().filter_map(RoleProcess::take_end).collect()
    }

    /// Restarts every process that has ended by itself, as a supervisor does. Returns their names. A process that was killed
    /// through [`LocalCluster::kill`] stays down.
    pub fn revive(&mut self) -> io::Result<Vec<String>> {
        let ended: Vec<_> = self.take_ended().into_iter().map(|end| end.name).collect();
        ended.iter().try_for_each(|name| self.restart(name))?;
        Ok(ended)
    }

    /// Kills the coordination servers. On raft, there are none.
    pub fn kill_coordination(&mut self) {
        self.servers.kill();
    }

    /// Restarts the coordination servers on their data, and waits until they serve.
    pub fn restart_coordination(&mut self) -> io::Result<()> {
        self.servers.restart()
    }

    /// Stops the JobManagers in order. TaskManagers and their tasks continue.
    pub fn stop_jobmanagers(&mut self) -> io::Result<()> {
        for name in self.jobmanager_names() {
            self.named(&name)?.stop(STOP_PATIENCE)?;
        }
        Ok(())
    }

    /// Sets what the JobManagers coordinate through after their next start. Starts new servers for it.
    pub fn set_coordination(&mut self, coordination: Coordination) -> io::Result<()> {
        self.options.coordination = coordination;
        self.servers = CoordinationServers::start(&self.options)?;
        for name in self.jobmanager_names() {
            let process = self.describe(&name)?;
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
            // Several clusters may run on this machine, so a range of fixed ports could be too short.
            settings.extend(["taskmanager.data.port=0".to_owned(), "taskmanager.http.port=0".to_owned()]);
            settings.extend(self.host(name).taskmanager_settings());
        }
        settings.extend(self.options.settings.iter().cloned());
        settings
    }

    /// Sets the fault on all connections between the JobManagers and the coordination servers. [`Fault::None`] ends it. Does
    /// nothing unless the cluster was started interruptible.
    pub fn interrupt_coordination(&self, fault: Fault) {
        self.servers.interrupt(fault);
    }

    /// Stops all processes, first TaskManagers and then JobManagers. Each gets SIGTERM, and is killed after 5 s.
    pub fn shutdown(mut self) -> io::Result<()> {
        for name in self.taskmanager_names().into_iter().chain(self.jobmanager_names()) {
            self.named(&name)?.stop(STOP_PATIENCE)?;
        }
        Ok(())
    }

    fn signal(&mut self, name: &str, signal: Signal) -> io::Result<()> {
        if self.named(name)?.signal(signal) { Ok(()) } else { Err(io::Error::other(format!("{name} is not running"))) }
    }

    /// The host of a process.
    pub fn host(&self, name: &str) -> Host {
        self.options.hosts.get(name).cloned().unwrap_or_default()
    }

    /// Bytes of answers of the coordination servers that were held back so far ([`Fault::LostAnswers`]).
    pub fn held_answers(&self) -> u64 {
        self.servers.held_answers()
    }

    /// The addresses (`host:port`) on which JobManagers listen for each other and for TaskManagers.
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

    fn describe(&self, name: &str) -> io::Result<RoleProcess> {
        let is_jobmanager = self.jobmanager_names().iter().any(|known| known == name);
        let file = self.settings_directory().join(format!("{name}.yaml"));
        settings_file::write(&file, &self.settings(name))?;
        let role = if is_jobmanager { "jobmanager" } else { "taskmanager" };
        let arguments = [role.to_owned(), "--config".to_owned(), file.display().to_string()];
        Ok(RoleProcess::new(name, &self.options.binary, arguments.to_vec(), &self.logs()).on(self.host(name)))
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
        } else {
            let peers = self.addresses_of_jobmanagers(|ports| ports.raft.number());
            let members: Vec<_> = peers.iter().map(|(name, address)| format!("{name}@{address}")).collect();
            settings.push("high-availability.type=raft".to_owned());
            settings.push(format!("high-availability.raft.members={}", members.join(";")));
            settings.push(format!("high-availability.raft.dir={}", self.raft_directory(name).display()));
        }
        settings
    }
}
