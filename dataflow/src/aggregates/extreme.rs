//! Least and greatest values.

use std::any::Any;
use std::cmp::Ordering;

use arrow_array::ArrayRef;
use arrow_schema::DataType;

use super::accumulator::{Accumulator, like};
use super::cell::{Cell, flag};
use super::rows::{SelectedRows, pairs};
use crate::operator::OperatorError;
use crate::state::StateReader;

/// Which value wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preference {
    /// SQL's: a NaN never wins against a value that is there, nor loses.
    Least,
    Greatest,
    /// That of hand-written graphs: NaN is greater than all numbers, and -0 equals 0.
    LeastInTotalOrder,
    GreatestInTotalOrder,
}

impl Preference {
    #[inline]
    fn prefers<C: Cell>(self, candidate: C::Ref<'_>, best: C::Ref<'_>) -> bool {
        match self {
            Self::Least => C::compare(candidate, best) == Some(Ordering::Less),
            Self::Greatest => C::compare(candidate, best) == Some(Ordering::Greater),
            Self::LeastInTotalOrder => C::total_order(candidate, best).is_lt(),
            Self::GreatestInTotalOrder => C::total_order(candidate, best).is_gt(),
        }
    }

    /// Whether the greatest value wins.
    pub(super) fn is_greatest(self) -> bool {
        matches!(self, Self::Greatest | Self::GreatestInTotalOrder)
    }

    fn is_total(self) -> bool {
        matches!(self, Self::LeastInTotalOrder | Self::GreatestInTotalOrder)
    }
}

/// MIN or MAX.
#[derive(Clone)]
pub(super) struct Extreme<C> {
    values: Vec<C>,
    seen: Vec<bool>,
    preference: Preference,
    data_type: DataType,
}

impl<C: Cell> Extreme<C> {
    /// `data_type` is the type of the values.
    pub(super) fn new(preference: Preference, data_type: DataType) -> Self {
        Self { values: Vec::new(), seen: Vec::new(), preference, data_type }
    }

    #[inline]
    fn offer(&mut self, slot: usize, value: C::Ref<'_>, preference: Preference) {
        if !self.seen[slot] || preference.prefers::<C>(value, self.values[slot].borrow()) {
            self.values[slot] = C::own(value);
            self.seen[slot] = true;
        }
    }

    /// Offers all rows. `preference` is a constant of each caller, so that the loop does not test it.
    #[inline]
    fn offer_all(&mut self, column: &ArrayRef, rows: &SelectedRows<'_>, preference: Preference) {
        if preference.is_total() {
            C::each(column, rows, |slot, _, value| self.offer(slot, C::own(value).canonical().borrow(), preference));
        } else {
            C::each(column, rows, |slot, _, value| self.offer(slot, value, preference));
        }
    }
}

impl<C: Cell> Accumulator for Extreme<C> {
    fn grow(&mut self, slots: usize) {
        self.values.resize(slots, C::default());
        self.seen.resize(slots, false);
    }

    fn update(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>) {
        let Some(column) = column else { return };
        match self.preference {
            Preference::Least => self.offer_all(column, rows, Preference::Least),
            Preference::Greatest => self.offer_all(column, rows, Preference::Greatest),
            Preference::LeastInTotalOrder => self.offer_all(column, rows, Preference::LeastInTotalOrder),
            Preference::GreatestInTotalOrder => self.offer_all(column, rows, Preference::GreatestInTotalOrder),
        }
    }

    fn clear(&mut self, slot: usize) {
        self.values[slot] = C::default();
        self.seen[slot] = false;
    }

    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]) {
        let theirs = like::<Self>(from);
        for (from, into) in pairs(slots).filter(|(from, _)| theirs.seen[*from]) {
            self.offer(into, theirs.values[from].borrow(), self.preference);
        }
    }

    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        let each = slots.iter().map(|slot| *slot as usize);
        Ok(C::array(&self.data_type, each.map(|slot| self.seen[slot].then(|| &self.values[slot]))))
    }

    fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        for slot in slots.iter().map(|slot| *slot as usize) {
            out.push(u8::from(self.seen[slot]));
            self.values[slot].write(out);
        }
    }

    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        self.seen[slot] = flag(reader)?;
        self.values[slot] = C::read(reader)?;
        Ok(())
    }

    fn copy(&self) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
