//! What all accumulators do.

use std::any::Any;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use arrow_buffer::BooleanBuffer;

use super::rows::{SelectedRows, pairs};
use crate::operator::OperatorError;
use crate::state::StateReader;

/// The values of one aggregate, with one entry per slot; a slot is the number of a key.
///
/// Entries hold enough to add a row with a weight, so that a row can also be taken back where the function allows it.
pub(crate) trait Accumulator: Send + Sync {
    /// Makes room for this many slots. New slots are empty.
    fn grow(&mut self, slots: usize);

    /// Adds rows. `column` has the argument's values; it is absent if the aggregate counts rows.
    fn update(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>);

    /// Takes back the rows of the batch whose bit in `retracted` is set, and adds the others, in their order. Returns how many it
    /// was to take back and did not hold. Only accumulators of [`retractable`](super::AggregateCall::retractable_accumulator)
    /// kind can take rows back; others leave the rows alone, and return their number.
    fn change(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>, retracted: &BooleanBuffer) -> u64 {
        let _ = (column, retracted);
        let mut missing = 0;
        rows.each(|_, _| missing += 1);
        missing
    }

    /// Empties a slot.
    fn clear(&mut self, slot: usize);

    /// Adds the accumulator `from` of the same aggregate. `slots` maps each slot of `from` to a slot of this one, or to
    /// [`NO_SLOT`](super::rows::NO_SLOT), which skips it.
    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]);

    /// The output column for these slots. Error: `AGG-OVERFLOW` if a sum does not fit its type.
    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError>;

    /// Appends the values of these slots. The bytes are part of the state format.
    fn write(&self, slots: &[u32], out: &mut Vec<u8>);

    /// Reads the value of one slot as `write` wrote it. `grow` must have created the slot.
    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError>;

    /// The highest number of an arrived row that an entry holds; -1 if none holds any.
    fn last_arrival(&self) -> i64 {
        -1
    }

    fn copy(&self) -> Box<dyn Accumulator>;

    fn as_any(&self) -> &dyn Any;
}

impl Clone for Box<dyn Accumulator> {
    fn clone(&self) -> Self {
        self.copy()
    }
}

/// The accumulator as its type.
pub(super) fn like<A: Accumulator + 'static>(from: &dyn Accumulator) -> &A {
    let Some(same) = from.as_any().downcast_ref() else { unreachable!("all accumulators of one aggregate have the same type") };
    same
}

/// Counts rows, or the values that are not null.
#[derive(Clone, Default)]
pub(super) struct Count(Vec<i64>);

impl Accumulator for Count {
    fn grow(&mut self, slots: usize) {
        self.0.resize(slots, 0);
    }

    fn update(&mut self, _: Option<&ArrayRef>, rows: &SelectedRows<'_>) {
        rows.each(|slot, _| self.0[slot] += 1);
    }

    fn change(&mut self, _: Option<&ArrayRef>, rows: &SelectedRows<'_>, retracted: &BooleanBuffer) -> u64 {
        rows.each(|slot, row| self.0[slot] += if retracted.value(row) { -1 } else { 1 });
        0
    }

    fn clear(&mut self, slot: usize) {
        self.0[slot] = 0;
    }

    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]) {
        let theirs = like::<Self>(from);
        pairs(slots).for_each(|(from, into)| self.0[into] += theirs.0[from]);
    }

    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        Ok(Arc::new(slots.iter().map(|slot| Some(self.0[*slot as usize])).collect::<Int64Array>()))
    }

    fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        slots.iter().for_each(|slot| out.extend(self.0[*slot as usize].to_le_bytes()));
    }

    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        self.0[slot] = reader.i64()?;
        Ok(())
    }

    fn copy(&self) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
