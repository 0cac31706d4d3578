//! Serialises and restores window state, by key group.
//!
//! ```text
//! checksum of the signature: u32 | panes: u32 | per pane:
//!   start: i64 | of window.agg: start of an attached window, else 0: i64 | keys: u32 |
//!   per key: its row, with length | per aggregate, per key: its accumulator
//! ```
//! In hand-written graphs (`window.tumbling`, `window.hopping`) the signature itself is not saved. `window.agg` saves it with each
//! subtask's watermark, so that a refusal can say what differs.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::aggregates::Selection;
use crate::element::EventTime;
use crate::key_group::key_group_of;
use crate::operator::OperatorError;
use crate::operators::keyed::{Layout, NamedSignature};
use crate::operators::window::pane::Pane;
use crate::state::{StateReader, open, put_bytes, seal};

/// Version of the envelopes.
const VERSION: u8 = 1;

/// The identity of a pane: its start, or end and start of an attached window. Panes that are due first come first.
pub(in crate::operators) type PaneKey = (EventTime, EventTime);

/// The panes of an operator.
pub(super) type Panes = BTreeMap<PaneKey, Arc<Pane>>;

/// What saved state must agree in with the operator that restores it.
#[derive(Debug, Clone)]
pub(super) enum Signature {
    /// Of hand-written graphs: a checksum of keys, aggregates and pane length.
    Checksum(u32),
    /// That of `window.agg`, in words.
    Named(NamedSignature),
}

impl Signature {
    fn checksum(&self) -> u32 {
        match self {
            Self::Checksum(checksum) => *checksum,
            Self::Named(named) => crc32c::crc32c(named.text().as_bytes()),
        }
    }

    /// Kind of the envelope of a key group's bytes.
    fn kind(&self) -> u8 {
        match self {
            Self::Checksum(_) => 2,
            Self::Named(_) => 5,
        }
    }

    /// Kind of the envelope of the operator's own bytes.
    fn own_kind(&self) -> u8 {
        match self {
            Self::Checksum(_) => 3,
            Self::Named(_) => 6,
        }
    }

    /// Serialises the watermark of a subtask, so that a row that was late before a restore is late after it.
    pub(super) fn seal_watermark(&self, watermark: EventTime) -> Bytes {
        let mut payload = watermark.to_le_bytes().to_vec();
        if let Self::Named(named) = self {
            put_bytes(&mut payload, named.text().as_bytes());
        }
        seal(self.own_kind(), VERSION, &payload)
    }

    /// Reads the watermark that [`Signature::seal_watermark`] wrote. Error: `STATE-INCOMPATIBLE` if the signature was another.
    pub(super) fn open_watermark(&self, bytes: &[u8]) -> Result<EventTime, OperatorError> {
        let mut reader = open(self.own_kind(), VERSION, bytes)?;
        let watermark = reader.i64()?;
        if let Self::Named(named) = self {
            let text = std::str::from_utf8(reader.prefixed()?).ok().and_then(NamedSignature::read);
            let saved = text.ok_or_else(|| StateReader::corrupt("the signature of a window is damaged"))?;
            if saved != *named {
                return Err(named.refuse(&saved, "window"));
            }
        }
        reader.end()?;
        Ok(watermark)
    }
}

/// The panes at a barrier. The serialisers of all key groups share them.
pub(super) struct FrozenPanes {
    pub(super) layout: Arc<Layout>,
    pub(super) signature: Signature,
    pub(super) panes: Vec<(PaneKey, Arc<Pane>)>,
    pub(super) by_group: OnceLock<SlotsByGroup>,
}

/// For each key group, the positions of the panes that hold its keys, with the slots of these keys.
type SlotsByGroup = BTreeMap<u32, Vec<(usize, Vec<u32>)>>;

impl FrozenPanes {
    /// Serialises one key group.
    pub(super) fn serialize(&self, key_group: u32) -> Result<Bytes, OperatorError> {
        let by_group = self.by_group.get_or_init(|| self.sort_slots());
        let held = by_group.get(&key_group).map(Vec::as_slice).unwrap_or_default();
        let mut payload = self.signature.checksum().to_le_bytes().to_vec();
        payload.extend((held.len() as u32).to_le_bytes());
        for (position, slots) in held {
            let ((first, second), pane) = &self.panes[*position];
            payload.extend(first.to_le_bytes());
            if matches!(self.signature, Signature::Named(_)) {
                payload.extend(second.to_le_bytes());
            }
            payload.extend((slots.len() as u32).to_le_bytes());
            let columns = self.layout.keys.columns(&pane.index, slots)?;
            let rows = self.layout.keys.format.encode(&columns, slots.len());
            (0..rows.len()).for_each(|row| put_bytes(&mut payload, rows.row(row)));
            pane.accumulators.iter().for_each(|accumulator| accumulator.write(slots, &mut payload));
        }
        Ok(seal(self.signature.kind(), VERSION, &payload))
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
    /// The signature of `window.tumbling` and `window.hopping`.
    pub(super) fn checksum_signature(&self, pane_ms: i64) -> Signature {
        let types = self.keys.format.types().iter().map(|t| format!("{t} "));
        let aggregates = self.aggregates.iter().map(|aggregate| format!("{} ", aggregate.signature()));
        let text = format!("{pane_ms} {}| {}", types.collect::<String>(), aggregates.collect::<String>());
        Signature::Checksum(crc32c::crc32c(text.as_bytes()))
    }

    /// The signature of `window.agg`.
    pub(super) fn named_signature(&self, window: String) -> Signature {
        Signature::Named(self.signature(window))
    }

    /// Adds the saved bytes of one key group to `panes`. Returns its number of keys, counted per pane.
    pub(super) fn restore(
        &self,
        signature: &Signature,
        key_group: u32,
        bytes: &[u8],
        panes: &mut Panes,
    ) -> Result<u64, OperatorError> {
        let mut reader = open(signature.kind(), VERSION, bytes)?;
        if reader.u32()? != signature.checksum() {
            let message = "the keys, aggregates or lengths of this window differ from those of the saved state; \
                           use the former ones, or give the vertex a new id and submit with --allow-non-restored-state to start \
                           it without state";
            return Err(OperatorError::fatal("STATE-INCOMPATIBLE", message));
        }
        let mut entries = 0;
        for _ in 0..reader.count(12)? {
            let first = reader.i64()?;
            let second = if matches!(signature, Signature::Named(_)) { reader.i64()? } else { 0 };
            // A key takes at least the four bytes of its length.
            let count = reader.count(4)?;
            let keys: Vec<_> = (0..count).map(|_| reader.prefixed()).collect::<Result<_, _>>()?;
            let columns = self.keys.format.decode(keys.into_iter())?;
            let batch_keys = self.keys.batch_keys(&columns, count)?;
            if batch_keys.hashes.iter().any(|hash| key_group_of(*hash, self.max_parallelism) != key_group) {
                return Err(StateReader::corrupt("a key is in the wrong key group"));
            }
            let pane = Arc::make_mut(panes.entry((first, second)).or_insert_with(|| Arc::new(self.empty_pane())));
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
