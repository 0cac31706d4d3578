//! Rows as Flink's gateway writes them. JSON is written as text, because numbers have up to 38 digits.

mod json;
mod logical_type;
mod plain_text;
mod rows;
mod text;

use std::str::FromStr;

pub(crate) use rows::Rows;
pub(crate) use text::text_rows;

/// How the values of rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum RowFormat {
    /// As JSON values.
    #[default]
    Json,
    /// As the texts that the SQL client prints.
    PlainText,
}

impl RowFormat {
    /// Flink's word for it.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Json => "JSON",
            Self::PlainText => "PLAIN_TEXT",
        }
    }
}

impl FromStr for RowFormat {
    type Err = String;

    /// Reads Flink's word, in upper or lower case.
    fn from_str(text: &str) -> Result<Self, String> {
        [Self::Json, Self::PlainText]
            .into_iter()
            .find(|format| format.word().eq_ignore_ascii_case(text))
            .ok_or_else(|| "SQL-ROW-FORMAT: rowFormat is JSON or PLAIN_TEXT".to_owned())
    }
}

/// A text as JSON.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests;
