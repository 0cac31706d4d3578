//! Facts: what somebody outside the product saw.

use serde::{Deserialize, Serialize};
use weir_protocol::job_status::JobStatus;
use weir_protocol::{CheckpointId, JobId, LeaderEpoch};

/// A row that a sink made visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommittedRow {
    pub key: i64,
    /// Which source read it.
    pub source: i64,
    /// At which offset, from 0.
    pub offset: i64,
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
        leader: String,
        /// Under which epoch.
        epoch: LeaderEpoch,
    },
    /// A checkpoint's pointer became durable; told when its leader hears of it, which may be when another has led for long.
    CheckpointAppended {
        /// Of which job.
        job: JobId,
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
        checkpoint: CheckpointId,
    },
    /// A write that was to remove a checkpoint's pointer was refused: that is still there.
    CheckpointKept { job: JobId, checkpoint: CheckpointId },
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
    StatusSeen { job: JobId, status: Option<JobStatus> },
    /// Rows became visible.
    RowsCommitted {
        /// Of which job.
        job: String,
        rows: Vec<CommittedRow>,
    },
}

impl Fact {
    /// What facts of its kind are called where they are counted.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::WriteBegan { .. } => "writes begun",
            Self::WriteCommitted { .. } => "writes committed",
            Self::LeaderSeen { .. } => "leaders seen",
            Self::LeaderNamed { .. } => "leaders named",
            Self::CheckpointAppended { .. } => "checkpoints",
            Self::CheckpointRemoved { .. } => "checkpoints removed",
            Self::CheckpointKept { .. } => "checkpoints kept",
            Self::FileDeleted { .. } => "files deleted",
            Self::Submitted { .. } => "submissions",
            Self::StatusSeen { .. } => "statuses",
            Self::RowsCommitted { .. } => "transactions",
        }
    }
}
