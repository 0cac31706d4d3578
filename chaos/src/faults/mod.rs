//! The kinds of faults. A fault begins, lasts, is healed, and shows that it took effect.

mod broker;
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
mod transactions;

use std::io;
use std::time::Duration;

use weir_local::Coordination;

pub use plan::{Plan, Step};

use crate::cluster::clocks::Clocks;
use crate::cluster::memory_groups::MemoryGroups;
use crate::cluster::network::Network;
use crate::lossy_disk::LossyDisk;
use crate::run::Workload;
use crate::run::scene::Scene;

/// The effect of a fault.
#[derive(Debug)]
pub struct Effect {
    pub target: String,
    /// What shows that the fault took effect. `Err` says what was looked for but not found.
    pub footprint: Result<String, String>,
}

impl Effect {
    fn new(target: impl Into<String>, footprint: Result<String, String>) -> Self {
        Self { target: target.into(), footprint }
    }
}

/// How long a fault lasts, and a number to choose by. Both follow from the seed.
#[derive(Debug, Clone, Copy)]
pub struct Draw {
    pub lasts: Duration,
    /// Chooses one of several possibilities, such as the target.
    pub number: u64,
}

/// What a kind of fault requires of the machine and the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    Nothing,
    Network,
    /// A network, and JobManagers that coordinate through raft. With etcd or ZooKeeper, they hardly send each other anything.
    Raft,
    /// A coordination store that is separate from the JobManagers.
    Store,
    Clock,
    /// Control groups for processor time.
    CpuGroups,
    /// A lossy disk for the file storage that all processes share.
    FileStorage,
    /// Lossy disks for raft logs, and JobManagers that have raft logs.
    RaftDisk,
    /// Control groups for memory.
    MemoryGroups,
    /// Network namespaces in which connections can be redirected.
    Links,
    /// A workload with tables in Kafka.
    Kafka,
    /// The same, and a network.
    KafkaNetwork,
}

/// A kind of fault.
#[derive(Debug, Clone, Copy)]
pub struct Nemesis {
    /// Its name on the command line.
    pub name: &'static str,
    /// Says in one sentence what it does.
    pub sentence: &'static str,
    pub need: Need,
    /// How long it lasts, in milliseconds: at least the first, less than the second.
    pub lasts_ms: (u64, u64),
    /// Injects the fault, waits, heals it, and returns its effect. An error means that the run can't continue.
    inflict: fn(&mut Scene, Draw) -> io::Result<Effect>,
}

const fn nemesis(
    name: &'static str,
    need: Need,
    lasts_ms: (u64, u64),
    inflict: fn(&mut Scene, Draw) -> io::Result<Effect>,
    sentence: &'static str,
) -> Nemesis {
    Nemesis { name, sentence, need, lasts_ms, inflict }
}

