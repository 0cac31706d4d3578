//! What the file sink writes, the file source reads back: every value, in every format, wherever the file is cut.

use arrow_array::RecordBatch;
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_dataflow::operator::Operator;
use weir_dataflow::schema::to_arrow;
use weir_dataflow::source::Source;
use weir_protocol::job_graph::Field;

use super::sink::FileSink;
use super::source::FileSource;
use crate::rows::RowBuffer;
use crate::rows::column::{Column, Values, end};
use crate::testing::{NoOutput, barrier, context, descriptor, drain, restored, state};

const SCALARS: &[&str] = &[
    "STRING",
    "BIGINT",
    "BOOLEAN",
    "DOUBLE",
    "TIMESTAMP(3)",
    "INT",
    "TINYINT",
    "SMALLINT",
    "FLOAT",
    "DECIMAL(38, 10)",
    "DECIMAL(5, 5)",
    "BYTES",
    "DATE",
    "TIME(3)",
    "TIMESTAMP(6)",
    "TIMESTAMP(9)",
    "TIMESTAMP_LTZ(3)",
    "TIMESTAMP_LTZ(6)",
    "TIMESTAMP_LTZ(9)",
    "VARCHAR(5)",
];

const NESTED: &[&str] = &[
    "ARRAY<INT>",
    "MAP<STRING, DECIMAL(10, 2)>",
    "MAP<INT, ARRAY<STRING>>",
    "MULTISET<STRING>",
    "ROW<a FLOAT>",
    "ROW<a TINYINT NOT NULL, `b c` ROW<c BYTES, d ARRAY<ROW<e TIMESTAMP(9), f DATE>>>>",
];

/// Random values, some of them at the ends of their ranges.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let value = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }

    fn number(&mut self, from: i128, to: i128) -> i128 {
        match self.below(6) {
            0 => from,
            1 => to,
            2 => 0.clamp(from, to),
            _ => (i128::from(self.next()) << 64 | i128::from(self.next())).rem_euclid((to - from).saturating_add(1)) + from,
        }
    }

    fn text(&mut self) -> String {
        const PARTS: &[&str] =
            &["a", ",", "\"", "\n", "\r\n", "\r", " ", "é", "\u{feff}", "1", ";", "'", "\\", "|", "\0", "\t", "null"];
        (0..self.below(6)).map(|_| PARTS[self.below(PARTS.len())]).collect()
    }

    /// Pushes a value.
    fn push(&mut self, column: &mut Column) {
        if self.below(5) == 0 && column.push_null().is_ok() {
            return;
        }
        match column.values_mut() {
            Values::Boolean(values) => values.push(self.below(2) == 0),
            Values::Tinyint(values) => values.push(self.number(i8::MIN.into(), i8::MAX.into()) as i8),
            Values::Smallint(values) => values.push(self.number(i16::MIN.into(), i16::MAX.into()) as i16),
            Values::Int(values) | Values::Date(values) => values.push(self.number(i32::MIN.into(), i32::MAX.into()) as i32),
            Values::Time(values) => values.push(self.number(0, 86_399_999) as i32),
            Values::Bigint(values) => values.push(self.number(i64::MIN.into(), i64::MAX.into()) as i64),
            Values::Timestamp(values, unit) => {
                let year_9999 = 253_402_300_799_999 * if *unit == arrow_schema::TimeUnit::Millisecond { 1 } else { 1_000 };
                values.push(match self.below(2) {
                    0 => self.number(i64::MIN.into(), i64::MAX.into()) as i64,
                    _ => self.number(-62_167_219_200_000, year_9999) as i64,
                });
            }
            Values::Float(values) => values.push(f32::from_bits(self.next() as u32)),
            Values::Double(values) => values.push(f64::from_bits(self.next())),
            Values::Decimal { values, precision, .. } => {
                let value = self.number(0, 10_i128.pow(u32::from(*precision)) - 1);
                values.push(if self.below(2) == 0 { value } else { -value });
            }
            Values::Bytes { .. } => {
                let bytes = self.next().to_le_bytes();
                column.push_bytes(&bytes[..self.below(9)]).unwrap();
            }
            Values::Text { .. } => column.push_text(self.text().as_bytes()).unwrap(),
            Values::List { ends, items } => {
                (0..self.below(4)).for_each(|_| self.push(items));
                ends.push(end(items.len()).unwrap());
            }
            Values::Map { ends, keys, values } => {
                for key in 0..self.below(4) {
                    keys.push_text(key.to_string().as_bytes()).unwrap();
                    self.push(values);
                }
                ends.push(end(keys.len()).unwrap());
            }
            Values::Row(fields, rows) => {
                fields.iter_mut().for_each(|field| self.push(field));
                *rows += 1;
            }
        }
    }
}

fn batch(fields: &[Field], rows: usize, seed: u64) -> RecordBatch {
    let mut random = Random(seed);
    let mut buffer = RowBuffer::new(to_arrow(fields).unwrap()).unwrap();
    for _ in 0..rows {
        buffer.columns_mut().iter_mut().for_each(|column| random.push(column));
        buffer.commit_row(0);
    }
    buffer.finish().unwrap()
}

fn rows_of(batches: &[RecordBatch]) -> Vec<String> {
    let mut out = Vec::new();
    batches.iter().for_each(|batch| crate::formats::json::append_json(&mut out, batch, Default::default()).unwrap());
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

/// Columns with these types and names.
fn fields_of<'a>(types: impl Iterator<Item = &'a str>, names: impl IntoIterator<Item = &'a String>) -> Vec<Field> {
    let fields: Vec<Value> = types.zip(names).map(|(data_type, name)| json!({"name": name, "type": data_type})).collect();
    serde_json::from_value(json!(fields)).unwrap()
}

