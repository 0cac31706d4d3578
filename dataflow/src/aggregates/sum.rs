//! Sums and averages of whole numbers, floats and doubles.

use std::any::Any;
use std::ops::{Add, Sub};
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::Float32Type;
use arrow_array::{Array, ArrayRef, Float64Array, Int64Array};
use arrow_buffer::BooleanBuffer;
use arrow_schema::DataType;

use super::accumulator::{Accumulator, like};
use super::cell::{Cell, double_array, int_array};
use super::rows::{SelectedRows, pairs};
use crate::operator::OperatorError;
use crate::state::StateReader;

/// What becomes of a sum at the end.
#[derive(Debug, Clone)]
pub(super) struct SumResult {
    /// Name of the output column, for messages.
    pub(super) name: String,
    /// Whether to divide by the number of values.
    pub(super) average: bool,
    pub(super) data_type: DataType,
}

/// The type in which values are added.
pub(super) trait Addend: Copy + Default + Send + Sync + 'static {
    /// Calls `apply` with slot, row and value of each row that counts.
    fn each(column: &dyn Array, rows: &SelectedRows<'_>, apply: impl FnMut(usize, usize, Self));

    fn plus(self, other: Self) -> Self;

    fn minus(self, other: Self) -> Self;

    fn write(self, out: &mut Vec<u8>);

    fn read(reader: &mut StateReader<'_>) -> Result<Self, OperatorError>;

    /// The output column of sums with the number of their values; `None` for a sum of nothing.
    fn finish(result: &SumResult, sums: impl Iterator<Item = Option<(Self, i64)>>) -> Result<ArrayRef, OperatorError>;
}

/// How addends are added by these two methods, and saved as their bytes.
macro_rules! adds {
    ($plus:ident, $minus:ident) => {
        #[inline]
        fn plus(self, other: Self) -> Self {
            self.$plus(other)
        }

        #[inline]
        fn minus(self, other: Self) -> Self {
            self.$minus(other)
        }

        fn write(self, out: &mut Vec<u8>) {
            out.extend(self.to_le_bytes());
        }

        fn read(reader: &mut StateReader<'_>) -> Result<Self, OperatorError> {
            reader.array().map(Self::from_le_bytes)
        }
    };
}

/// Flink's sum of whole numbers: it wraps around, and an average is rounded towards zero.
impl Addend for i64 {
    #[inline]
    fn each(column: &dyn Array, rows: &SelectedRows<'_>, mut apply: impl FnMut(usize, usize, Self)) {
        <Self as Cell>::each(column, rows, &mut apply);
    }

    adds!(wrapping_add, wrapping_sub);

    fn finish(result: &SumResult, sums: impl Iterator<Item = Option<(Self, i64)>>) -> Result<ArrayRef, OperatorError> {
        let value = |(sum, count): (Self, i64)| if result.average { sum.wrapping_div(count) } else { sum };
        Ok(int_array(&result.data_type, sums.map(|sum| sum.map(value))))
    }
}

/// The exact sum of whole numbers in hand-written graphs: an `i128` does not overflow before 2^64 rows.
impl Addend for i128 {
    #[inline]
    fn each(column: &dyn Array, rows: &SelectedRows<'_>, mut apply: impl FnMut(usize, usize, Self)) {
        <i64 as Cell>::each(column, rows, |slot, row, value| apply(slot, row, Self::from(value)));
    }

    adds!(wrapping_add, wrapping_sub);

    fn finish(result: &SumResult, sums: impl Iterator<Item = Option<(Self, i64)>>) -> Result<ArrayRef, OperatorError> {
        if result.average {
            let averages = sums.map(|sum| sum.map(|(sum, count)| sum as f64 / count as f64));
            return Ok(Arc::new(averages.collect::<Float64Array>()));
        }
        let sums: Result<Int64Array, _> = sums.map(|sum| sum.map(|(sum, _)| i64::try_from(sum)).transpose()).collect();
        Ok(Arc::new(sums.map_err(|_| {
            let message = format!("the sum {:?} does not fit into a bigint; sum CAST(… AS DOUBLE) instead", result.name);
            OperatorError::fatal("AGG-OVERFLOW", message)
        })?))
    }
}

impl Addend for f64 {
    #[inline]
    fn each(column: &dyn Array, rows: &SelectedRows<'_>, mut apply: impl FnMut(usize, usize, Self)) {
        <Self as Cell>::each(column, rows, &mut apply);
    }

    adds!(add, sub);

    fn finish(result: &SumResult, sums: impl Iterator<Item = Option<(Self, i64)>>) -> Result<ArrayRef, OperatorError> {
        let value = |(sum, count): (Self, i64)| if result.average { sum / count as Self } else { sum };
        Ok(double_array(&result.data_type, sums.map(|sum| sum.map(value))))
    }
}

/// Flink's sum of floats is added up as a float. (The average of floats is added up as a double.)
impl Addend for f32 {
    #[inline]
    fn each(column: &dyn Array, rows: &SelectedRows<'_>, mut apply: impl FnMut(usize, usize, Self)) {
        let values = column.as_primitive::<Float32Type>().values();
        rows.each(|slot, row| apply(slot, row, values[row]));
    }

    adds!(add, sub);

    fn finish(result: &SumResult, sums: impl Iterator<Item = Option<(Self, i64)>>) -> Result<ArrayRef, OperatorError> {
        Ok(double_array(&result.data_type, sums.map(|sum| sum.map(|(sum, _)| f64::from(sum)))))
    }
}

/// Sums or averages.
#[derive(Clone)]
pub(super) struct Sum<A> {
    sums: Vec<A>,
    counts: Vec<i64>,
    result: SumResult,
}

impl<A> Sum<A> {
    pub(super) fn new(result: SumResult) -> Self {
        Self { sums: Vec::new(), counts: Vec::new(), result }
    }
}

impl<A: Addend> Accumulator for Sum<A> {
    fn grow(&mut self, slots: usize) {
        self.sums.resize(slots, A::default());
        self.counts.resize(slots, 0);
    }

    fn update(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>) {
        let Some(column) = column else { return };
        let (sums, counts) = (&mut self.sums, &mut self.counts);
        A::each(column, rows, |slot, _, value| {
            sums[slot] = sums[slot].plus(value);
            counts[slot] += 1;
        });
    }

    fn change(&mut self, column: Option<&ArrayRef>, rows: &SelectedRows<'_>, retracted: &BooleanBuffer) -> u64 {
        let Some(column) = column else { return 0 };
        let (sums, counts) = (&mut self.sums, &mut self.counts);
        A::each(column, rows, |slot, row, value| {
            if retracted.value(row) {
                sums[slot] = sums[slot].minus(value);
                counts[slot] -= 1;
            } else {
                sums[slot] = sums[slot].plus(value);
                counts[slot] += 1;
            }
        });
        0
    }

    fn clear(&mut self, slot: usize) {
        self.sums[slot] = A::default();
        self.counts[slot] = 0;
    }

    fn merge(&mut self, from: &dyn Accumulator, slots: &[u32]) {
        let theirs = like::<Self>(from);
        for (from, into) in pairs(slots) {
            self.sums[into] = self.sums[into].plus(theirs.sums[from]);
            self.counts[into] += theirs.counts[from];
        }
    }

    fn finish(&self, slots: &[u32]) -> Result<ArrayRef, OperatorError> {
        let each = slots.iter().map(|slot| *slot as usize);
        A::finish(&self.result, each.map(|slot| (self.counts[slot] != 0).then(|| (self.sums[slot], self.counts[slot]))))
    }

    fn write(&self, slots: &[u32], out: &mut Vec<u8>) {
        for slot in slots.iter().map(|slot| *slot as usize) {
            self.sums[slot].write(out);
            out.extend(self.counts[slot].to_le_bytes());
        }
    }

    fn read(&mut self, slot: usize, reader: &mut StateReader<'_>) -> Result<(), OperatorError> {
        self.sums[slot] = A::read(reader)?;
        self.counts[slot] = reader.i64()?;
        Ok(())
    }

    fn copy(&self) -> Box<dyn Accumulator> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
