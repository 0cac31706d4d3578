//! Prints results: as text for people, or as JSON for programs.

use clap::ValueEnum;
use serde::Serialize;
use weir_world::out_line;

use super::exit_code::Failure;

/// The form in which a command prints its result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text, for people.
    Text,
    /// JSON, for programs.
    Json,
}

impl Format {
    /// Prints `value` as JSON, or the text that `text` makes of it.
    pub fn print<T: Serialize>(self, value: &T, text: impl FnOnce(&T) -> String) -> Result<(), Failure> {
        match self {
            Self::Text => out_line!("{}", text(value)),
            Self::Json => out_line!("{}", serde_json::to_string_pretty(value)?),
        }
        Ok(())
    }
}

/// Lays out rows under headings. Each column is as wide as its widest cell.
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

/// Shows a duration, given in milliseconds, in units that suit its length.
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
    fn each_column_is_as_wide_as_its_widest_cell() {
        let text = table(&["id", "state"], &[vec!["a-long-id".into(), "OK".into()], vec!["b".into(), "RUNNING".into()]]);
        assert_eq!(text, "id         state\na-long-id  OK\nb          RUNNING");
    }

    #[test]
    fn durations_are_shown_in_units_that_suit_their_length() {
        assert_eq!(duration_text(20), "20 ms");
        assert_eq!(duration_text(1_500), "1.5 s");
        assert_eq!(duration_text(61_000), "1 min 1 s");
        assert_eq!(duration_text(7_260_000), "2 h 1 min");
    }
}
