//! Avro's binary form: plain, and with the number of a schema in a registry before each message.
//!
//! Schemas are read and resolved here, and rows are read straight into their columns. No library does that and leaves the rows as they
//! were after a bad message (decision 0021).

mod changes;
mod cursor;
mod derive;
mod read;
mod registered;
mod schema;
#[cfg(test)]
mod tests;
mod write;

use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_schema::{Schema, SchemaRef};
use serde::Deserialize;
use weir_dataflow::operator::OperatorError;

pub use self::changes::{ChangeDecoder, ChangeEncoder};
use self::cursor::Cursor;
use self::derive::TimestampMapping;
use self::read::{Read, Resolver};
pub use self::registered::{RegisteredDecoder, RegisteredEncoder, RegistryOptions, SchemaAnswer, SchemaId, SchemaSource};
use self::schema::AvroSchema;
use self::write::Write;
use super::{Messages, RowDecoder, RowEncoder};
use crate::rows::RowBuffer;
use crate::rows::column::BadValue;
use crate::rows::text::members_of;

/// The options of format Avro.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AvroOptions {
    /// Whether `TIMESTAMP` is written as a `timestamp-millis`, as by default in Flink. Then `TIMESTAMP_LTZ` has no form.
    #[serde(default = "yes")]
    pub legacy_timestamps: bool,
}

fn yes() -> bool {
    true
}

impl AvroOptions {
    /// The schema of messages, which the columns of the table decide, as in Flink.
    fn schema(&self, columns: &Schema) -> Result<AvroSchema, OperatorError> {
        let mapping = if self.legacy_timestamps { TimestampMapping::Legacy } else { TimestampMapping::Correct };
        AvroSchema::parse(&derive::schema_of(columns.fields(), mapping)?).map_err(unusable)
    }
}

/// The error (`AVRO-SCHEMA`) for a schema that does not fit the columns.
fn unusable(reason: String) -> OperatorError {
    OperatorError::fatal("AVRO-SCHEMA", format!("format avro: {reason}"))
}

/// How the rows of one writer's schema are read.
#[derive(Debug)]
struct RowPlan {
    schema: Arc<AvroSchema>,
    read: Read,
}

impl RowPlan {
    /// Appends the row that these bytes are.
    fn decode(&self, bytes: &[u8], rows: &mut RowBuffer) -> Result<usize, BadValue> {
        rows.push_row(bytes.len(), |rows| {
            let mut cursor = Cursor::new(bytes);
            self.read.row(&self.schema, &mut cursor, rows.columns_mut())?;
            cursor.end()
        })?;
        Ok(1)
    }
}

pub(super) struct AvroDecoder {
    plan: RowPlan,
}

impl AvroDecoder {
    pub(super) fn new(options: &AvroOptions, schema: &Schema, wanted: &[usize]) -> Result<Self, OperatorError> {
        let columns = schema.project(wanted).map_err(|error| unusable(error.to_string()))?;
        let schema = Arc::new(options.schema(schema)?);
        let read = Resolver { writer: &schema, reader: None }.rows(columns.fields()).map_err(unusable)?;
        Ok(Self { plan: RowPlan { schema, read } })
    }
}

impl RowDecoder for AvroDecoder {
    fn decode(&mut self, message: &[u8], rows: &mut RowBuffer) -> Result<usize, BadValue> {
        self.plan.decode(message, rows)
    }
}

pub(super) struct AvroEncoder {
    write: Write,
}

impl AvroEncoder {
    pub(super) fn new(options: &AvroOptions, schema: &SchemaRef) -> Result<Self, OperatorError> {
        let write = Write::rows(&options.schema(schema)?, schema.fields()).map_err(unusable)?;
        Ok(Self { write })
    }
}

impl RowEncoder for AvroEncoder {
    fn encode(&mut self, batch: &RecordBatch, out: &mut Messages) -> Result<(), OperatorError> {
        let columns = members_of(batch)?;
        for row in 0..batch.num_rows() {
            self.write.row(out.buffer(), &columns, row)?;
            out.end_message();
        }
        Ok(())
    }
}
