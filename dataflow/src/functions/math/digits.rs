//! BIN, HEX, UNHEX.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::Int64Array;
use weir_protocol::job_graph::DataType;

use crate::functions::operand::{BytesBuilder, joint_nulls, kernel_of, map_text};
use crate::functions::string::{read, texts};
use crate::functions::typing::typing;
use crate::functions::{Function, Kernel};

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "bin",
        "BIN(number)",
        "The 64 bits of a whole number without leading zeros.",
        |given| typing(given, 1, 1)?.bigint()?.gives(DataType::String),
        |_, _| Ok(number(|x, out| write!(out, "{x:b}"))),
    ),
    Function::first(
        "hex",
        "HEX(value)",
        "A whole number, or the bytes of a text in UTF-8, in hexadecimal digits.",
        |given| {
            let call = typing(given, 1, 1)?;
            let call = if given[0].data_type.is_text() { call.text()? } else { call.bigint()? };
            call.gives(DataType::String)
        },
        |given, _| Ok(if given[0].data_type.is_text() { text() } else { number(|x, out| write!(out, "{x:X}")) }),
    ),
    Function::first(
        "unhex",
        "UNHEX(text)",
        "The bytes of hexadecimal digits; NULL if there are other characters. Of an odd number, the first digit counts as zero.",
        |given| typing(given, 1, 1)?.text()?.gives_nullable(DataType::Bytes),
        |_, _| Ok(unhex()),
    ),
];

fn number(write: fn(u64, &mut String) -> std::fmt::Result) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let numbers = read::<Int64Array>(operands, 0)?;
        let column =
            map_text(rows, joint_nulls(operands, rows).as_ref(), |row, out| Ok(write(numbers.value(row) as u64, out).is_ok()))?;
        Ok(Arc::new(column))
    })
}

fn text() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let values = texts(operands, 0)?;
        let column = map_text(rows, joint_nulls(operands, rows).as_ref(), |row, out| {
            Ok(values.value(row).bytes().all(|byte| write!(out, "{byte:02X}").is_ok()))
        })?;
        Ok(Arc::new(column))
    })
}

fn unhex() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let values = texts(operands, 0)?;
        let mut builder = BytesBuilder::new();
        for row in 0..rows {
            builder.append_option(values.get(row).and_then(bytes_of));
        }
        Ok(Arc::new(builder.finish()))
    })
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    let digits = text.bytes().map(|byte| char::from(byte).to_digit(16).map(|digit| digit as u8)).collect::<Option<Vec<u8>>>()?;
    let odd = digits.len() % 2;
    let pairs = digits[odd..].chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]);
    Some(std::iter::repeat_n(0, odd).chain(pairs).collect())
}
