//! The interface of an operator, and its context, snapshots and errors.

use std::sync::Arc;
use std::task::Waker;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use weir_protocol::{CheckpointId, ExecutionAttemptId};

use crate::element::{CheckpointBarrier, EventTime};
use crate::source::Splits;

/// One operator of a chain: a transformation, or a sink if it emits nothing.
///
/// One thread at a time calls it. The chain forwards watermarks after [`Operator::on_watermark`] returns. The task forwards
/// barriers and the end of input.
pub trait Operator: Send {
    /// Tells the wall clock (milliseconds since 1970) at which the following calls happen. The chain calls it when the clock has
    /// moved on, before the first row too.
    fn set_now(&mut self, now_ms: u64) {
        let _ = now_ms;
    }

    /// Tells of the splits of the chain's source, if it has such ([`crate::source::Source::splits`]). The following rows, until the next
    /// call, are of the current one. For operators whose watermarks depend on the order of rows.
    fn on_splits(&mut self, splits: Splits<'_>) {
        let _ = splits;
    }

    /// Processes rows that arrived on `input`. It is 0 except for the first operator of a chain with several inputs.
    fn process(&mut self, input: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError>;

    /// Handles an advance of event time: emits the results that are due. Returns the watermark to pass on, usually `watermark`,
    /// or `None` to hold it back.
    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        let _ = out;
        Ok(Some(watermark))
    }

    /// The chain calls it regularly with the wall clock (milliseconds), also when no input arrives. Used for idle detection and
    /// for rolling files. May return a watermark to pass on.
    fn on_tick(&mut self, now_ms: u64, out: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        let _ = (now_ms, out);
        Ok(None)
    }

    /// Emits the remaining rows after all inputs have ended. `on_watermark(MAX_WATERMARK)` was called before.
    fn on_end_of_input(&mut self, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let _ = out;
        Ok(())
    }

    /// Runs the synchronous part of a checkpoint: freezes the current state, cheaply. Sinks pre-commit here.
    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let _ = barrier;
        Ok(StateSnapshot::default())
    }

    /// Restores the state that former subtasks saved. If the task starts from a checkpoint that has state for this operator, the
    /// chain calls it once, before the first element. Keyed state holds only this subtask's key groups. Operator state has one entry
    /// per former subtask.
    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        let _ = restored;
        Ok(())
    }

    /// Handles a checkpoint that became durable: commits what was pre-committed for it and for all earlier checkpoints.
    /// Idempotent.
    fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        let _ = checkpoint;
        Ok(())
    }

    /// Handles a checkpoint that will never complete. Keep what was pre-committed for it: the next checkpoint covers it.
    fn notify_checkpoint_aborted(&mut self, checkpoint: CheckpointId) {
        let _ = checkpoint;
    }

    /// Returns a watermark that this operator generates. The chain asks after each call of `process`, and passes it on after the
    /// collected batches.
    fn take_watermark(&mut self) -> Option<EventTime> {
        None
    }

    /// Whether this watermark generator has seen no rows for its idle timeout. If so, downstream must not wait for its watermark.
    fn is_idle(&self) -> bool {
        false
    }

    /// Whether the operator emits rows with this input column unchanged, and on the subtask where they arrived. If so, later
    /// keyed operators can rely on the partitioning by that column.
    fn keeps_column(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Whether the operator can take more rows now. If not, the task takes no input, and asks again at every tick of its clock. It
    /// must become true without a barrier, because a barrier may wait behind the rows.
    fn has_room(&self) -> bool {
        true
    }

    /// Number of rows dropped because they were too late, since the start of this attempt.
    fn late_records(&self) -> u64 {
        0
    }

    /// Number of values that were to be taken back and had been forgotten before, since the start of this attempt.
    fn missing_retractions(&self) -> u64 {
        0
    }
}

/// Receives an operator's output: the next operator of the chain, or the task's outputs.
pub trait Collector {
    /// Passes a batch on. Empty batches are dropped.
    fn collect(&mut self, batch: RecordBatch) -> Result<(), OperatorError>;

