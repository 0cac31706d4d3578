//! Computes the expected output of the demo in the simplest way: in one pass, row by row, with the standard library only.
//!
//! It shares no code with the runtime, so a bug in the runtime can't also be in the expected output.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

/// One hour at one origin: `(hours since 1970, origin)`.
pub(super) type Hour = (i64, String);

/// The statistics of one hour at one origin.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct HourlyStatistics {
    /// Number of flights that left.
    pub departures: i64,
    /// Average delay of these flights in minutes.
    pub average_delay: f64,
    /// The worst delay in minutes.
    pub worst_delay: i64,
}

/// The differences between the output and the expected rows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comparison {
    /// Number of rows in the committed output.
    pub rows: u64,
    /// Number of expected hours without a row.
    pub lost: u64,
    /// Number of rows beyond the first row of an hour.
    pub duplicated: u64,
    /// Number of rows with wrong figures, or for hours that are not expected.
    pub wrong: u64,
}

impl Comparison {
    /// Whether every expected row is there exactly once with the right figures.
    pub(super) fn is_exact(&self) -> bool {
        self.rows > 0 && self.lost == 0 && self.duplicated == 0 && self.wrong == 0
    }
}

/// Reads the flights and computes the expected output.
pub(super) fn expected(data: &Path) -> io::Result<BTreeMap<Hour, HourlyStatistics>> {
    let mut sums: BTreeMap<Hour, (i64, i64, i64)> = BTreeMap::new();
    for line in data_lines(data, false)? {
        let fields: Vec<&str> = line.split(',').collect();
        let (Some(time), Some(origin), Some(delay)) = (fields.first(), fields.get(1), fields.get(5)) else {
            return Err(invalid(&line));
        };
        if delay.is_empty() {
            continue;
        }
        let delay: i64 = delay.parse().map_err(|_| invalid(&line))?;
        let hour = hours_since_1970(time).ok_or_else(|| invalid(&line))?;
        let entry = sums.entry((hour, (*origin).to_owned())).or_insert((0, 0, i64::MIN));
        *entry = (entry.0 + 1, entry.1 + delay, entry.2.max(delay));
    }
    let finish = |(count, sum, worst): (i64, i64, i64)| HourlyStatistics {
        departures: count,
        average_delay: sum as f64 / count as f64,
        worst_delay: worst,
    };
    Ok(sums.into_iter().map(|(hour, sums)| (hour, finish(sums))).collect())
}

/// Compares the committed output, row by row, with the expected output.
pub(super) fn compare(output: &Path, expected: &BTreeMap<Hour, HourlyStatistics>) -> io::Result<Comparison> {
    let mut comparison = Comparison::default();
    let mut seen: BTreeMap<Hour, u64> = BTreeMap::new();
    for line in data_lines(output, true)? {
        comparison.rows += 1;
        let Some((hour, statistics)) = parse_output(&line) else {
            comparison.wrong += 1;
            continue;
        };
        let times = seen.entry(hour.clone()).or_default();
        *times += 1;
        match expected.get(&hour) {
            _ if *times > 1 => comparison.duplicated += 1,
            Some(right) if agrees(right, &statistics) => {}
            _ => comparison.wrong += 1,
        }
    }
    comparison.lost = expected.keys().filter(|hour| !seen.contains_key(*hour)).count() as u64;
    Ok(comparison)
}

fn agrees(left: &HourlyStatistics, right: &HourlyStatistics) -> bool {
    left.departures == right.departures
        && left.worst_delay == right.worst_delay
        && (left.average_delay - right.average_delay).abs() < 1e-9
}

fn parse_output(line: &str) -> Option<(Hour, HourlyStatistics)> {
    let fields: Vec<&str> = line.split(',').collect();
    let [start, origin, departures, average, worst] = fields.as_slice() else { return None };
    let statistics = HourlyStatistics {
        departures: departures.parse().ok()?,
        average_delay: average.parse().ok()?,
        worst_delay: worst.parse().ok()?,
    };
    Some(((hours_since_1970(start)?, (*origin).to_owned()), statistics))
}

