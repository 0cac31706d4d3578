//! Reads the records of a transaction from the log, and writes those of a timed-out one again.

use std::sync::Arc;
use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::PartitionData;
use tokio::time::Instant;
use weir_dataflow::operator::OperatorError;

use super::ids;
use super::prepared::PreparedTransaction;
use super::resolve::Fate;
use crate::client::{
    ClientError, ClientSettings, Connection, Coordinator, EndOutcome, FETCH_VERSIONS, FetchLimits, Metadata, Patience,
};
use crate::producer::{Message, OffsetRange, Queue, Writer};
use crate::records::{Batch, BatchHeader};

/// With this isolation the answer names aborted transactions, and ends before those that are open. All that is read here has ended: the
/// coordinator said so, or has forgotten it.
const LIMITS: FetchLimits = FetchLimits {
    read_committed: true,
    max_wait: Duration::from_millis(500),
    min_bytes: 1,
    answer_bytes: 4 << 20,
    partition_bytes: 4 << 20,
};

/// Why records could not be read.
#[derive(Debug)]
pub(super) enum ReadError {
    Client(ClientError),
    /// The log does not have them any more.
    Gone {
        partition: i32,
        offset: i64,
    },
}

impl From<ClientError> for ReadError {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

/// Writes the records of an aborted transaction again, in a transaction of their own, and commits that. If it is interrupted, the next
/// attempt begins anew: what was written until then is aborted.
pub(super) async fn rewrite(
    transaction: &PreparedTransaction,
    timeout_ms: u32,
    queue: &Arc<Queue>,
    deadline: Instant,
) -> Result<(), OperatorError> {
    let settings = &queue.settings().client;
    let id = ids::again(&transaction.transactional_id, transaction.writer);
    let mut coordinator = Coordinator::of_transactional_id(settings, &id);
    let failed = |error: ClientError| error.for_operator("sink.kafka");
    let identity = coordinator.init_producer(timeout_ms, deadline).await.map_err(failed)?;
    let writer = Arc::new(Writer::new(Some(id), identity));
    for range in &transaction.ranges {
        let copy =
            |batch: &mut Batch, from: i64, until: i64| append(queue, &writer, range.partition as usize, batch, from, until);
        let mut reader = RangeReader::new(settings, transaction, *range);
        loop {
            while !queue.has_room() {
                queue.failure().map_or(Ok(()), Err)?;
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            match reader.next(deadline).await {
                Ok(Some(mut batches)) => {
                    batches.iter_mut().try_for_each(|batch| copy(batch, range.first, range.first + range.records as i64))?
                }
                Ok(None) => break,
                Err(ReadError::Client(error)) => return Err(failed(error)),
                Err(ReadError::Gone { partition, offset }) => return Err(lost(transaction, partition, offset)),
            }
        }
    }
    let (flushed, mark, of) = (Arc::clone(queue), writer.mark(), Arc::clone(&writer));
    let flush = weir_world::blocking(move || flushed.wait_flushed(&of, &mark)).await;
    flush.map_err(|error| OperatorError::retryable("KAFKA-COMMIT", error.to_string()))??;
    match coordinator.end_transaction(identity, true, deadline).await.map_err(failed)? {
        EndOutcome::Ended(_) => {
            tracing::warn!(
                transactional_id = transaction.transactional_id,
                checkpoint = %transaction.checkpoint,
                records = transaction.records(),
                "the cluster had timed out a transaction or one before it, so its records were written again"
            );
            metrics::counter!(crate::metrics::SINK_REWRITTEN_RECORDS).increment(transaction.records());
            Ok(())
        }
        other => Err(OperatorError::retryable(
            "KAFKA-COMMIT",
            format!("sink.kafka: records that were written again could not be committed: {other:?}"),
        )),
    }
}

/// The error for records that are neither committed nor in the log.
pub(super) fn lost(transaction: &PreparedTransaction, partition: i32, offset: i64) -> OperatorError {
    let PreparedTransaction { topic, transactional_id, checkpoint, .. } = transaction;
    let ranges = transaction.ranges.iter().filter(|range| range.partition == partition);
    let ranges: Vec<_> = ranges.map(|range| format!("{} to {}", range.first, range.first + range.records as i64 - 1)).collect();
    OperatorError::fatal(
        "KAFKA-ROWS-LOST",
        format!(
            "sink.kafka: {topic}-{partition}: the records at the offsets {} are lost: they belong to checkpoint {checkpoint}, the cluster \
             timed out their transaction ({transactional_id}) before it was committed, and the log has no record at offset {offset} any \
             more (retention, compaction, or a topic made anew). Set transaction.timeout.ms and the topic's retention longer than \
             outages; to go on without these rows, start from another checkpoint or savepoint",
            ranges.join(", ")
        ),
    )
}

fn append(
    queue: &Queue,
    writer: &Arc<Writer>,
    partition: usize,
    batch: &mut Batch,
    from: i64,
    until: i64,
) -> Result<(), OperatorError> {
    let corrupt = |error: crate::records::Corrupt| OperatorError::retryable("KAFKA-CORRUPT", format!("sink.kafka: {error}"));
    while let Some(record) = batch.next().map_err(corrupt)? {
        if record.offset < from || record.offset >= until {
            continue;
        }
        let headers = record.headers().collect::<Result<Vec<_>, _>>().map_err(corrupt)?;
        let message = Message { partition, timestamp: record.timestamp, key: record.key, value: record.value, headers: &headers };
        queue.append(writer, std::iter::once(message))?;
    }
    Ok(())
}

/// How the records of a transaction stand.
pub(super) async fn fate(
    transaction: &PreparedTransaction,
    settings: &ClientSettings,
    deadline: Instant,
) -> Result<Fate, ClientError> {
    let mut fate = Fate::Committed;
    for range in &transaction.ranges {
        let mut reader = RangeReader::new(settings, transaction, *range);
        loop {
            match reader.next(deadline).await {
                Ok(Some(_)) => {}
                Ok(None) => break,
                Err(ReadError::Client(error)) => return Err(error),
                Err(ReadError::Gone { .. }) => return Ok(Fate::Gone),
            }
        }
        if reader.is_aborted {
            fate = Fate::Aborted;
        }
    }
    Ok(fate)
}

/// Reads the batches of one writer in a range of a partition, whether committed or not.
struct RangeReader<'a> {
    settings: &'a ClientSettings,
    transaction: &'a PreparedTransaction,
    range: OffsetRange,
    /// Offset of the next record.
    next: i64,
    connection: Option<Connection>,
    metadata: Metadata,
    /// Whether a broker has named the writer's transaction as aborted.
    is_aborted: bool,
}

impl<'a> RangeReader<'a> {
    fn new(settings: &'a ClientSettings, transaction: &'a PreparedTransaction, range: OffsetRange) -> Self {
        let next = range.first;
        Self { settings, transaction, range, next, connection: None, metadata: Metadata::default(), is_aborted: false }
    }

