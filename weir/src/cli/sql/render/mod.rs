//! Results in the forms that users can choose.

mod csv;
mod json;
mod stream;
mod table;

use clap::ValueEnum;
use weir_client::sql_client::ResultTable;

pub(super) use stream::RowStream;

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
        ResultFormat::Table => match lone_text(result) {
            Some(text) => text.trim_end_matches('\n').split('\n').map(table::visible).collect(),
            None => table::lines(result, width),
        },
        ResultFormat::Csv => {
            std::iter::once(csv::header(&result.columns)).chain(result.rows.iter().map(|row| csv::line(row))).collect()
        }
        ResultFormat::Json => result.rows.iter().map(|row| json::line(&result.columns, row)).collect(),
    }
}

/// The text of a result that is nothing but one text of several lines, such as the answer to EXPLAIN.
pub(super) fn lone_text(result: &ResultTable) -> Option<&str> {
    match (result.columns.as_slice(), result.rows.as_slice()) {
        ([_], [row]) => row.first()?.as_deref().filter(|text| text.contains('\n')),
        _ => None,
    }
}

/// A result whose columns are texts.
#[cfg(test)]
fn texts(columns: &[&str], rows: Vec<Vec<Option<String>>>) -> ResultTable {
    use weir_protocol::job_graph::DataType;
    ResultTable { columns: columns.iter().map(|name| ((*name).to_owned(), DataType::String)).collect(), rows }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lone_text_of_several_lines_is_printed_as_it_is_in_tables_only() {
        let plan = texts(&["result"], vec![vec![Some("== Plan ==\n  Scan\n".to_owned())]]);
        assert_eq!(render(&plan, ResultFormat::Table, Some(10)), ["== Plan ==", "  Scan"]);
        assert_eq!(render(&plan, ResultFormat::Csv, None), ["result", "\"== Plan ==\n  Scan\n\""]);
        let short = texts(&["database name"], vec![vec![Some("default_database".to_owned())]]);
        assert_eq!(render(&short, ResultFormat::Table, None).len(), 5);
    }
}
