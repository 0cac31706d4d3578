//! Tests against real ZooKeeper servers. Each member reaches them through proxies of its own.

mod access;
mod commits;
mod faults;
mod size;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard};

use bytes::Bytes;
use tempfile::TempDir;
use weir_servers::{Fault, Proxy, ZooKeeperEnsemble, ZooKeeperVersion};
use zookeeper_client::Client;

use super::*;
use crate::conformance::{self, TestCluster, granted};
use crate::{Expect, HaServices, LeadershipEvent, Rejection, StoreAvailability};

/// Deadline for steps that take milliseconds on a machine that is not overloaded.
const SOON: Duration = Duration::from_secs(60);
const SESSION_TIMEOUT: Duration = Duration::from_secs(2);
/// Session timeout for tests in which no session may expire.
const LONG_SESSION: Duration = Duration::from_secs(10);
/// Request limit in bytes. The conformance suite commits 1 MiB, and ZooKeeper's default limit is one byte less for the whole
/// request.
const LARGER_REQUESTS: usize = 4 << 20;

/// Servers and their temporary directory.
pub(super) struct Servers {
    pub ensemble: Mutex<ZooKeeperEnsemble>,
    directory: TempDir,
}

impl Servers {
    pub(super) fn start(size: usize) -> Arc<Self> {
        Self::start_version(ZooKeeperVersion::Newest, size)
    }

    fn start_version(version: ZooKeeperVersion, size: usize) -> Arc<Self> {
        let java = vec![format!("-Djute.maxbuffer={LARGER_REQUESTS}")];
        Self::start_with(size, weir_servers::ZooKeeperOptions { version, java, config: Vec::new() })
    }

    pub(super) fn start_with(size: usize, options: weir_servers::ZooKeeperOptions) -> Arc<Self> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let ensemble = ZooKeeperEnsemble::start_with(size, directory.path(), options).expect("ZooKeeper starts");
        Arc::new(Self { ensemble: Mutex::new(ensemble), directory })
    }

    pub(super) fn get(&self) -> MutexGuard<'_, ZooKeeperEnsemble> {
        self.ensemble.lock().unwrap()
    }

    pub(super) fn directory(&self) -> &Path {
        self.directory.path()
    }

    /// A client for the test itself, which connects without the proxies.
    pub(super) async fn client(&self) -> Client {
        let addresses = self.get().connect_string();
        Client::connector().with_session_timeout(Duration::from_secs(10)).connect(&addresses).await.expect("connects")
    }
}

/// One member, and its proxy for each server.
pub(super) struct TestMember {
    pub name: String,
    pub proxies: Vec<Proxy>,
    pub provider: Option<ZooKeeperProvider>,
}

impl TestMember {
    pub(super) fn set(&self, fault: Fault) {
        self.proxies.iter().for_each(|proxy| proxy.set(fault));
    }
}

/// Members of one cluster.
pub(super) struct Members {
    /// Keeps the servers running as long as the members.
    _servers: Arc<Servers>,
    pub cluster_id: String,
    pub members: Vec<TestMember>,
    pub outage_tolerance: Duration,
    pub session_timeout: Duration,
}

static CLUSTERS: LazyLock<AtomicU32> = LazyLock::new(AtomicU32::default);

impl Members {
    /// Members that are not started yet.
    pub(super) fn new(servers: &Arc<Servers>, size: usize) -> Self {
        let addresses: Vec<SocketAddr> = servers.get().client_addresses();
        let member = |number| TestMember {
            name: format!("jm-{number}"),
            proxies: addresses.iter().map(|address| Proxy::start(*address).expect("starts")).collect(),
            provider: None,
        };
        Self {
            _servers: Arc::clone(servers),
            cluster_id: format!("/cluster-{}", CLUSTERS.fetch_add(1, Ordering::Relaxed)),
            members: (0..size).map(member).collect(),
            outage_tolerance: Duration::from_secs(600),
            session_timeout: SESSION_TIMEOUT,
        }
    }

    pub(super) fn options(&self, number: usize) -> ZooKeeperOptions {
        let member = &self.members[number];
        let addresses: Vec<_> = member.proxies.iter().map(|proxy| proxy.address().to_string()).collect();
        let mut options = ZooKeeperOptions::new(&member.name, &addresses.join(","), &self.cluster_id);
        options.session_timeout = self.session_timeout;
        options.connection_timeout = self.session_timeout * 2 / 5;
        options.outage_tolerance = self.outage_tolerance;
        options.max_request_bytes = LARGER_REQUESTS;
        options
    }

