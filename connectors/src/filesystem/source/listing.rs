//! Lists the files that a source reads.

use std::fs::{DirEntry, Metadata, ReadDir};
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
/// and so is everything that is neither a file nor a directory. If the source is `watched`, what disappears meanwhile may be
/// missing: it will be found under its new name.
pub(crate) fn list(root: &Path, watched: bool) -> Result<Vec<Split>, OperatorError> {
    let mut tries = 0;
    loop {
        match list_once(root, watched) {
            Ok(mut files) => {
                files.sort();
                return Ok(files);
            }
            Err(Unlisted::Disappeared(path)) if path == root => {
                let message = format!("{}: there is no such file or directory on this machine", root.display());
                return Err(OperatorError::fatal("SOURCE-PATH", message));
            }
            // A listing without this file could lack its rows: the file may be there under a name that was already passed.
            Err(Unlisted::Disappeared(_)) if tries < TRIES => tries += 1,
            Err(Unlisted::Disappeared(path)) => return Err(read_failed(&path, &ErrorKind::NotFound.into())),
            Err(Unlisted::Failed(error)) => return Err(error),
        }
    }
}

fn list_once(root: &Path, watched: bool) -> Result<Vec<Split>, Unlisted> {
    let mut walk = Walk::start(root)?;
    let mut files = Vec::new();
    loop {
        match walk.step(|_| true) {
            Ok(Step::File(split)) => files.push(split),
            Ok(Step::Other) => {}
            Ok(Step::End) => return Ok(files),
            Err(Unlisted::Disappeared(_)) if watched => {}
            Err(error) => return Err(error),
        }
    }
}

/// Why a directory could not be listed.
#[derive(Debug)]
pub(super) enum Unlisted {
    /// A name in the directory has no file. The rest can still be listed.
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

/// A listing under way, which takes one name at a time.
pub(super) struct Walk {
    /// The directories from the root to where it is, the deepest last.
    open: Vec<OpenDirectory>,
    /// The root, if it is a file that was not taken yet.
    file: Option<Split>,
    files: usize,
}

struct OpenDirectory {
    entries: ReadDir,
    path: PathBuf,
    /// The path relative to the root; empty for the root.
    relative: String,
}

/// What was met.
pub(super) enum Step {
    File(Split),
    /// A directory, or something that is not wanted.
    Other,
    /// There are no more names.
    End,
}

impl Walk {
    /// Begins to list what is at or below `root`. `Disappeared` if there is nothing.
    pub(super) fn start(root: &Path) -> Result<Self, Unlisted> {
        let metadata = std::fs::metadata(root).map_err(|error| Unlisted::at(root, &error))?;
        let mut walk = Self { open: Vec::new(), file: None, files: 0 };
        match (metadata.is_file(), metadata.is_dir()) {
            (true, _) => walk.file = Some(whole_file(String::new(), &metadata)),
            (_, true) => walk.enter(root.to_owned(), String::new())?,
            _ => return Err(Unlisted::path(format!("{}: it is neither a file nor a directory", root.display()))),
        }
        Ok(walk)
    }

    /// Takes the next name. `is_wanted` gets the path of a file relative to the root; others are counted, but not looked at.
    pub(super) fn step(&mut self, is_wanted: impl Fn(&str) -> bool) -> Result<Step, Unlisted> {
        if let Some(split) = self.file.take() {
            return Ok(if is_wanted(&split.file) { Step::File(split) } else { Step::Other });
        }
        let Some(directory) = self.open.last_mut() else { return Ok(Step::End) };
        let Some(entry) = directory.entries.next() else {
            self.open.pop();
            return Ok(Step::Other);
        };
        let entry = entry.map_err(|error| Unlisted::at(&directory.path, &error))?;
        let path = entry.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(Unlisted::path(format!("{}: the name is not UTF-8", path.display())));
        };
        if name.starts_with(['.', '_']) {
            return Ok(Step::Other);
        }
        let relative = if directory.relative.is_empty() { name.to_owned() } else { format!("{}/{name}", directory.relative) };
        if is_plain_file(&entry) && !is_wanted(&relative) {
            return self.count().map(|()| Step::Other);
        }
        let metadata = std::fs::metadata(&path).map_err(|error| Unlisted::at(&path, &error))?;
        if metadata.is_dir() {
            self.enter(path, relative)?;
        } else if metadata.is_file() {
            self.count()?;
            if is_wanted(&relative) {
                return Ok(Step::File(whole_file(relative, &metadata)));
            }
        }
        Ok(Step::Other)
    }

    fn enter(&mut self, path: PathBuf, relative: String) -> Result<(), Unlisted> {
        if self.open.len() > MAX_DEPTH {
            return Err(Unlisted::path(format!(
                "{}: directories are nested more than {MAX_DEPTH} deep; is there a loop of symbolic links?",
                path.display()
            )));
        }
        let entries = std::fs::read_dir(&path).map_err(|error| Unlisted::at(&path, &error))?;
        self.open.push(OpenDirectory { entries, path, relative });
        Ok(())
    }

    fn count(&mut self) -> Result<(), Unlisted> {
        self.files += 1;
        if self.files <= MAX_FILES {
            return Ok(());
        }
        let message = format!("there are more than {MAX_FILES} files; use fewer, bigger ones, or take read files away");
        Err(Unlisted::Failed(OperatorError::fatal("SOURCE-TOO-MANY-FILES", message)))
    }
}

/// Whether the directory itself says that it is a file, so that nothing else needs to be asked.
fn is_plain_file(entry: &DirEntry) -> bool {
    entry.file_type().is_ok_and(|kind| kind.is_file())
}

fn whole_file(file: String, metadata: &Metadata) -> Split {
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
        let files: Vec<_> = list(root, false).unwrap().into_iter().map(|split| (split.file, split.end)).collect();
        assert_eq!(files, [("a.csv".to_owned(), 5), ("b/x.csv".to_owned(), 7), ("c.csv".to_owned(), 5)]);
        let metadata = std::fs::metadata(root.join("c.csv")).unwrap();
        assert!(modified_ms(&metadata) > 0);
        assert_eq!(list(&root.join("c.csv"), false).unwrap(), [whole_file(String::new(), &metadata)]);
    }

    #[test]
    fn a_path_that_is_not_a_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(directory.path(), directory.path().join("loop")).unwrap();
        assert_eq!(list(directory.path(), false).unwrap_err().code, "SOURCE-PATH");
        assert_eq!(list(&directory.path().join("absent"), false).unwrap_err().code, "SOURCE-PATH");
        assert_eq!(list(Path::new("/dev/null"), false).unwrap_err().code, "SOURCE-PATH");
        std::fs::remove_file(directory.path().join("loop")).unwrap();
        std::os::unix::fs::symlink(directory.path().join("nowhere"), directory.path().join("dangling")).unwrap();
        let error = list(directory.path(), false).unwrap_err();
        assert!(error.code == "SOURCE-FILE-GONE" && error.message.contains("/dangling"), "{error}");
        assert_eq!(list(directory.path(), true).unwrap(), [], "a watching source looks again");
    }
}
