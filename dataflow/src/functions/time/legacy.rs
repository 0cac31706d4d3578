//! Reads times as Java's `SimpleDateFormat` does, which is lenient: a month 13 is January of the next year, and text behind what was
//! read does not matter. Dates before 1582-10-15 are read by the Gregorian calendar here, while Java changes to the Julian.

use super::pattern::{DAYS, Form, Item, MONTHS, parse};
use crate::calendar::{DAY_MS, civil_from_days, days_from_civil};
use crate::time_zone::Zone;

/// A pattern that reads times.
pub(super) struct LegacyReading {
    items: Vec<Item>,
}

#[derive(Default)]
struct Fields {
    year: Option<i64>,
    before_christ: bool,
    /// January is 0.
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    hour: i64,
    afternoon: i64,
    minute: i64,
    second: i64,
    millis: i64,
    /// Seconds east of UTC.
    offset: Option<i64>,
}

impl LegacyReading {
    /// Prepares a pattern. The error says what is wrong with it.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        let items = parse(pattern, Form::Legacy)?;
        if items.iter().any(|item| matches!(item, Item::Field('Y' | 'w' | 'W' | 'F', _))) {
            return Err(format!("the pattern {pattern:?} reads weeks, which is not supported; read year, month and day"));
        }
        Ok(Self { items })
    }

    /// The point in time that a text tells, in milliseconds since 1970; `None` if it does not fit the pattern. `zone` is the zone of
    /// texts that tell none. Years of two digits are those from 80 years before `now_ms`.
    pub(super) fn read(&self, text: &str, zone: Zone, now_ms: u64) -> Option<i64> {
        let mut fields = Fields::default();
        let mut rest = text;
        let mut items = self.items.as_slice();
        while let [item, following @ ..] = items {
            items = following;
            rest = match item {
                Item::Literal(literal) => rest.strip_prefix(literal.as_str())?,
                Item::Field(letter, count) => {
                    let exact = matches!(following.first(), Some(Item::Field(next, n)) if is_number(*next, *n));
                    fields.read(*letter, *count, exact, rest, now_ms)?
                }
                Item::OptionalStart | Item::OptionalEnd => rest,
            };
        }
        fields.resolve(zone)
    }
}

fn is_number(letter: char, count: usize) -> bool {
    match letter {
        'M' | 'L' => count < 3,
        'G' | 'E' | 'a' | 'z' | 'Z' | 'X' => false,
        _ => true,
    }
}

impl Fields {
    /// Reads a field, and returns what remains. If a number follows directly, `exact` says to take as many characters as letters.
    fn read<'t>(&mut self, letter: char, count: usize, exact: bool, text: &'t str, now_ms: u64) -> Option<&'t str> {
        let text = text.trim_start_matches([' ', '\t']);
        if !is_number(letter, count) {
            return self.read_text(letter, text);
        }
        let (value, rest) = if exact {
            let (taken, rest) = text.split_at_checked(count)?;
            (number(taken)?.0, rest)
        } else {
            number(text)?
        };
        match letter {
            'y' => {
                let two_digits = count <= 2 && text.len() - rest.len() == 2 && text.bytes().take(2).all(|b| b.is_ascii_digit());
                self.year = Some(if two_digits { in_century(value, now_ms) } else { value });
            }
            'M' | 'L' => self.month = Some(value - 1),
            'd' => self.day = Some(value),
            'D' => self.day_of_year = Some(value),
            'H' | 'K' => self.hour = value,
            'k' => self.hour = if value == 24 { 0 } else { value },
            'h' => self.hour = if value == 12 { 0 } else { value },
            'm' => self.minute = value,
            's' => self.second = value,
            'S' => self.millis = value,
            _ => {}
        }
        Some(rest)
    }

    fn read_text<'t>(&mut self, letter: char, text: &'t str) -> Option<&'t str> {
        match letter {
            'M' | 'L' => {
                let (month, rest) = name(text, &MONTHS)?;
                self.month = Some(month);
                Some(rest)
            }
            'E' => name(text, &DAYS).map(|(_, rest)| rest),
            'a' => {
                let (half, rest) = text.split_at_checked(2)?;
                self.afternoon = match half.to_ascii_uppercase().as_str() {
                    "AM" => 0,
                    "PM" => 12,
                    _ => return None,
                };
                Some(rest)
            }
            'G' => {
                let (era, rest) = text.split_at_checked(2)?;
                self.before_christ = match era.to_ascii_uppercase().as_str() {
                    "AD" => false,
                    "BC" => true,
                    _ => return None,
                };
                Some(rest)
            }
            _ => {
                let (offset, rest) = zone(text)?;
                self.offset = Some(offset);
                Some(rest)
            }
        }
    }

    fn resolve(&self, zone: Zone) -> Option<i64> {
        let year = self.year.map_or(1970, |year| if self.before_christ { 1 - year } else { year });
        let days = match (self.month, self.day, self.day_of_year) {
            (None, None, Some(day)) => days_from_civil(year, 1, 1).checked_add(day - 1)?,
            (month, day, _) => {
                let month = month.unwrap_or(0);
                let first = days_from_civil(year.checked_add(month.div_euclid(12))?, month.rem_euclid(12) + 1, 1);
                first.checked_add(day.unwrap_or(1) - 1)?
            }
        };
        let seconds = (self.hour + self.afternoon).checked_mul(3600)?.checked_add(self.minute.checked_mul(60)?)?;
        let time = seconds.checked_add(self.second)?.checked_mul(1000)?.checked_add(self.millis)?;
        let local = days.checked_mul(DAY_MS)?.checked_add(time)?;
        match self.offset {
            Some(offset) => local.checked_sub(offset * 1000),
            None => Some(to_utc(zone, local)),
        }
    }
}