/// Writes rows with the sink into a directory.
fn write(written: &RecordBatch, options: Value) {
    let mut sink = FileSink::new(&descriptor("sink.file", options), &context(0, 1, 1, vec![written.schema()])).unwrap();
    sink.process(0, written.clone(), &mut NoOutput).unwrap();
    state(sink.snapshot(&barrier(1)).unwrap());
    sink.notify_checkpoint_complete(weir_protocol::CheckpointId(1)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]
    #[test]
    fn rows_that_the_sink_writes_are_read_back_wherever_the_file_is_cut_or_the_job_restored(
        types in proptest::collection::vec(0_usize..SCALARS.len() + NESTED.len(), 1..5),
        names in proptest::collection::hash_set("[a-c ,\"\n]{0,4}", 5),
        rows in 0_usize..12, seed in any::<u64>(), chosen in proptest::option::of(proptest::sample::subsequence(vec![0, 1, 2, 3], 0..5)),
        format in 0_usize..3, header in any::<bool>(), parallelism in 1_u32..4, rescaled in 1_u32..4, polls in 0_usize..3,
        dialect in proptest::sample::select(vec![(",", "\"", ""), (";", "'", ""), ("|", "\"", "\\"), (":", "\"", "'")]),
        timestamps in proptest::sample::select(vec!["iso-8601", "iso-8601-local", "sql"]),
    ) {
        let format = ["csv", "json", "parquet"][format];
        let known = if format == "csv" { SCALARS.to_vec() } else { [SCALARS, NESTED].concat() };
        let fields = fields_of(types.iter().map(|index| known[index % known.len()]), &names);
        let written = batch(&fields, rows, seed);
        let directory = tempfile::tempdir().unwrap();
        let mut options = json!({"path": directory.path(), "format": format, "header": header,
            "delimiter": dialect.0, "quote": dialect.1, "escape": dialect.2});
        let mut of_sink = options.clone();
        of_sink["timestamp_format"] = json!(timestamps);
        write(&written, of_sink);
        options["schema"] = json!(fields);
        let chosen: Option<Vec<usize>> = chosen.map(|chosen| chosen.into_iter().rev().filter(|index| *index < fields.len()).collect());
        let expected = match &chosen {
            None => written,
            Some(chosen) => {
                options["columns"] = json!(chosen.iter().map(|index| &fields[*index].name).collect::<Vec<_>>());
                written.project(chosen).unwrap()
            }
        };
        // A JSON row without its only chosen columns can't be told from one that never had them.
        options["missing_columns"] = json!("null");
        let source = |subtask, parallelism| {
            FileSource::new(&descriptor("source.file", options.clone()), &context(subtask, parallelism, 1, vec![])).unwrap()
        };
        let mut read = Vec::new();
        let mut states = Vec::new();
        for subtask in 0..parallelism {
            let mut source = source(subtask, parallelism);
            read.extend(rows_of(&drain(&mut source, 2, polls).unwrap()));
            states.push(state(source.snapshot(&barrier(1)).unwrap()));
        }
        for subtask in 0..rescaled {
            let mut source = source(subtask, rescaled);
            source.restore(restored(&states, subtask, rescaled)).unwrap();
            read.extend(rows_of(&drain(&mut source, 2, usize::MAX).unwrap()));
        }
        let mut expected = rows_of(&[expected]);
        if parallelism > 1 || rescaled > 1 {
            read.sort();
            expected.sort();
        }
        prop_assert_eq!(read, expected);
    }
}

#[test]
fn times_before_1970_and_in_the_year_9999_are_the_same_from_every_format() {
    let names = ["d", "m", "u", "lm", "lu", "n"].map(str::to_owned);
    let types = ["DATE", "TIMESTAMP(3)", "TIMESTAMP(6)", "TIMESTAMP_LTZ(3)", "TIMESTAMP_LTZ(6)", "TIMESTAMP(9)"];
    let fields = fields_of(types.into_iter(), &names);
    let mut buffer = RowBuffer::new(to_arrow(&fields).unwrap()).unwrap();
    for text in
        ["9999-12-31T23:59:59.999999Z", "0001-01-01T00:00:00Z", "1969-12-31T23:59:59.000001Z", "1582-10-10T01:02:03.004005Z"]
    {
        for (index, column) in buffer.columns_mut().iter_mut().enumerate() {
            let text = match index {
                0 => &text[..10],
                // Nanoseconds hold no such years.
                5 if text.starts_with("1969") => text,
                5 => "1677-09-21T00:12:43.145224193Z",
                _ => text,
            };
            column.push_text(text.as_bytes()).unwrap();
        }
        buffer.commit_row(0);
    }
    let written = buffer.finish().unwrap();
    for format in ["csv", "json", "parquet"] {
        let directory = tempfile::tempdir().unwrap();
        let mut options = json!({"path": directory.path(), "format": format});
        write(&written, options.clone());
        options["schema"] = json!(fields);
        let mut source = FileSource::new(&descriptor("source.file", options), &context(0, 1, 1, vec![])).unwrap();
        assert_eq!(drain(&mut source, 100, usize::MAX).unwrap(), std::slice::from_ref(&written), "{format}");
    }
}
