use std::sync::Arc;

use proptest::prelude::*;
use weir_storage::file_system::{FileSystem, MemoryFault, MemoryFileSystem};

use super::*;
use crate::contest::Contest;
use crate::memory::UnknownCommit;

/// A graph that is kept inline.
pub(crate) fn graph(job: u128) -> JobGraph {
    sized_graph(job, 10)
}

/// A graph of about `size` bytes.
fn sized_graph(job: u128, size: usize) -> JobGraph {
    let json = serde_json::json!({
        "version": 1,
        "job_id": JobId(job),
        "name": "count words",
        "vertices": [{
            "id": "source",
            "parallelism": 2,
            "operators": [{ "kind": "source.datagen", "options": { "text": "x".repeat(size) } }],
        }],
    });
    serde_json::from_value(json).unwrap()
}

fn big_graph(job: u128) -> JobGraph {
    sized_graph(job, 2 * INLINE_GRAPH_LIMIT)
}

struct Fixture {
    contest: Contest,
    files: MemoryFileSystem,
    store: JobGraphStore,
}

async fn fixture() -> Fixture {
    let contest = Contest::start().await;
    let files = MemoryFileSystem::new();
    let store = JobGraphStore::new(contest.ha(), Arc::new(files.clone()));
    Fixture { contest, files, store }
}

impl Fixture {
    async fn submit(&self, graph: &JobGraph, token: Option<&str>) -> Result<Submission, StoreError> {
        let token = token.map(|token| ClientToken { token, graph: GraphDigest::of(graph) });
        self.store.submit(&self.contest.leadership, graph, token, 1_000).await
    }

    /// The jobs as the other member recovers them.
    async fn recovered(&self) -> Vec<RecoveredJob> {
        JobGraphStore::new(self.contest.other_ha(), Arc::new(self.files.clone())).recover().await.unwrap()
    }
}

fn readable(graph: JobGraph) -> RecoveredJob {
    RecoveredJob::Readable { job: graph.job_id.unwrap(), graph, submitted_at_ms: 1_000 }
}

#[tokio::test]
async fn i4_an_accepted_job_is_recovered_by_the_next_leader_whatever_its_size() {
    let fixture = fixture().await;
    assert_eq!(fixture.submit(&graph(1), Some("t1")).await, Ok(Submission::Created));
    assert_eq!(fixture.submit(&big_graph(2), None).await, Ok(Submission::Created));
    assert_eq!(fixture.files.files().len(), 1, "the small graph is in its handle");
    assert_eq!(fixture.recovered().await, [readable(graph(1)), readable(big_graph(2))]);
}

#[tokio::test]
async fn g2_a_repetition_returns_the_first_outcome() {
    let fixture = fixture().await;
    let again = Ok(Submission::AlreadySubmitted { job: JobId(1) });
    assert_eq!(fixture.submit(&graph(1), Some("t1")).await, Ok(Submission::Created));
    assert_eq!(fixture.submit(&graph(1), Some("t1")).await, again);
    assert_eq!(fixture.submit(&graph(9), Some("t1")).await, again, "the client chose a new id and kept its token");
    assert_eq!(fixture.submit(&graph(1), None).await, again);
    let other = fixture.submit(&sized_graph(1, 11), None).await;
    assert!(matches!(other, Err(StoreError::Conflict { .. })), "{other:?}");
    assert_eq!(fixture.recovered().await, [readable(graph(1))]);
}

