//! Evaluates calls that are written as text, so that tests can hold Flink's answers as tables.
//!
//! An argument is `'text'` (CHAR), `5` (INT), `1.5` (DECIMAL), `2.5e0` (DOUBLE), `TRUE`, a type with a text such as
//! `TIMESTAMP(3) '2024-01-01 00:00:00'` or `BIGINT '5'`, a type with `NULL`, or a call. Each call is computed of constants and of
//! columns, in which an argument behind `=` is a constant nevertheless.

use arrow_array::cast::AsArray;
use arrow_array::types::*;
use arrow_array::{Array, ArrayRef, new_null_array};
use arrow_schema::{DataType as ArrowType, TimeUnit};
use arrow_select::concat::concat;
use weir_protocol::job_graph::DataType;

use super::{Argument, Clock, Operand, by_sql_name, cast};
use crate::calendar::{DAY_MS, civil_from_days};
use crate::schema::arrow_type;

/// A value with its type.
#[derive(Clone)]
struct Value {
    data_type: DataType,
    nullable: bool,
    literal: Option<Option<String>>,
    constant: bool,
    array: ArrayRef,
}

/// Checks calls against answers, a line each: call, type and value, with tabs between. NULL is `NULL`, and an error that contains
/// words is `! words`. In values, `\n`, `\t`, `\0` and `\\` stand for what they stand for in Rust.
pub(super) fn check(answers: &str) {
    let lines = answers.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let wrong: Vec<String> = lines
        .filter_map(|line| {
            let mut fields = line.splitn(3, '\t');
            let (call, data_type) = (fields.next().unwrap(), fields.next().unwrap());
            difference(call, data_type, &unescape(fields.next().unwrap()))
        })
        .collect();
    assert!(wrong.is_empty(), "{} wrong\n{}", wrong.len(), wrong.join("\n"));
}

fn unescape(text: &str) -> String {
    let mut chars = text.chars();
    let next = || {
        Some(match chars.next()? {
            '\\' => match chars.next()? {
                'n' => '\n',
                't' => '\t',
                '0' => '\0',
                other => other,
            },
            other => other,
        })
    };
    std::iter::from_fn(next).collect()
}

fn difference(call: &str, data_type: &str, value: &str) -> Option<String> {
    for constant in [false, true] {
        let found = match evaluate(call, constant) {
            Ok(found) => {
                let not_null = if found.nullable { "" } else { " NOT NULL" };
                (format!("{}{not_null}", found.data_type), show(&found.array, 0))
            }
            Err(error) => (String::new(), format!("! {error}")),
        };
        let fits = match value.strip_prefix("! ") {
            Some(words) => found.1.starts_with("! ") && found.1.contains(words),
            None => found.0 == data_type && found.1 == value,
        };
        if !fits {
            let what = if constant { "of constants" } else { "of columns" };
            return Some(format!("{call} {what}: {} {:?}, expected {data_type} {value:?}", found.0, found.1));
        }
    }
    None
}

fn evaluate(call: &str, constant: bool) -> Result<Value, String> {
    let mut parser = Parser { rest: call, constant };
    let value = parser.argument()?;
    if !parser.rest.trim().is_empty() {
        return Err(format!("{:?} remains", parser.rest));
    }
    Ok(value)
}

