//! Commits offsets for a consumer group when a checkpoint is complete, so that Kafka's own tools show how far the job is.
//!
//! The job never reads them back, so a failed commit is only logged.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use weir_protocol::CheckpointId;

use super::partition::SourcePartition;
use crate::client::{ClientSettings, Coordinator, TopicPartition, commit_offsets};

/// How long a commit is tried. A later one tells more anyway.
const PATIENCE: Duration = Duration::from_secs(30);

/// Checkpoints whose offsets are kept. Most of so many have failed.
const MAX_WAITING: usize = 100;

type Offsets = BTreeMap<TopicPartition, i64>;

/// The offsets of a subtask, by checkpoint.
pub(super) struct GroupOffsets {
    waiting: BTreeMap<CheckpointId, Offsets>,
    newest: watch::Sender<Offsets>,
    task: JoinHandle<()>,
}

impl GroupOffsets {
    /// Starts the task that commits. Call it inside of a runtime.
    pub(super) fn start(settings: &ClientSettings, group: &str) -> Self {
        let (newest, complete) = watch::channel(Offsets::new());
        let coordinator = Coordinator::of_group(settings, group);
        Self { waiting: BTreeMap::new(), newest, task: weir_world::spawn("kafka-group-offsets", run(coordinator, complete)) }
    }

    pub(super) fn on_snapshot(&mut self, checkpoint: CheckpointId, partitions: &[SourcePartition]) {
        let offsets = partitions.iter().map(|split| ((split.topic.clone(), split.id), split.next));
        self.waiting.insert(checkpoint, offsets.collect());
        while self.waiting.len() > MAX_WAITING {
            self.waiting.pop_first();
        }
    }

    pub(super) fn on_complete(&mut self, checkpoint: CheckpointId) {
        let later = self.waiting.split_off(&CheckpointId(checkpoint.0 + 1));
        let complete = std::mem::replace(&mut self.waiting, later);
        if let Some((_, offsets)) = complete.into_iter().next_back().filter(|(_, offsets)| !offsets.is_empty()) {
            self.newest.send_replace(offsets);
        }
    }
}

impl Drop for GroupOffsets {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(mut coordinator: Coordinator, mut complete: watch::Receiver<Offsets>) {
    while complete.changed().await.is_ok() {
        let offsets = complete.borrow_and_update().clone();
        if let Err(error) = commit_offsets(&mut coordinator, &offsets, Instant::now() + PATIENCE).await {
            tracing::warn!(group = coordinator.key(), %error, "the group's offsets could not be committed; the job goes on");
        }
    }
}
