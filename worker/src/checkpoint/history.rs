//! Decides which state files of earlier checkpoints a new one may reference. Pure.
//!
//! A reference is safe only if the file stays. The newest checkpoint that this task knows to be complete must hold the file. So
//! must every later checkpoint in which the task took part and which may have completed without its knowledge: the next barrier
//! can overtake the notice of completion. Whichever of them the JobManager retains, the file is kept (C4).

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::CheckpointId;
use weir_protocol::checkpoint::FileSegment;

/// If a checkpoint's groups would be in more files than this, all groups are written again.
pub const MAX_FILES: usize = 16;
/// Most remembered checkpoints of unknown outcome. With more, no file is referenced until the next known completion.
const MAX_UNKNOWN: usize = 32;

/// The version and place of each key group in one checkpoint of this attempt, by (operator, key group).
pub type SavedGroups = BTreeMap<(u32, u32), (u64, FileSegment)>;

/// The state that this attempt has saved so far.
#[derive(Debug, Default)]
pub struct SnapshotHistory {
    confirmed: Option<(CheckpointId, SavedGroups)>,
    unknown: BTreeMap<CheckpointId, SavedGroups>,
}

impl SnapshotHistory {
    /// The place of the key group's state of this version, if a reference to it is safe.
    pub fn find(&self, operator: u32, key_group: u32, version: u64) -> Option<FileSegment> {
        let held = |saved: &SavedGroups| saved.get(&(operator, key_group)).filter(|(held, _)| *held == version).cloned();
        let (_, segment) = self.confirmed.as_ref().and_then(|(_, saved)| held(saved))?;
        let everywhere = self.unknown.values().all(|saved| held(saved).is_some_and(|(_, other)| other == segment));
        everywhere.then_some(segment)
    }

    /// Records that this attempt's part of a checkpoint is durable. For a savepoint `saved` is empty, because the user owns its
    /// files.
    pub fn record(&mut self, checkpoint: CheckpointId, saved: SavedGroups) {
        self.unknown.insert(checkpoint, saved);
        if self.unknown.len() > MAX_UNKNOWN {
            self.confirmed = None;
            self.unknown.pop_first();
        }
    }

    /// Handles the notice that this checkpoint is complete. It subsumes all earlier ones.
    pub fn confirm(&mut self, checkpoint: CheckpointId) {
        if self.confirmed.as_ref().is_some_and(|(confirmed, _)| *confirmed >= checkpoint) {
            return;
        }
        let saved = self.unknown.remove(&checkpoint);
        self.unknown.retain(|id, _| *id > checkpoint);
        self.confirmed = saved.map(|saved| (checkpoint, saved));
    }

    /// Handles the notice that this checkpoint will never complete.
    pub fn abort(&mut self, checkpoint: CheckpointId) {
        self.unknown.remove(&checkpoint);
    }
}

/// Whether these references span so many files that the state should be written again.
pub fn spans_too_many<'a>(segments: impl Iterator<Item = &'a FileSegment>) -> bool {
    segments.map(|segment| segment.path.as_str()).collect::<BTreeSet<_>>().len() > MAX_FILES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn segment(path: &str) -> FileSegment {
        FileSegment { path: path.into(), offset: 0, length: 1, crc32c: 0 }
    }

    fn saved(version: u64, path: &str) -> SavedGroups {
        BTreeMap::from([((0, 5), (version, segment(path)))])
    }

    #[test]
    fn an_unchanged_group_of_a_completed_checkpoint_is_found_and_a_changed_one_is_not() {
        let mut history = SnapshotHistory::default();
        history.record(CheckpointId(1), saved(3, "a"));
        assert_eq!(history.find(0, 5, 3), None, "not known to be complete");
        history.confirm(CheckpointId(1));
        assert_eq!(history.find(0, 5, 3), Some(segment("a")));
        assert_eq!(history.find(0, 5, 4), None);
        assert_eq!(history.find(1, 5, 3), None);
    }

    #[test]
    fn a_file_that_a_later_checkpoint_of_unknown_outcome_does_not_hold_is_not_referenced() {
        let mut history = SnapshotHistory::default();
        history.record(CheckpointId(4), saved(3, "four"));
        history.confirm(CheckpointId(4));
        // 5 was taken before 4's completion was known here, so it has its own copy. If 5 completes, 4's file may be deleted.
        history.record(CheckpointId(5), saved(3, "five"));
        assert_eq!(history.find(0, 5, 3), None);
        history.abort(CheckpointId(5));
        assert_eq!(history.find(0, 5, 3), Some(segment("four")));
    }

    #[test]
    fn a_savepoint_is_never_referenced_and_neither_is_what_it_subsumes() {
        let mut history = SnapshotHistory::default();
        history.record(CheckpointId(1), saved(3, "a"));
        history.confirm(CheckpointId(1));
        history.record(CheckpointId(2), SavedGroups::new());
        assert_eq!(history.find(0, 5, 3), None);
        history.confirm(CheckpointId(2));
        assert_eq!(history.find(0, 5, 3), None);
    }

    #[test]
    fn a_completion_subsumes_earlier_ones_and_a_late_notice_of_an_earlier_one_changes_nothing() {
        let mut history = SnapshotHistory::default();
        history.record(CheckpointId(1), saved(1, "a"));
        history.record(CheckpointId(2), saved(2, "b"));
        history.confirm(CheckpointId(2));
        history.confirm(CheckpointId(1));
        assert_eq!(history.find(0, 5, 2), Some(segment("b")));
    }
}
