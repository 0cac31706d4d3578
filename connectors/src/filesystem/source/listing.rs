//! Lists the files that a source reads.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use weir_dataflow::operator::OperatorError;

use super::lines::{modified_ms, read_failed};
use super::split::Split;

/// Maximum number of files below one source; more are an error.
const MAX_FILES: usize = 100_000;

/// Maximum depth of nested directories; more is an error. It also ends a loop of symbolic links.
const MAX_DEPTH: usize = 32;

/// How often a directory is listed again because a file disappeared meanwhile, most likely under another name.
const TRIES: usize = 8;

/// Lists the regular files at or below `root`, one split per file, in path order. Names that begin with `.` or `_` are skipped,
/// and so is everything that is neither a file nor a directory.
pub(crate) fn list(root: &Path) -> Result<Vec<Split>, OperatorError> {
    let metadata = std::fs::metadata(root).map_err(|error| match error.kind() {
        ErrorKind::NotFound => {
            OperatorError::fatal("SOURCE-PATH", format!("{}: there is no such file or directory on this machine", root.display()))
        }
        _ => read_failed(root, &error),
    })?;
    if metadata.is_file() {
        return Ok(vec![whole_file(String::new(), &metadata)]);
    }
    if !metadata.is_dir() {
        return Err(OperatorError::fatal("SOURCE-PATH", format!("{}: it is neither a file nor a directory", root.display())));
    }
    let mut tries = 0;
    loop {
        let mut files = Vec::new();
        match list_below(root, "", 0, &mut files) {
            Ok(()) => {
                files.sort();
                return Ok(files);
            }
            // A listing without this file could lack its rows: the file may be there under a name that was already passed.
            Err(Unlisted::Disappeared(_)) if tries < TRIES => tries += 1,
            Err(Unlisted::Disappeared(path)) => return Err(read_failed(&path, &ErrorKind::NotFound.into())),
            Err(Unlisted::Failed(error)) => return Err(error),
        }
    }
}

/// Why a directory could not be listed.
enum Unlisted {
    /// A name in the directory has no file.
    Disappeared(PathBuf),
    Failed(OperatorError),
}

impl Unlisted {
    fn at(path: &Path, error: &std::io::Error) -> Self {
        match error.kind() {
            ErrorKind::NotFound => Self::Disappeared(path.to_owned()),
            _ => Self::Failed(read_failed(path, error)),
        }
    }

    fn path(reason: String) -> Self {
        Self::Failed(OperatorError::fatal("SOURCE-PATH", reason))
    }
}

fn list_below(directory: &Path, prefix: &str, depth: usize, files: &mut Vec<Split>) -> Result<(), Unlisted> {
    if depth > MAX_DEPTH {
        return Err(Unlisted::path(format!(
            "{}: directories are nested more than {MAX_DEPTH} deep; is there a loop of symbolic links?",
            directory.display()
        )));
    }
    for entry in std::fs::read_dir(directory).map_err(|error| Unlisted::at(directory, &error))? {
        let path = entry.map_err(|error| Unlisted::at(directory, &error))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(Unlisted::path(format!("{}: the name is not UTF-8", path.display())));
        };
        if name.starts_with(['.', '_']) {
            continue;
        }
        let metadata = std::fs::metadata(&path).map_err(|error| Unlisted::at(&path, &error))?;
        let relative = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        if metadata.is_dir() {
            list_below(&path, &relative, depth + 1, files)?;
        } else if metadata.is_file() {
            files.push(whole_file(relative, &metadata));
        }
        if files.len() > MAX_FILES {
            let message = format!("there are more than {MAX_FILES} files; use fewer, bigger ones");
            return Err(Unlisted::Failed(OperatorError::fatal("SOURCE-TOO-MANY-FILES", message)));
        }
    }
    Ok(())
}

fn whole_file(file: String, metadata: &std::fs::Metadata) -> Split {
    let size = metadata.len();
    Split { file, start: 0, end: size, size, modified_ms: modified_ms(metadata), rows: 0, at_row: false }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_names_are_skipped_and_files_are_in_path_order() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::fs::create_dir_all(root.join("b/_temporary")).unwrap();
        for name in ["c.csv", "a.csv", ".part-0.inprogress", "_SUCCESS", "b/x.csv", "b/_temporary/y.csv"] {
            std::fs::write(root.join(name), name).unwrap();
        }
        let files: Vec<_> = list(root).unwrap().into_iter().map(|split| (split.file, split.end)).collect();
        assert_eq!(files, [("a.csv".to_owned(), 5), ("b/x.csv".to_owned(), 7), ("c.csv".to_owned(), 5)]);
        let metadata = std::fs::metadata(root.join("c.csv")).unwrap();
        assert!(modified_ms(&metadata) > 0);
        assert_eq!(list(&root.join("c.csv")).unwrap(), [whole_file(String::new(), &metadata)]);
    }

    #[test]
    fn a_path_that_is_not_a_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(directory.path(), directory.path().join("loop")).unwrap();
        assert_eq!(list(directory.path()).unwrap_err().code, "SOURCE-PATH");
        assert_eq!(list(&directory.path().join("absent")).unwrap_err().code, "SOURCE-PATH");
        assert_eq!(list(Path::new("/dev/null")).unwrap_err().code, "SOURCE-PATH");
        std::fs::remove_file(directory.path().join("loop")).unwrap();
        std::os::unix::fs::symlink(directory.path().join("nowhere"), directory.path().join("dangling")).unwrap();
        let error = list(directory.path()).unwrap_err();
        assert!(error.code == "SOURCE-FILE-GONE" && error.message.contains("/dangling"), "{error}");
    }
}
