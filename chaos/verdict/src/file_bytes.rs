//! The bytes of a file on a disk that loses what was not synced: as they are seen, as they are durable, and what lies between. Both
//! the simulated disks and the one under real processes keep their files so.

/// What a power loss makes of an unsynced change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is there.
    Survives,
    /// It is not.
    Lost,
    /// Of a write only so many bytes are there.
    Torn(usize),
}

/// A file's bytes.
#[derive(Debug, Default)]
pub struct FileBytes {
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
    pub fn current(&self) -> &[u8] {
        &self.current
    }

    /// As they are durable.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// Changes that are not durable.
    pub fn unsynced(&self) -> u64 {
        self.unsynced.len() as u64
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.change(Change::Write(offset as usize, bytes.to_vec()));
        }
    }

    pub fn set_length(&mut self, length: u64) {
        if self.current.len() as u64 != length {
            self.change(Change::Length(length as usize));
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.unsynced.push(change);
    }

    pub fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// Takes for clean what never reached the disk.
    pub fn drop_unsynced(&mut self) {
        self.unsynced.clear();
    }

    /// The power goes. `fate` is asked about each unsynced change, oldest first; of the newest, if it is a write, it is told the length:
    /// only that may be torn.
    pub fn lose_power(&mut self, mut fate: impl FnMut(Option<usize>) -> Fate) {
        let unsynced = std::mem::take(&mut self.unsynced);
        let newest = unsynced.len().saturating_sub(1);
        for (index, mut change) in unsynced.into_iter().enumerate() {
            let length = match &change {
                Change::Write(_, bytes) if index == newest => Some(bytes.len()),
                _ => None,
            };
            match (fate(length), &mut change) {
                (Fate::Lost, _) => continue,
                (Fate::Torn(kept), Change::Write(_, bytes)) => bytes.truncate(kept),
                _ => {}
            }
            change.apply(&mut self.durable);
        }
        self.current.clone_from(&self.durable);
    }

    /// Flips a bit of what is durable.
    pub fn flip(&mut self, at: usize, bit: u8) {
        for bytes in [&mut self.current, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
    }
}
