//! The completed checkpoints of a job, and which of them are retained.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_ha::{CompletedCheckpoint, MAX_SUBSUMED};
use weir_protocol::CheckpointId;
use weir_protocol::checkpoint::CheckpointMetadata;

/// The checkpoint that a job restores from, and all its completed checkpoints.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RestorePoint {
    /// The job's completed checkpoints, oldest first.
    pub completed: Vec<CompletedCheckpoint>,
    /// The checkpoint to restore from, if any: the newest of `completed`. If the job had none, it is the one that the job graph
    /// names.
    pub newest: Option<Arc<CheckpointMetadata>>,
}

/// The completed checkpoints that a job retains, oldest first.
#[derive(Debug, Clone, PartialEq, Hash, Default)]
pub struct CompletedCheckpoints {
    checkpoints: VecDeque<CompletedCheckpoint>,
    retained: usize,
}

impl CompletedCheckpoints {
    /// Creates an empty list that retains the newest `retained` checkpoints, at least one.
    pub fn new(retained: u32) -> Self {
        Self { checkpoints: VecDeque::new(), retained: retained.max(1) as usize }
    }

    /// Replaces the list with what the store holds.
    pub fn load(&mut self, checkpoints: Vec<CompletedCheckpoint>) {
        debug_assert!(checkpoints.is_sorted_by(|older, newer| older.id < newer.id), "C2: ids increase");
        self.checkpoints = checkpoints.into();
    }

    /// The newest completed checkpoint, if any.
    pub fn newest(&self) -> Option<&CompletedCheckpoint> {
        self.checkpoints.back()
    }

    /// All completed checkpoints, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &CompletedCheckpoint> {
        self.checkpoints.iter()
    }

    /// The checkpoints that the next one subsumes: all that need not be retained beside it, oldest first. If there are more than
    /// one commit can remove, the ones after that subsume the rest. Savepoints are no exception, because the user owns a copy,
    /// which was exported before the pointer was appended.
    pub fn subsumed_by_next(&self) -> Vec<CheckpointId> {
        let surplus = (self.checkpoints.len() + 1).saturating_sub(self.retained).min(MAX_SUBSUMED);
        self.checkpoints.iter().take(surplus).map(|checkpoint| checkpoint.id).collect()
    }

    /// Adds a checkpoint whose pointer is durable. Returns those that it subsumed, whose pointers the same commit removed.
    pub fn add(&mut self, checkpoint: CompletedCheckpoint) -> Vec<CompletedCheckpoint> {
        debug_assert!(self.newest().is_none_or(|newest| newest.id < checkpoint.id), "B1: ids of completions increase");
        let surplus = self.subsumed_by_next().len();
        self.checkpoints.push_back(checkpoint);
        self.checkpoints.drain(..surplus).collect()
    }
}
