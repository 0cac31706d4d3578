//! The promises of elections.

use weir_protocol::LeaderEpoch;

use super::*;
use crate::{LeaderRecord, TransferError};

/// E1, E2, E3: epochs grow over kills and restarts. Once an epoch is granted, every earlier commit is readable and no earlier
/// leader can write.
pub(super) async fn one_leader_at_a_time_with_growing_epochs<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (mut leader, mut leadership) = fixture.granted(None).await;
    for round in 0..3 {
        let key = format!("round/{round}");
        version(fixture.provider(leader).commit(&leadership, vec![put(&key, "done")]).await);
        let name = fixture.name(leader);
        fixture.cluster.kill(&name).await;
        let (next, newer) = fixture.granted(Some(leader)).await;
        assert!(newer.epoch() > leadership.epoch(), "E1: {} after {}", newer.epoch(), leadership.epoch());
        for earlier in 0..=round {
            let done = fixture.read(next, &format!("round/{earlier}")).await;
            assert_eq!(done.as_deref(), Some("done"), "E2: a new leader reads everything committed before");
        }
        // A late write of the killed leader is refused, no matter which member sends it.
        let outcome = fixture.provider(next).commit(&leadership, vec![put("stale", "")]).await;
        assert!(matches!(outcome, CommitOutcome::Rejected(_)), "E3: {outcome:?}");
        let provider = fixture.cluster.start(&name).await;
        let election = provider.campaign(candidate(&name));
        fixture.members[leader] = TestMember { name, provider, election };
        (leader, leadership) = (next, newer);
    }
    assert_eq!(fixture.read(leader, "stale").await, None);
}

/// E3: once another member leads, no write of the paused leader is applied, however late it arrives.
pub(super) async fn a_paused_leader_is_superseded_and_its_writes_are_refused<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (old, stale) = fixture.granted(None).await;
    version(fixture.provider(old).commit(&stale, vec![put("k", "old")]).await);
    let name = fixture.name(old);
    fixture.cluster.pause(&name);
    let late = {
        let provider = std::sync::Arc::clone(&fixture.members[old].provider);
        let leadership = stale.clone();
        // Proposed while the leader is cut off, and decided when it is back.
        async move { provider.commit(&leadership, vec![put("k", "late")]).await }
    };
    let mut late: BoxFuture<'_, CommitOutcome> = Box::pin(late);
    let (new, newer) = tokio::select! {
        biased;
        outcome = &mut late => {
            assert!(!matches!(outcome, CommitOutcome::Committed { .. }), "a leader without quorum committed: {outcome:?}");
            late = Box::pin(futures::future::ready(outcome));
            fixture.granted(Some(old)).await
        }
        granted = fixture.granted(Some(old)) => granted,
    };
    assert!(newer.epoch() > stale.epoch(), "E1");
    version(fixture.provider(new).commit(&newer, vec![put("k", "new")]).await);
    fixture.cluster.resume(&name);
    let outcome = within("a late write is decided", late).await;
    assert!(!matches!(outcome, CommitOutcome::Committed { .. }), "E3: {outcome:?}");
    fixture.revoked(old).await;
    let outcome = fixture.provider(old).commit(&stale, vec![put("k", "later")]).await;
    assert!(!matches!(outcome, CommitOutcome::Committed { .. }), "E3: {outcome:?}");
    for number in 0..fixture.members.len() {
        assert_eq!(fixture.read(number, "k").await.as_deref(), Some("new"));
    }
}

/// E9: a leader is revoked even if there is no next leader. The same member can lead again.
pub(super) async fn a_leader_without_successor_is_told<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (leader, leadership) = fixture.granted(None).await;
    version(fixture.provider(leader).commit(&leadership, vec![put("k", "v")]).await);
    let name = fixture.name(leader);
    fixture.cluster.lose_quorum(&name);
    fixture.revoked(leader).await;
    fixture.cluster.regain_quorum(&name);
    let (again, newer) = fixture.granted(None).await;
    assert!(newer.epoch() > leadership.epoch(), "E1");
    version(fixture.provider(again).commit(&newer, vec![put("k", "w")]).await);
    let outcome = fixture.provider(again).commit(&leadership, vec![put("k", "x")]).await;
    assert!(
        matches!(outcome, CommitOutcome::Rejected(_)),
        "E3: a write under an earlier leadership of the same member: {outcome:?}"
    );
}

/// If a leader drops its election, another member is elected, and the former leader's writes are refused.
pub(super) async fn a_withdrawn_leader_is_followed_by_another<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (leader, leadership) = fixture.granted(None).await;
    let provider = std::sync::Arc::clone(&fixture.members[leader].provider);
    drop(fixture.members.remove(leader));
    let (_, newer) = fixture.granted(None).await;
    assert!(newer.epoch() > leadership.epoch(), "E1");
    let outcome = provider.commit(&leadership, vec![put("k", "v")]).await;
    assert!(matches!(outcome, CommitOutcome::Rejected(_)), "E3: {outcome:?}");
}

