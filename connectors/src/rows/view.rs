//! Gives the values of an array as text, one by one.

use std::io::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, Time32MillisecondType,
    TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{
    Array, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float32Array, Float64Array, Int8Array, Int16Array,
    Int32Array, Int64Array, ListArray, MapArray, StringArray, Time32MillisecondArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, TimeUnit};
use weir_dataflow::changelog::RowKind;
use weir_dataflow::operator::OperatorError;

use super::line::{Line, Piece, append_integer};
use super::times::{TimestampFormat, append_date, append_time, append_timestamp, has_text};
use super::{base64, decimal, unsupported_type};

/// The values of an array, with their types resolved once.
pub(crate) struct View<'a> {
    nulls: Option<&'a NullBuffer>,
    values: Values<'a>,
}

pub(crate) enum Values<'a> {
    Boolean(&'a BooleanArray),
    Tinyint(&'a Int8Array),
    Smallint(&'a Int16Array),
    Int(&'a Int32Array),
    Bigint(&'a Int64Array),
    Float(&'a Float32Array),
    Double(&'a Float64Array),
    Decimal(&'a Decimal128Array, u8),
    Text(&'a StringArray),
    Bytes(&'a BinaryArray),
    Date(&'a Date32Array),
    Time(&'a Time32MillisecondArray),
    /// The numbers, their unit, and whether they are points in time and not local times.
    Timestamp(&'a [i64], TimeUnit, bool),
    List(&'a ListArray, Box<View<'a>>),
    Map(&'a MapArray, Box<View<'a>>, Box<View<'a>>),
    Row(Vec<Member<'a>>),
}

/// A field of a row.
pub(crate) struct Member<'a> {
    /// What precedes the value in JSON: `{` or a comma, the name and a colon.
    key: Vec<u8>,
    short_key: Option<Piece>,
    pub(crate) view: View<'a>,
}

impl<'a> Member<'a> {
    pub(crate) fn new(index: usize, field: &Field, array: &'a dyn Array) -> Result<Self, OperatorError> {
        let mut key = vec![if index == 0 { b'{' } else { b',' }];
        append_json_text(&mut key, field.name());
        key.push(b':');
        Ok(Self { short_key: Piece::new(&key), key, view: View::new(array, field.name())? })
    }
}

impl<'a> View<'a> {
    /// Error: `CONN-TYPE` for a type that connectors don't support. `name` is the column's.
    fn new(array: &'a dyn Array, name: &str) -> Result<Self, OperatorError> {
        let inner = |array: &'a dyn Array| View::new(array, name).map(Box::new);
        let values = match array.data_type() {
            DataType::Boolean => Values::Boolean(array.as_boolean()),
            DataType::Int8 => Values::Tinyint(array.as_primitive::<Int8Type>()),
            DataType::Int16 => Values::Smallint(array.as_primitive::<Int16Type>()),
            DataType::Int32 => Values::Int(array.as_primitive::<Int32Type>()),
            DataType::Int64 => Values::Bigint(array.as_primitive::<Int64Type>()),
            DataType::Float32 => Values::Float(array.as_primitive::<Float32Type>()),
            DataType::Float64 => Values::Double(array.as_primitive::<Float64Type>()),
            DataType::Decimal128(_, scale) if *scale >= 0 => {
                Values::Decimal(array.as_primitive::<Decimal128Type>(), scale.unsigned_abs())
            }
            DataType::Utf8 => Values::Text(array.as_string::<i32>()),
            DataType::Binary => Values::Bytes(array.as_binary::<i32>()),
            DataType::Date32 => Values::Date(array.as_primitive::<Date32Type>()),
            DataType::Time32(TimeUnit::Millisecond) => Values::Time(array.as_primitive::<Time32MillisecondType>()),
            DataType::Timestamp(unit, zone) => {
                let values: &[i64] = match unit {
                    TimeUnit::Millisecond => array.as_primitive::<TimestampMillisecondType>().values(),
                    TimeUnit::Microsecond => array.as_primitive::<TimestampMicrosecondType>().values(),
                    TimeUnit::Nanosecond => array.as_primitive::<TimestampNanosecondType>().values(),
                    TimeUnit::Second => return Err(unsupported_type(name, array.data_type())),
                };
                Values::Timestamp(values, *unit, zone.is_some())
            }
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                Values::List(list, inner(list.values().as_ref())?)
            }
            DataType::Map(..) => {
                let map = array.as_map();
                Values::Map(map, inner(map.keys().as_ref())?, inner(map.values().as_ref())?)
            }
            DataType::Struct(fields) => {
                let fields = fields.iter().zip(array.as_struct().columns()).enumerate();
                Values::Row(fields.map(|(i, (field, array))| Member::new(i, field, array.as_ref())).collect::<Result<_, _>>()?)
            }
            other => return Err(unsupported_type(name, other)),
        };
        Ok(Self { nulls: array.nulls(), values })
    }

    pub(crate) fn is_null(&self, row: usize) -> bool {
        self.nulls.is_some_and(|nulls| nulls.is_null(row))
    }

    pub(crate) fn values(&self) -> &Values<'a> {
        &self.values
    }

    /// The value, if it is an integer and not null.
    #[inline]
    fn integer(&self, row: usize) -> Option<i64> {
        if self.is_null(row) {
            return None;
        }
        match &self.values {
            Values::Bigint(values) => Some(values.value(row)),
            Values::Int(values) => Some(i64::from(values.value(row))),
            Values::Smallint(values) => Some(i64::from(values.value(row))),
            Values::Tinyint(values) => Some(i64::from(values.value(row))),
            _ => None,
        }
    }

    /// Appends a scalar value that is not null, unquoted.
    pub(crate) fn append_plain(&self, out: &mut Vec<u8>, row: usize, format: TimestampFormat) {
        match &self.values {
            Values::Boolean(values) => out.extend_from_slice(if values.value(row) { b"true" } else { b"false" }),
            Values::Tinyint(values) => append_integer(out, i64::from(values.value(row))),
            Values::Smallint(values) => append_integer(out, i64::from(values.value(row))),
            Values::Int(values) => append_integer(out, i64::from(values.value(row))),
            Values::Bigint(values) => append_integer(out, values.value(row)),
            // Writing into a vector can't fail.
            Values::Float(values) => drop(write!(out, "{:?}", values.value(row))),
            Values::Double(values) => drop(write!(out, "{:?}", values.value(row))),
            Values::Decimal(values, scale) => decimal::append(out, values.value(row), *scale),
            Values::Text(values) => out.extend_from_slice(values.value(row).as_bytes()),
            Values::Bytes(values) => base64::append(out, values.value(row)),
            Values::Date(values) => append_date(out, values.value(row)),
            Values::Time(values) => append_time(out, values.value(row)),
            Values::Timestamp(values, unit, zoned) => append_timestamp(out, values[row], *unit, *zoned, format),
            Values::List(..) | Values::Map(..) | Values::Row(_) => {}
        }
    }

    /// Appends a value as JSON. Numbers that JSON does not have are texts: `"NaN"`, `"Infinity"`, `"-Infinity"`. Bytes are base64.
    pub(crate) fn append_json(&self, out: &mut Vec<u8>, row: usize, format: TimestampFormat) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.values {
            Values::Text(values) => append_json_text(out, values.value(row)),
            Values::Double(values) if !values.value(row).is_finite() => append_not_finite(out, values.value(row)),
            Values::Float(values) if !values.value(row).is_finite() => append_not_finite(out, f64::from(values.value(row))),
            Values::Timestamp(values, unit, _) if !has_text(values[row], *unit, format) => self.append_plain(out, row, format),
            Values::Bytes(_) | Values::Date(_) | Values::Time(_) | Values::Timestamp(..) => {
                out.push(b'"');
                self.append_plain(out, row, format);
                out.push(b'"');
            }
            Values::List(list, items) => {
                out.push(b'[');
                for (position, item) in range(list.value_offsets(), row).enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    items.append_json(out, item, format);
                }
                out.push(b']');
            }
            Values::Map(map, keys, values) => {
                out.push(b'{');
                for (position, entry) in range(map.value_offsets(), row).enumerate() {
                    if position > 0 {
                        out.push(b',');
                    }
                    let mut key = Vec::new();
                    keys.append_plain(&mut key, entry, format);
                    append_json_text(out, &String::from_utf8_lossy(&key));
                    out.push(b':');
                    values.append_json(out, entry, format);
                }
                out.push(b'}');
            }
            Values::Row(members) => append_json_object(out, members, row, format),
            _ => self.append_plain(out, row, format),
        }
    }

    /// Appends a value as Flink prints it: `[1, null]` for lists and bytes, `{key=1}` for maps, `+I[1, abc]` for rows.
    pub(crate) fn append_print(&self, out: &mut Vec<u8>, row: usize) {
        if self.is_null(row) {
            out.extend_from_slice(b"null");
            return;
        }
        match &self.values {
            Values::Bytes(values) => {
                let shown: Vec<_> = values.value(row).iter().map(|byte| byte.cast_signed().to_string()).collect();
                out.extend_from_slice(format!("[{}]", shown.join(", ")).as_bytes());
            }
            Values::List(list, items) => {
                out.push(b'[');
                separated(out, range(list.value_offsets(), row), |out, item| items.append_print(out, item));
                out.push(b']');
            }
            Values::Map(map, keys, values) => {
                out.push(b'{');
                separated(out, range(map.value_offsets(), row), |out, entry| {
                    keys.append_print(out, entry);
                    out.push(b'=');
                    values.append_print(out, entry);
                });
                out.push(b'}');
            }
            Values::Row(members) => append_printed_row(out, RowKind::Insert, members, row),
            _ => self.append_plain(out, row, TimestampFormat::Iso),
        }
    }
}

/// Appends a row as an object, such as `{"a":1,"b":null}`.
pub(crate) fn append_json_object(out: &mut Vec<u8>, members: &[Member<'_>], row: usize, format: TimestampFormat) {
    let mut line = Line::new(out);
    for member in members {
        match &member.short_key {
            Some(key) => line.push(key),
            None => line.vector().extend_from_slice(&member.key),
        }
        match member.view.integer(row) {
            Some(value) => line.push_integer(value),
            None => member.view.append_json(line.vector(), row, format),
        }
    }
    line.vector().extend_from_slice(if members.is_empty() { b"{}" } else { b"}" });
}

/// Appends `+I[1, null]`, with the kind that the row has.
pub(crate) fn append_printed_row(out: &mut Vec<u8>, kind: RowKind, members: &[Member<'_>], row: usize) {
    out.extend_from_slice(kind.short().as_bytes());
    out.push(b'[');
    separated(out, 0..members.len(), |out, member| members[member].view.append_print(out, row));
    out.push(b']');
}

fn separated(out: &mut Vec<u8>, range: std::ops::Range<usize>, append: impl Fn(&mut Vec<u8>, usize)) {
    for (position, index) in range.enumerate() {
        if position > 0 {
            out.extend_from_slice(b", ");
        }
        append(out, index);
    }
}

fn range(offsets: &[i32], row: usize) -> std::ops::Range<usize> {
    offsets[row] as usize..offsets[row + 1] as usize
}

fn append_not_finite(out: &mut Vec<u8>, value: f64) {
    out.extend_from_slice(match value {
        value if value.is_nan() => b"\"NaN\"",
        value if value > 0.0 => b"\"Infinity\"",
        _ => b"\"-Infinity\"",
    });
}

fn append_json_text(out: &mut Vec<u8>, text: &str) {
    // Without an early end, the compiler compares many bytes at once.
    let is_plain = |plain: bool, byte: u8| plain & (byte >= b' ') & (byte != b'"') & (byte != b'\\');
    if text.bytes().fold(true, is_plain) {
        out.reserve(text.len() + 2);
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
        return;
    }
    // Serialising a text into a vector can't fail.
    let _ = serde_json::to_writer(out, text);
}