/// Every kind of fault.
#[rustfmt::skip]
pub const NEMESES: [Nemesis; 40] = [
    nemesis("kill-leader", Need::Nothing, (200, 800), kill::leader, "kills the leading JobManager (SIGKILL) and restarts it later"),
    nemesis("kill-jobmanager", Need::Nothing, (300, 1_500), kill::jobmanager, "kills any JobManager (SIGKILL) and restarts it later"),
    nemesis("kill-all-jobmanagers", Need::Nothing, (200, 1_000), kill::all_jobmanagers, "kills all JobManagers at once (SIGKILL) and restarts them later"),
    nemesis("kill-taskmanager", Need::Nothing, (300, 1_500), kill::taskmanager, "kills a TaskManager (SIGKILL) and restarts it later"),
    nemesis("pause-leader", Need::Nothing, (500, 2_000), pause::leader, "stops the leading JobManager (SIGSTOP) until another one leads, and a while longer; then continues it (SIGCONT)"),
    nemesis("pause-taskmanager", Need::Nothing, (500, 5_000), pause::taskmanager, "stops a TaskManager (SIGSTOP), then continues it (SIGCONT)"),
    nemesis("terminate-leader", Need::Nothing, (200, 800), terminate::leader, "asks the leading JobManager to end (SIGTERM): it must hand over leadership and exit with status 0"),
    nemesis("terminate-taskmanager", Need::Nothing, (200, 1_000), terminate::taskmanager, "asks a TaskManager to end (SIGTERM): it must exit with status 0"),
    nemesis("isolate-leader", Need::Network, (1_500, 4_000), partition::leader_from_all, "drops all packets to and from the leading JobManager"),
    nemesis("isolate-leader-in", Need::Network, (1_500, 4_000), partition::leader_in, "drops packets to the leading JobManager; packets from it arrive"),
    nemesis("isolate-leader-out", Need::Network, (1_500, 4_000), partition::leader_out, "drops packets from the leading JobManager; packets to it arrive"),
    nemesis("split-leader", Need::Network, (1_500, 4_000), partition::leader_from_jobmanagers, "cuts the leading JobManager off from the other JobManagers and from the store, but not from TaskManagers and clients"),
    nemesis("bridge", Need::Raft, (1_500, 4_000), partition::bridge, "drops packets between the leading JobManager and one other; a third JobManager reaches both"),
    nemesis("flap-leader", Need::Network, (2_000, 4_000), partition::flapping, "cuts the leading JobManager off and reconnects it, several times"),
    nemesis("isolate-taskmanager", Need::Network, (1_500, 5_000), partition::taskmanager, "drops all packets to and from a TaskManager"),
    nemesis("store-reset", Need::Store, (1_500, 3_000), store::reset, "closes connections to etcd or ZooKeeper and refuses new ones"),
    nemesis("store-silence", Need::Store, (1_500, 4_000), store::silence, "silently stops all traffic to and from etcd or ZooKeeper"),
    nemesis("store-lost-answers", Need::Store, (1_500, 4_000), store::lost_answers, "passes requests to etcd or ZooKeeper, but holds back the answers: outcomes are unknown"),
    nemesis("store-outage", Need::Store, (500, 2_000), store::outage, "kills all nodes of etcd or ZooKeeper and restarts them on their data"),
    nemesis("clock-jump", Need::Clock, (1_000, 3_000), clock::jump, "sets the wall clock of the leading JobManager forward or back by up to an hour, then corrects it"),
    nemesis("starve-leader", Need::CpuGroups, (1_500, 4_000), starve::leader, "limits the leading JobManager to a fiftieth of a processor"),
    nemesis("disk-full", Need::FileStorage, (1_500, 3_000), file_storage::full, "fills the disk of checkpoints and output"),
    nemesis("lose-power-leader", Need::RaftDisk, (200, 1_000), power::leader, "cuts the power of the leading JobManager's machine: the process dies, and its disk keeps what was synced"),
    nemesis("lose-power-majority", Need::RaftDisk, (200, 1_000), power::majority, "cuts the power of the machines of the leading JobManager and of one or both others at once"),
    nemesis("lose-power-all", Need::FileStorage, (200, 1_000), power::all, "cuts the power of all machines at once, also of the disk of checkpoints and output: processes die, and disks keep what was synced"),
    nemesis("sync-error", Need::RaftDisk, (200, 1_000), raft_disk::sync_fails, "makes an fsync of the leading JobManager's raft log fail: the process must end itself"),
    nemesis("slow-disk", Need::RaftDisk, (1_500, 4_000), raft_disk::slow, "delays every fsync of the leading JobManager's raft log by up to half a second"),
    nemesis("flip-bit", Need::RaftDisk, (100, 500), raft_disk::flip_a_bit, "flips a bit in the raft log of a JobManager that is down: it must notice this and not serve; then its disk is emptied"),
    nemesis("squeeze-leader", Need::MemoryGroups, (1_500, 3_000), memory::leader, "limits the leading JobManager to the memory that it uses: it becomes slow, or is killed for using too much"),
    nemesis("squeeze-taskmanager", Need::MemoryGroups, (1_500, 3_000), memory::taskmanager, "limits a TaskManager to the memory that it uses: it becomes slow, or is killed for using too much"),
    nemesis("delay-leader", Need::Links, (1_500, 4_000), links::delay_leader, "delays data on connections to and from the leading JobManager by up to 200 ms"),
    nemesis("reset-leader", Need::Links, (1_000, 3_000), links::reset_leader, "resets connections to and from the leading JobManager in the middle of a message"),
    nemesis("corrupt-data", Need::Links, (500, 2_000), links::corrupt_data, "flips bits in the data between TaskManagers: checksums must detect this"),
    nemesis("corrupt-coordination", Need::Links, (500, 2_000), links::corrupt_coordination, "flips bits in messages from JobManagers to each other and to TaskManagers: checksums must detect this"),
    nemesis("kill-broker", Need::Kafka, (300, 3_000), broker::one, "kills a Kafka broker (SIGKILL) and restarts it later"),
    nemesis("kill-all-brokers", Need::Kafka, (200, 2_000), broker::all, "kills all Kafka brokers at once (SIGKILL) and restarts them later"),
    nemesis("kill-coordinator", Need::Kafka, (300, 3_000), broker::coordinator, "kills the Kafka broker that coordinates a transaction under way (SIGKILL), and restarts it later"),
    nemesis("pause-broker", Need::Kafka, (500, 8_000), broker::pause, "stops a Kafka broker (SIGSTOP), then continues it (SIGCONT)"),
    nemesis("outlast-transactions", Need::Kafka, (12_000, 15_000), transactions::outlast_frozen, "stops all TaskManagers (SIGSTOP) between a checkpoint and its commit, for longer than a transaction may last: its records must be written again"),
    nemesis("isolate-brokers", Need::KafkaNetwork, (12_000, 15_000), transactions::outlast_cut, "drops all packets between TaskManagers and Kafka's brokers, from between a checkpoint and its commit, for longer than a transaction may last: its records must be written again"),
];

