//! Tests of commits that share a transaction.

use futures::future::join_all;
use weir_world::spawn;

use super::faults::read_surely;
use super::*;

fn operation(key: &str, value: &str, expect: Expect) -> Operation {
    Operation::Put { key: key.into(), value: Bytes::copy_from_slice(value.as_bytes()), expect }
}

/// Number of fenced transactions so far.
async fn transactions(direct: &Client, members: &Members) -> i32 {
    direct.check_stat(&members.layout().epoch()).await.expect("reads").expect("is there").version
}

/// Very many commits at the same time. Each has the same outcome as if it were alone, but they need far fewer transactions.
#[tokio::test]
async fn commits_that_share_a_transaction_are_judged_one_by_one() {
    const WRITERS: usize = 64;
    let Led { servers, members, elections: _elections, leadership, .. } = Led::start(1, 1, LONG_SESSION).await;
    let provider = members.provider(0).clone();
    let direct = servers.client().await;
    let commit = |operations| provider.commit(&leadership, operations);
    let before = transactions(&direct, &members).await;

    let keys: Vec<_> = (0..WRITERS).map(|writer| format!("w/{}/{}", writer % 4, writer / 4)).collect();
    let first = join_all(keys.iter().map(|key| commit(vec![operation(key, "1", Expect::Absent)]))).await;
    let version = |outcome: &CommitOutcome| match outcome {
        CommitOutcome::Committed { version } => *version,
        other => panic!("{other:?}"),
    };
    let versions: Vec<_> = first.iter().map(version).collect();

    // Each commit has two keys. One third removes its own key, one third replaces it, one third has a wrong expectation.
    let second = join_all(keys.iter().zip(&versions).enumerate().map(|(writer, (key, version))| {
        let beside = operation(&format!("{key}/beside"), "2", Expect::Absent);
        commit(match writer % 3 {
            0 => vec![beside, Operation::Delete { key: key.clone(), expect: Expect::Version(*version) }],
            1 => vec![operation(key, "2", Expect::Version(*version)), beside],
            _ => vec![beside, operation(key, "2", Expect::Absent)],
        })
    }))
    .await;
    for (writer, (outcome, key)) in second.iter().zip(&keys).enumerate() {
        let conflict = CommitOutcome::Rejected(Rejection::Conflict { key: key.clone() });
        let as_alone = if writer % 3 == 2 { *outcome == conflict } else { committed(outcome) };
        assert!(as_alone, "{writer}: {outcome:?}");
        let read = async |key: &str| provider.get(key).await.expect("reads").map(|found| found.value);
        let (found, beside) = (read(key).await, read(&format!("{key}/beside")).await);
        let expected = [None, Some("2"), Some("1")][writer % 3].map(|value| Bytes::from_static(value.as_bytes()));
        assert_eq!(
            (found, beside.is_some()),
            (expected, writer % 3 != 2),
            "{writer}: a commit is applied completely or not at all"
        );
    }

    // All writers create the same key. In every round exactly one succeeds.
    for round in 0..5 {
        let race = join_all((0..WRITERS).map(|_| commit(vec![operation(&format!("race/{round}"), "x", Expect::Absent)]))).await;
        assert_eq!(race.iter().filter(|outcome| committed(outcome)).count(), 1);
        let lost = |outcome: &CommitOutcome| matches!(outcome, CommitOutcome::Rejected(Rejection::Conflict { .. }));
        assert_eq!(race.iter().filter(|outcome| lost(outcome)).count(), WRITERS - 1);
    }
    let made = transactions(&direct, &members).await - before;
    assert!(made < 2 * WRITERS as i32 / 3, "{made} transactions for {} commits", 2 * WRITERS);
}

