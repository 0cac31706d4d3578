//! The store itself, as a pure state machine: keys, values, versions, and the epoch that may write.
//!
//! The memory and raft providers apply the same [`Command`]s to the same [`FencedStore`], so tests in memory see what a cluster
//! does. [`FencedStore::apply`] is deterministic: the outcome depends only on the store and the arguments.

use std::collections::BTreeSet;
use std::ops::Bound;

use bytes::Bytes;
use rpds::RedBlackTreeMapSync;
use serde::{Deserialize, Serialize};
use weir_protocol::LeaderEpoch;
use weir_world::flaw::{Flaw, is_planted};

use crate::{Candidate, CommitOutcome, Expect, LeaderRecord, Operation, Rejection, StoreUsage, Versioned};

/// The most bytes of one value. A bigger value belongs in file storage, with a handle here.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// The most bytes of one key.
pub const MAX_KEY_BYTES: usize = 512;
/// The most operations of one commit. By default etcd accepts 128 in one transaction, and counts comparisons separately.
pub const MAX_OPERATIONS: usize = 100;
/// The most bytes of all keys and values of one commit. By default etcd accepts requests of 1.5 MiB, in which a key may occur
/// three times: in a comparison, in a change, and in a read that follows a failed comparison.
pub const MAX_COMMIT_BYTES: usize = 1_280 << 10;
/// The most bytes of all keys and values in the store. Every member holds them in memory.
pub const MAX_STORE_BYTES: u64 = 256 << 20;

/// A change of the store, and the unit of replication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Makes `candidate` the leader, under an epoch above every earlier one (E1, E2).
    Acquire { candidate: Candidate },
    /// Publishes the leader of `record.epoch`, so that others find it.
    Publish { record: LeaderRecord },
    /// A fenced commit.
    Commit {
        /// The writer's epoch.
        epoch: LeaderEpoch,
        operations: Vec<Operation>,
    },
    /// Makes every later epoch exceed `floor`. If `floor` is above `epoch`, the leader of `epoch` loses its leadership.
    RaiseEpoch {
        /// The writer's epoch.
        epoch: LeaderEpoch,
        floor: LeaderEpoch,
    },
}

/// The result of applying a command. Unlike [`CommitOutcome`] it is never unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applied {
    /// `Acquire`: the new epoch.
    Acquired(LeaderEpoch),
    /// `Publish`, `Commit` or `RaiseEpoch`: applied under this version.
    Committed {
        /// Version of every key put.
        version: u64,
    },
    /// Refused; nothing changed.
    Rejected(Rejection),
}

impl Applied {
    /// The outcome as the writer sees it.
    pub fn outcome(self) -> CommitOutcome {
        match self {
            Self::Committed { version } => CommitOutcome::Committed { version },
            Self::Rejected(rejection) => CommitOutcome::Rejected(rejection),
            Self::Acquired(epoch) => CommitOutcome::Unknown { reason: format!("a commit was answered with epoch {epoch}") },
        }
    }
}

/// The change of one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    /// The store version of the change.
    pub version: u64,
    /// The new value; `None` if the key was removed.
    pub value: Option<Bytes>,
}

impl Change {
    /// The event that a watcher of the key gets.
    pub fn event(&self) -> crate::WatchEvent {
        let (key, version) = (self.key.clone(), self.version);
        match &self.value {
            Some(value) => crate::WatchEvent::Put { key, value: Versioned { value: value.clone(), version } },
            None => crate::WatchEvent::Deleted { key, version },
        }
    }
}

/// The state of the store: keys, values, versions, and the epoch that may write.
///
/// A clone takes constant time, however many keys there are, because the two share their entries until one changes. A snapshot is
/// a clone, and raft sends no heartbeat meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FencedStore {
    epoch: LeaderEpoch,
    holder: Option<Candidate>,
    published: Option<LeaderRecord>,
    /// The newest version given out. It only grows, so a key that is deleted and created again never repeats a version.
    version: u64,
    bytes: u64,
    entries: RedBlackTreeMapSync<String, Entry>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    version: u64,
    value: Bytes,
}

impl FencedStore {
    /// The newest epoch granted.
    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    /// The candidate that was granted the newest epoch. `None` if none was granted, or if the epoch was raised since.
    pub fn holder(&self) -> Option<&Candidate> {
        self.holder.as_ref()
    }

