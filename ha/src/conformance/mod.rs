//! The conformance suite: it asserts the promises of [`HaProvider`] for every provider.
//!
//! A provider's test calls [`run`] with a [`TestCluster`] that can start, kill and pause its members. Each check names the
//! invariant that it asserts (docs/invariants.md). No check depends on timing, except for the deadline after which a promise
//! counts as broken.

mod elections;
pub mod many_jobs;
mod store;
mod typed_stores;

use std::time::Duration;

use bytes::Bytes;
use futures::future::BoxFuture;

use crate::{Candidate, CommitOutcome, Expect, HaProvider, HaServices, LeaderElection, Leadership, LeadershipEvent, Operation};

/// A promise that is not kept within this time counts as broken.
pub const DEADLINE: Duration = Duration::from_secs(60);

/// A coordination system whose members a test can start, kill and pause.
pub trait TestCluster: Send {
    /// The names of its members. There are at least three.
    fn names(&self) -> Vec<String>;

    /// Starts a member, for the first time or again after it was killed.
    fn start<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, HaServices>;

    /// Kills a member, as `SIGKILL` does.
    fn kill<'a>(&'a mut self, name: &'a str) -> BoxFuture<'a, ()>;

    /// Cuts a member off from all others, as `SIGSTOP` or a pulled cable does.
    fn pause(&mut self, name: &str);

    /// Reconnects a member that was cut off by [`TestCluster::pause`].
    fn resume(&mut self, name: &str);

    /// Makes `leader` lose its leadership while no other member can be elected.
    fn lose_quorum(&mut self, leader: &str);

    /// Undoes [`TestCluster::lose_quorum`], so that a member can be elected again.
    fn regain_quorum(&mut self, leader: &str);
}

/// Runs every check, each on a cluster of its own.
pub async fn run<C: TestCluster>(make: impl Fn() -> C) {
    store::commits_are_atomic_and_conditional(make()).await;
    store::versions_never_repeat(make()).await;
    store::limits_are_refused(make()).await;
    store::every_member_reads_what_was_committed(make()).await;
    store::watchers_see_changes_in_order(make()).await;
    elections::one_leader_at_a_time_with_growing_epochs(make()).await;
    elections::a_paused_leader_is_superseded_and_its_writes_are_refused(make()).await;
    elections::a_leader_without_successor_is_told(make()).await;
    elections::a_withdrawn_leader_is_followed_by_another(make()).await;
    elections::leadership_can_be_handed_over(make()).await;
    elections::published_records_never_go_back(make()).await;
    elections::a_raised_epoch_is_exceeded_and_ends_the_leadership(make()).await;
    elections::a_shut_down_member_learns_of_its_end(make()).await;
    typed_stores::records_survive_the_leader(make()).await;
}

/// A member under test.
struct TestMember {
    name: String,
    provider: HaServices,
    election: LeaderElection,
}

/// A cluster whose members all contend.
struct Fixture<C> {
    cluster: C,
    members: Vec<TestMember>,
}

fn candidate(name: &str) -> Candidate {
    Candidate { name: name.into(), rpc_address: format!("{name}:6123"), rest_address: format!("{name}:8081") }
}

fn put(key: &str, value: &str) -> Operation {
    put_if(key, value, Expect::Any)
}

fn put_if(key: &str, value: &str, expect: Expect) -> Operation {
    Operation::Put { key: key.into(), value: Bytes::copy_from_slice(value.as_bytes()), expect }
}

fn delete(key: &str, expect: Expect) -> Operation {
    Operation::Delete { key: key.into(), expect }
}

fn version(outcome: CommitOutcome) -> u64 {
    match outcome {
        CommitOutcome::Committed { version } => version,
        other => panic!("not committed: {other:?}"),
    }
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("did not happen within {} s: {what}", DEADLINE.as_secs()),
    }
}

/// Waits until one of these is granted leadership. Returns its index and the leadership.
pub async fn granted(elections: &mut [LeaderElection]) -> (usize, Leadership) {
    first_granted(elections.iter_mut().enumerate().collect()).await
}

async fn first_granted(mut contenders: Vec<(usize, &mut LeaderElection)>) -> (usize, Leadership) {
    within("a member is granted leadership", async {
        loop {
            let waits = contenders.iter_mut().map(|(number, election)| {
                Box::pin(async move {
                    match election.next().await {
                        Some(event) => (*number, event),
                        // Its provider has stopped.
                        None => futures::future::pending().await,
                    }
                })
            });
            let ((number, event), _, _) = futures::future::select_all(waits).await;
            if let LeadershipEvent::Granted(leadership) = event {
                return (number, leadership);
            }
        }
    })
    .await
}

impl<C: TestCluster> Fixture<C> {
    async fn start(mut cluster: C) -> Self {
        let mut members = Vec::new();
        for name in cluster.names() {
            let provider = cluster.start(&name).await;
            members.push((name, provider));
        }
        let members = members.into_iter().map(|(name, provider)| {
            let election = provider.campaign(candidate(&name));
            TestMember { name, provider, election }
        });
        Self { members: members.collect(), cluster }
    }

    /// The next grant to a member other than `not`.
    async fn granted(&mut self, not: Option<usize>) -> (usize, Leadership) {
        let contenders = self.members.iter_mut().map(|member| &mut member.election).enumerate();
        first_granted(contenders.filter(|(number, _)| Some(*number) != not).collect()).await
    }

    async fn revoked(&mut self, number: usize) {
        let event = within("the leader is revoked", self.members[number].election.next()).await;
        assert_eq!(event, Some(LeadershipEvent::Revoked), "E7: the next event after a grant is a revocation");
    }

    fn provider(&self, number: usize) -> &dyn HaProvider {
        &*self.members[number].provider
    }

    fn name(&self, number: usize) -> String {
        self.members[number].name.clone()
    }

    async fn read(&self, number: usize, key: &str) -> Option<String> {
        let value = within("a read is answered", async {
            loop {
                if let Ok(value) = self.provider(number).get(key).await {
                    return value;
                }
            }
        })
        .await;
        value.map(|value| String::from_utf8_lossy(&value.value).into_owned())
    }
}
