//! Serialises and restores window state, by key group.
//!
//! ```text
//! signature: u32 | panes: u32 | per pane:
//!   start: i64 | keys: u32 | per key: its row, with length | per aggregate, per key: its accumulator
//! ```

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use arrow_array::{ArrayRef, RecordBatch};
use bytes::Bytes;

use crate::element::EventTime;
use crate::key_group::key_group_of;
use crate::operator::OperatorError;
use crate::operators::window::key_index::Selection;
use crate::operators::window::pane::{Layout, Pane};
use crate::state::{StateReader, open, put_bytes, seal};

/// Kind and version of the envelope of a key group's bytes.
const KIND: u8 = 2;
const VERSION: u8 = 1;

/// The panes at a barrier. The serialisers of all key groups share them.
pub(super) struct FrozenPanes {
    pub(super) layout: Arc<Layout>,
    pub(super) signature: u32,
    pub(super) panes: Vec<(EventTime, Arc<Pane>)>,
    pub(super) by_group: OnceLock<SlotsByGroup>,
}

/// For each key group, the positions of the panes that hold its keys, with the slots of these keys.
type SlotsByGroup = BTreeMap<u32, Vec<(usize, Vec<u32>)>>;

impl FrozenPanes {
    /// Serialises one key group.
    pub(super) fn serialize(&self, key_group: u32) -> Result<Bytes, OperatorError> {
        let by_group = self.by_group.get_or_init(|| self.sort_slots());
        let held = by_group.get(&key_group).map(Vec::as_slice).unwrap_or_default();
        let mut payload = self.signature.to_le_bytes().to_vec();
        payload.extend((held.len() as u32).to_le_bytes());
        for (position, slots) in held {
            let (start, pane) = &self.panes[*position];
            payload.extend(start.to_le_bytes());
            payload.extend((slots.len() as u32).to_le_bytes());
            let columns = self.layout.keys.columns(&pane.index, slots)?;
            let rows = self.layout.keys.format.encode(&columns, slots.len());
            (0..rows.len()).for_each(|row| put_bytes(&mut payload, rows.row(row)));
            pane.accumulators.iter().for_each(|accumulator| accumulator.write(slots, &mut payload));
        }
        Ok(seal(KIND, VERSION, &payload))
    }

    fn sort_slots(&self) -> SlotsByGroup {
        let mut by_group = SlotsByGroup::new();
        for (position, (_, pane)) in self.panes.iter().enumerate() {
            let mut of_pane: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
            for (slot, group) in pane.groups.iter().enumerate() {
                of_pane.entry(*group).or_default().push(slot as u32);
            }
            for (group, slots) in of_pane {
                by_group.entry(group).or_default().push((position, slots));
            }
        }
        by_group
    }
}

impl Layout {
    /// A checksum of the layout and the pane length. State can only be restored by an operator with the same signature.
    pub(super) fn signature(&self, pane_ms: i64) -> u32 {
        let types = self.keys.format.types().iter().map(|t| format!("{t} "));
        let aggregates = self.aggregates.iter().map(|aggregate| format!("{} ", aggregate.signature()));
        crc32c::crc32c(format!("{pane_ms} {}| {}", types.collect::<String>(), aggregates.collect::<String>()).as_bytes())
    }

    /// Adds the saved bytes of one key group to `panes`. Returns its number of keys, counted per pane.
    pub(super) fn restore(
        &self,
        signature: u32,
        key_group: u32,
        bytes: &[u8],
        panes: &mut BTreeMap<EventTime, Arc<Pane>>,
    ) -> Result<u64, OperatorError> {
        let mut reader = open(KIND, VERSION, bytes)?;
        if reader.u32()? != signature {
            let message = "the keys, aggregates or lengths of this window differ from those of the saved state; \
                           use the former ones, or give the vertex a new id and submit with --allow-non-restored-state to start \
                           it without state";
            return Err(OperatorError::fatal("STATE-INCOMPATIBLE", message));
        }
        let mut entries = 0;
        for _ in 0..reader.count(12)? {
            let start = reader.i64()?;
            // A key takes at least the four bytes of its length.
            let count = reader.count(4)?;
            let keys: Vec<_> = (0..count).map(|_| reader.prefixed()).collect::<Result<_, _>>()?;
            let columns = self.keys.format.decode(keys.into_iter())?;
            let batch_keys = self.keys.batch_keys(&columns, count)?;
            if batch_keys.hashes.iter().any(|hash| key_group_of(*hash, self.max_parallelism) != key_group) {
                return Err(StateReader::corrupt("a key is in the wrong key group"));
            }
            let pane = Arc::make_mut(panes.entry(start).or_insert_with(|| Arc::new(self.empty_pane())));
            let known = pane.index.len();
            let mut slots = Vec::new();
            pane.index.slots(&batch_keys, Selection::All, &mut slots);
            if pane.index.len() != known + count {
                return Err(StateReader::corrupt("a key appears twice"));
            }
            pane.groups.resize(pane.index.len(), key_group);
            for accumulator in &mut pane.accumulators {
                accumulator.grow(pane.index.len());
                slots.iter().try_for_each(|slot| accumulator.read(*slot as usize, &mut reader))?;
            }
            entries += count as u64;
        }
        reader.end()?;
        Ok(entries)
    }
}

/// Kind and version of the envelope of the operator's own bytes.
const OWN_KIND: u8 = 3;

/// Serialises the watermark of a subtask, so that a row that was late before a restore is late after it.
pub(super) fn seal_watermark(watermark: EventTime) -> Bytes {
    seal(OWN_KIND, VERSION, &watermark.to_le_bytes())
}

/// Reads the watermark that [`seal_watermark`] wrote.
pub(super) fn open_watermark(bytes: &[u8]) -> Result<EventTime, OperatorError> {
    let mut reader = open(OWN_KIND, VERSION, bytes)?;
    let watermark = reader.i64()?;
    reader.end()?;
    Ok(watermark)
}

/// The key columns of a batch.
pub(super) fn key_columns(batch: &RecordBatch, columns: &[usize]) -> Vec<ArrayRef> {
    columns.iter().map(|column| batch.column(*column).clone()).collect()
}
