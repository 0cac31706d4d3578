//! `date_bin(interval, time[, origin])` and `date_trunc(unit, time)`, computed in milliseconds.
//!
//! DataFusion computes them in nanoseconds. For a time that they can't express, its `date_bin` gives NULL, and its `date_trunc`
//! fails.

use std::sync::Arc;

use arrow_array::PrimitiveArray;
use arrow_array::cast::AsArray;
use arrow_array::types::TimestampMillisecondType;
use arrow_schema::{ArrowError, DataType, FieldRef, IntervalUnit, TimeUnit};
use datafusion_common::{Result, ScalarValue, exec_err, plan_err};
use datafusion_expr::{ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility};

use crate::calendar::{DAY_MS, civil_from_days, days_from_civil, days_in_month};

/// Rounds a time down to the start of its bin.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DateBin {
    signature: Signature,
    /// Bins times of day.
    of_day: Arc<ScalarUDF>,
}

/// The width of a bin.
#[derive(Debug, Clone, Copy)]
enum Stride {
    Millis(i64),
    Months(i64),
}

impl DateBin {
    pub(super) fn new() -> Self {
        let of_day = datafusion_functions::datetime::date_bin();
        Self { signature: Signature::user_defined(Volatility::Immutable), of_day }
    }
}

fn is_time_of_day(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Time32(_) | DataType::Time64(_))
}

impl ScalarUDFImpl for DateBin {
    fn name(&self) -> &str {
        "date_bin"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, found: &[DataType]) -> Result<Vec<DataType>> {
        let [stride, time, origin @ ..] = found else { return plan_err!("date_bin takes an interval, a time and an origin") };
        if !matches!(stride, DataType::Interval(_) | DataType::Utf8 | DataType::Null) || origin.len() > 1 {
            return plan_err!("date_bin takes an interval, a time and perhaps an origin, not {found:?}");
        }
        let interval = DataType::Interval(IntervalUnit::MonthDayNano);
        if is_time_of_day(time) {
            return Ok(std::iter::once(interval).chain(found[1..].iter().cloned()).collect());
        }
        let zone = match time {
            DataType::Timestamp(_, zone) => zone.clone(),
            DataType::Date32 | DataType::Date64 | DataType::Utf8 | DataType::Null => None,
            other => return plan_err!("date_bin takes a timestamp, not {other}"),
        };
        let millis = DataType::Timestamp(TimeUnit::Millisecond, zone);
        Ok(std::iter::once(interval).chain(found[1..].iter().map(|_| millis.clone())).collect())
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        match types.get(1) {
            Some(time) => Ok(time.clone()),
            None => plan_err!("date_bin takes an interval and a time"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if args.args.get(1).is_some_and(|time| is_time_of_day(&time.data_type())) {
            return self.of_day.invoke_with_args(args);
        }
        let (Some(stride), Some(time)) = (args.args.first(), args.args.get(1)) else {
            return exec_err!("date_bin takes an interval and a time");
        };
        let null = ScalarValue::try_from(&time.data_type())?;
        let Some(stride) = stride_of(stride)? else { return Ok(ColumnarValue::Scalar(null)) };
        let origin = match args.args.get(2) {
            None => 0,
            Some(ColumnarValue::Scalar(ScalarValue::TimestampMillisecond(Some(origin), _))) => *origin,
            Some(ColumnarValue::Scalar(value)) if value.is_null() => return Ok(ColumnarValue::Scalar(null)),
            Some(_) => return exec_err!("date_bin needs a constant origin"),
        };
        bin_all(stride, time, origin, args.number_rows)
    }
}

/// Rounds a time down to a unit of the calendar.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct DateTrunc {
    /// DataFusion's function, for other types than milliseconds without time zone.
    other: Arc<ScalarUDF>,
}

impl DateTrunc {
    pub(super) fn new() -> Self {
        Self { other: datafusion_functions::datetime::date_trunc() }
    }
}

impl ScalarUDFImpl for DateTrunc {
    fn name(&self) -> &str {
        "date_trunc"
    }

    fn signature(&self) -> &Signature {
        self.other.signature()
    }

