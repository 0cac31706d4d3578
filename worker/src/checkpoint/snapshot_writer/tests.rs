use std::collections::{BTreeMap, BTreeSet};

use weir_dataflow::operator::KeyGroupSnapshot;
use weir_protocol::checkpoint::{CheckpointKind, INLINE_STATE_LIMIT};
use weir_protocol::{ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch};
use weir_storage::file_system::{MemoryFault, MemoryFileSystem};

use super::*;
use crate::task::report::{TaskReportReceiver, task_reports};

const ATTEMPT: ExecutionAttemptId = ExecutionAttemptId {
    job: JobId(1),
    execution_vertex: ExecutionVertexId { vertex: JobVertexId(2), subtask: 0 },
    generation: Generation { epoch: LeaderEpoch(3), attempt: 1 },
};

struct World {
    files: Arc<MemoryFileSystem>,
    storage: CheckpointStorage,
    writer: SnapshotWriter,
    reports: TaskReportReceiver,
}

fn world() -> World {
    let files = Arc::new(MemoryFileSystem::new());
    let storage = CheckpointStorage::new(files.clone());
    let (reports, receiver) = task_reports();
    let writer = {
        let named = OperatorDescriptor { uid: Some("count".to_owned()), ..OperatorDescriptor::new("x.count", BTreeMap::new()) };
        SnapshotWriter::start(ATTEMPT, &[named], storage.clone(), INLINE_STATE_LIMIT, reports)
    };
    World { files, storage, writer, reports: receiver }
}

fn frozen(id: u64, kind: CheckpointKind, groups: &[(u32, u64)], bytes: usize) -> FrozenSnapshot {
    let group = |&(key_group, version): &(u32, u64)| KeyGroupSnapshot {
        key_group,
        version,
        serialize: Box::new(move || Ok(Bytes::from(vec![version as u8; bytes]))),
    };
    let state = StateSnapshot {
        operator_state: Some(Bytes::from_static(b"offset")),
        key_groups: groups.iter().map(group).collect(),
        before_durable: None,
        late_operator_state: None,
    };
    let barrier = CheckpointBarrier { id: CheckpointId(id), kind, timestamp_ms: 0 };
    FrozenSnapshot { barrier, operators: vec![state], alignment_us: 1, sync_us: 2 }
}

impl World {
    async fn acknowledgement(&mut self, frozen: FrozenSnapshot) -> CheckpointAcknowledgement {
        self.writer.submit(frozen).unwrap();
        match self.reports.next().await {
            Some(TaskReport::Acknowledged(acknowledgement)) => acknowledgement,
            other => panic!("{other:?}"),
        }
    }

    async fn paths(&self, acknowledgement: &CheckpointAcknowledgement) -> Vec<String> {
        let mut paths = Vec::new();
        for group in &acknowledgement.snapshot.operators[0].key_groups {
            // Every handle leads to its bytes.
            self.storage.read_state(ATTEMPT.job, &group.state).await.unwrap();
            match &group.state {
                StateHandle::File(segment) => paths.push(segment.path.clone()),
                StateHandle::Inline(_) => paths.push("inline".into()),
            }
        }
        paths
    }
}

#[tokio::test]
async fn small_state_is_inline_and_writes_no_file() {
    let mut world = world();
    let acknowledgement = world.acknowledgement(frozen(1, CheckpointKind::Checkpoint, &[(0, 1), (1, 1)], 100)).await;
    assert_eq!(world.paths(&acknowledgement).await, ["inline", "inline"]);
    assert!(world.files.files().is_empty());
    assert_eq!((acknowledgement.stats.alignment_us, acknowledgement.stats.checkpointed_bytes), (1, 206));
    let operator = &acknowledgement.snapshot.operators[0];
    assert_eq!((operator.uid.as_deref(), operator.kind.as_deref()), (Some("count"), Some("x.count")));
}

#[tokio::test]
async fn unchanged_groups_of_a_completed_checkpoint_are_referenced_and_only_the_others_written() {
    let mut world = world();
    let first = world.acknowledgement(frozen(1, CheckpointKind::Checkpoint, &[(0, 1), (1, 1)], 30_000)).await;
    let before = world.paths(&first).await;
    assert_eq!(before[0], before[1], "one file per subtask and checkpoint");
    world.writer.confirm(CheckpointId(1));
    let second = world.acknowledgement(frozen(2, CheckpointKind::Checkpoint, &[(0, 1), (1, 2)], 30_000)).await;
    let after = world.paths(&second).await;
    assert_eq!(after[0], before[0]);
    assert_ne!(after[1], before[1]);
    assert_eq!(second.stats.checkpointed_bytes, 30_006);
    assert_eq!(second.stats.state_bytes, 60_006);
    let third = world.acknowledgement(frozen(3, CheckpointKind::Savepoint, &[(0, 1), (1, 2)], 30_000)).await;
    let own: BTreeSet<_> = world.paths(&third).await.into_iter().collect();
    assert_eq!(own.len(), 1, "a savepoint is self-contained");
    assert!(!own.contains(&after[0]) && !own.contains(&after[1]));
}

