//! Tests with several members in one process, over loopback and real files.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tempfile::TempDir;

use super::types::founder_id;
use super::*;

mod compaction;
mod impostors;
mod losses;
mod removal;

use crate::conformance::{self, TestCluster, granted};
use crate::{Expect, HaServices, LeadershipEvent};

/// A deadline for events that take milliseconds on a machine that is not overloaded.
const SOON: Duration = Duration::from_secs(60);

pub(super) struct TestGroup {
    pub directory: TempDir,
    pub members: Vec<Member>,
    pub providers: Vec<Option<RaftProvider>>,
    pub timing: RaftTiming,
    pub snapshot_after_entries: u64,
    pub snapshot_after_bytes: u64,
    /// Set before the directories are removed, because some members may not have stopped by then.
    over: Arc<AtomicBool>,
}

impl Drop for TestGroup {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
    }
}

pub(super) fn candidate(name: &str) -> Candidate {
    Candidate { name: name.into(), rpc_address: format!("{name}:1"), rest_address: format!("{name}:2") }
}

pub(super) fn put(key: &str, value: &str) -> Vec<Operation> {
    vec![Operation::Put { key: key.into(), value: Bytes::copy_from_slice(value.as_bytes()), expect: Expect::Any }]
}

impl TestGroup {
    pub(super) fn new(size: usize) -> Self {
        Self::with(size, RaftTiming::default())
    }

    /// For tests that need one leader throughout. All members run on one thread, so on a busy machine the leader's default lease of
    /// half a second can expire.
    fn patient(size: usize) -> Self {
        let timing = RaftTiming {
            heartbeat: Duration::from_millis(500),
            election_min: Duration::from_secs(10),
            election_max: Duration::from_secs(20),
        };
        Self::with(size, timing)
    }

    fn with(size: usize, timing: RaftTiming) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let mut group = Self {
            directory,
            members: Vec::new(),
            providers: Vec::new(),
            timing,
            snapshot_after_entries: 10_000,
            snapshot_after_bytes: 64 << 20,
            over: Arc::default(),
        };
        let listeners: Vec<_> = (0..size).map(|_| TcpListener::bind("127.0.0.1:0").expect("binds")).collect();
        for (number, listener) in listeners.iter().enumerate() {
            let address = listener.local_addr().expect("is bound").to_string();
            group.members.push(Member { name: format!("jm-{number}"), address });
        }
        for (number, listener) in listeners.into_iter().enumerate() {
            let provider = group.open(number, Listen::Listener(listener)).expect("starts");
            group.providers.push(Some(provider));
        }
        group
    }

    pub(super) fn data_dir(&self, number: usize) -> PathBuf {
        self.directory.path().join(&self.members[number].name)
    }

    pub(super) fn open(&self, number: usize, listen: Listen) -> Result<RaftProvider, StartError> {
        let name = &self.members[number].name;
        let mut options = RaftOptions::new(name, listen, self.members.clone(), self.data_dir(number), "test");
        options.timing = self.timing;
        options.segment_bytes = 1 << 20;
        options.snapshot_after_entries = self.snapshot_after_entries;
        options.snapshot_after_bytes = self.snapshot_after_bytes;
        let over = Arc::clone(&self.over);
        options.on_disk_failure = Arc::new(move |error| {
            if !over.load(Ordering::SeqCst) {
                eprintln!("the disk failed: {error}");
                std::process::abort();
            }
        });
        RaftProvider::start(options)
    }

    pub(super) fn provider(&self, number: usize) -> &RaftProvider {
        self.providers[number].as_ref().expect("runs")
    }

    pub(super) async fn kill(&mut self, number: usize) {
        self.providers[number].take().expect("runs").kill().await;
    }

    pub(super) fn restart(&mut self, number: usize) {
        let address = Listen::Address(self.members[number].address.clone());
        self.providers[number] = Some(self.open(number, address).expect("starts again"));
    }

    pub(super) fn campaign(&self) -> Vec<LeaderElection> {
        (0..self.providers.len()).map(|number| self.campaign_of(number)).collect()
    }

    pub(super) fn campaign_of(&self, number: usize) -> LeaderElection {
        self.provider(number).campaign(candidate(&self.members[number].name))
    }
}

/// Waits until `condition` holds.
pub(super) async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let waiting = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    weir_servers::within(SOON, waiting).await.unwrap_or_else(|| panic!("never: {what}"));
}

fn committed(outcome: &CommitOutcome) -> bool {
    matches!(outcome, CommitOutcome::Committed { .. })
}

