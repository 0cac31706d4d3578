//! Makes the values of one column.

use serde::Deserialize;
use serde_json::{Number, Value};
use weir_protocol::job_graph::DataType;

use crate::random::mix;
use crate::rows::column::{BadValue, Column, Values, end};
use crate::rows::decimal::{self, Parsed};

/// A field of the options.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct FieldOptions {
    pub(super) name: String,
    #[serde(rename = "type")]
    pub(super) data_type: DataType,
    kind: FieldKind,
    #[serde(default)]
    min: Option<Number>,
    #[serde(default)]
    max: Option<Number>,
    #[serde(default)]
    values: Option<Vec<Value>>,
    #[serde(default)]
    step_ms: Option<i64>,
    #[serde(default)]
    length: Option<usize>,
    #[serde(default)]
    var_length: bool,
    #[serde(default)]
    null_rate: f64,
    #[serde(default)]
    max_past_ms: u64,
    /// The parts of a nested column whose values are not made as by default.
    #[serde(default)]
    parts: Vec<PartOptions>,
}

impl FieldOptions {
    /// Whether values can be NULL.
    pub(super) fn can_be_null(&self) -> bool {
        self.null_rate > 0.0
    }
}

/// How many characters, bytes or elements random values of a column, or of a part of one, have.
#[derive(Debug, Clone, Copy, Default)]
struct LengthOptions {
    length: Option<usize>,
    varies: bool,
}

/// A part of a nested column.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PartOptions {
    /// Where it is: `element`, `key`, `value` and names of fields, with points between.
    name: String,
    #[serde(default)]
    min: Option<Number>,
    #[serde(default)]
    max: Option<Number>,
    #[serde(default)]
    length: Option<usize>,
    #[serde(default)]
    var_length: bool,
    #[serde(default)]
    null_rate: f64,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FieldKind {
    Sequence,
    Random,
    Constant,
    Timestamp,
}

/// Generates the values of one column. The integers of dates are days since 1970, those of times of day are milliseconds, and those
/// of timestamps are milliseconds since 1970.
pub(super) enum Generator {
    /// The number `first + i * step` for row i.
    Linear {
        first: i64,
        step: i64,
    },
    /// A random integer in `min..=max`.
    Integer {
        min: i64,
        max: i64,
    },
    /// A random number in `min..max`.
    Double {
        min: f64,
        max: f64,
    },
    /// A random decimal without its point, in `min..=max`.
    Decimal {
        min: i128,
        max: i128,
    },
    /// A random boolean.
    Boolean,
    /// The time `first + i * step` for row i, moved back by a random length up to `max_past`.
    Moment {
        first: i64,
        step: i64,
        max_past: u64,
    },
    /// Random hexadecimal digits.
    Text(Length),
    /// Random bytes.
    Bytes(Length),
    /// A random element of the list.
    Choice(Vec<Value>),
    List(Length, Box<Generator>),
    Map(Length, Box<Generator>, Box<Generator>),
    Row(Vec<Generator>),
    /// NULL if a random number is below the bound.
    OrNull(u64, Box<Generator>),
}

/// How many characters, bytes or elements a random value has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Length {
    most: usize,
    varies: bool,
}

impl Length {
    fn of(given: LengthOptions, default: usize, most: usize) -> Result<Self, String> {
        let length = given.length.unwrap_or(default);
        if length > LONGEST {
            return Err(format!("a length of {length} is above {LONGEST}"));
        }
        Ok(Self { most: length.min(most), varies: given.varies })
    }

    fn draw(self, draw: &mut Draw) -> usize {
        if self.varies && self.most > 1 { 1 + share(draw.next(), self.most as u128 - 1) as usize } else { self.most }
    }
}

/// The random numbers of one value.
pub(super) struct Draw(pub(super) u64);

impl Draw {
    pub(super) fn next(&mut self) -> u64 {
        let drawn = mix(self.0);
        self.0 = drawn ^ 0x2545_f491_4f6c_dd1d;
        drawn
    }
}

/// Lengths unless others are given: what one random number gives, and Flink's number of elements.
const TEXT_DIGITS: usize = 16;
const BYTES: usize = 8;
const ELEMENTS: usize = 3;

/// Longest random text, bytes, array or map.
const LONGEST: usize = 1 << 20;

/// Deepest nesting of columns that is filled.
const DEEPEST: usize = 16;

const DAY_MS: i64 = 86_400_000;

/// The last day of the year 9999.
const LAST_DAY: i64 = 2_932_896;

