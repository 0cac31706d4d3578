//! Merging the watermarks of many channels into one.

use crate::element::{EventTime, MAX_WATERMARK, MIN_WATERMARK};

/// Merges watermarks, idleness and end of a task's input channels.
///
/// The combined watermark is the least of the channels that count: those that have not ended, are not idle, and have caught
/// up with what was already said. It never goes back. When every channel that has not ended is idle, it advances to the
/// highest that any of them reached, and the task is idle itself.
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

/// What to do after a channel's news: first pass on the watermark, then the idleness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ValveOutput {
    /// The combined watermark has advanced to this.
    pub watermark: Option<EventTime>,
    /// All channels have just become idle.
    pub became_idle: bool,
}

impl WatermarkValve {
    /// A valve over this many channels, none of which has said anything.
    pub fn new(channels: usize) -> Self {
        let channel = Channel { watermark: MIN_WATERMARK, idle: false, ended: false };
        Self { channels: vec![channel; channels], combined: MIN_WATERMARK, idle: false }
    }

    /// The combined watermark.
    pub fn watermark(&self) -> EventTime {
        self.combined
    }

    /// Whether every channel that has not ended is idle.
    pub fn is_idle(&self) -> bool {
        self.idle
    }

    /// A watermark arrived on `channel`. Ends its idleness. One that goes back is ignored.
    pub fn on_watermark(&mut self, channel: usize, watermark: EventTime) -> ValveOutput {
        let state = &mut self.channels[channel];
        state.idle = false;
        state.watermark = state.watermark.max(watermark);
        self.combine()
    }

    /// Rows arrived on `channel`: it is not idle any more.
    pub fn on_batch(&mut self, channel: usize) {
        self.channels[channel].idle = false;
        self.idle = false;
    }

    /// `channel` says that it is idle.
    pub fn on_idle(&mut self, channel: usize) -> ValveOutput {
        self.channels[channel].idle = true;
        self.combine()
    }

    /// `channel` has ended: it holds nothing back any more.
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
                // A channel that was idle while the others went on must catch up before it counts again.
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
    fn an_idle_channel_holds_nothing_back_and_counts_again_once_it_has_caught_up() {
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
    fn all_idle_is_said_once_with_the_highest_watermark() {
        let mut valve = WatermarkValve::new(2);
        valve.on_watermark(0, 10);
        valve.on_watermark(1, 7);
        assert_eq!(valve.on_idle(0), ValveOutput::default());
        assert_eq!(valve.on_idle(1), ValveOutput { watermark: Some(10), became_idle: true });
        assert_eq!(valve.on_idle(1), ValveOutput::default());
    }

    #[test]
    fn an_ended_channel_holds_nothing_back_and_the_last_end_is_the_end_of_time() {
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
