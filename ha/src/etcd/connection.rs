//! The connection to etcd. It uses one endpoint at a time and the next one when that fails. Every call has a deadline.

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

/// After this time without an answer, the outcome of a write is unknown and a read fails.
pub(crate) const OPERATION_DEADLINE: Duration = Duration::from_secs(5);
/// How long one endpoint has to answer a read.
pub(crate) const ATTEMPT_DEADLINE: Duration = Duration::from_secs(2);
/// If less time than this is left, there is no further attempt: it would only hide why the previous one failed.
const LEAST_ATTEMPT: Duration = Duration::from_millis(200);
/// Pause between two attempts.
const PAUSE: Duration = Duration::from_millis(50);
/// Deadline for a TCP connection and its TLS handshake.
const CONNECT_DEADLINE: Duration = Duration::from_secs(2);
/// Interval at which an idle connection is probed.
const PROBE_INTERVAL: Duration = Duration::from_secs(2);
/// An idle connection is given up when a probe has no answer for this time.
const PROBE_DEADLINE: Duration = Duration::from_secs(3);

/// The client of the endpoint in use. If that endpoint fails, the next one follows.
pub(crate) struct Connection {
    endpoints: Vec<String>,
    options: ConnectOptions,
    current: tokio::sync::Mutex<Current>,
    /// Number of clients given up so far. A stream of an older client must be opened again.
    generation: watch::Sender<u64>,
    /// When etcd last answered a linearizable call.
    answered: Mutex<Option<Instant>>,
    /// Number of calls without an answer since the last answer.
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

/// Why a call has no result, and whether its request may have been applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No answer, or an answer that does not give the outcome. The request may have been applied.
    Unanswered,
    /// The request exceeds a limit of etcd, or etcd has no space left. It was not applied.
    TooMuch,
    /// The requested revision was compacted.
    Compacted,
    /// The lease does not exist any more. The request was not applied.
    LeaseGone,
    /// etcd rejects the user, the password or the permissions. The request was not applied.
    Denied,
    /// The two sides do not agree on TLS.
    Tls,
}

/// The error of a call.
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

/// Whether rustls reports that certificates or protocols do not fit. Its error arrives only as text, inside other errors.
fn is_tls(reason: &str) -> bool {
    ["certificate", "received fatal alert", "received corrupt message", "InvalidContentType"]
        .iter()
        .any(|part| reason.contains(part))
}

/// Whether the text is that of a connection which the other side has closed.
fn is_broken(reason: &str) -> bool {
    ["reset by peer", "eof", "Broken pipe"].iter().any(|part| reason.contains(part))
}

/// The text of an error, with the texts of all its sources.
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
            // A node without a leader then ends its watches and refuses calls, so that the next endpoint is tried.
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

    /// Runs for ever. Whenever a drill cuts this process off, it breaks the connection and tells the connection's users.
    pub(crate) async fn break_when_isolated(&self) {
        loop {
            self.isolation.begins().await;
            self.unanswered.fetch_add(1, Ordering::Relaxed);
            let generation = self.current.lock().await.generation;
            self.give_up(generation).await;
            self.isolation.ends().await;
        }
    }

    /// The endpoints, in the order in which they are used.
    pub(crate) fn endpoints(&self) -> &[String] {
        &self.endpoints
    }

    /// Changes whenever a client is given up.
    pub(crate) fn generation(&self) -> watch::Receiver<u64> {
        self.generation.subscribe()
    }

    /// Time since etcd last answered; `None` if it never did.
    pub(crate) fn silence(&self) -> Option<Duration> {
        self.answered.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed())
    }

    /// Number of consecutive calls without an answer. Each went to another endpoint.
    pub(crate) fn unanswered(&self) -> u32 {
        self.unanswered.load(Ordering::Relaxed)
    }

    /// A client that uses only this endpoint.
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

    /// Gives up the client of this generation because it did not answer. The next call goes to the next endpoint.
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
            // etcd may still carry out the request; only its answer does not arrive.
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

    /// Adds a hint that TLS may be the reason. An etcd without TLS closes or resets the connection during the handshake. An etcd
    /// that refuses this client's certificate says so and closes the connection, and a write that fails first hides what it said.
    /// If etcd has answered before, it is only shutting down and there is no hint.
    fn explained(&self, error: CallError) -> CallError {
        let tls = self.endpoints.iter().any(|endpoint| endpoint.starts_with("https:"));
        if !tls || self.silence().is_some() || !is_broken(&error.reason) {
            return error;
        }
        let reason = format!(
            "{} (nothing has ever answered over TLS: does etcd speak it, and accept this client's certificate?)",
            error.reason
        );
        CallError { reason, ..error }
    }

    /// Retries on one endpoint after the other, for calls that may be repeated.
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
    fn an_ambiguous_answer_counts_as_unanswered() {
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
