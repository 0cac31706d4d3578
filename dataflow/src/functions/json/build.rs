//! JSON_STRING, JSON_OBJECT, JSON_ARRAY and JSON_UNQUOTE: from SQL values to JSON and back.
//!
//! The first argument of JSON_OBJECT and JSON_ARRAY is a constant that the planner adds: NULL or ABSENT, for what becomes of a value
//! that is NULL, then a letter for each value: `j` if it is JSON already, because it is a call of one of these, `v` otherwise.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow_array::cast::AsArray;
use arrow_array::{Array, ArrayRef, BinaryArray, BooleanArray};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use weir_protocol::job_graph::DataType;

use super::document::Json;
use crate::functions::cast::writer;
use crate::functions::operand::{eval_error, joint_nulls, kernel_of, map_text, type_error};
use crate::functions::signature::{count, types};
use crate::functions::string::texts;
use crate::functions::typing::{constant, typing};
use crate::functions::{Argument, Function, Kernel, Operand, Resolved};
use crate::operator::OperatorError;
use crate::time_zone::Zone;

pub(in crate::functions) const FUNCTIONS: &[Function] = &[
    Function::first(
        "json_string",
        "JSON_STRING(value)",
        "The value as JSON; NULL for NULL. Bytes become base 64, timestamps ISO 8601 texts, maps and rows objects.",
        |given| {
            let resolved = typing(given, 1, 1)?.any()?.gives(DataType::String)?;
            serializable(given[0].data_type)?;
            Ok(resolved)
        },
        |given, _| Ok(json_string(given[0].data_type)),
    ),
    Function::first(
        "json_object",
        "JSON_OBJECT([[KEY] key VALUE value, …] [{NULL | ABSENT} ON NULL])",
        "A JSON object of the keys, which are constants, and values, in the order of the keys. Without a clause, a NULL is a null.",
        resolve_object,
        |given, _| {
            let layout = Layout::parse(constant(given, 0)?)?;
            let keys = (0..layout.is_json.len()).map(|i| constant(given, 1 + 2 * i).map(str::to_owned));
            let keys = keys.collect::<Result<Vec<_>, _>>()?;
            let values = (0..keys.len()).map(|i| given[2 + 2 * i].data_type.clone()).collect();
            Ok(assembled(
                layout,
                values,
                move |i| 2 + 2 * i,
                move |values| {
                    Json::Object(keys.iter().cloned().zip(values).filter_map(|(key, value)| Some((key, value?))).collect())
                },
            ))
        },
    ),
    Function::first(
        "json_array",
        "JSON_ARRAY([value, …] [{NULL | ABSENT} ON NULL])",
        "A JSON array of the values. Without a clause, a NULL is left out.",
        |given| {
            let layout = Layout::parse(constant(given, 0)?)?;
            count(given, layout.is_json.len() + 1, layout.is_json.len() + 1)?;
            given[1..].iter().try_for_each(|value| serializable(value.data_type))?;
            Ok(Resolved { arguments: types(given), result: DataType::String, nullable: false })
        },
        |given, _| {
            let layout = Layout::parse(constant(given, 0)?)?;
            let values = given[1..].iter().map(|value| value.data_type.clone()).collect();
            Ok(assembled(layout, values, |i| i + 1, |values| Json::Array(values.into_iter().flatten().collect())))
        },
    ),
    Function::first(
        "json_unquote",
        "JSON_UNQUOTE(text)",
        "The text that a JSON string stands for. Other texts stay as they are.",
        |given| typing(given, 1, 1)?.text()?.gives(DataType::String),
        |_, _| {
            Ok(kernel_of(|operands, rows, _| {
                let text = texts(operands, 0)?;
                let column = map_text(rows, joint_nulls(operands, rows).as_ref(), |row, out| {
                    let text = text.value(row);
                    // With blanks around it, a JSON string stays as it is.
                    match Json::parse_whole(text).filter(|_| text.starts_with('"') && text.ends_with('"')) {
                        Some(Json::Text(unquoted)) => out.push_str(&unquoted),
                        _ => out.push_str(text),
                    }
                    Ok(true)
                })?;
                Ok(Arc::new(column))
            }))
        },
    ),
];