impl Generator {
    pub(super) fn new(field: &FieldOptions) -> Result<Self, String> {
        let generator = Self::scalar_or_nested(field)?;
        or_null(generator, field.null_rate)
    }

    fn scalar_or_nested(field: &FieldOptions) -> Result<Self, String> {
        use DataType::{Bigint, Date, Time, Timestamp, TimestampLtz};
        let number = whole;
        let time = matches!(field.data_type, Timestamp(_) | TimestampLtz(_));
        let of_day = matches!(field.data_type, Date | Time(_));
        let counted = field.data_type.is_numeric() || field.data_type.is_text() || time || of_day;
        match (field.kind, &field.values) {
            (FieldKind::Constant, Some(values)) if values.len() == 1 => Ok(Self::Choice(values.clone())),
            (FieldKind::Constant, _) => Err("a constant needs \"values\" with one value".to_owned()),
            (FieldKind::Random, Some(values)) if !values.is_empty() => Ok(Self::Choice(values.clone())),
            (FieldKind::Random, Some(_)) => Err("\"values\" is empty".to_owned()),
            (FieldKind::Sequence, None) if counted => Ok(Self::Linear { first: number(&field.min, 0)?, step: 1 }),
            (FieldKind::Timestamp, None) if time || of_day || field.data_type == Bigint => {
                let (first, step) = (number(&field.min, 0)?, field.step_ms.unwrap_or(1));
                Ok(Self::Moment { first, step, max_past: field.max_past_ms })
            }
            (FieldKind::Random, None) => {
                let length = LengthOptions { length: field.length, varies: field.var_length };
                let part = Part { data_type: &field.data_type, min: &field.min, max: &field.max, length };
                Self::random(&part, &field.parts, "", 0)
            }
            (kind, _) => Err(format!("kind {kind:?} can't be used with this type or with \"values\"").to_lowercase()),
        }
    }

    /// Random values of a column or a part. `path` is where the part is; it ends with a point unless it is the column.
    fn random(field: &Part<'_>, parts: &[PartOptions], path: &str, depth: usize) -> Result<Self, String> {
        let text = |most: u32| Length::of(field.length, TEXT_DIGITS, most as usize).map(Self::Text);
        let bytes = |most: u32| Length::of(field.length, BYTES, most as usize).map(Self::Bytes);
        let inner = |name: &str, data_type: &DataType| {
            if depth >= DEEPEST {
                return Err("the type is nested too deep".to_owned());
            }
            let path = format!("{path}{name}");
            let given = parts.iter().find(|part| part.name == path);
            let part = Part {
                data_type,
                min: given.map_or(&None, |part| &part.min),
                max: given.map_or(&None, |part| &part.max),
                length: given.map(|part| LengthOptions { length: part.length, varies: part.var_length }).unwrap_or_default(),
            };
            let null_rate = given.map_or(0.0, |part| part.null_rate);
            or_null(Self::random(&part, parts, &format!("{path}."), depth + 1)?, null_rate)
        };
        let greatest = match field.data_type {
            DataType::Boolean => return Ok(Self::Boolean),
            DataType::String => return text(u32::MAX),
            DataType::Char(length) | DataType::Varchar(length) => return text(*length),
            DataType::Bytes => return bytes(u32::MAX),
            DataType::Binary(length) | DataType::Varbinary(length) => return bytes(*length),
            DataType::Float | DataType::Double => {
                let min = field.min.as_ref().and_then(Number::as_f64).unwrap_or(0.0);
                let max = field.max.as_ref().and_then(Number::as_f64).unwrap_or(min + 1.0);
                return if min <= max { Ok(Self::Double { min, max }) } else { Err(reversed(min, max)) };
            }
            DataType::Decimal { precision, scale } => {
                let bound = |number: &Option<Number>, default: i128| match number {
                    None => Ok(default),
                    Some(number) => match decimal::parse(number.to_string().as_bytes(), *precision, *scale) {
                        Parsed::Value(value) => Ok(value),
                        _ => Err(format!("{number} does not fit {}", field.data_type)),
                    },
                };
                let min = bound(field.min, 0)?;
                let max = bound(field.max, 10_i128.pow(u32::from(*precision)) - 1)?;
                return if min <= max { Ok(Self::Decimal { min, max }) } else { Err(reversed(min, max)) };
            }
            DataType::Tinyint => i64::from(i8::MAX),
            DataType::Smallint => i64::from(i16::MAX),
            DataType::Int => i64::from(i32::MAX),
            DataType::Bigint | DataType::Timestamp(0..=3) | DataType::TimestampLtz(0..=3) => i64::MAX,
            // The unit of the column is finer than a millisecond, so that it holds fewer of them.
            DataType::Timestamp(4..=6) | DataType::TimestampLtz(4..=6) => i64::MAX / 1_000,
            DataType::Timestamp(_) | DataType::TimestampLtz(_) => i64::MAX / 1_000_000,
            DataType::Date => LAST_DAY,
            DataType::Time(_) => 86_399_999,
            DataType::IntervalMonths | DataType::IntervalMillis => {
                return Err(format!("random values of type {} are not made", field.data_type));
            }
            DataType::Array(element) => {
                let length = Length::of(field.length, ELEMENTS, usize::MAX)?;
                return Ok(Self::List(length, Box::new(inner("element", &element.data_type)?)));
            }
            DataType::Map(key, value) => {
                let length = Length::of(field.length, ELEMENTS, usize::MAX)?;
                return Ok(Self::Map(
                    length,
                    Box::new(inner("key", &key.data_type)?),
                    Box::new(inner("value", &value.data_type)?),
                ));
            }
            DataType::Multiset(element) => {
                let length = Length::of(field.length, ELEMENTS, usize::MAX)?;
                let once = Self::Integer { min: 1, max: 1 };
                return Ok(Self::Map(length, Box::new(inner("element", &element.data_type)?), Box::new(once)));
            }
            DataType::Row(fields) => {
                let fields = fields.iter().map(|field| inner(&field.name, &field.data_type));
                return fields.collect::<Result<_, _>>().map(Self::Row);
            }
        };
        let (min, max) = (whole(field.min, 0)?, whole(field.max, greatest)?);
        if min <= max { Ok(Self::Integer { min, max }) } else { Err(reversed(min, max)) }
    }

