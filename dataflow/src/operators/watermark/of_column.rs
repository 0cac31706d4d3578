//! Watermarks that are the values of a column, as SQL's WATERMARK defines them.
//!
//! As in Flink, the watermark is the highest value so far, it begins at 0, and it goes out behind the first row that lifts it by more
//! than the interval above the one that went out last. So it depends on the rows alone which rows are late, and not on where batches
//! end: a batch is cut before a row at or below a watermark that is due, and the watermark goes out first. In-order rows are never
//! cut.

use arrow_array::{Array, RecordBatch};
use bytes::Bytes;

use crate::element::{CheckpointBarrier, EventTime, MAX_WATERMARK};
use crate::operator::{Collector, Operator, OperatorError, RestoredState, StateSnapshot};
use crate::operators::event_time::{no_time, times};
use crate::operators::watermark::splits::SplitTimes;
use crate::source::Splits;
use crate::state::{open, seal};

/// Kind and version of the envelope of the saved watermarks.
const KIND: u8 = 7;
const VERSION: u8 = 1;

pub(super) struct WatermarksOfColumn {
    /// Position and name of the column of event time.
    time: (usize, String),
    watermark_column: usize,
    interval_ms: i64,
    splits: SplitTimes<Times>,
    /// The watermark that this attempt has sent.
    sent: EventTime,
}

/// The watermarks of one split.
#[derive(Debug, Clone, Copy)]
struct Times {
    /// The highest value so far.
    highest: EventTime,
    /// The watermark that holds for the rows to come, if it does so for the other splits.
    due: EventTime,
}

impl WatermarksOfColumn {
    pub(super) fn new(time: (usize, String), watermark_column: usize, interval_ms: i64, idle_timeout_ms: u64) -> Self {
        let splits = SplitTimes::new(Times { highest: 0, due: 0 }, idle_timeout_ms);
        Self { time, watermark_column, interval_ms, splits, sent: 0 }
    }

    /// The watermark that holds for all splits, if it was not sent.
    fn take_due(&mut self) -> Option<EventTime> {
        let due = self.splits.lowest(|times| Some(times.due)).filter(|due| *due > self.sent)?;
        self.sent = due;
        Some(due)
    }
}

impl Operator for WatermarksOfColumn {
    fn on_splits(&mut self, splits: Splits<'_>) {
        self.splits.on_splits(splits);
    }

    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        if batch.column(self.time.0).null_count() > 0 {
            return Err(no_time(&self.time.1));
        }
        let interval_ms = self.interval_ms;
        let others = self.splits.lowest_of_others(|times| times.due);
        let of_split = self.splits.on_rows();
        let (times, watermarks) = (times(&batch, self.time.0), times(&batch, self.watermark_column));
        let nulls = batch.column(self.watermark_column).nulls().filter(|nulls| nulls.null_count() > 0);
        let mut from = 0;
        for (row, (time, watermark)) in times.iter().zip(watermarks.iter()).enumerate() {
            let due = of_split.due.min(others);
            if *time <= due && due > self.sent {
                out.collect(batch.slice(from, row - from))?;
                from = row;
                self.sent = due;
                out.watermark(due)?;
            }
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                // Only the end of input may produce MAX_WATERMARK.
                of_split.highest = of_split.highest.max((*watermark).min(MAX_WATERMARK - 1));
            }
            if of_split.highest.saturating_sub(of_split.due) > interval_ms {
                of_split.due = of_split.highest;
            }
        }
        out.collect(if from == 0 { batch.clone() } else { batch.slice(from, batch.num_rows() - from) })
    }

    fn take_watermark(&mut self) -> Option<EventTime> {
        self.take_due()
    }

    fn on_watermark(&mut self, watermark: EventTime, _: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        Ok((watermark == MAX_WATERMARK).then_some(watermark))
    }

    /// If no rows arrive, the highest watermark goes out all the same, so that the last windows are not held back. Flink does so by a
    /// timer of this interval that also runs while rows arrive.
    fn on_tick(&mut self, now_ms: u64, _: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        let interval_ms = self.interval_ms.unsigned_abs();
        self.splits.on_tick(now_ms, |times, silent_for| {
            if silent_for > 0 && silent_for >= interval_ms {
                times.due = times.highest;
            }
        });
        Ok(self.take_due())
    }

    fn is_idle(&self) -> bool {
        self.splits.is_idle()
    }

    fn keeps_column(&self, _: &str) -> bool {
        true
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let lowest = |time: fn(&Times) -> EventTime| self.splits.lowest(|times| Some(time(times))).unwrap_or(0);
        let payload = [lowest(|times| times.highest).to_le_bytes(), lowest(|times| times.due).to_le_bytes()].concat();
        Ok(StateSnapshot { operator_state: Some(seal(KIND, VERSION, &payload)), ..StateSnapshot::default() })
    }

    /// Takes the lowest watermarks of the former subtasks.
    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        let saved = |(_, bytes): &(u32, Bytes)| {
            let mut reader = open(KIND, VERSION, bytes)?;
            let both = (reader.i64()?, reader.i64()?);
            reader.end()?;
            Ok::<_, OperatorError>(both)
        };
        let saved: Vec<_> = restored.operator_state.iter().map(saved).collect::<Result<_, _>>()?;
        let highest = saved.iter().map(|both| both.0).min().unwrap_or(0).max(0);
        let due = saved.iter().map(|both| both.1).min().unwrap_or(0).max(0);
        self.splits.restart(Times { highest, due });
        Ok(())
    }
}