impl Nemesis {
    /// The kind of fault with this name.
    pub fn named(name: &str) -> Option<&'static Self> {
        NEMESES.iter().find(|nemesis| nemesis.name == name)
    }

    /// Injects the fault, waits, heals it, and returns its effect. An error means that the run can't continue.
    pub fn inflict(&self, scene: &mut Scene, draw: Draw) -> io::Result<Effect> {
        (self.inflict)(scene, draw)
    }
}

/// Why this machine can't inject some kinds of faults, by what they need. Looked up once.
#[derive(Debug, Clone, Default)]
pub struct Hindrances {
    network: Option<String>,
    clock: Option<String>,
    cpu_groups: Option<String>,
    lossy_disk: Option<String>,
    memory_groups: Option<String>,
    redirection: Option<String>,
    kafka: Option<String>,
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
            kafka: None,
        }
    }

    /// The same, but without network namespaces.
    pub fn without_network(self) -> Self {
        Self { network: Some("network namespaces are switched off".to_owned()), ..self }
    }

    /// The same, for a run of this workload.
    pub fn of_workload(self, workload: Workload) -> Self {
        let apart = (workload != Workload::Kafka).then(|| "this workload has no tables in Kafka".to_owned());
        Self { kafka: apart, ..self }
    }

    /// Why a need can't be met here; `None` if it can. If no coordination is given, any suitable one is assumed.
    pub fn hinders(&self, need: Need, coordination: Option<Coordination>) -> Option<String> {
        let apart = coordination.is_some_and(|coordination| coordination != Coordination::Raft);
        let raft_only = |why: &str| apart.then(|| why.to_owned());
        match need {
            Need::Nothing => None,
            Need::Network => self.network.clone(),
            Need::Raft => {
                let why = "with etcd or ZooKeeper, JobManagers do not need to reach each other";
                self.network.clone().or_else(|| raft_only(why))
            }
            Need::RaftDisk => {
                let why = "with etcd or ZooKeeper, JobManagers keep nothing on disks of their own";
                self.lossy_disk.clone().or_else(|| raft_only(why))
            }
            Need::FileStorage => self.lossy_disk.clone(),
            Need::MemoryGroups => self.memory_groups.clone(),
            Need::Links => self.network.clone().or_else(|| self.redirection.clone()),
            Need::Store => {
                let raft = coordination == Some(Coordination::Raft);
                raft.then(|| "with raft, there is no coordination store apart from the JobManagers".to_owned())
            }
            Need::Clock => self.clock.clone(),
            Need::Kafka => self.kafka.clone(),
            Need::KafkaNetwork => self.kafka.clone().or_else(|| self.network.clone()),
            Need::CpuGroups => self.cpu_groups.clone(),
        }
    }
}

/// Waits for a leader with a newer epoch than this one. `Err` says that none came.
fn followed(scene: &Scene, epoch: u64) -> Result<String, String> {
    match scene.leader_after(epoch) {
        Some((name, newer)) => Ok(format!("{name} leads under epoch {newer}, after epoch {epoch}")),
        None => Err(format!("no leader followed the one of epoch {epoch}")),
    }
}

/// One of these names, chosen by the draw.
fn chosen(names: &[String], draw: Draw) -> String {
    names[(draw.number % names.len() as u64) as usize].clone()
}
