//! The store itself, as a pure state machine: keys, values, versions, and the epoch that may write.
//!
//! Memory and raft providers apply the same [`Command`]s to the same [`FencedStore`], so that what tests see in
//! memory is what a cluster does. Applying is deterministic: the outcome depends on store and command alone.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_protocol::LeaderEpoch;
use weir_world::flaw::{Flaw, is_planted};

use crate::{Candidate, CommitOutcome, Expect, LeaderRecord, Operation, Rejection, Versioned};

/// Bytes of one value, at most. Anything bigger belongs into file storage, with a handle here.
pub const MAX_VALUE_BYTES: usize = 1 << 20;
/// Bytes of one key, at most.
pub const MAX_KEY_BYTES: usize = 512;
/// Operations of one commit, at most. etcd as it is shipped takes 128 in one transaction, comparisons counted apart.
pub const MAX_OPERATIONS: usize = 100;
/// Bytes of all keys and values of one commit, at most. etcd as it is shipped takes requests of 1.5 MiB, in which a key
/// may stand three times: compared, changed, and read when it is not as expected.
pub const MAX_COMMIT_BYTES: usize = 1_280 << 10;
/// Bytes of all keys and values in the store, at most: every member holds them in memory.
pub const MAX_STORE_BYTES: u64 = 256 << 20;

/// What changes a store. The unit of replication.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// `candidate` becomes the leader, under an epoch above every earlier one (E1, E2).
    Acquire {
        /// Who leads from now on.
        candidate: Candidate,
    },
    /// The leader of `record.epoch` can be found.
    Publish {
        /// What to show.
        record: LeaderRecord,
    },
    /// A fenced commit.
    Commit {
        /// Under which epoch.
        epoch: LeaderEpoch,
        /// What to change.
        operations: Vec<Operation>,
    },
    /// Every later epoch is above `floor`. The leader of `epoch` leads no more, unless the floor is not above it.
    RaiseEpoch {
        /// Under which epoch.
        epoch: LeaderEpoch,
        /// What the next one exceeds.
        floor: LeaderEpoch,
    },
}

/// The result of applying a command. Unlike [`CommitOutcome`] it is never unknown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Applied {
    /// `Acquire`: the new epoch.
    Acquired(LeaderEpoch),
    /// `Publish`, `Commit` or `RaiseEpoch`: done, under this version.
    Committed {
        /// Version of every key put.
        version: u64,
    },
    /// Refused; nothing changed.
    Rejected(Rejection),
}

impl Applied {
    /// As the writer sees it.
    pub fn outcome(self) -> CommitOutcome {
        match self {
            Self::Committed { version } => CommitOutcome::Committed { version },
            Self::Rejected(rejection) => CommitOutcome::Rejected(rejection),
            Self::Acquired(epoch) => CommitOutcome::Unknown { reason: format!("a commit was answered with epoch {epoch}") },
        }
    }
}

/// One key that changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    pub key: String,
    /// The store version of the change.
    pub version: u64,
    /// Its new value; `None` if it was removed.
    pub value: Option<Bytes>,
}

impl Change {
    /// As a watcher sees it.
    pub fn event(&self) -> crate::WatchEvent {
        let (key, version) = (self.key.clone(), self.version);
        match &self.value {
            Some(value) => crate::WatchEvent::Put { key, value: Versioned { value: value.clone(), version } },
            None => crate::WatchEvent::Deleted { key, version },
        }
    }
}

/// Keys, values, versions, and who may write.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct FencedStore {
    epoch: LeaderEpoch,
    holder: Option<Candidate>,
    published: Option<LeaderRecord>,
    /// The newest version given out; only ever grows, so that a deleted and recreated key never repeats one.
    version: u64,
    bytes: u64,
    entries: BTreeMap<String, Entry>,
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

    /// Who was granted it.
    pub fn holder(&self) -> Option<&Candidate> {
        self.holder.as_ref()
    }

    /// The newest published leader record.
    pub fn published(&self) -> Option<&LeaderRecord> {
        self.published.as_ref()
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all keys and values.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// One key.
    pub fn get(&self, key: &str) -> Option<Versioned> {
        self.entries.get(key).map(Entry::versioned)
    }

    /// All keys that start with `prefix`, in key order.
    pub fn list(&self, prefix: &str) -> Vec<(String, Versioned)> {
        let from = self.entries.range::<str, _>((Bound::Included(prefix), Bound::Unbounded));
        from.take_while(|(key, _)| key.starts_with(prefix)).map(|(key, entry)| (key.clone(), entry.versioned())).collect()
    }

    /// Applies `command`. `floor` is a number that grows with every command of the log (its index): an acquired
    /// epoch is never below it, so that a store restored from an older backup still goes on above what it forgot.
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
                    self.entries.insert(key.clone(), Entry { version, value: value.clone() });
                    changes.push(Change { key: key.clone(), version, value: Some(value.clone()) });
                }
                Operation::Delete { key, .. } => {
                    if self.entries.remove(key).is_some() {
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
    /// The key, and what is expected of it.
    pub fn key_and_expect(&self) -> (&str, Expect) {
        match self {
            Self::Put { key, expect, .. } | Self::Delete { key, expect } => (key, *expect),
        }
    }
}

/// Whether a commit keeps the limits of every store. A key may be named only once: the order of two operations on
/// one key would otherwise mean different things to different coordination systems.
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
            return over(format!("key {key:?} twice in one commit"));
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
