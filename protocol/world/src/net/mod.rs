//! TCP connections, real or simulated.

mod checked;
mod grpc;
mod stream;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures::Stream;

pub use checked::CheckedStream;
pub use grpc::{connect_channel, connect_channel_lazily};
pub use stream::{ReadHalf, TcpStream, WriteHalf};

use crate::simulation::{self, SimulatedListener};

/// Wait before the next accept after one fails, e.g. because the process has no file descriptor left.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// Opens a TCP connection to `host:port`.
pub async fn connect(address: &str) -> io::Result<TcpStream> {
    match simulation::current() {
        Some(simulation) => simulation.connect(address).await.map(TcpStream::simulated),
        #[expect(clippy::disallowed_methods, reason = "this is the seam")]
        None => tokio::net::TcpStream::connect(address).await.map(TcpStream::real),
    }
}

/// A bound, listening socket that no runtime serves yet.
pub struct BoundListener {
    kind: Bound,
}

enum Bound {
    Real(std::net::TcpListener),
    Simulated(Box<dyn SimulatedListener>),
}

impl std::fmt::Debug for BoundListener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundListener").field("at", &self.local_addr().ok()).finish()
    }
}

impl From<std::net::TcpListener> for BoundListener {
    fn from(listener: std::net::TcpListener) -> Self {
        Self { kind: Bound::Real(listener) }
    }
}

impl BoundListener {
    /// Listens at `host:port`; port 0 takes a free one. A simulated host listens at all of its addresses.
    pub fn bind(address: &str) -> io::Result<Self> {
        let Some(simulation) = simulation::current() else {
            return std::net::TcpListener::bind(address).map(Self::from);
        };
        let port = address.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        let port = port.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the address is not host:port"))?;
        Ok(Self { kind: Bound::Simulated(simulation.bind(port)?) })
    }

    /// The address on which the socket listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.kind {
            Bound::Real(listener) => listener.local_addr(),
            Bound::Simulated(listener) => Ok(listener.local_addr()),
        }
    }

    /// Makes the socket accept connections on the calling runtime.
    pub fn serve(self) -> io::Result<TcpListener> {
        let kind = match self.kind {
            Bound::Real(listener) => {
                listener.set_nonblocking(true)?;
                #[expect(clippy::disallowed_methods, reason = "this is the seam")]
                Listening::Real(tokio::net::TcpListener::from_std(listener)?)
            }
            Bound::Simulated(listener) => Listening::Simulated(listener),
        };
        Ok(TcpListener { kind })
    }
}

/// A socket that accepts connections.
pub struct TcpListener {
    kind: Listening,
}

enum Listening {
    Real(tokio::net::TcpListener),
    Simulated(Box<dyn SimulatedListener>),
}

impl TcpListener {
    /// The address on which the socket listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.kind {
            Listening::Real(listener) => listener.local_addr(),
            Listening::Simulated(listener) => Ok(listener.local_addr()),
        }
    }

    /// Accepts the next connection and returns it with the address of its peer.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.kind {
            Listening::Real(listener) => listener.accept().await.map(|(stream, from)| (TcpStream::real(stream), from)),
            Listening::Simulated(listener) => listener.accept().await.map(|(stream, from)| (TcpStream::simulated(stream), from)),
        }
    }

    /// Accepts the next connection and disables Nagle's delay. If accepting fails, logs the error and retries after a wait.
    pub async fn accept_patiently(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.accept().await {
                Ok((stream, from)) => {
                    stream.disable_delay();
                    return (stream, from);
                }
                // The peer closed the connection before it was accepted.
                Err(error) if is_of_connection(error.kind()) => {}
                Err(error) => {
                    tracing::error!(%error, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// All incoming connections as [`CheckedStream`]s, for gRPC.
    pub fn incoming(self) -> impl Stream<Item = io::Result<CheckedStream>> + Send {
        futures::stream::unfold(self, |listener| async move {
            let accepted = listener.accept().await.map(|(stream, from)| {
                stream.disable_delay();
                CheckedStream::new(stream, from.to_string())
            });
            Some((accepted, listener))
        })
    }
}

fn is_of_connection(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(kind, ConnectionRefused | ConnectionAborted | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_arrive_in_both_directions_until_each_ends() {
        let listener = BoundListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let listener = listener.serve().unwrap();
        let (client, (mut server, _)) = tokio::join!(connect(&address), listener.accept_patiently());
        let (mut read, mut write) = client.unwrap().into_split();
        write.write_all(b"question").await.unwrap();
        write.shutdown().await.unwrap();
        let mut heard = Vec::new();
        server.read_to_end(&mut heard).await.unwrap();
        assert_eq!(heard, b"question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut answer = Vec::new();
        read.read_to_end(&mut answer).await.unwrap();
        assert_eq!(answer, b"answer");
    }

    #[tokio::test]
    async fn connecting_to_an_address_without_a_listener_is_refused() {
        let free = BoundListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let error = connect(&free).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
