//! Savepoints, stopping with one, and checkpoints on demand: triggered by POST, polled by GET.

use serde::{Deserialize, Serialize};

/// Body of `POST /jobs/:jobid/savepoints`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "kebab-case")]
pub struct SavepointTriggerRequest {
    /// Where to; the configured directory if absent.
    pub target_directory: Option<String>,
    /// Whether to cancel the job once the savepoint is durable.
    pub cancel_job: bool,
    /// `CANONICAL` or `NATIVE`; there is one format, so that it makes no difference.
    #[serde(rename = "formatType")]
    pub format_type: Option<String>,
    /// Drawn by the client: the same one again starts nothing new.
    #[serde(rename = "triggerId")]
    pub trigger_id: Option<String>,
}

/// Body of `POST /jobs/:jobid/stop`. Flink spells it in camelCase, unlike the above.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct StopRequest {
    /// Where to; the configured directory if absent.
    pub target_directory: Option<String>,
    /// Whether to fire every window and timer first.
    pub drain: bool,
    /// `CANONICAL` or `NATIVE`; there is one format, so that it makes no difference.
    pub format_type: Option<String>,
    /// Drawn by the client: the same one again starts nothing new.
    pub trigger_id: Option<String>,
}

/// Body of `POST /jobs/:jobid/checkpoints`.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct CheckpointTriggerRequest {
    /// `CONFIGURED`, `FULL` or `INCREMENTAL`.
    pub checkpoint_type: Option<String>,
    /// Drawn by the client: the same one again starts nothing new.
    pub trigger_id: Option<String>,
}

/// Answer to a trigger.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TriggerResponse {
    /// What to poll with: 32 hexadecimal characters.
    pub request_id: String,
}

/// `GET .../savepoints/:triggerid` and `GET .../checkpoints/:triggerid`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AsyncOperationResponse<T> {
    /// How far it came.
    pub status: QueueStatus,
    /// Its result, once completed.
    pub operation: Option<T>,
}

impl<T> AsyncOperationResponse<T> {
    /// It has not ended.
    pub fn in_progress() -> Self {
        Self { status: QueueStatus { id: QueueStatusId::InProgress }, operation: None }
    }

    /// It has ended.
    pub fn completed(operation: T) -> Self {
        Self { status: QueueStatus { id: QueueStatusId::Completed }, operation: Some(operation) }
    }
}

/// How far an operation came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueueStatus {
    pub id: QueueStatusId,
}

/// The state of an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum QueueStatusId {
    InProgress,
    /// Ended, well or badly. A bad end is answered as a refusal by the poll itself, which Flink's CLI prints.
    Completed,
}

/// A savepoint's result.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SavepointInfo {
    /// Where it is.
    pub location: String,
}

/// A manual checkpoint's result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckpointInfo {
    pub checkpoint_id: u64,
}
