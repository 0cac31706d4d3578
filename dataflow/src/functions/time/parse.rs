//! Reads times as Java's `DateTimeFormatter` does, with its default rules: a day that a month does not have becomes its last day, and
//! 24:00 is the end of a day.

use super::pattern::{DAYS, Form, Item, MONTHS, parse};
use crate::calendar::{DAY_MS, civil_from_days, days_from_civil, days_in_month};
use crate::time_zone::Zone;

/// A pattern that reads times.
pub(super) struct Reading {
    items: Vec<Item>,
}

impl Reading {
    /// Prepares a pattern. The error says what is wrong with it.
    pub(super) fn new(pattern: &str) -> Result<Self, String> {
        Ok(Self { items: parse(pattern, Form::Modern)? })
    }

    /// The local time that a text tells, in milliseconds since 1970-01-01 00:00:00; `None` if it does not fit the pattern. Missing
    /// fields are those of 1970-01-01 00:00:00.
    pub(super) fn read(&self, text: &str) -> Option<i64> {
        let mut fields = Fields::default();
        let rest = read_items(&self.items, text, &mut fields)?;
        if rest.is_empty() { fields.resolve() } else { None }
    }
}

/// What was read.
#[derive(Debug, Clone, Default)]
struct Fields {
    year: Option<i64>,
    year_of_era: Option<i64>,
    before_christ: bool,
    month: Option<i64>,
    day: Option<i64>,
    day_of_year: Option<i64>,
    weekday: Option<i64>,
    week_year: Option<i64>,
    week: Option<i64>,
    us_weekday: Option<i64>,
    hour: Option<i64>,
    half_hour: Option<i64>,
    afternoon: Option<bool>,
    minute: Option<i64>,
    second: Option<i64>,
    nano: Option<i64>,
    nano_of_day: Option<i64>,
}

/// Sets a field. A field that is read twice must have one value.
fn set<T: PartialEq + Copy>(field: &mut Option<T>, value: T) -> Option<()> {
    if field.is_some_and(|known| known != value) {
        return None;
    }
    *field = Some(value);
    Some(())
}

/// Reads all items, and returns what remains of the text.
fn read_items<'t>(mut items: &[Item], mut text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    while let [item, rest @ ..] = items {
        items = rest;
        match item {
            Item::Literal(literal) => text = text.strip_prefix(literal.as_str())?,
            Item::OptionalStart => {
                let end = end_of_optional(items);
                let mut tried = fields.clone();
                if let Some(after) = read_items(&items[..end], text, &mut tried) {
                    *fields = tried;
                    text = after;
                }
                items = &items[(end + 1).min(items.len())..];
            }
            Item::OptionalEnd => {}
            Item::Field(letter, count) => text = read_field(*letter, *count, reserved(items), text, fields)?,
        }
    }
    Some(text)
}

/// The place of the end of an optional part that has just begun.
fn end_of_optional(items: &[Item]) -> usize {
    let mut depth = 0;
    let ends = |item: &Item| {
        depth += match item {
            Item::OptionalStart => 1,
            Item::OptionalEnd => -1,
            _ => 0,
        };
        depth < 0
    };
    items.iter().position(ends).unwrap_or(items.len())
}

/// The digits that must remain for fields of a fixed width which follow directly.
fn reserved(items: &[Item]) -> usize {
    let mut digits = 0;
    for item in items {
        match item {
            Item::Field('d' | 'M' | 'H' | 'h' | 'k' | 'K' | 'm' | 's' | 'w' | 'L', 2) => digits += 2,
            Item::Field('D', 3) => digits += 3,
            Item::Field('S', count) => digits += count,
            _ => break,
        }
    }
    digits
}

