mod watching;

use std::fs::File;

use arrow_array::{
    ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int64Array, StringArray, TimestampMicrosecondArray,
    TimestampNanosecondArray, TimestampSecondArray,
};
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_dataflow::schema::to_arrow;
use weir_protocol::job_graph::Field;

use super::*;
use crate::testing::{barrier, begin, context, descriptor, drain, restored, state};

fn source(options: &Value, subtask: u32, parallelism: u32) -> FileSource {
    FileSource::new(&descriptor("source.file", options.clone()), &context(subtask, parallelism, 1, vec![])).unwrap()
}

fn options(path: &Path, format: &str) -> Value {
    json!({
        "path": path, "format": format, "header": false,
        "schema": [{"name": "id", "type": "bigint", "nullable": false}, {"name": "name", "type": "string"}]
    })
}

fn lines(batches: &[RecordBatch]) -> Vec<String> {
    let mut out = Vec::new();
    for batch in batches {
        crate::formats::csv::append_csv(&mut out, batch, &Default::default()).unwrap();
    }
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

fn read(options: &Value) -> Result<Vec<String>, OperatorError> {
    drain(&mut source(options, 0, 1), 3, usize::MAX).map(|batches| lines(&batches))
}

fn read_bytes(bytes: &[u8], change: impl FnOnce(&mut Value)) -> Result<Vec<String>, OperatorError> {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("data"), bytes).unwrap();
    let mut options = options(directory.path(), "csv");
    change(&mut options);
    read(&options)
}

/// Writes rows `0..rows` into `files` files of a format.
fn write_files(directory: &Path, format: Format, files: usize, rows: usize) -> Vec<String> {
    let schema = to_arrow(&serde_json::from_value::<Vec<Field>>(options(directory, "csv")["schema"].clone()).unwrap()).unwrap();
    let mut expected = Vec::new();
    for file in 0..files {
        let mut buffer = RowBuffer::new(Arc::clone(&schema)).unwrap();
        let mut batches = Vec::new();
        for row in (0..rows).filter(|row| row % files == file) {
            buffer.column(0).push_i64(row as i64).unwrap();
            buffer.column(1).push_text(format!("r{}", "x".repeat(row % 7)).as_bytes()).unwrap();
            buffer.commit_row(0);
            if buffer.rows() == 4 {
                batches.push(buffer.finish().unwrap());
            }
        }
        batches.push(buffer.finish().unwrap());
        expected.extend(lines(&batches));
        let path = directory.join(format!("f{file:03}"));
        let mut text = Vec::new();
        match format {
            Format::Csv => {
                batches.iter().for_each(|batch| crate::formats::csv::append_csv(&mut text, batch, &Default::default()).unwrap())
            }
            Format::Json => {
                batches.iter().for_each(|batch| crate::formats::json::append_json(&mut text, batch, Default::default()).unwrap())
            }
            Format::Parquet => {
                let properties =
                    ::parquet::file::properties::WriterProperties::builder().set_max_row_group_row_count(Some(5)).build();
                let mut writer =
                    ::parquet::arrow::ArrowWriter::try_new(&mut text, Arc::clone(&schema), Some(properties)).unwrap();
                batches.iter().for_each(|batch| writer.write(batch).unwrap());
                writer.close().unwrap();
            }
        }
        std::fs::write(path, text).unwrap();
    }
    expected.sort();
    expected
}

