//! The endpoints under `/jobs/:jobid/checkpoints`. Flink's spelling is snake_case here.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::JobVertexId;
use crate::job_graph::CheckpointConfig;

/// Answer to `GET /jobs/:jobid/checkpoints`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct CheckpointStatistics {
    pub counts: CheckpointCounts,
    /// Distributions over the completed checkpoints of the history.
    pub summary: CheckpointSummary,
    pub latest: LatestCheckpoints,
    /// The newest checkpoints, newest first.
    pub history: Vec<CheckpointEntry>,
}

/// Numbers of checkpoints by state.
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

/// The distribution of one quantity.
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
        // The quantile is by nearest rank.
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

/// The checkpoint that the job last restored.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct RestoredCheckpoint {
    pub id: u64,
    pub restore_timestamp: i64,
    /// Whether it is a savepoint.
    pub is_savepoint: bool,
    /// Path of its metadata.
    pub external_path: Option<String>,
}

/// One checkpoint. `className` tells Flink's clients which fields to expect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "className", rename_all = "snake_case")]
pub enum CheckpointEntry {
    Completed {
        #[serde(flatten)]
        facts: CheckpointFacts,
        /// Path of its metadata.
        external_path: Option<String>,
        /// Whether it has been deleted.
        discarded: bool,
    },
    /// Failed or aborted.
    Failed {
        #[serde(flatten)]
        facts: CheckpointFacts,
        failure_timestamp: i64,
        failure_message: Option<String>,
    },
    InProgress {
        #[serde(flatten)]
        facts: CheckpointFacts,
    },
}

impl CheckpointEntry {
    /// The fields that all kinds of entries share.
    pub fn facts(&self) -> &CheckpointFacts {
        match self {
            Self::Completed { facts, .. } | Self::Failed { facts, .. } | Self::InProgress { facts } => facts,
        }
    }
}

/// The fields that all kinds of [`CheckpointEntry`] share.
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
    pub trigger_timestamp: i64,
    /// Time of the newest acknowledgement; -1 before the first.
    pub latest_ack_timestamp: i64,
    pub checkpointed_size: u64,
    pub state_size: u64,
    /// From trigger to completion or failure, or until now.
    pub end_to_end_duration: i64,
    pub alignment_buffered: u64,
    pub processed_data: u64,
    pub persisted_data: u64,
    /// Number of subtasks that take part.
    pub num_subtasks: u32,
    /// Number of subtasks that have acknowledged.
    pub num_acknowledged_subtasks: u32,
    /// `CHECKPOINT`, `SAVEPOINT`, `SYNC_SAVEPOINT`; ours: `FINAL`.
    pub checkpoint_type: String,
    /// The part of each vertex. Only the details of one checkpoint fill it.
    pub tasks: BTreeMap<JobVertexId, TaskCheckpointFacts>,
}

/// One vertex's part of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TaskCheckpointFacts {
    /// The checkpoint's id.
    pub id: u64,
    pub status: String,
    /// Time of the newest acknowledgement; -1 before the first.
    pub latest_ack_timestamp: i64,
    pub checkpointed_size: u64,
    pub state_size: u64,
    /// From trigger to the newest acknowledgement.
    pub end_to_end_duration: i64,
    pub alignment_buffered: u64,
    pub processed_data: u64,
    pub persisted_data: u64,
    /// Number of subtasks that take part.
    pub num_subtasks: u32,
    /// Number of subtasks that have acknowledged.
    pub num_acknowledged_subtasks: u32,
}

/// Answer to `GET /jobs/:jobid/checkpoints/config`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CheckpointConfigResponse {
    pub mode: String,
    /// Time between triggers. `i64::MAX` means no periodic checkpoints, as in Flink.
    pub interval: i64,
    /// A checkpoint that takes longer is aborted.
    pub timeout: i64,
    /// Shortest time between the end of one checkpoint and the start of the next.
    pub min_pause: i64,
    /// Most checkpoints that may be in progress at once.
    pub max_concurrent: u32,
    pub externalization: Externalization,
    pub state_backend: String,
    pub checkpoint_storage: String,
    pub unaligned_checkpoints: bool,
    /// Number of checkpoints that may fail in a row.
    pub tolerable_failed_checkpoints: u32,
    pub aligned_checkpoint_timeout: i64,
    pub checkpoints_after_tasks_finish: bool,
    pub state_changelog_enabled: bool,
    pub changelog_periodic_materialization_interval: i64,
    pub changelog_storage: String,
}

/// Whether checkpoints outlive their job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Externalization {
    /// Whether checkpoints survive the job.
    pub enabled: bool,
    /// Whether cancellation deletes checkpoints.
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
