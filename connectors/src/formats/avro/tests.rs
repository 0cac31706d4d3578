//! Avro messages, read and written. The bytes and the schema are those of Flink 2.3 for the same rows.

use std::sync::{Arc, OnceLock};

use arrow_schema::SchemaRef;
use proptest::prelude::*;
use serde_json::json;
use weir_protocol::job_graph::Field;

use super::derive::schema_of;
use super::*;
use crate::formats::FormatOptions;

const FLINK_SCHEMA: &str = include_str!("testdata/flink-2.3-row.avsc");
const FLINK_ROW: &str = "01020502d80401029693d89fee47020000c03f0200000000000002c0020c68c3a96c6c6f020400ff0204cfc702f0a8020280ba\
    b70302f6a1abfef96202060202000206000202026b020a0002020e02040202710000";
const FLINK_NULLS: &str = "00000000000000000000000000000000";
const PRINTED: &str = "+I[true, -3, 300, -1, 1234567890123, 1.5, -2.25, héllo, [0, -1], -123.45, 2022-01-08, 01:00:00, \
    2023-11-14T22:13:20.123Z, [1, null, 3], {k=5}, +I[7, [+I[q], null]]]";

const COLUMNS: &[(&str, &str)] = &[
    ("b", "BOOLEAN NOT NULL"),
    ("t", "TINYINT"),
    ("s", "SMALLINT"),
    ("i", "INT NOT NULL"),
    ("l", "BIGINT"),
    ("f", "FLOAT"),
    ("d", "DOUBLE"),
    ("text", "STRING"),
    ("bytes", "BYTES"),
    ("num", "DECIMAL(10, 2)"),
    ("day", "DATE"),
    ("at_time", "TIME(3)"),
    ("ts", "TIMESTAMP(3)"),
    ("list", "ARRAY<INT>"),
    ("map", "MAP<STRING, BIGINT>"),
    ("row", "ROW<x INT, y ARRAY<ROW<z STRING NOT NULL>>>"),
];

fn columns(columns: &[(&str, &str)]) -> SchemaRef {
    let field = |(name, given): &(&str, &str)| {
        let data_type = given.strip_suffix(" NOT NULL");
        let nullable = data_type.is_none();
        Field { name: (*name).to_owned(), data_type: data_type.unwrap_or(given).parse().unwrap(), nullable }
    };
    weir_dataflow::schema::to_arrow(&columns.iter().map(field).collect::<Vec<_>>()).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().filter_map(|digit| digit.to_digit(16)).collect();
    digits.chunks(2).map(|pair| (pair[0] * 16 + pair[1]) as u8).collect()
}

fn printed(batch: &RecordBatch) -> Vec<String> {
    let mut out = Vec::new();
    crate::rows::text::append_print(&mut out, "", batch).unwrap();
    String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
}

/// Schemas that are there at once, one for each number.
struct Fixed(Vec<String>);

impl SchemaSource for Fixed {
    fn schema(&mut self, id: SchemaId) -> Result<SchemaAnswer, OperatorError> {
        Ok(match self.0.get(id as usize) {
            Some(text) => SchemaAnswer::Known(Arc::from(text.as_str())),
            None => SchemaAnswer::Unusable(format!("there is no schema {id}")),
        })
    }
}

/// What one message is as rows, as the print sink shows them, or why it is none.
fn read(decoder: &mut dyn RowDecoder, schema: SchemaRef, message: &[u8]) -> Result<Vec<String>, String> {
    let mut rows = RowBuffer::new(schema).unwrap();
    assert!(decoder.is_ready(message).unwrap());
    let decoded = decoder.decode(message, &mut rows);
    assert_eq!(rows.rows(), decoded.as_ref().copied().unwrap_or(0), "a bad message leaves no rows");
    let batch = rows.finish().unwrap();
    decoded.map(|_| printed(&batch)).map_err(|reason| reason.0)
}

/// A value that a writer with this schema wrote for a field `c`, read into a column of this type.
fn value(avro: &str, column: &str, hex: &str) -> Result<String, String> {
    let writer = format!("{{\"type\":\"record\",\"name\":\"r\",\"fields\":[{{\"name\":\"c\",\"type\":{avro}}}]}}");
    let schema = columns(&[("c", column)]);
    let options = RegistryOptions::default();
    let mut decoder = RegisteredDecoder::new(&options, &schema, &[0], Box::new(Fixed(vec![writer]))).unwrap();
    read(&mut decoder, schema, &bytes(&format!("0000000000{hex}"))).map(|rows| rows[0].clone())
}