#[tokio::test]
async fn g2_a_token_belongs_to_one_graph_also_after_the_job_has_gone() {
    let fixture = fixture().await;
    assert_eq!(fixture.submit(&graph(1), Some("t1")).await, Ok(Submission::Created));
    let taken = Err(StoreError::TokenTaken { token: "t1".to_owned(), job: JobId(1) });
    assert_eq!(fixture.submit(&sized_graph(2, 11), Some("t1")).await, taken);
    fixture.store.remove(&fixture.contest.leadership, JobId(1)).await.unwrap();
    assert_eq!(fixture.submit(&sized_graph(3, 11), Some("t1")).await, taken);
    assert_eq!(fixture.recovered().await, []);

    // A record of an earlier version names no graph, so any graph counts as a repetition.
    let without: TokenRecord = serde_json::from_str(&format!("{{\"job\": \"{}\"}}", JobId(1))).unwrap();
    assert_eq!(without.graph, None);
}

#[tokio::test]
async fn g2_simultaneous_submissions_create_one_job() {
    let fixture = fixture().await;
    let graphs: Vec<JobGraph> = (1..=8).map(big_graph).collect();
    let outcomes = futures::future::join_all(graphs.iter().map(|graph| fixture.submit(graph, Some("t1")))).await;
    let created = outcomes.iter().filter(|outcome| **outcome == Ok(Submission::Created)).count();
    assert_eq!(created, 1, "{outcomes:?}");
    assert!(outcomes.iter().all(Result::is_ok), "{outcomes:?}");
    assert_eq!(fixture.recovered().await.len(), 1);
}

#[tokio::test]
async fn g3_an_unknown_commit_is_resolved_and_the_bytes_are_kept() {
    for truth in [UnknownCommit::Applied, UnknownCommit::Lost] {
        let fixture = fixture().await;
        fixture.contest.store.next_commit_unknown(truth);
        assert_eq!(fixture.submit(&big_graph(1), Some("t1")).await, Ok(Submission::Created), "{truth:?}");
        assert_eq!(fixture.recovered().await, [readable(big_graph(1))]);
    }
}

#[tokio::test]
async fn t30_a_leader_that_dies_between_any_two_steps_leaves_the_job_whole_or_absent() {
    // The leader died before the bytes were written, or while the outcome of that write was unknown.
    for fault in [MemoryFault::FailWrites, MemoryFault::UnknownLost, MemoryFault::UnknownApplied, MemoryFault::Unavailable] {
        let mut fixture = fixture().await;
        fixture.files.set_fault(fault);
        let outcome = fixture.submit(&big_graph(1), Some("t1")).await;
        assert!(matches!(&outcome, Err(error @ StoreError::File(_)) if error.is_retryable()), "{fault:?}: {outcome:?}");
        fixture.files.set_fault(MemoryFault::None);
        retry_under_next_leader(&mut fixture, false).await;
    }
    // The leader died after it wrote the bytes: before it wrote the handle, or before it learned that the handle was written.
    for truth in [UnknownCommit::Lost, UnknownCommit::Applied] {
        let mut fixture = fixture().await;
        let key = format!("job-graphs/{}/{}", JobId(1), "left-by-the-dead");
        fixture.files.write_new(&key, Bytes::from_static(b"x")).await.unwrap();
        fixture.contest.store.next_commit_unknown(truth);
        let graph = big_graph(1);
        let leadership = fixture.contest.leadership.clone();
        let mut submit = Box::pin(fixture.store.submit(
            &leadership,
            &graph,
            Some(ClientToken { token: "t1", graph: GraphDigest::of(&graph) }),
            1_000,
        ));
        let _ = futures::poll!(&mut submit);
        drop(submit);
        retry_under_next_leader(&mut fixture, truth == UnknownCommit::Applied).await;
    }
}

/// The client repeats its submission at the next leader.
async fn retry_under_next_leader(fixture: &mut Fixture, was_applied: bool) {
    let expected: Vec<RecoveredJob> = was_applied.then(|| readable(big_graph(1))).into_iter().collect();
    assert_eq!(fixture.recovered().await, expected, "whole or absent");
    let second = fixture.contest.depose().await;
    let next = JobGraphStore::new(fixture.contest.other_ha(), Arc::new(fixture.files.clone()));
    let token = ClientToken { token: "t1", graph: GraphDigest::of(&big_graph(1)) };
    let outcome = next.submit(&second, &big_graph(1), Some(token), 1_000).await;
    let expected = if was_applied { Submission::AlreadySubmitted { job: JobId(1) } } else { Submission::Created };
    assert_eq!(outcome, Ok(expected));
    assert_eq!(fixture.recovered().await, [readable(big_graph(1))]);
}

