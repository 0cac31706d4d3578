//! Functions of JSON texts. What SQL writes in words is given as constant texts; see the syntax of each function.

pub(super) mod build;
mod document;
mod path;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow_array::types::{Float64Type, Int32Type};
use arrow_array::{ArrayRef, BooleanArray};
use weir_protocol::job_graph::DataType;

use super::operand::{eval_error, joint_nulls, kernel_of, map_boolean, map_rows, map_text};
use super::string::texts;
use super::typing::{constant, typing};
use super::{Argument, Function, Kernel, Operand};
use crate::operator::OperatorError;
use document::Json;
use path::{Found, Path, PathError};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::first(
        "json_value",
        "JSON_VALUE(json, path[, returning[, on_empty[, on_error]]])",
        "The scalar to which the path leads. `returning` is STRING, BOOLEAN, INT or DOUBLE; `on_empty` and `on_error` are NULL, ERROR, \
         or DEFAULT with a blank and a value.",
        |given| {
            let call = typing(given, 2, 5)?.texts()?;
            let result = optional(given, 2, "STRING")?.parse::<DataType>()?;
            if !matches!(result, DataType::String | DataType::Boolean | DataType::Int | DataType::Double) {
                return Err(format!("returns STRING, BOOLEAN, INT or DOUBLE, not {result}; cast it"));
            }
            Otherwise::parse(optional(given, 3, "NULL")?)?;
            Otherwise::parse(optional(given, 4, "NULL")?)?;
            call.gives_nullable(result)
        },
        json_value,
    ),
    Function::first(
        "json_query",
        "JSON_QUERY(json, path[, wrapper[, on_empty[, on_error]]])",
        "The array or object to which the path leads, as JSON. `wrapper` is WITHOUT, CONDITIONAL or UNCONDITIONAL; `on_empty` and \
         `on_error` are NULL, ERROR, EMPTY ARRAY or EMPTY OBJECT.",
        |given| {
            let call = typing(given, 2, 5)?.texts()?;
            let wrapper = optional(given, 2, "WITHOUT")?;
            if !["WITHOUT", "CONDITIONAL", "UNCONDITIONAL"].contains(&wrapper) {
                return Err(format!("takes WITHOUT, CONDITIONAL or UNCONDITIONAL as argument 3, not {wrapper:?}"));
            }
            Otherwise::parse(optional(given, 3, "NULL")?)?;
            Otherwise::parse(optional(given, 4, "NULL")?)?;
            call.gives_nullable(DataType::String)
        },
        json_query,
    ),
    Function::first(
        "json_exists",
        "JSON_EXISTS(json, path[, on_error])",
        "Whether the path leads to a value that is not null. `on_error` is TRUE, FALSE, UNKNOWN or ERROR.",
        |given| {
            let call = typing(given, 2, 3)?.texts()?;
            on_error(optional(given, 2, "FALSE")?)?;
            call.gives_nullable(DataType::Boolean)
        },
        json_exists,
    ),
    Function::first(
        "is_json",
        "text IS JSON [VALUE | SCALAR | ARRAY | OBJECT]",
        "Whether the text is JSON, of this kind if one is given; false for NULL.",
        |given| {
            let call = typing(given, 1, 2)?.texts()?;
            kind(optional(given, 1, "VALUE")?)?;
            call.gives_not_null(DataType::Boolean)
        },
        |given, _| {
            let fits = kind(optional(given, 1, "VALUE")?)?;
            Ok(kernel_of(move |operands, rows, _| {
                let text = texts(operands, 0)?;
                let test = |row| Some(text.get(row).and_then(Json::parse).is_some_and(|json| fits(&json)));
                Ok(Arc::new((0..rows).map(test).collect::<BooleanArray>()))
            }))
        },
    ),
    Function::first(
        "json_quote",
        "JSON_QUOTE(text)",
        "The text as a JSON string.",
        |given| typing(given, 1, 1)?.text()?.gives(DataType::String),
        |_, _| {
            Ok(kernel_of(|operands, rows, _| {
                let text = texts(operands, 0)?;
                let column = map_text(rows, joint_nulls(operands, rows).as_ref(), |row, out| {
                    document::quote_ascii(text.value(row), out);
                    Ok(true)
                })?;
                Ok(Arc::new(column))
            }))
        },
    ),
];

/// A constant argument, or what it is if it is left out.
fn optional<'a>(given: &[Argument<'a>], position: usize, default: &'a str) -> Result<&'a str, String> {
    if position < given.len() { constant(given, position) } else { Ok(default) }
}

/// What a function returns if there is no value, or an error.
#[derive(Debug, Clone, PartialEq)]
enum Otherwise {
    Null,
    Fail,
    Value(String),
}

