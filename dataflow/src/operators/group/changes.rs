//! The rows that say how groups have changed.

use std::sync::Arc;

use arrow_array::{Array, ArrayRef, BooleanArray, Int8Array, RecordBatch, RecordBatchOptions, UInt32Array};
use arrow_schema::SchemaRef;
use arrow_select::interleave::interleave;
use arrow_select::take::take;

use crate::changelog::RowKind;
use crate::key_group::internal;
use crate::operator::OperatorError;
use crate::operators::group::table::{Table, Touch};
use crate::operators::keyed::Layout;

/// Writes the changes of a batch.
#[derive(Debug)]
pub(super) struct ChangeWriter {
    pub(super) schema: SchemaRef,
    /// Whether there are only inserts, which need no kind.
    pub(super) only_inserts: bool,
    /// Whether an update has two rows, the old and the new one.
    pub(super) update_before: bool,
    /// Whether a touched group whose result is the same emits it again.
    pub(super) even_if_unchanged: bool,
}

/// The output rows, before their columns are made.
#[derive(Default)]
struct Rows {
    kinds: Vec<i8>,
    /// For each row, the position of its group among those in `slots`.
    groups: Vec<u32>,
    slots: Vec<u32>,
    /// For each row, 0 and the position of its old result, or 1 and that of its new one.
    results: Vec<(usize, usize)>,
}

impl Rows {
    fn push(&mut self, kind: RowKind, result: (usize, usize)) {
        self.kinds.push(kind as i8);
        self.groups.push(self.slots.len() as u32);
        self.results.push(result);
    }
}

impl ChangeWriter {
    /// The changes, or `None` if there are none. `old` has the results of the touched groups that existed before the batch, `new`
    /// those of the groups that exist now.
    pub(super) fn batch(
        &self,
        layout: &Layout,
        table: &Table,
        touch: &Touch,
        old: &[ArrayRef],
        new: &[ArrayRef],
    ) -> Result<Option<RecordBatch>, OperatorError> {
        let rows = self.rows(table, touch, old, new)?;
        if rows.kinds.is_empty() {
            return Ok(None);
        }
        let keys = layout.keys.columns(&table.index, &rows.slots)?;
        let mut columns = if rows.groups.len() == rows.slots.len() {
            keys
        } else {
            let groups = UInt32Array::from(rows.groups);
            keys.iter().map(|key| take(key.as_ref(), &groups, None)).collect::<Result<_, _>>().map_err(internal)?
        };
        let as_they_are = rows.results.iter().enumerate().all(|(row, result)| *result == (1, row));
        for (old, new) in old.iter().zip(new) {
            columns.push(match as_they_are {
                true if rows.results.len() == new.len() => new.clone(),
                _ => interleave(&[old.as_ref(), new.as_ref()], &rows.results).map_err(internal)?,
            });
        }
        let count = rows.kinds.len();
        if !self.only_inserts {
            columns.push(Arc::new(Int8Array::from(rows.kinds)));
        }
        let options = RecordBatchOptions::new().with_row_count(Some(count));
        RecordBatch::try_new_with_options(self.schema.clone(), columns, &options).map(Some).map_err(internal)
    }

    fn rows(&self, table: &Table, touch: &Touch, old: &[ArrayRef], new: &[ArrayRef]) -> Result<Rows, OperatorError> {
        let changed = self.changed(table, touch, old, new)?;
        let mut rows = Rows::default();
        let (mut old, mut new) = (0, 0);
        for (slot, existed) in touch.slots.iter().zip(&touch.existed) {
            let exists = table.rows[*slot as usize] > 0;
            let before = rows.kinds.len();
            match (existed, exists) {
                (false, false) => {}
                (false, true) => rows.push(RowKind::Insert, (1, new)),
                (true, false) => rows.push(RowKind::Delete, (0, old)),
                (true, true) if !changed.as_ref().is_some_and(|changed| changed.value(old)) => {}
                (true, true) => {
                    if self.update_before {
                        rows.push(RowKind::UpdateBefore, (0, old));
                    }
                    rows.push(RowKind::UpdateAfter, (1, new));
                }
            }
            if rows.kinds.len() > before {
                rows.slots.push(*slot);
            }
            old += usize::from(*existed);
            new += usize::from(exists);
        }
        Ok(rows)
    }

    /// For each old result, whether an update is to be emitted if the group still exists; `None` if there are no updates.
    fn changed(
        &self,
        table: &Table,
        touch: &Touch,
        old: &[ArrayRef],
        new: &[ArrayRef],
    ) -> Result<Option<BooleanArray>, OperatorError> {
        let known = touch.existed.iter().filter(|existed| **existed).count();
        if known == 0 || self.only_inserts {
            return Ok(None);
        }
        if self.even_if_unchanged {
            return Ok(Some(BooleanArray::from(vec![true; known])));
        }
        // For each old result, the position of the new one; of a group that no longer exists, any.
        let (mut positions, mut next) = (Vec::with_capacity(known), 0u32);
        for (slot, existed) in touch.slots.iter().zip(&touch.existed) {
            if *existed {
                positions.push(next);
            }
            next += u32::from(table.rows[*slot as usize] > 0);
        }
        if next == 0 {
            return Ok(None);
        }
        let aligned = known == next as usize && positions.iter().zip(0..).all(|(position, row)| *position == row);
        positions.iter_mut().for_each(|position| *position = (*position).min(next - 1));
        let positions = UInt32Array::from(positions);
        let mut changed: Option<BooleanArray> = None;
        for (old, new) in old.iter().zip(new) {
            let new = if aligned { new.clone() } else { take(new.as_ref(), &positions, None).map_err(internal)? };
            let of_column = distinct(old, &new)?;
            changed = Some(match changed {
                None => of_column,
                Some(changed) => either(&changed, &of_column),
            });
        }
        Ok(changed)
    }
}

/// For each row, whether the values differ. NULL equals NULL.
fn distinct(old: &ArrayRef, new: &ArrayRef) -> Result<BooleanArray, OperatorError> {
    if !old.data_type().is_nested() {
        return arrow_ord::cmp::distinct(old, new).map_err(internal);
    }
    let differ = |row: usize| old.slice(row, 1).as_ref() != new.slice(row, 1).as_ref();
    Ok(BooleanArray::from((0..old.len()).map(differ).collect::<Vec<_>>()))
}

/// Either, of columns without nulls.
fn either(one: &BooleanArray, other: &BooleanArray) -> BooleanArray {
    BooleanArray::new(one.values() | other.values(), None)
}
