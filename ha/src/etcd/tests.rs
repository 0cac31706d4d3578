//! Tests against real etcd, which `ops/test-servers.sh` installs. They run on 3.7. The conformance suite, and what differs between
//! versions, also run on 3.4 and 3.5.

mod access;
mod outages;
mod stores;

use std::path::Path;

use bytes::Bytes;
use tempfile::TempDir;
use weir_servers::{EtcdCluster, EtcdOptions as ServerOptions, Fault as Break, Proxy, etcd_3_4, etcd_3_5, etcd_3_7};

use super::*;
use crate::conformance::{self, TestCluster};
use crate::{Expect, HaServices, LeadershipEvent, StoreAvailability};

/// Deadline for steps that take milliseconds on a machine that is not overloaded.
const SOON: Duration = Duration::from_secs(60);

/// An etcd cluster and its temporary directory.
struct Servers {
    etcd: EtcdCluster,
    _directory: TempDir,
}

impl Servers {
    fn start(program: &Path, size: usize) -> Self {
        Self::start_with(program, size, ServerOptions::default())
    }

    fn start_with(program: &Path, size: usize, options: ServerOptions) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let etcd = EtcdCluster::start_with(program, size, directory.path(), options).expect("etcd starts");
        Self { etcd, _directory: directory }
    }

    /// A client that connects directly, without the proxies.
    async fn client(&self) -> etcd_client::Client {
        etcd_client::Client::connect(self.etcd.endpoints(), None).await.expect("connects")
    }
}

/// One JobManager: a provider that reaches every node of etcd through a proxy of its own.
struct TestMember {
    name: String,
    proxies: Vec<Proxy>,
    provider: Option<EtcdProvider>,
}

/// The JobManagers of one cluster. Several clusters can share one etcd.
struct TestMembers {
    members: Vec<TestMember>,
    cluster_id: String,
    lease: Duration,
    outage_tolerance: Duration,
}

fn candidate(name: &str) -> Candidate {
    Candidate { name: name.into(), rpc_address: format!("{name}:1"), rest_address: format!("{name}:2") }
}

fn put(key: &str, value: &str, expect: Expect) -> Operation {
    Operation::Put { key: key.into(), value: Bytes::copy_from_slice(value.as_bytes()), expect }
}

fn put_any(key: &str, value: &str) -> Vec<Operation> {
    vec![put(key, value, Expect::Any)]
}

fn committed(outcome: &CommitOutcome) -> bool {
    matches!(outcome, CommitOutcome::Committed { .. })
}

impl TestMembers {
    fn new(etcd: &EtcdCluster, size: usize) -> Self {
        let member = |number| {
            let proxies = etcd.client_addresses().into_iter().map(|address| Proxy::start(address).expect("a proxy starts"));
            TestMember { name: format!("jm-{number}"), proxies: proxies.collect(), provider: None }
        };
        Self {
            members: (0..size).map(member).collect(),
            cluster_id: format!("/{:x}", weir_world::random_id()),
            lease: Duration::from_secs(2),
            outage_tolerance: Duration::from_secs(600),
        }
    }

    fn options(&self, number: usize) -> EtcdOptions {
        let endpoints = self.members[number].proxies.iter().map(|proxy| proxy.address().to_string());
        let mut options = EtcdOptions::new(endpoints.collect(), &self.cluster_id);
        options.root = "/weir/test".into();
        options.lease_ttl = self.lease;
        options.outage_tolerance = self.outage_tolerance;
        options
    }

    fn start(&mut self, number: usize) -> EtcdProvider {
        let options = self.options(number);
        let provider = &mut self.members[number].provider;
        provider.get_or_insert_with(|| EtcdProvider::start(&options).expect("starts")).clone()
    }

    fn contend(&mut self, number: usize) -> (EtcdProvider, LeaderElection) {
        let provider = self.start(number);
        let election = provider.campaign(candidate(&self.members[number].name));
        (provider, election)
    }

    fn set(&self, number: usize, fault: Break) {
        self.members[number].proxies.iter().for_each(|proxy| proxy.set(fault));
    }

    fn number(&self, name: &str) -> usize {
        self.members.iter().position(|member| member.name == name).expect("is a member")
    }
}

async fn granted(election: &mut LeaderElection) -> Leadership {
    let granted = weir_servers::within(SOON, election.granted()).await;
    granted.expect("is granted leadership").expect("the provider runs")
}

async fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let wait = async {
        while !holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(weir_servers::within(SOON, wait).await.is_some(), "did not happen in time: {what}");
}

/// Whether the election has no pending event.
fn is_quiet(election: &mut LeaderElection) -> bool {
    election.next().now_or_never().is_none()
}

impl TestCluster for TestMembers {
    fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    fn start<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, HaServices> {
        let number = self.number(name);
        let provider: HaServices = Arc::new(TestMembers::start(self, number));
        futures::future::ready(provider).boxed()
    }

    fn kill<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, ()> {
        let number = self.number(name);
        let provider = self.members[number].provider.take();
        async move { provider.expect("runs").kill().await }.boxed()
    }

