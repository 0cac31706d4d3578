//! Files on a local or mounted file system.

mod durable;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::sync::Semaphore;
use weir_world::{random_id, wall_clock_ms};

use super::path::{check_directory, check_path};
use super::{FileEntry, FileError, FileSystem};
use durable::failed;
pub use durable::{Published, create_directories, publish, sync_directory, sync_file};

/// Maximum number of concurrent blocking operations of one file system. Most of their time, they wait for a sync. A file system
/// commits the syncs that wait at the same time together, so many of them take hardly longer than one.
const CONCURRENT_OPERATIONS: usize = 64;

/// A listing removes temporary files older than this: they are left over from writers that crashed.
const LEFTOVER_AGE_MS: u64 = 24 * 60 * 60 * 1000;

/// Prefix of the names of temporary files. `check_path` refuses such names.
const TEMPORARY: &str = ".tmp-";

/// Maximum number of attempts of a write whose directory another process removes.
const WRITE_ATTEMPTS: u32 = 3;

/// Maximum number of directories that are remembered as durable.
const REMEMBERED_DIRECTORIES: usize = 32_768;

/// Files on a local or mounted file system. Written files survive power loss.
///
/// A write creates a temporary file, syncs it, renames it unless the name is taken, and syncs the directory. Between the last two
/// steps, a reader may see the complete file a moment before it is certain to survive.
#[derive(Clone)]
pub struct LocalFileSystem {
    disk: Arc<Disk>,
    operations: Arc<Semaphore>,
    uri: String,
}

struct Disk {
    root: PathBuf,
    /// Directories whose own names are known to be durable, with their inode numbers. If another process removes and recreates a
    /// directory, the inode number differs.
    durable: Mutex<BTreeMap<PathBuf, u64>>,
}

impl LocalFileSystem {
    /// Opens the files under `root`, an absolute path. The first write creates it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let uri = format!("file://{}", root.display());
        Self {
            disk: Arc::new(Disk { root, durable: Mutex::new(BTreeMap::new()) }),
            operations: Arc::new(Semaphore::new(CONCURRENT_OPERATIONS)),
            uri,
        }
    }

    /// Runs a blocking operation on a blocking thread, not on an async one.
    fn run<'a, T: Send + 'static>(
        &'a self,
        path: &'a str,
        operation: impl FnOnce(&Disk, &str) -> Result<T, FileError> + Send + 'static,
    ) -> BoxFuture<'a, Result<T, FileError>> {
        let broken = |reason: String| FileError::Failed { path: path.to_owned(), reason, retryable: false };
        async move {
            let permit = self.operations.clone().acquire_owned().await.map_err(|error| broken(error.to_string()))?;
            let (disk, owned) = (self.disk.clone(), path.to_owned());
            #[expect(clippy::disallowed_methods, reason = "a simulation uses another file system")]
            let blocking = tokio::task::spawn_blocking(move || {
                let outcome = operation(&disk, &owned);
                drop(permit);
                outcome
            });
            blocking.await.map_err(|error| broken(format!("the file operation panicked: {error}")))?
        }
        .boxed()
    }
}

impl FileSystem for LocalFileSystem {
    fn write_new<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), FileError>> {
        self.run(path, move |disk, path| disk.write_new(path, &bytes))
    }

    fn read<'a>(&'a self, path: &'a str, limit: u64) -> BoxFuture<'a, Result<Bytes, FileError>> {
        self.run(path, move |disk, path| disk.read(path, limit))
    }

    fn read_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Bytes, FileError>> {
        self.run(path, move |disk, path| disk.read_range(path, range))
    }

    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<u64, FileError>> {
        self.run(path, move |disk, path| disk.open(path).map(|(_, size)| size))
    }

    fn list<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<Vec<FileEntry>, FileError>> {
        self.run(directory, move |disk, directory| disk.list(directory))
    }

    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), FileError>> {
        self.run(path, move |disk, path| disk.delete(path))
    }

    fn sync_deletes<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<(), FileError>> {
        self.run(directory, move |disk, directory| disk.sync_deletes(directory))
    }

    fn remove_unfinished<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<usize, FileError>> {
        self.run(directory, move |disk, directory| disk.remove_unfinished(directory))
    }

    fn uri(&self) -> &str {
        &self.uri
    }
}

