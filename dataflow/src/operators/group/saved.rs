//! Serialises and restores groups, by key group.
//!
//! ```text
//! checksum of the signature: u32 | whether times follow: u8 | groups: u32 |
//! per group: its key's row, with length | with changes, per group: number of rows: i64 | with times, per group: ms since 1970: u64 |
//! per aggregate, per group: its accumulator
//! ```
//! Each subtask saves the signature itself as operator state, so that a refusal can say what differs. The time after which groups
//! are forgotten is not part of it: it may change.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::aggregates::Selection;
use crate::key_group::key_group_of;
use crate::operator::OperatorError;
use crate::operators::group::table::{FREE, Table};
use crate::operators::keyed::Layout;
use crate::operators::keyed::NamedSignature;
use crate::state::{StateReader, open, put_bytes, seal};

/// Version of the envelopes.
const VERSION: u8 = 1;
/// Kind of the envelope of a key group's bytes.
const GROUPS: u8 = 7;
/// Kind of the envelope of a subtask's signature.
const SIGNATURE: u8 = 8;

/// What saved state looks like.
#[derive(Debug, Clone)]
pub(super) struct Saved {
    signature: NamedSignature,
    checksum: u32,
    pub(super) takes_changes: bool,
}

impl Saved {
    pub(super) fn new(layout: &Layout, takes_changes: bool) -> Self {
        let signature = layout.signature(if takes_changes { "changes" } else { "rows" }.to_owned());
        Self { checksum: crc32c::crc32c(signature.text().as_bytes()), signature, takes_changes }
    }

    /// Serialises the signature.
    pub(super) fn seal_signature(&self) -> Bytes {
        let mut payload = Vec::new();
        put_bytes(&mut payload, self.signature.text().as_bytes());
        seal(SIGNATURE, VERSION, &payload)
    }

    /// Checks a signature that [`Saved::seal_signature`] wrote. Error: `STATE-INCOMPATIBLE` if it is another.
    pub(super) fn check_signature(&self, bytes: &[u8]) -> Result<(), OperatorError> {
        let mut reader = open(SIGNATURE, VERSION, bytes)?;
        let text = std::str::from_utf8(reader.prefixed()?).ok().and_then(NamedSignature::read);
        let saved = text.ok_or_else(|| StateReader::corrupt("the signature of an aggregation is damaged"))?;
        reader.end()?;
        if saved == self.signature { Ok(()) } else { Err(self.signature.refuse(&saved, "input")) }
    }

    /// Adds the saved groups of one key group to `table`. Returns their number.
    pub(super) fn restore(
        &self,
        layout: &Layout,
        key_group: u32,
        bytes: &[u8],
        with_times: bool,
        table: &mut Table,
    ) -> Result<u64, OperatorError> {
        let mut reader = open(GROUPS, VERSION, bytes)?;
        if reader.u32()? != self.checksum {
            return Err(StateReader::corrupt("its signature is not that of its subtask"));
        }
        let [times] = reader.array()?;
        // A group takes at least the four bytes of its key's length.
        let count = reader.count(4)?;
        let keys: Vec<_> = (0..count).map(|_| reader.prefixed()).collect::<Result<_, _>>()?;
        let keys = layout.keys.batch_keys(&layout.keys.format.decode(keys.into_iter())?, count)?;
        if keys.hashes.iter().any(|hash| key_group_of(*hash, layout.max_parallelism) != key_group) {
            return Err(StateReader::corrupt("a key is in the wrong key group"));
        }
        let (known, mut slots) = (table.index.len(), Vec::new());
        table.index.slots(&keys, Selection::All, &mut slots);
        if table.index.len() != known + count {
            return Err(StateReader::corrupt("a key appears twice"));
        }
        table.grow(with_times);
        for slot in slots.iter().map(|slot| *slot as usize) {
            table.key_groups[slot] = key_group;
            table.rows[slot] = if self.takes_changes { reader.i64()? } else { 1 };
            if !(1..=i64::MAX / 2).contains(&table.rows[slot]) {
                return Err(StateReader::corrupt("a group has an impossible number of rows"));
            }
        }
        if times != 0 {
            for slot in &slots {
                let touched_ms = u64::from_le_bytes(reader.array()?);
                table.touched_ms.get_mut(*slot as usize).into_iter().for_each(|known| *known = touched_ms);
            }
        }
        for accumulator in &mut table.accumulators {
            slots.iter().try_for_each(|slot| accumulator.read(*slot as usize, &mut reader))?;
        }
        reader.end()?;
        Ok(count as u64)
    }
}

/// The groups at a barrier. The serialisers of all key groups share them.
pub(super) struct FrozenTable {
    pub(super) layout: Arc<Layout>,
    pub(super) saved: Saved,
    pub(super) table: Arc<Table>,
    /// The slots of each key group.
    pub(super) by_key_group: OnceLock<BTreeMap<u32, Vec<u32>>>,
}

impl FrozenTable {
    /// Serialises one key group.
    pub(super) fn serialize(&self, key_group: u32) -> Result<Bytes, OperatorError> {
        let by_key_group = self.by_key_group.get_or_init(|| self.sort_slots());
        let slots = by_key_group.get(&key_group).map(Vec::as_slice).unwrap_or_default();
        let (table, mut payload) = (&self.table, self.saved.checksum.to_le_bytes().to_vec());
        payload.push(u8::from(!table.touched_ms.is_empty()));
        payload.extend((slots.len() as u32).to_le_bytes());
        let columns = self.layout.keys.columns(&table.index, slots)?;
        let keys = self.layout.keys.format.encode(&columns, slots.len());
        (0..keys.len()).for_each(|row| put_bytes(&mut payload, keys.row(row)));
        let each = || slots.iter().map(|slot| *slot as usize);
        if self.saved.takes_changes {
            each().for_each(|slot| payload.extend(table.rows[slot].to_le_bytes()));
        }
        if !table.touched_ms.is_empty() {
            each().for_each(|slot| payload.extend(table.touched_ms[slot].to_le_bytes()));
        }
        table.accumulators.iter().for_each(|accumulator| accumulator.write(slots, &mut payload));
        Ok(seal(GROUPS, VERSION, &payload))
    }

    fn sort_slots(&self) -> BTreeMap<u32, Vec<u32>> {
        let mut by_key_group = BTreeMap::<u32, Vec<u32>>::new();
        for (key_group, slot) in self.table.key_groups.iter().zip(0..).filter(|(key_group, _)| **key_group != FREE) {
            by_key_group.entry(*key_group).or_default().push(slot);
        }
        by_key_group
    }
}
