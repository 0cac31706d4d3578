//! `/jobs/:jobid/checkpoints`. Flink's spelling is snake_case here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::JobVertexId;
use crate::job_graph::CheckpointConfig;

/// `GET /jobs/:jobid/checkpoints`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CheckpointStatistics {
    pub counts: CheckpointCounts,
    /// Distribution over the completed ones of the history.
    pub summary: CheckpointSummary,
    /// The newest of each kind.
    pub latest: LatestCheckpoints,
    /// The newest ones, newest first.
    pub history: Vec<CheckpointEntry>,
}

/// How many checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckpointCounts {
    pub restored: u64,
    pub total: u64,
    pub in_progress: u64,
    pub completed: u64,
    /// Failed or aborted.
    pub failed: u64,
}

/// Distributions of six quantities.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct CheckpointSummary {
    pub checkpointed_size: StatsSummary,
    pub state_size: StatsSummary,
    /// Milliseconds from trigger to completion.
    pub end_to_end_duration: StatsSummary,
    /// Always 0: nothing is buffered.
    pub alignment_buffered: StatsSummary,
    /// Bytes processed during alignment; always 0.
    pub processed_data: StatsSummary,
    /// Bytes of unaligned data; always 0.
    pub persisted_data: StatsSummary,
}

/// A distribution.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct StatsSummary {
    pub min: u64,
    pub max: u64,
    pub avg: u64,
    pub p50: f64,
    pub p90: f64,
    pub p95: f64,
    pub p99: f64,
    pub p999: f64,
}

impl StatsSummary {
    /// The distribution of these values; all 0 if there are none.
    pub fn of(values: impl IntoIterator<Item = u64>) -> Self {
        let mut values: Vec<u64> = values.into_iter().collect();
        values.sort_unstable();
        let (Some(&min), Some(&max)) = (values.first(), values.last()) else { return Self::default() };
        let sum: u128 = values.iter().map(|value| u128::from(*value)).sum();
        // Nearest rank.
        let quantile = |q: f64| {
            let rank = (q * values.len() as f64).ceil() as usize;
            values[rank.clamp(1, values.len()) - 1] as f64
        };
        Self {
            min,
            max,
            avg: (sum / values.len() as u128) as u64,
            p50: quantile(0.5),
            p90: quantile(0.9),
            p95: quantile(0.95),
            p99: quantile(0.99),
            p999: quantile(0.999),
        }
    }
}

/// The newest checkpoint of each kind.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct LatestCheckpoints {
    pub completed: Option<CheckpointEntry>,
    pub savepoint: Option<CheckpointEntry>,
    /// Failed or aborted.
    pub failed: Option<CheckpointEntry>,
    pub restored: Option<RestoredCheckpoint>,
}

/// The checkpoint last restored from.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RestoredCheckpoint {
    pub id: u64,
    /// When it was restored.
    pub restore_timestamp: i64,
    /// Whether it is a savepoint.
    pub is_savepoint: bool,
    /// Where its metadata is.
    pub external_path: Option<String>,
}

/// One checkpoint. `className` tells Flink's clients which fields to expect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "className", rename_all = "snake_case")]
pub enum CheckpointEntry {
    Completed {
        /// What all have in common.
        #[serde(flatten)]
        facts: CheckpointFacts,
        /// Where its metadata is.
        external_path: Option<String>,
        /// Whether it has been deleted.
        discarded: bool,
    },
    /// Failed or aborted.
    Failed {
        /// What all have in common.
        #[serde(flatten)]
        facts: CheckpointFacts,
        failure_timestamp: i64,
        failure_message: Option<String>,
    },
    InProgress {
        /// What all have in common.
        #[serde(flatten)]
        facts: CheckpointFacts,
    },
}

impl CheckpointEntry {
    /// What all have in common.
    pub fn facts(&self) -> &CheckpointFacts {
        match self {
            Self::Completed { facts, .. } | Self::Failed { facts, .. } | Self::InProgress { facts } => facts,
        }
    }
}

