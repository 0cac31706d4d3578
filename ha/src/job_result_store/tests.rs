use std::sync::Arc;

use bytes::Bytes;
use weir_storage::file_system::MemoryFileSystem;

use super::*;
use crate::contest::Contest;
use crate::job_graph_store::tests::graph;
use crate::memory::UnknownCommit;
use crate::{ClientToken, GraphDigest, JobGraphStore, Submission};

fn result(job: u128, status: JobStatus) -> JobResult {
    JobResult {
        job: JobId(job),
        name: "count words".to_owned(),
        status,
        submitted_at_ms: 1_000,
        ended_at_ms: 2_000,
        failure: None,
        dirty: true,
    }
}

/// A client token. These tests submit no two graphs with one.
fn token(token: &str) -> Option<ClientToken<'_>> {
    Some(ClientToken { token, graph: GraphDigest::of(&graph(0)) })
}

#[tokio::test]
async fn a_result_is_dirty_and_then_clean() {
    let contest = Contest::start().await;
    let store = JobResultStore::new(contest.ha());
    let finished = result(7, JobStatus::Finished);
    assert_eq!(store.get(JobId(7)).await, Ok(None));
    let unknown_job = store.mark_clean(&contest.leadership, JobId(7)).await;
    assert!(matches!(unknown_job, Err(StoreError::Conflict { .. })), "{unknown_job:?}");
    store.put_dirty(&contest.leadership, &JobResult { dirty: false, ..finished.clone() }).await.unwrap();
    assert_eq!(store.get(JobId(7)).await, Ok(Some(finished.clone())), "a new result is always dirty");
    for _ in 0..2 {
        store.mark_clean(&contest.leadership, JobId(7)).await.unwrap();
        assert_eq!(store.list().await, Ok(vec![JobResult { dirty: false, ..finished.clone() }]));
    }
    store.put_dirty(&contest.leadership, &finished).await.unwrap();
    assert_eq!(
        store.list().await,
        Ok(vec![JobResult { dirty: false, ..finished }]),
        "a repetition does not make the result dirty again"
    );
}

#[tokio::test]
async fn r2_the_first_terminal_result_stands() {
    let mut contest = Contest::start().await;
    let store = JobResultStore::new(contest.ha());
    let finished = result(7, JobStatus::Finished);
    store.put_dirty(&contest.leadership, &finished).await.unwrap();
    for status in [JobStatus::Canceled, JobStatus::Failed] {
        let outcome = store.put_dirty(&contest.leadership, &result(7, status)).await;
        assert!(matches!(outcome, Err(StoreError::Conflict { .. })), "{outcome:?}");
    }
    let second = contest.depose().await;
    let next = JobResultStore::new(contest.other_ha());
    let outcome = next.put_dirty(&second, &result(7, JobStatus::Failed)).await;
    assert!(matches!(outcome, Err(StoreError::Conflict { .. })), "{outcome:?}");
    assert_eq!(next.get(JobId(7)).await, Ok(Some(finished)));
}

#[tokio::test]
async fn r2_a_status_that_is_not_terminal_is_no_result() {
    let contest = Contest::start().await;
    let store = JobResultStore::new(contest.ha());
    for status in JobStatus::ALL.into_iter().filter(|status| !status.is_globally_terminal()) {
        let outcome = store.put_dirty(&contest.leadership, &result(7, status)).await;
        assert!(matches!(outcome, Err(StoreError::Refused { .. })), "{outcome:?}");
    }
    assert_eq!(store.list().await, Ok(Vec::new()));
}

#[tokio::test]
async fn g3_unknown_outcomes_are_resolved() {
    for truth in [UnknownCommit::Applied, UnknownCommit::Lost] {
        let contest = Contest::start().await;
        let store = JobResultStore::new(contest.ha());
        contest.store.next_commit_unknown(truth);
        store.put_dirty(&contest.leadership, &result(7, JobStatus::Failed)).await.unwrap();
        contest.store.next_commit_unknown(truth);
        store.mark_clean(&contest.leadership, JobId(7)).await.unwrap();
        let expected = JobResult { dirty: false, ..result(7, JobStatus::Failed) };
        assert_eq!(store.get(JobId(7)).await, Ok(Some(expected)), "{truth:?}");
    }
}

#[tokio::test]
async fn e3_a_superseded_leader_records_nothing() {
    let mut contest = Contest::start().await;
    let store = JobResultStore::new(contest.ha());
    store.put_dirty(&contest.leadership, &result(7, JobStatus::Finished)).await.unwrap();
    contest.depose().await;
    let before = contest.dump().await;
    let outcomes = [
        store.put_dirty(&contest.leadership, &result(8, JobStatus::Canceled)).await,
        store.mark_clean(&contest.leadership, JobId(7)).await,
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Err(StoreError::Superseded { .. })), "{outcome:?}");
    }
    assert_eq!(contest.dump().await, before);
}