fn with_schemas(schemas: &[&str], schema: &SchemaRef, options: &RegistryOptions) -> RegisteredDecoder {
    let all: Vec<_> = (0..schema.fields().len()).collect();
    let fixed = Fixed(schemas.iter().map(|schema| (*schema).to_owned()).collect());
    RegisteredDecoder::new(options, schema, &all, Box::new(fixed)).unwrap()
}

fn plain(legacy: bool) -> FormatOptions {
    serde_json::from_value(json!({"kind": "avro", "legacy_timestamps": legacy})).unwrap()
}

#[test]
fn columns_have_the_schema_that_flink_derives() {
    let derived = schema_of(columns(COLUMNS).fields(), TimestampMapping::Legacy).unwrap();
    assert_eq!(derived, FLINK_SCHEMA.trim_end());
    for (data_type, legacy, correct) in [
        ("TIMESTAMP(0)", Some("timestamp-millis"), Some("local-timestamp-millis")),
        ("TIMESTAMP(6)", None, Some("local-timestamp-micros")),
        ("TIMESTAMP(9)", None, None),
        ("TIMESTAMP_LTZ(3)", None, Some("timestamp-millis")),
        ("TIMESTAMP_LTZ(6)", None, Some("timestamp-micros")),
        ("TIMESTAMP_LTZ(9)", None, None),
    ] {
        for (mapping, expected) in [(TimestampMapping::Legacy, legacy), (TimestampMapping::Correct, correct)] {
            let derived = schema_of(columns(&[("c", data_type)]).fields(), mapping);
            let logical = |derived: &String| expected.is_some_and(|expected| derived.contains(&format!("\"{expected}\"")));
            assert_eq!(derived.as_ref().ok().map(logical), expected.map(|_| true), "{data_type} {mapping:?}: {derived:?}");
            assert!(derived.is_ok_and(|_| true) || expected.is_none());
        }
    }
    for (name, data_type) in [("c", "MAP<INT, INT>"), ("a b", "INT"), ("1a", "INT")] {
        assert_eq!(schema_of(columns(&[(name, data_type)]).fields(), TimestampMapping::Legacy).unwrap_err().code, "CONN-TYPE");
    }
}

#[test]
fn rows_are_read_and_written_as_flink_does() {
    let schema = columns(COLUMNS);
    let mut decoder = plain(true).decoder(&schema).unwrap();
    let mut rows = RowBuffer::new(Arc::clone(&schema)).unwrap();
    for hex in [FLINK_ROW, FLINK_NULLS] {
        assert_eq!(decoder.decode(&bytes(hex), &mut rows), Ok(1));
    }
    let batch = rows.finish().unwrap();
    assert_eq!(printed(&batch)[0], PRINTED);
    assert!(printed(&batch)[1].starts_with("+I[false, null, null, 0, null,"));
    let mut out = Messages::default();
    plain(true).encoder(&schema).unwrap().encode(&batch, &mut out).unwrap();
    assert_eq!(out.iter().collect::<Vec<_>>(), [Some(bytes(FLINK_ROW).as_slice()), Some(bytes(FLINK_NULLS).as_slice())]);
}

#[test]
fn columns_that_are_not_wanted_are_skipped() {
    let schema = columns(COLUMNS);
    let wanted = [3, 7, 15];
    let mut decoder = plain(true).projecting_decoder(&schema, &wanted).unwrap();
    let rows = read(decoder.as_mut(), Arc::new(schema.project(&wanted).unwrap()), &bytes(FLINK_ROW)).unwrap();
    assert_eq!(rows, ["+I[-1, héllo, +I[7, [+I[q], null]]]"]);
}

