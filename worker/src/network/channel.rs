//! A bounded queue of stream elements between one producer and one consumer, and the wakers of both ends.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;

use tokio::sync::Notify;
use weir_dataflow::element::StreamElement;

/// Wakes the thread of one slot. This is cheap if the thread is awake.
#[derive(Debug, Clone, Default)]
pub struct SlotWaker {
    shared: Arc<SlotWakerState>,
}

#[derive(Debug, Default)]
struct SlotWakerState {
    sleeper: OnceLock<Sleeper>,
    pending: AtomicBool,
}

impl SlotWakerState {
    fn wake_sleeper(&self) {
        if !self.pending.swap(true, Ordering::AcqRel) {
            match self.sleeper.get() {
                Some(Sleeper::Thread(thread)) => thread.unpark(),
                Some(Sleeper::Task(news)) => news.notify_one(),
                None => {}
            }
        }
    }
}

impl std::task::Wake for SlotWakerState {
    fn wake(self: Arc<Self>) {
        self.wake_sleeper();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.wake_sleeper();
    }
}

/// What runs a slot and may sleep.
#[derive(Debug)]
enum Sleeper {
    Thread(Thread),
    /// In a simulation, a slot is a task.
    Task(Arc<Notify>),
}

impl SlotWaker {
    /// Makes this waker wake the calling thread. Call it once.
    pub fn bind_current_thread(&self) {
        let _ = self.shared.sleeper.set(Sleeper::Thread(std::thread::current()));
    }

    /// Makes this waker wake a task, as in a simulation, and returns what that task waits for. Call it once.
    pub fn bind_task(&self) -> Arc<Notify> {
        let news = Arc::new(Notify::new());
        let _ = self.shared.sleeper.set(Sleeper::Task(news.clone()));
        news
    }

    /// Tells the slot that there is something to do.
    pub fn wake(&self) {
        self.shared.wake_sleeper();
    }

    /// The same waker in the form that operators get.
    pub fn for_operators(&self) -> std::task::Waker {
        std::task::Waker::from(self.shared.clone())
    }

    /// Whether [`SlotWaker::wake`] was called since the last call of this method. A slot asks before it sleeps.
    pub fn take_pending(&self) -> bool {
        self.shared.pending.swap(false, Ordering::AcqRel)
    }
}

/// Wakes one end of a channel after a change at the other end.
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

/// How a channel was closed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Closure {
    /// The producer has finished. The consumer still takes the queued elements.
    Finished,
    /// The producer was stopped, or failed by itself. The JobManager knows the cause and is stopping the region. The consumer
    /// waits for that for a while, so that the first reported failure is the cause and not its consequence.
    ProducerStopped(String),
    /// The connection broke. Perhaps no other process noticed, so the consumer fails at once.
    Lost(String),
}

/// The result of [`Channel::poll`].
#[derive(Debug)]
pub enum Polled {
    /// The next element.
    Element(StreamElement),
    Empty,
    /// No element will ever follow.
    Closed(Closure),
}

/// A bounded queue between one producer and one consumer. The bound is soft: the producer asks [`Channel::has_room`] before it
/// starts on an input, and may push everything that this input yields.
#[derive(Debug)]
pub struct Channel {
    state: Mutex<State>,
    /// Number of queued elements, plus one if the channel is closed. It is read without the lock.
    visible: AtomicUsize,
    full: AtomicBool,
    /// Whether the channel was closed in a way that discards the queued elements.
    broken: AtomicBool,
    limits: ChannelLimits,
    producer: OnceLock<Waker>,
    consumer: OnceLock<Waker>,
}

/// The limits of one channel.
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

    /// Sets what to wake when there is room again. Call it once, before the first push.
    pub fn set_producer(&self, waker: Waker) {
        let _ = self.producer.set(waker);
    }

    /// Sets what to wake when an element arrives, and wakes it. Call it once.
    pub fn set_consumer(&self, waker: Waker) {
        if self.consumer.set(waker.clone()).is_ok() {
            waker.wake();
        }
    }

    /// Whether the producer may start on its next input.
    pub fn has_room(&self) -> bool {
        !self.full.load(Ordering::Acquire)
    }

    /// Number of queued elements.
    pub fn queued(&self) -> usize {
        self.lock().queue.len()
    }

    /// Appends an element of `bytes` bytes. If the channel is closed, drops it.
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
            // If the connection broke or the producer was stopped, queued elements are discarded: no checkpoint could cover them.
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

    /// Closes the channel. If it is closed already, the first reason stays.
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

    /// How the channel broke, if it did. Takes no element, so a consumer may ask even while the channel is blocked.
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
    fn a_channel_is_full_at_either_limit_and_wakes_the_producer_once_it_has_room() {
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
