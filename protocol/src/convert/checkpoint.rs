//! Converts checkpoint parts and metadata.

use bytes::Bytes;
use prost::Message;

use super::{DecodeError, all, enum_from, id_bytes, id_from, required, try_all, unspecified};
use crate::checkpoint::{
    CheckpointBarrier, CheckpointKind, CheckpointMetadata, FileSegment, KeyGroupHandle, OperatorSnapshot, StateHandle,
    SubtaskCheckpointStats, SubtaskSnapshot,
};
use crate::pb::checkpoint::v1 as pb;
use crate::{CheckpointId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch};

impl CheckpointMetadata {
    /// Encodes the metadata as protobuf. Storage adds magic, version, length and checksum.
    pub fn encode_body(&self) -> Bytes {
        pb::CheckpointMetadata::from(self.clone()).encode_to_vec().into()
    }

    /// Decodes the bytes of [`CheckpointMetadata::encode_body`]. Inline state shares `body`'s memory.
    pub fn decode_body(body: Bytes) -> Result<Self, DecodeError> {
        pb::CheckpointMetadata::decode(body)
            .map_err(|error| DecodeError::Malformed { what: "checkpoint metadata", reason: error.to_string() })?
            .try_into()
    }
}

impl From<CheckpointKind> for pb::CheckpointKind {
    fn from(kind: CheckpointKind) -> Self {
        match kind {
            CheckpointKind::Checkpoint => Self::Checkpoint,
            CheckpointKind::Savepoint => Self::Savepoint,
            CheckpointKind::Final => Self::Final,
            CheckpointKind::Stop => Self::Stop,
        }
    }
}

fn kind_from(value: i32, field: &'static str) -> Result<CheckpointKind, DecodeError> {
    match enum_from(value, field)? {
        pb::CheckpointKind::Unspecified => Err(unspecified(field)),
        pb::CheckpointKind::Checkpoint => Ok(CheckpointKind::Checkpoint),
        pb::CheckpointKind::Savepoint => Ok(CheckpointKind::Savepoint),
        pb::CheckpointKind::Final => Ok(CheckpointKind::Final),
        pb::CheckpointKind::Stop => Ok(CheckpointKind::Stop),
    }
}

impl From<CheckpointBarrier> for pb::Barrier {
    fn from(barrier: CheckpointBarrier) -> Self {
        Self { id: barrier.id.0, kind: pb::CheckpointKind::from(barrier.kind).into(), timestamp_ms: barrier.timestamp_ms }
    }
}

impl TryFrom<pb::Barrier> for CheckpointBarrier {
    type Error = DecodeError;
    fn try_from(barrier: pb::Barrier) -> Result<Self, DecodeError> {
        Ok(Self {
            id: CheckpointId(barrier.id),
            kind: kind_from(barrier.kind, "Barrier.kind")?,
            timestamp_ms: barrier.timestamp_ms,
        })
    }
}

impl From<StateHandle> for pb::StateHandle {
    fn from(handle: StateHandle) -> Self {
        let kind = match handle {
            StateHandle::Inline(bytes) => pb::state_handle::Kind::Inline(bytes),
            StateHandle::File(FileSegment { path, offset, length, crc32c }) => {
                pb::state_handle::Kind::File(pb::FileSegment { path, offset, length, crc32c })
            }
        };
        Self { kind: Some(kind) }
    }
}

impl TryFrom<pb::StateHandle> for StateHandle {
    type Error = DecodeError;
    fn try_from(handle: pb::StateHandle) -> Result<Self, DecodeError> {
        Ok(match required(handle.kind, "StateHandle.kind")? {
            pb::state_handle::Kind::Inline(bytes) => Self::Inline(bytes),
            pb::state_handle::Kind::File(pb::FileSegment { path, offset, length, crc32c }) => {
                Self::File(FileSegment { path, offset, length, crc32c })
            }
        })
    }
}

impl From<KeyGroupHandle> for pb::KeyGroupHandle {
    fn from(handle: KeyGroupHandle) -> Self {
        Self { key_group: handle.key_group, state: Some(handle.state.into()) }
    }
}

