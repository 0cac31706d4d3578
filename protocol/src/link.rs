//! The conversation between the leading JobManager and one TaskManager.
//!
//! One bidirectional gRPC stream, dialled by the TaskManager, in order in both directions. Its end *is* the
//! loss of the connection: the TaskManager looks for a leader again and keeps its tasks running; the
//! JobManager gives it nothing new until it has registered again. Every message carries the leader's epoch (E4).

use serde::{Deserialize, Serialize};

use crate::checkpoint::{CheckpointBarrier, SubtaskCheckpointStats, SubtaskSnapshot};
use crate::job_graph::{Field, JobVertex, Partitioning};
use crate::job_status::ExecutionState;
use crate::{AllocationId, CheckpointId, ExecutionAttemptId, JobId, LeaderEpoch, TaskManagerId};

/// TaskManager to JobManager.
#[derive(Debug, Clone, PartialEq, Hash)]
pub enum ToJobManager {
    /// First message of a stream.
    Register(Registration),
    /// Sent every heartbeat interval.
    Heartbeat(HeartbeatReport),
    /// An attempt changed state.
    TaskState(TaskStateUpdate),
    /// A subtask's part of a checkpoint is durable.
    Acknowledge(CheckpointAcknowledgement),
    /// A subtask can't take part in a checkpoint.
    Decline(CheckpointDecline),
    /// A subtask has processed all of its input and waits for the final checkpoint.
    InputEnded(ExecutionAttemptId),
}

/// JobManager to TaskManager. All fenced: the TaskManager refuses an epoch lower than one it has seen.
#[derive(Debug, Clone, PartialEq)]
pub struct ToTaskManager {
    /// The sender's epoch.
    pub epoch: LeaderEpoch,
    /// What to do.
    pub order: Order,
}

/// What a leader tells a TaskManager.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// The registration was accepted.
    Registered,
    /// Answer to a heartbeat.
    HeartbeatAck,
    /// Deploy these tasks: all of one job's tasks for this TaskManager in one message.
    Deploy(Deployment),
    /// Stop these attempts; report `Canceled` for each when its thread has let go of it.
    Cancel(Vec<ExecutionAttemptId>),
    /// Sources among these attempts inject this barrier.
    TriggerCheckpoint { attempts: Vec<ExecutionAttemptId>, barrier: CheckpointBarrier },
    /// The checkpoint is durable: sinks commit.
    NotifyCheckpointComplete {
        job: JobId,
        /// Attempts on this TaskManager.
        attempts: Vec<ExecutionAttemptId>,
        checkpoint: CheckpointId,
        /// The final one: tasks finish after committing.
        last: bool,
    },
    /// The checkpoint will never complete: release alignment, drop what belongs to it.
    NotifyCheckpointAborted {
        job: JobId,
        /// Attempts on this TaskManager.
        attempts: Vec<ExecutionAttemptId>,
        checkpoint: CheckpointId,
    },
}

/// Who leads and where it is reached, as `WatchLeader` tells it. Of several, the one of the highest epoch counts (E8).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaderAddress {
    /// The leader's epoch.
    pub epoch: LeaderEpoch,
    /// Stable name of the JobManager, e.g. `jm-1`.
    pub name: String,
    /// `host:port` of its gRPC service for TaskManagers.
    pub rpc_address: String,
    /// `host:port` of its REST service.
    pub rest_address: String,
}

/// Who a TaskManager is and what it holds.
#[derive(Debug, Clone, PartialEq, Hash, Serialize, Deserialize)]
pub struct Registration {
    /// Resource id and incarnation.
    pub task_manager: TaskManagerId,
    /// Highest epoch it has seen: a leader below it knows at once that it is superseded.
    pub highest_epoch: LeaderEpoch,
    /// `host:port` of its data service for other TaskManagers.
    pub data_address: String,
    /// `host:port` of its HTTP service (metrics).
    pub http_address: String,
    /// Number of its slots.
    pub slots: u32,
    /// Its memory budget in bytes.
    pub memory_bytes: u64,
    /// Every attempt it still holds, with the slot it occupies.
    pub attempts: Vec<HeldAttempt>,
}

/// An attempt a TaskManager holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeldAttempt {
    pub attempt: ExecutionAttemptId,
    pub state: ExecutionState,
    /// Index of the slot it occupies.
    pub slot: u32,
    /// The grant it occupies the slot under.
    pub allocation: AllocationId,
}