    /// The newest published leader record.
    pub fn published(&self) -> Option<&LeaderRecord> {
        self.published.as_ref()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.size()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How full the store is.
    pub fn usage(&self) -> StoreUsage {
        StoreUsage { bytes: self.bytes, limit: MAX_STORE_BYTES }
    }

    /// The value of one key, if it exists.
    pub fn get(&self, key: &str) -> Option<Versioned> {
        self.entries.get(key).map(Entry::versioned)
    }

    /// All keys that start with `prefix`, in key order.
    pub fn list(&self, prefix: &str) -> Vec<(String, Versioned)> {
        let from = self.entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, entry)| (key.clone(), entry.versioned())).collect()
    }

    /// Applies `command`. `floor` is a number that grows with every command of the log: its index. An acquired epoch is never
    /// below `floor`, so a store that is restored from an older backup still grants epochs above those that it has lost.
    pub fn apply(&mut self, command: &Command, floor: u64) -> (Applied, Vec<Change>) {
        match command {
            Command::Acquire { candidate } => {
                if !is_planted(Flaw::EpochNotRaised) || self.holder.is_none() {
                    self.epoch = LeaderEpoch((self.epoch.0 + 1).max(floor));
                }
                self.holder = Some(candidate.clone());
                (Applied::Acquired(self.epoch), Vec::new())
            }
            Command::Publish { record } => (self.publish(record), Vec::new()),
            Command::Commit { epoch, operations } => match self.check(*epoch, operations) {
                Ok(bytes) => self.change(operations, bytes),
                Err(rejection) => (Applied::Rejected(rejection), Vec::new()),
            },
            Command::RaiseEpoch { epoch, floor } => (self.raise_epoch(*epoch, *floor), Vec::new()),
        }
    }

    fn raise_epoch(&mut self, epoch: LeaderEpoch, floor: LeaderEpoch) -> Applied {
        if let Err(rejection) = self.admit(epoch) {
            return Applied::Rejected(rejection);
        }
        self.version += 1;
        if floor > self.epoch {
            (self.epoch, self.holder) = (floor, None);
        }
        Applied::Committed { version: self.version }
    }

    fn publish(&mut self, record: &LeaderRecord) -> Applied {
        if let Err(rejection) = self.admit(record.epoch) {
            return Applied::Rejected(rejection);
        }
        self.version += 1;
        self.published = Some(record.clone());
        Applied::Committed { version: self.version }
    }

    fn admit(&self, epoch: LeaderEpoch) -> Result<(), Rejection> {
        if epoch == self.epoch || is_planted(Flaw::EpochNotCompared) {
            Ok(())
        } else {
            Err(Rejection::StaleEpoch { epoch, current: self.epoch })
        }
    }

    /// The store's size after `operations`, if they may be applied.
    fn check(&self, epoch: LeaderEpoch, operations: &[Operation]) -> Result<u64, Rejection> {
        self.admit(epoch)?;
        check_limits(operations)?;
        let mut bytes = self.bytes;
        for operation in operations {
            let (key, expect) = operation.key_and_expect();
            let entry = self.entries.get(key);
            let as_expected = match expect {
                Expect::Any => true,
                Expect::Absent => entry.is_none(),
                Expect::Version(version) => entry.is_some_and(|entry| entry.version == version),
            };
            if !as_expected {
                return Err(Rejection::Conflict { key: key.to_owned() });
            }
            bytes -= entry.map_or(0, |entry| (key.len() + entry.value.len()) as u64);
            if let Operation::Put { value, .. } = operation {
                bytes += (key.len() + value.len()) as u64;
            }
        }
        if bytes > MAX_STORE_BYTES && bytes > self.bytes {
            return Err(Rejection::OverLimit(format!(
                "the store would hold {bytes} bytes, at most {MAX_STORE_BYTES} are allowed"
            )));
        }
        Ok(bytes)
    }

    fn change(&mut self, operations: &[Operation], bytes: u64) -> (Applied, Vec<Change>) {
        self.version += 1;
        self.bytes = bytes;
        let version = self.version;
        let mut changes = Vec::with_capacity(operations.len());
        for operation in operations {
            match operation {
                Operation::Put { key, value, .. } => {
                    self.entries.insert_mut(key.clone(), Entry { version, value: value.clone() });
                    changes.push(Change { key: key.clone(), version, value: Some(value.clone()) });
                }
                Operation::Delete { key, .. } => {
                    if self.entries.remove_mut(key) {
                        changes.push(Change { key: key.clone(), version, value: None });
                    }
                }
            }
        }
        (Applied::Committed { version }, changes)
    }
}

impl Entry {
    fn versioned(&self) -> Versioned {
        Versioned { value: self.value.clone(), version: self.version }
    }
}

impl Operation {
    /// The key, and the condition on it.
    pub fn key_and_expect(&self) -> (&str, Expect) {
        match self {
            Self::Put { key, expect, .. } | Self::Delete { key, expect } => (key, *expect),
        }
    }
}

/// Checks a commit against the limits that hold for every store. A key may occur only once, because coordination systems treat
/// the order of two operations on one key differently.
pub fn check_limits(operations: &[Operation]) -> Result<(), Rejection> {
    let over = |text: String| Err(Rejection::OverLimit(text));
    if operations.len() > MAX_OPERATIONS {
        return over(format!("{} operations in one commit, at most {MAX_OPERATIONS} are allowed", operations.len()));
    }
    let mut keys = BTreeSet::new();
    let mut bytes = 0;
    for operation in operations {
        let (key, _) = operation.key_and_expect();
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return over(format!("a key of {} bytes, 1 to {MAX_KEY_BYTES} are allowed", key.len()));
        }
        if !keys.insert(key) {
            return over(format!("key {key:?} occurs twice in one commit"));
        }
        bytes += key.len();
        if let Operation::Put { value, .. } = operation {
            if value.len() > MAX_VALUE_BYTES {
                return over(format!("a value of {} bytes at {key:?}, at most {MAX_VALUE_BYTES} are allowed", value.len()));
            }
            bytes += value.len();
        }
    }
    if bytes > MAX_COMMIT_BYTES {
        return over(format!("{bytes} bytes in one commit, at most {MAX_COMMIT_BYTES} are allowed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
