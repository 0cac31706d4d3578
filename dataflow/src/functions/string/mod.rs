//! Functions of texts.

pub(super) mod build;
pub(super) mod case;
pub(super) mod classify;
pub(super) mod cut;
pub(super) mod encode;
pub(super) mod find;
pub(super) mod like;
pub(super) mod printf;
pub(super) mod split;
#[cfg(test)]
mod tests;
pub(super) mod url;
mod utf16;

use weir_protocol::job_graph::DataType;

use super::operand::{Reader, TextArray, eval_error, joint_nulls, kernel_of, map_boolean, map_rows, map_text, type_error};
use super::{Kernel, Operand};
use crate::operator::OperatorError;
use arrow_array::types::{ArrowPrimitiveType, Int32Type};
use arrow_array::{Array, ArrayAccessor, Int32Array};
use std::sync::Arc;

/// Longest text that a function makes, in bytes. Without a limit one row could take all memory.
const MAX_TEXT: usize = 64 << 20;

/// Fails if a text of this many bytes is too long.
pub(super) fn check_length(bytes: usize) -> Result<(), OperatorError> {
    if bytes > MAX_TEXT {
        let message = format!("a text would have {bytes} bytes; a function makes at most {MAX_TEXT}");
        return Err(eval_error(message));
    }
    Ok(())
}

/// The type of a part of a text of type `whole`.
fn part_of(whole: &DataType) -> DataType {
    match whole {
        DataType::Char(length) | DataType::Varchar(length) => DataType::Varchar(*length),
        _ => DataType::String,
    }
}

/// Views an operand. Error: `EXPR-TYPE` if it is absent or holds another type.
pub(super) fn read<A: Array + 'static>(operands: &[Operand], position: usize) -> Result<Reader<'_, A>, OperatorError>
where
    for<'a> &'a A: ArrayAccessor,
{
    Reader::of(operands.get(position).ok_or_else(|| type_error(format!("argument {} is missing", position + 1)))?)
}

/// Views a text operand.
pub(super) fn texts(operands: &[Operand], position: usize) -> Result<Reader<'_, TextArray>, OperatorError> {
    read(operands, position)
}

/// Views an INT operand.
pub(super) fn ints(operands: &[Operand], position: usize) -> Result<Reader<'_, Int32Array>, OperatorError> {
    read(operands, position)
}

/// Maps a text to a text. `write` appends the result, and returns false for NULL.
fn text_to_text(write: impl Fn(&str, &mut String) -> Result<bool, OperatorError> + Send + 'static) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let text = texts(operands, 0)?;
        let nulls = joint_nulls(operands, rows);
        Ok(Arc::new(map_text(rows, nulls.as_ref(), |row, out| write(text.value(row), out))?))
    })
}

/// Maps a text and a whole number to a text.
fn text_int_to_text(write: impl Fn(&str, i32, &mut String) -> Result<bool, OperatorError> + Send + 'static) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let (text, number) = (texts(operands, 0)?, ints(operands, 1)?);
        let nulls = joint_nulls(operands, rows);
        Ok(Arc::new(map_text(rows, nulls.as_ref(), |row, out| write(text.value(row), number.value(row), out))?))
    })
}

/// Maps a text to a number.
fn text_to_number<T: ArrowPrimitiveType>(value: impl Fn(&str) -> T::Native + Send + 'static) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let text = texts(operands, 0)?;
        let numbers = map_rows::<T>(rows, joint_nulls(operands, rows), |row| Ok(Some(value(text.value(row)))))?;
        Ok(Arc::new(numbers))
    })
}

/// Maps two texts to an INT.
fn two_texts_to_int(value: impl Fn(&str, &str) -> i32 + Send + 'static) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let (left, right) = (texts(operands, 0)?, texts(operands, 1)?);
        let nulls = joint_nulls(operands, rows);
        Ok(Arc::new(map_rows::<Int32Type>(rows, nulls, |row| Ok(Some(value(left.value(row), right.value(row)))))?))
    })
}

/// Maps two texts to a BOOLEAN.
fn two_texts_to_boolean(value: impl Fn(&str, &str) -> bool + Send + 'static) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let (left, right) = (texts(operands, 0)?, texts(operands, 1)?);
        let nulls = joint_nulls(operands, rows);
        Ok(Arc::new(map_boolean(rows, nulls, |row| Ok(Some(value(left.value(row), right.value(row)))))?))
    })
}

/// The byte at which the n-th character begins, counted from 0; the length of the text if it has no more than `n` characters.
fn byte_of_char(text: &str, n: usize) -> usize {
    if text.is_ascii() {
        return n.min(text.len());
    }
    text.char_indices().nth(n).map_or(text.len(), |(byte, _)| byte)
}

/// Number of characters (code points), as Flink counts them.
fn char_count(text: &str) -> usize {
    text.bytes().filter(|byte| !(0x80..0xc0).contains(byte)).count()
}
