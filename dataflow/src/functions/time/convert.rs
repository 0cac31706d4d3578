//! Conversions between texts or numbers and times: DATE_FORMAT, TO_TIMESTAMP, TO_DATE, FROM_UNIXTIME and the like.

use std::sync::Arc;

use arrow_array::types::Int64Type;
use arrow_array::{Decimal128Array, Float64Array, Int32Array, Int64Array};
use weir_protocol::job_graph::DataType;

use super::format::{Formatter, Moment};
use super::legacy::{LegacyReading, lenient_zone, to_utc};
use super::parse::{Reading, read_default, read_fallback};
use super::pattern::Form;
use super::value::{Stamp, Stamps, map_stamps};
use super::{offset_ms, zone_of};
use crate::calendar::DAY_MS;
use crate::functions::operand::{eval_error, joint_nulls, kernel_of, map_rows, map_text};
use crate::functions::signature::wrong_argument;
use crate::functions::string::{read, texts};
use crate::functions::typing::typing;
use crate::functions::{Argument, Function, Kernel, Operand, Resolved};
use crate::operator::OperatorError;
use crate::time_zone::Zone;

/// The pattern of texts that tell a time without a pattern of their own.
const USUAL: &str = "yyyy-MM-dd HH:mm:ss";

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "date_format",
        "DATE_FORMAT(time, pattern)",
        "The time as a text, by a pattern of Java; local time of the session's zone for a TIMESTAMP_LTZ.",
        resolve_date_format,
        |given, _| date_format(given),
    )
    .with_zone(),
    Function::first(
        "to_timestamp",
        "TO_TIMESTAMP(text[, pattern])",
        "The time that the text tells; NULL if it does not fit the pattern, which is yyyy-MM-dd HH:mm:ss unless given.",
        |given| typing(given, 1, 2)?.texts()?.gives_nullable(DataType::Timestamp(3)),
        |given, _| to_timestamp(given),
    ),
    Function::first(
        "to_date",
        "TO_DATE(text[, pattern])",
        "The date that the text tells; NULL if it does not fit the pattern, which is yyyy-MM-dd unless given.",
        |given| typing(given, 1, 2)?.texts()?.gives_nullable(DataType::Date),
        |given, _| to_date(given),
    ),
    Function::first(
        "to_timestamp_ltz",
        "TO_TIMESTAMP_LTZ(number[, precision]) or TO_TIMESTAMP_LTZ(text[, pattern[, zone]])",
        "The point in time of a number of units since 1970, of which a second has ten to the power of the precision, 3 unless given; \
         or that a text tells, in UTC unless a zone is given.",
        resolve_to_ltz,
        to_ltz,
    ),
    Function::first(
        "from_unixtime",
        "FROM_UNIXTIME(seconds[, pattern])",
        "The point in time of these seconds since 1970 as a text in the session's zone.",
        |given| typing(given, 2, 3)?.bigint()?.texts()?.gives_nullable(DataType::String),
        |given, _| from_unixtime(given),
    )
    .with_zone(),
    Function::first(
        "unix_timestamp",
        "UNIX_TIMESTAMP(text[, pattern])",
        "The seconds since 1970 of the time that the text tells in the session's zone; the least BIGINT if it does not fit the pattern.",
        |given| typing(given, 2, 3)?.texts()?.gives(DataType::Bigint),
        |given, _| unix_timestamp(given),
    )
    .with_zone(),
    Function::first(
        "convert_tz",
        "CONVERT_TZ(text, from, to)",
        "The time that the text tells in a zone, as a text in another; NULL if it is none.",
        |given| typing(given, 3, 3)?.texts()?.gives_nullable(DataType::String),
        |_, _| convert_tz(),
    ),
];

/// A pattern that may change from row to row, with its last prepared form. `None` stands for a pattern that Java refuses.
struct Prepared<P> {
    new: fn(&str) -> Result<P, String>,
    last: Option<(String, Result<P, String>)>,
}

impl<P> Prepared<P> {
    fn new(new: fn(&str) -> Result<P, String>) -> Self {
        Self { new, last: None }
    }

    fn get(&mut self, pattern: &str) -> Result<&mut P, String> {
        let known = self.last.take().filter(|(known, _)| known == pattern);
        let (_, prepared) = self.last.insert(known.unwrap_or_else(|| (pattern.to_owned(), (self.new)(pattern))));
        prepared.as_mut().map_err(|error| error.clone())
    }
}

