//! FIRST_VALUE, LAST_VALUE, LISTAGG and ARRAY_AGG over values that can be taken back.

use std::any::Any;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use arrow_array::{ArrayRef, StringArray};
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;

use crate::aggregates::accumulator::{Accumulator, like};
use crate::aggregates::cell::{Cell, InOrder};
use crate::aggregates::rows::{SelectedRows, pairs};
use crate::aggregates::value_list::lists;
use crate::operator::OperatorError;
use crate::state::StateReader;

/// Every value of a slot, by the number of its row in the order of arrival.
#[derive(Clone)]
pub(in crate::aggregates) struct Arrivals<C> {
    by_arrival: BTreeMap<i64, C>,
    by_value: BTreeSet<(InOrder<C>, i64)>,
}

impl<C> Default for Arrivals<C> {
    fn default() -> Self {
        Self { by_arrival: BTreeMap::new(), by_value: BTreeSet::new() }
    }
}

impl<C: Cell> Arrivals<C> {
    /// Returns whether nothing had arrived under this number.
    fn add(&mut self, arrival: i64, value: C) -> bool {
        self.by_value.insert((InOrder(value.clone()), arrival));
        self.by_arrival.insert(arrival, value).is_none()
    }

    /// Takes back the value, of several equal ones the first, as in Flink. Returns whether it was there.
    fn take_back(&mut self, value: C) -> bool {
        let from = (InOrder(value), i64::MIN);
        let Some(first) = self.by_value.range(&from..).next().filter(|first| first.0 == from.0).cloned() else { return false };
        self.by_arrival.remove(&first.1);
        self.by_value.remove(&first)
    }
}

/// What an aggregate shows of the values that are there.
pub(in crate::aggregates) trait Shown<C>: Clone + Send + Sync + 'static {
    /// The output column. Error: `AGG-OVERFLOW` if it would be too large.
    fn column<'a>(&self, slots: impl Iterator<Item = &'a Arrivals<C>>) -> Result<ArrayRef, OperatorError>
    where
        C: 'a;
}

/// The value that arrived first, or last.
#[derive(Clone)]
pub(in crate::aggregates) struct PickedArrival {
    pub(in crate::aggregates) last: bool,
    /// Type of the values.
    pub(in crate::aggregates) data_type: DataType,
}

impl<C: Cell> Shown<C> for PickedArrival {
    fn column<'a>(&self, slots: impl Iterator<Item = &'a Arrivals<C>>) -> Result<ArrayRef, OperatorError>
    where
        C: 'a,
    {
        let picked =
            slots.map(|slot| if self.last { slot.by_arrival.last_key_value() } else { slot.by_arrival.first_key_value() });
        Ok(C::array(&self.data_type, picked.map(|picked| picked.map(|(_, value)| value))))
    }
}

/// All texts, one after the other.
#[derive(Clone)]
pub(in crate::aggregates) struct JoinedArrivals {
    pub(in crate::aggregates) delimiter: Arc<str>,
}

impl Shown<Box<str>> for JoinedArrivals {
    fn column<'a>(&self, slots: impl Iterator<Item = &'a Arrivals<Box<str>>>) -> Result<ArrayRef, OperatorError> {
        let joined = |slot: &Arrivals<Box<str>>| {
            let texts: Vec<&str> = slot.by_arrival.values().map(AsRef::as_ref).collect();
            (!texts.is_empty()).then(|| texts.join(&self.delimiter))
        };
        Ok(Arc::new(slots.map(joined).collect::<StringArray>()))
    }
}

/// All values, as an array.
#[derive(Clone)]
pub(in crate::aggregates) struct ListedArrivals {
    /// Type of the arrays.
    pub(in crate::aggregates) data_type: DataType,
}

impl<C: Cell> Shown<C> for ListedArrivals {
    fn column<'a>(&self, slots: impl Iterator<Item = &'a Arrivals<C>>) -> Result<ArrayRef, OperatorError>
    where
        C: 'a,
    {
        lists(&self.data_type, slots.map(|slot| slot.by_arrival.values()))
    }
}

/// An aggregate that keeps every value in the order of arrival.
#[derive(Clone)]
pub(in crate::aggregates) struct Retained<C, S> {
    slots: Vec<Arrivals<C>>,
    shown: S,
}

impl<C: Cell, S: Shown<C>> Retained<C, S> {
    pub(in crate::aggregates) fn new(shown: S) -> Self {
        Self { slots: Vec::new(), shown }
    }
}

impl<C: Cell, S: Shown<C>> Accumulator for Retained<C, S> {
    fn grow(&mut self, slots: usize) {
        self.slots.resize_with(slots, Arrivals::default);
    }

    fn update(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>) {
        let Some(column) = column else { return };
        C::each(column, rows, |slot, row, value| {
            self.slots[slot].add(rows.first_arrival + row as i64, C::own(value));
        });
    }

    fn change(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>, retracted: &BooleanBuffer) -> u64 {
        let Some(column) = column else { return 0 };
        let mut missing = 0;
        C::each(column, rows, |slot, row, value| {
            if !retracted.value(row) {
                self.slots[slot].add(rows.first_arrival + row as i64, C::own(value));
            } else if !self.slots[slot].take_back(C::own(value)) {
                missing += 1;
            }
        });
        missing
    }

    fn clear(&mut self, slot: usize) {
        self.slots[slot] = Arrivals::default();
    }

    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]) {
        let theirs = like::<Self>(from);
        for (from, into) in pairs(slots) {
            for (arrival, value) in &theirs.slots[from].by_arrival {
                self.slots[into].add(*arrival, value.clone());
            }
        }
    }

    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        self.shown.column(slots.iter().map(|slot| &self.slots[*slot as usize]))
    }

    fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        for slot in slots.iter().map(|slot| &self.slots[*slot as usize]) {
            out.extend((slot.by_arrival.len() as u32).to_le_bytes());
            for (arrival, value) in &slot.by_arrival {
                out.extend(arrival.to_le_bytes());
                value.write(out);
            }
        }
    }

    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        // An arrival takes eight bytes, a value at least four.
        for _ in 0..reader.count(12)? {
            let arrival = reader.i64()?;
            if !self.slots[slot].add(arrival, C::read(reader)?) {
                return Err(StateReader::corrupt("two values have one arrival"));
            }
        }
        Ok(())
    }

    fn last_arrival(&self) -> i64 {
        let last = |slot: &Arrivals<C>| slot.by_arrival.last_key_value().map(|(arrival, _)| *arrival);
        self.slots.iter().filter_map(last).max().unwrap_or(-1)
    }

    fn copy(&self) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
