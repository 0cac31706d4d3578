//! Proxies between the processes of a cluster. If a process opens a TCP connection to another one, nftables redirects it to a
//! proxy in the namespace of the first process. The proxy connects to the original destination. Neither end notices this until a
//! fault is set.

use std::fs::File;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use nix::libc;
use nix::sched::{CloneFlags, setns};
use nix::sys::socket::{self, AddressFamily, SockFlag, SockType, SockaddrIn, connect, getsockopt, setsockopt, sockopt};
use weir_verdict::random::Random;
use weir_world::err_line;

use super::network::Network;

/// How long a pump waits for bytes before it checks whether it must end.
const LOOK: Duration = Duration::from_millis(20);
const BUFFER: usize = 64 << 10;
/// One in this many chunks resets its connection, or has a bit flipped.
const ONE_IN: u64 = 8;

/// A fault, and the connections that it concerns.
#[derive(Debug, Clone)]
pub struct LinkFault {
    pub what: What,
    pub concerned: Concerned,
}

/// A kind of fault on connections.
#[derive(Debug, Clone, Copy)]
pub enum What {
    /// Data arrives later: by `least`, and by up to `jitter` more.
    Delay {
        least: Duration,
        /// The largest additional delay.
        jitter: Duration,
    },
    /// Sometimes, the connection is reset (RST) after half of a chunk.
    Reset,
    /// Sometimes, a bit is flipped.
    Corrupt,
}

/// The connections that a fault concerns.
#[derive(Debug, Clone)]
pub enum Concerned {
    /// Connections from or to this host.
    Host(Ipv4Addr),
    /// Connections from one of these hosts to another.
    Between(Vec<Ipv4Addr>),
    /// Connections to one of these listeners.
    To(Vec<SocketAddrV4>),
}

/// The two ends of a connection: the host that opened it, and its destination.
#[derive(Debug, Clone, Copy)]
struct Ends(Ipv4Addr, SocketAddrV4);

impl Concerned {
    fn has(&self, ends: Ends) -> bool {
        match self {
            Self::Host(host) => *host == ends.0 || host == ends.1.ip(),
            Self::Between(hosts) => hosts.contains(&ends.0) && hosts.contains(ends.1.ip()),
            Self::To(listeners) => listeners.contains(&ends.1),
        }
    }
}

#[derive(Debug)]
struct State {
    fault: Mutex<Option<LinkFault>>,
    done: AtomicU64,
    random: Random,
    stopped: AtomicBool,
}

impl State {
    fn fault(&self, ends: Ends) -> Option<What> {
        let fault = self.fault.lock().unwrap_or_else(PoisonError::into_inner);
        fault.as_ref().filter(|fault| fault.concerned.has(ends)).map(|fault| fault.what)
    }

    fn note(&self) {
        self.done.fetch_add(1, Ordering::Relaxed);
    }
}

/// The proxies of a network's hosts. They end when this is dropped.
#[derive(Debug)]
pub struct Links {
    state: Arc<State>,
    listeners: Vec<Arc<TcpListener>>,
}

impl Links {
    /// Starts a proxy for each host, which all new connections of the host pass. Random choices follow from the seed.
    pub fn create(network: &Network, seed: u64) -> io::Result<Self> {
        let state = State {
            fault: Mutex::default(),
            done: AtomicU64::new(0),
            random: Random::new(seed, "links"),
            stopped: AtomicBool::new(false),
        };
        let mut links = Self { state: Arc::new(state), listeners: Vec::new() };
        for (name, address) in network.addresses() {
            let listener = links.serve(network.namespace_file(&name)?, address)?;
            network.redirect(&name, listener.local_addr()?.port(), MARK)?;
            links.listeners.push(listener);
        }
        Ok(links)
    }

    /// Sets the fault that happens from now on; `None` ends it.
    pub fn set(&self, fault: Option<LinkFault>) {
        *self.state.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// How often a fault took effect on a connection so far.
    pub fn done(&self) -> u64 {
        self.state.done.load(Ordering::Relaxed)
    }

    /// Listens in a namespace. A thread that has entered a namespace stays there, and so do the threads that it starts.
    fn serve(&self, namespace: File, host: Ipv4Addr) -> io::Result<Arc<TcpListener>> {
        let (tell, told) = sync_channel(1);
        let state = self.state.clone();
        std::thread::Builder::new().name("links".to_owned()).spawn(move || {
            let entered = setns(&namespace, CloneFlags::CLONE_NEWNET).map_err(io::Error::from);
            let listening = entered.and_then(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0))).map(Arc::new);
            let listener = listening.as_ref().ok().cloned();
            // The caller waits for this message, so it is received.
            let _ = tell.send(listening);
            if let Some(listener) = listener {
                accept(&listener, host, &state);
            }
        })?;
        told.recv().map_err(|_| io::Error::other("the proxy's thread panicked"))?
    }
}

