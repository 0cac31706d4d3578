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

/// Records of one partition, one behind the other, that the writer has not counted yet.
struct Run {
    partition: usize,
    records: u64,
}

impl Run {
    fn end(&mut self, writer: &Writer) {
        let records = std::mem::take(&mut self.records);
        if records > 0 {
            writer.appended(self.partition, records);
        }
    }
}

#[derive(Default)]
struct PartitionQueue {
    open: Option<OpenBatch>,
    /// Length of the last batch, before compression.
    expected_bytes: usize,
    sealed: VecDeque<Batch>,
    /// Whether the sender has taken a batch that is neither acknowledged nor given back.
    taken: bool,
}

struct OpenBatch {
    builder: BatchBuilder,
    writer: Arc<Writer>,
    since: Instant,
}

/// A batch that takes no further records. Its place in the order of the partition's batches is certain.
struct ClosedBatch {
    open: OpenBatch,
    base_sequence: i32,
}

impl State {
    /// Counts the bytes of a batch that was compressed.
    fn sealed(&mut self, batch: &Batch) {
        self.buffered = self.buffered - batch.uncompressed + batch.buffered;
    }
}

impl PartitionQueue {
    /// Takes the open batch of partition number `partition`, and its sequence numbers with it.
    fn close(&mut self, partition: usize) -> Option<ClosedBatch> {
        let open = self.open.take()?;
        self.expected_bytes = open.builder.bytes();
        let base_sequence = open.writer.take_sequence(partition, open.builder.records());
        Some(ClosedBatch { open, base_sequence })
    }

