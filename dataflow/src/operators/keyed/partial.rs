//! Partial aggregates: what `agg.local` makes of the rows of a batch, and `agg.group` and `window.agg` merge.
//!
//! A batch of `agg.local` has a further column, [`PARTIAL`]. Where it is null, the row is as it arrived. Where it is not, the row stands
//! for several rows of one key and pane. It then holds, apart from its place in the batch:
//!
//! ```text
//! number of rows: u32 | per aggregate: its accumulator, as in state
//! ```
//! The other columns are those of one of its rows, so that they give key and pane.

use arrow_array::builder::BinaryBuilder;
use arrow_array::cast::AsArray;
use arrow_array::{Array, BinaryArray, RecordBatch};
use arrow_buffer::NullBuffer;
use arrow_schema::{DataType, Field, Schema};

use super::Layout;
use crate::aggregates::{Accumulator, AggregateCall, AggregateInput, Selection};
use crate::operator::OperatorError;
use crate::state::StateReader;

/// The name of the column with partial aggregates. It is the last one.
pub const PARTIAL: &str = "__partial";

/// The column with partial aggregates.
pub(in crate::operators) fn partial_field() -> Field {
    Field::new(PARTIAL, DataType::Binary, true)
}

/// Error: `SCHEMA-PARTIAL` unless the last column of the input has partial aggregates.
pub(in crate::operators) fn check_partials(input: &Schema) -> Result<(), OperatorError> {
    if input.fields().last().is_some_and(|field| field.name() == PARTIAL && field.data_type() == &DataType::Binary) {
        return Ok(());
    }
    let message =
        format!("the input is to have partial aggregates, but its last column is not {PARTIAL} BYTES, as agg.local adds it");
    Err(OperatorError::fatal("SCHEMA-PARTIAL", message))
}

/// Writes a partial aggregate for each slot. `counts` has the number of rows of each.
pub(in crate::operators) fn write_partials(counts: &[u32], accumulators: &[Box<dyn Accumulator>]) -> BinaryArray {
    let mut partials = BinaryBuilder::with_capacity(counts.len(), counts.len() * (4 + 8 * accumulators.len()));
    let mut bytes = Vec::new();
    for (slot, count) in (0..).zip(counts) {
        bytes.clear();
        bytes.extend(count.to_le_bytes());
        accumulators.iter().for_each(|accumulator| accumulator.write(&[slot], &mut bytes));
        partials.append_value(&bytes);
    }
    partials.finish()
}

/// The partial aggregates of a batch.
pub(in crate::operators) struct Partials(BinaryArray);

impl Partials {
    /// Those of the last column; `None` if no row has any.
    pub(super) fn of(batch: &RecordBatch) -> Option<Self> {
        let column = batch.columns().last()?.as_binary_opt::<i32>()?;
        (column.null_count() < column.len()).then(|| Self(column.clone()))
    }

    /// Takes the rows that have a partial aggregate out of the rows that are added one by one.
    pub(super) fn leave_to_merge(&self, inputs: &mut [AggregateInput]) {
        let single = match self.0.nulls() {
            Some(nulls) => NullBuffer::new(!nulls.inner()),
            None => NullBuffer::new_null(self.0.len()),
        };
        inputs.iter_mut().for_each(|input| input.valid = NullBuffer::union(input.valid.as_ref(), Some(&single)));
    }

    /// Merges the partial aggregates of the selected rows. `slots` has the slot of each selected row. Error: `STATE-CORRUPT` if the
    /// bytes are not what [`write_partials`] makes with the same aggregates.
    pub(in crate::operators) fn merge(
        &self,
        layout: &Layout,
        selection: Selection<'_>,
        slots: &[u32],
        accumulators: &mut [Box<dyn Accumulator>],
    ) -> Result<(), OperatorError> {
        let mut read: Vec<_> = layout.aggregates.iter().map(AggregateCall::accumulator).collect();
        read.iter_mut().for_each(|accumulator| accumulator.grow(slots.len()));
        let mut into = Vec::new();
        for (row, slot) in selection.rows(self.0.len()).zip(slots).filter(|(row, _)| self.0.is_valid(*row)) {
            let mut reader = StateReader::over(self.0.value(row));
            reader.u32()?;
            read.iter_mut().try_for_each(|accumulator| accumulator.read(into.len(), &mut reader))?;
            into.push(*slot);
            reader.end()?;
        }
        accumulators.iter_mut().zip(&read).for_each(|(accumulator, read)| accumulator.merge(read.as_ref(), &into));
        Ok(())
    }

    /// Number of rows that the selected rows stand for.
    pub(in crate::operators) fn rows(&self, selection: Selection<'_>) -> u64 {
        let count = |row: usize| match self.0.is_valid(row) {
            true => self.0.value(row).first_chunk().map_or(1, |count| u32::from_le_bytes(*count)),
            false => 1,
        };
        selection.rows(self.0.len()).map(|row| u64::from(count(row))).sum()
    }
}
