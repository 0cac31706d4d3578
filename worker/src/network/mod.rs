//! The exchange: how rows, watermarks and barriers get from one task to the next.
//!
//! Within the process a channel is a bounded queue between two slot threads. Between processes the producer's queue is emptied
//! by its TaskManager's data service onto one TCP connection per pair of TaskManagers, as far as the consumer has granted
//! credits for the channel, and the consumer's end fills a queue of the same kind.

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
    /// Elements a channel may hold at either end; what a consumer grants at first.
    pub channel_elements: u32,
    /// Bytes of rows a channel may hold at the producer before the producer waits.
    pub channel_bytes: usize,
    /// Longest frame, in bytes; longer batches travel in pieces.
    pub max_frame_bytes: u32,
    /// How long a consumer waits for a channel's producer to be deployed and reachable.
    pub open_timeout: Duration,
    /// A connection silent for so long is taken for broken; pings are sent three times as often.
    pub peer_timeout: Duration,
    /// How long a consumer waits to be stopped after a producer was, before it fails by itself.
    pub stopped_producer_grace: Duration,
    /// Most connections accepted by the data service at one time.
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