impl Drop for Links {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::Relaxed);
        for listener in &self.listeners {
            // Wakes the accepting thread. If this fails, nothing else can be done.
            let _ = socket::shutdown(listener.as_raw_fd(), socket::Shutdown::Both);
        }
    }
}

/// Connections that the proxies open carry this mark. They are not redirected.
const MARK: u32 = 0x7765;

fn accept(listener: &TcpListener, host: Ipv4Addr, state: &Arc<State>) {
    for client in listener.incoming() {
        if state.stopped.load(Ordering::Relaxed) {
            return;
        }
        let Ok(client) = client else { continue };
        let state = state.clone();
        let started = std::thread::Builder::new().name("link".to_owned()).spawn(move || {
            // The two ends of the connection see its errors themselves.
            let _ = join(client, host, &state);
        });
        if let Err(error) = started {
            err_line!("a connection is lost: {error}");
        }
    }
}

/// Connects to the client's original destination, and passes on data in both directions.
fn join(client: TcpStream, host: Ipv4Addr, state: &Arc<State>) -> io::Result<()> {
    let wanted = getsockopt(&client, sockopt::OriginalDst)?;
    let wanted = SocketAddrV4::new(u32::from_be(wanted.sin_addr.s_addr).into(), u16::from_be(wanted.sin_port));
    let server = match open(wanted) {
        Ok(server) => server,
        Err(error) => {
            // If the destination refuses the connection, the client sees a reset.
            reset_when_closed(&client)?;
            return Err(error);
        }
    };
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
    }
    let connection = Arc::new(Connection { client, server, ends: Ends(host, wanted), over: AtomicBool::new(false) });
    let (back, shared) = (connection.clone(), state.clone());
    std::thread::Builder::new().name("link".to_owned()).spawn(move || back.pump(&back.server, &back.client, &shared))?;
    connection.pump(&connection.client, &connection.server, state);
    Ok(())
}