fn read_field<'t>(letter: char, count: usize, reserved: usize, text: &'t str, fields: &mut Fields) -> Option<&'t str> {
    let numeric = |least: usize, most: usize| number(text, least, most, reserved);
    // One letter reads a number of any length, two read two digits.
    let usual = || if count == 1 { number(text, 1, 19, reserved) } else { number(text, count, count, 0) };
    let (value, rest) = match letter {
        'u' | 'y' | 'Y' if count == 2 => number(text, 2, 2, 0).map(|(year, rest)| (2000 + year, rest))?,
        'u' | 'y' | 'Y' if count < 4 => numeric(count, 19)?,
        'u' | 'y' | 'Y' => long_year(text, count, reserved)?,
        'M' | 'L' if count > 2 => name(text, &MONTHS, count)?,
        'E' => name(text, &DAYS, count.max(3))?,
        'e' | 'c' if count > 2 => name(text, &DAYS, count)?,
        'a' => {
            let rest = text.strip_prefix("AM").or_else(|| text.strip_prefix("PM"))?;
            (i64::from(text.starts_with('P')), rest)
        }
        'G' => {
            let (before, rest) = ["Anno Domini", "Before Christ", "AD", "BC", "A", "B"]
                .iter()
                .find_map(|era| Some((era.starts_with('B'), text.strip_prefix(era)?)))?;
            (i64::from(before), rest)
        }
        'Q' | 'q' if count > 2 => number(text.strip_prefix('Q')?, 1, 1, 0)?,
        'S' => {
            let (digits, rest) = number(text, count, count, 0)?;
            (digits * 10_i64.pow(9 - count as u32), rest)
        }
        'n' | 'N' | 'A' => numeric(count, 19)?,
        'X' | 'x' | 'Z' | 'O' | 'z' | 'V' => return zone(letter, count, text),
        _ => usual()?,
    };
    store(letter, count, value, fields)?;
    Some(rest)
}

fn store(letter: char, count: usize, value: i64, fields: &mut Fields) -> Option<()> {
    let within = |least: i64, most: i64| (least..=most).contains(&value).then_some(value);
    match letter {
        'u' => set(&mut fields.year, value),
        'y' => set(&mut fields.year_of_era, within(1, 999_999_999)?),
        'Y' => set(&mut fields.week_year, value),
        'M' | 'L' => set(&mut fields.month, within(1, 12)?),
        'd' => set(&mut fields.day, within(1, 31)?),
        'D' => set(&mut fields.day_of_year, within(1, 366)?),
        'E' => set(&mut fields.weekday, value - 1),
        'e' | 'c' if count > 2 => set(&mut fields.weekday, value - 1),
        'e' | 'c' => set(&mut fields.us_weekday, within(1, 7)?),
        'w' => set(&mut fields.week, within(1, 54)?),
        'a' => set(&mut fields.afternoon, value == 1),
        'H' => set(&mut fields.hour, within(0, 24)?),
        'k' => set(&mut fields.hour, within(1, 24)? % 24),
        'K' => set(&mut fields.half_hour, within(0, 11)?),
        'h' => set(&mut fields.half_hour, within(1, 12)? % 12),
        'm' => set(&mut fields.minute, within(0, 59)?),
        's' => set(&mut fields.second, within(0, 59)?),
        'S' | 'n' => set(&mut fields.nano, within(0, 999_999_999)?),
        'N' => set(&mut fields.nano_of_day, within(0, 86_399_999_999_999)?),
        'A' => set(&mut fields.nano_of_day, within(0, 86_399_999)? * 1_000_000),
        'G' => {
            fields.before_christ = value == 1;
            Some(())
        }
        // Quarters, and weeks of months, are read but not used.
        _ => Some(()),
    }
}

/// Reads a number of `least` to `most` digits, but leaves `reserved` digits for the fields that follow.
fn number(text: &str, least: usize, most: usize, reserved: usize) -> Option<(i64, &str)> {
    let (negative, digits) = match text.strip_prefix('-') {
        // A number of a fixed width has no sign.
        Some(digits) if most > least => (true, digits),
        _ => (false, text),
    };
    let present = digits.bytes().take(most.saturating_add(reserved)).take_while(u8::is_ascii_digit).count();
    let taken = present.saturating_sub(reserved).max(least).min(most);
    if present < taken {
        return None;
    }
    let (value, rest) = digits.split_at(taken);
    let value: i64 = value.parse().ok()?;
    Some((if negative { -value } else { value }, rest))
}

