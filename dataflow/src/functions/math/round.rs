//! ROUND and TRUNCATE of numbers, FLOOR and CEIL of numbers and times.

use std::sync::Arc;

use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow_array::{Int32Array, PrimitiveArray};
use weir_protocol::job_graph::DataType;

use super::sign::{map, map_decimals};
use crate::functions::operand::{eval_error, joint_nulls, kernel_of, map_rows, type_error};
use crate::functions::signature::as_given;
use crate::functions::string::read;
use crate::functions::time::round::{self as of_time, Toward};
use crate::functions::typing::typing;
use crate::functions::{Argument, Function, Kernel, Operand, Resolved};
use crate::operator::OperatorError;

const CEIL_DOC: &str = "The least whole number that is not below the number, or the time rounded up to a unit.";

/// The planner adds the session's zone to FLOOR and CEIL of numbers too, where it has no effect.
pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "floor",
        "FLOOR(number) or FLOOR(time TO unit)",
        "The greatest whole number that is not above the number, or the time rounded down to a unit.",
        resolve_whole,
        |given, result| whole(given, result, Toward::Past),
    )
    .with_zone(),
    Function::first("ceil", "CEIL(number) or CEIL(time TO unit)", CEIL_DOC, resolve_whole, |given, result| {
        whole(given, result, Toward::Future)
    })
    .with_zone(),
    Function::first("ceiling", "CEILING(number) or CEILING(time TO unit)", CEIL_DOC, resolve_whole, |given, result| {
        whole(given, result, Toward::Future)
    })
    .with_zone(),
    Function::first(
        "round",
        "ROUND(number[, digits])",
        "The number rounded to digits after the point, or before it if they are negative; a half is rounded away from zero.",
        resolve_round,
        |given, result| round(given, result, true),
    ),
    Function::first(
        "truncate",
        "TRUNCATE(number[, digits])",
        "The number cut to digits after the point, or before it if they are negative.",
        resolve_round,
        |given, result| round(given, result, false),
    ),
];

