//! CAST and TRY_CAST: which casts exist, and how they convert values.

mod bytes;
mod literal;
mod matrix;
mod nested;
mod numbers;
mod parse_number;
mod parse_time;
#[cfg(test)]
mod tests;
mod times;
mod to_text;

use std::sync::Arc;

use arrow_array::types::ArrowPrimitiveType;
use arrow_array::{Array, ArrayRef};
use weir_protocol::job_graph::DataType;

use super::operand::{TextArray, eval_error, kernel_of, map_rows, type_error};
use super::{Kernel, Operand};
use crate::operator::OperatorError;
use crate::schema::arrow_type;
use crate::time_zone::Zone;
pub use literal::{read_literal, write_literal};
pub use matrix::{explicit, implicit};
pub use to_text::{WriteRow, printer};
pub(super) use to_text::{real_text, writer};

/// How a cast treats failures and time zones.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Whether a value that can't be converted is NULL instead of failing the job.
    pub or_null: bool,
    /// The time zone of conversions between points in time and local times or texts.
    pub zone: Zone,
}

impl Default for Options {
    fn default() -> Self {
        Self { or_null: false, zone: Zone::UTC }
    }
}

/// Converts an array of one type to another.
type Convert = Box<dyn Fn(&ArrayRef) -> Result<ArrayRef, OperatorError> + Send>;

/// Prepares a cast of one operand. The error says that there is no such cast.
pub fn prepare(from: &DataType, to: &DataType, options: Options) -> Result<Box<dyn Kernel>, String> {
    let convert = converter(from, to, options)?;
    Ok(kernel_of(move |operands, rows, _| {
        let operand = operands.first().ok_or_else(|| type_error("one operand is expected"))?;
        let converted = convert(operand.array())?;
        if operand.is_constant() { Operand::Constant(converted).into_column(rows) } else { Ok(converted) }
    }))
}

/// Whether a cast leaves every value as it is, so that no work is needed.
pub fn is_identity(from: &DataType, to: &DataType) -> bool {
    use DataType as T;
    match (from, to) {
        (T::Char(_) | T::Varchar(_) | T::String, T::String) => true,
        (T::Binary(_) | T::Varbinary(_) | T::Bytes, T::Bytes) => true,
        (T::Char(n) | T::Varchar(n), T::Varchar(m)) | (T::Binary(n) | T::Varbinary(n), T::Varbinary(m)) => n <= m,
        (T::Time(p), T::Time(q)) => p <= q || *q >= 3,
        (T::Timestamp(p), T::Timestamp(q)) | (T::TimestampLtz(p), T::TimestampLtz(q)) => {
            p <= q && arrow_type(from) == arrow_type(to)
        }
        _ => from == to,
    }
}

fn converter(from: &DataType, to: &DataType, options: Options) -> Result<Convert, String> {
    explicit(from, to)?;
    if is_identity(from, to) {
        return Ok(Box::new(|array| Ok(array.clone())));
    }
    if from.is_nested() && to.is_nested() {
        return nested::converter(from, to, options);
    }
    if to.is_text() {
        return Ok(to_text::converter(from, to, options.zone));
    }
    if to.is_binary() {
        return Ok(bytes::converter(to));
    }
    if from.is_text() {
        return parser(to, options);
    }
    if matches!(to, DataType::Boolean) || to.is_numeric() {
        numbers::converter(from, to, options)
    } else {
        times::converter(from, to, options)
    }
}

fn parser(to: &DataType, options: Options) -> Result<Convert, String> {
    if matches!(to, DataType::Boolean) || to.is_numeric() {
        parse_number::converter(to, options.or_null)
    } else {
        parse_time::converter(to, options)
    }
}

/// Converts texts to primitive values, row by row.
fn from_text<T: ArrowPrimitiveType>(
    to: &DataType,
    or_null: bool,
    parse: impl Fn(&str) -> Result<T::Native, String> + Send + 'static,
) -> Convert {
    let arrow = arrow_type(to);
    Box::new(move |array| {
        let texts = array.as_any().downcast_ref::<TextArray>().ok_or_else(|| type_error(array.data_type()))?;
        let values = map_rows::<T>(texts.len(), texts.nulls().cloned(), |row| or_fail(parse(texts.value(row)), or_null))?;
        Ok(Arc::new(values.with_data_type(arrow.clone())))
    })
}

/// The outcome of one value: NULL or an error if it can't be converted.
fn or_fail<T>(outcome: Result<T, String>, or_null: bool) -> Result<Option<T>, OperatorError> {
    match outcome {
        Ok(value) => Ok(Some(value)),
        Err(_) if or_null => Ok(None),
        Err(message) => Err(eval_error(message)),
    }
}

/// The message for a text that can't be converted.
fn unreadable(text: &str, to: &str) -> String {
    let shown: String = text.chars().take(64).collect();
    format!("{shown:?} can't be cast to {to}; TRY_CAST gives NULL instead")
}