#[tokio::test]
async fn t27_a_late_repetition_of_a_submission_does_not_run_an_ended_job_again() {
    let contest = Contest::start().await;
    let graphs = JobGraphStore::new(contest.ha(), Arc::new(MemoryFileSystem::new()));
    let results = JobResultStore::new(contest.ha());
    let leadership = &contest.leadership;
    graphs.submit(leadership, &graph(7), token("token-1"), 1_000).await.unwrap();
    results.put_dirty(leadership, &result(7, JobStatus::Finished)).await.unwrap();
    graphs.remove(leadership, JobId(7)).await.unwrap();
    results.mark_clean(leadership, JobId(7)).await.unwrap();

    let again = graphs.submit(leadership, &graph(7), token("token-1"), 3_000).await;
    assert_eq!(again, Ok(Submission::AlreadySubmitted { job: JobId(7) }), "the token stands for the ended job");
    let other_token = graphs.submit(leadership, &graph(7), token("token-2"), 3_000).await;
    assert!(matches!(&other_token, Err(StoreError::Conflict { key, .. }) if *key == keys::result(JobId(7))), "{other_token:?}");
    assert_eq!(graphs.recover().await, Ok(Vec::new()), "R1: the job is not there to be started");
}

#[tokio::test]
async fn t33_a_forgotten_job_leaves_no_key_behind_and_others_stay() {
    let contest = Contest::start().await;
    let graphs = JobGraphStore::new(contest.ha(), Arc::new(MemoryFileSystem::new()));
    let results = JobResultStore::new(contest.ha());
    let leadership = &contest.leadership;
    for job in 1..=4u128 {
        graphs.submit(leadership, &graph(job), token(&format!("token-{job}")), 1_000).await.unwrap();
        let ended = JobResult { ended_at_ms: job as u64 * 1_000, ..result(job, JobStatus::Finished) };
        results.put_dirty(leadership, &ended).await.unwrap();
        graphs.remove(leadership, JobId(job)).await.unwrap();
        crate::CheckpointIdCounter::new(contest.ha()).reserve(leadership, JobId(job), 1).await.unwrap();
        if job != 2 {
            results.mark_clean(leadership, JobId(job)).await.unwrap();
        }
    }
    let forgotten = || [3, 2, 1].map(JobId).to_vec();
    assert_eq!(results.forget(leadership, forgotten()).await, Ok(2), "1 and 3, because 2 is dirty");
    assert_eq!(results.forget(leadership, forgotten()).await, Ok(0));
    let left: Vec<String> = contest.dump().await.into_iter().map(|(key, _)| key).collect();
    let expected = [2, 4].map(JobId);
    let mut expected: Vec<String> = expected.iter().flat_map(|job| [keys::checkpoint_ids(*job), keys::result(*job)]).collect();
    expected.extend(["tokens/token-2".to_owned(), "tokens/token-4".to_owned()]);
    expected.sort();
    assert_eq!(left, expected);
}

#[tokio::test]
async fn r1_an_unreadable_result_is_an_error_and_not_a_job_that_has_not_ended() {
    let contest = Contest::start().await;
    let store = JobResultStore::new(contest.ha());
    let suspended = record::encode("k", &result(7, JobStatus::Suspended)).unwrap();
    let other_job = record::encode("k", &result(8, JobStatus::Finished)).unwrap();
    let newer = Bytes::from_static(br#"{"version":2,"record":{}}"#);
    for value in [Bytes::new(), Bytes::from_static(b"{}"), suspended, other_job, newer] {
        contest.damage(&contest.leadership, &keys::result(JobId(7)), value).await;
        assert!(matches!(store.get(JobId(7)).await, Err(StoreError::Corrupt { .. })));
        assert!(matches!(store.list().await, Err(StoreError::Corrupt { .. })));
    }
}

#[tokio::test]
async fn a_huge_failure_text_is_cut() {
    let contest = Contest::start().await;
    let store = JobResultStore::new(contest.ha());
    let failed = JobResult { failure: Some("ä".repeat(2_000_000)), ..result(7, JobStatus::Failed) };
    for _ in 0..2 {
        store.put_dirty(&contest.leadership, &failed).await.unwrap();
    }
    let kept = store.get(JobId(7)).await.unwrap().unwrap().failure.unwrap();
    assert_eq!(kept.len(), FAILURE_LIMIT);
}
