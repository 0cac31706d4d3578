//! One server process.

use std::fs::File;
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::Patience;

/// How long a server may take to start: SeaweedFS has taken twenty seconds on a busy machine.
const BOUND: Duration = Duration::from_secs(120);
const POLL: Duration = Duration::from_millis(20);

/// A server did not start.
#[derive(Debug)]
pub struct StartError {
    /// What was started.
    pub program: PathBuf,
    pub reason: String,
    /// The end of what it printed.
    pub output: String,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} did not start: {}", self.program.display(), self.reason)?;
        if self.output.is_empty() { Ok(()) } else { write!(f, "; it printed:\n{}", self.output) }
    }
}

impl std::error::Error for StartError {}

/// A process that ends with the value.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    program: PathBuf,
    log: PathBuf,
}

impl ServerProcess {
    /// Starts `command`; what it prints is appended to the file `log`.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self, StartError> {
        let program = PathBuf::from(command.get_program());
        let failed = |error: io::Error| StartError { program: program.clone(), reason: error.to_string(), output: String::new() };
        let output = File::options().create(true).append(true).open(log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().map_err(failed)?;
        Ok(Self { child, program, log: log.to_owned() })
    }

    /// Waits until `ready` says so; fails when the process ends before, or takes too long.
    pub fn await_ready(&mut self, mut ready: impl FnMut() -> bool) -> Result<(), StartError> {
        let patience = Patience::of(BOUND);
        loop {
            if ready() {
                return Ok(());
            }
            let reason = match self.child.try_wait() {
                Ok(Some(status)) => format!("it ended with {status}"),
                _ if patience.is_over() => format!("not ready within {} s", BOUND.as_secs()),
                _ => {
                    std::thread::sleep(POLL);
                    continue;
                }
            };
            return Err(StartError { program: self.program.clone(), reason, output: self.last_output() });
        }
    }

    /// Ends it as a power cut does, and waits until it is gone.
    pub fn kill(&mut self) {
        // Fails only if it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Freezes it.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Undoes [`ServerProcess::pause`].
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn signal(&self, signal: Signal) {
        let _ = kill(Pid::from_raw(self.child.id().cast_signed()), signal);
    }

    fn last_output(&self) -> String {
        let text = std::fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(4_000)..]).into_owned();
        text.trim().to_owned()
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Starts something again, on other ports, when one of its ports was taken meanwhile; given up after the third time. `start` is told
/// which attempt it is, from 1.
pub(crate) fn on_free_ports<T>(mut start: impl FnMut(usize) -> Result<T, StartError>) -> Result<T, StartError> {
    const ATTEMPTS: usize = 3;
    let mut attempt = 1;
    loop {
        match start(attempt) {
            Err(error) if attempt < ATTEMPTS && error.output.contains("address already in use") => attempt += 1,
            outcome => return outcome,
        }
    }
}

/// A port on loopback that nobody listened on a moment ago, below those that the system gives to outgoing connections.
pub fn free_port() -> u16 {
    let [port] = free_ports();
    port
}

/// Several such ports, no two the same.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    // Held until all are found.
    let mut listeners = Vec::with_capacity(N);
    [0; N].map(|_| {
        loop {
            // Randomly keyed: processes that look for a port at the same time look in different places.
            let random = RandomState::new().hash_one(0);
            let port = PORTS.start + (random % PORTS.len() as u64) as u16;
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
                listeners.push(listener);
                return port;
            }
        }
    })
}
