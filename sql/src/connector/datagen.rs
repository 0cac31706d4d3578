//! The connector `datagen`.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use weir_protocol::job_graph::{DataType, Field, OperatorDescriptor};

use super::option::{ConnectorOption, ignored, used};
use super::{Request, SourceDescriptor};
use crate::OptionValue::{Choice, Duration, Flag, Integer, Number};
use crate::option::duration_ms;
use crate::script::SqlError;

/// Flink's default of `rows-per-second`.
const ROWS_PER_SECOND: i64 = 10_000;

/// Flink's lengths of texts and bytes.
const TEXT_LENGTH: u32 = 100;
const BYTES_LENGTH: u32 = 20;

/// Parts of nested columns that are times lie before the year 2100.
const LAST_MS: i64 = 4_102_444_799_999;
const LAST_DAY: i64 = LAST_MS / 86_400_000;

pub(super) const OPTIONS: &[ConnectorOption] = &[
    used("rows-per-second", Integer(1, i64::MAX), "10000", "Rows per second of all subtasks together."),
    used("number-of-rows", Integer(0, i64::MAX), "no end", "After this many rows the table ends."),
    used("fields.#.kind", Choice(&["random", "sequence"]), "random", "Whether values are random, or count from start to end."),
    used("fields.#.min", Number, "the least value of the type; 0 for BIGINT, FLOAT, DOUBLE and DECIMAL", "Least random number."),
    used("fields.#.max", Number, "the greatest value of the type", "Greatest random number."),
    used("fields.#.start", Integer(i64::MIN, i64::MAX), "", "First number of a sequence."),
    used("fields.#.end", Integer(i64::MIN, i64::MAX), "", "Last number of a sequence, after which the table ends."),
    used(
        "fields.#.length",
        Integer(1, 1 << 20),
        "100 for texts, 20 for bytes, 3 for collections",
        "Number of characters, bytes or elements; a type such as CHAR(5) allows no more than it has.",
    ),
    used("fields.#.var-len", Flag, "false", "Whether lengths are random, from 1 to length."),
    used(
        "fields.#.max-past",
        Duration,
        "0",
        "How far back a time is moved at most, by a random length. Times begin at 1970-01-01 00:00:00 and advance from row to row.",
    ),
    used("fields.#.null-rate", Number, "0", "Which share of the values is NULL, from 0 to 1."),
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
    for (column, field) in columns.iter_mut().zip(&fields) {
        column.nullable = field.contains_key("null_rate");
    }
    let mut set = BTreeMap::from([("fields".to_owned(), json!(fields)), ("rows_per_second".to_owned(), json!(per_second))]);
    if let Some(rows) = rows {
        set.insert("rows".to_owned(), json!(rows));
    }
    let operator = OperatorDescriptor::new("source.datagen", set);
    Ok(SourceDescriptor { operator, columns, is_bounded: rows.is_some(), notices: options.take_notices() })
}

fn key(place: &str, option: &str) -> String {
    format!("fields.{place}.{option}")
}

/// First and last number of the column if it is a sequence.
fn sequence(request: &Request<'_>, field: &Field) -> Result<Option<(i64, i64)>, SqlError> {
    let options = &request.options;
    let place = &field.name;
    let is_sequence = options.text(&key(place, "kind")).is_some_and(|kind| kind.trim().eq_ignore_ascii_case("sequence"));
    let foreign: &[&str] =
        if is_sequence { &["min", "max", "length", "var-len", "max-past", "null-rate"] } else { &["start", "end"] };
    if let Some(foreign) = foreign.iter().map(|option| key(place, option)).find(|key| options.text(key).is_some()) {
        let kind = if is_sequence { "sequence" } else { "random" };
        return Err(options.invalid(&foreign, &format!("does not fit '{}' = '{kind}'", key(place, "kind"))));
    }
    if !is_sequence {
        return Ok(None);
    }
    let number = |option: &str| {
        let key = key(place, option);
        options.required(&key)?;
        options.integer(&key).ok_or_else(|| options.invalid(&key, "must be a whole number"))
    };
    let (start, end) = (number("start")?, number("end")?);
    if start > end {
        return Err(options.invalid(&key(place, "start"), &format!("is {start}, which is after the end, {end}")));
    }
    Ok(Some((start, end)))
}

