//! ASCII, CHR, TO_BASE64, FROM_BASE64, ENCODE, DECODE.

use std::sync::Arc;

use arrow_array::Int64Array;
use arrow_array::types::Int32Type;
use base64::Engine;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use weir_protocol::job_graph::DataType;

use super::{read, text_to_number, text_to_text, texts};
use crate::functions::operand::{BytesArray, BytesBuilder, eval_error, joint_nulls, kernel_of, map_text};
use crate::functions::typing::typing;
use crate::functions::{Function, Kernel};
use crate::operator::OperatorError;

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "ascii",
        "ASCII(text)",
        "The first byte of the text as a signed number; 0 for an empty text.",
        |given| typing(given, 1, 1)?.text()?.gives(DataType::Int),
        |_, _| Ok(text_to_number::<Int32Type>(|text| text.bytes().next().map_or(0, |byte| i32::from(byte as i8)))),
    ),
    Function::first(
        "chr",
        "CHR(number)",
        "The character with this number, of which only the lowest 8 bits count; an empty text for negative numbers.",
        |given| typing(given, 1, 1)?.bigint()?.gives_nullable(DataType::String),
        |_, _| Ok(chr()),
    ),
    Function::first(
        "to_base64",
        "TO_BASE64(value)",
        "The text, in UTF-8, or the bytes in base 64.",
        |given| {
            let call = typing(given, 1, 1)?.a("a text or bytes", |t| t.is_text() || t.is_binary())?;
            call.gives(DataType::String)
        },
        |given, _| Ok(to_base64(given[0].data_type.is_text())),
    ),
    Function::first(
        "from_base64",
        "FROM_BASE64(text)",
        "The text, in UTF-8, that base 64 encodes.",
        |given| typing(given, 1, 1)?.text()?.gives(DataType::String),
        |_, _| Ok(text_to_text(from_base64)),
    ),
    Function::first(
        "encode",
        "ENCODE(text, charset)",
        "The text as bytes: in UTF-8, UTF-16, UTF-16BE, UTF-16LE, ISO-8859-1 or US-ASCII.",
        |given| typing(given, 2, 2)?.texts()?.gives(DataType::Bytes),
        |_, _| Ok(encode()),
    ),
    Function::first(
        "decode",
        "DECODE(bytes, charset)",
        "The text that bytes encode: in UTF-8, UTF-16, UTF-16BE, UTF-16LE, ISO-8859-1 or US-ASCII.",
        |given| typing(given, 2, 2)?.bytes()?.text()?.gives(DataType::String),
        |_, _| Ok(decode()),
    ),
];

