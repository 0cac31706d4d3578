//! The settings of a producer.

use std::time::Duration;

use crate::client::{ClientSettings, Properties, PropertyError};
use crate::records::Compression;

/// The properties that a producer uses besides those of every client.
pub(crate) const PROPERTIES: &[&str] =
    &["acks", "batch.size", "compression.type", "delivery.timeout.ms", "linger.ms", "max.request.size", "transaction.timeout.ms"];

/// Default of `batch.size`. Kafka's own default, 16 KiB, is for a client that sends several requests at a time. Topics take up to
/// 1 MiB by default.
const BATCH_BYTES: u64 = 512 << 10;

/// What a producer writes to, and how.
#[derive(Debug, Clone)]
pub(crate) struct ProducerSettings {
    pub(crate) client: ClientSettings,
    pub(crate) topic: String,
    /// A batch with this many bytes before compression takes no further records.
    pub(crate) batch_bytes: usize,
    /// How long a batch waits for further records even if the broker is free.
    pub(crate) linger: Duration,
    pub(crate) compression: Compression,
    /// Longest time from the first record of a batch to its acknowledgement.
    pub(crate) delivery_timeout: Duration,
    /// -1: all replicas in sync have the batch; 1: the leader has it.
    pub(crate) acks: i16,
}

impl ProducerSettings {
    pub(crate) fn new(client: ClientSettings, topic: String, properties: &Properties) -> Result<Self, PropertyError> {
        let compression = properties.get("compression.type").unwrap_or("none");
        let unknown =
            || PropertyError::new("compression.type", format!("{compression:?} is none of none, gzip, snappy, lz4, zstd"));
        Ok(Self {
            client,
            topic,
            batch_bytes: properties.number("batch.size", BATCH_BYTES, 1..=64 << 20)? as usize,
            linger: Duration::from_millis(properties.number("linger.ms", 0, 0..=60_000)?),
            compression: Compression::from_name(compression).ok_or_else(unknown)?,
            delivery_timeout: properties.millis("delivery.timeout.ms", 120_000)?,
            acks: match properties.choice("acks", &["all", "-1", "1"])? {
                "1" => 1,
                _ => -1,
            },
        })
    }
}
