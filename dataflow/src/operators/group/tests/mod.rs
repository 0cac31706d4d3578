//! Compares the operator with a model that keeps every value in lists, and with stored results of Flink.

mod expiring;
mod flink;
mod model;
mod properties;
mod state;

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{Decimal128Type, Int8Type};
use arrow_array::{
    Array, ArrayRef, BooleanArray, Decimal128Array, Float64Array, Int8Array, Int64Array, RecordBatch, StringArray,
};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde_json::{Value, json};

use crate::changelog::{ChangelogCheck, RowKind, kind_field};
use crate::key_group::KeyPartitioner;
use crate::operator::Operator;
use crate::operators::tests::{Collected, barrier, build, cell, context, restored_for};

/// A row of the tests' input. The columns d and m are made from v: `d = v / 2.0`, `m = v * 0.25`.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    k: Option<i64>,
    s: Option<String>,
    v: Option<i64>,
    keep: Option<bool>,
}

/// A row, with its kind.
type Change = (Row, RowKind);

/// The options of the operator under test.
#[derive(Debug, Clone)]
struct Setup {
    keys: Vec<&'static str>,
    takes_changes: bool,
    with_aggregates: bool,
    update_before: bool,
    ttl_ms: u64,
}

impl Setup {
    fn of(keys: &[&'static str], takes_changes: bool) -> Self {
        Self { keys: keys.to_vec(), takes_changes, with_aggregates: true, update_before: true, ttl_ms: 0 }
    }

    /// Whether the output has no kinds.
    fn is_plain(&self) -> bool {
        !self.with_aggregates && !self.takes_changes
    }

    fn descriptor(&self) -> Value {
        let mut options = json!({"keys": self.keys, "input": if self.takes_changes { "changes" } else { "rows" },
            "update_before": self.update_before, "state_ttl_ms": self.ttl_ms});
        if self.with_aggregates {
            options["aggregates"] = model::descriptors();
        }
        json!({"kind": "agg.group", "options": options})
    }
}

fn schema(takes_changes: bool) -> SchemaRef {
    let mut fields = vec![
        Field::new("k", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("v", DataType::Int64, true),
        Field::new("d", DataType::Float64, true),
        Field::new("m", DataType::Decimal128(10, 2), true),
        Field::new("keep", DataType::Boolean, true),
    ];
    fields.extend(takes_changes.then(kind_field));
    Arc::new(Schema::new(fields))
}

fn batch_of(changes: &[Change], takes_changes: bool) -> RecordBatch {
    let rows = || changes.iter().map(|(row, _)| row);
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(rows().map(|row| row.k).collect::<Int64Array>()),
        Arc::new(rows().map(|row| row.s.clone()).collect::<StringArray>()),
        Arc::new(rows().map(|row| row.v).collect::<Int64Array>()),
        Arc::new(rows().map(|row| row.v.map(|v| v as f64 / 2.0)).collect::<Float64Array>()),
        Arc::new(
            rows()
                .map(|row| row.v.map(|v| i128::from(v) * 25))
                .collect::<Decimal128Array>()
                .with_precision_and_scale(10, 2)
                .unwrap(),
        ),
        Arc::new(rows().map(|row| row.keep).collect::<BooleanArray>()),
    ];
    if takes_changes {
        columns.push(Arc::new(changes.iter().map(|(_, kind)| Some(*kind as i8)).collect::<Int8Array>()));
    }
    RecordBatch::try_new(schema(takes_changes), columns).unwrap()
}

/// A value as text; a kind as Flink writes it.
fn shown(column: &ArrayRef, row: usize) -> String {
    match column.data_type() {
        DataType::Int8 => RowKind::of(column.as_primitive::<Int8Type>().value(row)).unwrap().short().into(),
        DataType::Decimal128(..) if column.is_valid(row) => column.as_primitive::<Decimal128Type>().value_as_string(row),
        _ => cell(column, row),
    }
}

fn lines(batches: &[RecordBatch]) -> Vec<Vec<String>> {
    let row_of = |batch: &RecordBatch, row| batch.columns().iter().map(|column| shown(column, row)).collect();
    batches.iter().flat_map(|batch| (0..batch.num_rows()).map(|row| row_of(batch, row)).collect::<Vec<_>>()).collect()
}

/// The subtasks of the operator.
struct Parallel {
    setup: Setup,
    subtasks: Vec<Box<dyn Operator>>,
    /// Of each subtask's output, as long as updates have two rows and no group expires.
    check: Option<ChangelogCheck>,
    now_ms: u64,
}

impl Parallel {
    fn new(setup: &Setup, parallelism: u32) -> Self {
        let parallelism = if setup.keys.is_empty() { 1 } else { parallelism };
        let keys: Vec<String> = setup.keys.iter().map(ToString::to_string).collect();
        let mut output = None;
        let subtasks = (0..parallelism).map(|subtask| {
            let context = context(parallelism, subtask, vec![(schema(setup.takes_changes), keys.clone())]);
            let (operator, schema) = build(&setup.descriptor(), &context).unwrap();
            output = Some(schema);
            operator
        });
        let subtasks = subtasks.collect();
        let mut types: Vec<_> = output.unwrap().fields().iter().map(|field| field.data_type().clone()).collect();
        if !setup.is_plain() {
            types.pop();
        }
        let check = (setup.ttl_ms == 0 && setup.update_before).then(|| ChangelogCheck::new(types, true).unwrap());
        Self { setup: setup.clone(), subtasks, check, now_ms: 0 }
    }