fn chr() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let number = read::<Int64Array>(operands, 0)?;
        let column = map_text(rows, joint_nulls(operands, rows).as_ref(), |row, out| {
            let number = number.value(row);
            if number >= 0 {
                out.push(char::from(number as u8));
            }
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}

fn to_base64(is_text: bool) -> Box<dyn Kernel> {
    if is_text {
        return text_to_text(|text, out| {
            STANDARD.encode_string(text, out);
            Ok(true)
        });
    }
    kernel_of(|operands, rows, _| {
        let bytes = read::<BytesArray>(operands, 0)?;
        let column = map_text(rows, joint_nulls(operands, rows).as_ref(), |row, out| {
            STANDARD.encode_string(bytes.value(row), out);
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}

/// As Java: the padding may be missing.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent).with_decode_allow_trailing_bits(true),
);

fn from_base64(text: &str, out: &mut String) -> Result<bool, OperatorError> {
    let bytes =
        LENIENT.decode(text).map_err(|error| eval_error(format!("FROM_BASE64 got a text that is not base 64: {error}")))?;
    out.push_str(&String::from_utf8_lossy(&bytes));
    Ok(true)
}

#[derive(Clone, Copy, PartialEq)]
enum Charset {
    Utf8,
    Ascii,
    Latin1,
    /// Big endian, with a mark at the start.
    Utf16,
    Utf16Be,
    Utf16Le,
}

impl Charset {
    fn parse(name: &str) -> Result<Self, OperatorError> {
        Ok(match name.to_ascii_uppercase().as_str() {
            "UTF-8" | "UTF8" => Self::Utf8,
            "US-ASCII" | "ASCII" | "ISO646-US" => Self::Ascii,
            "ISO-8859-1" | "ISO8859-1" | "ISO8859_1" | "LATIN1" | "L1" => Self::Latin1,
            "UTF-16" | "UTF16" | "UTF_16" => Self::Utf16,
            "UTF-16BE" | "UTF_16BE" => Self::Utf16Be,
            "UTF-16LE" | "UTF_16LE" => Self::Utf16Le,
            _ => {
                let known = "UTF-8, UTF-16, UTF-16BE, UTF-16LE, ISO-8859-1 and US-ASCII";
                return Err(eval_error(format!("no charset is called {name:?}; known are {known}")));
            }
        })
    }

    fn encode(self, text: &str) -> Vec<u8> {
        let byte_below = |limit: u32| {
            let byte = move |c: char| if u32::from(c) < limit { u32::from(c) as u8 } else { b'?' };
            text.chars().map(byte).collect()
        };
        match self {
            Self::Utf8 => text.as_bytes().to_vec(),
            Self::Ascii => byte_below(0x80),
            Self::Latin1 => byte_below(0x100),
            Self::Utf16 if text.is_empty() => Vec::new(),
            Self::Utf16 => [0xfe, 0xff].into_iter().chain(text.encode_utf16().flat_map(u16::to_be_bytes)).collect(),
            Self::Utf16Be => text.encode_utf16().flat_map(u16::to_be_bytes).collect(),
            Self::Utf16Le => text.encode_utf16().flat_map(u16::to_le_bytes).collect(),
        }
    }

    fn decode(self, bytes: &[u8], out: &mut String) {
        match self {
            Self::Utf8 => out.push_str(&String::from_utf8_lossy(bytes)),
            Self::Ascii => {
                out.extend(bytes.iter().map(|b| if b.is_ascii() { char::from(*b) } else { char::REPLACEMENT_CHARACTER }))
            }
            Self::Latin1 => out.extend(bytes.iter().map(|b| char::from(*b))),
            Self::Utf16 => match bytes {
                [0xff, 0xfe, rest @ ..] => Self::Utf16Le.decode(rest, out),
                [0xfe, 0xff, rest @ ..] => Self::Utf16Be.decode(rest, out),
                _ => Self::Utf16Be.decode(bytes, out),
            },
            Self::Utf16Be | Self::Utf16Le => {
                let unit = if self == Self::Utf16Be { u16::from_be_bytes } else { u16::from_le_bytes };
                let (pairs, rest) = bytes.as_chunks::<2>();
                let chars = char::decode_utf16(pairs.iter().map(|pair| unit(*pair)));
                out.extend(chars.map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER)));
                out.extend(rest.iter().map(|_| char::REPLACEMENT_CHARACTER));
            }
        }
    }
}

fn encode() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let (text, charset) = (texts(operands, 0)?, texts(operands, 1)?);
        let mut builder = BytesBuilder::new();
        for row in 0..rows {
            let (Some(text), Some(charset)) = (text.get(row), charset.get(row)) else {
                builder.append_null();
                continue;
            };
            let bytes = Charset::parse(charset)?.encode(text);
            if builder.values_slice().len() + bytes.len() > i32::MAX as usize {
                return Err(eval_error("the bytes of one batch exceed 2 GiB"));
            }
            builder.append_value(bytes);
        }
        Ok(Arc::new(builder.finish()))
    })
}

fn decode() -> Box<dyn Kernel> {
    kernel_of(|operands, rows, _| {
        let (bytes, charset) = (read::<BytesArray>(operands, 0)?, texts(operands, 1)?);
        let column = map_text(rows, joint_nulls(operands, rows).as_ref(), |row, out| {
            Charset::parse(charset.value(row))?.decode(bytes.value(row), out);
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}
