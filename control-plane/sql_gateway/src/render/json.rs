//! Values as JSON, as Flink writes them: numbers bare, bytes in base64, rows and maps as objects.

use std::fmt::Write;

use arrow_array::cast::AsArray;
use arrow_array::types::{
    ArrowPrimitiveType, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
};
use arrow_array::{Array, ArrayRef};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use weir_dataflow::functions::cast::{WriteRow, printer};
use weir_dataflow::operator::OperatorError;
use weir_dataflow::time_zone::Zone;
use weir_protocol::job_graph::DataType;

use super::quoted;
use crate::error::GatewayError;

/// Formatting into a string never fails.
macro_rules! append {
    ($out:expr, $($format:tt)*) => {{ let _ = write!($out, $($format)*); }};
}

/// How the values of an array are written. A null is `null`.
pub(super) fn writer<'a>(array: &'a ArrayRef, data_type: &DataType, zone: Zone) -> Result<WriteRow<'a>, GatewayError> {
    let write = value_writer(array, data_type, zone)?;
    let nulls = array.logical_nulls();
    Ok(Box::new(move |row, out| match &nulls {
        Some(nulls) if nulls.is_null(row) => out.push_str("null"),
        _ => write(row, out),
    }))
}

pub(super) fn unreadable(error: OperatorError) -> GatewayError {
    GatewayError::internal(format!("{}: the rows can't be written: {}", error.code, error.message))
}

fn wrong_type(data_type: &DataType, array: &ArrayRef) -> GatewayError {
    GatewayError::internal(format!("SQL-ROWS: a column of type {data_type} has values of type {}", array.data_type()))
}

fn value_writer<'a>(array: &'a ArrayRef, data_type: &DataType, zone: Zone) -> Result<WriteRow<'a>, GatewayError> {
    let wrong = || wrong_type(data_type, array);
    let printed = || printer(array, data_type, zone).map_err(unreadable);
    Ok(match data_type {
        DataType::Boolean => {
            let values = array.as_boolean_opt().ok_or_else(wrong)?;
            Box::new(move |row, out| append!(out, "{}", values.value(row)))
        }
        DataType::Tinyint => number::<Int8Type>(array).ok_or_else(wrong)?,
        DataType::Smallint => number::<Int16Type>(array).ok_or_else(wrong)?,
        DataType::Int => number::<Int32Type>(array).ok_or_else(wrong)?,
        DataType::Bigint | DataType::IntervalMonths | DataType::IntervalMillis => number::<Int64Type>(array).ok_or_else(wrong)?,
        DataType::Float => {
            let (values, print) = (array.as_primitive_opt::<Float32Type>().ok_or_else(wrong)?, printed()?);
            Box::new(move |row, out| write_float(values.value(row).is_finite(), row, out, &print))
        }
        DataType::Double => {
            let (values, print) = (array.as_primitive_opt::<Float64Type>().ok_or_else(wrong)?, printed()?);
            Box::new(move |row, out| write_float(values.value(row).is_finite(), row, out, &print))
        }
        DataType::Decimal { .. } => {
            array.as_primitive_opt::<Decimal128Type>().ok_or_else(wrong)?;
            let print = printed()?;
            Box::new(move |row, out| {
                let start = out.len();
                print(row, out);
                // As Flink, without zeros at the end.
                if out[start..].contains('.') {
                    let length = out[start..].trim_end_matches('0').trim_end_matches('.').len();
                    out.truncate(start + length);
                }
            })
        }
        DataType::Binary(_) | DataType::Varbinary(_) | DataType::Bytes => {
            let values = array.as_binary_opt::<i32>().ok_or_else(wrong)?;
            Box::new(move |row, out| append!(out, "\"{}\"", STANDARD.encode(values.value(row))))
        }
        DataType::Timestamp(_) => time(printed()?, ""),
        // As Flink: the local time of the session, although `Z` means UTC.
        DataType::TimestampLtz(_) => time(printed()?, "Z"),
        DataType::Char(_) | DataType::Varchar(_) | DataType::String | DataType::Date | DataType::Time(_) => {
            let print = printed()?;
            Box::new(move |row, out| {
                let mut text = String::new();
                print(row, &mut text);
                out.push_str(&quoted(&text));
            })
        }
        DataType::Array(_) | DataType::Map(..) | DataType::Multiset(_) | DataType::Row(_) => nested(array, data_type, zone)?,
    })
}