    /// Processes a batch. Returns the output rows, subtask by subtask.
    fn process(&mut self, changes: &[Change]) -> Vec<Vec<String>> {
        let batch = batch_of(changes, self.setup.takes_changes);
        let keys: Vec<String> = self.setup.keys.iter().map(ToString::to_string).collect();
        let parts = if keys.is_empty() {
            vec![Some(batch)]
        } else {
            let parallelism = self.subtasks.len() as u32;
            KeyPartitioner::new(batch.schema_ref(), &keys, 128, parallelism).unwrap().partition(&batch).unwrap()
        };
        let mut out = Collected::default();
        for (part, operator) in parts.into_iter().zip(&mut self.subtasks) {
            part.into_iter().for_each(|part| operator.process(0, part, &mut out).unwrap());
        }
        if let Some(check) = &mut self.check {
            out.batches.iter().for_each(|batch| check.observe(batch).unwrap());
        }
        lines(&out.batches)
    }

    fn tick(&mut self, now_ms: u64) {
        self.now_ms = now_ms;
        let mut out = Collected::default();
        self.subtasks.iter_mut().for_each(|operator| assert_eq!(operator.on_tick(now_ms, &mut out).unwrap(), None));
        assert!(out.batches.is_empty());
    }

    /// Restores the operator from a snapshot with another parallelism.
    fn restore(&mut self, parallelism: u32) {
        let snapshots: Vec<_> = self.subtasks.iter_mut().map(|operator| operator.snapshot(&barrier(1)).unwrap()).collect();
        // Rows after the barrier must not be in the snapshot.
        if let [operator] = self.subtasks.as_mut_slice() {
            let lost = Row { k: Some(1), s: Some("lost".into()), v: Some(1_000), keep: Some(true) };
            let batch = batch_of(&[(lost, RowKind::Insert)], self.setup.takes_changes);
            operator.process(0, batch, &mut Collected::default()).unwrap();
        }
        let mut next = Self::new(&self.setup, parallelism);
        let parallelism = next.subtasks.len() as u32;
        for (restored, operator) in restored_for(snapshots, parallelism).into_iter().zip(&mut next.subtasks) {
            operator.restore(restored).unwrap();
        }
        next.check = self.check.take();
        if self.now_ms > 0 {
            next.tick(self.now_ms);
        }
        *self = next;
    }

    fn missing(&self) -> u64 {
        self.subtasks.iter().map(|operator| operator.missing_retractions()).sum()
    }
}
