//! Reads and builds arrays whose values all have the same number of bytes: numbers, decimals, dates, times.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, PrimitiveArray, downcast_primitive, downcast_primitive_array};
use arrow_buffer::{Buffer, NullBuffer, ScalarBuffer};
use arrow_schema::{ArrowError, DataType};

/// Number of bytes of a value; `None` for types whose values differ in length, and for booleans, which are bits.
pub(crate) fn width(data_type: &DataType) -> Option<usize> {
    data_type.primitive_width()
}

/// The values of an array of fixed width, one after the other, each little-endian. A null has any bytes. Empty for other types.
pub(crate) fn value_bytes(array: &dyn Array) -> &[u8] {
    downcast_primitive_array!(
        array => array.values().inner().as_slice(),
        _ => &[]
    )
}

/// An array of a type of fixed width. `values` must hold `rows` values and be aligned to [`width`] bytes. Error: `nulls` has
/// another length, or the type has no fixed width.
pub(crate) fn array_of(
    data_type: &DataType,
    values: Buffer,
    rows: usize,
    nulls: Option<NullBuffer>,
) -> Result<ArrayRef, ArrowError> {
    macro_rules! build {
        ($primitive:ty) => {{
            let array = PrimitiveArray::<$primitive>::try_new(ScalarBuffer::new(values, 0, rows), nulls)?;
            Ok(Arc::new(array.with_data_type(data_type.clone())))
        }};
    }
    downcast_primitive! {
        data_type => (build),
        other => Err(ArrowError::InvalidArgumentError(format!("values of {other} have no fixed width")))
    }
}
