use bytes::Bytes;

use super::*;
use crate::HaServices;
use crate::conformance::{self, TestCluster};
use crate::{Expect, LeadershipEvent, Rejection};

fn candidate(name: &str) -> Candidate {
    Candidate { name: name.into(), rpc_address: format!("{name}:1"), rest_address: format!("{name}:2") }
}

async fn granted(election: &mut LeaderElection) -> Leadership {
    match election.next().await {
        Some(LeadershipEvent::Granted(leadership)) => leadership,
        other => panic!("{other:?}"),
    }
}

fn put(key: &str) -> Vec<Operation> {
    vec![Operation::Put { key: key.into(), value: Bytes::from_static(b"v"), expect: Expect::Any }]
}

#[tokio::test]
async fn ten_thousand_jobs_come_and_go_and_leave_nothing() {
    let store = MemoryStore::new();
    let (a, b) = (store.member("a"), store.member("b"));
    let mut election = a.campaign(candidate("a"));
    let leadership = granted(&mut election).await;
    let count = async || b.list("").await.expect("lists").len();
    conformance::many_jobs::come_and_go(Arc::new(a.clone()), Arc::new(b.clone()), &leadership, count).await;
}

#[tokio::test]
async fn the_next_contender_leads_when_the_leader_is_revoked() {
    let store = MemoryStore::new();
    let (a, b) = (store.member("a"), store.member("b"));
    let (mut at_a, mut at_b) = (a.campaign(candidate("a")), b.campaign(candidate("b")));
    let first = granted(&mut at_a).await;
    store.revoke_leader();
    assert_eq!(at_a.next().await, Some(LeadershipEvent::Revoked));
    let second = granted(&mut at_b).await;
    assert!(second.epoch() > first.epoch());
    assert!(matches!(a.commit(&first, put("k")).await, CommitOutcome::Rejected(Rejection::StaleEpoch { .. })));
    assert!(matches!(b.commit(&second, put("k")).await, CommitOutcome::Committed { .. }));
}

#[tokio::test]
async fn a_leader_is_revoked_even_without_a_successor() {
    let store = MemoryStore::new();
    let a = store.member("a");
    let mut election = a.campaign(candidate("a"));
    let first = granted(&mut election).await;
    store.set_elections(false);
    store.revoke_leader();
    assert_eq!(election.next().await, Some(LeadershipEvent::Revoked));
    store.set_elections(true);
    assert!(granted(&mut election).await.epoch() > first.epoch());
}

#[tokio::test]
async fn the_write_of_a_paused_leader_is_refused_and_its_leadership_revoked() {
    let store = MemoryStore::new();
    let (a, b) = (store.member("a"), store.member("b"));
    let (mut at_a, mut at_b) = (a.campaign(candidate("a")), b.campaign(candidate("b")));
    let first = granted(&mut at_a).await;
    store.pause("a");
    let second = granted(&mut at_b).await;
    let mut write = a.commit(&first, put("k"));
    assert!(futures::poll!(&mut write).is_pending());
    assert!(at_a.next().now_or_never().is_none());
    store.resume("a");
    let stale = Rejection::StaleEpoch { epoch: first.epoch(), current: second.epoch() };
    assert_eq!(write.await, CommitOutcome::Rejected(stale));
    assert_eq!(at_a.next().await, Some(LeadershipEvent::Revoked));
}

#[tokio::test]
async fn an_unknown_outcome_is_either_applied_or_not() {
    let store = MemoryStore::new();
    let a = store.member("a");
    let leadership = granted(&mut a.campaign(candidate("a"))).await;
    // The campaign has ended, but no other member was elected, so this epoch is still the newest.
    for (truth, key) in [(UnknownCommit::Applied, "applied"), (UnknownCommit::Lost, "lost")] {
        store.next_commit_unknown(truth);
        assert!(matches!(a.commit(&leadership, put(key)).await, CommitOutcome::Unknown { .. }));
        let there = a.get(key).await.expect("reads are available").is_some();
        assert_eq!(there, truth == UnknownCommit::Applied);
    }
    assert!(matches!(a.commit(&leadership, put("k")).await, CommitOutcome::Committed { .. }));
}

#[tokio::test]
async fn reads_can_be_switched_off() {
    let store = MemoryStore::new();
    let a = store.member("a");
    store.set_reads_available(false);
    assert!(matches!(a.get("k").await, Err(ReadError::Unavailable(_))));
    assert!(matches!(a.list("").await, Err(ReadError::Unavailable(_))));
    store.set_reads_available(true);
    assert_eq!(a.get("k").await, Ok(None));
}

#[tokio::test]
async fn only_the_leader_can_hand_over_and_only_to_a_contender() {
    let store = MemoryStore::new();
    let (a, b) = (store.member("a"), store.member("b"));
    let mut at_a = a.campaign(candidate("a"));
    granted(&mut at_a).await;
    assert_eq!(b.transfer_leadership(None).await, Err(TransferError::NotLeader));
    assert!(matches!(a.transfer_leadership(Some("b")).await, Err(TransferError::NoTarget(_))));
    let mut at_b = b.campaign(candidate("b"));
    assert_eq!(a.transfer_leadership(Some("b")).await, Ok(()));
    assert_eq!(at_a.next().await, Some(LeadershipEvent::Revoked));
    granted(&mut at_b).await;
}

#[tokio::test]
async fn shutting_down_revokes_and_ends_the_election() {
    let store = MemoryStore::new();
    let a = store.member("a");
    let mut election = a.campaign(candidate("a"));
    granted(&mut election).await;
    a.shutdown().await;
    assert_eq!(election.next().await, Some(LeadershipEvent::Revoked));
    assert_eq!(election.next().await, None);
}

struct MemoryCluster(MemoryStore);

impl TestCluster for MemoryCluster {
    fn names(&self) -> Vec<String> {
        ["jm-0", "jm-1", "jm-2"].map(str::to_owned).to_vec()
    }

    fn start<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, HaServices> {
        let provider: HaServices = Arc::new(self.0.member(name));
        futures::future::ready(provider).boxed()
    }

    fn kill<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, ()> {
        // A new process of the same name takes the place of the old one. It does not contend yet.
        drop(self.0.member(name));
        futures::future::ready(()).boxed()
    }

    fn pause(&mut self, name: &str) {
        self.0.pause(name);
    }

    fn resume(&mut self, name: &str) {
        self.0.resume(name);
    }

    fn lose_quorum(&mut self, _leader: &str) {
        self.0.set_elections(false);
        self.0.revoke_leader();
    }

    fn regain_quorum(&mut self, _leader: &str) {
        self.0.set_elections(true);
    }
}

#[tokio::test]
async fn the_memory_provider_keeps_every_promise() {
    conformance::run(|| MemoryCluster(MemoryStore::new())).await;
}
