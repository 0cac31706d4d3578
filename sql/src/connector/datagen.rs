//! The connector `datagen`.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_protocol::job_graph::{DataType, Field, OperatorDescriptor};

use super::option::{ConnectorOption, ignored, only, used};
use super::{Request, SourceDescriptor};
use crate::OptionValue::{Choice, Duration, Flag, Integer, Number};
use crate::script::SqlError;

/// Flink's default of `rows-per-second`.
const ROWS_PER_SECOND: i64 = 10_000;

pub(super) const OPTIONS: &[ConnectorOption] = &[
    used("rows-per-second", Integer(1, i64::MAX), "10000", "Rows per second of all subtasks together."),
    used("number-of-rows", Integer(0, i64::MAX), "no end", "After this many rows the table ends."),
    used("fields.#.kind", Choice(&["random", "sequence"]), "random", "Whether values are random, or count from start to end."),
    used("fields.#.min", Number, "the least value of the type; 0 for BIGINT, FLOAT and DOUBLE", "Least random number."),
    used("fields.#.max", Number, "the greatest value of the type", "Greatest random number."),
    used("fields.#.start", Integer(i64::MIN, i64::MAX), "", "First number of a sequence."),
    used("fields.#.end", Integer(i64::MIN, i64::MAX), "", "Last number of a sequence, after which the table ends."),
    ignored("fields.#.length", Integer(1, i32::MAX as i64), "Random texts have 16 hexadecimal digits."),
    only("fields.#.var-len", Flag, "false", "All random texts have the same length."),
    ignored("fields.#.max-past", Duration, "Times begin at 1970-01-01 00:00:00 and advance evenly from row to row."),
    only("fields.#.null-rate", Number, "0", "No value is NULL."),
    ignored("scan.parallelism", Integer(1, i32::MAX as i64), "Sources run with 'parallelism.default'."),
];

pub(super) fn source(request: &Request<'_>) -> Result<SourceDescriptor, SqlError> {
    let options = &request.options;
    let per_second = options.integer("rows-per-second").unwrap_or(ROWS_PER_SECOND);
    let mut rows = options.integer("number-of-rows");
    // The shortest sequence ends the table, also if its column is not wanted.
    for field in &request.stored {
        if let Some((start, end)) = sequence(request, field)? {
            let length = end.checked_sub(start).and_then(|length| length.checked_add(1)).unwrap_or(i64::MAX);
            rows = Some(rows.map_or(length, |rows| rows.min(length)));
        }
    }
    let mut columns = request.wanted_columns();
    let fields = columns.iter().map(|field| generated(request, field, per_second)).collect::<Result<Vec<_>, _>>()?;
    columns.iter_mut().for_each(|field| field.nullable = false);
    let mut set = BTreeMap::from([("fields".to_owned(), json!(fields)), ("rows_per_second".to_owned(), json!(per_second))]);
    if let Some(rows) = rows {
        set.insert("rows".to_owned(), json!(rows));
    }
    let operator = OperatorDescriptor::new("source.datagen", set);
    Ok(SourceDescriptor { operator, columns, is_bounded: rows.is_some(), notices: options.take_notices() })
}

fn key(field: &Field, option: &str) -> String {
    format!("fields.{}.{option}", field.name)
}

/// First and last number of the column if it is a sequence.
fn sequence(request: &Request<'_>, field: &Field) -> Result<Option<(i64, i64)>, SqlError> {
    let options = &request.options;
    let is_sequence = options.text(&key(field, "kind")).is_some_and(|kind| kind.trim().eq_ignore_ascii_case("sequence"));
    let foreign: &[&str] = if is_sequence { &["min", "max"] } else { &["start", "end"] };
    if let Some(foreign) = foreign.iter().map(|option| key(field, option)).find(|key| options.text(key).is_some()) {
        let kind = if is_sequence { "sequence" } else { "random" };
        return Err(options.invalid(&foreign, &format!("does not fit '{}' = '{kind}'", key(field, "kind"))));
    }
    if !is_sequence {
        return Ok(None);
    }
    let number = |option: &str| {
        let key = key(field, option);
        options.required(&key)?;
        options.integer(&key).ok_or_else(|| options.invalid(&key, "must be a whole number"))
    };
    let (start, end) = (number("start")?, number("end")?);
    if start > end {
        return Err(options.invalid(&key(field, "start"), &format!("is {start}, which is after the end, {end}")));
    }
    Ok(Some((start, end)))
}

/// The column as the operator generates it.
fn generated(request: &Request<'_>, field: &Field, per_second: i64) -> Result<Value, SqlError> {
    let Field { name, data_type, .. } = field;
    if let Some((start, _)) = sequence(request, field)? {
        return match data_type {
            DataType::Int | DataType::Bigint | DataType::Double => {
                Ok(json!({"name": name, "type": data_type, "kind": "sequence", "min": start}))
            }
            other => {
                Err(SqlError::unsupported(format!("a sequence of type {other} (column {name:?} of table {})", request.path)))
            }
        };
    }
    let (least, greatest) = match data_type {
        DataType::Boolean | DataType::String => return Ok(json!({"name": name, "type": data_type, "kind": "random"})),
        DataType::Timestamp(3) => {
            let step = (1_000 / per_second).max(1);
            let text = "times begin at 1970-01-01 00:00:00 and advance by";
            request.options.notice(format!("table {}: column {name:?}: {text} {step} ms a row", request.path));
            return Ok(json!({"name": name, "type": data_type, "kind": "timestamp", "step_ms": step}));
        }
        DataType::Int => (json!(i32::MIN), json!(i32::MAX)),
        // The whole range would not fit the generator, and no one wants to read such numbers.
        DataType::Bigint => (json!(0), json!(i64::MAX)),
        DataType::Double => (json!(0.0), json!(f64::MAX)),
        other => {
            let error = SqlError::unsupported(format!("generating {other} (column {name:?} of table {})", request.path));
            return Err(
                error.hint("generate INT, BIGINT, DOUBLE, STRING, BOOLEAN or TIMESTAMP(3), and CAST it in a computed column")
            );
        }
    };
    let bound = |option: &str, default: Value| {
        let key = key(field, option);
        let Some(text) = request.options.text(&key) else { return Ok(default) };
        let number = match data_type {
            DataType::Double => text.trim().parse().ok().map(|number: f64| json!(number)),
            DataType::Int => text.trim().parse().ok().map(|number: i32| json!(number)),
            _ => text.trim().parse().ok().map(|number: i64| json!(number)),
        };
        number.ok_or_else(|| request.options.invalid(&key, &format!("is '{text}', which is no {data_type}")))
    };
    Ok(json!({"name": name, "type": data_type, "kind": "random", "min": bound("min", least)?, "max": bound("max", greatest)?}))
}
