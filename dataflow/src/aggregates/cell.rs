//! The values that accumulators keep: how they are read from columns, compared, saved, and put into columns again.

use std::cmp::Ordering;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    Time32MillisecondType, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType,
};
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray, Float32Array, Float64Array, PrimitiveArray, StringArray};
use arrow_schema::{DataType, TimeUnit};
use xxhash_rust::xxh3::xxh3_64;

use super::rows::SelectedRows;
use crate::key_group::{canonical_double, hash_i64};
use crate::operator::OperatorError;
use crate::state::{StateReader, put_bytes};

/// One value of an accumulator.
pub(super) trait Cell: Clone + Default + Send + Sync + 'static {
    /// A value that is still in its column.
    type Ref<'a>: Copy;

    /// Calls `apply` with slot, row and value of each row that counts.
    fn each<'a>(column: &'a dyn Array, rows: &SelectedRows<'_>, apply: impl FnMut(usize, usize, Self::Ref<'a>));

    fn own(value: Self::Ref<'_>) -> Self;

    fn borrow(&self) -> Self::Ref<'_>;

    /// The order of SQL's comparisons. `None` if one of the values is NaN, which is neither less nor greater.
    fn compare(one: Self::Ref<'_>, other: Self::Ref<'_>) -> Option<Ordering>;

    /// A total order, in which NaN is greater than all numbers.
    fn total_order(one: Self::Ref<'_>, other: Self::Ref<'_>) -> Ordering;

    /// Gives equal values equal bits.
    fn canonical(self) -> Self {
        self
    }

    /// Makes all NaNs one, which [`Cell::total_order`] puts after all numbers.
    fn with_one_nan(self) -> Self {
        self
    }

    fn hash(value: Self::Ref<'_>) -> u64;

    /// Appends the bytes of a saved state.
    fn write(&self, out: &mut Vec<u8>);

    /// Reads what [`Cell::write`] wrote.
    fn read(reader: &mut StateReader<'_>) -> Result<Self, OperatorError>;

    /// The column of these values; `data_type` is the type of the column that they came from.
    fn array<'a>(data_type: &DataType, values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef;
}

/// A value as the key of an ordered map.
#[derive(Debug, Clone)]
pub(super) struct InOrder<C>(pub(super) C);

impl<C: Cell> PartialEq for InOrder<C> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl<C: Cell> Eq for InOrder<C> {}

impl<C: Cell> PartialOrd for InOrder<C> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<C: Cell> Ord for InOrder<C> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        C::total_order(self.0.borrow(), other.0.borrow())
    }
}

/// What the cells that are numbers have in common: they are copied, and saved as their bytes.
macro_rules! plain_number {
    () => {
        #[inline]
        fn own(value: Self) -> Self {
            value
        }

        #[inline]
        fn borrow(&self) -> Self {
            *self
        }

        fn write(&self, out: &mut Vec<u8>) {
            out.extend(self.to_le_bytes());
        }

        fn read(reader: &mut StateReader<'_>) -> Result<Self, OperatorError> {
            reader.array().map(Self::from_le_bytes)
        }
    };
}

/// Whole numbers, booleans, days, times of day and timestamps.
impl Cell for i64 {
    type Ref<'a> = Self;

    plain_number!();

    #[inline]
    fn each<'a>(column: &'a dyn Array, rows: &SelectedRows<'_>, mut apply: impl FnMut(usize, usize, Self::Ref<'a>)) {
        macro_rules! values {
            ($type:ty) => {{
                let values = column.as_primitive::<$type>().values();
                rows.each(|slot, row| apply(slot, row, Self::from(values[row])))
            }};
        }
        match column.data_type() {
            DataType::Int8 => values!(Int8Type),
            DataType::Int16 => values!(Int16Type),
            DataType::Int32 => values!(Int32Type),
            DataType::Int64 => values!(Int64Type),
            DataType::Date32 => values!(Date32Type),
            DataType::Time32(_) => values!(Time32MillisecondType),
            DataType::Timestamp(TimeUnit::Millisecond, _) => values!(TimestampMillisecondType),
            DataType::Timestamp(TimeUnit::Microsecond, _) => values!(TimestampMicrosecondType),
            DataType::Timestamp(..) => values!(TimestampNanosecondType),
            _ => {
                let values = column.as_boolean().values();
                rows.each(|slot, row| apply(slot, row, Self::from(values.value(row))));
            }
        }
    }

    #[inline]
    fn compare(one: Self, other: Self) -> Option<Ordering> {
        Some(one.cmp(&other))
    }

    #[inline]
    fn total_order(one: Self, other: Self) -> Ordering {
        one.cmp(&other)
    }

    #[inline]
    fn hash(value: Self) -> u64 {
        hash_i64(value)
    }

    fn array<'a>(data_type: &DataType, values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef {
        int_array(data_type, values.map(|value| value.copied()))
    }
}

