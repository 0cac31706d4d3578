//! Prints how many rows per second of processor time the formats of messages read and write, of the bids of Nexmark. Run with
//! `cargo run --release -p weir-connectors --example formats_bench`.

#![allow(clippy::print_stdout, reason = "an example prints as a small program would")]

use std::error::Error;
use std::sync::Arc;

use arrow_array::{Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, TimeUnit};
use serde_json::{Value, json};
use weir_connectors::formats::{FormatOptions, Messages, RowBuffer};

const ROWS: usize = 8_192;
const ROUNDS: usize = 200;

fn main() -> Result<(), Box<dyn Error>> {
    let bids = bids()?;
    let texts = bids.project(&[4])?;
    for (name, options, batch) in [
        ("json", json!({"kind": "json", "timestamp_format": "sql"}), &bids),
        ("csv", json!({"kind": "csv", "timestamp_format": "sql"}), &bids),
        ("avro", json!({"kind": "avro"}), &bids),
        ("raw", json!({"kind": "raw"}), &texts),
    ] {
        let (written, read) = best(options, batch)?;
        println!("{name}: writes {written:.2} M rows/s, reads {read:.2} M rows/s");
    }
    Ok(())
}

/// Millions of rows per second of processor time, written and read, in the fastest of five runs.
fn best(options: Value, batch: &RecordBatch) -> Result<(f64, f64), Box<dyn Error>> {
    let options: FormatOptions = serde_json::from_value(options)?;
    let schema = batch.schema();
    let (mut encoder, mut decoder) = (options.encoder(&schema)?, options.decoder(&schema)?);
    let (mut messages, mut rows) = (Messages::default(), RowBuffer::new(schema)?);
    let (mut written, mut read) = (0.0_f64, 0.0_f64);
    for _ in 0..5 {
        let start = processor_seconds()?;
        for _ in 0..ROUNDS {
            messages.clear();
            encoder.encode(batch, &mut messages)?;
        }
        let middle = processor_seconds()?;
        for _ in 0..ROUNDS {
            for message in messages.iter().flatten() {
                decoder.decode(message, &mut rows).map_err(|reason| reason.to_string())?;
            }
            if rows.finish()? != *batch {
                return Err("what was written is not what was read".into());
            }
        }
        let millions = (ROUNDS * ROWS) as f64 / 1e6;
        written = written.max(millions / (middle - start));
        read = read.max(millions / (processor_seconds()? - middle));
    }
    Ok((written, read))
}

/// Rows with the columns and lengths of Nexmark's bids.
fn bids() -> Result<RecordBatch, Box<dyn Error>> {
    let field = |name: &str, data_type: DataType| Field::new(name, data_type, true);
    let schema = Schema::new(vec![
        field("auction", DataType::Int64),
        field("bidder", DataType::Int64),
        field("price", DataType::Int64),
        field("channel", DataType::Utf8),
        field("url", DataType::Utf8),
        field("dateTime", DataType::Timestamp(TimeUnit::Millisecond, None)),
        field("extra", DataType::Utf8),
    ]);
    let numbers = |factor: i64| Int64Array::from_iter_values((0..ROWS as i64).map(|row| 1_000 + row * factor % 99_991));
    let text = |text: &str| StringArray::from_iter_values((0..ROWS).map(|row| format!("{text}{}", row * 7_919 % 9_973)));
    let times = TimestampMillisecondArray::from_iter_values((0..ROWS as i64).map(|row| 1_577_836_800_000 + row));
    Ok(RecordBatch::try_new(
        Arc::new(schema),
        vec![
            Arc::new(numbers(17)),
            Arc::new(numbers(31)),
            Arc::new(numbers(9_973)),
            Arc::new(text("channel-")),
            Arc::new(text("https://www.nexmark.com/baxj/czic/rltg/item.htm?query=1&channel_id=")),
            Arc::new(times),
            Arc::new(text("JeHQNxpR^ZKzYjdqlwV")),
        ],
    )?)
}

/// The time that this thread has spent on a processor.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?;
    Ok(nanoseconds / 1e9)
}
