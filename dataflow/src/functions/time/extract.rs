//! EXTRACT, and the functions that are named after a unit: YEAR, HOUR and the like.

use std::sync::Arc;

use arrow_array::Int64Array;
use arrow_array::types::Int64Type;
use weir_protocol::job_graph::DataType;

use super::unit::Unit;
use super::value::{Stamp, Stamps};
use super::{is_temporal, offset_ms, zone_of};
use crate::calendar::{DAY_MS, civil_from_days, days_from_civil};
use crate::functions::operand::{joint_nulls, kernel_of, map_rows};
use crate::functions::signature::expect;
use crate::functions::string::read;
use crate::functions::typing::{constant, typing};
use crate::functions::{Argument, Function, Kernel, Resolved};
use crate::time_zone::Zone;

macro_rules! part {
    ($name:literal, $syntax:literal, $doc:literal, $unit:expr) => {
        Function::first($name, $syntax, $doc, |given| resolve(given, 0, $unit), |given, _| Ok(extract(given, 0, $unit)))
            .with_zone()
    };
}

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "extract",
        "EXTRACT(unit FROM time)",
        "The part of a date, a time or an interval that `unit` names.",
        |given| resolve(given, 1, Unit::parse(constant(given, 0)?)?),
        |given, _| Ok(extract(given, 1, Unit::parse(constant(given, 0)?)?)),
    )
    .with_zone(),
    part!("year", "YEAR(time)", "The year.", Unit::Year),
    part!("quarter", "QUARTER(time)", "The quarter of the year, from 1 to 4.", Unit::Quarter),
    part!("month", "MONTH(time)", "The month, from 1 to 12.", Unit::Month),
    part!("week", "WEEK(time)", "The week of the year as ISO 8601 counts, from 1 to 53.", Unit::Week),
    part!("dayofyear", "DAYOFYEAR(time)", "The day of the year, from 1 to 366.", Unit::DayOfYear),
    part!("dayofmonth", "DAYOFMONTH(time)", "The day of the month, from 1 to 31.", Unit::Day),
    part!("dayofweek", "DAYOFWEEK(time)", "The day of the week, from 1 for Sunday to 7.", Unit::DayOfWeek),
    part!("hour", "HOUR(time)", "The hour of the day, from 0 to 23.", Unit::Hour),
    part!("minute", "MINUTE(time)", "The minute of the hour, from 0 to 59.", Unit::Minute),
    part!("second", "SECOND(time)", "The second of the minute, from 0 to 59.", Unit::Second),
];

