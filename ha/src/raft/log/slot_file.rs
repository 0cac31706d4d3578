//! A small value on disk: two slots in one file, written alternately, so that a torn write never loses the previous value. The
//! vote is kept in such a file, and so is the mark of what this member has acknowledged.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use weir_world::disk::{self, File, OpenMode};

use super::LogError;
use super::segment::sync_directory;

const SLOT_BYTES: usize = 512;
const HEAD_BYTES: usize = 24;

/// The first bytes of a slot. They tell files with different kinds of values apart.
pub(crate) type Magic = [u8; 8];

/// An open file that holds one value.
#[derive(Debug)]
pub(crate) struct SlotFile<T> {
    file: File,
    path: PathBuf,
    magic: Magic,
    counter: u64,
    value: PhantomData<T>,
}

impl<T: Serialize + DeserializeOwned> SlotFile<T> {
    /// Opens or creates the file, and reads its value. The value is durable on return.
    pub(crate) fn open(directory: &Path, name: &str, magic: Magic) -> Result<(Self, Option<T>), LogError> {
        let path = directory.join(name);
        let exists = disk::exists(&path).map_err(LogError::io(&path))?;
        let file = File::open(&path, OpenMode::CreateIfAbsent).map_err(LogError::io(&path))?;
        let length = file.length().map_err(LogError::io(&path))?;
        if !exists || length < (2 * SLOT_BYTES) as u64 {
            // A crash during creation can leave the file too short. Then no value was acknowledged.
            file.set_len((2 * SLOT_BYTES) as u64).map_err(LogError::io(&path))?;
        }
        let mut bytes = [0; 2 * SLOT_BYTES];
        file.read_exact_at(&mut bytes, 0).map_err(LogError::io(&path))?;
        // The process that wrote the value may have died before its sync, or because the sync failed. See `settle` in
        // `segment.rs`.
        file.write_all_at(&bytes, 0).and_then(|()| file.sync_all()).map_err(LogError::io(&path))?;
        sync_directory(directory)?;
        match decode(&bytes, magic) {
            Ok(newest) => {
                let (counter, value) = newest.map_or((0, None), |(counter, value)| (counter, Some(value)));
                Ok((Self { file, path, magic, counter, value: PhantomData }, value))
            }
            Err(what) => Err(LogError::Corrupt { path, offset: 0, what: what.into() }),
        }
    }

    /// Writes `value`. It survives the end of this process, and a power loss after the next [`Self::sync`].
    pub(crate) fn write(&mut self, value: &T) -> Result<(), LogError> {
        self.counter += 1;
        let slot = encode(self.counter, value, self.magic)
            .map_err(|error| LogError::Io { path: self.path.clone(), source: std::io::Error::other(error) })?;
        let offset = (self.counter % 2) * SLOT_BYTES as u64;
        self.file.write_all_at(&slot, offset).map_err(LogError::io(&self.path))
    }

    /// Makes the written value durable.
    pub(crate) fn sync(&self) -> Result<(), LogError> {
        self.file.sync_data().map_err(LogError::io(&self.path))
    }
}

fn encode<T: Serialize>(counter: u64, value: &T, magic: Magic) -> Result<[u8; SLOT_BYTES], postcard::Error> {
    let mut slot = [0; SLOT_BYTES];
    let length = postcard::to_slice(value, &mut slot[HEAD_BYTES..])?.len();
    slot[..8].copy_from_slice(&magic);
    slot[8..16].copy_from_slice(&counter.to_le_bytes());
    slot[16..20].copy_from_slice(&(length as u32).to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&slot[..20]), &slot[HEAD_BYTES..HEAD_BYTES + length]);
    slot[20..24].copy_from_slice(&crc.to_le_bytes());
    Ok(slot)
}

/// The newest intact slot. `Ok(None)` if no value was ever acknowledged.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8], magic: Magic) -> Result<Option<(u64, T)>, &'static str> {
    let slots = bytes.chunks(SLOT_BYTES).take(2);
    let newest = slots.filter_map(|slot| decode_slot(slot, magic)).max_by_key(|(counter, _)| *counter);
    // Counter 1 goes to the second slot. So one torn slot beside an empty one is a first value that was never acknowledged.
    let written = bytes.chunks(SLOT_BYTES).take(2).filter(|slot| slot.iter().any(|byte| *byte != 0)).count();
    if newest.is_none() && written == 2 {
        return Err("neither slot is intact");
    }
    Ok(newest)
}

fn decode_slot<T: DeserializeOwned>(slot: &[u8], magic: Magic) -> Option<(u64, T)> {
    if slot.len() != SLOT_BYTES || slot[..8] != magic {
        return None;
    }
    let counter = u64::from_le_bytes(slot[8..16].try_into().ok()?);
    let length = u32::from_le_bytes(slot[16..20].try_into().ok()?) as usize;
    let crc = u32::from_le_bytes(slot[20..24].try_into().ok()?);
    let body = slot.get(HEAD_BYTES..HEAD_BYTES.checked_add(length)?)?;
    if crc32c::crc32c_append(crc32c::crc32c(&slot[..20]), body) != crc {
        return None;
    }
    Some((counter, postcard::from_bytes(body).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::raft::types::Vote;

    const MAGIC: Magic = *b"WEIRTST\n";

    fn open(directory: &Path) -> Result<(SlotFile<Vote>, Option<Vote>), LogError> {
        SlotFile::open(directory, "value", MAGIC)
    }

    fn save(file: &mut SlotFile<Vote>, term: u64) {
        file.write(&Vote::new(term, 7)).expect("writes");
        file.sync().expect("syncs");
    }

    #[test]
    fn a_value_survives_reopening() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut file, value) = open(directory.path()).expect("opens");
        assert_eq!(value, None);
        for term in 1..4 {
            save(&mut file, term);
        }
        let (_, value) = open(directory.path()).expect("opens");
        assert_eq!(value, Some(Vote::new(3, 7)));
    }

    #[test]
    fn a_torn_write_leaves_the_previous_value() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut file, _) = open(directory.path()).expect("opens");
        save(&mut file, 1);
        save(&mut file, 2);
        file.file.write_all_at(&[0xff; 8], 18).expect("damages the second write");
        let (_, value) = open(directory.path()).expect("opens");
        assert_eq!(value, Some(Vote::new(1, 7)));
    }

    #[test]
    fn two_damaged_slots_are_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut file, _) = open(directory.path()).expect("opens");
        save(&mut file, 1);
        save(&mut file, 2);
        file.file.write_all_at(&[0xff; 2 * SLOT_BYTES], 0).expect("damages both");
        assert!(matches!(open(directory.path()), Err(LogError::Corrupt { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..2 * SLOT_BYTES + 9)) {
            let _ = decode::<Vote>(&bytes, MAGIC);
        }

        #[test]
        fn a_flipped_bit_never_yields_another_value(term in 1u64..9, bit in 0..SLOT_BYTES * 8) {
            let mut bytes = [0; 2 * SLOT_BYTES];
            bytes[SLOT_BYTES..].copy_from_slice(&encode(1, &Vote::new(term, 7), MAGIC).expect("encodes"));
            bytes[SLOT_BYTES + bit / 8] ^= 1 << (bit % 8);
            if let Ok(Some((_, value))) = decode::<Vote>(&bytes, MAGIC) {
                prop_assert_eq!(value, Vote::new(term, 7));
            }
        }
    }
}