fn format_of(index: usize) -> (Format, &'static str) {
    [(Format::Csv, "csv"), (Format::Json, "json"), (Format::Parquet, "parquet")][index]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn every_row_is_read_once_across_restores_and_rescalings(
        format in 0_usize..3, files in 1_usize..5, rows in 0_usize..60,
        phases in proptest::collection::vec((1_u32..5, proptest::collection::vec(0_usize..4, 5)), 1..5),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let (format, name) = format_of(format);
        let expected = write_files(directory.path(), format, files, rows);
        let options = options(directory.path(), name);
        let mut seen = Vec::new();
        let mut states: Vec<Bytes> = Vec::new();
        for (phase, (parallelism, polls)) in phases.iter().enumerate() {
            let last = phase + 1 == phases.len();
            let mut next = Vec::new();
            for subtask in 0..*parallelism {
                let mut source = source(&options, subtask, *parallelism);
                if phase > 0 {
                    source.restore(restored(&states, subtask, *parallelism)).unwrap();
                }
                let polls = if last { usize::MAX } else { polls[subtask as usize] };
                seen.extend(lines(&drain(&mut source, 3, polls).unwrap()));
                next.push(state(source.snapshot(&barrier(1)).unwrap()));
            }
            states = next;
        }
        seen.sort();
        prop_assert_eq!(seen, expected);
    }

    #[test]
    fn an_arbitrary_file_is_read_or_refused_and_never_panics(
        bytes in proptest::collection::vec(prop_oneof![4 => proptest::sample::select(b",\"\n\r19a{}:".to_vec()), 1 => any::<u8>()], 0..200),
        format in 0_usize..3, header in any::<bool>(), max_bad_rows in 0_u64..20,
    ) {
        let result = read_bytes(&bytes, |options| {
            options["format"] = json!(format_of(format).1);
            options["header"] = json!(header);
            options["max_bad_rows"] = json!(max_bad_rows);
        });
        if let Err(error) = result {
            prop_assert!(!error.retryable && error.code.starts_with("SOURCE-"), "{error}");
            prop_assert!(error.message.len() < 2000);
        }
    }

    #[test]
    fn arbitrary_state_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let mut source = source(&options(Path::new("/nowhere"), "csv"), 0, 1);
        prop_assert_eq!(source.restore(restored(&[Bytes::from(bytes)], 0, 1)).unwrap_err().code, "SOURCE-STATE");
    }
}

#[test]
fn line_ends_blank_lines_and_a_byte_order_mark_give_no_rows() {
    assert_eq!(read_bytes(b"\xef\xbb\xbf1,a\r\n\r\n\n2,b", |_| {}).unwrap(), ["1,a", "2,b"]);
    assert_eq!(read_bytes(b"", |_| {}).unwrap(), [""; 0]);
    assert_eq!(read_bytes(b"", |options| options["format"] = json!("json")).unwrap(), [""; 0]);
}

#[test]
fn a_header_is_skipped_once_per_file_at_every_parallelism_and_names_the_columns() {
    let directory = tempfile::tempdir().unwrap();
    let body: String = (0..50).map(|row| format!("n{row};{row};x\n")).collect();
    std::fs::write(directory.path().join("data.csv"), format!("\u{feff}NAME;id;other\r\n{body}")).unwrap();
    let mut options = options(directory.path(), "csv");
    options["header"] = json!(true);
    options["delimiter"] = json!(";");
    for parallelism in 1..9 {
        let mut seen: Vec<_> = (0..parallelism)
            .flat_map(|subtask| lines(&drain(&mut source(&options, subtask, parallelism), 4, usize::MAX).unwrap()))
            .collect();
        seen.sort_by_key(|line| line.split(',').next().unwrap().parse::<u32>().unwrap());
        assert_eq!(seen, (0..50).map(|row| format!("{row},n{row}")).collect::<Vec<_>>(), "{parallelism}");
    }
}

#[test]
fn a_missing_header_is_an_error() {
    let error = read_bytes(b"1,a\n2,b\n", |options| options["header"] = json!(true)).unwrap_err();
    assert_eq!(error.code, "SOURCE-HEADER");
    assert!(error.message.contains("\"header\": false"), "{error}");
}

