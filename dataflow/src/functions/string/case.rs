//! UPPER, LOWER, INITCAP.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, StringArray};
use arrow_buffer::{Buffer, OffsetBuffer};

use super::text_to_text;
use crate::functions::operand::{TextArray, kernel_of, type_error};
use crate::functions::typing::{Resolve, typing};
use crate::functions::{Function, Kernel, Operand};
use crate::operator::OperatorError;

/// The result has the type of the argument, although it can be longer, as in Flink.
const SAME: Resolve = |given| {
    let call = typing(given, 1, 1)?.text()?;
    call.gives(given[0].data_type.clone())
};

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first("upper", "UPPER(text)", "The text in upper case.", SAME, |_, _| {
        Ok(change_case(|byte| byte.to_ascii_uppercase(), str::to_uppercase))
    }),
    Function::first("lower", "LOWER(text)", "The text in lower case.", SAME, |_, _| {
        Ok(change_case(|byte| byte.to_ascii_lowercase(), str::to_lowercase))
    }),
    Function::first(
        "initcap",
        "INITCAP(text)",
        "The text with each word in lower case but for its first letter. Words consist of the letters a to z and digits.",
        SAME,
        |_, _| Ok(text_to_text(initcap)),
    ),
];

fn change_case(ascii: fn(&u8) -> u8, other: fn(&str) -> String) -> Box<dyn Kernel> {
    let mut general = text_to_text(move |text, out| {
        out.push_str(&other(text));
        Ok(true)
    });
    kernel_of(move |operands, rows, clock| {
        if let [Operand::Column(column)] = operands
            && let Some(texts) = column.as_any().downcast_ref::<TextArray>()
            && let Some(changed) = change_ascii(texts, ascii)?
        {
            return Ok(changed);
        }
        general.evaluate(operands, rows, clock)
    })
}

/// Changes all bytes of a column at once; `None` if some are not ASCII.
fn change_ascii(texts: &TextArray, change: fn(&u8) -> u8) -> Result<Option<ArrayRef>, OperatorError> {
    let offsets = texts.offsets();
    let (first, last) = (offsets[0], offsets[texts.len()]);
    let Some(bytes) = texts.values().get(first as usize..last as usize).filter(|bytes| bytes.is_ascii()) else {
        return Ok(None);
    };
    let changed: Vec<u8> = bytes.iter().map(change).collect();
    let offsets =
        if first == 0 { offsets.clone() } else { OffsetBuffer::new(offsets.iter().map(|offset| offset - first).collect()) };
    let array = StringArray::try_new(offsets, Buffer::from_vec(changed), texts.nulls().cloned()).map_err(type_error)?;
    Ok(Some(Arc::new(array)))
}

fn initcap(text: &str, out: &mut String) -> Result<bool, OperatorError> {
    let mut in_word = false;
    for c in text.chars() {
        out.push(if in_word { c.to_ascii_lowercase() } else { c.to_ascii_uppercase() });
        in_word = c.is_ascii_alphanumeric();
    }
    Ok(true)
}
