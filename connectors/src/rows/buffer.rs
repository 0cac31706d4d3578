//! Builds rows in one growing vector per column. A row that turns out to be bad can be rolled back.

use std::sync::Arc;

use arrow_array::builder::BooleanBufferBuilder;
use arrow_array::{
    ArrayRef, BooleanArray, Float64Array, Int32Array, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray,
};
use arrow_buffer::OffsetBuffer;
use arrow_schema::{ArrowError, DataType, SchemaRef, TimeUnit};
use weir_dataflow::operator::OperatorError;

use super::timestamp::parse_timestamp_ms;

/// The reason why a value or row is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BadValue(pub(crate) String);

/// Builds rows of one schema.
pub(crate) struct RowBuffer {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    text_bytes: usize,
}

impl RowBuffer {
    /// Creates an empty buffer. Error: `CONN-TYPE` for a column type that connectors don't support.
    pub(crate) fn new(schema: SchemaRef) -> Result<Self, OperatorError> {
        let columns = schema
            .fields()
            .iter()
            .map(|field| Column::new(field.name(), field.data_type(), field.is_nullable()))
            .collect::<Result<_, _>>()?;
        Ok(Self { schema, columns, rows: 0, text_bytes: 0 })
    }

    /// Number of complete rows.
    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    /// Number of input bytes of the complete rows.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// The column, into which the caller pushes the value of the current row. Push exactly one value into every column before
    /// [`Self::commit_row`].
    pub(crate) fn column(&mut self, index: usize) -> &mut Column {
        &mut self.columns[index]
    }

    /// The name of a column; `None` if there is no such column.
    pub(crate) fn column_name(&self, index: usize) -> Option<&str> {
        self.columns.get(index).map(Column::name)
    }

    /// Number of columns.
    pub(crate) fn width(&self) -> usize {
        self.columns.len()
    }

    /// Completes the current row. `text_bytes` is the length of its input.
    pub(crate) fn commit_row(&mut self, text_bytes: usize) {
        self.rows += 1;
        self.text_bytes += text_bytes;
    }

    /// Removes the values that were pushed since the last complete row.
    pub(crate) fn rollback_row(&mut self) {
        for column in &mut self.columns {
            column.truncate(self.rows);
        }
    }

    /// Returns the complete rows as a batch and empties the buffer.
    pub(crate) fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rollback_row();
        let capacity = self.rows;
        let arrays = self.columns.iter_mut().map(|column| column.finish(capacity)).collect::<Result<_, _>>()?;
        self.rows = 0;
        self.text_bytes = 0;
        RecordBatch::try_new(Arc::clone(&self.schema), arrays)
    }
}

/// One column of a [`RowBuffer`].
pub(crate) struct Column {
    name: String,
    nullable: bool,
    values: Values,
    /// Positions of nulls, increasing.
    nulls: Vec<usize>,
}

enum Values {
    Boolean(Vec<bool>),
    Int(Vec<i32>),
    Bigint(Vec<i64>),
    Double(Vec<f64>),
    Text { ends: Vec<i32>, bytes: Vec<u8> },
    Timestamp(Vec<i64>),
}

impl Column {
    fn new(name: &str, data_type: &DataType, nullable: bool) -> Result<Self, OperatorError> {
        let values = match data_type {
            DataType::Boolean => Values::Boolean(Vec::new()),
            DataType::Int32 => Values::Int(Vec::new()),
            DataType::Int64 => Values::Bigint(Vec::new()),
            DataType::Float64 => Values::Double(Vec::new()),
            DataType::Utf8 => Values::Text { ends: Vec::new(), bytes: Vec::new() },
            DataType::Timestamp(TimeUnit::Millisecond, None) => Values::Timestamp(Vec::new()),
            other => return Err(unsupported_type(name, other)),
        };
        Ok(Self { name: name.to_owned(), nullable, values, nulls: Vec::new() })
    }

