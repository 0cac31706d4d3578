//! The rows of one pane, aggregated per key.

use arrow_array::ArrayRef;

use crate::aggregates::{Accumulator, AggregateCall, AggregateInput, NO_SLOT, SelectedRows, Selection};
use crate::key_group::key_group_of;
use crate::operator::OperatorError;
use crate::operators::keyed::{Layout, Partials};
use crate::state::{BatchKeys, KeyIndex};

/// Keys and their accumulators. The slot of a key is its position in `groups` and in each accumulator.
#[derive(Clone)]
pub(in crate::operators) struct Pane {
    pub(in crate::operators) index: KeyIndex,
    /// The key group of each slot.
    pub(in crate::operators) groups: Vec<u32>,
    pub(in crate::operators) accumulators: Vec<Box<dyn Accumulator>>,
}

/// What panes need of a batch.
pub(in crate::operators) struct BatchRows<'a> {
    pub(in crate::operators) keys: &'a BatchKeys,
    /// For each aggregate.
    pub(in crate::operators) inputs: &'a [AggregateInput],
    /// The number of the first row in the order of arrival.
    pub(in crate::operators) first_arrival: i64,
    /// The rows that stand for several.
    pub(in crate::operators) partials: Option<&'a Partials>,
}

impl Layout {
    pub(in crate::operators) fn empty_pane(&self) -> Pane {
        let accumulators = self.aggregates.iter().map(AggregateCall::accumulator).collect();
        Pane { index: self.keys.empty_index(), groups: Vec::new(), accumulators }
    }

    /// Adds the selected rows of a batch to `pane`. Leaves the slot of each row in `slots`. Error: that of [`Partials::merge`].
    pub(in crate::operators) fn update(
        &self,
        pane: &mut Pane,
        rows: &BatchRows<'_>,
        selection: Selection<'_>,
        slots: &mut Vec<u32>,
    ) -> Result<(), OperatorError> {
        let keys = rows.keys;
        let known = pane.index.len();
        pane.index.slots(keys, selection, slots);
        if pane.index.len() > known {
            pane.accumulators.iter_mut().for_each(|accumulator| accumulator.grow(pane.index.len()));
            pane.groups.resize(pane.index.len(), 0);
            for (row, slot) in selection.rows(slots.len()).zip(slots.iter()).filter(|(_, slot)| **slot as usize >= known) {
                pane.groups[*slot as usize] = key_group_of(keys.hashes[row], self.max_parallelism);
            }
        }
        for (input, accumulator) in rows.inputs.iter().zip(&mut pane.accumulators) {
            let selected = SelectedRows { valid: input.valid.as_ref(), selection, slots, first_arrival: rows.first_arrival };
            accumulator.update(input.column.as_ref(), &selected);
        }
        rows.partials.map_or(Ok(()), |partials| partials.merge(self, selection, slots, &mut pane.accumulators))
    }

    /// Adds `from` to `into`: all keys, or, if `only_known`, only the keys that `into` already has.
    pub(in crate::operators) fn merge(&self, into: &mut Pane, from: &Pane, only_known: bool, slots: &mut Vec<u32>) {
        into.index.slots_of(&from.index, !only_known, slots);
        into.groups.resize(into.index.len(), 0);
        for (theirs, ours) in slots.iter().enumerate().filter(|(_, slot)| **slot != NO_SLOT) {
            into.groups[*ours as usize] = from.groups[theirs];
        }
        for (ours, theirs) in into.accumulators.iter_mut().zip(&from.accumulators) {
            ours.grow(into.index.len());
            ours.merge(theirs.as_ref(), slots);
        }
    }

    /// A pane with the keys of these slots of `pane`, but with empty values.
    pub(in crate::operators) fn keys_of(&self, pane: &Pane, slots: &[u32]) -> Result<Pane, OperatorError> {
        let mut known = self.empty_pane();
        let columns = self.keys.columns(&pane.index, slots)?;
        let keys = self.keys.batch_keys(&columns, slots.len())?;
        known.index.slots(&keys, Selection::All, &mut Vec::new());
        known.groups.resize(known.index.len(), 0);
        known.accumulators.iter_mut().for_each(|accumulator| accumulator.grow(known.index.len()));
        Ok(known)
    }

    /// Key columns and aggregate columns of a pane, sorted by key, nulls first.
    pub(in crate::operators) fn finish(&self, pane: &Pane) -> Result<Vec<ArrayRef>, OperatorError> {
        let all: Vec<u32> = (0..pane.index.len() as u32).collect();
        let keys = self.keys.columns(&pane.index, &all)?;
        let slots = if keys.is_empty() { all } else { sorted(&keys)? };
        let order = arrow_array::UInt32Array::from(slots.clone());
        let mut columns = Vec::with_capacity(keys.len() + self.aggregates.len());
        for key in &keys {
            columns.push(arrow_select::take::take(key.as_ref(), &order, None).map_err(crate::key_group::internal)?);
        }
        for accumulator in &pane.accumulators {
            columns.push(accumulator.finish(&slots)?);
        }
        Ok(columns)
    }
}

fn sorted(columns: &[ArrayRef]) -> Result<Vec<u32>, OperatorError> {
    let columns: Vec<_> =
        columns.iter().map(|values| arrow_ord::sort::SortColumn { values: values.clone(), options: None }).collect();
    let order = arrow_ord::sort::lexsort_to_indices(&columns, None).map_err(crate::key_group::internal)?;
    Ok(order.values().to_vec())
}