#[test]
fn the_error_for_a_bad_row_gives_file_line_and_text() {
    let error = read_bytes(b"1,a\nx,b\n", |_| {}).unwrap_err();
    assert_eq!(error.code, "SOURCE-BAD-ROW");
    assert!(error.message.contains("/data: line 2, byte 4: column \"id\": \"x\" is not a BIGINT; the row: \"x,b\""), "{error}");
    let long = format!("1,a\nx,{}\n", "b".repeat(100_000));
    assert!(read_bytes(long.as_bytes(), |_| {}).unwrap_err().message.len() < 600);
    assert_eq!(read_bytes(b"1,\xff\xfe\n", |_| {}).unwrap_err().code, "SOURCE-BAD-ROW");
}

#[test]
fn max_bad_rows_limits_skipped_rows_also_across_a_restore() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("data"), "x\n1,a\nx\n2,b\n3,c\n4,d\nx\n5,e\n").unwrap();
    let mut options = options(directory.path(), "csv");
    options["max_bad_rows"] = json!(3);
    assert_eq!(read(&options).unwrap().len(), 5);
    options["max_bad_rows"] = json!(2);
    let mut first = source(&options, 0, 1);
    assert_eq!(lines(&drain(&mut first, 3, 1).unwrap()), ["1,a", "2,b", "3,c"]);
    let saved = state(first.snapshot(&barrier(1)).unwrap());
    let mut second = source(&options, 0, 1);
    second.restore(restored(&[saved], 0, 1)).unwrap();
    let error = drain(&mut second, 10, usize::MAX).unwrap_err();
    assert!(error.message.contains("bad row number 3, max_bad_rows is 2"), "{error}");
}

#[test]
fn a_file_that_was_removed_or_shrank_is_fatal() {
    let directory = tempfile::tempdir().unwrap();
    for (name, change) in [("gone", "SOURCE-FILE-GONE"), ("shrunk", "SOURCE-FILE-SHRUNK")] {
        let path = directory.path().join(name);
        std::fs::write(&path, "1,a\n2,b\n").unwrap();
        let mut first = source(&options(&path, "csv"), 0, 1);
        begin(&mut first).unwrap();
        let saved = state(first.snapshot(&barrier(1)).unwrap());
        if name == "gone" {
            std::fs::remove_file(&path).unwrap()
        } else {
            std::fs::write(&path, "1,a\n").unwrap()
        }
        let mut second = source(&options(&path, "csv"), 0, 1);
        second.restore(restored(&[saved], 0, 1)).unwrap();
        let error = drain(&mut second, 10, usize::MAX).unwrap_err();
        assert_eq!((error.code, error.retryable), (change, false));
    }
    assert_eq!(read(&options(&directory.path().join("never"), "csv")).unwrap_err().code, "SOURCE-PATH");
}

#[test]
fn all_subtasks_share_the_recorded_list_whatever_the_directory_holds_meanwhile() {
    for (format, name) in (0..3).map(format_of) {
        let directory = tempfile::tempdir().unwrap();
        let expected = write_files(directory.path(), format, 4, 20);
        let options = options(directory.path(), name);
        let recorded = source(&options, 0, 2).propose_splits().unwrap();
        std::fs::copy(directory.path().join("f000"), directory.path().join("f0005")).unwrap();
        let mut seen = Vec::new();
        for subtask in 0..2 {
            let mut source = source(&options, subtask, 2);
            assert_eq!(source.poll(0, 10).unwrap_err().code, "SOURCE-STATE");
            assert_eq!(source.snapshot(&barrier(1)).err().map(|error| error.code), Some("SOURCE-STATE"));
            source.take_splits(&recorded).unwrap();
            assert!(!source.needs_splits());
            seen.extend(lines(&drain(&mut source, 3, usize::MAX).unwrap()));
        }
        seen.sort();
        assert_eq!(seen, expected, "{name}");
    }
}

