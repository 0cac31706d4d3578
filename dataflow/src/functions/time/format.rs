//! Writes times by patterns.

use std::fmt::Write;

use super::pattern::{DAYS, Form, Item, MONTHS, parse};
use crate::calendar::{DAY_MS, civil_from_days, days_from_civil};
use crate::time_zone::Zone;

/// A pattern that writes times.
pub(super) struct Formatter {
    items: Vec<Item>,
    form: Form,
    /// Whether the text of all times of one minute differs only in seconds, so that it can be kept for the next row.
    by_minute: Option<Minute>,
}

/// The text of the last minute, for patterns whose only field below minutes is `ss` or `SSS`.
struct Minute {
    last: Option<i64>,
    text: String,
    /// Where two digits of seconds stand, and where three of milliseconds.
    seconds: Option<usize>,
    millis: Option<usize>,
}

/// A local time to be written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Milliseconds of local time since 1970-01-01 00:00:00.
    pub(super) local_ms: i64,
    /// 0 to 999,999, beyond the millisecond.
    pub(super) nanos: u32,
    /// Where and how far from UTC, in seconds, for patterns that tell.
    pub(super) zone: Option<(Zone, i64)>,
}

impl Formatter {
    /// Prepares a pattern. The error says what is wrong with it.
    pub(super) fn new(pattern: &str, form: Form) -> Result<Self, String> {
        let items = parse(pattern, form)?;
        if form == Form::Modern
            && let Some(Item::Field(letter, _)) =
                items.iter().find(|item| matches!(item, Item::Field('X' | 'x' | 'Z' | 'V' | 'z' | 'O', _)))
        {
            return Err(format!("the pattern {pattern:?} asks for the zone ({letter}), which a time without zone does not have"));
        }
        let count = |letter: char| items.iter().filter(|item| matches!(item, Item::Field(l, _) if *l == letter)).count();
        let plain = items.iter().all(|item| match item {
            Item::Field('s', count) => *count == 2,
            Item::Field('S', count) => *count == 3,
            Item::Field('A' | 'n' | 'N' | 'z' | 'Z' | 'X', _) => false,
            _ => true,
        });
        let by_minute = (plain && count('s') <= 1 && count('S') <= 1).then(|| Minute {
            last: None,
            text: String::new(),
            seconds: None,
            millis: None,
        });
        Ok(Self { items, form, by_minute })
    }

    /// Appends a time.
    pub(super) fn write(&mut self, moment: Moment, out: &mut String) {
        let Some(minute) = &mut self.by_minute else { return write_items(&self.items, self.form, moment, out, &mut |_, _| {}) };
        let number = moment.local_ms.div_euclid(60_000);
        if minute.last != Some(number) {
            minute.text.clear();
            let (mut seconds, mut millis) = (None, None);
            write_items(&self.items, self.form, moment, &mut minute.text, &mut |letter, at| match letter {
                's' => seconds = Some(at),
                'S' => millis = Some(at),
                _ => {}
            });
            (minute.last, minute.seconds, minute.millis) = (Some(number), seconds, millis);
        }
        let start = out.len();
        out.push_str(&minute.text);
        let within = moment.local_ms.rem_euclid(60_000) as u32;
        let mut replace = |at: Option<usize>, digits: usize, value: u32| {
            if let Some(at) = at {
                let mut text = [0; 3];
                let mut rest = value;
                for digit in text[..digits].iter_mut().rev() {
                    *digit = b'0' + (rest % 10) as u8;
                    rest /= 10;
                }
                if let Ok(text) = std::str::from_utf8(&text[..digits]) {
                    out.replace_range(start + at..start + at + digits, text);
                }
            }
        };
        replace(minute.seconds, 2, within / 1000);
        replace(minute.millis, 3, within % 1000);
    }
}

/// Writes all items. `place` hears where each field begins.
fn write_items(items: &[Item], form: Form, moment: Moment, out: &mut String, place: &mut dyn FnMut(char, usize)) {
    let parts = Parts::of(moment);
    let start = out.len();
    for item in items {
        match item {
            Item::Literal(text) => out.push_str(text),
            Item::Field(letter, count) => {
                place(*letter, out.len() - start);
                if !parts.write_shared(*letter, *count, form, out) {
                    match form {
                        Form::Modern => parts.write_modern(*letter, *count, out),
                        Form::Legacy => parts.write_legacy(*letter, *count, out),
                    }
                }
            }
            Item::OptionalStart | Item::OptionalEnd => {}
        }
    }
}