#[tokio::test]
async fn state_spread_over_too_many_files_is_gathered_into_one() {
    let mut world = world();
    let groups: Vec<u32> = (0..20).collect();
    let mut versions = vec![1; groups.len()];
    let mut most = 0;
    for id in 1..=40_u64 {
        versions[id as usize % groups.len()] = id;
        let now: Vec<_> = groups.iter().copied().zip(versions.iter().copied()).collect();
        let acknowledgement = world.acknowledgement(frozen(id, CheckpointKind::Checkpoint, &now, 30_000)).await;
        world.writer.confirm(CheckpointId(id));
        most = most.max(world.paths(&acknowledgement).await.into_iter().collect::<BTreeSet<_>>().len());
    }
    assert!((2..=crate::checkpoint::history::MAX_FILES + 1).contains(&most), "{most} files");
}

#[tokio::test]
async fn a_failed_upload_declines_the_checkpoint_and_the_next_one_succeeds() {
    let mut world = world();
    world.files.set_fault(MemoryFault::FailWrites);
    world.writer.submit(frozen(1, CheckpointKind::Checkpoint, &[(0, 1)], 30_000)).unwrap();
    let report = world.reports.next().await;
    assert!(matches!(report, Some(TaskReport::Declined(decline)) if decline.checkpoint == CheckpointId(1)));
    world.files.set_fault(MemoryFault::None);
    world.acknowledgement(frozen(2, CheckpointKind::Checkpoint, &[(0, 1)], 30_000)).await;
}

#[tokio::test]
async fn an_operator_that_panics_while_serialising_declines_the_checkpoint() {
    let mut world = world();
    let mut snapshot = frozen(1, CheckpointKind::Checkpoint, &[(0, 1)], 10);
    snapshot.operators[0].key_groups[0].serialize = Box::new(|| panic!("no"));
    world.writer.submit(snapshot).unwrap();
    assert!(matches!(world.reports.next().await, Some(TaskReport::Declined(_))));
}

#[tokio::test]
async fn a_file_written_for_an_ended_task_is_deleted_and_not_reported() {
    for fault in [MemoryFault::None, MemoryFault::UnknownApplied] {
        let World { files, writer, mut reports, .. } = world();
        files.set_fault(fault);
        let (go, gone) = std::sync::mpsc::sync_channel::<()>(1);
        let mut snapshot = frozen(1, CheckpointKind::Checkpoint, &[(0, 1)], 30_000);
        snapshot.operators[0].key_groups[0].serialize = Box::new(move || {
            let _ = gone.recv();
            Ok(Bytes::from(vec![1; 30_000]))
        });
        writer.submit(snapshot).unwrap();
        while writer.frozen.capacity() < QUEUE {
            tokio::task::yield_now().await;
        }
        drop(writer);
        drop(go);
        assert_eq!(reports.next().await, None, "{fault:?}");
        assert!(files.changes().iter().any(|line| line.starts_with("write")), "a file was written: {:?}", files.changes());
        assert!(files.files().is_empty(), "{fault:?}: {:?}", files.files());
    }
}

#[tokio::test]
async fn the_work_before_a_snapshot_is_durable_is_done_first_and_its_failure_declines_the_snapshot() {
    let mut world = world();
    let done = Arc::new(Mutex::new(false));
    let mut good = frozen(1, CheckpointKind::Checkpoint, &[], 0);
    let does = done.clone();
    good.operators[0].before_durable = Some(Box::new(move || {
        *does.lock().unwrap() = true;
        Ok(())
    }));
    world.acknowledgement(good).await;
    assert!(*done.lock().unwrap());
    let mut bad = frozen(2, CheckpointKind::Checkpoint, &[], 0);
    bad.operators[0].before_durable =
        Some(Box::new(|| Err(weir_dataflow::operator::OperatorError::retryable("SINK-IO", "the disk is full"))));
    world.writer.submit(bad).unwrap();
    let Some(TaskReport::Declined(decline)) = world.reports.next().await else { panic!("not declined") };
    assert!(decline.checkpoint == CheckpointId(2) && decline.reason.contains("SINK-IO: the disk is full"), "{decline:?}");
}