#[test]
fn a_file_that_changes_after_it_was_listed_is_fatal() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let options = options(directory.path(), "csv");
    let appended = |text: &str| {
        use std::io::Write;
        File::options().append(true).open(&path).unwrap().write_all(text.as_bytes()).unwrap();
    };
    let replaced = |text: &str| {
        std::fs::write(&path, text).unwrap();
        // The clock of the file system may not have advanced since the listing.
        File::options().write(true).open(&path).unwrap().set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    };
    for change in [&(|| appended("3,c\n")) as &dyn Fn(), &(|| replaced("9,z\n8,y\n")), &(|| replaced("9,z\n8,y\n7,x\n"))] {
        for begun in [false, true] {
            std::fs::write(&path, "1,a\n2,b\n").unwrap();
            let mut source = source(&options, 0, 1);
            begin(&mut source).unwrap();
            if begun {
                assert_eq!(lines(&drain(&mut source, 1, 1).unwrap()), ["1,a"]);
            }
            change();
            let error = drain(&mut source, 1, usize::MAX).unwrap_err();
            assert_eq!((error.code, error.retryable), ("SOURCE-FILE-CHANGED", false), "{error}");
        }
    }
    // A state of an earlier version holds no modification times.
    std::fs::write(&path, "1,a\n2,b\n").unwrap();
    let saved = br#"{"version": 1, "splits": [{"file": "data", "start": 0, "end": 8, "size": 8}], "bad_rows": 0}"#;
    let mut restoring = source(&options, 0, 1);
    restoring.restore(restored(&[Bytes::from_static(saved)], 0, 1)).unwrap();
    assert_eq!(lines(&drain(&mut restoring, 5, usize::MAX).unwrap()), ["1,a", "2,b"]);
}

#[test]
fn a_restored_source_resumes_the_rate_without_a_burst() {
    let directory = tempfile::tempdir().unwrap();
    let body: String = (0..5000).map(|row| format!("{row},a\n")).collect();
    std::fs::write(directory.path().join("data"), body).unwrap();
    let mut options = options(directory.path(), "csv");
    options["rows_per_second"] = json!(1000);
    let mut first = source(&options, 0, 1);
    begin(&mut first).unwrap();
    assert!(matches!(first.poll(0, 8192).unwrap(), SourcePoll::NothingUntil(20)));
    let SourcePoll::Batch(batch) = first.poll(20, 8192).unwrap() else { panic!("rows are due") };
    assert_eq!(batch.num_rows(), 20);
    let saved = state(first.snapshot(&barrier(1)).unwrap());
    let mut second = source(&options, 0, 1);
    second.restore(restored(&[saved], 0, 1)).unwrap();
    assert!(matches!(second.poll(3_600_000, 8192).unwrap(), SourcePoll::NothingUntil(3_600_020)));
    let SourcePoll::Batch(batch) = second.poll(3_600_020, 8192).unwrap() else { panic!("rows are due") };
    assert_eq!(lines(&[batch])[0], "20,a");
}

#[test]
fn a_blank_line_is_a_null_in_a_file_with_one_field_and_no_row_in_others() {
    let one = json!([{"name": "t", "type": "string"}]);
    let rows = |header: bool, bytes: &[u8]| {
        read_bytes(bytes, |options| {
            options["schema"] = one.clone();
            options["header"] = json!(header);
        })
    };
    assert_eq!(rows(true, b"t\na\n\nc\n\n").unwrap(), ["a", "", "c", ""]);
    assert_eq!(rows(false, b"a\r\n\r\n\"\"\r\n").unwrap(), ["a", "", "\"\""]);
    assert_eq!(rows(true, b"t,u\na,1\n\nc,2\n\n").unwrap(), ["a", "c"]);
    let error = read_bytes(b"1\n\n2\n", |options| options["schema"] = json!([{"name": "n", "type": "int", "nullable": false}]));
    assert!(error.unwrap_err().message.contains("line 2"));
}

