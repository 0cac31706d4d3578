//! Writes a part file.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use weir_dataflow::codec::BatchCodec;
use weir_dataflow::operator::OperatorError;
use weir_protocol::job_graph::Field;

use crate::formats::{csv, json};
use crate::query_results::frames;
use crate::rows::times::TimestampFormat;

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

/// How the rows of a part are written.
#[derive(Debug, Clone)]
pub(crate) enum PartFormat {
    Csv {
        style: csv::CsvStyle,
        header: bool,
    },
    Json(TimestampFormat),
    Parquet,
    /// Frames of encoded rows, which only the reader of query results understands.
    Frames {
        codec: BatchCodec,
        columns: Arc<[Field]>,
    },
}

enum PartWriter {
    Buffered { file: File, buffer: Vec<u8>, format: PartFormat },
    Parquet(Box<ArrowWriter<File>>),
}

impl OpenPart {
    /// Creates the file. It must not exist yet.
    pub(crate) fn create(path: PathBuf, format: &PartFormat, schema: &SchemaRef) -> Result<Self, OperatorError> {
        let file = OpenOptions::new().write(true).create_new(true).open(&path).map_err(|error| write_failed(&path, &error))?;
        Self::on(file, path, format, schema)
    }

    /// Creates a part that writes to the open file `file`.
    pub(crate) fn on(file: File, path: PathBuf, format: &PartFormat, schema: &SchemaRef) -> Result<Self, OperatorError> {
        let writer = match format {
            PartFormat::Csv { .. } | PartFormat::Json(_) | PartFormat::Frames { .. } => {
                let mut buffer = Vec::with_capacity(WRITE_BYTES);
                match format {
                    PartFormat::Csv { style, header: true } => csv::append_csv_header(&mut buffer, schema, style),
                    PartFormat::Frames { columns, .. } => frames::append_header(&mut buffer, columns)?,
                    _ => {}
                }
                PartWriter::Buffered { file, buffer, format: format.clone() }
            }
            PartFormat::Parquet => {
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

    /// Appends rows. `first_row` is the number of the first one among all rows of the subtask. They are in the file and durable only
    /// after [`Self::finish`].
    pub(crate) fn write(&mut self, batch: &RecordBatch, first_row: u64) -> Result<(), OperatorError> {
        self.rows += batch.num_rows() as u64;
        match &mut self.writer {
            PartWriter::Buffered { file, buffer, format } => {
                match format {
                    PartFormat::Csv { style, .. } => csv::append_csv(buffer, batch, style)?,
                    PartFormat::Json(timestamps) => json::append_json(buffer, batch, *timestamps)?,
                    PartFormat::Frames { codec, .. } => frames::append(buffer, codec, batch, first_row)?,
                    PartFormat::Parquet => {}
                }
                if buffer.len() >= WRITE_BYTES {
                    file.write_all(buffer).map_err(|error| write_failed(&self.path, &error))?;
                    buffer.clear();
                }
            }
            PartWriter::Parquet(writer) => writer.write(batch).map_err(|error| write_failed(&self.path, &error))?,
        }
        Ok(())
    }

    /// Writes the remaining rows. The file is durable only when it and its directory are synced.
    pub(crate) fn finish(self) -> Result<FinishedPart, OperatorError> {
        let file = match self.writer {
            PartWriter::Buffered { mut file, buffer, .. } => {
                file.write_all(&buffer).map_err(|error| write_failed(&self.path, &error))?;
                file
            }
            PartWriter::Parquet(writer) => writer.into_inner().map_err(|error| write_failed(&self.path, &error))?,
        };
        let bytes = file.metadata().map_err(|error| write_failed(&self.path, &error))?.len();
        Ok(FinishedPart { path: self.path, file, bytes, rows: self.rows })
    }
}

/// A part that is complete, but perhaps not durable yet.
#[derive(Debug)]
pub(crate) struct FinishedPart {
    pub(crate) path: PathBuf,
    /// The handle that wrote it, because only that one is certain to learn of failed writes.
    pub(crate) file: File,
    pub(crate) bytes: u64,
    pub(crate) rows: u64,
}

/// The finished parts of an attempt that are not durable yet. The sink adds them, and the background part of a snapshot syncs
/// them. A failure is final, because a second sync of a file does not report it again.
#[derive(Debug, Default)]
pub(crate) struct UnsyncedParts {
    parts: Vec<FinishedPart>,
    failed: Option<OperatorError>,
}

/// More unsynced parts than this keep too many files open. It happens if no snapshot can be written for long.
const MAX_UNSYNCED: usize = 64;

impl UnsyncedParts {
    /// Adds a part. Error: a former sync failed.
    pub(crate) fn add(shared: &Mutex<Self>, part: FinishedPart) -> Result<(), OperatorError> {
        let too_many = {
            let mut unsynced = lock(shared);
            unsynced.parts.push(part);
            unsynced.parts.len() > MAX_UNSYNCED
        };
        if too_many { Self::sync(shared) } else { Self::check(shared) }
    }

    /// Error: a former sync failed.
    pub(crate) fn check(shared: &Mutex<Self>) -> Result<(), OperatorError> {
        lock(shared).failed.clone().map_or(Ok(()), Err)
    }

    /// Makes all parts durable, with their names.
    pub(crate) fn sync(shared: &Mutex<Self>) -> Result<(), OperatorError> {
        Self::check(shared)?;
        let parts = std::mem::take(&mut lock(shared).parts);
        let sync = |part: &FinishedPart| part.file.sync_all().map_err(|error| write_failed(&part.path, &error));
        let directory = parts.last().and_then(|part| part.path.parent());
        let synced = parts.iter().try_for_each(sync).and_then(|()| directory.map_or(Ok(()), sync_directory));
        if let Err(error) = &synced {
            lock(shared).failed = Some(error.clone());
        }
        synced
    }
}

fn lock(shared: &Mutex<UnsyncedParts>) -> MutexGuard<'_, UnsyncedParts> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(directory: &Path) -> Result<(), OperatorError> {
    File::open(directory).and_then(|file| file.sync_all()).map_err(|error| write_failed(directory, &error))
}

/// The error (`SINK-IO`) for a file or directory that can't be written, for example because the disk is full, read-only or
/// unmounted. It is retryable.
pub(crate) fn write_failed(path: &Path, error: &dyn std::fmt::Display) -> OperatorError {
    OperatorError::retryable("SINK-IO", format!("{}: {error}", path.display()))
}