#[test]
fn values_of_other_types_are_promoted_or_refused() {
    let long = |logical: &str| format!("{{\"type\":\"long\",\"logicalType\":\"{logical}\"}}");
    let decimal = "{\"type\":\"bytes\",\"logicalType\":\"decimal\",\"precision\":5,\"scale\":2}";
    for (avro, column, hex, expected) in [
        ("\"int\"", "BIGINT", "05", "-3"),
        ("\"int\"", "DOUBLE", "05", "-3.0"),
        ("\"long\"", "FLOAT", "06", "3.0"),
        ("\"float\"", "DOUBLE", "0000c03f", "1.5"),
        ("\"string\"", "BYTES", "0461ff", "[97, -1]"),
        ("\"bytes\"", "STRING", "046162", "ab"),
        ("{\"type\":\"fixed\",\"name\":\"f\",\"size\":2}", "BYTES", "6162", "[97, 98]"),
        ("{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[\"A\",\"B\"]}", "STRING", "02", "B"),
        ("[\"null\",\"string\",\"int\"]", "BIGINT", "0406", "3"),
        ("[\"int\",\"null\"]", "INT", "02", "null"),
        ("[\"int\"]", "INT", "0006", "3"),
        (&long("timestamp-micros"), "TIMESTAMP(3)", "9f1f", "1969-12-31T23:59:59.998Z"),
        (&long("timestamp-millis"), "TIMESTAMP(6)", "01", "1969-12-31T23:59:59.999Z"),
        (&long("time-micros"), "TIME(3)", "a09c01", "00:00:00.01"),
        ("\"long\"", "TIMESTAMP_LTZ(3)", "02", "1970-01-01T00:00:00.001Z"),
        (decimal, "DECIMAL(5, 2)", "02ff", "-0.01"),
        (decimal, "DECIMAL(5, 2)", "00", "0.00"),
        (decimal, "DECIMAL(5, 2)", "08ffffff00", "-2.56"),
        // Too many digits.
        (decimal, "DECIMAL(5, 2)", "0800ffffff", "null"),
        (decimal, "DECIMAL(5, 2)", "060186a0", "null"),
        ("{\"type\":\"array\",\"items\":\"long\"}", "ARRAY<BIGINT>", "03040204020600", "[1, 2, 3]"),
    ] {
        let found = value(avro, column, hex);
        assert_eq!(found.as_deref(), Ok(format!("+I[{expected}]").as_str()), "{avro} {column} {hex}");
    }
    for (avro, column, hex, reason) in [
        ("\"long\"", "INT", "02", "has long for column \"c\", which is INT"),
        ("\"int\"", "TINYINT", "8002", "128 is not in the range of TINYINT"),
        ("\"string\"", "INT", "0261", "has string"),
        ("[\"null\",\"string\"]", "INT", "00", "has union of null, string"),
        ("[\"null\",\"string\",\"int\"]", "INT", "020261", "has string"),
        ("[\"null\",\"int\"]", "INT NOT NULL", "00", "not nullable"),
        ("[\"null\",\"int\"]", "INT", "04", "the type number 2 was written, but there are 2"),
        ("{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[\"A\"]}", "STRING", "02", "the symbol number 1"),
        (decimal, "DECIMAL(5, 3)", "02ff", "decimal(5, 2)"),
        ("\"string\"", "STRING", "0461", "ends before the row does"),
        ("\"string\"", "STRING", "01", "a length is -1"),
        ("\"string\"", "STRING", "02ff", "UTF-8"),
        ("\"boolean\"", "BOOLEAN", "02", "has the byte 2"),
        ("\"int\"", "INT", "0200", "1 bytes follow the row"),
        ("\"int\"", "INT", "ffffffffffffffffff01", "is not in the range of INT"),
        ("{\"type\":\"int\",\"logicalType\":\"date\"}", "DATE", "ffffffffffffffffff01", "more than 32 bits"),
        ("\"long\"", "BIGINT", "ffffffffffffffffff02", "more than 64 bits"),
        ("{\"type\":\"map\",\"values\":\"int\"}", "MAP<STRING, INT>", "0402610202610400", "the key \"a\" twice"),
        (&long("timestamp-millis"), "TIMESTAMP(9)", "feffffffffffffffff01", "out of range"),
    ] {
        let error = value(avro, column, hex).unwrap_err();
        assert!(error.contains(reason), "{avro} {column} {hex}: {error}");
    }
}

const OLD: &str = r#"{"type":"record","name":"r","namespace":"n","fields":[{"name":"id","type":"long"},
    {"name":"gone","type":{"type":"record","name":"node","fields":[{"name":"value","type":{"type":"fixed","name":"f","size":2}},
        {"name":"next","type":["null","node"]}]}},
    {"name":"name","type":["null","string"],"default":null}]}"#;