    /// Pushes every value that the column may refuse. The caller must roll back the row.
    pub(super) fn check(&self, column: &mut Column) -> Result<(), BadValue> {
        match self {
            Self::Choice(values) => values.iter().try_for_each(|value| push_value(column, value)),
            Self::Integer { min, max } => column.push_ordinal(*min).and_then(|()| column.push_ordinal(*max)),
            Self::Linear { first, .. } => column.push_ordinal(*first),
            Self::OrNull(_, generator) => generator.check(column).and_then(|()| column.push_null()),
            Self::Double { .. } | Self::Decimal { .. } | Self::Boolean | Self::Text(_) | Self::Bytes(_) => Ok(()),
            Self::Moment { .. } => self.push(column, 0, &mut Draw(0)),
            Self::List(_, item) => match column.values_mut() {
                Values::List { items, .. } => item.check(items),
                _ => Err(no_such_part()),
            },
            Self::Map(_, key, value) => match column.values_mut() {
                Values::Map { keys, values, .. } => key.check(keys).and_then(|()| value.check(values)),
                _ => Err(no_such_part()),
            },
            Self::Row(fields) => match column.values_mut() {
                Values::Row(columns, _) => fields.iter().zip(columns).try_for_each(|(field, column)| field.check(column)),
                _ => Err(no_such_part()),
            },
        }
    }

