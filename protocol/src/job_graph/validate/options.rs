//! Checks the options of one operator against the catalog.

use std::collections::BTreeSet;

use serde::Deserialize;
use serde_json::{Map, Value};

use super::windows;
use super::{MAX_COLUMNS, MAX_NAME_BYTES, Refusals, clip};
use crate::job_graph::catalog::{OperatorSpec, OptionSpec, OptionType, closest};
use crate::job_graph::program::ExprProgram;
use crate::job_graph::{DataType, Field, OperatorDescriptor};

/// Most panes of one window.
pub(super) const MAX_PANES: i64 = 10_000;

pub(super) fn check_options(spec: &OperatorSpec, operator: &OperatorDescriptor, at: &str, refusals: &mut Refusals) {
    let before = refusals.0.len();
    check_members(spec.options, &|name| operator.options.get(name), operator.options.keys(), at, refusals);
    if refusals.0.len() > before {
        return;
    }
    match spec.kind {
        "window.tumbling" | "window.hopping" => check_window(operator, at, refusals),
        "window.agg" | "window.assign" => windows::check(operator, at, refusals),
        "agg.local" if operator.options.get("window").is_some_and(|window| !window.is_null()) => {
            windows::check(operator, at, refusals);
        }
        "agg.group" | "agg.local" => windows::check_group(operator, at, refusals),
        "watermark" => windows::check_watermark(operator, at, refusals),
        _ => {}
    }
    if spec.kind == "join.latest" && length(operator, "keys") != length(operator, "right_keys") {
        refusals.add("JG-OPTION-TYPE", at, "keys and right_keys name different numbers of columns; they pair up in order");
    }
}

fn length(operator: &OperatorDescriptor, option: &str) -> Option<usize> {
    operator.options.get(option).and_then(Value::as_array).map(Vec::len)
}

/// Checks the rules of windows that the catalog's types can't express.
fn check_window(operator: &OperatorDescriptor, at: &str, refusals: &mut Refusals) {
    for aggregate in operator.options.get("aggregates").and_then(Value::as_array).into_iter().flatten() {
        let text = |member: &str| aggregate.get(member).and_then(Value::as_str);
        if text("function") != Some("count") && text("column").is_none() {
            let name = clip(text("name").unwrap_or_default());
            let message = format!("aggregate {name:?} lacks \"column\"; only count may omit it");
            refusals.add("JG-MISSING-OPTION", at, message);
        }
    }
    let number = |option: &str| operator.options.get(option).and_then(Value::as_i64);
    if let (Some(size), Some(slide)) = (number("size_ms"), number("slide_ms")) {
        let pane = greatest_common_divisor(size, slide);
        if slide > size {
            let message = format!("slide_ms {slide} is above size_ms {size}: rows between the windows would be lost");
            refusals.add("JG-OPTION-TYPE", at, message);
        } else if size / pane > MAX_PANES {
            let message = format!(
                "size_ms {size} and slide_ms {slide} cut a window into {} panes; the limit is {MAX_PANES}. Take a larger common divisor",
                size / pane
            );
            refusals.add("JG-LIMIT", at, message);
        }
    }
}

fn greatest_common_divisor(a: i64, b: i64) -> i64 {
    if b == 0 { a } else { greatest_common_divisor(b, a % b) }
}

fn check_members<'a>(
    specs: &[OptionSpec],
    get: &dyn Fn(&str) -> Option<&'a Value>,
    given: impl Iterator<Item = &'a String>,
    at: &str,
    refusals: &mut Refusals,
) {
    for name in given {
        if refusals.is_full() {
            return;
        }
        if !specs.iter().any(|spec| spec.name == name) {
            let hint = match closest(name, specs.iter().map(|spec| spec.name)) {
                Some(close) => format!("did you mean {close:?}?"),
                None if specs.is_empty() => "there are none".to_owned(),
                None => format!("there are: {}", specs.iter().map(|spec| spec.name).collect::<Vec<_>>().join(", ")),
            };
            refusals.add("JG-UNKNOWN-OPTION", at, format!("no option {:?}; {hint}", clip(name)));
        }
    }
    for spec in specs {
        match get(spec.name) {
            None | Some(Value::Null) if spec.required => {
                refusals.add("JG-MISSING-OPTION", at, format!("option {:?} is required: {}", spec.name, spec.doc));
            }
            // Null means the same as absent.
            None | Some(Value::Null) => {}
            Some(value) => check_value(spec, value, at, refusals),
        }
    }
}

