//! Tests with faults of connections, servers and znodes.

use weir_servers::Fault;
use weir_world::spawn;
use zookeeper_client::{Acl, AuthId, Permission};

use super::*;

/// Commits until a commit is acknowledged. Returns the number of failed attempts.
async fn commit_surely(provider: &ZooKeeperProvider, leadership: &Leadership, key: &str) -> u32 {
    let mut failures = 0;
    within_deadline("a commit succeeds", async {
        loop {
            match provider.commit(leadership, put(key, "v")).await {
                CommitOutcome::Committed { .. } => return,
                CommitOutcome::Unknown { .. } => failures += 1,
                CommitOutcome::Rejected(rejection) => panic!("{key}: {rejection}"),
            }
        }
    })
    .await;
    failures
}

pub(super) async fn read_surely(provider: &ZooKeeperProvider, key: &str) -> Option<Bytes> {
    let reading = async {
        loop {
            if let Ok(read) = provider.get(key).await {
                return read.map(|read| read.value);
            }
        }
    };
    within_deadline("a read succeeds", reading).await
}

async fn next_event(election: &mut LeaderElection) -> LeadershipEvent {
    within_deadline("the contender receives an event", election.next()).await.expect("the provider runs")
}

/// The fault begins at different moments of a commit, until it has dropped the answer to a commit that was applied.
#[tokio::test]
async fn a_commit_whose_answer_is_lost_is_unknown_and_can_be_resolved() {
    let Led { members, elections: _elections, leadership, .. } = Led::start(1, 1, LONG_SESSION).await;
    let provider = members.provider(0).clone();
    assert!(committed(&provider.commit(&leadership, put("k", "0")).await));
    let proxy = &members.members[0].proxies[0];
    let mut hits = 0;
    for round in 0..60 {
        let value = format!("round-{round}");
        let commit = {
            let (provider, leadership, operations) = (provider.clone(), leadership.clone(), put("k", &value));
            spawn("commit", async move { provider.commit(&leadership, operations).await })
        };
        tokio::time::sleep(Duration::from_micros(300 * (round % 20))).await;
        let held = proxy.held_answers();
        proxy.set(Fault::LostAnswers);
        tokio::time::sleep(Duration::from_millis(60)).await;
        let answer_held = proxy.held_answers() > held;
        proxy.reset_connections();
        proxy.set(Fault::None);
        let outcome = commit.await.expect("the commit ends");
        let found = read_surely(&provider, "k").await.expect("is there");
        match outcome {
            CommitOutcome::Committed { .. } => assert_eq!(found, value, "acknowledged"),
            CommitOutcome::Rejected(rejection) => panic!("{rejection}"),
            CommitOutcome::Unknown { .. } if answer_held && found == value => hits += 1,
            CommitOutcome::Unknown { .. } => {}
        }
        if hits >= 2 {
            break;
        }
    }
    assert!(hits > 0, "no commit that was applied lost its answer");
    commit_surely(&provider, &leadership, "after").await;
    assert_eq!(provider.inner.ensemble.reign().map(|reign| reign.epoch), Some(leadership.epoch()), "it still leads");
}

#[tokio::test]
async fn a_leader_whose_session_expires_is_revoked_replaced_and_fenced() {
    let Led { members, mut elections, leader, leadership, .. } = Led::start(1, 2, SESSION_TIMEOUT).await;
    assert!(committed(&members.provider(leader).publish(&leadership).await));
    members.members[leader].set(Fault::Silence);
    let next = 1 - leader;
    let (_, newer) = granted(&mut elections[next..=next]).await;
    assert!(newer.epoch() > leadership.epoch());
    // The outage is shorter than the tolerance, so the old leader does not know yet. But it can't write.
    assert!(members.provider(leader).inner.ensemble.reign().is_some());
    assert!(!members.provider(leader).status().has_quorum);
    assert!(committed(&members.provider(next).commit(&newer, put("k", "new")).await));
    members.members[leader].set(Fault::None);
    assert_eq!(next_event(&mut elections[leader]).await, LeadershipEvent::Revoked);
    let late = members.provider(leader).commit(&leadership, put("k", "late")).await;
    let current = newer.epoch();
    let refusal = Rejection::StaleEpoch { epoch: leadership.epoch(), current };
    assert_eq!(late, CommitOutcome::Rejected(refusal));
    assert_eq!(read_surely(members.provider(leader), "k").await.expect("is there"), "new");
    // It is a candidate again, in a new session.
    eventually("both are candidates", || members.provider(next).status().members.len() == 2).await;
    members.provider(next).shutdown().await;
    let (_, third) = granted(&mut elections[leader..=leader]).await;
    assert!(third.epoch() > newer.epoch());
}

