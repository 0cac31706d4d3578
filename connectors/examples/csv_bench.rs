//! Measures how fast `source.file` parses delimited text. `csv_bench PATH [COLUMN ...]` reads a file or directory on one thread
//! and prints rows per second. The files have no header, and all columns are bigint (default: auction bidder price ts). With
//! `--make ROWS PATH` it writes such a file first.

#![allow(clippy::print_stdout, reason = "an example prints as a small program would")]

use std::io::Write;
use std::time::Instant;

use weir_connectors::register_connectors;
use weir_dataflow::operator::OperatorContext;
use weir_dataflow::registry::{BuiltOperator, OperatorRegistry};
use weir_dataflow::source::SourcePoll;
use weir_protocol::job_graph::OperatorDescriptor;
use weir_protocol::{ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "--make") {
        let rows: u64 = arguments.get(1).ok_or("how many rows?")?.parse()?;
        arguments.drain(..2);
        make(arguments.first().ok_or("which file?")?, rows)?;
    }
    let path = arguments.first().ok_or("which file?")?.clone();
    let mut columns: Vec<&str> = arguments[1..].iter().map(String::as_str).collect();
    if columns.is_empty() {
        columns = vec!["auction", "bidder", "price", "ts"];
    }
    let schema: Vec<_> = columns.iter().map(|name| serde_json::json!({"name": name, "type": "bigint"})).collect();
    let options = serde_json::json!({"path": path, "format": "csv", "header": false, "schema": schema});
    let descriptor: OperatorDescriptor = serde_json::from_value(serde_json::json!({"kind": "source.file", "options": options}))?;
    let execution_vertex = ExecutionVertexId { vertex: JobVertexId::from_uid("bench"), subtask: 0 };
    let context = OperatorContext {
        attempt: ExecutionAttemptId { job: JobId(1), execution_vertex, generation: Generation::default() },
        operator_index: 0,
        parallelism: 1,
        max_parallelism: 128,
        input_schemas: Vec::new(),
        key_columns: Vec::new(),
        waker: std::task::Waker::noop().clone(),
    };
    let mut registry = OperatorRegistry::default();
    register_connectors(&mut registry);
    for _ in 0..3 {
        let BuiltOperator::Source(mut source, _) = registry.build(&descriptor, &context)? else {
            return Err("not a source".into());
        };
        let found = source.propose_splits()?;
        source.take_splits(&found)?;
        let (start, mut rows) = (Instant::now(), 0_u64);
        loop {
            match source.poll(0, 8192)? {
                SourcePoll::Batch(batch) => rows += batch.num_rows() as u64,
                SourcePoll::NothingUntil(_) => {}
                SourcePoll::End => break,
            }
        }
        let seconds = start.elapsed().as_secs_f64();
        println!("{rows} rows in {seconds:.3} s: {:.2} million rows/s", rows as f64 / seconds / 1e6);
    }
    Ok(())
}

fn make(path: &str, rows: u64) -> std::io::Result<()> {
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    let mut random: u64 = 42;
    for row in 0..rows {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        writeln!(
            out,
            "{},{},{},{}",
            (random >> 40) % 10_000,
            (random >> 20) % 100_000,
            random % 1_000_000,
            1_700_000_000_000 + row
        )?;
    }
    out.flush()
}
