//! Which rows a subtask of `source.datagen` has still to make.

use serde::{Deserialize, Serialize};

/// Row numbers `next, next + stride, ...` below `end`.
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

/// The rows one subtask has left.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Sequences {
    /// Its turns among the present subtasks. Stays when it is used up: it says how far this subtask has come.
    pub(crate) turns: Sequence,
    /// What former subtasks had left of rows that others of them had passed.
    pub(crate) remainders: Vec<Sequence>,
}

impl Sequences {
    /// What subtask `subtask` of `parallelism` makes of rows `start..end`.
    pub(crate) fn share(start: u64, end: u64, subtask: u32, parallelism: u32) -> Self {
        let next = start.saturating_add(u64::from(subtask));
        Self { turns: Sequence { next, stride: u64::from(parallelism.max(1)), end }, remainders: Vec::new() }
    }

    /// Deals out again what all former subtasks had left; `None` if there are none. From the first row that none of them has
    /// passed, everybody takes turns as at the start; what slower ones had left below that goes to the new subtasks whole,
    /// one after the other. So the number of remainders grows by at most one per former subtask, and shrinks as they are made.
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

    /// The same up to row `end` instead: a restored job may be given another number of rows.
    pub(crate) fn until(mut self, end: u64) -> Self {
        self.turns.end = end;
        self.remainders.iter_mut().for_each(|sequence| sequence.end = sequence.end.min(end));
        self.remainders.retain(|sequence| !sequence.is_empty());
        self
    }

    /// Whether nothing is left.
    pub(crate) fn is_empty(&self) -> bool {
        self.turns.is_empty() && self.remainders.is_empty()
    }

    /// Whether a state may hold this.
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
        fn every_row_is_made_once_however_often_the_job_is_rescaled(
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
    fn numbers_near_the_greatest_do_not_overflow() {
        let mut sequences = Sequences::share(u64::MAX - 2, u64::MAX, 0, 4);
        let mut rows = Vec::new();
        sequences.take(5, &mut rows);
        assert_eq!(rows, [u64::MAX - 2]);
        assert!(sequences.is_empty());
        assert!(Sequences::share(u64::MAX, u64::MAX, 3, 4).is_empty());
    }
}
