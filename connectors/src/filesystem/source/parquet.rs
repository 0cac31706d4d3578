//! Reads the row groups of a Parquet file that start in a range of bytes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::RecordBatch;
use arrow_cast::{CastOptions, cast_with_options};
use arrow_schema::SchemaRef;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder};
use parquet::file::metadata::RowGroupMetaData;
use weir_dataflow::operator::OperatorError;

use super::lines;
use super::split::Split;

/// Number of rows per read.
const BATCH_ROWS: usize = 8192;

/// Reads the remaining rows of a split.
pub(crate) struct ParquetReader {
    path: PathBuf,
    file: File,
    split: Split,
    schema: SchemaRef,
    /// For each column of the schema, its position among the columns read.
    places: Vec<usize>,
    reader: ParquetRecordBatchReader,
    /// Rows that were read from the file but not returned yet.
    rest: Option<RecordBatch>,
}

impl ParquetReader {
    /// Opens the split's file at the split's position. Columns are found by name and cast to the schema's types.
    pub(crate) fn open(path: &Path, split: &Split, schema: &SchemaRef) -> Result<Self, OperatorError> {
        let file = lines::open(path, split)?;
        let kept = file.try_clone().map_err(|error| lines::read_failed(path, &error))?;
        let builder = ParquetRecordBatchReaderBuilder::try_new(file).map_err(|error| unreadable(path, &error))?;
        let found = builder.schema();
        let mut roots = Vec::new();
        for field in schema.fields() {
            let root = found.index_of(field.name()).map_err(|_| {
                let names: Vec<_> = found.fields().iter().map(|field| field.name().as_str()).collect();
                let shown: String = names.join(", ").chars().take(200).collect();
                OperatorError::fatal(
                    "SOURCE-SCHEMA",
                    format!("{}: there is no column {:?}; its columns are: {shown}", path.display(), field.name()),
                )
            })?;
            roots.push(root);
        }
        let mut read = roots.clone();
        read.sort_unstable();
        let places = roots.iter().map(|root| read.partition_point(|other| other < root)).collect();
        let row_groups = builder.metadata().row_groups().iter().enumerate();
        let own: Vec<_> = row_groups
            .filter(|(_, group)| first_byte(group).is_some_and(|byte| (split.start..split.end).contains(&byte)))
            .map(|(index, _)| index)
            .collect();
        let mask = ProjectionMask::roots(builder.parquet_schema(), roots);
        let reader = builder
            .with_projection(mask)
            .with_row_groups(own)
            .with_offset(usize::try_from(split.rows).unwrap_or(usize::MAX))
            .with_batch_size(BATCH_ROWS)
            .build()
            .map_err(|error| unreadable(path, &error))?;
        Ok(Self {
            path: path.to_owned(),
            file: kept,
            split: split.clone(),
            schema: Arc::clone(schema),
            places,
            reader,
            rest: None,
        })
    }

    /// Checks that the file did not change while it was read.
    pub(crate) fn check_unchanged(&self) -> Result<(), OperatorError> {
        lines::check_unchanged(&self.path, &self.file, &self.split)
    }

    /// Returns up to `max_rows` rows, or `None` after the last row.
    pub(crate) fn next(&mut self, max_rows: usize) -> Result<Option<RecordBatch>, OperatorError> {
        let batch = match self.rest.take() {
            Some(rest) => rest,
            None => match self.reader.next() {
                None => return Ok(None),
                Some(batch) => self.convert(&batch.map_err(|error| unreadable(&self.path, &error))?)?,
            },
        };
        if batch.num_rows() <= max_rows {
            return Ok(Some(batch));
        }
        self.rest = Some(batch.slice(max_rows, batch.num_rows() - max_rows));
        Ok(Some(batch.slice(0, max_rows)))
    }

    fn convert(&self, batch: &RecordBatch) -> Result<RecordBatch, OperatorError> {
        let options = CastOptions { safe: false, ..CastOptions::default() };
        let mut columns = Vec::with_capacity(self.places.len());
        for (field, place) in self.schema.fields().iter().zip(&self.places) {
            let column = batch.column(*place);
            if column.data_type() == field.data_type() {
                columns.push(Arc::clone(column));
                continue;
            }
            let cast = cast_with_options(column, field.data_type(), &options).map_err(|error| {
                OperatorError::fatal("SOURCE-SCHEMA", format!("{}: column {:?}: {error}", self.path.display(), field.name()))
            })?;
            columns.push(cast);
        }
        RecordBatch::try_new(Arc::clone(&self.schema), columns)
            .map_err(|error| OperatorError::fatal("SOURCE-BAD-ROW", format!("{}: {error}", self.path.display())))
    }
}

/// The byte at which a row group starts.
fn first_byte(group: &RowGroupMetaData) -> Option<u64> {
    let starts =
        group.columns().iter().map(|column| column.dictionary_page_offset().unwrap_or_else(|| column.data_page_offset()));
    starts.min().and_then(|start| u64::try_from(start).ok())
}

fn unreadable(path: &Path, error: &dyn std::fmt::Display) -> OperatorError {
    OperatorError::fatal("SOURCE-PARQUET", format!("{}: can't be read as Parquet: {error}", path.display()))
}
