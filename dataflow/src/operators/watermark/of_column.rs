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
use crate::operators::watermark::Activity;
use crate::state::{open, seal};

/// Kind and version of the envelope of the saved watermarks.
const KIND: u8 = 7;
const VERSION: u8 = 1;

pub(super) struct WatermarksOfColumn {
    /// Position and name of the column of event time.
    time: (usize, String),
    watermark_column: usize,
    interval_ms: i64,
    /// The highest value so far.
    highest: EventTime,
    /// The watermark that holds for the rows to come.
    due: EventTime,
    /// The watermark that this attempt has sent.
    sent: EventTime,
    activity: Activity,
}

impl WatermarksOfColumn {
    pub(super) fn new(time: (usize, String), watermark_column: usize, interval_ms: i64, activity: Activity) -> Self {
        Self { time, watermark_column, interval_ms, highest: 0, due: 0, sent: 0, activity }
    }

    fn take_due(&mut self) -> Option<EventTime> {
        (self.due > self.sent).then(|| {
            self.sent = self.due;
            self.due
        })
    }
}

impl Operator for WatermarksOfColumn {
    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        if batch.column(self.time.0).null_count() > 0 {
            return Err(no_time(&self.time.1));
        }
        self.activity.on_rows();
        let (times, watermarks) = (times(&batch, self.time.0), times(&batch, self.watermark_column));
        let nulls = batch.column(self.watermark_column).nulls().filter(|nulls| nulls.null_count() > 0);
        let mut from = 0;
        for (row, (time, watermark)) in times.iter().zip(watermarks.iter()).enumerate() {
            if *time <= self.due && self.due > self.sent {
                out.collect(batch.slice(from, row - from))?;
                from = row;
                self.take_due().map_or(Ok(()), |due| out.watermark(due))?;
            }
            if nulls.is_none_or(|nulls| nulls.is_valid(row)) {
                // Only the end of input may produce MAX_WATERMARK.
                self.highest = self.highest.max((*watermark).min(MAX_WATERMARK - 1));
            }
            if self.highest.saturating_sub(self.due) > self.interval_ms {
                self.due = self.highest;
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
        let silent_for = self.activity.on_tick(now_ms);
        if silent_for > 0 && silent_for >= self.interval_ms.unsigned_abs() {
            self.due = self.highest;
        }
        Ok(self.take_due())
    }

    fn is_idle(&self) -> bool {
        self.activity.is_idle()
    }

    fn keeps_column(&self, _: &str) -> bool {
        true
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let payload = [self.highest.to_le_bytes(), self.due.to_le_bytes()].concat();
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
        self.highest = saved.iter().map(|both| both.0).min().unwrap_or(0).max(0);
        self.due = saved.iter().map(|both| both.1).min().unwrap_or(0).max(0);
        Ok(())
    }
}
