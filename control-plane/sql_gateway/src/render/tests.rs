use std::sync::Arc;

use arrow_array::builder::{Int32Builder, ListBuilder, MapBuilder, StringBuilder};
use arrow_array::*;
use arrow_schema::{DataType as ArrowType, Field as ArrowField, Schema, TimeUnit};
use serde_json::{Value, json};
use weir_dataflow::changelog::kind_field;
use weir_dataflow::time_zone::Zone;
use weir_protocol::job_graph::{DataType, Field};

use super::*;
use crate::records::{Outcome, Table};

fn rendered(rows: &Rows) -> Value {
    serde_json::from_str(&rows.json()).unwrap_or_else(|error| panic!("{}: {error}", rows.json()))
}

/// The value of a column, in both formats.
fn both(data_type: &str, array: ArrayRef) -> (Value, Value) {
    both_in(data_type, array, Zone::UTC)
}

fn both_in(data_type: &str, array: ArrayRef, zone: Zone) -> (Value, Value) {
    let data_type: DataType = data_type.parse().unwrap();
    let schema = Schema::new(vec![ArrowField::new("c", array.data_type().clone(), true)]);
    let batch = RecordBatch::try_new(Arc::new(schema), vec![array]).unwrap();
    let columns = [Field { name: "c".to_owned(), data_type, nullable: true }];
    let field = |format| {
        let rows = Rows::of_batches(&columns, std::slice::from_ref(&batch), format, zone).unwrap();
        rendered(&rows)["data"][0]["fields"][0].take()
    };
    (field(RowFormat::Json), field(RowFormat::PlainText))
}

/// What Flink 2.3 answers for the same values.
#[test]
fn scalars_are_written_as_flink_writes_them() {
    let day = 7_591;
    let ms = 655_906_363_123_i64;
    let utc: Option<Arc<str>> = Some("UTC".into());
    for (data_type, array, json, text) in [
        ("BOOLEAN", Arc::new(BooleanArray::from(vec![true])) as ArrayRef, json!(true), "TRUE"),
        ("TINYINT", Arc::new(Int8Array::from(vec![1])), json!(1), "1"),
        ("SMALLINT", Arc::new(Int16Array::from(vec![2])), json!(2), "2"),
        ("INT", Arc::new(Int32Array::from(vec![-3])), json!(-3), "-3"),
        ("BIGINT", Arc::new(Int64Array::from(vec![i64::MAX])), json!(i64::MAX), "9223372036854775807"),
        ("FLOAT", Arc::new(Float32Array::from(vec![1.5])), json!(1.5), "1.5"),
        ("DOUBLE", Arc::new(Float64Array::from(vec![2.5e10])), json!(2.5e10), "2.5E10"),
        ("DOUBLE", Arc::new(Float64Array::from(vec![f64::NAN])), json!("NaN"), "NaN"),
        ("DOUBLE", Arc::new(Float64Array::from(vec![f64::NEG_INFINITY])), json!("-Infinity"), "-Infinity"),
        ("CHAR(4)", Arc::new(StringArray::from(vec!["ab  "])), json!("ab  "), "ab  "),
        ("STRING", Arc::new(StringArray::from(vec!["x\"y\u{1}é"])), json!("x\"y\u{1}é"), "x\"y\u{1}é"),
        ("BYTES", Arc::new(BinaryArray::from(vec![&[1, 2, 255][..]])), json!("AQL/"), "x'0102ff'"),
        ("DATE", Arc::new(Date32Array::from(vec![day])), json!("1990-10-14"), "1990-10-14"),
        ("TIME(0)", Arc::new(Time32MillisecondArray::from(vec![43_963_000])), json!("12:12:43"), "12:12:43"),
        ("TIME(3)", Arc::new(Time32MillisecondArray::from(vec![43_963_123])), json!("12:12:43.123"), "12:12:43.123"),
        (
            "TIMESTAMP(3)",
            Arc::new(TimestampMillisecondArray::from(vec![ms])),
            json!("1990-10-14T12:12:43.123"),
            "1990-10-14 12:12:43.123",
        ),
        (
            "TIMESTAMP(0)",
            Arc::new(TimestampMillisecondArray::from(vec![ms - 123])),
            json!("1990-10-14T12:12:43"),
            "1990-10-14 12:12:43",
        ),
        (
            "TIMESTAMP(9)",
            Arc::new(TimestampNanosecondArray::from(vec![ms * 1_000_000 + 456_000])),
            json!("1990-10-14T12:12:43.123456"),
            "1990-10-14 12:12:43.123456000",
        ),
        (
            "TIMESTAMP_LTZ(3)",
            Arc::new(TimestampMillisecondArray::from(vec![ms]).with_timezone_opt(utc.clone())),
            json!("1990-10-14T12:12:43.123Z"),
            "1990-10-14 12:12:43.123",
        ),
        (
            "TIMESTAMP_LTZ(6)",
            Arc::new(TimestampMicrosecondArray::from(vec![(ms - 123) * 1_000]).with_timezone_opt(utc)),
            json!("1990-10-14T12:12:43Z"),
            "1990-10-14 12:12:43.000000",
        ),
    ] {
        assert_eq!(both(data_type, array), (json, json!(text)), "{data_type}");
    }
}