/// The column as the operator generates it.
fn generated(request: &Request<'_>, field: &Field, per_second: i64) -> Result<Map<String, Value>, SqlError> {
    let Field { name, data_type, .. } = field;
    let mut set = Map::from_iter([("name".to_owned(), json!(name)), ("type".to_owned(), json!(data_type))]);
    if let Some((start, _)) = sequence(request, field)? {
        if !(data_type.is_numeric() || data_type.is_text()) {
            let error =
                SqlError::unsupported(format!("a sequence of type {data_type} (column {name:?} of table {})", request.path));
            return Err(error.hint("number rows in a BIGINT column, and compute the value from it"));
        }
        set.extend([("kind".to_owned(), json!("sequence")), ("min".to_owned(), json!(start))]);
        return Ok(set);
    }
    if is_time(data_type) {
        let step = (1_000 / per_second).max(1);
        let text = "times begin at 1970-01-01 00:00:00 and advance by";
        request.options.notice(format!("table {}: column {name:?}: {text} {step} ms a row", request.path));
        set.extend([("kind".to_owned(), json!("timestamp")), ("step_ms".to_owned(), json!(step))]);
    } else {
        set.insert("kind".into(), json!("random"));
    }
    random(request, data_type, name, true, &mut set)?;
    if set.contains_key("null_rate") && !field.nullable {
        return Err(request.options.invalid(&key(name, "null-rate"), "does not fit a column that is NOT NULL"));
    }
    let mut parts = Vec::new();
    add_parts(request, data_type, name, "", &mut parts)?;
    check_places(request, name, &parts)?;
    if !parts.is_empty() {
        set.insert("parts".into(), json!(parts));
    }
    Ok(set)
}

fn is_time(data_type: &DataType) -> bool {
    matches!(data_type, DataType::Date | DataType::Time(_) | DataType::Timestamp(_) | DataType::TimestampLtz(_))
}

/// Adds how random values at a place are made. Error: `SQL-OPTION` for an option that does not fit the type there.
fn random(
    request: &Request<'_>,
    data_type: &DataType,
    place: &str,
    is_column: bool,
    set: &mut Map<String, Value>,
) -> Result<(), SqlError> {
    let options = &request.options;
    let has_length =
        data_type.is_text() || data_type.is_binary() || (data_type.is_nested() && !matches!(data_type, DataType::Row(_)));
    let fits = [
        ("min", data_type.is_numeric()),
        ("max", data_type.is_numeric()),
        ("length", has_length),
        ("var-len", has_length),
        ("max-past", is_column && is_time(data_type)),
    ];
    for (option, fits) in fits {
        let key = key(place, option);
        if !fits && options.text(&key).is_some() {
            return Err(options.invalid(&key, &format!("does not fit the type {data_type}")));
        }
    }
    let (least, greatest) = range(data_type, is_column);
    for (name, default) in [("min", least), ("max", greatest)] {
        if let Some(value) = bound(request, data_type, &key(place, name))?.or(default) {
            set.insert(name.into(), value);
        }
    }
    let default = if data_type.is_text() { Some(TEXT_LENGTH) } else { data_type.is_binary().then_some(BYTES_LENGTH) };
    if let Some(length) = options.integer(&key(place, "length")).or(default.map(i64::from)) {
        set.insert("length".into(), json!(length));
    }
    if options.flag(&key(place, "var-len")) {
        set.insert("var_length".into(), json!(true));
    }
    if let Some(past) = options.text(&key(place, "max-past")).and_then(duration_ms) {
        set.insert("max_past_ms".into(), json!(past));
    }
    if let Some(text) = options.text(&key(place, "null-rate")) {
        match text.trim().parse::<f64>() {
            Ok(0.0) => {}
            Ok(rate) if (0.0..=1.0).contains(&rate) => {
                set.insert("null_rate".into(), json!(rate));
            }
            _ => return Err(options.invalid(&key(place, "null-rate"), "must lie between 0 and 1")),
        }
    }
    Ok(())
}

