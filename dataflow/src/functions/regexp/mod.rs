//! Functions of regular expressions in Java's syntax.

mod class;
mod java;
pub(super) mod similar;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{ArrayRef, Int64Array, ListArray};
use arrow_buffer::{NullBufferBuilder, OffsetBuffer};
use arrow_schema::{DataType as ArrowType, Field};
use regex::{CaptureLocations, Regex};
use weir_protocol::job_graph::{DataType, ElementType};

use super::operand::{TextBuilder, eval_error, joint_nulls, kernel_of, map_boolean, map_rows, map_text, type_error};
use super::string::{read, texts};
use super::typing::{Resolve, typing};
use super::{Argument, Function, Kernel, Operand};
use crate::operator::OperatorError;
use java::{PatternError, build};

const TWO: Resolve = |given| typing(given, 2, 2)?.texts()?.gives(DataType::Boolean);
const TWO_TO_INT: Resolve = |given| typing(given, 2, 2)?.texts()?.gives_nullable(DataType::Int);

pub(super) const FUNCTIONS: &[Function] = &[
    Function::first(
        "regexp",
        "REGEXP(text, pattern)",
        "Whether a part of the text fits the pattern; false for an empty or malformed pattern.",
        TWO,
        |given, _| prepare(given, regexp),
    ),
    Function::first(
        "regexp_replace",
        "REGEXP_REPLACE(text, pattern, replacement)",
        "The text with the replacement, taken literally, for each part that fits the pattern.",
        |given| typing(given, 3, 3)?.texts()?.gives_nullable(DataType::String),
        |given, _| prepare(given, replace),
    ),
    Function::first(
        "regexp_extract",
        "REGEXP_EXTRACT(text, pattern[, group])",
        "The first part of the text that fits the pattern, or a group of it; NULL if nothing fits.",
        |given| typing(given, 2, 3)?.text()?.text()?.bigint()?.gives_nullable(DataType::String),
        |given, _| prepare(given, extract),
    ),
    Function::first(
        "regexp_substr",
        "REGEXP_SUBSTR(text, pattern)",
        "The first part of the text that fits the pattern; NULL if nothing fits.",
        |given| typing(given, 2, 2)?.texts()?.gives_nullable(DataType::String),
        |given, _| prepare(given, extract),
    ),
    Function::first(
        "regexp_count",
        "REGEXP_COUNT(text, pattern)",
        "How many parts of the text fit the pattern.",
        TWO_TO_INT,
        |given, _| prepare(given, count),
    ),
    Function::first(
        "regexp_instr",
        "REGEXP_INSTR(text, pattern)",
        "The position of the first part of the text that fits the pattern, in units of UTF-16 from 1; 0 if nothing fits.",
        TWO_TO_INT,
        |given, _| prepare(given, position),
    ),
    Function::first(
        "regexp_extract_all",
        "REGEXP_EXTRACT_ALL(text, pattern[, group])",
        "Of all parts of the text that fit the pattern, the group with this number, usually 1.",
        |given| {
            let element = ElementType { data_type: DataType::String, nullable: true };
            let call = typing(given, 2, 3)?.text()?.text()?.bigint()?;
            call.gives_nullable(DataType::Array(Box::new(element)))
        },
        |given, _| prepare(given, extract_all),
    ),
];

/// What computes a batch.
type Evaluate = fn(&mut Patterns, &[Operand], usize) -> Result<ArrayRef, OperatorError>;

