//! Makes rows of records.

use std::sync::Arc;

use arrow_array::{ArrayRef, RecordBatch, RecordBatchOptions};
use arrow_schema::SchemaRef;
use weir_connectors::formats::{BadValue, RowBuffer, RowDecoder, UnseenColumns};
use weir_dataflow::operator::OperatorError;

use super::metadata_columns::MetadataColumns;
use super::partition::SourcePartition;
use crate::records::{BatchHeader, Record};
use crate::registry::{self, Bell};
use crate::row_format::{RowFormat, RowPart};

/// Collects the rows of one batch.
pub(super) struct RowReader {
    key: Option<PartReader>,
    value: PartReader,
    metadata: MetadataColumns,
    /// The columns of the batches.
    schema: SchemaRef,
    rows: usize,
    bytes: usize,
}

/// Reads the keys, or the values, of records.
struct PartReader {
    decoder: Box<dyn RowDecoder>,
    rows: RowBuffer,
    /// Positions in the batch.
    columns: Vec<usize>,
    /// If messages can lack columns.
    unseen: Option<UnseenColumns>,
}

impl PartReader {
    /// Reads the columns of the part that are among the positions `wanted` of the schema.
    fn new(part: &RowPart, wanted: &[usize], bell: &Arc<Bell>) -> Result<Self, OperatorError> {
        let place = |(inside, column): (usize, &usize)| Some((inside, wanted.iter().position(|wanted| wanted == column)?));
        let (inside, columns): (Vec<_>, Vec<_>) = part.columns.iter().enumerate().filter_map(place).unzip();
        let schema = part.schema.project(&inside).map_err(|error| OperatorError::fatal("SOURCE-SCHEMA", error.to_string()))?;
        let decoder = registry::decoder(&part.format, &part.schema, &inside, bell)?;
        let unseen = part.format.has_members().then(UnseenColumns::default);
        Ok(Self { decoder, rows: RowBuffer::new(part.schema_of_rows(&schema))?, columns, unseen })
    }

    fn look_for_unseen(&mut self, topics: &[String], is_end: bool) {
        if let Some(unseen) = &mut self.unseen {
            unseen.look(&self.rows, self.columns.len(), is_end, || format!("topic {}", topics.join(", ")));
        }
    }

    #[inline]
    fn is_ready(&mut self, message: Option<&[u8]>) -> Result<bool, OperatorError> {
        message.map_or(Ok(true), |message| self.decoder.is_ready(message))
    }

    #[inline]
    fn decode(&mut self, message: Option<&[u8]>) -> Result<usize, BadValue> {
        match message {
            Some(message) => self.decoder.decode(message, &mut self.rows),
            None => self.decoder.decode_null(&mut self.rows),
        }
    }
}

/// Why a record gave no rows.
pub(super) enum Unread {
    /// Its key or value can't be read.
    Bad(BadValue),
    /// Something is needed to read it, and was asked for.
    Waits,
    Failed(OperatorError),
}

impl RowReader {
    /// `wanted` are the positions of the columns of `format` that are read; `schema` has them, then those of metadata, then that of kinds if the
    /// rows are changes.
    pub(super) fn new(
        format: &RowFormat,
        wanted: &[usize],
        metadata: MetadataColumns,
        schema: SchemaRef,
        bell: &Arc<Bell>,
    ) -> Result<Self, OperatorError> {
        // The value has the last word about a column that is in both, so such keys need not be read.
        let only_key = |column: &usize| wanted.contains(column) && !format.value.columns.contains(column);
        let needs_key = |key: &&RowPart| key.columns.iter().any(only_key);
        Ok(Self {
            key: format.key.as_ref().filter(needs_key).map(|key| PartReader::new(key, wanted, bell)).transpose()?,
            value: PartReader::new(&format.value, wanted, bell)?,
            metadata,
            schema,
            rows: 0,
            bytes: 0,
        })
    }

    /// Number of rows that were added since the last batch.
    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    /// Size of the values of these rows.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Adds the rows of a record. After an error there are none of it.
    #[inline]
    pub(super) fn add(&mut self, partition: &SourcePartition, batch: &BatchHeader, record: &Record<'_>) -> Result<(), Unread> {
        let mut is_ready = self.value.is_ready(record.value).map_err(Unread::Failed)?;
        if let Some(key) = &mut self.key {
            is_ready &= key.is_ready(record.key).map_err(Unread::Failed)?;
        }
        if !is_ready {
            return Err(Unread::Waits);
        }
        let added = self.value.decode(record.value).map_err(Unread::Bad)?;
        if let Some(key) = &mut self.key {
            for _ in 0..added {
                // Without a row of the key, its columns would be shorter than the others.
                let reason = match key.decode(record.key) {
                    Ok(1) => continue,
                    Ok(_) => BadValue("the record has no key".to_owned()),
                    Err(reason) => reason,
                };
                key.rows.truncate(self.rows);
                self.value.rows.truncate(self.rows);
                return Err(Unread::Bad(reason));
            }
        }
        if !self.metadata.is_empty() {
            for _ in 0..added {
                self.metadata.push(partition, batch, record).map_err(Unread::Failed)?;
            }
        }
        self.rows += added;
        self.bytes += record.value.map_or(0, <[u8]>::len);
        Ok(())
    }

    /// Tells of columns that no message had, if that was not told before. No rows follow.
    pub(super) fn end(&mut self, topics: &[String]) {
        self.key.iter_mut().chain([&mut self.value]).for_each(|part| part.look_for_unseen(topics, true));
    }

    /// The rows since the last call. Those of a new job tell of columns that no message has.
    pub(super) fn finish(&mut self, topics: &[String]) -> Result<RecordBatch, OperatorError> {
        let failed = |error: arrow_schema::ArrowError| OperatorError::fatal("SOURCE-SCHEMA", error.to_string());
        let rows = std::mem::take(&mut self.rows);
        self.bytes = 0;
        let metadata = self.metadata.finish();
        let mut columns: Vec<Option<ArrayRef>> = vec![None; self.schema.fields().len() - metadata.len()];
        let mut kinds = None;
        for part in self.key.iter_mut().chain([&mut self.value]) {
            part.look_for_unseen(topics, false);
            let batch = part.rows.finish().map_err(failed)?;
            let (arrays, of_kinds) = batch.columns().split_at(part.columns.len());
            for (column, array) in part.columns.iter().zip(arrays) {
                columns[*column] = Some(Arc::clone(array));
            }
            kinds = kinds.or_else(|| of_kinds.first().cloned());
        }
        let columns = columns.into_iter().flatten().chain(metadata).chain(kinds).collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options).map_err(failed)
    }
}
