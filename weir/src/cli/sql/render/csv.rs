//! Comma-separated values.

use weir_protocol::job_graph::DataType;

/// The line with the names of the columns.
pub(super) fn header(columns: &[(String, DataType)]) -> String {
    columns.iter().map(|(name, _)| field(Some(name))).collect::<Vec<_>>().join(",")
}

/// The line of a row.
pub(super) fn line(row: &[Option<String>]) -> String {
    row.iter().map(|cell| field(cell.as_deref())).collect::<Vec<_>>().join(",")
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
    use super::*;

    #[test]
    fn fields_are_quoted_where_rfc_4180_demands_it_and_null_differs_from_an_empty_text() {
        let cells = [Some("x,y"), None, Some(""), Some("two\nlines"), Some("say \"hi\""), Some("plain text")];
        let rows = cells.chunks(2).map(|row| row.iter().map(|cell| cell.map(str::to_owned)).collect()).collect();
        let rows: Vec<Vec<Option<String>>> = rows;
        let columns = ["a", "the \"b\""].map(|name| (name.to_owned(), DataType::String));
        assert_eq!(header(&columns), "a,\"the \"\"b\"\"\"");
        let expected = ["\"x,y\",", "\"\",\"two\nlines\"", "\"say \"\"hi\"\"\",plain text"];
        assert_eq!(rows.iter().map(|row| line(row)).collect::<Vec<_>>(), expected);
    }
}
