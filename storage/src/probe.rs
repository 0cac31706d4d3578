//! Checks, when a process starts, that it can use a storage.

use std::time::Duration;

use bytes::Bytes;
use weir_world::random_id;

use crate::file_system::{FileError, FileSystem};

/// Directory of the files that probes write.
const DIRECTORY: &str = "weir-probe";
/// Content of such a file.
const CONTENT: &[u8] = b"A process of Weir has checked that it can use this storage. This file can be deleted.\n";

/// Why a storage can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Somebody must correct permissions, credentials or the location. Waiting can't help.
    #[error("STORAGE-UNUSABLE: can't {what} a file in {uri}: {reason}. {advice}")]
    Unusable {
        uri: String,
        /// What was tried: write, read or delete.
        what: &'static str,
        /// The system's error text.
        reason: String,
        /// What to try.
        advice: &'static str,
    },
    /// The storage may become available later: it does not answer, or has another passing fault.
    #[error("STORAGE-UNAVAILABLE: can't {what} a file in {uri} at the moment: {reason}")]
    Unavailable {
        uri: String,
        /// What was tried: write, read or delete.
        what: &'static str,
        /// The system's error text.
        reason: String,
    },
}

/// Writes a small file to the storage, reads it and deletes it, all within `deadline`.
pub async fn probe(files: &dyn FileSystem, deadline: Duration) -> Result<(), ProbeError> {
    let path = format!("{DIRECTORY}/{:032x}", random_id());
    let mut what = "write";
    let trial = async {
        files.write_new(&path, Bytes::from_static(CONTENT)).await?;
        what = "read";
        let read = files.read(&path, CONTENT.len() as u64).await?;
        if read != CONTENT {
            let reason = "it does not have the content that was written".to_owned();
            return Err(FileError::Failed { path: path.clone(), reason, retryable: true });
        }
        what = "delete";
        files.delete(&path).await
    };
    let outcome = tokio::time::timeout(deadline, trial).await;
    let uri = files.uri().to_owned();
    match outcome {
        Ok(Ok(())) => Ok(()),
        Ok(Err(error @ FileError::Failed { retryable: false, .. })) => {
            Err(ProbeError::Unusable { advice: advice(&uri), uri, what, reason: error.to_string() })
        }
        Ok(Err(error)) => Err(ProbeError::Unavailable { uri, what, reason: error.to_string() }),
        Err(_) => Err(ProbeError::Unavailable { uri, what, reason: format!("no answer within {} s", deadline.as_secs_f32()) }),
    }
}

fn advice(uri: &str) -> &'static str {
    if uri.starts_with("s3://") {
        "Check that the bucket exists, that s3.access-key and s3.secret-key are right, and that they may put, get and delete objects"
    } else {
        "Let the user of this process create, read and delete files there, or choose another directory"
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::file_system::{LocalFileSystem, MemoryFault, MemoryFileSystem};

    const SOON: Duration = Duration::from_secs(60);

    #[tokio::test]
    async fn a_probe_of_a_usable_directory_leaves_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("made/by/the/probe");
        assert_eq!(probe(&LocalFileSystem::new(&root), SOON).await, Ok(()));
        assert_eq!(std::fs::read_dir(&root).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_path_below_a_file_is_unusable() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let error = probe(&LocalFileSystem::new(file.path().join("x")), SOON).await.unwrap_err();
        assert!(matches!(&error, ProbeError::Unusable { what: "write", .. }), "{error}");
        assert!(error.to_string().starts_with("STORAGE-UNUSABLE: can't write a file in file:///"), "{error}");
    }

    #[tokio::test]
    async fn a_passing_fault_is_not_called_unusable() {
        let files = MemoryFileSystem::new();
        files.set_fault(MemoryFault::Unavailable);
        let error = probe(&files, SOON).await.unwrap_err();
        assert!(matches!(&error, ProbeError::Unavailable { what: "write", .. }), "{error}");
    }
}
