//! The bytes of a file: as they are seen, as they are durable, and what lies between.

use super::contents::Loss;
use crate::sim::random::Random;

/// A file's bytes.
#[derive(Debug, Default)]
pub(super) struct FileBytes {
    current: Vec<u8>,
    durable: Vec<u8>,
    unsynced: Vec<Change>,
}

#[derive(Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Length(usize),
}

impl Change {
    fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Write(offset, written) => {
                let end = offset + written.len();
                if bytes.len() < end {
                    bytes.resize(end, 0);
                }
                bytes[*offset..end].copy_from_slice(written);
            }
            Self::Length(length) => bytes.resize(*length, 0),
        }
    }
}

impl FileBytes {
    /// As they are seen.
    pub(super) fn current(&self) -> &[u8] {
        &self.current
    }

    /// As they are durable.
    pub(super) fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// Changes that are not durable.
    pub(super) fn unsynced(&self) -> u64 {
        self.unsynced.len() as u64
    }

    pub(super) fn write(&mut self, offset: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.change(Change::Write(offset as usize, bytes.to_vec()));
        }
    }

    pub(super) fn set_length(&mut self, length: u64) {
        if self.current.len() as u64 != length {
            self.change(Change::Length(length as usize));
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.unsynced.push(change);
    }

    pub(super) fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// Takes for clean what never reached the disk.
    pub(super) fn drop_unsynced(&mut self) {
        self.unsynced.clear();
    }

    /// Each unsynced change survives so many times in a thousand; the newest write may survive in part.
    pub(super) fn lose_power(&mut self, random: &Random, survives: u64, loss: &mut Loss) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let newest = unsynced.len().saturating_sub(1);
        for (index, change) in unsynced.into_iter().enumerate() {
            match change {
                Change::Write(offset, mut bytes) if index == newest && bytes.len() > 1 && random.chance(500) => {
                    bytes.truncate(random.between(1, bytes.len() as u64) as usize);
                    Change::Write(offset, bytes).apply(&mut self.durable);
                    loss.lost += 1;
                    loss.torn += 1;
                }
                change if random.chance(survives) => change.apply(&mut self.durable),
                _ => loss.lost += 1,
            }
        }
        self.current.clone_from(&self.durable);
    }

    /// Flips a bit of what is durable.
    pub(super) fn flip(&mut self, at: usize, bit: u8) {
        for bytes in [&mut self.current, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
    }
}