/// Prepares a function whose argument 1 is a pattern. A constant pattern that Weir does not support is refused here.
fn prepare(given: &[Argument<'_>], evaluate: Evaluate) -> Result<Box<dyn Kernel>, String> {
    if let Some(Some(pattern)) = given.get(1).and_then(|argument| argument.constant)
        && let Err(PatternError::Unsupported(what)) = build(pattern)
    {
        return Err(format!("takes a regular expression, but {pattern:?} {what}"));
    }
    let mut patterns = Patterns::default();
    Ok(kernel_of(move |operands, rows, _| evaluate(&mut patterns, operands, rows)))
}

/// The latest patterns, compiled. Most calls have one, a constant.
#[derive(Default)]
struct Patterns(Vec<(String, Option<Regex>)>);

impl Patterns {
    const MOST: usize = 16;

    /// The compiled pattern; `None` if Java refuses it. Error: `EXPR-EVAL` for what only Java supports.
    fn compiled(&mut self, pattern: &str) -> Result<Option<&Regex>, OperatorError> {
        let found = match self.0.iter().position(|(known, _)| known == pattern) {
            Some(found) => found,
            None => {
                let regex = match build(pattern) {
                    Ok(regex) => Some(regex),
                    Err(PatternError::Invalid(_)) => None,
                    Err(PatternError::Unsupported(what)) => {
                        return Err(eval_error(format!("the regular expression {pattern:?} {what}")));
                    }
                };
                if self.0.len() == Self::MOST {
                    self.0.remove(0);
                }
                self.0.push((pattern.to_owned(), regex));
                self.0.len() - 1
            }
        };
        Ok(self.0[found].1.as_ref())
    }
}

/// The match at or after byte `from`, with the byte from which the next one is searched. After an empty match, Java goes on one
/// character later; the `regex` crate would skip empty matches next to others.
fn next_match<'t>(regex: &Regex, text: &'t str, from: Option<usize>) -> Option<(regex::Match<'t>, Option<usize>)> {
    let found = regex.find_at(text, from.filter(|from| *from <= text.len())?)?;
    Some((found, after(text, found.start(), found.end())))
}

fn after(text: &str, start: usize, end: usize) -> Option<usize> {
    if start < end {
        return Some(end);
    }
    text[end..].chars().next().map(|c| end + c.len_utf8())
}

fn regexp(patterns: &mut Patterns, operands: &[Operand], rows: usize) -> Result<ArrayRef, OperatorError> {
    let (text, pattern) = (texts(operands, 0)?, texts(operands, 1)?);
    let column = map_boolean(rows, joint_nulls(operands, rows), |row| {
        let (text, pattern) = (text.value(row), pattern.value(row));
        Ok(Some(!pattern.is_empty() && patterns.compiled(pattern)?.is_some_and(|regex| regex.is_match(text))))
    })?;
    Ok(Arc::new(column))
}

fn replace(patterns: &mut Patterns, operands: &[Operand], rows: usize) -> Result<ArrayRef, OperatorError> {
    let (text, pattern, replacement) = (texts(operands, 0)?, texts(operands, 1)?, texts(operands, 2)?);
    let nulls = joint_nulls(operands, rows);
    let column = map_text(rows, nulls.as_ref(), |row, out| {
        let (text, replacement) = (text.value(row), replacement.value(row));
        let Some(regex) = patterns.compiled(pattern.value(row))? else { return Ok(false) };
        let (mut from, mut copied) = (Some(0), 0);
        while let Some((found, next)) = next_match(regex, text, from) {
            out.push_str(&text[copied..found.start()]);
            out.push_str(replacement);
            copied = found.end();
            from = next;
            super::string::check_length(out.len())?;
        }
        out.push_str(&text[copied..]);
        Ok(true)
    })?;
    Ok(Arc::new(column))
}

fn extract(patterns: &mut Patterns, operands: &[Operand], rows: usize) -> Result<ArrayRef, OperatorError> {
    let (text, pattern) = (texts(operands, 0)?, texts(operands, 1)?);
    let group = if operands.len() > 2 { Some(read::<Int64Array>(operands, 2)?) } else { None };
    let nulls = joint_nulls(operands, rows);
    let mut locations: Option<CaptureLocations> = None;
    let column = map_text(rows, nulls.as_ref(), |row, out| {
        let text = text.value(row);
        // As in Flink, only the lower 32 bits count.
        let group = group.as_ref().map_or(0, |group| group.value(row)) as i32;
        let Some(regex) = patterns.compiled(pattern.value(row))? else { return Ok(false) };
        let Ok(group) = usize::try_from(group) else { return Ok(false) };
        let found = match group {
            0 => regex.find(text).map(|found| found.range()),
            _ if group >= regex.captures_len() => None,
            _ => {
                let locations = match &mut locations {
                    Some(known) if known.len() == regex.captures_len() => known,
                    other => other.insert(regex.capture_locations()),
                };
                regex.captures_read(locations, text).and_then(|_| locations.get(group)).map(|(start, end)| start..end)
            }
        };
        out.push_str(found.clone().map_or("", |found| &text[found]));
        Ok(found.is_some())
    })?;
    Ok(Arc::new(column))
}