    /// Name of the column.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Number of pushed values, nulls included.
    pub(crate) fn len(&self) -> usize {
        match &self.values {
            Values::Boolean(values) => values.len(),
            Values::Int(values) => values.len(),
            Values::Bigint(values) | Values::Timestamp(values) => values.len(),
            Values::Double(values) => values.len(),
            Values::Text { ends, .. } => ends.len(),
        }
    }

    /// The fast path for delimited text. If `rest` begins with a plain integer that fits this column, followed by `delimiter` or
    /// the end, pushes it and returns its length. Else pushes nothing and returns `None`.
    #[inline]
    pub(crate) fn push_integer_prefix(&mut self, rest: &[u8], delimiter: u8) -> Option<usize> {
        match &mut self.values {
            Values::Bigint(values) | Values::Timestamp(values) => {
                let (value, length) = integer_prefix(rest, delimiter)?;
                values.push(value);
                Some(length)
            }
            Values::Int(values) => {
                let (value, length) = integer_prefix(rest, delimiter)?;
                values.push(i32::try_from(value).ok()?);
                Some(length)
            }
            Values::Boolean(_) | Values::Double(_) | Values::Text { .. } => None,
        }
    }

    /// Pushes a null.
    pub(crate) fn push_null(&mut self) -> Result<(), BadValue> {
        if !self.nullable {
            return Err(BadValue("no value, and the column is not nullable".to_owned()));
        }
        self.nulls.push(self.len());
        match &mut self.values {
            Values::Boolean(values) => values.push(false),
            Values::Int(values) => values.push(0),
            Values::Bigint(values) | Values::Timestamp(values) => values.push(0),
            Values::Double(values) => values.push(0.0),
            Values::Text { ends, bytes } => ends.push(bytes.len() as i32),
        }
        Ok(())
    }

    /// Parses a field of delimited text and pushes its value. An empty field is null. In a text column, an empty quoted field is
    /// the empty text.
    pub(crate) fn push_field(&mut self, field: &[u8], quoted: bool) -> Result<(), BadValue> {
        if let Values::Text { .. } = self.values {
            if field.is_empty() && !quoted {
                return self.push_null();
            }
            let text = std::str::from_utf8(field).map_err(|_| BadValue("not valid UTF-8".to_owned()))?;
            return self.push_str(text);
        }
        let field = field.trim_ascii();
        if field.is_empty() {
            return self.push_null();
        }
        match &mut self.values {
            Values::Boolean(values) => values.push(parse_boolean(field).ok_or_else(|| bad(field, "boolean (true or false)"))?),
            Values::Int(values) => values.push(parse(field).ok_or_else(|| bad(field, "int"))?),
            Values::Bigint(values) => values.push(parse(field).ok_or_else(|| bad(field, "bigint"))?),
            Values::Double(values) => values.push(parse(field).ok_or_else(|| bad(field, "double"))?),
            Values::Timestamp(values) => values.push(parse_timestamp_ms(field).ok_or_else(|| bad(field, TIMESTAMP))?),
            Values::Text { .. } => {}
        }
        Ok(())
    }

    /// Pushes a text value. A text column takes every text, a timestamp column an ISO-8601 instant, and a double column the
    /// numbers that JSON does not have (`NaN`, `Infinity`).
    pub(crate) fn push_str(&mut self, text: &str) -> Result<(), BadValue> {
        match &mut self.values {
            Values::Text { ends, bytes } => {
                bytes.extend_from_slice(text.as_bytes());
                ends.push(i32::try_from(bytes.len()).map_err(|_| BadValue("too long".to_owned()))?);
                Ok(())
            }
            Values::Timestamp(values) => {
                values.push(parse_timestamp_ms(text.as_bytes()).ok_or_else(|| bad(text.as_bytes(), TIMESTAMP))?);
                Ok(())
            }
            Values::Double(values) => match text.parse::<f64>() {
                Ok(value) if !value.is_finite() => {
                    values.push(value);
                    Ok(())
                }
                _ => Err(bad(text.as_bytes(), "double (it is a text)")),
            },
            _ => Err(bad(text.as_bytes(), "value of this column (it is a text)")),
        }
    }

