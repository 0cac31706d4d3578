//! The files of checkpoints under one root.

use bytes::{BufMut, Bytes, BytesMut};
use futures::{StreamExt, TryStreamExt};
use weir_protocol::checkpoint::{CheckpointMetadata, StateHandle};
use weir_protocol::{JobId, JobVertexId};

use super::metadata::{METADATA_LIMIT, decode, encode, segments};
use super::{CheckpointError, MetadataHandle, layout};
use crate::file_system::{FileError, FileSystemRef};

/// Number of files whose sizes are read at the same time when a checkpoint is verified.
const CONCURRENT_LOOKS: usize = 16;

/// Most bytes of a source's recorded splits.
pub const SPLITS_LIMIT: usize = 64 << 20;

/// The files of checkpoints under one root.
#[derive(Clone)]
pub struct CheckpointStorage {
    files: FileSystemRef,
}

impl CheckpointStorage {
    /// Opens the checkpoints under the root of `files`.
    pub fn new(files: FileSystemRef) -> Self {
        Self { files }
    }

    /// The file system that holds the checkpoints.
    pub fn files(&self) -> &FileSystemRef {
        &self.files
    }

    /// The URI of a job's checkpoint directory. The paths in state handles are relative to it.
    pub fn job_uri(&self, job: JobId) -> String {
        format!("{}/{}", self.files.uri().trim_end_matches('/'), layout::job_directory(job))
    }

    /// Writes a checkpoint's metadata file. The call can be repeated with the same metadata. Error: `CKPT-EXISTS` if the
    /// checkpoint already has other metadata.
    ///
    /// This does not complete the checkpoint. It is complete only when the handle has been appended in the coordination store.
    pub async fn write_metadata(&self, metadata: &CheckpointMetadata) -> Result<MetadataHandle, CheckpointError> {
        let path = layout::metadata_path(metadata.job, metadata.id);
        write_metadata_at(&self.files, path, metadata).await
    }

    /// Reads the metadata file that a handle points to. Checks that the file is undamaged, belongs to this job, and is exactly
    /// the one that was recorded.
    pub async fn read_metadata(&self, job: JobId, handle: &MetadataHandle) -> Result<CheckpointMetadata, CheckpointError> {
        let file = read_limited(&self.files, &handle.path).await?;
        let metadata = decode(&handle.path, Some(job), &file)?;
        let (length, crc32c) = (file.len() as u64, crc32c::crc32c(&file));
        if length != handle.length || crc32c != handle.crc32c {
            let reason = format!(
                "it has {length} bytes with CRC32C {crc32c:08x}, but the recorded file has {} bytes with CRC32C {:08x}",
                handle.length, handle.crc32c
            );
            return Err(CheckpointError::NotAsRecorded { path: handle.path.clone(), reason });
        }
        Ok(metadata)
    }

    /// Writes a state file at `path`, relative to the job's directory. The call can be repeated with the same bytes.
    pub async fn write_state(&self, job: JobId, path: &str, bytes: Bytes) -> Result<(), CheckpointError> {
        write_once(&self.files, &in_job(job, path), bytes).await
    }

    /// Durably deletes a state file that was never reported to any other process. If it does not exist, nothing happens.
    pub async fn withdraw_state(&self, job: JobId, path: &str) -> Result<(), CheckpointError> {
        let path = in_job(job, path);
        self.files.delete(&path).await?;
        let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
        Ok(self.files.sync_deletes(directory).await?)
    }

    /// Reads one piece of state and verifies its checksum.
    pub async fn read_state(&self, job: JobId, state: &StateHandle) -> Result<Bytes, CheckpointError> {
        read_state_from(&self.files, &layout::job_directory(job), state).await
    }