/// What the first argument says.
struct Layout {
    keeps_nulls: bool,
    is_json: Vec<bool>,
}

impl Layout {
    fn parse(text: &str) -> Result<Self, String> {
        let (on_null, kinds) = text.split_once(' ').unwrap_or((text, ""));
        let keeps_nulls = match on_null {
            "NULL" => true,
            "ABSENT" => false,
            _ => return Err(format!("knows NULL and ABSENT ON NULL, not {on_null:?}")),
        };
        Ok(Self { keeps_nulls, is_json: kinds.chars().map(|kind| kind == 'j').collect() })
    }
}

fn resolve_object(given: &[Argument<'_>]) -> Result<Resolved, String> {
    let layout = Layout::parse(constant(given, 0)?)?;
    let arguments = layout.is_json.len() * 2 + 1;
    count(given, arguments, arguments)?;
    for pair in given[1..].chunks_exact(2) {
        let [key, value] = pair else { continue };
        if !key.data_type.is_text() || !matches!(key.constant, Some(Some(_))) {
            return Err("takes constant texts as keys".into());
        }
        serializable(value.data_type)?;
    }
    Ok(Resolved { arguments: types(given), result: DataType::String, nullable: false })
}

/// Whether values of this type have a form in JSON. The error names the type that has none.
fn serializable(data_type: &DataType) -> Result<(), String> {
    match data_type {
        DataType::Date | DataType::Time(_) | DataType::IntervalMonths | DataType::IntervalMillis => {
            Err(format!("can't write {data_type} as JSON; cast it to STRING"))
        }
        DataType::Array(element) => serializable(&element.data_type),
        DataType::Multiset(key) | DataType::Map(key, _) if !key.data_type.is_text() => {
            Err(format!("can't write {data_type} as JSON: its keys are no texts"))
        }
        DataType::Map(_, value) => serializable(&value.data_type),
        DataType::Row(fields) => fields.iter().try_for_each(|field| serializable(&field.data_type)),
        _ => Ok(()),
    }
}

/// The JSON of the value in a row. It is not NULL.
type ToJson<'a> = Box<dyn Fn(usize) -> Json + 'a>;

fn json_of<'a>(array: &'a ArrayRef, data_type: &DataType) -> Result<ToJson<'a>, OperatorError> {
    let wrong = || type_error(array.data_type());
    Ok(match data_type {
        DataType::Boolean => {
            let values: &BooleanArray = array.as_boolean_opt().ok_or_else(wrong)?;
            Box::new(move |row| Json::Boolean(values.value(row)))
        }
        DataType::Binary(_) | DataType::Varbinary(_) | DataType::Bytes => {
            let values = array.as_any().downcast_ref::<BinaryArray>().ok_or_else(wrong)?;
            Box::new(move |row| Json::Text(STANDARD.encode(values.value(row))))
        }
        DataType::Array(element) => {
            let lists = array.as_list_opt::<i32>().ok_or_else(wrong)?;
            let item = or_null(lists.values(), &element.data_type)?;
            let offsets = lists.value_offsets();
            Box::new(move |row| Json::Array((offsets[row] as usize..offsets[row + 1] as usize).map(&item).collect()))
        }
        DataType::Map(_, value) => object_of(array, &value.data_type)?,
        DataType::Multiset(_) => object_of(array, &DataType::Int)?,
        DataType::Row(fields) => {
            let rows = array.as_struct_opt().ok_or_else(wrong)?;
            let columns = rows.columns().iter().zip(fields);
            let columns = columns.map(|(column, field)| Ok((field.name.clone(), or_null(column, &field.data_type)?)));
            let columns = columns.collect::<Result<Vec<_>, OperatorError>>()?;
            Box::new(move |row| Json::Object(columns.iter().map(|(name, value)| (name.clone(), value(row))).collect()))
        }
        scalar => {
            let write = writer(array, scalar, Zone::UTC)?;
            let (is_text, time) = (scalar.is_text(), time_suffix(scalar));
            Box::new(move |row| {
                let mut text = String::new();
                write(row, &mut text);
                match time {
                    Some(suffix) => Json::Text(iso(&text, suffix)),
                    None if is_text || matches!(text.as_str(), "NaN" | "Infinity" | "-Infinity") => Json::Text(text),
                    None => Json::Number(text),
                }
            })
        }
    })
}