#[tokio::test]
async fn e3_a_superseded_leader_accepts_and_removes_nothing() {
    let mut fixture = fixture().await;
    fixture.submit(&big_graph(1), None).await.unwrap();
    fixture.contest.depose().await;
    let outcome = fixture.submit(&big_graph(2), Some("t2")).await;
    assert!(matches!(outcome, Err(StoreError::Superseded { .. })), "{outcome:?}");
    let outcome = fixture.store.remove(&fixture.contest.leadership, JobId(1)).await;
    assert!(matches!(outcome, Err(StoreError::Superseded { .. })), "{outcome:?}");
    assert_eq!(fixture.recovered().await, [readable(big_graph(1))], "job 1 still has its bytes");
}

#[tokio::test]
async fn g4_removal_is_idempotent_and_takes_the_handle_before_the_bytes() {
    let fixture = fixture().await;
    fixture.submit(&big_graph(1), Some("t1")).await.unwrap();
    fixture.submit(&big_graph(2), Some("t2")).await.unwrap();
    // The removal fails between handle and bytes. That leaves orphaned bytes, never a handle without bytes.
    fixture.files.set_fault(MemoryFault::Unavailable);
    assert!(fixture.store.remove(&fixture.contest.leadership, JobId(1)).await.unwrap_err().is_retryable());
    fixture.files.set_fault(MemoryFault::None);
    assert_eq!(fixture.recovered().await, [readable(big_graph(2))]);
    assert_eq!(fixture.files.files().len(), 2);
    for _ in 0..2 {
        fixture.store.remove(&fixture.contest.leadership, JobId(1)).await.unwrap();
        assert_eq!(fixture.files.files().len(), 1);
    }
    assert_eq!(fixture.recovered().await, [readable(big_graph(2))]);
}

#[tokio::test]
async fn g5_one_bad_graph_quarantines_one_job() {
    let fixture = fixture().await;
    for job in 1..=6 {
        fixture.submit(&big_graph(job), None).await.unwrap();
    }
    let paths: Vec<String> = fixture.files.files().into_keys().collect();
    fixture.files.damage(&paths[0], "short");
    fixture.files.damage(&paths[1], {
        let mut flipped = fixture.files.files()[&paths[1]].to_vec();
        flipped[100] ^= 1;
        flipped
    });
    fixture.files.delete(&paths[2]).await.unwrap();
    let leadership = &fixture.contest.leadership;
    fixture.contest.damage(leadership, &keys::graph(JobId(4)), "garbage").await;
    let of_five = fixture.contest.dump().await.into_iter().find(|(key, _)| *key == keys::graph(JobId(5))).unwrap().1;
    fixture.contest.damage(leadership, &keys::graph(JobId(6)), of_five).await;
    fixture.contest.damage(leadership, "jobs/not-a-job/graph", "x").await;

    let recovered = fixture.recovered().await;
    assert_eq!(recovered.len(), 6);
    for (job, recovered) in (1..).zip(recovered) {
        match recovered {
            RecoveredJob::Readable { job: found, .. } => assert_eq!((found, 5), (JobId(job), job)),
            RecoveredJob::Unreadable { job: found, reason } => {
                assert_eq!(found, JobId(job));
                assert!(job != 5 && !reason.is_empty(), "{job}: {reason}");
            }
        }
    }
}

