//! A writer is one identity under which records are sent: of a transaction, or of an attempt without transactions.

use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::client::ProducerIdentity;

/// Records of one partition that a writer has in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct OffsetRange {
    pub(crate) partition: i32,
    pub(crate) first: i64,
    pub(crate) records: u64,
}

/// Counts what a writer sent to each partition.
#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) transactional_id: Option<String>,
    pub(crate) identity: ProducerIdentity,
    progress: Mutex<Progress>,
}

#[derive(Debug, Default)]
struct Progress {
    partitions: Vec<OfPartition>,
    ranges: Vec<OffsetRange>,
}

#[derive(Debug, Clone, Copy, Default)]
struct OfPartition {
    next_sequence: i32,
    appended: u64,
    acknowledged: u64,
}

/// How many records a writer had appended to each partition at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlushMark(Vec<u64>);

impl FlushMark {
    /// Whether nothing had been appended.
    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|records| *records == 0)
    }
}

impl Writer {
    pub(crate) fn new(transactional_id: Option<String>, identity: ProducerIdentity) -> Self {
        Self { transactional_id, identity, progress: Mutex::default() }
    }

    fn with<T>(&self, partition: usize, change: impl FnOnce(&mut OfPartition) -> T) -> T {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if progress.partitions.len() <= partition {
            progress.partitions.resize(partition + 1, OfPartition::default());
        }
        change(&mut progress.partitions[partition])
    }

    /// Counts records that were put into a batch.
    pub(super) fn appended(&self, partition: usize, records: u64) {
        self.with(partition, |of| of.appended += records);
    }

    /// Takes the sequence numbers of a batch, and returns the first. They begin again at 0 after the highest, as Kafka has it.
    pub(super) fn take_sequence(&self, partition: usize, records: u32) -> i32 {
        self.with(partition, |of| {
            let first = of.next_sequence;
            of.next_sequence = ((i64::from(first) + i64::from(records)) & i64::from(i32::MAX)) as i32;
            first
        })
    }

    /// Counts a batch that is in the log at `offset`.
    pub(super) fn acknowledged(&self, partition: usize, offset: i64, records: u32) {
        self.with(partition, |of| of.acknowledged += u64::from(records));
        if self.transactional_id.is_none() {
            return;
        }
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        let (partition, records) = (partition as i32, u64::from(records));
        let joins = |range: &&mut OffsetRange| range.partition == partition && range.first + range.records as i64 == offset;
        match progress.ranges.iter_mut().rev().find(|range| range.partition == partition).filter(joins) {
            Some(range) => range.records += records,
            None => progress.ranges.push(OffsetRange { partition, first: offset, records }),
        }
    }

    /// What has been appended until now.
    pub(crate) fn mark(&self) -> FlushMark {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        FlushMark(progress.partitions.iter().map(|of| of.appended).collect())
    }

    /// Whether everything up to the mark is in the log.
    pub(crate) fn is_flushed(&self, mark: &FlushMark) -> bool {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        mark.0.iter().zip(&progress.partitions).all(|(appended, of)| of.acknowledged >= *appended)
    }

    /// Where the acknowledged records are. Only writers in transactions know it.
    pub(crate) fn ranges(&self) -> Vec<OffsetRange> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).ranges.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_reached_when_each_partition_has_what_was_appended_before() {
        let writer = Writer::new(Some("t".to_owned()), ProducerIdentity { id: 1, epoch: 0 });
        writer.appended(0, 5);
        writer.appended(2, 3);
        let mark = writer.mark();
        writer.appended(0, 10);
        assert!(!writer.is_flushed(&mark));
        writer.acknowledged(0, 100, 15);
        assert!(!writer.is_flushed(&mark));
        writer.acknowledged(2, 7, 3);
        assert!(writer.is_flushed(&mark));
    }

    #[test]
    fn neighbouring_batches_are_one_range() {
        let writer = Writer::new(Some("t".to_owned()), ProducerIdentity { id: 1, epoch: 0 });
        for (partition, offset, records) in [(0, 10, 5), (1, 3, 2), (0, 15, 5), (0, 30, 1)] {
            writer.acknowledged(partition, offset, records);
        }
        let ranges: Vec<_> = writer.ranges().iter().map(|range| (range.partition, range.first, range.records)).collect();
        assert_eq!(ranges, [(0, 10, 10), (1, 3, 2), (0, 30, 1)]);
    }

    #[test]
    fn sequences_begin_again_after_the_highest() {
        let writer = Writer::new(None, ProducerIdentity { id: 1, epoch: 0 });
        assert_eq!(writer.take_sequence(0, i32::MAX as u32), 0);
        assert_eq!(writer.take_sequence(0, 3), i32::MAX);
        assert_eq!(writer.take_sequence(0, 1), 2);
    }
}
