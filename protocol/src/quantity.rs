//! Durations and sizes as Flink writes them, in configurations and on command lines.

use std::time::Duration;

/// Parses `500 ms`, `10 s`, `5 min`, `1 h`, `1 d`, `PT1M30S`, or a plain number of milliseconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let text = text.trim();
    if let Some(iso) = text.strip_prefix("PT") {
        return parse_iso_duration(iso).ok_or_else(|| format!("{text:?} is not a duration: expected e.g. PT1M30S"));
    }
    let (number, unit) = split_unit(text);
    let number: u64 =
        number.parse().map_err(|_| format!("{text:?} is not a duration: expected e.g. `10 s`, `500 ms` or `5 min`"))?;
    let milliseconds = match unit {
        "" | "ms" | "milli" | "millis" | "millisecond" | "milliseconds" => Some(number),
        "s" | "sec" | "secs" | "second" | "seconds" => number.checked_mul(1_000),
        "m" | "min" | "minute" | "minutes" => number.checked_mul(60_000),
        "h" | "hour" | "hours" => number.checked_mul(3_600_000),
        "d" | "day" | "days" => number.checked_mul(86_400_000),
        _ => return Err(format!("{unit:?} in {text:?} is not a unit of time: use ms, s, min, h or d")),
    };
    milliseconds.map(Duration::from_millis).ok_or_else(|| format!("{text:?} is too long"))
}

fn parse_iso_duration(text: &str) -> Option<Duration> {
    let mut total = 0.0;
    let mut rest = text;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| c.is_ascii_alphabetic())?;
        let number: f64 = rest[..end].parse().ok()?;
        total += number
            * match &rest[end..=end] {
                "H" => 3600.0,
                "M" => 60.0,
                "S" => 1.0,
                _ => return None,
            };
        rest = &rest[end + 1..];
    }
    Duration::try_from_secs_f64(total).ok()
}

/// Parses `64 mb`, `1 gb`, `32kb`, or a plain number of bytes. Units are powers of 1024, as in Flink.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text.trim());
    let number: u64 = number.parse().map_err(|_| format!("{text:?} is not a size: expected e.g. `64 mb`"))?;
    let factor: u64 = match unit.to_ascii_lowercase().as_str() {
        "" | "b" | "bytes" => 1,
        "k" | "kb" | "kibibytes" => 1 << 10,
        "m" | "mb" | "mebibytes" => 1 << 20,
        "g" | "gb" | "gibibytes" => 1 << 30,
        "t" | "tb" | "tebibytes" => 1 << 40,
        other => return Err(format!("{other:?} in {text:?} is not a unit of size: use b, kb, mb, gb or tb")),
    };
    number.checked_mul(factor).ok_or_else(|| format!("{text:?} is too large"))
}

fn split_unit(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_flink_writes_them() {
        for (text, milliseconds) in [
            ("10 s", 10_000),
            ("500ms", 500),
            ("5 min", 300_000),
            ("1 h", 3_600_000),
            ("250", 250),
            ("PT1M30S", 90_000),
            ("PT0.5S", 500),
        ] {
            assert_eq!(parse_duration(text), Ok(Duration::from_millis(milliseconds)), "{text}");
        }
        for text in ["", "s", "10 parsecs", "-1 s", "PT", "PTx", "99999999999999999999 d", "18446744073709551615 d"] {
            assert!(parse_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_are_read_as_flink_writes_them() {
        assert_eq!(parse_size("64 mb"), Ok(64 << 20));
        assert_eq!(parse_size("1gb"), Ok(1 << 30));
        assert_eq!(parse_size("123"), Ok(123));
        for text in ["", "mb", "1 qb", "99999999999999 tb"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }
}
