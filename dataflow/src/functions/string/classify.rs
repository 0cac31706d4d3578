//! IS_ALPHA, IS_DIGIT, IS_DECIMAL: false for NULL, and for most values that are not texts. ELT.

use std::sync::Arc;
use std::sync::LazyLock;

use arrow_array::{Array, BooleanArray};
use regex::Regex;
use weir_protocol::job_graph::DataType;

use super::{ints, read, texts};
use crate::functions::operand::{BytesArray, BytesBuilder, eval_error, kernel_of, map_text};
use crate::functions::signature::wrong_argument;
use crate::functions::typing::{Resolve, typing};
use crate::functions::{Argument, Function, Kernel, Resolved};

const ANY: Resolve = |given| typing(given, 1, 1)?.any()?.gives_not_null(DataType::Boolean);

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first("is_alpha", "IS_ALPHA(text)", "Whether the text consists of letters, and has one.", ANY, |given, _| {
        Ok(test(given[0].data_type, |_| false, |text| all_in(text, |byte| byte.is_ascii_alphabetic(), &LETTERS)))
    }),
    Function::first("is_digit", "IS_DIGIT(text)", "Whether the text consists of digits, and has one.", ANY, |given, _| {
        Ok(test(given[0].data_type, DataType::is_integer, |text| all_in(text, |byte| byte.is_ascii_digit(), &DIGITS)))
    }),
    Function::first("is_decimal", "IS_DECIMAL(text)", "Whether the text is a number.", ANY, |given, _| {
        let number = |t: &DataType| t.is_integer() || matches!(t, DataType::Float | DataType::Double);
        Ok(test(given[0].data_type, number, is_decimal))
    }),
    Function::first(
        "elt",
        "ELT(n, value, …)",
        "The n-th value, counted from 1; NULL if there is none.",
        resolve_elt,
        |given, _| Ok(elt(given[1].data_type.is_text())),
    ),
];

/// Letters and digits of the basic plane: Java looks at halves of other characters, which are neither.
static LETTERS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{L}&&[\x00-\u{ffff}]]+$").ok());
static DIGITS: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r"^[\p{Nd}&&[\x00-\u{ffff}]]+$").ok());

fn all_in(text: &str, ascii: fn(&u8) -> bool, other: &LazyLock<Option<Regex>>) -> bool {
    if text.is_ascii() {
        return !text.is_empty() && text.as_bytes().iter().all(ascii);
    }
    other.as_ref().is_some_and(|set| set.is_match(text))
}

/// Tests texts; a value of another type passes if `other` holds for its type.
fn test(data_type: &DataType, other: fn(&DataType) -> bool, text: fn(&str) -> bool) -> Box<dyn Kernel> {
    let (is_text, passes) = (data_type.is_text(), other(data_type));
    kernel_of(move |operands, rows, _| {
        if is_text {
            let values = texts(operands, 0)?;
            return Ok(Arc::new((0..rows).map(|row| Some(values.get(row).is_some_and(text))).collect::<BooleanArray>()));
        }
        let present = |row: usize| {
            operands.first().is_some_and(|operand| operand.array().is_valid(if operand.is_constant() { 0 } else { row }))
        };
        Ok(Arc::new((0..rows).map(|row| Some(passes && present(row))).collect::<BooleanArray>()))
    })
}

/// Whether Java's `Double.parseDouble` takes the text, which includes what its parsers of integers take.
fn is_decimal(text: &str) -> bool {
    let text = text.trim_matches(|c: char| c <= ' ');
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if matches!(unsigned, "NaN" | "Infinity") {
        return true;
    }
    let number = unsigned.strip_suffix(['d', 'D', 'f', 'F']).unwrap_or(unsigned);
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let signed = |text: &str| {
        let exponent = text.strip_prefix(['+', '-']).unwrap_or(text);
        !exponent.is_empty() && digits(exponent)
    };
    if let Some(hexadecimal) = number.strip_prefix("0x").or_else(|| number.strip_prefix("0X")) {
        let Some((mantissa, exponent)) = hexadecimal.split_once(['p', 'P']) else { return false };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let hex = |text: &str| text.bytes().all(|byte| byte.is_ascii_hexdigit());
        return whole.len() + fraction.len() > 0 && hex(whole) && hex(fraction) && signed(exponent);
    }
    let (mantissa, exponent) = number.split_once(['e', 'E']).map_or((number, None), |(m, e)| (m, Some(e)));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    whole.len() + fraction.len() > 0 && digits(whole) && digits(fraction) && exponent.is_none_or(signed)
}

fn resolve_elt(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let mut call = typing(given, 2, usize::MAX)?.int()?;
    let values = &given[1..];
    let is_text = values[0].data_type.is_text();
    if !is_text && !values[0].data_type.is_binary() {
        return Err(wrong_argument(2, values[0].data_type, "a text or bytes"));
    }
    for _ in values {
        call = if is_text { call.text()? } else { call.bytes()? };
    }
    let length = |t: &DataType| match t {
        DataType::Char(n) | DataType::Varchar(n) | DataType::Binary(n) | DataType::Varbinary(n) => Some(*n),
        _ => None,
    };
    let longest = values.iter().map(|value| length(value.data_type)).try_fold(0, |most, n| Some(most.max(n?)));
    let equal = values.iter().all(|value| value.data_type == values[0].data_type);
    call.gives_nullable(match (equal, longest) {
        (true, _) => values[0].data_type.clone(),
        (false, Some(n)) if is_text => DataType::Varchar(n),
        (false, Some(n)) => DataType::Varbinary(n),
        (false, None) if is_text => DataType::String,
        (false, None) => DataType::Bytes,
    })
}

fn elt(is_text: bool) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let n = ints(operands, 0)?;
        let place = |row| n.get(row).and_then(|n| usize::try_from(n).ok()).filter(|n| (1..operands.len()).contains(n));
        if is_text {
            let values = (1..operands.len()).map(|i| texts(operands, i)).collect::<Result<Vec<_>, _>>()?;
            let column = map_text(rows, None, |row, out| {
                let chosen = place(row).and_then(|n| values[n - 1].get(row));
                out.push_str(chosen.unwrap_or_default());
                Ok(chosen.is_some())
            })?;
            return Ok(Arc::new(column));
        }
        let values = (1..operands.len()).map(|i| read::<BytesArray>(operands, i)).collect::<Result<Vec<_>, _>>()?;
        let mut builder = BytesBuilder::new();
        for row in 0..rows {
            let chosen = place(row).and_then(|n| values[n - 1].get(row));
            if builder.values_slice().len() + chosen.map_or(0, <[u8]>::len) > i32::MAX as usize {
                return Err(eval_error("the bytes of one batch exceed 2 GiB"));
            }
            builder.append_option(chosen);
        }
        Ok(Arc::new(builder.finish()))
    })
}
