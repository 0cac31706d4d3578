//! Assigns ranges of files to subtasks. The assignment is a pure function of the files and the parallelism.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// A range of a file that one subtask reads, and its progress.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Split {
    /// Path of the file relative to the source's directory; empty if the source's path is the file itself.
    pub file: String,
    /// Text: the split's next line is the first that starts at or after this byte. Parquet: row groups that start at or after
    /// this byte belong to the split.
    pub start: u64,
    /// Lines or row groups that start at or after this byte do not belong to the split.
    pub end: u64,
    /// Size of the file when it was listed.
    pub size: u64,
    /// Modification time of the file when it was listed, in milliseconds since 1970; 0 if it is not known.
    #[serde(default)]
    pub modified_ms: u64,
    /// Parquet: number of rows of the split that have been read.
    #[serde(default)]
    pub rows: u64,
    /// Text: whether a row is known to start at `start`, because the reader has been there.
    #[serde(default)]
    pub at_row: bool,
}

impl Split {
    /// Path of the file below the source's path.
    pub(crate) fn path_below(&self, root: &Path) -> PathBuf {
        if self.file.is_empty() { root.to_owned() } else { root.join(&self.file) }
    }

    /// All of the split's file.
    pub(crate) fn whole_file(&self) -> Self {
        Self { start: 0, end: self.size, rows: 0, at_row: true, ..self.clone() }
    }
}

/// Ranges smaller than this are cut only if there are fewer ranges than subtasks.
pub const CUT_BYTES: u64 = 16 << 20;

/// Distributes ranges to subtasks; the result is indexed by subtask. A big range is cut into one piece per subtask, so that all
/// subtasks advance through the files together. Small ranges are assigned whole, in turn.
pub fn deal(mut stretches: Vec<Split>, parallelism: u32, cut_bytes: u64) -> Vec<Vec<Split>> {
    let subtasks = parallelism.max(1) as usize;
    stretches.retain(|split| split.start < split.end);
    stretches.sort();
    let scarce = stretches.len() < subtasks;
    let mut hands = vec![Vec::new(); subtasks];
    let mut turn = 0;
    for stretch in stretches {
        let length = stretch.end - stretch.start;
        if stretch.rows > 0 || !(scarce || length >= cut_bytes) {
            hands[turn % subtasks].push(stretch);
            turn += 1;
            continue;
        }
        let boundary = |subtask: usize| stretch.start + (u128::from(length) * subtask as u128 / subtasks as u128) as u64;
        for (subtask, hand) in hands.iter_mut().enumerate() {
            let (start, end) = (boundary(subtask), boundary(subtask + 1));
            if start < end {
                let at_row = stretch.at_row && start == stretch.start;
                hand.push(Split { start, end, at_row, ..stretch.clone() });
            }
        }
    }
    hands
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(name: &str, size: u64) -> Split {
        Split { file: name.to_owned(), start: 0, end: size, size, modified_ms: 0, rows: 0, at_row: false }
    }

    #[test]
    fn one_file_is_cut_into_as_many_pieces_as_there_are_subtasks() {
        let hands = deal(vec![file("a", 10)], 3, 100);
        let ranges: Vec<_> = hands.iter().map(|hand| (hand[0].start, hand[0].end)).collect();
        assert_eq!(ranges, [(0, 3), (3, 6), (6, 10)]);
    }

    #[test]
    fn many_small_files_are_assigned_whole_and_big_ones_are_cut() {
        let hands = deal(vec![file("c", 100), file("a", 1), file("b", 2), file("d", 0), file("e", 5)], 2, 50);
        let names: Vec<Vec<_>> =
            hands.iter().map(|hand| hand.iter().map(|split| (split.file.as_str(), split.start, split.end)).collect()).collect();
        assert_eq!(names, [vec![("a", 0, 1), ("c", 0, 50), ("e", 0, 5)], vec![("b", 0, 2), ("c", 50, 100)]]);
    }

    #[test]
    fn a_range_whose_rows_are_partly_read_is_not_cut() {
        let started = Split { rows: 7, ..file("a", 100) };
        assert_eq!(deal(vec![started.clone()], 2, 1), [vec![started], vec![]]);
    }

    proptest! {
        #[test]
        fn every_byte_is_assigned_once_at_every_parallelism(
            sizes in proptest::collection::vec(0_u64..200, 0..12), parallelism in 1_u32..9, next in 1_u32..9, cut in 0_u64..150,
        ) {
            let files: Vec<_> = sizes.iter().enumerate().map(|(index, size)| file(&format!("{index:02}"), *size)).collect();
            let once = deal(files, parallelism, cut);
            prop_assert_eq!(once.len(), parallelism as usize);
            for hands in [once.clone(), deal(once.concat(), next, cut)] {
                let mut all = hands.concat();
                all.sort();
                for (index, size) in sizes.iter().enumerate() {
                    let name = format!("{index:02}");
                    let mut position = 0;
                    for split in all.iter().filter(|split| split.file == name) {
                        prop_assert_eq!(split.start, position);
                        prop_assert!(split.end > split.start);
                        position = split.end;
                    }
                    prop_assert_eq!(position, *size);
                }
            }
        }
    }
}
