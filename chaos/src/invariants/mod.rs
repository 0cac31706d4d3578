//! What always holds, judged from facts as they are observed. Ids as in docs/invariants.md.
//!
//! A fact is what somebody outside the product saw: a fenced write and its outcome, an answer to a client, a row that became
//! visible. Nothing here asks the product what it believes, so that simulations and real processes are judged alike.

mod checkpoint_files;
mod checkpoint_ids;
mod exactly_once;
mod fenced_writes;
mod leader_epochs;
mod submissions;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use weir_protocol::job_status::JobStatus;
use weir_protocol::{CheckpointId, JobId, LeaderEpoch};

pub use exactly_once::{ExactlyOnce, Oracle};

/// A row that a sink made visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommittedRow {
    /// Its key.
    pub key: i64,
    /// Which source read it.
    pub source: i64,
    /// At which offset, from 0.
    pub offset: i64,
    /// Its value.
    pub value: i64,
    /// The so-manieth row of its key, from 1.
    pub count: i64,
    /// Sum of the values of its key so far, its own included.
    pub sum: i64,
}

/// Something that was seen.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// A fenced write began.
    WriteBegan {
        /// Who tells this write from others.
        write: u64,
        /// Of which process.
        process: String,
        /// Under which epoch.
        epoch: LeaderEpoch,
    },
    /// The store took it.
    WriteCommitted {
        /// Which.
        write: u64,
        /// Under which epoch.
        epoch: LeaderEpoch,
    },
    /// A member said who leads.
    LeaderSeen {
        /// Which process did.
        process: String,
        /// Under which epoch.
        epoch: LeaderEpoch,
    },
    /// Somebody said who leads under an epoch.
    LeaderNamed {
        /// Who leads.
        leader: String,
        /// Under which epoch.
        epoch: LeaderEpoch,
    },
    /// A checkpoint's pointer became durable; told when its leader hears of it, which may be when another has led for long.
    CheckpointAppended {
        /// Of which job.
        job: JobId,
        /// Which.
        checkpoint: CheckpointId,
        /// The version that the commit gave to what it changed: their order is that of the commits.
        version: u64,
        /// Its metadata file and the state files that this names, below the root of all checkpoints, and whether each was there.
        files: Vec<(String, bool)>,
    },
    /// A checkpoint's pointer was removed, or may have been.
    CheckpointRemoved {
        /// Of which job.
        job: JobId,
        /// Which.
        checkpoint: CheckpointId,
    },
    /// A write that was to remove a checkpoint's pointer was refused: that is still there.
    CheckpointKept {
        /// Its job.
        job: JobId,
        /// Which one.
        checkpoint: CheckpointId,
    },
    /// A file was deleted.
    FileDeleted {
        /// Which, below the root of all checkpoints.
        path: String,
    },
    /// A submission was acknowledged.
    Submitted {
        /// Under which token.
        token: String,
        /// As which job.
        job: JobId,
    },
    /// A leader said how a job stands; `None`: that there is no such job.
    StatusSeen {
        /// Which.
        job: JobId,
        /// Its status.
        status: Option<JobStatus>,
    },
    /// Rows became visible.
    RowsCommitted {
        /// Of which job.
        job: String,
        /// Which.
        rows: Vec<CommittedRow>,
    },
}

/// Something that must always hold.
pub trait Invariant {
    /// Its id in docs/invariants.md.
    fn id(&self) -> &'static str;

    /// Takes in a fact; the error says what is wrong.
    fn observe(&mut self, fact: &Fact) -> Result<(), String>;
}

/// A broken invariant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub id: String,
    /// How.
    pub what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

/// All of them, watching.
pub struct Watch {
    invariants: Vec<Box<dyn Invariant>>,
    facts: BTreeMap<&'static str, u64>,
}

impl Watch {
    /// Watches everything; `oracle` says what a job's sources say.
    pub fn new(oracle: Oracle) -> Self {
        let invariants: Vec<Box<dyn Invariant>> = vec![
            Box::new(leader_epochs::LeaderEpochs::default()),
            Box::new(fenced_writes::FencedWrites::default()),
            Box::new(checkpoint_ids::CheckpointIds::default()),
            Box::new(checkpoint_files::CheckpointFiles::default()),
            Box::new(submissions::Submissions::default()),
            Box::new(ExactlyOnce::new(oracle)),
        ];
        Self { invariants, facts: BTreeMap::new() }
    }

    /// Takes in a fact.
    pub fn observe(&mut self, fact: &Fact) -> Vec<Violation> {
        let judge = |invariant: &mut Box<dyn Invariant>| {
            let judged = invariant.observe(fact);
            judged.err().map(|what| Violation { id: invariant.id().to_owned(), what })
        };
        let violations = self.invariants.iter_mut().filter_map(judge).collect();
        *self.facts.entry(kind(fact)).or_default() += 1;
        violations
    }

    /// How many facts of each kind there were: an invariant that saw none held for nothing.
    pub fn facts(&self) -> &BTreeMap<&'static str, u64> {
        &self.facts
    }
}

fn kind(fact: &Fact) -> &'static str {
    match fact {
        Fact::WriteBegan { .. } => "writes begun",
        Fact::WriteCommitted { .. } => "writes committed",
        Fact::LeaderSeen { .. } => "leaders seen",
        Fact::LeaderNamed { .. } => "leaders named",
        Fact::CheckpointAppended { .. } => "checkpoints",
        Fact::CheckpointRemoved { .. } => "checkpoints removed",
        Fact::CheckpointKept { .. } => "checkpoints kept",
        Fact::FileDeleted { .. } => "files deleted",
        Fact::Submitted { .. } => "submissions",
        Fact::StatusSeen { .. } => "statuses",
        Fact::RowsCommitted { .. } => "transactions",
    }
}
