//! Operators: the links of a chain.

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use weir_protocol::{CheckpointId, ExecutionAttemptId};

use crate::element::{CheckpointBarrier, EventTime};

/// A link of an operator chain: a transformation, or a sink if it emits nothing.
///
/// Called by one thread at a time. Watermarks are forwarded by the chain after [`Operator::on_watermark`] returns;
/// barriers and end of input by the task.
pub trait Operator: Send {
    /// Processes rows that arrived on `input` (0 save for the first operator of a chain with several inputs).
    fn process(&mut self, input: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError>;

    /// Event time has advanced: fire what is due. Returns the watermark to pass on (usually `watermark`), or `None` to hold it.
    fn on_watermark(&mut self, watermark: EventTime, out: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        let _ = out;
        Ok(Some(watermark))
    }

    /// Called now and then with the wall clock (milliseconds), also when no input arrives: idle detection, rolling files.
    /// May return a watermark to pass on.
    fn on_tick(&mut self, now_ms: u64, out: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        let _ = (now_ms, out);
        Ok(None)
    }

    /// All inputs have ended; `on_watermark(MAX_WATERMARK)` was called before. Emit what is left.
    fn on_end_of_input(&mut self, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let _ = out;
        Ok(())
    }

    /// The synchronous part of a checkpoint: freeze the state as of now, cheaply. Sinks pre-commit here.
    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let _ = barrier;
        Ok(StateSnapshot::default())
    }

    /// Takes back what former subtasks saved. Called once, before the first element, only when restoring.
    /// Keyed state is already filtered to this subtask's key groups; operator state comes as one entry per former subtask.
    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        let _ = restored;
        Ok(())
    }

    /// The checkpoint is durable: commit what was pre-committed for it and for all before it. Idempotent.
    fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        let _ = checkpoint;
        Ok(())
    }

    /// The checkpoint will never complete. What was pre-committed for it stays, to be covered by the next one.
    fn notify_checkpoint_aborted(&mut self, checkpoint: CheckpointId) {
        let _ = checkpoint;
    }

    /// Asked by the chain after each call of `process`: a watermark this operator generates, to pass on after what it collected.
    fn take_watermark(&mut self) -> Option<EventTime> {
        None
    }

    /// Whether this operator, a watermark generator, has seen nothing for so long that nobody should wait for its watermark.
    fn is_idle(&self) -> bool {
        false
    }

    /// Whether rows leave with this input column unchanged and keep their place among the subtasks, so that keyed operators
    /// after this one may rely on the partitioning by it.
    fn keeps_column(&self, name: &str) -> bool {
        let _ = name;
        false
    }

    /// Rows dropped because they were too late, since the start of this attempt.
    fn late_records(&self) -> u64 {
        0
    }
}

/// Where an operator's output goes: the next link, or the task's outputs.
pub trait Collector {
    /// Passes a batch on. Empty batches are dropped.
    fn collect(&mut self, batch: RecordBatch) -> Result<(), OperatorError>;
}

/// What an operator gets at its creation.
#[derive(Debug, Clone)]
pub struct OperatorContext {
    /// The attempt it runs in.
    pub attempt: ExecutionAttemptId,
    /// Its position in the chain, from 0.
    pub operator_index: u32,
    /// Number of parallel instances of its vertex.
    pub parallelism: u32,
    /// Number of key groups of the job.
    pub max_parallelism: u32,
    /// Schemas of its inputs, by input number; empty for sources.
    pub input_schemas: Vec<SchemaRef>,
    /// For keyed operators, by input number: the key columns the input is partitioned by, empty if it is not.
    pub key_columns: Vec<Vec<String>>,
}

impl OperatorContext {
    /// Which parallel instance, from 0.
    pub fn subtask(&self) -> u32 {
        self.attempt.execution_vertex.subtask
    }
}

/// What an operator froze at a barrier; turned into bytes in the background.
#[derive(Default)]
pub struct StateSnapshot {
    /// State that is not keyed, already serialised (small: offsets, transactions).
    pub operator_state: Option<Bytes>,
    /// Keyed state by key group, in increasing order, empty groups left out.
    pub key_groups: Vec<KeyGroupSnapshot>,
}

/// One key group's frozen state.
pub struct KeyGroupSnapshot {
    /// Which key group.
    pub key_group: u32,
    /// Number of the state change that last touched it. A counter per attempt: if a completed checkpoint of this attempt
    /// holds the group at the same number, its bytes are referenced again instead of written again.
    pub version: u64,
    /// Serialises the frozen state; called at most once, on another thread.
    pub serialize: Box<dyn FnOnce() -> Result<Bytes, OperatorError> + Send>,
}

/// What an operator takes back.
#[derive(Debug, Clone, Default)]
pub struct RestoredState {
    /// Operator state of each former subtask that had some, in subtask order. With unchanged parallelism the worker passes only
    /// this subtask's own; when rescaling, every former subtask's (union).
    pub operator_state: Vec<(u32, Bytes)>,
    /// Number of former subtasks.
    pub former_parallelism: u32,
    /// Keyed state of this subtask's key groups.
    pub key_groups: Vec<(u32, Bytes)>,
}

/// What went wrong in an operator, source or sink.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{code}: {message}")]
pub struct OperatorError {
    /// A stable code, e.g. `EXPR-TYPE`.
    pub code: &'static str,
    /// What happened, and what to try.
    pub message: String,
    /// Whether starting again from the last checkpoint can help.
    pub retryable: bool,
}

impl OperatorError {
    /// An error that a restart can't mend: bad options, bad data.
    pub fn fatal(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: false }
    }

    /// An error that may pass: I/O, a full disk.
    pub fn retryable(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), retryable: true }
    }
}

/// The key groups of one subtask: a contiguous range, Flink's assignment.
pub fn key_group_range(max_parallelism: u32, parallelism: u32, subtask: u32) -> std::ops::Range<u32> {
    let start = (u64::from(subtask) * u64::from(max_parallelism)).div_ceil(u64::from(parallelism));
    let end = (u64::from(subtask + 1) * u64::from(max_parallelism)).div_ceil(u64::from(parallelism));
    start as u32..end as u32
}

/// The subtask that owns a key group: the inverse of [`key_group_range`].
pub fn subtask_of_key_group(max_parallelism: u32, parallelism: u32, key_group: u32) -> u32 {
    (u64::from(key_group) * u64::from(parallelism) / u64::from(max_parallelism)) as u32
}

/// A schema as operators hold it.
pub type Schema = Arc<arrow_schema::Schema>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_group_belongs_to_exactly_the_subtask_that_routing_names() {
        for max_parallelism in [1, 2, 7, 128, 1000] {
            for parallelism in 1..=max_parallelism.min(40) {
                let mut next = 0;
                for subtask in 0..parallelism {
                    let range = key_group_range(max_parallelism, parallelism, subtask);
                    assert_eq!(range.start, next);
                    next = range.end;
                    for key_group in range {
                        assert_eq!(subtask_of_key_group(max_parallelism, parallelism, key_group), subtask);
                    }
                }
                assert_eq!(next, max_parallelism);
            }
        }
    }
}