/// A column of whole numbers, booleans, days, times of day or timestamps. A value that is too wide for the type wraps around.
pub(super) fn int_array(data_type: &DataType, values: impl Iterator<Item = Option<i64>>) -> ArrayRef {
    fn primitive<T: ArrowPrimitiveType>(values: impl Iterator<Item = Option<T::Native>>, data_type: &DataType) -> ArrayRef {
        Arc::new(values.collect::<PrimitiveArray<T>>().with_data_type(data_type.clone()))
    }
    match data_type {
        DataType::Boolean => Arc::new(values.map(|v| v.map(|v| v != 0)).collect::<BooleanArray>()),
        DataType::Int8 => primitive::<Int8Type>(values.map(|v| v.map(|v| v as i8)), data_type),
        DataType::Int16 => primitive::<Int16Type>(values.map(|v| v.map(|v| v as i16)), data_type),
        DataType::Int32 => primitive::<Int32Type>(values.map(|v| v.map(|v| v as i32)), data_type),
        DataType::Date32 => primitive::<Date32Type>(values.map(|v| v.map(|v| v as i32)), data_type),
        DataType::Time32(_) => primitive::<Time32MillisecondType>(values.map(|v| v.map(|v| v as i32)), data_type),
        DataType::Timestamp(TimeUnit::Millisecond, _) => primitive::<TimestampMillisecondType>(values, data_type),
        DataType::Timestamp(TimeUnit::Microsecond, _) => primitive::<TimestampMicrosecondType>(values, data_type),
        DataType::Timestamp(..) => primitive::<TimestampNanosecondType>(values, data_type),
        _ => Arc::new(values.collect::<PrimitiveArray<Int64Type>>()),
    }
}

/// A column of floats or doubles.
pub(super) fn double_array(data_type: &DataType, values: impl Iterator<Item = Option<f64>>) -> ArrayRef {
    match data_type {
        DataType::Float32 => Arc::new(values.map(|v| v.map(|v| v as f32)).collect::<Float32Array>()),
        _ => Arc::new(values.collect::<Float64Array>()),
    }
}

/// A column of decimals, from their unscaled values.
pub(super) fn decimal_array(data_type: &DataType, values: impl Iterator<Item = Option<i128>>) -> ArrayRef {
    Arc::new(values.collect::<PrimitiveArray<Decimal128Type>>().with_data_type(data_type.clone()))
}

/// Floats and doubles. A float has the same value as a double.
impl Cell for f64 {
    type Ref<'a> = Self;

    plain_number!();

    #[inline]
    fn each<'a>(column: &'a dyn Array, rows: &SelectedRows<'_>, mut apply: impl FnMut(usize, usize, Self::Ref<'a>)) {
        if column.data_type() == &DataType::Float32 {
            let values = column.as_primitive::<Float32Type>().values();
            rows.each(|slot, row| apply(slot, row, Self::from(values[row])));
        } else {
            let values = column.as_primitive::<Float64Type>().values();
            rows.each(|slot, row| apply(slot, row, values[row]));
        }
    }

    #[inline]
    fn compare(one: Self, other: Self) -> Option<Ordering> {
        one.partial_cmp(&other)
    }

    #[inline]
    fn total_order(one: Self, other: Self) -> Ordering {
        one.total_cmp(&other)
    }

    #[inline]
    fn canonical(self) -> Self {
        canonical_double(self)
    }

    #[inline]
    fn with_one_nan(self) -> Self {
        if self.is_nan() { Self::NAN } else { self }
    }

    #[inline]
    fn hash(value: Self) -> u64 {
        hash_i64(value.to_bits() as i64)
    }

    fn array<'a>(data_type: &DataType, values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef {
        double_array(data_type, values.map(|value| value.copied()))
    }
}

