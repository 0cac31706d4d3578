//! Files in memory with injectable faults, for tests.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::path::{check_directory, check_path};
use super::{FileEntry, FileError, FileSystem};

/// A fault of a [`MemoryFileSystem`]. It lasts until another is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemoryFault {
    #[default]
    None,
    /// Writes fail without effect, as on a full disk. Reads work.
    FailWrites,
    /// Every operation fails, as if the endpoint were down.
    Unavailable,
    /// Writes take effect, but their outcome is reported as unknown.
    UnknownApplied,
    /// Writes have no effect, and their outcome is reported as unknown.
    UnknownLost,
}

/// A file system in memory. Clones share its files.
#[derive(Debug, Clone)]
pub struct MemoryFileSystem {
    state: Arc<Mutex<State>>,
    uri: String,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Bytes>,
    fault: MemoryFault,
    log: Vec<String>,
}

impl Default for MemoryFileSystem {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryFileSystem {
    /// Creates an empty file system.
    pub fn new() -> Self {
        Self { state: Arc::default(), uri: "memory://files".to_owned() }
    }

    /// Injects a fault into all later operations. [`MemoryFault::None`] ends it.
    pub fn set_fault(&self, fault: MemoryFault) {
        self.state().fault = fault;
    }

    /// Replaces or creates a file regardless of faults, to simulate damage. It is not recorded in [`Self::changes`].
    pub fn damage(&self, path: &str, bytes: impl Into<Bytes>) {
        self.state().files.insert(path.to_owned(), bytes.into());
    }

    /// All files by path, regardless of faults.
    pub fn files(&self) -> BTreeMap<String, Bytes> {
        self.state().files.clone()
    }

    /// The changes so far, in order: `write <path>` and `delete <path>`.
    pub fn changes(&self) -> Vec<String> {
        self.state().log.clone()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn available(&self, path: &str) -> Result<MutexGuard<'_, State>, FileError> {
        let state = self.state();
        if state.fault == MemoryFault::Unavailable {
            return Err(FileError::Failed { path: path.to_owned(), reason: "unavailable".to_owned(), retryable: true });
        }
        Ok(state)
    }

    fn find(&self, path: &str) -> Result<Bytes, FileError> {
        check_path(path)?;
        let state = self.available(path)?;
        state.files.get(path).cloned().ok_or_else(|| FileError::NotFound { path: path.to_owned() })
    }

    fn write(&self, path: &str, bytes: Bytes) -> Result<(), FileError> {
        check_path(path)?;
        let mut state = self.available(path)?;
        let unknown = || FileError::Unknown { path: path.to_owned(), reason: "no answer".to_owned() };
        match state.fault {
            MemoryFault::FailWrites => {
                return Err(FileError::Failed { path: path.to_owned(), reason: "no space left".to_owned(), retryable: true });
            }
            MemoryFault::UnknownLost => return Err(unknown()),
            MemoryFault::None | MemoryFault::Unavailable | MemoryFault::UnknownApplied => {}
        }
        if state.files.contains_key(path) {
            return Err(FileError::AlreadyExists { path: path.to_owned() });
        }
        // A copy, so that a small file doesn't keep a big buffer alive.
        state.files.insert(path.to_owned(), Bytes::copy_from_slice(&bytes));
        state.log.push(format!("write {path}"));
        if state.fault == MemoryFault::UnknownApplied { Err(unknown()) } else { Ok(()) }
    }

    fn read_within(&self, path: &str, limit: u64) -> Result<Bytes, FileError> {
        let bytes = self.find(path)?;
        let size = bytes.len() as u64;
        if size > limit {
            return Err(FileError::WrongSize { path: path.to_owned(), size, expected: format!("at most {limit} expected") });
        }
        Ok(bytes)
    }

    fn read_stretch(&self, path: &str, range: Range<u64>) -> Result<Bytes, FileError> {
        let bytes = self.find(path)?;
        let size = bytes.len() as u64;
        if range.start > range.end || range.end > size {
            let expected = format!("bytes {} to {} expected", range.start, range.end);
            return Err(FileError::WrongSize { path: path.to_owned(), size, expected });
        }
        Ok(bytes.slice(range.start as usize..range.end as usize))
    }

    fn list_under(&self, directory: &str) -> Result<Vec<FileEntry>, FileError> {
        check_directory(directory)?;
        let prefix = if directory.is_empty() { String::new() } else { format!("{directory}/") };
        let state = self.available(directory)?;
        let under = state.files.iter().filter(|(path, _)| path.starts_with(&prefix));
        Ok(under.map(|(path, bytes)| FileEntry { path: path.clone(), size: bytes.len() as u64 }).collect())
    }

    fn remove(&self, path: &str) -> Result<(), FileError> {
        check_path(path)?;
        let mut state = self.available(path)?;
        if state.files.remove(path).is_some() {
            state.log.push(format!("delete {path}"));
        }
        Ok(())
    }
}

impl FileSystem for MemoryFileSystem {
    fn write_new<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), FileError>> {
        async move { self.write(path, bytes) }.boxed()
    }

    fn read<'a>(&'a self, path: &'a str, limit: u64) -> BoxFuture<'a, Result<Bytes, FileError>> {
        async move { self.read_within(path, limit) }.boxed()
    }

    fn read_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Bytes, FileError>> {
        async move { self.read_stretch(path, range) }.boxed()
    }

    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<u64, FileError>> {
        async move { self.find(path).map(|bytes| bytes.len() as u64) }.boxed()
    }

    fn list<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<Vec<FileEntry>, FileError>> {
        async move { self.list_under(directory) }.boxed()
    }

    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), FileError>> {
        async move { self.remove(path) }.boxed()
    }

    fn uri(&self) -> &str {
        &self.uri
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conformance;
    use crate::file_system::FileSystemRef;

    #[tokio::test]
    async fn files_in_memory_conform() {
        let files = MemoryFileSystem::new();
        let (one, other): (FileSystemRef, FileSystemRef) = (Arc::new(files.clone()), Arc::new(files));
        conformance::run(&one, &other).await;
    }

    #[tokio::test]
    async fn each_fault_takes_effect_and_ends() {
        let files = MemoryFileSystem::new();
        let bytes = Bytes::from_static(b"x");
        files.set_fault(MemoryFault::FailWrites);
        assert!(matches!(files.write_new("a", bytes.clone()).await, Err(FileError::Failed { .. })));
        files.set_fault(MemoryFault::UnknownLost);
        assert!(matches!(files.write_new("a", bytes.clone()).await, Err(FileError::Unknown { .. })));
        assert!(files.files().is_empty());
        files.set_fault(MemoryFault::UnknownApplied);
        assert!(matches!(files.write_new("a", bytes.clone()).await, Err(FileError::Unknown { .. })));
        files.set_fault(MemoryFault::Unavailable);
        assert!(matches!(files.read("a", 1).await, Err(FileError::Failed { retryable: true, .. })));
        files.set_fault(MemoryFault::None);
        assert_eq!(files.read("a", 1).await, Ok(bytes));
        assert_eq!(files.changes(), ["write a"]);
    }
}
