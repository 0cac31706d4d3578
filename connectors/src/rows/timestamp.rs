//! Converts between ISO-8601 and milliseconds since 1970 in UTC. Proleptic Gregorian calendar, years 0000 to 9999.

use weir_dataflow::calendar::{DAY_MS, civil_from_days, days_from_civil, days_in_month};

/// Reads an integer (milliseconds since 1970) or an ISO-8601 date or instant: `2013-01-01`, `2013-01-01T05:00:00Z`,
/// `2013-01-01 05:00:00.123+01:00`. The default zone is UTC. Digits below a millisecond are ignored.
pub(crate) fn parse_timestamp_ms(text: &[u8]) -> Option<i64> {
    let text = text.trim_ascii();
    if text.len() < 8 || text.get(4) != Some(&b'-') {
        return std::str::from_utf8(text).ok()?.parse().ok();
    }
    let mut rest = text;
    let year = digits(&mut rest, 4)?;
    expect(&mut rest, b'-')?;
    let month = digits(&mut rest, 2)?;
    expect(&mut rest, b'-')?;
    let day = digits(&mut rest, 2)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    let midnight = days_from_civil(year, month, day) * DAY_MS;
    if rest.is_empty() {
        return Some(midnight);
    }
    if !matches!(rest[0], b'T' | b't' | b' ') {
        return None;
    }
    rest = &rest[1..];
    let hour = digits(&mut rest, 2)?;
    expect(&mut rest, b':')?;
    let minute = digits(&mut rest, 2)?;
    let mut second = 0;
    let mut millis = 0;
    if rest.first() == Some(&b':') {
        rest = &rest[1..];
        second = digits(&mut rest, 2)?;
        if matches!(rest.first(), Some(b'.' | b',')) {
            rest = &rest[1..];
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if length == 0 {
                return None;
            }
            for position in 0..3 {
                let digit = rest[..length].get(position).map_or(0, |byte| byte - b'0');
                millis = millis * 10 + i64::from(digit);
            }
            rest = &rest[length..];
        }
    }
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let offset_ms = zone_offset_ms(rest)?;
    Some(midnight + ((hour * 60 + minute) * 60 + second) * 1000 + millis - offset_ms)
}

fn zone_offset_ms(text: &[u8]) -> Option<i64> {
    let sign = match text.first() {
        None => return Some(0),
        Some(b'Z' | b'z') if text.len() == 1 => return Some(0),
        Some(b'+') => 1,
        Some(b'-') => -1,
        Some(_) => return None,
    };
    let mut rest = &text[1..];
    let hours = digits(&mut rest, 2)?;
    if rest.first() == Some(&b':') {
        rest = &rest[1..];
    }
    let minutes = if rest.is_empty() { 0 } else { digits(&mut rest, 2)? };
    (rest.is_empty() && hours <= 18 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60_000)
}

fn digits(rest: &mut &[u8], count: usize) -> Option<i64> {
    let taken = rest.get(..count)?;
    let mut value = 0;
    for byte in taken {
        if !byte.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(byte - b'0');
    }
    *rest = &rest[count..];
    Some(value)
}

fn expect(rest: &mut &[u8], byte: u8) -> Option<()> {
    if rest.first() != Some(&byte) {
        return None;
    }
    *rest = &rest[1..];
    Some(())
}

/// Appends a timestamp like `2013-01-01T05:00:00Z`, with `.123` only if there are milliseconds. Outside the years 0000 to 9999 it
/// appends nothing and returns `false`.
pub(crate) fn append_timestamp_ms(out: &mut Vec<u8>, timestamp_ms: i64) -> bool {
    let (year, month, day) = civil_from_days(timestamp_ms.div_euclid(DAY_MS));
    if !(0..=9999).contains(&year) {
        return false;
    }
    let of_day = timestamp_ms.rem_euclid(DAY_MS);
    append_padded(out, year, 4);
    out.push(b'-');
    append_padded(out, month, 2);
    out.push(b'-');
    append_padded(out, day, 2);
    out.push(b'T');
    append_padded(out, of_day / 3_600_000, 2);
    out.push(b':');
    append_padded(out, of_day / 60_000 % 60, 2);
    out.push(b':');
    append_padded(out, of_day / 1000 % 60, 2);
    if of_day % 1000 != 0 {
        out.push(b'.');
        append_padded(out, of_day % 1000, 3);
    }
    out.push(b'Z');
    true
}

fn append_padded(out: &mut Vec<u8>, value: i64, width: u32) {
    for position in (0..width).rev() {
        out.push(b'0' + (value / 10_i64.pow(position) % 10) as u8);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn text(timestamp_ms: i64) -> Option<String> {
        let mut out = Vec::new();
        append_timestamp_ms(&mut out, timestamp_ms).then(|| String::from_utf8(out).unwrap())
    }

    #[test]
    fn known_instants_are_read_and_written() {
        for (written, timestamp_ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2013-01-01T05:00:00Z", 1_357_016_400_000),
            ("2000-02-29T23:59:59.999Z", 951_868_799_999),
            ("1969-12-31T23:59:59.001Z", -999),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
        ] {
            assert_eq!(parse_timestamp_ms(written.as_bytes()), Some(timestamp_ms), "{written}");
            assert_eq!(text(timestamp_ms).as_deref(), Some(written));
        }
        assert_eq!(text(253_402_300_800_000), None);
        assert_eq!(text(i64::MIN), None);
    }

    #[test]
    fn the_usual_spellings_are_read() {
        for (spelling, timestamp_ms) in [
            ("1357016400000", 1_357_016_400_000),
            ("-5", -5),
            ("2013-01-01", 1_356_998_400_000),
            ("2013-01-01 05:00", 1_357_016_400_000),
            ("2013-01-01t05:00:00", 1_357_016_400_000),
            (" 2013-01-01T06:00:00+01:00 ", 1_357_016_400_000),
            ("2013-01-01T00:00:00-0500", 1_357_016_400_000),
            ("2013-01-01T05:00:00.1234567Z", 1_357_016_400_123),
            ("2013-01-01T05:00:00.5Z", 1_357_016_400_500),
        ] {
            assert_eq!(parse_timestamp_ms(spelling.as_bytes()), Some(timestamp_ms), "{spelling}");
        }
        for nonsense in
            ["", "x", "2013-13-01", "2013-02-29", "2013-01-01T24:00:00", "2013-01-01T05:00:00.", "2013-01-01T05:00:00X"]
        {
            assert_eq!(parse_timestamp_ms(nonsense.as_bytes()), None, "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn a_written_timestamp_is_read_back(timestamp_ms in -62_167_219_200_000_i64..=253_402_300_799_999) {
            let written = text(timestamp_ms).unwrap();
            prop_assert_eq!(parse_timestamp_ms(written.as_bytes()), Some(timestamp_ms));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..40)) {
            let _ = parse_timestamp_ms(&bytes);
        }
    }
}
