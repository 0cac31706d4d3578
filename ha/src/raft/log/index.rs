//! The index of the log in memory: the place of every entry, and a cache of the newest entries. Pure.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use weir_world::disk::File;

use super::frame::{Place, Record};
use crate::raft::types::{Entry, LogId, Vote};

/// Bytes of entries that are kept in memory. Older entries are read from disk.
pub(crate) const CACHE_BYTES: usize = 32 << 20;

/// The log as readers see it. An appended entry is readable at once, durable or not.
#[derive(Debug, Default)]
pub(crate) struct Index {
    purged: Option<LogId>,
    slots: VecDeque<Slot>,
    cached_bytes: usize,
    /// Bytes of all entries that are or were in the log, without those that were cut off its end.
    end: u64,
    /// No entry below this index is in memory.
    cached_from: u64,
    /// The vote that was saved last.
    pub vote: Option<Vote>,
    /// Segments, open for reading.
    pub files: BTreeMap<u64, Arc<File>>,
}

#[derive(Debug)]
struct Slot {
    log_id: LogId,
    bytes: u32,
    /// Bytes of all entries before this one, as [`Index::end`] counts them.
    start: u64,
    cached: Option<Entry>,
    place: Option<(u64, Place)>,
}

/// An entry, or the place at which to read it.
#[derive(Debug)]
pub(crate) enum Found {
    Cached(Entry),
    Stored(Arc<File>, Place),
}