/// Reads a whole number, with a minus sign perhaps.
fn number(text: &str) -> Option<(i64, &str)> {
    let unsigned = text.strip_prefix('-').unwrap_or(text);
    let digits = unsigned.bytes().take_while(u8::is_ascii_digit).count();
    let length = text.len() - unsigned.len() + digits;
    if digits == 0 {
        return None;
    }
    // Java's fields are 32 bits; more digits than these hold would overflow.
    let value: i64 = text[..length].parse().ok().filter(|value: &i64| value.unsigned_abs() <= 999_999_999)?;
    Some((value, &text[length..]))
}

/// The year of two digits that is from 80 years before to 20 years after now.
fn in_century(year: i64, now_ms: u64) -> i64 {
    let (now, ..) = civil_from_days((now_ms / DAY_MS as u64) as i64);
    let first = now - 80;
    let candidate = first - first.rem_euclid(100) + year;
    if candidate < first { candidate + 100 } else { candidate }
}

/// Reads the longest of these names, or their first three letters, as its position from 0. Case does not matter.
fn name<'t>(text: &'t str, names: &[&str]) -> Option<(i64, &'t str)> {
    let starts = |name: &str| text.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(name));
    let full = names.iter().position(|name| starts(name)).map(|i| (i as i64, &text[names[i].len()..]));
    full.or_else(|| names.iter().position(|name| starts(&name[..3])).map(|i| (i as i64, &text[3..])))
}

/// Reads a zone as seconds east of UTC: `Z`, `GMT`, `+hhmm`, `+hh:mm`, `GMT+h:mm` or an abbreviation.
fn zone(text: &str) -> Option<(i64, &str)> {
    if let Some(rest) = text.strip_prefix('Z') {
        return Some((0, rest));
    }
    let signed = ["GMT", "UTC"].iter().find_map(|prefix| text.strip_prefix(prefix)).unwrap_or(text);
    let sign = match signed.as_bytes().first() {
        Some(b'+') => 1,
        Some(b'-') => -1,
        _ if signed.len() < text.len() => return Some((0, signed)),
        _ => {
            let length = text.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(text.len());
            let (offset, _) =
                ABBREVIATIONS.iter().find(|(_, name, _)| text[..length].eq_ignore_ascii_case(name)).map(|(o, ..)| (*o, ()))?;
            return Some((offset, &text[length..]));
        }
    };
    let digits = &signed[1..];
    let count = digits.bytes().take(4).take_while(u8::is_ascii_digit).count();
    let (hours, minutes, rest) = match (count, digits.get(count..)?) {
        (1 | 2, rest) if rest.starts_with(':') => {
            (digits[..count].parse::<i64>().ok()?, rest.get(1..3)?.parse::<i64>().ok()?, &rest[3..])
        }
        (1 | 2, rest) => (digits[..count].parse().ok()?, 0, rest),
        (_, rest) => (digits.get(..count.checked_sub(2)?)?.parse().ok()?, digits[count - 2..count].parse().ok()?, rest),
    };
    Some((sign * (hours * 3600 + minutes * 60), rest))
}

/// Seconds east of UTC, the abbreviation, and the zone that Java means by it.
const ABBREVIATIONS: &[(i64, &str, &str)] = &[
    (0, "UTC", "UTC"),
    (0, "GMT", "UTC"),
    (-18_000, "EST", "-05:00"),
    (-14_400, "EDT", "-04:00"),
    (-21_600, "CST", "America/Chicago"),
    (-18_000, "CDT", "America/Chicago"),
    (-25_200, "MST", "-07:00"),
    (-21_600, "MDT", "-06:00"),
    (-28_800, "PST", "America/Los_Angeles"),
    (-25_200, "PDT", "America/Los_Angeles"),
    (-36_000, "HST", "-10:00"),
    (3_600, "CET", "CET"),
    (7_200, "CEST", "CET"),
    (7_200, "EET", "EET"),
    (0, "WET", "WET"),
    (32_400, "JST", "Asia/Tokyo"),
    (19_800, "IST", "Asia/Kolkata"),
];

/// The zone of an abbreviation such as `PST`.
pub(super) fn zone_by_abbreviation(name: &str) -> Option<Zone> {
    let (_, _, zone) = ABBREVIATIONS.iter().find(|(_, known, _)| *known == name)?;
    Zone::parse(zone).ok()
}

/// The zone of a name as `java.util.TimeZone` reads it: UTC if there is none of this name, and for distances without `GMT`.
pub(super) fn lenient_zone(name: &str) -> Zone {
    match name {
        _ if name.starts_with(['+', '-']) => Zone::UTC,
        _ => zone_by_abbreviation(name).or_else(|| Zone::parse(name).ok()).unwrap_or(Zone::UTC),
    }
}

/// The point in time of a local time. A local time that occurs twice is the later one, and one that is skipped is moved ahead: the
/// rule of `java.util.Calendar`, while `java.time` prefers the earlier one.
pub(super) fn to_utc(zone: Zone, local_ms: i64) -> i64 {
    let (seconds, millis) = (local_ms.div_euclid(1000), local_ms.rem_euclid(1000));
    let earlier = zone.to_utc(seconds);
    // An hour or so later the clock may have been put back.
    let later = seconds.saturating_sub(zone.offset_at(earlier.saturating_add(3 * 3600)));
    let twice = later > earlier && later.saturating_add(zone.offset_at(later)) == seconds;
    let utc = if twice { later } else { earlier };
    utc.saturating_mul(1000).saturating_add(millis)
}
