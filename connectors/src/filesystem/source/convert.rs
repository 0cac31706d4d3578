//! Converts a column of a Parquet file to the type of the schema, without loss or not at all.
//!
//! Only digits below a millisecond are dropped, as from text: times are rounded down, also before 1970.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Date32Type, Date64Type, Int64Type, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
    TimestampSecondType,
};
use arrow_array::{Array, ArrayRef, Float64Array, TimestampMillisecondArray};
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::{ArrowError, DataType, TimeUnit};
use weir_dataflow::calendar::DAY_MS;

const MILLIS: DataType = DataType::Timestamp(TimeUnit::Millisecond, None);

/// Integers up to this size have an exact double.
const EXACT_IN_DOUBLE: u64 = 1 << 53;

/// Number of decimal digits that every double keeps.
const DIGITS_OF_DOUBLE: u8 = 15;

/// How the values of a column become those of another type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Conversion {
    /// The types are equal.
    None,
    /// Each value has an equal value in the other type, or is an error.
    Cast,
    /// Integers become doubles if those are exact.
    ExactDouble,
    /// Integers are milliseconds since 1970.
    Milliseconds,
    /// Times in another unit are rounded down to milliseconds.
    RoundDown,
}

/// The conversion between two types; `None` if it could lose something.
pub(super) fn conversion(from: &DataType, to: &DataType) -> Option<Conversion> {
    use DataType::*;
    match (from, to) {
        _ if from == to => Some(Conversion::None),
        (Dictionary(_, values), _) => conversion(values, to).map(|inner| match inner {
            Conversion::None => Conversion::Cast,
            other => other,
        }),
        (Null, _) => Some(Conversion::Cast),
        (_, Int32 | Int64) if from.is_integer() => Some(Conversion::Cast),
        (_, Float64) if from.is_integer() => Some(Conversion::ExactDouble),
        (_, Timestamp(TimeUnit::Millisecond, None)) if from.is_integer() => Some(Conversion::Milliseconds),
        (Timestamp(..) | Date32 | Date64, Timestamp(TimeUnit::Millisecond, None)) => Some(Conversion::RoundDown),
        (Float16 | Float32, Float64) => Some(Conversion::Cast),
        (Decimal32(digits, _) | Decimal64(digits, _) | Decimal128(digits, _) | Decimal256(digits, _), Float64) => {
            (*digits <= DIGITS_OF_DOUBLE).then_some(Conversion::Cast)
        }
        (Decimal32(_, scale) | Decimal64(_, scale) | Decimal128(_, scale) | Decimal256(_, scale), Int32 | Int64) => {
            (*scale <= 0).then_some(Conversion::Cast)
        }
        (_, Utf8) if from.is_primitive() => Some(Conversion::Cast),
        (Boolean | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView, Utf8) => Some(Conversion::Cast),
        _ => None,
    }
}

/// The type to declare for a column of type `from`.
pub(super) fn advice(from: &DataType) -> &'static str {
    use DataType::*;
    match from {
        Dictionary(_, values) => advice(values),
        Boolean => "declare it boolean",
        Decimal32(..) | Decimal64(..) | Decimal128(..) | Decimal256(..) => {
            "declare it string, which keeps every digit, or double if it has at most 15 digits"
        }
        Float16 | Float32 | Float64 => "declare it double",
        Timestamp(..) | Date32 | Date64 => "declare it timestamp_ms or string",
        Utf8 | LargeUtf8 | Utf8View | Binary | LargeBinary | BinaryView => "declare it string, and CAST it in a projection",
        _ if from.is_integer() => "declare it bigint, and CAST it in a projection",
        _ if from.is_primitive() => "declare it string",
        _ => "no column type fits it; leave it out of the schema",
    }
}

/// Converts `column`. The error says which value has no equal in the other type.
pub(super) fn convert(conversion: Conversion, column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let column = match column.data_type() {
        DataType::Dictionary(_, values) => &cast(column, values)?,
        _ => column,
    };
    match conversion {
        Conversion::None => Ok(Arc::clone(column)),
        Conversion::Cast => cast(column, to),
        Conversion::Milliseconds => cast(&cast(column, &DataType::Int64)?, to),
        Conversion::RoundDown => in_milliseconds(column).map(|times| Arc::new(times) as ArrayRef),
        Conversion::ExactDouble => {
            let integers = cast(column, &DataType::Int64)?;
            let doubles: Float64Array = integers.as_primitive::<Int64Type>().try_unary(|value| {
                if value.unsigned_abs() > EXACT_IN_DOUBLE {
                    return Err(ArrowError::CastError(format!("{value} has no exact double; declare the column bigint")));
                }
                Ok(value as f64)
            })?;
            Ok(Arc::new(doubles))
        }
    }
}

fn cast(column: &ArrayRef, to: &DataType) -> Result<ArrayRef, ArrowError> {
    let options = CastOptions { safe: false, ..CastOptions::default() };
    cast_with_options(column, to, &options)
}

fn in_milliseconds(column: &ArrayRef) -> Result<TimestampMillisecondArray, ArrowError> {
    let multiply = |time: i64, factor: i64| {
        time.checked_mul(factor).ok_or_else(|| ArrowError::CastError(format!("{time} is out of the range of timestamp_ms")))
    };
    match column.data_type() {
        DataType::Date32 => Ok(column.as_primitive::<Date32Type>().unary(|days| i64::from(days) * DAY_MS)),
        DataType::Date64 => Ok(column.as_primitive::<Date64Type>().unary(|time| time)),
        DataType::Timestamp(TimeUnit::Second, _) => {
            column.as_primitive::<TimestampSecondType>().try_unary(|time| multiply(time, 1_000))
        }
        DataType::Timestamp(TimeUnit::Millisecond, _) => Ok(column.as_primitive::<TimestampMillisecondType>().unary(|time| time)),
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            Ok(column.as_primitive::<TimestampMicrosecondType>().unary(|time| time.div_euclid(1_000)))
        }
        DataType::Timestamp(TimeUnit::Nanosecond, _) => {
            Ok(column.as_primitive::<TimestampNanosecondType>().unary(|time| time.div_euclid(1_000_000)))
        }
        other => Err(ArrowError::CastError(format!("{other} is not a time; {MILLIS} was expected"))),
    }
}