impl Index {
    /// Applies one record of the log at start. `Err` says what does not fit together.
    pub(crate) fn replay(&mut self, segment: u64, record: Record, place: Place) -> Result<(), &'static str> {
        match record {
            Record::Entry(entry) => {
                let log_id = entry.log_id;
                self.append(entry, place.length)?;
                self.placed(log_id, segment, place);
            }
            Record::TruncateAfter(after) => self.truncate_after(after),
            Record::PurgeTo(log_id) => self.purge_to(log_id),
        }
        Ok(())
    }

    /// Whether the first entry follows what was purged.
    pub(crate) fn is_whole(&self) -> bool {
        let expected = self.purged.map_or(0, |purged| purged.index + 1);
        self.slots.front().is_none_or(|slot| slot.log_id.index == expected)
    }

    /// Adds an entry that takes `bytes` bytes on disk. `Err` says why it can't be the next one.
    pub(crate) fn append(&mut self, entry: Entry, bytes: u32) -> Result<(), &'static str> {
        if self.slots.back().is_some_and(|last| last.log_id.index + 1 != entry.log_id.index) {
            return Err("an entry does not follow the one before it");
        }
        self.cached_bytes += bytes as usize;
        self.slots.push_back(Slot { log_id: entry.log_id, bytes, start: self.end, cached: Some(entry), place: None });
        self.end += u64::from(bytes);
        Ok(())
    }

    /// Records that the entry is durable at this place.
    pub(crate) fn placed(&mut self, log_id: LogId, segment: u64, place: Place) {
        if let Some(slot) = self.slot_mut(log_id.index)
            && slot.log_id == log_id
        {
            slot.place = Some((segment, place));
        }
        self.evict();
    }

    fn evict(&mut self) {
        let Some(first) = self.first_index() else { return };
        self.cached_from = self.cached_from.max(first);
        while self.cached_bytes > CACHE_BYTES {
            let index = self.cached_from;
            let Some(slot) = self.slot_mut(index).filter(|slot| slot.place.is_some()) else { return };
            let freed = slot.cached.take().map_or(0, |_| slot.bytes as usize);
            self.cached_bytes -= freed;
            self.cached_from += 1;
        }
    }

    /// Drops the entries above `after`, or all if it is `None`.
    pub(crate) fn truncate_after(&mut self, after: Option<u64>) {
        while self.slots.back().is_some_and(|slot| after.is_none_or(|after| slot.log_id.index > after)) {
            let slot = self.slots.pop_back();
            self.end = slot.as_ref().map_or(self.end, |slot| slot.start);
            self.forget(slot);
        }
        if let Some(last) = self.slots.back() {
            self.cached_from = self.cached_from.min(last.log_id.index + 1);
        }
    }

    /// Drops the entries up to and including `log_id`.
    pub(crate) fn purge_to(&mut self, log_id: LogId) {
        self.purged = self.purged.max(Some(log_id));
        while self.slots.front().is_some_and(|slot| slot.log_id.index <= log_id.index) {
            let slot = self.slots.pop_front();
            self.forget(slot);
        }
    }

    fn forget(&mut self, slot: Option<Slot>) {
        if let Some(slot) = slot {
            self.cached_bytes -= slot.cached.map_or(0, |_| slot.bytes as usize);
        }
    }

    /// The last entry that was purged.
    pub(crate) fn purged(&self) -> Option<LogId> {
        self.purged
    }

    /// The last entry, or the last purged one if there is none.
    pub(crate) fn last(&self) -> Option<LogId> {
        self.slots.back().map(|slot| slot.log_id).or(self.purged)
    }

    /// Number of entries.
    pub(crate) fn len(&self) -> usize {
        self.slots.len()
    }

    /// Bytes of all entries on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.slots.front().map_or(0, |first| self.end - first.start)
    }

    /// Bytes of the entries after the index `after`, up to and including `upto`. Purged entries don't count.
    pub(crate) fn bytes_between(&self, after: Option<u64>, upto: u64) -> u64 {
        self.start_of(upto + 1).saturating_sub(self.start_of(after.map_or(0, |after| after + 1)))
    }

    /// The last entry that must go so that those after it, up to and including `upto`, have at most `keep` bytes. `None` if none
    /// must go.
    pub(crate) fn last_in_excess(&self, upto: u64, keep: u64) -> Option<u64> {
        let end = self.start_of(upto + 1);
        let excess = self.slots.partition_point(|slot| end.saturating_sub(slot.start) > keep);
        Some(self.slots[excess.checked_sub(1)?].log_id.index)
    }

    /// Bytes of all entries before the one at `index`, as [`Self::end`] counts them.
    fn start_of(&self, index: u64) -> u64 {
        let Some(first) = self.slots.front() else { return self.end };
        let position = usize::try_from(index.saturating_sub(first.log_id.index)).unwrap_or(usize::MAX);
        self.slots.get(position).map_or(self.end, |slot| slot.start)
    }

    fn first_index(&self) -> Option<u64> {
        self.slots.front().map(|slot| slot.log_id.index)
    }

    fn slot_mut(&mut self, index: u64) -> Option<&mut Slot> {
        let first = self.first_index()?;
        self.slots.get_mut(usize::try_from(index.checked_sub(first)?).ok()?)
    }

    /// The entries from `start` (or from the first that is not purged) up to `end`, which is exclusive. Stops at the end of the
    /// log, or before the entries exceed `limit` bytes together, but never before the first entry.
    pub(crate) fn find(&self, start: u64, end: u64, limit: u64) -> Vec<Found> {
        let Some(first) = self.first_index() else { return Vec::new() };
        let skip = usize::try_from(start.saturating_sub(first)).unwrap_or(usize::MAX);
        let mut bytes = 0;
        let mut found = Vec::new();
        for slot in self.slots.iter().skip(skip).take_while(|slot| slot.log_id.index < end) {
            bytes += u64::from(slot.bytes);
            if bytes > limit && !found.is_empty() {
                break;
            }
            match (&slot.cached, slot.place) {
                (Some(entry), _) => found.push(Found::Cached(entry.clone())),
                (None, Some((segment, place))) => match self.files.get(&segment) {
                    Some(file) => found.push(Found::Stored(Arc::clone(file), place)),
                    None => break,
                },
                (None, None) => break,
            }
        }
        found
    }
}
