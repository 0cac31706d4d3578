//! Writes rows as text: CSV, JSON lines, and the format of the print sink.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{Float64Type, Int32Type, Int64Type, TimestampMillisecondType};
use arrow_array::{
    Array, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_schema::{DataType, Schema, TimeUnit};
use weir_dataflow::operator::OperatorError;

use super::buffer::unsupported_type;
use super::timestamp::append_timestamp_ms;

/// Checks that every type of a schema can be written as text. Error: `CONN-TYPE`.
pub(crate) fn check_schema(schema: &Schema) -> Result<(), OperatorError> {
    for field in schema.fields() {
        match field.data_type() {
            DataType::Boolean
            | DataType::Int32
            | DataType::Int64
            | DataType::Float64
            | DataType::Utf8
            | DataType::Timestamp(TimeUnit::Millisecond, None) => {}
            other => return Err(unsupported_type(field.name(), other)),
        }
    }
    Ok(())
}

/// Appends the header row.
pub(crate) fn append_csv_header(out: &mut Vec<u8>, schema: &Schema) {
    for (index, field) in schema.fields().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        // Readers trim names without quotes.
        if field.name().trim() == field.name() {
            append_csv_text(out, field.name());
        } else {
            append_quoted(out, field.name());
        }
    }
    out.push(b'\n');
}

/// Appends the rows as CSV (RFC 4180, but rows end with a line feed alone). A null is an empty field; an empty text is `""`.
pub(crate) fn append_csv(out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), OperatorError> {
    let columns = columns_of(batch)?;
    for row in 0..batch.num_rows() {
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            if column.is_null(row) {
                continue;
            }
            match column {
                ColumnView::Text(values) => append_csv_text(out, values.value(row)),
                other => other.append_plain(out, row),
            }
        }
        out.push(b'\n');
    }
    Ok(())
}

/// Appends the rows as JSON, one object per line with every column. Numbers that JSON does not have are written as texts:
/// `"NaN"`, `"Infinity"`, `"-Infinity"`.
pub(crate) fn append_json(out: &mut Vec<u8>, batch: &RecordBatch) -> Result<(), OperatorError> {
    let columns = columns_of(batch)?;
    let mut keys = Vec::with_capacity(columns.len());
    for (index, field) in batch.schema_ref().fields().iter().enumerate() {
        let mut key = vec![if index == 0 { b'{' } else { b',' }];
        append_json_text(&mut key, field.name());
        key.push(b':');
        keys.push(key);
    }
    for row in 0..batch.num_rows() {
        for (column, key) in columns.iter().zip(&keys) {
            out.extend_from_slice(key);
            if column.is_null(row) {
                out.extend_from_slice(b"null");
                continue;
            }
            match column {
                ColumnView::Text(values) => append_json_text(out, values.value(row)),
                ColumnView::Double(values) => match values.value(row) {
                    value if value.is_finite() => column.append_plain(out, row),
                    value if value.is_nan() => out.extend_from_slice(b"\"NaN\""),
                    value if value > 0.0 => out.extend_from_slice(b"\"Infinity\""),
                    _ => out.extend_from_slice(b"\"-Infinity\""),
                },
                ColumnView::Timestamp(values) => {
                    out.push(b'"');
                    if append_timestamp_ms(out, values.value(row)) {
                        out.push(b'"');
                    } else {
                        out.pop();
                        append_integer(out, values.value(row));
                    }
                }
                other => other.append_plain(out, row),
            }
        }
        out.extend_from_slice(if columns.is_empty() { b"{}\n" } else { b"}\n" });
    }
    Ok(())
}

/// Appends each row in the format of Flink's print sink: `prefix`, then `+I[1, abc, null]`.
pub(crate) fn append_print(out: &mut Vec<u8>, prefix: &str, batch: &RecordBatch) -> Result<(), OperatorError> {
    let columns = columns_of(batch)?;
    for row in 0..batch.num_rows() {
        out.extend_from_slice(prefix.as_bytes());
        out.extend_from_slice(b"+I[");
        for (index, column) in columns.iter().enumerate() {
            if index > 0 {
                out.extend_from_slice(b", ");
            }
            if column.is_null(row) {
                out.extend_from_slice(b"null");
            } else {
                column.append_plain(out, row);
            }
        }
        out.extend_from_slice(b"]\n");
    }
    Ok(())
}

