//! Limits the rate of a source.

/// A token bucket. The caller passes in the wall clock. The bucket is small, so after a pause (a restore, a slow consumer, a
/// stopped clock) the source continues at its rate and does not catch up.
#[derive(Debug, Clone)]
pub(crate) struct RateLimiter {
    /// The rate is `rows / per` rows per second, because one subtask's share of the total rate need not be whole.
    rows: u64,
    per: u64,
    /// Rows available, times 1000, times `per`.
    credit: u128,
    last_ms: Option<u64>,
}

/// The bucket holds at most the rows of this time.
const BURST_MS: u128 = 200;

/// Rows become available in portions of about this time, so that batches are not tiny.
const PORTION_MS: u128 = 20;

impl RateLimiter {
    /// Creates a limit of `rows / per` rows per second. Both count as at least 1.
    pub(crate) fn new(rows: u64, per: u32) -> Self {
        Self { rows: rows.max(1), per: u64::from(per.max(1)), credit: 0, last_ms: None }
    }

    /// Returns how many rows may be read now, at least 1. If none may, returns the time (milliseconds) to ask again.
    pub(crate) fn available(&mut self, now_ms: u64) -> Result<usize, u64> {
        let elapsed = now_ms.saturating_sub(*self.last_ms.get_or_insert(now_ms));
        self.last_ms = Some(now_ms);
        let row = 1000 * u128::from(self.per);
        let rate = u128::from(self.rows);
        let full = (BURST_MS * rate).max(row);
        self.credit = (self.credit + u128::from(elapsed) * rate).min(full);
        let portion = (PORTION_MS * rate).max(row);
        if self.credit >= portion {
            return Ok(usize::try_from(self.credit / row).unwrap_or(usize::MAX));
        }
        let wait = (portion - self.credit).div_ceil(rate);
        Err(now_ms.saturating_add(u64::try_from(wait).unwrap_or(u64::MAX)))
    }

    /// Records that this many rows were read.
    pub(crate) fn spend(&mut self, rows: usize) {
        self.credit = self.credit.saturating_sub(rows as u128 * 1000 * u128::from(self.per));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Number of rows that a caller gets from `start_ms` for `duration_ms`. It takes all available rows and waits as told.
    fn rows_in(limiter: &mut RateLimiter, start_ms: u64, duration_ms: u64) -> usize {
        let (mut now, mut rows) = (start_ms, 0);
        while now < start_ms + duration_ms {
            match limiter.available(now) {
                Ok(available) => {
                    assert!(available >= 1);
                    limiter.spend(available);
                    rows += available;
                }
                Err(until) => {
                    assert!(until > now);
                    now = until;
                }
            }
        }
        rows
    }

    #[test]
    fn the_rate_is_exact_to_within_a_portion() {
        for (rows, per) in [(1_u64, 1_u32), (1000, 1), (999, 7), (1, 3), (1_000_000, 2), (u64::from(u32::MAX), 1)] {
            let mut limiter = RateLimiter::new(rows, per);
            let got = rows_in(&mut limiter, 1_000_000, 100_000) as u64;
            let expected = rows * 100 / u64::from(per);
            let portion = (rows / u64::from(per)) / 20 + 1;
            assert!(got <= expected + 1 && got + portion >= expected, "{rows}/{per}: {got} of {expected}");
        }
    }

    #[test]
    fn a_source_does_not_catch_up_after_a_long_pause() {
        let mut limiter = RateLimiter::new(1000, 1);
        rows_in(&mut limiter, 0, 1000);
        assert_eq!(limiter.available(3_600_000), Ok(200));
    }

    #[test]
    fn a_clock_that_goes_back_makes_no_rows_available() {
        let mut limiter = RateLimiter::new(1000, 1);
        rows_in(&mut limiter, 10_000, 1000);
        assert!(limiter.available(5000).is_err());
        assert!(limiter.available(5019).is_err());
        assert!(limiter.available(5040).is_ok());
    }
}
