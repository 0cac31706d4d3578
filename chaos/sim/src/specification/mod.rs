//! What a cluster promises, as a model small enough to be searched whole: leadership, deployment, checkpoints, output.
//!
//! This is the specification: the code may do less in a step, never more. Two JobManagers contend for one store, one job of
//! one task runs on either of two TaskManagers, messages are lost or late, processes die, a former leader does not know that
//! it is one, and answers of the store get lost. [`Specification`] steps through all of that in every order; the properties
//! are the invariants of docs/invariants.md under their ids. [`Flaw`] plants one mistake at a time: that the search finds each
//! is the proof that the properties say something.
//!
//! The task reads rows 0, 1, 2, … and writes them to a two-phase sink: what it wrote since the last barrier is one
//! transaction, named by who wrote it and the checkpoint it belongs to, so that committing it twice is committing it once.

mod flaw;
mod leader;
mod store;
mod worker;

use std::collections::BTreeSet;

use stateright::{Model, Property};

pub use flaw::Flaw;
use leader::Leader;
use store::Store;
use worker::Worker;

/// Bounds of the search, and the mistake that is planted.
#[derive(Debug, Clone)]
pub struct Specification {
    /// Leaderships granted, at most.
    pub epochs: u8,
    /// Deployments of one leadership, at most.
    pub attempts: u8,
    /// Checkpoints triggered, at most.
    pub checkpoints: u8,
    /// Rows there are.
    pub rows: u8,
    /// TaskManagers that die, at most.
    pub deaths: u8,
    pub flaw: Option<Flaw>,
}

impl Default for Specification {
    /// Two of everything, and nobody dies: minutes.
    fn default() -> Self {
        Self { epochs: 2, attempts: 2, checkpoints: 2, rows: 2, deaths: 0, flaw: None }
    }
}

/// Which attempt: the leadership that deployed it, and its number there. Later ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation {
    epoch: u8,
    number: u8,
}

/// What one attempt wrote between two barriers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Transaction {
    by: Generation,
    checkpoint: u8,
    from: u8,
    to: u8,
}

/// A completed checkpoint: where the source was, and what the sink had written but not committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Checkpoint {
    id: u8,
    offset: u8,
    transactions: Vec<Transaction>,
}

/// What is on its way. A message may be late by any time, and may never come.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// From a leader to a TaskManager.
    Order(Order),
    /// This attempt has taken this checkpoint.
    Acknowledge(Generation, Checkpoint),
}

/// What a leader wants of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Order {
    worker: usize,
    epoch: u8,
    generation: Generation,
    what: Wanted,
}

/// What it is to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wanted {
    /// Run, from this checkpoint.
    Start(Option<Checkpoint>),
    /// Take this checkpoint.
    Snapshot(u8),
    /// Commit: this checkpoint is complete.
    Commit(u8),
}

/// A step of the cluster.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// A JobManager is granted leadership, whatever the other believes.
    Acquire(usize),
    /// A JobManager dies and starts again as a standby.
    LeaderDies(usize),
    /// A new leader reads what is in the store.
    Recover(usize),
    /// A leader deploys the task, for the first time or because it believes that it must.
    Deploy(usize, usize),
    /// A leader begins a checkpoint.
    Trigger(usize),
    /// A leader hears of an acknowledgement, and writes the pointer; what becomes of that, and of its answer.
    Complete(usize, Generation, Checkpoint, Answer),
    /// A leader that does not know what became of its pointer looks.
    ReadBack(usize),
    /// A TaskManager gets an order.
    Deliver(Order),
    /// The task handles a row.
    Row(usize),
    /// A TaskManager dies and starts again, empty.
    WorkerDies(usize),
}

/// What the writer of a pointer hears.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// What has happened.
    Heard,
    /// Nothing, and the write was done.
    LostAnswer,
    /// Nothing, and it was not.
    LostRequest,
}

/// The whole cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cluster {
    store: Store,
    leaders: [Leader; 2],
    workers: [Worker; 2],
    network: BTreeSet<Message>,
    /// What readers of the output see.
    committed: BTreeSet<Transaction>,
    deaths: u8,
    seen: Seen,
}

/// What has happened, for properties that no single moment shows.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Seen {
    /// A pointer did not follow the one before (C2).
    pointer_went_back: bool,
    /// The newest leader deployed from another checkpoint than the newest (C6).
    older_restored: bool,
    /// A checkpoint id was given out twice.
    id_reused: bool,
    /// A TaskManager did what a former leader ordered (E4).
    stale_obeyed: bool,
    /// A former leader was refused.
    refused: bool,
    /// A write was done whose answer was lost.
    unknown_but_done: bool,
    /// A task started from a checkpoint of another leadership.
    taken_over: bool,
}

