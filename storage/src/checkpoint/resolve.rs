//! Finds the checkpoint that a job restores from: the one of the newest pointer. If it can't be used, that is an error, and an
//! older checkpoint is never used instead (C6).

use weir_protocol::checkpoint::CheckpointMetadata;
use weir_protocol::{CheckpointId, JobId};

use super::{CheckpointError, CheckpointStorage, MetadataHandle};

/// A pointer to a checkpoint in the coordination store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    pub id: CheckpointId,
    /// The checkpoint's metadata file.
    pub metadata: MetadataHandle,
}

/// Why a job can't restore. The caller must neither delete files nor use an older checkpoint because of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The pointers are not in increasing order of ids (C2).
    #[error("CKPT-ORDER: checkpoint {next} of job {job} is recorded after checkpoint {id}")]
    Unordered {
        job: JobId,
        id: CheckpointId,
        /// The checkpoint that is recorded after `id`.
        next: CheckpointId,
    },
    /// The newest checkpoint's metadata can't be read.
    #[error("newest checkpoint {id} of job {job} is unreadable: {error}")]
    Unreadable { job: JobId, id: CheckpointId, error: CheckpointError },
    /// The metadata file is that of another checkpoint.
    #[error("CKPT-ID: the metadata file of the newest checkpoint {id} of job {job} is that of checkpoint {found}")]
    OtherCheckpoint { job: JobId, id: CheckpointId, found: CheckpointId },
    /// The job's number of key groups has changed (B6).
    #[error("CKPT-PARALLELISM: checkpoint {id} of job {job} has max parallelism {found}, but the job has {expected}")]
    OtherMaxParallelism { job: JobId, id: CheckpointId, found: u32, expected: u32 },
    /// State files are missing or too short (C1).
    #[error("CKPT-STATE: newest checkpoint {id} of job {job} is incomplete: {}", .missing.join("; "))]
    Incomplete {
        job: JobId,
        id: CheckpointId,
        /// One line for each of the first 3 bad files, then the number of the others.
        missing: Vec<String>,
    },
}

impl ResolveError {
    /// Whether the same call may succeed later without intervention.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreadable { error, .. } if error.is_retryable())
    }
}

/// Returns the newest of the pointers, which must be in increasing order of ids. `None` if there are none.
pub fn newest(job: JobId, pointers: &[Pointer]) -> Result<Option<&Pointer>, ResolveError> {
    match pointers.windows(2).find(|pair| pair[0].id >= pair[1].id) {
        Some(pair) => Err(ResolveError::Unordered { job, id: pair[0].id, next: pair[1].id }),
        None => Ok(pointers.last()),
    }
}

/// Checks the metadata that was read for the newest pointer. `read` also has the lines that [`CheckpointStorage::verify`]
/// returned.
pub fn judge(
    job: JobId,
    max_parallelism: u32,
    pointer: &Pointer,
    read: Result<(CheckpointMetadata, Vec<String>), CheckpointError>,
) -> Result<CheckpointMetadata, ResolveError> {
    let id = pointer.id;
    let (metadata, mut missing) = read.map_err(|error| ResolveError::Unreadable { job, id, error })?;
    if metadata.job != job {
        let error = CheckpointError::ForeignJob { path: pointer.metadata.path.clone(), found: metadata.job, expected: job };
        return Err(ResolveError::Unreadable { job, id, error });
    }
    if metadata.id != id {
        return Err(ResolveError::OtherCheckpoint { job, id, found: metadata.id });
    }
    if metadata.max_parallelism != max_parallelism {
        let (found, expected) = (metadata.max_parallelism, max_parallelism);
        return Err(ResolveError::OtherMaxParallelism { job, id, found, expected });
    }
    if !missing.is_empty() {
        let more = missing.len().saturating_sub(3);
        missing.truncate(3);
        if more > 0 {
            missing.push(format!("and {more} more"));
        }
        return Err(ResolveError::Incomplete { job, id, missing });
    }
    Ok(metadata)
}

/// Reads and verifies the newest checkpoint of a job that has `max_parallelism` key groups. `pointers` are ordered from oldest to
/// newest. `None` if there are none.
pub async fn restore_newest(
    storage: &CheckpointStorage,
    job: JobId,
    max_parallelism: u32,
    pointers: &[Pointer],
) -> Result<Option<CheckpointMetadata>, ResolveError> {
    let Some(pointer) = newest(job, pointers)? else { return Ok(None) };
    let read = async {
        let metadata = storage.read_metadata(job, &pointer.metadata).await?;
        let missing = storage.verify(&metadata).await?;
        Ok((metadata, missing))
    };
    judge(job, max_parallelism, pointer, read.await).map(Some)
}

#[cfg(test)]
mod tests;
