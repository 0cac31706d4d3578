//! Savepoints, stopping with a savepoint, and manual checkpoints. A POST triggers the operation, and a GET polls it.

use serde::{Deserialize, Serialize};

/// Body of `POST /jobs/:jobid/savepoints`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct SavepointTriggerRequest {
    /// The savepoint's directory. Default: the configured directory.
    pub target_directory: Option<String>,
    /// Whether to cancel the job once the savepoint is durable.
    pub cancel_job: bool,
    /// `CANONICAL` or `NATIVE`. It has no effect, because there is only one format.
    #[serde(rename = "formatType")]
    pub format_type: Option<String>,
    /// Id that the client draws. A second request with the same id starts nothing new.
    #[serde(rename = "triggerId")]
    pub trigger_id: Option<String>,
}

/// Body of `POST /jobs/:jobid/stop`. Flink spells its fields in camelCase, unlike those of [`SavepointTriggerRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StopRequest {
    /// The savepoint's directory. Default: the configured directory.
    pub target_directory: Option<String>,
    /// Whether to fire every window and timer first.
    pub drain: bool,
    /// `CANONICAL` or `NATIVE`. It has no effect, because there is only one format.
    pub format_type: Option<String>,
    /// Id that the client draws. A second request with the same id starts nothing new.
    pub trigger_id: Option<String>,
}

/// Body of `POST /jobs/:jobid/checkpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CheckpointTriggerRequest {
    /// `CONFIGURED`, `FULL` or `INCREMENTAL`.
    pub checkpoint_type: Option<String>,
    /// Id that the client draws. A second request with the same id starts nothing new.
    pub trigger_id: Option<String>,
}

/// Answer to a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TriggerResponse {
    /// The id to poll with: 32 hexadecimal characters.
    pub request_id: String,
}

/// Answer to `GET .../savepoints/:triggerid` and `GET .../checkpoints/:triggerid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsyncOperationResponse<T> {
    pub status: QueueStatus,
    /// The operation's result, once it has completed.
    pub operation: Option<T>,
}

impl<T> AsyncOperationResponse<T> {
    /// The operation has not ended.
    pub fn in_progress() -> Self {
        Self { status: QueueStatus { id: QueueStatusId::InProgress }, operation: None }
    }

    /// The operation has ended with this result.
    pub fn completed(operation: T) -> Self {
        Self { status: QueueStatus { id: QueueStatusId::Completed }, operation: Some(operation) }
    }
}

/// Whether an operation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    pub id: QueueStatusId,
}

/// The state of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum QueueStatusId {
    InProgress,
    /// The operation has ended, with or without success. If it failed, the poll itself answers with an error, which Flink's CLI
    /// prints.
    Completed,
}

/// The result of a savepoint.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SavepointInfo {
    pub location: String,
}

/// The result of a manual checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointInfo {
    pub checkpoint_id: u64,
}
