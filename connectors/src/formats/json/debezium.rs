//! Debezium's JSON: a message is a change of a row, with the row before and after it.
//!
//! The last column of the rows is their kind. As in Flink, an update is two rows, and is written as the deletion of one row and the
//! creation of another.

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde::Deserialize;
use weir_dataflow::changelog::RowKind;
use weir_dataflow::operator::OperatorError;

use super::JsonRules;
use super::parse::Parser;
use crate::formats::changes::Changes;
use crate::formats::{Messages, RowDecoder, RowEncoder, TimestampFormat};
use crate::options;
use crate::rows::column::BadValue;
use crate::rows::view::append_json_object;
use crate::rows::{RowBuffer, text};

const FORMAT: &str = "format debezium-json";

/// The options of format debezium-json.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DebeziumJsonOptions {
    /// Whether messages hold their schema, and the change in a member `payload`. Such messages can only be read.
    #[serde(default)]
    pub schema_include: bool,
    /// A value that can't be read is null. (A message that is no change is bad all the same.)
    #[serde(default)]
    pub ignore_parse_errors: bool,
    /// How times are written. All forms are read.
    #[serde(default)]
    pub timestamp_format: TimestampFormat,
}

pub(crate) struct DebeziumJsonDecoder {
    has_schema: bool,
    rules: JsonRules,
}

impl DebeziumJsonDecoder {
    pub(crate) fn new(options: &DebeziumJsonOptions, schema: &SchemaRef) -> Result<Self, OperatorError> {
        text::check_schema(schema)?;
        let rules = JsonRules { fail_on_missing_field: false, ignore_errors: options.ignore_parse_errors };
        Ok(Self { has_schema: options.schema_include, rules })
    }

    fn rows(&self, message: &[u8], rows: &mut RowBuffer) -> Result<usize, BadValue> {
        let change = Change::find(message, self.rules, self.has_schema)?;
        let missing = |member: &str| {
            BadValue(format!(
                "the change {:?} has no {member:?}; PostgreSQL writes it if the table's REPLICA IDENTITY is FULL",
                change.operation
            ))
        };
        let before = || change.before.ok_or_else(|| missing("before"));
        let after = || change.after.ok_or_else(|| missing("after"));
        match change.operation.as_str() {
            "c" | "r" => self.push(message, after()?, RowKind::Insert, rows).map(|()| 1),
            "u" => {
                self.push(message, before()?, RowKind::UpdateBefore, rows)?;
                self.push(message, after()?, RowKind::UpdateAfter, rows).map(|()| 2)
            }
            "d" => self.push(message, before()?, RowKind::Delete, rows).map(|()| 1),
            other => Err(BadValue(format!("the member \"op\" is {other:?}; it must be c, r, u or d"))),
        }
    }

    /// Completes the row whose object begins at this byte.
    fn push(&self, message: &[u8], at: usize, kind: RowKind, rows: &mut RowBuffer) -> Result<(), BadValue> {
        let complete = rows.rows();
        let Some((kinds, columns)) = rows.columns_mut().split_last_mut() else {
            return Err(BadValue("the rows have no column for their kind".to_owned()));
        };
        Parser::new(message, at, self.rules).row(columns, complete)?;
        kinds.push_i64(kind as i64)?;
        rows.commit_row(message.len());
        Ok(())
    }
}

impl RowDecoder for DebeziumJsonDecoder {
    fn decode(&mut self, message: &[u8], rows: &mut RowBuffer) -> Result<usize, BadValue> {
        if message.is_empty() {
            // It stands for a deletion that another message has told of.
            return Ok(0);
        }
        let before = rows.rows();
        let decoded = self.rows(message, rows);
        if decoded.is_err() {
            rows.truncate(before);
        }
        decoded
    }
}

/// A change, with the places of its rows in the message.
#[derive(Default)]
struct Change {
    operation: String,
    before: Option<usize>,
    after: Option<usize>,
}

impl Change {
    fn find(message: &[u8], rules: JsonRules, has_schema: bool) -> Result<Self, BadValue> {
        let mut parser = Parser::new(message, 0, rules);
        let mut change = None;
        if has_schema {
            parser.members(|parser, name| match name.as_ref() {
                "payload" => Self::read(parser).map(|read| change = Some(read)),
                _ => parser.skip(),
            })?;
        } else {
            change = Some(Self::read(&mut parser)?);
        }
        parser.end()?;
        change.ok_or_else(|| BadValue("there is no member \"payload\"".to_owned()))
    }

    fn read(parser: &mut Parser<'_>) -> Result<Self, BadValue> {
        let mut change = Self::default();
        parser.members(|parser, name| {
            match name.as_ref() {
                "op" => {
                    change.operation = parser.string()?.into_owned();
                    return Ok(());
                }
                "before" => change.before = parser.place_of_object(),
                "after" => change.after = parser.place_of_object(),
                _ => {}
            }
            parser.skip()
        })?;
        Ok(change)
    }
}

pub(crate) struct DebeziumJsonEncoder {
    timestamps: TimestampFormat,
}

impl DebeziumJsonEncoder {
    pub(crate) fn new(options: &DebeziumJsonOptions, schema: &SchemaRef) -> Result<Self, OperatorError> {
        text::check_schema(schema)?;
        if options.schema_include {
            return Err(options::invalid(FORMAT, "messages with their schema can only be read"));
        }
        Ok(Self { timestamps: options.timestamp_format })
    }
}

impl RowEncoder for DebeziumJsonEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Messages) -> Result<(), OperatorError> {
        let changes = Changes::of(batch)?;
        for row in 0..batch.num_rows() {
            let (start, end): (&[u8], &[u8]) = if changes.is_after(row)? {
                (b"{\"before\":null,\"after\":", b",\"op\":\"c\"}")
            } else {
                (b"{\"before\":", b",\"after\":null,\"op\":\"d\"}")
            };
            let bytes = out.buffer();
            bytes.extend_from_slice(start);
            append_json_object(bytes, &changes.columns, row, self.timestamps);
            bytes.extend_from_slice(end);
            out.end_message();
        }
        Ok(())
    }
}
