//! Converts between text and dates, times of day and points in time. Proleptic Gregorian calendar.

use arrow_schema::TimeUnit;
use serde::Deserialize;
use weir_dataflow::calendar::{DAY_MS, civil_from_days, days_from_civil, days_in_month};

const DAY_SECONDS: i64 = DAY_MS / 1000;

/// How points in time are written. All forms are read always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub enum TimestampFormat {
    /// `2013-01-01T05:00:00.120Z`, with 3, 6 or 9 digits after the second, or none. Local times too have the `Z`.
    #[default]
    #[serde(rename = "iso-8601")]
    Iso,
    /// Flink's `ISO-8601`: `2013-01-01T05:00:00.12`, with as many digits as needed. Only points in time have a `Z`.
    #[serde(rename = "iso-8601-local")]
    IsoLocal,
    /// Flink's `SQL`: `2013-01-01 05:00:00.12`. Only points in time have a `Z`.
    #[serde(rename = "sql")]
    Sql,
}

/// A point in time, or a local time as if it was in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Moment {
    /// Seconds since 1970, rounded down.
    seconds: i64,
    /// Nanoseconds after the second.
    nanos: i64,
}

impl Moment {
    pub(crate) fn from_millis(millis: i64) -> Self {
        Self::from_unit(millis, TimeUnit::Millisecond)
    }

    fn from_unit(value: i64, unit: TimeUnit) -> Self {
        let per_second = per_second(unit);
        Self { seconds: value.div_euclid(per_second), nanos: value.rem_euclid(per_second) * (1_000_000_000 / per_second) }
    }

    /// The number of units since 1970, rounded down; `None` if it does not fit.
    pub(crate) fn in_unit(self, unit: TimeUnit) -> Option<i64> {
        let per_second = per_second(unit);
        let parts = self.nanos / (1_000_000_000 / per_second);
        if let Some(value) = self.seconds.checked_mul(per_second).and_then(|value| value.checked_add(parts)) {
            return Some(value);
        }
        // The sum fits even if the product alone does not, at the lower end of the range.
        let value = i128::from(self.seconds) * i128::from(per_second) + i128::from(parts);
        i64::try_from(value).ok()
    }
}

fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

/// Reads an integer (milliseconds since 1970) or an ISO-8601 date or instant: `2013-01-01`, `2013-01-01T05:00:00Z`,
/// `2013-01-01 05:00:00.123+01:00`. The default zone is UTC. Years outside 0000 to 9999 have a sign, as in `+12013-01-01`. Digits
/// below a nanosecond are ignored.
pub(crate) fn parse_moment(text: &[u8]) -> Option<Moment> {
    let text = text.trim_ascii();
    if !begins_with_year(text) {
        return std::str::from_utf8(text).ok()?.parse().ok().map(Moment::from_millis);
    }
    let mut rest = text;
    let midnight = read_date(&mut rest)? * DAY_SECONDS;
    if rest.is_empty() {
        return Some(Moment { seconds: midnight, nanos: 0 });
    }
    if !matches!(rest[0], b'T' | b't' | b' ') {
        return None;
    }
    rest = &rest[1..];
    let (second_of_day, nanos) = read_time(&mut rest)?;
    Some(Moment { seconds: midnight + second_of_day - zone_offset_seconds(rest)?, nanos })
}

/// A day whose text was read before. Rows that follow one another often have the same.
#[derive(Debug, Clone, Copy)]
pub(crate) struct KnownDay {
    text: [u8; 10],
    midnight_seconds: i64,
}

impl Default for KnownDay {
    fn default() -> Self {
        Self { text: *b"1970-01-01", midnight_seconds: 0 }
    }
}

