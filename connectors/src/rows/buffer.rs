//! Builds rows in one growing vector per column. A row that turns out to be bad can be rolled back.

use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{ArrowError, SchemaRef};
use weir_dataflow::operator::OperatorError;

use super::column::{BadValue, Column};

/// Builds rows of one schema.
pub struct RowBuffer {
    schema: SchemaRef,
    columns: Vec<Column>,
    rows: usize,
    text_bytes: usize,
}

impl std::fmt::Debug for RowBuffer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("RowBuffer").field("schema", &self.schema).field("rows", &self.rows).finish_non_exhaustive()
    }
}

impl RowBuffer {
    /// Creates an empty buffer. Error: `CONN-TYPE` for a column type that connectors don't support.
    pub fn new(schema: SchemaRef) -> Result<Self, OperatorError> {
        let columns = schema.fields().iter().map(|field| Column::new(field)).collect::<Result<_, _>>()?;
        Ok(Self { schema, columns, rows: 0, text_bytes: 0 })
    }

    /// Number of complete rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Number of input bytes of the complete rows, and of those that were taken back.
    pub fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// The column, into which the caller pushes the value of the current row. Push exactly one value into every column before
    /// [`Self::commit_row`].
    pub(crate) fn column(&mut self, index: usize) -> &mut Column {
        &mut self.columns[index]
    }

    /// Of the first `count` columns, those that no row of JSON has had since the buffer was made.
    pub(crate) fn unseen(&self, count: usize) -> impl Iterator<Item = &str> {
        self.columns.iter().take(count).filter(|column| !column.was_seen()).map(Column::name)
    }

    /// All columns, in the order of the schema.
    pub(crate) fn columns_mut(&mut self) -> &mut [Column] {
        &mut self.columns
    }

    /// Completes the current row. `text_bytes` is the length of its input.
    pub(crate) fn commit_row(&mut self, text_bytes: usize) {
        self.rows += 1;
        self.text_bytes += text_bytes;
    }

    /// Removes the values that were pushed since the last complete row.
    pub(crate) fn rollback_row(&mut self) {
        for column in &mut self.columns {
            column.truncate(self.rows);
        }
    }

    /// Pushes a row whose input has `text_bytes` bytes. If `push` fails, the rows are as before.
    pub(crate) fn push_row(
        &mut self,
        text_bytes: usize,
        push: impl FnOnce(&mut Self) -> Result<(), BadValue>,
    ) -> Result<(), BadValue> {
        let pushed = push(self);
        match &pushed {
            Ok(()) => self.commit_row(text_bytes),
            Err(_) => self.rollback_row(),
        }
        pushed
    }

    /// Takes back the rows from this position on.
    pub fn truncate(&mut self, rows: usize) {
        self.rows = self.rows.min(rows);
        self.rollback_row();
    }

    /// Returns the complete rows as a batch and empties the buffer.
    pub fn finish(&mut self) -> Result<RecordBatch, ArrowError> {
        self.rollback_row();
        let capacity = self.rows;
        let arrays = self.columns.iter_mut().map(|column| column.finish(capacity)).collect::<Result<_, _>>()?;
        self.rows = 0;
        self.text_bytes = 0;
        let options = RecordBatchOptions::new().with_row_count(Some(capacity));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), arrays, &options)
    }
}

#[cfg(test)]
mod tests {
    use arrow_array::{Array, StringArray};
    use arrow_schema::{DataType, Field, Schema};

    use super::*;

    fn buffer(data_type: DataType, nullable: bool) -> RowBuffer {
        RowBuffer::new(Arc::new(Schema::new(vec![Field::new("c", data_type, nullable)]))).unwrap()
    }

    #[test]
    fn a_bad_row_is_rolled_back_with_its_nulls_and_text() {
        let mut rows = buffer(DataType::Utf8, true);
        rows.column(0).push_text(b"one").unwrap();
        rows.commit_row(3);
        rows.column(0).push_null().unwrap();
        rows.rollback_row();
        rows.column(0).push_text(b"two").unwrap();
        rows.rollback_row();
        rows.column(0).push_null().unwrap();
        rows.commit_row(0);
        rows.column(0).push_text(b"").unwrap();
        rows.commit_row(2);
        let batch = rows.finish().unwrap();
        let column: &StringArray = batch.column(0).as_any().downcast_ref().unwrap();
        assert_eq!(column.iter().collect::<Vec<_>>(), [Some("one"), None, Some("")]);
        assert_eq!(rows.rows(), 0);
        assert_eq!(rows.finish().unwrap().num_rows(), 0);
    }

    #[test]
    fn values_out_of_range_and_of_the_wrong_kind_are_refused() {
        let mut int = buffer(DataType::Int32, false);
        assert!(int.column(0).push_text(b"2147483648").is_err());
        assert_eq!(int.column(0).push_integer_prefix(b"2147483648", b','), None);
        assert!(int.column(0).push_null().is_err());
        assert!(int.column(0).push_text(b"1.0").is_err());
        assert_eq!(int.column(0).len(), 0);
        let mut bigint = buffer(DataType::Int64, false);
        bigint.column(0).push_text(b" -9223372036854775808 ").unwrap();
        assert!(bigint.column(0).push_text(b"9223372036854775808").is_err());
        assert!(buffer(DataType::Boolean, false).column(0).push_text(b"1").is_err());
        assert!(buffer(DataType::Utf8, false).column(0).push_text(b"\xff\xfe").is_err());
        assert!(RowBuffer::new(Arc::new(Schema::new(vec![Field::new("c", DataType::Date64, true)]))).is_err());
    }
}
