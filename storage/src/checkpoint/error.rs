//! The errors of checkpoint files.

use weir_protocol::JobId;
use weir_protocol::convert::DecodeError;

use crate::file_system::FileError;

/// An error in a checkpoint's files. Each variant has a stable code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CheckpointError {
    /// The file does not exist.
    #[error("CKPT-MISSING: {path} is missing; restore it, or start from another checkpoint by name")]
    Missing { path: String },
    /// The file is not a Weir checkpoint.
    #[error("CKPT-MAGIC: {path} is not a Weir checkpoint: {found}")]
    Magic {
        path: String,
        /// What the file seems to be.
        found: &'static str,
    },
    /// The file ends too early.
    #[error("CKPT-TRUNCATED: {path} has {found} bytes, expected at least {expected}")]
    Truncated {
        path: String,
        /// Length of the file in bytes.
        found: u64,
        /// Minimum length of the file in bytes, from its header or from a reference to it.
        expected: u64,
    },
    /// A checksum is wrong: bytes have changed.
    #[error("CKPT-CRC: {path}: the CRC32C of its {part} is {found:08x}, expected {expected:08x}")]
    Checksum {
        path: String,
        /// `header`, `body`, `file` or `state`.
        part: &'static str,
        /// The checksum of the bytes.
        found: u32,
        /// The recorded checksum.
        expected: u32,
    },
    /// A newer Weir wrote the file.
    #[error("CKPT-VERSION: {path} has format version {found}, but this build reads at most {supported}; upgrade this process")]
    Version {
        path: String,
        found: u32,
        /// The newest version this build reads.
        supported: u32,
    },
    /// The checksums are correct, but the content can't be decoded.
    #[error("CKPT-BODY: {path}: {error}")]
    Body { path: String, error: DecodeError },
    /// The file is complete, but breaks a rule that every checkpoint must keep.
    #[error("CKPT-INVALID: {path}: {reason}")]
    Invalid { path: String, reason: String },
    /// The file belongs to another job.
    #[error("CKPT-JOB: {path} belongs to job {found}, not to {expected}")]
    ForeignJob { path: String, found: JobId, expected: JobId },
    /// The file refers to a file outside the checkpoint directory.
    #[error("CKPT-PATH: {path} refers to {reference:?}, which is not a legal path in the checkpoint directory")]
    IllegalReference {
        path: String,
        /// The illegal path in the file.
        reference: String,
    },
    /// The file is larger than the limit.
    #[error("CKPT-SIZE: {path} has {found} bytes, the limit is {limit}")]
    TooLarge {
        path: String,
        /// Length of the file in bytes.
        found: u64,
        /// Maximum length in bytes.
        limit: u64,
    },
    /// The file is complete, but it is not the one that the coordination store points to.
    #[error("CKPT-HANDLE: {path} is not the file that was recorded: {reason}")]
    NotAsRecorded { path: String, reason: String },
    /// A file with this name and other content exists. It was not overwritten.
    #[error("CKPT-EXISTS: {path} exists with other content; nothing was overwritten")]
    Exists { path: String },
    /// An operation on the file storage failed.
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
