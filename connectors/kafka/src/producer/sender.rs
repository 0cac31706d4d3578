//! The task that sends a producer's batches.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use kafka_protocol::ResponseError;
use kafka_protocol::messages::produce_request::{PartitionProduceData, TopicProduceData};
use kafka_protocol::messages::{ProduceRequest, ProduceResponse};
use kafka_protocol::protocol::StrBytes;
use tokio::time::Instant;
use weir_dataflow::operator::OperatorError;
use weir_world::Backoff;

use super::outcome::{self, Outcome};
use super::queue::{Batch, Queue};
use crate::client::{BrokerCalls, Call, ClientError, ClientSettings, ClusterView, Connection, Metadata, UNKNOWN_TOPIC_PATIENCE};

/// Most bytes of batches in one request.
const REQUEST_BYTES: usize = 8 << 20;

/// Waits between the tries of one partition.
const RETRY: Backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(500));

/// Sends what is appended to the queue, until the task is aborted or the producer fails.
pub(super) async fn run(queue: Arc<Queue>) {
    let (client, topic) = (queue.settings.client.clone(), queue.settings.topic.clone());
    let max_age = client.metadata_max_age;
    let mut sender = Sender {
        view: ClusterView::new(client, vec![topic], max_age),
        has_met_topic: false,
        calls: BrokerCalls::default(),
        held_back: BTreeMap::new(),
        lingering: None,
        queue,
    };
    let mut under_way: FuturesUnordered<BoxFuture<'static, Event>> = FuturesUnordered::new();
    while sender.queue.failure().is_none() {
        under_way.extend(sender.begin());
        let due = sender.next_due();
        let queue = Arc::clone(&sender.queue);
        tokio::select! {
            Some(event) = under_way.next(), if !under_way.is_empty() => sender.handle(event),
            () = queue.work.notified() => {}
            () = tokio::time::sleep_until(due) => {}
        }
    }
}

/// What ends while the sender waits.
enum Event {
    Metadata(Result<Metadata, ClientError>),
    Produced(Produced),
}

/// The end of one request.
struct Produced {
    broker: i32,
    batches: Vec<Batch>,
    answer: Result<(Connection, ProduceResponse), ClientError>,
}

struct Sender {
    queue: Arc<Queue>,
    view: ClusterView,
    /// Whether a broker has ever known the topic.
    has_met_topic: bool,
    calls: BrokerCalls,
    /// Partitions that must wait before the next try, and until when.
    held_back: BTreeMap<usize, (Backoff, Instant)>,
    /// When the next batch that waits for more records is due.
    lingering: Option<Instant>,
}

