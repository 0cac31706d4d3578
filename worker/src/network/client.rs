//! The consuming end of channels whose producers run in other TaskManagers. There is one connection per producer process.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, oneshot};
use weir_dataflow::codec::BatchCodec;
use weir_protocol::{ExecutionAttemptId, TaskManagerId};
use weir_world::net::{self, ReadHalf, WriteHalf};

use super::NetworkOptions;
use super::channel::{Channel, ChannelLimits, Closure};
use super::element;
use super::frame::{FrameHeader, FrameKind};
use super::message::{self, ChannelKey, CloseReason, Hello, Open};
use super::wire::{FrameReader, FrameWriter, OutFrame, WireError};
use crate::metrics;

/// Most requests that wait for a connection's writer.
const OUT_QUEUE: usize = 64;
/// Wait between two attempts to connect to a producer's process.
const REDIAL: Duration = Duration::from_millis(100);

/// Why a remote channel could not be opened. A restart may help in every case.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The other process can't be reached.
    #[error("NET-UNREACHABLE: {task_manager} at {address}: {reason}")]
    Unreachable {
        task_manager: TaskManagerId,
        address: String,
        /// The error of the last attempt.
        reason: String,
    },
    /// The other process refuses.
    #[error("{0}")]
    Refused(String),
    /// The other process did not answer in time.
    #[error("NET-OPEN-TIMEOUT: {0} did not open the channel in time")]
    TimedOut(TaskManagerId),
}

/// The connections of this process to producers' processes.
pub struct Connections {
    task_manager: TaskManagerId,
    options: NetworkOptions,
    peers: Mutex<BTreeMap<(TaskManagerId, String), Peer>>,
}

/// Holds at most one connection to a process. One caller opens it while the others wait.
type Peer = Arc<tokio::sync::Mutex<Option<Arc<Connection>>>>;

/// The consuming end of a remote channel. Dropping it releases the channel.
pub struct RemoteChannel {
    /// Where elements arrive.
    pub channel: Arc<Channel>,
    id: u32,
    connection: Arc<Connection>,
    credits: Arc<AtomicI64>,
    /// Consumed elements whose credits were not granted again yet.
    owed: u32,
    grant_at: u32,
}

impl RemoteChannel {
    /// Tells that an element was taken. Grants credits again, a few at a time.
    pub fn consumed(&mut self) {
        self.owed += 1;
        if self.owed >= self.grant_at {
            let granted = std::mem::take(&mut self.owed);
            self.credits.fetch_add(i64::from(granted), Ordering::AcqRel);
            self.connection.board.grant(self.id, granted);
        }
    }
}

impl Drop for RemoteChannel {
    fn drop(&mut self) {
        self.connection.channels().remove(&self.id);
        self.connection.board.release(self.id);
    }
}

impl Connections {
    /// No connection is open yet.
    pub fn new(task_manager: TaskManagerId, options: NetworkOptions) -> Self {
        Self { task_manager, options, peers: Mutex::new(BTreeMap::new()) }
    }

    /// Opens the channel `key` of a producer in the process `producer` at `address`, for `consumer`. Waits until the producer is
    /// deployed.
    pub async fn open(
        &self,
        producer: &TaskManagerId,
        address: &str,
        key: ChannelKey,
        consumer: ExecutionAttemptId,
        codec: BatchCodec,
    ) -> Result<RemoteChannel, OpenError> {
        let connection = self.connect(producer, address).await?;
        let open = Open { key, consumer, credits: self.options.channel_elements.max(1) };
        let (opened, answer) = oneshot::channel();
        // The limit is twice the credits, so that credits alone limit the channel and the queue is never full.
        let limits = ChannelLimits { elements: open.credits as usize * 2, bytes: usize::MAX };
        let channel = Channel::new(limits);
        let credits = Arc::new(AtomicI64::new(i64::from(open.credits)));
        let id = connection.next_channel.fetch_add(1, Ordering::Relaxed);
        let receiving = Receiving {
            channel: channel.clone(),
            tag: open.tag(),
            next_sequence: 0,
            opened: Some(opened),
            credits: credits.clone(),
            codec,
        };
        connection.channels().insert(id, receiving);
        let remote =
            RemoteChannel { channel, id, connection: connection.clone(), credits, owed: 0, grant_at: (open.credits / 4).max(1) };
        let request = OutFrame::new(FrameKind::Open, id, 0, 0, message::encode_open(&open));
        let unreachable = |reason: &str| OpenError::Unreachable {
            task_manager: producer.clone(),
            address: address.to_owned(),
            reason: reason.to_owned(),
        };
        connection.out.send(request).await.map_err(|_| unreachable("the connection broke"))?;
        // The other side waits for its producer for the same time. The extra time is for the way.
        match tokio::time::timeout(self.options.open_timeout + Duration::from_secs(2), answer).await {
            Ok(Ok(Ok(()))) => Ok(remote),
            Ok(Ok(Err(reason))) => Err(OpenError::Refused(reason)),
            Ok(Err(_)) => Err(unreachable("the connection broke")),
            Err(_) => Err(OpenError::TimedOut(producer.clone())),
        }
    }

