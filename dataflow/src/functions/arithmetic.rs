//! `+ - * / %` and the minus sign.
//!
//! Integers wrap around. Decimals that exceed their precision are NULL. A division by zero fails for exact numbers and is infinite
//! for others.

use std::borrow::Cow;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow_array::{Array, ArrayRef, Decimal128Array, PrimitiveArray};
use weir_protocol::job_graph::DataType;

use super::common_type::common_type;
use super::decimal::{self, Unscaled};
use super::operand::{Values, eval_error, joint_nulls, kernel_of, map_rows, type_error, zip_values};
use super::signature::{any_nullable, count, number, types};
use super::{Argument, Function, Kernel, Operand, Prepare, Resolve, Resolved};
use crate::operator::OperatorError;

/// The functions of this family.
pub(super) const FUNCTIONS: &[Function] = &[
    binary("add", "a + b", "Returns the sum.", resolve_add, |arguments, result| kernel(Op::Add, arguments, result)),
    binary("subtract", "a - b", "Returns the difference.", resolve_add, |arguments, result| {
        kernel(Op::Subtract, arguments, result)
    }),
    binary("multiply", "a * b", "Returns the product.", resolve_multiply, |arguments, result| {
        kernel(Op::Multiply, arguments, result)
    }),
    binary("divide", "a / b", "Returns the quotient, of integers without its fraction.", resolve_divide, |arguments, result| {
        kernel(Op::Divide, arguments, result)
    }),
    binary(
        "mod",
        "MOD(a, b)",
        "Returns the rest of the division of exact numbers, with the sign of a.",
        resolve_mod,
        |arguments, result| kernel(Op::Remainder, arguments, result),
    ),
    binary("negate", "-a", "Returns the number with the opposite sign.", resolve_negate, negate),
];

const fn binary(name: &'static str, syntax: &'static str, doc: &'static str, resolve: Resolve, kernel: Prepare) -> Function {
    Function { name, version: 1, syntax, doc, takes_zone: false, deterministic: true, resolve, kernel }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Subtract,
    Multiply,
    Divide,
    Remainder,
}

type DecimalRule = fn((u8, u8), (u8, u8)) -> (DataType, bool);

fn resolve_add(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    resolve(arguments, decimal::sum_type)
}

fn resolve_multiply(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    resolve(arguments, decimal::product_type)
}

fn resolve_divide(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    resolve(arguments, decimal::quotient_type)
}

