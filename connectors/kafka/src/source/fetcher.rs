//! The task that reads a subtask's partitions from their leaders, ahead of the slot's thread.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::FetchResponse;
use kafka_protocol::messages::fetch_response::PartitionData;
use tokio::time::Instant;
use weir_dataflow::operator::OperatorError;
use weir_world::Backoff;

use super::aborted::AbortedTransactions;
use super::buffer::{Buffer, Chunk, Fetched};
use super::open_transaction::OpenTransaction;
use super::partition::{SourcePartition, owner};
use super::settings::FetchSettings;
use crate::client::{
    BrokerCalls, Call, ClientError, ClusterView, Connection, FETCH_VERSIONS, Metadata, OffsetSpec, list_offsets,
};
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
        view: ClusterView::new(settings.client.clone(), settings.topics.clone(), settings.metadata_max_age()),
        settings,
        share,
        buffer: Arc::clone(&buffer),
        calls: BrokerCalls::default(),
        is_listing: false,
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
    open_transaction: OpenTransaction,
}

impl Position {
    fn new(partition: &SourcePartition, now: Instant) -> Self {
        let SourcePartition { topic, id, next, stop } = partition.clone();
        Self {
            topic,
            id,
            next,
            stop,
            held_until: now,
            backoff: RETRY,
            failing_since: None,
            open_transaction: OpenTransaction::default(),
        }
    }

    fn is_done(&self) -> bool {
        self.stop.is_some_and(|stop| self.next >= stop)
    }

    fn name(&self) -> String {
        format!("{}-{}", self.topic, self.id)
    }

    /// Says in the log if an answer without records stays without them, because a transaction does not end.
    fn tell_of_open_transaction(&mut self, data: &PartitionData, now: Instant) {
        let waits = data.last_stable_offset >= 0 && data.last_stable_offset <= self.next && self.next < data.high_watermark;
        if let Some(waited) = self.open_transaction.nothing_came(waits, now) {
            tracing::warn!(
                topic = self.topic,
                partition = self.id,
                offset = self.next,
                behind = data.high_watermark - self.next,
                waited_s = waited.as_secs(),
                "a partition waits for a transaction that a producer has left open; kafka-transactions.sh find-hanging shows it"
            );
        }
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
    view: ClusterView,
    calls: BrokerCalls,
    /// Whether it is being asked where new partitions begin.
    is_listing: bool,
    /// Rotates the order of partitions in requests, because brokers fill their answers in this order.
    turn: usize,
}

impl Fetcher {
    async fn run(&mut self) -> Result<(), OperatorError> {
        let buffer = Arc::clone(&self.buffer);
        let mut under_way: FuturesUnordered<BoxFuture<'static, Event>> = FuturesUnordered::new();
        loop {
            let now = Instant::now();
            if let Some(asked) = self.view.ask(now, self.calls.are_slow(now)) {
                under_way.push(Box::pin(async { Event::Metadata(asked.await) }));
            }
            under_way.extend(self.requests(now));
            let due = self.next_due(now);
            tokio::select! {
                Some(event) = under_way.next(), if !under_way.is_empty() => under_way.extend(self.handle(event)?),
                () = buffer.room.notified() => {}
                () = tokio::time::sleep_until(due) => {}
            }
        }
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
            match self.view.metadata().leader(&position.topic, position.id) {
                Some(broker) if !self.calls.is_busy(broker) => by_broker.entry(broker).or_default().push(index),
                Some(_) => {}
                None => self.view.want(),
            }
        }
        by_broker.into_iter().map(|(broker, asked)| self.request(broker, asked)).collect()
    }

