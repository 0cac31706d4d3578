//! Statistics that a JobMaster shows about its checkpoints.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};

use weir_protocol::CheckpointId;
use weir_protocol::checkpoint::{CheckpointBarrier, SubtaskCheckpointStats};

use crate::job_master::view::{CheckpointStatus, CheckpointView, CheckpointsView};

/// Counts of checkpoints and a bounded history. Every `wall_ms` is wall-clock milliseconds since 1970.
#[derive(Debug, Clone, Default)]
pub struct CheckpointStats {
    view: CheckpointsView,
    history: VecDeque<CheckpointView>,
    limit: usize,
}

impl Hash for CheckpointStats {
    /// Hashes nothing, because no decision depends on statistics.
    fn hash<H: Hasher>(&self, _: &mut H) {}
}

impl CheckpointStats {
    /// Creates statistics without checkpoints. They remember the newest `limit` checkpoints, and all that are in progress.
    pub fn new(limit: usize) -> Self {
        Self { limit: limit.max(1), ..Self::default() }
    }

    /// The statistics as part of [`crate::job_master::view::JobView`].
    pub fn view(&self) -> CheckpointsView {
        CheckpointsView { history: self.history.iter().cloned().collect(), ..self.view.clone() }
    }

    /// Records that the job restores from a checkpoint.
    pub fn restored(&mut self, id: CheckpointId, wall_ms: u64) {
        self.view.restored += 1;
        self.view.latest_restored = Some(id);
        self.view.latest_restored_at = Some(wall_ms);
    }

    /// Records that a checkpoint was triggered.
    pub fn triggered(&mut self, barrier: &CheckpointBarrier, subtasks: u32) {
        self.view.total += 1;
        self.view.in_progress += 1;
        self.history.push_front(CheckpointView {
            id: barrier.id,
            kind: barrier.kind,
            status: CheckpointStatus::InProgress,
            triggered_at: barrier.timestamp_ms,
            latest_ack_at: None,
            ended_at: None,
            subtasks,
            acknowledged: 0,
            checkpointed_bytes: 0,
            state_bytes: 0,
            alignment_us: 0,
            external_path: None,
            failure: None,
        });
        while self.history.len() > self.limit
            && self.history.back().is_some_and(|oldest| oldest.status != CheckpointStatus::InProgress)
        {
            self.history.pop_back();
        }
    }

    /// Records that a subtask has acknowledged.
    pub fn acknowledged(&mut self, id: CheckpointId, stats: &SubtaskCheckpointStats, wall_ms: u64) {
        let Some(checkpoint) = self.find(id) else { return };
        checkpoint.acknowledged += 1;
        checkpoint.latest_ack_at = Some(wall_ms);
        checkpoint.checkpointed_bytes = checkpoint.checkpointed_bytes.saturating_add(stats.checkpointed_bytes);
        checkpoint.state_bytes = checkpoint.state_bytes.saturating_add(stats.state_bytes);
        checkpoint.alignment_us = checkpoint.alignment_us.max(stats.alignment_us);
    }

    /// Records that a checkpoint is complete.
    pub fn completed(&mut self, id: CheckpointId, external_path: Option<String>, wall_ms: u64) {
        self.view.in_progress = self.view.in_progress.saturating_sub(1);
        self.view.completed += 1;
        if let Some(checkpoint) = self.find(id) {
            checkpoint.status = CheckpointStatus::Completed;
            checkpoint.ended_at = Some(wall_ms);
            checkpoint.external_path = external_path;
        }
    }

    /// Records that a checkpoint was aborted.
    pub fn failed(&mut self, id: CheckpointId, failure: &str, wall_ms: u64) {
        self.view.in_progress = self.view.in_progress.saturating_sub(1);
        self.view.failed += 1;
        if let Some(checkpoint) = self.find(id) {
            checkpoint.status = CheckpointStatus::Failed;
            checkpoint.ended_at = Some(wall_ms);
            checkpoint.failure = Some(failure.to_string());
        }
    }

    fn find(&mut self, id: CheckpointId) -> Option<&mut CheckpointView> {
        self.history.iter_mut().find(|checkpoint| checkpoint.id == id)
    }
}
