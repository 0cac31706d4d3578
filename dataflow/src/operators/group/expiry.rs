//! When groups are forgotten.

/// Forgets groups that no row has reached for some time, by the clock of the chain.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expiry {
    /// In milliseconds; 0 keeps groups for ever.
    after_ms: u64,
    /// The time of the last tick, in milliseconds since 1970; 0 before the first.
    now_ms: u64,
}

impl Expiry {
    /// Forgets groups after this many milliseconds; 0 keeps them for ever.
    pub(super) fn after(after_ms: u64) -> Self {
        Self { after_ms, now_ms: 0 }
    }

    pub(super) fn is_on(self) -> bool {
        self.after_ms > 0
    }

    /// The time to note at a group that a row reaches; 0 if it is not known yet.
    pub(super) fn now_ms(self) -> u64 {
        self.now_ms
    }

    /// Moves the clock. It does not go backwards.
    pub(super) fn tick(&mut self, now_ms: u64) {
        self.now_ms = self.now_ms.max(now_ms);
    }

    /// Whether a group is forgotten whose last row came at this time.
    pub(super) fn is_over(self, touched_ms: u64) -> bool {
        self.after_ms > 0 && touched_ms > 0 && touched_ms.saturating_add(self.after_ms) <= self.now_ms
    }
}
