//! A TCP proxy that can break connections in the ways a network does.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How long a pump waits for bytes before it checks the fault again.
const LOOK: Duration = Duration::from_millis(20);

/// What a [`Proxy`] does to the bytes that pass it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Fault {
    None,
    /// Nothing passes in either direction, and neither end is told, as when a cable is pulled. New connections are accepted, but
    /// stay silent. When the fault ends, what was held back continues.
    Silence,
    /// Requests arrive, but answers are held back, so the client can't know the outcome of its request.
    LostAnswers,
    /// Connections are closed, and new ones are refused at once.
    Reset,
}

impl Fault {
    fn of(code: u8) -> Self {
        [Self::None, Self::Silence, Self::LostAnswers, Self::Reset]
            .into_iter()
            .find(|fault| *fault as u8 == code)
            .unwrap_or(Self::None)
    }
}

#[derive(Debug)]
struct State {
    fault: AtomicU8,
    stopped: AtomicBool,
    /// Bytes of answers that were held back under [`Fault::LostAnswers`], to prove that the fault took effect.
    held_answers: AtomicU64,
    open: Mutex<Vec<TcpStream>>,
}

impl State {
    fn fault(&self) -> Fault {
        Fault::of(self.fault.load(Ordering::SeqCst))
    }

    /// Whether a new connection may continue. A reset may begin while a connection is opened, and then does not find it among the
    /// open ones. But a reset sets the fault before it takes the lock, so either the reset or this function sees the other.
    fn register(&self, connection: [TcpStream; 2]) -> bool {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let may = self.fault() != Fault::Reset;
        if may {
            open.extend(connection);
        }
        may
    }

    fn close_all(&self) {
        for stream in self.open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

/// A listener that forwards connections to a target. It stops when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    state: Arc<State>,
}

impl Proxy {
    /// Starts a proxy on loopback that forwards to `target`.
    pub fn start(target: SocketAddr) -> io::Result<Self> {
        Self::start_on(IpAddr::V4(Ipv4Addr::LOCALHOST), target)
    }

    /// Starts a proxy that listens on this address of the machine and forwards to `target`.
    pub fn start_on(address: IpAddr, target: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind((address, 0))?;
        let address = listener.local_addr()?;
        let state = Arc::new(State {
            fault: AtomicU8::new(Fault::None as u8),
            stopped: AtomicBool::new(false),
            held_answers: AtomicU64::new(0),
            open: Mutex::default(),
        });
        let shared = state.clone();
        std::thread::Builder::new().name("proxy".into()).spawn(move || accept(&listener, target, &shared))?;
        Ok(Self { address, state })
    }

    /// The address to connect to instead of the target.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the fault that happens from now on.
    pub fn set(&self, fault: Fault) {
        self.state.fault.store(fault as u8, Ordering::SeqCst);
        if fault == Fault::Reset {
            self.state.close_all();
        }
    }

    /// Closes every connection once. What was held back on them is lost.
    pub fn reset_connections(&self) {
        self.state.close_all();
    }

    /// Bytes of answers that were held back so far.
    pub fn held_answers(&self) -> u64 {
        self.state.held_answers.load(Ordering::SeqCst)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        self.state.close_all();
        // Wakes the listener, so that it sees that it must stop.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, target: SocketAddr, state: &Arc<State>) {
    for client in listener.incoming() {
        if state.stopped.load(Ordering::SeqCst) {
            return;
        }
        let Ok(client) = client else { continue };
        if state.fault() == Fault::Reset {
            continue;
        }
        // If the target is down and refuses the connection, so does the proxy.
        let Ok(server) = TcpStream::connect(target) else { continue };
        let _ = forward(client, server, state);
    }
}

fn forward(client: TcpStream, server: TcpStream, state: &Arc<State>) -> io::Result<()> {
    for stream in [&client, &server] {
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(LOOK))?;
    }
    let both = [client.try_clone()?, server.try_clone()?];
    if !state.register(both) {
        return Ok(());
    }
    let directions = [(client.try_clone()?, server.try_clone()?, false), (server, client, true)];
    for (from, to, answers) in directions {
        let state = state.clone();
        std::thread::Builder::new().name("proxy".into()).spawn(move || {
            let _ = pump(&from, &to, answers, &state);
            let _ = from.shutdown(Shutdown::Both);
            let _ = to.shutdown(Shutdown::Both);
        })?;
    }
    Ok(())
}

fn pump(mut from: &TcpStream, mut to: &TcpStream, answers: bool, state: &State) -> io::Result<()> {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let count = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                if state.stopped.load(Ordering::SeqCst) {
                    return Ok(());
                }
                continue;
            }
            Err(error) => return Err(error),
        };
        let mut counted = false;
        while holds_back(state.fault(), answers) {
            if !counted && state.fault() == Fault::LostAnswers {
                state.held_answers.fetch_add(count as u64, Ordering::SeqCst);
                counted = true;
            }
            if state.stopped.load(Ordering::SeqCst) || from.peek(&mut [0]).is_ok_and(|waiting| waiting == 0) {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        to.write_all(&buffer[..count])?;
    }
}

fn holds_back(fault: Fault, answers: bool) -> bool {
    match fault {
        Fault::Silence => true,
        Fault::LostAnswers => answers,
        Fault::None | Fault::Reset => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn echo() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("binds");
        let address = listener.local_addr().expect("has an address");
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    let mut reader = stream.try_clone().expect("clones");
                    let _ = io::copy(&mut reader, &mut &stream);
                });
            }
        });
        address
    }

    fn ask(stream: &mut TcpStream, text: &[u8; 4]) -> io::Result<[u8; 4]> {
        stream.write_all(text)?;
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).map(|()| answer)
    }

    #[test]
    fn bytes_pass_are_held_back_and_arrive_later() {
        let proxy = Proxy::start(echo()).expect("starts");
        let mut stream = TcpStream::connect(proxy.address()).expect("connects");
        stream.set_read_timeout(Some(Duration::from_millis(200))).expect("is open");
        assert_eq!(ask(&mut stream, b"ping").expect("answers"), *b"ping");
        proxy.set(Fault::LostAnswers);
        assert!(ask(&mut stream, b"held").is_err(), "the answer is held back");
        assert_eq!(proxy.held_answers(), 4);
        proxy.set(Fault::None);
        stream.set_read_timeout(None).expect("is open");
        let mut answer = [0; 4];
        stream.read_exact(&mut answer).expect("answers late");
        assert_eq!(answer, *b"held");
    }

    #[test]
    fn a_reset_closes_open_connections_and_refuses_new_ones() {
        let proxy = Proxy::start(echo()).expect("starts");
        let mut stream = TcpStream::connect(proxy.address()).expect("connects");
        assert_eq!(ask(&mut stream, b"ping").expect("answers"), *b"ping");
        proxy.set(Fault::Reset);
        assert!(ask(&mut stream, b"gone").is_err());
        let mut second = TcpStream::connect(proxy.address()).expect("the proxy listens");
        assert!(ask(&mut second, b"no?!").is_err());
        proxy.set(Fault::None);
        let mut third = TcpStream::connect(proxy.address()).expect("connects");
        assert_eq!(ask(&mut third, b"back").expect("answers"), *b"back");
    }

    #[test]
    fn a_connection_that_is_being_opened_does_not_survive_a_reset() {
        let proxy = Proxy::start(echo()).expect("starts");
        for _ in 0..300 {
            proxy.set(Fault::None);
            let mut stream = TcpStream::connect(proxy.address()).expect("the proxy listens");
            proxy.set(Fault::Reset);
            assert!(ask(&mut stream, b"gone").is_err());
        }
    }
}
