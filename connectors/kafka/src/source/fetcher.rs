//! The task that reads a subtask's partitions from their leaders, ahead of the slot's thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::fetch_response::PartitionData;
use kafka_protocol::messages::{FetchRequest, FetchResponse};
use tokio::time::Instant;
use weir_dataflow::operator::OperatorError;
use weir_world::Backoff;

use super::aborted::AbortedTransactions;
use super::buffer::{Buffer, Chunk, Fetched};
use super::partition::{SourcePartition, owner};
use super::settings::FetchSettings;
use crate::client::{ClientError, Connection, FETCH_VERSIONS, Metadata, OffsetSpec, list_offsets};
use crate::records::BatchHeader;

const RETRY: Backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(500));

/// How long partitions may be without a leader or a topic without an answer before the source fails.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which subtask reads, for the partitions that appear later.
#[derive(Debug, Clone, Copy)]
pub(super) struct Share {
    pub(super) subtask: u32,
    pub(super) parallelism: u32,
}

/// Reads the partitions into the buffer until the task is aborted or has failed.
pub(super) async fn run(settings: Arc<FetchSettings>, share: Share, partitions: Vec<SourcePartition>, buffer: Arc<Buffer>) {
    let now = Instant::now();
    let mut fetcher = Fetcher {
        positions: partitions.iter().map(|partition| Position::new(partition, now)).collect(),
        settings,
        share,
        buffer: Arc::clone(&buffer),
        metadata: Metadata::default(),
        asked_at: None,
        wants_metadata: true,
        is_asking: false,
        backoff: RETRY,
        failing_since: None,
        idle: BTreeMap::new(),
        busy: BTreeSet::new(),
        turn: 0,
    };
    if let Err(error) = fetcher.run().await {
        buffer.fail(error);
    }
}

/// How far a partition was read by the fetcher.
struct Position {
    topic: String,
    id: i32,
    next: i64,
    stop: Option<i64>,
    held_until: Instant,
    backoff: Backoff,
    failing_since: Option<Instant>,
}

impl Position {
    fn new(partition: &SourcePartition, now: Instant) -> Self {
        let SourcePartition { topic, id, next, stop } = partition.clone();
        Self { topic, id, next, stop, held_until: now, backoff: RETRY, failing_since: None }
    }

    fn is_done(&self) -> bool {
        self.stop.is_some_and(|stop| self.next >= stop)
    }

    fn name(&self) -> String {
        format!("{}-{}", self.topic, self.id)
    }
}

enum Event {
    Metadata(Result<Metadata, ClientError>),
    Answer {
        broker: i32,
        asked: Vec<usize>,
        answer: Result<(Connection, FetchResponse), ClientError>,
    },
    /// Where the partitions that have appeared begin.
    Appeared(Result<Vec<SourcePartition>, ClientError>),
}

struct Fetcher {
    settings: Arc<FetchSettings>,
    share: Share,
    buffer: Arc<Buffer>,
    positions: Vec<Position>,
    metadata: Metadata,
    asked_at: Option<Instant>,
    wants_metadata: bool,
    is_asking: bool,
    backoff: Backoff,
    failing_since: Option<Instant>,
    idle: BTreeMap<i32, Connection>,
    busy: BTreeSet<i32>,
    /// Rotates the order of partitions in requests, because brokers fill their answers in this order.
    turn: usize,
}

impl Fetcher {
    async fn run(&mut self) -> Result<(), OperatorError> {
        let buffer = Arc::clone(&self.buffer);
        let mut under_way: FuturesUnordered<BoxFuture<'static, Event>> = FuturesUnordered::new();
        loop {
            let now = Instant::now();
            under_way.extend(self.ask_metadata(now));
            under_way.extend(self.requests(now));
            let due = self.next_due(now);
            tokio::select! {
                Some(event) = under_way.next(), if !under_way.is_empty() => under_way.extend(self.handle(event)?),
                () = buffer.room.notified() => {}
                () = tokio::time::sleep_until(due) => {}
            }
        }
    }

