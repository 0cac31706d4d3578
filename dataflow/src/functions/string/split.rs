//! SPLIT_INDEX and SPLIT.

use std::sync::Arc;

use arrow_array::{ArrayRef, ListArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType as ArrowType, Field};
use memchr::{memchr_iter, memmem};
use weir_protocol::job_graph::{DataType, ElementType};

use super::{ints, texts, utf16};
use crate::functions::operand::{TextBuilder, eval_error, joint_nulls, kernel_of, type_error};
use crate::functions::typing::typing;
use crate::functions::{Argument, Function, Kernel, Operand, Resolved};
use crate::operator::OperatorError;

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "split_index",
        "SPLIT_INDEX(text, delimiter, index)",
        "The part with this index, counted from 0, of the text between delimiters; NULL if there is none. A number as delimiter \
         stands for the character with this number, from 1 to 255.",
        resolve_split_index,
        |given, _| Ok(if given[1].data_type.is_text() { split_index() } else { split_index_by_number() }),
    ),
    Function::first(
        "split",
        "SPLIT(text, delimiter)",
        "The parts of the text between delimiters; its characters if the delimiter is empty.",
        |given| {
            let element = ElementType { data_type: DataType::String, nullable: true };
            typing(given, 2, 2)?.texts()?.gives(DataType::Array(Box::new(element)))
        },
        |_, _| Ok(split()),
    ),
];

fn resolve_split_index(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let call = typing(given, 3, 3)?.text()?;
    let call = if given[1].data_type.is_text() { call.text()? } else { call.int()? };
    call.int()?.gives_nullable(DataType::String)
}

fn split_index() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let delimiter = texts(operands, 1)?;
        // The usual delimiter is one constant ASCII character.
        if let Some(constant) = delimiter.constant() {
            return match constant.as_bytes() {
                [] => pick(operands, rows, |_, text, index| part_between_blanks(text, index)),
                [byte] => {
                    let byte = *byte;
                    pick(operands, rows, move |_, text, index| part_by_byte(text, byte, index))
                }
                bytes => {
                    let finder = memmem::Finder::new(bytes);
                    pick(operands, rows, |_, text, index| part_by(text, finder.find_iter(text.as_bytes()), bytes.len(), index))
                }
            };
        }
        pick(operands, rows, |row, text, index| match delimiter.value(row).as_bytes() {
            [] => part_between_blanks(text, index),
            [byte] => part_by_byte(text, *byte, index),
            bytes => part_by(text, memmem::find_iter(text.as_bytes(), bytes), bytes.len(), index),
        })
    })
}

fn split_index_by_number() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let number = ints(operands, 1)?;
        pick(operands, rows, |row, text, index| {
            let delimiter = u8::try_from(number.value(row)).ok().filter(|number| *number > 0).map(char::from)?;
            let mut bytes = [0; 4];
            let delimiter = delimiter.encode_utf8(&mut bytes).as_bytes();
            part_by(text, memmem::find_iter(text.as_bytes(), delimiter), delimiter.len(), index)
        })
    })
}

/// Builds the result from `part(row, text, index)`. An empty text has no parts.
fn pick(
    operands: &[Operand],
    rows: usize,
    part: impl for<'t> Fn(usize, &'t str, usize) -> Option<&'t str>,
) -> Result<ArrayRef, OperatorError> {
    let (text, index) = (texts(operands, 0)?, ints(operands, 2)?);
    let nulls = joint_nulls(operands, rows);
    let mut builder = TextBuilder::with_capacity(rows, rows * 8);
    for row in 0..rows {
        if nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            builder.append_null();
            continue;
        }
        let found = match (text.value(row), usize::try_from(index.value(row))) {
            ("", _) | (_, Err(_)) => None,
            (text, Ok(index)) => part(row, text, index),
        };
        if builder.values_slice().len() + found.map_or(0, str::len) > i32::MAX as usize {
            return Err(eval_error("the texts of one batch exceed 2 GiB"));
        }
        builder.append_option(found);
    }
    Ok(Arc::new(builder.finish()))
}

fn part_by_byte(text: &str, delimiter: u8, index: usize) -> Option<&str> {
    // Parts are short: below this, starting memchr costs more than it saves.
    if text.len() > 256 {
        return part_by(text, memchr_iter(delimiter, text.as_bytes()), 1, index);
    }
    let places = text.bytes().enumerate().filter(|(_, byte)| *byte == delimiter).map(|(place, _)| place);
    part_by(text, places, 1, index)
}

/// The part with this index between delimiters at `places`.
fn part_by(text: &str, mut places: impl Iterator<Item = usize>, length: usize, index: usize) -> Option<&str> {
    let start = match index {
        0 => 0,
        _ => places.nth(index - 1)? + length,
    };
    text.get(start..places.next().unwrap_or(text.len()))
}

/// With an empty delimiter, Flink splits at each white space.
fn part_between_blanks(text: &str, index: usize) -> Option<&str> {
    // Java's white space leaves out the spaces that don't break lines.
    text.split(|c: char| c.is_whitespace() && !matches!(c, '\u{a0}' | '\u{2007}' | '\u{202f}' | '\u{85}')).nth(index)
}

fn split() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let (text, delimiter) = (texts(operands, 0)?, texts(operands, 1)?);
        let nulls = joint_nulls(operands, rows);
        let mut parts = TextBuilder::new();
        let (mut lengths, mut valid) = (Vec::with_capacity(rows), NullBufferBuilder::new(rows));
        for row in 0..rows {
            let before = parts.offsets_slice().len();
            let present = !nulls.as_ref().is_some_and(|nulls| nulls.is_null(row));
            valid.append(present);
            if present {
                if parts.values_slice().len() + text.value(row).len() > i32::MAX as usize / 2 {
                    return Err(eval_error("the texts of one batch exceed 1 GiB"));
                }
                append_parts(text.value(row), delimiter.value(row), &mut parts);
            }
            lengths.push(parts.offsets_slice().len() - before);
        }
        let field = Arc::new(Field::new("item", ArrowType::Utf8, true));
        let offsets = OffsetBuffer::from_lengths(lengths);
        let lists = ListArray::try_new(field, offsets, Arc::new(parts.finish()), valid.finish()).map_err(type_error)?;
        Ok(Arc::new(lists))
    })
}

fn append_parts(text: &str, delimiter: &str, parts: &mut TextBuilder) {
    if text.is_empty() {
        return;
    }
    if delimiter.is_empty() {
        // Java cuts characters outside the basic plane in halves.
        for unit in utf16::units(text) {
            let mut part = String::new();
            utf16::append(&[unit], &mut part);
            parts.append_value(part);
        }
        return;
    }
    text.split(delimiter).for_each(|part| parts.append_value(part));
}
