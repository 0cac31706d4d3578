//! A single server process.

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

/// The error of a server that did not start.
#[derive(Debug)]
pub struct StartError {
    /// The program that was started.
    pub program: PathBuf,
    pub reason: String,
    /// The end of its output.
    pub output: String,
}

impl std::fmt::Display for StartError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} did not start: {}", self.program.display(), self.reason)?;
        if self.output.is_empty() { Ok(()) } else { write!(f, "; it printed:\n{}", self.output) }
    }
}

impl std::error::Error for StartError {}

/// A server process, which ends when the value is dropped.
#[derive(Debug)]
pub struct ServerProcess {
    child: Child,
    program: PathBuf,
    log: PathBuf,
}

impl ServerProcess {
    /// Starts `command`. Its output is appended to the file `log`.
    pub fn spawn(command: &mut Command, log: &Path) -> Result<Self, StartError> {
        let program = PathBuf::from(command.get_program());
        let failed = |error: io::Error| StartError { program: program.clone(), reason: error.to_string(), output: String::new() };
        let output = File::options().create(true).append(true).open(log).map_err(failed)?;
        let errors = output.try_clone().map_err(failed)?;
        let child = command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().map_err(failed)?;
        Ok(Self { child, program, log: log.to_owned() })
    }

    /// Waits until `ready` returns true. Fails if the process ends before, or if this takes too long.
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

    /// Kills it (SIGKILL), as a power cut would, and waits until it has ended.
    pub fn kill(&mut self) {
        // This fails only if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Pauses the process (SIGSTOP).
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
    }

    /// Lets the paused process continue (SIGCONT).
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

/// Starts something, and retries on other ports if one of its ports was taken meanwhile. Gives up after the third attempt.
/// `start` gets the number of the attempt, counted from 1.
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

/// A loopback port on which nothing listened a moment ago, below the range that the system uses for outgoing connections.
pub fn free_port() -> u16 {
    let [port] = free_ports();
    port
}

/// Several such ports, all different.
pub(crate) fn free_ports<const N: usize>() -> [u16; N] {
    const PORTS: std::ops::Range<u16> = 10_000..32_000;
    // The listeners stay open until all ports are found, so that the ports differ.
    let mut listeners = Vec::with_capacity(N);
    [0; N].map(|_| {
        loop {
            // The hash has a random key, so processes that look for a port at the same time look in different places.
            let random = RandomState::new().hash_one(0);
            let port = PORTS.start + (random % PORTS.len() as u64) as u16;
            if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
                listeners.push(listener);
                return port;
            }
        }
    })
}
