//! turmoil's network as the seam wants it.
//!
//! turmoil tells a lost SYN and a port nobody listens at by the same error. The detector of crashed leaders rests on the
//! difference, so who listens, which machines are up and which links are cut is kept here as well: a SYN into a cut link is
//! repeated until the caller gives up, and a dead process on a machine that is up refuses at once.

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
use weir_world::simulation::{Answer, SimulatedListener, SimulatedStream};

use weir_verdict::random::Random;

/// Where JobManagers serve REST.
pub const REST_PORT: u16 = 8081;
/// Between two SYNs.
const RETRANSMISSION: Duration = Duration::from_millis(50);
/// Until a machine whose process is gone has said so.
const REFUSAL: Duration = Duration::from_millis(1);
/// Where bits flip, one does in one of so many pieces of what is received.
const ONE_IN: u64 = 50;

/// The network. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Network {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    /// Whose runtime is whose; the newest last.
    runtimes: Vec<(Id, String)>,
    listening: BTreeSet<(String, u16)>,
    cut: BTreeSet<(String, String)>,
    /// Machines without power.
    down: BTreeSet<String>,
    /// Hosts that receive something else than was sent, and what decides which bits flip.
    spoiling: BTreeMap<String, Random>,
    flipped: u64,
}

impl Network {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Called first by every process: from now on the calling runtime is this host's.
    pub fn enter(&self, host: &str) {
        self.state().runtimes.push((Handle::current().id(), host.to_owned()));
    }

    /// The calling host; empty outside of all hosts.
    pub fn current(&self) -> String {
        let Ok(handle) = Handle::try_current() else { return String::new() };
        let state = self.state();
        let own = state.runtimes.iter().rev().find(|(id, _)| *id == handle.id());
        own.map_or_else(String::new, |(_, host)| host.clone())
    }

    /// Cuts, or mends, the way from one host to another. turmoil is told separately.
    pub fn set_cut(&self, from: &str, to: &str, cut: bool) {
        let link = (from.to_owned(), to.to_owned());
        let mut state = self.state();
        if cut {
            state.cut.insert(link);
        } else {
            state.cut.remove(&link);
        }
    }

    /// Whether the way is cut.
    pub fn is_cut(&self, from: &str, to: &str) -> bool {
        self.state().cut.contains(&(from.to_owned(), to.to_owned()))
    }

    /// Whether a machine has power; one that has refuses connections to processes that are gone.
    pub fn set_power(&self, host: &str, on: bool) {
        let mut state = self.state();
        if on {
            state.down.remove(host);
        } else {
            state.down.insert(host.to_owned());
        }
    }

    /// From now on, bits of what a host receives flip, or don't.
    pub fn set_spoiling(&self, host: &str, random: Option<Random>) {
        let mut state = self.state();
        match random {
            Some(random) => state.spoiling.insert(host.to_owned(), random),
            None => state.spoiling.remove(host),
        };
    }

    /// How many bits have flipped so far.
    pub fn flipped(&self) -> u64 {
        self.state().flipped
    }

    /// What becomes of something that a host receives.
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

    /// See `Simulation::bind`.
    pub fn bind(&self, port: u16) -> io::Result<Box<dyn SimulatedListener>> {
        let bound = turmoil::net::TcpListener::bind(("0.0.0.0", port)).now_or_never();
        let listener = bound.ok_or_else(|| io::Error::other("turmoil binds at once"))??;
        let (host, address) = (self.current(), listener.local_addr()?);
        self.state().listening.insert((host.clone(), address.port()));
        Ok(Box::new(Listener { listener, address, host, network: self.clone() }))
    }

    /// See `Simulation::connect`.
    pub fn connect(&self, address: &str) -> Answer<'static, io::Result<Box<dyn SimulatedStream>>> {
        let (network, from, address) = (self.clone(), self.current(), address.to_owned());
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
                        // The SYN was lost on its way, or the process ended meanwhile.
                        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
                        Err(error) => return Err(error),
                    }
                }
                tokio::time::sleep(RETRANSMISSION).await;
            }
        })
    }
}

/// One end of a connection: turmoil's, but for bits that flip.
struct Connection {
    stream: turmoil::net::TcpStream,
    /// Which knows whether bits flip.
    network: Network,
    /// Whose end it is.
    host: String,
    /// Whether what is said on it has checksums of ours: HTTP has none.
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
