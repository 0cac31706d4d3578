//! The checkpoints that are complete, and which of them are kept.

use std::collections::VecDeque;

use weir_ha::CompletedCheckpoint;
use weir_protocol::CheckpointId;
use weir_protocol::checkpoint::CheckpointKind;

/// The completed checkpoints a job retains, oldest first.
#[derive(Debug, Clone, PartialEq, Default)]
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

    /// Those that may go: all but the newest ones and all but savepoints, which belong to the user.
    pub fn subsumed(&self) -> Vec<CheckpointId> {
        let system = self.checkpoints.iter().filter(|checkpoint| checkpoint.kind != CheckpointKind::Savepoint);
        let surplus = system.clone().count().saturating_sub(self.retained);
        system.take(surplus).map(|checkpoint| checkpoint.id).collect()
    }

    /// Takes out those whose pointers are gone.
    pub fn remove(&mut self, ids: &[CheckpointId]) -> Vec<CompletedCheckpoint> {
        let (gone, kept) = self.checkpoints.drain(..).partition(|checkpoint| ids.contains(&checkpoint.id));
        self.checkpoints = kept;
        Vec::from_iter::<VecDeque<_>>(gone)
    }
}
