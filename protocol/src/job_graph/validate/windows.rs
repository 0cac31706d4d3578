//! Checks the rules of `window.agg`, `window.assign`, `agg.group` and `watermark` that the catalog's types can't express.

use serde_json::Value;

use super::options::MAX_PANES;
use super::{Refusals, clip};
use crate::job_graph::OperatorDescriptor;

/// For each type of window, the members that it needs, and those that it may have.
const MEMBERS: &[(&str, &[&str], &[&str])] = &[
    ("tumble", &["size_ms"], &["offset_ms"]),
    ("hop", &["size_ms", "slide_ms"], &["offset_ms"]),
    ("cumulate", &["size_ms", "step_ms"], &["offset_ms"]),
    ("attached", &["start", "end"], &[]),
];

pub(super) fn check(operator: &OperatorDescriptor, at: &str, refusals: &mut Refusals) {
    let given = |name: &str| operator.options.get(name).filter(|value| !value.is_null());
    let Some(window) = given("window").and_then(Value::as_object) else { return };
    let member = |name: &str| window.get(name).filter(|value| !value.is_null());
    let Some(kind) = member("type").and_then(Value::as_str) else { return };
    let Some((_, needed, possible)) = MEMBERS.iter().find(|(of, ..)| *of == kind) else { return };
    for name in needed.iter().filter(|name| member(name).is_none()) {
        refusals.add("JG-MISSING-OPTION", at, format!("option \"window\" of type {kind} lacks {name:?}"));
    }
    let foreign =
        |name: &&String| name.as_str() != "type" && !needed.contains(&name.as_str()) && !possible.contains(&name.as_str());
    for name in window.keys().filter(foreign).filter(|name| member(name).is_some()) {
        refusals.add("JG-UNKNOWN-OPTION", at, format!("option \"window\" of type {kind} has no {:?}", clip(name)));
    }
    match (kind, given("time_column")) {
        ("attached", _) if operator.kind == "window.assign" => {
            refusals.add("JG-OPTION-TYPE", at, "window.assign has no windows to assign where windows are attached");
        }
        ("attached", Some(_)) => {
            refusals.add("JG-UNKNOWN-OPTION", at, "attached windows need no time_column: the columns start and end place a row");
        }
        ("attached", None) | (_, Some(_)) => {}
        (_, None) => refusals.add("JG-MISSING-OPTION", at, format!("windows of type {kind} need a time_column")),
    }
    let number = |name: &str| member(name).and_then(Value::as_i64);
    if let Some(size) = number("size_ms") {
        for name in ["slide_ms", "step_ms"] {
            number(name).into_iter().for_each(|interval| check_interval(size, name, interval, at, refusals));
        }
        if kind == "tumble" && number("offset_ms").is_some_and(|offset| offset.unsigned_abs() >= size.unsigned_abs()) {
            refusals.add("JG-OPTION-TYPE", at, format!("offset_ms of the window is not below size_ms {size}"));
        }
    }
    check_aggregates(operator, at, refusals);
}

fn check_interval(size: i64, name: &str, interval: i64, at: &str, refusals: &mut Refusals) {
    if size % interval != 0 {
        refusals.add("JG-OPTION-TYPE", at, format!("size_ms {size} of the window is not a multiple of {name} {interval}"));
    } else if size / interval > MAX_PANES {
        let message = format!(
            "size_ms {size} and {name} {interval} cut a window into {} panes; the limit is {MAX_PANES}. Take a larger {name}",
            size / interval
        );
        refusals.add("JG-LIMIT", at, message);
    }
}

fn check_aggregates(operator: &OperatorDescriptor, at: &str, refusals: &mut Refusals) {
    for aggregate in operator.options.get("aggregates").and_then(Value::as_array).into_iter().flatten() {
        let text = |member: &str| aggregate.get(member).and_then(Value::as_str);
        let name = clip(text("name").unwrap_or_default());
        let is_distinct = aggregate.get("distinct").and_then(Value::as_bool).unwrap_or(false);
        if text("column").is_none() && (text("function") != Some("count") || is_distinct) {
            let message = format!("aggregate {name:?} lacks \"column\"; only count without distinct may omit it");
            refusals.add("JG-MISSING-OPTION", at, message);
        }
        if text("delimiter").is_some() && text("function") != Some("listagg") {
            refusals.add("JG-UNKNOWN-OPTION", at, format!("aggregate {name:?} has a delimiter, but only listagg takes one"));
        }
    }
}

/// A group needs a key or an aggregate.
pub(super) fn check_group(operator: &OperatorDescriptor, at: &str, refusals: &mut Refusals) {
    let is_empty = |name: &str| operator.options.get(name).and_then(Value::as_array).is_none_or(Vec::is_empty);
    if is_empty("keys") && is_empty("aggregates") {
        refusals.add("JG-MISSING-OPTION", at, "without keys, the option \"aggregates\" is required");
    }
    check_aggregates(operator, at, refusals);
}

/// A watermark follows the newest row with a delay, or the values of a column, but not both.
pub(super) fn check_watermark(operator: &OperatorDescriptor, at: &str, refusals: &mut Refusals) {
    let given = |name: &str| operator.options.get(name).is_some_and(|value| !value.is_null());
    match (given("out_of_orderness_ms"), given("watermark_column")) {
        (false, false) => {
            refusals.add("JG-MISSING-OPTION", at, "one of the options out_of_orderness_ms and watermark_column is required");
        }
        (true, true) => {
            refusals.add("JG-OPTION-TYPE", at, "out_of_orderness_ms and watermark_column exclude each other; remove one");
        }
        (true, false) if given("interval_ms") => {
            refusals.add("JG-OPTION-TYPE", at, "interval_ms needs watermark_column; remove it");
        }
        _ => {}
    }
}
