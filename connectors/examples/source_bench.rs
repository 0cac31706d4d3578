//! Prints how many bids per second of processor time are read from the files of `nexmark_files`, with all columns and with some, and
//! how many events the generator makes. Run with `cargo run --release -p weir-connectors --example source_bench -- DIR`.

#![allow(clippy::print_stdout, reason = "an example prints as a small program would")]

use std::error::Error;

use serde_json::{Value, json};
use weir_connectors::register_connectors;
use weir_dataflow::operator::OperatorContext;
use weir_dataflow::registry::{BuiltOperator, OperatorRegistry};
use weir_dataflow::source::SourcePoll;
use weir_protocol::{ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch};

const BATCH_ROWS: usize = 8_192;
const GENERATED: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let directory = std::env::args().nth(1).ok_or("argument: the directory that nexmark_files has written")?;
    let all = ["auction", "bidder", "price", "channel", "url", "dateTime", "extra"];
    for columns in [all.as_slice(), &["auction", "bidder", "price", "dateTime", "extra"], &["auction", "price", "dateTime"]] {
        let column = |name: &&str| {
            let data_type = match *name {
                "auction" | "bidder" | "price" => "BIGINT",
                "dateTime" => "TIMESTAMP(3)",
                _ => "STRING",
            };
            json!({"name": name, "type": data_type, "nullable": true})
        };
        let schema: Vec<Value> = all.iter().map(column).collect();
        let options = json!({"path": format!("{directory}/bid"), "format": "csv", "header": false, "empty_text": "text",
            "schema": schema, "columns": columns});
        println!("bids from CSV, {} columns: {:.1} M rows/s", columns.len(), best("source.file", &options)?);
    }
    println!("events of Nexmark: {:.1} M rows/s", best("source.nexmark", &json!({"rows": GENERATED}))?);
    Ok(())
}

/// Millions of rows per second of processor time of the fastest of five runs.
fn best(kind: &str, options: &Value) -> Result<f64, Box<dyn Error>> {
    let mut best = 0.0_f64;
    for _ in 0..5 {
        let before = processor_seconds()?;
        let rows = read(kind, options)?;
        best = best.max(rows as f64 / (processor_seconds()? - before) / 1e6);
    }
    Ok(best)
}

fn read(kind: &str, options: &Value) -> Result<u64, Box<dyn Error>> {
    let context = OperatorContext {
        attempt: ExecutionAttemptId {
            job: JobId(1),
            execution_vertex: ExecutionVertexId { vertex: JobVertexId::from_uid("bench"), subtask: 0 },
            generation: Generation { epoch: LeaderEpoch(1), attempt: 1 },
        },
        operator_index: 0,
        parallelism: 1,
        max_parallelism: 128,
        input_schemas: vec![],
        key_columns: vec![],
        waker: std::task::Waker::noop().clone(),
    };
    let mut registry = OperatorRegistry::default();
    register_connectors(&mut registry);
    let descriptor = serde_json::from_value(json!({"kind": kind, "options": options}))?;
    let BuiltOperator::Source(mut source, _) = registry.build(&descriptor, &context)? else { return Err("no source".into()) };
    if source.needs_splits() {
        let splits = source.propose_splits()?;
        source.take_splits(&splits)?;
    }
    let mut rows = 0;
    loop {
        match source.poll(0, BATCH_ROWS)? {
            SourcePoll::Batch(batch) => rows += batch.num_rows() as u64,
            SourcePoll::NothingUntil(_) => {}
            SourcePoll::End => return Ok(rows),
        }
    }
}

/// The time that this thread has spent on a processor.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?;
    Ok(nanoseconds / 1e9)
}