/// Short interruptions, however many, end no leadership and lose no commit.
#[tokio::test]
async fn twenty_short_interruptions_change_no_leadership() {
    let Led { members, mut elections, leader, leadership, .. } = Led::start(1, 2, Duration::from_secs(5)).await;
    let provider = members.provider(leader).clone();
    for flap in 0..20 {
        members.members[leader].set(Fault::Reset);
        eventually("the interruption is seen", || !provider.status().has_quorum).await;
        // The interruption itself lasts one second; this does not wait for an event.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!provider.status().has_quorum, "the interruption lasts");
        assert!(provider.availability().now() != StoreAvailability::Available, "the interruption is reported");
        members.members[leader].set(Fault::None);
        commit_surely(&provider, &leadership, &format!("flap/{flap}")).await;
    }
    for election in &mut elections {
        let event = election.next().now_or_never();
        assert_eq!(event, None, "no leadership changed");
    }
    assert_eq!(provider.list("flap/").await.expect("lists").len(), 20);
}

/// The leading server is killed while many writers commit as fast as they can.
#[tokio::test]
async fn no_acknowledged_commit_is_lost_with_the_leading_server() {
    const WRITERS: usize = 64;
    const COMMITS: usize = 15;
    let Led { servers, members, elections: _elections, leader, leadership } = Led::start(3, 2, LONG_SESSION).await;
    let provider = members.provider(leader).clone();
    let done = Arc::new(AtomicU32::new(0));
    let writer = |writer: usize| {
        let (provider, leadership, done) = (provider.clone(), leadership.clone(), Arc::clone(&done));
        spawn("writer", async move {
            let mut failures = 0;
            for number in 0..COMMITS {
                failures += commit_surely(&provider, &leadership, &format!("load/{writer:02}/{number:02}")).await;
                done.fetch_add(1, Ordering::Relaxed);
            }
            failures
        })
    };
    let writers: Vec<_> = (0..WRITERS).map(writer).collect();
    eventually("a part is written", || done.load(Ordering::Relaxed) as usize > WRITERS * COMMITS / 4).await;
    let leading = servers.get().leader().expect("a server leads");
    servers.get().kill(leading);
    assert!((done.load(Ordering::Relaxed) as usize) < WRITERS * COMMITS, "the kill came too late: all commits were done");
    let mut failures = 0;
    for writer in writers {
        failures += within_deadline("the writer ends", writer).await.expect("does not panic");
    }
    println!("commits that were retried: {failures}");
    let found = members.provider(1 - leader).list("load/").await.expect("lists");
    assert_eq!(found.len(), WRITERS * COMMITS);
    let reign = provider.inner.ensemble.reign().map(|reign| reign.epoch);
    assert_eq!(reign, Some(leadership.epoch()), "the same leader continues");
}

