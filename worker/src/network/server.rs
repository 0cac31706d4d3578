//! The data service. It sends the channels of this TaskManager's tasks to consumers in other TaskManagers.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::JoinHandle;
use weir_dataflow::codec::BatchCodec;
use weir_dataflow::element::StreamElement;
use weir_protocol::TaskManagerId;
use weir_world::net::{TcpListener, TcpStream};

use super::NetworkOptions;
use super::channel::{Channel, Closure, Polled, Waker};
use super::element::{self, SplitBatch};
use super::frame::FrameKind;
use super::message::{self, CloseReason, Open};
use super::registry::ChannelRegistry;
use super::wire::{FrameReader, FrameWriter, OutFrame, WireError};
use crate::metrics;

/// Most frames that wait for a connection's writer.
const OUT_QUEUE: usize = 16;
/// Most channels over one connection.
const MAX_CHANNELS: usize = 65_536;

/// The data service, with what all its connections share.
#[derive(Debug)]
pub struct DataService {
    pub task_manager: TaskManagerId,
    pub registry: Arc<ChannelRegistry>,
    pub options: NetworkOptions,
}

impl DataService {
    /// Accepts connections from consumers until the future is dropped.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        loop {
            let (stream, _) = listener.accept().await;
            let service = self.clone();
            weir_world::spawn("data-connection", async move {
                match service.connection(stream).await {
                    Err(error) if error.is_strange() => tracing::warn!(%error, "a data connection failed"),
                    Err(error) => tracing::debug!(%error, "a data connection ended"),
                    Ok(()) => {}
                }
            });
        }
    }

    async fn connection(self: Arc<Self>, stream: TcpStream) -> Result<(), WireError> {
        let standing = stream.standing();
        let (read, write) = stream.into_split();
        let silence = self.options.peer_timeout;
        let mut reader = FrameReader::new(read, self.options.max_frame_bytes, silence);
        let mut writer = FrameWriter::new(write, silence);

        let (header, body) = reader.next().await?;
        if header.kind != FrameKind::Hello {
            return Err(WireError::Protocol("the first frame is not a hello".into()));
        }
        let hello = message::decode_hello(&body)?;
        if let Some(standing) = standing {
            standing.prove();
        }
        if hello.producer != self.task_manager {
            let reason = format!("NET-WRONG-TASK-MANAGER: {} was expected, this is {}", hello.producer, self.task_manager);
            let body = message::encode_close(&CloseReason::Refused(reason.clone()));
            writer.write(&OutFrame::new(FrameKind::Closed, 0, 0, 0, body)).await?;
            writer.flush().await?;
            return Err(WireError::Protocol(reason));
        }
        writer.write(&OutFrame::new(FrameKind::Welcome, 0, 0, 0, Bytes::new())).await?;
        writer.flush().await?;

        let (out, frames) = mpsc::channel(OUT_QUEUE);
        let writing = AbortOnDrop(weir_world::spawn("data-writer", write_frames(writer, frames, silence / 3)));
        let mut channels = BTreeMap::new();
        let ended = self.read_requests(&mut reader, &out, &mut channels).await;
        drop(writing);
        ended
    }

    async fn read_requests<R: tokio::io::AsyncRead + Unpin>(
        &self,
        reader: &mut FrameReader<R>,
        out: &mpsc::Sender<OutFrame>,
        channels: &mut BTreeMap<u32, OpenChannel>,
    ) -> Result<(), WireError> {
        loop {
            let (header, body) = reader.next().await?;
            match header.kind {
                FrameKind::Open => {
                    let open = message::decode_open(&body)?;
                    channels.retain(|_, channel| !channel.sending.0.is_finished());
                    if channels.contains_key(&header.channel) || channels.len() >= MAX_CHANNELS {
                        return Err(WireError::Protocol(format!("channel {} can't be opened", header.channel)));
                    }
                    let credits = Arc::new(Semaphore::new(open.credits as usize));
                    let sender = ChannelSender {
                        id: header.channel,
                        open,
                        credits: credits.clone(),
                        registry: self.registry.clone(),
                        options: self.options.clone(),
                        out: out.clone(),
                        sequence: 0,
                        codec: None,
                    };
                    let sending = AbortOnDrop(weir_world::spawn("data-channel", sender.run()));
                    channels.insert(header.channel, OpenChannel { credits, sending });
                }
                FrameKind::Credit => {
                    let granted = message::decode_credit(&body)? as usize;
                    if let Some(channel) = channels.get(&header.channel) {
                        if channel.credits.available_permits().saturating_add(granted) > Semaphore::MAX_PERMITS / 2 {
                            return Err(WireError::Protocol("more credits than can be counted".into()));
                        }
                        channel.credits.add_permits(granted);
                    }
                }
                FrameKind::Release => {
                    channels.remove(&header.channel);
                }
                kind => return Err(WireError::Protocol(format!("a consumer sent an unexpected frame: {kind:?}"))),
            }
        }
    }
}

struct OpenChannel {
    credits: Arc<Semaphore>,
    sending: AbortOnDrop,
}

