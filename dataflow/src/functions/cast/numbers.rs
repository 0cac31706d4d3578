//! Casts between numbers and booleans, by the rules of Java.

use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow_array::{Array, ArrayRef, BooleanArray, PrimitiveArray};
use weir_protocol::job_graph::DataType;

use super::parse_number::{decimal_of_exact, decimal_of_float};
use super::{Convert, Options, or_fail};
use crate::functions::Operand;
use crate::functions::decimal::{Unscaled, power_of_ten};
use crate::functions::operand::{map_boolean, map_rows, type_error};
use crate::operator::OperatorError;
use crate::schema::arrow_type;

pub(super) fn converter(from: &DataType, to: &DataType, options: Options) -> Result<Convert, String> {
    use DataType as T;
    Ok(match (from, to) {
        (T::Boolean, _) => from_boolean(to),
        (_, T::Boolean) => to_boolean(from.clone()),
        (T::Tinyint, _) => from_integer::<Int8Type>(to)?,
        (T::Smallint, _) => from_integer::<Int16Type>(to)?,
        (T::Int, _) => from_integer::<Int32Type>(to)?,
        (T::Bigint, _) => from_integer::<Int64Type>(to)?,
        (T::Float, _) => from_float::<Float32Type>(to, options.or_null)?,
        (T::Double, _) => from_float::<Float64Type>(to, options.or_null)?,
        (T::Decimal { scale, .. }, _) => from_decimal(*scale, to)?,
        _ => return Err(format!("there is no cast from {from} to {to}")),
    })
}

fn typed<T: ArrowPrimitiveType>(array: &ArrayRef) -> Result<&PrimitiveArray<T>, OperatorError> {
    array.as_primitive_opt::<T>().ok_or_else(|| type_error(array.data_type()))
}

/// A cast that computes each value alone and can't fail.
fn each<A: ArrowPrimitiveType, B: ArrowPrimitiveType>(value: fn(A::Native) -> B::Native) -> Convert {
    Box::new(move |array| Ok(Arc::new(typed::<A>(array)?.unary::<_, B>(value))))
}

/// Casts of Java, by the operator `as` of Rust, which does the same.
macro_rules! as_number {
    ($from:ty, $to:expr) => {
        match $to {
            DataType::Tinyint => each::<$from, Int8Type>(|value| value as i8),
            DataType::Smallint => each::<$from, Int16Type>(|value| value as i16),
            DataType::Int => each::<$from, Int32Type>(|value| value as i32),
            DataType::Bigint => each::<$from, Int64Type>(|value| value as i64),
            DataType::Float => each::<$from, Float32Type>(|value| value as f32),
            DataType::Double => each::<$from, Float64Type>(|value| value as f64),
            other => return Err(format!("there is no cast to {other}")),
        }
    };
}

fn from_integer<A>(to: &DataType) -> Result<Convert, String>
where
    A: ArrowPrimitiveType,
    A::Native: Into<i64>,
{
    let widen: Convert = Box::new(|array| Ok(Arc::new(typed::<A>(array)?.unary::<_, Int64Type>(Into::into))));
    let convert = match to {
        DataType::Decimal { .. } => return Ok(rescaled(0, to)),
        // Narrowing in one step or in two is the same.
        _ => as_number!(Int64Type, to),
    };
    if arrow_array::types::Int64Type::DATA_TYPE == A::DATA_TYPE {
        return Ok(convert);
    }
    Ok(Box::new(move |array| convert(&widen(array)?)))
}

/// A floating-point number as Java converts it: to TINYINT and SMALLINT by way of INT.
fn from_float<A>(to: &DataType, or_null: bool) -> Result<Convert, String>
where
    A: ArrowPrimitiveType,
    A::Native: Into<f64> + std::fmt::LowerExp,
{
    let convert: Convert = match to {
        DataType::Tinyint => each::<Float64Type, Int8Type>(|value| value as i32 as i8),
        DataType::Smallint => each::<Float64Type, Int16Type>(|value| value as i32 as i16),
        DataType::Decimal { precision, scale } => {
            let (precision, scale, arrow) = (*precision, *scale, arrow_type(to));
            return Ok(Box::new(move |array| {
                let floats = typed::<A>(array)?;
                let values = map_rows::<Decimal128Type>(floats.len(), floats.nulls().cloned(), |row| {
                    let value: f64 = floats.value(row).into();
                    if !value.is_finite() {
                        return or_fail(Err(format!("{value} can't be cast to {arrow}; guard it with CASE")), or_null);
                    }
                    Ok(decimal_of_float(&format!("{value:e}"), precision, scale))
                })?;
                Ok(Arc::new(values.with_data_type(arrow.clone())))
            }));
        }
        _ => as_number!(Float64Type, to),
    };
    if A::DATA_TYPE == Float64Type::DATA_TYPE {
        return Ok(convert);
    }
    Ok(Box::new(move |array| {
        let wide: ArrayRef = Arc::new(typed::<A>(array)?.unary::<_, Float64Type>(Into::into));
        convert(&wide)
    }))
}

