//! The hosts' processes: real JobManagers and TaskManagers, started as the `weir` binary starts them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use weir_control_plane::dispatcher::DispatcherOptions;
use weir_control_plane::job_master::JobMasterOptions;
use weir_control_plane::resource_manager::HeartbeatOptions;
use weir_control_plane::{JobManager, JobManagerOptions};
use weir_ha::raft::{Listen, Member, RaftOptions, RaftProvider, RaftTiming};
use weir_ha::{Candidate, Election, GroupAdmin, HaServices};
use weir_protocol::checkpoint::INLINE_STATE_LIMIT;
use weir_protocol::http_access::HttpAccess;
use weir_storage::{Schemes, StorageOptions};
use weir_verdict::fact::Fact;
use weir_verdict::random::Random;
use weir_worker::{TaskManager, TaskManagerOptions};

use crate::pipeline;
use crate::world::World;
use crate::world::network::REST_PORT;
use crate::world::observations::Observations;
use crate::world::observed::Observed;
use crate::world::store::{ObjectStore, SCHEME};

const RPC_PORT: u16 = 6123;
const RAFT_PORT: u16 = 6124;
/// Time between two observations of the leader, which the invariants judge.
const LOOK: Duration = Duration::from_millis(20);
const FAILED_START: Duration = Duration::from_millis(200);

/// What the processes of a cluster are started with.
#[derive(Clone)]
pub struct Cluster {
    /// The simulated world of the processes.
    pub world: World,
    /// The object store that holds their files and checkpoints.
    pub store: ObjectStore,
    /// The facts that are observed of the processes.
    pub observations: Observations,
    tuning: Tuning,
    started: Arc<AtomicU64>,
    guest: Arc<Mutex<Option<Guest>>>,
}

/// The host of a process that does not belong to the cluster.
pub const GUEST: &str = "guest";

/// A process that claims to be a member of the raft group.
#[derive(Debug, Clone)]
pub struct Guest {
    /// The member that it claims to be.
    pub name: String,
    /// Whether it has a copy of the member's raft directory. Otherwise its directory is empty.
    pub copied: bool,
}

/// Settings that differ from seed to seed.
#[derive(Debug, Clone, Copy)]
pub struct Tuning {
    raft_heartbeat_ms: u64,
    election_ms: u64,
    heartbeat_interval_ms: u64,
    heartbeat_timeout_ms: u64,
    snapshot_after_entries: u64,
    inline_state_limit: usize,
}

impl Tuning {
    fn draw(random: &Random) -> Self {
        let raft_heartbeat_ms = *random.pick(&[30, 50, 100]);
        let heartbeat_interval_ms = *random.pick(&[200, 500]);
        Self {
            raft_heartbeat_ms,
            election_ms: raft_heartbeat_ms * random.between(10, 16),
            heartbeat_interval_ms,
            heartbeat_timeout_ms: heartbeat_interval_ms * random.between(4, 10),
            snapshot_after_entries: random.between(40, 300),
            inline_state_limit: *random.pick(&[0, 40, 120, INLINE_STATE_LIMIT]),
        }
    }
}

/// Returns the names of the JobManagers' hosts.
pub fn job_managers() -> Vec<String> {
    (1..=3).map(|number| format!("jm-{number}")).collect()
}

/// Returns the names of the TaskManagers' hosts.
pub fn task_managers() -> Vec<String> {
    (1..=3).map(|number| format!("tm-{number}")).collect()
}

/// Number of slots of a TaskManager.
pub const SLOTS: u32 = 3;

/// Returns `host:port` of a JobManager's REST service.
pub fn rest_address(host: &str) -> String {
    format!("{host}:{REST_PORT}")
}

impl Cluster {
    /// A cluster in `world`, of which no process has started yet.
    pub fn new(seed: u64, world: World) -> Self {
        let tuning = Tuning::draw(&Random::new(seed, "tuning"));
        let observations = Observations::default();
        let store = ObjectStore::new(seed, world.network.clone(), observations.clone());
        Self { world, store, observations, tuning, started: Arc::default(), guest: Arc::default() }
    }

    /// Keeps all state in the metadata of checkpoints, instead of in files of its own.
    pub fn keep_state_inline(&mut self) {
        self.tuning.inline_state_limit = INLINE_STATE_LIMIT;
    }

    /// Starts the guest, if it does not run yet.
    pub fn start_guest(&self, guest: Guest) {
        self.guest.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(guest);
    }

    fn storage_options(&self) -> StorageOptions {
        let store = self.store.clone();
        StorageOptions { schemes: Schemes::default().with(SCHEME, move |uri| store.open(uri)), ..StorageOptions::default() }
    }

    fn raft_options(&self, host: &str) -> RaftOptions {
        let member = |name: String| Member { address: format!("{name}:{RAFT_PORT}"), name };
        let members = job_managers().into_iter().map(member).collect();
        let listen = Listen::Address(format!("0.0.0.0:{RAFT_PORT}"));
        let mut options = RaftOptions::new(host, listen, members, format!("/{host}/raft").into(), "simulated");
        options.timing = RaftTiming {
            heartbeat: Duration::from_millis(self.tuning.raft_heartbeat_ms),
            election_min: Duration::from_millis(self.tuning.election_ms / 2),
            election_max: Duration::from_millis(self.tuning.election_ms),
        };
        options.snapshot_after_entries = self.tuning.snapshot_after_entries;
        options.segment_bytes = 32 << 10;
        let (observations, doomed) = (self.observations.clone(), host.to_owned());
        options.on_disk_failure = Arc::new(move |error| {
            tracing::info!(error, "the disk failed: the process ends");
            observations.doom_host(&doomed);
        });
        options
    }

