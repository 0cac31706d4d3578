//! Requests for the records of partitions.

use std::time::Duration;

use kafka_protocol::messages::fetch_request::{FetchPartition, FetchTopic};
use kafka_protocol::messages::{BrokerId, FetchRequest};
use kafka_protocol::protocol::StrBytes;

/// Version 4 has transactions; later versions than 12 name topics by id.
pub(crate) const FETCH_VERSIONS: (i16, i16) = (4, 12);

/// How much one answer may bring, and how long the broker may wait for it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FetchLimits {
    /// Whether the answer ends before open transactions, and names those that were aborted.
    pub(crate) read_committed: bool,
    pub(crate) max_wait: Duration,
    pub(crate) min_bytes: i32,
    pub(crate) answer_bytes: i32,
    pub(crate) partition_bytes: i32,
}

impl FetchLimits {
    /// A request for these partitions: topic, number, and the offset of the next record. Brokers fill their answers in this order.
    pub(crate) fn request<'a>(&self, partitions: impl Iterator<Item = (&'a str, i32, i64)>) -> FetchRequest {
        let mut topics: Vec<FetchTopic> = Vec::new();
        for (topic, id, next) in partitions {
            let partition = FetchPartition::default()
                .with_partition(id)
                .with_current_leader_epoch(-1)
                .with_fetch_offset(next)
                .with_last_fetched_epoch(-1)
                .with_log_start_offset(-1)
                .with_partition_max_bytes(self.partition_bytes);
            match topics.iter_mut().find(|known| known.topic.as_str() == topic) {
                Some(known) => known.partitions.push(partition),
                None => topics.push(
                    FetchTopic::default()
                        .with_topic(StrBytes::from_string(topic.to_owned()).into())
                        .with_partitions(vec![partition]),
                ),
            }
        }
        FetchRequest::default()
            .with_replica_id(BrokerId(-1))
            .with_max_wait_ms(self.max_wait.as_millis() as i32)
            .with_min_bytes(self.min_bytes)
            .with_max_bytes(self.answer_bytes)
            .with_isolation_level(i8::from(self.read_committed))
            .with_session_epoch(-1)
            .with_topics(topics)
    }
}
