//! The agent's handle to one task. The agent gives orders without waiting, and reads counters.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use weir_protocol::checkpoint::CheckpointBarrier;
use weir_protocol::{CheckpointId, ExecutionAttemptId};

use crate::metrics::TaskCounters;
use crate::network::channel::SlotWaker;

/// An order to a task.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TaskOrder {
    /// A source injects this barrier.
    Trigger(CheckpointBarrier),
    /// The checkpoint is durable. The task commits and, if `last`, finishes.
    Complete { checkpoint: CheckpointId, last: bool },
    /// The checkpoint will never complete.
    Aborted(CheckpointId),
}

/// Most orders that a task may leave unread. A slot thread that leaves more has been stuck for long, for example in a hung file
/// system.
const MAX_ORDERS: usize = 1024;

/// The control of one task. The agent, the I/O runtime and the slot thread share it.
#[derive(Debug)]
pub struct TaskControl {
    attempt: ExecutionAttemptId,
    orders: Mutex<VecDeque<TaskOrder>>,
    has_orders: AtomicBool,
    lost_orders: AtomicBool,
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
            lost_orders: AtomicBool::new(false),
            canceled: AtomicBool::new(false),
            cancel_news: Notify::new(),
            waker,
            counters: Arc::new(TaskCounters::default()),
        })
    }

    /// The task's attempt id.
    pub fn attempt(&self) -> ExecutionAttemptId {
        self.attempt
    }

    /// The task's counters.
    pub fn counters(&self) -> &Arc<TaskCounters> {
        &self.counters
    }

    /// The waker of the task's thread.
    pub fn waker(&self) -> &SlotWaker {
        &self.waker
    }

    /// Queues an order. Returns false if there is no room for it. Then [`Self::has_lost_orders`] is true for good: without the
    /// order, a sink might never commit or a task never finish, so the task must fail.
    pub fn order(&self, order: TaskOrder) -> bool {
        {
            let mut orders = self.orders.lock().unwrap_or_else(PoisonError::into_inner);
            if orders.len() >= MAX_ORDERS {
                self.lost_orders.store(true, Ordering::Release);
                return false;
            }
            orders.push_back(order);
            self.has_orders.store(true, Ordering::Release);
        }
        self.waker.wake();
        true
    }

    /// Whether an order found no room.
    pub fn has_lost_orders(&self) -> bool {
        self.lost_orders.load(Ordering::Acquire)
    }

    /// Cancels the task, in whatever state it is.
    pub fn cancel(&self) {
        self.canceled.store(true, Ordering::Release);
        self.cancel_news.notify_waiters();
        self.waker.wake();
    }

    /// Whether the task was canceled.
    pub fn is_canceled(&self) -> bool {
        self.canceled.load(Ordering::Acquire)
    }

    /// Waits until the task is canceled.
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

    /// Takes the next order, if there is one.
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