/// The fast path of [`parse_moment`]: reads `2013-01-01 05:00:00`, with up to nine digits after a point, and without a zone. `None` for
/// every other text.
#[inline]
pub(crate) fn parse_plain_moment(text: &[u8], day: &mut KnownDay) -> Option<Moment> {
    let (date, rest) = text.split_first_chunk::<10>()?;
    let (clock, fraction) = rest.split_first_chunk::<9>()?;
    if *date != day.text {
        let midnight_seconds = i64::from(parse_date(date).filter(|_| date[0].is_ascii_digit())?) * DAY_SECONDS;
        *day = KnownDay { text: *date, midnight_seconds };
    }
    let [b' ' | b'T', hour @ .., b':', _, _, b':', _, _] = clock else { return None };
    let (hour, minute, second) = (two_digits(hour)?, two_digits(&[clock[4], clock[5]])?, two_digits(&[clock[7], clock[8]])?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let nanos = match fraction {
        [] => 0,
        [b'.', digits @ ..] if (1..=9).contains(&digits.len()) => {
            let mut nanos = 0;
            for digit in digits {
                let digit = digit.wrapping_sub(b'0');
                if digit > 9 {
                    return None;
                }
                nanos = nanos * 10 + i64::from(digit);
            }
            nanos * POWERS_OF_TEN[9 - digits.len()]
        }
        _ => return None,
    };
    Some(Moment { seconds: day.midnight_seconds + (hour * 60 + minute) * 60 + second, nanos })
}

const POWERS_OF_TEN: [i64; 9] = [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000];

#[inline]
fn two_digits(text: &[u8; 2]) -> Option<i64> {
    let (tens, ones) = (text[0].wrapping_sub(b'0'), text[1].wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then_some(i64::from(tens) * 10 + i64::from(ones))
}

/// Whether a date follows, not a number: a year of four digits, or of more with a sign.
fn begins_with_year(text: &[u8]) -> bool {
    if text.get(4) == Some(&b'-') {
        return text.len() >= 8;
    }
    matches!(text.first(), Some(b'+' | b'-')) && text.iter().skip(1).any(|byte| *byte == b'-')
}

/// Reads a day like `2013-01-01`, as days since 1970.
pub(crate) fn parse_date(text: &[u8]) -> Option<i32> {
    let mut rest = text.trim_ascii();
    let days = read_date(&mut rest)?;
    if rest.is_empty() { i32::try_from(days).ok() } else { None }
}

/// Reads a time of day like `05:00`, `05:00:00` or `05:00:00.123`, as milliseconds. Digits below a millisecond are ignored.
pub(crate) fn parse_time(text: &[u8]) -> Option<i32> {
    let mut rest = text.trim_ascii();
    let (seconds, nanos) = read_time(&mut rest)?;
    if rest.is_empty() { i32::try_from(seconds * 1000 + nanos / 1_000_000).ok() } else { None }
}

/// Reads a date and returns its days since 1970.
fn read_date(rest: &mut &[u8]) -> Option<i64> {
    let year = match rest.first()? {
        sign @ (b'+' | b'-') => {
            let length = rest[1..].iter().take_while(|byte| byte.is_ascii_digit()).count();
            if !(4..=9).contains(&length) {
                return None;
            }
            *rest = &rest[1..];
            let year = digits(rest, length)?;
            if *sign == b'-' { -year } else { year }
        }
        _ => digits(rest, 4)?,
    };
    expect(rest, b'-')?;
    let month = digits(rest, 2)?;
    expect(rest, b'-')?;
    let day = digits(rest, 2)?;
    if !(1..=12).contains(&month) || day < 1 || day > days_in_month(year, month) {
        return None;
    }
    Some(days_from_civil(year, month, day))
}

/// Reads a time of day and returns its seconds, and the nanoseconds after them.
fn read_time(rest: &mut &[u8]) -> Option<(i64, i64)> {
    let hour = digits(rest, 2)?;
    expect(rest, b':')?;
    let minute = digits(rest, 2)?;
    let (mut second, mut nanos) = (0, 0);
    if rest.first() == Some(&b':') {
        *rest = &rest[1..];
        second = digits(rest, 2)?;
        if matches!(rest.first(), Some(b'.' | b',')) {
            *rest = &rest[1..];
            let length = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            if length == 0 {
                return None;
            }
            for position in 0..9 {
                nanos = nanos * 10 + rest[..length].get(position).map_or(0, |byte| i64::from(byte - b'0'));
            }
            *rest = &rest[length..];
        }
    }
    (hour <= 23 && minute <= 59 && second <= 59).then_some(((hour * 60 + minute) * 60 + second, nanos))
}

fn zone_offset_seconds(text: &[u8]) -> Option<i64> {
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
    (rest.is_empty() && hours <= 18 && minutes <= 59).then_some(sign * (hours * 60 + minutes) * 60)
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

/// Whether a timestamp in the years 0000 to 9999, or in a form with signed years, has a text. Others are written as their number.
pub(crate) fn has_text(value: i64, unit: TimeUnit, format: TimestampFormat) -> bool {
    let signed_years = format != TimestampFormat::Iso || unit != TimeUnit::Millisecond;
    signed_years || (FIRST_OF_YEAR_0000_MS..FIRST_OF_YEAR_10000_MS).contains(&value)
}

const FIRST_OF_YEAR_0000_MS: i64 = -62_167_219_200_000;
const FIRST_OF_YEAR_10000_MS: i64 = 253_402_300_800_000;

/// Appends a timestamp, without quotes. `zoned` says whether it is a point in time and not a local time. Where [`has_text`] says so,
/// it appends the number instead.
pub(crate) fn append_timestamp(out: &mut Vec<u8>, value: i64, unit: TimeUnit, zoned: bool, format: TimestampFormat) {
    if !has_text(value, unit, format) {
        out.extend_from_slice(value.to_string().as_bytes());
        return;
    }
    let moment = Moment::from_unit(value, unit);
    append_days(out, moment.seconds.div_euclid(DAY_SECONDS));
    out.push(if format == TimestampFormat::Sql { b' ' } else { b'T' });
    append_clock(out, moment.seconds.rem_euclid(DAY_SECONDS));
    match format {
        TimestampFormat::Iso => append_fraction(out, moment.nanos, 3),
        TimestampFormat::IsoLocal | TimestampFormat::Sql => append_fraction(out, moment.nanos, 1),
    }
    if zoned || format == TimestampFormat::Iso {
        out.push(b'Z');
    }
}

/// Appends a date like `2013-01-01`.
pub(crate) fn append_date(out: &mut Vec<u8>, days: i32) {
    append_days(out, i64::from(days));
}

/// Appends a time of day like `05:00:00` or `05:00:00.12`.
pub(crate) fn append_time(out: &mut Vec<u8>, millis: i32) {
    let of_day = i64::from(millis).rem_euclid(DAY_MS);
    append_clock(out, of_day / 1000);
    append_fraction(out, of_day % 1000 * 1_000_000, 1);
}

fn append_days(out: &mut Vec<u8>, days: i64) {
    let (year, month, day) = civil_from_days(days);
    if !(0..=9999).contains(&year) {
        out.push(if year < 0 { b'-' } else { b'+' });
    }
    let year = year.abs();
    append_padded(out, year, if year > 9999 { year.ilog10() + 1 } else { 4 });
    out.push(b'-');
    append_padded(out, month, 2);
    out.push(b'-');
    append_padded(out, day, 2);
}

fn append_clock(out: &mut Vec<u8>, second_of_day: i64) {
    append_padded(out, second_of_day / 3600, 2);
    out.push(b':');
    append_padded(out, second_of_day / 60 % 60, 2);
    out.push(b':');
    append_padded(out, second_of_day % 60, 2);
}

/// Appends what follows the second: as few digits as hold it, but a multiple of `group`; nothing for zero.
fn append_fraction(out: &mut Vec<u8>, nanos: i64, group: usize) {
    if nanos == 0 {
        return;
    }
    out.push(b'.');
    let start = out.len();
    append_padded(out, nanos, 9);
    let needed = out[start..].iter().rposition(|digit| *digit != b'0').map_or(0, |last| last + 1);
    out.truncate(start + needed.next_multiple_of(group));
}

/// Appends the last `width` digits of a number that is not negative. No number has more than 20.
fn append_padded(out: &mut Vec<u8>, value: i64, width: u32) {
    let mut digits = [b'0'; 20];
    let digits = &mut digits[..width.min(20) as usize];
    let mut rest = value;
    for digit in digits.iter_mut().rev() {
        *digit = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    out.extend_from_slice(digits);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FORMATS: [TimestampFormat; 3] = [TimestampFormat::Iso, TimestampFormat::IsoLocal, TimestampFormat::Sql];
    const UNITS: [TimeUnit; 3] = [TimeUnit::Millisecond, TimeUnit::Microsecond, TimeUnit::Nanosecond];

    fn text(value: i64, unit: TimeUnit, zoned: bool, format: TimestampFormat) -> String {
        let mut out = Vec::new();
        append_timestamp(&mut out, value, unit, zoned, format);
        String::from_utf8(out).unwrap()
    }

    fn parse_ms(text: &str) -> Option<i64> {
        parse_moment(text.as_bytes())?.in_unit(TimeUnit::Millisecond)
    }

    #[test]
    fn known_instants_are_read_and_written() {
        for (written, timestamp_ms) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2013-01-01T05:00:00Z", 1_357_016_400_000),
            ("2000-02-29T23:59:59.999Z", 951_868_799_999),
            ("1969-12-31T23:59:59.001Z", -999),
            ("2013-01-01T05:00:00.120Z", 1_357_016_400_120),
            ("0000-01-01T00:00:00Z", -62_167_219_200_000),
            ("9999-12-31T23:59:59.999Z", 253_402_300_799_999),
            ("253402300800000", 253_402_300_800_000),
            ("-9223372036854775808", i64::MIN),
        ] {
            assert_eq!(parse_ms(written), Some(timestamp_ms), "{written}");
            assert_eq!(text(timestamp_ms, TimeUnit::Millisecond, false, TimestampFormat::Iso), written);
        }
    }

    #[test]
    fn flinks_forms_have_a_z_only_for_points_in_time_and_no_zeros_at_the_end() {
        use TimestampFormat::{Iso, IsoLocal, Sql};
        for (value, unit, zoned, format, written) in [
            (1_357_016_400_120, TimeUnit::Millisecond, false, Sql, "2013-01-01 05:00:00.12"),
            (1_357_016_400_120, TimeUnit::Millisecond, true, Sql, "2013-01-01 05:00:00.12Z"),
            (1_357_016_400_000, TimeUnit::Millisecond, false, IsoLocal, "2013-01-01T05:00:00"),
            (1_357_016_400_000, TimeUnit::Millisecond, true, IsoLocal, "2013-01-01T05:00:00Z"),
            (-1, TimeUnit::Microsecond, false, Sql, "1969-12-31 23:59:59.999999"),
            (1_500, TimeUnit::Nanosecond, true, Sql, "1970-01-01 00:00:00.0000015Z"),
            (1_500, TimeUnit::Nanosecond, false, Iso, "1970-01-01T00:00:00.000001500Z"),
            (253_402_300_800_000, TimeUnit::Millisecond, false, Sql, "+10000-01-01 00:00:00"),
            (-62_167_219_200_001, TimeUnit::Millisecond, false, IsoLocal, "-0001-12-31T23:59:59.999"),
        ] {
            assert_eq!(text(value, unit, zoned, format), written);
        }
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
            ("1969-12-31T23:59:59.9995", -1),
        ] {
            assert_eq!(parse_ms(spelling), Some(timestamp_ms), "{spelling}");
        }
        for nonsense in [
            "",
            "x",
            "2013-13-01",
            "2013-02-29",
            "2013-01-01T24:00:00",
            "2013-01-01T05:00:00.",
            "2013-01-01T05:00:00X",
            "+1234567890-01-01",
            "+13-01-01",
            "-",
            "--",
            "+-",
        ] {
            assert_eq!(parse_ms(nonsense), None, "{nonsense}");
        }
    }

    #[test]
    fn dates_and_times_of_day_are_read_and_written() {
        for (written, days) in [("1970-01-01", 0), ("1969-12-31", -1), ("9999-12-31", 2_932_896), ("+5881580-07-11", i32::MAX)] {
            let mut out = Vec::new();
            append_date(&mut out, days);
            assert_eq!(String::from_utf8(out).unwrap(), written);
            assert_eq!(parse_date(written.as_bytes()), Some(days));
        }
        for (written, millis) in [("00:00:00", 0), ("05:00:00.12", 18_000_120), ("23:59:59.999", 86_399_999)] {
            let mut out = Vec::new();
            append_time(&mut out, millis);
            assert_eq!(String::from_utf8(out).unwrap(), written);
            assert_eq!(parse_time(written.as_bytes()), Some(millis));
        }
        assert_eq!(parse_time(b" 05:00 "), Some(18_000_000));
        assert_eq!(parse_time(b"05:00:00.9999"), Some(18_000_999));
        for nonsense in ["", "5:00", "24:00:00", "05:00:00Z", "12", "2013-01-01T05:00:00"] {
            assert_eq!(parse_time(nonsense.as_bytes()), None, "{nonsense}");
        }
        for nonsense in ["", "2013-1-1", "12", "2013-01-01T05:00:00", "+5881580-07-12", "2013-01-32"] {
            assert_eq!(parse_date(nonsense.as_bytes()), None, "{nonsense}");
        }
    }

    proptest! {
        #[test]
        fn a_written_timestamp_is_read_back(
            value in prop_oneof![any::<i64>(), -62_167_219_200_000_i64..=253_402_300_799_999],
            unit in prop::sample::select(UNITS.to_vec()), format in prop::sample::select(FORMATS.to_vec()), zoned in any::<bool>(),
        ) {
            let written = text(value, unit, zoned, format);
            prop_assert_eq!(parse_moment(written.as_bytes()).and_then(|moment| moment.in_unit(unit)), Some(value), "{}", written);
        }

        #[test]
        fn the_fast_path_reads_what_the_slow_one_reads(
            value in -62_167_219_200_000_i64..=253_402_300_799_999, at in 0_usize..24, byte in prop::sample::select(b"0123459-:.T Z+x".to_vec()),
        ) {
            let mut day = KnownDay::default();
            let written = text(value, TimeUnit::Millisecond, false, TimestampFormat::Sql);
            prop_assert_eq!(parse_plain_moment(written.as_bytes(), &mut day), parse_moment(written.as_bytes()), "{}", written);
            let mut damaged = written.into_bytes();
            if let Some(place) = damaged.get_mut(at) {
                *place = byte;
            }
            if let Some(fast) = parse_plain_moment(&damaged, &mut day) {
                prop_assert_eq!(Some(fast), parse_moment(&damaged), "{}", String::from_utf8_lossy(&damaged));
            }
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(
            prop_oneof![proptest::sample::select(b"0123456789-+:TZ. ".to_vec()), any::<u8>()], 0..40)) {
            let _ = (parse_moment(&bytes).and_then(|moment| moment.in_unit(TimeUnit::Nanosecond)), parse_date(&bytes), parse_time(&bytes));
        }
    }
}
