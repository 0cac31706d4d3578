//! The messages between the leading JobManager and one TaskManager.
//!
//! They travel in one bidirectional gRPC stream, in order in both directions. The TaskManager opens the stream. The end of the
//! stream *is* the loss of the connection. The TaskManager then looks for a leader again and keeps its tasks running. The
//! JobManager sends it no new work until it has registered again. Every message of the leader carries its epoch (E4).

use serde::{Deserialize, Serialize};

use crate::checkpoint::{CheckpointBarrier, OperatorSnapshot, SubtaskCheckpointStats, SubtaskSnapshot};
use crate::job_graph::{Field, JobVertex, Partitioning};
use crate::job_status::ExecutionState;
use crate::{AllocationId, CheckpointId, ExecutionAttemptId, JobId, LeaderEpoch, TaskManagerId};

/// A message from a TaskManager to the leading JobManager.
#[derive(Debug, Clone, PartialEq, Hash)]
pub enum ToJobManager {
    /// The first message of a stream.
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

/// A message from the leading JobManager to a TaskManager. It is fenced: the TaskManager refuses an epoch lower than one it has
/// seen.
#[derive(Debug, Clone, PartialEq)]
pub struct ToTaskManager {
    /// The sender's epoch.
    pub epoch: LeaderEpoch,
    pub order: Order,
}

/// What a leader orders a TaskManager to do, or answers it.
#[derive(Debug, Clone, PartialEq)]
pub enum Order {
    /// The registration was accepted.
    Registered,
    /// Answer to a heartbeat.
    HeartbeatAck,
    /// Deploy these tasks. One message has all of a job's tasks for this TaskManager.
    Deploy(Deployment),
    /// Stop these attempts. Report `Canceled` for each one when its thread has released it.
    Cancel(Vec<ExecutionAttemptId>),
    /// Sources among these attempts inject this barrier.
    TriggerCheckpoint { attempts: Vec<ExecutionAttemptId>, barrier: CheckpointBarrier },
    /// The checkpoint is durable, so sinks commit.
    NotifyCheckpointComplete {
        job: JobId,
        /// Attempts on this TaskManager.
        attempts: Vec<ExecutionAttemptId>,
        checkpoint: CheckpointId,
        /// If true, this is the last checkpoint, and tasks finish after committing.
        last: bool,
    },
    /// The checkpoint will never complete. Tasks stop aligning for it and drop its data.
    NotifyCheckpointAborted {
        job: JobId,
        /// Attempts on this TaskManager.
        attempts: Vec<ExecutionAttemptId>,
        checkpoint: CheckpointId,
    },
}

/// The leader and its addresses, as `WatchLeader` reports them. If there are several, the highest epoch counts (E8).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaderAddress {
    pub epoch: LeaderEpoch,
    /// Stable name of the JobManager, e.g. `jm-1`.
    pub name: String,
    /// `host:port` of its gRPC service for TaskManagers.
    pub rpc_address: String,
    /// `host:port` of its REST service.
    pub rest_address: String,
}

/// What a TaskManager reports about itself when it registers.
#[derive(Debug, Clone, PartialEq, Hash, Serialize, Deserialize)]
pub struct Registration {
    /// Resource id and incarnation.
    pub task_manager: TaskManagerId,
    /// Highest epoch that the TaskManager has seen. A leader with a lower epoch learns from it at once that it is superseded.
    pub highest_epoch: LeaderEpoch,
    /// `host:port` of its data service for other TaskManagers.
    pub data_address: String,
    /// `host:port` of its HTTP service (metrics).
    pub http_address: String,
    /// Number of slots.
    pub slots: u32,
    /// Memory budget in bytes.
    pub memory_bytes: u64,
    /// Every attempt that it still holds, with the slot that the attempt occupies.
    pub attempts: Vec<HeldAttempt>,
}

/// An attempt that a TaskManager holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeldAttempt {
    pub attempt: ExecutionAttemptId,
    pub state: ExecutionState,
    /// Index of the slot that it occupies.
    pub slot: u32,
    /// The grant under which it occupies the slot.
    pub allocation: AllocationId,
}

/// The content of a heartbeat.
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
    /// The reason, if the attempt failed.
    pub failure: Option<TaskFailure>,
    /// The final counters, if the attempt has ended. Its last heartbeat was earlier.
    pub counters: Option<TaskMetrics>,
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
    /// The job's name, for people.
    pub job_name: String,
    /// Number of key groups.
    pub max_parallelism: u32,
    /// Root directory of all checkpoints, as a file-system URI. It contains the job's own directory.
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
    /// Index of the slot to run in. Tasks of different vertices of one job share a slot.
    pub slot: u32,
    /// The grant of that slot.
    pub allocation: AllocationId,
    /// The operator chain.
    pub vertex: JobVertex,
    /// State to restore: one entry per operator, in chain order. Empty if the task restores nothing.
    pub restore: Vec<OperatorRestore>,
    /// The edges into the task.
    pub inputs: Vec<InputDeployment>,
    /// The edges out of the task.
    pub outputs: Vec<OutputDeployment>,
}

/// The saved state from which one operator of a subtask is restored. In the checkpoint it may have belonged to another vertex.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct OperatorRestore {
    /// Number of subtasks that saved it. 0 if the checkpoint has no state for this operator, which then starts empty.
    pub former_parallelism: u32,
    /// Former subtasks and their state, in subtask order: the parts that this subtask needs.
    pub parts: Vec<(u32, OperatorSnapshot)>,
}

/// One edge into a task. It has one channel per connected producer subtask.
#[derive(Debug, Clone, PartialEq)]
pub struct InputDeployment {
    /// Number of the edge in the job graph.
    pub edge: u32,
    /// Number of the chain's input that the edge feeds.
    pub input: u32,
    /// The columns that the producers emit: `output_schema` of the producing vertex. The chain is planned against them.
    pub schema: Vec<Field>,
    /// How rows are distributed to this task. Keyed operators check that their keys decide it.
    pub partitioning: Partitioning,
    /// The producers, with the address to fetch from.
    pub producers: Vec<ProducerLocation>,
}

/// The address of a producer subtask.
#[derive(Debug, Clone, PartialEq)]
pub struct ProducerLocation {
    /// The producing attempt.
    pub attempt: ExecutionAttemptId,
    pub task_manager: TaskManagerId,
    /// `host:port` of that TaskManager's data service.
    pub data_address: String,
}

/// One edge out of a task. It has one channel per connected consumer subtask.
#[derive(Debug, Clone, PartialEq)]
pub struct OutputDeployment {
    /// Number of the edge in the job graph.
    pub edge: u32,
    /// Decides which consumer gets a record.
    pub partitioning: Partitioning,
    /// The consuming attempts in subtask order; one for `Forward`.
    pub consumers: Vec<ExecutionAttemptId>,
}