/// Decimals, as unscaled values.
impl Cell for i128 {
    type Ref<'a> = Self;

    plain_number!();

    #[inline]
    fn each<'a>(column: &'a dyn Array, rows: &SelectedRows<'_>, mut apply: impl FnMut(usize, usize, Self::Ref<'a>)) {
        let values = column.as_primitive::<Decimal128Type>().values();
        rows.each(|slot, row| apply(slot, row, values[row]));
    }

    #[inline]
    fn compare(one: Self, other: Self) -> Option<Ordering> {
        Some(one.cmp(&other))
    }

    #[inline]
    fn total_order(one: Self, other: Self) -> Ordering {
        one.cmp(&other)
    }

    #[inline]
    fn hash(value: Self) -> u64 {
        xxh3_64(&value.to_le_bytes())
    }

    fn array<'a>(data_type: &DataType, values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef {
        decimal_array(data_type, values.map(|value| value.copied()))
    }
}

impl Cell for Box<str> {
    type Ref<'a> = &'a str;

    fn each<'a>(column: &'a dyn Array, rows: &SelectedRows<'_>, mut apply: impl FnMut(usize, usize, &'a str)) {
        let values = column.as_string::<i32>();
        rows.each(|slot, row| apply(slot, row, values.value(row)));
    }

    fn own(value: &str) -> Self {
        value.into()
    }

    fn borrow(&self) -> &str {
        self
    }

    fn compare(one: &str, other: &str) -> Option<Ordering> {
        Some(one.cmp(other))
    }

    fn total_order(one: &str, other: &str) -> Ordering {
        one.cmp(other)
    }

    fn hash(value: &str) -> u64 {
        xxh3_64(value.as_bytes())
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self.as_bytes());
    }

    fn read(reader: &mut StateReader<'_>) -> Result<Self, OperatorError> {
        text(reader).map(Self::from)
    }

    fn array<'a>(_: &DataType, values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef {
        Arc::new(values.map(|value| value.map(AsRef::as_ref)).collect::<StringArray>() as StringArray)
    }
}

impl Cell for Box<[u8]> {
    type Ref<'a> = &'a [u8];

    fn each<'a>(column: &'a dyn Array, rows: &SelectedRows<'_>, mut apply: impl FnMut(usize, usize, &'a [u8])) {
        let values = column.as_binary::<i32>();
        rows.each(|slot, row| apply(slot, row, values.value(row)));
    }

    fn own(value: &[u8]) -> Self {
        value.into()
    }

    fn borrow(&self) -> &[u8] {
        self
    }

    fn compare(one: &[u8], other: &[u8]) -> Option<Ordering> {
        Some(one.cmp(other))
    }

    fn total_order(one: &[u8], other: &[u8]) -> Ordering {
        one.cmp(other)
    }

    fn hash(value: &[u8]) -> u64 {
        xxh3_64(value)
    }

    fn write(&self, out: &mut Vec<u8>) {
        put_bytes(out, self);
    }

    fn read(reader: &mut StateReader<'_>) -> Result<Self, OperatorError> {
        reader.prefixed().map(Self::from)
    }

    fn array<'a>(_: &DataType, values: impl Iterator<Item = Option<&'a Self>>) -> ArrayRef {
        Arc::new(values.map(|value| value.map(AsRef::as_ref)).collect::<BinaryArray>() as BinaryArray)
    }
}

/// Reads a text with its length.
pub(super) fn text<'a>(reader: &mut StateReader<'a>) -> Result<&'a str, OperatorError> {
    std::str::from_utf8(reader.prefixed()?).map_err(|_| StateReader::corrupt("text is not UTF-8"))
}

/// Reads true or false.
pub(super) fn flag(reader: &mut StateReader<'_>) -> Result<bool, OperatorError> {
    match reader.array::<1>()? {
        [0] => Ok(false),
        [1] => Ok(true),
        _ => Err(StateReader::corrupt("a boolean is neither 0 nor 1")),
    }
}
