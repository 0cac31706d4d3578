//! JSON: a row is an object whose members have the names of the columns.

mod debezium;
mod parse;
mod write;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde::Deserialize;
use weir_dataflow::operator::OperatorError;

pub use self::debezium::DebeziumJsonOptions;
pub(crate) use self::debezium::{DebeziumJsonDecoder, DebeziumJsonEncoder};
pub(crate) use self::parse::{JsonRules, parse_json_row};
pub(crate) use self::write::append_json;
use super::{Messages, RowDecoder, RowEncoder, TimestampFormat};
use crate::options;
use crate::rows::column::BadValue;
use crate::rows::{RowBuffer, text};

/// The options of format JSON.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JsonOptions {
    /// A row without a member for each column, and for each field of its rows, is bad.
    #[serde(default)]
    pub fail_on_missing_field: bool,
    /// A value that can't be read is null. (A message that is no JSON is bad all the same.)
    #[serde(default)]
    pub ignore_parse_errors: bool,
    /// How times are written. All forms are read.
    #[serde(default)]
    pub timestamp_format: TimestampFormat,
}

impl JsonOptions {
    /// What is a bad row. Error: `CONN-OPTION` for options that exclude each other.
    pub(crate) fn rules(&self, kind: &str) -> Result<JsonRules, OperatorError> {
        if self.fail_on_missing_field && self.ignore_parse_errors {
            return Err(options::invalid(kind, "fail_on_missing_field and ignore_parse_errors exclude each other"));
        }
        Ok(JsonRules { fail_on_missing_field: self.fail_on_missing_field, ignore_errors: self.ignore_parse_errors })
    }
}

pub(super) struct JsonDecoder {
    rules: JsonRules,
}

impl JsonDecoder {
    pub(super) fn new(options: &JsonOptions, schema: &SchemaRef) -> Result<Self, OperatorError> {
        text::check_schema(schema)?;
        Ok(Self { rules: options.rules("format json")? })
    }
}

impl RowDecoder for JsonDecoder {
    fn decode(&mut self, message: &[u8], rows: &mut RowBuffer) -> Result<usize, BadValue> {
        let before = rows.rows();
        let parsed = parse::parse_json_message(message, rows, self.rules);
        if parsed.is_err() {
            rows.truncate(before);
        }
        parsed
    }
}

pub(super) struct JsonEncoder {
    timestamps: TimestampFormat,
}

impl JsonEncoder {
    pub(super) fn new(options: &JsonOptions, schema: &SchemaRef) -> Result<Self, OperatorError> {
        text::check_schema(schema)?;
        Ok(Self { timestamps: options.timestamp_format })
    }
}

impl RowEncoder for JsonEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Messages) -> Result<(), OperatorError> {
        let (bytes, ends) = out.parts();
        write::append_objects(bytes, batch, self.timestamps, |bytes| ends.push(bytes.len()))
    }
}