fn apply(name: &str, given: &[Value], constant: bool) -> Result<Value, String> {
    let function = by_sql_name(name).ok_or_else(|| format!("no function {name}"))?;
    let argument = |value: &Value| (value.data_type.clone(), value.nullable, value.literal.clone().filter(|_| value.constant));
    let known: Vec<_> = given.iter().map(argument).collect();
    let arguments: Vec<Argument<'_>> = known
        .iter()
        .map(|(data_type, nullable, literal)| Argument {
            data_type,
            nullable: *nullable,
            constant: literal.as_ref().map(Option::as_deref),
        })
        .collect();
    let resolved = (function.resolve)(&arguments)?;
    let cast: Vec<Argument<'_>> =
        arguments.iter().zip(&resolved.arguments).map(|(argument, data_type)| Argument { data_type, ..*argument }).collect();
    let mut kernel = (function.kernel)(&cast, &resolved.result)?;
    let operand = |(value, to): (&Value, &DataType)| {
        let array = if value.data_type == *to { value.array.clone() } else { convert(&value.array, &value.data_type, to)? };
        if value.constant {
            return Ok(Operand::Constant(array));
        }
        // The row of interest is the second, between two NULLs, which a collection of NOT NULL values cannot have.
        let makes_collection = matches!(name, "array" | "map" | "row");
        let other = if makes_collection { array.clone() } else { new_null_array(array.data_type(), 1) };
        Ok::<_, String>(Operand::Column(concat(&[&other, &array, &other]).unwrap()))
    };
    let operands = given.iter().zip(&resolved.arguments).map(operand).collect::<Result<Vec<_>, _>>()?;
    let rows = if constant { 1 } else { 3 };
    let clock = Clock { now_ms: 1_700_000_000_123, ..Clock::default() };
    let array = kernel.evaluate(&operands, rows, clock).map_err(|error| error.to_string())?;
    assert_eq!(array.len(), rows, "{name}");
    assert_eq!(array.data_type(), &arrow_type(&resolved.result), "{name}");
    let array = array.slice(if constant { 0 } else { 1 }, 1);
    Ok(Value { data_type: resolved.result, nullable: resolved.nullable, literal: None, constant, array })
}

struct Parser<'a> {
    rest: &'a str,
    constant: bool,
}