/// The lines of every CSV file in a directory, without headers. Skips hidden files, because they are not committed.
fn data_lines(directory: &Path, may_be_absent: bool) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    let entries = match std::fs::read_dir(directory) {
        Err(error) if may_be_absent && error.kind() == io::ErrorKind::NotFound => return Ok(lines),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if name.starts_with('.') || !name.ends_with(".csv") {
            continue;
        }
        let text = std::fs::read_to_string(&path)?;
        lines.extend(text.lines().skip(1).map(str::to_owned));
    }
    Ok(lines)
}

/// Converts `2013-01-01T10:15:00Z`, also with milliseconds, to whole hours since 1970.
fn hours_since_1970(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day, hour) = (number(0..4)?, number(5..7)?, number(8..10)?, number(11..13)?);
    let is_leap = |year: i64| (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
    let mut days: i64 = (1970..year).map(|year| if is_leap(year) { 366 } else { 365 }).sum();
    for earlier in 1..month {
        days += match earlier {
            2 if is_leap(year) => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
    }
    Some((days + day - 1) * 24 + hour)
}

fn invalid(line: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("not a flight: {line:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        directory
    }

    const FLIGHTS: &str = "scheduled,origin,carrier,flight,dest,dep_delay\n\
        2013-01-01T10:15:00Z,EWR,UA,1545,IAH,2\n2013-01-01T10:40:00Z,EWR,AA,1141,MIA,5\n\
        2013-01-01T11:00:00Z,JFK,AA,1,MIA,\n2013-03-01T00:00:00Z,JFK,AA,2,MIA,-4\n";
    const RIGHT: [&str; 2] = ["2013-01-01T10:00:00Z,EWR,2,3.5,5", "2013-03-01T00:00:00Z,JFK,1,-4.0,-4"];

    fn compare_rows(rows: &[&str]) -> Comparison {
        let data = directory(&[("a.csv", FLIGHTS)]);
        let output = directory(&[("part-0.csv", &format!("h\n{}\n", rows.join("\n"))), (".part-1.csv", "h\njunk\n")]);
        compare(output.path(), &expected(data.path()).unwrap()).unwrap()
    }

    #[test]
    fn right_output_is_exact() {
        let comparison = compare_rows(&RIGHT);
        assert!(comparison.is_exact(), "{comparison:?}");
    }

    #[test]
    fn lost_duplicated_and_wrong_rows_are_told_apart() {
        assert_eq!(compare_rows(&RIGHT[..1]), Comparison { rows: 1, lost: 1, duplicated: 0, wrong: 0 });
        assert_eq!(compare_rows(&[RIGHT[0], RIGHT[1], RIGHT[0]]), Comparison { rows: 3, lost: 0, duplicated: 1, wrong: 0 });
        let wrong = "2013-01-01T10:00:00Z,EWR,3,3.5,5";
        assert_eq!(compare_rows(&[wrong, RIGHT[1]]), Comparison { rows: 2, lost: 0, duplicated: 0, wrong: 1 });
        assert_eq!(compare_rows(&["junk", RIGHT[0], RIGHT[1]]), Comparison { rows: 3, lost: 0, duplicated: 0, wrong: 1 });
    }

    #[test]
    fn no_output_is_not_exact() {
        let data = directory(&[("a.csv", FLIGHTS)]);
        let nothing = compare(&data.path().join("absent"), &expected(data.path()).unwrap()).unwrap();
        assert!(!nothing.is_exact());
        assert_eq!(nothing.lost, 2);
    }

    #[test]
    fn hours_are_counted_from_1970() {
        assert_eq!(hours_since_1970("1970-01-01T00:59:59Z"), Some(0));
        assert_eq!(hours_since_1970("2013-01-01T10:00:00.000Z"), Some(1_357_034_400 / 3600));
        assert_eq!(hours_since_1970("2016-03-01T01:00:00Z"), Some(1_456_794_000 / 3600));
        assert_eq!(hours_since_1970("soon"), None);
    }
}
