//! Results in the forms that users can choose.

mod csv;
mod json;
mod table;

use clap::ValueEnum;
use weir_client::sql_client::ResultTable;

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::cli) enum ResultFormat {
    /// A table with borders, for people.
    Table,
    /// Comma-separated values (RFC 4180, lines end with LF) with a header. NULL is an empty field, an empty text is "".
    Csv,
    /// One JSON object per line and row.
    Json,
}

/// The lines of a result. In a table, cells are cut so that it fits into `width` columns of a terminal, if there is one.
pub(super) fn render(result: &ResultTable, format: ResultFormat, width: Option<usize>) -> Vec<String> {
    match format {
        ResultFormat::Table => match result.lone_text() {
            Some(text) => text.trim_end_matches('\n').split('\n').map(table::visible).collect(),
            None => table::lines(result, width),
        },
        ResultFormat::Csv => csv::lines(result),
        ResultFormat::Json => json::lines(result),
    }
}
