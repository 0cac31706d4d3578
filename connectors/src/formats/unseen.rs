//! Tells of columns that no message has.

use crate::rows::RowBuffer;

/// At most as many rows are looked at.
const INSPECTED_ROWS: usize = 1_000;

/// Looks whether the first rows of JSON have each column. One that none of them has is probably misspelt, and gives only nulls.
#[derive(Debug, Default)]
pub struct UnseenColumns {
    rows: usize,
    is_done: bool,
}

impl UnseenColumns {
    /// Counts the rows, which are about to be taken out. When enough have come, or at the end, tells in the log which of the first
    /// `columns` none of them had, once. `place` says where the rows come from.
    pub fn look(&mut self, rows: &RowBuffer, columns: usize, is_end: bool, place: impl Fn() -> String) {
        for column in self.found(rows, columns, is_end) {
            tracing::warn!(
                place = place(),
                column,
                "none of the first {} rows has this column, so it is null: is its name misspelt?",
                self.rows
            );
        }
    }

    fn found(&mut self, rows: &RowBuffer, columns: usize, is_end: bool) -> Vec<String> {
        if self.is_done {
            return Vec::new();
        }
        self.rows += rows.rows();
        if self.rows == 0 || (self.rows < INSPECTED_ROWS && !is_end) {
            return Vec::new();
        }
        self.is_done = true;
        rows.unseen(columns).map(str::to_owned).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow_schema::{DataType, Field, Schema};
    use serde_json::json;

    use super::*;
    use crate::formats::FormatOptions;

    /// What is found after `rows` rows with a column `a`, of which the last one has `b` too.
    fn after(rows: usize, is_end: bool) -> Vec<String> {
        let field = |name: &str| Field::new(name, DataType::Int64, true);
        let schema = Arc::new(Schema::new(vec![field("a"), field("b"), field("c")]));
        let mut decoder = serde_json::from_value::<FormatOptions>(json!({"kind": "json"})).unwrap().decoder(&schema).unwrap();
        let mut buffer = RowBuffer::new(schema).unwrap();
        let mut unseen = UnseenColumns::default();
        let mut found = Vec::new();
        for row in 0..rows {
            let message = if row + 1 == rows { "{\"a\":1,\"b\":null}" } else { "{\"a\":1}" };
            decoder.decode(message.as_bytes(), &mut buffer).unwrap();
            if buffer.rows() == 10 {
                found.extend(unseen.found(&buffer, 3, false));
                buffer.finish().unwrap();
            }
        }
        found.extend(unseen.found(&buffer, 3, is_end));
        assert!(!unseen.is_done || unseen.found(&buffer, 3, true).is_empty(), "it is told once");
        found
    }

    #[test]
    fn a_column_that_is_in_no_row_is_found_once() {
        assert_eq!(after(0, true), Vec::<String>::new());
        assert_eq!(after(999, false), Vec::<String>::new());
        assert_eq!(after(1_000, false), ["c"]);
        assert_eq!(after(1_001, false), ["b", "c"], "only the first rows count");
        assert_eq!(after(7, true), ["c"]);
    }
}
