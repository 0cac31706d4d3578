//! The producing ends of all channels of this TaskManager, by key. Consumers take them here.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use weir_protocol::ExecutionAttemptId;

use super::channel::Channel;
use super::message::ChannelKey;

/// Why a consumer can't take a channel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// The producer was not deployed here in time.
    #[error("NET-NO-PRODUCER: attempt {producer} offers no such channel here after {waited_ms} ms")]
    NoProducer { producer: ExecutionAttemptId, waited_ms: u128 },
    /// The producer was deployed for another attempt of the consumer.
    #[error("NET-STALE-ATTEMPT: the channel of {producer} is meant for {expected}, not for {asking}")]
    StaleAttempt {
        producer: ExecutionAttemptId,
        /// The consumer that the producer was deployed for.
        expected: ExecutionAttemptId,
        asking: ExecutionAttemptId,
    },
    /// The channel has a consumer already.
    #[error("NET-CHANNEL-TAKEN: the channel of {0} has a consumer already")]
    Taken(ExecutionAttemptId),
}

/// The channels that tasks of this TaskManager produce into.
#[derive(Debug, Default)]
pub struct ChannelRegistry {
    entries: Mutex<BTreeMap<ChannelKey, Entry>>,
    changed: Notify,
}

#[derive(Debug)]
struct Entry {
    consumer: ExecutionAttemptId,
    channel: Arc<Channel>,
    taken: bool,
}

impl ChannelRegistry {
    /// Offers a channel to the attempt `consumer`.
    pub fn offer(&self, key: ChannelKey, consumer: ExecutionAttemptId, channel: Arc<Channel>) {
        self.lock().insert(key, Entry { consumer, channel, taken: false });
        self.changed.notify_waiters();
    }

    /// Takes the consuming end of a channel, waiting up to `timeout` for its producer.
    pub async fn take(
        &self,
        key: ChannelKey,
        consumer: ExecutionAttemptId,
        timeout: Duration,
    ) -> Result<Arc<Channel>, TakeError> {
        let attempt = async {
            loop {
                let changed = self.changed.notified();
                tokio::pin!(changed);
                changed.as_mut().enable();
                if let Some(taken) = self.try_take(key, consumer) {
                    return taken;
                }
                changed.await;
            }
        };
        match tokio::time::timeout(timeout, attempt).await {
            Ok(taken) => taken,
            Err(_) => Err(TakeError::NoProducer { producer: key.producer, waited_ms: timeout.as_millis() }),
        }
    }

    fn try_take(&self, key: ChannelKey, consumer: ExecutionAttemptId) -> Option<Result<Arc<Channel>, TakeError>> {
        let mut entries = self.lock();
        let entry = entries.get_mut(&key)?;
        if entry.consumer != consumer {
            let expected = entry.consumer;
            return Some(Err(TakeError::StaleAttempt { producer: key.producer, expected, asking: consumer }));
        }
        if entry.taken {
            return Some(Err(TakeError::Taken(key.producer)));
        }
        entry.taken = true;
        Some(Ok(entry.channel.clone()))
    }

    /// Removes the channels of an attempt that has ended. Consumers that took a channel can still drain it.
    pub fn withdraw(&self, producer: &ExecutionAttemptId) {
        self.lock().retain(|key, _| key.producer != *producer);
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ChannelKey, Entry>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use weir_protocol::{ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch};

    use super::*;
    use crate::network::NetworkOptions;

    fn attempt(vertex: u128, generation: u32) -> ExecutionAttemptId {
        ExecutionAttemptId {
            job: JobId(1),
            execution_vertex: ExecutionVertexId { vertex: JobVertexId(vertex), subtask: 0 },
            generation: Generation { epoch: LeaderEpoch(1), attempt: generation },
        }
    }

    fn key(generation: u32) -> ChannelKey {
        ChannelKey { producer: attempt(1, generation), edge: 0, consumer_subtask: 0 }
    }

    #[tokio::test]
    async fn a_consumer_may_come_before_the_producer() {
        let registry = Arc::new(ChannelRegistry::default());
        let early = registry.clone();
        let waiting = weir_world::spawn("test", async move { early.take(key(1), attempt(2, 1), Duration::from_secs(60)).await });
        tokio::task::yield_now().await;
        registry.offer(key(1), attempt(2, 1), Channel::new(NetworkOptions::default().channel_limits()));
        assert!(waiting.await.unwrap().is_ok());
    }

    #[tokio::test]
    async fn a_consumer_waits_only_until_its_timeout() {
        let registry = ChannelRegistry::default();
        let error = registry.take(key(1), attempt(2, 1), Duration::from_millis(5)).await.unwrap_err();
        assert!(matches!(error, TakeError::NoProducer { .. }));
    }

    #[tokio::test]
    async fn a_stale_consumer_and_a_second_one_are_refused() {
        let registry = ChannelRegistry::default();
        registry.offer(key(2), attempt(2, 2), Channel::new(NetworkOptions::default().channel_limits()));
        let stale = registry.take(key(2), attempt(2, 1), Duration::ZERO).await.unwrap_err();
        assert!(matches!(stale, TakeError::StaleAttempt { .. }));
        assert!(registry.take(key(2), attempt(2, 2), Duration::ZERO).await.is_ok());
        let second = registry.take(key(2), attempt(2, 2), Duration::ZERO).await.unwrap_err();
        assert!(matches!(second, TakeError::Taken(_)));
    }
}
