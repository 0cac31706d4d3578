//! Rows that arrive one after the other.

use weir_protocol::job_graph::DataType;

use super::table::TableLayout;
use super::{ResultFormat, csv, json};

/// Renders rows as they arrive. What is printed can't be changed later, so the first rows decide how wide a table is.
#[derive(Debug)]
pub(in crate::cli::sql) struct RowStream {
    format: ResultFormat,
    columns: Vec<(String, DataType)>,
    width: Option<usize>,
    /// The layout of the table. `None` until there are rows.
    layout: Option<TableLayout>,
    has_begun: bool,
}

impl RowStream {
    /// Rows of these columns. A table is cut to `width` columns of the terminal, if there is one.
    pub(in crate::cli::sql) fn new(format: ResultFormat, columns: Vec<(String, DataType)>, width: Option<usize>) -> Self {
        Self { format, columns, width, layout: None, has_begun: false }
    }

    /// The lines of more rows. `are_all`: no other rows were or will be there, so a table is only as wide as it must be.
    pub(in crate::cli::sql) fn lines(&mut self, rows: &[Vec<Option<String>>], are_all: bool) -> Vec<String> {
        if rows.is_empty() {
            return Vec::new();
        }
        let mut lines = self.begin(rows, are_all);
        match (self.format, &self.layout) {
            (ResultFormat::Csv, _) => lines.extend(rows.iter().map(|row| csv::line(row))),
            (ResultFormat::Json, _) => lines.extend(rows.iter().map(|row| json::line(&self.columns, row))),
            (ResultFormat::Table, Some(layout)) => lines.extend(layout.rows(rows)),
            (ResultFormat::Table, None) => {}
        }
        lines
    }

    /// The last lines.
    pub(in crate::cli::sql) fn end(&mut self) -> Vec<String> {
        let mut lines = self.begin(&[], true);
        if self.format == ResultFormat::Table
            && let Some(layout) = &self.layout
        {
            lines.push(layout.border());
        }
        lines
    }

    /// The lines before the first row, once. A table without rows ends with them.
    fn begin(&mut self, rows: &[Vec<Option<String>>], are_all: bool) -> Vec<String> {
        if std::mem::replace(&mut self.has_begun, true) {
            return Vec::new();
        }
        match self.format {
            ResultFormat::Csv => vec![csv::header(&self.columns)],
            ResultFormat::Json => Vec::new(),
            ResultFormat::Table => {
                let layout = TableLayout::new(&self.columns, rows, self.width);
                let layout = if are_all { layout } else { layout.widened(&self.columns, self.width) };
                let head = layout.head();
                self.layout = Some(layout).filter(|_| !rows.is_empty());
                head
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(format: ResultFormat) -> RowStream {
        RowStream::new(format, vec![("name".to_owned(), DataType::String), ("n".to_owned(), DataType::Int)], None)
    }

    fn row(name: &str, n: &str) -> Vec<Option<String>> {
        vec![Some(name.to_owned()), Some(n.to_owned())]
    }

    #[test]
    fn all_rows_at_once_look_as_a_finished_table() {
        let mut stream = stream(ResultFormat::Table);
        let rows = [row("a", "1"), row("bc", "10")];
        let lines = [stream.lines(&rows, true), stream.end()].concat();
        assert_eq!(lines, ["+------+----+", "| name |  n |", "+------+----+", "| a    |  1 |", "| bc   | 10 |", "+------+----+"]);
    }

    #[test]
    fn later_rows_have_the_places_of_the_first() {
        let mut stream = stream(ResultFormat::Table);
        let first = stream.lines(&[row("a", "1")], false);
        let later = stream.lines(&[row("a name that is longer than others", "2147483647")], false);
        assert_eq!(first.last().map(String::len), Some(38), "{first:?}");
        assert_eq!(later, ["| a name that is long… |  2147483647 |"]);
        assert_eq!(stream.end(), ["+----------------------+-------------+"]);
    }

    #[test]
    fn programs_get_one_header_and_nothing_else_than_rows() {
        let mut csv = stream(ResultFormat::Csv);
        assert_eq!(
            [csv.lines(&[row("a", "1")], false), csv.lines(&[row("b", "2")], true), csv.end()].concat(),
            ["name,n", "a,1", "b,2"]
        );
        let mut none = stream(ResultFormat::Csv);
        assert_eq!(none.end(), ["name,n"]);
        assert!(stream(ResultFormat::Json).end().is_empty());
        assert_eq!(stream(ResultFormat::Table).end().len(), 3);
    }
}