    /// Runs the guest once it is started. It must neither be elected nor become a member.
    pub async fn run_guest(self) -> turmoil::Result {
        self.world.network.enter(GUEST);
        let guest = loop {
            let guest = self.guest.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match guest {
                Some(guest) => break guest,
                None => tokio::time::sleep(LOOK).await,
            }
        };
        let mut options = self.raft_options(&guest.name);
        let address = format!("{GUEST}:{RAFT_PORT}");
        options.data_dir = format!("/{GUEST}/raft").into();
        options
            .members
            .iter_mut()
            .filter(|member| member.name == guest.name)
            .for_each(|member| member.address.clone_from(&address));
        options.on_disk_failure = Arc::new(|error| tracing::info!(error, "the guest's disk failed"));
        let raft = RaftProvider::start(options)?;
        let candidate = Candidate { name: GUEST.into(), rpc_address: address.clone(), rest_address: address.clone() };
        let mut election = raft.campaign(candidate);
        loop {
            let status = raft.status();
            if status.leader.as_ref() == Some(&guest.name) && election.next().now_or_never().is_some() {
                self.observations.note_wrong("P4", format!("a process with a copy of {} was elected", guest.name));
            }
            if status.members.iter().any(|member| member.address == address && member.voter) {
                self.observations.note_wrong("P4", format!("a second process took the place of {}", guest.name));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Runs the process of a JobManager on `host`, until the simulation ends it.
    pub async fn run_job_manager(self, host: String) -> turmoil::Result {
        self.world.network.enter(&host);
        let process = format!("{host}#{}", self.started.fetch_add(1, Ordering::Relaxed));
        let raft = loop {
            match RaftProvider::start(self.raft_options(&host)) {
                Ok(raft) => {
                    if self.world.disks.is_log_cut(&host) {
                        self.observations.note_wrong("P3", format!("{host} starts, although its log has lost its end"));
                    }
                    break raft;
                }
                // Retries as a supervisor would. If the start keeps failing, the run fails in the end.
                Err(error) => tracing::error!(%error, process, "the coordination provider can't start"),
            }
            if self.world.disks.is_damaged(&host) {
                // An operator would empty the disk after this error.
                tracing::info!(process, "the damaged disk is emptied");
                self.world.disks.wipe(&host);
                self.observations.note_refused_disk();
            }
            tokio::time::sleep(FAILED_START).await;
        };
        let ha: HaServices =
            Arc::new(Observed::new(Arc::new(raft), &host, process.clone(), self.observations.clone(), self.store.clone()));
        let options = JobManagerOptions {
            name: host.clone(),
            ha: ha.clone(),
            store_survives: true,
            files: self.store.open("sim://ha"),
            checkpoints: self.store.open("sim://checkpoints"),
            savepoint_dir: Some("sim://savepoints".into()),
            storage_options: self.storage_options(),
            rest_bind: ([0, 0, 0, 0], REST_PORT).into(),
            rpc_bind: ([0, 0, 0, 0], RPC_PORT).into(),
            advertised_host: host.clone(),
            http_access: HttpAccess::default(),
            heartbeat: HeartbeatOptions {
                interval_ms: self.tuning.heartbeat_interval_ms,
                timeout_ms: self.tuning.heartbeat_timeout_ms,
            },
            dispatcher: DispatcherOptions::default(),
            job_master: JobMasterOptions::default(),
            config: BTreeMap::new(),
            metrics: None,
            faults: None,
            services: Arc::default(),
        };
        let job_manager = JobManager::start(options)?;
        let mut refused = Box::pin(job_manager.refused());
        let leader = ha.leader();
        let mut last = None;
        loop {
            if let Some(reason) = refused.as_mut().now_or_never() {
                tracing::info!(reason, process, "must not lead: the process ends");
                self.observations.note_refused_store();
                self.observations.doom_host(&host);
                std::future::pending::<()>().await;
            }
            let epoch = leader.borrow().as_ref().map(|record| record.epoch);
            if let Some(epoch) = epoch.filter(|_| epoch != last) {
                self.observations.note(Fact::LeaderSeen { process: process.clone(), epoch });
            }
            last = epoch;
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Runs the process of a TaskManager on `host`, until the simulation ends it.
    pub async fn run_task_manager(self, host: String) -> turmoil::Result {
        self.world.network.enter(&host);
        let job_managers = job_managers().iter().map(|host| format!("{host}:{RPC_PORT}")).collect();
        let mut options = TaskManagerOptions::new(host.clone(), job_managers, pipeline::registry());
        options.bind_host = host;
        options.slots = SLOTS;
        options.heartbeat_interval_ms = self.tuning.heartbeat_interval_ms;
        options.heartbeat_timeout_ms = self.tuning.heartbeat_timeout_ms;
        options.storage = self.storage_options();
        options.inline_state_limit = self.tuning.inline_state_limit;
        options.network.open_timeout = Duration::from_secs(5);
        options.network.peer_timeout = Duration::from_secs(3);
        options.network.stopped_producer_grace = Duration::from_secs(1);
        let _task_manager = TaskManager::start(options)?;
        std::future::pending().await
    }
}