/// If one side is a decimal, both stay as they are, because the type of the result depends on both. Otherwise both become what
/// they have in common, and so does the result.
fn resolve(arguments: &[Argument<'_>], decimal_rule: DecimalRule) -> Result<Resolved, String> {
    let (left, right) = two_numbers(arguments)?;
    let nullable = any_nullable(arguments);
    let is_decimal = |t: &DataType| matches!(t, DataType::Decimal { .. });
    if (is_decimal(&left) || is_decimal(&right))
        && let (Some(l), Some(r)) = (decimal::precision_and_scale(&left), decimal::precision_and_scale(&right))
    {
        let (result, overflows) = decimal_rule(l, r);
        return Ok(Resolved { arguments: vec![left, right], result, nullable: nullable || overflows });
    }
    let common = common_type(&[left, right]).ok_or("takes two numbers")?;
    Ok(Resolved { arguments: vec![common.clone(), common.clone()], result: common, nullable })
}

fn two_numbers(arguments: &[Argument<'_>]) -> Result<(DataType, DataType), String> {
    count(arguments, 2, 2)?;
    Ok((number(arguments, 0)?, number(arguments, 1)?))
}

/// Of whole numbers, the result has the type of the divisor, since it is smaller.
fn resolve_mod(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    let (left, right) = two_numbers(arguments)?;
    let exact = |t: &DataType| decimal::precision_and_scale(t).ok_or_else(|| format!("takes exact numbers, not {t}; CAST it"));
    let (l, r) = (exact(&left)?, exact(&right)?);
    let result = if l.1 == 0 && r.1 == 0 { right.clone() } else { decimal::remainder_type(l, r).0 };
    Ok(Resolved { arguments: vec![left, right], result, nullable: any_nullable(arguments) })
}

fn resolve_negate(arguments: &[Argument<'_>]) -> Result<Resolved, String> {
    count(arguments, 1, 1)?;
    let result = number(arguments, 0)?;
    Ok(Resolved { arguments: types(arguments), result, nullable: any_nullable(arguments) })
}

fn kernel(op: Op, arguments: &[Argument<'_>], result: &DataType) -> Result<Box<dyn Kernel>, String> {
    let all_equal = arguments.iter().all(|argument| argument.data_type == result);
    Ok(match result {
        DataType::Tinyint if all_equal => integers::<Int8Type>(op),
        DataType::Smallint if all_equal => integers::<Int16Type>(op),
        DataType::Int if all_equal => integers::<Int32Type>(op),
        DataType::Bigint if all_equal => integers::<Int64Type>(op),
        DataType::Float => floats::<Float32Type>(op),
        DataType::Double => floats::<Float64Type>(op),
        DataType::Decimal { .. } => decimals(op, result.clone()),
        DataType::Tinyint => remainder_as::<Int8Type>(|value| value as i8),
        DataType::Smallint => remainder_as::<Int16Type>(|value| value as i16),
        DataType::Int => remainder_as::<Int32Type>(|value| value as i32),
        DataType::Bigint => remainder_as::<Int64Type>(|value| value as i64),
        other => return Err(format!("does not compute {other}")),
    })
}

fn by_zero() -> OperatorError {
    eval_error("division by zero; guard it with CASE or a filter")
}

/// The arithmetic of integers of one width, which wraps around.
trait Wrapping: Copy + Default + PartialEq {
    fn apply(self, op: Op, other: Self) -> Self;
}

macro_rules! wrapping {
    ($($native:ty),*) => {$(
        impl Wrapping for $native {
            #[inline(always)]
            fn apply(self, op: Op, other: Self) -> Self {
                match op {
                    Op::Add => self.wrapping_add(other),
                    Op::Subtract => self.wrapping_sub(other),
                    Op::Multiply => self.wrapping_mul(other),
                    Op::Divide => self.wrapping_div(other),
                    Op::Remainder => self.wrapping_rem(other),
                }
            }
        }
    )*};
}

wrapping!(i8, i16, i32, i64);

fn integers<T: ArrowPrimitiveType>(op: Op) -> Box<dyn Kernel>
where
    T::Native: Wrapping,
{
    kernel_of(move |operands, rows, _| {
        // Each loop has its operation inlined.
        let column = match op {
            Op::Add => zip_values::<T, T, T>(operands, rows, |l, r| l.apply(Op::Add, r))?,
            Op::Subtract => zip_values::<T, T, T>(operands, rows, |l, r| l.apply(Op::Subtract, r))?,
            Op::Multiply => zip_values::<T, T, T>(operands, rows, |l, r| l.apply(Op::Multiply, r))?,
            Op::Divide | Op::Remainder => return divide_integers::<T>(op, operands, rows),
        };
        Ok(Arc::new(column))
    })
}

fn divide_integers<T: ArrowPrimitiveType>(op: Op, operands: &[Operand], rows: usize) -> Result<ArrayRef, OperatorError>
where
    T::Native: Wrapping,
{
    let [left, right] = operands else { return Err(type_error("two operands are expected")) };
    let (dividends, divisors) = (Values::<T>::of(left)?, Values::<T>::of(right)?);
    let zero = T::Native::default();
    if let Values::Constant(divisor) = divisors
        && divisor != zero
    {
        return Ok(match op {
            Op::Divide => Arc::new(zip_values::<T, T, T>(operands, rows, |l, _| l.apply(Op::Divide, divisor))?),
            _ => Arc::new(zip_values::<T, T, T>(operands, rows, |l, _| l.apply(Op::Remainder, divisor))?),
        });
    }
    let column = map_rows::<T>(rows, joint_nulls(operands, rows), |row| {
        let divisor = divisors.at(row);
        if divisor == zero { Err(by_zero()) } else { Ok(Some(dividends.at(row).apply(op, divisor))) }
    })?;
    Ok(Arc::new(column))
}

fn floats<T: ArrowPrimitiveType>(op: Op) -> Box<dyn Kernel>
where
    T::Native: std::ops::Add<Output = T::Native>
        + std::ops::Sub<Output = T::Native>
        + std::ops::Mul<Output = T::Native>
        + std::ops::Div<Output = T::Native>
        + std::ops::Rem<Output = T::Native>,
{
    kernel_of(move |operands, rows, _| {
        Ok(Arc::new(match op {
            Op::Add => zip_values::<T, T, T>(operands, rows, |l, r| l + r)?,
            Op::Subtract => zip_values::<T, T, T>(operands, rows, |l, r| l - r)?,
            Op::Multiply => zip_values::<T, T, T>(operands, rows, |l, r| l * r)?,
            Op::Divide => zip_values::<T, T, T>(operands, rows, |l, r| l / r)?,
            Op::Remainder => zip_values::<T, T, T>(operands, rows, |l, r| l % r)?,
        }))
    })
}

/// The rest of a division of whole numbers of different types, as an integer of the divisor's width.
fn remainder_as<T: ArrowPrimitiveType>(narrow: fn(i128) -> T::Native) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let [left, right] = operands else { return Err(type_error("two operands are expected")) };
        if let (Some(dividends), true, Some(divisors)) = (long_values(left), right.is_constant(), long_values(right))
            && let Some(&divisor) = divisors.first().filter(|divisor| **divisor != 0)
            && !left.is_constant()
        {
            let values: Vec<_> = dividends.iter().map(|dividend| narrow(dividend.wrapping_rem(divisor).into())).collect();
            return Ok(Arc::new(PrimitiveArray::<T>::new(values.into(), joint_nulls(operands, rows))));
        }
        let ((dividends, _), (divisors, _)) = (Unscaled::of(left)?, Unscaled::of(right)?);
        let column = map_rows::<T>(rows, joint_nulls(operands, rows), |row| match divisors.at(row) {
            0 => Err(by_zero()),
            divisor => Ok(Some(narrow(dividends.at(row) % divisor))),
        })?;
        Ok(Arc::new(column))
    })
}

/// The values of an operand of integers, in 64 bits.
fn long_values(operand: &Operand) -> Option<Cow<'_, [i64]>> {
    fn widened<T: ArrowPrimitiveType<Native: Into<i64>>>(array: &dyn Array) -> Option<Cow<'_, [i64]>> {
        Some(Cow::Owned(array.as_primitive_opt::<T>()?.values().iter().map(|value| (*value).into()).collect()))
    }
    let array = operand.array();
    match array.as_primitive_opt::<Int64Type>() {
        Some(array) => Some(Cow::Borrowed(array.values())),
        None => widened::<Int32Type>(array).or_else(|| widened::<Int16Type>(array)).or_else(|| widened::<Int8Type>(array)),
    }
}

