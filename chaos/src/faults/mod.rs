//! What goes wrong: each kind of fault begins, lasts, is mended, and shows that it bit.

mod clock;
mod file_storage;
mod kill;
mod links;
mod memory;
mod partition;
mod pause;
mod plan;
mod power;
mod raft_disk;
mod starve;
mod store;
mod terminate;

use std::io;
use std::time::Duration;

use weir_local::Coordination;

pub use plan::{Plan, Step};

use crate::cluster::clocks::Clocks;
use crate::cluster::memory_groups::MemoryGroups;
use crate::cluster::network::Network;
use crate::lossy_disk::LossyDisk;
use crate::run::scene::Scene;

/// What a fault did.
#[derive(Debug)]
pub struct Bite {
    pub target: String,
    /// What shows that it bit; `Err` says what was looked for in vain.
    pub footprint: Result<String, String>,
}

impl Bite {
    /// Shown by this, if it was seen.
    fn new(target: impl Into<String>, footprint: Result<String, String>) -> Self {
        Self { target: target.into(), footprint }
    }
}

/// How long a fault lasts, and a number to choose by; both follow from the seed.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    pub lasts: Duration,
    /// Which of several.
    pub number: u64,
}

/// What a fault needs to be possible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nothing,
    Network,
    /// The same, and JobManagers that coordinate through each other: with etcd and ZooKeeper they have little to say to each other.
    Raft,
    /// A coordination store apart from the JobManagers.
    Store,
    Clock,
    /// Control groups for processor time.
    CpuGroups,
    /// To mount a disk that fails under what all processes share.
    FileStorage,
    /// To mount a disk that fails under raft logs, and JobManagers that have some.
    RaftDisk,
    /// Control groups for memory.
    MemoryGroups,
    /// Network namespaces in which connections can be redirected.
    Links,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy)]
pub struct Nemesis {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it does.
    pub sentence: &'static str,
    /// What it needs.
    pub need: Need,
    /// How long it lasts: at least, and less than, in milliseconds.
    pub lasts_ms: (u64, u64),
    /// Makes it, waits, mends it, and says what it did. An error means that the run can't go on.
    inflict: fn(&mut Scene, Draw) -> io::Result<Bite>,
}

const fn nemesis(
    name: &'static str,
    need: Need,
    lasts_ms: (u64, u64),
    inflict: fn(&mut Scene, Draw) -> io::Result<Bite>,
    sentence: &'static str,
) -> Nemesis {
    Nemesis { name, sentence, need, lasts_ms, inflict }
}

/// Every kind of fault.
#[rustfmt::skip]
pub const NEMESES: [Nemesis; 34] = [
    nemesis("kill-leader", Need::Nothing, (200, 800), kill::leader, "SIGKILL to the leading JobManager; it is started again later"),
    nemesis("kill-jobmanager", Need::Nothing, (300, 1_500), kill::jobmanager, "SIGKILL to any JobManager"),
    nemesis("kill-all-jobmanagers", Need::Nothing, (200, 1_000), kill::all_jobmanagers, "SIGKILL to all JobManagers at once"),
    nemesis("kill-taskmanager", Need::Nothing, (300, 1_500), kill::taskmanager, "SIGKILL to a TaskManager"),
    nemesis("pause-leader", Need::Nothing, (500, 2_000), pause::leader, "SIGSTOP to the leading JobManager until another leads, and longer; then SIGCONT"),
    nemesis("pause-taskmanager", Need::Nothing, (500, 5_000), pause::taskmanager, "SIGSTOP to a TaskManager, then SIGCONT"),
    nemesis("terminate-leader", Need::Nothing, (200, 800), terminate::leader, "SIGTERM to the leading JobManager: it must hand over and end in order"),
    nemesis("terminate-taskmanager", Need::Nothing, (200, 1_000), terminate::taskmanager, "SIGTERM to a TaskManager"),
    nemesis("isolate-leader", Need::Network, (1_500, 4_000), partition::leader_from_all, "all packets to and from the leading JobManager are dropped"),
    nemesis("isolate-leader-in", Need::Network, (1_500, 4_000), partition::leader_in, "packets to the leading JobManager are dropped, what it sends arrives"),
    nemesis("isolate-leader-out", Need::Network, (1_500, 4_000), partition::leader_out, "packets from the leading JobManager are dropped, it hears the others"),
    nemesis("split-leader", Need::Network, (1_500, 4_000), partition::leader_from_jobmanagers, "the leading JobManager is cut off from the others and from the store, not from TaskManagers and clients"),
    nemesis("bridge", Need::Raft, (1_500, 4_000), partition::bridge, "the leading JobManager and one other don't hear each other, a third hears both"),
    nemesis("flap-leader", Need::Network, (2_000, 4_000), partition::flapping, "the leading JobManager is cut off and let back again and again"),
    nemesis("isolate-taskmanager", Need::Network, (1_500, 5_000), partition::taskmanager, "all packets to and from a TaskManager are dropped"),
    nemesis("store-reset", Need::Store, (1_500, 3_000), store::reset, "connections to etcd or ZooKeeper are closed, and new ones refused"),
    nemesis("store-silence", Need::Store, (1_500, 4_000), store::silence, "nothing passes to or from etcd or ZooKeeper, and nobody is told"),
    nemesis("store-lost-answers", Need::Store, (1_500, 4_000), store::lost_answers, "etcd or ZooKeeper hears, its answers are held back: outcomes are unknown"),
    nemesis("store-outage", Need::Store, (500, 2_000), store::outage, "all nodes of etcd or ZooKeeper are killed, and started again on their data"),
    nemesis("clock-jump", Need::Clock, (1_000, 3_000), clock::jump, "the wall clock of the leading JobManager jumps by up to an hour, either way, and back"),
    nemesis("starve-leader", Need::CpuGroups, (1_500, 4_000), starve::leader, "the leading JobManager gets a fiftieth of a processor"),
    nemesis("disk-full", Need::FileStorage, (1_500, 3_000), file_storage::full, "there is no room any more for checkpoints and output"),
    nemesis("lose-power-leader", Need::RaftDisk, (200, 1_000), power::leader, "the machine of the leading JobManager loses power: the process dies, and its disk keeps what was synced"),
    nemesis("lose-power-majority", Need::RaftDisk, (200, 1_000), power::majority, "the machines of the leading JobManager and of one or both others lose power at once"),
    nemesis("lose-power-all", Need::FileStorage, (200, 1_000), power::all, "all machines lose power at once, that of checkpoints and output too: processes die, and disks keep what was synced"),
    nemesis("sync-error", Need::RaftDisk, (200, 1_000), raft_disk::sync_fails, "an fsync of the leading JobManager's raft log fails: it must end itself"),
    nemesis("slow-disk", Need::RaftDisk, (1_500, 4_000), raft_disk::slow, "every fsync of the leading JobManager's raft log takes up to half a second"),
    nemesis("flip-bit", Need::RaftDisk, (100, 500), raft_disk::flip_a_bit, "a bit of a JobManager's raft log flips while it is down: it must notice, and not serve; its disk is emptied then"),
    nemesis("squeeze-leader", Need::MemoryGroups, (1_500, 3_000), memory::leader, "the leading JobManager gets no more memory than it uses: it becomes slow, or is killed for want of it"),
    nemesis("squeeze-taskmanager", Need::MemoryGroups, (1_500, 3_000), memory::taskmanager, "the same for a TaskManager"),
    nemesis("delay-leader", Need::Links, (1_500, 4_000), links::delay_leader, "what passes on connections from and to the leading JobManager comes late, by up to 200 ms"),
    nemesis("reset-leader", Need::Links, (1_000, 3_000), links::reset_leader, "connections from and to the leading JobManager are reset in the middle of what is said"),
    nemesis("corrupt-data", Need::Links, (500, 2_000), links::corrupt_data, "bits of what TaskManagers send each other flip: checksums must notice"),
    nemesis("corrupt-coordination", Need::Links, (500, 2_000), links::corrupt_coordination, "bits of what JobManagers say to each other and to TaskManagers flip: checksums must notice"),
];