impl Disk {
    fn write_new(&self, path: &str, bytes: &[u8]) -> Result<(), FileError> {
        check_path(path)?;
        let full = self.root.join(path);
        let directory = full.parent().unwrap_or(&self.root);
        for _ in 0..WRITE_ATTEMPTS {
            self.make_durable(directory)?;
            let temporary = directory.join(format!("{TEMPORARY}{:032x}", random_id()));
            let written = write_synced(&temporary, bytes).and_then(|()| durable::rename_new(&temporary, &full));
            let Err(error) = written else {
                return sync_directory(directory)
                    .map_err(|error| FileError::Unknown { path: path.to_owned(), reason: error.to_string() });
            };
            // If this fails, a listing removes the file when it is old.
            let _ = fs::remove_file(&temporary);
            match error.kind() {
                ErrorKind::AlreadyExists => {
                    // The caller may conclude from "exists" that the file is durable, but its writer may not have synced the name
                    // yet.
                    sync_directory(directory)?;
                    return Err(FileError::AlreadyExists { path: path.to_owned() });
                }
                // Another process removed the directory while it was empty, or the temporary file.
                ErrorKind::NotFound => {}
                _ => return Err(failed(&full, &error)),
            }
        }
        Err(FileError::Failed {
            path: path.to_owned(),
            reason: "another process keeps removing its directory or its temporary files".to_owned(),
            retryable: true,
        })
    }

    /// Creates a directory, and makes its name and the names of its parents durable, as far as they are not known to be.
    fn make_durable(&self, directory: &Path) -> Result<(), FileError> {
        if self.is_durable(directory) {
            return Ok(());
        }
        create_directories(directory)?;
        let below_root = |place: &&Path| place.starts_with(&self.root) && **place != self.root;
        let unsure: Vec<_> = directory.ancestors().take_while(|place| below_root(place) && !self.is_durable(place)).collect();
        // From the outside in, because a directory that is known to be durable must not be in one that is not.
        for place in unsure.into_iter().rev() {
            let Some(parent) = place.parent() else { continue };
            // If another process created the directory, it may not have synced the name yet.
            sync_directory(parent)?;
            self.remember(place);
        }
        Ok(())
    }

    fn is_durable(&self, directory: &Path) -> bool {
        let known = self.durable.lock().unwrap_or_else(PoisonError::into_inner).get(directory).copied();
        known.is_some() && known == inode(directory)
    }

    fn remember(&self, directory: &Path) {
        let Some(inode) = inode(directory) else { return };
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable.len() >= REMEMBERED_DIRECTORIES {
            durable.clear();
        }
        durable.insert(directory.to_owned(), inode);
    }

