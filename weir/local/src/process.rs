//! One process of a local cluster.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{self, Signal};
use nix::unistd::Pid;

use crate::host::Host;
use crate::supervision::{ProcessEnd, reason_in};

/// How much of the end of a log is searched for the reason of an end, in bytes.
const LOG_TAIL: u64 = 64 << 10;

/// A process of a local cluster: how to start it, and the running instance, if any.
#[derive(Debug)]
pub struct RoleProcess {
    name: String,
    binary: PathBuf,
    arguments: Vec<String>,
    host: Host,
    log: PathBuf,
    child: Option<Child>,
    started: Instant,
    /// Length of the log when the process was started, in bytes.
    log_at_start: u64,
}

impl RoleProcess {
    /// Describes a process without starting it. Its output is appended to `<logs>/<name>.log`.
    pub fn new(name: &str, binary: &Path, arguments: Vec<String>, logs: &Path) -> Self {
        let log = logs.join(format!("{name}.log"));
        let (name, binary) = (name.to_owned(), binary.to_owned());
        Self { name, binary, arguments, host: Host::default(), log, child: None, started: Instant::now(), log_at_start: 0 }
    }

    /// The same process, but on this host.
    #[must_use]
    pub fn on(mut self, host: Host) -> Self {
        self.host = host;
        self
    }

    /// Its name, e.g. `jm-1`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The file of its output.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Its process id, if it was started and has not been reaped.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Starts it. If this process ends, the started process ends as well, because its standard input closes.
    pub fn start(&mut self) -> io::Result<()> {
        let log: File = OpenOptions::new().create(true).append(true).open(&self.log)?;
        (self.started, self.log_at_start) = (Instant::now(), log.metadata()?.len());
        // A launcher replaces itself with what it launches, so the process id is that of the role.
        let mut words = self.host.launcher.iter().map(PathBuf::from).chain([self.binary.clone()]);
        let program = words.next().expect("the binary at least");
        let child = Command::new(program)
            .args(words)
            .args(&self.arguments)
            .envs(self.host.environment.iter().map(|(key, value)| (key, value)))
            .arg("--exit-with-parent")
            .stdin(Stdio::piped())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|error| io::Error::new(error.kind(), format!("can't start {}: {error}", self.binary.display())))?;
        self.child = Some(child);
        Ok(())
    }

    /// Sends it a signal. Returns false if it is not running.
    pub fn signal(&self, signal: Signal) -> bool {
        self.pid().is_some_and(|pid| signal::kill(Pid::from_raw(pid as i32), signal).is_ok())
    }

    /// Kills it (SIGKILL) and reaps it.
    pub fn kill(&mut self) -> io::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }

    /// Asks it to stop (SIGTERM), waits up to `patience`, and then kills it. Returns the exit status if it ended by itself.
    pub fn stop(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        self.signal(Signal::SIGTERM);
        let status = self.wait(patience)?;
        self.kill()?;
        Ok(status)
    }

    /// Waits up to `patience` until it ends by itself. Returns the exit status if it does.
    pub fn wait(&mut self, patience: Duration) -> io::Result<Option<ExitStatus>> {
        let deadline = Instant::now() + patience;
        let Some(child) = self.child.as_mut() else { return Ok(None) };
        loop {
            if let Some(status) = child.try_wait()? {
                self.child = None;
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether it is running. If it has ended by itself, it is reaped.
    pub fn is_running(&mut self) -> bool {
        match self.child.as_mut().map(Child::try_wait) {
            Some(Ok(None)) => true,
            Some(_) => {
                self.child = None;
                false
            }
            None => false,
        }
    }

    /// How it has ended, if it has ended by itself. If so, it is reaped, and the next call returns `None`.
    pub(crate) fn take_end(&mut self) -> Option<ProcessEnd> {
        let status = self.child.as_mut()?.try_wait().ok()??;
        self.child = None;
        let reason = self.log_since_start().ok().and_then(|log| reason_in(&log));
        Some(ProcessEnd { name: self.name.clone(), status, lived: self.started.elapsed(), reason })
    }

    /// The end of what it has logged since its start.
    fn log_since_start(&self) -> io::Result<String> {
        let mut log = File::open(&self.log)?;
        let from = self.log_at_start.max(log.metadata()?.len().saturating_sub(LOG_TAIL));
        log.seek(SeekFrom::Start(from))?;
        let mut bytes = Vec::new();
        log.take(LOG_TAIL).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Resident memory in bytes, as the kernel reports it.
    pub fn resident_bytes(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid()?)).ok()?;
        let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
        line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
    }

    /// Processor time it has used so far, in seconds.
    pub fn cpu_seconds(&self) -> Option<f64> {
        // The kernel reports ticks of 1/100 s, whatever its own tick is.
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid()?)).ok()?;
        let after_name: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
        let ticks = |at: usize| after_name.get(at)?.parse::<f64>().ok();
        Some((ticks(11)? + ticks(12)?) / TICKS_PER_SECOND)
    }
}

impl Drop for RoleProcess {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            tracing::warn!(process = self.name, %error, "the process could not be stopped");
        }
    }
}