impl Cluster {
    fn rows_committed(&self) -> impl Iterator<Item = u8> {
        self.committed.iter().flat_map(|transaction| transaction.from..transaction.to)
    }

    /// Whether every row below `offset` is in the output.
    fn is_output_below(&self, offset: u8) -> bool {
        (0..offset).all(|row| self.rows_committed().any(|committed| committed == row))
    }
}

impl Model for Specification {
    type State = Cluster;
    type Action = Step;

    fn init_states(&self) -> Vec<Cluster> {
        vec![Cluster {
            store: Store::default(),
            leaders: [const { Leader::Standby }; 2],
            workers: Default::default(),
            network: BTreeSet::new(),
            committed: BTreeSet::new(),
            deaths: 0,
            seen: Seen::default(),
        }]
    }

    fn actions(&self, cluster: &Cluster, steps: &mut Vec<Step>) {
        for number in 0..cluster.leaders.len() {
            self.steps_of_leader(cluster, number, steps);
        }
        for message in &cluster.network {
            if let Message::Order(order) = message {
                steps.push(Step::Deliver(order.clone()));
            }
        }
        for (number, worker) in cluster.workers.iter().enumerate() {
            if let Some(task) = &worker.task {
                if task.offset < self.rows {
                    steps.push(Step::Row(number));
                }
                if cluster.deaths < self.deaths {
                    steps.push(Step::WorkerDies(number));
                }
            }
        }
    }

    fn next_state(&self, cluster: &Cluster, step: Step) -> Option<Cluster> {
        let mut next = cluster.clone();
        match step {
            Step::Acquire(number) => self.acquire(&mut next, number),
            Step::LeaderDies(number) => next.leaders[number] = Leader::Standby,
            Step::Recover(number) => self.recover(&mut next, number),
            Step::Deploy(number, worker) => self.deploy(&mut next, number, worker),
            Step::Trigger(number) => self.trigger(&mut next, number),
            Step::Complete(number, generation, checkpoint, answer) => {
                next.network.remove(&Message::Acknowledge(generation, checkpoint.clone()));
                self.complete(&mut next, number, checkpoint, answer);
            }
            Step::ReadBack(number) => self.read_back(&mut next, number),
            Step::Deliver(order) => self.deliver(&mut next, order),
            Step::Row(worker) => next.workers[worker].handle_row(),
            Step::WorkerDies(worker) => next.worker_dies(worker),
        }
        (next != *cluster).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::<Self>::always("E1: at most one leader per epoch", |_, cluster| {
                let [a, b] = &cluster.leaders;
                a.epoch().is_none() || a.epoch() != b.epoch()
            }),
            Property::<Self>::always("E4: no TaskManager obeys an epoch below one it has seen", |_, cluster| {
                !cluster.seen.stale_obeyed
            }),
            Property::<Self>::always("C1: what the newest pointer names is there", |_, cluster| {
                cluster.store.newest.as_ref().is_none_or(|newest| !cluster.store.deleted.contains(&newest.id))
            }),
            Property::<Self>::always("C2: pointers increase", |_, cluster| !cluster.seen.pointer_went_back),
            Property::<Self>::always("C6: who leads deploys from the newest pointer", |_, cluster| !cluster.seen.older_restored),
            Property::<Self>::always("B1: no checkpoint id is given out twice", |_, cluster| !cluster.seen.id_reused),
            Property::<Self>::always("T1: nothing is output that a checkpoint does not cover", |_, cluster| {
                let covered = cluster.store.newest.as_ref().map_or(0, |newest| newest.offset);
                cluster.rows_committed().all(|row| row < covered)
            }),
            Property::<Self>::always("X1: no row is output twice", |_, cluster| {
                let rows: Vec<_> = cluster.rows_committed().collect();
                rows.iter().collect::<BTreeSet<_>>().len() == rows.len()
            }),
            Property::<Self>::always("X1: a task starts where the output ends", |_, cluster| {
                cluster.workers.iter().flat_map(|worker| &worker.task).all(|task| cluster.is_output_below(task.started_at))
            }),
            Property::<Self>::sometimes("all rows are output", |specification, cluster| {
                cluster.is_output_below(specification.rows)
            }),
            Property::<Self>::sometimes("a former leader is refused", |_, cluster| cluster.seen.refused),
            Property::<Self>::sometimes("a lost answer was of a pointer that was written", |_, cluster| {
                cluster.seen.unknown_but_done
            }),
            Property::<Self>::sometimes("another leader goes on from a checkpoint", |_, cluster| cluster.seen.taken_over),
        ]
    }
}

#[cfg(test)]
mod tests;