#[test]
fn rows_of_older_and_newer_schemas_are_read_together() {
    let newer = r#"{"type":"record","name":"r","fields":[{"name":"note","type":"string"},{"name":"name","type":"string"},
        {"name":"id","type":"int"},{"name":"more","type":{"type":"map","values":["null","double"]}}]}"#;
    let schema = columns(&[("id", "BIGINT NOT NULL"), ("name", "STRING"), ("note", "STRING")]);
    let mut decoder = with_schemas(&[OLD, newer], &schema, &RegistryOptions::default());
    let mut read = |hex: &str| read(&mut decoder, Arc::clone(&schema), &bytes(hex));
    // A recursive record is skipped: two nodes, then none.
    assert_eq!(read("0000000000 02 0102 02 0304 00 02 0261").unwrap(), ["+I[1, a, null]"]);
    assert_eq!(read("0000000001 026e 0261 04 02 026b 02 0000000000000000 00").unwrap(), ["+I[2, a, n]"]);
    assert_eq!(read("0000000000 02 0102 00 00").unwrap(), ["+I[1, null, null]"]);
    for (hex, reason) in [
        ("", "0 bytes, too few"),
        ("00000000", "4 bytes, too few"),
        ("0100000000 02", "begins with the byte 1"),
        ("0000000009 02", "there is no schema 9"),
        ("00ffffffff 02", "schema is -1"),
        ("7b7d", "begins with the byte 123"),
    ] {
        let error = read(hex).unwrap_err();
        assert!(error.contains(reason), "{hex}: {error}");
    }
}

#[test]
fn what_a_schema_lacks_is_null_or_the_default_of_the_given_one() {
    let schema = columns(&[("id", "BIGINT NOT NULL"), ("extra", "INT NOT NULL"), ("who", "STRING")]);
    let message = bytes("0000000000 02 0102 00 00");
    let mut without = with_schemas(&[OLD], &schema, &RegistryOptions::default());
    let error = read(&mut without, Arc::clone(&schema), &message).unwrap_err();
    assert!(error.contains("has no field \"extra\", and the column is NOT NULL"), "{error}");
    let given = r#"{"type":"record","name":"r","fields":[{"name":"id","type":"long"},{"name":"extra","type":"int","default":7},
        {"name":"who","type":["string","null"],"default":"me"}]}"#;
    let options = RegistryOptions { schema: Some(given.to_owned()), ..RegistryOptions::default() };
    let mut with = with_schemas(&[OLD], &schema, &options);
    assert_eq!(read(&mut with, Arc::clone(&schema), &message).unwrap(), ["+I[1, 7, me]"]);
    let broken = RegistryOptions { schema: Some("{}".to_owned()), ..RegistryOptions::default() };
    let error = RegisteredDecoder::new(&broken, &schema, &[0], Box::new(Fixed(Vec::new()))).err().unwrap();
    assert_eq!(error.code, "AVRO-SCHEMA");
}

#[test]
fn rows_are_written_in_the_schema_that_was_given() {
    let schema = columns(&[
        ("id", "BIGINT NOT NULL"),
        ("kind", "STRING"),
        ("price", "DECIMAL(5, 2) NOT NULL"),
        ("at", "TIMESTAMP(3) NOT NULL"),
    ]);
    let given = r#"{"type":"record","name":"r","fields":[
        {"name":"price","type":{"type":"fixed","name":"p","size":4,"logicalType":"decimal","precision":9,"scale":2}},
        {"name":"id","type":"long"}, {"name":"kind","type":[{"type":"enum","name":"k","symbols":["A","B"]},"null"]},
        {"name":"at","type":{"type":"long","logicalType":"timestamp-micros"}}]}"#;
    let options = RegistryOptions { schema: Some(given.to_owned()), ..RegistryOptions::default() };
    let id = Arc::new(OnceLock::new());
    let mut encoder = RegisteredEncoder::new(&options, &schema, Arc::clone(&id)).unwrap();
    let batch = |kind: &str| {
        let mut rows = RowBuffer::new(Arc::clone(&schema)).unwrap();
        let mut json = serde_json::from_value::<FormatOptions>(json!({"kind": "json"})).unwrap().decoder(&schema).unwrap();
        let message = json!({"id": 1, "kind": kind, "price": -1.5, "at": "1970-01-01T00:00:00.001"}).to_string();
        assert_eq!(json.decode(message.as_bytes(), &mut rows), Ok(1));
        rows.finish().unwrap()
    };
    let mut out = Messages::default();
    assert_eq!(encoder.encode(&batch("B"), &mut out).unwrap_err().code, "AVRO-SCHEMA", "it is not registered");
    id.set(258).unwrap();
    out.clear();
    encoder.encode(&batch("B"), &mut out).unwrap();
    assert_eq!(out.get(0), Some(bytes("0000000102 ffffff6a 02 00 02 d00f").as_slice()));
    let mut decoder =
        RegisteredDecoder::new(&RegistryOptions::default(), &schema, &[0, 1, 2, 3], Box::new(Fixed(vec![given.to_owned(); 259])))
            .unwrap();
    assert_eq!(
        read(&mut decoder, Arc::clone(&schema), out.get(0).unwrap()).unwrap(),
        ["+I[1, B, -1.50, 1970-01-01T00:00:00.001Z]"]
    );
    assert_eq!(encoder.encode(&batch("C"), &mut out).unwrap_err().code, "AVRO-VALUE");
    for (given, reason) in [
        (r#"{"type":"record","name":"r","fields":[{"name":"id","type":"long"}]}"#, "no field for column \"kind\""),
        (&given.replace("\"scale\":2", "\"scale\":3"), "decimal(9, 3)"),
        (&given.replace(",\"null\"]", "]"), "for column \"kind\""),
        (&given.replace("\"name\":\"at\"", "\"name\":\"at\",\"type\":\"long\"},{\"name\":\"b\""), "a field \"b\""),
    ] {
        let options = RegistryOptions { schema: Some(given.to_owned()), ..RegistryOptions::default() };
        let error = RegisteredEncoder::new(&options, &schema, Arc::default()).err().unwrap();
        assert!(error.code == "AVRO-SCHEMA" && error.message.contains(reason), "{given}: {error:?}");
    }
}

