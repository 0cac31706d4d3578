//! Aggregates over distinct values that can be taken back.

use std::any::Any;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array};
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;
use hashbrown::HashTable;
use hashbrown::hash_table::Entry;

use super::counted::number;
use crate::aggregates::accumulator::{Accumulator, like};
use crate::aggregates::cell::Cell;
use crate::aggregates::rows::{SelectedRows, Selection, pairs};
use crate::operator::OperatorError;
use crate::state::StateReader;

/// Counts how often each value is there. Another accumulator gets a value when it appears, and loses it when it is gone. Without
/// one, the result is the number of distinct values.
#[derive(Clone)]
pub(in crate::aggregates) struct DistinctCounts<C> {
    slots: Vec<HashTable<(C, i64)>>,
    inner: Option<Box<dyn Accumulator>>,
    /// Type of the values.
    data_type: DataType,
}

/// What a row did to the values of its slot.
#[derive(PartialEq)]
enum Outcome {
    /// A value appeared, or is gone.
    Passes,
    /// Its value is there more or less often.
    Counted,
    Missing,
}

impl<C: Cell> DistinctCounts<C> {
    /// `inner` must be retractable.
    pub(in crate::aggregates) fn new(inner: Option<Box<dyn Accumulator>>, data_type: DataType) -> Self {
        Self { slots: Vec::new(), inner, data_type }
    }

    fn add(&mut self, slot: usize, value: &C, count: i64) -> Outcome {
        let hash = C::hash(value.borrow());
        let same = |(known, _): &(C, i64)| C::total_order(known.borrow(), value.borrow()).is_eq();
        match self.slots[slot].find_mut(hash, same) {
            Some((_, known)) => {
                *known += count;
                Outcome::Counted
            }
            None => {
                self.slots[slot].insert_unique(hash, (value.clone(), count), |(known, _)| C::hash(known.borrow()));
                Outcome::Passes
            }
        }
    }

    #[inline]
    fn apply(&mut self, slot: usize, value: C, retracted: bool) -> Outcome {
        let entry = self.slots[slot].entry(
            C::hash(value.borrow()),
            |(known, _)| C::total_order(known.borrow(), value.borrow()).is_eq(),
            |(known, _)| C::hash(known.borrow()),
        );
        match entry {
            Entry::Occupied(mut held) if !retracted => {
                held.get_mut().1 += 1;
                Outcome::Counted
            }
            Entry::Occupied(mut held) if held.get().1 > 1 => {
                held.get_mut().1 -= 1;
                Outcome::Counted
            }
            Entry::Occupied(held) => {
                held.remove();
                Outcome::Passes
            }
            Entry::Vacant(_) if retracted => Outcome::Missing,
            Entry::Vacant(free) => {
                free.insert((value, 1));
                Outcome::Passes
            }
        }
    }
}

/// The values in a fixed order, so that saved bytes do not depend on the layout of the table.
fn sorted<C: Cell>(values: &HashTable<(C, i64)>) -> Vec<&(C, i64)> {
    let mut values: Vec<_> = values.iter().collect();
    values.sort_unstable_by(|one, other| C::total_order(one.0.borrow(), other.0.borrow()));
    values
}

impl<C: Cell> Accumulator for DistinctCounts<C> {
    fn grow(&mut self, slots: usize) {
        self.slots.resize_with(slots, HashTable::new);
        self.inner.iter_mut().for_each(|inner| inner.grow(slots));
    }

    fn update(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>) {
        let rows_of_batch = column.map_or(0, |column| column.len());
        self.change(column, rows, &BooleanBuffer::new_unset(rows_of_batch));
    }

    fn change(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>, retracted: &BooleanBuffer) -> u64 {
        let Some(column) = column else { return 0 };
        let (mut missing, mut passed, mut slots) = (0, Vec::new(), Vec::new());
        C::each(column, rows, |slot, row, value| match self.apply(slot, C::own(value).canonical(), retracted.value(row)) {
            Outcome::Passes => {
                passed.push(row as u32);
                slots.push(slot as u32);
            }
            Outcome::Counted => {}
            Outcome::Missing => missing += 1,
        });
        let Some(inner) = &mut self.inner else { return missing };
        let rows = SelectedRows { valid: None, selection: Selection::Rows(&passed), slots: &slots, ..*rows };
        missing + inner.change(Some(column), &rows, retracted)
    }

    fn clear(&mut self, slot: usize) {
        self.slots[slot] = HashTable::new();
        self.inner.iter_mut().for_each(|inner| inner.clear(slot));
    }

    /// Of a value that both have, only the numbers are added. The other values follow ours, in their order.
    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]) {
        let theirs = like::<Self>(from);
        let (mut values, mut new_slots) = (Vec::new(), Vec::new());
        for (from, into) in pairs(slots) {
            for (value, count) in sorted(&theirs.slots[from]) {
                if self.add(into, value, *count) == Outcome::Passes {
                    values.push(value);
                    new_slots.push(into as u32);
                }
            }
        }
        let first_arrival = self.last_arrival() + 1;
        let Some(inner) = &mut self.inner else { return };
        let column = C::array(&self.data_type, values.into_iter().map(Some));
        inner.update(Some(&column), &SelectedRows { valid: None, selection: Selection::All, slots: &new_slots, first_arrival });
    }

    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        match &self.inner {
            Some(inner) => inner.finish(slots),
            None => {
                let counts = slots.iter().map(|slot| Some(self.slots[*slot as usize].len() as i64));
                Ok(Arc::new(counts.collect::<Int64Array>()))
            }
        }
    }

    fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        for slot in slots {
            let values = &self.slots[*slot as usize];
            out.extend((values.len() as u32).to_le_bytes());
            for (value, count) in sorted(values) {
                value.write(out);
                out.extend(count.to_le_bytes());
            }
            self.inner.iter().for_each(|inner| inner.write(&[*slot], out));
        }
    }

    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        // A value takes at least four bytes, its number eight.
        for _ in 0..reader.count(12)? {
            let value = C::read(reader)?.canonical();
            if self.add(slot, &value, number(reader)?) != Outcome::Passes {
                return Err(StateReader::corrupt("a value appears twice"));
            }
        }
        self.inner.iter_mut().try_for_each(|inner| inner.read(slot, reader))
    }

    fn last_arrival(&self) -> i64 {
        self.inner.as_ref().map_or(-1, |inner| inner.last_arrival())
    }

    fn copy(&self) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
