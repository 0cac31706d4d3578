//! An object store that every host reaches. It is durable and slow, and faults can be injected.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::FutureExt;
use futures::future::BoxFuture;
use weir_protocol::JobId;
use weir_storage::checkpoint::layout;
use weir_storage::file_system::{FileEntry, FileError, FileSystem, FileSystemRef};
use weir_verdict::fact::Fact;
use weir_verdict::random::Random;

use super::network::Network;
use super::observations::Observations;

/// The scheme of the store's URIs.
pub const SCHEME: &str = "sim";
/// The directory of all checkpoints.
pub const CHECKPOINTS: &str = "checkpoints/";

/// A fault of the store. It lasts until another one is set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StoreFault {
    /// How many operations in a thousand fail without effect.
    pub fails: u64,
    /// How many writes and deletions in a thousand get no answer. About half of them take effect.
    pub unknown: u64,
    /// Whether every operation fails.
    pub down: bool,
}

/// What happened to the store.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreFootprint {
    pub written: u64,
    pub refused: u64,
    /// Number of operations that got no answer.
    pub unknown: u64,
    /// Number of checkpoint files that were written after the result of their job was recorded, and that still exist.
    pub late: u64,
}

/// The object store of a simulation. Clones share their state.
#[derive(Debug, Clone)]
pub struct ObjectStore {
    state: Arc<Mutex<State>>,
    random: Arc<Random>,
    network: Network,
    observations: Observations,
}

#[derive(Debug, Default)]
struct State {
    files: BTreeMap<String, Bytes>,
    /// Checkpoint directories of jobs whose result is recorded.
    ended: BTreeSet<String>,
    /// Files that were written to these directories afterwards.
    late: BTreeSet<String>,
    fault: StoreFault,
    footprint: StoreFootprint,
}

impl ObjectStore {
    /// An empty store without faults.
    pub fn new(seed: u64, network: Network, observations: Observations) -> Self {
        Self { state: Arc::default(), random: Arc::new(Random::new(seed, "store")), network, observations }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the fault of the store, from now on.
    pub fn set_fault(&self, fault: StoreFault) {
        self.state().fault = fault;
    }

    /// Returns what happened to the store so far.
    pub fn footprint(&self) -> StoreFootprint {
        let state = self.state();
        StoreFootprint { late: state.late.len() as u64, ..state.footprint }
    }

    /// Returns the content of a file. Faults do not affect this.
    pub fn content(&self, path: &str) -> Option<Bytes> {
        self.state().files.get(path).cloned()
    }

    /// Notes that the result of a job is recorded. Checkpoint files of the job that are written later count as late: only a task
    /// that was already writing may write one.
    pub fn note_end(&self, job: JobId) {
        self.state().ended.insert(format!("{CHECKPOINTS}{}/", layout::job_directory(job)));
    }

    /// Returns all checkpoint files except the late ones, which were written after their job had ended.
    pub fn checkpoint_files(&self) -> Vec<String> {
        let state = self.state();
        let files = state.files.keys().filter(|path| path.starts_with(CHECKPOINTS) && !state.late.contains(*path));
        files.cloned().collect()
    }

    /// Returns the paths of all files. Faults do not affect this.
    pub fn paths(&self) -> Vec<String> {
        self.state().files.keys().cloned().collect()
    }

    /// Returns a file system with the files under `uri`, which is `sim://directory`.
    pub fn open(&self, uri: &str) -> FileSystemRef {
        let prefix = uri.trim_start_matches("sim://").trim_matches('/').to_owned();
        Arc::new(Directory { store: self.clone(), uri: format!("{SCHEME}://{prefix}"), prefix })
    }

    async fn travel(&self) {
        tokio::time::sleep(Duration::from_millis(self.random.between(1, 12))).await;
    }

    /// Performs an operation that only reads.
    async fn ask<T>(&self, path: &str, ask: impl FnOnce(&State) -> Result<T, FileError> + Send) -> Result<T, FileError> {
        self.travel().await;
        let answer = {
            let mut state = self.state();
            if self.refuses(&mut state, path) { Err(failed(path)) } else { ask(&state) }
        };
        self.travel().await;
        answer
    }

    /// Performs an operation that changes files.
    async fn change(&self, path: &str, change: impl FnOnce(&mut State) -> Result<(), FileError> + Send) -> Result<(), FileError> {
        self.travel().await;
        let answer = {
            let mut state = self.state();
            let unknown = state.fault.unknown;
            if self.refuses(&mut state, path) {
                Err(failed(path))
            } else if self.random.chance(unknown) {
                state.footprint.unknown += 1;
                if self.random.chance(500) {
                    // The result of the change is lost, like any answer of this operation.
                    let _ = change(&mut state);
                }
                Err(FileError::Unknown { path: path.to_owned(), reason: "no answer".to_owned() })
            } else {
                change(&mut state)
            }
        };
        self.travel().await;
        answer
    }

    fn refuses(&self, state: &mut State, path: &str) -> bool {
        let refuses = state.fault.down || self.random.chance(state.fault.fails);
        if refuses {
            state.footprint.refused += 1;
            tracing::debug!(host = self.network.current(), path, "the store refuses");
        }
        refuses
    }
}

fn failed(path: &str) -> FileError {
    FileError::Failed { path: path.to_owned(), reason: "503 Service Unavailable".to_owned(), retryable: true }
}

fn not_found(path: &str) -> FileError {
    FileError::NotFound { path: path.to_owned() }
}

struct Directory {
    store: ObjectStore,
    uri: String,
    prefix: String,
}

impl Directory {
    fn key(&self, path: &str) -> String {
        format!("{}/{path}", self.prefix)
    }
}

impl FileSystem for Directory {
    fn write_new<'a>(&'a self, path: &'a str, bytes: Bytes) -> BoxFuture<'a, Result<(), FileError>> {
        let key = self.key(path);
        let write = move |state: &mut State| {
            if state.files.contains_key(&key) {
                return Err(FileError::AlreadyExists { path: path.to_owned() });
            }
            if state.ended.iter().any(|directory| key.starts_with(directory)) {
                state.late.insert(key.clone());
            }
            state.files.insert(key, bytes);
            state.footprint.written += 1;
            Ok(())
        };
        self.store.change(path, write).boxed()
    }

