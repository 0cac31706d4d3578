//! Errors of SQL, with the place in the script that they are about.

use std::fmt;

use sqlparser::tokenizer::Location;

/// A place in a script: line and column count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub line: u64,
    pub column: u64,
}

impl Place {
    /// The place of a token or an expression; `None` if the parser does not know it.
    pub fn of(location: Location) -> Option<Self> {
        (location.line > 0).then_some(Self { line: location.line, column: location.column })
    }
}

/// Why a statement can't be parsed, planned or carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// A stable code, e.g. `SQL-PARSE`. docs/errors/sql.md lists them.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where it is wrong, if known.
    pub place: Option<Place>,
    /// What to try.
    pub hint: Option<String>,
}

impl SqlError {
    /// An error without place and hint.
    pub fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), place: None, hint: None }
    }

    /// Names the place, unless one is known already: the innermost is the most exact.
    #[must_use]
    pub fn at(mut self, location: Location) -> Self {
        self.place = self.place.or(Place::of(location));
        self
    }

    /// Adds what to try.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// A statement or clause that Flink has and Weir does not. `what` is its name, e.g. `MATCH_RECOGNIZE`.
    pub fn unsupported(what: impl fmt::Display) -> Self {
        Self::new("SQL-UNSUPPORTED", format!("{what} is not supported"))
    }

    /// The error for people: what, where, the line with a caret under the place, and the hint.
    pub fn render(&self, script: &str) -> String {
        let mut text = self.to_string();
        if let Some(place) = self.place
            && let Some(line) = script.lines().nth(place.line as usize - 1)
        {
            // Long lines are cut around the place.
            let column = place.column.saturating_sub(1) as usize;
            let start = column.saturating_sub(60);
            let shown: String = line.chars().skip(start).take(120).map(|c| if c.is_control() { ' ' } else { c }).collect();
            let cut = if start > 0 { "…" } else { "" };
            let indent = column - start + cut.chars().count();
            text.push_str(&format!("\n  {cut}{shown}\n  {}^", " ".repeat(indent)));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("\nhint: {hint}"));
        }
        text
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)?;
        match self.place {
            Some(place) => write!(f, " (line {}, column {})", place.line, place.column),
            None => Ok(()),
        }
    }
}

impl std::error::Error for SqlError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_the_place() {
        let error = SqlError::new("SQL-NAME", "there is no column \"pric\"").at(Location::new(2, 8)).hint("did you mean price?");
        let expected =
            "SQL-NAME: there is no column \"pric\" (line 2, column 8)\n  SELECT pric\n         ^\nhint: did you mean price?";
        assert_eq!(error.render("-- a comment\nSELECT pric\nFROM bid"), expected);
    }

    #[test]
    fn a_long_line_is_cut_around_the_place() {
        let line = format!("{}x{}", "a".repeat(1_000), "b".repeat(1_000));
        let rendered = SqlError::new("SQL-PARSE", "no").at(Location::new(1, 1_001)).render(&line);
        let lines: Vec<_> = rendered.lines().collect();
        assert_eq!(lines[1].chars().nth(lines[2].chars().count() - 1), Some('x'));
        assert!(lines[1].chars().count() < 130);
    }
}
