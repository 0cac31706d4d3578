//! SUBSTRING, LEFT, RIGHT, OVERLAY, the TRIM family. Positions count characters from 1.

use std::sync::Arc;

use weir_protocol::job_graph::DataType;

use super::{byte_of_char, char_count, ints, part_of, text_int_to_text, texts, utf16};
use crate::functions::operand::{joint_nulls, kernel_of, map_text};
use crate::functions::typing::{Prepare, Resolve, constant, typing};
use crate::functions::{Function, Kernel};

const PART: Resolve = |given| {
    let call = typing(given, 2, 3)?.text()?.int()?.int()?;
    call.gives_nullable(part_of(given[0].data_type))
};

const SIDE: Resolve = |given| {
    let call = typing(given, 2, 2)?.text()?.int()?;
    call.gives_nullable(part_of(given[0].data_type))
};

const TRIMMED: Resolve = |given| {
    let call = typing(given, 1, 2)?.texts()?;
    call.gives(part_of(given[0].data_type))
};

const SUBSTRING: Prepare = |_, _| Ok(substring());
const SUBSTRING_DOC: &str =
    "The part of the text from a position, counted from 1, or from the end if it is negative; NULL if the length is negative.";

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first("substring", "SUBSTRING(text, start[, length])", SUBSTRING_DOC, PART, SUBSTRING),
    Function::first("substr", "SUBSTR(text, start[, length])", SUBSTRING_DOC, PART, SUBSTRING),
    Function::first("left", "LEFT(text, length)", "The first characters of the text.", SIDE, |_, _| {
        Ok(text_int_to_text(|text, length, out| {
            out.push_str(&text[..byte_of_char(text, positive(length))]);
            Ok(true)
        }))
    }),
    Function::first("right", "RIGHT(text, length)", "The last characters of the text.", SIDE, |_, _| {
        Ok(text_int_to_text(|text, length, out| {
            let skipped = char_count(text).saturating_sub(positive(length));
            out.push_str(&text[byte_of_char(text, skipped)..]);
            Ok(true)
        }))
    }),
    Function::first(
        "overlay",
        "OVERLAY(text, part, start[, length])",
        "The text with a part replaced: `length` characters from position `start`, or as many as the new part has.",
        |given| {
            let call = typing(given, 3, 4)?.text()?.text()?.int()?.int()?;
            call.gives(match (given[0].data_type, given[1].data_type) {
                (DataType::Char(a) | DataType::Varchar(a), DataType::Char(b) | DataType::Varchar(b)) => {
                    a.checked_add(*b).map_or(DataType::String, DataType::Varchar)
                }
                _ => DataType::String,
            })
        },
        |_, _| Ok(overlay_kernel()),
    ),
    Function::first(
        "trim",
        "TRIM(side, characters, text)",
        "The text without these characters at the sides that `side` names: BOTH, LEADING or TRAILING.",
        |given| {
            let call = typing(given, 3, 3)?.texts()?;
            side(constant(given, 0)?)?;
            call.gives(part_of(given[2].data_type))
        },
        |given, _| Ok(trim(2, Some(1), side(constant(given, 0)?)?)),
    ),
    Function::first(
        "ltrim",
        "LTRIM(text[, characters])",
        "The text without blanks, or these characters, at its start.",
        TRIMMED,
        |given, _| Ok(trim(0, (given.len() > 1).then_some(1), (true, false))),
    ),
    Function::first(
        "rtrim",
        "RTRIM(text[, characters])",
        "The text without blanks, or these characters, at its end.",
        TRIMMED,
        |given, _| Ok(trim(0, (given.len() > 1).then_some(1), (false, true))),
    ),
    Function::first(
        "btrim",
        "BTRIM(text[, characters])",
        "The text without blanks, or these characters, at its start and its end.",
        |given| typing(given, 1, 2)?.texts()?.gives(DataType::String),
        |given, _| Ok(trim(0, (given.len() > 1).then_some(1), (true, true))),
    ),
];

fn positive(number: i32) -> usize {
    usize::try_from(number).unwrap_or(0)
}

fn substring() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let (text, start) = (texts(operands, 0)?, ints(operands, 1)?);
        let length = if operands.len() > 2 { Some(ints(operands, 2)?) } else { None };
        let nulls = joint_nulls(operands, rows);
        let column = map_text(rows, nulls.as_ref(), |row, out| {
            let length = length.as_ref().map_or(i32::MAX, |length| length.value(row));
            let part = part(text.value(row), start.value(row), length);
            out.push_str(part.unwrap_or_default());
            Ok(part.is_some())
        })?;
        Ok(Arc::new(column))
    })
}

fn part(text: &str, start: i32, length: i32) -> Option<&str> {
    let length = usize::try_from(length).ok()?;
    let skipped = match start {
        0 => 0,
        1.. => start as usize - 1,
        _ => match char_count(text).checked_sub(start.unsigned_abs() as usize) {
            Some(skipped) => skipped,
            None => return Some(""),
        },
    };
    let rest = &text[byte_of_char(text, skipped)..];
    Some(&rest[..byte_of_char(rest, length)])
}

fn overlay_kernel() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let (text, part, start) = (texts(operands, 0)?, texts(operands, 1)?, ints(operands, 2)?);
        let length = if operands.len() > 3 { Some(ints(operands, 3)?) } else { None };
        let nulls = joint_nulls(operands, rows);
        let column = map_text(rows, nulls.as_ref(), |row, out| {
            overlay(text.value(row), part.value(row), start.value(row), length.as_ref().map(|length| length.value(row)), out);
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}

/// Flink counts units of UTF-16 here. Nothing of the text remains behind the part if `length` is not positive.
fn overlay(text: &str, part: &str, start: i32, length: Option<i32>, out: &mut String) {
    let units = utf16::units(text);
    let (start, end) = match usize::try_from(start) {
        Ok(start) if (1..=units.len()).contains(&start) => {
            let length = length.map_or_else(|| utf16::unit_count(part), positive);
            (start, start.saturating_add(length))
        }
        _ => return out.push_str(text),
    };
    utf16::append(&units[..start - 1], out);
    out.push_str(part);
    if end > start && end <= units.len() {
        utf16::append(&units[end - 1..], out);
    }
}

/// Whether TRIM cuts at the start, and at the end.
fn side(name: &str) -> Result<(bool, bool), String> {
    match name {
        "BOTH" => Ok((true, true)),
        "LEADING" => Ok((true, false)),
        "TRAILING" => Ok((false, true)),
        _ => Err(format!("takes BOTH, LEADING or TRAILING as argument 1, not {name:?}")),
    }
}

/// Trims argument `text` by the characters of argument `set`, or by blanks.
fn trim(text: usize, set: Option<usize>, (start, end): (bool, bool)) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let text = texts(operands, text)?;
        let set = set.map(|set| texts(operands, set)).transpose()?;
        let nulls = joint_nulls(operands, rows);
        let column = map_text(rows, nulls.as_ref(), |row, out| {
            let set = set.as_ref().map_or(" ", |set| set.value(row));
            let mut text = text.value(row);
            if start {
                text = text.trim_start_matches(|c| set.contains(c));
            }
            if end {
                text = text.trim_end_matches(|c| set.contains(c));
            }
            out.push_str(text);
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}
