//! The rows of a query on their way back to the client: `sink.collect` writes them to files, exactly once, and the leader reads
//! them in order and removes what the client has.
//!
//! Every row has a number, counted from 0. A page of rows begins at such a number, so it can be read again, also by another leader.
//! A checkpoint commits the rows before it. Nothing else makes rows visible, so no row is shown that a restart could take back.
//! Files connect writer and reader: they need no other message, and the rows of a finished job stay until they are read.
//!
//! See `docs/decisions/0014-query-results.md`.

pub(crate) mod frames;
mod reader;
pub(crate) mod sink;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use weir_protocol::JobId;

use crate::filesystem::local_path;
pub use reader::{ResultPage, ResultReader, remove_results};

/// The local directory that a path or a `file://` URI names. `None` for anything else.
pub fn local_directory(path: &str) -> Option<PathBuf> {
    local_path("sink.collect", path).ok()
}

/// The directory of a query's rows, below the directory of all results.
pub fn directory_of(results: &Path, job: JobId) -> PathBuf {
    results.join(job.to_string())
}
