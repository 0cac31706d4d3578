//! The bytes of a file on a disk that may lose unsynced changes: the bytes that readers see, the durable bytes, and the changes
//! between the two. The simulated disks and the disk under real processes both keep their files in this form.

/// What a power loss does to an unsynced change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Survives,
    Lost,
    /// Only this many bytes of a write survive, from its start.
    Torn(usize),
}

/// The bytes of one file, with the changes that no sync has made durable.
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
    /// Returns the bytes that readers see.
    pub fn current(&self) -> &[u8] {
        &self.current
    }

    /// Returns the bytes as of the last sync.
    pub fn durable(&self) -> &[u8] {
        &self.durable
    }

    /// Returns the number of changes that no sync has made durable.
    pub fn unsynced(&self) -> u64 {
        self.unsynced.len() as u64
    }

    /// Writes `bytes` at `offset`, and fills a gap before `offset` with zeros. Readers see the write at once.
    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.change(Change::Write(offset as usize, bytes.to_vec()));
        }
    }

    /// Truncates the file to `length` bytes, or extends it with zeros. Readers see the change at once.
    pub fn set_length(&mut self, length: u64) {
        if self.current.len() as u64 != length {
            self.change(Change::Length(length as usize));
        }
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.current);
        self.unsynced.push(change);
    }

    /// Makes all changes durable, as fsync does.
    pub fn sync(&mut self) {
        for change in self.unsynced.drain(..) {
            change.apply(&mut self.durable);
        }
    }

    /// Forgets the unsynced changes, as some file systems do after a failed sync: readers still see them, but no later sync makes
    /// them durable.
    pub fn drop_unsynced(&mut self) {
        self.unsynced.clear();
    }

    /// Simulates a power loss. `fate` decides about each unsynced change, oldest first. Only the newest change may be torn, and
    /// only if it is a write: then `fate` gets its length in bytes, and otherwise `None`.
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

    /// Flips bit `bit` (0 to 7) of the byte at offset `at`, in the durable bytes and in those that readers see.
    pub fn flip(&mut self, at: usize, bit: u8) {
        for bytes in [&mut self.current, &mut self.durable] {
            if let Some(byte) = bytes.get_mut(at) {
                *byte ^= 1 << bit;
            }
        }
    }
}
