//! Makes a task that is ready to run from a deployment: first its outputs, then its inputs, its operators and their state.

use std::sync::Arc;

use weir_dataflow::chain::OperatorChain;
use weir_dataflow::codec::BatchCodec;
use weir_dataflow::key_group::key_group_range;
use weir_dataflow::operator::{OperatorContext, RestoredState};
use weir_dataflow::registry::OperatorRegistry;
use weir_dataflow::schema;
use weir_protocol::TaskManagerId;
use weir_protocol::link::{InputDeployment, ProducerLocation, TaskDeployment, TaskFailure};
use weir_storage::checkpoint::CheckpointStorage;

use super::control::TaskControl;
use super::report::{TaskReports, failure};
use super::slot::panic_failure;
use super::{Task, TaskParts, splits, task_failure};
use crate::checkpoint::restore::{self, Restorer};
use crate::checkpoint::snapshot_writer::SnapshotWriter;
use crate::network::NetworkOptions;
use crate::network::channel::Waker;
use crate::network::client::Connections;
use crate::network::gate::{InputChannel, InputGate};
use crate::network::message::ChannelKey;
use crate::network::partition::{Outputs, ResultPartition};
use crate::network::registry::ChannelRegistry;

/// Prepares tasks. It holds what all tasks of the TaskManager share.
pub struct Deployer {
    pub task_manager: TaskManagerId,
    /// The kinds of operators that the TaskManager can run.
    pub operators: OperatorRegistry,
    /// The channels that its tasks produce into.
    pub channels: Arc<ChannelRegistry>,
    /// Connections to other TaskManagers.
    pub connections: Connections,
    /// Limits of the exchange.
    pub network: NetworkOptions,
    /// Most rows that a source reads at a time.
    pub max_batch_rows: usize,
    /// A subtask's new state of at most this many bytes goes into the checkpoint's metadata, larger state into its own file.
    pub inline_state_limit: usize,
}

/// A task to prepare, with the values that it shares with the other tasks of its deployment.
pub struct TaskOfDeployment {
    pub task: TaskDeployment,
    /// Number of key groups of the job.
    pub max_parallelism: u32,
    /// The storage of its checkpoints.
    pub storage: CheckpointStorage,
    /// Whether the task restores from a checkpoint.
    pub restoring: bool,
}

/// Why a task does not run.
#[derive(Debug)]
pub enum Unprepared {
    /// It was canceled before it ran.
    Canceled,
    /// It can't run.
    Failed(TaskFailure),
}

impl From<TaskFailure> for Unprepared {
    fn from(failure: TaskFailure) -> Self {
        Self::Failed(failure)
    }
}

impl Deployer {
    /// Creates the outputs of a task, so that its consumers find them. This is the first step, and it does not wait.
    pub fn offer_outputs(&self, task: &TaskDeployment, max_parallelism: u32, control: &TaskControl) -> Outputs {
        let offer = |output| {
            ResultPartition::offer(output, task.attempt, max_parallelism, &self.network, &self.channels, control.waker())
        };
        Outputs::new(task.outputs.iter().map(offer).collect(), control.counters().clone())
    }

    /// Connects the inputs, builds the operators and restores their state. If the task fails or is canceled, closes its outputs.
    pub async fn prepare(
        &self,
        order: TaskOfDeployment,
        outputs: Outputs,
        control: Arc<TaskControl>,
        reports: TaskReports,
    ) -> Result<Task, Unprepared> {
        let TaskOfDeployment { task, max_parallelism, storage, restoring } = order;
        let ready =
            async { futures::try_join!(self.connect(&task, &control), read_state(&storage, &task, max_parallelism, restoring)) };
        let (channels, restored) = tokio::select! {
            ready = ready => ready?,
            () = control.canceled() => return Err(Unprepared::Canceled),
        };
        let attempt = task.attempt;
        let gate = (!channels.is_empty()).then(|| InputGate::new(channels, self.network.stopped_producer_grace));
        let operators = self.operators.clone();
        // A restoring sink may commit files, and a source may list directories, so this must not run on the I/O threads. Wait for
        // its end even if the task is canceled: until then the attempt may use files that the next attempt touches.
        let described = task.vertex.operators.clone();
        let waker = control.waker().for_operators();
        let build = move || {
            let mut context = OperatorContext::of_task(&task, max_parallelism).map_err(task_failure)?;
            context.waker = waker;
            build(&task, context, &operators, restored)
        };
        let mut chain = blocking(build).await??;
        if chain.needs_splits() {
            chain = splits::give(chain, (attempt.job, attempt.execution_vertex.vertex), &storage, &control).await?;
        }
        let snapshots = SnapshotWriter::start(attempt, &described, storage, self.inline_state_limit, reports.clone());
        let max_batch_rows = self.max_batch_rows;
        Ok(Task::new(TaskParts { control, chain, gate, outputs, snapshots, reports, max_batch_rows }))
    }

