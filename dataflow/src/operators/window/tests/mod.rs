//! Tests windows, called as a chain calls them.

mod hand_written;
mod sql;

use std::sync::Arc;

use arrow_array::{Float64Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use serde_json::Value;

use crate::key_group::KeyPartitioner;
use crate::operator::Operator;
use crate::operators::tests::{Collected, barrier, build, context, restored_for};

/// Key, second key, time, value.
type Row = (Option<i64>, Option<String>, i64, Option<i64>);

fn batch_of(rows: &[Row]) -> RecordBatch {
    RecordBatch::try_new(
        input(),
        vec![
            Arc::new(rows.iter().map(|r| r.0).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| r.1.clone()).collect::<StringArray>()),
            Arc::new(rows.iter().map(|r| Some(r.2)).collect::<TimestampMillisecondArray>()),
            Arc::new(rows.iter().map(|r| r.3).collect::<Int64Array>()),
            Arc::new(rows.iter().map(|r| r.3.map(|v| v as f64 / 2.0)).collect::<Float64Array>()),
        ],
    )
    .unwrap()
}

fn input() -> SchemaRef {
    let time = DataType::Timestamp(arrow_schema::TimeUnit::Millisecond, None);
    Arc::new(Schema::new(vec![
        Field::new("k", DataType::Int64, true),
        Field::new("s", DataType::Utf8, true),
        Field::new("t", time, false),
        Field::new("v", DataType::Int64, true),
        Field::new("d", DataType::Float64, true),
    ]))
}

/// The subtasks of one operator.
struct Parallel {
    subtasks: Vec<(Box<dyn Operator>, Collected)>,
    keys: Vec<String>,
    descriptor: Value,
    /// Makes a batch of rows.
    batch: fn(&[Row]) -> RecordBatch,
}

impl Parallel {
    fn new(parallelism: u32, keys: &[&str], descriptor: Value, batch: fn(&[Row]) -> RecordBatch) -> Self {
        let input = batch(&[]).schema();
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let subtasks = (0..parallelism).map(|subtask| {
            let context = context(parallelism, subtask, vec![(input.clone(), keys.clone())]);
            (build(&descriptor, &context).unwrap().0, Collected::default())
        });
        Self { subtasks: subtasks.collect(), keys: keys.clone(), descriptor: descriptor.clone(), batch }
    }

    fn rows(&mut self, rows: &[Row]) {
        let batch = (self.batch)(rows);
        let mut partitioner = KeyPartitioner::new(&batch.schema(), &self.keys, 128, self.subtasks.len() as u32).unwrap();
        for (part, (operator, out)) in partitioner.partition(&batch).unwrap().into_iter().zip(&mut self.subtasks) {
            part.into_iter().for_each(|part| operator.process(0, part, out).unwrap());
        }
    }

    fn watermark(&mut self, watermark: i64) {
        for (operator, out) in &mut self.subtasks {
            operator.on_watermark(watermark, out).unwrap();
        }
    }

    /// Restores the operator from a snapshot with another parallelism. Rows already emitted stay in the output.
    fn restore(&mut self, parallelism: u32) {
        let parallelism = if self.keys.is_empty() { 1 } else { parallelism };
        let snapshots: Vec<_> = self.subtasks.iter_mut().map(|(operator, _)| operator.snapshot(&barrier(1)).unwrap()).collect();
        // Rows after the barrier must not be in the snapshot.
        let lost = (self.batch)(&[(Some(1), Some("lost".into()), 5, Some(1_000))]);
        if let [(operator, _)] = self.subtasks.as_mut_slice() {
            operator.process(0, lost, &mut Collected::default()).unwrap();
        }
        let emitted: Vec<_> = self.subtasks.drain(..).flat_map(|(_, out)| out.batches).collect();
        let mut next = Self::new(
            parallelism,
            &self.keys.iter().map(String::as_str).collect::<Vec<_>>(),
            self.descriptor.clone(),
            self.batch,
        );
        for (restored, (operator, _)) in restored_for(snapshots, parallelism).into_iter().zip(&mut next.subtasks) {
            operator.restore(restored).unwrap();
        }
        next.subtasks[0].1.batches = emitted;
        *self = next;
    }

    fn late(&self) -> u64 {
        self.subtasks.iter().map(|(operator, _)| operator.late_records()).sum::<u64>()
    }

    fn lines(&self) -> Vec<Vec<String>> {
        self.subtasks.iter().flat_map(|(_, out)| out.lines()).collect()
    }
}
