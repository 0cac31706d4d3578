//! What the fetcher has read and the slot's thread has not yet taken.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use tokio::sync::Notify;
use weir_dataflow::operator::OperatorError;

use super::aborted::AbortedTransactions;
use super::partition::SourcePartition;

/// Batches of one partition, as a broker sent them.
#[derive(Debug)]
pub(super) struct Chunk {
    /// Index of the partition, in the order in which the source got to know them.
    pub(super) partition: usize,
    pub(super) bytes: Bytes,
    pub(super) aborted: AbortedTransactions,
    /// Offset behind the last record of the partition when it was read.
    pub(super) high_watermark: i64,
}

/// Something for the slot's thread.
#[derive(Debug)]
pub(super) enum Fetched {
    Chunk(Chunk),
    /// A partition that has appeared since the job began. It gets the next index.
    NewPartition(SourcePartition),
}

/// A bounded queue between a source's fetcher and its slot.
pub(super) struct Buffer {
    state: Mutex<State>,
    has_news: AtomicBool,
    wake: Waker,
    /// Tells the fetcher that there is room again.
    pub(super) room: Notify,
    max_bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<Fetched>,
    bytes: usize,
    failure: Option<OperatorError>,
}

impl Buffer {
    /// Takes no more while it holds `max_bytes`.
    pub(super) fn new(max_bytes: usize, wake: Waker) -> Self {
        Self { state: Mutex::default(), has_news: AtomicBool::new(false), wake, room: Notify::new(), max_bytes }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn has_room(&self) -> bool {
        self.lock().bytes < self.max_bytes
    }

    /// Adds what was read and wakes the slot.
    pub(super) fn push(&self, fetched: Vec<Fetched>) {
        if fetched.is_empty() {
            return;
        }
        let mut state = self.lock();
        state.bytes += fetched.iter().map(Fetched::bytes).sum::<usize>();
        state.queue.extend(fetched);
        drop(state);
        self.announce();
    }

    /// Only the first error counts.
    pub(super) fn fail(&self, error: OperatorError) {
        self.lock().failure.get_or_insert(error);
        self.announce();
    }

    fn announce(&self) {
        self.has_news.store(true, Ordering::Release);
        self.wake.wake_by_ref();
    }

    /// Whether something was added since the queue was last found empty.
    pub(super) fn has_news(&self) -> bool {
        self.has_news.load(Ordering::Acquire)
    }

    /// Takes the next entry. An error of the fetcher comes after everything that was read before it.
    pub(super) fn pop(&self) -> Result<Option<Fetched>, OperatorError> {
        let mut state = self.lock();
        let Some(fetched) = state.queue.pop_front() else {
            self.has_news.store(false, Ordering::Release);
            return state.failure.clone().map_or(Ok(None), Err);
        };
        let was_full = state.bytes >= self.max_bytes;
        state.bytes -= fetched.bytes();
        let has_room = was_full && state.bytes < self.max_bytes;
        drop(state);
        if has_room {
            self.room.notify_one();
        }
        Ok(Some(fetched))
    }
}

impl Fetched {
    fn bytes(&self) -> usize {
        match self {
            Self::Chunk(chunk) => chunk.bytes.len(),
            Self::NewPartition(_) => 0,
        }
    }
}
