//! The groups with their accumulators.

use std::ops::Range;

use arrow_array::ArrayRef;
use arrow_buffer::BooleanBuffer;

use crate::aggregates::{Accumulator, AggregateCall, AggregateInput, SelectedRows, Selection};
use crate::key_group::key_group_of;
use crate::operator::OperatorError;
use crate::operators::group::expiry::Expiry;
use crate::operators::keyed::Layout;
use crate::state::{BatchKeys, KeyIndex};

/// Groups, each with a slot: its position in each of these vectors.
#[derive(Clone)]
pub(super) struct Table {
    pub(super) index: KeyIndex,
    pub(super) accumulators: Vec<Box<dyn Accumulator>>,
    /// The key group of each slot; [`FREE`] if the slot has no key.
    pub(super) key_groups: Vec<u32>,
    /// Number of rows of each group; 1 if rows are never taken back. 0 if the slot has no group.
    pub(super) rows: Vec<i64>,
    /// When the last row came, in milliseconds since 1970; 0 if not known. Without expiry it has no entries.
    pub(super) touched_ms: Vec<u64>,
}

/// The key group of a slot without a key.
pub(super) const FREE: u32 = u32::MAX;

/// What the rows of a batch do to the groups. Its vectors are used again for the next batch.
#[derive(Default)]
pub(super) struct Touch {
    /// The groups in the order of their first row.
    pub(super) slots: Vec<u32>,
    /// For each of them, whether it existed before the batch.
    pub(super) existed: Vec<bool>,
    /// Groups that the batch found expired.
    pub(super) expired: Vec<u32>,
    /// Number of rows that take away from a group that does not exist. They are dropped.
    pub(super) missing: u64,
    /// If rows can be taken back: the numbers of the rows that are not dropped, and the slot of each.
    rows: Vec<u32>,
    row_slots: Vec<u32>,
    /// Positions in `rows`, each with the slot of a group that has become empty before it, and begins anew with it.
    restarts: Vec<(usize, u32)>,
    /// Slots whose only rows were dropped.
    untouched: Vec<u32>,
    /// For each slot, the number of the batch that touched it last.
    stamps: Vec<u32>,
    stamp: u32,
}

impl Table {
    /// A table without groups.
    pub(super) fn empty(layout: &Layout, takes_changes: bool) -> Self {
        let accumulator = if takes_changes { AggregateCall::retractable_accumulator } else { AggregateCall::accumulator };
        Self {
            index: layout.keys.empty_index(),
            accumulators: layout.aggregates.iter().map(accumulator).collect(),
            key_groups: Vec::new(),
            rows: Vec::new(),
            touched_ms: Vec::new(),
        }
    }

    /// Finds the slot of each row's key. A new key gets a slot, but no group yet.
    pub(super) fn find_slots(&mut self, keys: &BatchKeys, max_parallelism: u32, with_times: bool, slots: &mut Vec<u32>) {
        self.index.slots(keys, Selection::All, slots);
        self.grow(with_times);
        for (slot, hash) in slots.iter().zip(&keys.hashes) {
            let key_group = &mut self.key_groups[*slot as usize];
            if *key_group == FREE {
                *key_group = key_group_of(*hash, max_parallelism);
            }
        }
    }

    /// Makes room for the slots of the index.
    pub(super) fn grow(&mut self, with_times: bool) {
        let slots = self.index.len();
        if slots > self.key_groups.len() {
            self.key_groups.resize(slots, FREE);
            self.rows.resize(slots, 0);
            self.accumulators.iter_mut().for_each(|accumulator| accumulator.grow(slots));
            if with_times {
                self.touched_ms.resize(slots, 0);
            }
        }
    }

    /// Counts the rows of each group. `retracted` has the rows that are taken back.
    pub(super) fn touch(&mut self, slots: &[u32], retracted: Option<&BooleanBuffer>, expiry: Expiry, touch: &mut Touch) {
        touch.begin(self.key_groups.len());
        match retracted {
            None => slots.iter().for_each(|slot| {
                if touch.is_first(*slot) {
                    self.expire(*slot, expiry, touch);
                    let rows = &mut self.rows[*slot as usize];
                    touch.add(*slot, *rows > 0);
                    *rows = 1;
                }
            }),
            Some(retracted) => {
                for (row, slot) in slots.iter().enumerate() {
                    self.touch_by_change(row, *slot, retracted.value(row), expiry, touch);
                }
            }
        }
        if expiry.is_on() {
            touch.slots.iter().for_each(|slot| self.touched_ms[*slot as usize] = expiry.now_ms());
        }
    }