/// Reads a year of at least `count` digits. More must have a sign.
fn long_year(text: &str, count: usize, reserved: usize) -> Option<(i64, &str)> {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (value, rest) = number(unsigned, count, 19, reserved)?;
    let digits = unsigned.len() - rest.len();
    match text.as_bytes().first() {
        Some(b'-') if value != 0 => Some((-value, rest)),
        Some(b'+') if digits > count => Some((value, rest)),
        Some(b'+' | b'-') => None,
        _ if digits > count => None,
        _ => Some((value, rest)),
    }
}

/// Reads one of these names, in its form for this number of letters, as its position from 1.
fn name<'t>(text: &'t str, names: &[&str], count: usize) -> Option<(i64, &'t str)> {
    names.iter().enumerate().find_map(|(i, name)| {
        let form = match count {
            3 => &name[..3],
            5 => &name[..1],
            _ => name,
        };
        Some((i as i64 + 1, text.strip_prefix(form)?))
    })
}

/// Reads a zone, which has no effect: the local time counts.
fn zone(letter: char, count: usize, text: &str) -> Option<&str> {
    if matches!(letter, 'z' | 'V') {
        let length = text.find(|c: char| !(c.is_ascii_alphanumeric() || "/_+-:".contains(c))).unwrap_or(text.len());
        let (name, rest) = text.split_at(length);
        return (Zone::parse(name).is_ok() || super::legacy::zone_by_abbreviation(name).is_some()).then_some(rest);
    }
    let text = match letter {
        'O' => text.strip_prefix("GMT")?,
        'Z' if count == 4 => text.strip_prefix("GMT")?,
        _ => text,
    };
    let z_allowed = letter == 'X' || (letter == 'Z' && count == 5);
    if let Some(rest) = text.strip_prefix('Z').filter(|_| z_allowed) {
        return Some(rest);
    }
    let Some(signed) = text.strip_prefix(['+', '-']) else { return matches!(letter, 'O').then_some(text) };
    let (_, rest) = number(signed, if letter == 'O' { 1 } else { 2 }, 2, 0)?;
    let colon = matches!((letter, count), ('X' | 'x', 3 | 5) | ('Z', 4 | 5) | ('O', _));
    let minutes = |rest: &'_ str| -> Option<usize> {
        let digits = if colon { rest.strip_prefix(':')? } else { rest };
        number(digits, 2, 2, 0).map(|(_, after)| rest.len() - after.len())
    };
    match (minutes(rest), letter, count) {
        (Some(length), ..) => Some(&rest[length..]),
        (None, 'X' | 'x', 1) | (None, 'O', _) => Some(rest),
        (None, ..) => None,
    }
}

impl Fields {
    fn resolve(&self) -> Option<i64> {
        let (days, time) = (self.resolve_date()?, self.resolve_time()?);
        days.checked_mul(DAY_MS)?.checked_add(time)
    }

    fn resolve_date(&self) -> Option<i64> {
        let of_era = self.year_of_era.map(|year| if self.before_christ { 1 - year } else { year });
        if self.year.is_some_and(|year| of_era.is_some_and(|of_era| of_era != year)) {
            return None;
        }
        if let (Some(year), Some(week), Some(weekday)) = (self.week_year, self.week, self.us_weekday) {
            let first = days_from_civil(year, 1, 1);
            return Some(first - (first + 4).rem_euclid(7) + (week - 1) * 7 + weekday - 1);
        }
        let known = self.year.or(of_era);
        let year = known.unwrap_or(1970);
        let days = match (self.month, self.day, self.day_of_year) {
            (None, None, Some(day)) if known.is_some() => {
                let days = days_from_civil(year, 1, 1) + day - 1;
                if civil_from_days(days).0 != year {
                    return None;
                }
                days
            }
            (month, day, _) => {
                let (month, day) = (month.unwrap_or(1), day.unwrap_or(1));
                days_from_civil(year, month, day.min(days_in_month(year, month)))
            }
        };
        let complete = known.is_some() && (self.day_of_year.is_some() || (self.month.is_some() && self.day.is_some()));
        let fits = !complete || self.weekday.is_none_or(|weekday| weekday == (days + 3).rem_euclid(7));
        fits.then_some(days)
    }