    /// Pushes an integer.
    pub(crate) fn push_i64(&mut self, value: i64) -> Result<(), BadValue> {
        match &mut self.values {
            Values::Bigint(values) | Values::Timestamp(values) => values.push(value),
            Values::Int(values) => values.push(i32::try_from(value).map_err(|_| BadValue(format!("{value} is not an int")))?),
            Values::Double(values) => values.push(value as f64),
            Values::Boolean(_) | Values::Text { .. } => {
                return Err(BadValue(format!("{value} is a number, but the column is not numeric")));
            }
        }
        Ok(())
    }

    /// Pushes a floating-point number.
    pub(crate) fn push_f64(&mut self, value: f64) -> Result<(), BadValue> {
        match &mut self.values {
            Values::Double(values) => {
                values.push(value);
                Ok(())
            }
            _ => Err(BadValue(format!("{value} is a floating-point number, but the column is not double"))),
        }
    }

    /// Pushes a boolean.
    pub(crate) fn push_bool(&mut self, value: bool) -> Result<(), BadValue> {
        match &mut self.values {
            Values::Boolean(values) => {
                values.push(value);
                Ok(())
            }
            _ => Err(BadValue(format!("{value} is a boolean, but the column is not"))),
        }
    }

    fn truncate(&mut self, rows: usize) {
        match &mut self.values {
            Values::Boolean(values) => values.truncate(rows),
            Values::Int(values) => values.truncate(rows),
            Values::Bigint(values) | Values::Timestamp(values) => values.truncate(rows),
            Values::Double(values) => values.truncate(rows),
            Values::Text { ends, bytes } => {
                ends.truncate(rows);
                bytes.truncate(ends.last().map_or(0, |end| *end as usize));
            }
        }
        while self.nulls.last().is_some_and(|position| *position >= rows) {
            self.nulls.pop();
        }
    }

    fn finish(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        let nulls = (!self.nulls.is_empty()).then(|| {
            let mut validity = BooleanBufferBuilder::new(rows);
            validity.append_n(rows, true);
            for position in self.nulls.drain(..) {
                validity.set_bit(position, false);
            }
            validity.finish().into()
        });
        // The next batch will be about as large. Reserve its memory now, so that its vectors need not grow step by step.
        fn take<T>(values: &mut Vec<T>) -> Vec<T> {
            let next = Vec::with_capacity(values.len());
            std::mem::replace(values, next)
        }
        Ok(match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(take(values).into(), nulls)),
            Values::Int(values) => Arc::new(Int32Array::try_new(take(values).into(), nulls)?),
            Values::Bigint(values) => Arc::new(Int64Array::try_new(take(values).into(), nulls)?),
            Values::Double(values) => Arc::new(Float64Array::try_new(take(values).into(), nulls)?),
            Values::Timestamp(values) => Arc::new(TimestampMillisecondArray::try_new(take(values).into(), nulls)?),
            Values::Text { ends, bytes } => {
                let mut offsets = Vec::with_capacity(ends.len() + 1);
                offsets.push(0);
                offsets.append(ends);
                // The offsets start at 0 and never decrease: each end is the length of `bytes` after a push.
                let offsets = OffsetBuffer::new(offsets.into());
                Arc::new(StringArray::try_new(offsets, take(bytes).into(), nulls)?)
            }
        })
    }
}

const TIMESTAMP: &str = "timestamp (milliseconds since 1970, or ISO-8601)";

/// The error for a column type that connectors can't read or write.
pub(crate) fn unsupported_type(name: &str, data_type: &DataType) -> OperatorError {
    OperatorError::fatal(
        "CONN-TYPE",
        format!("column {name:?} has type {data_type}; supported: boolean, int, bigint, double, string, timestamp_ms"),
    )
}

