//! The raft log on disk: segmented, preallocated files and one thread that writes them.
//!
//! The writer writes everything in its queue as one checksummed frame, syncs once, and then reports to all that wait (group
//! commit). Truncation and purging are records like entries, so a segment is only ever appended to. A crash can leave only a torn
//! last frame. Such a frame was never acknowledged, and is cut at the next start.

pub(crate) mod frame;
pub(crate) mod index;
pub(crate) mod mark;
pub(crate) mod segment;
pub(crate) mod slot_file;
pub(crate) mod store;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::PathBuf;

pub(crate) use index::Index;
pub(crate) use store::{LogSizes, LogStore};
pub use writer::DiskFailureHook;

/// Why a log can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum LogError {
    /// A file operation failed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        source: io::Error,
    },
    /// Data that was written and acknowledged is missing or damaged.
    #[error("{} is damaged at byte {offset}: {what}", path.display())]
    Corrupt {
        path: PathBuf,
        offset: u64,
        /// What is wrong at this offset.
        what: String,
    },
    /// The end of the log or the vote, which this member had acknowledged, is missing.
    #[error("{}: {what}", path.display())]
    Lost { path: PathBuf, what: String },
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
