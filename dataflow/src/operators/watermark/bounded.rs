//! Watermarks that follow the highest time, with bounded out-of-orderness.

use arrow_array::RecordBatch;
use bytes::Bytes;

use crate::element::{CheckpointBarrier, EventTime, MAX_WATERMARK};
use crate::operator::{Collector, Operator, OperatorError, RestoredState, StateSnapshot};
use crate::operators::event_time::times;
use crate::operators::watermark::splits::SplitTimes;
use crate::source::Splits;

/// Emits `highest timestamp - out_of_orderness - 1` after each batch (Flink's BoundedOutOfOrdernessWatermarks).
/// It drops watermarks from upstream, except [`MAX_WATERMARK`].
pub(super) struct BoundedWatermarks {
    column: usize,
    out_of_orderness_ms: i64,
    /// The highest time of each split.
    highest: SplitTimes<Option<EventTime>>,
    emitted: Option<EventTime>,
}

impl BoundedWatermarks {
    pub(super) fn new(column: usize, out_of_orderness_ms: i64, idle_timeout_ms: u64) -> Self {
        Self { column, out_of_orderness_ms, highest: SplitTimes::new(None, idle_timeout_ms), emitted: None }
    }
}

impl Operator for BoundedWatermarks {
    fn on_splits(&mut self, splits: Splits<'_>) {
        self.highest.on_splits(splits);
    }

    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let highest = match batch.column(self.column).nulls().filter(|nulls| nulls.null_count() > 0) {
            None => times(&batch, self.column).iter().copied().max(),
            Some(nulls) => nulls.valid_indices().map(|row| times(&batch, self.column)[row]).max(),
        };
        let of_split = self.highest.on_rows();
        *of_split = (*of_split).max(highest);
        out.collect(batch)
    }

    fn take_watermark(&mut self) -> Option<EventTime> {
        // Only the end of input may produce MAX_WATERMARK, never the timestamp of a row.
        let watermark = self
            .highest
            .lowest(|highest| *highest)?
            .saturating_sub(self.out_of_orderness_ms)
            .saturating_sub(1)
            .min(MAX_WATERMARK - 1);
        if self.emitted.is_some_and(|emitted| emitted >= watermark) {
            return None;
        }
        self.emitted = Some(watermark);
        Some(watermark)
    }

    fn on_watermark(&mut self, watermark: EventTime, _: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        Ok((watermark == MAX_WATERMARK).then_some(watermark))
    }

    fn on_tick(&mut self, now_ms: u64, _: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        self.highest.on_tick(now_ms, |_, _| {});
        // A split that became idle may have been the one that held the watermark back.
        Ok(self.take_watermark())
    }

    fn is_idle(&self) -> bool {
        self.highest.is_idle()
    }

    fn keeps_column(&self, _: &str) -> bool {
        true
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let state = self.highest.lowest(|highest| *highest).map(|highest| Bytes::copy_from_slice(&highest.to_le_bytes()));
        Ok(StateSnapshot { operator_state: state, ..StateSnapshot::default() })
    }

    /// Takes the lowest time of the former subtasks. Subtasks that had seen no rows saved no time.
    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        let time = |(_, bytes): &(u32, Bytes)| bytes.as_ref().try_into().map(i64::from_le_bytes);
        let times: Result<Vec<_>, _> = restored.operator_state.iter().map(time).collect();
        let times = times.map_err(|_| OperatorError::fatal("STATE-CORRUPT", "the saved watermark is not 8 bytes"))?;
        self.highest.restart(times.into_iter().min());
        Ok(())
    }
}
