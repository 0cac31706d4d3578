//! What the tests in `tests/` share: the repository's files, as text.

#![allow(clippy::unwrap_used, clippy::missing_panics_doc, reason = "a test that can not go on fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Tracked files, relative to the root.
pub fn files(suffix: &str) -> Vec<(String, String)> {
    let output =
        Command::new("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).current_dir(root()).output();
    let listed = String::from_utf8(output.expect("git lists the files").stdout).unwrap();
    let read = |path: &str| std::fs::read_to_string(root().join(path)).ok().map(|text| (path.to_owned(), text));
    let found: Vec<_> = listed.lines().filter(|path| path.ends_with(suffix)).filter_map(read).collect();
    assert!(!found.is_empty(), "no *{suffix} under {}", root().display());
    found
}

/// Lines up to the module of tests, if that is in the file itself.
pub fn code_before_tests(text: &str) -> impl Iterator<Item = &str> {
    let lines: Vec<&str> = text.lines().collect();
    let begins = |at: usize| lines[at].trim() == "#[cfg(test)]" && lines.get(at + 1).is_some_and(|next| next.ends_with('{'));
    let end = (0..lines.len()).find(|at| begins(*at)).unwrap_or(lines.len());
    lines.into_iter().take(end)
}

/// Whether the file is for tests, benchmarks or examples only.
pub fn is_test_file(path: &str) -> bool {
    path.contains("/tests/") || path.ends_with("tests.rs") || path.contains("/benches/") || path.contains("/examples/")
}

/// Fails with all problems, one a line.
pub fn check(problems: Vec<String>) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// Whether the line is a comment from its first word.
pub fn is_comment(line: &str) -> bool {
    line.trim_start().starts_with("//")
}
