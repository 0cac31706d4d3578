//! Sums and differences of times: intervals, TIMESTAMPADD, TIMESTAMPDIFF.

use std::sync::Arc;

use arrow_array::types::{Int32Type, Int64Type};
use arrow_array::{Int32Array, Int64Array};
use weir_protocol::job_graph::DataType;

use super::is_temporal;
use super::unit::Unit;
use super::value::{Stamp, Stamps, map_stamps, out_of_range};
use crate::calendar::{DAY_MS, civil_from_days, days_from_civil, days_in_month};
use crate::functions::operand::{joint_nulls, kernel_of, map_rows};
use crate::functions::string::read;
use crate::functions::typing::{constant, typing};
use crate::functions::{Argument, Function, Kernel, Resolved};
use crate::operator::OperatorError;

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "add_millis",
        "time + INTERVAL … DAY TO SECOND",
        "The time moved by milliseconds. A DATE moves by whole days only, a TIME starts again after a day.",
        |given| {
            let call = typing(given, 2, 2)?.a("a date or a time", is_temporal)?.bigint()?;
            call.gives(given[0].data_type.clone())
        },
        |_, result| {
            let result = result.clone();
            Ok(kernel_of(move |operands, rows, _| {
                let (stamps, millis) = (Stamps::of(operands, 0)?, read::<Int64Array>(operands, 1)?);
                map_stamps(&result, rows, joint_nulls(operands, rows), |row| {
                    add_millis(&result, stamps.get(row), millis.value(row)).map(Some)
                })
            }))
        },
    ),
    Function::first(
        "add_months",
        "time + INTERVAL … YEAR TO MONTH",
        "The time moved by months, to the last day of the month if there is no such day. A TIME stays as it is.",
        |given| {
            let call = typing(given, 2, 2)?.a("a date or a time", is_temporal)?.int()?;
            call.gives(given[0].data_type.clone())
        },
        |_, result| {
            let result = result.clone();
            Ok(kernel_of(move |operands, rows, _| {
                let (stamps, months) = (Stamps::of(operands, 0)?, read::<Int32Array>(operands, 1)?);
                map_stamps(&result, rows, joint_nulls(operands, rows), |row| {
                    add_months(&result, stamps.get(row), months.value(row).into()).map(Some)
                })
            }))
        },
    ),
    Function::first("timestampadd", "TIMESTAMPADD(unit, n, time)", "The time moved by n units.", resolve_add, |given, result| {
        timestamp_add(Unit::parse(constant(given, 0)?)?, given[2].data_type, result)
    }),
    Function::first(
        "timestampdiff",
        "TIMESTAMPDIFF(unit, from, to)",
        "The whole units between two times; negative if `to` is before `from`.",
        resolve_diff,
        |given, _| timestamp_diff(Unit::parse(constant(given, 0)?)?, given[1].data_type, given[2].data_type),
    ),
];

pub(super) fn add_millis(data_type: &DataType, stamp: Stamp, millis: i64) -> Result<Stamp, OperatorError> {
    match data_type {
        DataType::Date => Ok(Stamp::of_millis(stamp.millis + millis / DAY_MS)),
        DataType::Time(_) => Ok(Stamp::of_millis((stamp.millis + millis % DAY_MS).rem_euclid(DAY_MS))),
        _ => {
            let moved = stamp.millis.checked_add(millis).ok_or_else(|| out_of_range(data_type))?;
            Ok(Stamp { millis: moved, ..stamp })
        }
    }
}

pub(super) fn add_months(data_type: &DataType, stamp: Stamp, months: i64) -> Result<Stamp, OperatorError> {
    match data_type {
        DataType::Date => Ok(Stamp::of_millis(months_after(stamp.millis, months))),
        DataType::Time(_) => Ok(stamp),
        _ => {
            let days = months_after(stamp.millis.div_euclid(DAY_MS), months);
            let moved = days.checked_mul(DAY_MS).and_then(|day| day.checked_add(stamp.millis.rem_euclid(DAY_MS)));
            moved.map(|millis| Stamp { millis, ..stamp }).ok_or_else(|| out_of_range(data_type))
        }
    }
}

/// The day this many months later.
fn months_after(days: i64, months: i64) -> i64 {
    let (year, month, day) = civil_from_days(days);
    let month = year * 12 + month - 1 + months;
    let (year, month) = (month.div_euclid(12), month.rem_euclid(12) + 1);
    days_from_civil(year, month, day.min(days_in_month(year, month)))
}

fn resolve_add(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let unit = Unit::parse(constant(given, 0)?)?;
    let call = typing(given, 3, 3)?.text()?.bigint()?.a("a date or a time", is_temporal)?;
    if unit.millis().is_none() && unit.months().is_none() {
        return Err("takes a unit from MILLISECOND to MILLENNIUM as argument 1".into());
    }
    let part_of_day = unit.millis().is_some_and(|millis| millis < DAY_MS);
    call.gives(match given[2].data_type {
        DataType::Date if unit == Unit::Millisecond => DataType::Timestamp(3),
        DataType::Date if part_of_day => DataType::Timestamp(6),
        DataType::Timestamp(precision) if unit == Unit::Millisecond => DataType::Timestamp((*precision).max(3)),
        other => other.clone(),
    })
}