    fn pause(&mut self, name: &str) {
        self.set(self.number(name), Break::Silence);
    }

    fn resume(&mut self, name: &str) {
        self.set(self.number(name), Break::None);
    }

    // No member reaches etcd. So the leader is revoked when its outage tolerance ends, and no other member can be elected.
    fn lose_quorum(&mut self, _leader: &str) {
        (0..self.members.len()).for_each(|number| self.set(number, Break::Silence));
    }

    fn regain_quorum(&mut self, _leader: &str) {
        (0..self.members.len()).for_each(|number| self.set(number, Break::None));
    }
}

fn conforming(etcd: &EtcdCluster) -> TestMembers {
    TestMembers { outage_tolerance: Duration::from_secs(6), ..TestMembers::new(etcd, 3) }
}

#[tokio::test]
async fn every_promise_is_kept_on_one_node_of_etcd_3_4() {
    let servers = Servers::start(&etcd_3_4(), 1);
    conformance::run(|| conforming(&servers.etcd)).await;
}

#[tokio::test]
async fn every_promise_is_kept_on_three_nodes_of_etcd_3_5() {
    let servers = Servers::start(&etcd_3_5(), 3);
    conformance::run(|| conforming(&servers.etcd)).await;
}

#[tokio::test]
async fn every_promise_is_kept_on_three_nodes_of_etcd_3_7() {
    let servers = Servers::start(&etcd_3_7(), 3);
    conformance::run(|| conforming(&servers.etcd)).await;
}

#[tokio::test]
async fn a_leader_that_leaves_is_replaced_at_once_by_the_named_candidate() {
    let servers = Servers::start(&etcd_3_7(), 1);
    // No lease expires in this test, so every new leader must have learned of the free latch through its watch.
    let mut members = TestMembers { lease: Duration::from_secs(100), ..TestMembers::new(&servers.etcd, 3) };
    let mut elections: Vec<_> = (0..3).map(|number| members.contend(number)).collect();
    let first = futures::future::select_all(elections.iter_mut().map(|(_, election)| Box::pin(granted(election))));
    let (mut leadership, mut leader, rest) = first.await;
    drop(rest);
    for round in 1..=4 {
        let target = (leader + round % 2 + 1) % 3;
        let name = members.members[target].name.clone();
        let handed_over = elections[leader].0.transfer_leadership(Some(&name)).await;
        assert_eq!(handed_over, Ok(()), "round {round}");
        assert_eq!(elections[leader].1.next().await, Some(LeadershipEvent::Revoked));
        let newer = granted(&mut elections[target].1).await;
        assert!(newer.epoch() > leadership.epoch());
        (leader, leadership) = (target, newer);
    }
    let own = members.members[leader].name.clone();
    let refused = elections[leader].0.transfer_leadership(Some(&own)).await;
    assert!(matches!(refused, Err(TransferError::NoTarget(_))), "{refused:?}");
    elections[leader].0.shutdown().await;
    let mut others: Vec<_> = elections.into_iter().enumerate().filter(|(number, _)| *number != leader).collect();
    let waits = others.iter_mut().map(|(_, (_, election))| Box::pin(granted(election)));
    let (newer, _, _) = futures::future::select_all(waits).await;
    assert!(newer.epoch() > leadership.epoch());
    let statuses = || {
        let status = others[0].1.0.status();
        status.members.len() == 2 && status.failures_tolerated == 1 && status.has_quorum && status.epoch == newer.epoch()
    };
    eventually("the status shows the remaining candidates", statuses).await;
    assert_eq!(others[0].1.0.status().leader, Some(newer.record().leader.name));
}

/// etcd grants no lease that is shorter than 1.5 times its election timeout. The named successor has died, and its key lasts as long
/// as the lease that etcd granted. The hand-over waits for that, not for the shorter lease that was asked for.
#[tokio::test]
async fn a_hand_over_waits_for_the_lease_that_was_granted() {
    let options = ServerOptions { election_timeout: Duration::from_secs(8), ..ServerOptions::default() };
    let servers = Servers::start_with(&etcd_3_7(), 1, options);
    let mut members = TestMembers { lease: Duration::from_secs(1), ..TestMembers::new(&servers.etcd, 3) };
    let (leader, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    let (named, _its_election) = members.contend(1);
    let (_third, mut its_election) = members.contend(2);
    eventually("all are candidates", || leader.status().members.len() == 3).await;
    let lease = leader.inner.member.lease.borrow().expect("it has a lease");
    let granted_seconds = servers.client().await.lease_time_to_live(lease, None).await.expect("answers").granted_ttl();
    assert!(granted_seconds >= 12, "etcd granted {granted_seconds} s");
    named.kill().await;
    assert_eq!(leader.transfer_leadership(Some("jm-1")).await, Ok(()));
    // The precedence of the named candidate ends with it. Then the others contend.
    let waits = [Box::pin(granted(&mut election)), Box::pin(granted(&mut its_election))];
    let (newer, _, _) = futures::future::select_all(waits).await;
    assert!(newer.epoch() > leadership.epoch());
}
