//! Makes the values of one column.

use serde::Deserialize;
use serde_json::{Number, Value};
use weir_protocol::job_graph::DataType;

use crate::rows::column::{BadValue, Column};
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
    Linear { first: i64, step: i64 },
    /// A random integer in `min..=max`.
    Integer { min: i64, max: i64 },
    /// A random number in `min..max`.
    Double { min: f64, max: f64 },
    /// A random decimal without its point, in `min..=max`.
    Decimal { min: i128, max: i128 },
    /// A random boolean.
    Boolean,
    /// This many random hexadecimal digits, at most sixteen.
    Text(usize),
    /// This many random bytes, at most eight.
    Bytes(usize),
    /// A random element of the list.
    Choice(Vec<Value>),
}

/// Longest random text and bytes: what one random number gives.
const TEXT_DIGITS: usize = 16;
const BYTES: usize = 8;

/// The last day of the year 9999.
const LAST_DAY: i64 = 2_932_896;

impl Generator {
    pub(super) fn new(field: &FieldOptions) -> Result<Self, String> {
        use DataType::{Bigint, Date, Time, Timestamp, TimestampLtz};
        let number = |number: &Option<Number>, default: i64| match number {
            None => Ok(default),
            Some(number) => number.as_i64().ok_or_else(|| format!("{number} is not a 64-bit integer")),
        };
        let time = matches!(field.data_type, Timestamp(_) | TimestampLtz(_));
        let counted = field.data_type.is_numeric() || time || matches!(field.data_type, Date | Time(_));
        match (field.kind, &field.values) {
            (FieldKind::Constant, Some(values)) if values.len() == 1 => Ok(Self::Choice(values.clone())),
            (FieldKind::Constant, _) => Err("a constant needs \"values\" with one value".to_owned()),
            (FieldKind::Random, Some(values)) if !values.is_empty() => Ok(Self::Choice(values.clone())),
            (FieldKind::Random, Some(_)) => Err("\"values\" is empty".to_owned()),
            (FieldKind::Sequence, None) if counted => Ok(Self::Linear { first: number(&field.min, 0)?, step: 1 }),
            (FieldKind::Timestamp, None) if time || field.data_type == Bigint => {
                Ok(Self::Linear { first: number(&field.min, 0)?, step: field.step_ms.unwrap_or(1) })
            }
            (FieldKind::Random, None) => Self::random(field, number),
            (kind, _) => Err(format!("kind {kind:?} can't be used with this type or with \"values\"").to_lowercase()),
        }
    }

    fn random(field: &FieldOptions, number: impl Fn(&Option<Number>, i64) -> Result<i64, String>) -> Result<Self, String> {
        let greatest = match &field.data_type {
            DataType::Boolean => return Ok(Self::Boolean),
            DataType::String => return Ok(Self::Text(TEXT_DIGITS)),
            DataType::Char(length) | DataType::Varchar(length) => return Ok(Self::Text(TEXT_DIGITS.min(*length as usize))),
            DataType::Bytes => return Ok(Self::Bytes(BYTES)),
            DataType::Binary(length) | DataType::Varbinary(length) => return Ok(Self::Bytes(BYTES.min(*length as usize))),
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
                let min = bound(&field.min, 0)?;
                let max = bound(&field.max, 10_i128.pow(u32::from(*precision)) - 1)?;
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
            DataType::IntervalMonths
            | DataType::IntervalMillis
            | DataType::Array(_)
            | DataType::Map(..)
            | DataType::Multiset(_)
            | DataType::Row(_) => {
                return Err(format!("random values of type {} are not made", field.data_type));
            }
        };
        let (min, max) = (number(&field.min, 0)?, number(&field.max, greatest)?);
        if min <= max { Ok(Self::Integer { min, max }) } else { Err(reversed(min, max)) }
    }

    /// Pushes every value that the column may refuse. The caller must roll back the row.
    pub(super) fn check(&self, column: &mut Column) -> Result<(), BadValue> {
        match self {
            Self::Choice(values) => values.iter().try_for_each(|value| push_value(column, value)),
            Self::Integer { min, max } => column.push_ordinal(*min).and_then(|()| column.push_ordinal(*max)),
            Self::Linear { first, .. } => column.push_ordinal(*first),
            Self::Double { .. } | Self::Decimal { .. } | Self::Boolean | Self::Text(_) | Self::Bytes(_) => Ok(()),
        }
    }

    /// Pushes the value of a row.
    pub(super) fn push(&self, column: &mut Column, row: u64, random: impl Fn() -> u64) -> Result<(), BadValue> {
        match self {
            Self::Linear { first, step } => {
                let value = i128::from(*first) + i128::from(row) * i128::from(*step);
                column.push_ordinal(i64::try_from(value).map_err(|_| BadValue(format!("{value} is out of range")))?)
            }
            Self::Integer { min, max } => {
                let span = (i128::from(*max) - i128::from(*min) + 1) as u128;
                // The product is less than `span`, so the sum is at most `max`.
                column.push_ordinal((i128::from(*min) + ((u128::from(random()) * span) >> 64) as i128) as i64)
            }
            Self::Decimal { min, max } => column.push_unscaled(min + share(random(), max.abs_diff(*min)) as i128),
            Self::Double { min, max } => column.push_f64(min + (max - min) * ((random() >> 11) as f64 / (1_u64 << 53) as f64)),
            Self::Boolean => column.push_bool(random() >> 63 == 1),
            Self::Text(digits) => column.push_text(&format!("{:016x}", random()).as_bytes()[..*digits]),
            Self::Bytes(length) => column.push_bytes(&random().to_le_bytes()[..*length]),
            Self::Choice(values) => {
                let index = ((u128::from(random()) * values.len() as u128) >> 64) as usize;
                push_value(column, &values[index])
            }
        }
    }
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
