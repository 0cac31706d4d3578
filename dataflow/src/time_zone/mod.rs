//! Time zones: converts between points in time and local times, by the rules of Java.

mod local_time;

use chrono_tz::{OffsetComponents, Tz};

pub use local_time::LocalTime;

/// A time zone: of the IANA database, e.g. `Europe/Berlin`, or a fixed distance from UTC, e.g. `+08:00`, `GMT-03:00` or `UTC`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zone {
    /// Seconds east of UTC.
    Fixed(i32),
    Named(Tz),
}

impl Zone {
    /// Coordinated universal time.
    pub const UTC: Self = Self::Fixed(0);

    /// Reads a zone. The error names it.
    pub fn parse(name: &str) -> Result<Self, String> {
        let unknown = || format!("no time zone is called {name:?}; try a name such as Europe/Berlin or +08:00");
        if matches!(name, "Z" | "UTC" | "GMT" | "UT") {
            return Ok(Self::UTC);
        }
        let shift = ["UTC", "GMT", "UT", ""]
            .into_iter()
            .find_map(|prefix| name.strip_prefix(prefix).filter(|rest| rest.starts_with(['+', '-'])));
        match shift {
            Some(shift) => fixed(shift).map(Self::Fixed).ok_or_else(unknown),
            None => name.parse().map(Self::Named).map_err(|_| unknown()),
        }
    }

    /// Seconds that local time is ahead of UTC at this point in time, in seconds since 1970.
    pub fn offset_at(self, seconds: i64) -> i64 {
        let Self::Named(zone) = self else { return self.fixed_offset() };
        let Some(time) = chrono::DateTime::from_timestamp(seconds, 0) else { return 0 };
        let offset = chrono::TimeZone::offset_from_utc_datetime(&zone, &time.naive_utc());
        (offset.base_utc_offset() + offset.dst_offset()).num_seconds()
    }

    /// The point in time, in seconds since 1970, of a local time that is given as seconds from 1970-01-01 00:00:00. A local time
    /// that occurs twice is the earlier one. One that is skipped is moved ahead by the length of the gap.
    pub fn to_utc(self, local: i64) -> i64 {
        if let Self::Fixed(offset) = self {
            return local.saturating_sub(offset.into());
        }
        // A day before and after, the offsets around a transition are in force; transitions are further apart than two days.
        let (before, after) = (self.offset_at(local.saturating_sub(86_400)), self.offset_at(local.saturating_add(86_400)));
        let early = local.saturating_sub(before);
        if before == after || self.offset_at(early) == before {
            return early;
        }
        let late = local.saturating_sub(after);
        // If neither offset holds at its own point in time, the local time is skipped.
        if self.offset_at(late) == after { late } else { early }
    }

    fn fixed_offset(self) -> i64 {
        match self {
            Self::Fixed(offset) => offset.into(),
            Self::Named(_) => 0,
        }
    }
}

/// Reads `+h`, `+hh`, `+hhmm` or `+hh:mm`, optionally with seconds, as seconds. At most 18 hours.
fn fixed(text: &str) -> Option<i32> {
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let rest = text.get(1..)?;
    if !rest.bytes().all(|b| b.is_ascii_digit() || b == b':') {
        return None;
    }
    let number = |digits: &str| if digits.len() == 2 { digits.parse::<i32>().ok() } else { None };
    let parts: Vec<i32> = if rest.contains(':') {
        rest.split(':').map(number).collect::<Option<_>>()?
    } else {
        match rest.len() {
            1 => vec![rest.parse().ok()?],
            2 | 4 | 6 => (0..rest.len() / 2).map(|i| number(&rest[2 * i..2 * i + 2])).collect::<Option<_>>()?,
            _ => return None,
        }
    };
    let [hours, minutes, seconds] = match parts.as_slice() {
        [hours] => [*hours, 0, 0],
        [hours, minutes] => [*hours, *minutes, 0],
        [hours, minutes, seconds] => [*hours, *minutes, *seconds],
        _ => return None,
    };
    let total = hours * 3600 + minutes * 60 + seconds;
    (minutes < 60 && seconds < 60 && total <= 18 * 3600).then_some(sign * total)
}

#[cfg(test)]
mod tests {
    use super::*;

    const BERLIN: Zone = Zone::Named(Tz::Europe__Berlin);

    #[test]
    fn names_and_fixed_distances_are_read() {
        assert_eq!(Zone::parse("Europe/Berlin"), Ok(BERLIN));
        for (name, seconds) in [
            ("UTC", 0),
            ("Z", 0),
            ("+08:00", 28_800),
            ("GMT-03:00", -10_800),
            ("UTC+5", 18_000),
            ("-0330", -12_600),
            ("+01:02:03", 3_723),
            ("+18:00", 64_800),
        ] {
            assert_eq!(Zone::parse(name), Ok(Zone::Fixed(seconds)), "{name}");
        }
        for name in ["", "Berlin", "+19:00", "+1:00", "+08:60", "GMT+", "+12345", "+ä"] {
            assert!(Zone::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn local_times_around_a_change_of_the_clock_convert_as_in_java() {
        // 2020-03-29 01:00 UTC: local time jumps from 02:00 to 03:00.
        let change = 1_585_443_600;
        assert_eq!(BERLIN.offset_at(change - 1), 3600);
        assert_eq!(BERLIN.offset_at(change), 7200);
        assert_eq!(BERLIN.to_utc(change + 3600 - 1), change - 1);
        assert_eq!(BERLIN.to_utc(change + 3600 + 1800), change + 1800);
        assert_eq!(BERLIN.to_utc(change + 7200), change);
        // 2020-10-25 01:00 UTC: local time falls back from 03:00 to 02:00.
        let back = 1_603_587_600;
        assert_eq!(BERLIN.to_utc(back + 3600 + 1800), back - 1800);
        assert_eq!(BERLIN.to_utc(back + 7200), back + 3600);
    }
}
