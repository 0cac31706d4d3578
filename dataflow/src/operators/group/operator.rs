//! The operator of updated aggregates.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use arrow_array::RecordBatch;
use arrow_array::cast::AsArray;
use arrow_array::types::Int8Type;
use arrow_buffer::BooleanBuffer;

use crate::aggregates::Selection;
use crate::changelog::{KIND, RowKind};
use crate::element::{CheckpointBarrier, EventTime};
use crate::key_group::key_group_range;
use crate::operator::{Collector, KeyGroupSnapshot, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use crate::operators::group::changes::ChangeWriter;
use crate::operators::group::expiry::Expiry;
use crate::operators::group::saved::{FrozenTable, Saved};
use crate::operators::group::table::{Table, Touch};
use crate::operators::keyed::{Layout, key_columns};
use crate::state::{StateReader, owned_position};

/// Number of slots that a tick looks at for expired groups. A tick comes about every 50 ms, so that a million groups take 6 s.
const SLOTS_PER_TICK: usize = 8_192;

/// Aggregates rows or changes per group, and emits changes.
pub(super) struct GroupOperator {
    layout: Arc<Layout>,
    saved: Saved,
    key_columns: Vec<usize>,
    /// Whether rows can be partial aggregates.
    takes_partials: bool,
    writer: ChangeWriter,
    expiry: Expiry,
    /// The slot from which the next tick looks for expired groups.
    next_expiry: usize,
    table: Arc<Table>,
    owned: Range<u32>,
    /// For each owned key group: the number of its last change, and its number of groups.
    key_groups: Vec<KeyGroup>,
    changes: u64,
    /// Number of rows that have arrived. After a restore it is higher than any that the state holds.
    arrivals: i64,
    missing: u64,
    slots: Vec<u32>,
    touch: Touch,
}

#[derive(Clone, Copy, Default)]
struct KeyGroup {
    version: u64,
    groups: u64,
}

impl GroupOperator {
    pub(super) fn new(
        layout: Arc<Layout>,
        saved: Saved,
        key_columns: Vec<usize>,
        takes_partials: bool,
        writer: ChangeWriter,
        expiry: Expiry,
        context: &OperatorContext,
    ) -> Self {
        let owned = key_group_range(context.max_parallelism, context.parallelism, context.subtask());
        Self {
            table: Arc::new(Table::empty(&layout, saved.takes_changes)),
            layout,
            saved,
            key_columns,
            takes_partials,
            writer,
            expiry,
            next_expiry: 0,
            key_groups: vec![KeyGroup::default(); owned.len()],
            owned,
            changes: 0,
            arrivals: 0,
            missing: 0,
            slots: Vec::new(),
            touch: Touch::default(),
        }
    }

    /// Notes that a group appeared (1), is gone (-1), or has changed (0).
    fn note(&mut self, key_group: u32, groups: i64) -> Result<(), OperatorError> {
        let position = owned_position(&self.owned, key_group)?;
        let info = &mut self.key_groups[position];
        info.version = self.changes;
        info.groups = info.groups.saturating_add_signed(groups);
        Ok(())
    }

    fn note_touched(&mut self) -> Result<(), OperatorError> {
        let (table, touch) = (self.table.clone(), std::mem::take(&mut self.touch));
        for slot in &touch.expired {
            self.note(table.key_groups[*slot as usize], -1)?;
        }
        // A row that DISTINCT knows changes nothing, except the time.
        let unchanged = self.writer.only_inserts && !self.expiry.is_on();
        for (slot, existed) in touch.slots.iter().zip(&touch.existed) {
            let exists = table.rows[*slot as usize] > 0;
            if !(unchanged && *existed) {
                self.note(table.key_groups[*slot as usize], i64::from(exists) - i64::from(*existed))?;
            }
        }
        self.touch = touch;
        Ok(())
    }

    /// Forgets expired groups.
    fn sweep(&mut self) -> Result<(), OperatorError> {
        let slots = self.table.touched_ms.len();
        let from = if self.next_expiry < slots { self.next_expiry } else { 0 };
        let until = slots.min(from + SLOTS_PER_TICK);
        self.next_expiry = until;
        let (table, expiry) = (&self.table, self.expiry);
        let is_expired = |slot: &usize| table.rows[*slot] > 0 && expiry.is_over(table.touched_ms[*slot]);
        let expired: Vec<usize> = (from..until).filter(is_expired).collect();
        if expired.is_empty() {
            return Ok(());
        }
        self.changes += 1;
        for slot in expired {
            self.note(self.table.key_groups[slot], -1)?;
            Arc::make_mut(&mut self.table).free(slot as u32);
        }
        Ok(())
    }

    /// Gives the groups that were touched before the time was known the time of the first tick.
    fn date_groups(&mut self) {
        let unknown = |table: &Table, slot: usize| table.rows[slot] > 0 && table.touched_ms[slot] == 0;
        let now_ms = self.expiry.now_ms();
        if (0..self.table.touched_ms.len()).any(|slot| unknown(&self.table, slot)) {
            let table = Arc::make_mut(&mut self.table);
            for slot in 0..table.touched_ms.len() {
                if unknown(table, slot) {
                    table.touched_ms[slot] = now_ms;
                }
            }
        }
    }
}

impl Operator for GroupOperator {
    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let retracted = if self.saved.takes_changes { Some(retractions(&batch)?) } else { None };
        let keys = self.layout.keys.batch_keys(&key_columns(&batch, &self.key_columns), batch.num_rows())?;
        let (inputs, partials) =
            if self.takes_partials { self.layout.inputs_and_partials(&batch) } else { (self.layout.inputs(&batch), None) };
        let first_arrival = self.arrivals;
        self.arrivals += batch.num_rows() as i64;
        self.changes += 1;

        let (table, touch) = (Arc::make_mut(&mut self.table), &mut self.touch);
        table.find_slots(&keys, self.layout.max_parallelism, self.expiry.is_on(), &mut self.slots);
        table.touch(&self.slots, retracted.as_ref(), self.expiry, touch);
        let existed = touch.slots.iter().zip(&touch.existed).filter(|(_, existed)| **existed);
        let old = table.results(&existed.map(|(slot, _)| *slot).collect::<Vec<_>>())?;
        let missing = touch.missing + table.apply(&inputs, &self.slots, first_arrival, retracted.as_ref(), touch);
        if let Some(partials) = partials {
            partials.merge(&self.layout, Selection::All, &self.slots, &mut table.accumulators)?;
        }
        if missing > 0 && !self.expiry.is_on() {
            return Err(nothing_to_retract(missing));
        }
        self.missing += missing;
        let exist = touch.slots.iter().copied().filter(|slot| table.rows[*slot as usize] > 0);
        let new = table.results(&exist.collect::<Vec<_>>())?;
        let changes = self.writer.batch(&self.layout, table, touch, &old, &new)?;
        self.note_touched()?;
        Arc::make_mut(&mut self.table).free_empty(&self.touch);
        match changes {
            Some(changes) => out.collect(changes),
            None => Ok(()),
        }
    }

    fn on_tick(&mut self, now_ms: u64, _: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        if self.expiry.is_on() {
            let is_first = self.expiry.now_ms() == 0;
            self.expiry.tick(now_ms);
            if is_first {
                self.date_groups();
            }
            self.sweep()?;
        }
        Ok(None)
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let frozen = Arc::new(FrozenTable {
            layout: self.layout.clone(),
            saved: self.saved.clone(),
            table: self.table.clone(),
            by_key_group: OnceLock::new(),
        });
        let held = self.owned.clone().zip(&self.key_groups).filter(|(_, info)| info.groups > 0);
        let freeze = |(key_group, info): (u32, &KeyGroup)| {
            let frozen = frozen.clone();
            KeyGroupSnapshot { key_group, version: info.version, serialize: Box::new(move || frozen.serialize(key_group)) }
        };
        Ok(StateSnapshot {
            operator_state: Some(self.saved.seal_signature()),
            key_groups: held.map(freeze).collect(),
            before_durable: None,
            late_operator_state: None,
        })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        restored.operator_state.iter().try_for_each(|(_, bytes)| self.saved.check_signature(bytes))?;
        let table = Arc::make_mut(&mut self.table);
        for (key_group, bytes) in &restored.key_groups {
            let position = owned_position(&self.owned, *key_group)?;
            let groups = self.saved.restore(&self.layout, *key_group, bytes, self.expiry.is_on(), table)?;
            self.key_groups[position].groups += groups;
        }
        let last = table.accumulators.iter().map(|accumulator| accumulator.last_arrival()).max().unwrap_or(-1);
        if last > i64::MAX / 2 {
            return Err(StateReader::corrupt("the number of a row is out of range"));
        }
        self.arrivals = last + 1;
        Ok(())
    }

    fn keeps_column(&self, name: &str) -> bool {
        self.writer.schema.index_of(name).is_ok_and(|index| index < self.key_columns.len())
    }

    fn missing_retractions(&self) -> u64 {
        self.missing
    }
}

/// Which rows of a batch of changes are taken back. Error: `SCHEMA-KIND` for a kind that does not exist.
fn retractions(batch: &RecordBatch) -> Result<BooleanBuffer, OperatorError> {
    let kinds = batch.columns().last().and_then(|column| column.as_primitive_opt::<Int8Type>());
    let kinds = kinds.ok_or_else(|| OperatorError::fatal("SCHEMA-KIND", format!("a batch has no column {KIND}")))?;
    if let Some(unknown) = kinds.values().iter().find(|kind| RowKind::of(**kind).is_none()) {
        return Err(OperatorError::fatal("SCHEMA-KIND", format!("a row has the kind {unknown}; there are 0 to 3")));
    }
    // The kinds that take rows back are odd: update-before and delete.
    Ok(BooleanBuffer::collect_bool(kinds.len(), |row| kinds.value(row) & 1 == 1))
}

fn nothing_to_retract(rows: u64) -> OperatorError {
    let message = format!(
        "{rows} values that were never added, or were taken away before, are to be taken away from their groups; an operator before \
         this one has emitted wrong changes, so please report it"
    );
    OperatorError::fatal("STATE-RETRACTION", message)
}
