//! Aggregates over distinct values.

use std::any::Any;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array};
use arrow_schema::DataType;
use hashbrown::HashTable;

use super::accumulator::{Accumulator, like};
use super::cell::Cell;
use super::rows::{SelectedRows, Selection, pairs};
use crate::operator::OperatorError;
use crate::state::StateReader;

/// Passes each value to another accumulator once, or, without one, counts the distinct values.
#[derive(Clone)]
pub(super) struct Distinct<C> {
    sets: Vec<HashTable<C>>,
    inner: Option<Box<dyn Accumulator>>,
    /// Type of the values.
    data_type: DataType,
}

impl<C: Cell> Distinct<C> {
    pub(super) fn new(inner: Option<Box<dyn Accumulator>>, data_type: DataType) -> Self {
        Self { sets: Vec::new(), inner, data_type }
    }
}

fn is_same<C: Cell>(one: &C, other: C::Ref<'_>) -> bool {
    C::total_order(one.borrow(), other).is_eq()
}

/// Adds a value that has been made canonical. Returns whether it is new.
fn insert<C: Cell>(set: &mut HashTable<C>, value: C) -> bool {
    let hash = C::hash(value.borrow());
    if set.find(hash, |known| is_same(known, value.borrow())).is_some() {
        return false;
    }
    set.insert_unique(hash, value, |known| C::hash(known.borrow()));
    true
}

/// The values in a fixed order, so that results and saved bytes do not depend on the layout of the table.
fn sorted<C: Cell>(set: &HashTable<C>) -> Vec<&C> {
    let mut values: Vec<_> = set.iter().collect();
    values.sort_unstable_by(|one, other| C::total_order(one.borrow(), other.borrow()));
    values
}

impl<C: Cell> Accumulator for Distinct<C> {
    fn grow(&mut self, slots: usize) {
        self.sets.resize_with(slots, HashTable::new);
        self.inner.iter_mut().for_each(|inner| inner.grow(slots));
    }

    fn update(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>) {
        let Some(column) = column else { return };
        let sets = &mut self.sets;
        let Some(inner) = &mut self.inner else {
            return C::each(column, rows, |slot, _, value| {
                insert(&mut sets[slot], C::own(value).canonical());
            });
        };
        let (mut new_rows, mut slots) = (Vec::new(), Vec::new());
        C::each(column, rows, |slot, row, value| {
            if insert(&mut sets[slot], C::own(value).canonical()) {
                new_rows.push(row as u32);
                slots.push(slot as u32);
            }
        });
        let new = SelectedRows { valid: None, selection: Selection::Rows(&new_rows), slots: &slots, ..*rows };
        inner.update(Some(column), &new);
    }

    fn clear(&mut self, slot: usize) {
        self.sets[slot] = HashTable::new();
        self.inner.iter_mut().for_each(|inner| inner.clear(slot));
    }

    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]) {
        let theirs = like::<Self>(from);
        let Some(inner) = &mut self.inner else {
            for (from, into) in pairs(slots) {
                theirs.sets[from].iter().for_each(|value| {
                    insert(&mut self.sets[into], value.clone());
                });
            }
            return;
        };
        let (mut values, mut new_slots) = (Vec::new(), Vec::new());
        for (from, into) in pairs(slots) {
            for value in sorted(&theirs.sets[from]) {
                if insert(&mut self.sets[into], value.clone()) {
                    values.push(value);
                    new_slots.push(into as u32);
                }
            }
        }
        let column = C::array(&self.data_type, values.into_iter().map(Some));
        let rows = SelectedRows { valid: None, selection: Selection::All, slots: &new_slots, first_arrival: 0 };
        inner.update(Some(&column), &rows);
    }

    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        match &self.inner {
            Some(inner) => inner.finish(slots),
            None => {
                let counts = slots.iter().map(|slot| Some(self.sets[*slot as usize].len() as i64));
                Ok(Arc::new(counts.collect::<Int64Array>()))
            }
        }
    }

    fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        for slot in slots {
            let set = &self.sets[*slot as usize];
            out.extend((set.len() as u32).to_le_bytes());
            sorted(set).into_iter().for_each(|value| value.write(out));
            self.inner.iter().for_each(|inner| inner.write(&[*slot], out));
        }
    }

    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        // No value takes fewer than four bytes.
        for _ in 0..reader.count(4)? {
            insert(&mut self.sets[slot], C::read(reader)?.canonical());
        }
        self.inner.iter_mut().try_for_each(|inner| inner.read(slot, reader))
    }

    fn copy(&self) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