impl Nemesis {
    /// The one of this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        NEMESES.iter().find(|nemesis| nemesis.name == name)
    }

    /// Makes it.
    pub fn inflict(&self, scene: &mut Scene, draw: Draw) -> io::Result<Bite> {
        (self.inflict)(scene, draw)
    }
}

/// What this machine can't do, by need; looked up once.
#[derive(Debug, Clone, Default)]
pub struct Hindrances {
    network: Option<String>,
    clock: Option<String>,
    cpu_groups: Option<String>,
    lossy_disk: Option<String>,
    memory_groups: Option<String>,
    redirection: Option<String>,
}

impl Hindrances {
    /// Tries what this machine can do.
    pub fn of_this_machine() -> Self {
        Self {
            network: Network::hindrance(),
            clock: Clocks::hindrance(),
            cpu_groups: starve::hindrance(),
            lossy_disk: LossyDisk::hindrance(),
            memory_groups: MemoryGroups::hindrance(),
            redirection: Network::redirection_hindrance(),
        }
    }

    /// As if this machine had no network namespaces.
    pub fn without_network(self) -> Self {
        Self { network: Some("network namespaces were not wanted".to_owned()), ..self }
    }

    /// Why a need is not met here, if it isn't. `None` for the coordination: any that would do.
    pub fn hinders(&self, need: Need, coordination: Option<Coordination>) -> Option<String> {
        let apart = coordination.is_some_and(|coordination| coordination != Coordination::Raft);
        let raft_only = |why: &str| apart.then(|| why.to_owned());
        match need {
            Need::Nothing => None,
            Need::Network => self.network.clone(),
            Need::Raft => {
                let why = "with etcd and ZooKeeper the JobManagers need not hear each other";
                self.network.clone().or_else(|| raft_only(why))
            }
            Need::RaftDisk => {
                let why = "with etcd and ZooKeeper the JobManagers keep nothing on disks of their own";
                self.lossy_disk.clone().or_else(|| raft_only(why))
            }
            Need::FileStorage => self.lossy_disk.clone(),
            Need::MemoryGroups => self.memory_groups.clone(),
            Need::Links => self.network.clone().or_else(|| self.redirection.clone()),
            Need::Store => {
                let raft = coordination == Some(Coordination::Raft);
                raft.then(|| "with raft there is no coordination store apart from the JobManagers".to_owned())
            }
            Need::Clock => self.clock.clone(),
            Need::CpuGroups => self.cpu_groups.clone(),
        }
    }
}

/// Whether another leader has followed the one of this epoch.
fn followed(scene: &Scene, epoch: u64) -> Result<String, String> {
    match scene.leader_after(epoch) {
        Some((name, newer)) => Ok(format!("{name} leads under epoch {newer} after {epoch}")),
        None => Err(format!("nobody followed the leader of epoch {epoch}")),
    }
}

/// One of these, by the draw.
fn chosen(names: &[String], draw: Draw) -> String {
    names[(draw.number % names.len() as u64) as usize].clone()
}
