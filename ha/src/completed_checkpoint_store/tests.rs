use super::*;
use crate::contest::Contest;
use crate::memory::UnknownCommit;

const JOB: JobId = JobId(7);

fn checkpoint(id: u64) -> CompletedCheckpoint {
    CompletedCheckpoint {
        job: JOB,
        id: CheckpointId(id),
        kind: CheckpointKind::Checkpoint,
        metadata: MetadataHandle { path: format!("{JOB}/chk-{id}/_metadata"), length: 100 + id, crc32c: 42 },
        epoch: LeaderEpoch(1),
        generation: Generation { epoch: LeaderEpoch(1), attempt: 1 },
        completed_at_ms: 1_000 * id,
        external_path: None,
    }
}

async fn ids(store: &CompletedCheckpointStore) -> Vec<u64> {
    store.list(JOB).await.unwrap().iter().map(|checkpoint| checkpoint.id.0).collect()
}

async fn with_checkpoints(contest: &Contest, ids: &[u64]) -> CompletedCheckpointStore {
    let store = CompletedCheckpointStore::new(contest.ha());
    for id in ids {
        store.append(&contest.leadership, &checkpoint(*id), &[]).await.unwrap();
    }
    store
}

#[tokio::test]
async fn c3_an_appended_checkpoint_is_seen_by_the_next_leader() {
    let mut contest = Contest::start().await;
    let store = with_checkpoints(&contest, &[]).await;
    assert_eq!(store.latest(JOB).await, Ok(None));
    let savepoint = CompletedCheckpoint {
        kind: CheckpointKind::Savepoint,
        external_path: Some("file:///savepoints/savepoint-000000-0123456789ab".to_owned()),
        ..checkpoint(9)
    };
    store.append(&contest.leadership, &checkpoint(3), &[]).await.unwrap();
    store.append(&contest.leadership, &savepoint, &[]).await.unwrap();
    contest.depose().await;
    let next = CompletedCheckpointStore::new(contest.other_ha());
    assert_eq!(next.list(JOB).await, Ok(vec![checkpoint(3), savepoint.clone()]));
    assert_eq!(next.latest(JOB).await, Ok(Some(savepoint)));
    assert_eq!(next.list(JobId(8)).await, Ok(Vec::new()));
}

#[tokio::test]
async fn c2_ids_strictly_increase_even_after_removals() {
    let contest = Contest::start().await;
    let store = with_checkpoints(&contest, &[3, 9, 10]).await;
    for id in [1, 3, 5, 9] {
        let other = CompletedCheckpoint { completed_at_ms: 1, ..checkpoint(id) };
        let outcome = store.append(&contest.leadership, &other, &[]).await;
        assert!(matches!(outcome, Err(StoreError::Conflict { .. })), "{id}: {outcome:?}");
    }
    store.append(&contest.leadership, &checkpoint(11), &[CheckpointId(9)]).await.unwrap();
    let outcome = store.append(&contest.leadership, &checkpoint(9), &[]).await;
    assert!(matches!(outcome, Err(StoreError::Conflict { .. })), "{outcome:?}");
    assert_eq!(ids(&store).await, [3, 10, 11]);
}

#[tokio::test]
async fn t35_an_append_of_unknown_outcome_ends_in_one_pointer_and_success() {
    for truth in [UnknownCommit::Applied, UnknownCommit::Lost] {
        let contest = Contest::start().await;
        let store = with_checkpoints(&contest, &[2, 3]).await;
        contest.store.next_commit_unknown(truth);
        let (four, subsumed) = (checkpoint(4), [CheckpointId(2)]);
        assert_eq!(store.append(&contest.leadership, &four, &subsumed).await, Ok(()), "{truth:?}");
        assert_eq!(store.append(&contest.leadership, &four, &subsumed).await, Ok(()), "a repetition is fine");
        assert_eq!(ids(&store).await, [3, 4]);
    }
}

#[tokio::test]
async fn e3_a_superseded_leader_can_neither_append_nor_subsume_nor_remove() {
    let mut contest = Contest::start().await;
    let store = with_checkpoints(&contest, &[3, 4]).await;
    let second = contest.depose().await;
    let next = CompletedCheckpointStore::new(contest.other_ha());
    next.append(&second, &checkpoint(6), &[]).await.unwrap();
    let before = contest.dump().await;
    let outcomes = [
        store.append(&contest.leadership, &checkpoint(7), &[CheckpointId(3)]).await,
        store.remove_all(&contest.leadership, JOB).await,
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Err(StoreError::Superseded { .. })), "{outcome:?}");
    }
    assert_eq!(contest.dump().await, before);
}

