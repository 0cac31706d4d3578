//! Casts between dates, times of day, local times and points in time.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType,
    TimestampNanosecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use arrow_schema::{DataType as ArrowType, TimeUnit};
use weir_protocol::job_graph::DataType;

use super::{Convert, Options, or_fail};
use crate::calendar::DAY_MS;
use crate::functions::operand::{map_rows, type_error};
use crate::operator::OperatorError;
use crate::schema::arrow_type;
use crate::time_zone::Zone;

/// A local time, or a point in time: seconds since 1970, and nanoseconds within the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    pub seconds: i64,
    pub nanos: u32,
}

impl Moment {
    /// A value of a column with this many units per second.
    pub(super) fn of_unit(value: i64, per_second: i64) -> Self {
        let nanos = value.rem_euclid(per_second) * (1_000_000_000 / per_second);
        Self { seconds: value.div_euclid(per_second), nanos: nanos as u32 }
    }

    /// The value in the unit of this precision, with digits beyond the precision cut off; `None` if it does not fit.
    pub(super) fn to_unit(self, precision: u8) -> Option<i64> {
        let per_second = per_second(precision);
        let step = 10_u32.pow(9 - u32::from(precision.min(9)));
        let nanos = i64::from(self.nanos - self.nanos % step);
        // A product below the range of i64 can still come into it.
        let units = i128::from(self.seconds) * i128::from(per_second) + i128::from(nanos / (1_000_000_000 / per_second));
        i64::try_from(units).ok()
    }
}

/// Units per second of the column of this precision.
pub(super) fn per_second(precision: u8) -> i64 {
    match precision {
        0..=3 => 1_000,
        4..=6 => 1_000_000,
        _ => 1_000_000_000,
    }
}

/// The values of a timestamp column, and their units per second.
pub(super) fn timestamps(array: &ArrayRef) -> Result<(&[i64], i64), OperatorError> {
    Ok(match array.data_type() {
        ArrowType::Timestamp(TimeUnit::Millisecond, _) => (array.as_primitive::<TimestampMillisecondType>().values(), 1_000),
        ArrowType::Timestamp(TimeUnit::Microsecond, _) => (array.as_primitive::<TimestampMicrosecondType>().values(), 1_000_000),
        ArrowType::Timestamp(TimeUnit::Nanosecond, _) => {
            (array.as_primitive::<TimestampNanosecondType>().values(), 1_000_000_000)
        }
        other => return Err(type_error(other)),
    })
}

fn typed<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<&PrimitiveArray<T>, OperatorError> {
    array.as_primitive_opt::<T>().ok_or_else(|| type_error(array.data_type()))
}

/// How the zone changes a value.
#[derive(Clone, Copy)]
enum Shift {
    None,
    ToLocal(Zone),
    ToUtc(Zone),
}

impl Shift {
    fn between(from: &DataType, to: &DataType, zone: Zone) -> Self {
        let is_point = |t: &DataType| matches!(t, DataType::TimestampLtz(_));
        match (is_point(from), is_point(to)) {
            _ if zone == Zone::UTC => Self::None,
            (true, false) => Self::ToLocal(zone),
            (false, true) => Self::ToUtc(zone),
            _ => Self::None,
        }
    }

    fn apply(self, seconds: i64) -> i64 {
        match self {
            Self::None => seconds,
            Self::ToLocal(zone) => seconds.saturating_add(zone.offset_at(seconds)),
            Self::ToUtc(zone) => zone.to_utc(seconds),
        }
    }
}

