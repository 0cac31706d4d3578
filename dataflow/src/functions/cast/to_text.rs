//! Casts to CHAR, VARCHAR and STRING.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType,
};
use arrow_array::{Array, ArrayRef, PrimitiveArray};
use weir_protocol::job_graph::DataType;

use super::Convert;
use super::times::{Moment, timestamps};
use crate::calendar::civil_from_days;
use crate::functions::operand::{BytesArray, TextArray, map_text, type_error};
use crate::operator::OperatorError;
use crate::time_zone::Zone;

/// Converts to a text type: a longer text is cut, CHAR is filled up with spaces.
pub(super) fn converter(from: &DataType, to: &DataType, zone: Zone) -> Convert {
    let (from, to) = (from.clone(), to.clone());
    Box::new(move |array| {
        let write = writer(array, &from, zone)?;
        let nulls = array.logical_nulls();
        let texts = map_text(array.len(), nulls.as_ref(), |row, text| {
            write(row, text);
            fit(text, &to);
            Ok(true)
        })?;
        Ok(Arc::new(texts))
    })
}

/// Cuts or fills up a text to the length of its type, counted in characters.
pub(super) fn fit(text: &mut String, to: &DataType) {
    let (DataType::Char(length) | DataType::Varchar(length)) = to else { return };
    let length = *length as usize;
    if let Some((end, _)) = text.char_indices().nth(length) {
        text.truncate(end);
    } else if matches!(to, DataType::Char(_)) {
        let missing = length - text.chars().count();
        text.extend(std::iter::repeat_n(' ', missing));
    }
}

/// Appends the text of the value in a row. It is not NULL.
pub type WriteRow<'a> = Box<dyn Fn(usize, &mut String) + 'a>;

fn typed<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<&PrimitiveArray<T>, OperatorError> {
    array.as_primitive_opt::<T>().ok_or_else(|| type_error(array.data_type()))
}

/// Formatting into a string never fails.
macro_rules! append {
    ($out:expr, $($format:tt)*) => {{ let _ = write!($out, $($format)*); }};
}

/// How texts come about.
#[derive(Clone, Copy)]
struct Style {
    zone: Zone,
    /// Whether bytes are written as the literal `x'0102'`, instead of as the text that they are in UTF-8.
    bytes_as_literals: bool,
}

/// How the values of an array are written by a cast.
pub(in crate::functions) fn writer<'a>(
    array: &'a ArrayRef,
    data_type: &DataType,
    zone: Zone,
) -> Result<WriteRow<'a>, OperatorError> {
    styled(array, data_type, Style { zone, bytes_as_literals: false })
}

/// How the values of an array are written for people, as Flink's SQL client prints them: as a cast to STRING converts them, but bytes
/// as the literal `x'0102'`.
pub fn printer<'a>(array: &'a ArrayRef, data_type: &DataType, zone: Zone) -> Result<WriteRow<'a>, OperatorError> {
    styled(array, data_type, Style { zone, bytes_as_literals: true })
}

