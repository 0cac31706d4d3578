//! Notices transactions of other producers that stay open. A source that reads what is committed can't pass them.

use std::time::Duration;

use tokio::time::Instant;

/// How long a partition waits for a transaction before this is told: longer than most transactions last.
const TELL_AFTER: Duration = Duration::from_secs(60);
/// How often it is told again.
const TELL_AGAIN_AFTER: Duration = Duration::from_secs(300);

/// Whether a partition waits for the end of a transaction.
#[derive(Debug, Default)]
pub(super) struct OpenTransaction {
    since: Option<Instant>,
    tell_at: Option<Instant>,
}

impl OpenTransaction {
    /// The partition has brought records.
    pub(super) fn passed(&mut self) {
        *self = Self::default();
    }

    /// The partition has brought none. `waits` says whether there are some behind the last that is committed. Returns for how long it has
    /// waited if this must be told now.
    pub(super) fn nothing_came(&mut self, waits: bool, now: Instant) -> Option<Duration> {
        if !waits {
            self.passed();
            return None;
        }
        let since = *self.since.get_or_insert(now);
        let tell_at = self.tell_at.get_or_insert(since + TELL_AFTER);
        if now < *tell_at {
            return None;
        }
        *tell_at = now + TELL_AGAIN_AFTER;
        Some(now - since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_that_stays_open_is_told_after_a_minute_and_then_seldom() {
        let (begin, mut open) = (Instant::now(), OpenTransaction::default());
        let at = |seconds: u64| begin + Duration::from_secs(seconds);
        let told: Vec<_> = (0..800).filter(|second| open.nothing_came(true, at(*second)).is_some()).collect();
        assert_eq!(told, [60, 360, 660]);
        open.passed();
        assert_eq!(open.nothing_came(true, at(900)), None);
        assert_eq!(open.nothing_came(false, at(950)), None);
        assert_eq!(open.nothing_came(true, at(970)), None, "it had ended in between");
        assert_eq!(open.nothing_came(true, at(1_030)), Some(Duration::from_secs(60)));
    }
}
