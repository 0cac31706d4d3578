//! POSITION, LOCATE, INSTR, CHAR_LENGTH, STARTSWITH, ENDSWITH. Positions count characters from 1; 0 means "not found".

use std::sync::Arc;

use arrow_array::types::Int32Type;
use weir_protocol::job_graph::DataType;

use super::{byte_of_char, char_count, ints, read, text_to_number, texts, two_texts_to_boolean, two_texts_to_int};
use crate::functions::operand::{BytesArray, eval_error, joint_nulls, kernel_of, map_boolean, map_rows};
use crate::functions::signature::wrong_argument;
use crate::functions::typing::{Prepare, Resolve, typing};
use crate::functions::{Function, Kernel};
use crate::operator::OperatorError;

const LENGTH: Resolve = |given| typing(given, 1, 1)?.text()?.gives(DataType::Int);
const COUNT: Prepare = |_, _| Ok(text_to_number::<Int32Type>(|text| char_count(text) as i32));

const BEGINS: Resolve = |given| {
    let call = typing(given, 2, 2)?.any()?.any()?;
    let (left, right) = (given[0].data_type, given[1].data_type);
    match (left.is_text(), left.is_binary()) {
        (true, _) if right.is_text() => call.gives(DataType::Boolean),
        (_, true) if right.is_binary() => call.gives(DataType::Boolean),
        (true, _) => Err(wrong_argument(2, right, "a text")),
        (_, true) => Err(wrong_argument(2, right, "bytes")),
        _ => Err(wrong_argument(1, left, "a text or bytes")),
    }
};

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first("char_length", "CHAR_LENGTH(text)", "The number of characters of the text.", LENGTH, COUNT),
    Function::first("character_length", "CHARACTER_LENGTH(text)", "The number of characters of the text.", LENGTH, COUNT),
    Function::first(
        "position",
        "POSITION(part, text)",
        "The position of the first occurrence of `part`.",
        |given| typing(given, 2, 2)?.texts()?.gives(DataType::Int),
        |_, _| Ok(two_texts_to_int(|part, text| locate(part, text, 1))),
    ),
    Function::first(
        "locate",
        "LOCATE(part, text[, start])",
        "The position of the first occurrence of `part` at or after position `start`.",
        |given| typing(given, 2, 3)?.text()?.text()?.int()?.gives(DataType::Int),
        |_, _| Ok(locate_kernel()),
    ),
    Function::first(
        "instr",
        "INSTR(text, part[, start[, n]])",
        "The position of the n-th occurrence of `part` from position `start`; a negative start searches backwards from the end.",
        |given| typing(given, 2, 4)?.text()?.text()?.int()?.int()?.gives(DataType::Int),
        |_, _| Ok(instr_kernel()),
    ),
    Function::first(
        "startswith",
        "STARTSWITH(value, start)",
        "Whether a text, or bytes, starts with another.",
        BEGINS,
        |given, _| {
            Ok(if given[0].data_type.is_text() {
                two_texts_to_boolean(|text, part| text.starts_with(part))
            } else {
                two_bytes_to_boolean(<[u8]>::starts_with)
            })
        },
    ),
    Function::first("endswith", "ENDSWITH(value, end)", "Whether a text, or bytes, ends with another.", BEGINS, |given, _| {
        Ok(if given[0].data_type.is_text() {
            two_texts_to_boolean(|text, part| text.ends_with(part))
        } else {
            two_bytes_to_boolean(<[u8]>::ends_with)
        })
    }),
];

fn two_bytes_to_boolean(value: fn(&[u8], &[u8]) -> bool) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let (left, right) = (read::<BytesArray>(operands, 0)?, read::<BytesArray>(operands, 1)?);
        let nulls = joint_nulls(operands, rows);
        Ok(Arc::new(map_boolean(rows, nulls, |row| Ok(Some(value(left.value(row), right.value(row)))))?))
    })
}

fn locate_kernel() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let (part, text) = (texts(operands, 0)?, texts(operands, 1)?);
        let start = if operands.len() > 2 { Some(ints(operands, 2)?) } else { None };
        let nulls = joint_nulls(operands, rows);
        let column = map_rows::<Int32Type>(rows, nulls, |row| {
            Ok(Some(locate(part.value(row), text.value(row), start.as_ref().map_or(1, |start| start.value(row)))))
        })?;
        Ok(Arc::new(column))
    })
}

/// An empty part is found at 1, wherever the search starts.
fn locate(part: &str, text: &str, start: i32) -> i32 {
    if part.is_empty() {
        return 1;
    }
    let skipped = usize::try_from(start).unwrap_or(0).saturating_sub(1);
    let from = byte_of_char(text, skipped);
    text[from..].find(part).map_or(0, |byte| char_count(&text[..from + byte]) as i32 + 1)
}

fn instr_kernel() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let (text, part) = (texts(operands, 0)?, texts(operands, 1)?);
        let start = if operands.len() > 2 { Some(ints(operands, 2)?) } else { None };
        let nth = if operands.len() > 3 { Some(ints(operands, 3)?) } else { None };
        let nulls = joint_nulls(operands, rows);
        let column = map_rows::<Int32Type>(rows, nulls, |row| {
            let start = start.as_ref().map_or(1, |start| start.value(row));
            let nth = nth.as_ref().map_or(1, |nth| nth.value(row));
            instr(text.value(row), part.value(row), start, nth).map(Some)
        })?;
        Ok(Arc::new(column))
    })
}

fn instr(text: &str, part: &str, start: i32, nth: i32) -> Result<i32, OperatorError> {
    if nth <= 0 {
        return Err(eval_error(format!("INSTR takes a positive number of the occurrence, not {nth}")));
    }
    if start < 0 {
        let reversed = |text: &str| text.chars().rev().collect::<String>();
        let found = instr(&reversed(text), &reversed(part), start.saturating_neg(), nth)?;
        return Ok(if found == 0 { 0 } else { char_count(text) as i32 + 2 - found - char_count(part) as i32 });
    }
    let mut found = start - 1;
    for _ in 0..if start == 0 { 0 } else { nth } {
        let next = locate(part, text, found + 1);
        // An empty part is always found at 1: the loop would not end before `nth` steps.
        if next == 0 || part.is_empty() {
            return Ok(next);
        }
        found = next;
    }
    Ok(if start == 0 { 0 } else { found })
}
