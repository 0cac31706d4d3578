//! What a watching source remembers of the files that it has found. Pure.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::split::Split;

/// A file is forgotten when all listings of this time lacked it. A directory that disappears for a shorter time changes nothing.
pub(super) const FORGET_MS: u64 = 60 * 60 * 1_000;

/// The subtask that looks after a file: it reads the file if the recorded list lacks it, and remembers it. It is a function of the
/// path alone. So each file has one owner, also if subtasks list the directory at different times.
pub(super) fn owner(file: &str, parallelism: u32) -> u32 {
    (xxh3_64(file.as_bytes()) % u64::from(parallelism.max(1))) as u32
}

/// A file as it was when it was found. The short names keep checkpoints small.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SeenFile {
    #[serde(rename = "s")]
    size: u64,
    #[serde(rename = "m")]
    modified_ms: u64,
    /// When a listing lacked it for the first time, in milliseconds since 1970; `None` if the last listing had it.
    #[serde(rename = "g", default, skip_serializing_if = "Option::is_none")]
    gone_since_ms: Option<u64>,
    /// Whether the listing under way has it.
    #[serde(skip)]
    is_listed: bool,
}

/// What is to be done with a file that a listing has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sighting {
    New,
    /// It has been found before.
    Known,
    /// It has no bytes. It is not remembered, so that it may be filled.
    Empty,
    /// Its name is that of a file that was found before, but it is not the same as then.
    Changed,
}

/// The files that one subtask looks after, by path.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct SeenFiles {
    files: BTreeMap<String, SeenFile>,
}

impl SeenFiles {
    pub(super) fn begin_listing(&mut self) {
        self.files.values_mut().for_each(|file| file.is_listed = false);
    }

    /// Compares a listed file with what is remembered.
    pub(super) fn sight(&mut self, split: &Split) -> Sighting {
        let Some(known) = self.files.get_mut(&split.file) else {
            return if split.size == 0 { Sighting::Empty } else { Sighting::New };
        };
        known.is_listed = true;
        let is_modified = known.modified_ms != 0 && known.modified_ms != split.modified_ms;
        if known.size != split.size || is_modified { Sighting::Changed } else { Sighting::Known }
    }

    /// Remembers a file whose rows are in splits now. An empty one has no rows, and may be filled later.
    pub(super) fn add(&mut self, split: &Split) {
        if split.size > 0 {
            let seen = SeenFile { size: split.size, modified_ms: split.modified_ms, gone_since_ms: None, is_listed: true };
            self.files.insert(split.file.clone(), seen);
        }
    }

    /// Ends a listing that has met every file that was there all the time. Forgets files that have been gone for long.
    pub(super) fn end_listing(&mut self, now_ms: u64) {
        self.files.retain(|_, file| {
            if file.is_listed {
                file.gone_since_ms = None;
                return true;
            }
            let since = file.gone_since_ms.map_or(now_ms, |since| since.min(now_ms));
            file.gone_since_ms = Some(since);
            now_ms - since < FORGET_MS
        });
    }

    /// Adds what a former subtask remembered, as far as `subtask` looks after it now.
    pub(super) fn take_over(&mut self, former: Self, subtask: u32, parallelism: u32) {
        self.files.extend(former.files.into_iter().filter(|(file, _)| owner(file, parallelism) == subtask));
    }

    /// The paths of the files.
    pub(super) fn paths(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(name: &str, size: u64, modified_ms: u64) -> Split {
        Split { file: name.to_owned(), start: 0, end: size, size, modified_ms, rows: 0, at_row: false }
    }

    fn list(seen: &mut SeenFiles, files: &[Split], now_ms: u64) -> Vec<Sighting> {
        seen.begin_listing();
        let sightings = files.iter().map(|file| seen.sight(file)).collect();
        seen.end_listing(now_ms);
        sightings
    }

    #[test]
    fn a_file_is_new_once_and_a_name_stands_for_one_file() {
        let mut seen = SeenFiles::default();
        let a = file("a", 5, 100);
        assert_eq!(list(&mut seen, &[a.clone(), file("b", 0, 100)], 0), [Sighting::New, Sighting::Empty]);
        seen.add(&a);
        seen.add(&file("b", 0, 100));
        let changed = [file("a", 6, 100), file("a", 5, 101)];
        assert_eq!(list(&mut seen, &[a, file("b", 3, 200)], 1), [Sighting::Known, Sighting::New]);
        assert_eq!(list(&mut seen, &changed, 2), [Sighting::Changed, Sighting::Changed]);
    }

    #[test]
    fn a_file_is_forgotten_only_after_it_was_gone_for_long() {
        let mut seen = SeenFiles::default();
        let a = file("a", 5, 100);
        seen.add(&a);
        list(&mut seen, &[], 1_000);
        list(&mut seen, &[], 1_000 + FORGET_MS - 1);
        assert_eq!(list(&mut seen, std::slice::from_ref(&a), 1_000 + FORGET_MS), [Sighting::Known], "the directory was away");
        // The time begins anew, and a clock that is set back makes it no shorter.
        list(&mut seen, &[], 9 * FORGET_MS);
        list(&mut seen, &[], FORGET_MS);
        list(&mut seen, &[], 2 * FORGET_MS - 1);
        assert_eq!(seen.paths().count(), 1);
        list(&mut seen, &[], 2 * FORGET_MS);
        assert_eq!(seen.paths().count(), 0);
        assert_eq!(list(&mut seen, &[a], 3 * FORGET_MS), [Sighting::New]);
    }

    #[test]
    fn owners_are_spread_and_never_change_between_versions() {
        let counts = (0..1_000).fold([0; 4], |mut counts, number| {
            counts[owner(&format!("day=1/part-{number}.csv"), 4) as usize] += 1;
            counts
        });
        assert!(counts.iter().all(|count| (200..300).contains(count)), "{counts:?}");
        assert_eq!(["a", "b/c", "part-0.csv"].map(|file| owner(file, 1_000)), [719, 256, 518]);
    }
}
