//! Builds a job and prints its graph: departures from New York per airport and hour, with their mean delay.
//!
//! ```text
//! cargo run -p weir-client --example flights -- client/examples/data /tmp/hourly > flights.json
//! weir job submit flights.json
//! ```

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "an example prints as a small program would")]

use std::error::Error;
use std::process::ExitCode;

use serde_json::json;
use weir_client::{Aggregate, StreamBuilder, WindowSpec};
use weir_protocol::job_graph::{CheckpointConfig, DataType, Field, JobGraph};

const HOUR_MS: u64 = 3_600_000;

fn main() -> ExitCode {
    print_graph().inspect_err(|error| eprintln!("{error}")).map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS)
}

fn print_graph() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [input, output] = arguments.as_slice() else {
        return Err("usage: flights INPUT-DIRECTORY OUTPUT-DIRECTORY".into());
    };
    println!("{}", serde_json::to_string_pretty(&flights(input, output)?)?);
    Ok(())
}

/// One source per file, a filter and a projection in the same task, then a window per airport behind a network exchange.
fn flights(input: &str, output: &str) -> Result<JobGraph, Box<dyn Error>> {
    let column = |name: &str, data_type| Field { name: name.to_owned(), data_type, nullable: true };
    let schema = vec![
        column("scheduled", DataType::Timestamp(3)),
        column("origin", DataType::String),
        column("carrier", DataType::String),
        column("flight", DataType::Bigint),
        column("dest", DataType::String),
        column("dep_delay", DataType::Bigint),
    ];
    let job = StreamBuilder::new("Departures from New York, by origin and hour", 2);
    job.checkpointing(CheckpointConfig { interval_ms: 10_000, ..CheckpointConfig::default() });
    job.read_files(input, "csv", schema, &[("header", json!(true))])
        // State is found again under these ids when the program is edited and restored from a savepoint.
        .uid("departures")
        .watermark("scheduled", 60_000)
        .filter("dep_delay IS NOT NULL")
        .key_by(&["origin"])
        .window(
            "scheduled",
            WindowSpec::Tumbling { size_ms: HOUR_MS },
            &[Aggregate::count("departures"), Aggregate::avg("mean_delay", "dep_delay")],
        )
        .uid("hourly")
        .write_files(output, "csv");
    Ok(job.build().map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))?)
}