fn bad(field: &[u8], expected: &str) -> BadValue {
    let shown: String = String::from_utf8_lossy(&field[..field.len().min(200)]).chars().take(40).collect();
    BadValue(format!("{shown:?} is not a {expected}"))
}

fn parse<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

fn parse_boolean(field: &[u8]) -> Option<bool> {
    if field.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if field.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

/// The integer at the start of `rest` and its length, if `delimiter` or the end follows. It has at most 18 digits, so that it
/// can't overflow; longer integers take the slow path.
#[inline]
fn integer_prefix(rest: &[u8], delimiter: u8) -> Option<(i64, usize)> {
    let negative = rest.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut value: i64 = 0;
    let mut length = start;
    while let Some(byte) = rest.get(length) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            if *byte != delimiter {
                return None;
            }
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        length += 1;
    }
    if length == start || length - start > 18 {
        return None;
    }
    Some((if negative { -value } else { value }, length))
}

#[cfg(test)]
mod tests {
    use arrow_array::Array;
    use arrow_schema::{Field, Schema};

    use super::*;

    fn buffer(data_type: DataType, nullable: bool) -> RowBuffer {
        RowBuffer::new(Arc::new(Schema::new(vec![Field::new("c", data_type, nullable)]))).unwrap()
    }

    #[test]
    fn plain_integers_take_the_fast_path_and_everything_else_does_not() {
        for (text, expected) in [
            ("12,3", Some((12, 2))),
            ("-7", Some((-7, 2))),
            ("0", Some((0, 1))),
            ("999999999999999999", Some((999_999_999_999_999_999, 18))),
            ("1000000000000000000", None),
            ("", None),
            ("-", None),
            (",1", None),
            ("1.5,", None),
            ("+1", None),
            (" 1", None),
            ("12345678901234567890123456789012345678901234567890", None),
        ] {
            assert_eq!(integer_prefix(text.as_bytes(), b','), expected, "{text:?}");
        }
    }

    #[test]
    fn a_bad_row_is_rolled_back_with_its_nulls_and_text() {
        let mut rows = buffer(DataType::Utf8, true);
        rows.column(0).push_field(b"one", false).unwrap();
        rows.commit_row(3);
        rows.column(0).push_null().unwrap();
        rows.rollback_row();
        rows.column(0).push_field(b"two", false).unwrap();
        rows.rollback_row();
        rows.column(0).push_field(b"", false).unwrap();
        rows.commit_row(0);
        rows.column(0).push_field(b"", true).unwrap();
        rows.commit_row(2);
        let batch = rows.finish().unwrap();
        let column: &StringArray = batch.column(0).as_any().downcast_ref().unwrap();
        assert_eq!(column.iter().collect::<Vec<_>>(), [Some("one"), None, Some("")]);
        assert_eq!(rows.rows(), 0);
        assert_eq!(rows.finish().unwrap().num_rows(), 0);
    }

    #[test]
    fn values_out_of_range_and_of_the_wrong_kind_are_refused() {
        let mut int = buffer(DataType::Int32, false);
        assert!(int.column(0).push_field(b"2147483648", false).is_err());
        assert_eq!(int.column(0).push_integer_prefix(b"2147483648", b','), None);
        assert!(int.column(0).push_null().is_err());
        assert!(int.column(0).push_field(b"1.0", false).is_err());
        assert_eq!(int.column(0).len(), 0);
        let mut bigint = buffer(DataType::Int64, false);
        bigint.column(0).push_field(b" -9223372036854775808 ", false).unwrap();
        assert!(bigint.column(0).push_field(b"9223372036854775808", false).is_err());
        assert!(buffer(DataType::Boolean, false).column(0).push_field(b"1", false).is_err());
        assert!(buffer(DataType::Utf8, false).column(0).push_field(b"\xff\xfe", false).is_err());
        assert!(RowBuffer::new(Arc::new(Schema::new(vec![Field::new("c", DataType::Date32, true)]))).is_err());
    }
}