    /// The splits that were recorded for a source vertex of the job, if any were.
    pub async fn read_splits(&self, job: JobId, vertex: JobVertexId) -> Result<Option<Bytes>, CheckpointError> {
        let path = in_job(job, &layout::splits_path(vertex));
        let mut file = match self.files.read(&path, (SPLITS_LIMIT + SPLITS_HEADER) as u64).await {
            Ok(file) => file,
            Err(FileError::NotFound { .. }) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let truncated = || CheckpointError::Truncated { path: path.clone(), found: 0, expected: SPLITS_HEADER as u64 };
        let expected = file.first_chunk::<SPLITS_HEADER>().map(|header| u32::from_le_bytes(*header)).ok_or_else(truncated)?;
        let splits = file.split_off(SPLITS_HEADER);
        let found = crc32c::crc32c(&splits);
        if found != expected {
            return Err(CheckpointError::Checksum { path, part: "body", found, expected });
        }
        Ok(Some(splits))
    }

    /// Records the splits of a source vertex, unless others were recorded before, and returns the recorded ones. All callers of
    /// all times get the same, until the job has completed a checkpoint or has ended.
    pub async fn record_splits(&self, job: JobId, vertex: JobVertexId, splits: Bytes) -> Result<Bytes, CheckpointError> {
        let path = in_job(job, &layout::splits_path(vertex));
        let mut file = BytesMut::with_capacity(splits.len() + SPLITS_HEADER);
        file.put_u32_le(crc32c::crc32c(&splits));
        file.put_slice(&splits);
        let written = self.files.write_new(&path, file.freeze()).await;
        let error = match written {
            Ok(()) => return Ok(splits),
            Err(error @ (FileError::AlreadyExists { .. } | FileError::Unknown { .. })) => error,
            Err(error) => return Err(error.into()),
        };
        // Another subtask was faster, or it is unknown whether this write took effect. What the file holds now, it holds for
        // good. If there is none, a write of unknown outcome may still create it.
        self.read_splits(job, vertex).await?.ok_or_else(|| error.into())
    }

    /// Checks that every file that a checkpoint refers to exists and is long enough (C1). Returns a line for each file that is
    /// missing or too short.
    pub async fn verify(&self, metadata: &CheckpointMetadata) -> Result<Vec<String>, CheckpointError> {
        let mut needed = std::collections::BTreeMap::<&str, u64>::new();
        for segment in segments(metadata) {
            let end = needed.entry(segment.path.as_str()).or_default();
            *end = (*end).max(segment.offset.saturating_add(segment.length));
        }
        // The paths are owned, because a stream over closures that borrow them is not `Send` for every lifetime.
        let needed: Vec<(String, u64)> = needed.into_iter().map(|(path, end)| (in_job(metadata.job, path), end)).collect();
        let looks = needed.into_iter().map(|(path, end)| self.lacks(path, end));
        let found: Vec<Option<String>> = futures::stream::iter(looks).buffered(CONCURRENT_LOOKS).try_collect().await?;
        Ok(found.into_iter().flatten().collect())
    }

    /// A line if the file is missing or has fewer than `end` bytes.
    async fn lacks(&self, path: String, end: u64) -> Result<Option<String>, CheckpointError> {
        match self.files().size(&path).await {
            Ok(size) if size >= end => Ok(None),
            Ok(size) => Ok(Some(format!("{path} has {size} bytes, expected at least {end}"))),
            Err(FileError::NotFound { .. }) => Ok(Some(format!("{path} is missing"))),
            Err(error) => Err(CheckpointError::from(error)),
        }
    }
}

/// Length of the checksum before recorded splits.
const SPLITS_HEADER: usize = 4;

/// The path relative to the root, of a path relative to a job's directory.
fn in_job(job: JobId, path: &str) -> String {
    format!("{}/{path}", layout::job_directory(job))
}

pub(super) async fn write_metadata_at(
    files: &FileSystemRef,
    path: String,
    metadata: &CheckpointMetadata,
) -> Result<MetadataHandle, CheckpointError> {
    let file = encode(&path, metadata)?;
    let handle = MetadataHandle { length: file.len() as u64, crc32c: crc32c::crc32c(&file), path };
    write_once(files, &handle.path, file).await?;
    Ok(handle)
}

pub(super) async fn read_limited(files: &FileSystemRef, path: &str) -> Result<Bytes, CheckpointError> {
    files.read(path, METADATA_LIMIT).await.map_err(|error| match error {
        FileError::WrongSize { path, size, .. } => CheckpointError::TooLarge { path, found: size, limit: METADATA_LIMIT },
        error => error.into(),
    })
}

/// Creates a file. Succeeds also if it already exists with the same bytes.
pub(super) async fn write_once(files: &FileSystemRef, path: &str, bytes: Bytes) -> Result<(), CheckpointError> {
    let outcome = files.write_new(path, bytes.clone()).await;
    match outcome {
        Ok(()) => Ok(()),
        Err(error @ (FileError::AlreadyExists { .. } | FileError::Unknown { .. })) => {
            match files.read(path, bytes.len() as u64).await {
                Ok(found) if found == bytes => Ok(()),
                Ok(_) | Err(FileError::WrongSize { .. }) => Err(CheckpointError::Exists { path: path.to_owned() }),
                // The read does not show whether the file exists, so return the outcome of the write.
                Err(_) if matches!(error, FileError::Unknown { .. }) => Err(error.into()),
                Err(error) => Err(error.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Reads one piece of state. File paths are relative to `directory`, which may be empty.
pub(super) async fn read_state_from(
    files: &FileSystemRef,
    directory: &str,
    state: &StateHandle,
) -> Result<Bytes, CheckpointError> {
    let segment = match state {
        StateHandle::Inline(bytes) => return Ok(bytes.clone()),
        StateHandle::File(segment) => segment,
    };
    let path = if directory.is_empty() { segment.path.clone() } else { format!("{directory}/{}", segment.path) };
    let end = segment.offset.checked_add(segment.length).ok_or_else(|| CheckpointError::Invalid {
        path: path.clone(),
        reason: "the end of the segment is out of range".to_owned(),
    })?;
    let bytes = files.read_range(&path, segment.offset..end).await.map_err(|error| match error {
        FileError::WrongSize { path, size, .. } => CheckpointError::Truncated { path, found: size, expected: end },
        FileError::IllegalPath { path: reference } => CheckpointError::IllegalReference { path: path.clone(), reference },
        error => error.into(),
    })?;
    let found = crc32c::crc32c(&bytes);
    if found != segment.crc32c {
        return Err(CheckpointError::Checksum { path, part: "state", found, expected: segment.crc32c });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests;