    fn request(&mut self, broker: i32, asked: Vec<usize>) -> BoxFuture<'static, Event> {
        let positions = || asked.iter().map(|index| &self.positions[*index]);
        let call = Call {
            versions: FETCH_VERSIONS,
            request: self.settings.limits.request(positions().map(|at| (at.topic.as_str(), at.id, at.next))),
            partitions: positions().map(|at| (at.topic.clone(), at.id)).collect(),
            held_back: self.settings.limits.max_wait,
        };
        let answer = self.calls.begin(&self.settings.client, broker, &self.view.metadata().brokers[&broker], call);
        Box::pin(async move { Event::Answer { broker, asked, answer: answer.await } })
    }

    fn handle(&mut self, event: Event) -> Result<Option<BoxFuture<'static, Event>>, OperatorError> {
        let now = Instant::now();
        match event {
            Event::Metadata(answer) => return self.learn(answer, now),
            Event::Appeared(Err(error)) => return Err(error.for_operator("source.kafka")),
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
                self.is_listing = false;
            }
            Event::Answer { broker, asked, answer } => match answer {
                Ok((connection, answer)) => {
                    self.calls.ended(broker, Some(connection));
                    self.take_in(answer, now)?;
                }
                Err(error) => {
                    self.calls.ended(broker, None);
                    for index in asked {
                        self.hold_back(index, now, &error)?;
                    }
                    self.view.want();
                }
            },
        }
        Ok(None)
    }

    fn learn(
        &mut self,
        answer: Result<Metadata, ClientError>,
        now: Instant,
    ) -> Result<Option<BoxFuture<'static, Event>>, OperatorError> {
        let positions = &self.positions;
        let missing = |metadata: &Metadata| {
            let is_led = |at: &Position| metadata.leader(&at.topic, at.id).is_some();
            let without = positions.iter().find(|position| !is_led(position))?;
            Some(ClientError::refused(without.name(), ResponseError::LeaderNotAvailable.code()))
        };
        let learned = self.view.learn(answer, now, PATIENCE, missing);
        learned.map_err(|error| error.for_operator("source.kafka"))?;
        self.calls.give_up_moved(self.view.metadata());
        Ok(self.list_new(now))
    }

    /// Asks where the partitions begin that have appeared.
    fn list_new(&mut self, now: Instant) -> Option<BoxFuture<'static, Event>> {
        self.settings.discovery_interval?;
        let appeared = self.appeared();
        if appeared.is_empty() || self.is_listing {
            return None;
        }
        self.is_listing = true;
        let settings = Arc::clone(&self.settings);
        Some(Box::pin(async move {
            let starts = list_offsets(&settings.client, &appeared, OffsetSpec::Earliest, now + PATIENCE).await;
            let partition = |((topic, id), next)| SourcePartition { topic, id, next, stop: None };
            Event::Appeared(starts.map(|starts| starts.into_iter().map(partition).collect()))
        }))
    }

    /// This subtask's partitions that it does not read yet.
    fn appeared(&self) -> Vec<(String, i32)> {
        let all = self
            .view
            .metadata()
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
                    None => fetched.extend(self.chunk(index, data, now)?),
                    Some(ResponseError::OffsetOutOfRange) => return Err(self.out_of_range(index)),
                    Some(_) => {
                        self.view.want();
                        self.hold_back(index, now, &ClientError::refused(self.positions[index].name(), data.error_code))?;
                    }
                }
            }
        }
        self.buffer.push(fetched);
        Ok(())
    }

    fn chunk(&mut self, index: usize, mut data: PartitionData, now: Instant) -> Result<Option<Fetched>, OperatorError> {
        let position = &mut self.positions[index];
        position.failing_since = None;
        position.backoff.reset();
        let bytes = data.records.take().unwrap_or_default();
        let (mut at, mut next) = (0, position.next);
        while let Some(header) = BatchHeader::read(&bytes[at..]).map_err(|error| corrupt(&position.name(), &error))? {
            at += header.bytes;
            next = next.max(header.last_offset.saturating_add(1));
        }
        if at == 0 {
            position.tell_of_open_transaction(&data, now);
            return Ok(None);
        }
        position.open_transaction.passed();
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

    fn out_of_range(&self, index: usize) -> OperatorError {
        let position = &self.positions[index];
        OperatorError::fatal(
            "KAFKA-OFFSET-GONE",
            format!(
                "source.kafka: {}: the next record would be that at offset {}, which the log does not have; either records were deleted \
                 before they were read (retention), or the topic was made anew. To go on without them, start the job anew, from offsets \
                 that exist",
                position.name(),
                position.next,
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
