//! The steps of a TaskManager in the specification, and of its task.

use std::collections::BTreeSet;

use super::{Checkpoint, Cluster, Flaw, Generation, Message, Order, Specification, Transaction, Wanted};

/// A TaskManager in the specification.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Worker {
    /// The highest epoch that the TaskManager has seen.
    pub highest: u8,
    pub task: Option<Task>,
}

/// A running attempt at the task.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Task {
    pub generation: Generation,
    /// The row at which the attempt started.
    pub started_at: u8,
    /// The next row to handle.
    pub offset: u8,
    /// The first row of the open transaction.
    from: u8,
    /// Transactions that are written but not committed.
    pre_committed: Vec<Transaction>,
}

impl Worker {
    pub(super) fn handle_row(&mut self) {
        if let Some(task) = &mut self.task {
            task.offset += 1;
        }
    }
}

impl Specification {
    pub(super) fn deliver(&self, cluster: &mut Cluster, order: Order) {
        cluster.network.remove(&Message::Order(order.clone()));
        let Order { worker: number, epoch, generation, what } = order;
        let worker = &mut cluster.workers[number];
        if epoch < worker.highest && self.flaw != Some(Flaw::StaleOrderObeyed) {
            return;
        }
        cluster.seen.stale_obeyed |= epoch < worker.highest;
        // Orders of a former leader are refused from now on. Its task keeps running until the new leader decides.
        worker.highest = worker.highest.max(epoch);
        match what {
            Wanted::Start(restore) => self.start(cluster, number, generation, restore),
            Wanted::Snapshot(id) => self.snapshot(cluster, number, generation, id),
            Wanted::Commit(id) => self.commit(cluster, number, generation, id),
        }
    }

    fn start(&self, cluster: &mut Cluster, number: usize, generation: Generation, restore: Option<Checkpoint>) {
        let task = &mut cluster.workers[number].task;
        let obeys = self.flaw == Some(Flaw::StaleOrderObeyed);
        if !obeys && task.as_ref().is_some_and(|task| task.generation >= generation) {
            return;
        }
        let (offset, transactions) = restore.map_or((0, Vec::new()), |restore| {
            cluster.seen.taken_over |= restore.transactions.iter().any(|transaction| transaction.by.epoch < generation.epoch);
            (restore.offset, restore.transactions)
        });
        *task = Some(Task { generation, started_at: offset, offset, from: offset, pre_committed: Vec::new() });
        match self.flaw {
            Some(Flaw::PreCommittedForgotten) => {}
            Some(Flaw::CommittedUnderAnotherName) => {
                cluster
                    .committed
                    .extend(transactions.into_iter().map(|transaction| Transaction { by: generation, ..transaction }));
            }
            _ => cluster.committed.extend(transactions),
        }
    }

    fn snapshot(&self, cluster: &mut Cluster, number: usize, generation: Generation, id: u8) {
        let Some(task) = cluster.workers[number].task.as_mut().filter(|task| task.generation == generation) else { return };
        if task.offset > task.from {
            let written = Transaction { by: generation, checkpoint: id, from: task.from, to: task.offset };
            if self.flaw == Some(Flaw::CommittedAtBarrier) {
                cluster.committed.insert(written);
            } else {
                task.pre_committed.push(written);
            }
            task.from = task.offset;
        }
        let checkpoint = Checkpoint { id, offset: task.offset, transactions: task.pre_committed.clone() };
        cluster.network.insert(Message::Acknowledge(generation, checkpoint));
    }

    fn commit(&self, cluster: &mut Cluster, number: usize, generation: Generation, id: u8) {
        let Some(task) = cluster.workers[number].task.as_mut().filter(|task| task.generation == generation) else { return };
        let (now, later): (BTreeSet<_>, BTreeSet<_>) =
            task.pre_committed.iter().copied().partition(|written| written.checkpoint <= id);
        task.pre_committed = later.into_iter().collect();
        cluster.committed.extend(now);
    }
}

impl Cluster {
    /// The TaskManager dies. Orders in flight to it are lost with the connection.
    pub(super) fn worker_dies(&mut self, number: usize) {
        self.workers[number] = Worker::default();
        self.deaths += 1;
        self.network.retain(|message| !matches!(message, Message::Order(order) if order.worker == number));
    }
}