#[test]
fn decimals_keep_all_their_digits() {
    let decimal = |value: i128, precision: u8, scale: i8| -> ArrayRef {
        Arc::new(Decimal128Array::from(vec![value]).with_precision_and_scale(precision, scale).unwrap())
    };
    let raw = |data_type: &str, array: ArrayRef| {
        let schema = Schema::new(vec![ArrowField::new("c", array.data_type().clone(), true)]);
        let batch = RecordBatch::try_new(Arc::new(schema), vec![array]).unwrap();
        let columns = [Field { name: "c".to_owned(), data_type: data_type.parse().unwrap(), nullable: true }];
        Rows::of_batches(&columns, &[batch], RowFormat::Json, Zone::UTC).unwrap().json()
    };
    for (data_type, array, json) in [
        ("DECIMAL(38, 0)", decimal(123_456_789_012_345_678_901_234_567_890, 38, 0), "123456789012345678901234567890"),
        ("DECIMAL(10, 3)", decimal(1_100, 10, 3), "1.1"),
        ("DECIMAL(10, 2)", decimal(-120_000, 10, 2), "-1200"),
        ("DECIMAL(20, 10)", decimal(1_000, 20, 10), "0.0000001"),
    ] {
        let rows = raw(data_type, array);
        assert!(rows.ends_with(&format!("\"fields\":[{json}]}}]}}")), "{rows}");
    }
    assert_eq!(both("DECIMAL(10, 3)", decimal(1_100, 10, 3)).1, json!("1.100"));
}

#[test]
fn nested_values_are_written_as_flink_writes_them() {
    let mut list = ListBuilder::new(Int32Builder::new());
    list.append_value([Some(1), None, Some(2)]);
    assert_eq!(both("ARRAY<INT>", Arc::new(list.finish())), (json!([1, null, 2]), json!("[1, NULL, 2]")));

    let mut map = MapBuilder::new(None, StringBuilder::new(), Int32Builder::new());
    map.keys().append_value("k\"");
    map.values().append_value(1);
    map.keys().append_value("l");
    map.values().append_null();
    map.append(true).unwrap();
    let map: ArrayRef = Arc::new(map.finish());
    assert_eq!(both("MAP<STRING, INT>", map), (json!({"k\"": 1, "l": null}), json!("{k\"=1, l=NULL}")));

    let mut counts = MapBuilder::new(None, Int32Builder::new(), Int32Builder::new());
    counts.keys().append_value(7);
    counts.values().append_value(2);
    counts.append(true).unwrap();
    assert_eq!(both("MULTISET<INT>", Arc::new(counts.finish())), (json!({"7": 2}), json!("{7=2}")));

    let fields = vec![
        (Arc::new(ArrowField::new("a", ArrowType::Int32, true)), Arc::new(Int32Array::from(vec![1])) as ArrayRef),
        (Arc::new(ArrowField::new("b", ArrowType::Binary, true)), Arc::new(BinaryArray::from(vec![&[1][..]]))),
        (
            Arc::new(ArrowField::new("t", ArrowType::Timestamp(TimeUnit::Millisecond, None), true)),
            Arc::new(TimestampMillisecondArray::from(vec![None])),
        ),
    ];
    let row: ArrayRef = Arc::new(StructArray::from(fields));
    let expected = (json!({"a": 1, "b": "AQ==", "t": null}), json!("(1, x'01', NULL)"));
    assert_eq!(both("ROW<a INT, b BYTES, t TIMESTAMP(3)>", row), expected);
}