/// The least and the greatest value unless options say others.
fn range(data_type: &DataType, is_column: bool) -> (Option<Value>, Option<Value>) {
    let both = |least: Value, greatest: Value| (Some(least), Some(greatest));
    match data_type {
        DataType::Tinyint => both(json!(i8::MIN), json!(i8::MAX)),
        DataType::Smallint => both(json!(i16::MIN), json!(i16::MAX)),
        DataType::Int => both(json!(i32::MIN), json!(i32::MAX)),
        // No one wants to read the numbers of the whole range.
        DataType::Bigint => both(json!(0), json!(i64::MAX)),
        DataType::Float => both(json!(0.0), json!(f32::MAX)),
        DataType::Double => both(json!(0.0), json!(f64::MAX)),
        DataType::Date if !is_column => both(json!(0), json!(LAST_DAY)),
        DataType::Timestamp(_) | DataType::TimestampLtz(_) if !is_column => both(json!(0), json!(LAST_MS)),
        _ => (None, None),
    }
}

fn bound(request: &Request<'_>, data_type: &DataType, key: &str) -> Result<Option<Value>, SqlError> {
    let Some(text) = request.options.text(key) else { return Ok(None) };
    let text = text.trim();
    let whole = |least: i64, greatest: i64| {
        text.parse().ok().filter(|number: &i64| (least..=greatest).contains(number)).map(|number| json!(number))
    };
    let number = match data_type {
        DataType::Tinyint => whole(i8::MIN.into(), i8::MAX.into()),
        DataType::Smallint => whole(i16::MIN.into(), i16::MAX.into()),
        DataType::Int => whole(i32::MIN.into(), i32::MAX.into()),
        DataType::Bigint => whole(i64::MIN, i64::MAX),
        _ => text.parse().ok().filter(|number: &f64| number.is_finite()).map(|number| json!(number)),
    };
    number.map(Some).ok_or_else(|| request.options.invalid(key, &format!("is '{text}', which is no {data_type}")))
}

/// Adds the parts of a nested column, each with its place below the column.
fn add_parts(
    request: &Request<'_>,
    data_type: &DataType,
    column: &str,
    place: &str,
    parts: &mut Vec<Map<String, Value>>,
) -> Result<(), SqlError> {
    let inner: Vec<(&str, &DataType)> = match data_type {
        DataType::Array(element) | DataType::Multiset(element) => vec![("element", &element.data_type)],
        DataType::Map(key, value) => vec![("key", &key.data_type), ("value", &value.data_type)],
        DataType::Row(fields) => fields.iter().map(|field| (field.name.as_str(), &field.data_type)).collect(),
        _ => return Ok(()),
    };
    for (name, data_type) in inner {
        let place = if place.is_empty() { name.to_owned() } else { format!("{place}.{name}") };
        let mut set = Map::from_iter([("name".to_owned(), json!(place))]);
        random(request, data_type, &format!("{column}.{place}"), false, &mut set)?;
        parts.push(set);
        add_parts(request, data_type, column, &place, parts)?;
    }
    Ok(())
}

/// Refuses options of parts that the column does not have.
fn check_places(request: &Request<'_>, column: &str, parts: &[Map<String, Value>]) -> Result<(), SqlError> {
    let prefix = format!("fields.{column}.");
    for key in request.options.keys() {
        let Some((place, _)) = key.strip_prefix(&prefix).and_then(|rest| rest.rsplit_once('.')) else { continue };
        // A column whose name has a point is a column of its own.
        let is_column =
            request.stored.iter().any(|field| key.starts_with(&format!("fields.{}.", field.name)) && field.name != column);
        if !is_column && !parts.iter().any(|part| part["name"] == place) {
            return Err(request.options.invalid(key, &format!("names {place:?}, which is no part of column {column:?}")));
        }
    }
    Ok(())
}
