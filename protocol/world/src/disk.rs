//! The disk operations with which coordination stores its log, votes and snapshots.

use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use crate::simulation::OpenMode;
use crate::simulation::{self, SimulatedFile};

/// An open file that can be read and written at any offset.
#[derive(Debug)]
pub struct File {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    Real(fs::File),
    Simulated(Arc<dyn SimulatedFile>),
}

impl File {
    /// Opens the file at `path`.
    pub fn open(path: &Path, mode: OpenMode) -> io::Result<Self> {
        if let Some(simulation) = simulation::current() {
            return Ok(Self { kind: Kind::Simulated(simulation.disk().open(path, mode)?) });
        }
        let mut options = fs::OpenOptions::new();
        options.read(true).write(true);
        match mode {
            OpenMode::Existing => &mut options,
            OpenMode::CreateIfAbsent => options.create(true).truncate(false),
            OpenMode::CreateNew => options.create_new(true),
            OpenMode::Truncate => options.create(true).truncate(true),
        };
        Ok(Self { kind: Kind::Real(options.open(path)?) })
    }

    /// The file's length in bytes.
    pub fn length(&self) -> io::Result<u64> {
        match &self.kind {
            Kind::Real(file) => Ok(file.metadata()?.len()),
            Kind::Simulated(file) => file.length(),
        }
    }

    /// Truncates the file, or extends it with zeros.
    pub fn set_len(&self, length: u64) -> io::Result<()> {
        match &self.kind {
            Kind::Real(file) => file.set_len(length),
            Kind::Simulated(file) => file.set_len(length),
        }
    }

    /// Fills `buffer` with the bytes at `offset`.
    pub fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        match &self.kind {
            Kind::Real(file) => file.read_exact_at(buffer, offset),
            Kind::Simulated(file) => file.read_exact_at(buffer, offset),
        }
    }

    /// Writes all of `bytes` at `offset`.
    pub fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        match &self.kind {
            Kind::Real(file) => file.write_all_at(bytes, offset),
            Kind::Simulated(file) => file.write_all_at(bytes, offset),
        }
    }

    /// Makes the file's contents durable, and its length if that is needed to read them.
    pub fn sync_data(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Real(file) => file.sync_data(),
            Kind::Simulated(file) => file.sync(),
        }
    }

    /// Makes the file's contents and metadata durable. Its name becomes durable with [`sync_directory`].
    pub fn sync_all(&self) -> io::Result<()> {
        match &self.kind {
            Kind::Real(file) => file.sync_all(),
            Kind::Simulated(file) => file.sync(),
        }
    }
}

/// Creates a directory and its missing parents.
pub fn create_dir_all(path: &Path) -> io::Result<()> {
    match simulation::current() {
        Some(simulation) => simulation.disk().create_dir_all(path),
        None => fs::create_dir_all(path),
    }
}

/// Whether a file exists.
pub fn exists(path: &Path) -> io::Result<bool> {
    match simulation::current() {
        Some(simulation) => simulation.disk().exists(path),
        None => path.try_exists(),
    }
}

/// Reads a whole file.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    if simulation::current().is_none() {
        return fs::read(path);
    }
    let file = File::open(path, OpenMode::Existing)?;
    let mut bytes = vec![0; file.length()? as usize];
    file.read_exact_at(&mut bytes, 0)?;
    Ok(bytes)
}

/// Writes `bytes` to the file `unfinished`, makes them durable and renames it to `path`, replacing an existing file. The name is
/// durable once the directory is synced.
pub fn replace(unfinished: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let file = File::open(unfinished, OpenMode::Truncate)?;
    file.write_all_at(bytes, 0)?;
    file.sync_all()?;
    rename(unfinished, path)
}

/// Renames a file and replaces the file at `to`, if there is one.
pub fn rename(from: &Path, to: &Path) -> io::Result<()> {
    match simulation::current() {
        Some(simulation) => simulation.disk().rename(from, to),
        None => fs::rename(from, to),
    }
}

/// Removes the file at `path`.
pub fn remove_file(path: &Path) -> io::Result<()> {
    match simulation::current() {
        Some(simulation) => simulation.disk().remove_file(path),
        None => fs::remove_file(path),
    }
}

/// The paths of a directory's entries, in no particular order.
pub fn list(directory: &Path) -> io::Result<Vec<PathBuf>> {
    match simulation::current() {
        Some(simulation) => simulation.disk().list(directory),
        None => fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path())).collect(),
    }
}

/// Makes creations, renames and removals in `directory` durable.
pub fn sync_directory(directory: &Path) -> io::Result<()> {
    match simulation::current() {
        Some(simulation) => simulation.disk().sync_directory(directory),
        None => fs::File::open(directory)?.sync_all(),
    }
}

/// An exclusive lock of this process. Dropping it or ending the process releases it.
#[derive(Debug)]
pub struct ProcessLock {
    /// `None` in a simulation, where a host runs one process at a time.
    _file: Option<fs::File>,
}

/// Locks the file at `path` and creates it if necessary. Returns `Ok(None)` if another process holds the lock.
pub fn lock(path: &Path) -> io::Result<Option<ProcessLock>> {
    if simulation::current().is_some() {
        return Ok(Some(ProcessLock { _file: None }));
    }
    let file = fs::OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
    match file.try_lock() {
        Ok(()) => Ok(Some(ProcessLock { _file: Some(file) })),
        Err(fs::TryLockError::WouldBlock) => Ok(None),
        Err(fs::TryLockError::Error(error)) => Err(error),
    }
}