/// Types a call whose time is argument `time`; the session's zone follows it.
fn resolve(given: &[Argument<'_>], time: usize, unit: Unit) -> Result<Resolved, String> {
    let mut call = typing(given, time + 1, time + 2)?;
    if time > 0 {
        call = call.text()?;
    }
    let has_parts = |t: &DataType| is_temporal(t) || (time > 0 && t.is_interval());
    let call = call.a("a date or a time", has_parts)?.text()?;
    let data_type = expect(given, time, "a date or a time", has_parts)?;
    let fits = match (&data_type, unit) {
        (DataType::Time(_), _) => unit.millis().is_some_and(|millis| millis < DAY_MS),
        (DataType::IntervalMonths, _) => matches!(unit, Unit::Year | Unit::Quarter | Unit::Month),
        (DataType::IntervalMillis, _) => {
            matches!(unit, Unit::Day | Unit::Hour | Unit::Minute | Unit::Second | Unit::Millisecond)
        }
        (DataType::Date, Unit::Microsecond | Unit::Nanosecond) => false,
        _ => true,
    };
    if fits { call.gives(DataType::Bigint) } else { Err(format!("cannot extract this unit from {data_type}")) }
}

fn extract(given: &[Argument<'_>], time: usize, unit: Unit) -> Box<dyn Kernel> {
    if let Some(interval) = given.get(time).map(|argument| argument.data_type).filter(|data_type| data_type.is_interval()) {
        return extract_of_interval(interval, time, unit);
    }
    let (is_date, is_ltz) = match given.get(time).map(|argument| argument.data_type) {
        Some(DataType::Date) => (true, false),
        Some(DataType::TimestampLtz(_)) => (false, true),
        _ => (false, false),
    };
    kernel_of(move |operands, rows, _| {
        let stamps = Stamps::of(operands, time)?;
        let zone = if is_ltz { zone_of(operands, time + 1)? } else { Zone::UTC };
        let nulls = joint_nulls(operands, rows);
        let column = map_rows::<Int64Type>(rows, nulls, |row| {
            let stamp = stamps.get(row);
            Ok(Some(if is_date {
                part_of_date(stamp.millis, unit)
            } else {
                let local = if zone == Zone::UTC { stamp.millis } else { stamp.millis + offset_ms(zone, stamp.millis) };
                part_of_time(Stamp { millis: local, ..stamp }, unit)
            }))
        })?;
        Ok(Arc::new(column))
    })
}

fn extract_of_interval(interval: &DataType, position: usize, unit: Unit) -> Box<dyn Kernel> {
    let of_months = *interval == DataType::IntervalMonths;
    kernel_of(move |operands, rows, _| {
        let lengths = read::<Int64Array>(operands, position)?;
        let column = map_rows::<Int64Type>(rows, joint_nulls(operands, rows), |row| {
            let length = lengths.value(row);
            Ok(Some(match unit {
                Unit::Year if of_months => length / 12,
                Unit::Month if of_months => length % 12,
                Unit::Quarter if of_months => length % 12 / 3 + 1,
                Unit::Day => length / DAY_MS,
                _ => part_of_time(Stamp::of_millis(length), unit),
            }))
        })?;
        Ok(Arc::new(column))
    })
}

/// Flink takes the days of a date for milliseconds if a part of a day is extracted.
fn part_of_date(days: i64, unit: Unit) -> i64 {
    match unit {
        Unit::Epoch => days * 86_400,
        Unit::Hour | Unit::Minute | Unit::Second | Unit::Millisecond => part_of_time(Stamp::of_millis(days), unit),
        _ => part_of_days(days, unit),
    }
}

fn part_of_time(stamp: Stamp, unit: Unit) -> i64 {
    let millis = stamp.millis;
    match unit {
        Unit::Epoch => millis / 1000,
        Unit::Hour => millis % DAY_MS / 3_600_000,
        Unit::Minute => millis % 3_600_000 / 60_000,
        Unit::Second => millis % 60_000 / 1000,
        Unit::Millisecond => millis % 1000,
        Unit::Microsecond => millis % 1000 * 1000 + i64::from(stamp.nanos / 1000),
        Unit::Nanosecond => millis % 1000 * 1_000_000 + i64::from(stamp.nanos),
        _ => part_of_days(millis / DAY_MS, unit),
    }
}

fn part_of_days(days: i64, unit: Unit) -> i64 {
    // 1970-01-01 was a Thursday.
    match unit {
        Unit::DayOfWeek => return (days + 4).rem_euclid(7) + 1,
        Unit::IsoDayOfWeek => return (days + 3).rem_euclid(7) + 1,
        _ => {}
    }
    let (year, month, day) = civil_from_days(days);
    let up = |unit: i64| if year > 0 { (year + unit - 1) / unit } else { (year - unit + 1) / unit };
    match unit {
        Unit::Year => year,
        Unit::IsoYear => iso_week(days).0,
        Unit::Quarter => (month + 2) / 3,
        Unit::Month => month,
        Unit::Week => iso_week(days).1,
        Unit::DayOfYear => days - days_from_civil(year, 1, 1) + 1,
        Unit::Decade => year / 10,
        Unit::Century => up(100),
        Unit::Millennium => up(1000),
        _ => day,
    }
}

/// The year and the week of a day as ISO 8601 counts: weeks start on Monday and belong to the year of their Thursday.
fn iso_week(days: i64) -> (i64, i64) {
    let thursday = days - (days + 3).rem_euclid(7) + 3;
    let (year, ..) = civil_from_days(thursday);
    (year, (thursday - days_from_civil(year, 1, 1)) / 7 + 1)
}