#[test]
fn nulls_are_null_and_no_texts() {
    for (data_type, array) in [
        ("INT", Arc::new(Int32Array::from(vec![None])) as ArrayRef),
        ("STRING", Arc::new(StringArray::from(vec![None::<&str>]))),
        ("DOUBLE", Arc::new(Float64Array::from(vec![None]))),
    ] {
        assert_eq!(both(data_type, array), (Value::Null, Value::Null), "{data_type}");
    }
}

#[test]
fn points_in_time_are_shown_in_the_sessions_zone() {
    let array: ArrayRef = Arc::new(TimestampMillisecondArray::from(vec![1_234_567_890_123]).with_timezone_opt(Some("UTC")));
    let shown = both_in("TIMESTAMP_LTZ(3)", array, Zone::parse("Asia/Shanghai").unwrap());
    assert_eq!(shown, (json!("2009-02-14T07:31:30.123Z"), json!("2009-02-14 07:31:30.123")));
}

#[test]
fn changes_have_their_kinds_and_no_further_column() {
    let schema = Schema::new(vec![ArrowField::new("x", ArrowType::Int32, false), kind_field()]);
    let columns: Vec<ArrayRef> = vec![Arc::new(Int32Array::from(vec![1, 1, 2, 3])), Arc::new(Int8Array::from(vec![0, 1, 2, 3]))];
    let batch = RecordBatch::try_new(Arc::new(schema), columns).unwrap();
    let fields = [Field { name: "x".to_owned(), data_type: DataType::Int, nullable: false }];
    let rows = rendered(&Rows::of_batches(&fields, std::slice::from_ref(&batch), RowFormat::Json, Zone::UTC).unwrap());
    assert_eq!(
        rows["data"],
        json!([
            {"kind": "INSERT", "fields": [1]},
            {"kind": "UPDATE_BEFORE", "fields": [1]},
            {"kind": "UPDATE_AFTER", "fields": [2]},
            {"kind": "DELETE", "fields": [3]},
        ])
    );
    let error = Rows::of_batches(&[], &[batch], RowFormat::Json, Zone::UTC).unwrap_err();
    assert!(error.text().starts_with("SQL-ROWS"), "{error:?}");
}

