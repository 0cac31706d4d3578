use super::*;
use crate::contest::Contest;
use crate::memory::UnknownCommit;

const JOB: JobId = JobId(7);

#[tokio::test]
async fn ids_start_at_one_and_each_block_follows_the_last() {
    let contest = Contest::start().await;
    let counter = CheckpointIdCounter::new(contest.ha());
    assert_eq!(counter.reserve(&contest.leadership, JOB, 1000).await, Ok(1..1001));
    assert_eq!(counter.reserve(&contest.leadership, JOB, 10).await, Ok(1001..1011));
    assert_eq!(counter.reserve(&contest.leadership, JobId(8), 10).await, Ok(1..11), "each job has its own");
}

#[tokio::test]
async fn i11_no_id_is_handed_out_twice_across_leaders() {
    let mut contest = Contest::start().await;
    let (counter, next) = (CheckpointIdCounter::new(contest.ha()), CheckpointIdCounter::new(contest.other_ha()));
    assert_eq!(counter.reserve(&contest.leadership, JOB, 1000).await, Ok(1..1001));
    let second = contest.depose().await;
    assert_eq!(next.reserve(&second, JOB, 1000).await, Ok(1001..2001), "what the first leader didn't use is skipped");
    let refused = counter.reserve(&contest.leadership, JOB, 1).await;
    assert!(matches!(refused, Err(StoreError::Superseded { .. })), "{refused:?}");
    let third = contest.restore().await;
    assert_eq!(counter.reserve(&third, JOB, 1).await, Ok(2001..2002));
}

#[tokio::test]
async fn g3_an_unknown_reservation_is_resolved_and_nothing_is_handed_out_twice() {
    let contest = Contest::start().await;
    let counter = CheckpointIdCounter::new(contest.ha());
    for truth in [UnknownCommit::Applied, UnknownCommit::Lost] {
        contest.store.next_commit_unknown(truth);
        let first = counter.reserve(&contest.leadership, JOB, 10).await.unwrap();
        let second = counter.reserve(&contest.leadership, JOB, 10).await.unwrap();
        assert_eq!(first.end, second.start, "{truth:?}");
    }
}

#[tokio::test]
async fn simultaneous_reservations_do_not_overlap_even_when_one_is_unknown() {
    let contest = Contest::start().await;
    let counter = CheckpointIdCounter::new(contest.ha());
    contest.store.next_commit_unknown(UnknownCommit::Lost);
    let reservations = (0..6).map(|_| counter.reserve(&contest.leadership, JOB, 5));
    let mut blocks: Vec<Range<u64>> = futures::future::join_all(reservations).await.into_iter().map(Result::unwrap).collect();
    blocks.sort_by_key(|block| block.start);
    assert!(blocks.windows(2).all(|pair| pair[0].end <= pair[1].start), "{blocks:?}");
}

#[tokio::test]
async fn unavailable_and_damaged_stores_are_told_apart() {
    let contest = Contest::start().await;
    let counter = CheckpointIdCounter::new(contest.ha());
    contest.store.set_reads_available(false);
    let outcome = counter.reserve(&contest.leadership, JOB, 1).await;
    assert!(matches!(&outcome, Err(error @ StoreError::Unavailable(_)) if error.is_retryable()), "{outcome:?}");
    contest.store.set_reads_available(true);
    contest.damage(&contest.leadership, &keys::checkpoint_ids(JOB), "{}").await;
    let outcome = counter.reserve(&contest.leadership, JOB, 1).await;
    assert!(matches!(&outcome, Err(error @ StoreError::Corrupt { .. }) if !error.is_retryable()), "{outcome:?}");
    contest
        .damage(
            &contest.leadership,
            &keys::checkpoint_ids(JOB),
            r#"{"version":1,"record":{"next":18446744073709551615,"reservation":""}}"#,
        )
        .await;
    for count in [0, 1, LARGEST_BLOCK + 1] {
        let outcome = counter.reserve(&contest.leadership, JOB, count).await;
        assert!(matches!(outcome, Err(StoreError::Refused { .. })), "{count}: {outcome:?}");
    }
}
