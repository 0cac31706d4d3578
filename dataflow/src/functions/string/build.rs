//! Functions that put texts together: CONCAT, REPEAT, LPAD, REPLACE, TRANSLATE and the like.

use std::sync::Arc;

use weir_protocol::job_graph::DataType;

use super::{check_length, ints, text_int_to_text, text_to_text, texts, utf16};
use crate::functions::operand::{joint_nulls, kernel_of, map_text};
use crate::functions::typing::{Resolve, typing};
use crate::functions::{Function, Kernel, Resolved};
use crate::operator::OperatorError;

const PADDED: Resolve = |given| typing(given, 3, 3)?.text()?.int()?.text()?.gives_nullable(DataType::String);

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first("concat_operator", "text || text", "Both texts, one after the other.", resolve_operator, |_, _| Ok(concat())),
    Function::first(
        "concat",
        "CONCAT(text, …)",
        "The texts, one after the other; NULL if one is NULL.",
        |given| typing(given, 1, usize::MAX)?.texts()?.gives(DataType::String),
        |_, _| Ok(concat()),
    ),
    Function::first(
        "concat_ws",
        "CONCAT_WS(separator, text, …)",
        "The texts that are not NULL, with the separator between them.",
        |given| typing(given, 1, usize::MAX)?.texts()?.gives(DataType::String),
        |_, _| Ok(concat_ws()),
    ),
    Function::first(
        "repeat",
        "REPEAT(text, n)",
        "The text n times.",
        |given| typing(given, 2, 2)?.text()?.int()?.gives(DataType::String),
        |_, _| {
            Ok(text_int_to_text(|text, n, out| {
                let n = usize::try_from(n).unwrap_or(0);
                check_length(text.len().saturating_mul(n))?;
                (0..n).for_each(|_| out.push_str(text));
                Ok(true)
            }))
        },
    ),
    Function::first(
        "lpad",
        "LPAD(text, length, padding)",
        "The text cut to a length, or filled up to it with the padding on the left; NULL for a negative length or empty padding.",
        PADDED,
        |_, _| Ok(pad(true)),
    ),
    Function::first(
        "rpad",
        "RPAD(text, length, padding)",
        "The text cut to a length, or filled up to it with the padding on the right; NULL for a negative length or empty padding.",
        PADDED,
        |_, _| Ok(pad(false)),
    ),
    Function::first(
        "replace",
        "REPLACE(text, old, new)",
        "The text with `new` for each `old`.",
        |given| typing(given, 3, 3)?.texts()?.gives(DataType::String),
        |_, _| Ok(replace_kernel()),
    ),
    Function::first(
        "reverse",
        "REVERSE(text)",
        "The characters of the text in reverse order.",
        |given| typing(given, 1, 1)?.text()?.gives_nullable(DataType::String),
        |_, _| {
            Ok(text_to_text(|text, out| {
                out.extend(text.chars().rev());
                Ok(true)
            }))
        },
    ),
    Function::first(
        "translate",
        "TRANSLATE(text, from, to)",
        "The text with each character of `from` replaced by the one at the same place of `to`, or dropped if there is none.",
        |given| {
            let resolved = typing(given, 3, 3)?.texts()?.gives(DataType::String)?;
            Ok(Resolved { nullable: given[0].nullable, ..resolved })
        },
        |_, _| Ok(translate_kernel()),
    ),
];

fn resolve_operator(given: &[crate::functions::Argument<'_>]) -> Result<Resolved, String> {
    let call = typing(given, 2, 2)?.texts()?;
    let sum = |a: &u32, b: &u32| a.checked_add(*b);
    call.gives(match (given[0].data_type, given[1].data_type) {
        (DataType::Char(a), DataType::Char(b)) => sum(a, b).map_or(DataType::String, DataType::Char),
        (DataType::Char(a) | DataType::Varchar(a), DataType::Char(b) | DataType::Varchar(b)) => {
            sum(a, b).map_or(DataType::String, DataType::Varchar)
        }
        _ => DataType::String,
    })
}

fn concat() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let parts = (0..operands.len()).map(|i| texts(operands, i)).collect::<Result<Vec<_>, _>>()?;
        let nulls = joint_nulls(operands, rows);
        let column = map_text(rows, nulls.as_ref(), |row, out| {
            parts.iter().for_each(|part| out.push_str(part.value(row)));
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}

fn concat_ws() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let separator = texts(operands, 0)?;
        let parts = (1..operands.len()).map(|i| texts(operands, i)).collect::<Result<Vec<_>, _>>()?;
        let column = map_text(rows, None, |row, out| {
            let Some(separator) = separator.get(row) else { return Ok(false) };
            for (i, part) in parts.iter().filter_map(|part| part.get(row)).enumerate() {
                if i > 0 {
                    out.push_str(separator);
                }
                out.push_str(part);
            }
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}

fn pad(left: bool) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let (text, length, padding) = (texts(operands, 0)?, ints(operands, 1)?, texts(operands, 2)?);
        let nulls = joint_nulls(operands, rows);
        let column =
            map_text(rows, nulls.as_ref(), |row, out| pad_to(text.value(row), length.value(row), padding.value(row), left, out))?;
        Ok(Arc::new(column))
    })
}

/// Flink counts units of UTF-16 here.
fn pad_to(text: &str, length: i32, padding: &str, left: bool, out: &mut String) -> Result<bool, OperatorError> {
    let Ok(length) = usize::try_from(length) else { return Ok(false) };
    if padding.is_empty() {
        return Ok(false);
    }
    check_length(length)?;
    let mut kept = utf16::units(text);
    kept.truncate(length);
    let filling = utf16::units(padding).into_iter().cycle().take(length - kept.len());
    let padded: Vec<u16> =
        if left { filling.chain(kept.iter().copied()).collect() } else { kept.iter().copied().chain(filling).collect() };
    utf16::append(&padded, out);
    Ok(true)
}

fn replace_kernel() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let (text, old, new) = (texts(operands, 0)?, texts(operands, 1)?, texts(operands, 2)?);
        let nulls = joint_nulls(operands, rows);
        let column = map_text(rows, nulls.as_ref(), |row, out| {
            replace(text.value(row), old.value(row), new.value(row), out)?;
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}

fn replace(text: &str, old: &str, new: &str, out: &mut String) -> Result<(), OperatorError> {
    if old.is_empty() && !utf16::is_basic(text) {
        // Java also puts the new text between the two halves of a character outside the basic plane.
        let units = utf16::units(text);
        check_length(text.len() + new.len().saturating_mul(units.len() + 1))?;
        out.push_str(new);
        for unit in units {
            utf16::append(&[unit], out);
            out.push_str(new);
        }
        return Ok(());
    }
    let mut copied = 0;
    for (at, _) in text.match_indices(old) {
        out.push_str(&text[copied..at]);
        out.push_str(new);
        copied = at + old.len();
        check_length(out.len())?;
    }
    out.push_str(&text[copied..]);
    Ok(())
}

/// A missing `from` changes nothing, a missing `to` is empty.
fn translate_kernel() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let (text, from, to) = (texts(operands, 0)?, texts(operands, 1)?, texts(operands, 2)?);
        let column = map_text(rows, None, |row, out| {
            let Some(text) = text.get(row) else { return Ok(false) };
            let (from, to) = (from.get(row).unwrap_or_default(), to.get(row).unwrap_or_default());
            for c in text.chars() {
                match from.chars().position(|f| f == c) {
                    Some(place) => out.extend(to.chars().nth(place)),
                    None => out.push(c),
                }
            }
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}
