//! Converts between text and decimal numbers, without a double in between.

/// What a text is as a decimal of some precision and scale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// The digits without the point.
    Value(i128),
    /// A number with too many digits before the point.
    TooLarge,
    /// Not a number.
    Nothing,
}

/// Reads a number like `-12.50` or `1.25e1`. Digits below the scale are rounded half up, away from zero.
pub(crate) fn parse(text: &[u8], precision: u8, scale: u8) -> Parsed {
    read(text.trim_ascii(), precision, scale).unwrap_or(Parsed::Nothing)
}

fn read(text: &[u8], precision: u8, scale: u8) -> Option<Parsed> {
    let (negative, unsigned) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let exponent_at = unsigned.iter().position(|byte| matches!(byte, b'e' | b'E'));
    let (mantissa, exponent) = match exponent_at {
        Some(at) => (&unsigned[..at], exponent(&unsigned[at + 1..])?),
        None => (unsigned, 0),
    };
    let point = mantissa.iter().position(|byte| *byte == b'.').unwrap_or(mantissa.len());
    let (whole, fraction) = (&mantissa[..point], mantissa.get(point + 1..).unwrap_or_default());
    let mut digits = whole.iter().chain(fraction);
    if whole.len() + fraction.len() == 0 || !digits.clone().all(u8::is_ascii_digit) {
        return None;
    }
    // The number of digits that count; the first one after them rounds.
    let kept = (whole.len() as i64).saturating_add(exponent).saturating_add(i64::from(scale));
    let mut value: i128 = 0;
    let mut position = 0;
    while position < kept {
        let Some(digit) = digits.next() else { break };
        value = match value.checked_mul(10).and_then(|value| value.checked_add(i128::from(digit - b'0'))) {
            Some(value) => value,
            None => return Some(Parsed::TooLarge),
        };
        position += 1;
    }
    if kept >= 0 && digits.next().is_some_and(|digit| *digit >= b'5') {
        value = value.saturating_add(1);
    }
    // What the text leaves out are zeros.
    if value != 0 && position < kept {
        let zeros = u32::try_from(kept - position).unwrap_or(u32::MAX);
        value = match 10_i128.checked_pow(zeros).and_then(|power| value.checked_mul(power)) {
            Some(value) => value,
            None => return Some(Parsed::TooLarge),
        };
    }
    if value >= 10_i128.pow(u32::from(precision.min(38))) {
        return Some(Parsed::TooLarge);
    }
    Some(Parsed::Value(if negative { -value } else { value }))
}

fn exponent(text: &[u8]) -> Option<i64> {
    let (negative, digits) = match text.first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_i64, |value, digit| (value * 10 + i64::from(digit - b'0')).min(1_000_000));
    Some(if negative { -value } else { value })
}

/// Appends a decimal with all digits of its scale, like `-12.50`.
pub(crate) fn append(out: &mut Vec<u8>, unscaled: i128, scale: u8) {
    if unscaled < 0 {
        out.push(b'-');
    }
    let digits = unscaled.unsigned_abs().to_string();
    let scale = usize::from(scale);
    let missing = (scale + 1).saturating_sub(digits.len());
    let padded = "0".repeat(missing) + &digits;
    let (whole, fraction) = padded.split_at(padded.len() - scale);
    out.extend_from_slice(whole.as_bytes());
    if !fraction.is_empty() {
        out.push(b'.');
        out.extend_from_slice(fraction.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_read_exactly_and_rounded_half_up() {
        for (text, expected) in [
            ("1.255", Parsed::Value(126)),
            ("1.2549999999999999999999999", Parsed::Value(125)),
            ("-1.255", Parsed::Value(-126)),
            ("0.005", Parsed::Value(1)),
            ("0.0049", Parsed::Value(0)),
            ("5e-3", Parsed::Value(1)),
            ("5e-4", Parsed::Value(0)),
            ("9e-999999999999999999999", Parsed::Value(0)),
            (" +12 ", Parsed::Value(1200)),
            (".5", Parsed::Value(50)),
            ("5.", Parsed::Value(500)),
            ("1.25E+2", Parsed::Value(12500)),
            ("999.99", Parsed::Value(99999)),
            ("999.994", Parsed::Value(99999)),
            ("999.995", Parsed::TooLarge),
            ("1000", Parsed::TooLarge),
            ("1e99999999999999999999", Parsed::TooLarge),
            ("0e99999999999999999999", Parsed::Value(0)),
            ("1234567890123456789012345678901234567890123", Parsed::TooLarge),
            ("", Parsed::Nothing),
            (".", Parsed::Nothing),
            ("-", Parsed::Nothing),
            ("1e", Parsed::Nothing),
            ("1.2.3", Parsed::Nothing),
            ("NaN", Parsed::Nothing),
            ("1_000", Parsed::Nothing),
        ] {
            assert_eq!(parse(text.as_bytes(), 5, 2), expected, "{text:?}");
        }
        assert_eq!(parse("9".repeat(38).as_bytes(), 38, 0), Parsed::Value(10_i128.pow(38) - 1));
        assert_eq!(parse(format!("0.{}5", "0".repeat(38)).as_bytes(), 38, 38), Parsed::Value(1));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(value in -(10_i128.pow(38) - 1)..10_i128.pow(38), scale in 0_u8..=38) {
            let mut out = Vec::new();
            append(&mut out, value, scale);
            prop_assert_eq!(parse(&out, 38, scale), Parsed::Value(value));
        }

        #[test]
        fn no_text_panics(text in "[-+0-9.eE]{0,30}", precision in 1_u8..=38, scale in 0_u8..=38) {
            let _ = parse(text.as_bytes(), precision, scale.min(precision));
        }
    }
}
