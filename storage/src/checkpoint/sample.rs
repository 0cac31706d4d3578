//! Sample checkpoints for the tests of this module.

use std::sync::Arc;

use bytes::Bytes;
use weir_protocol::checkpoint::{
    CheckpointKind, CheckpointMetadata, FileSegment, KeyGroupHandle, OperatorSnapshot, StateHandle, SubtaskSnapshot,
};
use weir_protocol::{CheckpointId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch};

use super::{CheckpointStorage, layout};
use crate::file_system::MemoryFileSystem;

pub(super) const JOB: JobId = JobId(0xabc);
pub(super) const GENERATION: Generation = Generation { epoch: LeaderEpoch(3), attempt: 1 };

pub(super) fn subtask(number: u32) -> ExecutionVertexId {
    ExecutionVertexId { vertex: JobVertexId::from_uid("count"), subtask: number }
}

pub(super) fn segment(path: &str, offset: u64, bytes: &[u8]) -> FileSegment {
    FileSegment { path: path.to_owned(), offset, length: bytes.len() as u64, crc32c: crc32c::crc32c(bytes) }
}

/// The path of the state file that subtask `number` writes for checkpoint `id`.
pub(super) fn state_path(number: u32, id: u64) -> String {
    layout::state_path(subtask(number), GENERATION, CheckpointId(id))
}

/// Checkpoint `id` of two subtasks. Each has an inline operator state, and one key group for each of its `files`.
pub(super) fn checkpoint(id: u64, files: [&[(String, &[u8])]; 2]) -> CheckpointMetadata {
    let subtasks = files.into_iter().zip(0..).map(|(files, number)| {
        let group = |((path, bytes), group): (&(String, &[u8]), u32)| KeyGroupHandle {
            key_group: number * 64 + group,
            state: StateHandle::File(segment(path, 0, bytes)),
        };
        let operator = OperatorSnapshot {
            operator_state: Some(StateHandle::Inline(Bytes::from_static(b"offset 17"))),
            key_groups: files.iter().zip(0..).map(group).collect(),
            ..OperatorSnapshot::default()
        };
        SubtaskSnapshot { execution_vertex: subtask(number), operators: vec![OperatorSnapshot::default(), operator] }
    });
    CheckpointMetadata {
        job: JOB,
        id: CheckpointId(id),
        kind: CheckpointKind::Checkpoint,
        epoch: LeaderEpoch(3),
        generation: GENERATION,
        max_parallelism: 128,
        graph_crc32c: 0x1234_5678,
        triggered_at_ms: 1_000,
        completed_at_ms: 1_200,
        subtasks: subtasks.collect(),
    }
}

/// An empty storage in memory, and the files under it.
pub(super) fn storage() -> (CheckpointStorage, MemoryFileSystem) {
    let files = MemoryFileSystem::new();
    (CheckpointStorage::new(Arc::new(files.clone())), files)
}

/// Writes the state files of subtasks 0 and 1 for checkpoint `id`. Returns the metadata without writing it.
pub(super) async fn take(storage: &CheckpointStorage, id: u64) -> CheckpointMetadata {
    let texts = [format!("zero at {id}"), format!("one at {id}")];
    let paths = [state_path(0, id), state_path(1, id)];
    for (path, text) in paths.iter().zip(&texts) {
        storage.write_state(JOB, path, Bytes::from(text.clone())).await.unwrap();
    }
    let [zero, one] = paths;
    checkpoint(id, [&[(zero, texts[0].as_bytes())], &[(one, texts[1].as_bytes())]])
}
