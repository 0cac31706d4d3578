//! First and last values, in the order of arrival.

use std::any::Any;

use arrow_array::ArrayRef;
use arrow_schema::DataType;

use super::accumulator::{Accumulator, like};
use super::cell::Cell;
use super::rows::{SelectedRows, pairs};
use crate::operator::OperatorError;
use crate::state::StateReader;

/// FIRST_VALUE or LAST_VALUE. An entry keeps the number of the row that its value came from, because panes of a window are not
/// filled one after the other.
#[derive(Clone)]
pub(super) struct Picked<C> {
    values: Vec<C>,
    /// -1 if there is no value.
    arrivals: Vec<i64>,
    last: bool,
    data_type: DataType,
}

impl<C: Cell> Picked<C> {
    /// `data_type` is the type of the values.
    pub(super) fn new(last: bool, data_type: DataType) -> Self {
        Self { values: Vec::new(), arrivals: Vec::new(), last, data_type }
    }

    #[inline]
    fn offer(&mut self, slot: usize, value: C::Ref<'_>, arrival: i64) {
        let known = self.arrivals[slot];
        if known < 0 || (arrival > known) == self.last {
            self.values[slot] = C::own(value);
            self.arrivals[slot] = arrival;
        }
    }
}

impl<C: Cell> Accumulator for Picked<C> {
    fn grow(&mut self, slots: usize) {
        self.values.resize(slots, C::default());
        self.arrivals.resize(slots, -1);
    }

    fn update(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>) {
        let Some(column) = column else { return };
        C::each(column, rows, |slot, row, value| self.offer(slot, value, rows.first_arrival + row as i64));
    }

    fn clear(&mut self, slot: usize) {
        self.values[slot] = C::default();
        self.arrivals[slot] = -1;
    }

    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]) {
        let theirs = like::<Self>(from);
        for (from, into) in pairs(slots).filter(|(from, _)| theirs.arrivals[*from] >= 0) {
            self.offer(into, theirs.values[from].borrow(), theirs.arrivals[from]);
        }
    }

    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        let each = slots.iter().map(|slot| *slot as usize);
        Ok(C::array(&self.data_type, each.map(|slot| (self.arrivals[slot] >= 0).then(|| &self.values[slot]))))
    }

    fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        for slot in slots.iter().map(|slot| *slot as usize) {
            out.extend(self.arrivals[slot].to_le_bytes());
            self.values[slot].write(out);
        }
    }

    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        self.arrivals[slot] = reader.i64()?;
        self.values[slot] = C::read(reader)?;
        Ok(())
    }

    fn last_arrival(&self) -> i64 {
        self.arrivals.iter().copied().max().unwrap_or(-1)
    }

    fn copy(&self) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
