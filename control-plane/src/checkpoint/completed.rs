//! The checkpoints that are complete, and which of them are kept.

use std::collections::VecDeque;
use std::sync::Arc;

use weir_ha::CompletedCheckpoint;
use weir_protocol::CheckpointId;
use weir_protocol::checkpoint::CheckpointMetadata;

/// What there is to restore from, and what else is retained.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RestorePoint {
    /// The job's completed checkpoints, oldest first.
    pub completed: Vec<CompletedCheckpoint>,
    /// The one to restore from, if any: the newest of `completed`, or what the job graph names when there is none.
    pub newest: Option<Arc<CheckpointMetadata>>,
}

/// The completed checkpoints a job retains, oldest first.
#[derive(Debug, Clone, PartialEq, Hash, Default)]
pub struct CompletedCheckpoints {
    checkpoints: VecDeque<CompletedCheckpoint>,
    retained: usize,
}

impl CompletedCheckpoints {
    /// None yet; the newest `retained` are to be kept, at least one.
    pub fn new(retained: u32) -> Self {
        Self { checkpoints: VecDeque::new(), retained: retained.max(1) as usize }
    }

    /// Starts over with what the store holds.
    pub fn load(&mut self, checkpoints: Vec<CompletedCheckpoint>) {
        debug_assert!(checkpoints.is_sorted_by(|older, newer| older.id < newer.id), "C2: ids increase");
        self.checkpoints = checkpoints.into();
    }

    /// The newest.
    pub fn newest(&self) -> Option<&CompletedCheckpoint> {
        self.checkpoints.back()
    }

    /// All of them, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &CompletedCheckpoint> {
        self.checkpoints.iter()
    }

    /// Adds one whose pointer is durable.
    pub fn add(&mut self, checkpoint: CompletedCheckpoint) {
        debug_assert!(self.newest().is_none_or(|newest| newest.id < checkpoint.id), "B1: ids of completions increase");
        self.checkpoints.push_back(checkpoint);
    }

    /// Those that may go: all but the newest ones. A savepoint is no exception: what belongs to the user is the copy that
    /// was exported before this pointer was appended.
    pub fn subsumed(&self) -> Vec<CheckpointId> {
        let surplus = self.checkpoints.len().saturating_sub(self.retained);
        self.checkpoints.iter().take(surplus).map(|checkpoint| checkpoint.id).collect()
    }

    /// Takes out those whose pointers are gone.
    pub fn remove(&mut self, ids: &[CheckpointId]) {
        self.checkpoints.retain(|checkpoint| !ids.contains(&checkpoint.id));
    }
}
