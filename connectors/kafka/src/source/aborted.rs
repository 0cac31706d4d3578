//! Skips the records of aborted transactions, as readers with `read_committed` must.
//!
//! Source: Kafka's consumer, and KIP-98, section "Discarding aborted transactional messages". A broker names the aborted transactions
//! that reach into an answer; each lasts from its first offset to the abort marker of its producer.

use std::collections::BTreeSet;

use crate::records::BatchHeader;

/// The aborted transactions of one answer.
#[derive(Debug, Clone, Default)]
pub(super) struct AbortedTransactions {
    /// First offset and producer id, the latest first.
    ahead: Vec<(i64, i64)>,
    /// Producers whose records are being skipped.
    open: BTreeSet<i64>,
}

impl AbortedTransactions {
    /// From first offset and producer id of each.
    pub(super) fn new(mut aborted: Vec<(i64, i64)>) -> Self {
        aborted.sort_unstable_by(|left, right| right.cmp(left));
        Self { ahead: aborted, open: BTreeSet::new() }
    }

    /// Whether the batch has rows for the reader. Call it for each batch, in the order of the log.
    pub(super) fn is_visible(&mut self, batch: &BatchHeader) -> bool {
        while let Some((_, producer)) = self.ahead.pop_if(|(first, _)| *first <= batch.last_offset) {
            self.open.insert(producer);
        }
        if batch.is_control() {
            // A marker ends the producer's transaction. If it is a commit, none of it was to be skipped.
            self.open.remove(&batch.producer_id);
            return false;
        }
        !(batch.is_transactional() && self.open.contains(&batch.producer_id))
    }
}