#[tokio::test]
async fn all_members_read_the_writes_of_the_elected_leader() {
    let group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    assert!(committed(&group.provider(leader).commit(&leadership, put("k", "v")).await));
    for number in 0..3 {
        let value = group.provider(number).get("k").await.expect("reads").expect("is there");
        assert_eq!(value.value, "v");
    }
    assert!(committed(&group.provider(leader).publish(&leadership).await));
    for number in 0..3 {
        let mut leader = group.provider(number).leader();
        let seen = weir_servers::within(SOON, leader.wait_for(|record| record.is_some())).await;
        assert_eq!(seen.expect("in time").expect("runs").clone(), Some(leadership.record()));
    }
}

#[tokio::test]
async fn after_the_leader_is_killed_another_leads_under_a_higher_epoch_and_nothing_is_lost() {
    let mut group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    for number in 0..20 {
        assert!(committed(&group.provider(leader).commit(&leadership, put(&format!("k/{number}"), "v")).await));
    }
    group.kill(leader).await;
    let started = std::time::Instant::now();
    let mut left = elections;
    let _ = left.remove(leader);
    let (next, newer) = granted(&mut left).await;
    println!("from kill to grant: {:?}", started.elapsed());
    let next = if next >= leader { next + 1 } else { next };
    assert!(newer.epoch() > leadership.epoch());
    let keys = group.provider(next).list("k/").await.expect("reads");
    assert_eq!(keys.len(), 20);
    // The killed member restarts and follows.
    group.restart(leader);
    let value = group.provider(leader).list("k/").await.expect("reads");
    assert_eq!(value.len(), 20);
}

impl TestCluster for TestGroup {
    fn names(&self) -> Vec<String> {
        self.members.iter().map(|member| member.name.clone()).collect()
    }

    fn start<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, HaServices> {
        let number = self.number(name);
        if self.providers[number].is_none() {
            self.restart(number);
        }
        let provider: HaServices = Arc::new(self.provider(number).clone());
        futures::future::ready(provider).boxed()
    }

    fn kill<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, ()> {
        let number = self.number(name);
        TestGroup::kill(self, number).boxed()
    }

    fn pause(&mut self, name: &str) {
        self.provider(self.number(name)).set_isolated(true);
    }

    fn resume(&mut self, name: &str) {
        self.provider(self.number(name)).set_isolated(false);
    }

    fn lose_quorum(&mut self, _leader: &str) {
        self.providers.iter().flatten().for_each(|provider| provider.set_isolated(true));
    }

    fn regain_quorum(&mut self, _leader: &str) {
        self.providers.iter().flatten().for_each(|provider| provider.set_isolated(false));
    }
}

impl TestGroup {
    fn number(&self, name: &str) -> usize {
        self.members.iter().position(|member| member.name == name).expect("is a member")
    }
}

#[tokio::test]
async fn the_raft_provider_keeps_every_promise() {
    conformance::run(|| TestGroup::new(3)).await;
}

