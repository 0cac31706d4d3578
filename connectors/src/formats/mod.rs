//! Formats: how rows become messages (or lines of a file), and messages become rows.

pub mod avro;
mod bad_rows;
mod changes;
pub(crate) mod csv;
pub(crate) mod json;
mod messages;
mod raw;
mod unseen;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use serde::Deserialize;
use weir_dataflow::operator::OperatorError;

use self::avro::{AvroOptions, RegistryOptions};
pub use self::bad_rows::{BadRow, BadRows, OnBadRow};
pub use self::csv::{CsvOptions, EmptyText};
pub use self::json::{DebeziumJsonOptions, JsonOptions};
pub use self::messages::Messages;
pub use self::raw::{Endianness, RawOptions};
pub use self::unseen::UnseenColumns;
pub use crate::rows::RowBuffer;
pub use crate::rows::column::BadValue;
pub use crate::rows::times::TimestampFormat;

/// Reads the rows of messages of one format.
pub trait RowDecoder: Send {
    /// Appends the rows of one message and returns how many there are: one, as a rule. After an error `rows` is as before the call. The
    /// error says what is wrong with the message.
    fn decode(&mut self, message: &[u8], rows: &mut RowBuffer) -> Result<usize, BadValue>;

    /// Whether everything is there to read this message. If not, it was asked for, and the message must wait. Error: it can't be had.
    fn is_ready(&mut self, _message: &[u8]) -> Result<bool, OperatorError> {
        Ok(true)
    }

    /// Appends the rows of a message that is null, which most formats have none for. After an error `rows` is as before the call.
    fn decode_null(&mut self, _rows: &mut RowBuffer) -> Result<usize, BadValue> {
        Ok(0)
    }
}

/// Writes rows as messages of one format.
pub trait RowEncoder: Send {
    /// Appends one message for each row of `batch`, which has the schema that the encoder was made for. After an error `out` may hold
    /// some of them.
    fn encode(&mut self, batch: &RecordBatch, out: &mut Messages) -> Result<(), OperatorError>;
}

/// A format with its options, such as `{"kind": "json", "fail_on_missing_field": true}`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum FormatOptions {
    /// Delimited text, one row a message.
    Csv(CsvOptions),
    /// An object, or an array of objects.
    Json(JsonOptions),
    /// Changes of rows, as Debezium captures them from databases.
    DebeziumJson(DebeziumJsonOptions),
    /// The bytes of the only column.
    Raw(RawOptions),
    /// Avro's binary form, in the schema that the columns have.
    Avro(AvroOptions),
    /// The same, after the number of its schema in a registry.
    AvroConfluent(RegistryOptions),
    /// Changes of rows, as Debezium captures them, in Avro with a registry.
    DebeziumAvroConfluent(RegistryOptions),
}

impl FormatOptions {
    /// Whether rows are changes. If so, the [`RowBuffer`] of a decoder has a last column for their kinds
    /// ([`weir_dataflow::changelog::kind_field`]), which the schema of [`Self::decoder`] does not have. The batches of an encoder can have
    /// one; without it, all rows are inserts.
    pub fn has_changes(&self) -> bool {
        matches!(self, Self::DebeziumJson(_) | Self::DebeziumAvroConfluent(_))
    }

    /// Whether messages have their columns by name, so that any can lack one.
    pub fn has_members(&self) -> bool {
        matches!(self, Self::Json(_) | Self::DebeziumJson(_))
    }

    /// The registry of the schemas of messages. With one, the decoders and encoders are those of module [`avro`].
    pub fn registry(&self) -> Option<&RegistryOptions> {
        match self {
            Self::AvroConfluent(options) | Self::DebeziumAvroConfluent(options) => Some(options),
            _ => None,
        }
    }

    /// Reads messages into rows of this schema. Errors: `CONN-OPTION`, and `CONN-TYPE` for types that the format has no form for.
    pub fn decoder(&self, schema: &SchemaRef) -> Result<Box<dyn RowDecoder>, OperatorError> {
        let all: Vec<_> = (0..schema.fields().len()).collect();
        self.projecting_decoder(schema, &all)
    }

    /// Reads messages of rows of this schema into rows that have only the columns at the positions `wanted`, in this order. The others
    /// are skipped unread. Errors: as of [`Self::decoder`].
    pub fn projecting_decoder(&self, schema: &SchemaRef, wanted: &[usize]) -> Result<Box<dyn RowDecoder>, OperatorError> {
        Ok(match self {
            Self::Csv(options) => Box::new(csv::CsvDecoder::new(options, schema, wanted)?),
            Self::Json(options) => Box::new(json::JsonDecoder::new(options, schema)?),
            Self::DebeziumJson(options) => Box::new(json::DebeziumJsonDecoder::new(options, schema)?),
            Self::Raw(options) => Box::new(raw::RawDecoder::new(options, schema, !wanted.is_empty())?),
            Self::Avro(options) => Box::new(avro::AvroDecoder::new(options, schema, wanted)?),
            Self::AvroConfluent(_) | Self::DebeziumAvroConfluent(_) => return RegistryOptions::without_registry(),
        })
    }

    /// Writes rows of this schema as messages. Errors: as of [`Self::decoder`].
    pub fn encoder(&self, schema: &SchemaRef) -> Result<Box<dyn RowEncoder>, OperatorError> {
        Ok(match self {
            Self::Csv(options) => Box::new(csv::CsvEncoder::new(options, schema)?),
            Self::Json(options) => Box::new(json::JsonEncoder::new(options, schema)?),
            Self::DebeziumJson(options) => Box::new(json::DebeziumJsonEncoder::new(options, schema)?),
            Self::Raw(options) => Box::new(raw::RawEncoder::new(options, schema)?),
            Self::Avro(options) => Box::new(avro::AvroEncoder::new(options, schema)?),
            Self::AvroConfluent(_) | Self::DebeziumAvroConfluent(_) => return RegistryOptions::without_registry(),
        })
    }
}

#[cfg(test)]
mod tests;
