//! Tests with lost answers, broken connections and killed nodes.

use super::*;

/// Number of commits in flight under load.
const WRITERS: u64 = 64;

/// G3: if the answer to a commit is lost, its outcome is unknown. A read then shows whether it was applied.
#[tokio::test]
async fn a_lost_answer_is_unknown_and_reading_back_resolves_it() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut members = TestMembers { lease: Duration::from_secs(30), ..TestMembers::new(&servers.etcd, 1) };
    let (provider, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    assert!(committed(&provider.commit(&leadership, put_any("before", "v")).await));
    members.set(0, Break::LostAnswers);
    let outcome = provider.commit(&leadership, put_any("k", "v")).await;
    assert!(members.members[0].proxies[0].held_answers() > 0, "the fault had no effect");
    assert!(matches!(outcome, CommitOutcome::Unknown { .. }), "{outcome:?}");
    let read = provider.get("k").await;
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
    // The reset drops the answers that the proxy held back.
    members.members[0].proxies[0].reset_connections();
    members.set(0, Break::None);
    let found = provider.get("k").await.expect("reads").expect("was applied");
    assert_eq!(found.value, "v");
    let again = provider.commit(&leadership, vec![put("k", "v", Expect::Absent)]).await;
    assert_eq!(again, CommitOutcome::Rejected(Rejection::Conflict { key: "k".into() }));
    assert!(is_quiet(&mut election), "leadership continued");
}

