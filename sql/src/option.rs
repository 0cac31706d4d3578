//! The values of options: those of SET and those of WITH.

/// What an option's value may be. The texts are Flink's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionValue {
    /// Any text is a value.
    Text,
    /// A whole number in this range.
    Integer(i64, i64),
    /// A number with or without fraction.
    Number,
    /// `true` or `false`.
    Flag,
    /// A length of time such as `5 s`; a number alone is in milliseconds.
    Duration,
    /// An amount of memory such as `64 mb`; a number alone is in bytes.
    Memory,
    /// One of these words; upper and lower case count alike.
    Choice(&'static [&'static str]),
    /// One character, or an escape such as `\t`.
    Character,
    /// The name of a time zone.
    Zone,
}

impl OptionValue {
    /// What the value must be, for people.
    pub fn expects(&self) -> String {
        match self {
            Self::Text => "a text".into(),
            Self::Integer(least, i64::MAX) => format!("a whole number of at least {least}"),
            Self::Integer(least, most) => format!("a whole number from {least} to {most}"),
            Self::Number => "a number".into(),
            Self::Flag => "true or false".into(),
            Self::Duration => "a duration such as 500 ms, 10 s, 5 min, 2 h or 1 d".into(),
            Self::Memory => "an amount of memory such as 64 mb".into(),
            Self::Choice(words) => format!("one of {}", words.join(", ")),
            Self::Character => "one character".into(),
            Self::Zone => "UTC, a name such as Europe/Berlin, or an offset such as GMT+02:00".into(),
        }
    }

    /// Whether this text is such a value.
    pub(crate) fn accepts(&self, text: &str) -> bool {
        match self {
            Self::Text => true,
            Self::Integer(least, most) => text.trim().parse().is_ok_and(|number: i64| (*least..=*most).contains(&number)),
            Self::Number => text.trim().parse().is_ok_and(f64::is_finite),
            Self::Flag => flag(text).is_some(),
            Self::Duration => duration_ms(text).is_some(),
            Self::Memory => memory(text).is_some(),
            Self::Choice(words) => words.iter().any(|word| word.eq_ignore_ascii_case(text.trim())),
            Self::Character => character(text).is_some(),
            Self::Zone => is_zone(text),
        }
    }
}

/// `true` or `false` in any case.
pub(crate) fn flag(text: &str) -> Option<bool> {
    let text = text.trim();
    if text.eq_ignore_ascii_case("true") {
        return Some(true);
    }
    text.eq_ignore_ascii_case("false").then_some(false)
}

/// A length of time in milliseconds. Parts below a millisecond are cut.
pub fn duration_ms(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let (factor, divisor): (u64, u64) = match unit.as_str() {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => (1, 1),
        "ns" | "nano" | "nanos" | "nanosecond" | "nanoseconds" => (1, 1_000_000),
        "µs" | "us" | "micro" | "micros" | "microsecond" | "microseconds" => (1, 1_000),
        "s" | "sec" | "secs" | "second" | "seconds" => (1_000, 1),
        "min" | "m" | "minute" | "minutes" => (60_000, 1),
        "h" | "hour" | "hours" => (3_600_000, 1),
        "d" | "day" | "days" => (86_400_000, 1),
        _ => return None,
    };
    // What is beyond the range of Flink's milliseconds is a typo.
    number.checked_mul(factor).map(|product| product / divisor).filter(|ms| *ms <= i64::MAX as u64)
}

/// An amount of memory in bytes.
pub(crate) fn memory(text: &str) -> Option<u64> {
    let (number, unit) = number_and_unit(text)?;
    let shift = match unit.as_str() {
        "" | "b" | "bytes" => 0,
        "k" | "kb" | "kibibytes" => 10,
        "m" | "mb" | "mebibytes" => 20,
        "g" | "gb" | "gibibytes" => 30,
        "t" | "tb" | "tebibytes" => 40,
        _ => return None,
    };
    number.checked_mul(1 << shift)
}

fn number_and_unit(text: &str) -> Option<(u64, String)> {
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    Some((number.parse().ok()?, unit.trim().to_lowercase()))
}

/// One character, with Java's escapes.
pub(crate) fn character(text: &str) -> Option<char> {
    let mut chars = text.chars();
    match (chars.next(), chars.next(), chars.next()) {
        (Some(only), None, _) => Some(only),
        (Some('\\'), Some(escape), None) => match escape {
            't' => Some('\t'),
            '\\' | '\'' | '"' => Some(escape),
            _ => None,
        },
        (Some('\\'), Some('u'), Some(_)) if text.len() == 6 => {
            u32::from_str_radix(text.get(2..)?, 16).ok().and_then(char::from_u32)
        }
        _ => None,
    }
}

/// Whether the text has the form of a zone's name. Whether there is such a zone shows when it is used.
fn is_zone(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '_' | '+' | '-' | ':');
    !text.is_empty()
        && text.len() <= 64
        && text.starts_with(|c: char| c.is_ascii_alphabetic() || matches!(c, '+' | '-'))
        && text.chars().all(allowed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_memory_are_read_as_flink_reads_them() {
        for (text, ms) in [
            ("5 s", 5_000),
            ("100", 100),
            ("1min", 60_000),
            ("2 h", 7_200_000),
            ("1 d", 86_400_000),
            ("1500 us", 1),
            (" 3 ms ", 3),
        ] {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        for text in ["", "s", "5 x", "-1", "1.5 s", "99999999999999999999 d", "9223372036854775807 d"] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
        assert_eq!((memory("64 mb"), memory("1k"), memory("x")), (Some(64 << 20), Some(1024), None));
    }

    #[test]
    fn a_character_may_be_escaped() {
        assert_eq!((character(";"), character("\\t"), character("\\u0001")), (Some(';'), Some('\t'), Some('\u{1}')));
        assert_eq!((character(""), character("ab"), character("\\uZZZZ")), (None, None, None));
    }
}