/// What all checkpoints have in common.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckpointFacts {
    pub id: u64,
    /// `IN_PROGRESS`, `COMPLETED` or `FAILED`.
    pub status: String,
    /// Whether it is a savepoint.
    pub is_savepoint: bool,
    /// `CANONICAL` for savepoints.
    #[serde(rename = "savepointFormat")]
    pub savepoint_format: Option<String>,
    /// When it was triggered.
    pub trigger_timestamp: i64,
    /// When the newest acknowledgement came; -1 before the first.
    pub latest_ack_timestamp: i64,
    pub checkpointed_size: u64,
    pub state_size: u64,
    /// From trigger to completion or failure, or until now.
    pub end_to_end_duration: i64,
    pub alignment_buffered: u64,
    pub processed_data: u64,
    pub persisted_data: u64,
    /// Subtasks that take part.
    pub num_subtasks: u32,
    /// Subtasks that have acknowledged.
    pub num_acknowledged_subtasks: u32,
    /// `CHECKPOINT`, `SAVEPOINT`, `SYNC_SAVEPOINT`; ours: `FINAL`.
    pub checkpoint_type: String,
    /// By vertex; filled in details only.
    pub tasks: BTreeMap<JobVertexId, TaskCheckpointFacts>,
}

/// One vertex's part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskCheckpointFacts {
    /// The checkpoint's id.
    pub id: u64,
    pub status: String,
    /// When the newest acknowledgement came; -1 before the first.
    pub latest_ack_timestamp: i64,
    pub checkpointed_size: u64,
    pub state_size: u64,
    /// From trigger to the newest acknowledgement.
    pub end_to_end_duration: i64,
    pub alignment_buffered: u64,
    pub processed_data: u64,
    pub persisted_data: u64,
    /// Subtasks that take part.
    pub num_subtasks: u32,
    /// Subtasks that have acknowledged.
    pub num_acknowledged_subtasks: u32,
}

/// `GET /jobs/:jobid/checkpoints/config`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckpointConfigResponse {
    pub mode: String,
    /// Time between triggers; `i64::MAX` for no periodic checkpoints, as in Flink.
    pub interval: i64,
    /// A checkpoint not complete by then is aborted.
    pub timeout: i64,
    /// Least time between the end of one and the start of the next.
    pub min_pause: i64,
    /// How many may be under way.
    pub max_concurrent: u32,
    /// What becomes of checkpoints.
    pub externalization: Externalization,
    pub state_backend: String,
    pub checkpoint_storage: String,
    pub unaligned_checkpoints: bool,
    /// How many may fail in a row.
    pub tolerable_failed_checkpoints: u32,
    pub aligned_checkpoint_timeout: i64,
    pub checkpoints_after_tasks_finish: bool,
    pub state_changelog_enabled: bool,
    pub changelog_periodic_materialization_interval: i64,
    pub changelog_storage: String,
}

/// What becomes of checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Externalization {
    /// Whether they survive the job.
    pub enabled: bool,
    /// Whether cancellation deletes them.
    pub delete_on_cancellation: bool,
}

impl CheckpointConfigResponse {
    /// The configuration of a job.
    pub fn of(config: &CheckpointConfig) -> Self {
        let signed = |milliseconds: u64| i64::try_from(milliseconds).unwrap_or(i64::MAX);
        Self {
            mode: "exactly_once".to_owned(),
            interval: if config.interval_ms == 0 { i64::MAX } else { signed(config.interval_ms) },
            timeout: signed(config.timeout_ms),
            min_pause: signed(config.min_pause_ms),
            max_concurrent: config.max_concurrent,
            externalization: Externalization {
                enabled: config.retain_on_cancellation,
                delete_on_cancellation: !config.retain_on_cancellation,
            },
            state_backend: "heap".to_owned(),
            checkpoint_storage: "filesystem".to_owned(),
            unaligned_checkpoints: false,
            tolerable_failed_checkpoints: config.tolerable_failures,
            aligned_checkpoint_timeout: 0,
            checkpoints_after_tasks_finish: true,
            state_changelog_enabled: false,
            changelog_periodic_materialization_interval: 0,
            changelog_storage: "none".to_owned(),
        }
    }
}
