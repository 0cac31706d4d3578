//! A cluster that faults are injected into, and what a fault needs to know about it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use weir_local::{Coordination, LocalCluster, LocalClusterOptions};
use weir_verdict::random::mix;

use super::observer::{SharedView, View};
use crate::cluster::SHORT_SESSIONS;
use crate::cluster::brokers::Brokers;
use crate::cluster::clocks::Clocks;
use crate::cluster::links::Links;
use crate::cluster::memory_groups::MemoryGroups;
use crate::cluster::network::Network;
use crate::history::{Recorder, What};
use crate::lossy_disk::LossyDisk;

/// How long a fault waits for its effect.
pub const PATIENCE: Duration = Duration::from_secs(30);
const PACE: Duration = Duration::from_millis(10);

/// Name of the disk of checkpoints and output.
pub const FILE_STORAGE: &str = "file storage";
/// Segment size of the raft log on lossy disks. It is small, so that segments are created and removed during a run.
const RAFT_SEGMENTS: &str = "high-availability.raft.segment-size=64 kb";
/// Writes all state to files, even if it is small.
const STATE_IN_FILES: &str = "execution.checkpointing.data-inline-threshold=0";

/// The parts that a cluster needs so that faults can be injected.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parts {
    /// Number of slots of each TaskManager.
    pub slots: u32,
    pub network: bool,
    /// Clocks that can be set.
    pub clocks: bool,
    /// Lossy disks for raft logs.
    pub raft_disks: bool,
    /// A lossy disk for the checkpoints and the output that all processes share.
    pub file_storage: bool,
    /// Control groups for memory.
    pub memory: bool,
    /// Connections that can be made to fail; needs the network.
    pub links: bool,
    /// Kafka beside the cluster.
    pub kafka: bool,
    /// All random choices of these parts follow from this seed.
    pub seed: u64,
}

/// A running cluster. When it is dropped, it leaves nothing behind except its directory.
#[derive(Debug)]
pub struct Scene {
    pub cluster: LocalCluster,
    /// What was last seen of the cluster.
    pub view: SharedView,
    pub recorder: Recorder,
    /// Set when the user wants the run to stop.
    pub stop: Arc<AtomicBool>,
    pub coordination: Coordination,
    /// Kafka, if the workload has tables in it.
    pub kafka: Option<Brokers>,
    /// The processes' clocks, if they can be set.
    pub clocks: Option<Clocks>,
    /// Directory of everything that the processes share, the output included.
    pub file_storage: PathBuf,
    // These fields are dropped after the cluster: disks, groups and namespaces can't be removed while processes use them.
    /// Lossy disks: those of raft logs by name of the JobManager, and [`FILE_STORAGE`].
    pub lossy_disks: BTreeMap<String, LossyDisk>,
    /// The processes' control groups for memory, if memory can be limited.
    pub memory: Option<MemoryGroups>,
    /// The proxies of all connections, if connections can be made to fail.
    pub links: Option<Links>,
    /// The cluster's own network, if it has one.
    pub network: Option<Network>,
}

impl Scene {
    /// Starts a cluster of three JobManagers and two TaskManagers under `directory`.
    pub fn start(
        binary: PathBuf,
        directory: &Path,
        coordination: Coordination,
        parts: Parts,
        recorder: &Recorder,
        stop: &Arc<AtomicBool>,
    ) -> io::Result<Self> {
        let mut options = LocalClusterOptions { binary, coordination, ..LocalClusterOptions::under(directory)? };
        options.slots = parts.slots;
        options.settings.extend(SHORT_SESSIONS.map(str::to_owned));
        // Every other run keeps state in separate files, which later checkpoints reference again and which must be removed.
        if parts.seed % 2 == 1 {
            options.settings.push(STATE_IN_FILES.to_owned());
        }
        options.interruptible = coordination != Coordination::Raft;
        let names: Vec<_> = options.jobmanager_names().into_iter().chain(options.taskmanager_names()).collect();
        let network = if parts.network { Some(Network::create(&names)?) } else { None };
        if let Some(network) = &network {
            options.hosts = network.hosts();
            options.proxy_address = network.store().into();
        }
        let clocks = if parts.clocks { Some(Clocks::create(&directory.join("clocks"), &names)?) } else { None };
        if let Some(clocks) = &clocks {
            for name in &names {
                options.hosts.entry(name.clone()).or_default().environment = clocks.environment(name);
            }
        }
        let links = match &network {
            Some(network) if parts.links => Some(Links::create(network, parts.seed)?),
            _ => None,
        };
        let memory = if parts.memory { Some(MemoryGroups::create(&names)?) } else { None };
        if let Some(memory) = &memory {
            names.iter().for_each(|name| memory.contain(name, options.hosts.entry(name.clone()).or_default()));
        }
        let mut lossy_disks = BTreeMap::new();
        if parts.raft_disks {
            options.settings.push(RAFT_SEGMENTS.to_owned());
            lossy_disks = mount_raft_disks(&options, parts.seed)?;
        }
        if parts.file_storage {
            options.file_storage = directory.join("storage");
            lossy_disks.insert(FILE_STORAGE.to_owned(), LossyDisk::mount(&options.file_storage, mix(parts.seed))?);
        }
        let file_storage = options.file_storage.clone();
        let mut cluster = LocalCluster::start(options).map_err(io::Error::other)?;
        for name in &names {
            note_started(&mut cluster, name, recorder);
        }
        let host = network.as_ref().map(|network| network.brokers().into());
        let kafka = parts.kafka.then(|| Brokers::start(host, directory, &Self::consumed(directory))).transpose()?;
        let (view, recorder, stop) = (SharedView::default(), recorder.clone(), stop.clone());
        Ok(Self { cluster, view, recorder, stop, coordination, kafka, clocks, file_storage, lossy_disks, memory, links, network })
    }

