//! Writes a part file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use weir_dataflow::operator::OperatorError;

use crate::filesystem::Format;
use crate::rows::text;

/// Text is written to the file in pieces of about this many bytes.
const WRITE_BYTES: usize = 256 << 10;

/// A Parquet row group is closed when it has this many bytes in memory.
const ROW_GROUP_BYTES: usize = 64 << 20;

/// A part file that is open for writing under its hidden name.
pub(crate) struct OpenPart {
    path: PathBuf,
    writer: PartWriter,
    rows: u64,
}

enum PartWriter {
    Text { file: File, buffer: Vec<u8>, append: fn(&mut Vec<u8>, &RecordBatch) -> Result<(), OperatorError> },
    Parquet(Box<ArrowWriter<File>>),
}

impl OpenPart {
    /// Creates the file. It must not exist yet.
    pub(crate) fn create(path: PathBuf, format: Format, header: bool, schema: &SchemaRef) -> Result<Self, OperatorError> {
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| write_failed(&path, &error))?;
        Self::on(file, path, format, header, schema)
    }

    /// Creates a part that writes to the open file `file`.
    pub(crate) fn on(file: File, path: PathBuf, format: Format, header: bool, schema: &SchemaRef) -> Result<Self, OperatorError> {
        let writer = match format {
            Format::Csv => {
                let mut buffer = Vec::with_capacity(WRITE_BYTES);
                if header {
                    text::append_csv_header(&mut buffer, schema);
                }
                PartWriter::Text { file, buffer, append: text::append_csv }
            }
            Format::Json => PartWriter::Text { file, buffer: Vec::with_capacity(WRITE_BYTES), append: text::append_json },
            Format::Parquet => {
                let properties = WriterProperties::builder()
                    .set_compression(Compression::SNAPPY)
                    .set_max_row_group_bytes(Some(ROW_GROUP_BYTES))
                    .build();
                let writer = ArrowWriter::try_new(file, SchemaRef::clone(schema), Some(properties));
                PartWriter::Parquet(Box::new(writer.map_err(|error| write_failed(&path, &error))?))
            }
        };
        Ok(Self { path, writer, rows: 0 })
    }

    /// Appends rows. They are in the file and durable only after [`Self::finish`].
    pub(crate) fn write(&mut self, batch: &RecordBatch) -> Result<(), OperatorError> {
        self.rows += batch.num_rows() as u64;
        match &mut self.writer {
            PartWriter::Text { file, buffer, append } => {
                append(buffer, batch)?;
                if buffer.len() >= WRITE_BYTES {
                    file.write_all(buffer).map_err(|error| write_failed(&self.path, &error))?;
                    buffer.clear();
                }
            }
            PartWriter::Parquet(writer) => writer.write(batch).map_err(|error| write_failed(&self.path, &error))?,
        }
        Ok(())
    }

    /// Writes the remaining rows and makes the contents durable, but not the file's name. Returns the number of bytes and of
    /// rows.
    pub(crate) fn finish(self) -> Result<(u64, u64), OperatorError> {
        let file = match self.writer {
            PartWriter::Text { mut file, buffer, .. } => {
                file.write_all(&buffer).map_err(|error| write_failed(&self.path, &error))?;
                file
            }
            PartWriter::Parquet(writer) => writer.into_inner().map_err(|error| write_failed(&self.path, &error))?,
        };
        file.sync_all().map_err(|error| write_failed(&self.path, &error))?;
        let bytes = file.metadata().map_err(|error| write_failed(&self.path, &error))?.len();
        Ok((bytes, self.rows))
    }
}

/// The error (`SINK-IO`) for a file or directory that can't be written, for example because the disk is full, read-only or
/// unmounted. It is retryable.
pub(crate) fn write_failed(path: &Path, error: &dyn std::fmt::Display) -> OperatorError {
    OperatorError::retryable("SINK-IO", format!("{}: {error}", path.display()))
}