fn number<T: ArrowPrimitiveType<Native: std::fmt::Display>>(array: &ArrayRef) -> Option<WriteRow<'_>> {
    let values = array.as_primitive_opt::<T>()?;
    Some(Box::new(move |row, out| append!(out, "{}", values.value(row))))
}

/// JSON has no infinities: they are texts.
fn write_float(is_finite: bool, row: usize, out: &mut String, print: &WriteRow<'_>) {
    if is_finite {
        return print(row, out);
    }
    out.push('"');
    print(row, out);
    out.push('"');
}

/// `1990-10-14T12:12:43.123`, without zeros at the end of the fraction.
fn time<'a>(print: WriteRow<'a>, zone: &'static str) -> WriteRow<'a> {
    Box::new(move |row, out| {
        let mut text = String::new();
        print(row, &mut text);
        let text = text.replacen(' ', "T", 1);
        let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text.as_str() };
        append!(out, "\"{text}{zone}\"");
    })
}

fn nested<'a>(array: &'a ArrayRef, data_type: &DataType, zone: Zone) -> Result<WriteRow<'a>, GatewayError> {
    let wrong = || wrong_type(data_type, array);
    Ok(match data_type {
        DataType::Array(element) => {
            let lists = array.as_list_opt::<i32>().ok_or_else(wrong)?;
            let write = writer(lists.values(), &element.data_type, zone)?;
            Box::new(move |row, out| {
                let offsets = lists.value_offsets();
                out.push('[');
                for (i, entry) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
                    out.push_str(if i == 0 { "" } else { "," });
                    write(entry, out);
                }
                out.push(']');
            })
        }
        DataType::Map(key, value) => map(array, &key.data_type, &value.data_type, zone)?,
        DataType::Multiset(element) => map(array, &element.data_type, &DataType::Int, zone)?,
        DataType::Row(fields) => {
            let rows = array.as_struct_opt().ok_or_else(wrong)?;
            let field = |(column, field): (&'a ArrayRef, &weir_protocol::job_graph::RowField)| {
                Ok((quoted(&field.name), writer(column, &field.data_type, zone)?))
            };
            let fields = rows.columns().iter().zip(fields).map(field).collect::<Result<Vec<_>, GatewayError>>()?;
            Box::new(move |row, out| {
                out.push('{');
                for (i, (name, write)) in fields.iter().enumerate() {
                    append!(out, "{}{name}:", if i == 0 { "" } else { "," });
                    write(row, out);
                }
                out.push('}');
            })
        }
        _ => return Err(wrong()),
    })
}

/// A map is an object. Flink fails on keys that are no texts; here they are the text of a cast.
fn map<'a>(array: &'a ArrayRef, key: &DataType, value: &DataType, zone: Zone) -> Result<WriteRow<'a>, GatewayError> {
    let maps = array.as_map_opt().ok_or_else(|| wrong_type(key, array))?;
    let keys = maps.keys();
    let key = printer(keys, key, zone).map_err(unreadable)?;
    let value = writer(maps.values(), value, zone)?;
    Ok(Box::new(move |row, out| {
        let offsets = maps.value_offsets();
        out.push('{');
        for (i, entry) in (offsets[row] as usize..offsets[row + 1] as usize).enumerate() {
            let mut name = String::new();
            if keys.is_null(entry) {
                name.push_str("null")
            } else {
                key(entry, &mut name)
            }
            append!(out, "{}{}:", if i == 0 { "" } else { "," }, quoted(&name));
            value(entry, out);
        }
        out.push('}');
    }))
}
