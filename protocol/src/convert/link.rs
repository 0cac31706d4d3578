//! Converts the messages between JobManager and TaskManager.

use super::{DecodeError, all, enum_from, id_bytes, id_from, required, try_all, unspecified};
use crate::checkpoint::OperatorSnapshot;
use crate::job_status::ExecutionState;
use crate::link::{
    CheckpointAcknowledgement, CheckpointDecline, Deployment, HeartbeatReport, HeldAttempt, InputDeployment, LeaderAddress,
    OperatorRestore, Order, OutputDeployment, ProducerLocation, Registration, TaskDeployment, TaskFailure, TaskMetrics,
    TaskStateUpdate, ToJobManager, ToTaskManager,
};
use crate::pb::link::v1 as pb;
use crate::{
    AllocationId, CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch, TaskManagerId,
};

impl From<Option<LeaderAddress>> for pb::LeaderInfo {
    fn from(leader: Option<LeaderAddress>) -> Self {
        Self {
            leader: leader.map(|leader| pb::Leader {
                epoch: leader.epoch.0,
                name: leader.name,
                rpc_address: leader.rpc_address,
                rest_address: leader.rest_address,
            }),
        }
    }
}

impl From<pb::LeaderInfo> for Option<LeaderAddress> {
    fn from(info: pb::LeaderInfo) -> Self {
        info.leader.map(|leader| LeaderAddress {
            epoch: LeaderEpoch(leader.epoch),
            name: leader.name,
            rpc_address: leader.rpc_address,
            rest_address: leader.rest_address,
        })
    }
}

impl From<ExecutionAttemptId> for pb::AttemptId {
    fn from(attempt: ExecutionAttemptId) -> Self {
        Self {
            job: id_bytes(attempt.job.0),
            vertex: id_bytes(attempt.execution_vertex.vertex.0),
            subtask: attempt.execution_vertex.subtask,
            generation_epoch: attempt.generation.epoch.0,
            generation_attempt: attempt.generation.attempt,
        }
    }
}

impl TryFrom<pb::AttemptId> for ExecutionAttemptId {
    type Error = DecodeError;
    fn try_from(attempt: pb::AttemptId) -> Result<Self, DecodeError> {
        Ok(Self {
            job: JobId(id_from(&attempt.job, "AttemptId.job")?),
            execution_vertex: ExecutionVertexId {
                vertex: JobVertexId(id_from(&attempt.vertex, "AttemptId.vertex")?),
                subtask: attempt.subtask,
            },
            generation: Generation { epoch: LeaderEpoch(attempt.generation_epoch), attempt: attempt.generation_attempt },
        })
    }
}

fn attempt_from(attempt: Option<pb::AttemptId>, field: &'static str) -> Result<ExecutionAttemptId, DecodeError> {
    required(attempt, field)?.try_into()
}

impl From<ExecutionState> for pb::ExecutionState {
    fn from(state: ExecutionState) -> Self {
        match state {
            ExecutionState::Created => Self::Created,
            ExecutionState::Scheduled => Self::Scheduled,
            ExecutionState::Deploying => Self::Deploying,
            ExecutionState::Initializing => Self::Initializing,
            ExecutionState::Running => Self::Running,
            ExecutionState::Finished => Self::Finished,
            ExecutionState::Canceling => Self::Canceling,
            ExecutionState::Canceled => Self::Canceled,
            ExecutionState::Failed => Self::Failed,
            ExecutionState::Reconciling => Self::Reconciling,
        }
    }
}

fn state_from(value: i32, field: &'static str) -> Result<ExecutionState, DecodeError> {
    Ok(match enum_from(value, field)? {
        pb::ExecutionState::Unspecified => return Err(unspecified(field)),
        pb::ExecutionState::Created => ExecutionState::Created,
        pb::ExecutionState::Scheduled => ExecutionState::Scheduled,
        pb::ExecutionState::Deploying => ExecutionState::Deploying,
        pb::ExecutionState::Initializing => ExecutionState::Initializing,
        pb::ExecutionState::Running => ExecutionState::Running,
        pb::ExecutionState::Finished => ExecutionState::Finished,
        pb::ExecutionState::Canceling => ExecutionState::Canceling,
        pb::ExecutionState::Canceled => ExecutionState::Canceled,
        pb::ExecutionState::Failed => ExecutionState::Failed,
        pb::ExecutionState::Reconciling => ExecutionState::Reconciling,
    })
}