    fn ask_metadata(&mut self, now: Instant) -> Option<BoxFuture<'static, Event>> {
        let period = self.settings.discovery_interval.unwrap_or(self.settings.client.metadata_max_age);
        let is_old = self.asked_at.is_some_and(|at| now >= at + period);
        if self.is_asking || !(self.wants_metadata || is_old) {
            return None;
        }
        self.is_asking = true;
        let (settings, known) = (Arc::clone(&self.settings), self.metadata.clone());
        let delay = if self.failing_since.is_some() { self.backoff.next_delay() } else { Duration::ZERO };
        Some(Box::pin(async move {
            tokio::time::sleep(delay).await;
            Event::Metadata(Metadata::ask(&settings.client, &known, &settings.topics).await)
        }))
    }

    /// One request for each broker that is free and leads partitions that are not read to their end.
    fn requests(&mut self, now: Instant) -> Vec<BoxFuture<'static, Event>> {
        // A request may be held back by the broker for a while, so it must ask for all partitions, or it would delay those that
        // it does not name. So there is one limit for all of them.
        if !self.buffer.has_room() {
            return Vec::new();
        }
        let mut by_broker: BTreeMap<i32, Vec<usize>> = BTreeMap::new();
        let count = self.positions.len();
        self.turn = self.turn.wrapping_add(1);
        for index in (0..count).map(|index| (index + self.turn) % count) {
            let position = &self.positions[index];
            if position.is_done() || position.held_until > now {
                continue;
            }
            match self.metadata.leader(&position.topic, position.id) {
                Some(broker) if !self.busy.contains(&broker) => by_broker.entry(broker).or_default().push(index),
                Some(_) => {}
                None => self.wants_metadata = true,
            }
        }
        by_broker.into_iter().map(|(broker, asked)| self.request(broker, asked)).collect()
    }

    fn request(&mut self, broker: i32, asked: Vec<usize>) -> BoxFuture<'static, Event> {
        let positions = asked.iter().map(|index| &self.positions[*index]);
        let request = self.settings.limits.request(positions.map(|at| (at.topic.as_str(), at.id, at.next)));
        self.busy.insert(broker);
        let address = self.metadata.brokers[&broker].clone();
        let connection = self.idle.remove(&broker).filter(|connection| connection.address() == address);
        let settings = Arc::clone(&self.settings);
        Box::pin(async move {
            let answer = fetch(&settings, connection, &address, request).await;
            Event::Answer { broker, asked, answer }
        })
    }

    fn handle(&mut self, event: Event) -> Result<Option<BoxFuture<'static, Event>>, OperatorError> {
        let now = Instant::now();
        match event {
            Event::Metadata(Ok(metadata)) => {
                let begun = self.learn(metadata, now);
                if self.failing_since.is_some() {
                    let code = ResponseError::LeaderNotAvailable.code();
                    self.bear(ClientError::refused(self.settings.topics.join(", "), code), now)?;
                }
                return Ok(begun);
            }
            Event::Metadata(Err(error)) | Event::Appeared(Err(error)) => {
                self.is_asking = false;
                self.wants_metadata = true;
                self.bear(error, now)?;
            }
            Event::Appeared(Ok(partitions)) => {
                for partition in &partitions {
                    tracing::info!(
                        topic = partition.topic,
                        partition = partition.id,
                        "a new partition is read from its beginning"
                    );
                    self.positions.push(Position::new(partition, now));
                }
                self.buffer.push(partitions.into_iter().map(Fetched::NewPartition).collect());
                self.is_asking = false;
            }
            Event::Answer { broker, asked, answer } => {
                self.busy.remove(&broker);
                match answer {
                    Ok((connection, answer)) => {
                        self.idle.insert(broker, connection);
                        self.take_in(answer, now)?;
                    }
                    Err(error) => {
                        for index in asked {
                            self.hold_back(index, now, &error)?;
                        }
                        self.wants_metadata = true;
                    }
                }
            }
        }
        Ok(None)
    }

    fn learn(&mut self, metadata: Metadata, now: Instant) -> Option<BoxFuture<'static, Event>> {
        self.metadata = metadata;
        self.asked_at = Some(now);
        self.is_asking = false;
        // If a leader is missing, the next look at the positions asks again, after a pause.
        let all_led = self.positions.iter().all(|position| self.metadata.leader(&position.topic, position.id).is_some());
        self.wants_metadata = false;
        self.failing_since = if all_led { None } else { self.failing_since.or(Some(now)) };
        if all_led {
            self.backoff.reset();
        }
        self.settings.discovery_interval?;
        let appeared: Vec<(String, i32)> = self.appeared();
        if appeared.is_empty() {
            return None;
        }
        self.is_asking = true;
        let settings = Arc::clone(&self.settings);
        Some(Box::pin(async move {
            let deadline = Instant::now() + PATIENCE;
            let starts = list_offsets(&settings.client, &appeared, OffsetSpec::Earliest, deadline).await;
            let partition = |((topic, id), next)| SourcePartition { topic, id, next, stop: None };
            Event::Appeared(starts.map(|starts| starts.into_iter().map(partition).collect()))
        }))
    }

    /// This subtask's partitions that it does not read yet.
    fn appeared(&self) -> Vec<(String, i32)> {
        let all = self
            .metadata
            .topics
            .iter()
            .flat_map(|(topic, partitions)| partitions.iter().map(move |partition| (topic.clone(), partition.id)));
        all.filter(|(topic, id)| {
            owner(topic, *id, self.share.parallelism) == self.share.subtask
                && !self.positions.iter().any(|position| position.topic == *topic && position.id == *id)
        })
        .collect()
    }

    fn take_in(&mut self, answer: FetchResponse, now: Instant) -> Result<(), OperatorError> {
        if answer.error_code != 0 {
            return Err(ClientError::refused("Fetch", answer.error_code).for_operator("source.kafka"));
        }
        let mut fetched = Vec::new();
        for topic in answer.responses {
            for data in topic.partitions {
                let found = self
                    .positions
                    .iter()
                    .position(|position| position.id == data.partition_index && position.topic == topic.topic.as_str());
                let Some(index) = found else { continue };
                match ResponseError::try_from_code(data.error_code) {
                    None => fetched.extend(self.chunk(index, data)?),
                    Some(ResponseError::OffsetOutOfRange) => return Err(self.out_of_range(index, &data)),
                    Some(_) => {
                        self.wants_metadata = true;
                        self.hold_back(index, now, &ClientError::refused(self.positions[index].name(), data.error_code))?;
                    }
                }
            }
        }
        self.buffer.push(fetched);
        Ok(())
    }

    fn chunk(&mut self, index: usize, data: PartitionData) -> Result<Option<Fetched>, OperatorError> {
        let position = &mut self.positions[index];
        position.failing_since = None;
        position.backoff.reset();
        let bytes = data.records.unwrap_or_default();
        let (mut at, mut next) = (0, position.next);
        while let Some(header) = BatchHeader::read(&bytes[at..]).map_err(|error| corrupt(&position.name(), &error))? {
            at += header.bytes;
            next = next.max(header.last_offset.saturating_add(1));
        }
        if at == 0 {
            return Ok(None);
        }
        position.next = next;
        let aborted = data.aborted_transactions.unwrap_or_default();
        let aborted = aborted.iter().map(|aborted| (aborted.first_offset, aborted.producer_id.0)).collect();
        Ok(Some(Fetched::Chunk(Chunk {
            partition: index,
            bytes: bytes.slice(..at),
            aborted: AbortedTransactions::new(aborted),
            high_watermark: data.high_watermark,
        })))
    }

    fn hold_back(&mut self, index: usize, now: Instant, error: &ClientError) -> Result<(), OperatorError> {
        let position = &mut self.positions[index];
        position.held_until = now + position.backoff.next_delay();
        let since = *position.failing_since.get_or_insert(now);
        if error.is_temporary() && now < since + PATIENCE { Ok(()) } else { Err(error.for_operator("source.kafka")) }
    }

    fn bear(&mut self, error: ClientError, now: Instant) -> Result<(), OperatorError> {
        let since = *self.failing_since.get_or_insert(now);
        if error.is_temporary() && now < since + PATIENCE { Ok(()) } else { Err(error.for_operator("source.kafka")) }
    }

    fn out_of_range(&self, index: usize, data: &PartitionData) -> OperatorError {
        let position = &self.positions[index];
        OperatorError::fatal(
            "KAFKA-OFFSET-GONE",
            format!(
                "source.kafka: {}: the next record would be that at offset {}, but the log has only offsets from {} to {}; either \
                 records were deleted before they were read (retention), or the topic was made anew. To go on without them, start \
                 the job anew, from offsets that exist",
                position.name(),
                position.next,
                data.log_start_offset,
                data.high_watermark
            ),
        )
    }

    fn next_due(&self, now: Instant) -> Instant {
        let held = self.positions.iter().map(|position| position.held_until).filter(|until| *until > now);
        held.min().map_or(now + Duration::from_secs(1), |due| due.min(now + Duration::from_secs(1)))
    }
}

pub(super) fn corrupt(partition: &str, error: &crate::records::Corrupt) -> OperatorError {
    OperatorError::retryable("KAFKA-CORRUPT", format!("source.kafka: {partition}: {error}"))
}

async fn fetch(
    settings: &FetchSettings,
    connection: Option<Connection>,
    address: &str,
    request: FetchRequest,
) -> Result<(Connection, FetchResponse), ClientError> {
    let mut connection = Connection::reuse(connection, &settings.client, address).await?;
    let patience = settings.client.request_timeout + settings.limits.max_wait;
    let answer = connection.call_within(FETCH_VERSIONS, &request, patience).await?;
    Ok((connection, answer))
}