    /// Passes a watermark on, between two batches of one call of [`Operator::process`]. Needed where later rows of the same call may
    /// be late; otherwise an operator returns its watermarks.
    fn watermark(&mut self, watermark: EventTime) -> Result<(), OperatorError>;
}

/// Describes to an operator, at its creation, the task and the inputs it runs with.
#[derive(Debug, Clone)]
pub struct OperatorContext {
    pub attempt: ExecutionAttemptId,
    /// Position of the operator in the chain, from 0.
    pub operator_index: u32,
    /// Number of parallel instances of the operator's vertex.
    pub parallelism: u32,
    /// Number of key groups of the job.
    pub max_parallelism: u32,
    /// Schemas of the inputs, by input number; empty for sources.
    pub input_schemas: Vec<SchemaRef>,
    /// By input number, the columns that the input is hash-partitioned by; empty if it is not.
    pub key_columns: Vec<Vec<String>>,
    /// Makes the task look at its operators again soon: whether the source has rows ([`crate::source::Source::has_news`]), whether
    /// there is room ([`Operator::has_room`]). For operators that work in the background.
    pub waker: Waker,
}

impl OperatorContext {
    /// The number of this parallel instance, from 0.
    pub fn subtask(&self) -> u32 {
        self.attempt.execution_vertex.subtask
    }
}

/// The state that an operator froze at a barrier. It is serialised in the background.
#[derive(Default)]
pub struct StateSnapshot {
    /// State that is not keyed, already serialised. It must be small, for example offsets or transactions.
    pub operator_state: Option<Bytes>,
    /// Keyed state by key group, in increasing order, without empty groups.
    pub key_groups: Vec<KeyGroupSnapshot>,
    /// Slow work that must succeed before the snapshot counts, for example to make written files durable.
    pub before_durable: Option<BeforeDurable>,
    /// Operator state that is known only after slow work, for example when brokers have acknowledged all records. It takes the place
    /// of `operator_state`.
    pub late_operator_state: Option<LateOperatorState>,
}

/// Work that is done on another thread, for the snapshots of an attempt in their order. If it fails, the snapshot is declined. If
/// the snapshot can't be written at all, the work is never done, so that of the next one must include it.
pub type BeforeDurable = Box<dyn FnOnce() -> Result<(), OperatorError> + Send>;

/// Serialised operator state after work like that of [`BeforeDurable`], with the same conditions.
pub type LateOperatorState = Box<dyn FnOnce() -> Result<Bytes, OperatorError> + Send>;

/// One key group's frozen state.
pub struct KeyGroupSnapshot {
    pub key_group: u32,
    /// Number of the last state change in this group, counted per attempt. If a completed checkpoint of this attempt holds the
    /// group at the same number, the new checkpoint refers to those bytes instead of writing them again.
    pub version: u64,
    /// Serialises the frozen state. It is called at most once, on another thread.
    pub serialize: Box<dyn FnOnce() -> Result<Bytes, OperatorError> + Send>,
}

/// The state from which an operator is restored.
#[derive(Debug, Clone, Default)]
pub struct RestoredState {
    /// Former subtask and its operator state, in subtask order, for those that saved some. If the parallelism is unchanged, the
    /// worker passes only this subtask's own state. After rescaling it passes that of all former subtasks (union).
    pub operator_state: Vec<(u32, Bytes)>,
    /// Number of subtasks that saved the state. 0 if the checkpoint has no state for this operator.
    pub former_parallelism: u32,
    /// Key group and its state, for the key groups of this subtask.
    pub key_groups: Vec<(u32, Bytes)>,
}

/// An error of an operator, source or sink.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub struct OperatorError {
    /// A stable code, e.g. `EXPR-TYPE`.
    pub code: &'static str,
    /// What happened, and what the user can do.
    pub message: String,
    /// Whether a restart from the last checkpoint can help.
    pub retryable: bool,
}

impl OperatorError {
    /// Creates an error that a restart can't fix, for example bad options or bad data.
    pub fn fatal(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false }
    }

    /// Creates an error that may be temporary, for example failed I/O or a full disk.
    pub fn retryable(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: true }
    }
}

/// A shared Arrow schema, as operators hold it.
pub type Schema = Arc<arrow_schema::Schema>;
