//! The leader's open streams to TaskManagers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};
use weir_protocol::link::{Order, ToTaskManager};
use weir_protocol::{CheckpointId, LeaderEpoch, TaskManagerId};

/// Number of orders that may wait for one TaskManager. If there are more, the link is broken. All orders that many jobs give within
/// a heartbeat timeout find room, so a TaskManager that is only late keeps its tasks.
pub const LINK_QUEUE_ORDERS: usize = 65_536;

/// If more orders wait for a TaskManager, its tasks are not told to take checkpoints. An order that waits is of no use for a
/// checkpoint, because the other tasks of the job wait for it.
const BUSY_ORDERS: usize = 1_024;

/// Identifies one stream of a TaskManager. A later stream has a higher id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub u64);

/// Why an order could not be sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotSent {
    /// The TaskManager has no link, or its link was just broken because the queue is full. The ResourceManager tells every
    /// affected JobMaster, so callers need not retry.
    #[error("no link to TaskManager {task_manager}: {reason}")]
    LinkLost {
        task_manager: TaskManagerId,
        /// Why, for people.
        reason: String,
    },
    /// The trigger of a checkpoint would come too late. The checkpoint must be aborted.
    #[error("TaskManager {task_manager} is behind with its orders: {waiting} wait for it")]
    Busy {
        checkpoint: CheckpointId,
        task_manager: TaskManagerId,
        /// Number of orders that wait.
        waiting: usize,
    },
}

/// The links to all registered TaskManagers. Every order carries this leader's epoch (E4).
#[derive(Clone)]
pub struct TaskManagerLinks {
    shared: Arc<Links>,
}

struct Links {
    epoch: LeaderEpoch,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    next: u64,
    closed: bool,
    links: BTreeMap<TaskManagerId, Link>,
}

struct Link {
    id: LinkId,
    orders: mpsc::Sender<ToTaskManager>,
    broken: watch::Sender<Option<String>>,
}

/// The stream's end of a link: the orders to send, and the signal to stop.
#[derive(Debug)]
pub struct LinkEnd {
    pub id: LinkId,
    /// Orders to send, oldest first.
    pub orders: mpsc::Receiver<ToTaskManager>,
    /// Set to the reason once the link is broken.
    pub broken: watch::Receiver<Option<String>>,
}

impl fmt::Debug for TaskManagerLinks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TaskManagerLinks").field("epoch", &self.shared.epoch).finish_non_exhaustive()
    }
}

impl TaskManagerLinks {
    /// Creates an empty set of links for this epoch.
    pub fn new(epoch: LeaderEpoch) -> Self {
        Self { shared: Arc::new(Links { epoch, open: Mutex::default() }) }
    }

    /// The epoch that every order carries.
    pub fn epoch(&self) -> LeaderEpoch {
        self.shared.epoch
    }

    /// Queues an order. Never blocks: if the queue is full, the link is broken, and the TaskManager must register again.
    pub fn send(&self, task_manager: &TaskManagerId, order: Order) -> Result<(), NotSent> {
        let lost = |reason: &str| NotSent::LinkLost { task_manager: task_manager.clone(), reason: reason.to_string() };
        let mut open = self.lock();
        let Some(link) = open.links.get(task_manager) else { return Err(lost("not connected")) };
        let waiting = link.orders.max_capacity() - link.orders.capacity();
        if let Order::TriggerCheckpoint { barrier, .. } = &order
            && waiting >= BUSY_ORDERS
        {
            return Err(NotSent::Busy { checkpoint: barrier.id, task_manager: task_manager.clone(), waiting });
        }
        match link.orders.try_send(ToTaskManager { epoch: self.shared.epoch, order }) {
            Ok(()) => Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => Err(lost("the stream has ended")),
            Err(mpsc::error::TrySendError::Full(_)) => {
                let reason = format!("{LINK_QUEUE_ORDERS} orders wait for it");
                tracing::warn!(%task_manager, reason, "breaking the link: the TaskManager doesn't take its orders");
                if let Some(link) = open.links.remove(task_manager) {
                    link.broken.send_replace(Some(reason.clone()));
                }
                Err(lost(&reason))
            }
        }
    }

