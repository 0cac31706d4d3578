//! The promises of a cluster, as a model that is small enough to be searched completely: leadership, deployment, checkpoints,
//! output.
//!
//! This is the specification: the code may do less in a step, but never more. Two JobManagers contend for one store. One job with
//! one task runs on either of two TaskManagers. Messages are lost or late, processes die, a former leader does not know that it
//! is one, and the store's answers get lost. [`Specification`] steps through all of that in every order. The properties are the
//! invariants of docs/invariants.md under their ids. [`Flaw`] plants one mistake at a time. The search must find each mistake,
//! which proves that the properties are not empty.
//!
//! The task reads rows 0, 1, 2, … and writes them to a two-phase sink. The rows since the last barrier are one transaction. Its
//! name is the attempt that wrote it and its checkpoint, so committing it twice has the same effect as committing it once.

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

/// The bounds of a search, and the mistake that is planted.
#[derive(Debug, Clone)]
pub struct Specification {
    /// Maximum number of leaderships granted.
    pub epochs: u8,
    /// Maximum number of deployments in one leadership.
    pub attempts: u8,
    /// Maximum number of checkpoints triggered.
    pub checkpoints: u8,
    /// Number of rows of the source.
    pub rows: u8,
    /// Maximum number of deaths of TaskManagers.
    pub deaths: u8,
    pub flaw: Option<Flaw>,
}

impl Default for Specification {
    /// Two of everything, and no TaskManager dies. The search takes minutes.
    fn default() -> Self {
        Self { epochs: 2, attempts: 2, checkpoints: 2, rows: 2, deaths: 0, flaw: None }
    }
}

/// Identifies an attempt by the epoch of the leader that deployed it, and its number there. Later attempts are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation {
    epoch: u8,
    number: u8,
}

/// The rows that one attempt wrote between two barriers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Transaction {
    by: Generation,
    checkpoint: u8,
    from: u8,
    to: u8,
}

/// A checkpoint: the offset of the source, and the transactions that the sink had written but not committed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Checkpoint {
    id: u8,
    offset: u8,
    transactions: Vec<Transaction>,
}

/// A message in flight. It may be delayed for any time, and may never arrive.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Message {
    /// An order from a leader to a TaskManager.
    Order(Order),
    /// An attempt acknowledges a checkpoint.
    Acknowledge(Generation, Checkpoint),
}

/// An order of a leader to an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Order {
    worker: usize,
    epoch: u8,
    generation: Generation,
    what: Wanted,
}

/// What an order tells the attempt to do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wanted {
    /// Start from a checkpoint, or without one.
    Start(Option<Checkpoint>),
    /// Take the checkpoint with this id.
    Snapshot(u8),
    /// Commit, because the checkpoint with this id is complete.
    Commit(u8),
}

/// A step of the cluster. Numbers are those of JobManagers and TaskManagers, from 0.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// A JobManager is granted leadership, even if the other one believes that it leads.
    Acquire(usize),
    /// A JobManager dies and starts again as a standby.
    LeaderDies(usize),
    /// A new leader reads the store.
    Recover(usize),
    /// A leader deploys the task to a TaskManager, for the first time or again.
    Deploy(usize, usize),
    /// A leader triggers a checkpoint.
    Trigger(usize),
    /// A leader receives an acknowledgement and writes the pointer. The answer says what happens to the write.
    Complete(usize, Generation, Checkpoint, Answer),
    /// A leader that does not know the outcome of its pointer reads the store.
    ReadBack(usize),
    /// A TaskManager receives an order.
    Deliver(Order),
    /// The task handles a row.
    Row(usize),
    /// A TaskManager dies and starts again without its task.
    WorkerDies(usize),
}

/// What happens to the write of a pointer, and what its writer learns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Answer {
    /// The writer gets the answer.
    Heard,
    /// The write takes effect, but its answer is lost.
    LostAnswer,
    /// The request is lost, so the write does not take effect.
    LostRequest,
}

/// The whole cluster at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cluster {
    store: Store,
    leaders: [Leader; 2],
    workers: [Worker; 2],
    network: BTreeSet<Message>,
    /// The transactions that readers of the output see.
    committed: BTreeSet<Transaction>,
    deaths: u8,
    seen: Seen,
}

/// Events of the past, for properties that can not be judged from one state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Seen {
    /// A pointer's id was not above that of the pointer before (C2).
    pointer_went_back: bool,
    /// The present leader deployed from a checkpoint that is not the newest (C6).
    older_restored: bool,
    /// A checkpoint id was handed out twice.
    id_reused: bool,
    /// A TaskManager obeyed an order of a former leader (E4).
    stale_obeyed: bool,
    /// The store refused a former leader.
    refused: bool,
    /// A write took effect and its answer was lost.
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
            Property::<Self>::always("C1: the files of the newest pointer exist", |_, cluster| {
                cluster.store.newest.as_ref().is_none_or(|newest| !cluster.store.deleted.contains(&newest.id))
            }),
            Property::<Self>::always("C2: pointers increase", |_, cluster| !cluster.seen.pointer_went_back),
            Property::<Self>::always("C6: the leader deploys from the newest pointer", |_, cluster| !cluster.seen.older_restored),
            Property::<Self>::always("B1: no checkpoint id is handed out twice", |_, cluster| !cluster.seen.id_reused),
            Property::<Self>::always("T1: a checkpoint covers every row that is output", |_, cluster| {
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
            Property::<Self>::sometimes("a pointer is written and its answer is lost", |_, cluster| {
                cluster.seen.unknown_but_done
            }),
            Property::<Self>::sometimes("another leader goes on from a checkpoint", |_, cluster| cluster.seen.taken_over),
        ]
    }
}

#[cfg(test)]
mod tests;