#[test]
fn schemas_that_are_none_are_refused() {
    for (text, reason) in [
        ("{", "not JSON"),
        ("\"uuid\"", "no type \"uuid\""),
        ("{\"type\":\"record\",\"name\":\"r\"}", "no member \"fields\""),
        ("{\"type\":\"record\",\"fields\":[]}", "no member \"name\""),
        ("{\"type\":\"fixed\",\"name\":\"f\",\"size\":-1}", "no number of bytes"),
        (
            "[{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[]},{\"type\":\"enum\",\"name\":\"e\",\"symbols\":[]}]",
            "defined twice",
        ),
        ("7", "is no type"),
        (&format!("[{}\"int\"]", "\"int\",".repeat(100)), "a union has 101 types"),
        (&format!("{}1{}", "[".repeat(500), "]".repeat(500)), "not JSON"),
    ] {
        let error = AvroSchema::parse(text).unwrap_err();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

fn changes(columns: SchemaRef) -> SchemaRef {
    let kind = Arc::new(weir_dataflow::changelog::kind_field());
    Arc::new(Schema::new(columns.fields().iter().cloned().chain([kind]).collect::<Vec<_>>()))
}

#[test]
fn changes_are_read_as_debezium_and_written_as_flink_writes_them() {
    let schema = columns(&[("id", "BIGINT NOT NULL"), ("n", "INT")]);
    let row = r#"{"type":"record","name":"Value","fields":[{"name":"n","type":["null","int"]},{"name":"id","type":"long"}]}"#;
    let debezium = format!(
        r#"{{"type":"record","name":"Envelope","fields":[{{"name":"op","type":"string"}},{{"name":"before","type":["null",{row}]}},
        {{"name":"source","type":"string"}},{{"name":"after","type":["null","Value"]}}]}}"#
    );
    let flink = ChangeEncoder::schema(&schema).unwrap();
    let options = RegistryOptions::default();
    let fixed = || Box::new(Fixed(vec![debezium.clone(), flink.clone()]));
    let mut decoder = ChangeDecoder::new(&options, &schema, &[0, 1], fixed()).unwrap();
    let all = changes(Arc::clone(&schema));
    let mut of = |hex: &str| read(&mut decoder, Arc::clone(&all), &bytes(hex));
    assert_eq!(of("0000000000 0263 00 0273 02 0206 02").unwrap(), ["+I[1, 3]"]);
    assert_eq!(of("0000000000 0275 02 0206 02 0273 02 00 02").unwrap(), ["-U[1, 3]", "+U[1, null]"]);
    assert_eq!(of("0000000000 0264 02 0206 02 0273 00").unwrap(), ["-D[1, 3]"]);
    assert_eq!(of("").unwrap(), Vec::<String>::new());
    for (hex, reason) in [
        ("0000000000 0275 00 0273 02 00 02", "the change \"u\" has no \"before\""),
        ("0000000000 0275 02 0206 02 0273 00", "the change \"u\" has no \"after\""),
        ("0000000000 0278 02 0206 02 0273 00", "is \"x\""),
        ("0000000001 00", "the change is null"),
        ("0000000000 0264 02 0206 02 0273 00 00", "1 bytes follow"),
    ] {
        let error = of(hex).unwrap_err();
        assert!(error.contains(reason), "{hex}: {error}");
    }

    let mut rows = RowBuffer::new(Arc::clone(&all)).unwrap();
    for hex in
        ["0000000000 0263 00 0273 02 0206 02", "0000000000 0275 02 0206 02 0273 02 00 02", "0000000000 0264 02 0206 02 0273 00"]
    {
        decoder.decode(&bytes(hex), &mut rows).unwrap();
    }
    let mut out = Messages::default();
    let id = Arc::new(OnceLock::from(1));
    ChangeEncoder::new(&options, &schema, id).unwrap().encode(&rows.finish().unwrap(), &mut out).unwrap();
    // Flink 2.3 wrote the same bytes to a registry that gave its schema this number.
    let hex = ["0000000001 02 00 02 02 0206 02 0263", "0000000001 02 02 02 0206 00 02 0264", "0000000001 02 00 02 02 00 02 0263"];
    let hex = hex.into_iter().chain(["0000000001 02 02 02 0206 00 02 0264"]);
    assert!(out.iter().eq(hex.clone().map(bytes).collect::<Vec<_>>().iter().map(|bytes| Some(bytes.as_slice()))));
    let mut decoder = ChangeDecoder::new(&options, &schema, &[0, 1], fixed()).unwrap();
    let back: Vec<_> = hex.flat_map(|hex| read(&mut decoder, Arc::clone(&all), &bytes(hex)).unwrap()).collect();
    assert_eq!(back, ["+I[1, 3]", "-D[1, 3]", "+I[1, null]", "-D[1, 3]"]);
}

