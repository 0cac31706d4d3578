//! Messages of every format, read and written.

use std::sync::Arc;

use arrow_schema::Schema;
use proptest::prelude::*;
use serde_json::{Value, json};
use weir_protocol::job_graph::Field;

use super::*;

fn schema(types: &[&str]) -> SchemaRef {
    let field =
        |(index, name): (usize, &&str)| Field { name: format!("c{index}"), data_type: name.parse().unwrap(), nullable: true };
    weir_dataflow::schema::to_arrow(&types.iter().enumerate().map(field).collect::<Vec<_>>()).unwrap()
}

fn options(options: Value) -> FormatOptions {
    serde_json::from_value(options).unwrap()
}

/// What these messages are as rows, as the print sink shows them, or why one is none.
fn decoded(format: Value, types: &[&str], messages: &[&[u8]]) -> Result<Vec<String>, String> {
    let schema = schema(types);
    let mut decoder = options(format).decoder(&schema).unwrap();
    let mut rows = RowBuffer::new(schema).unwrap();
    for message in messages {
        let before = rows.rows();
        match decoder.decode(message, &mut rows) {
            Ok(count) => assert_eq!(rows.rows(), before + count),
            Err(reason) => {
                assert_eq!(rows.rows(), before, "a bad message leaves no rows");
                assert_eq!(rows.finish().unwrap().num_rows(), before);
                return Err(reason.0);
            }
        }
    }
    Ok(printed(&rows.finish().unwrap()))
}

