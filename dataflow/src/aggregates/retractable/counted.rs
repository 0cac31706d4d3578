//! MIN and MAX over values that can be taken back, and COLLECT.

use std::any::Any;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int32Array, MapArray, StructArray};
use arrow_buffer::{BooleanBuffer, OffsetBuffer};
use arrow_schema::DataType;

use crate::aggregates::accumulator::{Accumulator, like};
use crate::aggregates::cell::{Cell, InOrder};
use crate::aggregates::rows::{SelectedRows, pairs};
use crate::operator::OperatorError;
use crate::state::StateReader;

/// What an aggregate shows of the values that are there.
#[derive(Debug, Clone)]
pub(in crate::aggregates) enum CountsShown {
    Least,
    Greatest,
    /// All, as a multiset of this type.
    Multiset(DataType),
}

/// MIN, MAX or COLLECT. A slot holds every value with its number, in Java's order: -0 is less than 0, and NaN is greater than all
/// numbers.
#[derive(Clone)]
pub(in crate::aggregates) struct Counted<C> {
    slots: Vec<BTreeMap<InOrder<C>, i64>>,
    shown: CountsShown,
    /// Type of the values.
    data_type: DataType,
}

impl<C: Cell> Counted<C> {
    /// `data_type` is the type of the values.
    pub(in crate::aggregates) fn new(shown: CountsShown, data_type: DataType) -> Self {
        Self { slots: Vec::new(), shown, data_type }
    }

    fn multisets(&self, data_type: &DataType, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        let overflow = |what: String| OperatorError::fatal("AGG-OVERFLOW", what);
        let DataType::Map(entries, _) = data_type else { unreachable!("COLLECT makes multisets") };
        let DataType::Struct(fields) = entries.data_type() else { unreachable!("a map has keys and values") };
        let held = || slots.iter().map(|slot| &self.slots[*slot as usize]);
        if i32::try_from(held().map(BTreeMap::len).sum::<usize>()).is_err() {
            return Err(overflow("the multisets of one batch have too many elements; group by more columns".into()));
        }
        let values = C::array(&self.data_type, held().flat_map(BTreeMap::keys).map(|value| Some(&value.0)));
        let counts = held().flat_map(BTreeMap::values).map(|count| i32::try_from(*count).unwrap_or(i32::MAX));
        let counts: ArrayRef = Arc::new(counts.collect::<Int32Array>());
        let pairs =
            StructArray::try_new(fields.clone(), vec![values, counts], None).map_err(|error| overflow(error.to_string()))?;
        let offsets = OffsetBuffer::from_lengths(held().map(BTreeMap::len));
        let maps = MapArray::try_new(entries.clone(), offsets, pairs, None, false);
        Ok(Arc::new(maps.map_err(|error| overflow(error.to_string()))?))
    }

    #[inline]
    fn add(&mut self, slot: usize, value: C, count: i64) {
        *self.slots[slot].entry(InOrder(value.with_one_nan())).or_insert(0) += count;
    }

    /// Returns whether the value was there.
    #[inline]
    fn take_back(&mut self, slot: usize, value: C) -> bool {
        let Entry::Occupied(mut held) = self.slots[slot].entry(InOrder(value.with_one_nan())) else { return false };
        if *held.get() > 1 {
            *held.get_mut() -= 1;
        } else {
            held.remove();
        }
        true
    }
}

impl<C: Cell> Accumulator for Counted<C> {
    fn grow(&mut self, slots: usize) {
        self.slots.resize_with(slots, BTreeMap::new);
    }

    fn update(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>) {
        let Some(column) = column else { return };
        C::each(column, rows, |slot, _, value| self.add(slot, C::own(value), 1));
    }

    fn change(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>, retracted: &BooleanBuffer) -> u64 {
        let Some(column) = column else { return 0 };
        let mut missing = 0;
        C::each(column, rows, |slot, row, value| {
            if !retracted.value(row) {
                self.add(slot, C::own(value), 1);
            } else if !self.take_back(slot, C::own(value)) {
                missing += 1;
            }
        });
        missing
    }

    fn clear(&mut self, slot: usize) {
        self.slots[slot] = BTreeMap::new();
    }

    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]) {
        let theirs = like::<Self>(from);
        for (from, into) in pairs(slots) {
            theirs.slots[from].iter().for_each(|(value, count)| self.add(into, value.0.clone(), *count));
        }
    }

    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        let greatest = match &self.shown {
            CountsShown::Multiset(data_type) => return self.multisets(data_type, slots),
            CountsShown::Greatest => true,
            CountsShown::Least => false,
        };
        let held = slots.iter().map(|slot| &self.slots[*slot as usize]);
        let best = held.map(|values| if greatest { values.last_key_value() } else { values.first_key_value() });
        Ok(C::array(&self.data_type, best.map(|best| best.map(|(value, _)| &value.0))))
    }

    fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        for values in slots.iter().map(|slot| &self.slots[*slot as usize]) {
            out.extend((values.len() as u32).to_le_bytes());
            for (value, count) in values {
                value.0.write(out);
                out.extend(count.to_le_bytes());
            }
        }
    }

    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        // A value takes at least four bytes, its number eight.
        for _ in 0..reader.count(12)? {
            let value = InOrder(C::read(reader)?.with_one_nan());
            if self.slots[slot].insert(value, number(reader)?).is_some() {
                return Err(StateReader::corrupt("a value appears twice"));
            }
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

/// Reads the number of a value, which is at least 1.
pub(super) fn number(reader: &mut StateReader<'_>) -> Result<i64, OperatorError> {
    // Beyond this, adding to it could overflow.
    const MOST: i64 = i64::MAX / 2;
    Some(reader.i64()?)
        .filter(|number| (1..=MOST).contains(number))
        .ok_or_else(|| StateReader::corrupt("a number is out of range"))
}
