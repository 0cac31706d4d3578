//! The parts of a checkpoint, as tasks report them and metadata records them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::job_graph::OperatorDescriptor;
use crate::{CheckpointId, ExecutionVertexId, Generation, JobId, LeaderEpoch};

/// The purpose of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointKind {
    /// The system owns it, and subsumes and deletes it.
    Checkpoint,
    /// The user owns it. It is self-contained, and the system never deletes it.
    Savepoint,
    /// The last checkpoint of a bounded job. Every input has ended, and tasks finish once it is complete.
    Final,
    /// A savepoint after which the job stops. A task emits nothing after the barrier, unless the savepoint fails.
    Stop,
}

impl CheckpointKind {
    /// Whether the user owns it. It is then self-contained, and the system never deletes it.
    pub fn is_savepoint(self) -> bool {
        matches!(self, Self::Savepoint | Self::Stop)
    }
}

/// The marker in the stream that separates what is in a checkpoint from what is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckpointBarrier {
    pub id: CheckpointId,
    /// A savepoint references no files of older checkpoints.
    pub kind: CheckpointKind,
    /// Trigger time, in wall-clock milliseconds since 1970. Only statistics use it.
    pub timestamp_ms: u64,
}

/// The place where some bytes of state are stored.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StateHandle {
    /// In the handle itself, if the state is small ([`INLINE_STATE_LIMIT`]).
    Inline(Bytes),
    File(FileSegment),
}

/// Most bytes of state that one handle carries inline (Flink's `data-inline-threshold`: 20 kb).
pub const INLINE_STATE_LIMIT: usize = 20 * 1024;

/// A range of bytes in a state file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileSegment {
    /// Path relative to the job's checkpoint directory, e.g. `shared/…` or `chk-7/…`. It never leaves that directory.
    pub path: String,
    pub offset: u64,
    /// Length in bytes.
    pub length: u64,
    /// CRC32C of these bytes.
    pub crc32c: u32,
}

/// The state of one key group of one operator.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyGroupHandle {
    pub key_group: u32,
    pub state: StateHandle,
}

/// The state that one operator of a chain saved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct OperatorSnapshot {
    /// The operator's `uid` in the job graph. `None` if it has none, or if the checkpoint is older than this field.
    pub uid: Option<String>,
    /// The operator's kind in the job graph. `None` if the checkpoint is older than this field.
    pub kind: Option<String>,
    /// State that is not keyed: offsets, watermarks, pre-committed transactions. `None` if the operator has none.
    pub operator_state: Option<StateHandle>,
    /// Keyed state by key group, in increasing order. Empty groups are omitted.
    pub key_groups: Vec<KeyGroupHandle>,
}

impl OperatorSnapshot {
    /// The snapshot of an operator that has saved no state.
    pub fn without_state(operator: &OperatorDescriptor) -> Self {
        Self { uid: operator.uid.clone(), kind: Some(operator.kind.clone()), ..Self::default() }
    }

    /// Whether the operator saved any state.
    pub fn has_state(&self) -> bool {
        self.operator_state.is_some() || !self.key_groups.is_empty()
    }
}

/// The state that one subtask saved. Its acknowledgement carries it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SubtaskSnapshot {
    pub execution_vertex: ExecutionVertexId,
    /// One entry per operator, in chain order.
    pub operators: Vec<OperatorSnapshot>,
}

/// Duration and size of a subtask's part of a checkpoint. Durations are in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct SubtaskCheckpointStats {
    /// Time from the arrival of the first barrier to that of the last.
    pub alignment_us: u64,
    /// Time during which the task did nothing else.
    pub sync_us: u64,
    /// Time of serialising and uploading in the background.
    pub async_us: u64,
    /// Bytes written for this checkpoint.
    pub checkpointed_bytes: u64,
    /// Bytes that the checkpoint references, old and new.
    pub state_bytes: u64,
}

/// Everything that is needed to restore from a completed checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckpointMetadata {
    pub job: JobId,
    pub id: CheckpointId,
    pub kind: CheckpointKind,
    /// Epoch of the leader that completed it.
    pub epoch: LeaderEpoch,
    /// Generation of the tasks that took it (B6).
    pub generation: Generation,
    /// Number of key groups of the job (B6).
    pub max_parallelism: u32,
    /// Fingerprint of the job graph: CRC32C over its canonical bytes (B6).
    pub graph_crc32c: u32,
    /// Trigger time, in wall-clock milliseconds since 1970.
    pub triggered_at_ms: u64,
    /// Completion time, in wall-clock milliseconds since 1970.
    pub completed_at_ms: u64,
    /// The parts of all subtasks, ordered by vertex and subtask.
    pub subtasks: Vec<SubtaskSnapshot>,
}