/// What stands behind a timestamp: points in time are in UTC.
fn time_suffix(data_type: &DataType) -> Option<&'static str> {
    match data_type {
        DataType::Timestamp(_) => Some(""),
        DataType::TimestampLtz(_) => Some("Z"),
        _ => None,
    }
}

/// A timestamp as ISO 8601 writes it, without zeros at the end of its fraction.
fn iso(text: &str, suffix: &str) -> String {
    let shown = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text };
    format!("{}{suffix}", shown.replacen(' ', "T", 1))
}

fn object_of<'a>(array: &'a ArrayRef, value: &DataType) -> Result<ToJson<'a>, OperatorError> {
    let maps = array.as_map_opt().ok_or_else(|| type_error(array.data_type()))?;
    let keys = maps.keys().as_string_opt::<i32>().ok_or_else(|| type_error(array.data_type()))?;
    let value = or_null(maps.values(), value)?;
    let offsets = maps.value_offsets();
    Ok(Box::new(move |row| {
        let entries = offsets[row] as usize..offsets[row + 1] as usize;
        Json::Object(entries.map(|entry| (keys.value(entry).to_owned(), value(entry))).collect::<BTreeMap<_, _>>())
    }))
}

fn or_null<'a>(array: &'a ArrayRef, data_type: &DataType) -> Result<ToJson<'a>, OperatorError> {
    let value = json_of(array, data_type)?;
    Ok(Box::new(move |row| if array.is_null(row) { Json::Null } else { value(row) }))
}

fn json_string(data_type: &DataType) -> Box<dyn Kernel> {
    let data_type = data_type.clone();
    kernel_of(move |operands, rows, _| {
        let operand = operands.first().ok_or_else(|| type_error("argument 1 is missing"))?;
        let value = json_of(operand.array(), &data_type)?;
        let column = map_text(rows, joint_nulls(operands, rows).as_ref(), |row, out| {
            value(if operand.is_constant() { 0 } else { row }).write(out);
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}

/// Makes a document of each row's values. `position` is the argument of a value; a value is `None` if it is left out.
fn assembled(
    layout: Layout,
    values: Vec<DataType>,
    position: impl Fn(usize) -> usize + Send + 'static,
    document: impl Fn(Vec<Option<Json>>) -> Json + Send + 'static,
) -> Box<dyn Kernel> {
    kernel_of(move |operands, rows, _| {
        let columns = values.iter().enumerate().map(|(i, data_type)| {
            let operand = operands.get(position(i)).ok_or_else(|| type_error("an argument is missing"))?;
            Ok((operand, json_of(operand.array(), data_type)?))
        });
        let columns = columns.collect::<Result<Vec<(&Operand, ToJson<'_>)>, OperatorError>>()?;
        let column = map_text(rows, None, |row, out| {
            let values = columns.iter().zip(&layout.is_json).map(|((operand, value), is_json)| {
                let row = if operand.is_constant() { 0 } else { row };
                if operand.array().is_null(row) {
                    return Ok(layout.keeps_nulls.then_some(Json::Null));
                }
                match (value(row), is_json) {
                    (Json::Text(text), true) => match Json::parse_whole(&text) {
                        Some(json) => Ok(Some(json)),
                        None => Err(eval_error("a value that should be JSON is none")),
                    },
                    (value, _) => Ok(Some(value)),
                }
            });
            document(values.collect::<Result<_, OperatorError>>()?).write(out);
            Ok(true)
        })?;
        Ok(Arc::new(column))
    })
}