fn decimals(op: Op, result: DataType) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let [left, right] = operands else { return Err(type_error("two operands are expected")) };
        let column = match fast_product(op, operands, rows, &result)? {
            Some(product) => product,
            None => {
                let (left, right) = (Unscaled::of(left)?, Unscaled::of(right)?);
                exact(op, left, right, rows, joint_nulls(operands, rows), &result)?
            }
        };
        Ok(Arc::new(decimal::with_type(column, &result)?))
    })
}

/// A product of a 64-bit column or decimals, if no product can exceed 128 bits or the precision.
fn fast_product(op: Op, operands: &[Operand], rows: usize, result: &DataType) -> Result<Option<Decimal128Array>, OperatorError> {
    use arrow_schema::DataType::{Decimal128, Int64};
    let [left, right] = operands else { return Ok(None) };
    // Below 38 digits, the rule for products leaves room for every product, and keeps its scale.
    if op != Op::Multiply || !matches!(result, DataType::Decimal { precision, .. } if *precision < decimal::MAX_PRECISION) {
        return Ok(None);
    }
    Ok(match (left.array().data_type(), right.array().data_type()) {
        (Decimal128(..), Int64) => {
            Some(zip_values::<Decimal128Type, Int64Type, Decimal128Type>(operands, rows, |l, r| l.wrapping_mul(r.into()))?)
        }
        (Int64, Decimal128(..)) => {
            Some(zip_values::<Int64Type, Decimal128Type, Decimal128Type>(operands, rows, |l, r| i128::from(l).wrapping_mul(r))?)
        }
        (Decimal128(..), Decimal128(..)) => {
            Some(zip_values::<Decimal128Type, Decimal128Type, Decimal128Type>(operands, rows, i128::wrapping_mul)?)
        }
        _ => None,
    })
}

fn exact(
    op: Op,
    (left, left_scale): (Unscaled<'_>, u8),
    (right, right_scale): (Unscaled<'_>, u8),
    rows: usize,
    nulls: Option<arrow_buffer::NullBuffer>,
    result: &DataType,
) -> Result<Decimal128Array, OperatorError> {
    let (precision, scale) = decimal::precision_and_scale(result).ok_or_else(|| type_error(result))?;
    let compute = match op {
        Op::Add | Op::Subtract => decimal::add,
        Op::Multiply => decimal::multiply,
        Op::Divide => decimal::divide,
        Op::Remainder => decimal::remainder,
    };
    map_rows::<Decimal128Type>(rows, nulls, |row| {
        let (l, r) = (left.at(row), right.at(row));
        if r == 0 && matches!(op, Op::Divide | Op::Remainder) {
            return Err(by_zero());
        }
        let r = if op == Op::Subtract { -r } else { r };
        Ok(compute((l, left_scale), (r, right_scale), scale, precision))
    })
}

fn negate(_: &[Argument<'_>], result: &DataType) -> Result<Box<dyn Kernel>, String> {
    fn of<T: ArrowPrimitiveType>(value: fn(T::Native) -> T::Native) -> Box<dyn Kernel> {
        kernel_of(move |operands, _, _| {
            let [operand] = operands else { return Err(type_error("one operand is expected")) };
            let array = operand.array().as_primitive_opt::<T>().ok_or_else(|| type_error(operand.array().data_type()))?;
            // Keeps the precision and scale of decimals.
            Ok(Arc::new(array.unary::<_, T>(value).with_data_type(array.data_type().clone())))
        })
    }
    Ok(match result {
        DataType::Tinyint => of::<Int8Type>(i8::wrapping_neg),
        DataType::Smallint => of::<Int16Type>(i16::wrapping_neg),
        DataType::Int => of::<Int32Type>(i32::wrapping_neg),
        DataType::Bigint => of::<Int64Type>(i64::wrapping_neg),
        DataType::Float => of::<Float32Type>(|value| -value),
        DataType::Double => of::<Float64Type>(|value| -value),
        DataType::Decimal { .. } => of::<Decimal128Type>(i128::wrapping_neg),
        other => return Err(format!("does not negate {other}")),
    })
}
