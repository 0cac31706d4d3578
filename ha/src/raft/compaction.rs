//! Decides when the log has grown by so many bytes that a snapshot is due, and which entries go after it. A pure core.
//!
//! openraft counts entries only. But a commit may hold more than a megabyte, so the entries that openraft allows could take over
//! 12 GB on disk, which a start would read.

use super::log::Index;

/// The part of the limit that stays in the log before a snapshot. A member that lags by less gets entries instead of a snapshot,
/// which holds the whole store.
const KEPT_PART: u64 = 4;

/// An action that the runner carries out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// Take a snapshot.
    Snapshot,
    /// Remove the entries up to and including this one.
    PurgeTo(u64),
}

/// How far this member has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reached {
    /// The last entry that was applied.
    pub applied: Option<u64>,
    /// The last entry in the newest snapshot.
    pub snapshot: Option<u64>,
    /// Bytes of the store, and thus about those of a snapshot.
    pub store_bytes: u64,
}

/// Decides about snapshots and removals.
#[derive(Debug)]
pub(crate) struct Compaction {
    /// The log may always grow by this many bytes without a snapshot.
    least_bytes: u64,
    /// The snapshot that was seen last.
    snapshot: Option<u64>,
    /// The last applied entry when a snapshot was asked for. `None` once there is a newer snapshot.
    asked_at: Option<u64>,
}

impl Compaction {
    pub(crate) fn new(least_bytes: u64) -> Self {
        Self { least_bytes, snapshot: None, asked_at: None }
    }

    /// The next step, if one is due.
    ///
    /// The limit is never below the size of the store. So snapshots write no more bytes than the log does, however large the store
    /// is.
    pub(crate) fn next(&mut self, log: &Index, reached: Reached) -> Option<Step> {
        let limit = self.least_bytes.max(reached.store_bytes);
        if reached.snapshot > self.snapshot {
            // If openraft was taking this snapshot when it was asked for another, it has not begun the other.
            (self.snapshot, self.asked_at) = (reached.snapshot, None);
            let excess = reached.snapshot.and_then(|end| log.last_in_excess(end, limit / KEPT_PART));
            if let Some(last) = excess {
                return Some(Step::PurgeTo(last));
            }
        }
        let applied = reached.applied?;
        if log.bytes_between(self.snapshot.max(self.asked_at), applied) <= limit {
            return None;
        }
        self.asked_at = Some(applied);
        Some(Step::Snapshot)
    }
}

#[cfg(test)]
mod tests {
    use openraft::entry::RaftEntry;
    use openraft::impls::leader_id_adv::LeaderId;

    use super::super::types::{Entry, LogId};
    use super::*;

    const LIMIT: u64 = 100;

    fn log_id(index: u64) -> LogId {
        LogId::new(LeaderId { term: 1, node_id: 7 }, index)
    }

    /// A log with entries of 10 bytes each.
    fn log(entries: u64) -> Index {
        let mut log = Index::default();
        for index in 0..entries {
            log.append(Entry::new_blank(log_id(index)), 10).unwrap();
        }
        log
    }

    fn reached(applied: u64, snapshot: Option<u64>) -> Reached {
        Reached { applied: Some(applied), snapshot, store_bytes: 0 }
    }

    #[test]
    fn a_snapshot_is_asked_for_once_when_the_applied_entries_after_the_last_one_exceed_the_limit() {
        let (mut compaction, mut log) = (Compaction::new(LIMIT), log(50));
        assert_eq!(compaction.next(&log, reached(9, None)), None, "exactly the limit");
        assert_eq!(compaction.next(&log, reached(10, None)), Some(Step::Snapshot));
        assert_eq!(compaction.next(&log, reached(20, None)), None, "it is being taken");
        // It holds the entries up to 12. A quarter of the limit stays before it: the entries 11 and 12.
        assert_eq!(compaction.next(&log, reached(21, Some(12))), Some(Step::PurgeTo(10)));
        log.purge_to(log_id(10));
        assert_eq!(log.bytes(), 390);
        assert_eq!(compaction.next(&log, reached(22, Some(12))), None);
        assert_eq!(compaction.next(&log, reached(23, Some(12))), Some(Step::Snapshot));
    }

    #[test]
    fn a_snapshot_that_openraft_did_not_begin_is_asked_for_again() {
        let (mut compaction, log) = (Compaction::new(LIMIT), log(50));
        assert_eq!(compaction.next(&log, reached(30, None)), Some(Step::Snapshot));
        // openraft was taking another one at that time. It holds much less.
        assert_eq!(compaction.next(&log, reached(31, Some(5))), Some(Step::PurgeTo(3)));
        assert_eq!(compaction.next(&log, reached(31, Some(5))), Some(Step::Snapshot));
    }

    #[test]
    fn a_large_store_raises_the_limit() {
        let (mut compaction, log) = (Compaction::new(LIMIT), log(50));
        let with = |store_bytes| Reached { store_bytes, ..reached(20, None) };
        assert_eq!(compaction.next(&log, with(210)), None);
        assert_eq!(compaction.next(&log, with(209)), Some(Step::Snapshot));
    }

    #[test]
    fn entries_that_were_cut_off_the_end_do_not_count() {
        let (mut compaction, mut log) = (Compaction::new(LIMIT), log(50));
        log.truncate_after(Some(4));
        for index in 5..10 {
            log.append(Entry::new_blank(log_id(index)), 10).unwrap();
        }
        assert_eq!((log.bytes(), log.bytes_between(None, 9)), (100, 100));
        assert_eq!(compaction.next(&log, reached(9, None)), None);
    }
}
