//! Computes the rows that a subtask of a generator has still to make.

use serde::{Deserialize, Serialize};

/// The row numbers `next, next + stride, ...` below `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) struct Sequence {
    pub(crate) next: u64,
    pub(crate) stride: u64,
    pub(crate) end: u64,
}

impl Sequence {
    fn is_empty(&self) -> bool {
        self.next >= self.end
    }

    fn pop(&mut self) -> u64 {
        let row = self.next;
        self.next = row.saturating_add(self.stride);
        row
    }
}

/// The rows that one subtask has still to generate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sequences {
    /// The subtask's share of the rows at the present parallelism. It is kept when it is empty, as the mark of the subtask's
    /// progress.
    pub(crate) turns: Sequence,
    /// Rows that a slow former subtask had not generated when a faster one was already beyond them.
    pub(crate) remainders: Vec<Sequence>,
}

impl Sequences {
    /// The share of rows `start..end` that subtask `subtask` of `parallelism` generates.
    pub(crate) fn share(start: u64, end: u64, subtask: u32, parallelism: u32) -> Self {
        let next = start.saturating_add(u64::from(subtask));
        Self { turns: Sequence { next, stride: u64::from(parallelism.max(1)), end }, remainders: Vec::new() }
    }

    /// Distributes the rows that the former subtasks had left, after rescaling. Returns the share of `subtask`, or `None` if
    /// there are no former subtasks.
    ///
    /// The highest `next` of the former subtasks divides the rows. From there on, the new subtasks share the rows as at the
    /// start. Below it, each slower former subtask has one remainder. Remainders are assigned whole, in turn. So their number
    /// grows by at most one per former subtask, and shrinks as they are used up.
    pub(crate) fn redeal(former: &[Self], subtask: u32, parallelism: u32) -> Option<Self> {
        let end = former.iter().map(|sequences| sequences.turns.end).max()?;
        let high_water = former.iter().map(|sequences| sequences.turns.next).max()?.min(end);
        let mut left: Vec<_> = former.iter().flat_map(|sequences| sequences.remainders.iter().copied()).collect();
        left.extend(former.iter().map(|sequences| Sequence { end: high_water, ..sequences.turns }));
        left.retain(|sequence| !sequence.is_empty());
        left.sort_unstable();
        let mine = left.into_iter().skip(subtask as usize).step_by(parallelism.max(1) as usize);
        Some(Self { remainders: mine.collect(), ..Self::share(high_water, end, subtask, parallelism) })
    }

    /// Changes the end to row `end`, because a restored job may have another number of rows.
    pub(crate) fn until(mut self, end: u64) -> Self {
        self.turns.end = end;
        self.remainders.iter_mut().for_each(|sequence| sequence.end = sequence.end.min(end));
        self.remainders.retain(|sequence| !sequence.is_empty());
        self
    }

    /// The least number of rows that a job must have in which this subtask has generated what it has: one more than its last row.
    pub(crate) fn generated(&self) -> u64 {
        let last = self.turns.next.checked_sub(self.turns.stride);
        last.map_or(0, |last| last.saturating_add(1))
    }

    /// Whether no rows are left.
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty() && self.remainders.is_empty()
    }

    /// Whether this is a state that the source can have saved.
    pub(crate) fn is_legal(&self) -> bool {
        self.turns.stride > 0 && self.remainders.iter().all(|sequence| sequence.stride > 0 && !sequence.is_empty())
    }

    /// Takes up to `count` row numbers, lowest first.
    pub(crate) fn take(&mut self, count: usize, rows: &mut Vec<u64>) {
        for _ in 0..count {
            let lowest = (0..self.remainders.len()).min_by_key(|index| self.remainders[*index].next);
            match lowest {
                Some(index) if self.turns.is_empty() || self.remainders[index].next < self.turns.next => {
                    rows.push(self.remainders[index].pop());
                    if self.remainders[index].is_empty() {
                        self.remainders.swap_remove(index);
                    }
                }
                _ if !self.turns.is_empty() => rows.push(self.turns.pop()),
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn every_row_is_generated_once_across_rescalings(
            total in 0_u64..300,
            phases in proptest::collection::vec((1_u32..6, proptest::collection::vec(0_usize..40, 6)), 1..6),
        ) {
            let mut made = Vec::new();
            let mut current: Vec<Sequences> = Vec::new();
            for (phase, (parallelism, takes)) in phases.iter().enumerate() {
                let next: Vec<_> = (0..*parallelism).map(|subtask| {
                    if phase == 0 { Sequences::share(0, total, subtask, *parallelism) } else { Sequences::redeal(&current, subtask, *parallelism).unwrap() }
                }).collect();
                current = next;
                for (sequences, take) in current.iter_mut().zip(takes) {
                    sequences.take(*take, &mut made);
                }
            }
            for sequences in &mut current {
                let before = made.len();
                sequences.take(1000, &mut made);
                prop_assert!(made[before..].is_sorted());
                prop_assert!(sequences.is_empty());
            }
            made.sort_unstable();
            prop_assert_eq!(made, (0..total).collect::<Vec<_>>());
        }
    }

    #[test]
    fn row_numbers_near_the_maximum_do_not_overflow() {
        let mut sequences = Sequences::share(u64::MAX - 2, u64::MAX, 0, 4);
        let mut rows = Vec::new();
        sequences.take(5, &mut rows);
        assert_eq!(rows, [u64::MAX - 2]);
        assert!(sequences.is_empty());
        assert!(Sequences::share(u64::MAX, u64::MAX, 3, 4).is_empty());
    }
}