fn timestamp_add(unit: Unit, time: &DataType, result: &DataType) -> Result<Box<dyn Kernel>, String> {
    let becomes_timestamp = matches!((time, result), (DataType::Date, DataType::Timestamp(_)));
    let result = result.clone();
    Ok(kernel_of(move |operands, rows, _| {
        let (n, stamps) = (read::<Int64Array>(operands, 1)?, Stamps::of(operands, 2)?);
        map_stamps(&result, rows, joint_nulls(operands, rows), |row| {
            let mut stamp = stamps.get(row);
            if becomes_timestamp {
                stamp.millis *= DAY_MS;
            }
            let n = n.value(row);
            let moved = match (unit.months(), unit.millis()) {
                // No type holds times that are 2^31 months apart.
                (Some(months), _) => match n.checked_mul(months.into()).and_then(|months| i32::try_from(months).ok()) {
                    Some(months) => add_months(&result, stamp, months.into())?,
                    None => return Err(out_of_range(&result)),
                },
                (None, millis) => {
                    let millis = n.checked_mul(millis.unwrap_or(1)).ok_or_else(|| out_of_range(&result))?;
                    add_millis(&result, stamp, millis)?
                }
            };
            Ok(Some(moved))
        })
    }))
}

fn resolve_diff(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let unit = Unit::parse(constant(given, 0)?)?;
    let call = typing(given, 3, 3)?.text()?.a("a date or a time", is_temporal)?.a("a date or a time", is_temporal)?;
    let local = |t: &DataType| matches!(t, DataType::Date | DataType::Timestamp(_));
    let (from, to) = (given[1].data_type, given[2].data_type);
    let comparable = match (from, to) {
        (DataType::Time(_), DataType::Time(_)) => unit.months().is_none(),
        (DataType::TimestampLtz(_), DataType::TimestampLtz(_)) => true,
        _ => local(from) && local(to),
    };
    if !comparable {
        return Err(format!("cannot count this unit between {from} and {to}; cast one of them"));
    }
    match unit {
        Unit::Nanosecond => call.gives(DataType::Bigint),
        Unit::Microsecond => call.gives(DataType::Int),
        _ if unit.millis().is_some() || unit.months().is_some() => call.gives(DataType::Int),
        _ => Err("takes a unit from NANOSECOND to MILLENNIUM as argument 1".into()),
    }
}

/// As in Flink, only milliseconds count, and the result wraps around.
fn timestamp_diff(unit: Unit, from: &DataType, to: &DataType) -> Result<Box<dyn Kernel>, String> {
    let scale = |t: &DataType| if *t == DataType::Date { DAY_MS } else { 1 };
    let (from_scale, to_scale) = (scale(from), scale(to));
    Ok(kernel_of(move |operands, rows, _| {
        let (from, to) = (Stamps::of(operands, 1)?, Stamps::of(operands, 2)?);
        let difference = |row: usize| {
            let (from, to) = (from.get(row).millis * from_scale, to.get(row).millis * to_scale);
            match (unit, unit.months()) {
                (_, Some(months)) => months_between(from, to) / i64::from(months),
                (Unit::Microsecond, _) => to.wrapping_sub(from).wrapping_mul(1000),
                (Unit::Nanosecond, _) => to.wrapping_sub(from).wrapping_mul(1_000_000),
                _ => to.wrapping_sub(from) / unit.millis().unwrap_or(1),
            }
        };
        let nulls = joint_nulls(operands, rows);
        Ok(if unit == Unit::Nanosecond {
            Arc::new(map_rows::<Int64Type>(rows, nulls, |row| Ok(Some(difference(row))))?)
        } else {
            Arc::new(map_rows::<Int32Type>(rows, nulls, |row| Ok(Some(difference(row) as i32)))?)
        })
    }))
}

/// Whole months between two times. One is taken off if the day of the month is the same but the time of day is not reached; as in
/// Flink, also for differences that are negative.
fn months_between(from: i64, to: i64) -> i64 {
    let (from_day, to_day) = (from.div_euclid(DAY_MS), to.div_euclid(DAY_MS));
    let months = if to_day < from_day { -months_up(to_day, from_day) } else { months_up(from_day, to_day) };
    let earlier = to.rem_euclid(DAY_MS) < from.rem_euclid(DAY_MS);
    months - i64::from(earlier && months_after(from_day, months) == to_day)
}

/// The largest number of months that leads from a day to one that is not after the other, later one.
fn months_up(from: i64, to: i64) -> i64 {
    let ((from_year, from_month, _), (to_year, to_month, _)) = (civil_from_days(from), civil_from_days(to));
    let months = (to_year - from_year) * 12 + to_month - from_month;
    months - i64::from(months_after(from, months) > to)
}
