//! Reads the operands of a kernel, and maps functions over their rows.

use arrow_array::cast::AsArray;
use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{
    Array, ArrayAccessor, ArrayRef, BinaryArray, BooleanArray, PrimitiveArray, StringArray, UInt32Array, new_null_array,
};
use arrow_buffer::{BooleanBufferBuilder, NullBuffer};
use arrow_select::take::take;

use super::{Clock, Kernel, Operand};
use crate::operator::OperatorError;

/// The array that holds texts. Kernels name this, so that the layout of texts can change in one place.
pub type TextArray = StringArray;
/// Builds a [`TextArray`].
pub type TextBuilder = arrow_array::builder::StringBuilder;
/// The array that holds bytes.
pub type BytesArray = BinaryArray;
/// Builds a [`BytesArray`].
pub type BytesBuilder = arrow_array::builder::BinaryBuilder;

/// The error of a row that has no result.
pub fn eval_error(message: impl Into<String>) -> OperatorError {
    OperatorError::fatal("EXPR-EVAL", message)
}

/// The error of an operand or a result whose Arrow type is not the one that was resolved. Compiling a program rules it out.
pub fn type_error(message: impl std::fmt::Display) -> OperatorError {
    OperatorError::fatal("EXPR-TYPE", format!("a kernel got a wrong type: {message}"))
}

impl Operand {
    /// The array of values: one a row, or of length 1 for a constant.
    pub fn array(&self) -> &ArrayRef {
        match self {
            Self::Column(array) | Self::Constant(array) => array,
        }
    }

    /// Whether there is one value for all rows.
    pub fn is_constant(&self) -> bool {
        matches!(self, Self::Constant(_))
    }

    /// Whether this is the constant NULL.
    pub fn is_constant_null(&self) -> bool {
        matches!(self, Self::Constant(array) if array.is_null(0))
    }

    /// One value a row. A constant is repeated.
    pub fn into_column(self, rows: usize) -> Result<ArrayRef, OperatorError> {
        match self {
            Self::Column(array) => Ok(array),
            Self::Constant(array) if array.len() == rows => Ok(array),
            Self::Constant(array) if array.is_null(0) => Ok(new_null_array(array.data_type(), rows)),
            Self::Constant(array) => take(&array, &UInt32Array::from_value(0, rows), None).map_err(type_error),
        }
    }
}

/// A typed view of one operand. `A` is its Arrow array, e.g. `Int64Array` or [`TextArray`].
pub struct Reader<'a, A> {
    array: &'a A,
    constant: bool,
    has_nulls: bool,
}

impl<'a, A: Array + 'static> Reader<'a, A>
where
    &'a A: ArrayAccessor,
{
    /// Views `operand`. Error: `EXPR-TYPE` if it holds another type.
    pub fn of(operand: &'a Operand) -> Result<Self, OperatorError> {
        let array = operand.array();
        let typed = array.as_any().downcast_ref::<A>().ok_or_else(|| type_error(array.data_type()))?;
        Ok(Self { array: typed, constant: operand.is_constant(), has_nulls: typed.null_count() > 0 })
    }

    /// Whether the value of this row is NULL.
    #[inline]
    pub fn is_null(&self, row: usize) -> bool {
        self.has_nulls && self.array.is_null(if self.constant { 0 } else { row })
    }

    /// The value of this row; unspecified if it is NULL.
    #[inline]
    pub fn value(&self, row: usize) -> <&'a A as ArrayAccessor>::Item {
        self.array.value(if self.constant { 0 } else { row })
    }

    /// The value of this row, `None` for NULL.
    #[inline]
    pub fn get(&self, row: usize) -> Option<<&'a A as ArrayAccessor>::Item> {
        if self.is_null(row) { None } else { Some(self.value(row)) }
    }

    /// The value of a constant, `None` for NULL and for columns.
    pub fn constant(&self) -> Option<<&'a A as ArrayAccessor>::Item> {
        if self.constant { self.get(0) } else { None }
    }
}

/// The rows for which no operand is NULL, as a null buffer of the result: `None` if that is all rows.
pub fn joint_nulls(operands: &[Operand], rows: usize) -> Option<NullBuffer> {
    if operands.iter().any(Operand::is_constant_null) {
        return Some(NullBuffer::new_null(rows));
    }
    let columns = operands.iter().filter(|operand| !operand.is_constant());
    columns.fold(None, |nulls, operand| NullBuffer::union(nulls.as_ref(), operand.array().logical_nulls().as_ref()))
}

/// Computes a primitive column row by row. `value` is called only for rows that are not NULL in `nulls`; if it returns `None`, the
/// row is NULL.
pub fn map_rows<T: ArrowPrimitiveType>(
    rows: usize,
    nulls: Option<NullBuffer>,
    mut value: impl FnMut(usize) -> Result<Option<T::Native>, OperatorError>,
) -> Result<PrimitiveArray<T>, OperatorError> {
    let mut values = vec![T::Native::default(); rows];
    let mut missing: Option<BooleanBufferBuilder> = None;
    for (row, slot) in values.iter_mut().enumerate() {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            continue;
        }
        match value(row)? {
            Some(value) => *slot = value,
            None => missing.get_or_insert_with(|| all_valid(rows, nulls.as_ref())).set_bit(row, false),
        }
    }
    let nulls = missing.map_or(nulls, |mut missing| Some(NullBuffer::new(missing.finish())));
    PrimitiveArray::try_new(values.into(), nulls).map_err(type_error)
}

