//! Time zones: conversions between points in time and local times, both in milliseconds.
//!
//! A local time is held as the milliseconds from 1970-01-01 00:00 local time. When clocks go forward, some local times don't
//! exist; when they go back, some exist twice.

use chrono::{DateTime, LocalResult, NaiveDateTime, Offset, TimeZone};
use chrono_tz::Tz;

/// A time zone.
#[derive(Debug, Clone)]
pub struct Zone {
    rule: Rule,
    /// A block of time in which the offset is known not to change: its number, and the offset.
    block: Option<(i64, i64)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rule {
    /// Local time minus UTC, in milliseconds.
    Fixed(i64),
    Named(Tz),
}

const HOUR_MS: i64 = 3_600_000;

/// Clocks change at multiples of this.
const BLOCK_MS: i64 = HOUR_MS / 4;

impl Zone {
    /// The zone of this name: of the IANA database, e.g. `Europe/Berlin`, or a fixed offset, e.g. `+08:00`, `GMT+08:00` or `UTC`. The
    /// error says what is wrong with the name.
    pub fn of(name: &str) -> Result<Self, String> {
        let rule = match fixed_offset(name) {
            Some(offset) => Rule::Fixed(offset),
            None => {
                let known = name.parse().map(Rule::Named);
                known.map_err(|_| format!("no time zone is called {name:?}; write e.g. Europe/Berlin, UTC or GMT+08:00"))?
            }
        };
        Ok(Self { rule, block: None })
    }

    /// Whether local time is UTC.
    pub fn is_utc(&self) -> bool {
        self.rule == Rule::Fixed(0)
    }

    /// The local time at a point in time.
    pub fn to_local(&mut self, epoch_ms: i64) -> i64 {
        let Rule::Named(zone) = self.rule else { return epoch_ms.saturating_add(self.offset_at(epoch_ms)) };
        let block = epoch_ms.div_euclid(BLOCK_MS);
        if let Some((known, offset)) = self.block
            && known == block
        {
            return epoch_ms + offset;
        }
        let first = block.saturating_mul(BLOCK_MS);
        let (first, last) = (offset_at(zone, first), offset_at(zone, first.saturating_add(BLOCK_MS - 1)));
        self.block = (first == last).then_some((block, first));
        epoch_ms.saturating_add(offset_at(zone, epoch_ms))
    }

    /// The point in time of a local time. Of two, it is the earlier. A local time that does not exist counts with the offset before
    /// the change, as in Java.
    pub fn to_epoch(&self, local_ms: i64) -> i64 {
        match self.local(local_ms) {
            Local::Once(epoch) | Local::Twice(epoch, _) => epoch,
            Local::Never { shifted, .. } => shifted,
        }
    }

    /// The first point in time that is not before this local time, and no longer in it: of two points in time it is the later. For a
    /// local time that does not exist, it is when the clocks change.
    ///
    /// Flink's timers of windows do this where the zone has summer time today. In zones that had it only in the past, they take the
    /// earlier of two points in time.
    pub fn passed_at(&self, local_ms: i64) -> i64 {
        match self.local(local_ms) {
            Local::Once(epoch) | Local::Twice(_, epoch) => epoch,
            Local::Never { change, .. } => change,
        }
    }

    fn local(&self, local_ms: i64) -> Local {
        let zone = match self.rule {
            Rule::Fixed(offset) => return Local::Once(local_ms.saturating_sub(offset)),
            Rule::Named(zone) => zone,
        };
        let Some(naive) = DateTime::from_timestamp_millis(local_ms).map(|time| time.naive_utc()) else {
            return Local::Once(local_ms);
        };
        match zone.offset_from_local_datetime(&naive) {
            LocalResult::Single(offset) => Local::Once(local_ms - millis(&offset)),
            LocalResult::Ambiguous(one, other) => {
                let (one, other) = (local_ms - millis(&one), local_ms - millis(&other));
                Local::Twice(one.min(other), one.max(other))
            }
            LocalResult::None => never(zone, local_ms),
        }
    }

