//! Reads and writes frames on a connection. A connection that is silent for too long fails.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader, BufWriter};

use super::frame::{self, FrameError, FrameHeader, FrameKind, HEADER_LENGTH};

/// Bytes buffered for the socket in each direction.
const BUFFER: usize = 64 * 1024;

/// Why a connection ended.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// The socket failed or was closed.
    #[error("NET-CONNECTION: {0}")]
    Io(#[from] std::io::Error),
    /// The received bytes are not a valid frame.
    #[error("{0}")]
    Frame(#[from] FrameError),
    /// The peer sent or took nothing for too long.
    #[error("NET-SILENT: the peer did not respond for {0} ms")]
    Silent(u128),
    /// A frame is well-formed but out of place.
    #[error("NET-PROTOCOL: {0}")]
    Protocol(String),
}

impl WireError {
    /// Whether the cause is more than a closed or failed socket, and so worth a warning.
    pub fn is_strange(&self) -> bool {
        !matches!(self, Self::Io(_))
    }
}

/// The receiving half of a connection.
pub struct FrameReader<R> {
    stream: BufReader<R>,
    limit: u32,
    silence: Duration,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    /// Reads frames of at most `limit` bytes. Fails if no frame arrives within `silence`.
    pub fn new(stream: R, limit: u32, silence: Duration) -> Self {
        Self { stream: BufReader::with_capacity(BUFFER, stream), limit, silence }
    }

    /// Reads and verifies the next frame that is not a ping.
    pub async fn next(&mut self) -> Result<(FrameHeader, Bytes), WireError> {
        loop {
            let read = tokio::time::timeout(self.silence, self.read()).await;
            let (header, body) = read.map_err(|_| WireError::Silent(self.silence.as_millis()))??;
            if header.kind != FrameKind::Ping {
                return Ok((header, body));
            }
        }
    }

    async fn read(&mut self) -> Result<(FrameHeader, Bytes), WireError> {
        let mut head = [0_u8; HEADER_LENGTH];
        self.stream.read_exact(&mut head).await?;
        let header = frame::decode_header(&head, self.limit)?;
        let mut body = BytesMut::zeroed(header.length as usize);
        self.stream.read_exact(&mut body).await?;
        frame::verify(&head, &header, &body)?;
        Ok((header, body.freeze()))
    }
}

/// A frame ready to be written.
#[derive(Debug, Clone)]
pub struct OutFrame {
    header: [u8; HEADER_LENGTH],
    body: Bytes,
}

impl OutFrame {
    /// Creates a frame with this body.
    pub fn new(kind: FrameKind, channel: u32, sequence: u64, tag: u32, body: Bytes) -> Self {
        Self { header: frame::encode_header(kind, channel, sequence, tag, &body), body }
    }

    /// A frame that only shows that this process is alive.
    pub fn ping() -> Self {
        Self::new(FrameKind::Ping, 0, 0, 0, Bytes::new())
    }
}

/// The sending half of a connection.
pub struct FrameWriter<W> {
    stream: BufWriter<W>,
    deadline: Duration,
}

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    /// Writes frames. Fails if a frame can't be written within `deadline`.
    pub fn new(stream: W, deadline: Duration) -> Self {
        Self { stream: BufWriter::with_capacity(BUFFER, stream), deadline }
    }

    /// Writes a frame into the buffer.
    pub async fn write(&mut self, frame: &OutFrame) -> Result<(), WireError> {
        let write = async {
            self.stream.write_all(&frame.header).await?;
            self.stream.write_all(&frame.body).await
        };
        let written = tokio::time::timeout(self.deadline, write).await;
        Ok(written.map_err(|_| WireError::Silent(self.deadline.as_millis()))??)
    }

    /// Sends the buffered frames.
    pub async fn flush(&mut self) -> Result<(), WireError> {
        let flushed = tokio::time::timeout(self.deadline, self.stream.flush()).await;
        Ok(flushed.map_err(|_| WireError::Silent(self.deadline.as_millis()))??)
    }
}