impl From<ToJobManager> for pb::ToJobManager {
    fn from(message: ToJobManager) -> Self {
        use pb::to_job_manager::Message;
        let message = match message {
            ToJobManager::Register(registration) => Message::Register(registration.into()),
            ToJobManager::Heartbeat(report) => Message::Heartbeat(pb::Heartbeat { tasks: all(report.tasks) }),
            ToJobManager::TaskState(update) => Message::TaskState(pb::TaskState {
                attempt: Some(update.attempt.into()),
                state: pb::ExecutionState::from(update.state).into(),
                failure: update.failure.map(|TaskFailure { code, message, retryable }| pb::TaskFailure {
                    code,
                    message,
                    retryable,
                }),
                counters: update.counters.map(Into::into),
            }),
            ToJobManager::Acknowledge(acknowledgement) => Message::Acknowledge(pb::Acknowledge {
                attempt: Some(acknowledgement.attempt.into()),
                checkpoint: acknowledgement.checkpoint.0,
                snapshot: Some(acknowledgement.snapshot.into()),
                stats: Some(acknowledgement.stats.into()),
            }),
            ToJobManager::Decline(decline) => Message::Decline(pb::Decline {
                attempt: Some(decline.attempt.into()),
                checkpoint: decline.checkpoint.0,
                reason: decline.reason,
            }),
            ToJobManager::InputEnded(attempt) => Message::InputEnded(attempt.into()),
        };
        Self { message: Some(message) }
    }
}

impl TryFrom<pb::ToJobManager> for ToJobManager {
    type Error = DecodeError;
    fn try_from(message: pb::ToJobManager) -> Result<Self, DecodeError> {
        use pb::to_job_manager::Message;
        Ok(match required(message.message, "ToJobManager.message")? {
            Message::Register(registration) => Self::Register(registration.try_into()?),
            Message::Heartbeat(heartbeat) => Self::Heartbeat(HeartbeatReport { tasks: try_all(heartbeat.tasks)? }),
            Message::TaskState(update) => Self::TaskState(TaskStateUpdate {
                attempt: attempt_from(update.attempt, "TaskState.attempt")?,
                state: state_from(update.state, "TaskState.state")?,
                failure: update.failure.map(|pb::TaskFailure { code, message, retryable }| TaskFailure {
                    code,
                    message,
                    retryable,
                }),
                counters: update.counters.map(TaskMetrics::try_from).transpose()?,
            }),
            Message::Acknowledge(acknowledge) => Self::Acknowledge(CheckpointAcknowledgement {
                attempt: attempt_from(acknowledge.attempt, "Acknowledge.attempt")?,
                checkpoint: CheckpointId(acknowledge.checkpoint),
                snapshot: required(acknowledge.snapshot, "Acknowledge.snapshot")?.try_into()?,
                stats: required(acknowledge.stats, "Acknowledge.stats")?.into(),
            }),
            Message::Decline(decline) => Self::Decline(CheckpointDecline {
                attempt: attempt_from(decline.attempt, "Decline.attempt")?,
                checkpoint: CheckpointId(decline.checkpoint),
                reason: decline.reason,
            }),
            Message::InputEnded(attempt) => Self::InputEnded(attempt.try_into()?),
        })
    }
}

impl From<Registration> for pb::Registration {
    fn from(registration: Registration) -> Self {
        Self {
            task_manager: registration.task_manager.0,
            highest_epoch: registration.highest_epoch.0,
            data_address: registration.data_address,
            http_address: registration.http_address,
            slots: registration.slots,
            memory_bytes: registration.memory_bytes,
            attempts: all(registration.attempts),
        }
    }
}

impl TryFrom<pb::Registration> for Registration {
    type Error = DecodeError;
    fn try_from(registration: pb::Registration) -> Result<Self, DecodeError> {
        Ok(Self {
            task_manager: TaskManagerId(registration.task_manager),
            highest_epoch: LeaderEpoch(registration.highest_epoch),
            data_address: registration.data_address,
            http_address: registration.http_address,
            slots: registration.slots,
            memory_bytes: registration.memory_bytes,
            attempts: try_all(registration.attempts)?,
        })
    }
}

impl From<HeldAttempt> for pb::HeldAttempt {
    fn from(held: HeldAttempt) -> Self {
        Self {
            attempt: Some(held.attempt.into()),
            state: pb::ExecutionState::from(held.state).into(),
            slot: held.slot,
            allocation: id_bytes(held.allocation.0),
        }
    }
}

impl TryFrom<pb::HeldAttempt> for HeldAttempt {
    type Error = DecodeError;
    fn try_from(held: pb::HeldAttempt) -> Result<Self, DecodeError> {
        Ok(Self {
            attempt: attempt_from(held.attempt, "HeldAttempt.attempt")?,
            state: state_from(held.state, "HeldAttempt.state")?,
            slot: held.slot,
            allocation: AllocationId(id_from(&held.allocation, "HeldAttempt.allocation")?),
        })
    }
}

