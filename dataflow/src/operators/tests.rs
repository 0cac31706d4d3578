//! Tests operators and chains, called as a task calls them.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use arrow_schema::{DataType, SchemaRef};
use serde_json::{Value, json};
use weir_protocol::checkpoint::CheckpointKind;
use weir_protocol::job_graph::{DataType as ColumnType, Field, JobVertex};
use weir_protocol::{CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch};

use crate::chain::{ChainPoll, OperatorChain};
use crate::element::{CheckpointBarrier, MAX_WATERMARK};
use crate::key_group::subtask_of_key_group;
use crate::operator::{Collector, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use crate::operators::register_operators;
use crate::registry::{BuiltOperator, OperatorRegistry};
use crate::schema;
use crate::source::{Source, SourcePoll};

/// The context of one subtask of a job with 128 key groups.
pub(crate) fn context(parallelism: u32, subtask: u32, inputs: Vec<(SchemaRef, Vec<String>)>) -> OperatorContext {
    let vertex = JobVertexId::from_uid("test");
    let (input_schemas, key_columns) = inputs.into_iter().unzip();
    OperatorContext {
        attempt: ExecutionAttemptId {
            job: JobId(1),
            execution_vertex: ExecutionVertexId { vertex, subtask },
            generation: Generation { epoch: LeaderEpoch(1), attempt: 1 },
        },
        operator_index: 0,
        parallelism,
        max_parallelism: 128,
        input_schemas,
        key_columns,
        waker: std::task::Waker::noop().clone(),
    }
}

/// A collector that keeps every batch.
#[derive(Default)]
pub(crate) struct Collected {
    pub(crate) batches: Vec<RecordBatch>,
    /// Watermarks that went out between batches, each with the number of batches before it.
    pub(crate) watermarks: Vec<(usize, i64)>,
}

impl Collector for Collected {
    fn collect(&mut self, batch: RecordBatch) -> Result<(), OperatorError> {
        self.batches.push(batch);
        Ok(())
    }

    fn watermark(&mut self, watermark: i64) -> Result<(), OperatorError> {
        self.watermarks.push((self.batches.len(), watermark));
        Ok(())
    }
}

impl Collected {
    /// Every row as a list of texts.
    pub(crate) fn lines(&self) -> Vec<Vec<String>> {
        let row_of = |batch: &RecordBatch, row: usize| batch.columns().iter().map(|column| cell(column, row)).collect();
        self.batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| row_of(batch, row)).collect::<Vec<_>>()).collect()
    }
}

/// A value as text.
pub(crate) fn cell(column: &ArrayRef, row: usize) -> String {
    if column.is_null(row) {
        return "NULL".into();
    }
    match column.data_type() {
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(row).to_string(),
        DataType::Float64 => format!("{:?}", column.as_primitive::<Float64Type>().value(row)),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Utf8 => column.as_string::<i32>().value(row).to_owned(),
        _ => column.as_primitive::<TimestampMillisecondType>().value(row).to_string(),
    }
}

pub(crate) fn barrier(id: u64) -> CheckpointBarrier {
    CheckpointBarrier { id: CheckpointId(id), kind: CheckpointKind::Checkpoint, timestamp_ms: 0 }
}

/// Builds the operator of a JSON descriptor. Returns it with its output schema.
pub(crate) fn build(descriptor: &Value, context: &OperatorContext) -> Result<(Box<dyn Operator>, SchemaRef), OperatorError> {
    match registry().build(&serde_json::from_value(descriptor.clone()).unwrap(), context)? {
        BuiltOperator::Transform(operator, schema) => Ok((operator, schema)),
        _ => panic!("not a transformation"),
    }
}

/// The state that each of `parallelism` new subtasks restores from the snapshots of the former subtasks.
pub(crate) fn restored_for(snapshots: Vec<StateSnapshot>, parallelism: u32) -> Vec<RestoredState> {
    let former_parallelism = snapshots.len() as u32;
    let mut restored: Vec<_> =
        (0..parallelism).map(|_| RestoredState { former_parallelism, ..RestoredState::default() }).collect();
    for (former, snapshot) in snapshots.into_iter().enumerate() {
        if let Some(state) = snapshot.operator_state {
            restored.iter_mut().for_each(|restored| restored.operator_state.push((former as u32, state.clone())));
        }
        for group in snapshot.key_groups {
            let owner = subtask_of_key_group(128, parallelism, group.key_group) as usize;
            restored[owner].key_groups.push((group.key_group, (group.serialize)().unwrap()));
        }
    }
    restored
}

pub(crate) fn registry() -> OperatorRegistry {
    let mut registry = OperatorRegistry::default();
    register_operators(&mut registry);
    registry.register("x.numbers", |_, _| Ok(BuiltOperator::Source(Box::new(Numbers { next: 0 }), numbers_schema())));
    registry.register("x.clock", |_, _| Ok(BuiltOperator::Transform(Box::new(Stamp { now_ms: 0 }), stamped_schema())));
    registry.register("x.drop", |_, _| Ok(BuiltOperator::Sink(Box::new(Drop))));
    registry
}

