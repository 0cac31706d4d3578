//! ABS and SIGN, which keep the type of their argument.

use std::sync::Arc;

use arrow_array::PrimitiveArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use weir_protocol::job_graph::DataType;

use crate::functions::operand::{joint_nulls, kernel_of, map_rows, type_error};
use crate::functions::string::read;
use crate::functions::typing::{Resolve, typing};
use crate::functions::{Function, Kernel, Operand};
use crate::operator::OperatorError;

const SAME: Resolve = |given| {
    let call = typing(given, 1, 1)?.number()?;
    call.gives(given[0].data_type.clone())
};

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "abs",
        "ABS(number)",
        "The number without its sign. The least whole number stays as it is.",
        SAME,
        |given, _| abs(given[0].data_type),
    ),
    Function::first("sign", "SIGN(number)", "-1, 0 or 1, as the number is below, equal to or above zero.", SAME, |given, _| {
        sign(given[0].data_type)
    }),
];

/// Maps numbers to numbers of the same type.
pub(super) fn map<T: ArrowPrimitiveType>(value: impl Fn(T::Native) -> T::Native + Send + 'static) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| Ok(Arc::new(map_array::<T>(operands, rows, |x| Some(value(x)))?)))
}

/// The same for one batch; a result of `None` is NULL.
pub(super) fn map_array<T: ArrowPrimitiveType>(
    operands: &[Operand],
    rows: usize,
    value: impl Fn(T::Native) -> Option<T::Native>,
) -> Result<PrimitiveArray<T>, OperatorError> {
    let numbers = read::<PrimitiveArray<T>>(operands, 0)?;
    map_rows::<T>(rows, joint_nulls(operands, rows), |row| Ok(value(numbers.value(row))))
}

/// Maps decimals to decimals of type `result`; a result of `None` is NULL.
pub(super) fn map_decimals(
    (precision, scale): (u8, u8),
    value: impl Fn(i128) -> Option<i128> + Send + 'static,
) -> Box<dyn Kernel> {
    let limit = 10_i128.pow(precision.min(38).into());
    kernel_of(move |operands, rows, _| {
        let fitting = |x: i128| value(x).filter(|x| x.unsigned_abs() < limit.unsigned_abs());
        let numbers = map_array::<Decimal128Type>(operands, rows, fitting)?;
        Ok(Arc::new(numbers.with_precision_and_scale(precision, scale as i8).map_err(type_error)?))
    })
}

fn abs(data_type: &DataType) -> Result<Box<dyn Kernel>, String> {
    Ok(match data_type {
        DataType::Tinyint => map::<Int8Type>(i8::wrapping_abs),
        DataType::Smallint => map::<Int16Type>(i16::wrapping_abs),
        DataType::Int => map::<Int32Type>(i32::wrapping_abs),
        DataType::Bigint => map::<Int64Type>(i64::wrapping_abs),
        DataType::Float => map::<Float32Type>(f32::abs),
        DataType::Double => map::<Float64Type>(f64::abs),
        DataType::Decimal { precision, scale } => map_decimals((*precision, *scale), |x| Some(x.abs())),
        other => return Err(format!("takes a number, not {other}")),
    })
}

fn sign(data_type: &DataType) -> Result<Box<dyn Kernel>, String> {
    Ok(match data_type {
        DataType::Tinyint => map::<Int8Type>(i8::signum),
        DataType::Smallint => map::<Int16Type>(i16::signum),
        DataType::Int => map::<Int32Type>(i32::signum),
        DataType::Bigint => map::<Int64Type>(i64::signum),
        // Zero and NaN are their own sign.
        DataType::Float => map::<Float32Type>(|x| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
        DataType::Double => map::<Float64Type>(|x| if x == 0.0 || x.is_nan() { x } else { x.signum() }),
        DataType::Decimal { precision, scale } => {
            let one = 10_i128.pow((*scale).into());
            map_decimals((*precision, *scale), move |x| Some(x.signum() * one))
        }
        other => return Err(format!("takes a number, not {other}")),
    })
}
