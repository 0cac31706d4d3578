//! The few synchronous steps that durability on a local file system is made of.

use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::errno::Errno;
use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::FileError;

/// What [`publish`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Published {
    /// The file has its final name now.
    Now,
    /// It had it before: this is a repetition.
    Before,
}

/// Gives a finished file its final name, durably. May be repeated after a crash at any point.
///
/// The file must have been synced ([`sync_file`]), and both names must be on one file system. `NotFound` means that
/// neither name exists: the file is lost. `AlreadyExists` means that another file has the final name; the temporary one
/// is left alone.
pub fn publish(temporary: &Path, published: &Path) -> Result<Published, FileError> {
    let outcome = match rename_new(temporary, published) {
        Ok(()) => Published::Now,
        Err(error) if error.kind() == ErrorKind::NotFound => match fs::symlink_metadata(published) {
            // An earlier attempt may have died before it synced the directory.
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

/// Makes a file's bytes and its name durable.
pub fn sync_file(path: &Path) -> Result<(), FileError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(|error| failed(path, &error))?;
    path.parent().map_or(Ok(()), sync_directory)
}

/// Makes the names in a directory durable.
pub fn sync_directory(path: &Path) -> Result<(), FileError> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    File::open(path).and_then(|directory| directory.sync_all()).map_err(|error| failed(path, &error))
}

/// Creates a directory and its missing parents, durably. That it exists already is fine.
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

/// Renames a file unless the new name is taken, atomically. Not durable until the directory is synced.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat2(AT_FDCWD, from, AT_FDCWD, to, RenameFlags::RENAME_NOREPLACE) {
        Ok(()) => Ok(()),
        // File systems without that flag, e.g. NFS.
        Err(Errno::EINVAL | Errno::ENOSYS | Errno::ENOTSUP) => {
            fs::hard_link(from, to)?;
            // The file has its name; a second, temporary one does no harm.
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

/// The error of an operation that published nothing.
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
