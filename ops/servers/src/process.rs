//! A single server process.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use nix::unistd::Pid;

use crate::Patience;

/// How long a server may take to start: SeaweedFS has taken twenty seconds on a busy machine.
const BOUND: Duration = Duration::from_secs(120);
/// How long a server may take to stop in order.
const ORDERLY: Duration = Duration::from_secs(30);
const POLL: Duration = Duration::from_millis(20);
/// The kernel stops the threads of a process within a moment.
const STOP_POLL: Duration = Duration::from_millis(1);

/// The error of a server that did not start.
#[derive(Debug)]
pub struct StartError {
    /// The program that was started.
    pub program: PathBuf,
    pub reason: String,
    /// The end of its output.
    pub output: String,
}

impl StartError {
    /// Something that was needed to start `program` failed.
    pub(crate) fn io(program: &Path, error: &io::Error) -> Self {
        Self { program: program.to_owned(), reason: error.to_string(), output: String::new() }
    }
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
        let failed = |error: io::Error| StartError::io(&program, &error);
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
            return Err(self.failure(reason));
        }
    }

    /// Waits until the process has ended by itself. Fails if it reports a failure, or if this takes too long.
    pub(crate) fn await_success(&mut self) -> Result<(), StartError> {
        let mut ended = Ok(None);
        let patience = Patience::of(BOUND);
        while matches!(ended, Ok(None)) && !patience.is_over() {
            std::thread::sleep(POLL);
            ended = self.child.try_wait();
        }
        match ended {
            Ok(Some(status)) if status.success() => Ok(()),
            Ok(Some(status)) => Err(self.failure(format!("it ended with {status}"))),
            Ok(None) => Err(self.failure(format!("not done within {} s", BOUND.as_secs()))),
            Err(error) => Err(StartError::io(&self.program, &error)),
        }
    }

    /// Ends it in order (SIGTERM), and waits until it has ended. Kills it if this takes too long.
    pub fn stop(&mut self) {
        self.signal(Signal::SIGTERM);
        let patience = Patience::of(ORDERLY);
        while matches!(self.child.try_wait(), Ok(None)) && !patience.is_over() {
            std::thread::sleep(POLL);
        }
        self.kill();
    }

    /// Kills it (SIGKILL), as a power cut would, and waits until it has ended.
    pub fn kill(&mut self) {
        // This fails only if the process has already ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Pauses the process (SIGSTOP), and waits until all of its threads stand still.
    pub fn pause(&self) {
        self.signal(Signal::SIGSTOP);
        let patience = Patience::of(ORDERLY);
        let is_stopped = || {
            let status = waitid(Id::Pid(self.pid()), WaitPidFlag::WSTOPPED | WaitPidFlag::WNOHANG);
            matches!(status, Ok(WaitStatus::Stopped(..)))
        };
        while !is_stopped() && !patience.is_over() {
            std::thread::sleep(STOP_POLL);
        }
    }

    /// Lets the paused process continue (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::SIGCONT);
    }

    fn failure(&self, reason: String) -> StartError {
        StartError { program: self.program.clone(), reason, output: self.last_output() }
    }

    fn signal(&self, signal: Signal) {
        let _ = kill(self.pid(), signal);
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
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
            Err(error) if attempt < ATTEMPTS && error.output.to_lowercase().contains("address already in use") => attempt += 1,
            outcome => return outcome,
        }
    }
}
