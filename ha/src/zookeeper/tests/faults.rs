//! What breaks, and what must hold nevertheless.

use weir_servers::Fault;
use weir_world::spawn;

use super::*;

/// Commits until it is acknowledged; how often it was not.
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
    within_deadline("the contender is told", election.next()).await.expect("the provider runs")
}

/// The fault begins at different moments of a commit, until it has hit the answer of one that was applied.
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
        let bit = proxy.held_answers() > held;
        proxy.reset_connections();
        proxy.set(Fault::None);
        let outcome = commit.await.expect("the commit ends");
        let found = read_surely(&provider, "k").await.expect("is there");
        match outcome {
            CommitOutcome::Committed { .. } => assert_eq!(found, value, "acknowledged"),
            CommitOutcome::Rejected(rejection) => panic!("{rejection}"),
            CommitOutcome::Unknown { .. } if bit && found == value => hits += 1,
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
async fn a_leader_whose_session_expires_is_revoked_followed_and_fenced() {
    let Led { members, mut elections, leader, leadership, .. } = Led::start(1, 2, SESSION_TIMEOUT).await;
    assert!(committed(&members.provider(leader).publish(&leadership).await));
    members.members[leader].set(Fault::Silence);
    let next = 1 - leader;
    let (_, newer) = granted(&mut elections[next..=next]).await;
    assert!(newer.epoch() > leadership.epoch());
    // The outage is within what is tolerated: it does not know yet, and can't do anything.
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

/// However many interruptions: nobody is revoked and nothing is lost.
#[tokio::test]
async fn twenty_short_interruptions_change_no_leadership() {
    let Led { members, mut elections, leader, leadership, .. } = Led::start(1, 2, Duration::from_secs(5)).await;
    let provider = members.provider(leader).clone();
    for flap in 0..20 {
        members.members[leader].set(Fault::Reset);
        eventually("the interruption is seen", || !provider.status().has_quorum).await;
        // An interruption of a second, not a wait for something.
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(!provider.status().has_quorum, "the interruption lasts");
        assert!(provider.availability().now() != StoreAvailability::Available, "and is told");
        members.members[leader].set(Fault::None);
        commit_surely(&provider, &leadership, &format!("flap/{flap}")).await;
    }
    for election in &mut elections {
        let event = election.next().now_or_never();
        assert_eq!(event, None, "nothing was told");
    }
    assert_eq!(provider.list("flap/").await.expect("lists").len(), 20);
}

/// The server that leads the others is killed while very many commit as fast as they can.
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
    let leading = servers.get().leader().expect("one leads");
    servers.get().kill(leading);
    assert!((done.load(Ordering::Relaxed) as usize) < WRITERS * COMMITS, "the kill came too late to prove anything");
    let mut failures = 0;
    for writer in writers {
        failures += within_deadline("the writer ends", writer).await.expect("does not panic");
    }
    println!("commits that had to be repeated: {failures}");
    let found = members.provider(1 - leader).list("load/").await.expect("lists");
    assert_eq!(found.len(), WRITERS * COMMITS);
    let reign = provider.inner.ensemble.reign().map(|reign| reign.epoch);
    assert_eq!(reign, Some(leadership.epoch()), "the same leader goes on");
}

/// All servers are gone for longer than the client keeps a session; they still know it when they are back.
async fn all_servers_go_and_come_back(size: usize) {
    // Once the servers are back, clients have so long to come back as well; a busy machine takes some seconds.
    const SESSION: Duration = Duration::from_secs(6);
    let Led { servers, members, mut elections, leader, leadership } = Led::start(size, 2, SESSION).await;
    let provider = members.provider(leader).clone();
    assert!(committed(&provider.publish(&leadership).await));
    assert!(committed(&provider.commit(&leadership, put("k", "v")).await));
    (0..size).for_each(|server| servers.get().kill(server));
    eventually("the outage is seen", || !provider.status().has_quorum).await;
    eventually("the outage is told", || provider.availability().now() != StoreAvailability::Available).await;
    let unknown = tokio::time::timeout(SESSION * 2, provider.commit(&leadership, put("late", "w"))).await;
    assert!(!unknown.is_ok_and(|outcome| committed(&outcome)), "the outage did not bite");
    (0..size).for_each(|server| servers.get().restart(server).expect("starts again"));
    (0..size).for_each(|server| servers.get().await_serving(server).expect("serves"));
    commit_surely(&provider, &leadership, "after").await;
    eventually("its end is told", || provider.availability().now() == StoreAvailability::Available).await;
    assert_eq!(read_surely(&provider, "k").await.expect("is there"), "v");
    for election in &mut elections {
        assert_eq!(election.next().now_or_never(), None, "nobody is told anything");
    }
    // What is published is still there, or again.
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
async fn a_leader_goes_on_after_an_outage_of_the_only_server() {
    all_servers_go_and_come_back(1).await;
}

#[tokio::test]
async fn a_leader_goes_on_after_an_outage_of_a_whole_ensemble() {
    all_servers_go_and_come_back(3).await;
}

#[tokio::test]
async fn what_was_published_and_is_removed_by_hand_is_written_again() {
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

/// Who tampers with the tree loses at most the leadership, never the fence.
#[tokio::test]
async fn a_candidate_that_is_removed_by_hand_leads_no_more_and_stands_again() {
    let Led { servers, members, mut elections, leadership, .. } = Led::start(1, 1, SESSION_TIMEOUT).await;
    let reign = members.provider(0).inner.ensemble.reign().expect("leads");
    let direct = servers.client().await;
    direct.delete(&reign.latch, None).await.expect("is removed");
    let outcome = members.provider(0).commit(&leadership, put("k", "v")).await;
    assert!(matches!(outcome, CommitOutcome::Rejected(Rejection::StaleEpoch { .. })), "{outcome:?}");
    assert_eq!(next_event(&mut elections[0]).await, LeadershipEvent::Revoked);
    let (_, newer) = granted(&mut elections).await;
    assert!(newer.epoch() > leadership.epoch());
    // A higher epoch from another provider, or a restored backup: what is granted goes on above it.
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
async fn members_that_do_not_lead_see_changes_too() {
    let Led { members, elections: _elections, leader, leadership, .. } = Led::start(1, 2, SESSION_TIMEOUT).await;
    let mut watch = members.provider(1 - leader).watch("w/").await.expect("watches");
    let provider = members.provider(leader);
    let outcome = provider.commit(&leadership, put("w/k", "v")).await;
    let CommitOutcome::Committed { version } = outcome else { panic!("{outcome:?}") };
    let told = async {
        loop {
            match watch.recv().await {
                Some(WatchEvent::Put { key, value }) => return (key, value.version),
                // Of the key that nests it.
                Some(WatchEvent::Deleted { .. } | WatchEvent::Lagged) => {}
                None => panic!("the watch ended"),
            }
        }
    };
    assert_eq!(within_deadline("a put is told", told).await, ("w/k".to_owned(), version));
    let removal = vec![Operation::Delete { key: "w/k".into(), expect: Expect::Version(version) }];
    let outcome = provider.commit(&leadership, removal).await;
    let CommitOutcome::Committed { version } = outcome else { panic!("{outcome:?}") };
    let expected = Some(WatchEvent::Deleted { key: "w/k".into(), version });
    assert_eq!(within_deadline("a removal is told", watch.recv()).await, expected);
    // After an interruption it is told to list again.
    members.members[1 - leader].set(Fault::Reset);
    eventually("the interruption is seen", || !members.provider(1 - leader).status().has_quorum).await;
    members.members[1 - leader].set(Fault::None);
    let lagged = async { while watch.recv().await != Some(WatchEvent::Lagged) {} };
    within_deadline("the watcher is told that it lagged", lagged).await;
}

/// What drills do: nobody reaches ZooKeeper, and within the session's time that costs nobody the leadership.
#[tokio::test]
async fn members_that_are_cut_off_within_the_sessions_time_go_on_as_they_were() {
    let Led { members, mut elections, leader, leadership, .. } = Led::start(1, 2, Duration::from_secs(20)).await;
    let provider = members.provider(leader).clone();
    let standby = members.provider(1 - leader).clone();
    eventually("both are candidates", || provider.status().members.len() == 2).await;
    commit_surely(&provider, &leadership, "before").await;
    assert!(provider.set_isolated(true) && standby.set_isolated(true));
    // Each waits for a connection as long as it may: both at once, or the session's time would be up.
    let (outcome, read) = tokio::join!(provider.commit(&leadership, put("k", "lost")), standby.get("before"));
    assert!(matches!(outcome, CommitOutcome::Unknown { .. }), "it bit: {outcome:?}");
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
    for member in [&provider, &standby] {
        eventually("the outage is told", || member.availability().now() != StoreAvailability::Available).await;
    }
    assert!(provider.set_isolated(false) && standby.set_isolated(false));
    commit_surely(&provider, &leadership, "after").await;
    for member in [&provider, &standby] {
        eventually("its end is told", || member.availability().now() == StoreAvailability::Available).await;
    }
    assert_eq!(read_surely(&standby, "after").await.expect("is there"), "v");
    assert!(elections.iter_mut().all(|election| election.next().now_or_never().is_none()), "nobody was told anything");
}

/// Whatever waits for a watch when the connection goes is told in any order: the client panicked when a watch was asked after
/// its task had gone.
#[tokio::test]
async fn cuts_in_a_row_and_short_ones_end_no_member() {
    let Led { members, mut elections, leader, leadership, .. } = Led::start(1, 2, Duration::from_secs(20)).await;
    let both = [members.provider(leader), members.provider(1 - leader)];
    eventually("both are candidates", || both[0].status().members.len() == 2).await;
    for cut in 0..40 {
        for member in both {
            member.set_isolated(true);
        }
        // None, so that it is over before anybody has heard of it; or as long as it takes that somebody does.
        if cut % 2 == 0 {
            eventually("it bit", || both.iter().all(|member| !member.inner.ensemble.link.borrow().connected)).await;
        }
        for member in both {
            member.set_isolated(false);
        }
        for member in both {
            assert_eq!(read_surely(member, "never written").await, None, "cut {cut}");
        }
    }
    commit_surely(both[0], &leadership, "after").await;
    assert!(elections.iter_mut().all(|election| election.next().now_or_never().is_none()), "nobody was told anything");
}

/// Nothing gets through to ZooKeeper, pings included.
#[tokio::test]
async fn a_leader_that_is_cut_off_for_longer_than_its_session_is_followed() {
    let Led { members, mut elections, leader, leadership, .. } = Led::start(1, 2, SESSION_TIMEOUT).await;
    members.provider(leader).set_isolated(true);
    let next = 1 - leader;
    let (_, newer) = granted(&mut elections[next..=next]).await;
    assert!(newer.epoch() > leadership.epoch());
    assert!(members.provider(leader).inner.ensemble.reign().is_some(), "it can't know yet");
    members.provider(leader).set_isolated(false);
    assert_eq!(next_event(&mut elections[leader]).await, LeadershipEvent::Revoked);
    let late = members.provider(leader).commit(&leadership, put("k", "late")).await;
    assert!(matches!(late, CommitOutcome::Rejected(Rejection::StaleEpoch { .. })), "{late:?}");
}

/// Cut off for longer than is tolerated.
#[tokio::test]
async fn a_leader_that_is_cut_off_for_too_long_gives_up() {
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
