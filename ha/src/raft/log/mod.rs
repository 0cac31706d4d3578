//! The raft log on disk: segmented, preallocated files and one thread that writes them.
//!
//! Everything queued is written as one checksummed frame and synced once, then everybody who waited is told (group
//! commit). Truncation and purging are records like entries, so that a segment is only ever appended to, and a
//! crash can leave nothing but a torn last frame, which was never acknowledged and is cut.

pub(crate) mod frame;
pub(crate) mod index;
pub(crate) mod segment;
pub(crate) mod store;
#[cfg(test)]
mod tests;
pub(crate) mod vote_file;
mod writer;

use std::io;
use std::path::PathBuf;

pub(crate) use store::LogStore;
pub use writer::DiskFailureHook;

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// The file system refused.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
    /// What was written and acknowledged is not there any more.
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    Corrupt {
        path: PathBuf,
        offset: u64,
        /// What is wrong there.
        what: String,
    },
}

impl LogError {
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }
}

impl From<LogError> for io::Error {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Io { source, .. } => source,
            corrupt => io::Error::new(io::ErrorKind::InvalidData, corrupt.to_string()),
        }
    }
}