#[test]
fn the_inside_of_a_field_never_becomes_a_row() {
    let schema =
        json!([{"name": "id", "type": "bigint"}, {"name": "amount", "type": "bigint"}, {"name": "note", "type": "string"}]);
    let rows = |bytes: &[u8]| {
        read_bytes(bytes, |options| {
            options["schema"] = schema.clone();
            options["header"] = json!(true);
            options["max_bad_rows"] = json!(5);
        })
    };
    let file = b"id,amount,note\n1,10,\"see below\n2,999,approved\"\n3,30,plain\n";
    assert_eq!(rows(file).unwrap(), ["1,10,\"see below", "2,999,approved\"", "3,30,plain"]);
    // The row is bad, but what is within its quotes is still not a row.
    let bad = b"id,amount,note\nx,10,\"see below\n2,999,approved\"\n3,30,plain\n";
    assert_eq!(rows(bad).unwrap(), ["3,30,plain"]);
    let open = rows(b"id,amount,note\n3,30,plain\n1,10,\"see below\n2,999,approved\n").unwrap_err();
    assert!(open.code == "SOURCE-BAD-ROW" && open.message.contains("the quote at byte 31 is not closed"), "{open}");
    let long = format!("id,amount,note\n1,10,\"{}", "x\n".repeat(lines::MAX_LINE_BYTES));
    let long = rows(long.as_bytes()).unwrap_err();
    assert!(long.code == "SOURCE-LINE-TOO-LONG" && long.message.contains("the quote at byte 20 is not closed"), "{long}");
}