    fn read<'a>(&'a self, path: &'a str, limit: u64) -> BoxFuture<'a, Result<Bytes, FileError>> {
        let key = self.key(path);
        let read = move |state: &State| {
            let bytes = state.files.get(&key).cloned().ok_or_else(|| not_found(path))?;
            let size = bytes.len() as u64;
            if size > limit {
                let expected = format!("at most {limit} expected");
                return Err(FileError::WrongSize { path: path.to_owned(), size, expected });
            }
            Ok(bytes)
        };
        self.store.ask(path, read).boxed()
    }

    fn read_range<'a>(&'a self, path: &'a str, range: Range<u64>) -> BoxFuture<'a, Result<Bytes, FileError>> {
        let key = self.key(path);
        let read = move |state: &State| {
            let bytes = state.files.get(&key).ok_or_else(|| not_found(path))?;
            let size = bytes.len() as u64;
            if range.start > range.end || range.end > size {
                let expected = format!("bytes {} to {} expected", range.start, range.end);
                return Err(FileError::WrongSize { path: path.to_owned(), size, expected });
            }
            Ok(bytes.slice(range.start as usize..range.end as usize))
        };
        self.store.ask(path, read).boxed()
    }

    fn size<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<u64, FileError>> {
        let key = self.key(path);
        let size = move |state: &State| state.files.get(&key).map(|bytes| bytes.len() as u64).ok_or_else(|| not_found(path));
        self.store.ask(path, size).boxed()
    }

    fn list<'a>(&'a self, directory: &'a str) -> BoxFuture<'a, Result<Vec<FileEntry>, FileError>> {
        let (root, prefix) = (format!("{}/", self.prefix), format!("{}/", self.key(directory).trim_end_matches('/')));
        let list = move |state: &State| {
            let under = state.files.iter().filter(|(path, _)| path.starts_with(&prefix));
            let entry = |(path, bytes): (&String, &Bytes)| FileEntry {
                path: path.trim_start_matches(root.as_str()).to_owned(),
                size: bytes.len() as u64,
            };
            Ok(under.map(entry).collect())
        };
        self.store.ask(directory, list).boxed()
    }

    fn delete<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<(), FileError>> {
        let (key, observations) = (self.key(path), self.store.observations.clone());
        let delete = move |state: &mut State| {
            state.late.remove(&key);
            if state.files.remove(&key).is_some()
                && let Some(path) = key.strip_prefix(CHECKPOINTS)
            {
                observations.note(Fact::FileDeleted { path: path.to_owned() });
            }
            Ok(())
        };
        self.store.change(path, delete).boxed()
    }

    fn uri(&self) -> &str {
        &self.uri
    }
}
