//! What elections promise.

use weir_protocol::LeaderEpoch;

use super::*;
use crate::{LeaderRecord, TransferError};

/// E1, E2, E3: epochs grow over kills and restarts; when one is granted, everything older is readable and nobody older
/// can write.
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
        // What the dead leader might have left on the way is refused, from wherever it comes.
        let outcome = fixture.provider(next).commit(&leadership, vec![put("stale", "")]).await;
        assert!(matches!(outcome, CommitOutcome::Rejected(_)), "E3: {outcome:?}");
        let provider = fixture.cluster.start(&name).await;
        let election = provider.campaign(candidate(&name));
        fixture.members[leader] = TestMember { name, provider, election };
        (leader, leadership) = (next, newer);
    }
    assert_eq!(fixture.read(leader, "stale").await, None);
}

/// E3: of a paused leader nothing is applied once another leads, however late it comes.
pub(super) async fn a_paused_leader_is_superseded_and_its_writes_are_refused<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (old, stale) = fixture.granted(None).await;
    version(fixture.provider(old).commit(&stale, vec![put("k", "old")]).await);
    let name = fixture.name(old);
    fixture.cluster.pause(&name);
    let late = {
        let provider = std::sync::Arc::clone(&fixture.members[old].provider);
        let leadership = stale.clone();
        // Proposed while it is cut off, decided whenever it is back.
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

/// E9: the loss of leadership is told also when there is no next leader; and the same member can lead again.
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
    assert!(matches!(outcome, CommitOutcome::Rejected(_)), "E3: an earlier leadership of the same member: {outcome:?}");
}

/// Who drops its election is followed by another, and is not granted again.
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

/// A named member leads after a hand-over; nobody else can order one.
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

/// E8: what is published carries its epoch, reaches every member, and never goes back.
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

/// E1, E3: after a leader has raised the epoch it can write no more, and whoever follows exceeds what it was raised to.
pub(super) async fn a_raised_epoch_is_exceeded_and_ends_the_leadership<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (leader, leadership) = fixture.granted(None).await;
    // Nothing to raise: it goes on.
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

/// E7, E9: a member that is shut down is told that it leads no more, then that its election is over; another follows.
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
