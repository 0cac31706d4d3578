//! Values that can be NULL, for the aggregates that do not ignore NULL.

use std::cmp::Ordering;

use arrow_array::{Array, ArrayRef};
use arrow_schema::DataType;

use super::cell::{Cell, flag};
use super::rows::SelectedRows;
use crate::operator::OperatorError;
use crate::state::StateReader;

/// NULL is less than all values, and equal to itself.
impl<C: Cell> Cell for Option<C> {
    type Ref<'a> = Option<C::Ref<'a>>;

    fn each<'a>(column: &'a dyn Array, rows: &SelectedRows<'_>, mut apply: impl FnMut(usize, usize, Self::Ref<'a>)) {
        C::each(column, rows, |slot, row, value| apply(slot, row, column.is_valid(row).then_some(value)));
    }

    fn own(value: Self::Ref<'_>) -> Self {
        value.map(C::own)
    }

    fn borrow(&self) -> Self::Ref<'_> {
        self.as_ref().map(C::borrow)
    }

    fn compare(one: Self::Ref<'_>, other: Self::Ref<'_>) -> Option<Ordering> {
        match (one, other) {
            (Some(one), Some(other)) => C::compare(one, other),
            (one, other) => Some(one.is_some().cmp(&other.is_some())),
        }
    }

    fn total_order(one: Self::Ref<'_>, other: Self::Ref<'_>) -> Ordering {
        match (one, other) {
            (Some(one), Some(other)) => C::total_order(one, other),
            (one, other) => one.is_some().cmp(&other.is_some()),
        }
    }

    fn canonical(self) -> Self {
        self.map(C::canonical)
    }

    fn with_one_nan(self) -> Self {
        self.map(C::with_one_nan)
    }

    fn hash(value: Self::Ref<'_>) -> u64 {
        value.map_or(0, C::hash)
    }

    /// A flag, then the value if there is one, and four bytes of nothing otherwise: readers count on a least size.
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.is_some()));
        match self {
            Some(value) => value.write(out),
            None => out.extend([0; 4]),
        }
    }

    fn read(reader: &mut StateReader<'_>) -> Result<Self, OperatorError> {
        if flag(reader)? {
            return C::read(reader).map(Some);
        }
        reader.array::<4>()?;
        Ok(None)
    }

    fn array<'a>(data_type: &DataType, values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef {
        C::array(data_type, values.map(|value| value.and_then(Option::as_ref)))
    }
}
