//! Tests of the exchange between the ends of two processes, over loopback.

use std::sync::Arc;
use std::time::Duration;

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use tokio::sync::Notify;
use weir_dataflow::codec::BatchCodec;
use weir_dataflow::element::StreamElement;
use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointKind};
use weir_protocol::{
    CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch, TaskManagerId,
};
use weir_world::net::{self, BoundListener, ConnectionLimits};

use super::NetworkOptions;
use super::channel::{Channel, Closure, Polled, Waker};
use super::client::{Connections, OpenError, RemoteChannel};
use super::frame::{FrameKind, encode};
use super::message::{ChannelKey, Hello, encode_hello};
use super::registry::ChannelRegistry;
use super::server::{AbortOnDrop, DataService};

fn options() -> NetworkOptions {
    NetworkOptions {
        channel_elements: 4,
        open_timeout: Duration::from_secs(5),
        max_frame_bytes: 2_000,
        ..NetworkOptions::default()
    }
}

fn attempt(vertex: u128, subtask: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        job: JobId(1),
        execution_vertex: ExecutionVertexId { vertex: JobVertexId(vertex), subtask },
        generation: Generation { epoch: LeaderEpoch(1), attempt: 1 },
    }
}

fn key(edge: u32) -> ChannelKey {
    ChannelKey { producer: attempt(1, 0), edge, consumer_subtask: 0 }
}

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("n", DataType::Int64, false)]))
}

fn batch(numbers: std::ops::Range<i64>) -> StreamElement {
    let column = Arc::new(Int64Array::from_iter_values(numbers));
    StreamElement::Batch(RecordBatch::try_new(schema(), vec![column]).unwrap())
}

struct Producer {
    id: TaskManagerId,
    address: String,
    registry: Arc<ChannelRegistry>,
    _service: AbortOnDrop,
}

