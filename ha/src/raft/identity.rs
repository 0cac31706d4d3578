//! The identity of this member on disk, and the lock that keeps a second process out of its directory.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_world::disk::{self, ProcessLock};

use super::log::LogError;
use super::log::segment::sync_directory;
use super::types::NodeId;

/// What a member stores before it becomes one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    pub cluster_id: String,
    pub name: String,
    pub node_id: NodeId,
    /// Whether it is a founder of the group. Otherwise it joined later, or again.
    pub founder: bool,
    /// Whether its log has ever held an entry. If so, an empty log means that the log was lost.
    pub formed: bool,
}

#[derive(Serialize, Deserialize)]
struct Checked {
    identity: Identity,
    crc32c: u32,
}

/// Locks the directory. `Ok(None)` if another process holds the lock.
pub(crate) fn lock(directory: &Path) -> Result<Option<ProcessLock>, LogError> {
    disk::create_dir_all(directory).map_err(LogError::io(directory))?;
    let path = directory.join("lock");
    disk::lock(&path).map_err(LogError::io(path))
}

fn path(directory: &Path) -> PathBuf {
    directory.join("identity.json")
}

/// Loads the stored identity, if there is one. It is durable on return.
pub(crate) fn load(directory: &Path) -> Result<Option<Identity>, LogError> {
    let path = path(directory);
    if !disk::exists(&path).map_err(LogError::io(&path))? {
        return Ok(None);
    }
    // The process that renamed the file may have died before the name was durable.
    sync_directory(directory)?;
    let text = disk::read(&path).map_err(LogError::io(&path))?;
    let corrupt = |what: &str| LogError::Corrupt { path: path.clone(), offset: 0, what: what.into() };
    let checked: Checked = serde_json::from_slice(&text).map_err(|_| corrupt("the identity can't be parsed"))?;
    if checksum(&checked.identity) != Some(checked.crc32c) {
        return Err(corrupt("the checksum is wrong"));
    }
    Ok(Some(checked.identity))
}

/// Stores the identity durably.
pub(crate) fn save(directory: &Path, identity: &Identity) -> Result<(), LogError> {
    let path = path(directory);
    let unfinished = directory.join("identity.unfinished");
    let write = || -> std::io::Result<()> {
        let crc32c = checksum(identity).unwrap_or_default();
        let text = serde_json::to_vec_pretty(&Checked { identity: identity.clone(), crc32c })?;
        disk::replace(&unfinished, &path, &text)
    };
    write().map_err(LogError::io(&path))?;
    sync_directory(directory)
}

fn checksum(identity: &Identity) -> Option<u32> {
    serde_json::to_vec(identity).ok().map(|bytes| crc32c::crc32c(&bytes))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn a_saved_identity_is_loaded_and_a_damaged_one_is_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(load(directory.path()).expect("loads"), None);
        let identity = Identity { cluster_id: "c".into(), name: "jm-1".into(), node_id: 7, founder: true, formed: false };
        save(directory.path(), &identity).expect("saves");
        assert_eq!(load(directory.path()).expect("loads"), Some(identity));
        let text = fs::read_to_string(path(directory.path())).expect("reads");
        fs::write(path(directory.path()), text.replace("jm-1", "jm-2")).expect("writes");
        assert!(matches!(load(directory.path()), Err(LogError::Corrupt { .. })));
    }

    #[test]
    fn a_directory_belongs_to_one_process() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let first = lock(directory.path()).expect("locks");
        assert!(first.is_some());
        assert!(lock(directory.path()).expect("asks").is_none());
        drop(first);
        assert!(lock(directory.path()).expect("locks").is_some());
    }
}