/// A builder with a set bit for each row that is not NULL in `nulls`.
fn all_valid(rows: usize, nulls: Option<&NullBuffer>) -> BooleanBufferBuilder {
    let mut builder = BooleanBufferBuilder::new(rows);
    match nulls {
        Some(nulls) => builder.append_buffer(nulls.inner()),
        None => builder.append_n(rows, true),
    }
    builder
}

/// Computes a column of texts row by row. `write` is called only for rows that are not NULL in `nulls`. It appends the text to the
/// string, which is empty, and returns whether there is a value; if not, the row is NULL.
pub fn map_text(
    rows: usize,
    nulls: Option<&NullBuffer>,
    mut write: impl FnMut(usize, &mut String) -> Result<bool, OperatorError>,
) -> Result<TextArray, OperatorError> {
    let mut builder = TextBuilder::with_capacity(rows, rows * 16);
    let mut text = String::new();
    for row in 0..rows {
        text.clear();
        let present = !nulls.is_some_and(|nulls| nulls.is_null(row)) && write(row, &mut text)?;
        // Offsets of a batch are i32.
        if builder.values_slice().len() + text.len() > i32::MAX as usize {
            return Err(eval_error("the texts of one batch exceed 2 GiB"));
        }
        if present { builder.append_value(&text) } else { builder.append_null() }
    }
    Ok(builder.finish())
}

/// Computes a column of booleans row by row. `value` is called only for rows that are not NULL in `nulls`.
pub fn map_boolean(
    rows: usize,
    nulls: Option<NullBuffer>,
    mut value: impl FnMut(usize) -> Result<Option<bool>, OperatorError>,
) -> Result<BooleanArray, OperatorError> {
    let mut values = BooleanBufferBuilder::new(rows);
    let mut missing: Option<BooleanBufferBuilder> = None;
    for row in 0..rows {
        let valid = !nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
        let computed = if valid { value(row)? } else { None };
        values.append(computed.unwrap_or(false));
        if valid && computed.is_none() {
            missing.get_or_insert_with(|| all_valid(rows, nulls.as_ref())).set_bit(row, false);
        }
    }
    let nulls = missing.map_or(nulls, |mut missing| Some(NullBuffer::new(missing.finish())));
    Ok(BooleanArray::new(values.finish(), nulls))
}

/// A primitive operand as plain values, for loops without branches.
pub enum Values<'a, T: ArrowPrimitiveType> {
    Column(&'a [T::Native]),
    Constant(T::Native),
}

impl<'a, T: ArrowPrimitiveType> Values<'a, T> {
    /// Views `operand`. Values of NULL rows are unspecified. Error: `EXPR-TYPE` if it holds another type.
    pub fn of(operand: &'a Operand) -> Result<Self, OperatorError> {
        let array = operand.array().as_primitive_opt::<T>().ok_or_else(|| type_error(operand.array().data_type()))?;
        Ok(if operand.is_constant() { Self::Constant(array.value(0)) } else { Self::Column(array.values()) })
    }

    /// The value of this row.
    #[inline]
    pub fn at(&self, row: usize) -> T::Native {
        match self {
            Self::Column(values) => values[row],
            Self::Constant(value) => *value,
        }
    }
}

/// Computes a primitive column from two operands without a check per row: `value` is also called for NULL rows, with unspecified
/// values. The result is NULL where an operand is.
pub fn zip_values<A: ArrowPrimitiveType, B: ArrowPrimitiveType, R: ArrowPrimitiveType>(
    operands: &[Operand],
    rows: usize,
    value: impl Fn(A::Native, B::Native) -> R::Native,
) -> Result<PrimitiveArray<R>, OperatorError> {
    let [left, right] = operands else { return Err(type_error("two operands are expected")) };
    let values: Vec<R::Native> = match (Values::<A>::of(left)?, Values::<B>::of(right)?) {
        (Values::Column(left), Values::Column(right)) => left.iter().zip(right).map(|(l, r)| value(*l, *r)).collect(),
        (Values::Column(left), Values::Constant(right)) => left.iter().map(|l| value(*l, right)).collect(),
        (Values::Constant(left), Values::Column(right)) => right.iter().map(|r| value(left, *r)).collect(),
        (Values::Constant(left), Values::Constant(right)) => vec![value(left, right); rows],
    };
    PrimitiveArray::try_new(values.into(), joint_nulls(operands, rows)).map_err(type_error)
}

/// A kernel from a closure.
pub fn kernel_of(
    evaluate: impl FnMut(&[Operand], usize, Clock) -> Result<ArrayRef, OperatorError> + Send + 'static,
) -> Box<dyn Kernel> {
    struct Closure<F>(F);
    impl<F: FnMut(&[Operand], usize, Clock) -> Result<ArrayRef, OperatorError> + Send> Kernel for Closure<F> {
        fn evaluate(&mut self, operands: &[Operand], rows: usize, clock: Clock) -> Result<ArrayRef, OperatorError> {
            (self.0)(operands, rows, clock)
        }
    }
    Box::new(Closure(evaluate))
}