pub(super) fn converter(from: &DataType, to: &DataType, options: Options) -> Result<Convert, String> {
    use DataType as T;
    let Options { or_null, zone } = options;
    let shift = Shift::between(from, to, zone);
    let to_type = arrow_type(to);
    let local = matches!(from, T::Timestamp(_));
    Ok(match (from, to) {
        (T::Time(_), T::Time(precision)) => {
            let step = 10_i32.pow(3 - u32::from((*precision).min(3)));
            Box::new(move |array| {
                Ok(Arc::new(typed::<Time32MillisecondType>(array)?.unary::<_, Time32MillisecondType>(|time| time - time % step)))
            })
        }
        (T::Timestamp(_) | T::TimestampLtz(_), T::Date) => Box::new(move |array| {
            let dates = from_moments::<Date32Type>(array, shift, or_null, |moment| {
                let millis = i128::from(moment.seconds) * 1000 + i128::from(moment.nanos / 1_000_000);
                // Of a local time before 1970, Flink takes the day after it, because it divides without regard to the sign.
                let day = if local { millis / i128::from(DAY_MS) } else { millis.div_euclid(i128::from(DAY_MS)) };
                i32::try_from(day).ok()
            })?;
            Ok(Arc::new(dates))
        }),
        (T::Timestamp(_) | T::TimestampLtz(_), T::Time(precision)) => {
            let step = 10_i32.pow(3 - u32::from((*precision).min(3)));
            Box::new(move |array| {
                let times = from_moments::<Time32MillisecondType>(array, shift, or_null, |moment| {
                    let millis = moment.seconds.rem_euclid(86_400) as i32 * 1000 + (moment.nanos / 1_000_000) as i32;
                    Some(millis - millis % step)
                })?;
                Ok(Arc::new(times))
            })
        }
        (_, T::Timestamp(precision) | T::TimestampLtz(precision)) => {
            let precision = *precision;
            Box::new(move |array| to_timestamps(array, shift, precision, or_null, &to_type))
        }
        _ => return Err(format!("there is no cast from {from} to {to}")),
    })
}

/// A value, unless it exceeds its type.
fn in_range<T>(value: Option<T>, or_null: bool) -> Result<Option<T>, OperatorError> {
    or_fail(value.ok_or_else(|| "a time lies outside of the range of the type that it is cast to".to_owned()), or_null)
}

fn from_moments<T: ArrowPrimitiveType>(
    array: &ArrayRef,
    shift: Shift,
    or_null: bool,
    value: impl Fn(Moment) -> Option<T::Native>,
) -> Result<PrimitiveArray<T>, OperatorError> {
    let (values, unit) = timestamps(array)?;
    map_rows::<T>(array.len(), array.nulls().cloned(), |row| {
        let moment = Moment::of_unit(values[row], unit);
        in_range(value(Moment { seconds: shift.apply(moment.seconds), ..moment }), or_null)
    })
}

fn to_timestamps(
    array: &ArrayRef,
    shift: Shift,
    precision: u8,
    or_null: bool,
    to: &ArrowType,
) -> Result<ArrayRef, OperatorError> {
    let moments: Box<dyn Fn(usize) -> Moment> = match array.data_type() {
        ArrowType::Date32 => {
            let dates = typed::<Date32Type>(array)?;
            Box::new(move |row| Moment { seconds: i64::from(dates.value(row)) * 86_400, nanos: 0 })
        }
        ArrowType::Time32(_) => {
            let times = typed::<Time32MillisecondType>(array)?;
            Box::new(move |row| Moment::of_unit(times.value(row).into(), 1_000))
        }
        _ => {
            let (values, unit) = timestamps(array)?;
            Box::new(move |row| Moment::of_unit(values[row], unit))
        }
    };
    let value = |row: usize| {
        let moment = moments(row);
        let shifted = Moment { seconds: shift.apply(moment.seconds), ..moment };
        in_range(shifted.to_unit(precision), or_null)
    };
    let (rows, nulls) = (array.len(), array.nulls().cloned());
    Ok(match per_second(precision) {
        1_000 => Arc::new(map_rows::<TimestampMillisecondType>(rows, nulls, value)?.with_data_type(to.clone())),
        1_000_000 => Arc::new(map_rows::<TimestampMicrosecondType>(rows, nulls, value)?.with_data_type(to.clone())),
        _ => Arc::new(map_rows::<TimestampNanosecondType>(rows, nulls, value)?.with_data_type(to.clone())),
    })
}
