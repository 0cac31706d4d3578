//! Reads the records of a transaction from the log, whether committed or not.

use std::time::Duration;

use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::PartitionData;
use tokio::time::Instant;

use super::prepared::PreparedTransaction;
use super::resolve::Fate;
use crate::client::{
    ClientError, ClientSettings, Connection, FETCH_VERSIONS, FetchLimits, Metadata, OffsetSpec, Patience, list_offsets,
};
use crate::producer::OffsetRange;
use crate::records::{Batch, BatchHeader, Corrupt};

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
pub(super) struct RangeReader<'a> {
    settings: &'a ClientSettings,
    transaction: &'a PreparedTransaction,
    range: OffsetRange,
    /// Offset of the next record.
    next: i64,
    connection: Option<Connection>,
    metadata: Metadata,
    /// Whether a broker has named the writer's transaction as aborted.
    is_aborted: bool,
    skips_lost: bool,
    lost: u64,
    /// Offset of the first record behind those that were skipped.
    from: i64,
}

impl<'a> RangeReader<'a> {
    pub(super) fn new(settings: &'a ClientSettings, transaction: &'a PreparedTransaction, range: OffsetRange) -> Self {
        Self {
            settings,
            transaction,
            range,
            next: range.first,
            connection: None,
            metadata: Metadata::default(),
            is_aborted: false,
            skips_lost: false,
            lost: 0,
            from: range.first,
        }
    }

    /// The same, but goes on behind records that the log does not have any more, and counts them.
    pub(super) fn skipping(self, skips_lost: bool) -> Self {
        Self { skips_lost, ..self }
    }

    /// How many records were skipped.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }

    /// Whether the record at this offset is to be read. A batch may hold others.
    pub(super) fn wants(&self, offset: i64) -> bool {
        (self.from..self.until()).contains(&offset)
    }

    fn until(&self) -> i64 {
        self.range.first + self.range.records as i64
    }

    /// The next batches of the range; `None` behind the last.
    pub(super) async fn next(&mut self, deadline: Instant) -> Result<Option<Vec<Batch>>, ReadError> {
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
            Some(ResponseError::OffsetOutOfRange) => {
                let begins = if self.skips_lost { self.earliest().await? } else { self.next };
                // The log begins behind it, or is another one by now, which ends before it.
                self.lose(if begins > self.next { begins } else { self.until() })?;
                Ok(Vec::new())
            }
            Some(_) => Err(ClientError::refused(format!("{topic}-{}", self.range.partition), data.error_code).into()),
        }
    }

    /// Where the log begins.
    async fn earliest(&mut self) -> Result<i64, ClientError> {
        let partition = (self.transaction.topic.clone(), self.range.partition);
        let deadline = Instant::now() + self.settings.request_timeout;
        let found = list_offsets(self.settings, std::slice::from_ref(&partition), OffsetSpec::Earliest, deadline).await?;
        Ok(found.get(&partition).copied().unwrap_or(0))
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

    /// The records before this offset are not in the log any more.
    fn lose(&mut self, until: i64) -> Result<(), ReadError> {
        if !self.skips_lost {
            return Err(ReadError::Gone { partition: self.range.partition, offset: self.next });
        }
        let until = until.min(self.until());
        self.lost += (until - self.next).max(0) as u64;
        self.next = self.next.max(until);
        self.from = self.next;
        Ok(())
    }

    fn take(&mut self, data: PartitionData) -> Result<Vec<Batch>, ReadError> {
        let place = format!("{}-{}", self.transaction.topic, self.range.partition);
        let protocol = |error: Corrupt| ClientError::Protocol { address: place.clone(), reason: error.to_string() };
        let writer = self.transaction.writer;
        let aborted = data.aborted_transactions.iter().flatten();
        self.is_aborted |=
            aborted.into_iter().any(|aborted| aborted.producer_id.0 == writer.id && aborted.first_offset < self.until());
        let bytes = data.records.unwrap_or_default();
        let (mut at, mut batches, before) = (0, Vec::new(), self.next);
        while let Some(header) = BatchHeader::read(&bytes[at..]).map_err(protocol)? {
            let of_batch = bytes.slice(at..at + header.bytes);
            at += header.bytes;
            if header.last_offset < self.next || self.next >= self.until() {
                continue;
            }
            // Within the range each offset is of a record of this writer. If another batch is there, the log is not the one that
            // acknowledged them; if an offset is missing, so is a record.
            if header.base_offset > self.next {
                self.lose(header.base_offset)?;
            }
            let is_own = (header.producer_id, header.producer_epoch) == (writer.id, writer.epoch) && !header.is_control();
            let is_whole = i64::from(header.records) == header.last_offset - header.base_offset + 1;
            if !is_own || !is_whole {
                self.lose(header.last_offset + 1)?;
                continue;
            }
            self.next = header.last_offset + 1;
            batches.push(Batch::open(header, &of_batch).map_err(protocol)?);
        }
        if self.next == before {
            // The transaction is still being ended, or the replica lags behind: ask again.
            let code = ResponseError::OffsetNotAvailable.code();
            return Err(ClientError::refused(place, code).into());
        }
        Ok(batches)
    }
}
