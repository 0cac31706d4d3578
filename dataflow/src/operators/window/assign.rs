//! Computes which windows a row belongs to, and when they are due: pure arithmetic on event time.
//!
//! Windows start at multiples of `slide` and are `size` long; tumbling windows have `slide = size`. Rows are aggregated in panes.
//! A pane is a time range in which no window begins or ends. So each row is aggregated once, no matter how many windows hold it.

use crate::element::EventTime;
use crate::operator::OperatorError;

/// Maximum number of panes in a window, and so of windows that hold a row.
pub(super) const MAX_PANES: i64 = 10_000;

/// Event times beyond this, about 73 million years before or after 1970, are refused, so that arithmetic can't overflow.
pub(super) const MAX_TIME: EventTime = 1 << 61;

/// The windows of one operator. All durations are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct WindowAssigner {
    pub(super) size: i64,
    pub(super) slide: i64,
    pub(super) pane: i64,
    pub(super) lateness: i64,
}

impl WindowAssigner {
    pub(super) fn new(size: i64, slide: i64, lateness: i64) -> Result<Self, OperatorError> {
        if slide > size {
            let message = format!("slide_ms ({slide}) is greater than size_ms ({size}): rows between the windows would be lost");
            return Err(OperatorError::fatal("OPT-VALUE", message));
        }
        let pane = greatest_common_divisor(size, slide);
        if size / pane > MAX_PANES {
            let message = format!(
                "size_ms ({size}) and slide_ms ({slide}) have no common divisor above {pane}: a window would have {} parts, \
                 more than {MAX_PANES}; choose rounder numbers",
                size / pane
            );
            return Err(OperatorError::fatal("OPT-VALUE", message));
        }
        Ok(Self { size, slide, pane, lateness })
    }

    /// Start of the pane that holds a time.
    pub(super) fn pane_start(&self, time: EventTime) -> EventTime {
        time - time.rem_euclid(self.pane)
    }

    /// Start of the first window that holds a pane.
    pub(super) fn first_window(&self, pane_start: EventTime) -> EventTime {
        let last = self.last_window(pane_start);
        last - (self.size - 1 - (pane_start - last)) / self.slide * self.slide
    }

    /// Start of the last window that holds a pane.
    pub(super) fn last_window(&self, pane_start: EventTime) -> EventTime {
        pane_start - pane_start.rem_euclid(self.slide)
    }

    /// The watermark at which a window is complete.
    pub(super) fn due(&self, window_start: EventTime) -> EventTime {
        window_start + self.size - 1
    }

    /// Start of the first window that is not due at this watermark.
    pub(super) fn first_not_due(&self, watermark: EventTime) -> EventTime {
        let start = watermark.clamp(-2 * MAX_TIME, 2 * MAX_TIME) - self.size + 1;
        start - start.rem_euclid(self.slide) + self.slide
    }

    /// Whether rows of a pane are too late for all of its windows.
    pub(super) fn is_late(&self, pane_start: EventTime, watermark: EventTime) -> bool {
        self.due(self.last_window(pane_start)) + self.lateness <= watermark
    }
}

fn greatest_common_divisor(mut a: i64, mut b: i64) -> i64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn panes_and_windows_match_their_definition(time in -10_000i64..10_000, size in 1i64..300, slide in 1i64..300, watermark in -10_000i64..10_000) {
            prop_assume!(slide <= size);
            let assigner = WindowAssigner::new(size, slide, 0).unwrap();
            let holding: Vec<_> = (-11_000i64..11_000).filter(|s| s % slide == 0 && *s <= time && time < s + size).collect();
            let pane = assigner.pane_start(time);
            prop_assert!(pane <= time && time < pane + assigner.pane);
            prop_assert_eq!(assigner.first_window(pane), holding[0]);
            prop_assert_eq!(assigner.last_window(pane), holding[holding.len() - 1]);
            let next = assigner.first_not_due(watermark);
            prop_assert!(next % slide == 0 && assigner.due(next) > watermark && assigner.due(next - slide) <= watermark);
        }
    }

    #[test]
    fn gaps_and_too_many_panes_are_refused() {
        assert_eq!(WindowAssigner::new(10, 11, 0).unwrap_err().code, "OPT-VALUE");
        assert_eq!(WindowAssigner::new(3_600_001, 1_000, 0).unwrap_err().code, "OPT-VALUE");
    }
}