#[test]
fn a_message_cannot_have_more_values_than_its_length_allows() {
    let empty = r#"{"type":"array","items":{"type":"record","name":"e","fields":[]}}"#;
    for count in [1, 1_000, 1 << 16, 1 << 17, i64::MAX, i64::MIN] {
        let mut out = Vec::new();
        super::write::append_long(&mut out, count);
        // The size of the block in bytes, if the count is negative, or else the end of blocks; then the end.
        let hex: String = out.iter().map(|byte| format!("{byte:02x}")).collect::<String>() + "00";
        for column in ["ARRAY<ROW<x INT>>", "ARRAY<ROW<y INT, x INT>>"] {
            let read = value(empty, column, &hex);
            assert_eq!(read.is_ok(), (0..1 << 17).contains(&count), "{count}: {:?}", read.err());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn damaged_messages_give_a_row_or_an_error_in_bounded_time(
        at in 0..80_usize, with in proptest::collection::vec(any::<u8>(), 0..12), removed in 0..12_usize, is_change in any::<bool>(),
    ) {
        let schema = columns(COLUMNS);
        let mut message = bytes(&format!("0000000000{}{FLINK_ROW}", if is_change { "0200 02" } else { "" }));
        if is_change {
            message.extend([2, 2, b'c']);
        }
        let at = (at + 5).min(message.len());
        let end = (at + removed).min(message.len());
        message.splice(at..end, with);
        let (schemas, all) = match is_change {
            true => (ChangeEncoder::schema(&schema).unwrap(), changes(Arc::clone(&schema))),
            false => (FLINK_SCHEMA.to_owned(), Arc::clone(&schema)),
        };
        let source = Box::new(Fixed(vec![schemas]));
        let wanted: Vec<_> = (0..COLUMNS.len()).collect();
        let mut decoder: Box<dyn RowDecoder> = match is_change {
            true => Box::new(ChangeDecoder::new(&RegistryOptions::default(), &schema, &wanted, source).unwrap()),
            false => Box::new(RegisteredDecoder::new(&RegistryOptions::default(), &schema, &wanted, source).unwrap()),
        };
        let _ = read(decoder.as_mut(), all, &message);
    }

    #[test]
    fn any_text_is_a_schema_or_none(text in "[\\[\\]{}\",:a-z0-9]{0,60}") {
        let _ = AvroSchema::parse(&text);
    }
}
