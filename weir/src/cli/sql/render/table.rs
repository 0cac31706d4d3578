//! A table with borders.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
use weir_client::sql_client::ResultTable;
use weir_protocol::job_graph::DataType;

/// What Flink prints for NULL.
const NULL: &str = "<NULL>";
/// No cell is cut to less than this many columns of the terminal.
const NARROWEST: usize = 8;

/// The lines of the table. If `width` is given, cells are cut so that the table fits into that many columns.
pub(super) fn lines(result: &ResultTable, width: Option<usize>) -> Vec<String> {
    let layout = TableLayout::new(&result.columns, &result.rows, width);
    let mut lines = layout.head();
    if !result.rows.is_empty() {
        lines.extend(layout.rows(&result.rows));
        lines.push(layout.border());
    }
    lines
}

/// Where the columns of a table are.
#[derive(Debug, Clone)]
pub(super) struct TableLayout {
    header: Vec<Vec<String>>,
    widths: Vec<usize>,
    is_number: Vec<bool>,
}

impl TableLayout {
    /// Columns wide enough for these rows. If `width` is given, the table is not wider, as far as possible.
    pub(super) fn new(columns: &[(String, DataType)], rows: &[Vec<Option<String>>], width: Option<usize>) -> Self {
        let header: Vec<_> = columns.iter().map(|(name, _)| cell(name)).collect();
        let mut widths: Vec<_> = header.iter().map(|cell| width_of(cell).max(1)).collect();
        for row in rows {
            for (width, text) in widths.iter_mut().zip(row) {
                *width = width_of(&cell(text.as_deref().unwrap_or(NULL))).max(*width);
            }
        }
        if let Some(width) = width {
            fit(&mut widths, width);
        }
        Self { header, widths, is_number: columns.iter().map(|(_, data_type)| data_type.is_numeric()).collect() }
    }

    /// Makes room for rows that are not known yet.
    pub(super) fn widened(mut self, columns: &[(String, DataType)], width: Option<usize>) -> Self {
        for (width, (_, data_type)) in self.widths.iter_mut().zip(columns) {
            *width = (*width).max(usual_width(data_type));
        }
        if let Some(width) = width {
            fit(&mut self.widths, width);
        }
        self
    }

    /// The lines above the rows.
    pub(super) fn head(&self) -> Vec<String> {
        let mut lines = vec![self.border()];
        lines.extend(row_lines(&self.header, &self.widths, &self.is_number));
        lines.push(self.border());
        lines
    }

    pub(super) fn rows(&self, rows: &[Vec<Option<String>>]) -> Vec<String> {
        let cells = |row: &Vec<Option<String>>| row.iter().map(|text| cell(text.as_deref().unwrap_or(NULL))).collect::<Vec<_>>();
        rows.iter().flat_map(|row| row_lines(&cells(row), &self.widths, &self.is_number)).collect()
    }

    pub(super) fn border(&self) -> String {
        format!("+{}", self.widths.iter().map(|width| format!("{}+", "-".repeat(width + 2))).collect::<String>())
    }
}

/// The lines of a cell.
fn cell(text: &str) -> Vec<String> {
    text.split('\n').map(visible).collect()
}

fn width_of(cell: &[String]) -> usize {
    cell.iter().map(|line| line.width()).max().unwrap_or_default()
}

/// How wide values of a type usually are.
fn usual_width(data_type: &DataType) -> usize {
    match data_type {
        DataType::Boolean | DataType::Tinyint | DataType::Smallint => 6,
        DataType::Int | DataType::Date | DataType::Time(_) => 11,
        DataType::Timestamp(_) | DataType::TimestampLtz(_) => 23,
        _ => 20,
    }
}

/// The lines of one row: as many as its highest cell has.
fn row_lines(row: &[Vec<String>], widths: &[usize], is_number: &[bool]) -> Vec<String> {
    let height = row.iter().map(Vec::len).max().unwrap_or_default();
    let line = |n: usize| {
        let cells = row.iter().zip(widths).zip(is_number).map(|((cell, width), is_number)| {
            let text = cut(cell.get(n).map_or("", String::as_str), *width);
            let space = " ".repeat(width.saturating_sub(text.width()));
            if *is_number { format!(" {space}{text} |") } else { format!(" {text}{space} |") }
        });
        format!("|{}", cells.collect::<String>())
    };
    (0..height).map(line).collect()
}

/// Narrows the widest columns until the table fits, or until all of them are at the narrowest.
fn fit(widths: &mut [usize], width: usize) {
    let borders = 3 * widths.len() + 1;
    while widths.iter().sum::<usize>() + borders > width {
        let Some(widest) = widths.iter_mut().max().filter(|widest| **widest > NARROWEST) else { break };
        *widest -= 1;
    }
}

/// The text, or as much of its beginning as there is room for.
fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let fits = |c: &char| {
        let needed = c.width().unwrap_or_default();
        let fits = needed <= room;
        room = room.saturating_sub(needed);
        fits
    };
    let mut kept: String = text.chars().take_while(fits).collect();
    kept.push('…');
    kept
}

/// The text with its control characters written out, so that no value can move the cursor or change colours.
pub(super) fn visible(text: &str) -> String {
    if !text.contains(char::is_control) {
        return text.to_owned();
    }
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two_columns(rows: &[(&str, Option<&str>)]) -> ResultTable {
        let columns = vec![("name".to_owned(), DataType::String), ("n".to_owned(), DataType::Bigint)];
        let rows = rows.iter().map(|(name, n)| vec![Some((*name).to_owned()), n.map(str::to_owned)]).collect();
        ResultTable { columns, rows }
    }

    #[test]
    fn wide_characters_take_two_columns_numbers_stand_right_and_null_is_named() {
        let lines = lines(&two_columns(&[("東京", Some("1")), ("Köln", None)]), None);
        let expected = [
            "+------+--------+",
            "| name |      n |",
            "+------+--------+",
            "| 東京 |      1 |",
            "| Köln | <NULL> |",
            "+------+--------+",
        ];
        assert_eq!(lines, expected);
    }

    #[test]
    fn a_table_fits_the_terminal_by_cutting_its_widest_column() {
        let long = "x".repeat(100);
        let result = two_columns(&[(&long, Some("12345"))]);
        let cut = lines(&result, Some(40));
        assert!(cut.iter().all(|line| line.width() == 40), "{cut:?}");
        assert!(cut[3].contains("x…") && cut[3].contains("12345"), "{cut:?}");
        assert!(lines(&result, None)[3].contains(&long));
        // A terminal that is too narrow for anything gets the narrowest columns.
        assert!(lines(&result, Some(3))[3].contains("xxxxxxx…"));
    }

    #[test]
    fn a_wide_character_is_never_cut_in_half() {
        assert_eq!(cut("東京都庁", 6), "東京…");
        assert_eq!(cut("東京都", 6), "東京都");
    }

    #[test]
    fn a_cell_may_have_several_lines_and_control_characters_are_written_out() {
        let lines = lines(&two_columns(&[("a\n\u{1b}[2Jb", Some("7"))]), None);
        assert_eq!(lines[3], "| a          | 7 |");
        assert_eq!(lines[4], "| \\u{1b}[2Jb |   |");
    }

    #[test]
    fn a_result_without_rows_shows_its_columns() {
        assert_eq!(lines(&two_columns(&[]), None), ["+------+---+", "| name | n |", "+------+---+"]);
    }
}
