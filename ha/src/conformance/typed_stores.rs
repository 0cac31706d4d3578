//! The promises of the typed stores over a change of leaders, for every provider.

use weir_protocol::checkpoint::CheckpointKind;
use weir_protocol::job_status::JobStatus;
use weir_protocol::{CheckpointId, Generation, JobId};
use weir_storage::checkpoint::MetadataHandle;

use super::*;
use crate::{CheckpointIdCounter, CompletedCheckpoint, CompletedCheckpointStore, JobResult, JobResultStore, StoreError};

const JOB: JobId = JobId(7);

fn checkpoint(id: u64, leadership: &Leadership) -> CompletedCheckpoint {
    CompletedCheckpoint {
        job: JOB,
        id: CheckpointId(id),
        kind: CheckpointKind::Checkpoint,
        metadata: MetadataHandle { path: format!("chk-{id}/_metadata"), length: 10, crc32c: 1 },
        epoch: leadership.epoch(),
        generation: Generation { epoch: leadership.epoch(), attempt: 1 },
        completed_at_ms: 0,
        external_path: None,
    }
}

/// C2, C3, C6, R1, R2: the next leader finds the checkpoint and the result of the former one, and reserves higher ids. The
/// former leader can't add a checkpoint any more.
pub(super) async fn records_survive_the_leader<C: TestCluster>(cluster: C) {
    let mut fixture = Fixture::start(cluster).await;
    let (old, stale) = fixture.granted(None).await;
    let services = std::sync::Arc::clone(&fixture.members[old].provider);
    let reserved = CheckpointIdCounter::new(services.clone()).reserve(&stale, JOB, 10).await.expect("reserves");
    let first = checkpoint(reserved.start, &stale);
    CompletedCheckpointStore::new(services.clone()).append(&stale, &first, &[]).await.expect("appends");
    let result = JobResult {
        job: JobId(8),
        name: "job".into(),
        status: JobStatus::Finished,
        submitted_at_ms: 1,
        ended_at_ms: 2,
        failure: None,
        dirty: true,
    };
    JobResultStore::new(services).put_dirty(&stale, &result).await.expect("records the result");

    let name = fixture.name(old);
    fixture.cluster.pause(&name);
    let (new, newer) = fixture.granted(Some(old)).await;
    let services = std::sync::Arc::clone(&fixture.members[new].provider);
    let checkpoints = CompletedCheckpointStore::new(services.clone());
    assert_eq!(checkpoints.latest(JOB).await.expect("reads"), Some(first.clone()), "C3, C6");
    let ids = CheckpointIdCounter::new(services.clone()).reserve(&newer, JOB, 10).await.expect("reserves");
    assert!(ids.start >= reserved.end, "C2: {ids:?} after {reserved:?}");
    let second = checkpoint(ids.start, &newer);
    checkpoints.append(&newer, &second, &[]).await.expect("appends");
    let results = JobResultStore::new(services);
    assert_eq!(results.get(JobId(8)).await.expect("reads"), Some(result.clone()), "R1");
    let other = JobResult { status: JobStatus::Failed, ..result };
    let replaced = results.put_dirty(&newer, &other).await;
    assert!(matches!(replaced, Err(StoreError::Conflict { .. })), "R2: {replaced:?}");

    fixture.cluster.resume(&name);
    fixture.revoked(old).await;
    let late = CompletedCheckpointStore::new(std::sync::Arc::clone(&fixture.members[old].provider));
    let appended = late.append(&stale, &checkpoint(ids.end + 1, &stale), &[]).await;
    assert!(appended.is_err(), "E3: {appended:?}");
    assert_eq!(late.list(JOB).await.expect("reads"), vec![first, second], "C2");
}
