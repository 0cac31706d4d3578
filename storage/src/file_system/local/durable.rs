//! The synchronous steps that make files durable on a local file system.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::FileError;

/// The outcome of [`publish`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// This call gave the file its final name.
    Now,
    /// The file already had its final name: an earlier call had succeeded or crashed.
    Before,
}

/// Gives a finished file its final name, durably. The call can be repeated after a crash at any point.
///
/// The file must have been synced ([`sync_file`]), and both names must be on the same file system. Errors: `NotFound` if neither
/// name exists, so the file is lost; `AlreadyExists` if another file has the final name, and then the temporary file stays.
pub fn publish(temporary: &Path, published: &Path) -> Result<Published, FileError> {
    let outcome = match rename_new(temporary, published) {
        Ok(()) => Published::Now,
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::symlink_metadata(published) {
            // An earlier attempt may have crashed before it synced the directory.
            Ok(_) => Published::Before,
            Err(missing) if missing.kind() == ErrorKind::NotFound => {
                return Err(FileError::NotFound { path: temporary.display().to_string() });
            }
            Err(error) => return Err(failed(published, &error)),
        },
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            if !is_same_file(temporary, published) {
                return Err(FileError::AlreadyExists { path: published.display().to_string() });
            }
            fs::remove_file(temporary).map_err(|error| failed(temporary, &error))?;
            Published::Before
        }
        Err(error) => return Err(failed(published, &error)),
    };
    for name in [published, temporary] {
        if let Some(directory) = name.parent() {
            sync_directory(directory)
                .map_err(|error| FileError::Unknown { path: published.display().to_string(), reason: error.to_string() })?;
        }
    }
    Ok(outcome)
}

/// Makes the bytes and the name of a file durable.
pub fn sync_file(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| failed(path, &error))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Makes the names in a directory durable, and their removal.
pub fn sync_directory(path: &Path) -> Result<(), FileError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| failed(path, &error))
}

/// Creates a directory and its missing parents, durably. If it exists already, nothing happens.
pub fn create_directories(path: &Path) -> Result<(), FileError> {
    let missing: Vec<&Path> = path.ancestors().take_while(|path| !path.as_os_str().is_empty() && !path.is_dir()).collect();
    for directory in missing.into_iter().rev() {
        match fs::create_dir(directory) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::AlreadyExists && directory.is_dir() => {}
            Err(error) => return Err(failed(directory, &error)),
        }
        if let Some(parent) = directory.parent() {
            sync_directory(parent)?;
        }
    }
    Ok(())
}

/// Renames a file atomically, unless the new name is taken. The rename is durable only after the directory is synced.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => Ok(()),
        // Some file systems do not support this flag, e.g. NFS.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::ENOTSUP) => {
            fs::hard_link(from, to)?;
            // The file has its final name. If the temporary name remains, it does no harm.
            let _ = fs::remove_file(from);
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| fs::symlink_metadata(path).map(|metadata| (metadata.dev(), metadata.ino()));
    matches!((identity(one), identity(other)), (Ok(one), Ok(other)) if one == other)
}

/// The error of an operation that wrote nothing.
pub(super) fn failed(path: &Path, error: &io::Error) -> FileError {
    let hopeless = matches!(
        error.kind(),
        ErrorKind::PermissionDenied
            | ErrorKind::AlreadyExists
            | ErrorKind::NotADirectory
            | ErrorKind::IsADirectory
            | ErrorKind::InvalidInput
            | ErrorKind::InvalidFilename
            | ErrorKind::Unsupported
            | ErrorKind::FileTooLarge
    ) || error.raw_os_error() == Some(Errno::ELOOP as i32);
    FileError::Failed { path: path.display().to_string(), reason: error.to_string(), retryable: !hopeless }
}