impl TryFrom<pb::KeyGroupHandle> for KeyGroupHandle {
    type Error = DecodeError;
    fn try_from(handle: pb::KeyGroupHandle) -> Result<Self, DecodeError> {
        Ok(Self { key_group: handle.key_group, state: required(handle.state, "KeyGroupHandle.state")?.try_into()? })
    }
}

impl From<OperatorSnapshot> for pb::OperatorSnapshot {
    fn from(snapshot: OperatorSnapshot) -> Self {
        Self {
            operator_state: snapshot.operator_state.map(Into::into),
            key_groups: all(snapshot.key_groups),
            uid: snapshot.uid,
            kind: snapshot.kind,
        }
    }
}

impl TryFrom<pb::OperatorSnapshot> for OperatorSnapshot {
    type Error = DecodeError;
    fn try_from(snapshot: pb::OperatorSnapshot) -> Result<Self, DecodeError> {
        Ok(Self {
            uid: snapshot.uid,
            kind: snapshot.kind,
            operator_state: snapshot.operator_state.map(StateHandle::try_from).transpose()?,
            key_groups: try_all(snapshot.key_groups)?,
        })
    }
}

impl From<SubtaskSnapshot> for pb::SubtaskSnapshot {
    fn from(snapshot: SubtaskSnapshot) -> Self {
        Self {
            vertex: id_bytes(snapshot.execution_vertex.vertex.0),
            subtask: snapshot.execution_vertex.subtask,
            operators: all(snapshot.operators),
        }
    }
}

impl TryFrom<pb::SubtaskSnapshot> for SubtaskSnapshot {
    type Error = DecodeError;
    fn try_from(snapshot: pb::SubtaskSnapshot) -> Result<Self, DecodeError> {
        let vertex = JobVertexId(id_from(&snapshot.vertex, "SubtaskSnapshot.vertex")?);
        Ok(Self {
            execution_vertex: ExecutionVertexId { vertex, subtask: snapshot.subtask },
            operators: try_all(snapshot.operators)?,
        })
    }
}

impl From<SubtaskCheckpointStats> for pb::SubtaskStats {
    fn from(stats: SubtaskCheckpointStats) -> Self {
        let SubtaskCheckpointStats { alignment_us, sync_us, async_us, checkpointed_bytes, state_bytes } = stats;
        Self { alignment_us, sync_us, async_us, checkpointed_bytes, state_bytes }
    }
}

impl From<pb::SubtaskStats> for SubtaskCheckpointStats {
    fn from(stats: pb::SubtaskStats) -> Self {
        let pb::SubtaskStats { alignment_us, sync_us, async_us, checkpointed_bytes, state_bytes } = stats;
        Self { alignment_us, sync_us, async_us, checkpointed_bytes, state_bytes }
    }
}

impl From<CheckpointMetadata> for pb::CheckpointMetadata {
    fn from(metadata: CheckpointMetadata) -> Self {
        Self {
            job: id_bytes(metadata.job.0),
            id: metadata.id.0,
            kind: pb::CheckpointKind::from(metadata.kind).into(),
            epoch: metadata.epoch.0,
            generation_epoch: metadata.generation.epoch.0,
            generation_attempt: metadata.generation.attempt,
            max_parallelism: metadata.max_parallelism,
            graph_crc32c: metadata.graph_crc32c,
            triggered_at_ms: metadata.triggered_at_ms,
            completed_at_ms: metadata.completed_at_ms,
            subtasks: all(metadata.subtasks),
        }
    }
}

impl TryFrom<pb::CheckpointMetadata> for CheckpointMetadata {
    type Error = DecodeError;
    fn try_from(metadata: pb::CheckpointMetadata) -> Result<Self, DecodeError> {
        Ok(Self {
            job: JobId(id_from(&metadata.job, "CheckpointMetadata.job")?),
            id: CheckpointId(metadata.id),
            kind: kind_from(metadata.kind, "CheckpointMetadata.kind")?,
            epoch: LeaderEpoch(metadata.epoch),
            generation: Generation { epoch: LeaderEpoch(metadata.generation_epoch), attempt: metadata.generation_attempt },
            max_parallelism: metadata.max_parallelism,
            graph_crc32c: metadata.graph_crc32c,
            triggered_at_ms: metadata.triggered_at_ms,
            completed_at_ms: metadata.completed_at_ms,
            subtasks: try_all(metadata.subtasks)?,
        })
    }
}
