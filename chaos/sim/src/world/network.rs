//! turmoil's network behind the interface that the product uses.
//!
//! turmoil reports a lost SYN and a port without a listener by the same error, but the detector of crashed leaders needs the
//! difference. So this module also records the listeners, the machines that are up and the links that are cut. A SYN into a cut
//! link is retried until the caller times out. If a process is dead but its machine is up, the machine refuses at once.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::FutureExt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::runtime::{Handle, Id};
use tracing_subscriber::Layer;
use weir_world::simulation::{Answer, SimulatedListener, SimulatedStream};

use weir_verdict::random::Random;

/// Port of the JobManagers' REST service.
pub const REST_PORT: u16 = 8081;
/// Time between two SYNs of a connection.
const RETRANSMISSION: Duration = Duration::from_millis(50);
/// Time until a machine has refused a connection to a dead process.
const REFUSAL: Duration = Duration::from_millis(1);
/// On a host where bits flip, one of this many received pieces gets a flipped bit.
const ONE_IN: u64 = 50;

/// The network between all hosts. Clones share their state.
#[derive(Debug, Clone, Default)]
pub struct Network {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// The host of each runtime, the newest last.
    runtimes: Vec<(Id, String)>,
    listening: BTreeSet<(String, u16)>,
    cut: BTreeSet<(String, String)>,
    /// Hosts without power.
    down: BTreeSet<String>,
    /// Hosts that receive flipped bits, and the generator that chooses the bits.
    spoiling: BTreeMap<String, Random>,
    flipped: u64,
    /// Number of lines that each process logged, and of connections that it tried to open, by host.
    log_lines: BTreeMap<String, u64>,
    connections: BTreeMap<String, u64>,
}

/// The host of the client, which is no part of the product.
pub const CLIENT: &str = "client";

fn most(counts: &BTreeMap<String, u64>) -> u64 {
    counts.iter().filter(|(host, _)| *host != CLIENT).map(|(_, count)| *count).max().unwrap_or_default()
}

impl Network {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that the calling runtime belongs to this host. Every process must call this first.
    pub fn enter(&self, host: &str) {
        self.state().runtimes.push((Handle::current().id(), host.to_owned()));
    }

    /// Returns the host of the calling runtime. Outside of all hosts the name is empty.
    pub fn current(&self) -> String {
        let Ok(handle) = Handle::try_current() else { return String::new() };
        let state = self.state();
        let own = state.runtimes.iter().rev().find(|(id, _)| *id == handle.id());
        own.map_or_else(String::new, |(_, host)| host.clone())
    }

    /// Cuts or repairs the direction from one host to another. The caller must tell turmoil, too.
    pub fn set_cut(&self, from: &str, to: &str, cut: bool) {
        let link = (from.to_owned(), to.to_owned());
        let mut state = self.state();
        if cut {
            state.cut.insert(link);
        } else {
            state.cut.remove(&link);
        }
    }

    /// Returns whether the direction from one host to another is cut.
    pub fn is_cut(&self, from: &str, to: &str) -> bool {
        self.state().cut.contains(&(from.to_owned(), to.to_owned()))
    }

    /// Sets whether a machine has power. Only a machine with power refuses connections to a dead process.
    pub fn set_power(&self, host: &str, on: bool) {
        let mut state = self.state();
        if on {
            state.down.remove(host);
        } else {
            state.down.insert(host.to_owned());
        }
    }

    /// Sets whether bits flip in what a host receives, from now on. `None`: no bits flip.
    pub fn set_spoiling(&self, host: &str, random: Option<Random>) {
        let mut state = self.state();
        match random {
            Some(random) => state.spoiling.insert(host.to_owned(), random),
            None => state.spoiling.remove(host),
        };
    }

    /// Returns how many bits have flipped so far.
    pub fn flipped(&self) -> u64 {
        self.state().flipped
    }

    /// Counts a line that the calling host logged.
    fn note_log_line(&self) {
        let host = self.current();
        if !host.is_empty() {
            *self.state().log_lines.entry(host).or_default() += 1;
        }
    }

    /// Returns the number of log lines of the process that logged most.
    pub fn most_log_lines(&self) -> u64 {
        most(&self.state().log_lines)
    }

    /// Returns the number of connections that one process tried to open, whichever tried most.
    pub fn most_connections(&self) -> u64 {
        most(&self.state().connections)
    }