impl Otherwise {
    fn parse(text: &str) -> Result<Self, String> {
        Ok(match text {
            "NULL" => Self::Null,
            "ERROR" => Self::Fail,
            "EMPTY ARRAY" => Self::Value("[]".into()),
            "EMPTY OBJECT" => Self::Value("{}".into()),
            _ => match text.strip_prefix("DEFAULT ") {
                Some(value) => Self::Value(value.into()),
                None => return Err(format!("does not know {text:?} for ON EMPTY or ON ERROR")),
            },
        })
    }
}

/// The answer of JSON_EXISTS to an error; the outer `None` fails.
fn on_error(text: &str) -> Result<Option<Option<bool>>, String> {
    Ok(match text {
        "TRUE" => Some(Some(true)),
        "FALSE" => Some(Some(false)),
        "UNKNOWN" => Some(None),
        "ERROR" => None,
        _ => return Err(format!("does not know {text:?} for ON ERROR")),
    })
}

fn kind(text: &str) -> Result<fn(&Json) -> bool, String> {
    Ok(match text {
        "VALUE" => |_| true,
        "SCALAR" => Json::is_scalar,
        "ARRAY" => |json| matches!(json, Json::Array(_)),
        "OBJECT" => |json| matches!(json, Json::Object(_)),
        _ => return Err(format!("knows VALUE, SCALAR, ARRAY and OBJECT, not {text:?}")),
    })
}

/// A path that may change from row to row, with its last form.
#[derive(Default)]
struct Paths(Option<(String, Result<Path, PathError>)>);

/// What a row yields: a value, nothing, or an error with its reason.
enum Outcome {
    Value(Json),
    Empty,
    Error(&'static str),
}

impl Paths {
    /// Prepares the paths of a call. A constant path that Weir does not support is refused.
    fn prepare(given: &[Argument<'_>]) -> Result<Self, String> {
        if let Some(Some(path)) = given.get(1).and_then(|argument| argument.constant)
            && let Err(PathError::Unsupported(what)) = Path::parse(path)
        {
            return Err(format!("cannot use the path {path:?}: it has {what}, which Weir does not support"));
        }
        Ok(Self::default())
    }

    /// Follows a path, and returns whether it is strict.
    fn find(&mut self, json: &str, path: &str) -> Result<(Outcome, bool), OperatorError> {
        let known = self.0.take().filter(|(known, _)| known == path);
        let (_, parsed) = self.0.insert(known.unwrap_or_else(|| (path.to_owned(), Path::parse(path))));
        let path = match parsed {
            Ok(path) => path,
            Err(PathError::Malformed) => return Ok((Outcome::Error("the path is malformed"), true)),
            Err(PathError::Unsupported(what)) => {
                return Err(eval_error(format!("the path {path:?} has {what}, which Weir does not support")));
            }
        };
        let Some(root) = Json::parse(json) else { return Ok((Outcome::Error("the text is no JSON"), path.strict)) };
        let outcome = match path.find(&root) {
            Found::Value(Json::Null) if path.strict => Outcome::Error("the path leads to a null"),
            Found::Value(Json::Null) => Outcome::Empty,
            Found::Value(value) => Outcome::Value(value),
            Found::Nothing if path.strict => Outcome::Error("the path leads nowhere"),
            Found::Nothing => Outcome::Empty,
        };
        Ok((outcome, path.strict))
    }
}

/// What replaces a value; `None` is NULL.
fn instead<'a>(
    function: &str,
    outcome: &Outcome,
    on_empty: &'a Otherwise,
    on_error: &'a Otherwise,
) -> Result<Option<&'a str>, OperatorError> {
    let (chosen, why) = match outcome {
        Outcome::Error(why) => (on_error, *why),
        _ => (on_empty, "there is no value"),
    };
    match chosen {
        Otherwise::Null => Ok(None),
        Otherwise::Value(value) => Ok(Some(value)),
        Otherwise::Fail => Err(eval_error(format!("{function}: {why}"))),
    }
}