    fn until(&self) -> i64 {
        self.range.first + self.range.records as i64
    }

    /// The next batches of the range; `None` behind the last.
    async fn next(&mut self, deadline: Instant) -> Result<Option<Vec<Batch>>, ReadError> {
        let mut patience = Patience::until(deadline);
        while self.next < self.until() {
            match self.read().await {
                Ok(batches) => return Ok(Some(batches)),
                Err(ReadError::Client(error)) => {
                    self.connection = None;
                    patience.bear(error).await?;
                }
                Err(gone) => return Err(gone),
            }
        }
        Ok(None)
    }

    async fn read(&mut self) -> Result<Vec<Batch>, ReadError> {
        let topic = &self.transaction.topic;
        let request = LIMITS.request([(topic.as_str(), self.range.partition, self.next)].into_iter());
        let answer = self.connect().await?.call(FETCH_VERSIONS, &request).await?;
        let data = answer.responses.into_iter().flat_map(|topic| topic.partitions).next().unwrap_or_default();
        match ResponseError::try_from_code(data.error_code) {
            None => self.take(data),
            Some(ResponseError::OffsetOutOfRange) => Err(self.gone()),
            Some(_) => Err(ClientError::refused(format!("{topic}-{}", self.range.partition), data.error_code).into()),
        }
    }

    async fn connect(&mut self) -> Result<&mut Connection, ClientError> {
        let none = match &mut self.connection {
            Some(connection) => return Ok(connection),
            none => none,
        };
        let topic = &self.transaction.topic;
        self.metadata = Metadata::ask(self.settings, &self.metadata, std::slice::from_ref(topic)).await?;
        let leader = self.metadata.leader(topic, self.range.partition);
        let address = leader.and_then(|leader| self.metadata.brokers.get(&leader));
        let no_leader =
            || ClientError::refused(format!("{topic}-{}", self.range.partition), ResponseError::LeaderNotAvailable.code());
        Ok(none.insert(Connection::open(self.settings, address.ok_or_else(no_leader)?).await?))
    }

    fn gone(&self) -> ReadError {
        ReadError::Gone { partition: self.range.partition, offset: self.next }
    }

    fn take(&mut self, data: PartitionData) -> Result<Vec<Batch>, ReadError> {
        let protocol = |error: crate::records::Corrupt| ClientError::Protocol {
            address: format!("{}-{}", self.transaction.topic, self.range.partition),
            reason: error.to_string(),
        };
        let writer = self.transaction.writer;
        let aborted = data.aborted_transactions.iter().flatten();
        self.is_aborted |=
            aborted.into_iter().any(|aborted| aborted.producer_id.0 == writer.id && aborted.first_offset < self.until());
        let bytes = data.records.unwrap_or_default();
        let (mut at, mut batches) = (0, Vec::new());
        while let Some(header) = BatchHeader::read(&bytes[at..]).map_err(protocol)? {
            let of_batch = bytes.slice(at..at + header.bytes);
            at += header.bytes;
            if header.last_offset < self.next || self.next >= self.until() {
                continue;
            }
            // Within the range each offset is of a record of this writer. If another batch is there, the log is not the one that
            // acknowledged them; if an offset is missing, so is a record.
            let is_own = (header.producer_id, header.producer_epoch) == (writer.id, writer.epoch) && !header.is_control();
            let is_whole = i64::from(header.records) == header.last_offset - header.base_offset + 1;
            if !is_own || !is_whole || header.base_offset > self.next {
                return Err(self.gone());
            }
            self.next = header.last_offset + 1;
            batches.push(Batch::open(header, &of_batch).map_err(protocol)?);
        }
        if batches.is_empty() {
            // The transaction is still being ended, or the replica lags behind: ask again.
            let code = ResponseError::OffsetNotAvailable.code();
            return Err(ClientError::refused(format!("{}-{}", self.transaction.topic, self.range.partition), code).into());
        }
        Ok(batches)
    }
}