/// After a hand-over the named member leads. Only the leader can hand over.
pub(super) async fn leadership_can_be_handed_over<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (leader, leadership) = fixture.granted(None).await;
    let others: Vec<_> = (0..fixture.members.len()).filter(|number| *number != leader).collect();
    let denied = fixture.provider(others[0]).transfer_leadership(None).await;
    assert_eq!(denied, Err(TransferError::NotLeader));
    let unknown = fixture.provider(leader).transfer_leadership(Some("nobody")).await;
    assert!(matches!(unknown, Err(TransferError::NoTarget(_))), "{unknown:?}");
    let target = fixture.name(others[1]);
    let handed_over = fixture.provider(leader).transfer_leadership(Some(&target)).await;
    if handed_over == Err(TransferError::Unsupported) {
        return;
    }
    assert_eq!(handed_over, Ok(()));
    fixture.revoked(leader).await;
    let (next, newer) = fixture.granted(Some(leader)).await;
    assert!(newer.epoch() > leadership.epoch(), "E1");
    version(fixture.provider(next).commit(&newer, vec![put("k", "v")]).await);
}

/// E8: a published record carries its epoch and reaches every member. Its epoch never decreases.
pub(super) async fn published_records_never_go_back<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (old, stale) = fixture.granted(None).await;
    version(fixture.provider(old).publish(&stale).await);
    let seen = |number: usize, fixture: &Fixture<C>, epoch: LeaderEpoch| {
        let mut leader = fixture.provider(number).leader();
        async move {
            let reached = |record: &Option<LeaderRecord>| record.as_ref().is_some_and(|record| record.epoch >= epoch);
            within("the record reaches the member", leader.wait_for(reached)).await.expect("the member runs").clone()
        }
    };
    for number in 0..fixture.members.len() {
        assert_eq!(seen(number, &fixture, stale.epoch()).await, Some(stale.record()));
    }
    let name = fixture.name(old);
    fixture.cluster.kill(&name).await;
    let (new, newer) = fixture.granted(Some(old)).await;
    version(fixture.provider(new).publish(&newer).await);
    let outcome = fixture.provider(new).publish(&stale).await;
    assert!(matches!(outcome, CommitOutcome::Rejected(_)), "E8: {outcome:?}");
    for number in (0..fixture.members.len()).filter(|number| *number != old) {
        assert_eq!(seen(number, &fixture, newer.epoch()).await, Some(newer.record()));
    }
}

/// E1, E3: a leader that has raised the epoch can't write any more. The next leader's epoch is above the raised one.
pub(super) async fn a_raised_epoch_is_exceeded_and_ends_the_leadership<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (leader, leadership) = fixture.granted(None).await;
    // The epoch is already above 1, so nothing is raised and the leader continues.
    version(fixture.provider(leader).raise_epoch(&leadership, LeaderEpoch(1)).await);
    version(fixture.provider(leader).commit(&leadership, vec![put("k", "v")]).await);
    let floor = LeaderEpoch(leadership.epoch().0 + 1_000_000);
    version(fixture.provider(leader).raise_epoch(&leadership, floor).await);
    let outcome = fixture.provider(leader).commit(&leadership, vec![put("k", "late")]).await;
    assert!(matches!(outcome, CommitOutcome::Rejected(crate::Rejection::StaleEpoch { .. })), "E3: {outcome:?}");
    fixture.revoked(leader).await;
    let (new, newer) = fixture.granted(None).await;
    assert!(newer.epoch() > floor, "E1: {} after {floor}", newer.epoch());
    version(fixture.provider(new).commit(&newer, vec![put("k", "new")]).await);
    let outcome = fixture.provider(new).raise_epoch(&leadership, LeaderEpoch(floor.0 * 2)).await;
    assert!(matches!(outcome, CommitOutcome::Rejected(_)), "E3: {outcome:?}");
}

/// E7, E9: a leader that is shut down is first revoked, and then its election ends. Another member is elected.
pub(super) async fn a_shut_down_member_learns_of_its_end<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (leader, leadership) = fixture.granted(None).await;
    within("the provider shuts down", fixture.provider(leader).shutdown()).await;
    fixture.revoked(leader).await;
    let end = within("its election ends", fixture.members[leader].election.next()).await;
    assert_eq!(end, None);
    let (_, newer) = fixture.granted(Some(leader)).await;
    assert!(newer.epoch() > leadership.epoch(), "E1");
    let outcome = fixture.provider(leader).commit(&leadership, vec![put("k", "v")]).await;
    assert!(!matches!(outcome, CommitOutcome::Committed { .. }), "{outcome:?}");
}