fn open(wanted: SocketAddrV4) -> io::Result<TcpStream> {
    let server = socket::socket(AddressFamily::Inet, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
    setsockopt(&server, sockopt::Mark, &MARK)?;
    connect(server.as_raw_fd(), &SockaddrIn::from(wanted))?;
    Ok(server.into())
}

/// From now on, closing the stream sends RST.
fn reset_when_closed(stream: &TcpStream) -> io::Result<()> {
    Ok(setsockopt(stream, sockopt::Linger, &libc::linger { l_onoff: 1, l_linger: 0 })?)
}

#[derive(Debug)]
struct Connection {
    client: TcpStream,
    server: TcpStream,
    ends: Ends,
    /// Whether data must no longer pass, in either direction.
    over: AtomicBool,
}

impl Connection {
    /// Passes on the data from one end until that end has no more data.
    fn pump(&self, from: &TcpStream, to: &TcpStream, state: &State) {
        match self.pass_on(from, to, state) {
            Ok(()) => drop(to.shutdown(Shutdown::Write)),
            Err(_) => {
                // Both ends see the reset, as if they were connected directly.
                self.over.store(true, Ordering::Relaxed);
                let _ = reset_when_closed(&self.client).and_then(|()| reset_when_closed(&self.server));
            }
        }
    }

    fn pass_on(&self, mut from: &TcpStream, to: &TcpStream, state: &State) -> io::Result<()> {
        let mut buffer = vec![0; BUFFER];
        loop {
            if self.over.load(Ordering::Relaxed) || state.stopped.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            match from.read(&mut buffer) {
                Ok(0) => return Ok(()),
                Ok(count) => self.say(&mut buffer[..count], to, state)?,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn say(&self, piece: &mut [u8], mut to: &TcpStream, state: &State) -> io::Result<()> {
        let one_in = || state.random.between(0, ONE_IN) == 0;
        match state.fault(self.ends) {
            Some(What::Delay { least, jitter }) => {
                let more = state.random.between(0, jitter.as_micros() as u64);
                std::thread::sleep(least + Duration::from_micros(more));
                state.note();
            }
            Some(What::Reset) if one_in() => {
                to.write_all(&piece[..piece.len() / 2])?;
                state.note();
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            Some(What::Corrupt) if one_in() => {
                let at = state.random.between(0, piece.len() as u64) as usize;
                piece[at] ^= 1 << state.random.between(0, 8);
                state.note();
            }
            _ => {}
        }
        to.write_all(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
    const THERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 2);
    const ELSEWHERE: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 3);

    fn ends(from: Ipv4Addr, to: Ipv4Addr) -> Ends {
        Ends(from, SocketAddrV4::new(to, 1))
    }

    fn state(fault: Option<What>) -> Arc<State> {
        let fault = fault.map(|what| LinkFault { what, concerned: Concerned::Host(THERE) });
        let (done, stopped) = (AtomicU64::new(0), AtomicBool::new(false));
        Arc::new(State { fault: Mutex::new(fault), done, random: Random::new(1, "links"), stopped })
    }

    /// The two ends of a connection that passes a proxy.
    fn linked(state: &Arc<State>) -> (TcpStream, TcpStream) {
        let pair = || {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
            let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            (here, listener.accept().unwrap().0)
        };
        let ((near, client), (far, server)) = (pair(), pair());
        let over = AtomicBool::new(false);
        for stream in [&client, &server] {
            stream.set_read_timeout(Some(LOOK)).unwrap();
        }
        let connection = Arc::new(Connection { client, server, ends: ends(HERE, THERE), over });
        let (there, back, state) = (connection.clone(), connection, [state.clone(), state.clone()]);
        let [first, second] = state;
        std::thread::spawn(move || there.pump(&there.client, &there.server, &first));
        std::thread::spawn(move || back.pump(&back.server, &back.client, &second));
        (near, far)
    }

    #[test]
    fn a_fault_concerns_only_its_connections() {
        assert!(Concerned::Host(HERE).has(ends(THERE, HERE)) && !Concerned::Host(HERE).has(ends(THERE, ELSEWHERE)));
        let between = Concerned::Between(vec![HERE, THERE]);
        assert!(between.has(ends(THERE, HERE)) && !between.has(ends(ELSEWHERE, HERE)));
        let to = Concerned::To(vec![SocketAddrV4::new(HERE, 1)]);
        assert!(to.has(ends(THERE, HERE)) && !to.has(ends(HERE, THERE)) && !to.has(Ends(THERE, SocketAddrV4::new(HERE, 2))));
    }

    #[test]
    fn data_and_the_end_of_data_arrive() {
        let state = state(None);
        let (mut near, mut far) = linked(&state);
        near.write_all(b"question").unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        let mut heard = Vec::new();
        far.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"question");
        far.write_all(b"answer").unwrap();
        drop(far);
        heard.clear();
        near.read_to_end(&mut heard).unwrap();
        assert_eq!((&heard[..], state.done.load(Ordering::Relaxed)), (&b"answer"[..], 0));
    }

    #[test]
    fn a_delay_delays_and_changes_nothing() {
        let least = Duration::from_millis(100);
        let state = state(Some(What::Delay { least, jitter: Duration::ZERO }));
        let (mut near, mut far) = linked(&state);
        let started = std::time::Instant::now();
        near.write_all(b"late").unwrap();
        let mut heard = [0; 4];
        far.read_exact(&mut heard).unwrap();
        assert!(started.elapsed() >= least);
        assert_eq!((&heard, state.done.load(Ordering::Relaxed)), (b"late", 1));
    }

    #[test]
    fn both_ends_see_a_reset_in_the_middle() {
        let state = state(Some(What::Reset));
        let (mut near, mut far) = linked(&state);
        let mut heard = 0;
        let mut near_ended = None;
        let ended = loop {
            // The write may fail already, and the socket reports an error only once.
            near_ended = near_ended.or(near.write_all(&[7; 100]).err());
            match far.read(&mut [0; 100]) {
                Ok(0) => panic!("it ended in order"),
                Ok(count) => heard += count,
                Err(error) => break error.kind(),
            }
        };
        assert_eq!((ended, state.done.load(Ordering::Relaxed)), (io::ErrorKind::ConnectionReset, 1));
        assert!(heard >= 50, "{heard} bytes");
        near.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let near_ended = near_ended.unwrap_or_else(|| near.read(&mut [0; 1]).unwrap_err());
        assert_eq!(near_ended.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn corruption_flips_one_bit_of_a_chunk() {
        let state = state(Some(What::Corrupt));
        let (mut near, mut far) = linked(&state);
        let mut flipped = 0;
        for _ in 0..100 {
            near.write_all(&[0; 100]).unwrap();
            let mut heard = [0; 100];
            far.read_exact(&mut heard).unwrap();
            flipped += u64::from(heard.iter().map(|byte| byte.count_ones()).sum::<u32>());
        }
        assert!(flipped > 0);
        assert_eq!(flipped, state.done.load(Ordering::Relaxed));
    }
}