impl From<TaskMetrics> for pb::TaskMetrics {
    fn from(metrics: TaskMetrics) -> Self {
        Self {
            attempt: Some(metrics.attempt.into()),
            records_in: metrics.records_in,
            records_out: metrics.records_out,
            bytes_in: metrics.bytes_in,
            bytes_out: metrics.bytes_out,
            busy_ms: metrics.busy_ms,
            backpressured_ms: metrics.backpressured_ms,
            idle_ms: metrics.idle_ms,
            watermark_ms: metrics.watermark_ms,
            late_records: metrics.late_records,
        }
    }
}

impl TryFrom<pb::TaskMetrics> for TaskMetrics {
    type Error = DecodeError;
    fn try_from(metrics: pb::TaskMetrics) -> Result<Self, DecodeError> {
        Ok(Self {
            attempt: attempt_from(metrics.attempt, "TaskMetrics.attempt")?,
            records_in: metrics.records_in,
            records_out: metrics.records_out,
            bytes_in: metrics.bytes_in,
            bytes_out: metrics.bytes_out,
            busy_ms: metrics.busy_ms,
            backpressured_ms: metrics.backpressured_ms,
            idle_ms: metrics.idle_ms,
            watermark_ms: metrics.watermark_ms,
            late_records: metrics.late_records,
        })
    }
}

impl From<ToTaskManager> for pb::ToTaskManager {
    fn from(message: ToTaskManager) -> Self {
        use pb::to_task_manager::Order as Wire;
        let order = match message.order {
            Order::Registered => Wire::Registered(pb::Registered {}),
            Order::HeartbeatAck => Wire::HeartbeatAck(pb::HeartbeatAck {}),
            Order::Deploy(deployment) => Wire::Deploy(deployment.into()),
            Order::Cancel(attempts) => Wire::Cancel(pb::Cancel { attempts: all(attempts) }),
            Order::TriggerCheckpoint { attempts, barrier } => {
                Wire::TriggerCheckpoint(pb::TriggerCheckpoint { attempts: all(attempts), barrier: Some(barrier.into()) })
            }
            Order::NotifyCheckpointComplete { job, attempts, checkpoint, last } => {
                Wire::NotifyCheckpointComplete(pb::NotifyCheckpointComplete {
                    job: id_bytes(job.0),
                    attempts: all(attempts),
                    checkpoint: checkpoint.0,
                    last,
                })
            }
            Order::NotifyCheckpointAborted { job, attempts, checkpoint } => {
                Wire::NotifyCheckpointAborted(pb::NotifyCheckpointAborted {
                    job: id_bytes(job.0),
                    attempts: all(attempts),
                    checkpoint: checkpoint.0,
                })
            }
        };
        Self { epoch: message.epoch.0, order: Some(order) }
    }
}

impl TryFrom<pb::ToTaskManager> for ToTaskManager {
    type Error = DecodeError;
    fn try_from(message: pb::ToTaskManager) -> Result<Self, DecodeError> {
        use pb::to_task_manager::Order as Wire;
        let order = match required(message.order, "ToTaskManager.order")? {
            Wire::Registered(_) => Order::Registered,
            Wire::HeartbeatAck(_) => Order::HeartbeatAck,
            Wire::Deploy(deployment) => Order::Deploy(deployment.try_into()?),
            Wire::Cancel(cancel) => Order::Cancel(try_all(cancel.attempts)?),
            Wire::TriggerCheckpoint(trigger) => Order::TriggerCheckpoint {
                attempts: try_all(trigger.attempts)?,
                barrier: required(trigger.barrier, "TriggerCheckpoint.barrier")?.try_into()?,
            },
            Wire::NotifyCheckpointComplete(notify) => Order::NotifyCheckpointComplete {
                job: JobId(id_from(&notify.job, "NotifyCheckpointComplete.job")?),
                attempts: try_all(notify.attempts)?,
                checkpoint: CheckpointId(notify.checkpoint),
                last: notify.last,
            },
            Wire::NotifyCheckpointAborted(notify) => Order::NotifyCheckpointAborted {
                job: JobId(id_from(&notify.job, "NotifyCheckpointAborted.job")?),
                attempts: try_all(notify.attempts)?,
                checkpoint: CheckpointId(notify.checkpoint),
            },
        };
        Ok(Self { epoch: LeaderEpoch(message.epoch), order })
    }
}

impl From<Deployment> for pb::Deployment {
    fn from(deployment: Deployment) -> Self {
        Self {
            job: id_bytes(deployment.job.0),
            job_name: deployment.job_name,
            max_parallelism: deployment.max_parallelism,
            checkpoint_dir: deployment.checkpoint_dir,
            restore_checkpoint: deployment.restore_checkpoint.map(|id| id.0),
            tasks: all(deployment.tasks),
        }
    }
}