/// If the answer to a transaction of many commits is lost, the outcome of each is unknown. A read then shows which was applied.
#[tokio::test]
async fn a_lost_answer_makes_every_commit_of_the_transaction_unknown() {
    const WRITERS: usize = 16;
    let Led { members, elections: _elections, leadership, .. } = Led::start(1, 1, LONG_SESSION).await;
    let provider = members.provider(0).clone();
    assert!(committed(&provider.commit(&leadership, put("k", "0")).await));
    let proxy = &members.members[0].proxies[0];
    let mut applied_unanswered = 0;
    for round in 0..60_u64 {
        let commit = |writer: usize| {
            let (provider, leadership) = (provider.clone(), leadership.clone());
            let operations = vec![operation(&format!("u/{round}/{writer}"), "v", Expect::Absent)];
            spawn("commit", async move { (provider.commit(&leadership, operations.clone()).await, operations) })
        };
        let commits: Vec<_> = (0..WRITERS).map(commit).collect();
        tokio::time::sleep(Duration::from_micros(300 * (round % 20))).await;
        proxy.set(Fault::LostAnswers);
        tokio::time::sleep(Duration::from_millis(60)).await;
        proxy.reset_connections();
        proxy.set(Fault::None);
        for commit in commits {
            let (outcome, operations) = commit.await.expect("the commit ends");
            let key = operations[0].key_and_expect().0;
            let there = read_surely(&provider, key).await.is_some();
            match outcome {
                CommitOutcome::Committed { .. } => assert!(there, "{key} was acknowledged"),
                CommitOutcome::Rejected(rejection) => panic!("{key}: {rejection}"),
                CommitOutcome::Unknown { .. } => applied_unanswered += usize::from(there),
            }
            // A key that was found is not written again. A key that was not found exists after another attempt, even if the
            // first one is applied late.
            let again = within_deadline("a commit is answered", async {
                loop {
                    match provider.commit(&leadership, operations.clone()).await {
                        CommitOutcome::Unknown { .. } => {}
                        outcome => return committed(&outcome),
                    }
                }
            });
            let again = again.await;
            assert!(!(there && again), "{key} was written twice");
            assert!(read_surely(&provider, key).await.is_some(), "{key}");
        }
        if applied_unanswered >= 2 * WRITERS {
            break;
        }
    }
    assert!(applied_unanswered > WRITERS / 2, "no transaction of several commits lost its answer: {applied_unanswered}");
}

/// A key is written by hand, without the fence. Commits of other keys in the same transaction are not refused because of that.
#[tokio::test]
async fn a_write_without_the_fence_affects_only_commits_of_its_key() {
    const WRITERS: usize = 16;
    const ROUNDS: usize = 500;
    let Led { servers, members, elections: _elections, leadership, .. } = Led::start(1, 1, LONG_SESSION).await;
    let provider = members.provider(0).clone();
    assert!(committed(&provider.commit(&leadership, put("hot", "0")).await));
    let (direct, path) = (servers.client().await, members.layout().key_path("hot"));
    let (stop, stopped) = watch::channel(false);
    let meddler = spawn("meddler", async move {
        let mut writes = 0_u32;
        while !*stopped.borrow() {
            direct.set_data(&path, b"by hand", None).await.expect("writes");
            writes += 1;
        }
        writes
    });
    let (mut refused, mut rounds) = (0, 0);
    while rounds < 20 || (refused < 3 && rounds < ROUNDS) {
        let round = rounds;
        let key = |writer| if writer == 0 { "hot".to_owned() } else { format!("cold/{round}/{writer}") };
        let commits = (0..WRITERS).map(|writer| provider.commit(&leadership, put(&key(writer), "v")));
        let outcomes = join_all(commits).await;
        refused += usize::from(!committed(&outcomes[0]));
        assert!(outcomes[1..].iter().all(committed), "{outcomes:?}");
        rounds += 1;
    }
    stop.send_replace(true);
    let writes = meddler.await.expect("does not panic");
    println!("{writes} writes by hand; {refused} of {rounds} commits to that key were refused");
    assert!(refused > 0, "no commit was refused: {writes} writes by hand in {rounds} rounds");
    assert_eq!(provider.list("cold/").await.expect("lists").len(), rounds * (WRITERS - 1));
}
