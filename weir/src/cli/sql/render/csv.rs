//! Comma-separated values.

use weir_client::sql_client::ResultTable;

/// A header and a line for each row.
pub(super) fn lines(result: &ResultTable) -> Vec<String> {
    let header = result.columns.iter().map(|(name, _)| field(Some(name))).collect::<Vec<_>>().join(",");
    let row = |row: &Vec<Option<String>>| row.iter().map(|cell| field(cell.as_deref())).collect::<Vec<_>>().join(",");
    std::iter::once(header).chain(result.rows.iter().map(row)).collect()
}

/// One field. Quotes tell an empty text from NULL.
fn field(text: Option<&str>) -> String {
    match text {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains(['"', ',', '\n', '\r']) => format!("\"{}\"", text.replace('"', "\"\"")),
        Some(text) => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::texts;
    use super::*;

    #[test]
    fn fields_are_quoted_where_rfc_4180_demands_it_and_null_differs_from_an_empty_text() {
        let cells = [Some("x,y"), None, Some(""), Some("two\nlines"), Some("say \"hi\""), Some("plain text")];
        let rows = cells.chunks(2).map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect()).collect();
        let result = texts(&["a", "the \"b\""], rows);
        let expected = ["a,\"the \"\"b\"\"\"", "\"x,y\",", "\"\",\"two\nlines\"", "\"say \"\"hi\"\"\",plain text"];
        assert_eq!(lines(&result), expected);
    }
}
