//! Variances and standard deviations, by Welford's method as in Flink, in doubles.

use std::any::Any;

use arrow_array::cast::AsArray;
use arrow_array::types::Decimal128Type;
use arrow_array::{Array, ArrayRef};
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;

use super::accumulator::{Accumulator, like};
use super::cell::{Cell, decimal_array, double_array, int_array};
use super::decimal::fits;
use super::rows::{SelectedRows, pairs};
use crate::operator::OperatorError;
use crate::state::StateReader;

/// A variance, or its square root.
#[derive(Clone)]
pub(super) struct Variance {
    entries: Vec<Entry>,
    /// Whether to divide by one less than the number of values.
    sample: bool,
    root: bool,
    /// Type of the output column: a number's.
    data_type: DataType,
}

/// Number and mean of the values, and the sum of the squared distances from the mean.
#[derive(Clone, Copy, Default)]
struct Entry {
    count: i64,
    mean: f64,
    squares: f64,
}

impl Entry {
    #[inline]
    fn add(&mut self, value: f64) {
        self.count += 1;
        // More rows than there were may have been taken back. Count on, as in Flink.
        if self.count <= 0 {
            return;
        }
        let before = value - self.mean;
        self.mean += before / self.count as f64;
        self.squares += before * (value - self.mean);
    }

    /// Takes a value back. The other values may come out slightly different, as doubles do.
    #[inline]
    fn take_back(&mut self, value: f64) {
        self.count -= 1;
        if self.count <= 0 {
            *self = Self { count: self.count, ..Self::default() };
            return;
        }
        let after = value - self.mean;
        self.mean -= after / self.count as f64;
        self.squares -= after * (value - self.mean);
    }

    fn merge(&mut self, other: &Self) {
        if other.count == 0 {
            return;
        }
        if self.count == 0 {
            *self = *other;
            return;
        }
        let count = self.count + other.count;
        let apart = other.mean - self.mean;
        self.squares += other.squares + self.count as f64 * other.count as f64 / count as f64 * apart * apart;
        self.mean += other.count as f64 / count as f64 * apart;
        self.count = count;
    }
}

impl Variance {
    pub(super) fn new(sample: bool, root: bool, data_type: DataType) -> Self {
        Self { entries: Vec::new(), sample, root, data_type }
    }

    fn value(&self, entry: &Entry) -> Option<f64> {
        let divisor = entry.count - i64::from(self.sample);
        if divisor <= 0 || entry.squares < 0.0 {
            return None;
        }
        let variance = entry.squares / divisor as f64;
        Some(if self.root { variance.powf(0.5) } else { variance })
    }
}

/// Calls `apply` with slot, row and value of each row that counts.
#[inline]
fn each_double(column: &ArrayRef, rows: &SelectedRows<'_>, mut apply: impl FnMut(usize, usize, f64)) {
    match column.data_type() {
        DataType::Float32 | DataType::Float64 => f64::each(column, rows, apply),
        DataType::Decimal128(_, scale) => {
            let one = 10f64.powi(i32::from(*scale));
            let values = column.as_primitive::<Decimal128Type>().values();
            rows.each(|slot, row| apply(slot, row, values[row] as f64 / one));
        }
        _ => <i64 as Cell>::each(column, rows, |slot, row, value| apply(slot, row, value as f64)),
    }
}

impl Accumulator for Variance {
    fn grow(&mut self, slots: usize) {
        self.entries.resize(slots, Entry::default());
    }

    fn update(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>) {
        let Some(column) = column else { return };
        let entries = &mut self.entries;
        each_double(column, rows, |slot, _, value| entries[slot].add(value));
    }

    fn change(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>, retracted: &BooleanBuffer) -> u64 {
        let Some(column) = column else { return 0 };
        let entries = &mut self.entries;
        each_double(column, rows, |slot, row, value| {
            if retracted.value(row) {
                entries[slot].take_back(value);
            } else {
                entries[slot].add(value);
            }
        });
        0
    }

    fn clear(&mut self, slot: usize) {
        self.entries[slot] = Entry::default();
    }

    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]) {
        let theirs = like::<Self>(from);
        pairs(slots).for_each(|(from, into)| self.entries[into].merge(&theirs.entries[from]));
    }

    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        let values = slots.iter().map(|slot| self.value(&self.entries[*slot as usize]));
        Ok(match &self.data_type {
            DataType::Float32 | DataType::Float64 => double_array(&self.data_type, values),
            DataType::Decimal128(_, scale) => {
                let scale = u32::try_from(*scale).unwrap_or(0);
                decimal_array(&self.data_type, values.map(|value| value.and_then(|value| to_decimal(value, scale))))
            }
            DataType::Int64 => int_array(&self.data_type, values.map(|value| value.map(|value| value as i64))),
            // Java casts a double to a narrow integer by way of INT.
            _ => int_array(&self.data_type, values.map(|value| value.map(|value| i64::from(value as i32)))),
        })
    }

    fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        for entry in slots.iter().map(|slot| self.entries[*slot as usize]) {
            out.extend(entry.count.to_le_bytes());
            out.extend(entry.mean.to_le_bytes());
            out.extend(entry.squares.to_le_bytes());
        }
    }

    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        let count = reader.i64()?;
        let mean = reader.array().map(f64::from_le_bytes)?;
        self.entries[slot] = Entry { count, mean, squares: reader.array().map(f64::from_le_bytes)? };
        Ok(())
    }

    fn copy(&self) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

/// The unscaled decimal that is nearest to the shortest text of a double, half away from zero; `None` if it has more than 38
/// digits, or if there is none.
fn to_decimal(value: f64, scale: u32) -> Option<i128> {
    let text = format!("{:e}", value.abs());
    let (digits, exponent) = text.split_once('e')?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let unscaled: i128 = format!("{whole}{fraction}").parse().ok()?;
    let shift = exponent.parse::<i32>().ok()? - fraction.len() as i32 + scale as i32;
    let magnitude = if shift >= 0 {
        unscaled.checked_mul(10i128.checked_pow(shift as u32)?)?
    } else {
        // A double has at most 17 digits, so that nothing is left of it beyond this.
        let divisor = 10i128.pow(shift.unsigned_abs().min(20));
        (unscaled + divisor / 2) / divisor
    };
    fits(magnitude).then_some(if value < 0.0 { -magnitude } else { magnitude })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn doubles_become_the_nearest_decimal() {
        assert_eq!(to_decimal(0.004_714_045, 6), Some(4_714));
        assert_eq!(to_decimal(2.5, 0), Some(3));
        assert_eq!(to_decimal(-2.5, 0), Some(-3));
        assert_eq!(to_decimal(1e-300, 6), Some(0));
        assert_eq!(to_decimal(1.5e10, 2), Some(1_500_000_000_000));
        assert_eq!(to_decimal(1e38, 0), None);
        assert_eq!(to_decimal(f64::NAN, 0), None);
        assert_eq!(to_decimal(f64::INFINITY, 0), None);
    }
}