fn json_value(given: &[Argument<'_>], result: &DataType) -> Result<Box<dyn Kernel>, String> {
    let mut paths = Paths::prepare(given)?;
    let result = result.clone();
    let on_empty = Otherwise::parse(optional(given, 3, "NULL")?)?;
    let on_error = Otherwise::parse(optional(given, 4, "NULL")?)?;
    Ok(kernel_of(move |operands, rows, _| {
        let mut scalar = |json: &str, path: &str| -> Result<Option<Json>, OperatorError> {
            let (outcome, strict) = paths.find(json, path)?;
            let outcome = match outcome {
                Outcome::Value(value) if value.is_scalar() => return Ok(Some(value)),
                Outcome::Value(_) if strict => Outcome::Error("the path leads to an array or an object"),
                Outcome::Value(_) => Outcome::Empty,
                other => other,
            };
            let default = instead("JSON_VALUE", &outcome, &on_empty, &on_error)?;
            Ok(default.map(|text| typed(text, &result)))
        };
        values(operands, rows, &result, &mut scalar)
    }))
}

/// A default value, which is given as text.
fn typed(text: &str, data_type: &DataType) -> Json {
    match data_type {
        DataType::Boolean => Json::Boolean(text.eq_ignore_ascii_case("true")),
        DataType::Int | DataType::Double => Json::Number(text.into()),
        _ => Json::Text(text.into()),
    }
}

/// Finds the scalar of a document at a path.
type Scalar<'a> = dyn FnMut(&str, &str) -> Result<Option<Json>, OperatorError> + 'a;

fn values(operands: &[Operand], rows: usize, result: &DataType, scalar: &mut Scalar<'_>) -> Result<ArrayRef, OperatorError> {
    let (json, path) = (texts(operands, 0)?, texts(operands, 1)?);
    let nulls = joint_nulls(operands, rows);
    let mut of_row = |row: usize| scalar(json.value(row), path.value(row));
    let wrong = |value: &Json| {
        let mut text = String::new();
        value.write(&mut text);
        eval_error(format!("JSON_VALUE found {text}, which is no {result}; return STRING and cast it"))
    };
    Ok(match result {
        DataType::Boolean => Arc::new(map_boolean(rows, nulls, |row| match of_row(row)? {
            Some(Json::Boolean(value)) => Ok(Some(value)),
            Some(other) => Err(wrong(&other)),
            None => Ok(None),
        })?),
        DataType::Int => Arc::new(map_rows::<Int32Type>(rows, nulls, |row| match of_row(row)? {
            Some(Json::Number(text)) => text.parse().map(Some).map_err(|_| wrong(&Json::Number(text))),
            Some(other) => Err(wrong(&other)),
            None => Ok(None),
        })?),
        DataType::Double => Arc::new(map_rows::<Float64Type>(rows, nulls, |row| match of_row(row)? {
            Some(Json::Number(text)) => text.parse().map(Some).map_err(|_| wrong(&Json::Number(text))),
            Some(other) => Err(wrong(&other)),
            None => Ok(None),
        })?),
        _ => Arc::new(map_text(rows, nulls.as_ref(), |row, out| {
            let value = of_row(row)?;
            if let Some(value) = &value {
                value.write_plain(out);
            }
            Ok(value.is_some())
        })?),
    })
}

fn json_query(given: &[Argument<'_>], _: &DataType) -> Result<Box<dyn Kernel>, String> {
    let mut paths = Paths::prepare(given)?;
    let wrapper = optional(given, 2, "WITHOUT")?.to_owned();
    let on_empty = Otherwise::parse(optional(given, 3, "NULL")?)?;
    let on_error = Otherwise::parse(optional(given, 4, "NULL")?)?;
    Ok(kernel_of(move |operands, rows, _| {
        let (json, path) = (texts(operands, 0)?, texts(operands, 1)?);
        let nulls = joint_nulls(operands, rows);
        let column = map_text(rows, nulls.as_ref(), |row, out| {
            let (outcome, strict) = paths.find(json.value(row), path.value(row))?;
            let outcome = match outcome {
                Outcome::Value(value) => {
                    let wrapped = match (wrapper.as_str(), &value) {
                        ("UNCONDITIONAL", _) => Json::Array(vec![value]),
                        ("CONDITIONAL", Json::Array(_)) => value,
                        ("CONDITIONAL", _) => Json::Array(vec![value]),
                        _ => value,
                    };
                    if !wrapped.is_scalar() {
                        wrapped.write(out);
                        return Ok(true);
                    }
                    if strict { Outcome::Error("the path leads to a scalar") } else { Outcome::Empty }
                }
                other => other,
            };
            let default = instead("JSON_QUERY", &outcome, &on_empty, &on_error)?;
            out.push_str(default.unwrap_or_default());
            Ok(default.is_some())
        })?;
        Ok(Arc::new(column))
    }))
}

fn json_exists(given: &[Argument<'_>], _: &DataType) -> Result<Box<dyn Kernel>, String> {
    let mut paths = Paths::prepare(given)?;
    let on_error = on_error(optional(given, 2, "FALSE")?)?;
    Ok(kernel_of(move |operands, rows, _| {
        let (json, path) = (texts(operands, 0)?, texts(operands, 1)?);
        let column =
            map_boolean(rows, joint_nulls(operands, rows), |row| match paths.find(json.value(row), path.value(row))?.0 {
                Outcome::Value(_) => Ok(Some(true)),
                Outcome::Empty => Ok(Some(false)),
                Outcome::Error(why) => on_error.ok_or_else(|| eval_error(format!("JSON_EXISTS: {why}"))),
            })?;
        Ok(Arc::new(column))
    }))
}
