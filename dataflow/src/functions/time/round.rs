//! FLOOR and CEIL of dates and times. Those of numbers have the same names, so that the list is in `math::round`.

use weir_protocol::job_graph::DataType;

use super::unit::Unit;
use super::value::{Stamp, Stamps, map_stamps, out_of_range};
use super::{is_temporal, offset_ms, zone_of};
use crate::calendar::{DAY_MS, civil_from_days, days_from_civil};
use crate::functions::operand::{joint_nulls, kernel_of};
use crate::functions::typing::{constant, typing};
use crate::functions::{Argument, Kernel, Resolved};
use crate::time_zone::Zone;

/// Whether to round down or up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::functions) enum Toward {
    Past,
    Future,
}

/// Types `FLOOR(time TO unit)`, given as time, unit and the session's zone.
pub(in crate::functions) fn resolve(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let call = typing(given, 2, 3)?.a("a date or a time", is_temporal)?.text()?.text()?;
    let unit = Unit::parse(constant(given, 1)?)?;
    let data_type = given[0].data_type;
    let fits = match data_type {
        DataType::Time(_) => unit.millis().is_some_and(|millis| millis < DAY_MS),
        _ => unit.millis().is_some() || unit.months().is_some(),
    };
    if fits { call.gives(data_type.clone()) } else { Err(format!("cannot round {data_type} to this unit")) }
}

/// Prepares the call.
pub(in crate::functions) fn prepare(given: &[Argument<'_>], toward: Toward) -> Result<Box<dyn Kernel>, String> {
    let unit = Unit::parse(constant(given, 1)?)?;
    let data_type = given[0].data_type.clone();
    Ok(kernel_of(move |operands, rows, _| {
        let stamps = Stamps::of(operands, 0)?;
        let zone = if matches!(data_type, DataType::TimestampLtz(_)) { zone_of(operands, 2)? } else { Zone::UTC };
        map_stamps(&data_type, rows, joint_nulls(operands, rows), |row| {
            let stamp = stamps.get(row);
            let rounded = match data_type {
                DataType::Date => Some(round_date(stamp.millis, unit, toward)),
                _ => round_time(stamp, unit, toward, zone),
            };
            rounded.map(|millis| Some(Stamp::of_millis(millis))).ok_or_else(|| out_of_range(&data_type))
        })
    }))
}

fn round_date(days: i64, unit: Unit, toward: Toward) -> i64 {
    match unit {
        // Flink moves a date to the next day here.
        Unit::Day => days + i64::from(toward == Toward::Future),
        Unit::Hour | Unit::Minute | Unit::Second | Unit::Millisecond => days,
        _ => round_days(days, unit, toward),
    }
}

/// `None` if the result is beyond the milliseconds that can be expressed.
fn round_time(stamp: Stamp, unit: Unit, toward: Toward, zone: Zone) -> Option<i64> {
    let step = |millis: i64, step: i64| {
        let floor = millis.checked_sub(millis.rem_euclid(step))?;
        if toward == Toward::Future && floor < millis { floor.checked_add(step) } else { Some(floor) }
    };
    match unit {
        Unit::Millisecond => stamp.millis.checked_add(i64::from(toward == Toward::Future && stamp.nanos > 0)),
        Unit::Second | Unit::Minute => step(stamp.millis, unit.millis()?),
        _ => {
            let offset = if zone == Zone::UTC { 0 } else { offset_ms(zone, stamp.millis) };
            let local = stamp.millis.checked_add(offset)?;
            let rounded = match unit {
                Unit::Hour | Unit::Day => step(local, unit.millis()?)?,
                _ => round_days(local / DAY_MS, unit, toward).checked_mul(DAY_MS)?,
            };
            rounded.checked_sub(offset)
        }
    }
}

/// Rounds a day to a unit of several days. As in Flink, days before 1582-10-15 are read by the Julian calendar.
fn round_days(days: i64, unit: Unit, toward: Toward) -> i64 {
    /// The first day of the Gregorian calendar.
    const GREGORIAN: i64 = -141_427;
    let (year, month, day) = if days >= GREGORIAN { civil_from_days(days) } else { julian_from_days(days) };
    let up = i64::from(toward == Toward::Future);
    let start = |year: i64| days_from_civil(year, 1, 1);
    match unit {
        Unit::Millennium => start(1000 * ((year + 999) / 1000) + if up == 1 { 1 } else { -999 }),
        Unit::Century => start(100 * ((year + 99) / 100) + if up == 1 { 1 } else { -99 }),
        Unit::Decade => start(10 * (year / 10 + up)),
        Unit::Year => start(year + if month > 1 || day > 1 { up } else { 0 }),
        Unit::Month => month_start(year, month + if day > 1 { up } else { 0 }),
        // Flink moves every quarter but the first day of a year ahead.
        Unit::Quarter => {
            let quarter = (month + 2) / 3 + if month > 1 || day > 1 { up } else { 0 };
            month_start(year, quarter * 3 - 2)
        }
        _ => {
            let from_sunday = (days + 4).rem_euclid(7);
            days_from_civil(year, month, day) - from_sunday + if from_sunday > 0 { 7 * up } else { 0 }
        }
    }
}

/// The first day of a month; month 13 is the first of the next year.
fn month_start(year: i64, month: i64) -> i64 {
    if month > 12 { days_from_civil(year + 1, month - 12, 1) } else { days_from_civil(year, month, 1) }
}

/// Year, month and day in the Julian calendar.
fn julian_from_days(days: i64) -> (i64, i64, i64) {
    // Days since 0000-03-01 of the Julian calendar, in cycles of four years.
    let days = days + 719_470;
    let cycle = days.div_euclid(1461);
    let day_of_cycle = days.rem_euclid(1461);
    let year = (day_of_cycle - day_of_cycle / 1460) / 365;
    let day_of_year = day_of_cycle - 365 * year;
    let month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month + 2) / 5 + 1;
    let year = cycle * 4 + year + i64::from(month >= 10);
    (year, if month < 10 { month + 3 } else { month - 9 }, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_of_the_julian_calendar_is_october_4_1582() {
        assert_eq!(julian_from_days(-141_428), (1582, 10, 4));
        assert_eq!(julian_from_days(days_from_civil(1, 1, 1)), (1, 1, 3));
    }
}