#[tokio::test]
async fn ten_thousand_jobs_come_and_go_and_leave_nothing() {
    let group = TestGroup::patient(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    let (provider, other) = (group.provider(leader).clone(), group.provider((leader + 1) % 3).clone());
    let count = async || group.provider(leader).list("").await.expect("lists").len();
    conformance::many_jobs::come_and_go(Arc::new(provider), Arc::new(other), &leadership, count).await;
}

#[tokio::test]
async fn a_group_whose_members_are_all_killed_restarts_with_all_data_and_a_higher_epoch() {
    let mut group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    assert!(committed(&group.provider(leader).commit(&leadership, put("k", "v")).await));
    drop(elections);
    for number in 0..3 {
        group.kill(number).await;
    }
    for number in 0..3 {
        group.restart(number);
    }
    let (again, newer) = granted(&mut group.campaign()).await;
    assert!(newer.epoch() > leadership.epoch());
    assert!(group.provider(again).get("k").await.expect("reads").is_some());
}

#[tokio::test]
async fn a_single_member_is_a_group() {
    let mut group = TestGroup::new(1);
    let mut elections = group.campaign();
    let (_, leadership) = granted(&mut elections).await;
    assert!(committed(&group.provider(0).commit(&leadership, put("k", "v")).await));
    group.kill(0).await;
    group.restart(0);
    let (_, newer) = granted(&mut group.campaign()).await;
    assert!(newer.epoch() > leadership.epoch());
    assert!(group.provider(0).get("k").await.expect("reads").is_some());
}

#[tokio::test]
async fn a_member_far_behind_catches_up_with_a_snapshot() {
    let mut group = TestGroup::new(3);
    for number in 0..3 {
        group.kill(number).await;
    }
    group.snapshot_after_entries = 50;
    for number in 0..3 {
        group.restart(number);
    }
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    let behind = (leader + 1) % 3;
    group.kill(behind).await;
    for number in 0..400 {
        assert!(committed(&group.provider(leader).commit(&leadership, put(&format!("k/{number}"), "v")).await));
    }
    group.restart(behind);
    let keys = group.provider(behind).list("k/").await.expect("reads");
    assert_eq!(keys.len(), 400);
    let snapshots = std::fs::read_dir(group.data_dir(leader).join("snapshots")).expect("lists").count();
    assert!(snapshots >= 1, "a snapshot was taken");
}

#[tokio::test]
async fn a_member_that_lost_its_directory_joins_again_under_a_new_id() {
    let mut group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    for number in 0..10 {
        assert!(committed(&group.provider(leader).commit(&leadership, put(&format!("k/{number}"), "v")).await));
    }
    let wiped = (leader + 1) % 3;
    let former = group.provider(leader).inner.group.nodes_named(&group.members[wiped].name);
    group.kill(wiped).await;
    std::fs::remove_dir_all(group.data_dir(wiped)).expect("wipes");
    group.restart(wiped);
    let name = group.members[wiped].name.clone();
    let replaced = || {
        let nodes = group.provider(leader).inner.group.nodes_named(&name);
        nodes.len() == 1 && nodes != former && group.provider(leader).status().members.iter().all(|member| member.voter)
    };
    eventually("the wiped member is a voter under a new id", replaced).await;
    assert_eq!(group.provider(wiped).list("k/").await.expect("reads").len(), 10);
    // Its vote counts: the group continues without another member.
    let other = (leader + 2) % 3;
    group.kill(other).await;
    assert!(committed(&group.provider(leader).commit(&leadership, put("after", "v")).await));
}

#[tokio::test]
async fn members_are_added_and_removed() {
    let group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    assert!(committed(&group.provider(leader).commit(&leadership, put("k", "v")).await));
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let new = Member { name: "jm-new".into(), address: listener.local_addr().expect("is bound").to_string() };
    let data_dir = group.directory.path().join("jm-new");
    let options = RaftOptions::new("jm-new", Listen::Listener(listener), group.members.clone(), data_dir, "test");
    let added = RaftProvider::start(options).expect("starts");
    let named = || added.inner.group.identity.get().is_some();
    eventually("the new member has an identity", named).await;
    let add = |member: &Member| MemberChange::Add { name: member.name.clone(), address: member.address.clone() };
    let remove = || MemberChange::Remove { name: "jm-new".to_owned() };
    group.provider(leader).change_members(add(&new)).await.expect("is added");
    assert_eq!(group.provider(leader).status().members.len(), 4);
    assert!(added.get("k").await.expect("reads").is_some());
    let follower = (leader + 1) % 3;
    let refused = group.provider(follower).change_members(remove()).await;
    assert_eq!(refused, Err(MembershipError::NotLeader));
    group.provider(leader).change_members(remove()).await.expect("is removed");
    assert_eq!(group.provider(leader).status().members.len(), 3);
    assert!(matches!(group.provider(leader).change_members(remove()).await, Err(MembershipError::Refused(_))));
    assert!(committed(&group.provider(leader).commit(&leadership, put("k", "w")).await));
    assert!(added.get("k").await.is_err());
}

#[tokio::test]
async fn a_half_done_change_of_members_is_completed() {
    let group = TestGroup::patient(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    let leading = &group.provider(leader).inner.group;
    // This is the state after a leader died between the two entries that remove a member.
    let removed = &group.members[(leader + 1) % 3].name;
    let nodes: BTreeMap<_, _> = group.members.iter().map(|member| (founder_id(&member.name), member.clone())).collect();
    let voters: BTreeSet<_> = nodes.keys().copied().collect();
    let left = voters.iter().copied().filter(|id| *id != founder_id(removed)).collect();
    let half = openraft::Membership::new(vec![voters, left], nodes).expect("is a membership");
    let raft = leading.raft.get().expect("runs");
    raft.append_membership(half, openraft::EntryPayload::Blank, []).await.expect("is committed");
    eventually("the member is removed", || leading.nodes_named(removed).is_empty()).await;
    assert_eq!(group.provider(leader).status().members.len(), 2);
    assert!(committed(&group.provider(leader).commit(&leadership, put("k", "v")).await));
}

#[tokio::test]
async fn a_missing_snapshot_log_or_identity_is_refused() {
    let mut group = TestGroup::new(3);
    for number in 0..3 {
        group.kill(number).await;
    }
    group.snapshot_after_entries = 20;
    for number in 0..3 {
        group.restart(number);
    }
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    for number in 0..200 {
        assert!(committed(&group.provider(leader).commit(&leadership, put(&format!("k/{number}"), "v")).await));
    }
    let victim = (leader + 1) % 3;
    let purged = || group.provider(victim).inner.group.metrics().is_some_and(|metrics| metrics.purged.is_some());
    eventually("the log was purged", purged).await;
    group.kill(victim).await;
    let directory = group.data_dir(victim);
    let address = || Listen::Address(group.members[victim].address.clone());
    let refused = |group: &TestGroup| matches!(group.open(victim, address()), Err(StartError::Storage(_)));
    for part in ["snapshots", "log", "identity.json"] {
        let (there, away) = (directory.join(part), directory.join("away"));
        std::fs::rename(&there, &away).expect("moves");
        assert!(refused(&group), "without {part}");
        let _ = std::fs::remove_dir_all(&there);
        std::fs::rename(&away, &there).expect("moves back");
    }
    group.restart(victim);
    assert_eq!(group.provider(victim).list("k/").await.expect("reads").len(), 200);
}

#[tokio::test]
async fn a_directory_in_use_or_of_another_member_is_refused() {
    let mut group = TestGroup::new(1);
    let free = || Listen::Address("127.0.0.1:0".into());
    assert!(matches!(group.open(0, free()), Err(StartError::Locked(_))));
    let mut elections = group.campaign();
    granted(&mut elections).await;
    group.kill(0).await;
    let options = RaftOptions::new("else", free(), group.members.clone(), group.data_dir(0), "test");
    assert!(matches!(RaftProvider::start(options), Err(StartError::Identity(_))));
    let options = RaftOptions::new("jm-0", free(), group.members.clone(), group.data_dir(0), "another");
    assert!(matches!(RaftProvider::start(options), Err(StartError::Identity(_))));
}

#[tokio::test]
async fn the_status_shows_reachable_members_and_tolerated_failures() {
    let mut group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, _) = granted(&mut elections).await;
    let whole = || {
        let status = group.provider(leader).status();
        status.has_quorum
            && status.failures_tolerated == 1
            && status.members.iter().all(|member| member.reachable == Some(true) && member.lag_entries == Some(0))
    };
    eventually("all members are reachable", whole).await;
    assert_eq!(group.provider(leader).status().leader, Some(group.members[leader].name.clone()));
    group.kill((leader + 1) % 3).await;
    let short = || {
        let status = group.provider(leader).status();
        status.has_quorum && status.failures_tolerated == 0
    };
    eventually("one member is missing", short).await;
}

#[tokio::test]
async fn an_isolated_leader_is_revoked_without_hearing_of_another_and_follows_once_it_is_connected_again() {
    let group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    let mut old = elections.remove(leader);
    group.provider(leader).set_isolated(true);
    let revoked = weir_servers::within(SOON, old.next()).await.expect("in time");
    assert_eq!(revoked, Some(LeadershipEvent::Revoked));
    let (next, newer) = granted(&mut elections).await;
    let next = if next >= leader { next + 1 } else { next };
    assert!(newer.epoch() > leadership.epoch());
    assert!(committed(&group.provider(next).commit(&newer, put("k", "v")).await));
    assert!(group.provider(leader).get("k").await.is_err(), "an isolated member must not answer a linearizable read");
    group.provider(leader).set_isolated(false);
    assert!(group.provider(leader).get("k").await.expect("reads").is_some());
}

#[tokio::test]
async fn concurrent_commits_are_each_applied_once() {
    let group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    let writers = (0..32).map(|writer| {
        let (provider, leadership) = (group.provider(leader).clone(), leadership.clone());
        async move {
            for round in 0..10 {
                let key = format!("w/{writer}/{round}");
                let operation = Operation::Put { key, value: Bytes::new(), expect: Expect::Absent };
                assert!(committed(&provider.commit(&leadership, vec![operation]).await));
            }
        }
    });
    futures::future::join_all(writers).await;
    for number in 0..3 {
        assert_eq!(group.provider(number).list("w/").await.expect("reads").len(), 320);
    }
}

#[tokio::test]
async fn a_flood_of_reads_costs_no_leadership() {
    let group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    let reads = (0..2_000).map(|number| {
        let provider = group.provider(number % 3).clone();
        async move { provider.list("").await.is_ok() }
    });
    let answered = futures::future::join_all(reads).await;
    assert!(answered.iter().any(|answered| *answered));
    assert!(committed(&group.provider(leader).commit(&leadership, put("k", "v")).await));
}

#[tokio::test]
async fn leadership_is_not_handed_to_a_member_that_can_not_lead() {
    let mut group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    let (dead, idle) = ((leader + 1) % 3, (leader + 2) % 3);
    group.kill(dead).await;
    let name = group.members[dead].name.clone();
    let handed_over = group.provider(leader).transfer_leadership(Some(&name)).await;
    assert!(matches!(handed_over, Err(TransferError::NoTarget(_))), "{handed_over:?}");
    // The other member runs, but does not want to lead.
    let withdrawn = std::mem::replace(&mut elections[idle], group.campaign_of(idle));
    drop(withdrawn);
    drop(elections.remove(idle));
    let stands = || group.provider(idle).inner.group.peer_status().stands;
    eventually("the member does not stand in elections", || !stands()).await;
    let handed_over = group.provider(leader).transfer_leadership(None).await;
    assert!(matches!(handed_over, Err(TransferError::NoTarget(_))), "{handed_over:?}");
    assert!(committed(&group.provider(leader).commit(&leadership, put("k", "v")).await));
}

#[tokio::test]
async fn leaders_killed_one_after_the_other_are_each_replaced() {
    let mut group = TestGroup::new(3);
    let mut elections: Vec<_> = group.campaign().into_iter().map(Some).collect();
    let (mut leader, mut leadership) = granted_of(&mut elections).await;
    for _ in 0..6 {
        assert!(committed(&group.provider(leader).commit(&leadership, put("k", "v")).await));
        group.kill(leader).await;
        elections[leader] = None;
        let (next, newer) = granted_of(&mut elections).await;
        assert!(newer.epoch() > leadership.epoch());
        group.restart(leader);
        elections[leader] = Some(group.campaign_of(leader));
        group.provider(leader).get("k").await.expect("reads").expect("is there");
        (leader, leadership) = (next, newer);
    }
}

async fn granted_of(elections: &mut [Option<LeaderElection>]) -> (usize, Leadership) {
    let waits = elections.iter_mut().enumerate().filter_map(|(number, election)| {
        let election = election.as_mut()?;
        Some(Box::pin(async move {
            loop {
                match election.next().await {
                    Some(LeadershipEvent::Granted(leadership)) => return (number, leadership),
                    Some(LeadershipEvent::Revoked) => {}
                    None => futures::future::pending().await,
                }
            }
        }))
    });
    let first = futures::future::select_all(waits);
    weir_servers::within(SOON, first).await.expect("a member is granted leadership").0
}

/// Otherwise its process would run for ever and belong to no group.
#[tokio::test]
async fn a_member_that_can_not_store_its_identity_ends() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    // A directory blocks the name under which a new identity is written first.
    std::fs::create_dir(directory.path().join("identity.unfinished")).expect("creates");
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let me = Member { name: "jm-0".into(), address: listener.local_addr().expect("is bound").to_string() };
    let mut options = RaftOptions::new("jm-0", Listen::Listener(listener), vec![me], directory.path().to_owned(), "test");
    let (tell, mut failures) = tokio::sync::mpsc::channel(1);
    options.on_disk_failure = Arc::new(move |error| {
        let _ = tell.try_send(error.to_owned());
    });
    let _provider = RaftProvider::start(options).expect("starts");
    let failure = weir_servers::within(SOON, failures.recv()).await.expect("reported in time").expect("the hook is called");
    assert!(failure.contains("identity.json"), "{failure}");
}

/// Entries that only the other members have made durable may be committed. A leader that led on in its old term after a restart
/// would give their log ids to other entries, and no member would notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_leader_does_not_lead_on_in_its_old_term() {
    let mut group = TestGroup::new(1);
    let mut elections = group.campaign();
    granted(&mut elections).await;
    let term = |group: &TestGroup| group.provider(0).inner.group.metrics().expect("raft runs").current_term;
    let led_in = term(&group);
    group.kill(0).await;
    group.restart(0);
    let mut elections = group.campaign();
    granted(&mut elections).await;
    assert!(term(&group) > led_in, "the restarted member leads again in its old term {led_in}");
}
