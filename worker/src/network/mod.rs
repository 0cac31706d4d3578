//! The exchange, which carries rows, watermarks and barriers from one task to the next.
//!
//! Within a process, a channel is a bounded queue between two slot threads. Between processes, the data service of the producer's
//! TaskManager sends the elements of the queue to the consumer's TaskManager, which puts them into a queue of the same kind. One
//! TCP connection per pair of TaskManagers carries all channels. A channel sends only as far as its consumer has granted credits.

pub mod channel;
pub mod client;
pub mod element;
pub mod frame;
pub mod gate;
pub mod message;
pub mod partition;
pub mod registry;
pub mod server;
pub mod wire;

use std::time::Duration;

use channel::ChannelLimits;

/// Limits of the exchange.
#[derive(Debug, Clone)]
pub struct NetworkOptions {
    /// Elements that a channel may hold at either end. A consumer grants this many credits at first.
    pub channel_elements: u32,
    /// Bytes of rows that a channel may hold at the producer before the producer waits.
    pub channel_bytes: usize,
    /// Longest frame, in bytes. Longer batches are split.
    pub max_frame_bytes: u32,
    /// How long a consumer waits for a channel's producer to be deployed and reachable.
    pub open_timeout: Duration,
    /// A connection that is silent for this long counts as broken. Pings are sent three times as often.
    pub peer_timeout: Duration,
    /// After a producer was stopped, its consumer waits this long to be stopped too before it fails by itself.
    pub stopped_producer_grace: Duration,
    /// Most connections that the data service accepts at one time.
    pub max_connections: usize,
}

impl Default for NetworkOptions {
    fn default() -> Self {
        Self {
            channel_elements: 8,
            channel_bytes: 4 * 1024 * 1024,
            max_frame_bytes: 64 * 1024 * 1024,
            open_timeout: Duration::from_secs(20),
            peer_timeout: Duration::from_secs(15),
            stopped_producer_grace: Duration::from_secs(3),
            max_connections: 1024,
        }
    }
}

impl NetworkOptions {
    /// Limits of one channel.
    pub fn channel_limits(&self) -> ChannelLimits {
        ChannelLimits { elements: self.channel_elements.max(1) as usize, bytes: self.channel_bytes.max(1) }
    }
}

#[cfg(test)]
mod tests;