#[test]
fn a_file_of_another_format_is_named_and_not_shown() {
    for (bytes, words) in [
        (&b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x01\x02"[..], "a gzip file, not text in UTF-8; decompress it first"),
        (b"PAR1\x15\x04PAR1", "a Parquet file, not text in UTF-8; set \"format\": \"parquet\""),
        (b"\xff\xfe1\0,\0a\0", "UTF-16"),
    ] {
        for format in ["csv", "json"] {
            let error = read_bytes(bytes, |options| options["format"] = json!(format)).unwrap_err();
            assert!(error.code == "SOURCE-FORMAT" && error.message.contains(words), "{error}");
            assert!(error.message.is_ascii(), "{error}");
        }
    }
}

#[test]
fn a_column_that_no_row_of_a_json_file_has_is_refused_by_name() {
    let read = |bytes: &[u8], missing: Option<&str>| {
        read_bytes(bytes, |options| {
            options["format"] = json!("json");
            if let Some(missing) = missing {
                options["missing_columns"] = json!(missing);
            }
        })
    };
    let misspelt = b"{\"id\": 1, \"nome\": \"a\"}\n{\"id\": 2}\n";
    let error = read(misspelt, None).unwrap_err();
    assert_eq!(error.code, "SOURCE-SCHEMA");
    assert!(error.message.contains("none of the first 2 rows has column \"name\"; they have: id, nome"), "{error}");
    assert_eq!(read(misspelt, Some("null")).unwrap(), ["1,", "2,"]);
    assert_eq!(read(b"{\"id\": 1}\n{\"id\": 2, \"name\": null}\n", None).unwrap(), ["1,", "2,"]);
    assert_eq!(read(b"\n", None).unwrap(), [""; 0]);
    // Every subtask finds the same, wherever its part of the file begins.
    let directory = tempfile::tempdir().unwrap();
    let body: String = (0..50).map(|row| format!("{{\"id\": {row}, \"nam\": \"a\"}}\n")).collect();
    std::fs::write(directory.path().join("data"), body).unwrap();
    for subtask in 0..3 {
        let error = drain(&mut source(&options(directory.path(), "json"), subtask, 3), 4, usize::MAX).unwrap_err();
        assert!(error.message.contains("none of the first 50 rows"), "{error}");
    }
}

fn read_parquet(columns: Vec<(&str, ArrayRef)>, data_type: &str) -> Result<Vec<String>, OperatorError> {
    let directory = tempfile::tempdir().unwrap();
    let batch = RecordBatch::try_from_iter_with_nullable(columns.into_iter().map(|(name, array)| (name, array, true))).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ::parquet::arrow::ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    std::fs::write(directory.path().join("data"), bytes).unwrap();
    let mut options = options(directory.path(), "parquet");
    options["schema"] = json!([{"name": "c", "type": data_type}]);
    read(&options)
}

#[test]
fn a_parquet_column_is_converted_without_loss_or_refused_by_name() {
    let decimals = |digits| Arc::new(Decimal128Array::from(vec![1250]).with_precision_and_scale(digits, 2).unwrap()) as ArrayRef;
    let texts = Arc::new(StringArray::from(vec!["yes"])) as ArrayRef;
    let doubles = Arc::new(Float64Array::from(vec![1.9])) as ArrayRef;
    let booleans = Arc::new(BooleanArray::from(vec![true])) as ArrayRef;
    let bigints = |value: i64| Arc::new(Int64Array::from(vec![value])) as ArrayRef;
    let times = Arc::new(TimestampMicrosecondArray::from(vec![1])) as ArrayRef;
    for (column, data_type, advice) in [
        (&doubles, "bigint", "declare it DOUBLE"),
        (&doubles, "int", "declare it DOUBLE"),
        (&doubles, "boolean", "declare it DOUBLE"),
        (&decimals(10), "bigint", "declare it DECIMAL(10, "),
        (&decimals(30), "double", "declare it DECIMAL(30, "),
        (&texts, "boolean", "declare it STRING"),
        (&texts, "bigint", "declare it STRING"),
        (&texts, "timestamp_ms", "declare it STRING"),
        (&booleans, "int", "declare it BOOLEAN"),
        (&bigints(5), "boolean", "declare it BIGINT"),
        (&times, "bigint", "declare it TIMESTAMP"),
        (&bigints(3_000_000_000), "int", "column \"c\""),
        (&bigints((1 << 53) + 1), "double", "declare the column BIGINT"),
    ] {
        let error = read_parquet(vec![("c", column.clone())], data_type).unwrap_err();
        assert!(error.code == "SOURCE-SCHEMA" && error.message.contains("column \"c\""), "{error}");
        assert!(error.message.contains(advice), "{error}");
    }
    for (column, data_type, expected) in [
        (&decimals(10), "string", "12.50"),
        (&decimals(10), "double", "12.5"),
        (&doubles, "string", "1.9"),
        (&bigints(-7), "int", "-7"),
        (&bigints(1 << 53), "double", "9007199254740992.0"),
        (&bigints(-1), "timestamp_ms", "1969-12-31T23:59:59.999Z"),
        (&booleans, "string", "true"),
    ] {
        assert_eq!(read_parquet(vec![("c", column.clone())], data_type).unwrap(), [expected], "{data_type}");
    }
}

#[test]
fn times_before_1970_are_rounded_down_and_late_years_kept_from_every_unit() {
    let last = 253_402_300_799;
    for (column, expected) in [
        (Arc::new(TimestampSecondArray::from(vec![-1, last])) as ArrayRef, ["1969-12-31T23:59:59Z", "9999-12-31T23:59:59Z"]),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![-1, last * 1_000_000])) as ArrayRef,
            ["1969-12-31T23:59:59.999Z", "9999-12-31T23:59:59Z"],
        ),
        (Arc::new(TimestampNanosecondArray::from(vec![-1, 1])) as ArrayRef, ["1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z"]),
        (
            Arc::new(TimestampMicrosecondArray::from(vec![-86_400_000_001, 1]).with_timezone("UTC")) as ArrayRef,
            ["1969-12-30T23:59:59.999Z", "1970-01-01T00:00:00Z"],
        ),
        (Arc::new(Date32Array::from(vec![-1, 2_932_896])) as ArrayRef, ["1969-12-31T00:00:00Z", "9999-12-31T00:00:00Z"]),
    ] {
        assert_eq!(read_parquet(vec![("c", column)], "timestamp_ms").unwrap(), expected);
    }
    let texts = b"1,1969-12-31T23:59:59.9995Z\n2,9999-12-31T23:59:59Z\n3,-1\n";
    let timestamps = json!([{"name": "id", "type": "bigint"}, {"name": "t", "type": "timestamp_ms"}]);
    let read = read_bytes(texts, |options| options["schema"] = timestamps.clone()).unwrap();
    assert_eq!(read, ["1,1969-12-31T23:59:59.999Z", "2,9999-12-31T23:59:59Z", "3,1969-12-31T23:59:59.999Z"]);
}

