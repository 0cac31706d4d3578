//! Combines the watermarks of the splits of a source.
//!
//! Each partition of a log has its own order of time, and a reader may be further in one than in another. So a watermark holds for the
//! source only once it holds for each split that is neither idle nor read to its end. Flink does the same (`WatermarkOutputMultiplexer`).

use crate::element::EventTime;
use crate::operators::watermark::Activity;
use crate::source::Splits;

/// What is known of each split. Without news of splits there is one, which is all of the input.
#[derive(Debug)]
pub(super) struct SplitTimes<T> {
    splits: Vec<Split<T>>,
    current: usize,
    /// Of splits that have had no rows.
    initial: T,
    idle_timeout_ms: u64,
}

#[derive(Debug)]
struct Split<T> {
    times: T,
    activity: Activity,
    ended: bool,
}

impl<T: Copy> SplitTimes<T> {
    pub(super) fn new(initial: T, idle_timeout_ms: u64) -> Self {
        let first = Split { times: initial, activity: Activity::new(idle_timeout_ms), ended: false };
        Self { splits: vec![first], current: 0, initial, idle_timeout_ms }
    }

    /// Begins again with these times, for all splits.
    pub(super) fn restart(&mut self, initial: T) {
        *self = Self::new(initial, self.idle_timeout_ms);
    }

    pub(super) fn on_splits(&mut self, splits: Splits<'_>) {
        let (initial, timeout) = (self.initial, self.idle_timeout_ms);
        self.splits.resize_with(splits.ended.len(), || Split { times: initial, activity: Activity::new(timeout), ended: false });
        for (split, ended) in self.splits.iter_mut().zip(splits.ended) {
            split.ended = *ended;
        }
        self.current = splits.current;
    }

    /// Takes note of rows of the current split, and returns its times.
    pub(super) fn on_rows(&mut self) -> &mut T {
        if self.current >= self.splits.len() {
            // Rows without a split: treat the input as one.
            self.current = 0;
            if self.splits.is_empty() {
                self.restart(self.initial);
            }
        }
        let split = &mut self.splits[self.current];
        split.activity.on_rows();
        &mut split.times
    }

    /// Takes note of the wall clock. `on_silence` is called with the times of each split and how long it has had no rows, in
    /// milliseconds.
    pub(super) fn on_tick(&mut self, now_ms: u64, mut on_silence: impl FnMut(&mut T, u64)) {
        for split in &mut self.splits {
            let silent_for = split.activity.on_tick(now_ms);
            on_silence(&mut split.times, silent_for);
        }
    }

    /// Whether no split has rows to wait for.
    pub(super) fn is_idle(&self) -> bool {
        self.splits.iter().all(|split| split.activity.is_idle() || split.ended) && self.splits.iter().any(|split| !split.ended)
            || self.splits.is_empty()
    }

    /// The lowest time of the splits that count, or of all if none does; `None` if one that counts has none.
    pub(super) fn lowest(&self, time: impl Fn(&T) -> Option<EventTime>) -> Option<EventTime> {
        self.lowest_but(None, time)
    }

    /// The lowest time of the splits that count besides the current one; the highest there is if there are no others.
    pub(super) fn lowest_of_others(&self, time: impl Fn(&T) -> EventTime) -> EventTime {
        let has_others = self.splits.iter().enumerate().any(|(index, split)| index != self.current && split.counts());
        if has_others {
            self.lowest_but(Some(self.current), |times| Some(time(times))).unwrap_or(EventTime::MAX)
        } else {
            EventTime::MAX
        }
    }

    fn lowest_but(&self, left_out: Option<usize>, time: impl Fn(&T) -> Option<EventTime>) -> Option<EventTime> {
        let wanted = |(index, _): &(usize, &Split<T>)| Some(*index) != left_out;
        let all = || self.splits.iter().enumerate().filter(wanted).map(|(_, split)| split);
        let any_counts = all().any(Split::counts);
        let mut lowest: Option<EventTime> = None;
        for split in all().filter(|split| !any_counts || split.counts()) {
            let time = time(&split.times);
            match time {
                None if any_counts => return None,
                None => {}
                Some(time) => lowest = Some(lowest.map_or(time, |lowest| lowest.min(time))),
            }
        }
        lowest
    }
}

impl<T> Split<T> {
    fn counts(&self) -> bool {
        !self.ended && !self.activity.is_idle()
    }
}
