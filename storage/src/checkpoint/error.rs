//! What can be wrong with a checkpoint.

use weir_protocol::JobId;
use weir_protocol::convert::DecodeError;

use crate::file_system::FileError;

/// What can be wrong with a checkpoint's files. Each has a stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The file is not there.
    #[error("CKPT-MISSING: {path} is missing; restore it, or start from another checkpoint by name")]
    Missing { path: String },
    /// The file is something else.
    #[error("CKPT-MAGIC: {path} is not a Weir checkpoint: {found}")]
    Magic {
        path: String,
        /// What it looks like.
        found: &'static str,
    },
    /// The file ends too early.
    #[error("CKPT-TRUNCATED: {path} has {found} bytes of {expected}")]
    Truncated {
        path: String,
        /// Its length in bytes.
        found: u64,
        /// The length it says it has, or the least it must have.
        expected: u64,
    },
    /// A checksum is wrong: bytes have changed.
    #[error("CKPT-CRC: {path}: the CRC32C of its {part} is {found:08x}, expected {expected:08x}")]
    Checksum {
        path: String,
        /// `header`, `body`, `file` or `state`.
        part: &'static str,
        /// What the bytes give.
        found: u32,
        /// What is recorded.
        expected: u32,
    },
    /// Written by a newer Weir.
    #[error("CKPT-VERSION: {path} has format version {found}, this build reads up to {supported}; upgrade this process first")]
    Version {
        path: String,
        found: u32,
        /// The newest version this build reads.
        supported: u32,
    },
    /// Checksums are right, yet the content makes no sense.
    #[error("CKPT-BODY: {path}: {error}")]
    Body {
        path: String,
        /// What the decoder said.
        error: DecodeError,
    },
    /// Whole, yet it breaks a rule that every checkpoint keeps.
    #[error("CKPT-INVALID: {path}: {reason}")]
    Invalid { path: String, reason: String },
    /// Of another job.
    #[error("CKPT-JOB: {path} belongs to job {found}, not to {expected}")]
    ForeignJob {
        path: String,
        /// Whose it is.
        found: JobId,
        /// Whose it must be.
        expected: JobId,
    },
    /// It names a file outside the checkpoint directory.
    #[error("CKPT-PATH: {path} refers to {reference:?}, which is not a legal path in the checkpoint directory")]
    IllegalReference {
        path: String,
        /// What it refers to.
        reference: String,
    },
    /// Over the limit.
    #[error("CKPT-SIZE: {path} has {found} bytes, the limit is {limit}")]
    TooLarge {
        path: String,
        /// Its length in bytes.
        found: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Whole, but not the file that the coordination store points to.
    #[error("CKPT-HANDLE: {path} is not the file that was recorded: {reason}")]
    NotAsRecorded { path: String, reason: String },
    /// The name is taken by other bytes. Nothing was overwritten.
    #[error("CKPT-EXISTS: {path} exists with other content; nothing was overwritten")]
    Exists { path: String },
    /// File storage failed.
    #[error("CKPT-FILE: {0}")]
    File(FileError),
}

impl CheckpointError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::File(error) if error.is_retryable())
    }

    /// The stable code, e.g. `CKPT-CRC`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Missing { .. } => "CKPT-MISSING",
            Self::Magic { .. } => "CKPT-MAGIC",
            Self::Truncated { .. } => "CKPT-TRUNCATED",
            Self::Checksum { .. } => "CKPT-CRC",
            Self::Version { .. } => "CKPT-VERSION",
            Self::Body { .. } => "CKPT-BODY",
            Self::Invalid { .. } => "CKPT-INVALID",
            Self::ForeignJob { .. } => "CKPT-JOB",
            Self::IllegalReference { .. } => "CKPT-PATH",
            Self::TooLarge { .. } => "CKPT-SIZE",
            Self::NotAsRecorded { .. } => "CKPT-HANDLE",
            Self::Exists { .. } => "CKPT-EXISTS",
            Self::File(_) => "CKPT-FILE",
        }
    }
}

impl From<FileError> for CheckpointError {
    fn from(error: FileError) -> Self {
        match error {
            FileError::NotFound { path } => Self::Missing { path },
            error => Self::File(error),
        }
    }
}
