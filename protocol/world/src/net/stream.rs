//! A TCP connection and its two halves.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

use super::Standing;
use crate::simulation::SimulatedStream;

type Simulated = Box<dyn SimulatedStream>;

/// A TCP connection, real or simulated.
pub struct TcpStream {
    kind: Kind,
    /// `None` for a connection that this process opened.
    standing: Option<Arc<Standing>>,
}

enum Kind {
    Real(tokio::net::TcpStream),
    Simulated(Simulated),
}

/// The receiving half of a connection.
pub struct ReadHalf {
    kind: ReadKind,
    /// `None` for a connection that this process opened.
    standing: Option<Arc<Standing>>,
}

enum ReadKind {
    Real(OwnedReadHalf),
    Simulated(tokio::io::ReadHalf<Simulated>),
}

/// The sending half of a connection.
pub struct WriteHalf {
    kind: WriteKind,
    /// `None` for a connection that this process opened.
    standing: Option<Arc<Standing>>,
}

enum WriteKind {
    Real(OwnedWriteHalf),
    Simulated(tokio::io::WriteHalf<Simulated>),
}

impl TcpStream {
    pub(super) fn real(stream: tokio::net::TcpStream) -> Self {
        Self { kind: Kind::Real(stream), standing: None }
    }

    pub(super) fn simulated(stream: Simulated) -> Self {
        Self { kind: Kind::Simulated(stream), standing: None }
    }

    pub(super) fn with(self, standing: Arc<Standing>) -> Self {
        Self { standing: Some(standing), ..self }
    }

    /// The standing of an accepted connection with its listener. `None` for a connection that this process opened.
    pub fn standing(&self) -> Option<Arc<Standing>> {
        self.standing.clone()
    }

    /// Sends a short text if that is possible without a wait, and no more after it.
    pub(super) fn say_once(&self, text: &[u8]) {
        if let Kind::Real(stream) = &self.kind
            && !text.is_empty()
        {
            // The client sees a closed connection otherwise, which it must expect anyway.
            let _ = stream.try_write(text);
        }
    }

    /// Sets `TCP_NODELAY`: if true, small writes are sent at once.
    pub fn set_nodelay(&self, nodelay: bool) -> io::Result<()> {
        match &self.kind {
            Kind::Real(stream) => stream.set_nodelay(nodelay),
            Kind::Simulated(_) => Ok(()),
        }
    }

    pub(super) fn disable_delay(&self) {
        if let Err(error) = self.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    }

    /// Splits the connection. When the sending half is dropped, the peer sees the end of the stream. When both halves are
    /// dropped, the connection closes.
    pub fn into_split(self) -> (ReadHalf, WriteHalf) {
        let (read, write) = match self.kind {
            Kind::Real(stream) => {
                let (read, write) = stream.into_split();
                (ReadKind::Real(read), WriteKind::Real(write))
            }
            Kind::Simulated(stream) => {
                let (read, write) = tokio::io::split(stream);
                (ReadKind::Simulated(read), WriteKind::Simulated(write))
            }
        };
        (ReadHalf { kind: read, standing: self.standing.clone() }, WriteHalf { kind: write, standing: self.standing })
    }
}

/// Forwards a method to the real or the simulated stream.
macro_rules! pass_on {
    ($self:ident, $kinds:ident, $stream:ident => $call:expr) => {
        match &mut $self.kind {
            $kinds::Real(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            $kinds::Simulated(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

macro_rules! reads {
    ($stream:ident, $kinds:ident) => {
        impl AsyncRead for $stream {
            fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
                let read = pass_on!(self, $kinds, stream => stream.poll_read(cx, buffer));
                match &self.standing {
                    Some(standing) => standing.watch_read(cx, read),
                    None => read,
                }
            }
        }
    };
}

macro_rules! writes {
    ($stream:ident, $kinds:ident) => {
        impl $stream {
            fn watched<T>(&self, cx: &Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
                match &self.standing {
                    Some(standing) => standing.watch_write(cx, written),
                    None => written,
                }
            }
        }

        impl AsyncWrite for $stream {
            fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
                let written = pass_on!(self, $kinds, stream => stream.poll_write(cx, bytes));
                self.watched(cx, written)
            }

            fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                pass_on!(self, $kinds, stream => stream.poll_flush(cx))
            }

            fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
                pass_on!(self, $kinds, stream => stream.poll_shutdown(cx))
            }

            fn poll_write_vectored(
                mut self: Pin<&mut Self>,
                cx: &mut Context<'_>,
                parts: &[io::IoSlice<'_>],
            ) -> Poll<io::Result<usize>> {
                let written = pass_on!(self, $kinds, stream => stream.poll_write_vectored(cx, parts));
                self.watched(cx, written)
            }

            fn is_write_vectored(&self) -> bool {
                match &self.kind {
                    $kinds::Real(stream) => stream.is_write_vectored(),
                    $kinds::Simulated(_) => false,
                }
            }
        }
    };
}

reads!(TcpStream, Kind);
reads!(ReadHalf, ReadKind);
writes!(TcpStream, Kind);
writes!(WriteHalf, WriteKind);
