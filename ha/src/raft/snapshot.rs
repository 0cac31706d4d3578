//! Snapshots on disk. Each is one file with a checksum: written under another name, synced and renamed. Then older ones are
//! removed.
//!
//! ```text
//! magic 8 | version u32 | crc32c u32 | length u64 | postcard(Snapshot)
//! ```

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;
use weir_world::{disk, on_thread};

use super::log::LogError;
use super::log::segment::sync_directory;
use super::types::SnapshotMeta;
use crate::fenced_store::FencedStore;

const MAGIC: &[u8; 8] = b"WEIRSNP\n";
const VERSION: u32 = 1;
const HEAD_BYTES: usize = 24;
/// The most bytes of a snapshot: the largest store, and room for everything else.
pub(crate) const MAX_SNAPSHOT_BYTES: u64 = crate::fenced_store::MAX_STORE_BYTES * 2;

/// The state after one log entry.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// The last entry in the state, and the membership after it.
    pub meta: SnapshotMeta,
    pub store: FencedStore,
}

/// The bytes of a snapshot file.
pub(crate) fn encode(snapshot: &Snapshot) -> Result<Bytes, postcard::Error> {
    let mut bytes = postcard::to_extend(snapshot, vec![0; HEAD_BYTES])?;
    let length = (bytes.len() - HEAD_BYTES) as u64;
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
    bytes[16..24].copy_from_slice(&length.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[16..]);
    bytes[12..16].copy_from_slice(&crc.to_le_bytes());
    Ok(bytes.into())
}

/// Decodes a snapshot from the bytes of its file.
pub(crate) fn decode(bytes: &[u8]) -> Result<Snapshot, &'static str> {
    if bytes.len() < HEAD_BYTES || &bytes[..8] != MAGIC {
        return Err("not a snapshot");
    }
    if bytes[8..12] != VERSION.to_le_bytes() {
        return Err("a format version this program does not know");
    }
    if bytes[12..16] != crc32c::crc32c(&bytes[16..]).to_le_bytes() {
        return Err("the checksum is wrong");
    }
    if bytes[16..24] != ((bytes.len() - HEAD_BYTES) as u64).to_le_bytes() {
        return Err("the length is wrong");
    }
    postcard::from_bytes(&bytes[HEAD_BYTES..]).map_err(|_| "it can't be parsed, although its checksum is right")
}

/// The directory that holds the snapshots.
#[derive(Debug, Clone)]
pub(crate) struct SnapshotDirectory {
    directory: PathBuf,
    /// Locked while a snapshot is written. `true` once another process may own the directory.
    closed: Arc<Mutex<bool>>,
}

impl SnapshotDirectory {
    /// Creates the directory if there is none.
    pub(crate) fn open(directory: &Path) -> Result<Self, LogError> {
        disk::create_dir_all(directory).map_err(LogError::io(directory))?;
        if let Some(parent) = directory.parent() {
            sync_directory(parent)?;
        }
        // The process that renamed a snapshot may have died before the name was durable.
        sync_directory(directory)?;
        Ok(Self { directory: directory.to_owned(), closed: Arc::default() })
    }

    /// Waits for a snapshot that is being written. After this call none is written.
    pub(crate) fn close(&self) {
        *self.closed.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    /// Loads the newest snapshot. A damaged one is an error and not skipped, because the log before it has been removed.
    pub(crate) fn load(&self) -> Result<Option<(Snapshot, Bytes)>, LogError> {
        let Some(path) = self.files()?.pop() else { return Ok(None) };
        let bytes = disk::read(&path).map_err(LogError::io(&path))?;
        match decode(&bytes) {
            Ok(snapshot) => Ok(Some((snapshot, bytes.into()))),
            Err(what) => Err(LogError::Corrupt { path, offset: 0, what: what.into() }),
        }
    }

    /// Makes a snapshot durable under its name, then removes older ones. Does nothing once closed, when no caller waits for it.
    pub(crate) fn save(&self, meta: &SnapshotMeta, bytes: &[u8]) -> Result<(), LogError> {
        let closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if *closed {
            return Ok(());
        }
        let index = meta.last_log_id.map_or(0, |log_id| log_id.index);
        let term = meta.last_log_id.map_or(0, |log_id| log_id.leader_id.term);
        let path = self.directory.join(format!("{index:020}-{term:020}.snapshot"));
        let unfinished = self.directory.join("unfinished");
        disk::replace(&unfinished, &path, bytes).map_err(LogError::io(&path))?;
        sync_directory(&self.directory)?;
        for older in self.files()?.into_iter().filter(|file| *file < path) {
            disk::remove_file(&older).map_err(LogError::io(&older))?;
        }
        Ok(())
    }

    /// Snapshot files, oldest first.
    fn files(&self) -> Result<Vec<PathBuf>, LogError> {
        let mut files = disk::list(&self.directory).map_err(LogError::io(&self.directory))?;
        files.retain(|path| path.extension().is_some_and(|extension| extension == "snapshot"));
        files.sort();
        Ok(files)
    }
}

/// Runs work that blocks or takes long on its own thread, so that raft's heartbeats continue.
pub(crate) async fn off_thread<T: Send + 'static>(
    name: &'static str,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let (sender, result) = oneshot::channel();
    on_thread(name, move || {
        let _ = sender.send(work());
    })?;
    result.await.map_err(|_| io::Error::other(format!("thread {name} panicked")))?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::fenced_store::Command;
    use crate::{Candidate, Expect, Operation};

    fn snapshot() -> Snapshot {
        let mut store = FencedStore::default();
        let candidate = Candidate { name: "a".into(), rpc_address: "h:1".into(), rest_address: "h:2".into() };
        store.apply(&Command::Acquire { candidate }, 3);
        let value = Bytes::from_static(b"value");
        let operations = vec![Operation::Put { key: "key".into(), value, expect: Expect::Any }];
        store.apply(&Command::Commit { epoch: store.epoch(), operations }, 4);
        Snapshot { meta: SnapshotMeta::default(), store }
    }

    #[test]
    fn a_saved_snapshot_is_loaded() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let snapshots = SnapshotDirectory::open(&directory.path().join("s")).expect("opens");
        assert!(snapshots.load().expect("loads").is_none());
        let snapshot = snapshot();
        snapshots.save(&snapshot.meta, &encode(&snapshot).expect("encodes")).expect("saves");
        assert_eq!(snapshots.load().expect("loads").map(|(snapshot, _)| snapshot), Some(snapshot));
    }

    #[test]
    fn a_damaged_snapshot_is_refused_with_its_path() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let snapshots = SnapshotDirectory::open(directory.path()).expect("opens");
        let snapshot = snapshot();
        let mut bytes = encode(&snapshot).expect("encodes").to_vec();
        bytes[30] ^= 1;
        snapshots.save(&snapshot.meta, &bytes).expect("saves");
        assert!(matches!(snapshots.load(), Err(LogError::Corrupt { path, .. }) if path.starts_with(directory.path())));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            prop_assert!(decode(&bytes).is_err());
        }

        #[test]
        fn every_damaged_snapshot_is_refused(bit in 0usize..800, cut in any::<prop::sample::Index>()) {
            let mut bytes = encode(&snapshot()).expect("encodes").to_vec();
            prop_assert!(decode(&bytes[..cut.index(bytes.len())]).is_err());
            let bit = bit % (bytes.len() * 8);
            bytes[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(decode(&bytes).is_err());
        }
    }
}
