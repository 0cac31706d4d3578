//! A load of very many jobs that are submitted and removed.

use std::sync::Arc;

use futures::StreamExt;
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_storage::file_system::MemoryFileSystem;

use crate::{HaServices, JobGraphStore, Leadership, Submission, keys};

/// Number of jobs that are submitted and removed.
pub const JOBS: u128 = 10_000;
/// Number of submissions or removals in flight.
const AT_ONCE: usize = 64;

fn graph(job: u128) -> JobGraph {
    let json = serde_json::json!({
        "version": 1,
        "job_id": JobId(job),
        "name": "count",
        "vertices": [{ "id": "s", "parallelism": 1, "operators": [{ "kind": "source.datagen", "options": {} }] }],
    });
    serde_json::from_value(json).expect("is a job graph")
}

/// Submits [`JOBS`] jobs and removes them. All are accepted, recovered, and listed in key order by another member. After the
/// removal the store holds as many keys as before. `count` returns that number, if possible without the provider.
pub async fn come_and_go(leader: HaServices, other: HaServices, leadership: &Leadership, mut count: impl AsyncFnMut() -> usize) {
    let baseline = count().await;
    let store = JobGraphStore::new(Arc::clone(&leader), Arc::new(MemoryFileSystem::new()));
    let submit = |job| {
        let (store, leadership) = (store.clone(), leadership.clone());
        async move { store.submit(&leadership, &graph(job), None, 0).await }
    };
    let submitted: Vec<_> = futures::stream::iter(1..=JOBS).map(submit).buffer_unordered(AT_ONCE).collect().await;
    let refused = submitted.iter().find(|outcome| !matches!(outcome, Ok(Submission::Created)));
    assert!(refused.is_none(), "every job is accepted: {refused:?}");
    assert!(count().await >= baseline + JOBS as usize, "each job has at least one key");
    assert_eq!(store.recover().await.expect("recovers").len() as u128, JOBS);
    let listed = other.list(keys::JOBS).await.expect("lists");
    assert_eq!(listed.len() as u128, JOBS);
    assert!(listed.is_sorted_by(|one, next| one.0 < next.0), "the list is not in key order");
    let remove = |job| {
        let (store, leadership) = (store.clone(), leadership.clone());
        async move { store.remove(&leadership, JobId(job)).await }
    };
    let removed: Vec<_> = futures::stream::iter(1..=JOBS).map(remove).buffer_unordered(AT_ONCE).collect().await;
    let left = removed.iter().find(|outcome| outcome.is_err());
    assert!(left.is_none(), "every job is removed: {left:?}");
    assert_eq!(other.list("").await.expect("lists"), []);
    assert_eq!(count().await, baseline, "nothing is left behind");
}
