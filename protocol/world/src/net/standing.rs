//! The standing of a connection with the listener that accepted it.

use std::collections::BTreeMap;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::task::AtomicWaker;

use super::admission::{Admission, Progress};
use crate::{Millis, MonotonicClock, descriptors};

/// How many connections a listener keeps, and how long each of them may say nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Most connections at a time.
    pub most: usize,
    /// An accepted connection must be of use within this time: a whole request, or a first valid message. After an answer the
    /// time begins again.
    pub patience: Duration,
    /// A connection between processes is closed if nothing arrives for so long. Such connections send pings more often.
    pub silence: Duration,
    /// Sent to a connection for which there is no room, before it is closed.
    pub refusal: &'static [u8],
}

/// An HTTP client gets this if all connections have requests in progress.
const HTTP_REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nretry-after: 1\r\n\
    content-length: 91\r\nconnection: close\r\n\r\n\
    {\"errors\":[\"REST-CONNECTIONS: all connections of this port have requests; try again soon\"]}";

impl ConnectionLimits {
    /// Limits of an HTTP port that may use one part in `part` of the process's file descriptors.
    pub fn http(part: u64) -> Self {
        Self {
            most: descriptors::share(part),
            patience: Duration::from_secs(30),
            silence: Duration::from_secs(30),
            refusal: HTTP_REFUSAL,
        }
    }

    /// Limits of a port for other Weir processes that may use one part in `part` of the process's file descriptors.
    pub fn processes(part: u64) -> Self {
        Self { most: descriptors::share(part), patience: Duration::from_secs(10), silence: Duration::from_secs(90), refusal: b"" }
    }
}

/// What a listener shares with the connections that it accepted.
#[derive(Debug)]
pub(super) struct Door {
    clock: MonotonicClock,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    admission: Admission,
    signals: BTreeMap<u64, Arc<Signal>>,
}

/// Tells the reader and the writer of a connection that it was closed.
#[derive(Debug, Default)]
struct Signal {
    closed: AtomicBool,
    reader: AtomicWaker,
    writer: AtomicWaker,
}

/// The standing of one accepted connection. The listener closes connections that are idle for too long, and idle ones first if
/// it needs room. Clones of the `Arc` share it; the last one ends it.
#[derive(Debug)]
pub struct Standing {
    number: u64,
    door: Arc<Door>,
    signal: Arc<Signal>,
    progress: Arc<Progress>,
    proven: AtomicBool,
}

/// A request is in progress on a connection, until this is dropped.
#[derive(Debug)]
pub struct Busy(Arc<Standing>);

impl Door {
    pub(super) fn new(limits: &ConnectionLimits) -> Self {
        let milliseconds = |time: Duration| time.as_millis() as u64;
        let admission = Admission::new(limits.most, milliseconds(limits.patience), milliseconds(limits.silence));
        Self { clock: MonotonicClock::start(), state: Mutex::new(State { admission, signals: BTreeMap::new() }) }
    }

    /// Admits a connection. If there is no room, an idle one makes room. `None` if none is idle.
    pub(super) fn admit(self: &Arc<Self>) -> Option<Arc<Standing>> {
        let mut state = self.lock();
        let progress = Arc::<Progress>::default();
        let now = self.clock.now();
        let number = match state.admission.admit(now, progress.clone()) {
            Some(number) => number,
            None => {
                let evicted = state.admission.evict()?;
                state.close(evicted);
                state.admission.admit(now, progress.clone())?
            }
        };
        let signal = Arc::<Signal>::default();
        state.signals.insert(number, signal.clone());
        Some(Arc::new(Standing { number, door: self.clone(), signal, progress, proven: AtomicBool::new(false) }))
    }

    /// Closes the connection that has been idle for the longest time. False if none is idle.
    pub(super) fn evict(&self) -> bool {
        let mut state = self.lock();
        let evicted = state.admission.evict();
        evicted.inspect(|number| state.close(*number)).is_some()
    }

    /// Closes connections that are overdue, whenever there are some. Never returns.
    pub(super) async fn close_overdue(&self) {
        loop {
            let again = {
                let mut state = self.lock();
                let now = self.clock.now();
                for number in state.admission.overdue(now) {
                    state.close(number);
                }
                state.admission.look_again(now)
            };
            match again {
                Some(again) => self.clock.sleep_until(again).await,
                // The next connection begins a new wait.
                None => std::future::pending().await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn close(&mut self, number: u64) {
        if let Some(signal) = self.signals.remove(&number) {
            signal.closed.store(true, Ordering::Release);
            signal.reader.wake();
            signal.writer.wake();
        }
    }
}

impl Standing {
    /// Call this when a request begins. The connection is not idle until the result is dropped.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.door.lock().admission.begin(self.number);
        Busy(self.clone())
    }

    /// Call this when the other side has sent a valid message. From now on, the connection is closed only if nothing arrives for
    /// a long time, and it never makes room for another.
    pub fn prove(&self) {
        if !self.proven.swap(true, Ordering::Relaxed) {
            self.door.lock().admission.prove(self.number, self.now());
        }
    }

    /// Fails if the listener closed the connection.
    pub(super) fn check(&self) -> io::Result<()> {
        if self.signal.closed.load(Ordering::Acquire) {
            return Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the connection was idle for too long, or made room for another",
            ));
        }
        Ok(())
    }

    /// Bytes of the other side arrived, or the wait for them goes on.
    pub(super) fn watch_read(&self, cx: &Context<'_>, read: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        match read {
            // What arrives before the first valid message may be anything, also a byte each second.
            Poll::Ready(Ok(())) if self.proven.load(Ordering::Relaxed) => self.progress.note(self.now()),
            Poll::Ready(_) => {}
            Poll::Pending => {
                self.signal.reader.register(cx.waker());
                self.check()?;
            }
        }
        read
    }

    /// The other side took bytes, or the wait for that goes on.
    pub(super) fn watch_write<T>(&self, cx: &Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        match &written {
            Poll::Ready(_) => self.progress.note(self.now()),
            Poll::Pending => {
                self.signal.writer.register(cx.waker());
                self.check()?;
            }
        }
        written
    }

    fn now(&self) -> Millis {
        self.door.clock.now()
    }
}

impl Drop for Standing {
    fn drop(&mut self) {
        let mut state = self.door.lock();
        state.admission.ended(self.number);
        state.signals.remove(&self.number);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        let now = self.0.now();
        self.0.door.lock().admission.end(self.0.number, now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_refusal_is_a_whole_http_answer() {
        let text = std::str::from_utf8(HTTP_REFUSAL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}\r\n", body.len())), "the body has {} bytes", body.len());
    }
}
