//! A cluster that faults happen to, and what a fault needs to know of it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use weir_local::{Coordination, LocalCluster, LocalClusterOptions};

use super::observer::{SharedView, View};
use crate::cluster::SHORT_SESSIONS;
use crate::cluster::clocks::Clocks;
use crate::cluster::links::Links;
use crate::cluster::memory_groups::MemoryGroups;
use crate::cluster::network::Network;
use crate::history::{Recorder, What};
use crate::lossy_disk::LossyDisk;
use weir_verdict::random::mix;

/// How long a fault waits for what must come of it.
pub const PATIENCE: Duration = Duration::from_secs(30);
const PACE: Duration = Duration::from_millis(10);

/// What the disk is called that checkpoints and output are on.
pub const FILE_STORAGE: &str = "file storage";
/// Size of a file of the raft log on disks that fail: small, so that files are made and removed while that happens.
const RAFT_SEGMENTS: &str = "high-availability.raft.segment-size=64 kb";
/// However little it is.
const STATE_IN_FILES: &str = "execution.checkpointing.data-inline-threshold=0";

/// Which parts a cluster is to have so that faults can be made.
#[derive(Debug, Clone, Copy, Default)]
pub struct Parts {
    pub network: bool,
    /// Clocks that can be set.
    pub clocks: bool,
    /// Disks for raft logs that fail as disks do.
    pub raft_disks: bool,
    /// Such a disk for what all processes share: checkpoints and output.
    pub file_storage: bool,
    /// Control groups for memory.
    pub memory: bool,
    /// Connections that can be made to fail; needs the network.
    pub links: bool,
    /// What is random in all of them follows from it.
    pub seed: u64,
}

/// The cluster. Dropped, it leaves nothing behind but its directory.
#[derive(Debug)]
pub struct Scene {
    pub cluster: LocalCluster,
    /// What is seen of it.
    pub view: SharedView,
    /// What happens to it.
    pub recorder: Recorder,
    /// Set when the user wants it to end.
    pub stop: Arc<AtomicBool>,
    /// What the JobManagers coordinate through.
    pub coordination: Coordination,
    /// Its clocks, if they can be set.
    pub clocks: Option<Clocks>,
    /// What all processes share, output included, is below this directory.
    pub file_storage: PathBuf,
    // After the cluster: disks, groups and namespaces can't go while processes use them.
    /// Disks that can be made to fail: of raft logs, by JobManager, and [`FILE_STORAGE`].
    pub lossy_disks: BTreeMap<String, LossyDisk>,
    /// What limits its processes' memory, if that can be limited.
    pub memory: Option<MemoryGroups>,
    /// What its connections pass, if they can be made to fail.
    pub links: Option<Links>,
    /// Its network, if it has one of its own.
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
        options.settings.extend(SHORT_SESSIONS.map(str::to_owned));
        // Every other run has its state in files of its own, which are referenced again and collected.
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
        let mut cluster = LocalCluster::start(options)?;
        for name in &names {
            note_started(&mut cluster, name, recorder);
        }
        let (view, recorder, stop) = (SharedView::default(), recorder.clone(), stop.clone());
        Ok(Self { cluster, view, recorder, stop, coordination, clocks, file_storage, lossy_disks, memory, links, network })
    }

    /// Names of all processes.
    pub fn names(&self) -> Vec<String> {
        self.cluster.jobmanager_names().into_iter().chain(self.cluster.taskmanager_names()).collect()
    }

    /// Whether the user wants it to end.
    pub fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Lets time pass; less if the user wants it to end.
    pub fn wait(&self, duration: Duration) {
        let started = Instant::now();
        while started.elapsed() < duration && !self.stopped() {
            std::thread::sleep(PACE.min(duration));
        }
    }

    /// Waits until what is seen of the cluster is as `condition` says.
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

    /// The leader, once there is one that answers.
    pub fn leader(&self) -> io::Result<(String, u64)> {
        let leader = self.until(PATIENCE, |view| view.leader().filter(|(name, _)| view.leaders.contains_key(name)));
        leader.ok_or_else(|| io::Error::other("nobody leads"))
    }

    /// The leader of a higher epoch than this, once there is one.
    pub fn leader_after(&self, epoch: u64) -> Option<(String, u64)> {
        self.until(PATIENCE, |view| view.leader().filter(|(_, newer)| *newer > epoch))
    }

    /// Kills a process (SIGKILL). Its id.
    pub fn kill(&mut self, name: &str) -> io::Result<u32> {
        let pid = self.pid(name)?;
        self.cluster.kill(name)?;
        self.note_ended(name, pid, "killed");
        Ok(pid)
    }

    /// Asks a process to end (SIGTERM) and waits until it has. What it ended with.
    pub fn terminate(&mut self, name: &str) -> io::Result<String> {
        let pid = self.pid(name)?;
        let process = self.cluster.process(name).ok_or_else(|| io::Error::other("no such process"))?;
        let state = process.stop(PATIENCE)?.map_or_else(|| "killed: it did not stop".to_owned(), |status| status.to_string());
        self.note_ended(name, pid, &state);
        Ok(state)
    }

    /// Waits for a process to end by itself. What it ended with; `None` if it did not.
    pub fn await_end(&mut self, name: &str) -> io::Result<Option<ExitStatus>> {
        let pid = self.pid(name)?;
        let process = self.cluster.process(name).ok_or_else(|| io::Error::other("no such process"))?;
        let status = process.wait(PATIENCE)?;
        if let Some(status) = status {
            self.note_ended(name, pid, &status.to_string());
        }
        Ok(status)
    }

    /// What processes of this name have said so far.
    pub fn log_of(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.cluster.logs().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// The line with these words that a process of this name has said after it had said so many bytes, if it has.
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

    /// The id of a process.
    pub fn pid(&mut self, name: &str) -> io::Result<u32> {
        let process = self.cluster.process(name).filter(|process| process.pid().is_some());
        process.and_then(|process| process.pid()).ok_or_else(|| io::Error::other(format!("{name} does not run")))
    }

    fn note_ended(&self, name: &str, pid: u32, state: &str) {
        self.recorder.note(What::Process { name: name.to_owned(), pid, state: state.to_owned() });
        self.view.with(|view| view.leaders.remove(name));
    }
}

impl Drop for Scene {
    fn drop(&mut self) {
        // A process that waits for its disk can't be killed.
        self.lossy_disks.values().for_each(LossyDisk::refuse_all);
    }
}

/// A disk that fails under the raft log of every JobManager.
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
