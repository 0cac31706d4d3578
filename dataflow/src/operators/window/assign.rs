//! Computes which windows a row belongs to, and when they are due: pure arithmetic on event time.
//!
//! Rows are aggregated in panes. A pane is a time range in which no window begins or ends. So each row is aggregated once, no matter
//! how many windows hold it. A window is known by its end.
//!
//! All times here are local times of the windows' zone, in milliseconds; only watermarks are points in time.

use crate::element::EventTime;
use crate::operator::OperatorError;
use crate::time_zone::LocalTime;

/// Maximum number of panes in a window, and so of windows that hold a row.
pub(super) const MAX_PANES: i64 = 10_000;

/// Event times beyond this, about 73 million years before or after 1970, are refused, so that arithmetic can't overflow.
pub(super) const MAX_TIME: EventTime = 1 << 61;

/// The windows of one operator. All durations are in milliseconds.
#[derive(Debug, Clone)]
pub(in crate::operators) struct WindowAssigner {
    pub(super) shape: Shape,
    pub(super) size: i64,
    pub(super) pane: i64,
    /// The start of a window; all others are at a distance of multiples of the slide or size from it.
    offset: i64,
    pub(super) lateness: i64,
    zone: LocalTime,
}

/// How windows follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// A window starts at each multiple of `slide`. Tumbling windows have the size as slide.
    Sliding { slide: i64 },
    /// Windows share their start with others, and end at each multiple of `step` until `size`.
    Cumulating { step: i64 },
}

impl WindowAssigner {
    /// Errors: `OPT-VALUE` if rows between the windows would be lost, or if a window has too many panes.
    pub(super) fn new(shape: Shape, size: i64, offset: i64, lateness: i64, zone: LocalTime) -> Result<Self, OperatorError> {
        let (option, interval) = match shape {
            Shape::Sliding { slide } => ("slide_ms", slide),
            Shape::Cumulating { step } => ("step_ms", step),
        };
        if interval > size {
            let message =
                format!("{option} ({interval}) is greater than size_ms ({size}): rows between the windows would be lost");
            return Err(OperatorError::fatal("OPT-VALUE", message));
        }
        let pane = greatest_common_divisor(size, interval);
        if matches!(shape, Shape::Cumulating { .. }) && pane != interval {
            let message = format!("size_ms ({size}) is not a multiple of {option} ({interval})");
            return Err(OperatorError::fatal("OPT-VALUE", message));
        }
        if size / pane > MAX_PANES {
            let message = format!(
                "size_ms ({size}) and {option} ({interval}) have no common divisor above {pane}: a window would have {} parts, \
                 more than {MAX_PANES}; choose rounder numbers",
                size / pane
            );
            return Err(OperatorError::fatal("OPT-VALUE", message));
        }
        Ok(Self { shape, size, pane, offset, lateness, zone })
    }

    /// Time from one window's end to the next's.
    pub(super) fn interval(&self) -> i64 {
        match self.shape {
            Shape::Sliding { slide } => slide,
            Shape::Cumulating { step } => step,
        }
    }

    /// The local time of a point in time.
    pub(super) fn local(&mut self, time: EventTime) -> EventTime {
        self.zone.to_local(time)
    }

    /// Whether local times are points in time.
    pub(super) fn is_utc(&self) -> bool {
        self.zone.is_utc()
    }

    /// The point in time of the last millisecond of a window.
    pub(super) fn last_moment(&self, window_end: EventTime) -> EventTime {
        self.zone.to_epoch(window_end - 1)
    }

    fn floor(&self, time: EventTime, multiple: i64) -> EventTime {
        time - (time - self.offset).rem_euclid(multiple)
    }

    /// Start of the pane that holds a time.
    pub(super) fn pane_start(&self, time: EventTime) -> EventTime {
        self.floor(time, self.pane)
    }

    /// Start of the window with this end.
    pub(super) fn window_start(&self, window_end: EventTime) -> EventTime {
        match self.shape {
            Shape::Sliding { .. } => window_end - self.size,
            Shape::Cumulating { .. } => self.floor(window_end - 1, self.size),
        }
    }

    /// End of the first window that holds a pane.
    pub(super) fn first_window(&self, pane_start: EventTime) -> EventTime {
        match self.shape {
            Shape::Sliding { slide } => {
                let last = self.floor(pane_start, slide);
                last - (self.size - 1 - (pane_start - last)) / slide * slide + self.size
            }
            Shape::Cumulating { step } => pane_start + step,
        }
    }

    /// End of the last window that holds a pane.
    pub(super) fn last_window(&self, pane_start: EventTime) -> EventTime {
        match self.shape {
            Shape::Sliding { slide } => self.floor(pane_start, slide) + self.size,
            Shape::Cumulating { .. } => self.floor(pane_start, self.size) + self.size,
        }
    }

    /// The watermark at which a window is complete.
    pub(super) fn due(&self, window_end: EventTime) -> EventTime {
        self.zone.passed_at(window_end - 1)
    }

