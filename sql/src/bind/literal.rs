//! Constants: numbers, texts, dates and times.

use sqlparser::ast::{Value, ValueWithSpan};
use weir_protocol::job_graph::DataType;

use crate::expression::{ExprKind, Typed};
use crate::script::SqlError;

/// A constant as it stands in the text. Error: `SQL-TYPE` for a number that fits no type.
pub(super) fn literal(value: &ValueWithSpan) -> Result<Typed, SqlError> {
    match &value.value {
        Value::Number(digits, _) => number(digits).map_err(|error| error.at(value.span.start)),
        Value::SingleQuotedString(text) | Value::NationalStringLiteral(text) | Value::UnicodeStringLiteral(text) => {
            Ok(text_literal(text))
        }
        Value::Boolean(value) => Ok(Typed::literal(value.to_string(), DataType::Boolean)),
        Value::Null => Ok(Typed { kind: ExprKind::UntypedNull, data_type: DataType::String, nullable: true }),
        Value::HexStringLiteral(digits) => bytes(digits).map_err(|error| error.at(value.span.start)),
        other => Err(SqlError::unsupported(format!("the literal {other}")).at(value.span.start)),
    }
}

/// A text constant. Its type is CHAR of its length in UTF-16 units, as Flink has it; an empty one is STRING.
pub(super) fn text_literal(text: &str) -> Typed {
    let data_type = match text.encode_utf16().count() {
        0 => DataType::String,
        length => DataType::Char(length as u32),
    };
    Typed::literal(text, data_type)
}

/// `5` is INT, a longer one BIGINT or DECIMAL; `1.5` is DECIMAL; `1e3` is DOUBLE.
fn number(digits: &str) -> Result<Typed, SqlError> {
    if digits.contains(['e', 'E']) {
        let value: f64 = digits.parse().map_err(|_| not_a_number(digits))?;
        if !value.is_finite() {
            return Err(SqlError::new("SQL-TYPE", format!("the number {digits} is too large for a DOUBLE")));
        }
        return Ok(Typed::literal(format!("{value:?}"), DataType::Double));
    }
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    // Zeros before the number count as digits of a DECIMAL, unless there are too many.
    let precision = whole.len() + fraction.len();
    if !whole.chars().chain(fraction.chars()).all(|c| c.is_ascii_digit()) {
        return Err(not_a_number(digits));
    }
    let whole = whole.trim_start_matches('0');
    let precision = precision.min((whole.len() + fraction.len()).max(usize::from(DataType::MAX_DECIMAL_PRECISION)));
    if fraction.is_empty() {
        let shown = if whole.is_empty() { "0" } else { whole };
        if shown.parse::<i32>().is_ok() {
            return Ok(Typed::literal(shown, DataType::Int));
        }
        if shown.parse::<i64>().is_ok() {
            return Ok(Typed::literal(shown, DataType::Bigint));
        }
        let shown: String = digits.chars().take(50).collect();
        return Err(SqlError::new("SQL-TYPE", format!("the number {shown} does not fit BIGINT"))
            .hint("write it as a DECIMAL: with a point"));
    }
    let scale = fraction.len();
    if precision > usize::from(DataType::MAX_DECIMAL_PRECISION) {
        let shown: String = digits.chars().take(50).collect();
        return Err(SqlError::new("SQL-TYPE", format!("the number {shown} has {precision} digits; a DECIMAL holds 38")));
    }
    let shown = format!("{}.{fraction}", if whole.is_empty() { "0" } else { whole });
    Ok(Typed::literal(shown, DataType::Decimal { precision: precision as u8, scale: scale as u8 }))
}

fn not_a_number(digits: &str) -> SqlError {
    SqlError::new("SQL-TYPE", format!("{digits} is not a number"))
}

fn bytes(digits: &str) -> Result<Typed, SqlError> {
    if !digits.len().is_multiple_of(2) || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Err(SqlError::new("SQL-TYPE", format!("x'{digits}' is not an even number of hexadecimal digits")));
    }
    let data_type = if digits.is_empty() { DataType::Bytes } else { DataType::Binary(digits.len() as u32 / 2) };
    Ok(Typed::literal(digits.to_lowercase(), data_type))
}

