//! Sums and averages of decimals.
//!
//! Sums have 38 digits. As in Flink, a sum of more digits becomes NULL. SUM then begins anew with the next value; AVG stays NULL.

use std::any::Any;

use arrow_array::ArrayRef;
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;

use super::accumulator::{Accumulator, like};
use super::cell::{Cell, decimal_array, flag};
use super::rows::{SelectedRows, pairs};
use crate::operator::OperatorError;
use crate::state::StateReader;

/// Sums or averages of decimals.
#[derive(Clone)]
pub(super) struct DecimalSum {
    entries: Vec<Entry>,
    average: bool,
    /// Type of the output column.
    data_type: DataType,
    /// Digits that an average has after the point beyond those of the values.
    more_scale: u32,
}

#[derive(Clone, Copy, Default)]
struct Entry {
    sum: i128,
    count: i64,
    overflown: bool,
}

impl DecimalSum {
    /// Sums or averages values of `input`.
    pub(super) fn new(average: bool, input: &DataType, data_type: DataType) -> Self {
        let more_scale = match (input, &data_type) {
            (DataType::Decimal128(_, of_values), DataType::Decimal128(_, of_result)) => of_result.saturating_sub(*of_values),
            _ => 0,
        };
        Self { entries: Vec::new(), average, data_type, more_scale: u32::try_from(more_scale).unwrap_or(0) }
    }

    fn value(&self, entry: Entry) -> Option<i128> {
        if entry.count == 0 || entry.overflown {
            return None;
        }
        if self.average { divide(entry.sum, entry.count, self.more_scale) } else { Some(entry.sum) }
    }
}

impl Entry {
    #[inline]
    fn add(&mut self, value: i128, count: i64, average: bool) {
        if !(average && self.overflown) {
            let before = if self.overflown { 0 } else { self.sum };
            let sum = before.checked_add(value).filter(|sum| fits(*sum));
            (self.sum, self.overflown) = (sum.unwrap_or(0), sum.is_none());
        }
        self.count = self.count.wrapping_add(count);
    }
}

/// Whether an unscaled value has at most 38 digits.
pub(super) fn fits(unscaled: i128) -> bool {
    const BEYOND: i128 = 10i128.pow(38);
    -BEYOND < unscaled && unscaled < BEYOND
}

/// `sum / count` with `more_scale` more digits, rounded half away from zero; `None` if it has more than 38 digits.
fn divide(sum: i128, count: i64, more_scale: u32) -> Option<i128> {
    let count = i128::from(count);
    let shift = 10i128.checked_pow(more_scale)?;
    let (whole, rest) = (sum / count, sum % count);
    let parts = rest.checked_mul(shift)?;
    let (mut fraction, left) = (parts / count, parts % count);
    if left.unsigned_abs() * 2 >= count.unsigned_abs() {
        fraction += left.signum() * count.signum();
    }
    whole.checked_mul(shift)?.checked_add(fraction).filter(|value| fits(*value))
}

impl Accumulator for DecimalSum {
    fn grow(&mut self, slots: usize) {
        self.entries.resize(slots, Entry::default());
    }

    fn update(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>) {
        let Some(column) = column else { return };
        let (entries, average) = (&mut self.entries, self.average);
        <i128 as Cell>::each(column, rows, |slot, _, value| entries[slot].add(value, 1, average));
    }

    fn change(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>, retracted: &BooleanBuffer) -> u64 {
        let Some(column) = column else { return 0 };
        let (entries, average) = (&mut self.entries, self.average);
        <i128 as Cell>::each(column, rows, |slot, row, value| {
            let (value, count) = if retracted.value(row) { (value.wrapping_neg(), -1) } else { (value, 1) };
            entries[slot].add(value, count, average);
        });
        0
    }

    fn clear(&mut self, slot: usize) {
        self.entries[slot] = Entry::default();
    }

    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]) {
        let theirs = like::<Self>(from);
        for (from, into) in pairs(slots) {
            let (from, into) = (theirs.entries[from], &mut self.entries[into]);
            match (from.count == 0, from.overflown, self.average) {
                (true, ..) => {}
                (_, true, true) => *into = Entry { sum: 0, count: into.count + from.count, overflown: true },
                (_, true, false) if into.count == 0 => *into = from,
                (_, true, false) => into.count += from.count,
                (_, false, average) => into.add(from.sum, from.count, average),
            }
        }
    }

    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        let values = slots.iter().map(|slot| self.value(self.entries[*slot as usize]));
        Ok(decimal_array(&self.data_type, values))
    }

    fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        for entry in slots.iter().map(|slot| self.entries[*slot as usize]) {
            out.push(u8::from(entry.overflown));
            out.extend(entry.sum.to_le_bytes());
            out.extend(entry.count.to_le_bytes());
        }
    }

    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        let overflown = flag(reader)?;
        let sum = reader.array().map(i128::from_le_bytes)?;
        self.entries[slot] = Entry { sum, count: reader.i64()?, overflown };
        Ok(())
    }

    fn copy(&self) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_average_is_rounded_half_away_from_zero() {
        assert_eq!(divide(7, 2, 0), Some(4));
        assert_eq!(divide(-7, 2, 0), Some(-4));
        assert_eq!(divide(10, 3, 6), Some(3_333_333));
        assert_eq!(divide(-20, 3, 6), Some(-6_666_667));
        assert_eq!(divide(10i128.pow(38) - 1, 1, 1), None);
    }
}