struct Parts {
    moment: Moment,
    days: i64,
    year: i64,
    month: i64,
    day: i64,
    /// Milliseconds since midnight.
    time: i64,
}

/// Appends a number of at least this many digits.
fn digits(value: i64, least: usize, out: &mut String) {
    // Writing to a string cannot fail.
    let _ = write!(out, "{}{:0least$}", if value < 0 { "-" } else { "" }, value.unsigned_abs());
}

impl Parts {
    fn of(moment: Moment) -> Self {
        let days = moment.local_ms.div_euclid(DAY_MS);
        let (year, month, day) = civil_from_days(days);
        Self { moment, days, year, month, day, time: moment.local_ms.rem_euclid(DAY_MS) }
    }

    /// From 0 for Monday.
    fn weekday(&self) -> usize {
        (self.days + 3).rem_euclid(7) as usize
    }

    /// From 1 for Sunday.
    fn us_weekday(&self) -> i64 {
        (self.days + 4).rem_euclid(7) + 1
    }

    /// The year counted from 1 in its era.
    fn year_of_era(&self) -> i64 {
        if self.year > 0 { self.year } else { 1 - self.year }
    }

    /// Year and week as they are counted in the USA: weeks start on Sunday, and the first has January 1.
    fn us_week(&self) -> (i64, i64) {
        let sunday = self.days - (self.days + 4).rem_euclid(7);
        let next = days_from_civil(self.year + 1, 1, 1);
        if sunday + 7 > next {
            return (self.year + 1, 1);
        }
        let first = days_from_civil(self.year, 1, 1);
        let first_sunday = first - (first + 4).rem_euclid(7);
        (self.year, (sunday - first_sunday) / 7 + 1)
    }

    /// What both forms write alike. Returns false for other letters.
    fn write_shared(&self, letter: char, count: usize, form: Form, out: &mut String) -> bool {
        let hour = self.time / 3_600_000;
        let value = match letter {
            'd' => self.day,
            'D' => self.days - days_from_civil(self.year, 1, 1) + 1,
            'H' => hour,
            'k' => (hour + 23) % 24 + 1,
            'K' => hour % 12,
            'h' => (hour + 11) % 12 + 1,
            'm' => self.time / 60_000 % 60,
            's' => self.time / 1000 % 60,
            'w' => self.us_week().1,
            'W' => {
                let first = days_from_civil(self.year, self.month, 1);
                (self.day - 1 + (first + 4).rem_euclid(7)) / 7 + 1
            }
            'a' => {
                out.push_str(if hour < 12 { "AM" } else { "PM" });
                return true;
            }
            'M' | 'L' if count > 2 => {
                let name = MONTHS[self.month as usize - 1];
                out.push_str(match (count, form) {
                    (3, _) => &name[..3],
                    (5, Form::Modern) => &name[..1],
                    _ => name,
                });
                return true;
            }
            'M' | 'L' => self.month,
            _ => return false,
        };
        digits(value, count, out);
        true
    }

    fn write_year(year: i64, count: usize, out: &mut String) {
        match count {
            2 => digits(year.rem_euclid(100), 2, out),
            _ => {
                // From four digits on, more than the letters ask for are marked.
                if count >= 4 && year >= 10_i64.saturating_pow(count as u32) {
                    out.push('+');
                }
                digits(year, count, out);
            }
        }
    }

    fn write_modern(&self, letter: char, count: usize, out: &mut String) {
        let nanos = self.time % 1000 * 1_000_000 + i64::from(self.moment.nanos);
        match letter {
            'y' => Self::write_year(self.year_of_era(), count, out),
            'u' => Self::write_year(self.year, count, out),
            'Y' => Self::write_year(self.us_week().0, count, out),
            'G' => out.push_str(match (self.year > 0, count) {
                (true, 4) => "Anno Domini",
                (false, 4) => "Before Christ",
                (true, 5) => "A",
                (false, 5) => "B",
                (true, _) => "AD",
                (false, _) => "BC",
            }),
            'Q' | 'q' => {
                let quarter = (self.month + 2) / 3;
                let _ = match count {
                    1 | 2 => write!(out, "{quarter:0count$}"),
                    3 => write!(out, "Q{quarter}"),
                    4 => write!(out, "{} quarter", ["1st", "2nd", "3rd", "4th"][quarter as usize - 1]),
                    _ => write!(out, "{quarter}"),
                };
            }
            'e' | 'c' if count <= 2 => digits(self.us_weekday(), count, out),
            'E' | 'e' | 'c' => {
                let name = DAYS[self.weekday()];
                out.push_str(match count {
                    4 => name,
                    5 => &name[..1],
                    _ => &name[..3],
                });
            }
            'F' => digits((self.day - 1) % 7 + 1, 1, out),
            'S' => {
                let _ = write!(out, "{:0count$}", nanos / 10_i64.pow(9 - count as u32));
            }
            'n' => digits(nanos, count, out),
            'N' => digits(self.time / 1000 * 1_000_000_000 + nanos, count, out),
            'A' => digits(self.time, count, out),
            // The zone was refused when the pattern was read.
            _ => {}
        }
    }

