//! TCP connections, real or simulated.

mod admission;
mod checked;
mod grpc;
mod standing;
mod stream;

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::Stream;

pub use checked::CheckedStream;
pub use grpc::{connect_channel, connect_channel_lazily};
pub use standing::{Busy, ConnectionLimits, Standing};
pub use stream::{ReadHalf, TcpStream, WriteHalf};

use self::standing::Door;
use crate::simulation::{self, SimulatedListener};

/// Wait before the next accept after one fails, e.g. because the process has no file descriptor left.
const ACCEPT_RETRY: Duration = Duration::from_secs(1);
/// How many refused connections stay open for a moment, so that their clients can read the refusal.
const LINGERING: usize = 8;

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

    /// Makes the socket accept connections on the calling runtime, within these limits.
    pub fn serve(self, limits: ConnectionLimits) -> io::Result<TcpListener> {
        let kind = match self.kind {
            Bound::Real(listener) => {
                listener.set_nonblocking(true)?;
                #[expect(clippy::disallowed_methods, reason = "this is the seam")]
                Listening::Real(tokio::net::TcpListener::from_std(listener)?)
            }
            Bound::Simulated(listener) => Listening::Simulated(listener),
        };
        let door = Arc::new(Door::new(&limits));
        Ok(TcpListener { kind, limits, door, refused: Mutex::default(), is_full: AtomicBool::new(false) })
    }
}

/// A socket that accepts connections, and closes those that are idle for too long.
pub struct TcpListener {
    kind: Listening,
    limits: ConnectionLimits,
    door: Arc<Door>,
    refused: Mutex<VecDeque<TcpStream>>,
    /// Whether the last connection was refused.
    is_full: AtomicBool,
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

    /// Accepts the next connection for which there is room, disables Nagle's delay, and returns it with the address of its peer.
    /// If accepting fails, logs the error and retries. Idle connections are closed only while a caller waits here.
    pub async fn accept(&self) -> (TcpStream, SocketAddr) {
        loop {
            let accepted = tokio::select! {
                biased;
                accepted = self.accept_any() => accepted,
                () = self.door.close_overdue() => continue,
            };
            match accepted {
                Ok((stream, from)) => {
                    stream.disable_delay();
                    match self.door.admit() {
                        Some(standing) => {
                            self.is_full.store(false, Ordering::Relaxed);
                            return (stream.with(standing), from);
                        }
                        None => self.refuse(stream, from),
                    }
                }
                // The peer closed the connection before it was accepted.
                Err(error) if is_of_connection(error.kind()) => {}
                // Most likely the process has no file descriptor left. An idle connection may give one back.
                Err(error) if self.door.evict() => {
                    tracing::warn!(%error, "can't accept a connection: closed an idle one");
                    tokio::task::yield_now().await;
                }
                Err(error) => {
                    tracing::error!(%error, "can't accept a connection");
                    tokio::time::sleep(ACCEPT_RETRY).await;
                }
            }
        }
    }

    async fn accept_any(&self) -> io::Result<(TcpStream, SocketAddr)> {
        match &self.kind {
            Listening::Real(listener) => listener.accept().await.map(|(stream, from)| (TcpStream::real(stream), from)),
            Listening::Simulated(listener) => listener.accept().await.map(|(stream, from)| (TcpStream::simulated(stream), from)),
        }
    }

    /// Tells a client that there is no room. If its connection were closed at once, the system could drop the text unread.
    fn refuse(&self, stream: TcpStream, from: SocketAddr) {
        if !self.is_full.swap(true, Ordering::Relaxed) {
            let most = self.limits.most;
            tracing::warn!(%from, most, "refusing connections: all connections of this port are in use");
        }
        stream.say_once(self.limits.refusal);
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        refused.push_back(stream);
        if refused.len() > LINGERING {
            refused.pop_front();
        }
    }

    /// All incoming connections as [`CheckedStream`]s, for gRPC.
    pub fn incoming(self) -> impl Stream<Item = io::Result<CheckedStream>> + Send {
        futures::stream::unfold(self, |listener| async move {
            let (stream, from) = listener.accept().await;
            Some((Ok(CheckedStream::accepted(stream, from.to_string())), listener))
        })
    }
}

