//! Durable files on local disks, in object stores and in memory.

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
/// - When `write_new` returns `Ok`, the bytes and their name survive power loss. At every moment, a reader sees either no file or
///   the complete file.
/// - If several writers write one name, exactly one succeeds. The others get [`FileError::AlreadyExists`].
/// - Reads and lists see every write that returned before they began.
pub trait FileSystem: Send + Sync + 'static {
    /// Creates the file `path` with these bytes, atomically and durably. Error: [`FileError::AlreadyExists`].
    fn write_new<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), FileError>>;

    /// Reads a whole file. Error: [`FileError::WrongSize`] if it has more than `limit` bytes.
    fn read<'a>(&'a self, path: &'a str, limit: u64) -> BoxFuture<'a, Result<Bytes, FileError>>;

    /// Reads a range of bytes of a file. Error: [`FileError::WrongSize`] if the file is too short.
    fn read_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Bytes, FileError>>;

    /// The size of a file in bytes.
    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<u64, FileError>>;

    /// Lists all files under a directory, recursively, in path order. A missing directory has no files.
    fn list<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<Vec<FileEntry>, FileError>>;

    /// Removes a file. If it does not exist, nothing happens. A power loss may bring the file back: see
    /// [`FileSystem::sync_deletes`].
    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), FileError>>;

    /// Makes earlier deletes below `directory` durable, so that a power loss does not bring the files back. Does nothing if the
    /// file system's deletes are already durable when they return.
    fn sync_deletes<'a>(&'a self, _directory: &'a str) -> BoxFuture<'a, Result<(), FileError>> {
        std::future::ready(Ok(())).boxed()
    }

    /// Removes what writers below `directory` have not finished, such as temporary files of a process that was killed, and returns how
    /// many. A live writer that loses its temporary file writes it again, so this never undoes a write that returned `Ok`. Does
    /// nothing if the file system keeps nothing of an unfinished write.
    fn remove_unfinished<'a>(&'a self, _directory: &'a str) -> BoxFuture<'a, Result<usize, FileError>> {
        std::future::ready(Ok(0)).boxed()
    }

    /// The URI of the root. Other processes can open the same place with it.
    fn uri(&self) -> &str;
}

/// A shared handle on a file system.
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
    /// There is no such file.
    #[error("{path}: not found")]
    NotFound { path: String },
    #[error("{path}: already exists")]
    AlreadyExists { path: String },
    /// The path is malformed or leaves the root.
    #[error("{path}: not a legal path")]
    IllegalPath { path: String },
    /// The file is longer than the caller's limit, or too short for the requested range.
    #[error("{path}: the file has {size} bytes, {expected}")]
    WrongSize {
        path: String,
        size: u64,
        /// The expected size, e.g. `at most 100 expected`.
        expected: String,
    },
    /// The operation failed: disk full, read-only, no permission, I/O error, endpoint down. Nothing was written.
    #[error("{path}: {reason}")]
    Failed {
        path: String,
        /// The system's error text.
        reason: String,
        /// Whether a retry can help.
        retryable: bool,
    },
    /// It is unknown whether the file was written. Keep the data and look for the file later.
    #[error("{path}: outcome unknown: {reason}")]
    Unknown {
        path: String,
        /// The system's error text.
        reason: String,
    },
}

impl FileError {
    /// Whether the same call may succeed later.
    pub fn is_retryable(&self) -> bool {
        matches!(self, Self::Failed { retryable: true, .. } | Self::Unknown { .. })
    }
}