#[test]
fn types_are_described_as_flink_describes_them() {
    for (data_type, described) in [
        ("BOOLEAN", json!({"type": "BOOLEAN", "nullable": true})),
        ("TINYINT", json!({"type": "TINYINT", "nullable": true})),
        ("SMALLINT", json!({"type": "SMALLINT", "nullable": true})),
        ("INT", json!({"type": "INTEGER", "nullable": true})),
        ("BIGINT", json!({"type": "BIGINT", "nullable": true})),
        ("FLOAT", json!({"type": "FLOAT", "nullable": true})),
        ("DOUBLE", json!({"type": "DOUBLE", "nullable": true})),
        ("DECIMAL(10, 3)", json!({"type": "DECIMAL", "nullable": true, "precision": 10, "scale": 3})),
        ("CHAR(4)", json!({"type": "CHAR", "nullable": true, "length": 4})),
        ("VARCHAR(5)", json!({"type": "VARCHAR", "nullable": true, "length": 5})),
        ("STRING", json!({"type": "VARCHAR", "nullable": true, "length": 2147483647})),
        ("BINARY(2)", json!({"type": "BINARY", "nullable": true, "length": 2})),
        ("VARBINARY(3)", json!({"type": "VARBINARY", "nullable": true, "length": 3})),
        ("BYTES", json!({"type": "VARBINARY", "nullable": true, "length": 2147483647})),
        ("DATE", json!({"type": "DATE", "nullable": true})),
        ("TIME(0)", json!({"type": "TIME_WITHOUT_TIME_ZONE", "nullable": true, "precision": 0})),
        ("TIMESTAMP(9)", json!({"type": "TIMESTAMP_WITHOUT_TIME_ZONE", "nullable": true, "precision": 9})),
        ("TIMESTAMP_LTZ(6)", json!({"type": "TIMESTAMP_WITH_LOCAL_TIME_ZONE", "nullable": true, "precision": 6})),
        (
            "ARRAY<INT NOT NULL>",
            json!({"type": "ARRAY", "nullable": true, "elementType": {"type": "INTEGER", "nullable": false}}),
        ),
        (
            "MULTISET<INT NOT NULL>",
            json!({"type": "MULTISET", "nullable": true, "elementType": {"type": "INTEGER", "nullable": false}}),
        ),
        (
            "MAP<CHAR(1) NOT NULL, INT>",
            json!({"type": "MAP", "nullable": true, "keyType": {"type": "CHAR", "nullable": false, "length": 1},
                "valueType": {"type": "INTEGER", "nullable": true}}),
        ),
        (
            "ROW<a INT, b ARRAY<STRING> NOT NULL>",
            json!({"type": "ROW", "nullable": true, "fields": [
                {"name": "a", "fieldType": {"type": "INTEGER", "nullable": true}},
                {"name": "b", "fieldType": {"type": "ARRAY", "nullable": false,
                    "elementType": {"type": "VARCHAR", "nullable": true, "length": 2147483647}}},
            ]}),
        ),
    ] {
        let columns = [Field { name: "c".to_owned(), data_type: data_type.parse().unwrap(), nullable: true }];
        let rows = rendered(&Rows::of_batches(&columns, &[], RowFormat::Json, Zone::UTC).unwrap());
        assert_eq!(rows["columns"], json!([{"name": "c", "logicalType": described, "comment": null}]), "{data_type}");
        assert_eq!(rows["data"], json!([]));
    }
}

#[test]
fn tables_are_written_in_both_formats() {
    let table = Table {
        columns: vec![
            ("name".to_owned(), DataType::String),
            ("null".to_owned(), DataType::Boolean),
            ("start time".to_owned(), DataType::TimestampLtz(3)),
        ],
        rows: vec![vec![None, Some("TRUE".to_owned()), Some("2024-01-01T00:00:00Z".to_owned())]],
    };
    let fields = |format| rendered(&Rows::of_table(&table, true, format))["data"][0]["fields"].take();
    assert_eq!(fields(RowFormat::Json), json!([null, true, "2024-01-01T00:00:00Z"]));
    assert_eq!(fields(RowFormat::PlainText), json!([null, "TRUE", "2024-01-01 00:00:00.000"]));
    let ok = rendered(&Rows::of_table(&Outcome::ok().table, true, RowFormat::Json));
    assert_eq!(ok["data"], json!([{"kind": "INSERT", "fields": ["OK"]}]));
    assert_eq!(rendered(&Rows::of_table(&table, false, RowFormat::Json))["data"], json!([]));
}

#[test]
fn the_format_of_rows_is_read_in_any_case() {
    assert_eq!(["json".parse(), "Plain_Text".parse()], [Ok(RowFormat::Json), Ok(RowFormat::PlainText)]);
    assert!("csv".parse::<RowFormat>().unwrap_err().starts_with("SQL-ROW-FORMAT"));
}