fn is_of_connection(kind: io::ErrorKind) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(kind, ConnectionRefused | ConnectionAborted | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use futures::StreamExt;
    use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn bytes_arrive_in_both_directions_until_each_ends() {
        let listener = BoundListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let listener = listener.serve(ConnectionLimits::processes(4)).unwrap();
        let (client, (mut server, _)) = tokio::join!(connect(&address), listener.accept());
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

    /// Few connections, so that a test can use them up, and little patience.
    fn limits(most: usize, patience_ms: u64) -> ConnectionLimits {
        let patience = Duration::from_millis(patience_ms);
        ConnectionLimits { most, patience, silence: patience * 1_000, ..ConnectionLimits::http(4) }
    }

    /// Serves whole lines: a line is a request, and its answer is the same line. Ends when `serve` is dropped.
    async fn echo(listener: &TcpListener) {
        let mut served = futures::stream::FuturesUnordered::new();
        loop {
            tokio::select! {
                (stream, _) = listener.accept() => served.push(async move {
                    let standing = stream.standing().unwrap();
                    let (read, mut write) = stream.into_split();
                    let mut lines = tokio::io::BufReader::new(read).lines();
                    while let Ok(Some(line)) = lines.next_line().await {
                        let _busy = standing.busy();
                        if line == "hold" {
                            std::future::pending::<()>().await;
                        }
                        write.write_all(format!("{line}\n").as_bytes()).await.unwrap();
                    }
                }),
                Some(()) = served.next() => {}
            }
        }
    }

    async fn heard(stream: &mut TcpStream) -> Vec<u8> {
        let mut heard = Vec::new();
        // A refused or evicted connection may also end with a reset.
        let _ = stream.read_to_end(&mut heard).await;
        heard
    }

    #[tokio::test]
    async fn silent_connections_are_closed_and_so_are_those_that_send_a_byte_at_a_time() {
        let listener = BoundListener::bind("127.0.0.1:0").unwrap().serve(limits(100, 50)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let clients = async {
            let mut silent = Vec::new();
            for _ in 0..50 {
                silent.push(connect(&address).await.unwrap());
            }
            let mut slow = connect(&address).await.unwrap();
            // Ends once the other side has closed the connection.
            while slow.write_all(b"x").await.is_ok() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            for mut stream in silent {
                assert_eq!(heard(&mut stream).await, b"");
            }
        };
        tokio::select! {
            () = echo(&listener) => {}
            () = clients => {}
        }
    }

    #[tokio::test]
    async fn a_flood_of_silent_connections_keeps_no_client_out() {
        let listener = BoundListener::bind("127.0.0.1:0").unwrap().serve(limits(4, 600_000)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let clients = async {
            let mut silent = Vec::new();
            for _ in 0..20 {
                silent.push(connect(&address).await.unwrap());
            }
            let mut client = connect(&address).await.unwrap();
            let mut answer = [0; 3];
            client.write_all(b"hi\n").await.unwrap();
            client.read_exact(&mut answer).await.unwrap();
            assert_eq!(&answer, b"hi\n");
        };
        tokio::select! {
            () = echo(&listener) => {}
            () = clients => {}
        }
    }

    #[tokio::test]
    async fn if_every_connection_has_a_request_a_further_one_is_refused_and_told_so() {
        let listener = BoundListener::bind("127.0.0.1:0").unwrap().serve(limits(2, 600_000)).unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let clients = async {
            let mut held = Vec::new();
            for _ in 0..2 {
                let mut stream = connect(&address).await.unwrap();
                stream.write_all(b"hold\n").await.unwrap();
                held.push(stream);
            }
            // The server may not have read the requests yet. Then a further connection displaces one of the two.
            loop {
                let mut further = connect(&address).await.unwrap();
                let mut first = [0; 12];
                if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(200), further.read_exact(&mut first)).await {
                    assert_eq!(&first, b"HTTP/1.1 503");
                    break;
                }
                let _ = further.write_all(b"hold\n").await;
                held.push(further);
            }
            assert!(listener.door.admit().is_none());
            drop(held);
        };
        tokio::select! {
            () = echo(&listener) => {}
            () = clients => {}
        }
    }

    #[tokio::test]
    async fn connecting_to_an_address_without_a_listener_is_refused() {
        let free = BoundListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
        let error = connect(&free).await.err().unwrap();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionRefused);
    }
}
