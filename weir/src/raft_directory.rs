//! Checks at the start of a JobManager that it may use the directory of its raft log. Without the check, a missing permission
//! would look like a damaged log.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::{AccessFlags, access};

use crate::start_error::StartError;

/// The directory has this many levels.
const DEPTH: u32 = 3;

/// Checks that this process may write into the directory, which is created if it is missing, and may change each file in it. Other
/// faults of the disk are not its concern: raft finds and reports them.
pub(crate) fn check(directory: &Path) -> Result<(), StartError> {
    let refused = |(path, source): (PathBuf, io::Error)| StartError::RaftDirectory { path, source };
    match fs::create_dir_all(directory) {
        Err(error) if is_forbidden(&error) => Err(refused((directory.to_owned(), error))),
        _ => check_entries(directory, DEPTH).map_err(refused),
    }
}

fn check_entries(directory: &Path, depth: u32) -> Result<(), (PathBuf, io::Error)> {
    check_access(directory, AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK)?;
    for path in fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path()) {
        match fs::symlink_metadata(&path) {
            Ok(found) if found.is_dir() && depth > 0 => check_entries(&path, depth - 1)?,
            Ok(found) if found.is_file() => check_access(&path, AccessFlags::R_OK | AccessFlags::W_OK)?,
            _ => {}
        }
    }
    Ok(())
}

fn check_access(path: &Path, flags: AccessFlags) -> Result<(), (PathBuf, io::Error)> {
    match access(path, flags).map_err(io::Error::from) {
        Err(error) if is_forbidden(&error) => Err((path.to_owned(), error)),
        _ => Ok(()),
    }
}

fn is_forbidden(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem | io::ErrorKind::NotADirectory)
}
