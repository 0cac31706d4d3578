//! The way to etcd: one endpoint at a time, the next when it fails, a deadline on every call.

use std::error::Error as _;
use std::fmt;
use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use etcd_client::{Client, ConnectOptions, Error};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tonic::Code;

use crate::isolation::Isolation;

/// After this long a write's outcome is unknown, or a read has failed on every endpoint.
pub(crate) const OPERATION_DEADLINE: Duration = Duration::from_secs(5);
/// For one endpoint to answer a read.
pub(crate) const ATTEMPT_DEADLINE: Duration = Duration::from_secs(2);
/// With less time left, another attempt would only hide why the one before it failed.
const LEAST_ATTEMPT: Duration = Duration::from_millis(200);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// For a TCP connection and its TLS handshake.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// An idle connection is probed so often, and given up after so much silence.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
const PROBE_DEADLINE: Duration = Duration::from_secs(3);

/// Clients of the endpoints, used in turn.
pub(crate) struct Connection {
    endpoints: Vec<String>,
    options: ConnectOptions,
    current: tokio::sync::Mutex<Current>,
    /// Counts the clients given up: what hangs on an older one is to be opened again.
    generation: watch::Sender<u64>,
    /// When etcd last answered a linearizable call.
    answered: Mutex<Option<Instant>>,
    /// Calls without an answer since the last that had one.
    unanswered: AtomicU32,
    /// Whether a drill has cut this process off.
    pub isolation: Isolation,
}

#[derive(Default)]
struct Current {
    turn: usize,
    generation: u64,
    client: Option<Client>,
}

/// What a call without a result means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No answer, or none that says what became of the request: it may have been applied.
    Unanswered,
    /// More than etcd takes, or it has no space left: not applied.
    TooMuch,
    /// The revision asked for is gone.
    Compacted,
    /// The lease is gone: not applied.
    LeaseGone,
    /// Name, password or permissions: not applied.
    Denied,
    /// The two sides do not agree on TLS.
    Tls,
}

/// A call without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CallError {
    pub fault: Fault,
    pub reason: String,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.reason)
    }
}

impl CallError {
    fn late(deadline: Duration) -> Self {
        Self { fault: Fault::Unanswered, reason: format!("no answer within {} ms", deadline.as_millis()) }
    }

    pub(crate) fn cut_off() -> Self {
        Self { fault: Fault::Unanswered, reason: "a drill has cut this process off from etcd".to_owned() }
    }

    pub(crate) fn of(error: &Error) -> Self {
        let (fault, reason) = match error {
            Error::GRpcStatus(status) => {
                let reason = chain(status.message().to_owned(), status.source());
                (fault_of(status.code(), status.message(), &reason), reason)
            }
            Error::TransportError(error) => {
                let reason = chain(error.to_string(), error.source());
                (if is_tls(&reason) { Fault::Tls } else { Fault::Unanswered }, reason)
            }
            Error::LeaseKeepAliveError(reason) if reason.contains("not found") => (Fault::LeaseGone, reason.clone()),
            other => (Fault::Unanswered, other.to_string()),
        };
        Self { fault, reason }
    }
}

fn fault_of(code: Code, message: &str, reason: &str) -> Fault {
    let says = |part: &str| message.contains(part);
    match code {
        Code::OutOfRange => Fault::Compacted,
        Code::NotFound if says("lease") => Fault::LeaseGone,
        Code::PermissionDenied | Code::Unauthenticated => Fault::Denied,
        Code::InvalidArgument | Code::FailedPrecondition if says("authentication") || says("user name") => Fault::Denied,
        Code::InvalidArgument if says("too large") || says("too many operations") => Fault::TooMuch,
        Code::ResourceExhausted if says("space exceeded") || says("larger than max") => Fault::TooMuch,
        _ if is_tls(reason) => Fault::Tls,
        _ => Fault::Unanswered,
    }
}

