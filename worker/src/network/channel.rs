//! A bounded queue of stream elements between one producer and one consumer, and the wakers of both ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use tokio::sync::Notify;
use weir_dataflow::element::StreamElement;

/// Wakes the thread of one slot; cheap when it is awake.
#[derive(Debug, Clone, Default)]
pub struct SlotWaker {
    shared: Arc<SlotWakerState>,
}

#[derive(Debug, Default)]
struct SlotWakerState {
    sleeper: OnceLock<Sleeper>,
    pending: AtomicBool,
}

/// What a slot waits as.
#[derive(Debug)]
enum Sleeper {
    Thread(Thread),
    /// In a simulation.
    Task(Arc<Notify>),
}

impl SlotWaker {
    /// Names the thread to wake: called once, by that thread.
    pub fn bind_current_thread(&self) {
        let _ = self.shared.sleeper.set(Sleeper::Thread(std::thread::current()));
    }

    /// What a slot that is a task, as in a simulation, waits for: called once.
    pub fn bind_task(&self) -> Arc<Notify> {
        let news = Arc::new(Notify::new());
        let _ = self.shared.sleeper.set(Sleeper::Task(news.clone()));
        news
    }

    /// There is something to do.
    pub fn wake(&self) {
        if !self.shared.pending.swap(true, Ordering::AcqRel) {
            match self.shared.sleeper.get() {
                Some(Sleeper::Thread(thread)) => thread.unpark(),
                Some(Sleeper::Task(news)) => news.notify_one(),
                None => {}
            }
        }
    }

    /// Whether somebody called [`SlotWaker::wake`] since the last call; asked before parking.
    pub fn take_pending(&self) -> bool {
        self.shared.pending.swap(false, Ordering::AcqRel)
    }
}

/// Who is to be told about a change at the other end.
#[derive(Debug, Clone)]
pub enum Waker {
    /// A slot thread.
    Slot(SlotWaker),
    /// A task of the I/O runtime.
    Io(Arc<Notify>),
}

impl Waker {
    fn wake(&self) {
        match self {
            Self::Slot(waker) => waker.wake(),
            Self::Io(notify) => notify.notify_one(),
        }
    }
}

/// How a channel ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closure {
    /// The producer is done; what is queued is still to be consumed.
    Finished,
    /// The producer was stopped or failed by itself. Its region is being stopped by whoever knows why; the consumer waits for
    /// that a while, so that the first failure reported is the cause and not its echo.
    ProducerStopped(String),
    /// The connection broke: nobody else may know, so the consumer fails at once.
    Lost(String),
}

/// What the consumer's look at the channel found.
#[derive(Debug)]
pub enum Polled {
    /// The next element.
    Element(StreamElement),
    Empty,
    /// Nothing ever again.
    Closed(Closure),
}

/// A bounded queue between one producer and one consumer. Soft bound: the producer asks [`Channel::has_room`] before it starts
/// on an input, and may push what that input yields.
#[derive(Debug)]
pub struct Channel {
    state: Mutex<State>,
    /// Number of queued elements, plus one when closed: read without the lock.
    visible: AtomicUsize,
    full: AtomicBool,
    /// Closed in a way that voids what is queued.
    broken: AtomicBool,
    limits: ChannelLimits,
    producer: OnceLock<Waker>,
    consumer: OnceLock<Waker>,
}

/// How much a channel holds.
#[derive(Debug, Clone, Copy)]
pub struct ChannelLimits {
    pub elements: usize,
    /// Bytes of rows.
    pub bytes: usize,
}

#[derive(Debug, Default)]
struct State {
    queue: VecDeque<(StreamElement, usize)>,
    bytes: usize,
    closed: Option<Closure>,
}