fn count(patterns: &mut Patterns, operands: &[Operand], rows: usize) -> Result<ArrayRef, OperatorError> {
    let (text, pattern) = (texts(operands, 0)?, texts(operands, 1)?);
    let column = map_rows::<Int32Type>(rows, joint_nulls(operands, rows), |row| {
        let Some(regex) = patterns.compiled(pattern.value(row))? else { return Ok(None) };
        let (mut from, mut count) = (Some(0), 0);
        while let Some((_, next)) = next_match(regex, text.value(row), from) {
            count += 1;
            from = next;
        }
        Ok(Some(count))
    })?;
    Ok(Arc::new(column))
}

fn position(patterns: &mut Patterns, operands: &[Operand], rows: usize) -> Result<ArrayRef, OperatorError> {
    let (text, pattern) = (texts(operands, 0)?, texts(operands, 1)?);
    let column = map_rows::<Int32Type>(rows, joint_nulls(operands, rows), |row| {
        let text = text.value(row);
        let Some(regex) = patterns.compiled(pattern.value(row))? else { return Ok(None) };
        let found = regex.find(text);
        Ok(Some(found.map_or(0, |found| text[..found.start()].encode_utf16().count() as i32 + 1)))
    })?;
    Ok(Arc::new(column))
}

fn extract_all(patterns: &mut Patterns, operands: &[Operand], rows: usize) -> Result<ArrayRef, OperatorError> {
    let (text, pattern) = (texts(operands, 0)?, texts(operands, 1)?);
    let group = if operands.len() > 2 { Some(read::<Int64Array>(operands, 2)?) } else { None };
    let nulls = joint_nulls(operands, rows);
    let mut parts = TextBuilder::new();
    let (mut lengths, mut valid) = (Vec::with_capacity(rows), NullBufferBuilder::new(rows));
    for row in 0..rows {
        let before = parts.offsets_slice().len();
        let mut present = false;
        if !nulls.as_ref().is_some_and(|nulls| nulls.is_null(row)) {
            let group = group.as_ref().map_or(1, |group| group.value(row)) as i32;
            if parts.values_slice().len() + text.value(row).len() > i32::MAX as usize {
                return Err(eval_error("the texts of one batch exceed 2 GiB"));
            }
            let regex = patterns.compiled(pattern.value(row))?;
            if let (Some(regex), Ok(group)) = (regex, usize::try_from(group)) {
                present = group < regex.captures_len() && append_all(regex, text.value(row), group, &mut parts);
            }
        }
        valid.append(present);
        lengths.push(parts.offsets_slice().len() - before);
    }
    let field = Arc::new(Field::new("item", ArrowType::Utf8, true));
    let offsets = OffsetBuffer::from_lengths(lengths);
    let lists = ListArray::try_new(field, offsets, Arc::new(parts.finish()), valid.finish()).map_err(type_error)?;
    Ok(Arc::new(lists))
}

/// Appends the group of every match.
fn append_all(regex: &Regex, text: &str, group: usize, parts: &mut TextBuilder) -> bool {
    let mut locations = regex.capture_locations();
    let mut from = Some(0);
    while let Some(start) = from.filter(|from| *from <= text.len()) {
        let Some(found) = regex.captures_read_at(&mut locations, text, start) else { break };
        parts.append_option(locations.get(group).map(|(start, end)| &text[start..end]));
        from = after(text, found.start(), found.end());
    }
    true
}