    fn touch_by_change(&mut self, row: usize, slot: u32, retracted: bool, expiry: Expiry, touch: &mut Touch) {
        let is_first = touch.is_first(slot);
        if is_first {
            self.expire(slot, expiry, touch);
        }
        let rows = &mut self.rows[slot as usize];
        if retracted && *rows == 0 {
            touch.missing += 1;
            if is_first {
                touch.untouched.push(slot);
            }
            return;
        }
        if is_first {
            touch.add(slot, *rows > 0);
        } else if *rows == 0 {
            touch.restarts.push((touch.rows.len(), slot));
        }
        *rows += if retracted { -1 } else { 1 };
        touch.rows.push(row as u32);
        touch.row_slots.push(slot);
    }

    /// Empties a slot whose group has expired.
    fn expire(&mut self, slot: u32, expiry: Expiry, touch: &mut Touch) {
        let position = slot as usize;
        if expiry.is_on() && self.rows[position] > 0 && expiry.is_over(self.touched_ms[position]) {
            self.rows[position] = 0;
            self.clear(slot);
            touch.expired.push(slot);
        }
    }

    /// Adds the rows of a batch to the accumulators, or takes them back. Returns the number of values that were to be taken back
    /// and are not there.
    pub(super) fn apply(
        &mut self,
        inputs: &[AggregateInput],
        slots: &[u32],
        first_arrival: i64,
        retracted: Option<&BooleanBuffer>,
        touch: &Touch,
    ) -> u64 {
        let Some(retracted) = retracted else {
            for (input, accumulator) in inputs.iter().zip(&mut self.accumulators) {
                let rows = SelectedRows { valid: input.valid.as_ref(), selection: Selection::All, slots, first_arrival };
                accumulator.update(input.column.as_ref(), &rows);
            }
            return 0;
        };
        let (mut missing, mut from) = (0, 0);
        for (until, emptied) in &touch.restarts {
            missing += self.change(inputs, touch, from..*until, first_arrival, retracted);
            // Doubles that were added and taken back leave a rest.
            self.clear(*emptied);
            from = *until;
        }
        missing + self.change(inputs, touch, from..touch.rows.len(), first_arrival, retracted)
    }

    fn change(
        &mut self,
        inputs: &[AggregateInput],
        touch: &Touch,
        range: Range<usize>,
        first_arrival: i64,
        retracted: &BooleanBuffer,
    ) -> u64 {
        if range.is_empty() {
            return 0;
        }
        let (selection, slots) = (Selection::Rows(&touch.rows[range.clone()]), &touch.row_slots[range]);
        let changed = inputs.iter().zip(&mut self.accumulators).map(|(input, accumulator)| {
            let rows = SelectedRows { valid: input.valid.as_ref(), selection, slots, first_arrival };
            accumulator.change(input.column.as_ref(), &rows, retracted)
        });
        changed.sum()
    }

    /// The aggregate columns of these groups.
    pub(super) fn results(&self, slots: &[u32]) -> Result<Vec<ArrayRef>, OperatorError> {
        self.accumulators.iter().map(|accumulator| accumulator.finish(slots)).collect()
    }

    /// Frees the slots of the batch that have no group.
    pub(super) fn free_empty(&mut self, touch: &Touch) {
        for slot in touch.slots.iter().chain(&touch.untouched) {
            if self.rows[*slot as usize] == 0 {
                self.free(*slot);
            }
        }
    }

    /// Frees a slot for another key.
    pub(super) fn free(&mut self, slot: u32) {
        let position = slot as usize;
        if self.key_groups[position] != FREE {
            self.rows[position] = 0;
            self.clear(slot);
            self.index.remove(slot);
            self.key_groups[position] = FREE;
        }
    }

    fn clear(&mut self, slot: u32) {
        self.accumulators.iter_mut().for_each(|accumulator| accumulator.clear(slot as usize));
    }
}

impl Touch {
    fn begin(&mut self, slots: usize) {
        self.slots.clear();
        self.existed.clear();
        self.expired.clear();
        self.rows.clear();
        self.row_slots.clear();
        self.restarts.clear();
        self.untouched.clear();
        self.missing = 0;
        self.stamps.resize(slots, 0);
        self.stamp = self.stamp.wrapping_add(1);
        if self.stamp == 0 {
            self.stamps.fill(0);
            self.stamp = 1;
        }
    }

    #[inline]
    fn is_first(&self, slot: u32) -> bool {
        self.stamps[slot as usize] != self.stamp
    }

    fn add(&mut self, slot: u32, existed: bool) {
        self.stamps[slot as usize] = self.stamp;
        self.slots.push(slot);
        self.existed.push(existed);
    }
}
