//! Text for people, JSON for programs.

use clap::ValueEnum;
use serde::Serialize;

use super::exit_code::Failure;

/// How a read is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people.
    Text,
    /// For programs: what the JobManager answered.
    Json,
}

impl Format {
    /// Prints `value` as JSON, or as `text` puts it.
    pub fn print<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        match self {
            Self::Text => println!("{}", text(value)),
            Self::Json => println!("{}", serde_json::to_string_pretty(value)?),
        }
        Ok(())
    }
}

/// Rows under headings, columns as wide as they need.
pub(super) fn table(headings: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = headings.iter().map(|heading| heading.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: Vec<&str>| {
        let padded: Vec<String> = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
        padded.join("  ").trim_end().to_owned()
    };
    let mut lines = vec![line(headings.to_vec())];
    lines.extend(rows.iter().map(|row| line(row.iter().map(String::as_str).collect())));
    lines.join("\n")
}

/// A duration in milliseconds, as people say it.
pub(super) fn duration_text(milliseconds: u64) -> String {
    match milliseconds {
        0..1_000 => format!("{milliseconds} ms"),
        1_000..60_000 => format!("{:.1} s", milliseconds as f64 / 1_000.0),
        60_000..3_600_000 => format!("{} min {} s", milliseconds / 60_000, milliseconds / 1_000 % 60),
        _ => format!("{} h {} min", milliseconds / 3_600_000, milliseconds / 60_000 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_they_need() {
        let text = table(&["id", "state"], &[vec!["a-long-id".into(), "OK".into()], vec!["b".into(), "RUNNING".into()]]);
        assert_eq!(text, "id         state\na-long-id  OK\nb          RUNNING");
    }

    #[test]
    fn durations_read_as_people_say_them() {
        assert_eq!(duration_text(20), "20 ms");
        assert_eq!(duration_text(1_500), "1.5 s");
        assert_eq!(duration_text(61_000), "1 min 1 s");
        assert_eq!(duration_text(7_260_000), "2 h 1 min");
    }
}