/// What a heartbeat says.
#[derive(Debug, Clone, PartialEq, Hash, Default, Serialize, Deserialize)]
pub struct HeartbeatReport {
    /// Counters of running attempts since their start.
    pub tasks: Vec<TaskMetrics>,
}

/// Counters of one attempt since its start.
#[derive(Debug, Clone, Copy, PartialEq, Hash, Serialize, Deserialize)]
pub struct TaskMetrics {
    pub attempt: ExecutionAttemptId,
    /// Rows received from channels, or read by a source.
    pub records_in: u64,
    /// Rows sent into channels, or written by a sink.
    pub records_out: u64,
    /// Bytes received from channels.
    pub bytes_in: u64,
    /// Bytes sent into channels.
    pub bytes_out: u64,
    /// Time spent processing.
    pub busy_ms: u64,
    /// Time spent waiting for room downstream.
    pub backpressured_ms: u64,
    /// Time spent waiting for input.
    pub idle_ms: u64,
    /// Current watermark, milliseconds since 1970; `i64::MIN` before the first.
    pub watermark_ms: i64,
    /// Rows that came too late for their window.
    pub late_records: u64,
}

/// An attempt changed state.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct TaskStateUpdate {
    pub attempt: ExecutionAttemptId,
    /// The new state.
    pub state: ExecutionState,
    /// Why, if it failed.
    pub failure: Option<TaskFailure>,
}

/// Why a task failed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TaskFailure {
    /// A stable code, e.g. `TASK-PANIC`.
    pub code: String,
    /// What happened, and what to try.
    pub message: String,
    /// Whether a restart can help. `false` fails the job at once.
    pub retryable: bool,
}

/// A subtask's part of a checkpoint is durable.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct CheckpointAcknowledgement {
    pub attempt: ExecutionAttemptId,
    pub checkpoint: CheckpointId,
    pub snapshot: SubtaskSnapshot,
    pub stats: SubtaskCheckpointStats,
}

/// A subtask can't take part in a checkpoint.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct CheckpointDecline {
    pub attempt: ExecutionAttemptId,
    pub checkpoint: CheckpointId,
    pub reason: String,
}

/// All of one job's tasks for one TaskManager.
#[derive(Debug, Clone, PartialEq)]
pub struct Deployment {
    pub job: JobId,
    /// Its name, for people.
    pub job_name: String,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Root of all checkpoints, as a file-system URI; the job's own directory is under it.
    pub checkpoint_dir: String,
    /// The checkpoint that `tasks` restore from, if any.
    pub restore_checkpoint: Option<CheckpointId>,
    pub tasks: Vec<TaskDeployment>,
}

/// One task to start.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskDeployment {
    /// The new attempt.
    pub attempt: ExecutionAttemptId,
    /// The slot to run it in; tasks of different vertices of one job share a slot.
    pub slot: u32,
    /// The grant of that slot.
    pub allocation: AllocationId,
    /// The operator chain.
    pub vertex: JobVertex,
    /// What to restore: the parts of every former subtask of this vertex that this subtask needs.
    pub restore: Vec<SubtaskSnapshot>,
    /// Where each input's data comes from.
    pub inputs: Vec<InputDeployment>,
    /// Where its output goes.
    pub outputs: Vec<OutputDeployment>,
}

/// One edge into a task: one channel per producer subtask connected to it.
#[derive(Debug, Clone, PartialEq)]
pub struct InputDeployment {
    /// Number of the edge in the job graph.
    pub edge: u32,
    /// Which input of the chain it feeds.
    pub input: u32,
    /// What the producers emit: `output_schema` of the producing vertex. The chain is planned against it.
    pub schema: Vec<Field>,
    /// How rows are dealt to this task: keyed operators check that it is by their keys.
    pub partitioning: Partitioning,
    /// The producers, with the address to fetch from.
    pub producers: Vec<ProducerLocation>,
}

/// Where a producer subtask runs.
#[derive(Debug, Clone, PartialEq)]
pub struct ProducerLocation {
    /// The producing attempt.
    pub attempt: ExecutionAttemptId,
    pub task_manager: TaskManagerId,
    /// `host:port` of that TaskManager's data service.
    pub data_address: String,
}

/// One edge out of a task: one channel per consumer subtask connected to it.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputDeployment {
    /// Number of the edge in the job graph.
    pub edge: u32,
    /// Which consumer gets a record.
    pub partitioning: Partitioning,
    /// The consuming attempts, in subtask order (one for `Forward`).
    pub consumers: Vec<ExecutionAttemptId>,
}