fn styled<'a>(array: &'a ArrayRef, data_type: &DataType, style: Style) -> Result<WriteRow<'a>, OperatorError> {
    fn display<T: ArrowPrimitiveType<Native: std::fmt::Display>>(array: &ArrayRef) -> Result<WriteRow<'_>, OperatorError> {
        let values = typed::<T>(array)?;
        Ok(Box::new(move |row, out| append!(out, "{}", values.value(row))))
    }
    Ok(match data_type {
        DataType::Boolean => {
            let values = array.as_boolean_opt().ok_or_else(|| type_error(array.data_type()))?;
            Box::new(move |row, out| out.push_str(if values.value(row) { "TRUE" } else { "FALSE" }))
        }
        DataType::Tinyint => display::<Int8Type>(array)?,
        DataType::Smallint => display::<Int16Type>(array)?,
        DataType::Int => display::<Int32Type>(array)?,
        DataType::Bigint => display::<Int64Type>(array)?,
        DataType::Float => {
            let values = typed::<Float32Type>(array)?;
            Box::new(move |row, out| write_float(values.value(row), out))
        }
        DataType::Double => {
            let values = typed::<Float64Type>(array)?;
            Box::new(move |row, out| write_float(values.value(row), out))
        }
        DataType::Decimal { scale, .. } => {
            let (values, scale) = (typed::<Decimal128Type>(array)?, usize::from(*scale));
            Box::new(move |row, out| write_decimal(values.value(row), scale, out))
        }
        DataType::Char(_) | DataType::Varchar(_) | DataType::String => {
            let values = array.as_any().downcast_ref::<TextArray>().ok_or_else(|| type_error(array.data_type()))?;
            Box::new(move |row, out| out.push_str(values.value(row)))
        }
        DataType::Binary(_) | DataType::Varbinary(_) | DataType::Bytes => {
            let values = array.as_any().downcast_ref::<BytesArray>().ok_or_else(|| type_error(array.data_type()))?;
            match style.bytes_as_literals {
                false => Box::new(move |row, out| out.push_str(&String::from_utf8_lossy(values.value(row)))),
                true => Box::new(move |row, out| {
                    out.push_str("x'");
                    values.value(row).iter().for_each(|byte| append!(out, "{byte:02x}"));
                    out.push('\'');
                }),
            }
        }
        DataType::Date => {
            let values = typed::<Date32Type>(array)?;
            Box::new(move |row, out| write_date(values.value(row).into(), out))
        }
        DataType::Time(precision) => {
            let (values, precision) = (typed::<Time32MillisecondType>(array)?, *precision);
            Box::new(move |row, out| write_time(values.value(row), precision, out))
        }
        DataType::Timestamp(precision) => timestamp_writer(array, *precision, Zone::UTC)?,
        DataType::TimestampLtz(precision) => timestamp_writer(array, *precision, style.zone)?,
        DataType::IntervalMonths => {
            let values = typed::<Int64Type>(array)?;
            Box::new(move |row, out| write_months(values.value(row), out))
        }
        DataType::IntervalMillis => {
            let values = typed::<Int64Type>(array)?;
            Box::new(move |row, out| write_millis(values.value(row), out))
        }
        DataType::Array(_) | DataType::Map(..) | DataType::Multiset(_) | DataType::Row(_) => {
            nested_writer(array, data_type, style)?
        }
    })
}

fn timestamp_writer(array: &ArrayRef, precision: u8, zone: Zone) -> Result<WriteRow<'_>, OperatorError> {
    let (values, per_second) = timestamps(array)?;
    Ok(Box::new(move |row, out| {
        let moment = Moment::of_unit(values[row], per_second);
        let seconds = moment.seconds.saturating_add(zone.offset_at(moment.seconds));
        write_date(seconds.div_euclid(86_400), out);
        let second = seconds.rem_euclid(86_400);
        append!(out, " {:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
        let start = out.len();
        append!(out, ".{:09}", moment.nanos);
        // Digits beyond the precision are shown only if they are not zero.
        let shown = out[start + 1..].trim_end_matches('0').len().max(precision.into());
        out.truncate(if shown == 0 { start } else { start + 1 + shown });
    }))
}

/// Years and months, as in `+1-02`.
fn write_months(months: i64, out: &mut String) {
    let (sign, months) = (if months < 0 { '-' } else { '+' }, months.unsigned_abs());
    append!(out, "{sign}{}-{:02}", months / 12, months % 12);
}

/// Days and a time of day, as in `+1 02:03:04.500`.
fn write_millis(millis: i64, out: &mut String) {
    let (sign, millis) = (if millis < 0 { '-' } else { '+' }, millis.unsigned_abs());
    let seconds = millis / 1000;
    append!(
        out,
        "{sign}{} {:02}:{:02}:{:02}.{:03}",
        seconds / 86_400,
        seconds / 3600 % 24,
        seconds / 60 % 60,
        seconds % 60,
        millis % 1000
    );
}

fn write_date(days: i64, out: &mut String) {
    let (year, month, day) = civil_from_days(days);
    append!(out, "{year:04}-{month:02}-{day:02}");
}

/// The fraction has as many digits as needed, at least one, at most the precision.
fn write_time(millis: i32, precision: u8, out: &mut String) {
    let millis = millis.rem_euclid(86_400_000);
    let second = millis / 1000;
    append!(out, "{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    if precision > 0 {
        let fraction = format!("{:03}", millis % 1000);
        let fraction = &fraction[..usize::from(precision.min(3))];
        let digits = fraction.trim_end_matches('0');
        append!(out, ".{}", if digits.is_empty() { "0" } else { digits });
    }
}

fn write_decimal(value: i128, scale: usize, out: &mut String) {
    if value < 0 {
        out.push('-');
    }
    let start = out.len();
    append!(out, "{:0width$}", value.unsigned_abs(), width = scale + 1);
    if scale > 0 {
        let point = out.len() - scale;
        debug_assert!(point > start);
        out.insert(point, '.');
    }
}

/// A DOUBLE as Java writes it.
pub(in crate::functions) fn real_text(value: f64) -> String {
    let mut text = String::new();
    write_float(value, &mut text);
    text
}