    async fn connect(&self, producer: &TaskManagerId, address: &str) -> Result<Arc<Connection>, OpenError> {
        let peer = {
            let mut peers = self.peers.lock().unwrap_or_else(PoisonError::into_inner);
            // Remove broken connections, so that the map does not grow with every restart of a TaskManager.
            peers.retain(|_, peer| {
                Arc::strong_count(peer) > 1 || peer.try_lock().is_ok_and(|held| held.as_ref().is_some_and(|c| !c.is_broken()))
            });
            peers.entry((producer.clone(), address.to_owned())).or_default().clone()
        };
        let mut held = peer.lock().await;
        if let Some(connection) = held.as_ref().filter(|connection| !connection.is_broken()) {
            return Ok(connection.clone());
        }
        let mut reason = String::new();
        let dial = async {
            loop {
                match self.dial(producer, address).await {
                    Ok(connection) => return connection,
                    Err(error) => reason = error.to_string(),
                }
                tokio::time::sleep(REDIAL).await;
            }
        };
        let dialled = tokio::time::timeout(self.options.open_timeout / 2, dial).await;
        let connection = dialled.map_err(|_| OpenError::Unreachable {
            task_manager: producer.clone(),
            address: address.to_owned(),
            reason,
        })?;
        *held = Some(connection.clone());
        Ok(connection)
    }

    async fn dial(&self, producer: &TaskManagerId, address: &str) -> Result<Arc<Connection>, WireError> {
        let silence = self.options.peer_timeout;
        let stream =
            tokio::time::timeout(silence, net::connect(address)).await.map_err(|_| WireError::Silent(silence.as_millis()))??;
        stream.set_nodelay(true)?;
        let (read, write) = stream.into_split();
        let mut reader = FrameReader::new(read, self.options.max_frame_bytes, silence);
        let mut writer = FrameWriter::new(write, silence);
        let hello = Hello { consumer: self.task_manager.clone(), producer: producer.clone() };
        writer.write(&OutFrame::new(FrameKind::Hello, 0, 0, 0, message::encode_hello(&hello))).await?;
        writer.flush().await?;
        let (header, body) = reader.next().await?;
        match header.kind {
            FrameKind::Welcome => {}
            FrameKind::Closed => return Err(WireError::Protocol(format!("{:?}", message::decode_close(&body)?))),
            kind => return Err(WireError::Protocol(format!("a producer answered the hello with {kind:?}"))),
        }
        let (out, frames) = mpsc::channel(OUT_QUEUE);
        let connection = Arc::new(Connection {
            peer: producer.clone(),
            out,
            board: CreditBoard::default(),
            channels: Mutex::new(BTreeMap::new()),
            next_channel: AtomicU32::new(1),
            broken: AtomicBool::new(false),
        });
        let (reading, writing) = (connection.clone(), connection.clone());
        weir_world::spawn("data-client", async move {
            let error = tokio::select! {
                error = reading.read(reader) => error,
                error = writing.write(writer, frames, silence / 3) => error,
            };
            reading.fail(&error);
        });
        Ok(connection)
    }
}

/// Credits and releases that wait to be sent to the producer. Slot threads add them without waiting.
#[derive(Default)]
struct CreditBoard {
    pending: Mutex<(BTreeMap<u32, u32>, Vec<u32>)>,
    news: Notify,
}

impl CreditBoard {
    fn grant(&self, channel: u32, credits: u32) {
        *self.lock().0.entry(channel).or_default() += credits;
        self.news.notify_one();
    }

    fn release(&self, channel: u32) {
        let mut pending = self.lock();
        pending.0.remove(&channel);
        pending.1.push(channel);
        drop(pending);
        self.news.notify_one();
    }