/// All servers are down for longer than the session timeout. When they are back, the session is still alive.
async fn all_servers_go_and_come_back(size: usize) {
    // Once the servers are back, the clients have this long to reconnect. A busy machine takes some seconds.
    const SESSION: Duration = Duration::from_secs(6);
    let Led { servers, members, mut elections, leader, leadership } = Led::start(size, 2, SESSION).await;
    let provider = members.provider(leader).clone();
    assert!(committed(&provider.publish(&leadership).await));
    assert!(committed(&provider.commit(&leadership, put("k", "v")).await));
    (0..size).for_each(|server| servers.get().kill(server));
    eventually("the status shows the outage", || !provider.status().has_quorum).await;
    eventually("the outage is reported", || provider.availability().now() != StoreAvailability::Available).await;
    let unknown = tokio::time::timeout(SESSION * 2, provider.commit(&leadership, put("late", "w"))).await;
    assert!(!unknown.is_ok_and(|outcome| committed(&outcome)), "the outage had no effect");
    (0..size).for_each(|server| servers.get().restart(server).expect("starts again"));
    (0..size).for_each(|server| servers.get().await_serving(server).expect("serves"));
    commit_surely(&provider, &leadership, "after").await;
    eventually("the end of the outage is reported", || provider.availability().now() == StoreAvailability::Available).await;
    assert_eq!(read_surely(&provider, "k").await.expect("is there"), "v");
    for election in &mut elections {
        assert_eq!(election.next().now_or_never(), None, "no leadership changed");
    }
    // The published address survived, or was published again.
    let direct = servers.client().await;
    let path = members.layout().connection_info();
    let published = async {
        while direct.check_stat(&path).await.ok().flatten().is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    within_deadline("the leader can be found", published).await;
}

#[tokio::test]
async fn a_leader_continues_after_an_outage_of_the_only_server() {
    all_servers_go_and_come_back(1).await;
}

#[tokio::test]
async fn a_leader_continues_after_an_outage_of_a_whole_ensemble() {
    all_servers_go_and_come_back(3).await;
}

#[tokio::test]
async fn a_published_znode_that_is_removed_by_hand_is_written_again() {
    let Led { servers, members, elections: _elections, leadership, .. } = Led::start(1, 1, SESSION_TIMEOUT).await;
    assert!(committed(&members.provider(0).publish(&leadership).await));
    let direct = servers.client().await;
    let layout = members.layout();
    for path in [layout.leader_record(), layout.connection_info()] {
        direct.delete(&path, None).await.expect("is removed");
        let again = async {
            while direct.check_stat(&path).await.expect("reads").is_none() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        within_deadline("it is written again", again).await;
    }
}

/// Manual changes of the znodes can end a leadership, but they never break the fence.
#[tokio::test]
async fn a_leader_whose_znode_is_removed_by_hand_is_revoked_and_elected_again() {
    let Led { servers, members, mut elections, leadership, .. } = Led::start(1, 1, SESSION_TIMEOUT).await;
    let reign = members.provider(0).inner.ensemble.reign().expect("leads");
    let direct = servers.client().await;
    direct.delete(&reign.latch, None).await.expect("is removed");
    let outcome = members.provider(0).commit(&leadership, put("k", "v")).await;
    assert!(matches!(outcome, CommitOutcome::Rejected(Rejection::StaleEpoch { .. })), "{outcome:?}");
    assert_eq!(next_event(&mut elections[0]).await, LeadershipEvent::Revoked);
    let (_, newer) = granted(&mut elections).await;
    assert!(newer.epoch() > leadership.epoch());
    // The stored epoch may be higher after a migration or a restored backup. The next granted epoch is above it.
    let high = newer.epoch().0 + (1 << 40);
    let path = members.layout().epoch();
    direct.set_data(&path, high.to_string().as_bytes(), None).await.expect("is written");
    let outcome = members.provider(0).commit(&newer, put("k", "v")).await;
    assert!(matches!(outcome, CommitOutcome::Rejected(Rejection::StaleEpoch { .. })), "{outcome:?}");
    let (_, newest) = granted(&mut elections).await;
    assert!(newest.epoch().0 > high, "E1");
    assert!(committed(&members.provider(0).commit(&newest, put("k", "v")).await));
}

#[tokio::test]
async fn members_that_do_not_lead_receive_changes_too() {
    let Led { members, elections: _elections, leader, leadership, .. } = Led::start(1, 2, SESSION_TIMEOUT).await;
    let mut watch = members.provider(1 - leader).watch("w/").await.expect("watches");
    let provider = members.provider(leader);
    let outcome = provider.commit(&leadership, put("w/k", "v")).await;
    let CommitOutcome::Committed { version } = outcome else { panic!("{outcome:?}") };
    let told = async {
        loop {
            match watch.recv().await {
                Some(WatchEvent::Put { key, value }) => return (key, value.version),
                // The parent znode may be reported as a deleted key.
                Some(WatchEvent::Deleted { .. } | WatchEvent::Lagged) => {}
                None => panic!("the watch ended"),
            }
        }
    };
    assert_eq!(within_deadline("the watcher receives a put", told).await, ("w/k".to_owned(), version));
    let removal = vec![Operation::Delete { key: "w/k".into(), expect: Expect::Version(version) }];
    let outcome = provider.commit(&leadership, removal).await;
    let CommitOutcome::Committed { version } = outcome else { panic!("{outcome:?}") };
    let expected = Some(WatchEvent::Deleted { key: "w/k".into(), version });
    assert_eq!(within_deadline("the watcher receives a removal", watch.recv()).await, expected);
    // After an interruption the watcher is told that it lagged.
    members.members[1 - leader].set(Fault::Reset);
    eventually("the status shows the interruption", || !members.provider(1 - leader).status().has_quorum).await;
    members.members[1 - leader].set(Fault::None);
    let lagged = async { while watch.recv().await != Some(WatchEvent::Lagged) {} };
    within_deadline("the watcher is told that it lagged", lagged).await;
}

/// A drill cuts all members off from ZooKeeper. If that is shorter than the session timeout, leadership does not change.
#[tokio::test]
async fn a_cut_that_is_shorter_than_the_session_timeout_changes_no_leader() {
    let Led { members, mut elections, leader, leadership, .. } = Led::start(1, 2, Duration::from_secs(20)).await;
    let provider = members.provider(leader).clone();
    let standby = members.provider(1 - leader).clone();
    eventually("both are candidates", || provider.status().members.len() == 2).await;
    commit_surely(&provider, &leadership, "before").await;
    assert!(provider.set_isolated(true) && standby.set_isolated(true));
    // Each of the two waits for a connection until its deadline. They run at the same time, or the session would expire.
    let (outcome, read) = tokio::join!(provider.commit(&leadership, put("k", "lost")), standby.get("before"));
    assert!(matches!(outcome, CommitOutcome::Unknown { .. }), "the cut had no effect: {outcome:?}");
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
    for member in [&provider, &standby] {
        eventually("the outage is reported", || member.availability().now() != StoreAvailability::Available).await;
    }
    assert!(provider.set_isolated(false) && standby.set_isolated(false));
    commit_surely(&provider, &leadership, "after").await;
    for member in [&provider, &standby] {
        eventually("the end of the outage is reported", || member.availability().now() == StoreAvailability::Available).await;
    }
    assert_eq!(read_surely(&standby, "after").await.expect("is there"), "v");
    assert!(elections.iter_mut().all(|election| election.next().now_or_never().is_none()), "no leadership changed");
}

/// When a connection is cut, the tasks that wait for a watch learn of it in any order. The client used to panic if a watch was
/// polled after the client's task had ended.
#[tokio::test]
async fn repeated_and_short_cuts_end_no_member() {
    let Led { members, mut elections, leader, leadership, .. } = Led::start(1, 2, Duration::from_secs(20)).await;
    let both = [members.provider(leader), members.provider(1 - leader)];
    eventually("both are candidates", || both[0].status().members.len() == 2).await;
    for cut in 0..40 {
        for member in both {
            member.set_isolated(true);
        }
        // Every other cut ends before any task has noticed it. The others last until all members have.
        if cut % 2 == 0 {
            eventually("both members are disconnected", || {
                both.iter().all(|member| !member.inner.ensemble.link.borrow().connected)
            })
            .await;
        }
        for member in both {
            member.set_isolated(false);
        }
        for member in both {
            assert_eq!(read_surely(member, "never written").await, None, "cut {cut}");
        }
    }
    commit_surely(both[0], &leadership, "after").await;
    assert!(elections.iter_mut().all(|election| election.next().now_or_never().is_none()), "no leadership changed");
}

/// A drill also blocks the pings of the session.
#[tokio::test]
async fn a_leader_that_is_cut_off_for_longer_than_its_session_is_replaced() {
    let Led { members, mut elections, leader, leadership, .. } = Led::start(1, 2, SESSION_TIMEOUT).await;
    members.provider(leader).set_isolated(true);
    let next = 1 - leader;
    let (_, newer) = granted(&mut elections[next..=next]).await;
    assert!(newer.epoch() > leadership.epoch());
    assert!(members.provider(leader).inner.ensemble.reign().is_some(), "the old leader can't know yet");
    members.provider(leader).set_isolated(false);
    assert_eq!(next_event(&mut elections[leader]).await, LeadershipEvent::Revoked);
    let late = members.provider(leader).commit(&leadership, put("k", "late")).await;
    assert!(matches!(late, CommitOutcome::Rejected(Rejection::StaleEpoch { .. })), "{late:?}");
}

/// The cut lasts longer than the outage tolerance.
#[tokio::test]
async fn a_leader_that_is_cut_off_for_too_long_is_revoked() {
    let servers = Servers::start(1);
    let mut members = Members::new(&servers, 1);
    members.outage_tolerance = Duration::from_secs(3);
    members.start(0);
    let mut elections = members.campaign();
    granted(&mut elections).await;
    members.provider(0).set_isolated(true);
    assert_eq!(next_event(&mut elections[0]).await, LeadershipEvent::Revoked);
    members.provider(0).set_isolated(false);
    granted(&mut elections).await;
}

/// The record of the leader can't be read at first. A member that starts then reads it as soon as it can, although the record does
/// not change any more: a watch tells only of changes.
#[tokio::test]
async fn a_published_leader_that_could_not_be_read_is_read_again() {
    let servers = Servers::start(1);
    let mut members = Members { session_timeout: LONG_SESSION, ..Members::new(&servers, 2) };
    members.start(0);
    let mut elections = vec![members.campaign_of(0)];
    let (_, leadership) = granted(&mut elections).await;
    assert!(committed(&members.provider(0).publish(&leadership).await));
    let direct = servers.client().await;
    let record = members.layout().leader_record();
    let permit = async |permission| {
        let acl = [Acl::new(permission, AuthId::anyone())];
        direct.set_acl(&record, &acl, None).await.expect("is permitted");
    };
    permit(Permission::WRITE | Permission::CREATE | Permission::DELETE | Permission::ADMIN).await;
    members.start(1);
    let observer = members.provider(1).clone();
    eventually("it is connected", || observer.status().has_quorum).await;
    // ZooKeeper answers the requests of a session in order, so by now the member was refused.
    assert!(observer.list("").await.is_ok());
    assert_eq!(*observer.leader().borrow(), None);
    permit(Permission::ALL).await;
    let seen = Some(leadership.record());
    eventually("the leader is known", || *observer.leader().borrow() == seen).await;
    assert_eq!(observer.status().epoch, leadership.epoch());
}
