//! Makes storage unavailable for a while, for drills.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{FileEntry, FileError, FileSystem, FileSystemRef};

/// The reason in the errors of failed operations.
const REASON: &str = "a drill (checkpoint-storage-outage) makes storage unavailable to this process";

/// A switch that makes storage unavailable. Clones share the switch.
///
/// During an outage, operations fail at once without effect. An operation that is in flight when the outage begins loses its
/// answer, so the outcome of an in-flight write is unknown.
#[derive(Clone)]
pub struct StorageOutage {
    /// URI of the affected directory; `None` affects every file system that is opened with this switch.
    root: Option<Arc<str>>,
    under_way: Arc<AtomicBool>,
}

impl fmt::Debug for StorageOutage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageOutage").field("root", &self.root).field("under_way", &self.is_under_way()).finish()
    }
}

impl StorageOutage {
    /// Creates a switch for every file system that is opened with it. Storage is available at first.
    pub fn of_everything() -> Self {
        Self { root: None, under_way: Arc::default() }
    }

    /// Creates a switch for the directory `root` and everything below it. `root` is a URI as [`FileSystem::uri`] returns it.
    /// Storage is available at first.
    pub fn below(root: &str) -> Self {
        Self { root: Some(root.into()), under_way: Arc::default() }
    }

    /// Begins an outage (`true`) or ends it (`false`).
    pub fn set(&self, under_way: bool) {
        self.under_way.store(under_way, Ordering::SeqCst);
    }

    /// Whether storage is unavailable now.
    pub fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::SeqCst)
    }

    /// Wraps `files` so that this switch affects them. Returns `files` unchanged if they are not below `root`.
    pub(super) fn over(&self, files: FileSystemRef) -> FileSystemRef {
        let concerned = self.root.as_ref().is_none_or(|root| {
            let rest = files.uri().strip_prefix(&**root);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/') || root.ends_with('/'))
        });
        if concerned { Arc::new(Interruptible { files, outage: self.clone() }) } else { files }
    }
}

struct Interruptible {
    files: FileSystemRef,
    outage: StorageOutage,
}

impl Interruptible {
    async fn reached<T>(&self, path: &str, work: impl Future<Output = Result<T, FileError>>) -> Result<T, FileError> {
        let failed = || FileError::Failed { path: path.to_owned(), reason: REASON.to_owned(), retryable: true };
        if self.outage.is_under_way() {
            return Err(failed());
        }
        let done = work.await;
        if self.outage.is_under_way() { Err(failed()) } else { done }
    }

    async fn written(&self, path: &str, bytes: Bytes) -> Result<(), FileError> {
        if self.outage.is_under_way() {
            return Err(FileError::Failed { path: path.to_owned(), reason: REASON.to_owned(), retryable: true });
        }
        let done = self.files.write_new(path, bytes).await;
        if !self.outage.is_under_way() {
            return done;
        }
        Err(FileError::Unknown { path: path.to_owned(), reason: REASON.to_owned() })
    }
}

impl FileSystem for Interruptible {
    fn write_new<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), FileError>> {
        self.written(path, bytes).boxed()
    }

    fn read<'a>(&'a self, path: &'a str, limit: u64) -> BoxFuture<'a, Result<Bytes, FileError>> {
        self.reached(path, self.files.read(path, limit)).boxed()
    }

    fn read_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Bytes, FileError>> {
        self.reached(path, self.files.read_range(path, range)).boxed()
    }

    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<u64, FileError>> {
        self.reached(path, self.files.size(path)).boxed()
    }

    fn list<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<Vec<FileEntry>, FileError>> {
        self.reached(directory, self.files.list(directory)).boxed()
    }

    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), FileError>> {
        self.reached(path, self.files.delete(path)).boxed()
    }

    fn sync_deletes<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<(), FileError>> {
        self.reached(directory, self.files.sync_deletes(directory)).boxed()
    }

    fn remove_unfinished<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<usize, FileError>> {
        self.reached(directory, self.files.remove_unfinished(directory)).boxed()
    }

    fn uri(&self) -> &str {
        self.files.uri()
    }
}

#[cfg(test)]
mod tests {
    use super::super::{LocalFileSystem, StorageOptions, open};
    use super::*;

    fn opened(directory: &str, outage: &StorageOutage) -> FileSystemRef {
        open(directory, &StorageOptions { outage: Some(outage.clone()), ..StorageOptions::default() }).unwrap()
    }

    #[tokio::test]
    async fn operations_fail_during_an_outage_and_change_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let outage = StorageOutage::of_everything();
        let files = opened(directory.path().to_str().unwrap(), &outage);
        files.write_new("a/b", Bytes::from_static(b"x")).await.unwrap();
        outage.set(true);
        let failures = [
            files.write_new("a/c", Bytes::from_static(b"x")).await.unwrap_err(),
            files.read("a/b", 10).await.unwrap_err(),
            files.read_range("a/b", 0..1).await.unwrap_err(),
            files.size("a/b").await.unwrap_err(),
            files.list("a").await.unwrap_err(),
            files.delete("a/b").await.unwrap_err(),
        ];
        assert!(failures.iter().all(FileError::is_retryable), "{failures:?}");
        outage.set(false);
        let there: Vec<String> = files.list("a").await.unwrap().into_iter().map(|entry| entry.path).collect();
        assert_eq!(there, ["a/b"], "operations during the outage had no effect");
    }

    #[tokio::test]
    async fn a_write_in_flight_when_an_outage_begins_has_an_unknown_outcome() {
        let outage = StorageOutage::of_everything();
        let within = Interruptible { files: Arc::new(Late(outage.clone())), outage: outage.clone() };
        let lost = within.write_new("a", Bytes::new()).await;
        assert!(matches!(lost, Err(FileError::Unknown { .. })), "{lost:?}");
    }

    /// A file system on which an outage begins in the middle of a write.
    struct Late(StorageOutage);

    impl FileSystem for Late {
        fn write_new<'a>(&'a self, _: &'a str, _: Bytes) -> BoxFuture<'a, Result<(), FileError>> {
            self.0.set(true);
            async { Ok(()) }.boxed()
        }

        fn read<'a>(&'a self, _: &'a str, _: u64) -> BoxFuture<'a, Result<Bytes, FileError>> {
            async { Ok(Bytes::new()) }.boxed()
        }

        fn read_range<'a>(&'a self, _: &'a str, _: Range<u64>) -> BoxFuture<'a, Result<Bytes, FileError>> {
            async { Ok(Bytes::new()) }.boxed()
        }

        fn size<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<u64, FileError>> {
            async { Ok(0) }.boxed()
        }

        fn list<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<Vec<FileEntry>, FileError>> {
            async { Ok(Vec::new()) }.boxed()
        }

        fn delete<'a>(&'a self, _: &'a str) -> BoxFuture<'a, Result<(), FileError>> {
            async { Ok(()) }.boxed()
        }

        fn uri(&self) -> &str {
            "late://"
        }
    }

    #[tokio::test]
    async fn an_outage_affects_only_directories_below_its_root() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let root = LocalFileSystem::new(directory.path().join("checkpoints"));
        let outage = StorageOutage::below(root.uri());
        outage.set(true);
        for (name, concerned) in
            [("checkpoints", true), ("checkpoints/savepoints", true), ("checkpoints-2", false), ("ha", false)]
        {
            let files = opened(&path(name), &outage);
            assert_eq!(files.list("").await.is_err(), concerned, "{name}");
        }
    }
}
