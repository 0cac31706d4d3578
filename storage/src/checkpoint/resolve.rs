//! Which checkpoint a job restores from: the newest pointer's, or none, loudly. Never silently an older one (C6).

use weir_protocol::checkpoint::CheckpointMetadata;
use weir_protocol::{CheckpointId, JobId};

use super::{CheckpointError, CheckpointStorage, MetadataHandle};

/// A pointer of the coordination store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer {
    pub id: CheckpointId,
    /// Its metadata file.
    pub metadata: MetadataHandle,
}

/// Why a job can't restore. Nothing may be deleted, and nothing older be taken, because of it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ResolveError {
    /// The pointers are not in increasing order of ids (C2).
    #[error("CKPT-ORDER: checkpoint {next} of job {job} is recorded after checkpoint {id}")]
    Unordered {
        job: JobId,
        id: CheckpointId,
        /// The one after it.
        next: CheckpointId,
    },
    /// The newest checkpoint's metadata can't be read.
    #[error("newest checkpoint {id} of job {job} is unreadable: {error}")]
    Unreadable {
        job: JobId,
        /// The newest checkpoint.
        id: CheckpointId,
        error: CheckpointError,
    },
    /// The metadata is of another checkpoint than the pointer.
    #[error("CKPT-ID: the metadata of the newest checkpoint {id} of job {job} is that of checkpoint {found}")]
    OtherCheckpoint {
        job: JobId,
        /// The newest checkpoint.
        id: CheckpointId,
        /// What was found.
        found: CheckpointId,
    },
    /// The job's number of key groups has changed (B6).
    #[error("CKPT-PARALLELISM: checkpoint {id} of job {job} has max parallelism {found}, the job has {expected}")]
    OtherMaxParallelism {
        job: JobId,
        /// The newest checkpoint.
        id: CheckpointId,
        found: u32,
        expected: u32,
    },
    /// State files are missing or short (C1).
    #[error("CKPT-STATE: newest checkpoint {id} of job {job} is incomplete: {}", .missing.join("; "))]
    Incomplete {
        job: JobId,
        /// The newest checkpoint.
        id: CheckpointId,
        /// What is wrong, the first few.
        missing: Vec<String>,
    },
}

impl ResolveError {
    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Unreadable { error, .. } if error.is_retryable())
    }
}

/// The pointer to restore from: the newest; `None` if there is none.
pub fn newest(job: JobId, pointers: &[Pointer]) -> Result<Option<&Pointer>, ResolveError> {
    match pointers.windows(2).find(|pair| pair[0].id >= pair[1].id) {
        Some(pair) => Err(ResolveError::Unordered { job, id: pair[0].id, next: pair[1].id }),
        None => Ok(pointers.last()),
    }
}

/// Judges what was read for the newest pointer, and what [`CheckpointStorage::verify`] said of its files.
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

/// Reads and verifies the newest checkpoint of a job that has `max_parallelism` key groups; `pointers` oldest first.
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