/// Writes a number as Java does: plainly from 0.001 to below 10 million, otherwise with an exponent, and always with a point.
fn write_float<T>(value: T, out: &mut String)
where
    T: Into<f64> + Copy + std::fmt::LowerExp + PartialEq,
{
    let wide: f64 = value.into();
    if wide.is_nan() {
        return out.push_str("NaN");
    }
    if wide.is_sign_negative() {
        out.push('-');
    }
    if wide.is_infinite() {
        return out.push_str("Infinity");
    }
    if wide == 0.0 {
        return out.push_str("0.0");
    }
    let mut shortest = format!("{value:e}");
    if !shortest.contains('.') {
        // Java writes at least two digits, and chooses the nearest two.
        shortest = format!("{value:.1e}");
    }
    let shortest = shortest.trim_start_matches('-');
    let (mantissa, exponent) = shortest.split_once('e').unwrap_or((shortest, "0"));
    let exponent: i32 = exponent.parse().unwrap_or_default();
    let digits: String = mantissa.chars().filter(char::is_ascii_digit).collect();
    let trimmed = digits.trim_end_matches('0');
    let digits = if trimmed.is_empty() { "0" } else { trimmed };
    let or_zero = |digits: &str| if digits.is_empty() { "0".to_owned() } else { digits.to_owned() };
    match exponent {
        -3..=-1 => {
            let zeros = "0".repeat((-exponent - 1) as usize);
            append!(out, "0.{zeros}{digits}");
        }
        0..=6 => {
            let whole = exponent as usize + 1;
            let padded = format!("{digits:0<whole$}");
            append!(out, "{}.{}", &padded[..whole], or_zero(&padded[whole..]));
        }
        _ => append!(out, "{}.{}E{exponent}", &digits[..1], or_zero(&digits[1..])),
    }
}

fn nested_writer<'a>(array: &'a ArrayRef, data_type: &DataType, style: Style) -> Result<WriteRow<'a>, OperatorError> {
    let wrong = || type_error(array.data_type());
    Ok(match data_type {
        DataType::Array(element) => {
            let lists = array.as_list_opt::<i32>().ok_or_else(wrong)?;
            let write = or_null(lists.values(), styled(lists.values(), &element.data_type, style)?);
            Box::new(move |row, out| {
                let offsets = lists.value_offsets();
                join(offsets[row] as usize..offsets[row + 1] as usize, ["[", "]"], out, &*write);
            })
        }
        DataType::Map(key, value) => map_writer(array, &key.data_type, &value.data_type, style)?,
        DataType::Multiset(element) => map_writer(array, &element.data_type, &DataType::Int, style)?,
        DataType::Row(fields) => {
            let rows = array.as_struct_opt().ok_or_else(wrong)?;
            let columns = rows.columns().iter().zip(fields);
            let writers = columns.map(|(column, field)| Ok(or_null(column, styled(column, &field.data_type, style)?)));
            let writers = writers.collect::<Result<Vec<_>, OperatorError>>()?;
            Box::new(move |row, out| join(0..writers.len(), ["(", ")"], out, &|field, out| writers[field](row, out)))
        }
        _ => return Err(wrong()),
    })
}

fn map_writer<'a>(array: &'a ArrayRef, key: &DataType, value: &DataType, style: Style) -> Result<WriteRow<'a>, OperatorError> {
    let maps = array.as_map_opt().ok_or_else(|| type_error(array.data_type()))?;
    let key = or_null(maps.keys(), styled(maps.keys(), key, style)?);
    let value = or_null(maps.values(), styled(maps.values(), value, style)?);
    Ok(Box::new(move |row, out| {
        let offsets = maps.value_offsets();
        join(offsets[row] as usize..offsets[row + 1] as usize, ["{", "}"], out, &|entry, out| {
            key(entry, out);
            out.push('=');
            value(entry, out);
        });
    }))
}

/// Writes NULL for a null.
fn or_null<'a>(array: &'a ArrayRef, write: WriteRow<'a>) -> WriteRow<'a> {
    let nulls = array.logical_nulls();
    Box::new(move |row, out| match &nulls {
        Some(nulls) if nulls.is_null(row) => out.push_str("NULL"),
        _ => write(row, out),
    })
}

fn join(rows: std::ops::Range<usize>, brackets: [&str; 2], out: &mut String, write: &dyn Fn(usize, &mut String)) {
    out.push_str(brackets[0]);
    for (i, row) in rows.enumerate() {
        out.push_str(if i == 0 { "" } else { ", " });
        write(row, out);
    }
    out.push_str(brackets[1]);
}
