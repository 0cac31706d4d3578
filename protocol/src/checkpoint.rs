//! What a checkpoint is made of, as tasks report it and metadata records it.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::{CheckpointId, ExecutionVertexId, Generation, JobId, LeaderEpoch};

/// Why a checkpoint is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckpointKind {
    /// Owned by the system: subsumed and deleted by it.
    Checkpoint,
    /// Owned by the user: self-contained, never deleted by the system.
    Savepoint,
    /// The last one of a bounded job: every input has ended, and tasks finish once it is complete.
    Final,
    /// A savepoint after which the job stops: what has passed the barrier says nothing more, unless the savepoint fails.
    Stop,
}

impl CheckpointKind {
    /// Whether it is the user's: self-contained, and never deleted by the system.
    pub fn is_savepoint(self) -> bool {
        matches!(self, Self::Savepoint | Self::Stop)
    }
}

/// The marker that travels in the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckpointBarrier {
    pub id: CheckpointId,
    /// Why it is taken. A savepoint references nothing older.
    pub kind: CheckpointKind,
    /// Wall-clock milliseconds since 1970 of the trigger; for statistics only.
    pub timestamp_ms: u64,
}

/// Where some bytes of state are.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum StateHandle {
    /// Here; small ones only ([`INLINE_STATE_LIMIT`]).
    Inline(Bytes),
    /// In a file.
    File(FileSegment),
}

/// State of at most this many bytes per handle travels and is kept inline (Flink's `data-inline-threshold`: 20 kb).
pub const INLINE_STATE_LIMIT: usize = 20 * 1024;

/// A stretch of a state file.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FileSegment {
    /// Path relative to the job's checkpoint directory, e.g. `shared/…` or `chk-7/…`. Never leaves it.
    pub path: String,
    pub offset: u64,
    /// Number of bytes.
    pub length: u64,
    /// CRC32C of these bytes.
    pub crc32c: u32,
}

/// The state of one key group of one operator.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct KeyGroupHandle {
    /// Which key group.
    pub key_group: u32,
    pub state: StateHandle,
}

/// What one operator of a chain saved.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct OperatorSnapshot {
    /// Its own state, not keyed: offsets, watermarks, pre-committed transactions. `None` if it has none.
    pub operator_state: Option<StateHandle>,
    /// Its keyed state, by key group in increasing order; empty groups are left out.
    pub key_groups: Vec<KeyGroupHandle>,
}

/// What one subtask saved: the payload of its acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SubtaskSnapshot {
    pub execution_vertex: ExecutionVertexId,
    /// One per operator of the chain, in chain order.
    pub operators: Vec<OperatorSnapshot>,
}

/// How long a subtask's part took, and how much it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct SubtaskCheckpointStats {
    /// From the first barrier's arrival to the last's.
    pub alignment_us: u64,
    /// The part during which the task did nothing else.
    pub sync_us: u64,
    /// Serialising and uploading in the background.
    pub async_us: u64,
    /// Bytes written for this checkpoint.
    pub checkpointed_bytes: u64,
    /// Bytes the checkpoint references, old and new.
    pub state_bytes: u64,
}

/// A completed checkpoint: everything needed to restore from it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckpointMetadata {
    /// The job that took it.
    pub job: JobId,
    pub id: CheckpointId,
    /// Why it was taken.
    pub kind: CheckpointKind,
    /// Epoch of the leader that completed it.
    pub epoch: LeaderEpoch,
    /// Generation of the tasks that took it (B6).
    pub generation: Generation,
    /// Number of key groups of the job (B6).
    pub max_parallelism: u32,
    /// Fingerprint of the job graph: CRC32C over its canonical bytes (B6).
    pub graph_crc32c: u32,
    /// Wall-clock milliseconds since 1970 of the trigger.
    pub triggered_at_ms: u64,
    /// Wall-clock milliseconds since 1970 of completion.
    pub completed_at_ms: u64,
    /// Every subtask's part, ordered by vertex and subtask.
    pub subtasks: Vec<SubtaskSnapshot>,
}
