//! What is known of a record besides key and value, as columns.

use std::sync::Arc;

use arrow_array::builder::{BinaryBuilder, MapBuilder, MapFieldNames, StringBuilder};
use arrow_array::{ArrayRef, Int32Array, Int64Array, StringArray, TimestampMillisecondArray};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use serde::Deserialize;
use weir_connectors::options;
use weir_dataflow::operator::OperatorError;

use super::fetcher::corrupt;
use super::partition::SourcePartition;
use crate::records::{BatchHeader, Record};

/// A column of metadata: its name, and what it holds.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct MetadataColumn {
    name: String,
    key: MetadataKey,
}

/// What a column holds. The names are those of Flink's connector.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum MetadataKey {
    Topic,
    Partition,
    Headers,
    LeaderEpoch,
    Offset,
    Timestamp,
    TimestampType,
}

/// Builds the columns of metadata of one batch.
#[derive(Default)]
pub(super) struct MetadataColumns {
    columns: Vec<(Field, Values)>,
}

enum Values {
    Topic(Vec<String>),
    Partition(Vec<i32>),
    Headers(Box<MapBuilder<StringBuilder, BinaryBuilder>>),
    LeaderEpoch(Vec<i32>),
    Offset(Vec<i64>),
    Timestamp(Vec<i64>),
    TimestampType(Vec<&'static str>),
}

impl MetadataColumns {
    /// Error: `CONN-OPTION` if a name is taken.
    pub(super) fn new(kind: &str, columns: Vec<MetadataColumn>, schema: &Schema) -> Result<Self, OperatorError> {
        let mut built: Vec<(Field, Values)> = Vec::new();
        for MetadataColumn { name, key } in columns {
            if schema.index_of(&name).is_ok() || built.iter().any(|(field, _)| *field.name() == name) {
                return Err(options::invalid(kind, format!("metadata has {name:?}, which is a column already")));
            }
            let values = Values::new(key);
            built.push((Field::new(name, values.data_type(), values.is_nullable()), values));
        }
        Ok(Self { columns: built })
    }

    /// The columns of `columns`, followed by those of metadata.
    pub(super) fn schema(&self, columns: &Schema) -> SchemaRef {
        let metadata = self.columns.iter().map(|(field, _)| Arc::new(field.clone()));
        Arc::new(Schema::new(columns.fields().iter().cloned().chain(metadata).collect::<Vec<_>>()))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.columns.is_empty()
    }

    /// Adds what is known of a record.
    pub(super) fn push(
        &mut self,
        partition: &SourcePartition,
        batch: &BatchHeader,
        record: &Record<'_>,
    ) -> Result<(), OperatorError> {
        for (_, values) in &mut self.columns {
            match values {
                Values::Topic(topics) => topics.push(partition.topic.clone()),
                Values::Partition(partitions) => partitions.push(partition.id),
                Values::LeaderEpoch(epochs) => epochs.push(batch.leader_epoch),
                Values::Offset(offsets) => offsets.push(record.offset),
                Values::Timestamp(times) => times.push(record.timestamp),
                Values::TimestampType(types) => {
                    types.push(if batch.is_log_append_time() { "LogAppendTime" } else { "CreateTime" });
                }
                Values::Headers(headers) => {
                    for header in record.headers() {
                        let (name, value) = header.map_err(|error| corrupt(&partition.topic, &error))?;
                        headers.keys().append_value(String::from_utf8_lossy(name));
                        headers.values().append_option(value);
                    }
                    headers.append(true).map_err(|error| OperatorError::fatal("SOURCE-SCHEMA", error.to_string()))?;
                }
            }
        }
        Ok(())
    }

    /// The columns of the records since the last call.
    pub(super) fn finish(&mut self) -> Vec<ArrayRef> {
        self.columns.iter_mut().map(|(_, values)| values.finish()).collect()
    }
}

impl Values {
    fn new(key: MetadataKey) -> Self {
        match key {
            MetadataKey::Topic => Self::Topic(Vec::new()),
            MetadataKey::Partition => Self::Partition(Vec::new()),
            MetadataKey::LeaderEpoch => Self::LeaderEpoch(Vec::new()),
            MetadataKey::Offset => Self::Offset(Vec::new()),
            MetadataKey::Timestamp => Self::Timestamp(Vec::new()),
            MetadataKey::TimestampType => Self::TimestampType(Vec::new()),
            MetadataKey::Headers => Self::Headers(Box::new(headers())),
        }
    }

    fn data_type(&self) -> DataType {
        match self {
            Self::Topic(_) | Self::TimestampType(_) => DataType::Utf8,
            Self::Partition(_) | Self::LeaderEpoch(_) => DataType::Int32,
            Self::Offset(_) => DataType::Int64,
            Self::Timestamp(_) => DataType::Timestamp(TimeUnit::Millisecond, Some("UTC".into())),
            Self::Headers(_) => {
                let mut empty = headers();
                arrow_array::Array::data_type(&empty.finish()).clone()
            }
        }
    }

    fn is_nullable(&self) -> bool {
        matches!(self, Self::LeaderEpoch(_))
    }

    fn finish(&mut self) -> ArrayRef {
        match self {
            Self::Topic(values) => Arc::new(StringArray::from_iter_values(values.drain(..))),
            Self::Partition(values) | Self::LeaderEpoch(values) => Arc::new(Int32Array::from(std::mem::take(values))),
            Self::Offset(values) => Arc::new(Int64Array::from(std::mem::take(values))),
            Self::Timestamp(values) => Arc::new(TimestampMillisecondArray::from(std::mem::take(values)).with_timezone("UTC")),
            Self::TimestampType(values) => Arc::new(StringArray::from_iter_values(values.drain(..))),
            Self::Headers(headers) => Arc::new(headers.finish()),
        }
    }
}

fn headers() -> MapBuilder<StringBuilder, BinaryBuilder> {
    let names = MapFieldNames { entry: "entries".to_owned(), key: "key".to_owned(), value: "value".to_owned() };
    MapBuilder::new(Some(names), StringBuilder::new(), BinaryBuilder::new())
}
