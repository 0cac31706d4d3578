//! The batches of each partition on their way from a slot's thread to the sender.

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::Notify;
use tokio::time::Instant;
use weir_dataflow::operator::OperatorError;

use super::settings::ProducerSettings;
use super::writer::{FlushMark, Writer};
use crate::records::{BatchBuilder, Corrupt, Sealing};

/// Most bytes that wait or are on their way. At a full request per broker this is many requests.
const MAX_BUFFERED: usize = 32 << 20;

/// One record to be sent.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Message<'a> {
    pub(crate) partition: usize,
    /// Milliseconds since 1970.
    pub(crate) timestamp: i64,
    pub(crate) key: Option<&'a [u8]>,
    /// `None` is a tombstone.
    pub(crate) value: Option<&'a [u8]>,
    pub(crate) headers: &'a [(&'a [u8], Option<&'a [u8]>)],
}

/// What a slot's thread and the sender share.
pub(crate) struct Queue {
    pub(super) settings: ProducerSettings,
    state: Mutex<State>,
    /// Tells the sender of new records.
    pub(super) work: Notify,
    /// Tells those who wait for a flush of acknowledgements.
    progress: Condvar,
    wake: Waker,
}

#[derive(Default)]
struct State {
    partitions: Vec<PartitionQueue>,
    buffered: usize,
    failure: Option<OperatorError>,
    closed: bool,
}

#[derive(Default)]
struct PartitionQueue {
    open: Option<OpenBatch>,
    sealed: VecDeque<Batch>,
    /// Whether the sender has taken a batch that is neither acknowledged nor given back.
    taken: bool,
}

struct OpenBatch {
    builder: BatchBuilder,
    writer: Arc<Writer>,
    since: Instant,
}

/// A batch that is ready to be sent.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    pub(crate) partition: usize,
    pub(crate) bytes: Bytes,
    pub(crate) records: u32,
    pub(crate) writer: Arc<Writer>,
    /// When its first record was appended.
    pub(crate) since: Instant,
    /// Bytes that it takes of the buffer.
    buffered: usize,
}

impl Queue {
    pub(super) fn new(settings: ProducerSettings, wake: Waker) -> Self {
        Self { settings, state: Mutex::default(), work: Notify::new(), progress: Condvar::new(), wake }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn settings(&self) -> &ProducerSettings {
        &self.settings
    }

    /// Number of partitions of the topic; 0 until it is known. It can grow.
    pub(crate) fn partitions(&self) -> usize {
        self.lock().partitions.len()
    }

    /// Whether records may be appended now.
    pub(crate) fn has_room(&self) -> bool {
        let state = self.lock();
        !state.partitions.is_empty() && state.buffered < MAX_BUFFERED
    }

    /// The first error of the producer. Nothing arrives after it.
    pub(crate) fn failure(&self) -> Option<OperatorError> {
        self.lock().failure.clone()
    }

    /// Appends records. Their partitions must be below [`Self::partitions`].
    pub(crate) fn append<'a>(
        &self,
        writer: &Arc<Writer>,
        messages: impl Iterator<Item = Message<'a>>,
    ) -> Result<(), OperatorError> {
        let now = Instant::now();
        let mut state = self.lock();
        let State { partitions, buffered, failure, .. } = &mut *state;
        if let Some(failure) = failure {
            return Err(failure.clone());
        }
        for message in messages {
            let Some(partition) = partitions.get_mut(message.partition) else {
                let (topic, count) = (&self.settings.topic, partitions.len());
                let message =
                    format!("sink.kafka: {topic} has {count} partitions, so there is none of number {}", message.partition);
                return Err(OperatorError::fatal("KAFKA-PARTITION", message));
            };
            let room_for = message.key.map_or(0, <[u8]>::len) + message.value.map_or(0, <[u8]>::len);
            let is_full = partition.open.as_ref().is_some_and(|open| {
                !Arc::ptr_eq(&open.writer, writer) || open.builder.bytes() + room_for > self.settings.batch_bytes
            });
            if is_full && let Some(open) = partition.open.take() {
                let before = open.builder.bytes();
                let batch = open.seal(message.partition, &self.settings).map_err(unsealed)?;
                *buffered = *buffered - before + batch.buffered;
                partition.sealed.push_back(batch);
            }
            let open = partition.open.get_or_insert_with(|| OpenBatch {
                builder: BatchBuilder::new(),
                writer: Arc::clone(writer),
                since: now,
            });
            let before = if open.builder.records() == 0 { 0 } else { open.builder.bytes() };
            open.builder.append(message.timestamp, message.key, message.value, message.headers);
            *buffered += open.builder.bytes() - before;
            writer.appended(message.partition, 1);
        }
        drop(state);
        self.work.notify_one();
        Ok(())
    }