    pub(super) fn start(&mut self, number: usize) {
        let provider = ZooKeeperProvider::start(&self.options(number)).expect("starts");
        self.members[number].provider = Some(provider);
    }

    pub(super) fn provider(&self, number: usize) -> &ZooKeeperProvider {
        self.members[number].provider.as_ref().expect("runs")
    }

    pub(super) fn campaign(&self) -> Vec<LeaderElection> {
        (0..self.members.len()).map(|number| self.campaign_of(number)).collect()
    }

    pub(super) fn campaign_of(&self, number: usize) -> LeaderElection {
        self.provider(number).campaign(candidate(&self.members[number].name))
    }

    pub(super) fn layout(&self) -> layout::Layout {
        self.options(0).layout()
    }

    fn number(&self, name: &str) -> usize {
        self.members.iter().position(|member| member.name == name).expect("is a member")
    }
}

/// Servers, the members of one cluster, and the member that leads.
pub(super) struct Led {
    pub servers: Arc<Servers>,
    pub members: Members,
    pub elections: Vec<LeaderElection>,
    /// Index of the leading member.
    pub leader: usize,
    pub leadership: Leadership,
}

impl Led {
    pub(super) async fn start(servers: usize, size: usize, session_timeout: Duration) -> Self {
        let servers = Servers::start(servers);
        let mut members = Members::new(&servers, size);
        members.session_timeout = session_timeout;
        (0..size).for_each(|number| members.start(number));
        let mut elections = members.campaign();
        let (leader, leadership) = granted(&mut elections).await;
        Self { servers, members, elections, leader, leadership }
    }
}

impl TestCluster for Members {
    fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    fn start<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, HaServices> {
        let number = self.number(name);
        if self.members[number].provider.is_none() {
            Members::start(self, number);
        }
        let provider: HaServices = Arc::new(self.provider(number).clone());
        futures::future::ready(provider).boxed()
    }

    fn kill<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, ()> {
        let number = self.number(name);
        let provider = self.members[number].provider.take().expect("runs");
        async move { provider.kill().await }.boxed()
    }

    fn pause(&mut self, name: &str) {
        self.members[self.number(name)].set(Fault::Silence);
    }

    fn resume(&mut self, name: &str) {
        self.members[self.number(name)].set(Fault::None);
    }

    fn lose_quorum(&mut self, _leader: &str) {
        self.members.iter().for_each(|member| member.set(Fault::Silence));
    }

    fn regain_quorum(&mut self, _leader: &str) {
        self.members.iter().for_each(|member| member.set(Fault::None));
    }
}

pub(super) fn candidate(name: &str) -> Candidate {
    Candidate { name: name.into(), rpc_address: format!("{name}:1"), rest_address: format!("{name}:2") }
}

pub(super) fn put(key: &str, value: &str) -> Vec<Operation> {
    vec![Operation::Put { key: key.into(), value: Bytes::copy_from_slice(value.as_bytes()), expect: Expect::Any }]
}

pub(super) fn committed(outcome: &CommitOutcome) -> bool {
    matches!(outcome, CommitOutcome::Committed { .. })
}

pub(super) async fn within_deadline<T>(what: &str, future: impl Future<Output = T>) -> T {
    weir_servers::within(SOON, future).await.unwrap_or_else(|| panic!("did not happen in time: {what}"))
}

/// Waits until `condition` holds.
pub(super) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    within_deadline(what, waiting).await;
}

async fn conforms(version: ZooKeeperVersion, size: usize) {
    let servers = Servers::start_version(version, size);
    conformance::run(|| {
        let mut members = Members::new(&servers, 3);
        // If no other member can be elected, the leader is revoked after this time.
        members.outage_tolerance = Duration::from_secs(3);
        members
    })
    .await;
}

#[tokio::test]
async fn the_zookeeper_provider_keeps_every_promise_on_one_server() {
    conforms(ZooKeeperVersion::Newest, 1).await;
}

#[tokio::test]
async fn the_zookeeper_provider_keeps_every_promise_on_three_servers() {
    conforms(ZooKeeperVersion::Newest, 3).await;
}

#[tokio::test]
async fn the_zookeeper_provider_keeps_every_promise_on_three_servers_of_3_8() {
    conforms(ZooKeeperVersion::Debian, 3).await;
}