fn printed(batch: &RecordBatch) -> Vec<String> {
    let mut out = Vec::new();
    crate::rows::text::append_print(&mut out, "", batch).unwrap();
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

/// The messages of rows that are given as JSON.
fn encoded(format: Value, types: &[&str], rows: &[&str]) -> Messages {
    let schema = schema(types);
    let mut buffer = RowBuffer::new(Arc::clone(&schema)).unwrap();
    let mut json = options(json!({"kind": "json"})).decoder(&schema).unwrap();
    rows.iter().for_each(|row| assert_eq!(json.decode(row.as_bytes(), &mut buffer), Ok(1)));
    let mut out = Messages::default();
    options(format).encoder(&schema).unwrap().encode(&buffer.finish().unwrap(), &mut out).unwrap();
    out
}

fn texts(messages: &Messages) -> Vec<Option<&str>> {
    messages.iter().map(|message| message.map(|bytes| std::str::from_utf8(bytes).unwrap())).collect()
}

#[test]
fn a_json_message_is_an_object_or_an_array_of_objects() {
    let json = |message: &str| decoded(json!({"kind": "json"}), &["INT", "STRING"], &[b"{\"c0\":0}", message.as_bytes()]);
    assert_eq!(json("{\"c1\":\"x\",\"c0\":1}\n").unwrap(), ["+I[0, null]", "+I[1, x]"]);
    assert_eq!(json(" [ {\"c0\":1} , {\"c0\":2,\"c1\":\"y\"} ] ").unwrap(), ["+I[0, null]", "+I[1, null]", "+I[2, y]"]);
    assert_eq!(json("[]").unwrap(), ["+I[0, null]"]);
    for (message, reason) in [
        ("", "EOF"),
        ("null", "expected an object"),
        ("[{\"c0\":1},{\"c0\":\"x\"}]", "is not a INT"),
        ("[{\"c0\":1},2]", "expected '{'"),
        ("[{\"c0\":1}", "EOF"),
        ("[{\"c0\":1}] x", "trailing"),
        ("{\"c0\":1}{\"c0\":2}", "trailing"),
    ] {
        let error = json(message).unwrap_err();
        assert!(error.contains(reason), "{message}: {error}");
    }
    let ignoring = json!({"kind": "json", "ignore_parse_errors": true});
    assert_eq!(decoded(ignoring, &["INT"], &[b"{\"c0\":\"x\"}"]).unwrap(), ["+I[null]"]);
    let strict = json!({"kind": "json", "fail_on_missing_field": true});
    assert!(decoded(strict, &["INT"], &[b"{}"]).unwrap_err().contains("no member"));
}

#[test]
fn a_csv_message_is_one_row() {
    let csv = |message: &str| decoded(json!({"kind": "csv", "empty_text": "text"}), &["INT", "STRING"], &[message.as_bytes()]);
    for (message, row) in [
        ("1,a", "+I[1, a]"),
        ("1,a\r\n", "+I[1, a]"),
        ("1,a\n", "+I[1, a]"),
        (",", "+I[null, ]"),
        ("1,\"a,\"\"b\"", "+I[1, a,\"b]"),
    ] {
        assert_eq!(csv(message).unwrap(), [row], "{message}");
    }
    let two_lines = csv("1,\"a\nb\"").unwrap();
    assert_eq!(two_lines, ["+I[1, a", "b]"], "a line can end within quotes");
    for (message, reason) in [("", "1 fields"), ("1", "1 fields"), ("1,a\n2,b", "must be one row"), ("1,a\nb", "must be one row")]
    {
        let error = csv(message).unwrap_err();
        assert!(error.contains(reason), "{message}: {error}");
    }
    let escaping = json!({"kind": "csv", "escape": "\\", "quote": "'", "delimiter": "|", "null_literal": "n/a"});
    assert_eq!(decoded(escaping, &["INT", "STRING"], &[b"1|a\\|b", b"2|n/a"]).unwrap(), ["+I[1, a|b]", "+I[2, null]"]);
}

#[test]
fn json_and_csv_messages_are_written_without_a_line_end() {
    let rows = ["{\"c0\":1,\"c1\":\"a,b\",\"c2\":\"2020-01-02 03:04:05.5\"}", "{}"];
    let types = ["INT", "STRING", "TIMESTAMP(3)"];
    let json = encoded(json!({"kind": "json", "timestamp_format": "sql"}), &types, &rows);
    assert_eq!(
        texts(&json),
        [Some("{\"c0\":1,\"c1\":\"a,b\",\"c2\":\"2020-01-02 03:04:05.5\"}"), Some("{\"c0\":null,\"c1\":null,\"c2\":null}")]
    );
    let csv = encoded(json!({"kind": "csv", "delimiter": ";", "null_literal": "-", "timestamp_format": "sql"}), &types, &rows);
    assert_eq!(texts(&csv), [Some("1;a,b;2020-01-02 03:04:05.5"), Some("-;-;-")]);
}

#[test]
fn raw_messages_are_the_bytes_of_the_only_column() {
    for (data_type, value, big_endian) in [
        ("BOOLEAN", "true", &[1][..]),
        ("BOOLEAN", "false", &[0]),
        ("TINYINT", "-2", &[0xfe]),
        ("SMALLINT", "258", &[1, 2]),
        ("INT", "-2", &[0xff, 0xff, 0xff, 0xfe]),
        ("BIGINT", "72623859790382856", &[1, 2, 3, 4, 5, 6, 7, 8]),
        ("FLOAT", "1.5", &[0x3f, 0xc0, 0, 0]),
        ("DOUBLE", "-2.0", &[0xc0, 0, 0, 0, 0, 0, 0, 0]),
        ("STRING", "\"é\"", &[0xc3, 0xa9]),
        ("BYTES", "\"AAEC\"", &[0, 1, 2]),
    ] {
        let is_number = !matches!(data_type, "STRING" | "BYTES");
        for endianness in ["big-endian", "little-endian"] {
            let format = json!({"kind": "raw", "endianness": endianness});
            let mut expected = big_endian.to_vec();
            if is_number && endianness == "little-endian" {
                expected.reverse();
            }
            let row = format!("{{\"c0\":{value}}}");
            let messages = encoded(format.clone(), &[data_type], &["{}", &row, "{\"c0\":null}"]);
            assert_eq!(messages.iter().collect::<Vec<_>>(), [None, Some(expected.as_slice()), None], "{data_type} {endianness}");
            let read = decoded(format.clone(), &[data_type], &[&expected]).unwrap();
            assert_eq!(read, decoded(json!({"kind": "json"}), &[data_type], &[row.as_bytes()]).unwrap());
            if is_number {
                let error = decoded(format, &[data_type], &[&[1; 9]]).unwrap_err();
                assert_eq!(error, format!("the message has 9 bytes; {data_type} has {}", expected.len()));
            }
        }
    }
    assert!(decoded(json!({"kind": "raw"}), &["STRING"], &[b"\xff"]).unwrap_err().contains("UTF-8"));
    assert_eq!(decoded(json!({"kind": "raw"}), &["STRING"], &[b""]).unwrap(), ["+I[]"]);
}

/// What changes these messages are, as the print sink shows them, or why one is none.
fn changes(format: Value, messages: &[&str]) -> Result<Vec<String>, String> {
    let schema = schema(&["INT", "STRING"]);
    let format = options(format);
    assert!(format.has_changes());
    let mut decoder = format.decoder(&schema).unwrap();
    let fields: Vec<_> = schema.fields().iter().cloned().chain([Arc::new(weir_dataflow::changelog::kind_field())]).collect();
    let mut rows = RowBuffer::new(Arc::new(Schema::new(fields))).unwrap();
    for message in messages {
        let before = rows.rows();
        let added = decoder.decode(message.as_bytes(), &mut rows).map_err(|reason| reason.0);
        assert_eq!(rows.rows(), before + added.as_ref().map_or(0, |added| *added), "a bad message leaves no rows");
        added?;
    }
    Ok(printed(&rows.finish().unwrap()))
}

#[test]
fn debezium_tells_of_changes() {
    let messages = [
        r#"{"before":null,"after":{"c0":1,"c1":"a"},"source":{"db":"x","n":[{}]},"op":"c","ts_ms":1589362330904}"#,
        r#"{"op":"r","after":{"c1":"b","c0":2}}"#,
        r#"{"op":"u","before":{"c0":1,"c1":"a"},"after":{"c0":1,"c1":"c"},"transaction":null}"#,
        "",
        r#" { "after" : null , "before" : {"c0":2} , "op" : "d" } "#,
    ];
    let expected = ["+I[1, a]", "+I[2, b]", "-U[1, a]", "+U[1, c]", "-D[2, null]"];
    assert_eq!(changes(json!({"kind": "debezium-json"}), &messages).unwrap(), expected);
    let enveloped: Vec<_> = messages
        .iter()
        .filter(|message| !message.is_empty())
        .map(|message| format!("{{\"schema\":{{}},\"payload\":{message}}}"))
        .collect();
    let enveloped: Vec<_> = enveloped.iter().map(String::as_str).collect();
    assert_eq!(changes(json!({"kind": "debezium-json", "schema_include": true}), &enveloped).unwrap(), expected);
    let ignoring = json!({"kind": "debezium-json", "ignore_parse_errors": true});
    assert_eq!(changes(ignoring.clone(), &[r#"{"op":"c","after":{"c0":"x"}}"#]).unwrap(), ["+I[null, null]"]);
    for (message, reason) in [
        (r#"{"op":"u","after":{"c0":1}}"#, "has no \"before\"; PostgreSQL"),
        (r#"{"op":"u","before":{"c0":1},"after":null}"#, "has no \"after\""),
        (r#"{"op":"u","before":{"c0":1},"after":{"c0":[}}"#, "expected"),
        (r#"{"op":"t","after":{"c0":1}}"#, "must be c, r, u or d"),
        (r#"{"after":{"c0":1}}"#, "must be c, r, u or d"),
        (r#"{"op":7,"after":{"c0":1}}"#, "expected"),
        (r#"{"op":"c","after":{"c0":1}} x"#, "trailing"),
        ("[]", "expected '{'"),
    ] {
        let error = changes(ignoring.clone(), &[r#"{"op":"c","after":{"c0":0}}"#, message]).unwrap_err();
        assert!(error.contains(reason), "{message}: {error}");
    }
    let error = changes(json!({"kind": "debezium-json", "schema_include": true}), &[messages[0]]).unwrap_err();
    assert!(error.contains("\"payload\""), "{error}");
}

#[test]
fn changes_are_written_as_flink_writes_them() {
    let inserts = encoded(json!({"kind": "debezium-json"}), &["INT"], &["{\"c0\":1}"]);
    assert_eq!(texts(&inserts), [Some(r#"{"before":null,"after":{"c0":1},"op":"c"}"#)]);
    let schema = Schema::new(vec![
        arrow_schema::Field::new("n", arrow_schema::DataType::Int64, false),
        weir_dataflow::changelog::kind_field(),
    ]);
    let numbers = arrow_array::Int64Array::from(vec![1, 1, 2, 2]);
    let kinds = arrow_array::Int8Array::from(vec![0, 1, 2, 3]);
    let schema = Arc::new(schema);
    let batch = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(numbers), Arc::new(kinds)]).unwrap();
    let mut out = Messages::default();
    options(json!({"kind": "debezium-json"})).encoder(&schema).unwrap().encode(&batch, &mut out).unwrap();
    assert_eq!(
        texts(&out),
        [
            Some(r#"{"before":null,"after":{"n":1},"op":"c"}"#),
            Some(r#"{"before":{"n":1},"after":null,"op":"d"}"#),
            Some(r#"{"before":null,"after":{"n":2},"op":"c"}"#),
            Some(r#"{"before":{"n":2},"after":null,"op":"d"}"#)
        ]
    );
    let with_schema = options(json!({"kind": "debezium-json", "schema_include": true}));
    assert_eq!(with_schema.encoder(&schema).err().unwrap().code, "CONN-OPTION");
}

#[test]
fn only_raw_has_a_row_for_a_null() {
    for (format, expected) in [("raw", 1), ("json", 0), ("csv", 0)] {
        let schema = schema(&["STRING"]);
        let mut rows = RowBuffer::new(Arc::clone(&schema)).unwrap();
        let mut decoder = options(json!({"kind": format})).decoder(&schema).unwrap();
        assert_eq!(decoder.decode_null(&mut rows), Ok(expected), "{format}");
        assert_eq!(rows.rows(), expected);
    }
    let strict = Arc::new(Schema::new(vec![arrow_schema::Field::new("c", arrow_schema::DataType::Int32, false)]));
    let mut rows = RowBuffer::new(Arc::clone(&strict)).unwrap();
    let error = options(json!({"kind": "raw"})).decoder(&strict).unwrap().decode_null(&mut rows).unwrap_err();
    assert!(error.0.contains("not nullable"));
}

#[test]
fn formats_refuse_what_they_have_no_form_for() {
    for (format, types, code) in [
        (json!({"kind": "raw"}), &["INT", "INT"][..], "CONN-OPTION"),
        (json!({"kind": "raw"}), &["DATE"], "CONN-TYPE"),
        (json!({"kind": "raw"}), &["ARRAY<INT>"], "CONN-TYPE"),
        (json!({"kind": "csv"}), &["ARRAY<INT>"], "CONN-TYPE"),
        (json!({"kind": "csv", "delimiter": "\n"}), &["INT"], "CONN-OPTION"),
    ] {
        assert_eq!(options(format.clone()).decoder(&schema(types)).err().unwrap().code, code, "{format}");
        assert_eq!(options(format.clone()).encoder(&schema(types)).err().unwrap().code, code, "{format}");
    }
    let both = options(json!({"kind": "json", "fail_on_missing_field": true, "ignore_parse_errors": true}));
    assert_eq!(both.decoder(&schema(&["INT"])).err().unwrap().code, "CONN-OPTION");
    let unquoted = options(json!({"kind": "csv", "quote": ""}));
    assert_eq!(unquoted.encoder(&schema(&["INT"])).err().unwrap().code, "CONN-OPTION");
    assert!(unquoted.decoder(&schema(&["INT"])).is_ok());
    for unknown in [
        json!({"kind": "orc"}),
        json!({}),
        json!({"kind": "json", "delimiter": ","}),
        json!({"kind": "raw", "charset": "UTF-8"}),
        json!({"kind": "csv", "header": true}),
    ] {
        assert!(serde_json::from_value::<FormatOptions>(unknown.clone()).is_err(), "{unknown}");
    }
}

#[test]
fn bad_rows_fail_the_job_when_they_are_too_many() {
    let reason = BadValue("it is bad".to_owned());
    let long = "x".repeat(300);
    let row = BadRow { place: "topic t, partition 0, offset 7".to_owned(), bytes: long.as_bytes(), reason: &reason };
    let error = BadRows::new(OnBadRow::Fail, None).take(&row).unwrap_err();
    assert_eq!(error.code, "SOURCE-BAD-ROW");
    let shown = format!("topic t, partition 0, offset 7: it is bad; the row: \"{}\"…", "x".repeat(200));
    assert!(error.to_string().contains(&shown), "{error}");

    let mut two = BadRows::new(OnBadRow::Fail, Some(2));
    two.restore(1);
    assert!(two.has_room() && two.take(&row).is_ok() && !two.has_room());
    assert!(two.take(&row).unwrap_err().to_string().contains("bad row number 3, max_bad_rows is 2: "));
    let mut skip = BadRows::new(OnBadRow::Skip, None);
    assert!((0..100).all(|_| skip.take(&row).is_ok()) && skip.count() == 100 && !skip.are_dead_letters());
    let mut dead = BadRows::new(OnBadRow::DeadLetter, Some(1));
    assert!(dead.are_dead_letters() && dead.take(&row).is_ok() && dead.take(&row).is_err());
}

#[test]
fn rows_can_be_taken_back() {
    let schema = schema(&["STRING"]);
    let mut rows = RowBuffer::new(Arc::clone(&schema)).unwrap();
    let mut decoder = options(json!({"kind": "raw"})).decoder(&schema).unwrap();
    for text in ["a", "bc", "d"] {
        decoder.decode(text.as_bytes(), &mut rows).unwrap();
    }
    rows.truncate(5);
    rows.truncate(1);
    decoder.decode(b"ef", &mut rows).unwrap();
    assert_eq!(printed(&rows.finish().unwrap()), ["+I[a]", "+I[ef]"]);
}

#[test]
fn columns_that_are_not_wanted_are_skipped() {
    let stored = schema(&["INT", "STRING", "BIGINT"]);
    for (format, message, expected) in
        [("json", "{\"c0\":1,\"c1\":[\"x\"],\"c2\":3}", "+I[3, 1]"), ("csv", "1,\"x\",3", "+I[3, 1]")]
    {
        for (wanted, expected) in [(&[2, 0][..], expected), (&[], "+I[]")] {
            let mut decoder = options(json!({"kind": format})).projecting_decoder(&stored, wanted).unwrap();
            let mut rows = RowBuffer::new(Arc::new(stored.project(wanted).unwrap())).unwrap();
            assert_eq!(decoder.decode(message.as_bytes(), &mut rows), Ok(1));
            assert_eq!(printed(&rows.finish().unwrap()), [expected], "{format}");
        }
    }
    let one = schema(&["INT"]);
    let mut decoder = options(json!({"kind": "raw"})).projecting_decoder(&one, &[]).unwrap();
    let mut rows = RowBuffer::new(Arc::new(Schema::empty())).unwrap();
    assert_eq!((decoder.decode(&[0; 4], &mut rows), decoder.decode_null(&mut rows)), (Ok(1), Ok(1)));
    assert_eq!(rows.finish().unwrap().num_rows(), 2);
}

proptest! {
    #[test]
    fn arbitrary_messages_give_rows_or_an_error_and_never_panic(
        messages in proptest::collection::vec(proptest::collection::vec(
            prop_oneof![4 => proptest::sample::select(b"[]{}\"c0c1:,1\n\r\\ ".to_vec()), 1 => any::<u8>()], 0..24), 0..12),
        format in proptest::sample::select(vec!["csv", "json", "raw"]),
        data_type in proptest::sample::select(vec!["STRING", "INT", "DOUBLE", "BYTES"]),
    ) {
        let schema = schema(&[data_type]);
        let mut rows = RowBuffer::new(Arc::clone(&schema)).unwrap();
        let mut decoder = options(json!({"kind": format})).decoder(&schema).unwrap();
        let mut expected = 0;
        for message in &messages {
            expected += decoder.decode(message, &mut rows).unwrap_or_default();
            prop_assert_eq!(rows.rows(), expected);
        }
        prop_assert_eq!(rows.finish().unwrap().num_rows(), expected);
    }

    #[test]
    fn rows_that_are_written_are_read_back(
        values in proptest::collection::vec((proptest::option::of(any::<i64>()), proptest::option::of(".{0,12}")), 0..20),
        format in proptest::sample::select(vec![json!({"kind": "json"}), json!({"kind": "csv"}),
            json!({"kind": "csv", "delimiter": "|", "escape": "\\"}), json!({"kind": "csv", "null_literal": "n/a"})]),
    ) {
        let schema = schema(&["BIGINT", "STRING"]);
        let mut rows = RowBuffer::new(Arc::clone(&schema)).unwrap();
        for (number, text) in &values {
            rows.push_row(0, |rows| {
                match number { Some(number) => rows.column(0).push_i64(*number)?, None => rows.column(0).push_null()? }
                match text { Some(text) => rows.column(1).push_text(text.as_bytes()), None => rows.column(1).push_null() }
            }).unwrap();
        }
        let written = rows.finish().unwrap();
        let mut messages = Messages::default();
        options(format.clone()).encoder(&schema).unwrap().encode(&written, &mut messages).unwrap();
        prop_assert_eq!(messages.len(), values.len());
        let mut decoder = options(format).decoder(&schema).unwrap();
        for message in messages.iter() {
            prop_assert_eq!(decoder.decode(message.unwrap(), &mut rows), Ok(1));
        }
        prop_assert_eq!(rows.finish().unwrap(), written);
    }
}
