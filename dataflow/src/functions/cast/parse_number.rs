//! Reads numbers and booleans from texts, in the forms that Flink accepts.

use arrow_array::types::{Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type};
use arrow_array::{Array, BooleanArray};
use weir_protocol::job_graph::DataType;

use super::{Convert, from_text, or_fail, unreadable};
use crate::functions::decimal::{power_of_ten, rescale, within};
use crate::functions::operand::{TextArray, map_boolean, type_error};

pub(super) fn converter(to: &DataType, or_null: bool) -> Result<Convert, String> {
    let name = to.to_string();
    macro_rules! integer {
        ($arrow:ty, $native:ty) => {
            from_text::<$arrow>(to, or_null, move |text| {
                integer(text).and_then(|value| <$native>::try_from(value).ok()).ok_or_else(|| unreadable(text, &name))
            })
        };
    }
    Ok(match to {
        DataType::Boolean => Box::new(move |array| {
            let texts = array.as_any().downcast_ref::<TextArray>().ok_or_else(|| type_error(array.data_type()))?;
            let values: BooleanArray = map_boolean(texts.len(), texts.nulls().cloned(), |row| {
                let text = texts.value(row);
                or_fail(boolean(text).ok_or_else(|| unreadable(text, "BOOLEAN")), or_null)
            })?;
            Ok(std::sync::Arc::new(values))
        }),
        DataType::Tinyint => integer!(Int8Type, i8),
        DataType::Smallint => integer!(Int16Type, i16),
        DataType::Int => integer!(Int32Type, i32),
        DataType::Bigint => integer!(Int64Type, i64),
        DataType::Float => from_text::<Float32Type>(to, or_null, move |text| {
            float_digits(text).and_then(|digits| digits.parse().ok()).ok_or_else(|| unreadable(text, &name))
        }),
        DataType::Double => from_text::<Float64Type>(to, or_null, move |text| {
            float_digits(text).and_then(|digits| digits.parse().ok()).ok_or_else(|| unreadable(text, &name))
        }),
        DataType::Decimal { precision, scale } => {
            let (precision, scale) = (*precision, *scale);
            from_text::<Decimal128Type>(to, or_null, move |text| {
                decimal(text, precision, scale).ok_or_else(|| unreadable(text, &name))
            })
        }
        other => return Err(format!("there is no cast from text to {other}")),
    })
}

fn boolean(text: &str) -> Option<bool> {
    let is = |words: [&str; 5]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
    if is(["t", "true", "y", "yes", "1"]) {
        Some(true)
    } else if is(["f", "false", "n", "no", "0"]) {
        Some(false)
    } else {
        None
    }
}

/// Reads a whole number. Digits after a point are dropped; spaces around it are allowed.
fn integer(text: &str) -> Option<i64> {
    let text = text.trim_matches(' ');
    let (negative, digits) = match text.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if digits.is_empty() {
        return None;
    }
    let point = digits.iter().position(|b| *b == b'.').unwrap_or(digits.len());
    let (whole, fraction) = digits.split_at(point);
    if !fraction.iter().skip(1).all(u8::is_ascii_digit) {
        return None;
    }
    // Negative numbers reach further, so the sum is negative.
    let sum = whole.iter().try_fold(0_i64, |sum, digit| {
        let digit = digit.is_ascii_digit().then(|| i64::from(digit - b'0'))?;
        sum.checked_mul(10)?.checked_sub(digit)
    })?;
    if negative { Some(sum) } else { sum.checked_neg() }
}

/// The part of a text that Rust reads as the same floating-point number as Java. Hexadecimal numbers are not accepted.
fn float_digits(text: &str) -> Option<&str> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return Some(text);
    }
    let digits = text.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(text);
    let plain = |b: u8| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'+' | b'-');
    (digits.bytes().all(plain) && digits.bytes().any(|b| b.is_ascii_digit())).then_some(digits)
}

/// Reads a decimal number, rounding half away from zero. `None` if it is none or too large.
///
/// Like Flink, up to 18 digits are read by a lenient reader: it ignores one character that follows the digits.
pub(super) fn decimal(text: &str, precision: u8, scale: u8) -> Option<i128> {
    let trimmed = text.trim_matches([' ', '\n', '\t']);
    let lenient = precision <= 18 && text.len() <= 18;
    let (negative, rest) = match trimmed.as_bytes() {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    let number = rest.iter().take_while(|b| b.is_ascii_digit() || **b == b'.').count();
    let (number, tail) = rest.split_at(number);
    let mut halves = number.split(|b| *b == b'.');
    let (whole, fraction) = (halves.next()?, halves.next().unwrap_or_default());
    if halves.next().is_some() || rest.is_empty() || (!lenient && whole.len() + fraction.len() == 0) {
        return None;
    }
    let exponent = match tail {
        [] => 0,
        [b'e' | b'E', exponent @ ..] => read_exponent(exponent, lenient)?,
        [_] if lenient => 0,
        _ => return None,
    };
    let value = scaled(whole.iter().chain(fraction), exponent - fraction.len() as i64, precision, scale)?;
    Some(if negative { -value } else { value })
}

/// Reads the digits after `e`. The exponent is bounded, since beyond a few dozen it makes no difference.
fn read_exponent(text: &[u8], lenient: bool) -> Option<i64> {
    let (negative, digits) = match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        rest => (false, rest),
    };
    if !digits.iter().all(u8::is_ascii_digit) || (digits.is_empty() && !(lenient && text.is_empty())) {
        return None;
    }
    let value = digits.iter().fold(0_i64, |sum, digit| (sum * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(if negative { -value } else { value })
}

/// The digits times ten to the exponent, at the scale.
fn scaled<'a>(digits: impl Iterator<Item = &'a u8>, exponent: i64, precision: u8, scale: u8) -> Option<i128> {
    let digits: Vec<u8> = digits.map(|digit| digit - b'0').skip_while(|digit| *digit == 0).collect();
    // Number of digits that remain before the scale ends; the next one decides the rounding.
    let kept = digits.len() as i64 + exponent + i64::from(scale);
    if digits.is_empty() || kept < 0 {
        return Some(0);
    }
    if kept > 39 {
        return None;
    }
    let kept = kept as usize;
    let mut value = digits.iter().take(kept).try_fold(0_i128, |sum, digit| sum.checked_mul(10)?.checked_add((*digit).into()))?;
    if kept > digits.len() {
        value = value.checked_mul(power_of_ten((kept - digits.len()) as u32)?)?;
    }
    let rounds_up = digits.get(kept).is_some_and(|digit| *digit >= 5);
    within(value + i128::from(rounds_up), precision)
}

/// The decimal nearest to the shortest text of a floating-point number, as Java makes it. `None` if it is too large.
pub(super) fn decimal_of_float(shortest: &str, precision: u8, scale: u8) -> Option<i128> {
    // The shortest text has at most 17 digits; longer ones come from an exponent.
    let (mantissa, exponent) = shortest.split_once('e')?;
    let negative = mantissa.starts_with('-');
    let mantissa = mantissa.trim_start_matches('-').as_bytes();
    let fraction = mantissa.iter().position(|b| *b == b'.').map_or(0, |point| mantissa.len() - point - 1);
    let digits = mantissa.iter().filter(|b| b.is_ascii_digit());
    let value = scaled(digits, exponent.parse::<i64>().ok()? - fraction as i64, precision, scale)?;
    Some(if negative { -value } else { value })
}

/// Changes the scale of an exact number.
pub(super) fn decimal_of_exact(value: i128, from: u8, precision: u8, scale: u8) -> Option<i128> {
    rescale(value, from, scale, precision)
}
