//! The agent's handle on one task: orders go in without waiting, counters come out.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use weir_protocol::checkpoint::CheckpointBarrier;
use weir_protocol::{CheckpointId, ExecutionAttemptId};

use crate::metrics::TaskCounters;
use crate::network::channel::SlotWaker;

/// What a task is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskOrder {
    /// A source injects this barrier.
    Trigger(CheckpointBarrier),
    /// The checkpoint is durable: commit; if `last`, finish.
    Complete {
        checkpoint: CheckpointId,
        /// The final one.
        last: bool,
    },
    /// The checkpoint will never complete.
    Aborted(CheckpointId),
}

/// Orders a task may leave unread; a slot thread stuck for that long is as good as dead.
const MAX_ORDERS: usize = 1024;

/// Shared by the agent, the I/O runtime and the slot thread.
#[derive(Debug)]
pub struct TaskControl {
    attempt: ExecutionAttemptId,
    orders: Mutex<VecDeque<TaskOrder>>,
    has_orders: AtomicBool,
    canceled: AtomicBool,
    cancel_news: Notify,
    waker: SlotWaker,
    counters: Arc<TaskCounters>,
}

impl TaskControl {
    /// The control of a task that will run on the thread behind `waker`.
    pub fn new(attempt: ExecutionAttemptId, waker: SlotWaker) -> Arc<Self> {
        Arc::new(Self {
            attempt,
            orders: Mutex::new(VecDeque::new()),
            has_orders: AtomicBool::new(false),
            canceled: AtomicBool::new(false),
            cancel_news: Notify::new(),
            waker,
            counters: Arc::new(TaskCounters::default()),
        })
    }

    /// Which attempt.
    pub fn attempt(&self) -> ExecutionAttemptId {
        self.attempt
    }

    /// Its counters.
    pub fn counters(&self) -> &Arc<TaskCounters> {
        &self.counters
    }

    /// Wakes the task's thread.
    pub fn waker(&self) -> &SlotWaker {
        &self.waker
    }

    /// Gives an order. Returns whether there was room for it.
    pub fn order(&self, order: TaskOrder) -> bool {
        {
            let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            if orders.len() >= MAX_ORDERS {
                return false;
            }
            orders.push_back(order);
            self.has_orders.store(true, Ordering::Release);
        }
        self.waker.wake();
        true
    }

    /// Stops the task, wherever it is.
    pub fn cancel(&self) {
        self.canceled.store(true, Ordering::Release);
        self.cancel_news.notify_waiters();
        self.waker.wake();
    }

    /// Whether the task is to stop.
    pub fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Acquire)
    }

    /// Returns when the task is to stop.
    pub async fn canceled(&self) {
        loop {
            let news = self.cancel_news.notified();
            tokio::pin!(news);
            news.as_mut().enable();
            if self.is_canceled() {
                return;
            }
            news.await;
        }
    }

    /// The next order.
    pub fn next_order(&self) -> Option<TaskOrder> {
        if !self.has_orders.load(Ordering::Acquire) {
            return None;
        }
        let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
        let order = orders.pop_front();
        self.has_orders.store(!orders.is_empty(), Ordering::Release);
        order
    }
}