    /// Opens a regular file for reading. Never blocks on a FIFO or a device.
    fn open(&self, path: &str) -> Result<(File, u64), FileError> {
        check_path(path)?;
        let full = self.root.join(path);
        let mut options = OpenOptions::new();
        let file = options.read(true).custom_flags(nix::libc::O_NONBLOCK).open(&full).map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => FileError::NotFound { path: path.to_owned() },
            _ => failed(&full, &error),
        })?;
        let metadata = file.metadata().map_err(|error| failed(&full, &error))?;
        if !metadata.is_file() {
            let reason = "it is not a regular file".to_owned();
            return Err(FileError::Failed { path: path.to_owned(), reason, retryable: false });
        }
        Ok((file, metadata.len()))
    }

    fn read(&self, path: &str, limit: u64) -> Result<Bytes, FileError> {
        let (file, size) = self.open(path)?;
        if size > limit {
            let expected = format!("at most {limit} expected");
            return Err(FileError::WrongSize { path: path.to_owned(), size, expected });
        }
        let mut bytes = Vec::with_capacity(size as usize);
        file.take(limit).read_to_end(&mut bytes).map_err(|error| failed(&self.root.join(path), &error))?;
        Ok(bytes.into())
    }

    fn read_range(&self, path: &str, range: Range<u64>) -> Result<Bytes, FileError> {
        let (mut file, size) = self.open(path)?;
        if range.start > range.end || range.end > size {
            let expected = format!("bytes {} to {} expected", range.start, range.end);
            return Err(FileError::WrongSize { path: path.to_owned(), size, expected });
        }
        let mut bytes = vec![0; (range.end - range.start) as usize];
        let read = file.seek(SeekFrom::Start(range.start)).and_then(|_| file.read_exact(&mut bytes));
        read.map_err(|error| failed(&self.root.join(path), &error))?;
        Ok(bytes.into())
    }

    fn list(&self, directory: &str) -> Result<Vec<FileEntry>, FileError> {
        check_directory(directory)?;
        let mut found = Vec::new();
        let mut pending = vec![directory.to_owned()];
        while let Some(directory) = pending.pop() {
            for entry in entries(&self.root.join(&directory))? {
                let Ok(name) = entry.file_name().into_string() else { continue };
                if name.starts_with(TEMPORARY) {
                    remove_if_old(&entry.path());
                    continue;
                }
                let path = if directory.is_empty() { name } else { format!("{directory}/{name}") };
                if check_path(&path).is_err() {
                    continue;
                }
                match entry.metadata() {
                    Ok(metadata) if metadata.is_dir() => pending.push(path),
                    Ok(metadata) if metadata.is_file() => found.push(FileEntry { path, size: metadata.len() }),
                    Ok(_) => {}
                    Err(error) if error.kind() == ErrorKind::NotFound => {}
                    Err(error) => return Err(failed(&entry.path(), &error)),
                }
            }
        }
        found.sort_by(|a, b| a.path.cmp(&b.path));
        Ok(found)
    }

    /// Syncs all directories at or below `directory`, so that the removal of names from them is durable. If `directory` no longer
    /// exists, syncs its nearest existing parent.
    fn sync_deletes(&self, directory: &str) -> Result<(), FileError> {
        check_directory(directory)?;
        let full = self.root.join(directory);
        let mut places = full.ancestors().take_while(|place| place.starts_with(&self.root));
        let Some(nearest) = places.find(|place| place.is_dir()) else { return Ok(()) };
        let mut pending = vec![nearest.to_owned()];
        while let Some(place) = pending.pop() {
            sync_directory(&place)?;
            if place.starts_with(&full) {
                let entries = fs::read_dir(&place).map_err(|error| failed(&place, &error))?;
                pending.extend(entries.flatten().map(|entry| entry.path()).filter(|path| path.is_dir()));
            }
        }
        Ok(())
    }

    fn delete(&self, path: &str) -> Result<(), FileError> {
        check_path(path)?;
        self.remove(&self.root.join(path))
    }

    /// Removes all temporary files at or below `directory`, whatever their age.
    fn remove_unfinished(&self, directory: &str) -> Result<usize, FileError> {
        check_directory(directory)?;
        let mut removed = 0;
        let mut pending = vec![self.root.join(directory)];
        while let Some(place) = pending.pop() {
            for entry in entries(&place)? {
                if entry.file_name().to_str().is_some_and(|name| name.starts_with(TEMPORARY)) {
                    // If its writer has just renamed the file, this removes nothing: the file has its final name. If not, the
                    // writer's rename fails, and the writer begins again with another temporary file.
                    self.remove(&entry.path())?;
                    removed += 1;
                } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    pending.push(entry.path());
                }
            }
        }
        Ok(removed)
    }

    /// Removes a file and the directories that become empty. The removal is not synced.
    fn remove(&self, full: &Path) -> Result<(), FileError> {
        match fs::remove_file(full) {
            Ok(()) => {}
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {}
            Err(error) => return Err(failed(full, &error)),
        }
        for parent in full.ancestors().skip(1).take_while(|parent| parent.starts_with(&self.root) && *parent != self.root) {
            if fs::remove_dir(parent).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// What a directory contains: nothing if there is no such directory.
fn entries(directory: &Path) -> Result<Vec<fs::DirEntry>, FileError> {
    match fs::read_dir(directory) {
        Ok(entries) => entries.collect::<io::Result<_>>().map_err(|error| failed(directory, &error)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(Vec::new()),
        Err(error) => Err(failed(directory, &error)),
    }
}

fn inode(path: &Path) -> Option<u64> {
    fs::metadata(path).map(|metadata| metadata.ino()).ok()
}

fn write_synced(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

fn remove_if_old(temporary: &Path) {
    let Ok(metadata) = fs::symlink_metadata(temporary) else { return };
    let modified_ms = u64::try_from(metadata.mtime()).unwrap_or(0).saturating_mul(1000);
    if wall_clock_ms().saturating_sub(modified_ms) > LEFTOVER_AGE_MS && fs::remove_file(temporary).is_ok() {
        tracing::info!(file = %temporary.display(), "removed a temporary file that a crashed writer left behind");
    }
}

#[cfg(test)]
mod tests;