/// `DATE '…'`, `TIME '…'` and `TIMESTAMP '…'`. Error: `SQL-TYPE` for another form or a day that does not exist.
pub(super) fn time(data_type: &DataType, text: &str) -> Result<Typed, SqlError> {
    let wrong = |form: &str| {
        let name = match data_type {
            DataType::Date => "DATE",
            DataType::Time(_) => "TIME",
            _ => "TIMESTAMP",
        };
        SqlError::new("SQL-TYPE", format!("{name} '{text}' is not of the form '{form}'"))
    };
    match data_type {
        DataType::Date => match date(text) {
            Some(shown) => Ok(Typed::literal(shown, DataType::Date)),
            None => Err(wrong("yyyy-MM-dd")),
        },
        DataType::Time(_) => match time_of_day(text) {
            Some((shown, precision)) => Ok(Typed::literal(shown, DataType::Time(precision))),
            None => Err(wrong("HH:mm:ss[.SSS]")),
        },
        _ => {
            let (day, time) = text.split_once(' ').unwrap_or((text, "00:00:00"));
            let parts = date(day).zip(time_of_day(time));
            match parts {
                Some((day, (time, precision))) => Ok(Typed::literal(format!("{day} {time}"), DataType::Timestamp(precision))),
                None => Err(wrong("yyyy-MM-dd HH:mm:ss[.SSS]")),
            }
        }
    }
}

fn digits(text: &str, length: std::ops::RangeInclusive<usize>) -> Option<u32> {
    (length.contains(&text.len()) && text.chars().all(|c| c.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

fn date(text: &str) -> Option<String> {
    let mut parts = text.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (year, month, day) = (digits(year, 1..=4)?, digits(month, 1..=2)?, digits(day, 1..=2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days = match month {
        2 => 28 + u32::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    (1..=days).contains(&day).then(|| format!("{year:04}-{month:02}-{day:02}"))
}

/// The time in its usual form, and the number of digits after the second.
fn time_of_day(text: &str) -> Option<(String, u8)> {
    let (clock, fraction) = text.split_once('.').unwrap_or((text, ""));
    let mut parts = clock.split(':');
    let (hour, minute, second) = (digits(parts.next()?, 1..=2)?, digits(parts.next()?, 1..=2)?, digits(parts.next()?, 1..=2)?);
    if parts.next().is_some() || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    if text.contains('.') {
        digits(fraction, 1..=9)?;
        return Some((format!("{hour:02}:{minute:02}:{second:02}.{fraction}"), fraction.len() as u8));
    }
    Some((format!("{hour:02}:{minute:02}:{second:02}"), 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(typed: Typed) -> String {
        match typed.kind {
            ExprKind::Literal(Some(text)) => format!("{text} {}", typed.data_type),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn a_number_has_the_narrowest_type_of_int_bigint_and_decimal() {
        for (digits, expected) in [
            ("0", "0 INT"),
            ("007", "7 INT"),
            ("2147483647", "2147483647 INT"),
            ("2147483648", "2147483648 BIGINT"),
            ("0.908", "0.908 DECIMAL(4, 3)"),
            (".5", "0.5 DECIMAL(1, 1)"),
            ("007.50", "7.50 DECIMAL(5, 2)"),
            ("5.", "5 INT"),
            ("1e3", "1000.0 DOUBLE"),
            ("1E-2", "0.01 DOUBLE"),
        ] {
            assert_eq!(shown(number(digits).unwrap()), expected, "{digits}");
        }
        for wrong in ["1e999", &"9".repeat(39), "9223372036854775808", "1.2.3"] {
            assert_eq!(number(wrong).unwrap_err().code, "SQL-TYPE", "{wrong}");
        }
    }

    #[test]
    fn a_time_that_does_not_exist_is_refused() {
        assert_eq!(shown(time(&DataType::Date, "2024-2-29").unwrap()), "2024-02-29 DATE");
        assert_eq!(
            shown(time(&DataType::Timestamp(6), "9999-12-31 23:59:59.120").unwrap()),
            "9999-12-31 23:59:59.120 TIMESTAMP(3)"
        );
        for wrong in ["2023-02-29", "2024-13-01", "2024-01-32", "24-1", "2024-01-01T", ""] {
            assert_eq!(time(&DataType::Date, wrong).unwrap_err().code, "SQL-TYPE", "{wrong}");
        }
        for wrong in ["2024-01-01 24:00:00", "2024-01-01T00:00:00", "2024-01-01 00:00:00.", "2024-01"] {
            assert_eq!(time(&DataType::Timestamp(6), wrong).unwrap_err().code, "SQL-TYPE", "{wrong}");
        }
    }
}
