//! Checks paths. The rule is the same for every file system, so a path that works on one works on all.

use super::FileError;

/// Maximum length of a path in bytes.
pub const PATH_LIMIT: usize = 1024;

/// Maximum length of a part of a path in bytes. It is the limit of local file systems.
pub const PART_LIMIT: usize = 255;

/// Checks a path relative to a file system's root. Error: [`FileError::IllegalPath`].
///
/// A legal path has at most [`PATH_LIMIT`] bytes. Its parts are separated by single `/`. A part consists of ASCII letters, digits
/// and `-_.=+@`, does not start with a dot, and has at most [`PART_LIMIT`] bytes. So a legal path can't be absolute, can't leave
/// the root with `..`, can't name a hidden or temporary file, and needs no escaping in any object store.
pub fn check_path(path: &str) -> Result<(), FileError> {
    let legal_byte = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.=+@".contains(&byte);
    let legal_part =
        |part: &str| (1..=PART_LIMIT).contains(&part.len()) && !part.starts_with('.') && part.bytes().all(legal_byte);
    if path.len() <= PATH_LIMIT && path.split('/').all(legal_part) {
        return Ok(());
    }
    let shown: String = path.chars().take(200).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    Err(FileError::IllegalPath { path: shown })
}

/// Checks a directory to list: a legal path, or empty for the root.
pub(super) fn check_directory(directory: &str) -> Result<(), FileError> {
    if directory.is_empty() { Ok(()) } else { check_path(directory) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_that_leave_the_root_or_need_escaping_are_refused() {
        let too_long = ["x"; PATH_LIMIT].join("/");
        let long_part = "x".repeat(PART_LIMIT + 1);
        for path in [
            "", "/", "/a", "a/", "a//b", "..", "a/../b", "./a", "a/.", ".hidden", "a/.tmp-1", "a\\b", "a\0b", "a\nb", "a b",
            "a%2e", "ä", "~", "c:", &too_long, &long_part,
        ] {
            assert!(matches!(check_path(path), Err(FileError::IllegalPath { .. })), "{path:?}");
        }
    }

    #[test]
    fn ordinary_paths_are_legal() {
        for path in ["a", "_metadata", "0/chk-7/_metadata", "a=1/b+c@d/e.f"] {
            assert_eq!(check_path(path), Ok(()), "{path:?}");
        }
    }
}