/// Repeated short interruptions of the connection do not end a leadership.
#[tokio::test]
async fn a_flapping_connection_changes_no_leader() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut members = TestMembers { lease: Duration::from_secs(6), ..TestMembers::new(&servers.etcd, 2) };
    let (leader, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    let (_standby, mut other) = members.contend(1);
    let mut failed = 0;
    for flap in 0..20 {
        (0..2).for_each(|number| members.set(number, Break::Reset));
        let outcome = leader.commit(&leadership, put_any("k", &flap.to_string())).await;
        failed += u32::from(!committed(&outcome));
        tokio::time::sleep(Duration::from_millis(500)).await;
        (0..2).for_each(|number| members.set(number, Break::None));
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert_eq!(failed, 20, "every interruption made a commit fail");
    let commit = async { while !committed(&leader.commit(&leadership, put_any("k", "after")).await) {} };
    weir_servers::within(SOON, commit).await.expect("commits again");
    assert!(is_quiet(&mut election) && is_quiet(&mut other), "no leadership changed");
    assert_eq!(leader.status().epoch, leadership.epoch());
}

/// All nodes of etcd are killed and started again. The leader continues under its epoch, because a restarted etcd gives every
/// lease its full time again.
#[tokio::test]
async fn a_leader_continues_after_a_restart_of_all_etcd_nodes() {
    let mut servers = Servers::start(&etcd_3_7(), 3);
    let mut members = TestMembers { lease: Duration::from_secs(5), ..TestMembers::new(&servers.etcd, 2) };
    let (leader, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    let (_standby, mut other) = members.contend(1);
    assert!(committed(&leader.commit(&leadership, put_any("k", "v")).await));
    (0..3).for_each(|number| servers.etcd.kill(number));
    let outcome = leader.commit(&leadership, put_any("k", "w")).await;
    assert!(matches!(outcome, CommitOutcome::Unknown { .. }), "the kill had no effect: {outcome:?}");
    eventually("the status shows no quorum", || !leader.status().has_quorum).await;
    eventually("the outage is reported", || leader.availability().now() != StoreAvailability::Available).await;
    // Longer than the lease. The lease does not expire, because its time does not pass while etcd is down.
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(is_quiet(&mut election), "an outage does not revoke the leader");
    servers.etcd.restart_all(&[0, 1, 2]).expect("etcd starts again");
    let commit = async { while !committed(&leader.commit(&leadership, put_any("k", "x")).await) {} };
    weir_servers::within(SOON, commit).await.expect("commits again under the same epoch");
    assert!(is_quiet(&mut election) && is_quiet(&mut other), "no leadership changed");
    assert_eq!(leader.get("k").await.expect("reads").expect("is there").value, "x");
    eventually("the status shows a quorum", || leader.status().has_quorum).await;
    eventually("the end of the outage is reported", || leader.availability().now() == StoreAvailability::Available).await;
}

/// The lease expires while the leader can't reach etcd, and there is no other candidate. The leader is revoked when it learns
/// of this, and then leads again under a newer epoch.
#[tokio::test]
async fn a_leader_whose_lease_expired_leads_again_under_a_newer_epoch() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut members = TestMembers::new(&servers.etcd, 1);
    let (provider, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    let latch = provider.inner.member.layout.latch();
    members.set(0, Break::Silence);
    let mut client = servers.client().await;
    let gone = async { while !client.get(latch.clone(), None).await.expect("reads").kvs().is_empty() {} };
    weir_servers::within(SOON, gone).await.expect("the lease expires");
    assert!(is_quiet(&mut election), "the leader can't know yet");
    members.set(0, Break::None);
    assert_eq!(election.next().await, Some(LeadershipEvent::Revoked));
    let newer = granted(&mut election).await;
    assert!(newer.epoch() > leadership.epoch());
    let late = provider.commit(&leadership, put_any("k", "v")).await;
    assert!(matches!(late, CommitOutcome::Rejected(Rejection::StaleEpoch { .. })), "{late:?}");
    assert!(committed(&provider.commit(&newer, put_any("k", "v")).await));
}

/// E1, E11: etcd's own leader is killed three times under load. No acknowledged commit is lost, even if leadership changes.
#[tokio::test]
async fn no_acknowledged_commit_is_lost_when_etcd_nodes_are_killed() {
    let mut servers = Servers::start(&etcd_3_7(), 3);
    let mut members = TestMembers { lease: Duration::from_secs(5), ..TestMembers::new(&servers.etcd, 2) };
    let mut elections = vec![members.contend(0), members.contend(1)];
    let (stop, stopped) = watch::channel(false);
    let load = spawn("load", async move {
        let mut acknowledged: Vec<String> = Vec::new();
        let mut epochs: Vec<_> = Vec::new();
        let mut attempts = 0_u64;
        while !*stopped.borrow() {
            let first = futures::future::select_all(elections.iter_mut().map(|(_, election)| Box::pin(granted(election))));
            let (leadership, leader, rest) = first.await;
            drop(rest);
            epochs.push(leadership.epoch());
            let provider = elections[leader].0.clone();
            while !*stopped.borrow() && is_quiet(&mut elections[leader].1) {
                let keys: Vec<_> = (attempts..attempts + WRITERS).map(|number| format!("load/{number:08}")).collect();
                attempts += WRITERS;
                let commits = keys.iter().map(|key| provider.commit(&leadership, vec![put(key, "v", Expect::Absent)]));
                let outcomes = futures::future::join_all(commits).await;
                acknowledged.extend(keys.into_iter().zip(outcomes).filter(|(_, outcome)| committed(outcome)).map(|(key, _)| key));
            }
        }
        (acknowledged, epochs, elections)
    });
    for _ in 0..3 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let leading = async {
            loop {
                match servers.etcd.leader() {
                    Some(leader) => return leader,
                    None => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        };
        let victim = weir_servers::within(SOON, leading).await.expect("etcd has a leader");
        servers.etcd.kill(victim);
        tokio::time::sleep(Duration::from_secs(2)).await;
        servers.etcd.restart(victim).expect("starts again");
    }
    stop.send_replace(true);
    let (acknowledged, epochs, elections) = weir_servers::within(SOON, load).await.expect("ends").expect("does not panic");
    assert!(acknowledged.len() > 100, "{} commits were acknowledged", acknowledged.len());
    assert!(epochs.windows(2).all(|pair| pair[0] < pair[1]), "E1: {epochs:?}");
    let found = elections[0].0.list("load/").await.expect("reads");
    let found: std::collections::BTreeSet<_> = found.into_iter().map(|(key, _)| key).collect();
    let lost: Vec<_> = acknowledged.iter().filter(|key| !found.contains(*key)).collect();
    if !lost.is_empty() {
        let nodes = what_each_node_has(&servers.etcd, &elections[0].0, &lost).await;
        panic!("E11: {} of {} acknowledged commits are lost: {lost:?}\n{nodes}", lost.len(), acknowledged.len());
    }
}

/// Each node's revision and hash, and which of the keys it has by itself: shows whether the nodes differ, or the commit was never made.
async fn what_each_node_has(etcd: &EtcdCluster, provider: &EtcdProvider, keys: &[&String]) -> String {
    let mut lines = Vec::new();
    for endpoint in etcd.endpoints() {
        let asked = async {
            let mut client = etcd_client::Client::connect([&endpoint], None).await?;
            let hash = client.hash_kv(0).await?;
            let revision = hash.header().map_or(0, etcd_client::ResponseHeader::revision);
            let mut missing = Vec::new();
            for key in keys {
                let options = etcd_client::GetOptions::new().with_serializable();
                let found = client.get(provider.inner.member.layout.store(key), Some(options)).await?;
                missing.extend(found.kvs().is_empty().then_some(*key));
            }
            let (hash, compacted) = (hash.hash(), hash.compact_version());
            Ok::<_, etcd_client::Error>(format!("revision {revision}, compacted {compacted}, hash {hash:08x}, lacks {missing:?}"))
        };
        let said = tokio::time::timeout(SOON, asked).await;
        lines.push(format!("  {endpoint}: {said:?}"));
    }
    lines.join("\n")
}

/// The lease is gone, but the latch is still there, because it was written by hand without the lease. Such a latch never
/// expires, so a leader that went on with it could die and never be replaced.
#[tokio::test]
async fn a_leader_whose_lease_is_gone_is_revoked_although_its_latch_exists() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut members = TestMembers::new(&servers.etcd, 1);
    let (provider, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    let latch = provider.inner.member.layout.latch();
    let lease = provider.inner.member.lease.borrow().expect("it has a lease");
    let mut client = servers.client().await;
    client.put(latch.clone(), "by hand", None).await.expect("puts");
    client.lease_revoke(lease).await.expect("revokes");
    assert_eq!(weir_servers::within(SOON, election.next()).await, Some(Some(LeadershipEvent::Revoked)));
    assert_eq!(client.delete(latch, None).await.expect("deletes").deleted(), 1);
    assert!(granted(&mut election).await.epoch() > leadership.epoch());
}

/// If the endpoint in use is frozen, the provider changes to the next one in time to keep the lease.
#[tokio::test]
async fn the_next_node_is_used_when_one_is_frozen() {
    let servers = Servers::start(&etcd_3_7(), 3);
    let mut members = TestMembers { lease: Duration::from_secs(6), ..TestMembers::new(&servers.etcd, 1) };
    let (provider, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    let mut store = provider.availability();
    for node in 0..3 {
        servers.etcd.pause(node);
        let before = *provider.inner.member.connection.generation().borrow();
        let commit = async { while !committed(&provider.commit(&leadership, put_any("k", &node.to_string())).await) {} };
        weir_servers::within(SOON, commit).await.expect("commits through another node");
        servers.etcd.resume(node);
        println!("node {node}: {} endpoints given up", *provider.inner.member.connection.generation().borrow() - before);
    }
    assert!(*provider.inner.member.connection.generation().borrow() > 0, "the faults had no effect");
    assert_eq!(store.changed().now_or_never(), None, "etcd as a whole was always available");
    assert!(is_quiet(&mut election));
}

/// E8: if the leader's record is removed or replaced by an older one, the leader writes it again. Observers keep the newest.
#[tokio::test]
async fn a_lost_record_is_written_again() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut members = TestMembers::new(&servers.etcd, 2);
    let (leader, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    assert!(committed(&leader.publish(&leadership).await));
    let key = leader.inner.member.layout.leader();
    let mut client = servers.client().await;
    let observer = members.start(1);
    let seen = Some(leadership.record());
    observer.leader().wait_for(|record| *record == seen).await.expect("runs");
    for removed in [true, false] {
        if removed {
            assert_eq!(client.delete(key.clone(), None).await.expect("deletes").deleted(), 1);
        } else {
            let mut older = leadership.record();
            older.epoch.0 -= 1;
            let older = serde_json::to_vec(&older).expect("is JSON");
            client.put(key.clone(), older, None).await.expect("puts");
        }
        let written = serde_json::to_vec(&leadership.record()).expect("is JSON");
        let again = async {
            loop {
                let found = client.get(key.clone(), None).await.expect("reads");
                if found.kvs().first().is_some_and(|pair| pair.value() == written) {
                    return;
                }
            }
        };
        weir_servers::within(SOON, again).await.expect("is written again");
        assert_eq!(*observer.leader().borrow(), seen);
    }
}

/// A member starts without etcd, and needs no action when etcd becomes available.
#[tokio::test]
async fn a_member_started_before_etcd_leads_once_etcd_is_available() {
    let mut servers = Servers::start(&etcd_3_7(), 1);
    servers.etcd.kill(0);
    let mut members = TestMembers::new(&servers.etcd, 1);
    let (provider, mut election) = members.contend(0);
    assert!(!provider.status().has_quorum);
    assert!(matches!(provider.get("k").await, Err(ReadError::Unavailable(_))));
    assert!(is_quiet(&mut election));
    servers.etcd.restart(0).expect("starts");
    let leadership = granted(&mut election).await;
    assert!(committed(&provider.commit(&leadership, put_any("k", "v")).await));
}

/// A drill cuts all members off from etcd. If that is shorter than the lease, leadership does not change.
#[tokio::test]
async fn a_cut_that_is_shorter_than_the_lease_changes_no_leader() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut members = TestMembers { lease: Duration::from_secs(20), ..TestMembers::new(&servers.etcd, 2) };
    let (leader, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    let (standby, mut other) = members.contend(1);
    assert!(committed(&leader.commit(&leadership, put_any("k", "v")).await));
    assert!(leader.set_isolated(true) && standby.set_isolated(true));
    // Each of the two waits until its deadline. They run at the same time, or the lease might expire.
    let (outcome, read) = tokio::join!(leader.commit(&leadership, put_any("k", "w")), standby.get("k"));
    assert!(matches!(outcome, CommitOutcome::Unknown { .. }), "the cut had no effect: {outcome:?}");
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
    for provider in [&leader, &standby] {
        eventually("the outage is reported", || provider.availability().now() != StoreAvailability::Available).await;
    }
    assert!(leader.set_isolated(false) && standby.set_isolated(false));
    let commit = async { while !committed(&leader.commit(&leadership, put_any("k", "x")).await) {} };
    weir_servers::within(SOON, commit).await.expect("commits again under the same epoch");
    for provider in [&leader, &standby] {
        eventually("the end of the outage is reported", || provider.availability().now() == StoreAvailability::Available).await;
    }
    assert_eq!(standby.get("k").await.expect("reads").expect("is there").value, "x");
    assert!(is_quiet(&mut election) && is_quiet(&mut other), "no leadership changed");
}

/// A drill also blocks the renewals of the lease.
#[tokio::test]
async fn a_leader_that_is_cut_off_for_longer_than_its_lease_is_replaced() {
    let servers = Servers::start(&etcd_3_7(), 1);
    let mut members = TestMembers::new(&servers.etcd, 2);
    let (leader, mut election) = members.contend(0);
    let leadership = granted(&mut election).await;
    let (_standby, mut other) = members.contend(1);
    leader.set_isolated(true);
    let newer = granted(&mut other).await;
    assert!(newer.epoch() > leadership.epoch());
    assert!(is_quiet(&mut election), "the old leader can't know yet");
    leader.set_isolated(false);
    assert_eq!(weir_servers::within(SOON, election.next()).await, Some(Some(LeadershipEvent::Revoked)));
    let late = leader.commit(&leadership, put_any("k", "late")).await;
    assert!(matches!(late, CommitOutcome::Rejected(Rejection::StaleEpoch { .. })), "{late:?}");
}
