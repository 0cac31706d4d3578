//! Descriptors and contexts for tests.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use serde_json::Value;
use weir_dataflow::element::{CheckpointBarrier, EventTime};
use weir_dataflow::operator::{Collector, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::source::{Source, SourcePoll};
use weir_protocol::checkpoint::CheckpointKind;
use weir_protocol::job_graph::OperatorDescriptor;
use weir_protocol::{CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch};

pub(crate) fn descriptor(kind: &str, options: Value) -> OperatorDescriptor {
    let Value::Object(options) = options else { panic!("options are an object") };
    OperatorDescriptor::new(kind, options.into_iter().collect())
}

pub(crate) fn context(subtask: u32, parallelism: u32, attempt: u32, inputs: Vec<SchemaRef>) -> OperatorContext {
    OperatorContext {
        attempt: ExecutionAttemptId {
            job: JobId(7 << 100),
            execution_vertex: ExecutionVertexId { vertex: JobVertexId::from_uid("vertex"), subtask },
            generation: Generation { epoch: LeaderEpoch(1), attempt },
        },
        operator_index: 0,
        parallelism,
        max_parallelism: 128,
        input_schemas: inputs,
        key_columns: Vec::new(),
        waker: std::task::Waker::noop().clone(),
    }
}

pub(crate) fn barrier(id: u64) -> CheckpointBarrier {
    CheckpointBarrier { id: CheckpointId(id), kind: CheckpointKind::Checkpoint, timestamp_ms: 0 }
}

/// The state of a snapshot, after the work that makes it durable.
pub(crate) fn state(snapshot: StateSnapshot) -> Bytes {
    if let Some(work) = snapshot.before_durable {
        work().unwrap();
    }
    snapshot.operator_state.unwrap()
}

/// The state that the worker passes to `subtask`: its own, or, after rescaling, that of all former subtasks.
pub(crate) fn restored(states: &[Bytes], subtask: u32, parallelism: u32) -> RestoredState {
    let former_parallelism = states.len() as u32;
    let all = (0..).zip(states.iter().cloned());
    let operator_state = all.filter(|(former, _)| former_parallelism != parallelism || *former == subtask).collect();
    RestoredState { operator_state, former_parallelism, key_groups: Vec::new() }
}

/// Gives a source that has no state the splits that it finds now, as the worker does if no others are recorded.
pub(crate) fn begin(source: &mut dyn Source) -> Result<(), OperatorError> {
    if !source.needs_splits() {
        return Ok(());
    }
    let found = source.propose_splits()?;
    source.take_splits(&found)
}

/// Polls until the source ends or has returned `polls` batches. Sets the clock to the time that the source asks for.
pub(crate) fn drain(source: &mut dyn Source, max_rows: usize, polls: usize) -> Result<Vec<RecordBatch>, OperatorError> {
    begin(source)?;
    let (mut now, mut batches) = (1_000, Vec::new());
    while batches.len() < polls {
        match source.poll(now, max_rows)? {
            SourcePoll::Batch(batch) => {
                assert!(batch.num_rows() > 0);
                batches.push(batch);
            }
            SourcePoll::NothingUntil(until) => now = until.max(now),
            SourcePoll::End => break,
        }
    }
    Ok(batches)
}

/// A collector that panics, because a sink emits no rows.
pub(crate) struct NoOutput;

impl Collector for NoOutput {
    fn collect(&mut self, _batch: RecordBatch) -> Result<(), OperatorError> {
        panic!("a sink emits no rows");
    }

    fn watermark(&mut self, _watermark: EventTime) -> Result<(), OperatorError> {
        panic!("a sink emits no watermarks");
    }
}