#[test]
fn old_parquet_times_keep_every_year() {
    use ::parquet::data_type::{Int96, Int96Type};
    // Nanoseconds of the day in two words, and the Julian day: 1969-12-31T23:59:59.9999 and 9999-12-31T00:00:00.
    let nanos = 86_399_999_900_000_u64;
    let (mut late, mut old) = (Int96::new(), Int96::new());
    old.set_data(nanos as u32, (nanos >> 32) as u32, 2_440_587);
    late.set_data(0, 0, 2_440_588 + 2_932_896);
    let schema = ::parquet::schema::parser::parse_message_type("message m { required int96 c; }").unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = std::fs::File::create(directory.path().join("data")).unwrap();
    let mut writer = ::parquet::file::writer::SerializedFileWriter::new(file, Arc::new(schema), Default::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int96Type>().write_batch(&[old, late], None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();
    let mut options = options(directory.path(), "parquet");
    options["schema"] = json!([{"name": "c", "type": "timestamp_ms"}]);
    assert_eq!(read(&options).unwrap(), ["1969-12-31T23:59:59.999Z", "9999-12-31T00:00:00Z"]);
}

#[test]
fn parquet_columns_are_matched_by_name_and_cast() {
    let directory = tempfile::tempdir().unwrap();
    write_files(directory.path(), Format::Parquet, 1, 3);
    let mut options = options(directory.path(), "parquet");
    options["schema"] = json!([{"name": "name", "type": "string"}, {"name": "id", "type": "int"}]);
    assert_eq!(read(&options).unwrap(), ["r,0", "rx,1", "rxx,2"]);
    options["schema"] = json!([{"name": "nome", "type": "string"}]);
    assert_eq!(read(&options).unwrap_err().code, "SOURCE-SCHEMA");
    options["schema"] = json!([{"name": "name", "type": "bigint"}]);
    assert_eq!(read(&options).unwrap_err().code, "SOURCE-SCHEMA");
    options["format"] = json!("csv");
    assert_eq!(read(&options).unwrap_err().code, "SOURCE-FORMAT");
}

#[test]
fn invalid_options_are_refused() {
    let path = Path::new("/data");
    for (name, value) in [
        ("path", json!("")),
        ("path", json!("s3://bucket/x")),
        ("path", json!("a\0b")),
        ("format", json!("xml")),
        ("schema", json!([])),
        ("delimiter", json!("\"")),
        ("delimiter", json!("ab")),
        ("delimiter", json!("é")),
        ("rows_per_second", json!(0)),
        ("max_bad_rows", json!(-1)),
        ("colour", json!("red")),
    ] {
        let mut options = options(path, "csv");
        options[name] = value;
        let built = build(&descriptor("source.file", options), &context(0, 1, 1, vec![]));
        assert_eq!(built.err().map(|error| error.code), Some("CONN-OPTION"), "{name}");
    }
}

#[test]
fn only_the_wanted_columns_are_read_in_their_order_and_errors_in_others_do_not_matter() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rows");
    std::fs::write(&path, "1,x,\"a,b\",2020-01-02\n2,y,c,2020-01-03\n").unwrap();
    let shown = |options: Value| {
        let mut out = Vec::new();
        for batch in drain(&mut source(&options, 0, 1), 100, usize::MAX).unwrap() {
            crate::rows::text::append_print(&mut out, "", &batch).unwrap();
        }
        String::from_utf8(out).unwrap()
    };
    let schema = json!([{"name": "id", "type": "INT"}, {"name": "wrong", "type": "INT"}, {"name": "s", "type": "STRING"},
        {"name": "d", "type": "DATE"}]);
    let mut options = json!({"path": path, "format": "csv", "header": false, "schema": schema, "columns": ["d", "id"]});
    assert_eq!(shown(options.clone()), "+I[2020-01-02, 1]\n+I[2020-01-03, 2]\n");
    options["columns"] = json!([]);
    let batches = drain(&mut source(&options, 0, 1), 100, usize::MAX).unwrap();
    assert_eq!(batches.iter().map(|batch| (batch.num_rows(), batch.num_columns())).collect::<Vec<_>>(), [(2, 0)]);
    for columns in [json!(["id", "id"]), json!(["no"])] {
        options["columns"] = columns;
        let refused = FileSource::new(&descriptor("source.file", options.clone()), &context(0, 1, 1, vec![])).err().unwrap();
        assert_eq!(refused.code, "CONN-OPTION");
    }
}

#[test]
fn nested_columns_of_csv_and_unusable_dialects_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let base = json!({"path": directory.path(), "format": "csv", "schema": [{"name": "a", "type": "ARRAY<INT>"}]});
    let code = |change: &dyn Fn(&mut Value)| {
        let mut options = base.clone();
        change(&mut options);
        FileSource::new(&descriptor("source.file", options), &context(0, 1, 1, vec![])).err().map(|error| error.code)
    };
    assert_eq!(code(&|_| ()), Some("CONN-TYPE"));
    assert_eq!(code(&|options| options["format"] = json!("json")), None);
    for (name, value) in [("quote", ","), ("quote", "ab"), ("escape", "x"), ("escape", "\""), ("delimiter", "7")] {
        let refused = code(&|options| {
            options["schema"] = json!([{"name": "a", "type": "INT"}]);
            options[name] = json!(value);
        });
        assert_eq!(refused, Some("CONN-OPTION"), "{name} {value}");
    }
}