    fn offset_at(&self, epoch_ms: i64) -> i64 {
        match self.rule {
            Rule::Fixed(offset) => offset,
            Rule::Named(zone) => offset_at(zone, epoch_ms),
        }
    }
}

/// The points in time of a local time.
enum Local {
    Once(i64),
    /// The earlier comes first.
    Twice(i64, i64),
    /// It is skipped. `shifted` is the point in time by the offset before the change.
    Never {
        shifted: i64,
        change: i64,
    },
}

fn never(zone: Tz, local_ms: i64) -> Local {
    // No zone is more than a day from UTC, so this is before the change; and changes are more than two days apart.
    let before = offset_at(zone, local_ms - 48 * HOUR_MS);
    let shifted = local_ms - before;
    let after = offset_at(zone, shifted);
    let (mut earlier, mut change) = (shifted - (after - before).max(1), shifted);
    while change - earlier > 1 {
        let middle = earlier + (change - earlier) / 2;
        if offset_at(zone, middle) == after {
            change = middle;
        } else {
            earlier = middle;
        }
    }
    Local::Never { shifted, change }
}

/// Local time minus UTC. Beyond the years that chrono knows, it is 0.
fn offset_at(zone: Tz, epoch_ms: i64) -> i64 {
    let time: Option<NaiveDateTime> = DateTime::from_timestamp_millis(epoch_ms).map(|time| time.naive_utc());
    time.map_or(0, |time| millis(&zone.offset_from_utc_datetime(&time)))
}

fn millis(offset: &impl Offset) -> i64 {
    i64::from(offset.fix().local_minus_utc()) * 1_000
}

/// Reads `UTC`, `Z`, `+08:00`, `GMT+8` and the like.
fn fixed_offset(name: &str) -> Option<i64> {
    let rest = ["UTC", "GMT", "UT"].iter().find_map(|prefix| name.strip_prefix(prefix)).unwrap_or(name);
    if rest.is_empty() || name == "Z" {
        return (!name.is_empty()).then_some(0);
    }
    let (sign, digits) = match rest.as_bytes()[0] {
        b'+' => (1, &rest[1..]),
        b'-' => (-1, &rest[1..]),
        _ => return None,
    };
    let (hours, minutes) = digits.split_once(':').unwrap_or((digits, "00"));
    let number = |text: &str| (1..=2).contains(&text.len()).then(|| text.parse::<u8>().ok()).flatten();
    let (hours, minutes) = (number(hours)?, number(minutes)?);
    (hours <= 18 && minutes < 60).then(|| sign * (i64::from(hours) * HOUR_MS + i64::from(minutes) * 60_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPRING: i64 = 1_615_716_000_000; // 2021-03-14 03:00 in Los Angeles; 02:00 to 03:00 is skipped.
    const AUTUMN: i64 = 1_636_275_600_000; // 2021-11-07 01:00 for the second time.

    #[test]
    fn summer_time_skips_and_repeats_an_hour_as_in_flink() {
        let mut zone = Zone::of("America/Los_Angeles").unwrap();
        let local = zone.to_local(SPRING - 1) + 1;
        assert_eq!(zone.to_local(SPRING), local + HOUR_MS);
        assert_eq!(zone.passed_at(local - 1), SPRING - 1);
        assert_eq!((zone.passed_at(local), zone.passed_at(local + HOUR_MS - 1)), (SPRING, SPRING));
        assert_eq!(zone.to_epoch(local + 5), SPRING + 5);
        assert_eq!(zone.passed_at(local + HOUR_MS), SPRING);

        let local = zone.to_local(AUTUMN);
        assert_eq!(zone.to_local(AUTUMN - HOUR_MS), local);
        assert_eq!((zone.to_epoch(local + 7), zone.passed_at(local + 7)), (AUTUMN - HOUR_MS + 7, AUTUMN + 7));
        assert_eq!(zone.passed_at(local - 1), AUTUMN - HOUR_MS - 1);
        assert_eq!(zone.passed_at(local + HOUR_MS), AUTUMN + HOUR_MS);
    }

    #[test]
    fn the_cached_offset_is_the_right_one() {
        let mut zone = Zone::of("Australia/Lord_Howe").unwrap();
        let Rule::Named(rule) = zone.rule else { panic!("named") };
        for step in -2_000i64..20_000 {
            let epoch = 1_600_000_000_000 + step * 997_001;
            assert_eq!(zone.to_local(epoch), epoch + offset_at(rule, epoch));
        }
        assert_eq!(zone.to_local(i64::MAX), i64::MAX);
        assert_eq!(zone.passed_at(i64::MIN), i64::MIN);
    }

    #[test]
    fn offsets_and_names_are_read() {
        for (name, hours) in [("UTC", 0), ("Z", 0), ("GMT+08:00", 8), ("-03", -3), ("UTC+1", 1), ("Asia/Shanghai", 8)] {
            assert_eq!(Zone::of(name).unwrap().to_local(1_700_000_000_000), 1_700_000_000_000 + hours * HOUR_MS, "{name}");
        }
        assert_eq!(Zone::of("+05:30").unwrap().to_epoch(0), -19_800_000);
        for name in ["", "Mars/Base", "+25:00", "+1:2:3", "GMT+", "08:00", "+é"] {
            assert!(Zone::of(name).is_err(), "{name}");
        }
    }
}
