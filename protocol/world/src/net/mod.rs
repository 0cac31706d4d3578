//! TCP.

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

/// Between two tries to accept, when the system has no more file descriptors.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);

/// Connects to `host:port`.
pub async fn connect(address: &str) -> io::Result<TcpStream> {
    match simulation::current() {
        Some(simulation) => simulation.connect(address).await.map(TcpStream::simulated),
        #[expect(clippy::disallowed_methods, reason = "this is the seam")]
        None => tokio::net::TcpStream::connect(address).await.map(TcpStream::real),
    }
}

/// A socket that is bound and listens, not yet served by a runtime.
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
        let port = port.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not host:port"))?;
        Ok(Self { kind: Bound::Simulated(simulation.bind(port)?) })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.kind {
            Bound::Real(listener) => listener.local_addr(),
            Bound::Simulated(listener) => Ok(listener.local_addr()),
        }
    }

    /// To be accepted from on the calling runtime.
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
    /// Where it listens.
    pub fn local_addr(&self) -> io::Result<SocketAddr> {
        match &self.kind {
            Listening::Real(listener) => listener.local_addr(),
            Listening::Simulated(listener) => Ok(listener.local_addr()),
        }
    }

    /// The next connection.
    pub async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.kind {
            Listening::Real(listener) => listener.accept().await.map(|(stream, from)| (TcpStream::real(stream), from)),
            Listening::Simulated(listener) => listener.accept().await.map(|(stream, from)| (TcpStream::simulated(stream), from)),
        }
    }

    /// The next connection, without Nagle's delay; a failure is logged and waited for.
    pub async fn accept_patiently(&self) -> (TcpStream, SocketAddr) {
        loop {
            match self.accept().await {
                Ok((stream, from)) => {
                    stream.disable_delay();
                    return (stream, from);
                }
                // The other side gave up before.
                Err(error) if is_of_connection(error.kind()) => {}
                Err(error) => {
                    tracing::error!(%error, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    /// All connections, checked, for gRPC.
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
    async fn what_one_half_sends_the_other_side_receives_until_it_ends() {
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
    async fn nobody_at_the_address_is_told_as_a_refusal() {
        let free = BoundListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let error = connect(&free).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