fn check_value(spec: &OptionSpec, value: &Value, at: &str, refusals: &mut Refusals) {
    let expected = match spec.option_type {
        OptionType::Text => value
            .as_str()
            .is_some_and(|text| !text.is_empty() && !text.contains('\0'))
            .err_with(|| "a text that is not empty".into()),
        OptionType::TextOrEmpty => value.is_string().err_with(|| "a text".into()),
        OptionType::Character => {
            let one = value.as_str().is_some_and(|text| text.len() == 1 && !matches!(text, "\n" | "\r" | "\"" | "\0"));
            one.err_with(|| "one ASCII character other than a quote or a line end".into())
        }
        OptionType::Choice(words) => value.as_str().is_some_and(|text| words.contains(&text)).err_with(|| {
            let hint = value.as_str().and_then(|text| closest(text, words.iter().copied()));
            let hint = hint.map(|word| format!("; did you mean {word:?}?")).unwrap_or_default();
            format!("one of {}{hint}", words.join(", "))
        }),
        OptionType::Flag => value.is_boolean().err_with(|| "true or false".into()),
        OptionType::Integer(least, most) => value.as_i64().is_some_and(|n| (least..=most).contains(&n)).err_with(|| {
            if most == i64::MAX {
                format!("a whole number of at least {least}")
            } else {
                format!("a whole number from {least} to {most}")
            }
        }),
        OptionType::Number => value.as_f64().is_some_and(f64::is_finite).err_with(|| "a number".into()),
        OptionType::Values => {
            let scalars = value.as_array().is_some_and(|items| {
                !items.is_empty() && items.iter().all(|item| item.is_string() || item.is_number() || item.is_boolean())
            });
            scalars.err_with(|| "a list of at least one text, number or boolean".into())
        }
        OptionType::Column => value.as_str().is_some_and(is_column).err_with(|| "the name of a column".into()),
        OptionType::Columns(may_be_empty) => distinct_columns(value, may_be_empty).err_with(|| {
            if may_be_empty {
                "a list of distinct column names".into()
            } else {
                "a list of at least one column name, all distinct".into()
            }
        }),
        OptionType::DataType => {
            let known = DataType::deserialize_name(value).is_some();
            known.err_with(|| "a type such as BIGINT, STRING, DECIMAL(10, 2) or TIMESTAMP(3)".into())
        }
        OptionType::Schema => is_schema(value).err_with(|| {
            "a list of at least one {\"name\": .., \"type\": \"BIGINT\", \"nullable\": ..} with distinct names".into()
        }),
        OptionType::Program => {
            match ExprProgram::deserialize(value).map_err(|e| e.to_string()).and_then(|program| program.check()) {
                Ok(()) => Ok(()),
                Err(what) => {
                    let message = format!("option {:?} is not an expression program: {}", spec.name, clip(&what));
                    refusals.add("JG-OPTION-TYPE", at, message);
                    return;
                }
            }
        }
        OptionType::Objects(members) => {
            check_objects(spec.name, members, value, at, refusals);
            Ok(())
        }
        OptionType::Object(members) => match value.as_object() {
            Some(object) => {
                let at = format!("{at}, {}", spec.name);
                check_members(members, &|name| Map::get(object, name), object.keys(), &at, refusals);
                Ok(())
            }
            None => Err("an object".into()),
        },
        OptionType::Map(values) => match value.as_object() {
            Some(object) => {
                let at = format!("{at}, {}", spec.name);
                check_map(*values, object, &at, refusals);
                Ok(())
            }
            None => Err("an object".into()),
        },
    };
    if let Err(expected) = expected {
        let found = clip(&value.to_string());
        refusals.add("JG-OPTION-TYPE", at, format!("option {:?} is {found}; it takes {expected}", spec.name));
    }
}

fn check_map(values: OptionType, object: &Map<String, Value>, at: &str, refusals: &mut Refusals) {
    let spec = OptionSpec { name: "value", option_type: values, required: false, doc: "" };
    for (name, value) in object {
        if refusals.is_full() {
            return;
        }
        check_value(&spec, value, &format!("{at}, {}", clip(name)), refusals);
    }
}

fn check_objects(option: &str, members: &[OptionSpec], value: &Value, at: &str, refusals: &mut Refusals) {
    let Some(items) = value.as_array().filter(|items| !items.is_empty() && items.len() <= MAX_COLUMNS) else {
        let message = format!("option {option:?} takes a list of 1 to {MAX_COLUMNS} objects");
        refusals.add("JG-OPTION-TYPE", at, message);
        return;
    };
    let mut names = BTreeSet::new();
    for (i, item) in items.iter().enumerate() {
        let at = format!("{at}, {option}[{i}]");
        let Some(object) = item.as_object() else {
            refusals.add("JG-OPTION-TYPE", at, format!("{} is not an object", clip(&item.to_string())));
            continue;
        };
        check_members(members, &|name| Map::get(object, name), object.keys(), &at, refusals);
        if let Some(name) = object.get("name").and_then(Value::as_str)
            && !names.insert(name)
        {
            refusals.add("JG-OPTION-TYPE", at, format!("the name {:?} appears twice", clip(name)));
        }
    }
}

fn is_column(name: &str) -> bool {
    !name.is_empty() && name.len() <= MAX_NAME_BYTES && !name.chars().any(char::is_control)
}

fn distinct_columns(value: &Value, may_be_empty: bool) -> bool {
    let Some(items) = value.as_array() else { return false };
    let names: BTreeSet<_> = items.iter().filter_map(Value::as_str).filter(|name| is_column(name)).collect();
    names.len() == items.len() && items.len() <= MAX_COLUMNS && (may_be_empty || !items.is_empty())
}

fn is_schema(value: &Value) -> bool {
    let Some(items) = value.as_array() else { return false };
    if items.is_empty() || items.len() > MAX_COLUMNS {
        return false;
    }
    let fields: Vec<Field> = items.iter().filter_map(|item| serde_json::from_value(item.clone()).ok()).collect();
    let names: BTreeSet<_> = fields.iter().map(|field| field.name.as_str()).filter(|name| is_column(name)).collect();
    names.len() == items.len()
}

impl DataType {
    fn deserialize_name(value: &Value) -> Option<Self> {
        serde_json::from_value(value.clone()).ok()
    }
}

trait ErrWith {
    fn err_with(self, expected: impl FnOnce() -> String) -> Result<(), String>;
}

impl ErrWith for bool {
    fn err_with(self, expected: impl FnOnce() -> String) -> Result<(), String> {
        if self { Ok(()) } else { Err(expected()) }
    }
}
