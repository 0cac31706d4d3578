//! Combines the watermarks of many channels into one.

use crate::element::{EventTime, MAX_WATERMARK, MIN_WATERMARK};

/// Combines watermarks, idleness and end of a task's input channels.
///
/// The combined watermark is the lowest of the channels that count. A channel counts if it has not ended, is not idle, and is not
/// behind the combined watermark; it can fall behind while it is idle. The combined watermark never goes back. If every channel
/// that has not ended is idle, it advances to the highest watermark of these channels, and the task is idle too.
#[derive(Debug)]
pub struct WatermarkValve {
    channels: Vec<Channel>,
    combined: EventTime,
    idle: bool,
}

#[derive(Debug, Clone, Copy)]
struct Channel {
    watermark: EventTime,
    idle: bool,
    ended: bool,
}

/// What the task must pass on after an event of a channel: first the watermark, then the idleness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValveOutput {
    /// The new combined watermark, if it has advanced.
    pub watermark: Option<EventTime>,
    /// All channels have just become idle.
    pub became_idle: bool,
}

impl WatermarkValve {
    /// Creates a valve for this many channels, all active and at [`MIN_WATERMARK`].
    pub fn new(channels: usize) -> Self {
        let channel = Channel { watermark: MIN_WATERMARK, idle: false, ended: false };
        Self { channels: vec![channel; channels], combined: MIN_WATERMARK, idle: false }
    }

    /// The current combined watermark.
    pub fn watermark(&self) -> EventTime {
        self.combined
    }

    /// Whether every channel that has not ended is idle.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// Handles a watermark that arrived on `channel`. It ends the channel's idleness. A lower one than before is ignored.
    pub fn on_watermark(&mut self, channel: usize, watermark: EventTime) -> ValveOutput {
        let state = &mut self.channels[channel];
        state.idle = false;
        state.watermark = state.watermark.max(watermark);
        self.combine()
    }

    /// Handles rows that arrived on `channel`: it is no longer idle.
    pub fn on_batch(&mut self, channel: usize) {
        self.channels[channel].idle = false;
        self.idle = false;
    }

    /// Handles the report that `channel` is idle.
    pub fn on_idle(&mut self, channel: usize) -> ValveOutput {
        self.channels[channel].idle = true;
        self.combine()
    }

    /// Handles the end of `channel`: it no longer holds the watermark back.
    pub fn on_end(&mut self, channel: usize) -> ValveOutput {
        let state = &mut self.channels[channel];
        state.ended = true;
        state.watermark = MAX_WATERMARK;
        self.combine()
    }

    fn combine(&mut self) -> ValveOutput {
        let was_idle = self.idle;
        let mut open = self.channels.iter().filter(|c| !c.ended).peekable();
        let next = if open.peek().is_none() {
            self.idle = false;
            MAX_WATERMARK
        } else {
            let active = |c: &&Channel| !c.idle;
            self.idle = !open.clone().any(|c| active(&c));
            if self.idle {
                open.map(|c| c.watermark).max().unwrap_or(self.combined)
            } else {
                // A channel that was idle while the others advanced must catch up before it counts again.
                let aligned = open.filter(active).map(|c| c.watermark).filter(|w| *w >= self.combined);
                aligned.min().unwrap_or(self.combined)
            }
        };
        let watermark = (next > self.combined).then_some(next);
        self.combined = self.combined.max(next);
        ValveOutput { watermark, became_idle: self.idle && !was_idle }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn advance(watermark: EventTime) -> ValveOutput {
        ValveOutput { watermark: Some(watermark), became_idle: false }
    }

    #[test]
    fn the_slowest_channel_decides() {
        let mut valve = WatermarkValve::new(2);
        assert_eq!(valve.on_watermark(0, 10), ValveOutput::default());
        assert_eq!(valve.on_watermark(1, 4), advance(4));
        assert_eq!(valve.on_watermark(1, 20), advance(10));
        assert_eq!(valve.on_watermark(1, 15), ValveOutput::default());
    }

    #[test]
    fn an_idle_channel_does_not_hold_the_watermark_back_and_counts_again_once_it_has_caught_up() {
        let mut valve = WatermarkValve::new(2);
        valve.on_watermark(0, 10);
        assert_eq!(valve.on_idle(1), advance(10));
        valve.on_batch(1);
        assert_eq!(valve.on_watermark(1, 3), ValveOutput::default());
        assert_eq!(valve.on_watermark(0, 12), advance(12));
        assert_eq!(valve.on_watermark(1, 13), ValveOutput::default());
        assert_eq!(valve.on_watermark(0, 20), advance(13));
    }

    #[test]
    fn if_all_channels_are_idle_it_is_reported_once_with_the_highest_watermark() {
        let mut valve = WatermarkValve::new(2);
        valve.on_watermark(0, 10);
        valve.on_watermark(1, 7);
        assert_eq!(valve.on_idle(0), ValveOutput::default());
        assert_eq!(valve.on_idle(1), ValveOutput { watermark: Some(10), became_idle: true });
        assert_eq!(valve.on_idle(1), ValveOutput::default());
    }

    #[test]
    fn an_ended_channel_does_not_hold_the_watermark_back_and_the_last_end_gives_the_maximum_watermark() {
        let mut valve = WatermarkValve::new(2);
        valve.on_watermark(0, 10);
        assert_eq!(valve.on_end(1), advance(10));
        assert_eq!(valve.on_end(0), advance(MAX_WATERMARK));
        assert!(!valve.is_idle());
    }

    proptest! {
        #[test]
        fn the_watermark_never_goes_back(news in prop::collection::vec((0usize..4, 0u8..4, -50i64..50), 0..200)) {
            let mut valve = WatermarkValve::new(4);
            let mut last = MIN_WATERMARK;
            let mut ended = [false; 4];
            for (channel, what, watermark) in news {
                if ended[channel] {
                    continue;
                }
                let output = match what {
                    0 | 1 => valve.on_watermark(channel, watermark),
                    2 => valve.on_idle(channel),
                    _ => { ended[channel] = true; valve.on_end(channel) }
                };
                if let Some(watermark) = output.watermark {
                    prop_assert!(watermark > last);
                    last = watermark;
                }
                prop_assert_eq!(valve.watermark(), last);
                prop_assert!(!ended.iter().all(|e| *e) || last == MAX_WATERMARK);
            }
        }
    }
}