impl Parser<'_> {
    fn eat(&mut self, token: char) -> bool {
        self.rest = self.rest.trim_start();
        let found = self.rest.strip_prefix(token);
        self.rest = found.unwrap_or(self.rest);
        found.is_some()
    }

    fn take(&mut self, fits: impl Fn(char) -> bool) -> String {
        let length = self.rest.find(|c| !fits(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        taken.to_owned()
    }

    fn quoted(&mut self) -> Option<String> {
        self.eat('\'').then(|| {
            let mut text = String::new();
            loop {
                text.push_str(&self.take(|c| c != '\''));
                self.eat('\'');
                if !self.rest.starts_with('\'') {
                    return text;
                }
                self.rest = &self.rest[1..];
                text.push('\'');
            }
        })
    }

    fn argument(&mut self) -> Result<Value, String> {
        self.rest = self.rest.trim_start();
        if let Some(text) = self.quoted() {
            return Ok(literal(DataType::Char(text.encode_utf16().count() as u32), Some(text)));
        }
        if self.rest.starts_with(|c: char| c.is_ascii_digit() || c == '-') {
            let text = self.take(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
            let data_type = if text.contains('e') {
                DataType::Double
            } else if let Some((whole, fraction)) = text.split_once('.') {
                let digits = whole.trim_start_matches(['-', '0']).len() + fraction.len();
                DataType::Decimal { precision: digits.max(fraction.len() + 1) as u8, scale: fraction.len() as u8 }
            } else {
                DataType::Int
            };
            return Ok(literal(data_type, Some(text)));
        }
        let start = self.rest;
        let word = self.take(|c| c.is_alphanumeric() || c == '_');
        if word == "TRUE" || word == "FALSE" {
            return Ok(literal(DataType::Boolean, Some(word)));
        }
        if word.chars().next().is_some_and(char::is_lowercase) {
            return self.call(&word);
        }
        let length = start.find(" NULL").into_iter().chain(start.find(" '")).min();
        let Some(length) = length else { return Err(format!("{start:?} is no argument")) };
        let data_type: DataType = start[..length].parse()?;
        self.rest = &start[length + 1..];
        match self.quoted() {
            Some(text) => Ok(literal(data_type, Some(text))),
            None => {
                self.rest = &self.rest[4..];
                Ok(literal(data_type, None))
            }
        }
    }

    fn call(&mut self, name: &str) -> Result<Value, String> {
        assert!(self.eat('('), "{:?}", self.rest);
        let mut given = Vec::new();
        while !self.eat(')') {
            let constant = self.eat('=') || self.constant;
            let mut value = self.argument()?;
            value.constant |= constant;
            given.push(value);
            self.eat(',');
        }
        apply(name, &given, self.constant)
    }
}

fn literal(data_type: DataType, text: Option<String>) -> Value {
    let array = match &text {
        Some(text) => cast::read_literal(Some(text), &data_type).unwrap(),
        None => new_null_array(&arrow_type(&data_type), 1),
    };
    Value { data_type, nullable: text.is_none(), literal: Some(text), constant: false, array }
}

fn convert(array: &ArrayRef, from: &DataType, to: &DataType) -> Result<ArrayRef, String> {
    let mut kernel = cast::prepare(from, to, cast::Options::default())?;
    kernel.evaluate(&[Operand::Constant(array.clone())], 1, Clock::default()).map_err(|error| error.to_string())
}

/// A value as text.
fn show(array: &ArrayRef, row: usize) -> String {
    if array.is_null(row) {
        return "NULL".into();
    }
    match array.data_type() {
        ArrowType::Boolean => array.as_boolean().value(row).to_string().to_uppercase(),
        ArrowType::Int8 => array.as_primitive::<Int8Type>().value(row).to_string(),
        ArrowType::Int16 => array.as_primitive::<Int16Type>().value(row).to_string(),
        ArrowType::Int32 => array.as_primitive::<Int32Type>().value(row).to_string(),
        ArrowType::Int64 => array.as_primitive::<Int64Type>().value(row).to_string(),
        ArrowType::Float32 => float(format!("{:e}", array.as_primitive::<Float32Type>().value(row))),
        ArrowType::Float64 => float(format!("{:e}", array.as_primitive::<Float64Type>().value(row))),
        ArrowType::Decimal128(..) => array.as_primitive::<Decimal128Type>().value_as_string(row),
        ArrowType::Utf8 => array.as_string::<i32>().value(row).to_owned(),
        ArrowType::Binary => {
            let bytes: String = array.as_binary::<i32>().value(row).iter().map(|byte| format!("{byte:02x}")).collect();
            format!("x'{bytes}'")
        }
        ArrowType::Date32 => date(array.as_primitive::<Date32Type>().value(row).into()),
        ArrowType::Time32(_) => time(i64::from(array.as_primitive::<Time32MillisecondType>().value(row)) * 1_000_000),
        ArrowType::Timestamp(unit, _) => {
            let (value, scale) = match unit {
                TimeUnit::Millisecond => (array.as_primitive::<TimestampMillisecondType>().value(row), 1_000_000),
                TimeUnit::Microsecond => (array.as_primitive::<TimestampMicrosecondType>().value(row), 1_000),
                _ => (array.as_primitive::<TimestampNanosecondType>().value(row), 1),
            };
            let day = DAY_MS * (1_000_000 / scale);
            format!("{} {}", date(value.div_euclid(day)), time(value.rem_euclid(day) * scale))
        }
        ArrowType::List(_) => {
            let items = array.as_list::<i32>().value(row);
            let shown: Vec<String> = (0..items.len()).map(|item| show(&items, item)).collect();
            format!("[{}]", shown.join(", "))
        }
        ArrowType::Map(..) => {
            let entries = array.as_map().value(row);
            let entry = |i| format!("{}={}", show(entries.column(0), i), show(entries.column(1), i));
            format!("{{{}}}", (0..entries.len()).map(entry).collect::<Vec<_>>().join(", "))
        }
        ArrowType::Struct(_) => {
            let fields = array.as_struct().columns();
            format!("({})", fields.iter().map(|field| show(field, row)).collect::<Vec<_>>().join(", "))
        }
        other => panic!("no text of {other}"),
    }
}

/// A floating-point number as Java prints it, from its shortest digits such as `1.5e0`.
fn float(shortest: String) -> String {
    let Some((mantissa, exponent)) = shortest.split_once('e') else {
        return shortest.replace("inf", "Infinity");
    };
    let number: f64 = shortest.parse().unwrap();
    if number == 0.0 || (1e-3..1e7).contains(&number.abs()) {
        let plain = number.to_string();
        return if plain.contains('.') { plain } else { format!("{plain}.0") };
    }
    format!("{mantissa}{}E{exponent}", if mantissa.contains('.') { "" } else { ".0" })
}

fn date(days: i64) -> String {
    let (year, month, day) = civil_from_days(days);
    format!("{year:04}-{month:02}-{day:02}")
}

/// A time of day; the fraction has no zeros at its end.
fn time(nanos: i64) -> String {
    let (seconds, fraction) = (nanos / 1_000_000_000, nanos % 1_000_000_000);
    let whole = format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60);
    if fraction == 0 { whole } else { format!("{whole}.{fraction:09}").trim_end_matches('0').to_owned() }
}
