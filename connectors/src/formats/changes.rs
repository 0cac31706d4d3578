//! The changes of a batch, for the formats that write them.

use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_array::{PrimitiveArray, RecordBatch};
use weir_dataflow::changelog::{RowKind, kind_column};
use weir_dataflow::operator::OperatorError;

use crate::rows::text::members_of;
use crate::rows::view::Member;

/// The rows of a batch, each with its kind. Without a column of kinds, all are inserts.
pub(super) struct Changes<'a> {
    /// The columns without that of kinds.
    pub(super) columns: Vec<Member<'a>>,
    kinds: Option<&'a PrimitiveArray<Int8Type>>,
}

impl<'a> Changes<'a> {
    pub(super) fn of(batch: &'a RecordBatch) -> Result<Self, OperatorError> {
        let kinds = kind_column(batch.schema_ref());
        let mut columns = members_of(batch)?;
        columns.truncate(kinds.unwrap_or(columns.len()));
        Ok(Self { columns, kinds: kinds.map(|column| batch.column(column).as_primitive::<Int8Type>()) })
    }

    /// Whether the row is there after the change; if not, it was there before. Error: `CHANGELOG` for a kind that does not exist.
    pub(super) fn is_after(&self, row: usize) -> Result<bool, OperatorError> {
        match self.kinds.map_or(Some(RowKind::Insert), |kinds| RowKind::of(kinds.value(row))) {
            Some(RowKind::Insert | RowKind::UpdateAfter) => Ok(true),
            Some(RowKind::UpdateBefore | RowKind::Delete) => Ok(false),
            None => Err(OperatorError::fatal("CHANGELOG", format!("row {row} has a kind that does not exist"))),
        }
    }
}