    /// End of the first window that is not due at this watermark.
    pub(super) fn first_not_due(&self, watermark: EventTime) -> EventTime {
        let watermark = watermark.clamp(-2 * MAX_TIME, 2 * MAX_TIME);
        if self.is_utc() {
            return self.end_from(watermark + 2);
        }
        // No zone is more than a day from UTC.
        let interval = self.interval();
        let phase = self.end_from(0).rem_euclid(interval);
        let number = |time: EventTime| (self.end_from(time) - phase) / interval;
        let (mut due, mut not_due) = (number(watermark - 2 * DAY_MS) - 1, number(watermark + 2 * DAY_MS));
        while not_due - due > 1 {
            let middle = due + (not_due - due) / 2;
            if self.due(middle * interval + phase) > watermark {
                not_due = middle;
            } else {
                due = middle;
            }
        }
        not_due * interval + phase
    }

    /// The first end of a window that is at or after this time.
    fn end_from(&self, time: EventTime) -> EventTime {
        time + (self.offset + self.size - time).rem_euclid(self.interval())
    }

    /// Whether rows of a pane are too late for all of its windows.
    pub(super) fn is_late(&self, pane_start: EventTime, watermark: EventTime) -> bool {
        self.due(self.last_window(pane_start)) + self.lateness <= watermark
    }
}

const DAY_MS: i64 = crate::calendar::DAY_MS;

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

    fn utc() -> LocalTime {
        LocalTime::of("UTC").unwrap()
    }

    /// Start and end of every window that holds this time.
    fn holding(shape: Shape, size: i64, offset: i64, time: i64) -> Vec<(i64, i64)> {
        let starts = |every: i64| (-21_000i64..21_000).filter(move |start| (start - offset) % every == 0 && *start <= time);
        match shape {
            Shape::Sliding { slide } => starts(slide).map(|start| (start, start + size)).filter(|(_, end)| time < *end).collect(),
            Shape::Cumulating { step } => {
                let windows = starts(size).flat_map(|start| (1..=size / step).map(move |steps| (start, start + steps * step)));
                windows.filter(|(start, end)| time < *end && time < start + size).collect()
            }
        }
    }

    proptest! {
        #[test]
        fn panes_and_windows_match_their_definition(
            time in -10_000i64..10_000, size in 1i64..300, interval in 1i64..300, times in 1i64..20, cumulating in any::<bool>(),
            offset in -20i64..20, watermark in -10_000i64..10_000,
        ) {
            prop_assume!(cumulating || interval <= size);
            let (shape, size) = if cumulating {
                (Shape::Cumulating { step: interval }, interval * times)
            } else {
                (Shape::Sliding { slide: interval }, size)
            };
            let assigner = WindowAssigner::new(shape, size, offset, 0, utc()).unwrap();
            let holding = holding(shape, size, offset, time);
            let pane = assigner.pane_start(time);
            prop_assert!(pane <= time && time < pane + assigner.pane);
            prop_assert_eq!(assigner.first_window(pane), holding[0].1);
            prop_assert_eq!(assigner.last_window(pane), holding[holding.len() - 1].1);
            let mut end = assigner.first_window(pane);
            for window in holding {
                prop_assert_eq!((assigner.window_start(end), end), window);
                end += assigner.interval();
            }
            let next = assigner.first_not_due(watermark);
            prop_assert!((next - offset - size) % interval == 0);
            prop_assert!(assigner.due(next) > watermark && assigner.due(next - interval) <= watermark);
        }

        #[test]
        fn windows_of_a_zone_are_due_once_their_local_time_has_passed(
            hour in 0i64..9_000, minute in 0i64..60, interval in prop::sample::select(vec![HOUR / 2, HOUR, 24 * HOUR]),
            name in prop::sample::select(vec!["America/Los_Angeles", "Europe/Berlin", "Australia/Lord_Howe", "Asia/Kolkata"]),
        ) {
            // The year 2021.
            let watermark = 1_609_459_200_000 + hour * HOUR + minute * 60_000;
            let zone = LocalTime::of(name).unwrap();
            let mut assigner = WindowAssigner::new(Shape::Sliding { slide: interval }, interval, 0, 0, zone).unwrap();
            let next = assigner.first_not_due(watermark);
            prop_assert!(assigner.due(next) > watermark && assigner.due(next - interval) <= watermark);
            // No row after the watermark is late.
            let local = assigner.local(watermark + 1);
            prop_assert!(!assigner.is_late(assigner.pane_start(local), watermark));
        }
    }

    const HOUR: i64 = 3_600_000;

    #[test]
    fn gaps_and_too_many_panes_are_refused() {
        let refused = |shape, size| WindowAssigner::new(shape, size, 0, 0, utc()).unwrap_err().code;
        assert_eq!(refused(Shape::Sliding { slide: 11 }, 10), "OPT-VALUE");
        assert_eq!(refused(Shape::Sliding { slide: 1_000 }, 3_600_001), "OPT-VALUE");
        assert_eq!(refused(Shape::Cumulating { step: 3 }, 10), "OPT-VALUE");
        assert_eq!(refused(Shape::Cumulating { step: 1 }, 10_001), "OPT-VALUE");
    }
}
