//! ARRAY_AGG over rows that are never taken back.

use std::any::Any;
use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{NullBuffer, OffsetBuffer};
use arrow_schema::DataType;

use super::accumulator::{Accumulator, like};
use super::cell::Cell;
use super::rows::{SelectedRows, pairs};
use crate::operator::OperatorError;
use crate::state::StateReader;

/// The values of each slot, in the order of arrival.
#[derive(Clone)]
pub(super) struct ValueList<C> {
    lists: Vec<Vec<C>>,
    /// Type of the arrays.
    data_type: DataType,
}

impl<C: Cell> ValueList<C> {
    /// `data_type` is the type of the arrays.
    pub(super) fn new(data_type: DataType) -> Self {
        Self { lists: Vec::new(), data_type }
    }
}

/// A column of arrays, each of these values; NULL where there are none. Error: `AGG-OVERFLOW` for more than 2³¹ values.
pub(super) fn lists<'a, C: Cell, V: Iterator<Item = &'a C>>(
    data_type: &DataType,
    slots: impl Iterator<Item = V>,
) -> Result<ArrayRef, OperatorError> {
    let DataType::List(field) = data_type else { unreachable!("ARRAY_AGG makes arrays") };
    let mut values = Vec::new();
    let lengths: Vec<usize> = slots
        .map(|slot| {
            let before = values.len();
            values.extend(slot);
            values.len() - before
        })
        .collect();
    if i32::try_from(values.len()).is_err() {
        let message = "the arrays of one batch have too many elements; group by more columns, or filter rows";
        return Err(OperatorError::fatal("AGG-OVERFLOW", message));
    }
    let nulls: NullBuffer = lengths.iter().map(|length| *length > 0).collect();
    let elements = C::array(field.data_type(), values.into_iter().map(Some));
    let lists = ListArray::try_new(field.clone(), OffsetBuffer::from_lengths(lengths), elements, Some(nulls));
    Ok(Arc::new(lists.map_err(|error| OperatorError::fatal("AGG-OVERFLOW", error.to_string()))?))
}

impl<C: Cell> Accumulator for ValueList<C> {
    fn grow(&mut self, slots: usize) {
        self.lists.resize_with(slots, Vec::new);
    }

    fn update(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>) {
        let Some(column) = column else { return };
        C::each(column, rows, |slot, _, value| self.lists[slot].push(C::own(value)));
    }

    fn clear(&mut self, slot: usize) {
        self.lists[slot] = Vec::new();
    }

    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]) {
        let theirs = like::<Self>(from);
        pairs(slots).for_each(|(from, into)| self.lists[into].extend_from_slice(&theirs.lists[from]));
    }

    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        lists(&self.data_type, slots.iter().map(|slot| self.lists[*slot as usize].iter()))
    }

    fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        for list in slots.iter().map(|slot| &self.lists[*slot as usize]) {
            out.extend((list.len() as u32).to_le_bytes());
            list.iter().for_each(|value| value.write(out));
        }
    }

    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        // A value takes at least four bytes.
        for _ in 0..reader.count(4)? {
            self.lists[slot].push(C::read(reader)?);
        }
        Ok(())
    }

    fn copy(&self) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