/// Aborts a task when its owner is dropped.
pub(crate) struct AbortOnDrop(pub(crate) JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn write_frames<W: tokio::io::AsyncWrite + Unpin>(
    mut writer: FrameWriter<W>,
    mut frames: mpsc::Receiver<OutFrame>,
    ping: std::time::Duration,
) {
    loop {
        let frame = match tokio::time::timeout(ping, frames.recv()).await {
            Ok(Some(frame)) => frame,
            Ok(None) => return,
            Err(_) => OutFrame::ping(),
        };
        let mut written = writer.write(&frame).await;
        while let (Ok(()), Ok(next)) = (&written, frames.try_recv()) {
            written = writer.write(&next).await;
        }
        if written.is_err() || writer.flush().await.is_err() {
            // The reader of this connection fails too and ends it.
            return;
        }
    }
}

/// Sends the elements of one channel over the connection, as far as there are credits.
struct ChannelSender {
    id: u32,
    open: Open,
    credits: Arc<Semaphore>,
    registry: Arc<ChannelRegistry>,
    options: NetworkOptions,
    out: mpsc::Sender<OutFrame>,
    sequence: u64,
    /// Created for the first batch.
    codec: Option<BatchCodec>,
}

/// Nothing more can be sent: the connection ended, or the channel was closed.
struct ChannelOver;

impl ChannelSender {
    async fn run(mut self) {
        let taken = self.registry.take(self.open.key, self.open.consumer, self.options.open_timeout).await;
        let _over = match taken {
            Ok(channel) => self.send_all(&channel).await,
            Err(error) => self.close(CloseReason::Refused(error.to_string())).await,
        };
    }

    async fn send_all(&mut self, channel: &Channel) -> Result<(), ChannelOver> {
        let news = Arc::new(Notify::new());
        channel.set_consumer(Waker::Io(news.clone()));
        self.control(FrameKind::Opened, Bytes::new()).await?;
        loop {
            if let Some(closure) = channel.failure() {
                return self.close(reason_of(closure)).await;
            }
            tokio::select! {
                credit = self.credits.acquire() => match credit {
                    Ok(credit) => credit.forget(),
                    Err(_) => return Ok(()),
                },
                () = news.notified() => continue,
            }
            let element = loop {
                match channel.poll().0 {
                    Polled::Element(element) => break element,
                    Polled::Empty => news.notified().await,
                    Polled::Closed(closure) => return self.close(reason_of(closure)).await,
                }
            };
            weir_world::delay_at_times("channel-slow").await;
            self.send(element).await?;
        }
    }

    /// Sends one element, for which a credit was taken. Each further piece of a large batch takes another credit.
    async fn send(&mut self, element: StreamElement) -> Result<(), ChannelOver> {
        let (kind, body) = match element {
            StreamElement::Batch(batch) => return self.send_batch(batch).await,
            StreamElement::Watermark(watermark) => {
                (FrameKind::Watermark, Bytes::copy_from_slice(&message::encode_watermark(watermark)))
            }
            StreamElement::Idle => (FrameKind::Idle, Bytes::new()),
            StreamElement::Barrier(barrier) => (FrameKind::Barrier, message::encode_barrier(&barrier)),
            StreamElement::EndOfInput => (FrameKind::EndOfInput, Bytes::new()),
        };
        self.element(kind, body).await
    }

    async fn send_batch(&mut self, batch: arrow_array::RecordBatch) -> Result<(), ChannelOver> {
        let codec = match &self.codec {
            Some(codec) => codec.clone(),
            None => match BatchCodec::new(batch.schema()) {
                Ok(codec) => self.codec.insert(codec).clone(),
                Err(error) => return self.close(CloseReason::Refused(error.to_string())).await.and(Err(ChannelOver)),
            },
        };
        let mut pieces = vec![batch];
        let mut first = true;
        while let Some(piece) = pieces.pop() {
            match element::encode_batch(&codec, &piece, self.options.max_frame_bytes) {
                Ok(SplitBatch::Whole(body)) => {
                    if !std::mem::take(&mut first) {
                        match self.credits.acquire().await {
                            Ok(credit) => credit.forget(),
                            Err(_) => return Err(ChannelOver),
                        }
                    }
                    self.element(FrameKind::Batch, body).await?;
                }
                Ok(SplitBatch::TooLong(halves)) => pieces.extend(halves.into_iter().rev()),
                Err(error) => return self.close(CloseReason::Refused(error.to_string())).await.and(Err(ChannelOver)),
            }
        }
        Ok(())
    }

    async fn element(&mut self, kind: FrameKind, body: Bytes) -> Result<(), ChannelOver> {
        metrics::network_bytes_sent(body.len());
        let frame = OutFrame::new(kind, self.id, self.sequence, self.open.tag(), body);
        self.sequence += 1;
        self.out.send(frame).await.map_err(|_| ChannelOver)
    }

    async fn close(&self, reason: CloseReason) -> Result<(), ChannelOver> {
        self.control(FrameKind::Closed, message::encode_close(&reason)).await
    }

    async fn control(&self, kind: FrameKind, body: Bytes) -> Result<(), ChannelOver> {
        let frame = OutFrame::new(kind, self.id, 0, self.open.tag(), body);
        self.out.send(frame).await.map_err(|_| ChannelOver)
    }
}

fn reason_of(closure: Closure) -> CloseReason {
    match closure {
        Closure::Finished => CloseReason::Finished,
        Closure::ProducerStopped(reason) => CloseReason::ProducerStopped(reason),
        Closure::Lost(reason) => CloseReason::Refused(reason),
    }
}