    /// Opens a link and breaks an earlier one of the same TaskManager. Returns `None` after [`Self::close`].
    pub fn open(&self, task_manager: &TaskManagerId) -> Option<LinkEnd> {
        let mut open = self.lock();
        if open.closed {
            return None;
        }
        open.next += 1;
        let id = LinkId(open.next);
        let (orders, orders_end) = mpsc::channel(LINK_QUEUE_ORDERS);
        let (broken, broken_end) = watch::channel(None);
        if let Some(earlier) = open.links.insert(task_manager.clone(), Link { id, orders, broken }) {
            earlier.broken.send_replace(Some("the TaskManager connected again".to_string()));
        }
        Some(LinkEnd { id, orders: orders_end, broken: broken_end })
    }

    /// Breaks the TaskManager's current link, if there is one.
    pub fn break_link(&self, task_manager: &TaskManagerId, reason: &str) {
        if let Some(link) = self.lock().links.remove(task_manager) {
            link.broken.send_replace(Some(reason.to_string()));
        }
    }

    /// Removes the link if it still has this id.
    pub fn remove(&self, task_manager: &TaskManagerId, id: LinkId) {
        let mut open = self.lock();
        if open.links.get(task_manager).is_some_and(|link| link.id == id) {
            open.links.remove(task_manager);
        }
    }

    /// Breaks all links and opens no more, because leadership has ended.
    pub fn close(&self, reason: &str) {
        let mut open = self.lock();
        open.closed = true;
        for (_, link) in std::mem::take(&mut open.links) {
            link.broken.send_replace(Some(reason.to_string()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.shared.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointKind};

    use super::*;

    fn tm(name: &str) -> TaskManagerId {
        TaskManagerId(name.to_string())
    }

    #[test]
    fn orders_arrive_in_order_and_carry_the_epoch() {
        let links = TaskManagerLinks::new(LeaderEpoch(7));
        let mut end = links.open(&tm("a")).expect("open");
        links.send(&tm("a"), Order::Registered).expect("sent");
        links.send(&tm("a"), Order::HeartbeatAck).expect("sent");
        let sent: Vec<_> = std::iter::from_fn(|| end.orders.try_recv().ok()).collect();
        let orders = [Order::Registered, Order::HeartbeatAck];
        assert_eq!(sent, orders.map(|order| ToTaskManager { epoch: LeaderEpoch(7), order }));
    }

    #[test]
    fn a_full_queue_breaks_the_link_and_nothing_is_silently_lost() {
        let links = TaskManagerLinks::new(LeaderEpoch(1));
        let end = links.open(&tm("a")).expect("open");
        for _ in 0..LINK_QUEUE_ORDERS {
            links.send(&tm("a"), Order::HeartbeatAck).expect("there is room");
        }
        assert!(links.send(&tm("a"), Order::HeartbeatAck).is_err());
        assert!(end.broken.borrow().is_some());
        assert!(links.send(&tm("a"), Order::HeartbeatAck).is_err(), "the link is broken");
    }

    #[test]
    fn a_task_manager_that_is_behind_gets_no_triggers_but_all_other_orders() {
        let links = TaskManagerLinks::new(LeaderEpoch(1));
        let mut end = links.open(&tm("a")).expect("open");
        let barrier = CheckpointBarrier { id: CheckpointId(1), kind: CheckpointKind::Checkpoint, timestamp_ms: 0 };
        let trigger = || links.send(&tm("a"), Order::TriggerCheckpoint { barrier, attempts: Vec::new() });
        for _ in 0..BUSY_ORDERS {
            trigger().expect("it keeps up");
        }
        let busy = NotSent::Busy { checkpoint: CheckpointId(1), task_manager: tm("a"), waiting: BUSY_ORDERS };
        assert_eq!(trigger(), Err(busy));
        links.send(&tm("a"), Order::Cancel(Vec::new())).expect("sent");
        assert!(end.broken.borrow_and_update().is_none(), "its link stays");
        while end.orders.try_recv().is_ok() {}
        trigger().expect("it has caught up");
    }

    #[test]
    fn a_new_link_breaks_the_old_one_and_the_end_of_the_old_one_does_not_affect_it() {
        let links = TaskManagerLinks::new(LeaderEpoch(1));
        let old = links.open(&tm("a")).expect("open");
        let new = links.open(&tm("a")).expect("open");
        assert!(old.broken.borrow().is_some());
        links.remove(&tm("a"), old.id);
        links.send(&tm("a"), Order::Registered).expect("the new link is open");
        assert!(new.broken.borrow().is_none());
    }

    #[test]
    fn after_close_no_link_opens() {
        let links = TaskManagerLinks::new(LeaderEpoch(1));
        let end = links.open(&tm("a")).expect("open");
        links.close("over");
        assert_eq!(end.broken.borrow().as_deref(), Some("over"));
        assert!(links.open(&tm("b")).is_none());
    }
}