impl Sender {
    /// Begins what can be done now.
    fn begin(&mut self) -> Vec<BoxFuture<'static, Event>> {
        let now = Instant::now();
        let mut begun: Vec<BoxFuture<'static, Event>> = Vec::new();
        if let Some(asked) = self.view.ask(now, self.calls.are_slow(now)) {
            begun.push(Box::pin(async { Event::Metadata(asked.await) }));
        }
        match self.requests(now) {
            Ok(requests) => begun.extend(requests),
            Err(error) => self.queue.fail(error),
        }
        begun
    }

    /// One request for each broker that is free and leads partitions with records.
    fn requests(&mut self, now: Instant) -> Result<Vec<BoxFuture<'static, Event>>, OperatorError> {
        let topic = self.queue.settings.topic.clone();
        let (ready, lingering) = self.queue.ready(now);
        self.lingering = lingering;
        let mut by_broker: BTreeMap<i32, Vec<(usize, Instant)>> = BTreeMap::new();
        for (partition, since) in ready {
            if now > since + self.queue.delivery_timeout() {
                return Err(self.too_late(partition));
            }
            if self.held_back.get(&partition).is_some_and(|(_, until)| *until > now) {
                continue;
            }
            match self.view.metadata().leader(&topic, partition as i32) {
                Some(broker) if !self.calls.is_busy(broker) => by_broker.entry(broker).or_default().push((partition, since)),
                Some(_) => {}
                None => self.view.want(),
            }
        }
        let mut requests: Vec<BoxFuture<'static, Event>> = Vec::new();
        for (broker, mut partitions) in by_broker {
            // The oldest records first. One request carries the batches of one writer.
            partitions.sort_by_key(|(_, since)| *since);
            let batches = self.take(partitions.into_iter().map(|(partition, _)| partition))?;
            let Some(address) = self.view.metadata().brokers.get(&broker).filter(|_| !batches.is_empty()) else { continue };
            let settings = &self.queue.settings;
            let call = call(&topic, settings.acks, &batches, &settings.client);
            let answer = self.calls.begin(&settings.client, broker, address, call);
            requests.push(Box::pin(async move { Event::Produced(Produced { broker, batches, answer: answer.await }) }));
        }
        Ok(requests)
    }

    fn take(&self, partitions: impl Iterator<Item = usize>) -> Result<Vec<Batch>, OperatorError> {
        let mut batches: Vec<Batch> = Vec::new();
        let mut bytes = 0;
        for partition in partitions {
            let fits = |writer: &_| batches.first().is_none_or(|first| Arc::ptr_eq(&first.writer, writer));
            let taken = self.queue.take(partition, fits);
            let taken = taken.map_err(|error| OperatorError::fatal("KAFKA-BATCH", error.to_string()))?;
            bytes += taken.as_ref().map_or(0, |batch| batch.bytes.len());
            batches.extend(taken);
            if bytes >= REQUEST_BYTES {
                break;
            }
        }
        Ok(batches)
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Metadata(answer) => self.learn(answer),
            Event::Produced(produced) => self.settle(produced),
        }
    }

    fn learn(&mut self, answer: Result<Metadata, ClientError>) {
        let topic = &self.queue.settings.topic;
        let unknown = || {
            let code = ResponseError::UnknownTopicOrPartition.code();
            ClientError::refused(format!("topic {topic:?}, which Weir does not create"), code)
        };
        let missing = |metadata: &Metadata| (!metadata.topics.contains_key(topic)).then(unknown);
        let is_unknown = answer.as_ref().is_ok_and(|metadata| missing(metadata).is_some()) && !self.has_met_topic;
        let patience = if is_unknown { UNKNOWN_TOPIC_PATIENCE } else { self.queue.delivery_timeout() };
        if let Err(error) = self.view.learn(answer, Instant::now(), patience, missing) {
            self.queue.fail(error.for_operator("sink.kafka"));
        }
        if let Some(partitions) = self.view.metadata().topics.get(topic) {
            self.queue.set_partitions(partitions.len());
            self.has_met_topic = true;
        }
        self.calls.give_up_moved(self.view.metadata());
    }

    fn settle(&mut self, produced: Produced) {
        let Produced { broker, batches, answer } = produced;
        match answer {
            Ok((connection, answer)) => {
                self.calls.ended(broker, Some(connection));
                for batch in batches {
                    let found = answer.responses.iter().flat_map(|topic| &topic.partition_responses);
                    let found = found.into_iter().find(|partition| partition.index == batch.partition as i32);
                    let (code, offset) = found
                        .map_or((ResponseError::UnknownServerError.code(), -1), |found| (found.error_code, found.base_offset));
                    self.settle_batch(batch, code, offset);
                }
            }
            Err(error) if error.is_temporary() => {
                tracing::debug!(%error, "batches are sent again");
                self.calls.ended(broker, None);
                self.view.want();
                batches.into_iter().for_each(|batch| self.again(batch));
            }
            Err(error) => self.queue.fail(error.for_operator("sink.kafka")),
        }
    }

    fn settle_batch(&mut self, batch: Batch, code: i16, offset: i64) {
        match outcome::of_code(&self.queue.settings.topic, batch.partition, code) {
            Outcome::Done => {
                self.held_back.remove(&batch.partition);
                self.queue.acknowledged(&batch, offset);
            }
            Outcome::Again { moved } => {
                if moved {
                    self.view.want();
                }
                self.again(batch);
            }
            Outcome::Failed(error) => self.queue.fail(error),
        }
    }

    fn again(&mut self, batch: Batch) {
        let now = Instant::now();
        let held = self.held_back.entry(batch.partition).or_insert((RETRY, now));
        held.1 = now + held.0.next_delay();
        self.queue.give_back(batch);
    }

    fn too_late(&self, partition: usize) -> OperatorError {
        let (topic, seconds) = (&self.queue.settings.topic, self.queue.delivery_timeout().as_secs());
        OperatorError::retryable(
            "KAFKA-DELIVERY",
            format!("sink.kafka: {topic}-{partition}: records were not acknowledged within {seconds} s (delivery.timeout.ms)"),
        )
    }

    /// When something may have to be done without an event.
    fn next_due(&self) -> Instant {
        let now = Instant::now();
        let held = self.held_back.values().map(|(_, until)| *until).filter(|until| *until > now);
        let soonest = held.chain(self.lingering).min();
        soonest.map_or(now + Duration::from_secs(1), |due| due.min(now + Duration::from_secs(1)))
    }
}

fn call(topic: &str, acks: i16, batches: &[Batch], settings: &ClientSettings) -> Call<ProduceRequest> {
    let partitions = batches.iter().map(|batch| (topic.to_owned(), batch.partition as i32)).collect();
    let data = batches
        .iter()
        .map(|batch| PartitionProduceData::default().with_index(batch.partition as i32).with_records(Some(batch.bytes.clone())));
    let topic =
        TopicProduceData::default().with_name(StrBytes::from_string(topic.to_owned()).into()).with_partition_data(data.collect());
    let transactional_id = batches.first().and_then(|batch| batch.writer.transactional_id.clone());
    // From version 12 on, a transaction takes up a partition with its first batch. Later versions name topics by id.
    let oldest = if transactional_id.is_some() { 12 } else { 3 };
    let request = ProduceRequest::default()
        .with_transactional_id(transactional_id.map(|id| StrBytes::from_string(id).into()))
        .with_acks(acks)
        .with_timeout_ms(settings.request_timeout.as_millis() as i32)
        .with_topic_data(vec![topic]);
    Call { versions: (oldest, 12), request, partitions, held_back: Duration::ZERO }
}