#[tokio::test]
async fn unavailable_file_storage_quarantines_a_job_and_an_unavailable_store_recovers_nothing() {
    let fixture = fixture().await;
    fixture.submit(&big_graph(1), None).await.unwrap();
    fixture.files.set_fault(MemoryFault::Unavailable);
    let recovered = fixture.recovered().await;
    assert!(matches!(recovered[..], [RecoveredJob::Unreadable { job: JobId(1), .. }]), "{recovered:?}");
    fixture.contest.store.set_reads_available(false);
    assert!(matches!(fixture.store.recover().await, Err(ReadError::Unavailable(_))));
}

#[tokio::test]
async fn an_unacceptable_submission_is_refused_before_anything_is_written() {
    let fixture = fixture().await;
    let nameless = JobGraph { job_id: None, ..graph(1) };
    let outcomes = [
        fixture.submit(&nameless, None).await,
        fixture.submit(&sized_graph(1, GRAPH_LIMIT + 1), None).await,
        fixture.submit(&graph(1), Some("")).await,
        fixture.submit(&graph(1), Some("../jobs/x")).await,
        fixture.submit(&graph(1), Some(&"x".repeat(1000))).await,
    ];
    for outcome in outcomes {
        assert!(matches!(outcome, Err(StoreError::Refused { .. })), "{outcome:?}");
    }
    assert!(fixture.files.files().is_empty() && fixture.contest.dump().await.is_empty());
}

#[test]
fn hexadecimal_reads_back() {
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(from_hex(&to_hex(&bytes)), Some(Bytes::from(bytes)));
    for bad in ["0", "0g", "+1", "ää"] {
        assert_eq!(from_hex(bad), None, "{bad:?}");
    }
}

proptest! {
    #[test]
    fn arbitrary_values_never_panic_the_decoders(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        prop_assert!(record::decode::<GraphHandle>("k", &bytes).is_err());
        prop_assert!(record::decode::<TokenRecord>("k", &bytes).is_err());
        prop_assert!(record::decode::<crate::JobResult>("k", &bytes).is_err());
        prop_assert!(record::decode::<crate::CompletedCheckpoint>("k", &bytes).is_err());
    }

    #[test]
    fn a_damaged_handle_never_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let handle = GraphHandle {
            path: Some("job-graphs/1/x".to_owned()),
            inline: None,
            length: 1,
            crc32c: 2,
            token: Some("t".to_owned()),
            submitted_at_ms: 3,
            epoch: LeaderEpoch(4),
        };
        let mut bytes = record::encode("k", &handle).unwrap().to_vec();
        let at = at.index(bytes.len());
        bytes[at] = byte;
        let _ = record::decode::<GraphHandle>("k", &bytes);
    }

    #[test]
    fn arbitrary_text_never_panics_the_hexadecimal_decoder(text in ".{0,40}") {
        let _ = from_hex(&text);
    }
}

#[tokio::test]
async fn a_store_that_is_half_full_takes_no_new_job_but_checkpoints_results_and_repetitions() {
    let fixture = fixture().await;
    fixture.submit(&graph(1), Some("first")).await.unwrap();
    let full = || fixture.contest.ha().usage().is_some_and(|usage| usage.bytes >= usage.limit / 2);
    let value = Bytes::from(vec![0; crate::fenced_store::MAX_VALUE_BYTES]);
    for number in 0.. {
        if full() {
            break;
        }
        fixture.contest.damage(&fixture.contest.leadership, &format!("filling/{number}"), value.clone()).await;
    }
    let outcome = fixture.submit(&graph(2), None).await;
    assert!(matches!(outcome, Err(StoreError::NoRoom { .. })), "{outcome:?}");
    assert_eq!(fixture.submit(&graph(1), Some("first")).await, Ok(Submission::AlreadySubmitted { job: JobId(1) }));
    crate::CheckpointIdCounter::new(fixture.contest.ha()).reserve(&fixture.contest.leadership, JobId(1), 10).await.unwrap();
    fixture.store.remove(&fixture.contest.leadership, JobId(1)).await.unwrap();
}