    async fn connect(
        &self,
        task: &TaskDeployment,
        control: &TaskControl,
    ) -> Result<Vec<(u32, weir_protocol::ExecutionAttemptId, InputChannel)>, TaskFailure> {
        let opens = task.inputs.iter().flat_map(|input| input.producers.iter().map(move |producer| (input, producer)));
        let opens = opens.map(|(input, producer)| async move {
            let channel = self.open(task, input, producer).await?;
            channel.channel().set_consumer(Waker::Slot(control.waker().clone()));
            Ok((input.input, producer.attempt, channel))
        });
        futures::future::try_join_all(opens).await
    }

    async fn open(
        &self,
        task: &TaskDeployment,
        input: &InputDeployment,
        producer: &ProducerLocation,
    ) -> Result<InputChannel, TaskFailure> {
        let consumer_subtask = task.attempt.execution_vertex.subtask;
        let key = ChannelKey { producer: producer.attempt, edge: input.edge, consumer_subtask };
        let lost = |reason: String| failure("TASK-CHANNEL-LOST", format!("lost channel to {}: {reason}", producer.attempt), true);
        if producer.task_manager == self.task_manager {
            let taken = self.channels.take(key, task.attempt, self.network.open_timeout).await;
            return taken.map(InputChannel::Local).map_err(|error| lost(error.to_string()));
        }
        let codec = schema::to_arrow(&input.schema).and_then(BatchCodec::new).map_err(task_failure)?;
        let opened = self.connections.open(&producer.task_manager, &producer.data_address, key, task.attempt, codec).await;
        opened.map(InputChannel::Remote).map_err(|error| lost(error.to_string()))
    }
}

/// Runs work of operators outside the I/O threads. If it panics, the task fails.
pub(super) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, TaskFailure> {
    match weir_world::blocking(work).await {
        Ok(done) => Ok(done),
        Err(error) if error.is_panic() => Err(panic_failure(error.into_panic().as_ref())),
        Err(_) => Err(failure("TASK-SHUTDOWN", "the TaskManager is shutting down", true)),
    }
}

async fn read_state(
    storage: &CheckpointStorage,
    task: &TaskDeployment,
    max_parallelism: u32,
    restoring: bool,
) -> Result<Option<Vec<RestoredState>>, TaskFailure> {
    if !restoring || task.restore.is_empty() {
        return Ok(None);
    }
    let subtask = task.attempt.execution_vertex.subtask;
    let parallelism = task.vertex.parallelism;
    let key_groups = key_group_range(max_parallelism, parallelism.max(1), subtask);
    let restorer = Restorer { subtask, parallelism, key_groups };
    restore::read(storage, task.attempt.job, &restorer, &task.restore).await.map(Some)
}

fn build(
    task: &TaskDeployment,
    context: OperatorContext,
    operators: &OperatorRegistry,
    restored: Option<Vec<RestoredState>>,
) -> Result<OperatorChain, TaskFailure> {
    let mut chain = OperatorChain::build(&task.vertex, operators, context).map_err(task_failure)?;
    if let Some(restored) = restored {
        chain.restore(restored).map_err(task_failure)?;
    }
    Ok(chain)
}
