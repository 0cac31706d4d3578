//! What the file sink writes, the file source reads back: every value, in every format, wherever the file is cut.

use arrow_array::RecordBatch;
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_dataflow::schema::to_arrow;
use weir_dataflow::source::Source;
use weir_protocol::job_graph::Field;

use super::Format;
use super::sink::part::OpenPart;
use super::source::FileSource;
use crate::rows::RowBuffer;
use crate::testing::{barrier, context, descriptor, drain, restored, state};

/// A value of a column; the schema decides which part of it counts.
#[derive(Debug, Clone)]
struct Cell {
    null: bool,
    bits: u64,
    text: String,
}

fn cells() -> impl Strategy<Value = Cell> {
    let text = prop_oneof![
        4 => proptest::collection::vec(proptest::sample::select(vec!["a", ",", "\"", "\n", "\r\n", "\r", " ", "é", "\u{feff}", "1", ";"]), 0..6)
            .prop_map(|parts| parts.concat()),
        1 => any::<String>(),
    ];
    (proptest::bool::weighted(0.2), any::<u64>(), text).prop_map(|(null, bits, text)| Cell { null, bits, text })
}

const TYPES: [&str; 6] = ["STRING", "BIGINT", "BOOLEAN", "DOUBLE", "TIMESTAMP(3)", "INT"];

fn batch(fields: &[Field], rows: &[Vec<Cell>]) -> RecordBatch {
    let mut buffer = RowBuffer::new(to_arrow(fields).unwrap()).unwrap();
    for row in rows {
        for (index, (field, cell)) in fields.iter().zip(row).enumerate() {
            let column = buffer.column(index);
            let pushed = match field.data_type.to_string().as_str() {
                _ if cell.null => column.push_null(),
                "STRING" => column.push_str(&cell.text),
                "BOOLEAN" => column.push_bool(cell.bits & 1 == 1),
                "DOUBLE" => column.push_f64(f64::from_bits(cell.bits)),
                "INT" => column.push_i64(i64::from(cell.bits as i32)),
                _ => column.push_i64(cell.bits as i64),
            };
            pushed.unwrap();
        }
        buffer.commit_row(0);
    }
    buffer.finish().unwrap()
}

fn rows_of(batches: &[RecordBatch]) -> Vec<String> {
    let mut out = Vec::new();
    batches.iter().for_each(|batch| crate::rows::text::append_json(&mut out, batch).unwrap());
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn rows_that_the_sink_writes_are_read_back_wherever_the_file_is_cut_or_the_job_restored(
        types in proptest::collection::vec(0_usize..6, 1..4),
        names in proptest::collection::hash_set("[a-c ,\"\n]{0,4}", 4),
        rows in proptest::collection::vec(proptest::collection::vec(cells(), 3), 0..12),
        format in 0_usize..3, header in any::<bool>(), parallelism in 1_u32..4, rescaled in 1_u32..4, polls in 0_usize..3,
    ) {
        let (format, name) = [(Format::Csv, "csv"), (Format::Json, "json"), (Format::Parquet, "parquet")][format];
        let fields: Vec<Value> = types.iter().zip(&names).map(|(data_type, name)| json!({"name": name, "type": TYPES[*data_type]})).collect();
        let fields: Vec<Field> = serde_json::from_value(json!(fields)).unwrap();
        let written = batch(&fields, &rows);
        let directory = tempfile::tempdir().unwrap();
        let mut part = OpenPart::create(directory.path().join("part"), format, header, &written.schema()).unwrap();
        part.write(&written).unwrap();
        part.finish().unwrap();
        let options = json!({"path": directory.path(), "format": name, "header": header, "schema": fields});
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
        let mut expected = rows_of(&[written]);
        if parallelism > 1 || rescaled > 1 {
            read.sort();
            expected.sort();
        }
        prop_assert_eq!(read, expected);
    }
}
