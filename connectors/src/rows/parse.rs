//! Reads single values from text.

use arrow_schema::TimeUnit;

use super::column::BadValue;
use super::times::Moment;

/// The moment in the unit of a column. The error shows the value.
pub(super) fn in_unit(moment: Moment, unit: TimeUnit, shown: impl FnOnce() -> String) -> Result<i64, BadValue> {
    moment.in_unit(unit).ok_or_else(|| {
        let shown: String = shown().chars().take(40).collect();
        let years = match unit {
            TimeUnit::Nanosecond => "; TIMESTAMP(7) to TIMESTAMP(9) hold the years 1677 to 2262, TIMESTAMP(6) more",
            _ => "",
        };
        BadValue(format!("{shown:?} is out of the range of the column's type{years}"))
    })
}

/// What a timestamp looks like, for messages.
pub(super) const TIMESTAMP: &str =
    "timestamp (like 2020-12-30T12:13:14.123Z or 2020-12-30 12:13:14.123, or milliseconds since 1970)";

/// The error for a text that is not what its column takes.
pub(super) fn bad(field: &[u8], expected: &str) -> BadValue {
    let shown: String = String::from_utf8_lossy(&field[..field.len().min(200)]).chars().take(40).collect();
    BadValue(format!("{shown:?} is not a {expected}"))
}

/// Reads a number as Rust does.
pub(super) fn parse<T: std::str::FromStr>(field: &[u8]) -> Option<T> {
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Reads true or false in any case.
pub(super) fn parse_boolean(field: &[u8]) -> Option<bool> {
    if field.eq_ignore_ascii_case(b"true") {
        Some(true)
    } else if field.eq_ignore_ascii_case(b"false") {
        Some(false)
    } else {
        None
    }
}

/// The integer at the start of `rest` and its length, if `delimiter` or the end follows. It has at most 18 digits, so that it
/// can't overflow; longer integers take the slow path.
#[inline]
pub(super) fn integer_prefix(rest: &[u8], delimiter: u8) -> Option<(i64, usize)> {
    let negative = rest.first() == Some(&b'-');
    let start = usize::from(negative);
    let mut value: i64 = 0;
    let mut length = start;
    while let Some(byte) = rest.get(length) {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            if *byte != delimiter {
                return None;
            }
            break;
        }
        value = value.wrapping_mul(10).wrapping_add(i64::from(digit));
        length += 1;
    }
    if length == start || length - start > 18 {
        return None;
    }
    Some((if negative { -value } else { value }, length))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_integers_take_the_fast_path_and_everything_else_does_not() {
        for (text, expected) in [
            ("12,3", Some((12, 2))),
            ("-7", Some((-7, 2))),
            ("0", Some((0, 1))),
            ("999999999999999999", Some((999_999_999_999_999_999, 18))),
            ("1000000000000000000", None),
            ("", None),
            ("-", None),
            (",1", None),
            ("1.5,", None),
            ("+1", None),
            (" 1", None),
            ("12345678901234567890123456789012345678901234567890", None),
        ] {
            assert_eq!(integer_prefix(text.as_bytes(), b','), expected, "{text:?}");
        }
    }
}