fn resolve_whole(given: &[Argument<'_>]) -> Result<Resolved, String> {
    match given.first().map(|argument| argument.data_type) {
        Some(number) if number.is_numeric() && given.len() <= 2 => {
            if given.len() == 2 && !given[1].data_type.is_text() {
                return Err("takes 1 argument, not 2".into());
            }
            Ok(as_given(
                given,
                match number {
                    DataType::Decimal { precision, .. } => DataType::Decimal { precision: *precision, scale: 0 },
                    other => other.clone(),
                },
            ))
        }
        Some(text) if text.is_text() => Err(format!("takes a number, a date or a time as argument 1, not {text}")),
        _ => of_time::resolve(given),
    }
}

fn whole(given: &[Argument<'_>], result: &DataType, toward: Toward) -> Result<Box<dyn Kernel>, String> {
    let up = toward == Toward::Future;
    Ok(match given[0].data_type {
        DataType::Tinyint => map::<Int8Type>(|x| x),
        DataType::Smallint => map::<Int16Type>(|x| x),
        DataType::Int => map::<Int32Type>(|x| x),
        DataType::Bigint => map::<Int64Type>(|x| x),
        DataType::Float => map::<Float32Type>(if up { f32::ceil } else { f32::floor }),
        DataType::Double => map::<Float64Type>(if up { f64::ceil } else { f64::floor }),
        DataType::Decimal { scale, .. } => {
            let one = 10_i128.pow((*scale).into());
            let DataType::Decimal { precision, .. } = result else { return Err("has no decimal result".into()) };
            map_decimals((*precision, 0), move |x| {
                let floor = x.div_euclid(one);
                Some(floor + i128::from(up && floor * one < x))
            })
        }
        _ => return of_time::prepare(given, toward),
    })
}

/// The digits that are asked for: 0 unless given, `None` if they are not constant.
fn constant_digits(given: &[Argument<'_>]) -> Option<i32> {
    match given.get(1) {
        None => Some(0),
        Some(argument) => argument.constant.flatten().and_then(|text| text.parse().ok()),
    }
}

fn resolve_round(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let call = typing(given, 1, 2)?.number()?.int()?;
    call.gives(match (given[0].data_type, constant_digits(given)) {
        (DataType::Decimal { precision, scale }, Some(digits)) if digits < i32::from(*scale) => {
            let digits = u8::try_from(digits).unwrap_or(0);
            DataType::Decimal { precision: (1 + precision - scale + digits).min(38), scale: digits }
        }
        (other, _) => other.clone(),
    })
}

fn round(given: &[Argument<'_>], result: &DataType, half_up: bool) -> Result<Box<dyn Kernel>, String> {
    Ok(match (given[0].data_type, result) {
        (DataType::Tinyint, _) => map_digits::<Int8Type>(move |x, digits| Ok(whole_to(x.into(), digits, half_up) as i8)),
        (DataType::Smallint, _) => map_digits::<Int16Type>(move |x, digits| Ok(whole_to(x.into(), digits, half_up) as i16)),
        (DataType::Int, _) => map_digits::<Int32Type>(move |x, digits| Ok(whole_to(x.into(), digits, half_up) as i32)),
        (DataType::Bigint, _) => map_digits::<Int64Type>(move |x, digits| Ok(whole_to(x.into(), digits, half_up) as i64)),
        (DataType::Float, _) => map_digits::<Float32Type>(move |x, digits| Ok(double_to(x.into(), digits, half_up)? as f32)),
        (DataType::Double, _) => map_digits::<Float64Type>(move |x, digits| double_to(x, digits, half_up)),
        (DataType::Decimal { scale: from, .. }, DataType::Decimal { precision, scale }) => {
            decimals((*from).into(), *precision, *scale, half_up)
        }
        (other, _) => return Err(format!("takes a number as argument 1, not {other}")),
    })
}

fn map_digits<T: ArrowPrimitiveType>(
    value: impl Fn(T::Native, i32) -> Result<T::Native, OperatorError> + Send + 'static,
) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let numbers = read::<PrimitiveArray<T>>(operands, 0)?;
        let digits = digits_of(operands)?;
        let column = map_rows::<T>(rows, joint_nulls(operands, rows), |row| value(numbers.value(row), digits(row)).map(Some))?;
        Ok(Arc::new(column))
    })
}

fn digits_of(operands: &[Operand]) -> Result<impl Fn(usize) -> i32, OperatorError> {
    let digits = if operands.len() > 1 { Some(read::<Int32Array>(operands, 1)?) } else { None };
    Ok(move |row| digits.as_ref().map_or(0, |digits| digits.value(row)))
}

/// A whole number rounded to digits before the point.
fn whole_to(x: i128, digits: i32, half_up: bool) -> i128 {
    if digits >= 0 { x } else { round_to(x, digits.unsigned_abs(), half_up) }
}

/// Rounds the last `places` digits to zeros.
fn round_to(x: i128, places: u32, half_up: bool) -> i128 {
    let Some(unit) = 10_i128.checked_pow(places) else { return 0 };
    let rest = x % unit;
    let up = half_up && rest.abs() >= unit - rest.abs();
    // Beyond 38 digits nothing fits the type, and the result becomes NULL.
    (x - rest).saturating_add(if up { unit * x.signum() } else { 0 })
}

fn decimals(from: i32, precision: u8, scale: u8, half_up: bool) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let numbers = read::<PrimitiveArray<Decimal128Type>>(operands, 0)?;
        let digits = digits_of(operands)?;
        let (limit, to) = (10_u128.pow(precision.min(38).into()), i32::from(scale));
        let column = map_rows::<Decimal128Type>(rows, joint_nulls(operands, rows), |row| {
            let digits = digits(row).min(from);
            let rounded = round_to(numbers.value(row), from.saturating_sub(digits).unsigned_abs(), half_up);
            // The result has fewer digits after the point than the number, but never fewer than it was rounded to.
            let rounded = rounded / 10_i128.pow(from.saturating_sub(to).unsigned_abs());
            Ok(Some(rounded).filter(|rounded| rounded.unsigned_abs() < limit))
        })?;
        Ok(Arc::new(column.with_precision_and_scale(precision, scale as i8).map_err(type_error)?))
    })
}

/// Rounds the shortest decimal digits of a number, as Java does, so that 1.005 becomes 1.01.
fn double_to(x: f64, digits: i32, half_up: bool) -> Result<f64, OperatorError> {
    if !x.is_finite() {
        return Err(eval_error(format!("ROUND and TRUNCATE take finite numbers, not {x}")));
    }
    let text = format!("{:e}", x.abs());
    let Some((mantissa, exponent)) = text.split_once('e') else { return Ok(x) };
    let exponent: i64 = exponent.parse().unwrap_or(0);
    let mut kept: Vec<u8> = mantissa.bytes().filter(u8::is_ascii_digit).collect();
    // The number of digits that remain.
    let remaining = exponent + 1 + i64::from(digits);
    if remaining >= kept.len() as i64 {
        return Ok(x);
    }
    if remaining < 0 {
        return Ok(0.0);
    }
    let remaining = remaining as usize;
    let up = half_up && kept[remaining] >= b'5';
    kept.truncate(remaining);
    kept.insert(0, b'0');
    if up {
        let mut place = kept.len() - 1;
        while kept[place] == b'9' {
            kept[place] = b'0';
            place -= 1;
        }
        kept[place] += 1;
    }
    let whole = String::from_utf8_lossy(&kept).into_owned();
    let rounded: f64 = format!("{whole}e{}", exponent + 1 - remaining as i64).parse().unwrap_or(0.0);
    // As in Java, where decimals have no negative zero.
    Ok(if rounded == 0.0 { 0.0 } else { rounded.copysign(x) })
}