async fn producer() -> Producer {
    let listener = BoundListener::bind("127.0.0.1:0").unwrap().serve(ConnectionLimits::processes(4)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let id = TaskManagerId("tm-producer".into());
    let registry = Arc::new(ChannelRegistry::default());
    let service = DataService { task_manager: id.clone(), registry: registry.clone(), options: options() };
    let service = weir_world::spawn("test", Arc::new(service).serve(listener));
    Producer { id, address, registry, _service: AbortOnDrop(service) }
}

impl Producer {
    fn offer(&self, edge: u32) -> Arc<Channel> {
        let channel = Channel::new(options().channel_limits());
        self.registry.offer(key(edge), attempt(2, 0), channel.clone());
        channel
    }
}

fn connections() -> Connections {
    Connections::new(TaskManagerId("tm-consumer".into()), options())
}

async fn open(connections: &Connections, producer: &Producer, edge: u32) -> Result<RemoteChannel, OpenError> {
    let codec = BatchCodec::new(schema()).unwrap();
    connections.open(&producer.id, &producer.address, key(edge), attempt(2, 0), codec).await
}

/// The consuming end as a task would use it, except that it waits.
struct Consumer {
    remote: RemoteChannel,
    news: Arc<Notify>,
}

impl Consumer {
    fn new(remote: RemoteChannel) -> Self {
        let news = Arc::new(Notify::new());
        remote.channel.set_consumer(Waker::Io(news.clone()));
        Self { remote, news }
    }

    async fn next(&mut self) -> Result<StreamElement, Closure> {
        loop {
            match self.remote.channel.poll().0 {
                Polled::Element(element) => {
                    self.remote.consumed();
                    return Ok(element);
                }
                Polled::Closed(closure) => return Err(closure),
                Polled::Empty => self.news.notified().await,
            }
        }
    }
}

#[tokio::test]
async fn elements_arrive_in_order_and_large_batches_in_pieces() {
    let producer = producer().await;
    let channel = producer.offer(0);
    let connections = connections();
    let mut consumer = Consumer::new(open(&connections, &producer, 0).await.unwrap());
    let barrier = CheckpointBarrier { id: CheckpointId(3), kind: CheckpointKind::Savepoint, timestamp_ms: 5 };
    // 1000 rows of 8 bytes do not fit a frame of 2000.
    channel.push(batch(0..1000), 8000);
    channel.push(StreamElement::Watermark(17), 0);
    channel.push(StreamElement::Idle, 0);
    channel.push(StreamElement::Barrier(barrier), 0);
    channel.push(StreamElement::EndOfInput, 0);
    channel.close(Closure::Finished);

    let mut rows = Vec::new();
    let first_other = loop {
        match consumer.next().await.unwrap() {
            StreamElement::Batch(batch) => rows.extend(batch.column(0).as_primitive::<Int64Type>().values().to_vec()),
            other => break other,
        }
    };
    assert_eq!(rows, (0..1000).collect::<Vec<_>>());
    assert!(matches!(first_other, StreamElement::Watermark(17)));
    assert!(matches!(consumer.next().await, Ok(StreamElement::Idle)));
    assert!(matches!(consumer.next().await, Ok(StreamElement::Barrier(came)) if came == barrier));
    assert!(matches!(consumer.next().await, Ok(StreamElement::EndOfInput)));
    assert_eq!(consumer.next().await.unwrap_err(), Closure::Finished);
}

#[tokio::test]
async fn a_slow_consumer_blocks_its_own_channel_and_no_other() {
    let producer = producer().await;
    let (stuck, flowing) = (producer.offer(0), producer.offer(1));
    let connections = connections();
    let mut slow = Consumer::new(open(&connections, &producer, 0).await.unwrap());
    let mut fast = Consumer::new(open(&connections, &producer, 1).await.unwrap());
    for watermark in 0..20 {
        stuck.push(StreamElement::Watermark(watermark), 0);
    }
    for watermark in 0..100 {
        flowing.push(StreamElement::Watermark(watermark), 0);
        assert!(matches!(fast.next().await, Ok(StreamElement::Watermark(came)) if came == watermark));
    }
    // The stuck channel has sent no more elements than were granted.
    assert!(slow.remote.channel.queued() <= options().channel_elements as usize);
    assert!(!stuck.has_room());
    for watermark in 0..20 {
        assert!(matches!(slow.next().await, Ok(StreamElement::Watermark(came)) if came == watermark));
    }
}

#[tokio::test]
async fn another_incarnation_at_the_same_address_refuses_the_connection() {
    let producer = producer().await;
    let mut fewer = options();
    fewer.open_timeout = Duration::from_millis(50);
    let connections = Connections::new(TaskManagerId("tm-consumer".into()), fewer);
    let codec = BatchCodec::new(schema()).unwrap();
    let former = TaskManagerId("tm-producer-of-yesterday".into());
    let opened = connections.open(&former, &producer.address, key(0), attempt(2, 0), codec).await;
    assert!(matches!(opened, Err(OpenError::Unreachable { .. })));
}

#[tokio::test]
async fn a_stale_consumer_is_refused() {
    let producer = producer().await;
    let channel = Channel::new(options().channel_limits());
    let mut newer = attempt(2, 0);
    newer.generation.attempt = 2;
    producer.registry.offer(key(0), newer, channel);
    let error = open(&connections(), &producer, 0).await.err().expect("must be refused");
    assert!(error.to_string().contains("NET-STALE-ATTEMPT"), "{error}");
}

#[tokio::test]
async fn a_damaged_frame_breaks_the_connection_and_its_channel_is_lost() {
    let listener = BoundListener::bind("127.0.0.1:0").unwrap().serve(ConnectionLimits::processes(4)).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    // This producer answers the hello, opens the channel and sends a damaged frame.
    let liar = weir_world::spawn("test", async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await;
        let hello = Hello { consumer: TaskManagerId("tm-consumer".into()), producer: TaskManagerId("tm-producer".into()) };
        let mut greeting = vec![0; 32 + encode_hello(&hello).len()];
        stream.read_exact(&mut greeting).await.unwrap();
        stream.write_all(&encode(FrameKind::Welcome, 0, 0, 0, b"")).await.unwrap();
        let mut request = [0; 32 + 48 * 2 + 12];
        stream.read_exact(&mut request).await.unwrap();
        let tag = super::message::decode_open(&request[32..]).unwrap().tag();
        stream.write_all(&encode(FrameKind::Opened, 1, 0, tag, b"")).await.unwrap();
        let mut damaged = encode(FrameKind::Watermark, 1, 0, tag, &[1; 8]).to_vec();
        damaged[35] ^= 1;
        stream.write_all(&damaged).await.unwrap();
        // The producer stays connected, so it is the consumer that ends the connection.
        let mut rest = Vec::new();
        let _ = stream.read_to_end(&mut rest).await;
    });
    let connections = connections();
    let codec = BatchCodec::new(schema()).unwrap();
    let id = TaskManagerId("tm-producer".into());
    let remote = connections.open(&id, &address, key(0), attempt(2, 0), codec).await.unwrap();
    let mut consumer = Consumer::new(remote);
    let closure = consumer.next().await.unwrap_err();
    assert!(matches!(&closure, Closure::Lost(reason) if reason.contains("NET-CRC")), "{closure:?}");
    liar.await.unwrap();
}

#[tokio::test]
async fn a_peer_that_does_not_speak_the_protocol_is_disconnected() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let producer = producer().await;
    let mut stream = net::connect(&producer.address).await.unwrap();
    stream.write_all(&Bytes::from_static(b"GET / HTTP/1.1\r\nhost: x\r\naccept: */*\r\n\r\n")).await.unwrap();
    let mut answer = Vec::new();
    // The connection may end in order or with an error.
    let _ = stream.read_to_end(&mut answer).await;
    assert!(answer.is_empty());
}