impl TryFrom<pb::Deployment> for Deployment {
    type Error = DecodeError;
    fn try_from(deployment: pb::Deployment) -> Result<Self, DecodeError> {
        Ok(Self {
            job: JobId(id_from(&deployment.job, "Deployment.job")?),
            job_name: deployment.job_name,
            max_parallelism: deployment.max_parallelism,
            checkpoint_dir: deployment.checkpoint_dir,
            restore_checkpoint: deployment.restore_checkpoint.map(CheckpointId),
            tasks: try_all(deployment.tasks)?,
        })
    }
}

impl From<TaskDeployment> for pb::TaskDeployment {
    fn from(task: TaskDeployment) -> Self {
        Self {
            attempt: Some(task.attempt.into()),
            slot: task.slot,
            allocation: id_bytes(task.allocation.0),
            vertex: Some(task.vertex.into()),
            restore: all(task.restore),
            inputs: all(task.inputs),
            outputs: all(task.outputs),
        }
    }
}

impl TryFrom<pb::TaskDeployment> for TaskDeployment {
    type Error = DecodeError;
    fn try_from(task: pb::TaskDeployment) -> Result<Self, DecodeError> {
        Ok(Self {
            attempt: attempt_from(task.attempt, "TaskDeployment.attempt")?,
            slot: task.slot,
            allocation: AllocationId(id_from(&task.allocation, "TaskDeployment.allocation")?),
            vertex: required(task.vertex, "TaskDeployment.vertex")?.try_into()?,
            restore: try_all(task.restore)?,
            inputs: try_all(task.inputs)?,
            outputs: try_all(task.outputs)?,
        })
    }
}

impl From<OperatorRestore> for pb::OperatorRestore {
    fn from(restore: OperatorRestore) -> Self {
        let part = |(subtask, state): (u32, OperatorSnapshot)| pb::FormerPart { subtask, state: Some(state.into()) };
        Self { former_parallelism: restore.former_parallelism, parts: restore.parts.into_iter().map(part).collect() }
    }
}

impl TryFrom<pb::OperatorRestore> for OperatorRestore {
    type Error = DecodeError;
    fn try_from(restore: pb::OperatorRestore) -> Result<Self, DecodeError> {
        let part = |part: pb::FormerPart| Ok((part.subtask, required(part.state, "FormerPart.state")?.try_into()?));
        let parts = restore.parts.into_iter().map(part).collect::<Result<_, DecodeError>>()?;
        Ok(Self { former_parallelism: restore.former_parallelism, parts })
    }
}

impl From<InputDeployment> for pb::Input {
    fn from(input: InputDeployment) -> Self {
        Self {
            edge: input.edge,
            input: input.input,
            schema: all(input.schema),
            partitioning: Some(input.partitioning.into()),
            producers: all(input.producers),
        }
    }
}

impl TryFrom<pb::Input> for InputDeployment {
    type Error = DecodeError;
    fn try_from(input: pb::Input) -> Result<Self, DecodeError> {
        Ok(Self {
            edge: input.edge,
            input: input.input,
            schema: try_all(input.schema)?,
            partitioning: required(input.partitioning, "Input.partitioning")?.try_into()?,
            producers: try_all(input.producers)?,
        })
    }
}

impl From<ProducerLocation> for pb::Producer {
    fn from(producer: ProducerLocation) -> Self {
        Self {
            attempt: Some(producer.attempt.into()),
            task_manager: producer.task_manager.0,
            data_address: producer.data_address,
        }
    }
}

impl TryFrom<pb::Producer> for ProducerLocation {
    type Error = DecodeError;
    fn try_from(producer: pb::Producer) -> Result<Self, DecodeError> {
        Ok(Self {
            attempt: attempt_from(producer.attempt, "Producer.attempt")?,
            task_manager: TaskManagerId(producer.task_manager),
            data_address: producer.data_address,
        })
    }
}

impl From<OutputDeployment> for pb::Output {
    fn from(output: OutputDeployment) -> Self {
        Self { edge: output.edge, partitioning: Some(output.partitioning.into()), consumers: all(output.consumers) }
    }
}

impl TryFrom<pb::Output> for OutputDeployment {
    type Error = DecodeError;
    fn try_from(output: pb::Output) -> Result<Self, DecodeError> {
        Ok(Self {
            edge: output.edge,
            partitioning: required(output.partitioning, "Output.partitioning")?.try_into()?,
            consumers: try_all(output.consumers)?,
        })
    }
}
