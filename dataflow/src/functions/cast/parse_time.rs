//! Reads dates and times from texts, in the forms that Flink accepts.

use arrow_array::types::{
    Date32Type, Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use weir_protocol::job_graph::DataType;

use super::times::{Moment, per_second};
use super::{Convert, Options, from_text, unreadable};
use crate::calendar::{days_from_civil, days_in_month};
use crate::time_zone::Zone;

const DAY_SECONDS: i64 = 86_400;

pub(super) fn converter(to: &DataType, options: Options) -> Result<Convert, String> {
    let name = to.to_string();
    let Options { or_null, zone } = options;
    macro_rules! timestamp {
        ($arrow:ty, $precision:expr, $zone:expr) => {{
            let (precision, zone) = ($precision, $zone);
            from_text::<$arrow>(to, or_null, move |text| {
                let local = timestamp(text).ok_or_else(|| unreadable(text, &name))?;
                let seconds = zone.to_utc(local.seconds);
                let moment = Moment { seconds, ..local };
                moment.to_unit(precision).ok_or_else(|| format!("{text:?} lies outside of the years that {name} holds"))
            })
        }};
    }
    let (precision, zone) = match to {
        DataType::Date => {
            return Ok(from_text::<Date32Type>(to, or_null, move |text| date(text).ok_or_else(|| unreadable(text, &name))));
        }
        DataType::Time(precision) => {
            let step = 10_i32.pow(3 - u32::from((*precision).min(3)));
            return Ok(from_text::<Time32MillisecondType>(to, or_null, move |text| {
                time(text).map(|millis| millis - millis % step).ok_or_else(|| unreadable(text, &name))
            }));
        }
        DataType::Timestamp(precision) => (*precision, Zone::UTC),
        DataType::TimestampLtz(precision) => (*precision, zone),
        other => return Err(format!("there is no cast from text to {other}")),
    };
    Ok(match per_second(precision) {
        1_000 => timestamp!(TimestampMillisecondType, precision, zone),
        1_000_000 => timestamp!(TimestampMicrosecondType, precision, zone),
        _ => timestamp!(TimestampNanosecondType, precision, zone),
    })
}

/// Reads digits only.
fn number(text: &str) -> Option<i64> {
    let text = text.trim();
    (!text.is_empty() && text.len() <= 9 && text.bytes().all(|b| b.is_ascii_digit())).then(|| text.parse().ok())?
}

/// Reads `yyyy[-[m]m[-[d]d]]`, and ignores what follows a space. Days from 1970-01-01.
pub(super) fn date(text: &str) -> Option<i32> {
    let text = match text.find(' ') {
        Some(space) if space > 0 => &text[..space],
        _ => text,
    };
    let mut parts = text.splitn(3, '-');
    let year = number(parts.next()?)?;
    let month = parts.next().map_or(Some(1), number)?;
    let day = parts.next().map_or(Some(1), number)?;
    if year > 9999 || !(1..=12).contains(&month) || !(1..=days_in_month(year, month)).contains(&day) {
        return None;
    }
    i32::try_from(days_from_civil(year, month, day)).ok()
}

/// Reads `hh[:mm[:ss[.fff]]]` as milliseconds of the day, rounding the fraction.
pub(super) fn time(text: &str) -> Option<i32> {
    let text = text.trim();
    let mut parts = text.splitn(3, ':');
    let hour = number(parts.next()?)?;
    let minute = parts.next().map_or(Some(0), number)?;
    let (second, millis) = match parts.next() {
        None => (0, 0),
        Some(rest) => match rest.split_once('.') {
            None => (number(rest)?, 0),
            Some((second, fraction)) => (number(second)?, rounded_millis(fraction.trim())?),
        },
    };
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let total = (hour * 3600 + minute * 60 + second) * 1000 + millis;
    i32::try_from(total.min(DAY_SECONDS * 1000 - 1)).ok()
}

fn rounded_millis(fraction: &str) -> Option<i64> {
    let digits: Vec<i64> = fraction.bytes().map(|b| b.is_ascii_digit().then(|| i64::from(b - b'0'))).collect::<Option<_>>()?;
    let at = |position: usize| digits.get(position).copied().unwrap_or_default();
    Some(at(0) * 100 + at(1) * 10 + at(2) + i64::from(at(3) >= 5))
}

/// Reads `yyyy-[m]m-[d]d[ [h]h:[m]m:[s]s[.fffffffff]]` as a local time. A day that the month lacks becomes its last day, and 24:00:00
/// becomes the next day, as in Java.
pub(super) fn timestamp(text: &str) -> Option<Moment> {
    let (date, time) = match text.split_once(' ') {
        Some((date, time)) => (date, Some(time)),
        None => (text, None),
    };
    let mut parts = date.splitn(3, '-');
    let year = parts.next().filter(|year| year.len() == 4).and_then(number)?;
    let month = short(parts.next()?)?;
    let day = short(parts.next()?)?;
    if year < 1 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let days = days_from_civil(year, month, day.min(days_in_month(year, month)));
    let (seconds, nanos) = time.map_or(Some((0, 0)), time_of_day)?;
    Some(Moment { seconds: days * DAY_SECONDS + seconds, nanos })
}

fn time_of_day(text: &str) -> Option<(i64, u32)> {
    let mut parts = text.splitn(3, ':');
    let (hour, minute, rest) = (short(parts.next()?)?, short(parts.next()?)?, parts.next()?);
    let (second, fraction) = rest.split_once('.').unwrap_or((rest, ""));
    let second = short(second)?;
    if fraction.len() > 9 || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos = fraction.bytes().chain(std::iter::repeat(b'0')).take(9).fold(0, |sum, b| sum * 10 + u32::from(b - b'0'));
    let midnight = hour == 24 && minute == 0 && second == 0 && nanos == 0;
    if (hour > 23 && !midnight) || minute > 59 || second > 59 {
        return None;
    }
    Some((hour * 3600 + minute * 60 + second, nanos))
}

/// Reads one or two digits.
fn short(text: &str) -> Option<i64> {
    if text.len() <= 2 && text.bytes().all(|b| b.is_ascii_digit()) { number(text) } else { None }
}
