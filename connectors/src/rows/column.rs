//! One column that grows value by value, and the values that it takes.

use std::sync::Arc;

use arrow_array::builder::BooleanBufferBuilder;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{ArrayRef, BinaryArray, BooleanArray, ListArray, MapArray, PrimitiveArray, StringArray, StructArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::{ArrowError, DataType, Field, TimeUnit};
use weir_dataflow::operator::OperatorError;
use weir_dataflow::schema::type_name;

use super::decimal::{self, Parsed};
use super::parse::{TIMESTAMP, bad, in_unit, integer_prefix, parse, parse_boolean};
use super::times::{KnownDay, Moment, parse_date, parse_moment, parse_plain_moment, parse_time};
use super::{base64, unsupported_type};

/// The reason why a value or row is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadValue(pub String);

impl std::fmt::Display for BadValue {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// One column of a [`RowBuffer`](super::RowBuffer), or the elements of a nested column.
pub(crate) struct Column {
    name: String,
    member: String,
    /// How JSON has the name, with its quotes and the colon; `None` if there are several ways.
    prefix: Option<Prefix>,
    nullable: bool,
    data_type: DataType,
    values: Values,
    /// Positions of nulls, increasing.
    nulls: Vec<usize>,
    /// The day of the last timestamp.
    day: KnownDay,
}

pub(crate) enum Values {
    Boolean(Vec<bool>),
    Tinyint(Vec<i8>),
    Smallint(Vec<i16>),
    Int(Vec<i32>),
    Bigint(Vec<i64>),
    Float(Vec<f32>),
    Double(Vec<f64>),
    Decimal {
        values: Vec<i128>,
        precision: u8,
        scale: u8,
    },
    Text {
        ends: Vec<i32>,
        bytes: Vec<u8>,
    },
    Bytes {
        ends: Vec<i32>,
        bytes: Vec<u8>,
    },
    Date(Vec<i32>),
    Time(Vec<i32>),
    Timestamp(Vec<i64>, TimeUnit),
    List {
        ends: Vec<i32>,
        items: Box<Column>,
    },
    Map {
        ends: Vec<i32>,
        keys: Box<Column>,
        values: Box<Column>,
    },
    /// The fields, and the number of rows.
    Row(Vec<Column>, usize),
}

/// Evaluates an expression for the vector of a column whose values have a fixed width; the other columns follow.
macro_rules! match_values {
    ($values:expr, $vector:ident => $fixed:expr, $($other:pat => $result:expr),+ $(,)?) => {
        match $values {
            Values::Boolean($vector) => $fixed,
            Values::Tinyint($vector) => $fixed,
            Values::Smallint($vector) => $fixed,
            Values::Int($vector) | Values::Date($vector) | Values::Time($vector) => $fixed,
            Values::Bigint($vector) | Values::Timestamp($vector, _) => $fixed,
            Values::Float($vector) => $fixed,
            Values::Double($vector) => $fixed,
            Values::Decimal { values: $vector, .. } => $fixed,
            $($other => $result),+
        }
    };
}

/// A text that is looked for at the start of another one.
struct Prefix {
    text: Vec<u8>,
    /// Its first bytes, and a bit for each bit of these.
    start: u128,
    mask: u128,
}

impl Prefix {
    fn of_member(name: &str) -> Option<Self> {
        if !name.bytes().all(|byte| byte >= b' ' && !matches!(byte, b'"' | b'\\')) {
            return None;
        }
        let text = format!("\"{name}\":").into_bytes();
        let (mut start, mut mask) = ([0; 16], [0; 16]);
        for (index, byte) in text.iter().take(16).enumerate() {
            (start[index], mask[index]) = (*byte, 0xff);
        }
        Some(Self { text, start: u128::from_le_bytes(start), mask: u128::from_le_bytes(mask) })
    }

    #[inline]
    fn length_in(&self, rest: &[u8]) -> Option<usize> {
        // Few bytes are compared faster in one step than by a call.
        let is_prefix = match rest.first_chunk() {
            Some(first) => {
                u128::from_le_bytes(*first) & self.mask == self.start && (self.text.len() <= 16 || rest.starts_with(&self.text))
            }
            None => rest.starts_with(&self.text),
        };
        is_prefix.then_some(self.text.len())
    }
}

impl Column {
    /// Creates an empty column. Error: `CONN-TYPE` for a type that connectors don't support.
    pub(super) fn new(field: &Field) -> Result<Self, OperatorError> {
        Self::named(field.name().clone(), field)
    }

    fn named(name: String, field: &Field) -> Result<Self, OperatorError> {
        let variable = || (Vec::new(), Vec::new());
        let values = match field.data_type() {
            DataType::Boolean => Values::Boolean(Vec::new()),
            DataType::Int8 => Values::Tinyint(Vec::new()),
            DataType::Int16 => Values::Smallint(Vec::new()),
            DataType::Int32 => Values::Int(Vec::new()),
            DataType::Int64 => Values::Bigint(Vec::new()),
            DataType::Float32 => Values::Float(Vec::new()),
            DataType::Float64 => Values::Double(Vec::new()),
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                Values::Decimal { values: Vec::new(), precision: *precision, scale: scale.unsigned_abs() }
            }
            DataType::Utf8 => {
                let (ends, bytes) = variable();
                Values::Text { ends, bytes }
            }
            DataType::Binary => {
                let (ends, bytes) = variable();
                Values::Bytes { ends, bytes }
            }
            DataType::Date32 => Values::Date(Vec::new()),
            DataType::Time32(TimeUnit::Millisecond) => Values::Time(Vec::new()),
            DataType::Timestamp(unit, _) if *unit != TimeUnit::Second => Values::Timestamp(Vec::new(), *unit),
            DataType::List(item) => Values::List { ends: Vec::new(), items: Box::new(Self::named(format!("{name}[]"), item)?) },
            DataType::Map(entries, _) => match entries.data_type() {
                DataType::Struct(fields) if fields.len() == 2 => Values::Map {
                    ends: Vec::new(),
                    keys: Box::new(Self::named(format!("{name} key"), &fields[0])?),
                    values: Box::new(Self::named(format!("{name} value"), &fields[1])?),
                },
                _ => return Err(unsupported_type(&name, field.data_type())),
            },
            DataType::Struct(fields) => {
                let inner = |field: &Arc<Field>| Self::named(format!("{name}.{}", field.name()), field);
                Values::Row(fields.iter().map(inner).collect::<Result<_, _>>()?, 0)
            }
            other => return Err(unsupported_type(&name, other)),
        };
        Ok(Self {
            name,
            prefix: Prefix::of_member(field.name()),
            member: field.name().clone(),
            nullable: field.is_nullable(),
            data_type: field.data_type().clone(),
            values,
            nulls: Vec::new(),
            day: KnownDay::default(),
        })
    }

    /// Name of the column, for messages. A part of a nested column has a name like `person.name`.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Name of the column, or of the field in its row.
    pub(crate) fn member(&self) -> &str {
        &self.member
    }

    /// If `rest` begins with the name in JSON, quoted and with a colon, the length of that. `None` if it does not, or in another form.
    #[inline]
    pub(crate) fn member_prefix(&self, rest: &[u8]) -> Option<usize> {
        self.prefix.as_ref()?.length_in(rest)
    }

    /// The values, for callers that push into nested columns. The caller must complete what it begins, or truncate.
    pub(crate) fn values_mut(&mut self) -> &mut Values {
        &mut self.values
    }

    /// Whether an empty text is a value: of text and bytes.
    pub(crate) fn has_empty_value(&self) -> bool {
        matches!(self.values, Values::Text { .. } | Values::Bytes { .. })
    }

    /// Whether a number must be pushed as it is written, because a double could not hold it.
    pub(crate) fn wants_numbers_as_text(&self) -> bool {
        matches!(self.values, Values::Decimal { .. } | Values::Float(_) | Values::Text { .. })
    }

    /// Whether a number without a fraction can be pushed as an integer. Doubles have a negative zero.
    #[inline]
    pub(crate) fn takes_integers(&self) -> bool {
        !matches!(self.values, Values::Decimal { .. } | Values::Float(_) | Values::Text { .. } | Values::Double(_))
    }

    /// Number of pushed values, nulls included.
    pub(crate) fn len(&self) -> usize {
        match_values!(&self.values, values => values.len(),
            Values::Text { ends, .. } | Values::Bytes { ends, .. } => ends.len(),
            Values::List { ends, .. } | Values::Map { ends, .. } => ends.len(),
            Values::Row(_, rows) => *rows,
        )
    }

    /// The fast path for delimited text. If `rest` begins with a plain integer that fits this column, followed by `delimiter` or
    /// the end, pushes it and returns its length. Else pushes nothing and returns `None`.
    #[inline]
    pub(crate) fn push_integer_prefix(&mut self, rest: &[u8], delimiter: u8) -> Option<usize> {
        match &mut self.values {
            Values::Bigint(values) | Values::Timestamp(values, TimeUnit::Millisecond) => {
                let (value, length) = integer_prefix(rest, delimiter)?;
                values.push(value);
                Some(length)
            }
            Values::Int(values) => {
                let (value, length) = integer_prefix(rest, delimiter)?;
                values.push(i32::try_from(value).ok()?);
                Some(length)
            }
            _ => None,
        }
    }

    /// Pushes a null.
    pub(crate) fn push_null(&mut self) -> Result<(), BadValue> {
        if !self.nullable {
            return Err(BadValue("no value, and the column is not nullable".to_owned()));
        }
        self.push_nothing();
        Ok(())
    }

    /// Pushes the value of a field whose row is null: a null, or any value if the field has no nulls.
    fn push_nothing(&mut self) {
        if self.nullable {
            self.nulls.push(self.len());
        }
        match_values!(&mut self.values, values => values.push(Default::default()),
            Values::Text { ends, bytes } | Values::Bytes { ends, bytes } => ends.push(bytes.len() as i32),
            Values::List { ends, .. } | Values::Map { ends, .. } => ends.push(ends.last().copied().unwrap_or(0)),
            Values::Row(fields, rows) => {
                fields.iter_mut().for_each(Self::push_nothing);
                *rows += 1;
            },
        );
    }

    /// Parses a text and pushes its value. Spaces around a value that is not text are ignored. Timestamps are ISO-8601, SQL or
    /// milliseconds since 1970, bytes are base64. A decimal with too many digits before the point is null, as in Flink.
    pub(crate) fn push_text(&mut self, text: &[u8]) -> Result<(), BadValue> {
        if let Values::Text { ends, bytes } = &mut self.values {
            let text = std::str::from_utf8(text).map_err(|_| BadValue("not valid UTF-8".to_owned()))?;
            return push_variable(ends, bytes, text.as_bytes());
        }
        let text = text.trim_ascii();
        let bad = |expected: &str| bad(text, expected);
        match &mut self.values {
            Values::Boolean(values) => values.push(parse_boolean(text).ok_or_else(|| bad("boolean (true or false)"))?),
            Values::Tinyint(values) => values.push(parse(text).ok_or_else(|| bad("TINYINT"))?),
            Values::Smallint(values) => values.push(parse(text).ok_or_else(|| bad("SMALLINT"))?),
            Values::Int(values) => values.push(parse(text).ok_or_else(|| bad("INT"))?),
            Values::Bigint(values) => values.push(parse(text).ok_or_else(|| bad("BIGINT"))?),
            Values::Float(values) => values.push(parse(text).ok_or_else(|| bad("FLOAT"))?),
            Values::Double(values) => values.push(parse(text).ok_or_else(|| bad("DOUBLE"))?),
            Values::Decimal { values, precision, scale } => match decimal::parse(text, *precision, *scale) {
                Parsed::Value(value) => values.push(value),
                Parsed::TooLarge => return self.push_null(),
                Parsed::Nothing => return Err(bad(&type_name(&self.data_type))),
            },
            Values::Bytes { ends, bytes } => {
                base64::decode(bytes, text).ok_or_else(|| bad("base64 text"))?;
                ends.push(end_of(bytes)?);
            }
            Values::Date(values) => values.push(parse_date(text).ok_or_else(|| bad("DATE (like 2020-12-30)"))?),
            Values::Time(values) => values.push(parse_time(text).ok_or_else(|| bad("TIME (like 12:13:14.123)"))?),
            Values::Timestamp(values, unit) => {
                let moment = parse_plain_moment(text, &mut self.day).or_else(|| parse_moment(text));
                let moment = moment.ok_or_else(|| bad(TIMESTAMP))?;
                values.push(in_unit(moment, *unit, || String::from_utf8_lossy(text).into_owned())?);
            }
            Values::Text { .. } | Values::List { .. } | Values::Map { .. } | Values::Row(..) => {
                return Err(bad(&type_name(&self.data_type)));
            }
        }
        Ok(())
    }

    /// Pushes a text, as [`Self::push_text`] does.
    #[inline]
    pub(crate) fn push_str(&mut self, text: &str) -> Result<(), BadValue> {
        match &mut self.values {
            Values::Text { ends, bytes } => push_variable(ends, bytes, text.as_bytes()),
            _ => self.push_text(text.as_bytes()),
        }
    }

    /// Pushes an integer. Timestamps take it as milliseconds since 1970.
    #[inline]
    pub(crate) fn push_i64(&mut self, value: i64) -> Result<(), BadValue> {
        let data_type = &self.data_type;
        let too_large = || BadValue(format!("{value} is not in the range of {}", type_name(data_type)));
        match &mut self.values {
            Values::Bigint(values) => values.push(value),
            Values::Timestamp(values, TimeUnit::Millisecond) => values.push(value),
            Values::Timestamp(values, unit) => values.push(in_unit(Moment::from_millis(value), *unit, || value.to_string())?),
            Values::Tinyint(values) => values.push(i8::try_from(value).map_err(|_| too_large())?),
            Values::Smallint(values) => values.push(i16::try_from(value).map_err(|_| too_large())?),
            Values::Int(values) => values.push(i32::try_from(value).map_err(|_| too_large())?),
            Values::Float(values) => values.push(value as f32),
            Values::Double(values) => values.push(value as f64),
            Values::Decimal { .. } | Values::Text { .. } => return self.push_text(value.to_string().as_bytes()),
            _ => return Err(BadValue(format!("{value} is a number, but the column is {}", type_name(data_type)))),
        }
        Ok(())
    }

    /// Pushes the integer that represents the value: days for a date, milliseconds for a time of day, else as
    /// [`Self::push_i64`].
    pub(crate) fn push_ordinal(&mut self, value: i64) -> Result<(), BadValue> {
        let of_day = 0..86_400_000;
        match &mut self.values {
            Values::Date(days) => {
                days.push(i32::try_from(value).map_err(|_| BadValue(format!("{value} days are out of range")))?)
            }
            Values::Time(millis) if of_day.contains(&value) => millis.push(value as i32),
            Values::Time(_) => return Err(BadValue(format!("{value} is not a millisecond of a day"))),
            _ => return self.push_i64(value),
        }
        Ok(())
    }

    /// Pushes the digits of a decimal, without the point. Other columns refuse them.
    pub(crate) fn push_unscaled(&mut self, value: i128) -> Result<(), BadValue> {
        match &mut self.values {
            Values::Decimal { values, .. } => {
                values.push(value);
                Ok(())
            }
            _ => Err(BadValue(format!("{value} is a decimal, but the column is {}", type_name(&self.data_type)))),
        }
    }

    /// Pushes bytes. Other columns refuse them.
    pub(crate) fn push_bytes(&mut self, value: &[u8]) -> Result<(), BadValue> {
        match &mut self.values {
            Values::Bytes { ends, bytes } => push_variable(ends, bytes, value),
            _ => Err(BadValue(format!("these are bytes, but the column is {}", type_name(&self.data_type)))),
        }
    }

    /// Pushes a floating-point number.
    pub(crate) fn push_f64(&mut self, value: f64) -> Result<(), BadValue> {
        match &mut self.values {
            Values::Double(values) => values.push(value),
            Values::Float(values) => values.push(value as f32),
            Values::Decimal { .. } | Values::Text { .. } => return self.push_text(format!("{value:?}").as_bytes()),
            _ => {
                let message = format!("{value} is a floating-point number, but the column is {}", type_name(&self.data_type));
                return Err(BadValue(message));
            }
        }
        Ok(())
    }

    /// Pushes a boolean.
    pub(crate) fn push_bool(&mut self, value: bool) -> Result<(), BadValue> {
        match &mut self.values {
            Values::Boolean(values) => {
                values.push(value);
                Ok(())
            }
            Values::Text { .. } => self.push_text(if value { b"true" } else { b"false" }),
            _ => Err(BadValue(format!("{value} is a boolean, but the column is {}", type_name(&self.data_type)))),
        }
    }

    /// Removes the values from this position on, and what an incomplete push has left.
    pub(crate) fn truncate(&mut self, rows: usize) {
        let length = |ends: &[i32]| ends.last().map_or(0, |end| *end as usize);
        match_values!(&mut self.values, values => values.truncate(rows),
            Values::Text { ends, bytes } | Values::Bytes { ends, bytes } => {
                ends.truncate(rows);
                bytes.truncate(length(ends));
            },
            Values::List { ends, items } => {
                ends.truncate(rows);
                items.truncate(length(ends));
            },
            Values::Map { ends, keys, values } => {
                ends.truncate(rows);
                keys.truncate(length(ends));
                values.truncate(length(ends));
            },
            Values::Row(fields, count) => {
                *count = rows.min(*count);
                fields.iter_mut().for_each(|field| field.truncate(rows));
            },
        );
        while self.nulls.last().is_some_and(|position| *position >= rows) {
            self.nulls.pop();
        }
    }

    /// The values as an array of `rows` values, which is all of them. Empties the column.
    pub(super) fn finish(&mut self, rows: usize) -> Result<ArrayRef, ArrowError> {
        let nulls = (!self.nulls.is_empty()).then(|| {
            let mut validity = BooleanBufferBuilder::new(rows);
            validity.append_n(rows, true);
            for position in self.nulls.drain(..) {
                validity.set_bit(position, false);
            }
            NullBuffer::from(validity.finish())
        });
        let to = &self.data_type;
        Ok(match &mut self.values {
            Values::Boolean(values) => Arc::new(BooleanArray::new(take(values).into(), nulls)),
            Values::Tinyint(values) => primitive::<Int8Type>(values, nulls, to)?,
            Values::Smallint(values) => primitive::<Int16Type>(values, nulls, to)?,
            Values::Int(values) => primitive::<Int32Type>(values, nulls, to)?,
            Values::Bigint(values) => primitive::<Int64Type>(values, nulls, to)?,
            Values::Float(values) => primitive::<Float32Type>(values, nulls, to)?,
            Values::Double(values) => primitive::<Float64Type>(values, nulls, to)?,
            Values::Decimal { values, .. } => primitive::<Decimal128Type>(values, nulls, to)?,
            Values::Date(values) => primitive::<Date32Type>(values, nulls, to)?,
            Values::Time(values) => primitive::<Time32MillisecondType>(values, nulls, to)?,
            Values::Timestamp(values, TimeUnit::Microsecond) => primitive::<TimestampMicrosecondType>(values, nulls, to)?,
            Values::Timestamp(values, TimeUnit::Nanosecond) => primitive::<TimestampNanosecondType>(values, nulls, to)?,
            Values::Timestamp(values, _) => primitive::<TimestampMillisecondType>(values, nulls, to)?,
            Values::Text { ends, bytes } => Arc::new(StringArray::try_new(offsets(ends), take(bytes).into(), nulls)?),
            Values::Bytes { ends, bytes } => Arc::new(BinaryArray::try_new(offsets(ends), take(bytes).into(), nulls)?),
            Values::List { ends, items } => {
                let DataType::List(item) = to else { return Err(not_nested(to)) };
                let length = items.len();
                Arc::new(ListArray::try_new(item.clone(), offsets(ends), items.finish(length)?, nulls)?)
            }
            Values::Map { ends, keys, values } => {
                let DataType::Map(entry, ordered) = to else { return Err(not_nested(to)) };
                let DataType::Struct(fields) = entry.data_type() else { return Err(not_nested(to)) };
                let length = keys.len();
                let columns = vec![keys.finish(length)?, values.finish(length)?];
                let entries = StructArray::try_new(fields.clone(), columns, None)?;
                Arc::new(MapArray::try_new(entry.clone(), offsets(ends), entries, nulls, *ordered)?)
            }
            Values::Row(columns, count) => {
                let DataType::Struct(fields) = to else { return Err(not_nested(to)) };
                *count = 0;
                let arrays = columns.iter_mut().map(|column| column.finish(rows)).collect::<Result<_, _>>()?;
                Arc::new(StructArray::try_new_with_length(fields.clone(), arrays, nulls, rows)?)
            }
        })
    }
}

fn not_nested(data_type: &DataType) -> ArrowError {
    ArrowError::SchemaError(format!("{data_type} has no such values"))
}

/// The vector, which is left empty. The next batch will be about as large. Its memory is reserved now, so that it need not grow step
/// by step.
fn take<T>(values: &mut Vec<T>) -> Vec<T> {
    let next = Vec::with_capacity(values.len());
    std::mem::replace(values, next)
}

fn primitive<T: ArrowPrimitiveType>(
    values: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    data_type: &DataType,
) -> Result<ArrayRef, ArrowError> {
    Ok(Arc::new(PrimitiveArray::<T>::try_new(take(values).into(), nulls)?.with_data_type(data_type.clone())))
}

/// The offsets of values that end at `ends`: they start at 0 and never decrease.
fn offsets(ends: &mut Vec<i32>) -> OffsetBuffer<i32> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.append(ends);
    OffsetBuffer::new(offsets.into())
}

/// The end of a value that ends where `values` end now.
fn end_of<T>(values: &[T]) -> Result<i32, BadValue> {
    end(values.len())
}

/// The end of a list or map with this many elements so far.
pub(crate) fn end(length: usize) -> Result<i32, BadValue> {
    i32::try_from(length).map_err(|_| BadValue("too long".to_owned()))
}

fn push_variable(ends: &mut Vec<i32>, bytes: &mut Vec<u8>, value: &[u8]) -> Result<(), BadValue> {
    let end = end(bytes.len() + value.len())?;
    bytes.extend_from_slice(value);
    ends.push(end);
    Ok(())
}
