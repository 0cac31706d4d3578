//! `source.kafka`: reads the records of topics as rows, each exactly once.
//!
//! The splits are partitions. The first proposal of a job records which there are and between which offsets they are read; who reads
//! which is a pure function of topic, number and parallelism. A partition that appears later is found by its owner alone, who reads it
//! from its beginning. State holds the next offset of each partition. No consumer group is joined: a group's offsets are only
//! written, for tools that show how far a reader is.
//!
//! A task of the I/O runtime fetches ahead ([`fetcher`]); the slot's thread checks, uncompresses and parses.

mod aborted;
mod buffer;
mod dead_letters;
mod fetcher;
mod group;
mod metadata_columns;
mod open_transaction;
mod partition;
mod rows;
mod settings;
mod start;

use std::sync::Arc;

use bytes::Bytes;
use tokio::task::JoinHandle;
use weir_connectors::formats::{BadRow, BadRows, OnBadRow};
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::operator::{OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::BuiltOperator;
use weir_dataflow::source::{Source, SourcePoll, Splits};
use weir_protocol::CheckpointId;
use weir_protocol::job_graph::OperatorDescriptor;

use self::buffer::{Buffer, Chunk, Fetched};
use self::dead_letters::DeadLetters;
use self::fetcher::{Share, corrupt};
use self::group::GroupOffsets;
use self::partition::{SourcePartition, SourceState, owner};
use self::rows::{RowReader, Unread};
use self::settings::Settings;
use crate::client::io_runtime;
use crate::metrics::SOURCE_LAG_RECORDS;
use crate::records::{Batch, BatchHeader, Corrupt};
use crate::registry::Bell;

pub(crate) fn build(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let settings = Settings::read(descriptor)?;
    let schema = Arc::clone(&settings.schema);
    Ok(BuiltOperator::Source(Box::new(KafkaSource::new(settings, context)?), schema))
}

/// Most bytes that are fetched ahead of the rows.
const BUFFER_BYTES: usize = 16 << 20;

/// A batch of rows ends at this many bytes of values.
const BATCH_BYTES: usize = 4 << 20;

/// When to look again for room for dead letters.
const NO_ROOM_MS: u64 = 20;

/// How long a source without records sleeps if nothing wakes it.
const IDLE_MS: u64 = 1_000;

pub(crate) struct KafkaSource {
    settings: Settings,
    share: Share,
    waker: std::task::Waker,
    /// Rings when a schema has come that a record waits for.
    bell: Arc<Bell>,
    /// Whether one does. What was fetched meanwhile is behind it.
    waits: bool,
    /// What this subtask reads; `None` until the recorded splits were taken or a state was restored.
    partitions: Option<Vec<SourcePartition>>,
    rows: RowReader,
    /// Which partition the last batch is of, and which partitions are read to their end.
    current_split: usize,
    ended: Vec<bool>,
    bad_rows: BadRows,
    dead_letters: Option<DeadLetters>,
    /// The chunk that is being read.
    current: Option<Reading>,
    fetching: Option<Fetching>,
    group: Option<GroupOffsets>,
}

/// A chunk, and how far it was read.
struct Reading {
    chunk: Chunk,
    at: usize,
    batch: Option<Batch>,
}

struct Fetching {
    buffer: Arc<Buffer>,
    task: JoinHandle<()>,
}

impl Drop for Fetching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl KafkaSource {
    fn new(mut settings: Settings, context: &OperatorContext) -> Result<Self, OperatorError> {
        let metadata = std::mem::take(&mut settings.metadata);
        let bell = Bell::new(context.waker.clone());
        Ok(Self {
            rows: RowReader::new(&settings.format, &settings.wanted, metadata, Arc::clone(&settings.schema), &bell)?,
            bell,
            waits: false,
            bad_rows: BadRows::new(OnBadRow::Fail, Some(settings.max_bad_rows)),
            share: Share { subtask: context.subtask(), parallelism: context.parallelism },
            waker: context.waker.clone(),
            partitions: None,
            dead_letters: None,
            current_split: 0,
            ended: Vec::new(),
            current: None,
            fetching: None,
            group: None,
            settings,
        })
    }

    fn keep_own(&mut self, partitions: Vec<SourcePartition>) {
        let Share { subtask, parallelism } = self.share;
        self.partitions =
            Some(partitions.into_iter().filter(|split| owner(&split.topic, split.id, parallelism) == subtask).collect());
    }

    fn buffer(&mut self) -> Result<Arc<Buffer>, OperatorError> {
        if let Some(fetching) = &self.fetching {
            return Ok(Arc::clone(&fetching.buffer));
        }
        let unlisted = || OperatorError::fatal("SOURCE-STATE", "source.kafka: no splits were recorded; please report this");
        let partitions = self.partitions.clone().ok_or_else(unlisted)?;
        let runtime = io_runtime()?;
        let _guard = runtime.enter();
        let buffer = Arc::new(Buffer::new(BUFFER_BYTES, self.waker.clone()));
        let fetch = fetcher::run(Arc::clone(&self.settings.fetch), self.share, partitions, Arc::clone(&buffer));
        let task = weir_world::spawn("kafka-fetcher", fetch);
        if let Some(settings) = &self.settings.dead_letters {
            self.dead_letters = Some(DeadLetters::start(settings.clone(), self.waker.clone())?);
        }
        self.fetching = Some(Fetching { buffer: Arc::clone(&buffer), task });
        if let Some(group) = self.settings.group.as_ref().filter(|_| self.settings.commits_offsets) {
            self.group = Some(GroupOffsets::start(&self.settings.fetch.client, group));
        }
        Ok(buffer)
    }

    fn all_done(&self) -> bool {
        self.settings.stop.is_some() && self.partitions.iter().flatten().all(SourcePartition::is_done)
    }

    /// Reads rows of one partition, about `target` at most, if any were fetched.
    fn read(&mut self, buffer: &Buffer, target: usize) -> Result<(), OperatorError> {
        self.waits = false;
        while self.rows.rows() < target && self.rows.bytes() < BATCH_BYTES {
            let mut reading = match self.current.take() {
                Some(reading) => reading,
                None => match buffer.pop()? {
                    Some(Fetched::Chunk(chunk)) => Reading { chunk, at: 0, batch: None },
                    Some(Fetched::NewPartition(partition)) => {
                        self.partitions.get_or_insert_default().push(partition);
                        continue;
                    }
                    None => return Ok(()),
                },
            };
            let end = self.read_chunk(&mut reading, target)?;
            if end == ChunkEnd::Read
                && let Some(partition) = self.partitions.as_ref().and_then(|partitions| partitions.get(reading.chunk.partition))
            {
                lag(partition).set(reading.chunk.high_watermark.saturating_sub(partition.next).max(0) as f64);
            }
            self.current_split = reading.chunk.partition;
            self.current = Some(reading).filter(|_| end != ChunkEnd::Read);
            self.waits = end == ChunkEnd::Waits;
            if self.rows.rows() > 0 || self.waits {
                // A batch has the rows of one partition, because each has its own order of time.
                return Ok(());
            }
        }
        Ok(())
    }

    fn read_chunk(&mut self, reading: &mut Reading, target: usize) -> Result<ChunkEnd, OperatorError> {
        let Some(partition) = self.partitions.as_mut().and_then(|partitions| partitions.get_mut(reading.chunk.partition)) else {
            return Ok(ChunkEnd::Read);
        };
        let read_committed = self.settings.fetch.limits.read_committed;
        let failed = |partition: &SourcePartition, error| corrupt(&format!("{}-{}", partition.topic, partition.id), &error);
        while !partition.is_done() {
            if reading.batch.is_none() {
                reading.batch = reading.next_batch(partition, read_committed).map_err(|error| failed(partition, error))?;
            }
            let Some(batch) = &mut reading.batch else { return Ok(ChunkEnd::Read) };
            let header = batch.header;
            let mut place = batch.place();
            while let Some(record) = batch.next().map_err(|error| failed(partition, error))? {
                if record.offset < partition.next {
                    place = batch.place();
                    continue;
                }
                if partition.stop.is_some_and(|stop| record.offset >= stop) {
                    partition.next = record.offset;
                    return Ok(ChunkEnd::Read);
                }
                match self.rows.add(partition, &header, &record) {
                    Ok(()) => {}
                    Err(Unread::Failed(error)) => return Err(error),
                    Err(Unread::Waits) => {
                        batch.go_back(place);
                        return Ok(ChunkEnd::Waits);
                    }
                    Err(Unread::Bad(reason)) => {
                        let place = format!("topic {}, partition {}, offset {}", partition.topic, partition.id, record.offset);
                        self.bad_rows.take(&BadRow { place, bytes: record.value.unwrap_or_default(), reason: &reason })?;
                        if let Some(dead_letters) = &self.dead_letters {
                            dead_letters.send(partition, &record, &reason)?;
                        }
                    }
                }
                partition.next = record.offset + 1;
                place = batch.place();
                if self.rows.rows() >= target || self.rows.bytes() >= BATCH_BYTES {
                    return Ok(ChunkEnd::Full);
                }
            }
            // Offsets behind the last record are those of records that compaction has removed.
            partition.next = partition.next.max(header.last_offset.saturating_add(1));
            reading.batch = None;
        }
        Ok(ChunkEnd::Read)
    }
}

impl Reading {
    /// Opens the next batch that has rows for this reader. Moves the partition's position over those without.
    fn next_batch(&mut self, partition: &mut SourcePartition, read_committed: bool) -> Result<Option<Batch>, Corrupt> {
        while let Some(header) = BatchHeader::read(&self.chunk.bytes[self.at..])? {
            let bytes = self.chunk.bytes.slice(self.at..self.at + header.bytes);
            self.at += header.bytes;
            // All batches must be shown to it, because it counts on their order.
            let is_visible = self.chunk.aborted.is_visible(&header);
            if header.last_offset < partition.next {
                continue;
            }
            if header.is_control() || (read_committed && !is_visible) {
                partition.next = header.last_offset.saturating_add(1);
                continue;
            }
            return Batch::open(header, &bytes).map(Some);
        }
        Ok(None)
    }
}

/// How many records are behind the next one.
fn lag(partition: &SourcePartition) -> metrics::Gauge {
    let labels = [("topic", partition.topic.clone()), ("partition", partition.id.to_string())];
    metrics::gauge!(SOURCE_LAG_RECORDS, &labels)
}

impl Drop for KafkaSource {
    /// The lag of a partition that is not read is unknown.
    fn drop(&mut self) {
        if self.fetching.is_some() {
            self.partitions.iter().flatten().for_each(|partition| lag(partition).set(f64::NAN));
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum ChunkEnd {
    /// There are enough rows. The chunk may have more.
    Full,
    /// The next record can't be read yet.
    Waits,
    /// Nothing of the chunk is left.
    Read,
}

impl Source for KafkaSource {
    fn poll(&mut self, now_ms: u64, max_rows: usize) -> Result<SourcePoll, OperatorError> {
        let buffer = self.buffer()?;
        if self.all_done() {
            self.rows.end(&self.settings.fetch.topics);
            return Ok(SourcePoll::End);
        }
        if let Some(dead_letters) = &self.dead_letters
            && !dead_letters.has_room()?
        {
            return Ok(SourcePoll::NothingUntil(now_ms + NO_ROOM_MS));
        }
        self.bell.silence();
        self.read(&buffer, max_rows.max(1))?;
        self.ended.clear();
        self.ended.extend(self.partitions.iter().flatten().map(SourcePartition::is_done));
        if self.rows.rows() > 0 {
            return Ok(SourcePoll::Batch(self.rows.finish(&self.settings.fetch.topics)?));
        }
        if self.all_done() {
            self.rows.end(&self.settings.fetch.topics);
            return Ok(SourcePoll::End);
        }
        Ok(SourcePoll::NothingUntil(now_ms + IDLE_MS))
    }

    fn splits(&self) -> Option<Splits<'_>> {
        Some(Splits { current: self.current_split, ended: &self.ended })
    }

    fn has_news(&self) -> bool {
        let has_fetched = || self.fetching.as_ref().is_some_and(|fetching| fetching.buffer.has_news());
        self.bell.has_rung() || (!self.waits && has_fetched())
    }

    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let partitions = self.partitions.clone().unwrap_or_default();
        if let Some(group) = &mut self.group {
            group.on_snapshot(barrier.id, &partitions);
        }
        let state = SourceState::new(partitions, self.bad_rows.count()).encode()?;
        match self.dead_letters.as_ref().and_then(DeadLetters::flush) {
            Some(flush) => {
                let state = move || flush().map(|()| state);
                Ok(StateSnapshot { late_operator_state: Some(Box::new(state)), ..StateSnapshot::default() })
            }
            None => Ok(StateSnapshot { operator_state: Some(state), ..StateSnapshot::default() }),
        }
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        if restored.operator_state.is_empty() {
            // The checkpoint was taken before the job had this operator, so it begins as a new job would.
            return Ok(());
        }
        let rescaled = restored.former_parallelism != self.share.parallelism;
        let (mut partitions, mut bad_rows) = (Vec::new(), 0);
        for (former, bytes) in &restored.operator_state {
            if rescaled || *former == self.share.subtask {
                let state = SourceState::decode(bytes)?;
                partitions.extend(state.partitions);
                bad_rows += state.bad_rows;
            }
        }
        self.keep_own(partitions);
        self.bad_rows.restore(if rescaled && self.share.subtask != 0 { 0 } else { bad_rows });
        Ok(())
    }

    fn needs_splits(&self) -> bool {
        self.partitions.is_none()
    }

    fn propose_splits(&mut self) -> Result<Bytes, OperatorError> {
        let partitions = io_runtime()?.block_on(start::find(&self.settings))?;
        SourceState::new(partitions, 0).encode()
    }

    fn take_splits(&mut self, recorded: &[u8]) -> Result<(), OperatorError> {
        let state = SourceState::decode(recorded)?;
        self.keep_own(state.partitions);
        Ok(())
    }

    fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        if let Some(group) = &mut self.group {
            group.on_complete(checkpoint);
        }
        Ok(())
    }
}