    /// Waits until everything up to the mark is in the log. Blocks; only for threads that may. Errors: that of the producer;
    /// `KAFKA-CLOSED` if the sink has gone.
    pub(crate) fn wait_flushed(&self, writer: &Writer, mark: &FlushMark) -> Result<(), OperatorError> {
        let mut state = self.lock();
        while !writer.is_flushed(mark) {
            if let Some(failure) = &state.failure {
                return Err(failure.clone());
            }
            if state.closed {
                return Err(OperatorError::retryable("KAFKA-CLOSED", "the sink ended before its records were acknowledged"));
            }
            state = self.progress.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        Ok(())
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.progress.notify_all();
    }

    /// Fails the producer. Only the first error counts.
    pub(super) fn fail(&self, error: OperatorError) {
        self.lock().failure.get_or_insert(error);
        self.progress.notify_all();
        self.wake.wake_by_ref();
    }

    /// Makes room for the partitions of the topic. Topics never get fewer.
    pub(super) fn set_partitions(&self, count: usize) {
        let mut state = self.lock();
        if state.partitions.len() < count {
            state.partitions.resize_with(count, PartitionQueue::default);
            drop(state);
            self.wake.wake_by_ref();
        }
    }

    /// Partitions with records that could be sent now, and since when they wait. `later` is when lingering batches are due.
    pub(super) fn ready(&self, now: Instant) -> (Vec<(usize, Instant)>, Option<Instant>) {
        let (mut ready, mut later): (Vec<_>, Option<Instant>) = (Vec::new(), None);
        for (index, partition) in self.lock().partitions.iter().enumerate().filter(|(_, partition)| !partition.taken) {
            if let Some(batch) = partition.sealed.front() {
                ready.push((index, batch.since));
            } else if let Some(open) = &partition.open {
                let due = open.since + self.settings.linger;
                if due <= now {
                    ready.push((index, open.since));
                } else {
                    later = Some(later.map_or(due, |later| later.min(due)));
                }
            }
        }
        (ready, later)
    }

    /// Takes the next batch of a partition, if its writer is wanted. Until it is acknowledged or given back, there is no other.
    pub(super) fn take(&self, partition: usize, wanted: impl FnOnce(&Arc<Writer>) -> bool) -> Result<Option<Batch>, Corrupt> {
        let mut state = self.lock();
        let queue = &mut state.partitions[partition];
        if let Some(batch) = queue.sealed.front() {
            let is_wanted = wanted(&batch.writer);
            queue.taken |= is_wanted;
            return Ok(if is_wanted { queue.sealed.pop_front() } else { None });
        }
        let Some(open) = queue.open.take_if(|open| wanted(&open.writer)) else { return Ok(None) };
        queue.taken = true;
        let before = open.builder.bytes();
        let batch = open.seal(partition, &self.settings)?;
        state.buffered = state.buffered - before + batch.buffered;
        Ok(Some(batch))
    }

    /// Puts back a batch that was not acknowledged. It comes first again.
    pub(super) fn give_back(&self, batch: Batch) {
        let mut state = self.lock();
        let queue = &mut state.partitions[batch.partition];
        queue.taken = false;
        queue.sealed.push_front(batch);
    }

    /// A batch is in the log at `offset`.
    pub(super) fn acknowledged(&self, batch: &Batch, offset: i64) {
        let mut state = self.lock();
        let was_full = state.buffered >= MAX_BUFFERED;
        state.buffered -= batch.buffered;
        state.partitions[batch.partition].taken = false;
        batch.writer.acknowledged(batch.partition, offset, batch.records);
        let has_room = was_full && state.buffered < MAX_BUFFERED;
        drop(state);
        self.progress.notify_all();
        if has_room {
            self.wake.wake_by_ref();
        }
    }

    pub(super) fn delivery_timeout(&self) -> Duration {
        self.settings.delivery_timeout
    }
}

impl OpenBatch {
    fn seal(self, partition: usize, settings: &ProducerSettings) -> Result<Batch, Corrupt> {
        let Self { builder, writer, since } = self;
        let records = builder.records();
        let bytes = builder.seal(Sealing {
            compression: settings.compression,
            transactional: writer.transactional_id.is_some(),
            producer: (writer.identity.id, writer.identity.epoch),
            base_sequence: writer.take_sequence(partition, records),
        })?;
        let buffered = bytes.len();
        Ok(Batch { partition, bytes, records, writer, since, buffered })
    }
}

fn unsealed(error: Corrupt) -> OperatorError {
    OperatorError::fatal("KAFKA-BATCH", error.to_string())
}
