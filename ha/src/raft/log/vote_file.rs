//! The vote on disk: two slots in one small file, written alternately, so that a torn write never loses the previous vote.

use std::path::{Path, PathBuf};

use weir_world::disk::{self, File, OpenMode};

use super::LogError;
use super::segment::sync_directory;
use crate::raft::types::Vote;

const SLOT_BYTES: usize = 512;
const MAGIC: &[u8; 8] = b"WEIRVOT\n";
const HEAD_BYTES: usize = 24;

/// The open vote file.
#[derive(Debug)]
pub(crate) struct VoteFile {
    file: File,
    path: PathBuf,
    counter: u64,
}

impl VoteFile {
    /// Opens or creates the file in `directory`, and reads the vote. The vote is durable on return.
    pub(crate) fn open(directory: &Path) -> Result<(Self, Option<Vote>), LogError> {
        let path = directory.join("vote");
        let exists = disk::exists(&path).map_err(LogError::io(&path))?;
        let file = File::open(&path, OpenMode::CreateIfAbsent).map_err(LogError::io(&path))?;
        let length = file.length().map_err(LogError::io(&path))?;
        if !exists || length < (2 * SLOT_BYTES) as u64 {
            // A crash during creation can leave the file too short. Then no vote was acknowledged.
            file.set_len((2 * SLOT_BYTES) as u64).map_err(LogError::io(&path))?;
        }
        let mut bytes = [0; 2 * SLOT_BYTES];
        file.read_exact_at(&mut bytes, 0).map_err(LogError::io(&path))?;
        // The process that wrote the vote may have died before its sync, or because the sync failed. See `settle` in
        // `segment.rs`.
        file.write_all_at(&bytes, 0).and_then(|()| file.sync_all()).map_err(LogError::io(&path))?;
        sync_directory(directory)?;
        match decode(&bytes) {
            Ok(newest) => {
                let (counter, vote) = newest.map_or((0, None), |(counter, vote)| (counter, Some(vote)));
                Ok((Self { file, path, counter }, vote))
            }
            Err(what) => Err(LogError::Corrupt { path, offset: 0, what: what.into() }),
        }
    }

    /// Writes and syncs `vote`.
    pub(crate) fn save(&mut self, vote: &Vote) -> Result<(), LogError> {
        self.counter += 1;
        let slot = encode(self.counter, vote)
            .map_err(|error| LogError::Io { path: self.path.clone(), source: std::io::Error::other(error) })?;
        let offset = (self.counter % 2) * SLOT_BYTES as u64;
        self.file.write_all_at(&slot, offset).map_err(LogError::io(&self.path))?;
        self.file.sync_data().map_err(LogError::io(&self.path))
    }
}

fn encode(counter: u64, vote: &Vote) -> Result<[u8; SLOT_BYTES], postcard::Error> {
    let body = postcard::to_stdvec(vote)?;
    let mut slot = [0; SLOT_BYTES];
    slot[..8].copy_from_slice(MAGIC);
    slot[8..16].copy_from_slice(&counter.to_le_bytes());
    slot[16..20].copy_from_slice(&(body.len() as u32).to_le_bytes());
    slot[HEAD_BYTES..HEAD_BYTES + body.len()].copy_from_slice(&body);
    let crc = crc32c::crc32c_append(crc32c::crc32c(&slot[..20]), &body);
    slot[20..24].copy_from_slice(&crc.to_le_bytes());
    Ok(slot)
}

/// The newest intact slot. `Ok(None)` if no vote was ever acknowledged.
pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(u64, Vote)>, &'static str> {
    let slots = bytes.chunks(SLOT_BYTES).take(2);
    let newest = slots.filter_map(decode_slot).max_by_key(|(counter, _)| *counter);
    // Counter 1 goes to the second slot. So one torn slot beside an empty one is a first vote that was never acknowledged.
    let written = bytes.chunks(SLOT_BYTES).take(2).filter(|slot| slot.iter().any(|byte| *byte != 0)).count();
    if newest.is_none() && written == 2 {
        return Err("neither slot holds an intact vote");
    }
    Ok(newest)
}

fn decode_slot(slot: &[u8]) -> Option<(u64, Vote)> {
    if slot.len() != SLOT_BYTES || &slot[..8] != MAGIC {
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

    #[test]
    fn a_vote_survives_reopening() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut file, vote) = VoteFile::open(directory.path()).expect("opens");
        assert_eq!(vote, None);
        for term in 1..4 {
            file.save(&Vote::new(term, 7)).expect("saves");
        }
        let (_, vote) = VoteFile::open(directory.path()).expect("opens");
        assert_eq!(vote, Some(Vote::new(3, 7)));
    }

    #[test]
    fn a_torn_write_leaves_the_previous_vote() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut file, _) = VoteFile::open(directory.path()).expect("opens");
        file.save(&Vote::new(1, 7)).expect("saves");
        file.save(&Vote::new(2, 7)).expect("saves");
        file.file.write_all_at(&[0xff; 8], 18).expect("damages the second write");
        let (_, vote) = VoteFile::open(directory.path()).expect("opens");
        assert_eq!(vote, Some(Vote::new(1, 7)));
    }

    #[test]
    fn two_damaged_slots_are_refused() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (mut file, _) = VoteFile::open(directory.path()).expect("opens");
        file.save(&Vote::new(1, 7)).expect("saves");
        file.save(&Vote::new(2, 7)).expect("saves");
        file.file.write_all_at(&[0xff; 2 * SLOT_BYTES], 0).expect("damages both");
        assert!(matches!(VoteFile::open(directory.path()), Err(LogError::Corrupt { .. })));
    }

    proptest! {
        #[test]
        fn any_bytes_decode_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..2 * SLOT_BYTES + 9)) {
            let _ = decode(&bytes);
        }

        #[test]
        fn a_flipped_bit_never_yields_another_vote(term in 1u64..9, bit in 0..SLOT_BYTES * 8) {
            let mut bytes = [0; 2 * SLOT_BYTES];
            bytes[SLOT_BYTES..].copy_from_slice(&encode(1, &Vote::new(term, 7)).expect("encodes"));
            bytes[SLOT_BYTES + bit / 8] ^= 1 << (bit % 8);
            if let Ok(Some((_, vote))) = decode(&bytes) {
                prop_assert_eq!(vote, Vote::new(term, 7));
            }
        }
    }
}