    fn drain(&self) -> Vec<OutFrame> {
        let (credits, releases) = std::mem::take(&mut *self.lock());
        let grant = |(channel, credits)| {
            let body = Bytes::copy_from_slice(&message::encode_credit(credits));
            OutFrame::new(FrameKind::Credit, channel, 0, 0, body)
        };
        let release = |channel| OutFrame::new(FrameKind::Release, channel, 0, 0, Bytes::new());
        credits.into_iter().map(grant).chain(releases.into_iter().map(release)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, (BTreeMap<u32, u32>, Vec<u32>)> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Receiving {
    channel: Arc<Channel>,
    tag: u32,
    next_sequence: u64,
    opened: Option<oneshot::Sender<Result<(), String>>>,
    /// Elements that the producer may still send.
    credits: Arc<AtomicI64>,
    codec: BatchCodec,
}

struct Connection {
    peer: TaskManagerId,
    out: mpsc::Sender<OutFrame>,
    board: CreditBoard,
    channels: Mutex<BTreeMap<u32, Receiving>>,
    next_channel: AtomicU32,
    broken: AtomicBool,
}

impl Connection {
    fn is_broken(&self) -> bool {
        self.broken.load(Ordering::Acquire)
    }

    fn channels(&self) -> MutexGuard<'_, BTreeMap<u32, Receiving>> {
        self.channels.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fail(&self, error: &WireError) {
        self.broken.store(true, Ordering::Release);
        let channels = std::mem::take(&mut *self.channels());
        if !channels.is_empty() || error.is_strange() {
            tracing::warn!(peer = %self.peer, %error, channels = channels.len(), "lost a data connection");
        }
        for mut receiving in channels.into_values() {
            let reason = format!("lost channel to {}: {error}", self.peer);
            if let Some(opened) = receiving.opened.take() {
                let _ = opened.send(Err(reason.clone()));
            }
            receiving.channel.close(Closure::Lost(reason));
        }
    }

    async fn read(&self, mut reader: FrameReader<ReadHalf>) -> WireError {
        loop {
            let received = match reader.next().await {
                Ok((header, body)) => self.receive(header, body),
                Err(error) => Err(error),
            };
            if let Err(error) = received {
                return error;
            }
        }
    }

    async fn write(&self, mut writer: FrameWriter<WriteHalf>, mut frames: mpsc::Receiver<OutFrame>, ping: Duration) -> WireError {
        loop {
            let batch = tokio::select! {
                frame = frames.recv() => match frame {
                    Some(frame) => vec![frame],
                    None => return WireError::Protocol("the connection is no longer needed".into()),
                },
                () = self.board.news.notified() => self.board.drain(),
                () = tokio::time::sleep(ping) => vec![OutFrame::ping()],
            };
            for frame in &batch {
                if let Err(error) = writer.write(frame).await {
                    return error;
                }
            }
            if let Err(error) = writer.flush().await {
                return error;
            }
        }
    }

    fn receive(&self, header: FrameHeader, body: Bytes) -> Result<(), WireError> {
        let mut channels = self.channels();
        // The channel was just released, so its frames in flight are ignored.
        let Some(receiving) = channels.get_mut(&header.channel) else { return Ok(()) };
        if header.tag != receiving.tag {
            return Err(WireError::Protocol(format!("channel {} carries another attempt's frames", header.channel)));
        }
        match header.kind {
            FrameKind::Opened => {
                if let Some(opened) = receiving.opened.take() {
                    let _ = opened.send(Ok(()));
                }
                return Ok(());
            }
            FrameKind::Closed => {
                let reason = message::decode_close(&body)?;
                if let (Some(opened), CloseReason::Refused(reason) | CloseReason::ProducerStopped(reason)) =
                    (receiving.opened.take(), &reason)
                {
                    let _ = opened.send(Err(reason.clone()));
                }
                receiving.channel.close(match reason {
                    CloseReason::Finished => Closure::Finished,
                    CloseReason::ProducerStopped(reason) => Closure::ProducerStopped(reason),
                    CloseReason::Refused(reason) => Closure::Lost(reason),
                });
                return Ok(());
            }
            _ => {}
        }
        if header.sequence != receiving.next_sequence {
            return Err(WireError::Protocol(format!(
                "NET-SEQUENCE: channel {}: element {} instead of {}",
                header.channel, header.sequence, receiving.next_sequence
            )));
        }
        receiving.next_sequence += 1;
        if receiving.credits.fetch_sub(1, Ordering::AcqRel) <= 0 {
            return Err(WireError::Protocol(format!("channel {} sends without credits", header.channel)));
        }
        let (channel, codec) = (receiving.channel.clone(), receiving.codec.clone());
        drop(channels);
        let length = body.len();
        let element = element::decode(header.kind, body, &codec)?;
        metrics::network_bytes_received(length);
        let bytes = if header.kind == FrameKind::Batch { length } else { 0 };
        channel.push(element, bytes);
        Ok(())
    }
}
