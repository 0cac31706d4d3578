//! Facts: what an observer outside the product saw.

use serde::{Deserialize, Serialize};
use weir_protocol::job_status::JobStatus;
use weir_protocol::{CheckpointId, JobId, LeaderEpoch};

/// A row that a sink made visible.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CommittedRow {
    pub key: i64,
    /// Number of the source that produced the row.
    pub source: i64,
    /// Offset of the row in its source, from 0.
    pub offset: i64,
    pub value: i64,
    /// The row is the n-th of its key, counted from 1.
    pub count: i64,
    /// Sum of the values of the key up to and including this row.
    pub sum: i64,
}

/// An observation of the cluster from outside.
#[derive(Debug, Clone, PartialEq)]
pub enum Fact {
    /// A fenced write began.
    WriteBegan {
        /// Number that identifies the write.
        write: u64,
        process: String,
        epoch: LeaderEpoch,
    },
    /// The store accepted a fenced write.
    WriteCommitted { write: u64, epoch: LeaderEpoch },
    /// A process learned from the store that a leader was elected.
    LeaderSeen {
        /// The process that learned it.
        process: String,
        /// The epoch of the leader.
        epoch: LeaderEpoch,
    },
    /// An answer named the leader of an epoch.
    LeaderNamed { leader: String, epoch: LeaderEpoch },
    /// A checkpoint's pointer became durable. The fact is noted when the writer learns it, which may be long after another leader
    /// took over.
    CheckpointAppended {
        job: JobId,
        checkpoint: CheckpointId,
        /// Version that the commit gave to the keys it changed. Versions increase in the order of the commits.
        version: u64,
        /// The metadata file and the state files that it names, as paths below the root of all checkpoints, and whether each
        /// existed.
        files: Vec<(String, bool)>,
    },
    /// A checkpoint's pointer was removed, or may have been removed.
    CheckpointRemoved { job: JobId, checkpoint: CheckpointId },
    /// The store refused a write that would have removed a checkpoint's pointer: the pointer still exists.
    CheckpointKept { job: JobId, checkpoint: CheckpointId },
    /// A file was deleted.
    FileDeleted {
        /// The file's path below the root of all checkpoints.
        path: String,
    },
    /// A submission was acknowledged.
    Submitted {
        /// The client token of the submission.
        token: String,
        /// The job that the submission created.
        job: JobId,
    },
    /// A leader answered with the status of a job. `None`: the leader does not know the job.
    StatusSeen { job: JobId, status: Option<JobStatus> },
    /// A sink made rows visible.
    RowsCommitted {
        /// Name of the job.
        job: String,
        rows: Vec<CommittedRow>,
    },
}

impl Fact {
    /// Returns the name under which facts of this kind are counted.
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