    fn return_type(&self, types: &[DataType]) -> Result<DataType> {
        self.other.return_type(types)
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        self.other.return_field_from_args(args)
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let unit = match args.args.first() {
            Some(ColumnarValue::Scalar(unit)) => unit.try_as_str().flatten().and_then(unit_of),
            _ => None,
        };
        let time = args.args.get(1).filter(|time| time.data_type() == DataType::Timestamp(TimeUnit::Millisecond, None));
        // DataFusion refuses an unknown unit with the list of those that exist.
        let (Some((stride, origin)), Some(time)) = (unit, time) else { return self.other.invoke_with_args(args) };
        bin_all(stride, time, origin, args.number_rows)
    }
}

/// The length of a unit, and a time at which one begins.
fn unit_of(name: &str) -> Option<(Stride, i64)> {
    // 1970-01-05 was a Monday.
    Some(match name.to_lowercase().as_str() {
        "microsecond" | "millisecond" => (Stride::Millis(1), 0),
        "second" => (Stride::Millis(1_000), 0),
        "minute" => (Stride::Millis(60_000), 0),
        "hour" => (Stride::Millis(3_600_000), 0),
        "day" => (Stride::Millis(DAY_MS), 0),
        "week" => (Stride::Millis(7 * DAY_MS), 4 * DAY_MS),
        "month" => (Stride::Months(1), 0),
        "quarter" => (Stride::Months(3), 0),
        "year" => (Stride::Months(12), 0),
        _ => return None,
    })
}

fn bin_all(stride: Stride, times: &ColumnarValue, origin: i64, rows: usize) -> Result<ColumnarValue> {
    let data_type = times.data_type();
    let times = times.to_array(rows)?;
    let Some(times) = times.as_primitive_opt::<TimestampMillisecondType>() else {
        return exec_err!("{data_type} is not a timestamp in milliseconds");
    };
    let binned: PrimitiveArray<TimestampMillisecondType> = times.try_unary(|time| {
        bin(stride, time, origin).ok_or_else(|| ArrowError::ArithmeticOverflow(format!("rounding {time} ms down")))
    })?;
    Ok(ColumnarValue::Array(Arc::new(binned.with_data_type(data_type))))
}

/// `None` for a stride that is NULL.
fn stride_of(stride: &ColumnarValue) -> Result<Option<Stride>> {
    let interval = match stride {
        ColumnarValue::Scalar(ScalarValue::IntervalMonthDayNano(Some(interval))) => interval,
        ColumnarValue::Scalar(value) if value.is_null() => return Ok(None),
        _ => return exec_err!("date_bin needs a constant interval"),
    };
    let millis = i64::from(interval.days) * DAY_MS + interval.nanoseconds / 1_000_000;
    match (interval.months, millis, interval.nanoseconds % 1_000_000) {
        (1.., 0, 0) => Ok(Some(Stride::Months(i64::from(interval.months)))),
        (0, 1.., 0) => Ok(Some(Stride::Millis(millis))),
        (0, 0, 0) => exec_err!("the interval of date_bin must be longer than 0"),
        (0, _, 0) => exec_err!("the interval of date_bin must not be negative"),
        (0, _, _) => exec_err!("the interval of date_bin must be whole milliseconds"),
        _ => exec_err!("the interval of date_bin must be either months or days and shorter, not both"),
    }
}

/// The start of the bin that holds `time`. `None` if it is out of range.
fn bin(stride: Stride, time: i64, origin: i64) -> Option<i64> {
    match stride {
        Stride::Millis(stride) => {
            let distance = i128::from(time) - i128::from(origin);
            i64::try_from(i128::from(time) - distance.rem_euclid(i128::from(stride))).ok()
        }
        Stride::Months(stride) => {
            let months = month_of(time) - month_of(origin);
            let months = months - months.rem_euclid(stride);
            let start = add_months(origin, months)?;
            // The first bin of a month begins where the origin lies in its month.
            if start > time { add_months(origin, months - stride) } else { Some(start) }
        }
    }
}

/// Number of the month, counted from year 0.
fn month_of(time: i64) -> i64 {
    let (year, month, _) = civil_from_days(time.div_euclid(DAY_MS));
    year * 12 + month - 1
}

/// As in SQL, a day beyond the end of the month becomes its last day.
fn add_months(time: i64, months: i64) -> Option<i64> {
    let (_, _, day) = civil_from_days(time.div_euclid(DAY_MS));
    let month = month_of(time) + months;
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
    let days = days_from_civil(year, month, day.min(days_in_month(year, month)));
    days.checked_mul(DAY_MS)?.checked_add(time.rem_euclid(DAY_MS))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bin_holds_its_time_for_every_timestamp(time in any::<i64>(), origin in -10_000_000_000_000i64..10_000_000_000_000, stride in 1i64..100_000_000_000, months in 1i64..30) {
            if let Some(start) = bin(Stride::Millis(stride), time, origin) {
                prop_assert!(start <= time && i128::from(time) - i128::from(start) < i128::from(stride));
                prop_assert_eq!((i128::from(start) - i128::from(origin)).rem_euclid(i128::from(stride)), 0);
            } else {
                prop_assert!(i128::from(time) - i128::from(stride) < i128::from(i64::MIN));
            }
            if let Some(start) = bin(Stride::Months(months), time, origin) {
                prop_assert!(start <= time);
                prop_assert!(add_months(start, months).is_none_or(|next| next > time) || month_of(time) - month_of(start) <= months);
            }
        }
    }
}
