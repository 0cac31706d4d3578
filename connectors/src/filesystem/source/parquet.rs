//! Reads the row groups of a Parquet file that start in a range of bytes.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow_array::{RecordBatch, RecordBatchOptions};
use arrow_schema::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
};
use parquet::basic::Type as PhysicalType;
use parquet::errors::ParquetError;
use parquet::file::metadata::RowGroupMetaData;
use weir_dataflow::operator::OperatorError;
use weir_dataflow::schema::type_name;

use super::convert::{Conversion, advice, conversion, convert};
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
    /// For each column of the schema, its position among the columns read, and how its values are converted.
    places: Vec<(usize, Conversion)>,
    reader: ParquetRecordBatchReader,
    /// Rows that were read from the file but not returned yet.
    rest: Option<RecordBatch>,
}

impl ParquetReader {
    /// Opens the split's file at the split's position. Columns are found by name and converted to the schema's types. Error:
    /// `SOURCE-SCHEMA` if there is no such column, or if the conversion could lose something.
    pub(crate) fn open(path: &Path, split: &Split, schema: &SchemaRef) -> Result<Self, OperatorError> {
        let file = lines::open(path, split)?;
        let kept = file.try_clone().map_err(|error| lines::read_failed(path, &error))?;
        let metadata = metadata_of(&file).map_err(|error| unreadable(path, &error))?;
        let builder = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata);
        let found = builder.schema();
        let (mut roots, mut conversions) = (Vec::new(), Vec::new());
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
            let from = found.field(root).data_type();
            conversions.push(conversion(from, field.data_type()).ok_or_else(|| {
                let (name, declared, found) = (field.name(), type_name(field.data_type()), type_name(from));
                let message = format!(
                    "{}: column {name:?} has type {found}, which can't be read as {declared} without loss; {}",
                    path.display(),
                    advice(from)
                );
                OperatorError::fatal("SOURCE-SCHEMA", message)
            })?);
        }
        let mut read = roots.clone();
        read.sort_unstable();
        let places = roots.iter().map(|root| read.partition_point(|other| other < root)).zip(conversions).collect();
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
        let mut columns = Vec::with_capacity(self.places.len());
        for (field, (place, conversion)) in self.schema.fields().iter().zip(&self.places) {
            let converted = convert(conversion, batch.column(*place), field.data_type()).map_err(|error| {
                OperatorError::fatal("SOURCE-SCHEMA", format!("{}: column {:?}: {error}", self.path.display(), field.name()))
            })?;
            columns.push(converted);
        }
        let options = RecordBatchOptions::new().with_row_count(Some(batch.num_rows()));
        RecordBatch::try_new_with_options(Arc::clone(&self.schema), columns, &options)
            .map_err(|error| OperatorError::fatal("SOURCE-BAD-ROW", format!("{}: {error}", self.path.display())))
    }
}

/// The metadata of a file. Times in the old format INT96 are read as milliseconds: as nanoseconds, which is the reader's default,
/// they would end in 2262.
fn metadata_of(file: &File) -> Result<ArrowReaderMetadata, ParquetError> {
    let metadata = ArrowReaderMetadata::load(file, ArrowReaderOptions::new())?;
    let leaves = metadata.parquet_schema().columns().iter();
    let old: Vec<_> = leaves
        .filter(|leaf| leaf.physical_type() == PhysicalType::INT96 && leaf.path().parts().len() == 1)
        .map(|leaf| leaf.name().to_owned())
        .collect();
    if old.is_empty() {
        return Ok(metadata);
    }
    let in_millis = |field: &Arc<Field>| match old.contains(field.name()) {
        true => Arc::new(field.as_ref().clone().with_data_type(DataType::Timestamp(TimeUnit::Millisecond, None))),
        false => field.clone(),
    };
    let fields: Vec<_> = metadata.schema().fields().iter().map(in_millis).collect();
    let schema = Schema::new(fields).with_metadata(metadata.schema().metadata().clone());
    ArrowReaderMetadata::try_new(Arc::clone(metadata.metadata()), ArrowReaderOptions::new().with_schema(Arc::new(schema)))
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
