//! Reads and builds columns of dates and times of every precision.

use std::sync::Arc;

use arrow_array::types::{
    ArrowTimestampType, Date32Type, Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{
    Array, ArrayRef, Date32Array, PrimitiveArray, Time32MillisecondArray, TimestampMicrosecondArray, TimestampMillisecondArray,
    TimestampNanosecondArray,
};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType as ArrowType, TimeUnit};
use weir_protocol::job_graph::DataType;

use crate::functions::Operand;
use crate::functions::operand::{Reader, map_rows, type_error};
use crate::operator::OperatorError;
use crate::schema::arrow_type;

/// One value: a point in time or a local time as milliseconds since 1970, the milliseconds of a TIME, or the days of a DATE; and what
/// is beyond a millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::functions) struct Stamp {
    pub(in crate::functions) millis: i64,
    /// 0 to 999,999.
    pub(in crate::functions) nanos: u32,
}

impl Stamp {
    pub(in crate::functions) fn of_millis(millis: i64) -> Self {
        Self { millis, nanos: 0 }
    }
}

/// A view of a column of dates or times.
pub(in crate::functions) enum Stamps<'a> {
    Date(Reader<'a, Date32Array>),
    Time(Reader<'a, Time32MillisecondArray>),
    Millis(Reader<'a, TimestampMillisecondArray>),
    Micros(Reader<'a, TimestampMicrosecondArray>),
    Nanos(Reader<'a, TimestampNanosecondArray>),
}

impl<'a> Stamps<'a> {
    /// Views an operand. Error: `EXPR-TYPE` if it is absent or holds another type.
    pub(in crate::functions) fn of(operands: &'a [Operand], position: usize) -> Result<Self, OperatorError> {
        let operand = operands.get(position).ok_or_else(|| type_error(format!("argument {} is missing", position + 1)))?;
        Ok(match operand.array().data_type() {
            ArrowType::Date32 => Self::Date(Reader::of(operand)?),
            ArrowType::Time32(TimeUnit::Millisecond) => Self::Time(Reader::of(operand)?),
            ArrowType::Timestamp(TimeUnit::Millisecond, _) => Self::Millis(Reader::of(operand)?),
            ArrowType::Timestamp(TimeUnit::Microsecond, _) => Self::Micros(Reader::of(operand)?),
            ArrowType::Timestamp(TimeUnit::Nanosecond, _) => Self::Nanos(Reader::of(operand)?),
            other => return Err(type_error(other)),
        })
    }

    /// The value of a row that is not NULL.
    #[inline]
    pub(in crate::functions) fn get(&self, row: usize) -> Stamp {
        match self {
            Self::Date(days) => Stamp::of_millis(days.value(row).into()),
            Self::Time(millis) => Stamp::of_millis(millis.value(row).into()),
            Self::Millis(millis) => Stamp::of_millis(millis.value(row)),
            Self::Micros(micros) => {
                let micros = micros.value(row);
                Stamp { millis: micros.div_euclid(1000), nanos: micros.rem_euclid(1000) as u32 * 1000 }
            }
            Self::Nanos(nanos) => {
                let nanos = nanos.value(row);
                Stamp { millis: nanos.div_euclid(1_000_000), nanos: nanos.rem_euclid(1_000_000) as u32 }
            }
        }
    }
}

/// The error of a result beyond what its type holds.
pub(in crate::functions) fn out_of_range(data_type: &DataType) -> OperatorError {
    OperatorError::fatal("EXPR-OVERFLOW", format!("a time is beyond the range of {data_type}; filter such rows out"))
}

/// Computes a column of this type row by row. `value` is called only for rows that are not NULL in `nulls`; if it returns `None`, the
/// row is NULL. Error: `EXPR-OVERFLOW` for a time beyond the range of the type.
pub(in crate::functions) fn map_stamps(
    data_type: &DataType,
    rows: usize,
    nulls: Option<NullBuffer>,
    mut value: impl FnMut(usize) -> Result<Option<Stamp>, OperatorError>,
) -> Result<ArrayRef, OperatorError> {
    let narrow = |stamp: Stamp| i32::try_from(stamp.millis).map_err(|_| out_of_range(data_type));
    match data_type {
        DataType::Date => Ok(Arc::new(map_rows::<Date32Type>(rows, nulls, |row| value(row)?.map(narrow).transpose())?)),
        DataType::Time(_) => Ok(Arc::new(map_rows::<Time32MillisecondType>(rows, nulls, |row| value(row)?.map(narrow).transpose())?)),
        DataType::Timestamp(0..=3) | DataType::TimestampLtz(0..=3) => {
            zoned(data_type, map_rows::<TimestampMillisecondType>(rows, nulls, |row| Ok(value(row)?.map(|stamp| stamp.millis)))?)
        }
        DataType::Timestamp(4..=6) | DataType::TimestampLtz(4..=6) => {
            let scaled = |stamp: Stamp| {
                let micros = stamp.millis.checked_mul(1000).and_then(|micros| micros.checked_add((stamp.nanos / 1000).into()));
                micros.ok_or_else(|| out_of_range(data_type))
            };
            zoned(data_type, map_rows::<TimestampMicrosecondType>(rows, nulls, |row| value(row)?.map(scaled).transpose())?)
        }
        DataType::Timestamp(_) | DataType::TimestampLtz(_) => {
            let scaled = |stamp: Stamp| {
                let nanos = stamp.millis.checked_mul(1_000_000).and_then(|nanos| nanos.checked_add(stamp.nanos.into()));
                nanos.ok_or_else(|| out_of_range(data_type))
            };
            zoned(data_type, map_rows::<TimestampNanosecondType>(rows, nulls, |row| value(row)?.map(scaled).transpose())?)
        }
        other => Err(type_error(other)),
    }
}

fn zoned<T: ArrowTimestampType>(data_type: &DataType, array: PrimitiveArray<T>) -> Result<ArrayRef, OperatorError> {
    Ok(match arrow_type(data_type) {
        ArrowType::Timestamp(_, zone) => Arc::new(array.with_timezone_opt(zone)),
        other => return Err(type_error(other)),
    })
}