fn numbers_schema() -> SchemaRef {
    let field = |name: &str, data_type| Field { name: name.into(), data_type, nullable: false };
    schema::to_arrow(&[field("n", ColumnType::Bigint), field("t", ColumnType::Timestamp(3))]).unwrap()
}

fn numbers(from: i64, to: i64) -> RecordBatch {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(Int64Array::from_iter_values(from..to)),
        Arc::new(TimestampMillisecondArray::from_iter_values((from..to).map(|n| n * 10))),
    ];
    RecordBatch::try_new(numbers_schema(), columns).unwrap()
}

/// A source of the numbers 0 to 99, ten per batch. Number n has event time 10 n.
struct Numbers {
    next: i64,
}

impl Source for Numbers {
    fn poll(&mut self, _: u64, _: usize) -> Result<SourcePoll, OperatorError> {
        if self.next >= 100 {
            return Ok(SourcePoll::End);
        }
        self.next += 10;
        Ok(SourcePoll::Batch(numbers(self.next - 10, self.next)))
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let state = Some(bytes::Bytes::copy_from_slice(&self.next.to_le_bytes()));
        Ok(StateSnapshot { operator_state: state, ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        self.next = i64::from_le_bytes(restored.operator_state[0].1.as_ref().try_into().unwrap());
        Ok(())
    }
}

fn stamped_schema() -> SchemaRef {
    schema::to_arrow(&[Field { name: "now".into(), data_type: ColumnType::Bigint, nullable: false }]).unwrap()
}

/// Emits the time of each batch.
struct Stamp {
    now_ms: u64,
}

impl Operator for Stamp {
    fn set_now(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
    }

    fn process(&mut self, _: u32, _: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let now: ArrayRef = Arc::new(Int64Array::from_iter_values([self.now_ms as i64]));
        out.collect(RecordBatch::try_new(stamped_schema(), vec![now]).unwrap())
    }
}

struct Drop;

impl Operator for Drop {
    fn process(&mut self, _: u32, _: RecordBatch, _: &mut dyn Collector) -> Result<(), OperatorError> {
        Ok(())
    }
}

fn vertex(operators: Value, output: Value) -> JobVertex {
    serde_json::from_value(json!({"id": "v", "parallelism": 1, "operators": operators, "output_schema": output})).unwrap()
}

fn tens(output: Value) -> JobVertex {
    let operators = json!([
        {"kind": "x.numbers"},
        {"kind": "filter", "options": {"predicate": "n % 2 = 0"}},
        {"kind": "watermark", "options": {"column": "t", "out_of_orderness_ms": 0, "idle_timeout_ms": 50}},
        {"kind": "project", "options": {"columns": [{"name": "t", "expr": "t"}, {"name": "parity", "expr": "n % 4"}, {"name": "n", "expr": "n"}]}},
        {"kind": "window.tumbling", "options": {"time_column": "t", "size_ms": 200, "keys": ["parity"], "aggregates": [
            {"name": "sum", "function": "sum", "column": "n"}]}},
    ]);
    vertex(operators, output)
}

fn chain(vertex: &JobVertex) -> Result<OperatorChain, OperatorError> {
    OperatorChain::build(vertex, &registry(), context(1, 0, vec![]))
}

fn finish(chain: &mut OperatorChain, out: &mut Collected, watermarks: &mut Vec<i64>) {
    while let ChainPoll::Processed { watermark, .. } = chain.poll_source(0, 100, out).unwrap() {
        watermarks.extend(watermark);
    }
    watermarks.extend(chain.end_of_input(out).unwrap());
}

#[test]
fn a_chain_runs_from_source_to_window_and_ends_with_the_maximum_watermark() {
    let output = json!([{"name": "window_start", "type": "timestamp_ms"}, {"name": "parity", "type": "bigint"}, {"name": "sum", "type": "bigint"}]);
    let mut chain = chain(&tens(output)).unwrap();
    let (mut out, mut watermarks) = (Collected::default(), Vec::new());
    finish(&mut chain, &mut out, &mut watermarks);
    assert_eq!(out.lines().len(), 10);
    assert_eq!(out.lines()[..3], [["0", "0", "40"], ["0", "2", "50"], ["200", "0", "140"]]);
    assert_eq!(watermarks[..2], [79, 179]);
    assert_eq!(watermarks.last(), Some(&MAX_WATERMARK));
    assert!(watermarks.is_sorted_by(|a, b| a < b));
    assert!(out.batches.iter().all(|batch| Some(batch.schema_ref()) == chain.output_schema()));
    assert_eq!(chain.end_of_input(&mut out).unwrap(), None);
    assert_eq!(chain.poll_source(0, 100, &mut out).unwrap(), ChainPoll::End);
}

#[test]
fn operators_see_the_wall_clock_of_each_batch_and_it_never_goes_back() {
    let mut source = chain(&vertex(json!([{"kind": "x.numbers"}, {"kind": "x.clock"}]), json!([]))).unwrap();
    let mut out = Collected::default();
    for now_ms in [5, 7, 6] {
        source.poll_source(now_ms, 100, &mut out).unwrap();
    }
    let inputs = vec![(numbers_schema(), vec![])];
    let clock = vertex(json!([{"kind": "x.clock"}]), json!([]));
    let mut fed = OperatorChain::build(&clock, &registry(), context(1, 0, inputs)).unwrap();
    fed.set_now(9);
    fed.process(0, numbers(0, 1), &mut out).unwrap();
    fed.tick(11, &mut out).unwrap();
    fed.process(0, numbers(0, 1), &mut out).unwrap();
    assert_eq!(out.lines(), [["5"], ["7"], ["7"], ["9"], ["11"]]);
}

#[test]
fn a_chain_restored_at_any_point_emits_the_same_rows() {
    let mut whole = Collected::default();
    finish(&mut chain(&tens(json!([]))).unwrap(), &mut whole, &mut Vec::new());
    for stop in 0..10 {
        let (mut first, mut out) = (chain(&tens(json!([]))).unwrap(), Collected::default());
        (0..stop).for_each(|_| {
            first.poll_source(0, 100, &mut out).unwrap();
        });
        let snapshots = first.snapshot(&barrier(1)).unwrap();
        assert_eq!(snapshots.len(), first.operators());
        let restored = snapshots.into_iter().map(|snapshot| restored_for(vec![snapshot], 1).remove(0)).collect();
        let mut second = chain(&tens(json!([]))).unwrap();
        second.restore(restored).unwrap();
        finish(&mut second, &mut out, &mut Vec::new());
        assert_eq!(out.lines(), whole.lines(), "stopped after {stop} polls");
    }
}

#[test]
fn in_a_restored_chain_an_operator_without_saved_state_starts_empty() {
    let (mut first, mut whole) = (chain(&tens(json!([]))).unwrap(), Collected::default());
    finish(&mut first, &mut whole, &mut Vec::new());
    let (mut second, mut out) = (chain(&tens(json!([]))).unwrap(), Collected::default());
    second.restore(vec![RestoredState::default(); first.operators()]).unwrap();
    finish(&mut second, &mut out, &mut Vec::new());
    assert_eq!(out.lines(), whole.lines());
    let entries = vec![RestoredState::default(); first.operators() + 1];
    assert_eq!(chain(&tens(json!([]))).unwrap().restore(entries).unwrap_err().code, "CHAIN-RESTORE");
}

#[test]
fn an_invalid_chain_is_refused_with_a_code() {
    let refused = |vertex: JobVertex| chain(&vertex).err().map(|e| e.code);
    assert_eq!(refused(tens(json!([{"name": "sum", "type": "bigint"}]))), Some("CHAIN-SCHEMA"));
    let filter = json!({"kind": "filter", "options": {"predicate": "n = 1"}});
    assert_eq!(refused(vertex(json!([filter]), json!([]))), Some("CHAIN-SHAPE"));
    assert_eq!(refused(vertex(json!([{"kind": "x.numbers"}, {"kind": "x.numbers"}]), json!([]))), Some("CHAIN-SHAPE"));
    assert_eq!(refused(vertex(json!([{"kind": "x.numbers"}, {"kind": "x.drop"}, filter]), json!([]))), Some("CHAIN-SHAPE"));
    assert_eq!(refused(vertex(json!([{"kind": "x.numbers"}, {"kind": "x.none"}]), json!([]))), Some("OP-UNKNOWN"));
    let error = chain(&vertex(json!([{"kind": "x.numbers"}, {"kind": "filter", "options": {"predicate": "m = 1"}}]), json!([])))
        .err()
        .unwrap();
    assert!(error.code == "EXPR-COLUMN" && error.message.starts_with("operator 1 (filter) of vertex \"v\": "), "{error}");
}

#[test]
fn a_watermark_generator_reports_idleness_until_the_next_row() {
    let descriptor = json!({"kind": "watermark", "options": {"column": "t", "out_of_orderness_ms": 5, "idle_timeout_ms": 50}});
    let (mut generator, _) = build(&descriptor, &context(1, 0, vec![(numbers_schema(), vec![])])).unwrap();
    let mut out = Collected::default();
    generator.on_tick(1_000, &mut out).unwrap();
    generator.on_tick(1_049, &mut out).unwrap();
    assert!(!generator.is_idle());
    generator.on_tick(1_050, &mut out).unwrap();
    assert!(generator.is_idle());
    generator.process(0, numbers(0, 3), &mut out).unwrap();
    assert!(!generator.is_idle());
    assert_eq!((generator.take_watermark(), generator.take_watermark()), (Some(14), None));
    assert_eq!(generator.on_watermark(7_000, &mut out).unwrap(), None);
}