fn from_decimal(scale: u8, to: &DataType) -> Result<Convert, String> {
    let divisor = power_of_ten(scale.into()).ok_or_else(|| format!("the scale {scale} is too large"))?;
    fn whole<T: ArrowPrimitiveType>(divisor: i128, narrow: fn(i128) -> T::Native) -> Convert {
        Box::new(move |array| Ok(Arc::new(typed::<Decimal128Type>(array)?.unary::<_, T>(|value| narrow(value / divisor)))))
    }
    Ok(match to {
        DataType::Tinyint => whole::<Int8Type>(divisor, |value| value as i8),
        DataType::Smallint => whole::<Int16Type>(divisor, |value| value as i16),
        DataType::Int => whole::<Int32Type>(divisor, |value| value as i32),
        DataType::Bigint => whole::<Int64Type>(divisor, |value| value as i64),
        DataType::Double => Box::new(move |array| {
            Ok(Arc::new(typed::<Decimal128Type>(array)?.unary::<_, Float64Type>(|value| nearest_double(value, scale, divisor))))
        }),
        DataType::Float => Box::new(move |array| {
            Ok(Arc::new(typed::<Decimal128Type>(array)?.unary::<_, Float32Type>(|value| nearest_float(value, scale))))
        }),
        DataType::Decimal { .. } => rescaled(scale, to),
        other => return Err(format!("there is no cast from DECIMAL to {other}")),
    })
}

/// The double nearest to a decimal.
fn nearest_double(value: i128, scale: u8, divisor: i128) -> f64 {
    // Both are exact, so the quotient is rounded once.
    if value.unsigned_abs() < 1 << 53 && scale <= 22 {
        return value as f64 / divisor as f64;
    }
    format!("{value}e-{scale}").parse().unwrap_or(f64::NAN)
}

fn nearest_float(value: i128, scale: u8) -> f32 {
    format!("{value}e-{scale}").parse().unwrap_or(f32::NAN)
}

/// Exact numbers at another scale; those that don't fit are NULL.
fn rescaled(from: u8, to: &DataType) -> Convert {
    let (precision, scale) = crate::functions::decimal::precision_and_scale(to).unwrap_or_default();
    let arrow = arrow_type(to);
    Box::new(move |array| {
        let operand = Operand::Column(array.clone());
        let (values, _) = Unscaled::of(&operand)?;
        let decimals = map_rows::<Decimal128Type>(array.len(), array.logical_nulls(), |row| {
            Ok(decimal_of_exact(values.at(row), from, precision, scale))
        })?;
        Ok(Arc::new(decimals.with_data_type(arrow.clone())))
    })
}

fn from_boolean(to: &DataType) -> Convert {
    let to = to.clone();
    Box::new(move |array| {
        let booleans = array.as_boolean_opt().ok_or_else(|| type_error(array.data_type()))?;
        let ones: ArrayRef = Arc::new(PrimitiveArray::<Int64Type>::from_iter(booleans.iter().map(|value| value.map(i64::from))));
        match &to {
            DataType::Bigint => Ok(ones),
            _ => from_integer::<Int64Type>(&to).map_err(type_error)?(&ones),
        }
    })
}

fn to_boolean(from: DataType) -> Convert {
    Box::new(move |array| {
        let rows = array.len();
        let values: BooleanArray = match &from {
            DataType::Float => {
                let floats = typed::<Float32Type>(array)?;
                map_boolean(rows, floats.nulls().cloned(), |row| Ok(Some(floats.value(row) != 0.0)))?
            }
            DataType::Double => {
                let floats = typed::<Float64Type>(array)?;
                map_boolean(rows, floats.nulls().cloned(), |row| Ok(Some(floats.value(row) != 0.0)))?
            }
            _ => {
                let operand = Operand::Column(array.clone());
                let (values, _) = Unscaled::of(&operand)?;
                map_boolean(rows, array.logical_nulls(), |row| Ok(Some(values.at(row) != 0)))?
            }
        };
        Ok(Arc::new(values))
    })
}
