//! Conversions between points in time and local times, both in milliseconds, for windows.
//!
//! A local time is held as the milliseconds from 1970-01-01 00:00 local time. When clocks go forward, some local times don't
//! exist; when they go back, some exist twice.

use chrono::{DateTime, LocalResult, Offset, TimeZone};
use chrono_tz::Tz;

use super::Zone;

/// The local time of a zone.
#[derive(Debug, Clone)]
pub struct LocalTime {
    zone: Zone,
    /// A block of time in which the offset is known not to change: its number, and the offset.
    block: Option<(i64, i64)>,
}

const HOUR_MS: i64 = 3_600_000;

/// Clocks change at multiples of this.
const BLOCK_MS: i64 = HOUR_MS / 4;

impl LocalTime {
    /// The local time of the zone of this name. The error says what is wrong with the name.
    pub fn of(name: &str) -> Result<Self, String> {
        Ok(Self { zone: Zone::parse(name)?, block: None })
    }

    /// Whether local time is UTC.
    pub fn is_utc(&self) -> bool {
        self.zone == Zone::UTC
    }

    /// The local time at a point in time.
    pub fn to_local(&mut self, epoch_ms: i64) -> i64 {
        if let Zone::Fixed(_) = self.zone {
            return epoch_ms.saturating_add(offset_at(self.zone, epoch_ms));
        }
        let block = epoch_ms.div_euclid(BLOCK_MS);
        if let Some((known, offset)) = self.block
            && known == block
        {
            return epoch_ms + offset;
        }
        let first = block.saturating_mul(BLOCK_MS);
        let (first, last) = (offset_at(self.zone, first), offset_at(self.zone, first.saturating_add(BLOCK_MS - 1)));
        self.block = (first == last).then_some((block, first));
        epoch_ms.saturating_add(offset_at(self.zone, epoch_ms))
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
        let zone = match self.zone {
            Zone::Fixed(_) => return Local::Once(local_ms.saturating_sub(offset_at(self.zone, 0))),
            Zone::Named(zone) => zone,
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
    let zone = Zone::Named(zone);
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
fn offset_at(zone: Zone, epoch_ms: i64) -> i64 {
    zone.offset_at(epoch_ms.div_euclid(1_000)) * 1_000
}

fn millis(offset: &impl Offset) -> i64 {
    i64::from(offset.fix().local_minus_utc()) * 1_000
}

#[cfg(test)]
mod tests {
    use super::*;

    const SPRING: i64 = 1_615_716_000_000; // 2021-03-14 03:00 in Los Angeles; 02:00 to 03:00 is skipped.
    const AUTUMN: i64 = 1_636_275_600_000; // 2021-11-07 01:00 for the second time.

    #[test]
    fn summer_time_skips_and_repeats_an_hour_as_in_flink() {
        let mut zone = LocalTime::of("America/Los_Angeles").unwrap();
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
        let mut zone = LocalTime::of("Australia/Lord_Howe").unwrap();
        for step in -2_000i64..20_000 {
            let epoch = 1_600_000_000_000 + step * 997_001;
            assert_eq!(zone.to_local(epoch), epoch + offset_at(zone.zone, epoch));
        }
        assert_eq!(zone.to_local(i64::MAX), i64::MAX);
        assert_eq!(zone.passed_at(i64::MIN), i64::MIN);
    }

    #[test]
    fn offsets_and_names_are_read() {
        for (name, hours) in [("UTC", 0), ("Z", 0), ("GMT+08:00", 8), ("-03", -3), ("UTC+1", 1), ("Asia/Shanghai", 8)] {
            assert_eq!(LocalTime::of(name).unwrap().to_local(1_700_000_000_000), 1_700_000_000_000 + hours * HOUR_MS, "{name}");
        }
        assert_eq!(LocalTime::of("+05:30").unwrap().to_epoch(0), -19_800_000);
        for name in ["", "Mars/Base", "+25:00", "+1:2:3", "GMT+", "08:00", "+é"] {
            assert!(LocalTime::of(name).is_err(), "{name}");
        }
    }
}
