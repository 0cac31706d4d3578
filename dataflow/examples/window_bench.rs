//! Prints how many rows per second of processor time are aggregated into tumbling windows: count, sum and max by a bigint key.
//! Run with `cargo run --release -p weir-dataflow --example window_bench`.

#![allow(clippy::print_stdout, reason = "an example prints as a small program would")]

use std::error::Error;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, TimestampMillisecondArray};
use serde_json::json;
use weir_dataflow::element::{CheckpointBarrier, EventTime, MAX_WATERMARK};
use weir_dataflow::operator::{Collector, OperatorContext, OperatorError};
use weir_dataflow::operators::register_operators;
use weir_dataflow::registry::{BuiltOperator, OperatorRegistry};
use weir_protocol::checkpoint::CheckpointKind;
use weir_protocol::{CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch};

const BATCH_ROWS: usize = 8_192;
const BATCHES: usize = 2_000;

struct Counted(u64);

impl Collector for Counted {
    fn collect(&mut self, batch: RecordBatch) -> Result<(), OperatorError> {
        self.0 += batch.num_rows() as u64;
        Ok(())
    }

    fn watermark(&mut self, _: EventTime) -> Result<(), OperatorError> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    for (keys, rows_per_ms, kind, slide) in [
        (1_000, 100, "window.tumbling", 10_000),
        (10_000, 100, "window.tumbling", 10_000),
        (1_000_000, 1_000, "window.tumbling", 10_000),
        (10_000, 100, "window.hopping", 1_000),
        (10_000, 1, "window.tumbling", 100),
    ] {
        let seconds = run(keys, rows_per_ms, kind, slide)?;
        let rows = (BATCHES * BATCH_ROWS) as f64;
        println!("{kind} {keys} keys, {rows_per_ms} rows per ms, slide {slide} ms: {:.1} M rows/s", rows / seconds / 1e6);
    }
    Ok(())
}

fn run(keys: u64, rows_per_ms: u64, kind: &str, slide: u64) -> Result<f64, Box<dyn Error>> {
    let batches = batches(keys, rows_per_ms)?;
    let size = if slide < 1_000 { slide } else { 10_000 };
    let mut options = json!({
        "time_column": "time", "size_ms": size, "keys": ["key"],
        "aggregates": [
            {"name": "rows", "function": "count"},
            {"name": "total", "function": "sum", "column": "price"},
            {"name": "highest", "function": "max", "column": "price"},
        ],
    });
    if kind == "window.hopping" {
        options["slide_ms"] = json!(slide);
    }
    let context = OperatorContext {
        attempt: ExecutionAttemptId {
            job: JobId(1),
            execution_vertex: ExecutionVertexId { vertex: JobVertexId::from_uid("bench"), subtask: 0 },
            generation: Generation { epoch: LeaderEpoch(1), attempt: 1 },
        },
        operator_index: 0,
        parallelism: 1,
        max_parallelism: 128,
        input_schemas: vec![batches[0].schema()],
        key_columns: vec![Vec::new()],
        waker: std::task::Waker::noop().clone(),
    };
    let mut registry = OperatorRegistry::default();
    register_operators(&mut registry);
    let descriptor = serde_json::from_value(json!({"kind": kind, "options": options}))?;
    let BuiltOperator::Transform(mut operator, _) = registry.build(&descriptor, &context)? else {
        return Err("not a transformation".into());
    };
    let mut out = Counted(0);
    let before = processor_seconds()?;
    for (index, batch) in batches.into_iter().enumerate() {
        let last = (index + 1) as i64 * BATCH_ROWS as i64 / rows_per_ms as i64 - 1;
        operator.process(0, batch, &mut out)?;
        operator.on_watermark(last - 1, &mut out)?;
        if index % 500 == 499 {
            // Take a checkpoint regularly and serialise it at once.
            let barrier = CheckpointBarrier { id: CheckpointId(index as u64), kind: CheckpointKind::Checkpoint, timestamp_ms: 0 };
            for group in operator.snapshot(&barrier)?.key_groups {
                (group.serialize)()?;
            }
        }
    }
    operator.on_watermark(MAX_WATERMARK, &mut out)?;
    Ok(processor_seconds()? - before)
}

/// The time that this thread has spent on a processor.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?;
    Ok(nanoseconds / 1e9)
}

fn batches(keys: u64, rows_per_ms: u64) -> Result<Vec<RecordBatch>, Box<dyn Error>> {
    let mut random = 1u64;
    let mut draw = move |below: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((random >> 33) % below) as i64
    };
    let mut batches = Vec::with_capacity(BATCHES);
    for batch in 0..BATCHES {
        let time = |row: usize| ((batch * BATCH_ROWS + row) as u64 / rows_per_ms) as i64;
        let columns: [(&str, ArrayRef); 3] = [
            ("key", Arc::new(Int64Array::from_iter_values((0..BATCH_ROWS).map(|_| draw(keys))))),
            ("price", Arc::new(Int64Array::from_iter_values((0..BATCH_ROWS).map(|_| draw(10_000))))),
            ("time", Arc::new(TimestampMillisecondArray::from_iter_values((0..BATCH_ROWS).map(time)))),
        ];
        batches.push(RecordBatch::try_from_iter(columns)?);
    }
    Ok(batches)
}