/// What rustls says when certificates or protocols do not fit; it reaches us only as text, inside other errors.
fn is_tls(reason: &str) -> bool {
    ["certificate", "received fatal alert", "received corrupt message", "InvalidContentType"]
        .iter()
        .any(|part| reason.contains(part))
}

/// What is said of a connection that the other side has ended.
fn is_broken(reason: &str) -> bool {
    ["reset by peer", "eof", "Broken pipe"].iter().any(|part| reason.contains(part))
}

/// An error with everything that it rests on.
fn chain(mut text: String, mut source: Option<&(dyn std::error::Error + 'static)>) -> String {
    while let Some(error) = source {
        let reason = error.to_string();
        if !text.contains(&reason) {
            text = format!("{text}: {reason}");
        }
        source = error.source();
    }
    text
}

impl Connection {
    pub(crate) fn new(endpoints: Vec<String>, options: ConnectOptions) -> Self {
        let options = options
            .with_connect_timeout(CONNECT_DEADLINE)
            .with_keep_alive(PROBE_INTERVAL, PROBE_DEADLINE)
            .with_keep_alive_while_idle(true)
            // A node that has lost its leader ends its watches and refuses calls: another may be better.
            .with_require_leader(true)
            .with_auto_token_refresh(true);
        let generation = watch::Sender::new(0);
        Self {
            endpoints,
            options,
            current: tokio::sync::Mutex::default(),
            generation,
            answered: Mutex::default(),
            unanswered: AtomicU32::new(0),
            isolation: Isolation::default(),
        }
    }

    /// Runs for ever: whenever this process is cut off, the connection breaks, and whatever hangs on it hears of that.
    pub(crate) async fn break_when_isolated(&self) {
        loop {
            self.isolation.begins().await;
            self.unanswered.fetch_add(1, Ordering::Relaxed);
            let generation = self.current.lock().await.generation;
            self.give_up(generation).await;
            self.isolation.ends().await;
        }
    }

    /// The endpoints, in turn.
    pub(crate) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// Changes whenever a client was given up.
    pub(crate) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// How long ago etcd answered; `None` if it never did.
    pub(crate) fn silence(&self) -> Option<Duration> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// How many calls in a row had no answer; they went to one endpoint after the other.
    pub(crate) fn unanswered(&self) -> u32 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// A client of this endpoint alone.
    pub(crate) async fn connect(&self, endpoint: &str) -> Result<Client, CallError> {
        let connecting = Client::connect([endpoint], Some(self.options.clone()));
        let connected = tokio::select! {
            biased;
            () = self.isolation.begins() => return Err(CallError::cut_off()),
            connected = timeout(CONNECT_DEADLINE, connecting) => connected.map_err(|_| CallError::late(CONNECT_DEADLINE))?,
        };
        connected.map_err(|error| CallError::of(&error))
    }

    /// The client in use and its generation.
    pub(crate) async fn client(&self) -> Result<(u64, Client), CallError> {
        let mut current = self.current.lock().await;
        if let Some(client) = &current.client {
            return Ok((current.generation, client.clone()));
        }
        let endpoint = &self.endpoints[current.turn % self.endpoints.len()];
        match self.connect(endpoint).await {
            Ok(client) => {
                current.client = Some(client.clone());
                Ok((current.generation, client))
            }
            Err(error) => {
                current.turn += 1;
                Err(error)
            }
        }
    }

    /// The client of this generation did not answer: the next call goes to the next endpoint.
    pub(crate) async fn give_up(&self, generation: u64) {
        let mut current = self.current.lock().await;
        if current.generation == generation {
            *current = Current { turn: current.turn + 1, generation: generation + 1, client: None };
            self.generation.send_replace(generation + 1);
        }
    }

    /// One attempt on the endpoint in use.
    pub(crate) async fn call<T, F>(&self, deadline: Duration, call: impl FnOnce(Client) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let answer = self.attempt(deadline, call).await;
        match &answer {
            Err(CallError { fault: Fault::Unanswered | Fault::Tls, .. }) => {
                self.unanswered.fetch_add(1, Ordering::Relaxed);
            }
            _ => self.unanswered.store(0, Ordering::Relaxed),
        }
        answer
    }

    async fn attempt<T, F>(&self, deadline: Duration, call: impl FnOnce(Client) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let started = Instant::now();
        let connected = timeout(deadline, self.client()).await;
        let connected = connected.map_err(|_| CallError::late(deadline))?;
        let (generation, client) = connected.map_err(|error| self.explained(error))?;
        let answer = tokio::select! {
            biased;
            // What was sent may be carried out: its answer does not come through.
            () = self.isolation.begins() => Ok(Err(None)),
            answer = timeout(deadline.saturating_sub(started.elapsed()), call(client)) => answer.map(|answer| answer.map_err(Some)),
        };
        let error = match answer {
            Ok(Ok(answer)) => {
                *self.answered.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
                return Ok(answer);
            }
            Ok(Err(Some(error))) => self.explained(CallError::of(&error)),
            Ok(Err(None)) => CallError::cut_off(),
            Err(_) => CallError::late(deadline),
        };
        if matches!(error.fault, Fault::Unanswered | Fault::Tls) {
            self.give_up(generation).await;
        }
        Err(error)
    }

    /// An etcd without TLS closes or resets the connection in the middle of the handshake, and nothing in that error speaks of
    /// TLS. One that has answered before is only going down.
    fn explained(&self, error: CallError) -> CallError {
        let tls = self.endpoints.iter().any(|endpoint| endpoint.starts_with("https:"));
        if !tls || self.silence().is_some() || !is_broken(&error.reason) {
            return error;
        }
        let reason = format!("{} (nothing has ever answered over TLS: does etcd speak it?)", error.reason);
        CallError { reason, ..error }
    }

    /// Attempts on one endpoint after the other, for what may be repeated.
    pub(crate) async fn retry<T, F>(&self, call: impl Fn(Client) -> F) -> Result<T, CallError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let started = Instant::now();
        let mut failed = None;
        loop {
            let left = OPERATION_DEADLINE.saturating_sub(started.elapsed());
            if let Some(error) = failed.take_if(|_| left < LEAST_ATTEMPT) {
                return Err(error);
            }
            match self.call(ATTEMPT_DEADLINE.min(left), &call).await {
                Err(error) if error.fault == Fault::Unanswered => failed = Some(error),
                answer => return answer,
            }
            sleep(PAUSE).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_etcd_says_for_certain_is_taken_for_certain() {
        let fault = |code, message: &str| CallError::of(&Error::GRpcStatus(tonic::Status::new(code, message))).fault;
        for unknown in ["etcdserver: request timed out", "etcdserver: leader changed", "etcdserver: no leader"] {
            assert_eq!(fault(Code::Unavailable, unknown), Fault::Unanswered, "{unknown}");
        }
        assert_eq!(fault(Code::DeadlineExceeded, "context deadline exceeded"), Fault::Unanswered);
        assert_eq!(fault(Code::InvalidArgument, "etcdserver: request is too large"), Fault::TooMuch);
        assert_eq!(fault(Code::InvalidArgument, "etcdserver: too many operations in txn request"), Fault::TooMuch);
        assert_eq!(fault(Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded"), Fault::TooMuch);
        assert_eq!(fault(Code::ResourceExhausted, "etcdserver: too many requests"), Fault::Unanswered);
        assert_eq!(fault(Code::NotFound, "etcdserver: requested lease not found"), Fault::LeaseGone);
        let password = "etcdserver: authentication failed, invalid user ID or password";
        assert_eq!(fault(Code::InvalidArgument, password), Fault::Denied);
        assert_eq!(fault(Code::PermissionDenied, "etcdserver: permission denied"), Fault::Denied);
        assert_eq!(fault(Code::OutOfRange, "etcdserver: mvcc: required revision has been compacted"), Fault::Compacted);
    }
}
