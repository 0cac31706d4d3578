//! Durable files, wherever they are.

pub mod local;
mod memory;
mod object_store;
mod outage;
mod path;
mod uri;

pub use local::LocalFileSystem;
pub use memory::{MemoryFault, MemoryFileSystem};
pub use object_store::{ObjectStoreFileSystem, S3Options};
pub use outage::StorageOutage;
pub use path::{PART_LIMIT, PATH_LIMIT, check_path};
pub use uri::{OpenError, Schemes, StorageOptions, open};

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

/// A place for durable, immutable files. Paths are relative to its root, `/`-separated, and never leave it.
///
/// Guarantees (the conformance suite asserts them):
/// - `write_new` returns `Ok` only when the bytes and their name survive power loss; until then no reader sees the
///   name, and a name is never seen with part of its bytes;
/// - of several writers of one name exactly one succeeds, the others get [`FileError::AlreadyExists`];
/// - reads and lists see every write that returned before they began.
pub trait FileSystem: Send + Sync + 'static {
    /// Creates `path` with these bytes, atomically and durably; fails if it exists.
    fn write_new<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), FileError>>;

    /// Reads a whole file of at most `limit` bytes.
    fn read<'a>(&'a self, path: &'a str, limit: u64) -> BoxFuture<'a, Result<Bytes, FileError>>;

    /// Reads a stretch of a file; fails if the file is shorter.
    fn read_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Bytes, FileError>>;

    /// Size in bytes, or `NotFound`.
    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<u64, FileError>>;

    /// All files under a directory, recursively, with sizes, in path order.
    fn list<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<Vec<FileEntry>, FileError>>;

    /// Removes a file; removing an absent one is fine. It may come back with a power loss: see
    /// [`FileSystem::sync_deletes`].
    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), FileError>>;

    /// Once this is done, what was deleted below `directory` before does not come back. Where an acknowledged delete is
    /// final, there is nothing to do.
    fn sync_deletes<'a>(&'a self, _directory: &'a str) -> BoxFuture<'a, Result<(), FileError>> {
        std::future::ready(Ok(())).boxed()
    }

    /// The URI of its root, for people and for other processes to open the same place.
    fn uri(&self) -> &str;
}

/// A file system as others hold it.
pub type FileSystemRef = Arc<dyn FileSystem>;

/// A file in a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileEntry {
    /// Path relative to the root.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
}

/// Why a file operation failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// No such file.
    #[error("{path}: not found")]
    NotFound { path: String },
    /// The name is taken.
    #[error("{path}: already exists")]
    AlreadyExists { path: String },
    /// The path is malformed or leaves the root.
    #[error("{path}: not a legal path")]
    IllegalPath { path: String },
    /// Longer than the caller's limit, or shorter than the stretch asked for.
    #[error("{path}: {size} bytes, {expected}")]
    WrongSize {
        path: String,
        size: u64,
        /// What was expected.
        expected: String,
    },
    /// Disk full, read-only, permission, I/O error, endpoint down. Nothing was published.
    #[error("{path}: {reason}")]
    Failed {
        path: String,
        /// What the system said.
        reason: String,
        /// Whether a retry can help.
        retryable: bool,
    },
    /// The write may or may not have been published; keep the data and look again.
    #[error("{path}: outcome unknown: {reason}")]
    Unknown {
        path: String,
        /// What the system said.
        reason: String,
    },
}

impl FileError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Failed { retryable: true, .. } | Self::Unknown { .. })
    }
}