    /// Flips a bit of what a host received, now and then, if its links are spoilt.
    fn spoil(&self, host: &str, received: &mut [u8]) {
        let mut state = self.state();
        let Some(random) = state.spoiling.get(host) else { return };
        if !received.is_empty() && random.between(0, ONE_IN) == 0 {
            let at = random.between(0, received.len() as u64) as usize;
            received[at] ^= 1 << random.between(0, 8);
            state.flipped += 1;
        }
    }

    fn connection(&self, stream: turmoil::net::TcpStream, host: &str, port: u16) -> Box<dyn SimulatedStream> {
        let (network, host) = (self.clone(), host.to_owned());
        Box::new(Connection { stream, network, host, has_checksums: port != REST_PORT })
    }

    fn reachable(&self, from: &str, to: &str) -> bool {
        let state = self.state();
        let cut = |a: &str, b: &str| state.cut.contains(&(a.to_owned(), b.to_owned()));
        !cut(from, to) && !cut(to, from) && !state.down.contains(to)
    }

    fn listens(&self, host: &str, port: u16) -> bool {
        self.state().listening.contains(&(host.to_owned(), port))
    }

    /// Implements `Simulation::bind`: listens on the calling host.
    pub fn bind(&self, port: u16) -> io::Result<Box<dyn SimulatedListener>> {
        let bound = turmoil::net::TcpListener::bind(("0.0.0.0", port)).now_or_never();
        let listener = bound.ok_or_else(|| io::Error::other("turmoil did not bind at once"))??;
        let (host, address) = (self.current(), listener.local_addr()?);
        self.state().listening.insert((host.clone(), address.port()));
        Ok(Box::new(Listener { listener, address, host, network: self.clone() }))
    }

    /// Implements `Simulation::connect`: connects the calling host.
    pub fn connect(&self, address: &str) -> Answer<'static, io::Result<Box<dyn SimulatedStream>>> {
        let (network, from, address) = (self.clone(), self.current(), address.to_owned());
        *self.state().connections.entry(from.clone()).or_default() += 1;
        Box::pin(async move {
            let parts = address.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse::<u16>().ok()?)));
            let (to, port) = parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "not host:port"))?;
            loop {
                if network.reachable(&from, to) {
                    if !network.listens(to, port) {
                        tokio::time::sleep(REFUSAL).await;
                        return Err(io::Error::new(io::ErrorKind::ConnectionRefused, address.clone()));
                    }
                    match turmoil::net::TcpStream::connect((to, port)).await {
                        Ok(stream) => return Ok(network.connection(stream, &from, port)),
                        // The SYN was lost in flight, or the process has ended in the meantime.
                        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                        Err(error) => return Err(error),
                    }
                }
                tokio::time::sleep(RETRANSMISSION).await;
            }
        })
    }
}

/// A layer that counts the log lines of each process that an operator sees by default. (`weir/src/logging.rs` has the filter.)
#[derive(Debug)]
pub struct LogLines(pub Network);

impl<S: tracing::Subscriber> Layer<S> for LogLines {
    fn on_event(&self, event: &tracing::Event<'_>, _: tracing_subscriber::layer::Context<'_, S>) {
        let shown = match event.metadata().target().split("::").next() {
            Some("openraft") => tracing::Level::ERROR,
            Some("h2" | "hyper" | "tonic") => tracing::Level::WARN,
            _ => tracing::Level::INFO,
        };
        if *event.metadata().level() <= shown {
            self.0.note_log_line();
        }
    }
}

/// One end of a turmoil connection, in whose input bits may flip.
struct Connection {
    stream: turmoil::net::TcpStream,
    network: Network,
    /// The host at this end.
    host: String,
    /// Whether our checksums protect the connection. They do not protect HTTP, so no bits flip there.
    has_checksums: bool,
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        if self.has_checksums {
            self.network.spoil(&self.host, &mut buffer.filled_mut()[before..]);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

struct Listener {
    listener: turmoil::net::TcpListener,
    address: SocketAddr,
    host: String,
    network: Network,
}

impl SimulatedListener for Listener {
    fn local_addr(&self) -> SocketAddr {
        self.address
    }

    fn accept(&self) -> Answer<'_, io::Result<(Box<dyn SimulatedStream>, SocketAddr)>> {
        Box::pin(async move {
            let (stream, from) = self.listener.accept().await?;
            Ok((self.network.connection(stream, &self.host, self.address.port()), from))
        })
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.network.state().listening.remove(&(self.host.clone(), self.address.port()));
    }
}
