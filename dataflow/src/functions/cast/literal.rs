//! Constants of programs: written as Flink casts their type to STRING, bytes in hexadecimal, intervals as a number of months or
//! milliseconds.

use std::fmt::Write;
use std::sync::Arc;

use arrow_array::{Array, ArrayRef, Int64Array, new_null_array};
use weir_protocol::job_graph::DataType;

use super::to_text::writer;
use super::{Options, parser};
use crate::functions::operand::{BytesArray, TextArray};
use crate::schema::arrow_type;
use crate::time_zone::Zone;

/// The constant as an array of length 1. The error says that the text is not of the type. Points in time are in UTC.
pub fn read_literal(text: Option<&str>, data_type: &DataType) -> Result<ArrayRef, String> {
    let Some(text) = text else { return Ok(new_null_array(&arrow_type(data_type), 1)) };
    if data_type.is_text() {
        return Ok(Arc::new(TextArray::from_iter_values([text])));
    }
    if data_type.is_binary() {
        let bytes = unhex(text).ok_or_else(|| format!("{text:?} is not hexadecimal"))?;
        return Ok(Arc::new(BytesArray::from_iter_values([bytes])));
    }
    if data_type.is_nested() {
        return Err(format!("there are no constants of type {data_type} but NULL"));
    }
    if data_type.is_interval() {
        let length = text.parse().map_err(|_| format!("{text:?} is no number of months or milliseconds"))?;
        return Ok(Arc::new(Int64Array::from_iter_values([length])));
    }
    let texts: ArrayRef = Arc::new(TextArray::from_iter_values([text]));
    parser(data_type, Options::default())?(&texts).map_err(|error| error.message)
}

/// The text of the constant in an array of length 1: the opposite of [`read_literal`]. `None` for NULL, and an error for types that
/// have no constants.
pub fn write_literal(array: &ArrayRef, data_type: &DataType) -> Result<Option<String>, String> {
    if data_type.is_nested() && array.is_valid(0) {
        return Err(format!("there are no constants of type {data_type} but NULL"));
    }
    if array.is_null(0) {
        return Ok(None);
    }
    if data_type.is_interval() {
        return Ok(array.as_any().downcast_ref::<Int64Array>().map(|lengths| lengths.value(0).to_string()));
    }
    let mut text = String::new();
    match array.as_any().downcast_ref::<BytesArray>() {
        Some(bytes) => {
            for byte in bytes.value(0) {
                let _ = write!(text, "{byte:02x}");
            }
        }
        None => writer(array, data_type, Zone::UTC).map_err(|error| error.message)?(0, &mut text),
    }
    Ok(Some(text))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let bytes = text.as_bytes();
    if !bytes.len().is_multiple_of(2) {
        return None;
    }
    bytes.chunks_exact(2).map(|pair| Some(digit(pair[0])? * 16 + digit(pair[1])?)).collect()
}