    /// The batch for the next record.
    fn open(&mut self, writer: &Arc<Writer>, now: Instant) -> &mut OpenBatch {
        let expected = self.expected_bytes + self.expected_bytes / 16;
        self.open.get_or_insert_with(|| OpenBatch {
            builder: BatchBuilder::with_capacity(expected),
            writer: Arc::clone(writer),
            since: now,
        })
    }
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
    /// Bytes that it takes of the buffer, and that it took before it was compressed.
    buffered: usize,
    uncompressed: usize,
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
        if let Some(failure) = &state.failure {
            return Err(failure.clone());
        }
        let mut run = Run { partition: 0, records: 0 };
        let mut has_opened = false;
        for message in messages {
            if message.partition >= state.partitions.len() {
                let (topic, count) = (&self.settings.topic, state.partitions.len());
                let message =
                    format!("sink.kafka: {topic} has {count} partitions, so there is none of number {}", message.partition);
                return Err(OperatorError::fatal("KAFKA-PARTITION", message));
            }
            if message.partition != run.partition {
                run.end(writer);
                run.partition = message.partition;
            }
            let room_for = message.key.map_or(0, <[u8]>::len) + message.value.map_or(0, <[u8]>::len);
            let partition = &mut state.partitions[message.partition];
            let is_full = partition.open.as_ref().is_some_and(|open| {
                !Arc::ptr_eq(&open.writer, writer) || open.builder.bytes() + room_for > self.settings.batch_bytes
            });
            if is_full && let Some(open) = partition.close(message.partition) {
                run.end(writer);
                // The sender goes on meanwhile. It finds nothing of this partition until the batch is back.
                drop(state);
                let batch = open.seal(message.partition, &self.settings).map_err(unsealed)?;
                state = self.lock();
                state.sealed(&batch);
                state.partitions[message.partition].sealed.push_back(batch);
                self.work.notify_one();
            }
            let State { partitions, buffered, .. } = &mut *state;
            has_opened |= partitions[message.partition].open.is_none();
            let open = partitions[message.partition].open(writer, now);
            let before = if open.builder.records() == 0 { 0 } else { open.builder.bytes() };
            open.builder.append(message.timestamp, message.key, message.value, message.headers);
            *buffered += open.builder.bytes() - before;
            run.records += 1;
        }
        run.end(writer);
        drop(state);
        // The sender knows of the batches that were open before.
        if has_opened {
            self.work.notify_one();
        }
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
        if !queue.open.as_ref().is_some_and(|open| wanted(&open.writer)) {
            return Ok(None);
        }
        let Some(closed) = queue.close(partition) else { return Ok(None) };
        queue.taken = true;
        // The slot's thread goes on meanwhile.
        drop(state);
        let batch = closed.seal(partition, &self.settings)?;
        self.lock().sealed(&batch);
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

impl ClosedBatch {
    /// Compresses the batch, which takes a while.
    fn seal(self, partition: usize, settings: &ProducerSettings) -> Result<Batch, Corrupt> {
        let Self { open: OpenBatch { builder, writer, since }, base_sequence } = self;
        let (records, uncompressed) = (builder.records(), builder.bytes());
        let bytes = builder.seal(Sealing {
            compression: settings.compression,
            transactional: writer.transactional_id.is_some(),
            producer: (writer.identity.id, writer.identity.epoch),
            base_sequence,
        })?;
        let buffered = bytes.len();
        Ok(Batch { partition, bytes, records, writer, since, buffered, uncompressed })
    }
}

fn unsealed(error: Corrupt) -> OperatorError {
    OperatorError::fatal("KAFKA-BATCH", error.to_string())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::client::{ClientSettings, ProducerIdentity, Properties};
    use crate::producer::PROPERTIES;
    use crate::records::{Batch as RecordBatch, BatchHeader};

    const RECORDS: usize = 20_000;

    fn queue() -> Arc<Queue> {
        let given = BTreeMap::from([("batch.size", "500"), ("compression.type", "lz4")]);
        let given = given.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let properties = Properties::new(given, PROPERTIES).unwrap();
        let client = ClientSettings::new("localhost:9092", &properties).unwrap();
        let settings = ProducerSettings::new(client, "topic".to_owned(), &properties).unwrap();
        Arc::new(Queue::new(settings, Waker::noop().clone()))
    }

    /// Appends the numbers below [`RECORDS`], each to its own partition, a few at a time.
    fn append_all(queue: &Queue, writer: &Arc<Writer>) {
        let texts: Vec<_> = (0..RECORDS).map(|number| number.to_string()).collect();
        let messages = texts.iter().enumerate().map(|(number, text)| Message {
            partition: number / 7 % 2,
            timestamp: 0,
            key: None,
            value: Some(text.as_bytes()),
            headers: &[],
        });
        let messages: Vec<_> = messages.collect();
        for some in messages.chunks(100) {
            while !queue.has_room() {
                std::thread::yield_now();
            }
            queue.append(writer, some.iter().copied()).unwrap();
        }
    }

    /// The numbers of a batch, and that of its first record in the writer's order.
    fn read(batch: &Batch) -> (Vec<usize>, usize) {
        let header = BatchHeader::read(&batch.bytes).unwrap().unwrap();
        let mut records = RecordBatch::open(header, &batch.bytes).unwrap();
        let mut numbers = Vec::new();
        while let Some(record) = records.next().unwrap() {
            numbers.push(std::str::from_utf8(record.value.unwrap()).unwrap().parse().unwrap());
        }
        let sequence = i32::from_be_bytes(batch.bytes[53..57].try_into().unwrap());
        (numbers, usize::try_from(sequence).unwrap())
    }

    #[test]
    fn batches_keep_the_order_of_records_while_one_thread_appends_and_another_takes() {
        let queue = queue();
        queue.set_partitions(2);
        let writer = Arc::new(Writer::new(None, ProducerIdentity { id: 1, epoch: 0 }));
        let appending = {
            let (queue, writer) = (Arc::clone(&queue), Arc::clone(&writer));
            std::thread::spawn(move || append_all(&queue, &writer))
        };
        let mut arrived = [Vec::new(), Vec::new()];
        let mut turn = 0;
        while arrived.iter().map(Vec::len).sum::<usize>() < RECORDS {
            for (partition, _) in queue.ready(Instant::now()).0 {
                let Some(batch) = queue.take(partition, |_| true).unwrap() else { continue };
                turn += 1;
                if turn % 5 == 0 {
                    queue.give_back(batch);
                    continue;
                }
                let (numbers, sequence) = read(&batch);
                assert_eq!(sequence, arrived[partition].len());
                arrived[partition].extend(numbers);
                queue.acknowledged(&batch, 0);
            }
        }
        appending.join().unwrap();
        for (partition, arrived) in arrived.iter().enumerate() {
            let expected: Vec<_> = (0..RECORDS).filter(|number| number / 7 % 2 == partition).collect();
            assert!(*arrived == expected);
        }
        assert!(writer.is_flushed(&writer.mark()));
        assert_eq!(queue.lock().buffered, 0);
    }
}
