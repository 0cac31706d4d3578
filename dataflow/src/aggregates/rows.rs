//! The rows that an update adds to accumulators.

use arrow_buffer::NullBuffer;

/// A selection of rows of a batch.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Selection<'a> {
    All,
    Rows(&'a [u32]),
}

impl<'a> Selection<'a> {
    /// The numbers of the selected rows of a batch that has `all` rows.
    pub(crate) fn rows(self, all: usize) -> impl Iterator<Item = usize> + 'a {
        let count = match self {
            Self::All => all,
            Self::Rows(rows) => rows.len(),
        };
        (0..count).map(move |position| match self {
            Self::All => position,
            Self::Rows(rows) => rows[position] as usize,
        })
    }
}

/// Marks a key that has no slot.
pub(crate) const NO_SLOT: u32 = u32::MAX;

/// The rows that an update adds, with their slots.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SelectedRows<'a> {
    /// Which rows of the batch count: those whose value is not null and whose filter is true. `None` if all do.
    pub(crate) valid: Option<&'a NullBuffer>,
    pub(crate) selection: Selection<'a>,
    /// The slot of each selected row.
    pub(crate) slots: &'a [u32],
    /// The number of the batch's first row in the order of arrival.
    pub(crate) first_arrival: i64,
}

impl SelectedRows<'_> {
    /// Calls `apply` with slot and row of each selected row that counts.
    #[inline]
    pub(super) fn each(&self, mut apply: impl FnMut(usize, usize)) {
        match (self.selection, self.valid) {
            (Selection::All, None) => self.slots.iter().enumerate().for_each(|(row, slot)| apply(*slot as usize, row)),
            (Selection::All, Some(valid)) => {
                let valid = self.slots.iter().enumerate().filter(|(row, _)| valid.is_valid(*row));
                valid.for_each(|(row, slot)| apply(*slot as usize, row));
            }
            (Selection::Rows(rows), None) => {
                rows.iter().zip(self.slots).for_each(|(row, slot)| apply(*slot as usize, *row as usize));
            }
            (Selection::Rows(rows), Some(valid)) => {
                let valid = rows.iter().zip(self.slots).filter(|(row, _)| valid.is_valid(**row as usize));
                valid.for_each(|(row, slot)| apply(*slot as usize, *row as usize));
            }
        }
    }
}

/// The pairs of a merge: each slot of the accumulator that is merged, with the slot that it goes to.
pub(super) fn pairs(slots: &[u32]) -> impl Iterator<Item = (usize, usize)> {
    slots.iter().enumerate().filter(|(_, ours)| **ours != NO_SLOT).map(|(theirs, ours)| (theirs, *ours as usize))
}
