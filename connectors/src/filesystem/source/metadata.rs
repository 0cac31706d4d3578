//! Metadata columns: what is known of the file of a row.

use std::path::Path;
use std::sync::Arc;

use arrow_array::{ArrayRef, Int64Array, RecordBatch, StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::Deserialize;
use weir_dataflow::operator::OperatorError;

use super::split::Split;

/// A column whose values come from the file, by Flink's name for them.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetadataColumn {
    pub(super) name: String,
    key: MetadataKey,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
enum MetadataKey {
    #[serde(rename = "file.path")]
    Path,
    #[serde(rename = "file.name")]
    Name,
    #[serde(rename = "file.size")]
    Size,
    #[serde(rename = "file.modification-time")]
    ModificationTime,
}

impl MetadataKey {
    fn data_type(self) -> DataType {
        match self {
            Self::Path | Self::Name => DataType::Utf8,
            Self::Size => DataType::Int64,
            Self::ModificationTime => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
        }
    }

    /// The value for a file, as often as there are rows.
    fn values(self, path: &Path, split: &Split, rows: usize) -> ArrayRef {
        match self {
            Self::Path => texts(&path.to_string_lossy(), rows),
            Self::Name => texts(&path.file_name().unwrap_or_default().to_string_lossy(), rows),
            Self::Size => Arc::new(Int64Array::from_value(i64::try_from(split.size).unwrap_or(i64::MAX), rows)),
            Self::ModificationTime => {
                let time = i64::try_from(split.modified_ms).unwrap_or(i64::MAX);
                Arc::new(TimestampMillisecondArray::from_value(time, rows).with_timezone("UTC"))
            }
        }
    }
}

fn texts(text: &str, rows: usize) -> ArrayRef {
    Arc::new(std::iter::repeat_n(Some(text), rows).collect::<StringArray>())
}

/// Adds the metadata columns to what was read.
pub(super) struct Metadata {
    columns: Vec<MetadataColumn>,
    schema: SchemaRef,
}

impl Metadata {
    /// `stored` are the columns that are read from files. The metadata columns follow them.
    pub(super) fn new(columns: Vec<MetadataColumn>, stored: &Schema) -> Self {
        let mut fields = stored.fields().to_vec();
        fields.extend(columns.iter().map(|column| Arc::new(Field::new(&column.name, column.key.data_type(), false))));
        Self { columns, schema: Arc::new(Schema::new(fields)) }
    }

    /// What was read, then the metadata.
    pub(super) fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// Whether there are metadata columns. If so, all rows of a batch must be from one file.
    pub(super) fn is_wanted(&self) -> bool {
        !self.columns.is_empty()
    }

    /// The rows, which are from this file, with their metadata.
    pub(super) fn add(&self, stored: RecordBatch, path: &Path, split: &Split) -> Result<RecordBatch, OperatorError> {
        if !self.is_wanted() {
            return Ok(stored);
        }
        let mut columns = stored.columns().to_vec();
        columns.extend(self.columns.iter().map(|column| column.key.values(path, split, stored.num_rows())));
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| OperatorError::fatal("SOURCE-SCHEMA", error.to_string()))
    }
}
