//! Decides when to aggregate.

/// A batch is worth aggregating if it has at least this many times as many rows as groups. With fewer, writing, sending and merging
/// partial aggregates was seen to cost as much as the rows (`ops/nexmark-bench/phases.py`).
const LEAST_REDUCTION: usize = 4;
/// Most batches that go on as they are after a batch that was tried in vain.
const MOST_SKIPPED: u32 = 64;

/// Watches how much smaller batches become. A batch of which much is left costs more than it saves.
#[derive(Debug, Default)]
pub(super) struct Reduction {
    /// Number of batches that are to go on as they are.
    skip: u32,
    /// Number of batches that were skipped after the last try, or will be.
    skipped: u32,
}

impl Reduction {
    /// Whether to try with the next batch.
    pub(super) fn is_due(&mut self) -> bool {
        if self.skip == 0 {
            return true;
        }
        self.skip -= 1;
        false
    }

    /// Notes how many groups the rows of a batch have. Returns whether their partial aggregates are worth it.
    pub(super) fn is_worth(&mut self, rows: usize, groups: usize) -> bool {
        if groups.saturating_mul(LEAST_REDUCTION) <= rows {
            self.skipped = 0;
            return true;
        }
        self.skipped = (2 * self.skipped + 1).min(MOST_SKIPPED);
        self.skip = self.skipped;
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_that_hardly_shrink_are_tried_less_and_less_often() {
        let mut reduction = Reduction::default();
        let tried = |reduction: &mut Reduction| (0..500).filter(|_| reduction.is_due() && !reduction.is_worth(100, 90)).count();
        assert_eq!(tried(&mut reduction), 12);
        while !reduction.is_due() {}
        assert!(reduction.is_worth(100, 25));
        assert!(reduction.is_due() && reduction.is_worth(100, 1) && reduction.is_due());
    }
}