enum ColumnView<'a> {
    Boolean(&'a BooleanArray),
    Int(&'a Int32Array),
    Bigint(&'a Int64Array),
    Double(&'a Float64Array),
    Text(&'a StringArray),
    Timestamp(&'a TimestampMillisecondArray),
}

fn columns_of(batch: &RecordBatch) -> Result<Vec<ColumnView<'_>>, OperatorError> {
    let fields = batch.schema_ref().fields().iter();
    fields.zip(batch.columns()).map(|(field, array)| ColumnView::new(array.as_ref(), field.name())).collect()
}

impl<'a> ColumnView<'a> {
    fn new(array: &'a dyn Array, name: &str) -> Result<Self, OperatorError> {
        let view = match array.data_type() {
            DataType::Boolean => array.as_boolean_opt().map(Self::Boolean),
            DataType::Int32 => array.as_primitive_opt::<Int32Type>().map(Self::Int),
            DataType::Int64 => array.as_primitive_opt::<Int64Type>().map(Self::Bigint),
            DataType::Float64 => array.as_primitive_opt::<Float64Type>().map(Self::Double),
            DataType::Utf8 => array.as_string_opt::<i32>().map(Self::Text),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                array.as_primitive_opt::<TimestampMillisecondType>().map(Self::Timestamp)
            }
            _ => None,
        };
        view.ok_or_else(|| unsupported_type(name, array.data_type()))
    }

    fn is_null(&self, row: usize) -> bool {
        match self {
            Self::Boolean(values) => values.is_null(row),
            Self::Int(values) => values.is_null(row),
            Self::Bigint(values) => values.is_null(row),
            Self::Double(values) => values.is_null(row),
            Self::Text(values) => values.is_null(row),
            Self::Timestamp(values) => values.is_null(row),
        }
    }

    /// Appends a value that is not null, unquoted. Timestamps outside the years 0000 to 9999 are written as milliseconds.
    fn append_plain(&self, out: &mut Vec<u8>, row: usize) {
        match self {
            Self::Boolean(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            Self::Int(values) => append_integer(out, i64::from(values.value(row))),
            Self::Bigint(values) => append_integer(out, values.value(row)),
            Self::Double(values) => {
                // Writing into a vector can't fail.
                let _ = write!(out, "{:?}", values.value(row));
            }
            Self::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Self::Timestamp(values) => {
                if !append_timestamp_ms(out, values.value(row)) {
                    append_integer(out, values.value(row));
                }
            }
        }
    }
}

fn append_csv_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    // At the start of a file, a reader takes U+FEFF for a byte order mark.
    if !bytes.is_empty() && !text.starts_with('\u{feff}') && !bytes.iter().any(|byte| matches!(byte, b',' | b'"' | b'\n' | b'\r'))
    {
        out.extend_from_slice(bytes);
    } else {
        append_quoted(out, text);
    }
}

fn append_quoted(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for byte in text.bytes() {
        if byte == b'"' {
            out.push(b'"');
        }
        out.push(byte);
    }
    out.push(b'"');
}

fn append_json_text(out: &mut Vec<u8>, text: &str) {
    // Serialising a text into a vector can't fail.
    let _ = serde_json::to_writer(out, text);
}

fn append_integer(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0; 20];
    let mut start = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[start..]);
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::Field;

    use super::*;

    fn batch() -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![
            Field::new("ok", DataType::Boolean, true),
            Field::new("n", DataType::Int64, true),
            Field::new("x", DataType::Float64, true),
            Field::new("te,xt", DataType::Utf8, true),
            Field::new("at", DataType::Timestamp(TimeUnit::Millisecond, None), true),
        ]));
        RecordBatch::try_new(
            schema,
            vec![
                Arc::new(BooleanArray::from(vec![Some(true), None])),
                Arc::new(Int64Array::from(vec![Some(i64::MIN), None])),
                Arc::new(Float64Array::from(vec![Some(1e300), Some(f64::NAN)])),
                Arc::new(StringArray::from(vec![Some("a \"b\", c"), Some("")])),
                Arc::new(TimestampMillisecondArray::from(vec![Some(1_357_016_400_000), Some(i64::MAX)])),
            ],
        )
        .unwrap()
    }

    #[test]
    fn csv_quotes_only_if_needed_and_distinguishes_null_from_empty_text() {
        let mut out = Vec::new();
        append_csv_header(&mut out, batch().schema_ref());
        append_csv(&mut out, &batch()).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "ok,n,x,\"te,xt\",at\ntrue,-9223372036854775808,1e300,\"a \"\"b\"\", c\",2013-01-01T05:00:00Z\n\
             ,,NaN,\"\",9223372036854775807\n"
        );
    }

    #[test]
    fn json_lines_are_objects_with_every_column() {
        let mut out = Vec::new();
        append_json(&mut out, &batch()).unwrap();
        let lines: Vec<serde_json::Value> =
            String::from_utf8(out).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines[0]["te,xt"], "a \"b\", c");
        assert_eq!(lines[0]["at"], "2013-01-01T05:00:00Z");
        assert_eq!(lines[0]["x"], 1e300);
        assert_eq!(lines[1]["ok"], serde_json::Value::Null);
        assert_eq!(lines[1]["x"], "NaN");
        assert_eq!(lines[1]["at"], i64::MAX);
    }

    #[test]
    fn print_shows_rows_like_flink() {
        let mut out = Vec::new();
        append_print(&mut out, "p:1> ", &batch()).unwrap();
        let shown = String::from_utf8(out).unwrap();
        assert!(shown.starts_with("p:1> +I[true, -9223372036854775808, 1e300, a \"b\", c, 2013-01-01T05:00:00Z]\np:1> +I[null"));
    }
}