/// Refuses a constant pattern that is wrong.
fn check_constant<P>(given: &[Argument<'_>], position: usize, new: fn(&str) -> Result<P, String>) -> Result<(), String> {
    match given.get(position).and_then(|argument| argument.constant) {
        Some(Some(pattern)) => new(pattern).map(|_| ()).map_err(|error| format!("cannot use {error}")),
        _ => Ok(()),
    }
}

fn resolve_date_format(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let fits = |t: &DataType| t.is_text() || matches!(t, DataType::Timestamp(_) | DataType::TimestampLtz(_));
    typing(given, 2, 3)?.a("a TIMESTAMP or a text", fits)?.texts()?.gives_nullable(DataType::String)
}

fn modern(pattern: &str) -> Result<Formatter, String> {
    Formatter::new(pattern, Form::Modern)
}

fn legacy(pattern: &str) -> Result<Formatter, String> {
    Formatter::new(pattern, Form::Legacy)
}

fn date_format(given: &[Argument<'_>]) -> Result<Box<dyn Kernel>, String> {
    if given[0].data_type.is_text() {
        check_constant(given, 1, legacy)?;
        return format_text();
    }
    check_constant(given, 1, modern)?;
    let is_ltz = matches!(given[0].data_type, DataType::TimestampLtz(_));
    let mut formatters = Prepared::new(modern);
    Ok(kernel_of(move |operands, rows, _| {
        let (stamps, pattern) = (Stamps::of(operands, 0)?, texts(operands, 1)?);
        let zone = if is_ltz { zone_of(operands, 2)? } else { Zone::UTC };
        let nulls = joint_nulls(operands, rows);
        let column = map_text(rows, nulls.as_ref(), |row, out| {
            let formatter = formatters.get(pattern.value(row)).map_err(eval_error)?;
            let stamp = stamps.get(row);
            let offset = if zone == Zone::UTC { 0 } else { offset_ms(zone, stamp.millis) };
            formatter.write(Moment { local_ms: stamp.millis + offset, nanos: stamp.nanos, zone: None }, out);
            Ok(true)
        })?;
        Ok(Arc::new(column))
    }))
}

/// DATE_FORMAT of a text reads it, and writes it again, in UTC.
fn format_text() -> Result<Box<dyn Kernel>, String> {
    let reading = LegacyReading::new(USUAL)?;
    let mut formatters = Prepared::new(legacy);
    Ok(kernel_of(move |operands, rows, clock| {
        let (text, pattern) = (texts(operands, 0)?, texts(operands, 1)?);
        let nulls = joint_nulls(operands, rows);
        let column = map_text(rows, nulls.as_ref(), |row, out| {
            let formatter = formatters.get(pattern.value(row)).map_err(eval_error)?;
            let Some(local_ms) = reading.read(text.value(row), Zone::UTC, clock.now_ms) else { return Ok(false) };
            formatter.write(Moment { local_ms, nanos: 0, zone: Some((Zone::UTC, 0)) }, out);
            Ok(true)
        })?;
        Ok(Arc::new(column))
    }))
}

/// Reads the local time of each row. A text that does not fit its pattern is tried in the usual form.
struct LocalTimes(Prepared<Reading>);

impl LocalTimes {
    /// Refuses a constant pattern that Weir cannot read. Java reads nothing by one that is malformed.
    fn new() -> Self {
        Self(Prepared::new(Reading::new))
    }

    fn read(&mut self, text: &str, pattern: &str) -> Result<Option<i64>, OperatorError> {
        let reading = self.0.get(pattern).map_err(eval_error)?;
        Ok(reading.read(text).or_else(|| read_fallback(text)))
    }
}

fn to_timestamp(given: &[Argument<'_>]) -> Result<Box<dyn Kernel>, String> {
    check_constant(given, 1, Reading::new)?;
    let mut times = LocalTimes::new();
    Ok(kernel_of(move |operands, rows, _| {
        let text = texts(operands, 0)?;
        let pattern = if operands.len() > 1 { Some(texts(operands, 1)?) } else { None };
        map_stamps(&DataType::Timestamp(3), rows, joint_nulls(operands, rows), |row| {
            let millis = match &pattern {
                Some(pattern) => times.read(text.value(row), pattern.value(row))?,
                None => read_default(text.value(row)),
            };
            Ok(millis.map(Stamp::of_millis))
        })
    }))
}

fn to_date(given: &[Argument<'_>]) -> Result<Box<dyn Kernel>, String> {
    check_constant(given, 1, LegacyReading::new)?;
    let mut readings = Prepared::new(LegacyReading::new);
    Ok(kernel_of(move |operands, rows, clock| {
        let text = texts(operands, 0)?;
        let pattern = if operands.len() > 1 { Some(texts(operands, 1)?) } else { None };
        map_stamps(&DataType::Date, rows, joint_nulls(operands, rows), |row| {
            let days = match &pattern {
                Some(pattern) => {
                    let reading = readings.get(pattern.value(row)).map_err(eval_error)?;
                    reading.read(text.value(row), Zone::UTC, clock.now_ms).map(|millis| millis.div_euclid(DAY_MS))
                }
                None => read_date(text.value(row)),
            };
            Ok(days.map(Stamp::of_millis))
        })
    }))
}

/// Reads `y-m-d`, `y-m` or `y`, before a blank, with blanks around numbers.
fn read_date(text: &str) -> Option<i64> {
    let date = match text.find(' ') {
        Some(blank) if blank > 0 => &text[..blank],
        _ => text,
    };
    let mut parts = date.splitn(3, '-');
    let mut part = || {
        parts.next().map(|part| {
            let digits = part.trim_matches(|c: char| c <= ' ');
            let number = if digits.bytes().all(|byte| byte.is_ascii_digit()) { digits.parse::<i64>().ok() } else { None };
            number.filter(|number| *number <= 9999)
        })
    };
    let year = part()??;
    let (month, day) = (part().unwrap_or(Some(1))?, part().unwrap_or(Some(1))?);
    if !(1..=12).contains(&month) || !(1..=crate::calendar::days_in_month(year, month)).contains(&day) {
        return None;
    }
    Some(crate::calendar::days_from_civil(year, month, day))
}

fn resolve_to_ltz(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let call = typing(given, 1, 3)?;
    let first = given[0].data_type;
    if first.is_text() {
        return call.texts()?.gives_nullable(DataType::TimestampLtz(3));
    }
    if given.len() > 2 {
        return Err(wrong_argument(1, first, "a text"));
    }
    let call = match first {
        DataType::Decimal { .. } => call.number()?,
        DataType::Float | DataType::Double => call.double()?,
        _ => call.bigint()?,
    };
    let precision = match given.get(1).map(|argument| argument.constant) {
        None | Some(Some(None)) => 3,
        Some(Some(Some(text))) => match text.parse::<u8>() {
            Ok(precision @ 0..=9) => precision,
            _ => return Err(format!("takes a precision from 0 to 9, not {text}")),
        },
        Some(None) => return Err("takes a constant as argument 2".into()),
    };
    call.int()?.gives_nullable(DataType::TimestampLtz(precision.max(3)))
}

fn to_ltz(given: &[Argument<'_>], result: &DataType) -> Result<Box<dyn Kernel>, String> {
    if given[0].data_type.is_text() {
        return text_to_ltz(given);
    }
    let result = result.clone();
    let kind = given[0].data_type.clone();
    Ok(kernel_of(move |operands, rows, _| {
        let precision = if operands.len() > 1 { read::<Int32Array>(operands, 1)?.constant().unwrap_or(3) } else { 3 };
        let precision = u32::try_from(precision).unwrap_or(3).min(9);
        let nulls = joint_nulls(operands, rows);
        // Nanoseconds of a unit.
        let unit = 10_i128.pow(9 - precision);
        let limits = |nanos: i128| in_four_digits(nanos, result == DataType::TimestampLtz(3));
        match kind {
            DataType::Decimal { scale, .. } => {
                let numbers = read::<Decimal128Array>(operands, 0)?;
                let whole = 10_i128.pow(scale.into());
                map_stamps(&result, rows, nulls, |row| Ok((numbers.value(row) / whole).checked_mul(unit).and_then(limits)))
            }
            DataType::Double | DataType::Float => {
                let numbers = read::<Float64Array>(operands, 0)?;
                // Seconds count to the millisecond, all else is cut to whole units.
                let (scale, unit) = if precision == 0 { (1000.0, 1_000_000) } else { (1.0, unit) };
                map_stamps(&result, rows, nulls, |row| {
                    let number = (numbers.value(row) * scale).floor();
                    Ok(number.is_finite().then_some(number as i128).and_then(|number| number.checked_mul(unit)).and_then(limits))
                })
            }
            _ => {
                let numbers = read::<Int64Array>(operands, 0)?;
                map_stamps(&result, rows, nulls, |row| Ok(limits(i128::from(numbers.value(row)) * unit)))
            }
        }
    }))
}

/// A point in time from year 0 to year 9999; `None` for others.
fn in_four_digits(nanos: i128, to_millis: bool) -> Option<Stamp> {
    let millis = i64::try_from(nanos.div_euclid(1_000_000)).ok()?;
    let nanos = if to_millis { 0 } else { nanos.rem_euclid(1_000_000) as u32 };
    (-62_167_219_200_000..=253_402_300_799_999).contains(&millis).then_some(Stamp { millis, nanos })
}

fn text_to_ltz(given: &[Argument<'_>]) -> Result<Box<dyn Kernel>, String> {
    check_constant(given, 1, Reading::new)?;
    check_constant(given, 2, Zone::parse)?;
    let mut times = LocalTimes::new();
    let mut zones = Prepared::new(Zone::parse);
    Ok(kernel_of(move |operands, rows, _| {
        let text = texts(operands, 0)?;
        let pattern = if operands.len() > 1 { Some(texts(operands, 1)?) } else { None };
        let zone = if operands.len() > 2 { Some(texts(operands, 2)?) } else { None };
        map_stamps(&DataType::TimestampLtz(3), rows, joint_nulls(operands, rows), |row| {
            let text = text.value(row);
            let local = match &pattern {
                Some(pattern) => times.read(text, pattern.value(row))?,
                None => {
                    let message = || eval_error(format!("TO_TIMESTAMP_LTZ got {text:?}, which is no time; try a pattern"));
                    Some(read_default(text).ok_or_else(message)?)
                }
            };
            let Some(local) = local else { return Ok(None) };
            let zone = zone.as_ref().map(|zone| zones.get(zone.value(row)).copied()).transpose().map_err(eval_error)?;
            let seconds = zone.unwrap_or(Zone::UTC).to_utc(local.div_euclid(1000));
            Ok(Some(Stamp::of_millis(seconds.saturating_mul(1000).saturating_add(local.rem_euclid(1000)))))
        })
    }))
}

fn from_unixtime(given: &[Argument<'_>]) -> Result<Box<dyn Kernel>, String> {
    let last = given.len() - 1;
    if last > 1 {
        check_constant(given, 1, legacy)?;
    }
    let mut formatters = Prepared::new(legacy);
    Ok(kernel_of(move |operands, rows, _| {
        let seconds = read::<Int64Array>(operands, 0)?;
        let pattern = if last > 1 { Some(texts(operands, 1)?) } else { None };
        let zone = zone_of(operands, last)?;
        let nulls = joint_nulls(operands, rows);
        let column = map_text(rows, nulls.as_ref(), |row, out| {
            let formatter = formatters.get(pattern.as_ref().map_or(USUAL, |pattern| pattern.value(row))).map_err(eval_error)?;
            // As in Flink, milliseconds wrap around.
            let millis = seconds.value(row).wrapping_mul(1000);
            let offset = offset_ms(zone, millis);
            formatter.write(Moment { local_ms: millis.wrapping_add(offset), nanos: 0, zone: Some((zone, offset / 1000)) }, out);
            Ok(true)
        })?;
        Ok(Arc::new(column))
    }))
}

fn unix_timestamp(given: &[Argument<'_>]) -> Result<Box<dyn Kernel>, String> {
    let last = given.len() - 1;
    if last > 1 {
        check_constant(given, 1, LegacyReading::new)?;
    }
    let mut readings = Prepared::new(LegacyReading::new);
    Ok(kernel_of(move |operands, rows, clock| {
        let text = texts(operands, 0)?;
        let pattern = if last > 1 { Some(texts(operands, 1)?) } else { None };
        let zone = zone_of(operands, last)?;
        let column = map_rows::<Int64Type>(rows, joint_nulls(operands, rows), |row| {
            let reading = readings.get(pattern.as_ref().map_or(USUAL, |pattern| pattern.value(row))).map_err(eval_error)?;
            Ok(Some(reading.read(text.value(row), zone, clock.now_ms).map_or(i64::MIN, |millis| millis / 1000)))
        })?;
        Ok(Arc::new(column))
    }))
}

fn convert_tz() -> Result<Box<dyn Kernel>, String> {
    let (reading, mut formatter) = (LegacyReading::new(USUAL)?, legacy(USUAL)?);
    Ok(kernel_of(move |operands: &[Operand], rows, clock| {
        let (text, from, to) = (texts(operands, 0)?, texts(operands, 1)?, texts(operands, 2)?);
        let nulls = joint_nulls(operands, rows);
        let column = map_text(rows, nulls.as_ref(), |row, out| {
            let Some(local) = reading.read(text.value(row), Zone::UTC, clock.now_ms) else { return Ok(false) };
            let (from, to) = (lenient_zone(from.value(row)), lenient_zone(to.value(row)));
            let utc = to_utc(from, local);
            formatter.write(Moment { local_ms: utc.saturating_add(offset_ms(to, utc)), nanos: 0, zone: None }, out);
            Ok(true)
        })?;
        Ok(Arc::new(column))
    }))
}