#[test]
fn rows_tell_of_their_file_in_every_format() {
    for (format, name) in (0..3).map(format_of) {
        let directory = tempfile::tempdir().unwrap();
        write_files(directory.path(), format, 3, 10);
        let mut options = options(directory.path(), name);
        options["metadata"] = json!([{"name": "file", "key": "file.name"}, {"name": "bytes", "key": "file.size"},
            {"name": "path", "key": "file.path"}, {"name": "changed", "key": "file.modification-time"}]);
        let rows = read(&options).unwrap();
        assert_eq!(rows.len(), 10);
        for row in rows {
            let fields: Vec<_> = row.split(',').collect();
            let path = directory.path().join(fields[2]);
            assert_eq!(
                (fields[3], fields[4]),
                (std::fs::metadata(&path).unwrap().len().to_string().as_str(), path.to_str().unwrap())
            );
            assert!(fields[5].starts_with("20"), "{row}");
        }
        // No stored column is wanted: rows are still counted.
        options["columns"] = json!([]);
        options["metadata"] = json!([{"name": "file", "key": "file.name"}]);
        let names = read(&options).unwrap();
        assert_eq!((names.len(), names.iter().collect::<std::collections::BTreeSet<_>>().len()), (10, 3), "{names:?}");
    }
    let directory = tempfile::tempdir().unwrap();
    for metadata in [json!([{"name": "id", "key": "file.name"}]), json!([{"name": "x", "key": "file.colour"}])] {
        let mut options = options(directory.path(), "csv");
        options["metadata"] = metadata;
        let built = FileSource::new(&descriptor("source.file", options), &context(0, 1, 1, vec![]));
        assert_eq!(built.err().map(|error| error.code), Some("CONN-OPTION"));
    }
}
