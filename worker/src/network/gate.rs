//! The inputs of a task. It reads all channels of all inputs in turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use weir_dataflow::element::StreamElement;
use weir_protocol::ExecutionAttemptId;
use weir_world::flaw::{Flaw, is_planted};

use super::channel::{Channel, Closure, Polled};
use super::client::RemoteChannel;

/// The consuming end of a channel.
pub enum InputChannel {
    /// The producer is in this process.
    Local(Arc<Channel>),
    /// The producer is in another process.
    Remote(RemoteChannel),
}

impl InputChannel {
    /// The queue in which elements arrive.
    pub fn channel(&self) -> &Arc<Channel> {
        match self {
            Self::Local(channel) => channel,
            Self::Remote(remote) => &remote.channel,
        }
    }
}

struct GateChannel {
    source: InputChannel,
    input: u32,
    producer: ExecutionAttemptId,
    blocked: bool,
    ended: bool,
    done: bool,
    stopped_since: Option<Instant>,
}

/// All channels into a task.
pub struct InputGate {
    channels: Vec<GateChannel>,
    next: usize,
    grace: Duration,
    ending: bool,
}

/// The result of [`InputGate::poll`].
#[derive(Debug)]
pub enum GatePoll {
    /// The next element of a channel.
    Element {
        /// Number of the channel over all inputs.
        channel: usize,
        element: StreamElement,
        /// Bytes of the element's rows.
        bytes: usize,
    },
    /// No channel that may be read has an element.
    Empty,
    /// A channel is lost, so the task can't continue.
    Lost(String),
}

impl InputGate {
    /// Reads `channels`, each `(input of the chain, producer, channel)`. If a producer is stopped and the task is not stopped
    /// within `grace`, the channel counts as lost.
    pub fn new(channels: Vec<(u32, ExecutionAttemptId, InputChannel)>, grace: Duration) -> Self {
        let channels = channels.into_iter().map(|(input, producer, source)| GateChannel {
            source,
            input,
            producer,
            blocked: false,
            ended: false,
            done: false,
            stopped_since: None,
        });
        Self { channels: channels.collect(), next: 0, grace, ending: false }
    }

    /// Number of channels.
    pub fn len(&self) -> usize {
        self.channels.len()
    }

    /// Whether there is no channel.
    pub fn is_empty(&self) -> bool {
        self.channels.is_empty()
    }

    /// Number of the chain's input that a channel feeds.
    pub fn input_of(&self, channel: usize) -> u32 {
        self.channels[channel].input
    }

    /// Sets whether producers may finish although their input has not ended, because the job is being stopped.
    pub fn expect_end(&mut self, expected: bool) {
        self.ending = expected;
    }

    /// Stops reading a channel until [`Self::unblock_all`].
    pub fn block(&mut self, channel: usize) {
        self.channels[channel].blocked = !is_planted(Flaw::RowsPassBarriers);
    }

    /// Reads all channels again.
    pub fn unblock_all(&mut self) {
        for channel in &mut self.channels {
            channel.blocked = false;
        }
    }

    /// Notes that a channel's input has ended. Returns whether all have ended now.
    pub fn end(&mut self, channel: usize) -> bool {
        self.channels[channel].ended = true;
        self.channels.iter().all(|channel| channel.ended)
    }

    /// The next element, from each channel in turn. Never waits.
    pub fn poll(&mut self) -> GatePoll {
        let count = self.channels.len();
        for turn in 0..count {
            let index = (self.next + turn) % count;
            let channel = &mut self.channels[index];
            if channel.done {
                continue;
            }
            let closure = if channel.blocked {
                match channel.source.channel().failure() {
                    None => continue,
                    Some(closure) => closure,
                }
            } else {
                match channel.source.channel().poll() {
                    (Polled::Empty, _) => continue,
                    (Polled::Closed(closure), _) => closure,
                    (Polled::Element(element), bytes) => {
                        if let InputChannel::Remote(remote) = &mut channel.source {
                            remote.consumed();
                        }
                        self.next = (index + 1) % count;
                        return GatePoll::Element { channel: index, element, bytes };
                    }
                }
            };
            if let Some(lost) = channel.closed(closure, self.ending, self.grace) {
                return GatePoll::Lost(lost);
            }
        }
        GatePoll::Empty
    }
}

impl GateChannel {
    /// Handles the end of the channel. Returns the reason if the task can't continue.
    fn closed(&mut self, closure: Closure, ending: bool, grace: Duration) -> Option<String> {
        match closure {
            Closure::Finished if self.ended || ending => {
                self.done = true;
                None
            }
            Closure::Finished => Some(format!("lost channel to {}: it finished before its input ended", self.producer)),
            Closure::Lost(reason) => Some(format!("lost channel to {}: {reason}", self.producer)),
            Closure::ProducerStopped(reason) => {
                let since = *self.stopped_since.get_or_insert_with(Instant::now);
                (since.elapsed() >= grace).then(|| format!("lost channel to {}: {reason}", self.producer))
            }
        }
    }
}
