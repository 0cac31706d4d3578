//! Lists the files that a source reads.

use std::path::Path;

use weir_dataflow::operator::OperatorError;

use super::lines::read_failed;
use super::split::Split;

/// Maximum number of files below one source; more are an error.
const MAX_FILES: usize = 100_000;

/// Maximum depth of nested directories; more is an error. It also ends a loop of symbolic links.
const MAX_DEPTH: usize = 32;

/// Lists the regular files at or below `root`, one split per file, in path order. Names that begin with `.` or `_` are skipped,
/// and so is everything that is neither a file nor a directory.
pub(crate) fn list(root: &Path) -> Result<Vec<Split>, OperatorError> {
    let metadata = std::fs::metadata(root).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            OperatorError::fatal("SOURCE-PATH", format!("{}: there is no such file or directory on this machine", root.display()))
        }
        _ => read_failed(root, &error),
    })?;
    let mut files = Vec::new();
    if metadata.is_dir() {
        list_below(root, "", 0, &mut files)?;
    } else if metadata.is_file() {
        files.push(whole_file(String::new(), metadata.len()));
    } else {
        return Err(OperatorError::fatal("SOURCE-PATH", format!("{}: it is neither a file nor a directory", root.display())));
    }
    files.sort();
    Ok(files)
}

fn list_below(directory: &Path, prefix: &str, depth: usize, files: &mut Vec<Split>) -> Result<(), OperatorError> {
    if depth > MAX_DEPTH {
        return Err(OperatorError::fatal(
            "SOURCE-PATH",
            format!(
                "{}: directories are nested more than {MAX_DEPTH} deep; is there a loop of symbolic links?",
                directory.display()
            ),
        ));
    }
    for entry in std::fs::read_dir(directory).map_err(|error| read_failed(directory, &error))? {
        let path = entry.map_err(|error| read_failed(directory, &error))?.path();
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else {
            return Err(OperatorError::fatal("SOURCE-PATH", format!("{}: the name is not UTF-8", path.display())));
        };
        if name.starts_with(['.', '_']) {
            continue;
        }
        let metadata = std::fs::metadata(&path).map_err(|error| read_failed(&path, &error))?;
        let relative = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") };
        if metadata.is_dir() {
            list_below(&path, &relative, depth + 1, files)?;
        } else if metadata.is_file() {
            files.push(whole_file(relative, metadata.len()));
        }
        if files.len() > MAX_FILES {
            return Err(OperatorError::fatal(
                "SOURCE-TOO-MANY-FILES",
                format!("there are more than {MAX_FILES} files; use fewer, bigger ones"),
            ));
        }
    }
    Ok(())
}

fn whole_file(file: String, size: u64) -> Split {
    Split { file, start: 0, end: size, size, rows: 0 }
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
        assert_eq!(list(&root.join("c.csv")).unwrap(), [whole_file(String::new(), 5)]);
    }

    #[test]
    fn a_path_that_is_not_a_file_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink(directory.path(), directory.path().join("loop")).unwrap();
        assert_eq!(list(directory.path()).unwrap_err().code, "SOURCE-PATH");
        assert_eq!(list(&directory.path().join("absent")).unwrap_err().code, "SOURCE-PATH");
        assert_eq!(list(Path::new("/dev/null")).unwrap_err().code, "SOURCE-PATH");
    }
}