impl Channel {
    /// An empty channel.
    pub fn new(limits: ChannelLimits) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::default()),
            visible: AtomicUsize::new(0),
            full: AtomicBool::new(false),
            broken: AtomicBool::new(false),
            limits,
            producer: OnceLock::new(),
            consumer: OnceLock::new(),
        })
    }

    /// Whom to wake when there is room again. Set once, before the first push.
    pub fn set_producer(&self, waker: Waker) {
        let _ = self.producer.set(waker);
    }

    /// Whom to wake when something arrives. Set once.
    pub fn set_consumer(&self, waker: Waker) {
        if self.consumer.set(waker.clone()).is_ok() {
            waker.wake();
        }
    }

    /// Whether the producer should go on producing.
    pub fn has_room(&self) -> bool {
        !self.full.load(Ordering::Acquire)
    }

    /// Elements queued now.
    pub fn queued(&self) -> usize {
        self.lock().queue.len()
    }

    /// Appends an element of `bytes` bytes.
    pub fn push(&self, element: StreamElement, bytes: usize) {
        {
            let mut state = self.lock();
            if state.closed.is_some() {
                return;
            }
            state.bytes += bytes;
            state.queue.push_back((element, bytes));
            self.publish(&state);
        }
        if let Some(consumer) = self.consumer.get() {
            consumer.wake();
        }
    }

    /// Takes the next element, with its size in bytes.
    pub fn poll(&self) -> (Polled, usize) {
        if self.visible.load(Ordering::Acquire) == 0 {
            return (Polled::Empty, 0);
        }
        let (polled, freed) = {
            let mut state = self.lock();
            // A broken connection or a stopped producer voids what is queued: it could never be covered by a checkpoint.
            if let Some(closure) = &state.closed
                && (state.queue.is_empty() || *closure != Closure::Finished)
            {
                return (Polled::Closed(closure.clone()), 0);
            }
            let Some((element, bytes)) = state.queue.pop_front() else {
                return (Polled::Empty, 0);
            };
            state.bytes -= bytes;
            let was_full = self.full.load(Ordering::Acquire);
            self.publish(&state);
            ((Polled::Element(element), bytes), was_full && !self.full.load(Ordering::Acquire))
        };
        if freed && let Some(producer) = self.producer.get() {
            producer.wake();
        }
        polled
    }

    /// Ends the channel. The first reason stays.
    pub fn close(&self, closure: Closure) {
        {
            let mut state = self.lock();
            if state.closed.is_some() {
                return;
            }
            self.broken.store(closure != Closure::Finished, Ordering::Release);
            state.closed = Some(closure);
            self.publish(&state);
        }
        if let Some(consumer) = self.consumer.get() {
            consumer.wake();
        }
    }

    /// How the channel broke, if it did: seen without taking an element, also by a consumer that must not take one now.
    pub fn failure(&self) -> Option<Closure> {
        if !self.broken.load(Ordering::Acquire) {
            return None;
        }
        self.lock().closed.clone()
    }

    fn publish(&self, state: &State) {
        self.visible.store(state.queue.len() + usize::from(state.closed.is_some()), Ordering::Release);
        let full = state.queue.len() >= self.limits.elements || state.bytes >= self.limits.bytes;
        self.full.store(full, Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> ChannelLimits {
        ChannelLimits { elements: 2, bytes: 1000 }
    }

    #[test]
    fn elements_come_out_in_the_order_they_went_in() {
        let channel = Channel::new(limits());
        for watermark in 0..5 {
            channel.push(StreamElement::Watermark(watermark), 0);
        }
        for expected in 0..5 {
            assert!(matches!(channel.poll().0, Polled::Element(StreamElement::Watermark(w)) if w == expected));
        }
        assert!(matches!(channel.poll().0, Polled::Empty));
    }

    #[test]
    fn a_channel_has_no_room_at_its_limit_of_elements_or_bytes_and_wakes_the_producer_once_it_has_again() {
        let channel = Channel::new(limits());
        let waker = SlotWaker::default();
        channel.set_producer(Waker::Slot(waker.clone()));
        channel.push(StreamElement::Idle, 1000);
        assert!(!channel.has_room());
        channel.poll();
        assert!(channel.has_room());
        assert!(waker.take_pending());
        channel.push(StreamElement::Idle, 0);
        channel.push(StreamElement::Idle, 0);
        assert!(!channel.has_room());
    }

    #[test]
    fn a_finished_channel_is_drained_first_and_a_lost_one_is_not() {
        let finished = Channel::new(limits());
        finished.push(StreamElement::Idle, 0);
        finished.close(Closure::Finished);
        assert!(matches!(finished.poll().0, Polled::Element(_)));
        assert!(matches!(finished.poll().0, Polled::Closed(Closure::Finished)));
        let lost = Channel::new(limits());
        lost.push(StreamElement::Idle, 0);
        lost.close(Closure::Lost("x".into()));
        assert!(matches!(lost.poll().0, Polled::Closed(Closure::Lost(_))));
    }
}