#[tokio::test]
async fn a_superseded_leader_learns_whether_its_last_append_was_applied() {
    for truth in [UnknownCommit::Applied, UnknownCommit::Lost] {
        let mut contest = Contest::start().await;
        let store = with_checkpoints(&contest, &[3]).await;
        contest.store.next_commit_unknown(truth);
        let leadership = contest.leadership.clone();
        let checkpoint = checkpoint(4);
        let mut append = Box::pin(store.append(&leadership, &checkpoint, &[]));
        // Runs up to the pause before the second attempt, unless reading back shows that the first attempt was applied.
        let outcome = futures::poll!(&mut append);
        contest.depose().await;
        let outcome = match outcome {
            std::task::Poll::Ready(outcome) => outcome,
            std::task::Poll::Pending => append.await,
        };
        match truth {
            UnknownCommit::Applied => assert_eq!(outcome, Ok(())),
            UnknownCommit::Lost => assert!(matches!(outcome, Err(StoreError::Superseded { .. })), "{outcome:?}"),
        }
        assert_eq!(ids(&store).await.contains(&4), outcome.is_ok());
    }
}

#[tokio::test]
async fn an_append_removes_the_older_checkpoints_that_it_subsumes_and_no_other() {
    let contest = Contest::start().await;
    let store = with_checkpoints(&contest, &[3, 4, 5]).await;
    for subsumed in [CheckpointId(6), CheckpointId(7)] {
        let outcome = store.append(&contest.leadership, &checkpoint(6), &[CheckpointId(3), subsumed]).await;
        assert!(matches!(outcome, Err(StoreError::Refused { .. })), "{outcome:?}");
    }
    assert_eq!(ids(&store).await, [3, 4, 5], "nothing of a refused append is done");
    store.append(&contest.leadership, &checkpoint(6), &[CheckpointId(2), CheckpointId(3), CheckpointId(4)]).await.unwrap();
    assert_eq!(ids(&store).await, [5, 6]);
}

#[tokio::test]
async fn an_append_may_subsume_as_many_checkpoints_as_a_commit_holds() {
    let contest = Contest::start().await;
    let many: Vec<u64> = (1..=MAX_SUBSUMED as u64 + 1).collect();
    let store = with_checkpoints(&contest, &many).await;
    let subsumed: Vec<_> = many.iter().map(|id| CheckpointId(*id)).collect();
    let outcome = store.append(&contest.leadership, &checkpoint(1_000), &subsumed).await;
    assert!(matches!(outcome, Err(StoreError::Refused { .. })), "{outcome:?}");
    store.append(&contest.leadership, &checkpoint(1_000), &subsumed[..MAX_SUBSUMED]).await.unwrap();
    assert_eq!(ids(&store).await, [MAX_SUBSUMED as u64 + 1, 1_000]);
}

#[tokio::test]
async fn t33_an_ended_job_leaves_no_key_behind() {
    let contest = Contest::start().await;
    let many: Vec<u64> = (1..=600).collect();
    let store = with_checkpoints(&contest, &many).await;
    crate::CheckpointIdCounter::new(contest.ha()).reserve(&contest.leadership, JOB, 10).await.unwrap();
    let other = CompletedCheckpoint { job: JobId(8), ..checkpoint(1) };
    store.append(&contest.leadership, &other, &[]).await.unwrap();
    for _ in 0..2 {
        store.remove_all(&contest.leadership, JOB).await.unwrap();
        assert_eq!(store.latest(JOB).await, Ok(None));
    }
    let left: Vec<String> = contest.dump().await.into_iter().map(|(key, _)| key).collect();
    assert_eq!(left, [keys::checkpoint(JobId(8), CheckpointId(1)), keys::checkpoint_head(JobId(8))]);
}

#[tokio::test]
async fn c6_a_damaged_or_vanished_newest_pointer_is_an_error_and_never_an_older_checkpoint() {
    let contest = Contest::start().await;
    let store = with_checkpoints(&contest, &[3, 4]).await;
    let corrupt = |outcome: Result<Option<CompletedCheckpoint>, StoreError>| {
        assert!(matches!(outcome, Err(StoreError::Corrupt { .. })), "{outcome:?}");
    };
    let newest = keys::checkpoint(JOB, CheckpointId(4));
    contest.damage(&contest.leadership, &newest, "not json").await;
    corrupt(store.latest(JOB).await);
    contest.damage(&contest.leadership, &newest, record::encode("k", &checkpoint(3)).unwrap()).await;
    corrupt(store.latest(JOB).await);
    let delete = Operation::Delete { key: newest, expect: Expect::Any };
    let _ = contest.ha().commit(&contest.leadership, vec![delete]).await;
    corrupt(store.latest(JOB).await);
    assert!(store.list(JOB).await.is_err());
}

#[tokio::test]
async fn a_stored_checkpoint_is_readable_json() {
    let contest = Contest::start().await;
    with_checkpoints(&contest, &[3]).await;
    let (key, value) = contest.dump().await.remove(0);
    assert_eq!(key, "checkpoints/00000000000000000000000000000007/00000000000000000003");
    let text = String::from_utf8(value.to_vec()).unwrap();
    assert!(text.starts_with(r#"{"version":1,"record":{"job":"00000000000000000000000000000007","id":3,"#), "{text}");
}