    /// Pushes the value of a row.
    pub(super) fn push(&self, column: &mut Column, row: u64, draw: &mut Draw) -> Result<(), BadValue> {
        match self {
            Self::Linear { first, step } => column.push_ordinal(linear(*first, *step, row, 0)?),
            Self::Moment { first, step, max_past } => {
                let past = if *max_past == 0 { 0 } else { share(draw.next(), (*max_past).into()) };
                let millis = linear(*first, *step, row, past)?;
                match column.values_mut() {
                    Values::Date(days) => {
                        let day = i32::try_from(millis.div_euclid(DAY_MS));
                        days.push(day.map_err(|_| BadValue(format!("{millis} ms are out of range")))?);
                        Ok(())
                    }
                    Values::Time(times) => {
                        times.push(millis.rem_euclid(DAY_MS) as i32);
                        Ok(())
                    }
                    _ => column.push_i64(millis),
                }
            }
            Self::Integer { min, max } => {
                let span = (i128::from(*max) - i128::from(*min) + 1) as u128;
                // The product is less than `span`, so the sum is at most `max`.
                column.push_ordinal((i128::from(*min) + ((u128::from(draw.next()) * span) >> 64) as i128) as i64)
            }
            Self::Decimal { min, max } => column.push_unscaled(min + share(draw.next(), max.abs_diff(*min)) as i128),
            Self::Double { min, max } => column.push_f64(min + (max - min) * ((draw.next() >> 11) as f64 / (1_u64 << 53) as f64)),
            Self::Boolean => column.push_bool(draw.next() >> 63 == 1),
            Self::Text(length) => {
                let length = length.draw(draw);
                let mut text = String::with_capacity(length + TEXT_DIGITS);
                while text.len() < length {
                    text.push_str(&format!("{:016x}", draw.next()));
                }
                column.push_text(&text.as_bytes()[..length])
            }
            Self::Bytes(length) => {
                let length = length.draw(draw);
                let mut bytes = Vec::with_capacity(length + BYTES);
                while bytes.len() < length {
                    bytes.extend(draw.next().to_le_bytes());
                }
                column.push_bytes(&bytes[..length])
            }
            Self::OrNull(bound, generator) => {
                if draw.next() < *bound {
                    column.push_null()
                } else {
                    generator.push(column, row, draw)
                }
            }
            Self::List(length, item) => {
                let Values::List { ends, items } = column.values_mut() else { return Err(no_such_part()) };
                (0..length.draw(draw)).try_for_each(|_| item.push(items, row, draw))?;
                ends.push(end(items.len())?);
                Ok(())
            }
            Self::Map(length, key, value) => {
                let Values::Map { ends, keys, values } = column.values_mut() else { return Err(no_such_part()) };
                for _ in 0..length.draw(draw) {
                    key.push(keys, row, draw)?;
                    value.push(values, row, draw)?;
                }
                ends.push(end(keys.len())?);
                Ok(())
            }
            Self::Row(fields) => {
                let Values::Row(columns, rows) = column.values_mut() else { return Err(no_such_part()) };
                *rows += 1;
                fields.iter().zip(columns).try_for_each(|(field, column)| field.push(column, row, draw))
            }
            Self::Choice(values) => {
                let index = ((u128::from(draw.next()) * values.len() as u128) >> 64) as usize;
                push_value(column, &values[index])
            }
        }
    }
}

/// What is given of a column, or of a part of one.
struct Part<'a> {
    data_type: &'a DataType,
    min: &'a Option<Number>,
    max: &'a Option<Number>,
    length: LengthOptions,
}

fn whole(number: &Option<Number>, default: i64) -> Result<i64, String> {
    match number {
        None => Ok(default),
        Some(number) => number.as_i64().ok_or_else(|| format!("{number} is not a 64-bit integer")),
    }
}

/// The generator with a share of NULLs, from 0 to 1.
fn or_null(generator: Generator, rate: f64) -> Result<Generator, String> {
    match rate {
        0.0 => Ok(generator),
        rate if (0.0..=1.0).contains(&rate) => Ok(Generator::OrNull((rate * u64::MAX as f64) as u64, Box::new(generator))),
        rate => Err(format!("null_rate is {rate}; it lies between 0 and 1")),
    }
}

fn linear(first: i64, step: i64, row: u64, past: u128) -> Result<i64, BadValue> {
    let value = i128::from(first) + i128::from(row) * i128::from(step) - past as i128;
    i64::try_from(value).map_err(|_| BadValue(format!("{value} is out of range")))
}

fn no_such_part() -> BadValue {
    BadValue("the column has no such part".to_owned())
}

/// A number in `0..=greatest` for a random one. If `greatest` has more than 64 bits, the lowest repeat.
fn share(random: u64, greatest: u128) -> u128 {
    match u64::try_from(greatest) {
        Ok(greatest) => (u128::from(random) * (u128::from(greatest) + 1)) >> 64,
        Err(_) => (u128::from(random) << 64 | u128::from(random)) % (greatest + 1),
    }
}

fn reversed(min: impl std::fmt::Display, max: impl std::fmt::Display) -> String {
    format!("min {min} is greater than max {max}")
}

fn push_value(column: &mut Column, value: &Value) -> Result<(), BadValue> {
    match value {
        Value::Bool(value) => column.push_bool(*value),
        Value::String(value) => column.push_text(value.as_bytes()),
        Value::Number(number) if column.wants_numbers_as_text() => column.push_text(number.to_string().as_bytes()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(value), _) => column.push_i64(value),
            (None, Some(value)) => column.push_f64(value),
            (None, None) => Err(BadValue(format!("{number} is out of range"))),
        },
        Value::Null | Value::Array(_) | Value::Object(_) => Err(BadValue(format!("{value} is not a boolean, number or text"))),
    }
}
