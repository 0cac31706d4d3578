//! Who this member is, on disk; and the lock that keeps a second process out of its directory.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use weir_world::disk::{self, ProcessLock};

use super::log::LogError;
use super::log::segment::sync_directory;
use super::types::NodeId;

/// What a member wrote down before it became one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// Of which group.
    pub cluster_id: String,
    /// Under which name.
    pub name: String,
    /// What raft calls it.
    pub node_id: NodeId,
    /// Whether it is one of those who found the group; else it joined later, or again.
    pub founder: bool,
    /// Whether its log has held anything: then a log that holds nothing is a lost one.
    pub formed: bool,
}

#[derive(Serialize, Deserialize)]
struct Checked {
    identity: Identity,
    crc32c: u32,
}

/// Takes the directory; `Ok(None)` if another process holds it.
pub(crate) fn lock(directory: &Path) -> Result<Option<ProcessLock>, LogError> {
    disk::create_dir_all(directory).map_err(LogError::io(directory))?;
    let path = directory.join("lock");
    disk::lock(&path).map_err(LogError::io(path))
}

fn path(directory: &Path) -> PathBuf {
    directory.join("identity.json")
}

/// What was written down, if anything was. It is durable.
pub(crate) fn load(directory: &Path) -> Result<Option<Identity>, LogError> {
    let path = path(directory);
    if !disk::exists(&path).map_err(LogError::io(&path))? {
        return Ok(None);
    }
    // Its name may not have been made durable by whoever gave it.
    sync_directory(directory)?;
    let text = disk::read(&path).map_err(LogError::io(&path))?;
    let corrupt = |what: &str| LogError::Corrupt { path: path.clone(), offset: 0, what: what.into() };
    let checked: Checked = serde_json::from_slice(&text).map_err(|_| corrupt("it can't be read"))?;
    if checksum(&checked.identity) != Some(checked.crc32c) {
        return Err(corrupt("the checksum is wrong"));
    }
    Ok(Some(checked.identity))
}

/// Writes it down, durably.
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
    fn an_identity_survives_and_a_damaged_one_is_refused() {
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
