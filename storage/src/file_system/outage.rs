//! Storage that is out of reach for a while on order, for drills.

use std::fmt;
use std::future::Future;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;

use super::{FileEntry, FileError, FileSystem, FileSystemRef};

/// What failed operations say.
const REASON: &str = "a drill (checkpoint-storage-outage) keeps this process from its storage";

/// A switch by which storage is out of reach, and is reached again. Clones are the same switch.
///
/// While it is, operations fail at once and nothing is done. Of one that is under way when it begins the answer is lost: a write
/// is of unknown outcome.
#[derive(Clone)]
pub struct StorageOutage {
    /// URI of the directory concerned; `None`: all that are opened with it.
    root: Option<Arc<str>>,
    under_way: Arc<AtomicBool>,
}

impl fmt::Debug for StorageOutage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageOutage").field("root", &self.root).field("under_way", &self.is_under_way()).finish()
    }
}

impl StorageOutage {
    /// For whatever is opened with it. Everything is within reach.
    pub fn of_everything() -> Self {
        Self { root: None, under_way: Arc::default() }
    }

    /// For the directory of this URI, as [`FileSystem::uri`] tells it, and whatever is below it.
    pub fn below(root: &str) -> Self {
        Self { root: Some(root.into()), under_way: Arc::default() }
    }

    /// From now on storage is out of reach, or within.
    pub fn set(&self, under_way: bool) {
        self.under_way.store(under_way, Ordering::SeqCst);
    }

    /// Whether storage is out of reach.
    pub fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::SeqCst)
    }

    /// The same files, out of reach when the switch says so; as they were if they are not concerned.
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
    async fn an_outage_takes_everything_away_and_gives_it_back_as_it_was() {
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
        assert_eq!(there, ["a/b"], "nothing was done meanwhile");
    }

    #[tokio::test]
    async fn the_answer_to_a_write_under_way_is_lost_and_the_file_may_be_there() {
        let outage = StorageOutage::of_everything();
        let within = Interruptible { files: Arc::new(Late(outage.clone())), outage: outage.clone() };
        let lost = within.write_new("a", Bytes::new()).await;
        assert!(matches!(lost, Err(FileError::Unknown { .. })), "{lost:?}");
    }

    /// A file system that an outage begins in the middle of a write of.
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
    async fn only_what_lies_below_the_root_is_concerned() {
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