    /// The directory of what Kafka's consumer reads, below the directory of the run.
    pub fn consumed(directory: &Path) -> PathBuf {
        directory.join("consumed")
    }

    /// Names of all processes.
    pub fn names(&self) -> Vec<String> {
        self.cluster.jobmanager_names().into_iter().chain(self.cluster.taskmanager_names()).collect()
    }

    /// Whether the user wants the run to stop.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Waits for this long, or less if the user stops the run.
    pub fn wait(&self, duration: Duration) {
        let started = Instant::now();
        while started.elapsed() < duration && !self.stopped() {
            std::thread::sleep(PACE.min(duration));
        }
    }

    /// Waits until `condition` returns something for the current view. `None` if this takes too long or the user stops the run.
    pub fn until<T>(&self, patience: Duration, mut condition: impl FnMut(&View) -> Option<T>) -> Option<T> {
        let started = Instant::now();
        loop {
            if let Some(seen) = condition(&self.view.get()) {
                return Some(seen);
            }
            if started.elapsed() > patience || self.stopped() {
                return None;
            }
            std::thread::sleep(PACE);
        }
    }

    /// Waits for a leader that answers. Returns its name and its epoch.
    pub fn leader(&self) -> io::Result<(String, u64)> {
        let leader = self.until(PATIENCE, |view| view.leader().filter(|(name, _)| view.leaders.contains_key(name)));
        leader.ok_or_else(|| io::Error::other("there is no leader"))
    }

    /// Waits for a leader with a higher epoch than this. Returns its name and its epoch.
    pub fn leader_after(&self, epoch: u64) -> Option<(String, u64)> {
        self.until(PATIENCE, |view| view.leader().filter(|(_, newer)| *newer > epoch))
    }

    /// Kills a process (SIGKILL). Returns its id.
    pub fn kill(&mut self, name: &str) -> io::Result<u32> {
        let pid = self.pid(name)?;
        self.cluster.kill(name)?;
        self.note_ended(name, pid, "killed");
        Ok(pid)
    }

    /// Asks a process to end (SIGTERM) and waits until it has ended. Returns its exit status as text.
    pub fn terminate(&mut self, name: &str) -> io::Result<String> {
        let pid = self.pid(name)?;
        let process = self.cluster.process(name).ok_or_else(|| io::Error::other("no such process"))?;
        let state = process.stop(PATIENCE)?.map_or_else(|| "killed: it did not stop".to_owned(), |status| status.to_string());
        self.note_ended(name, pid, &state);
        Ok(state)
    }

    /// Waits until a process ends by itself. Returns its exit status, or `None` if it did not end.
    pub fn await_end(&mut self, name: &str) -> io::Result<Option<ExitStatus>> {
        let pid = self.pid(name)?;
        let process = self.cluster.process(name).ok_or_else(|| io::Error::other("no such process"))?;
        let status = process.wait(PATIENCE)?;
        if let Some(status) = status {
            self.note_ended(name, pid, &status.to_string());
        }
        Ok(status)
    }

    /// What the processes of this name have logged so far.
    pub fn log_of(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.cluster.logs().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// The first line with these words that a process of this name logged after the first `before` bytes of its log.
    pub fn said_since(&self, name: &str, before: usize, words: &str) -> Option<String> {
        let log = self.log_of(name);
        let new = String::from_utf8_lossy(log.get(before..)?);
        new.lines().find(|line| line.contains(words)).map(str::to_owned)
    }

    /// Starts a process again.
    pub fn restart(&mut self, name: &str) -> io::Result<()> {
        self.view.with(|view| *view.incarnations.entry(name.to_owned()).or_insert(1) += 1);
        self.cluster.restart(name)?;
        note_started(&mut self.cluster, name, &self.recorder);
        Ok(())
    }

    /// The id of a running process.
    pub fn pid(&mut self, name: &str) -> io::Result<u32> {
        let process = self.cluster.process(name).filter(|process| process.pid().is_some());
        process.and_then(|process| process.pid()).ok_or_else(|| io::Error::other(format!("{name} is not running")))
    }

    fn note_ended(&self, name: &str, pid: u32, state: &str) {
        self.recorder.note(What::Process { name: name.to_owned(), pid, state: state.to_owned() });
        self.view.with(|view| view.leaders.remove(name));
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A process that waits for its disk can't be killed, so make all requests to the disks fail.
        self.lossy_disks.values().for_each(LossyDisk::refuse_all);
    }
}

/// Mounts a lossy disk under the raft log of every JobManager.
fn mount_raft_disks(options: &LocalClusterOptions, seed: u64) -> io::Result<BTreeMap<String, LossyDisk>> {
    let mount = |(number, name): (u64, String)| {
        let disk = LossyDisk::mount(&options.raft_directory(&name), mix(seed ^ number))?;
        Ok((name, disk))
    };
    (1..).zip(options.jobmanager_names()).map(mount).collect()
}

fn note_started(cluster: &mut LocalCluster, name: &str, recorder: &Recorder) {
    if let Some(pid) = cluster.process(name).and_then(|process| process.pid()) {
        recorder.note(What::Process { name: name.to_owned(), pid, state: "started".to_owned() });
    }
}
