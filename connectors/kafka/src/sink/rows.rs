//! Makes records of rows.

use arrow_array::cast::AsArray;
use arrow_array::types::{Int8Type, TimestampMillisecondType};
use arrow_array::{Array, ArrayRef, MapArray, RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, SchemaRef, TimeUnit};
use serde::Deserialize;
use weir_connectors::formats::{Messages, RowEncoder};
use weir_connectors::options;
use weir_dataflow::changelog::RowKind;
use weir_dataflow::operator::OperatorError;

use super::partitioner::Partitioner;
use super::settings::Settings;
use crate::producer::Message;
use crate::registry::{self, Registrations};
use crate::row_format::RowPart;

/// A column that is written beside key and value.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetadataColumn {
    pub(super) name: String,
    key: WritableMetadata,
}

/// What a column is written as. The names are those of Flink's connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum WritableMetadata {
    Headers,
    Timestamp,
}

impl MetadataColumn {
    /// Error: `CONN-OPTION` if the column has another type.
    pub(super) fn check(&self, kind: &str, field: &Field) -> Result<(), OperatorError> {
        let (fits, wanted) = match self.key {
            WritableMetadata::Timestamp => {
                (matches!(field.data_type(), DataType::Timestamp(TimeUnit::Millisecond, _)), "a timestamp with 3 digits")
            }
            WritableMetadata::Headers => (is_headers(field.data_type()), "a map of texts to bytes"),
        };
        let wrong = || options::invalid(kind, format!("the column {:?} must be {wanted}", self.name));
        if fits { Ok(()) } else { Err(wrong()) }
    }
}

fn is_headers(data_type: &DataType) -> bool {
    let DataType::Map(entries, _) = data_type else { return false };
    let DataType::Struct(fields) = entries.data_type() else { return false };
    let types: Vec<_> = fields.iter().map(|field| field.data_type()).collect();
    types == [&DataType::Utf8, &DataType::Binary]
}

/// Encodes batches of rows.
pub(super) struct RowWriter {
    key: Option<PartWriter>,
    value: PartWriter,
    metadata: Vec<(usize, WritableMetadata)>,
    /// Position of the kinds of rows, if they decide what is written of a row.
    kinds: Option<usize>,
    /// The schemas that must be registered before the first row.
    pub(super) registrations: Registrations,
}

/// Writes the keys, or the values, of records.
struct PartWriter {
    encoder: Box<dyn RowEncoder>,
    columns: Vec<usize>,
    /// The columns as the format calls them.
    schema: SchemaRef,
    messages: Messages,
}

impl PartWriter {
    /// `kinds`: the position of the kinds of rows, if the input has them.
    fn new(part: &RowPart, kinds: Option<usize>, registrations: &mut Registrations) -> Result<Self, OperatorError> {
        let encoder = registry::encoder(&part.format, &part.schema, registrations)?;
        let kinds = kinds.filter(|_| part.format.has_changes());
        let schema = if kinds.is_some() { part.schema_of_rows(&part.schema) } else { SchemaRef::clone(&part.schema) };
        let columns = part.columns.iter().copied().chain(kinds).collect();
        Ok(Self { encoder, columns, schema, messages: Messages::default() })
    }

    fn encode(&mut self, batch: &RecordBatch) -> Result<(), OperatorError> {
        self.messages.clear();
        let columns = self.columns.iter().map(|column| ArrayRef::clone(batch.column(*column))).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        let part = RecordBatch::try_new_with_options(SchemaRef::clone(&self.schema), columns, &options);
        let part = part.map_err(|error| OperatorError::fatal("SINK-SCHEMA", error.to_string()))?;
        self.encoder.encode(&part, &mut self.messages)
    }
}

type Header<'a> = (&'a [u8], Option<&'a [u8]>);

impl RowWriter {
    pub(super) fn new(settings: &Settings) -> Result<Self, OperatorError> {
        let position = |column: &MetadataColumn| settings.schema.index_of(&column.name).map(|index| (index, column.key));
        let metadata = settings.metadata.iter().map(position).collect::<Result<_, _>>();
        let mut registrations = Registrations::default();
        let key = settings.format.key.as_ref();
        Ok(Self {
            key: key.map(|key| PartWriter::new(key, None, &mut registrations)).transpose()?,
            value: PartWriter::new(&settings.format.value, settings.kinds, &mut registrations)?,
            metadata: metadata.map_err(|error| OperatorError::fatal("SINK-SCHEMA", error.to_string()))?,
            kinds: settings.kinds.filter(|_| settings.upsert),
            registrations,
        })
    }

    /// Encodes the rows and passes their records to `append`. `now_ms` is the timestamp of rows that bring none.
    pub(super) fn write(
        &mut self,
        batch: &RecordBatch,
        now_ms: u64,
        partitioner: &mut Partitioner,
        partitions: usize,
        append: impl FnOnce(&mut dyn Iterator<Item = Message<'_>>) -> Result<(), OperatorError>,
    ) -> Result<(), OperatorError> {
        if let Some(key) = &mut self.key {
            key.encode(batch)?;
        }
        self.value.encode(batch)?;
        let kinds = self.kinds.map(|position| batch.column(position)).map(|column| column.as_primitive::<Int8Type>());
        let timestamps = self.column(batch, WritableMetadata::Timestamp);
        let timestamps = timestamps.map(|column| column.as_primitive::<TimestampMillisecondType>());
        let headers = self.column(batch, WritableMetadata::Headers).map(|column| headers(column.as_map()));
        let (key, value) = (self.key.as_ref().map(|key| &key.messages), &self.value.messages);
        let mut messages = (0..batch.num_rows()).filter_map(|row| {
            let kind = kinds.map_or(Some(RowKind::Insert), |kinds| RowKind::of(kinds.value(row)));
            if kind == Some(RowKind::UpdateBefore) {
                // The row that follows has the same key.
                return None;
            }
            let key = key.and_then(|key| key.get(row));
            let timestamp = timestamps.filter(|times| times.is_valid(row)).map_or(now_ms as i64, |times| times.value(row));
            Some(Message {
                partition: partitioner.partition(key, partitions),
                timestamp,
                key,
                value: if kind == Some(RowKind::Delete) { None } else { value.get(row) },
                headers: headers.as_ref().map_or(&[], |headers| headers[row].as_slice()),
            })
        });
        append(&mut messages)
    }

    fn column<'a>(&self, batch: &'a RecordBatch, key: WritableMetadata) -> Option<&'a dyn Array> {
        let (position, _) = self.metadata.iter().find(|(_, of)| *of == key)?;
        Some(batch.column(*position).as_ref())
    }
}

/// The headers of each row.
fn headers(maps: &MapArray) -> Vec<Vec<Header<'_>>> {
    let (names, values) = (maps.keys().as_string::<i32>(), maps.values().as_binary::<i32>());
    let offsets = maps.value_offsets();
    let of_row = |row: usize| {
        let entries = if maps.is_valid(row) { offsets[row] as usize..offsets[row + 1] as usize } else { 0..0 };
        entries.map(|entry| (names.value(entry).as_bytes(), values.is_valid(entry).then(|| values.value(entry)))).collect()
    };
    (0..maps.len()).map(of_row).collect()
}