    /// Milliseconds since midnight; those of a whole day for 24:00.
    fn resolve_time(&self) -> Option<i64> {
        if let Some(nanos) = self.nano_of_day {
            return Some(nanos / 1_000_000);
        }
        let half = self.half_hour.zip(self.afternoon).map(|(hour, afternoon)| hour + if afternoon { 12 } else { 0 });
        let hour = self.hour.or(half).unwrap_or(0);
        let within = self.minute.unwrap_or(0) * 60_000 + self.second.unwrap_or(0) * 1000 + self.nano.unwrap_or(0) / 1_000_000;
        (hour < 24 || within == 0).then_some(hour * 3_600_000 + within)
    }
}

/// Reads `yyyy-[M]M-[d]d[ [H]H:[m]m:[s]s[.fraction]]`, what TO_TIMESTAMP takes without a pattern.
pub(super) fn read_default(text: &str) -> Option<i64> {
    let mut fields = Fields::default();
    let (year, rest) = long_year(text, 4, 0)?;
    store('y', 4, year, &mut fields)?;
    let short = |text: &'_ str| -> Option<(i64, usize)> {
        let digits = text.bytes().take(2).take_while(u8::is_ascii_digit).count();
        Some((text.get(..digits)?.parse().ok()?, digits))
    };
    let mut part = |letter: char, rest: &str| -> Option<usize> {
        let (value, length) = short(rest)?;
        store(letter, 2, value, &mut fields)?;
        Some(length)
    };
    let rest = rest.strip_prefix('-')?;
    let rest = rest[part('M', rest)?..].strip_prefix('-')?;
    let rest = &rest[part('d', rest)?..];
    if rest.is_empty() {
        return fields.resolve();
    }
    let rest = rest.strip_prefix(' ')?;
    let rest = rest[part('H', rest)?..].strip_prefix(':')?;
    let rest = rest[part('m', rest)?..].strip_prefix(':')?;
    let rest = &rest[part('s', rest)?..];
    if let Some(fraction) = rest.strip_prefix('.') {
        if fraction.len() > 9 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        fields.nano = Some(format!("{fraction:0<9}").parse().ok()?);
        return fields.resolve();
    }
    if rest.is_empty() { fields.resolve() } else { None }
}

/// What TO_TIMESTAMP tries if a text does not fit its pattern: `yyyy-m-d h:m:s[.fraction]` or `yyyy-m-d`, where hours and the like
/// may be more than a day has.
pub(super) fn read_fallback(text: &str) -> Option<i64> {
    let text = text.trim_matches(|c: char| c <= ' ');
    let (date, time) = text.split_once(' ').map_or((text, None), |(date, time)| (date, Some(time)));
    let mut parts = date.split('-');
    let mut part = |least: usize, most: usize| -> Option<i64> {
        let digits = parts.next()?;
        let fits = (least..=most).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        if fits { digits.parse().ok() } else { None }
    };
    let (year, month, day) = (part(4, 4)?, part(1, 2)?, part(1, 2)?);
    if parts.next().is_some() || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let midnight = (days_from_civil(year, month, 1) + day - 1) * DAY_MS;
    let Some(time) = time else { return Some(midnight) };
    let (time, fraction) = time.split_once('.').map_or((time, None), |(time, fraction)| (time, Some(fraction)));
    let millis = match fraction {
        Some(digits) if (1..=9).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            format!("{digits:0<9}").parse::<i64>().ok()? / 1_000_000
        }
        Some(_) => return None,
        None => 0,
    };
    let numbers: Vec<i64> = time.split(':').map(|part| part.parse::<i32>().ok().map(i64::from)).collect::<Option<_>>()?;
    let [hour, minute, second] = numbers.as_slice() else { return None };
    Some(midnight + hour * 3_600_000 + minute * 60_000 + second * 1000 + millis)
}