    fn write_legacy(&self, letter: char, count: usize, out: &mut String) {
        match letter {
            'y' if count == 2 => digits(self.year_of_era() % 100, 2, out),
            'y' => digits(self.year_of_era(), count, out),
            'Y' if count == 2 => digits(self.us_week().0.rem_euclid(100), 2, out),
            'Y' => digits(self.us_week().0, count, out),
            'G' => out.push_str(if self.year > 0 { "AD" } else { "BC" }),
            'E' => out.push_str(if count < 4 { &DAYS[self.weekday()][..3] } else { DAYS[self.weekday()] }),
            'u' => digits(self.weekday() as i64 + 1, count, out),
            'F' => digits((self.day - 1) / 7 + 1, count, out),
            'S' => digits(self.time % 1000, count, out),
            'z' => self.write_zone_name(out),
            'Z' => self.write_offset(false, 2, out),
            'X' if self.offset() == 0 => out.push('Z'),
            'X' => self.write_offset(count == 3, count.min(2), out),
            _ => {}
        }
    }

    fn offset(&self) -> i64 {
        self.moment.zone.map_or(0, |(_, offset)| offset)
    }

    /// Writes the distance from UTC: hours, and minutes if `parts` is 2.
    fn write_offset(&self, colon: bool, parts: usize, out: &mut String) {
        let offset = self.offset();
        let (hours, minutes) = (offset.abs() / 3600, offset.abs() / 60 % 60);
        let _ = write!(out, "{}{hours:02}", if offset < 0 { '-' } else { '+' });
        if parts == 2 {
            let _ = write!(out, "{}{minutes:02}", if colon { ":" } else { "" });
        }
    }

    /// Writes an abbreviation such as `PST`, or the distance from GMT where there is none.
    fn write_zone_name(&self, out: &mut String) {
        match self.moment.zone {
            Some((Zone::Named(zone), offset)) => {
                let utc = chrono::DateTime::from_timestamp(self.moment.local_ms.div_euclid(1000) - offset, 0);
                let name = utc.and_then(|utc| {
                    let offset = chrono::TimeZone::offset_from_utc_datetime(&zone, &utc.naive_utc());
                    chrono_tz::OffsetName::abbreviation(&offset).map(str::to_owned)
                });
                match name {
                    Some(name) if !name.starts_with(['+', '-']) => out.push_str(&name),
                    _ => {
                        out.push_str("GMT");
                        self.write_offset(true, 2, out);
                    }
                }
            }
            Some((Zone::Fixed(offset), _)) if offset != 0 => {
                out.push_str("GMT");
                self.write_offset(true, 2, out);
            }
            _ => out.push_str("UTC"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kept_text_of_a_minute_is_used_for_its_seconds_only() {
        let mut formatter = Formatter::new("yyyy-MM-dd HH:mm:ss.SSS", Form::Modern).unwrap();
        assert!(formatter.by_minute.is_some());
        let mut text = String::from("x");
        for local_ms in [0, 59_999, 60_000, 1_000, -1] {
            formatter.write(Moment { local_ms, nanos: 0, zone: None }, &mut text);
            text.push('|');
        }
        let expected = "x1970-01-01 00:00:00.000|1970-01-01 00:00:59.999|1970-01-01 00:01:00.000|1970-01-01 00:00:01.000|1969-12-31 23:59:59.999|";
        assert_eq!(text, expected);
        assert!(Formatter::new("ss ss", Form::Modern).unwrap().by_minute.is_none());
    }
}
