//! The errors of the typed stores.

use weir_protocol::{JobId, LeaderEpoch};
use weir_storage::file_system::FileError;

use crate::{ReadError, StoreUsage};

/// Why a call to a typed store failed. [`Self::is_retryable`] says whether a retry may help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// A newer leader exists: the write was certainly not applied, and this process must stop leading (E3).
    #[error("HA-SUPERSEDED: epoch {epoch} is superseded by epoch {current}")]
    Superseded {
        /// The writer's epoch.
        epoch: LeaderEpoch,
        /// The newest epoch in the store.
        current: LeaderEpoch,
    },
    /// The store holds another value than this write assumes. The write was not applied.
    #[error("HA-CONFLICT: {key}: {reason}")]
    Conflict {
        key: String,
        /// What the store holds.
        reason: String,
    },
    /// Another graph was submitted with this client token. Nothing was changed.
    #[error(
        "JOB-TOKEN: the client token {token:?} belongs to another graph, which runs or ran as job {job}; submit this graph with \
         another token"
    )]
    TokenTaken {
        token: String,
        /// The job of the graph that was submitted first.
        job: JobId,
    },
    /// The coordination store gave no answer. This call changed nothing.
    #[error("HA-UNAVAILABLE: the coordination store is unavailable: {0}")]
    Unavailable(String),
    /// The write may or may not have been applied, and reading back gave no answer either. Delete nothing and call again.
    #[error("HA-UNKNOWN: {key}: outcome unknown: {reason}")]
    Unresolved {
        /// The first key of the write.
        key: String,
        reason: String,
    },
    /// The stored value can't be read.
    #[error("HA-CORRUPT: {key}: {reason}")]
    Corrupt {
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The call exceeds a limit or has an invalid argument.
    #[error("HA-REFUSED: {reason}")]
    Refused { reason: String },
    /// The store has no room for another job, session or table.
    #[error(
        "HA-NO-ROOM: the coordination store holds {bytes} bytes, and takes no new job, SQL session or table above {limit}: the \
         rest is kept for the checkpoints and results of the jobs that it has; cancel jobs, or have results forgotten sooner \
         (jobstore.expiration-time)"
    )]
    NoRoom {
        /// Bytes of all keys and values.
        bytes: u64,
        /// The most bytes with which something new is accepted.
        limit: u64,
    },
    /// File storage failed.
    #[error("HA-FILE: {0}")]
    File(#[from] FileError),
}

impl StoreError {
    /// Fails once the store is half full, or if it is fuller.
    pub(crate) fn check_room(usage: Option<StoreUsage>) -> Result<(), Self> {
        match usage {
            Some(StoreUsage { bytes, limit }) if bytes >= limit / 2 => Err(Self::NoRoom { bytes, limit: limit / 2 }),
            _ => Ok(()),
        }
    }

    /// Whether the same call may succeed later, under the same leadership.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Unresolved { .. } | Self::NoRoom { .. } => true,
            Self::File(error) => error.is_retryable(),
            Self::Superseded { .. }
            | Self::Conflict { .. }
            | Self::TokenTaken { .. }
            | Self::Corrupt { .. }
            | Self::Refused { .. } => false,
        }
    }
}

impl From<ReadError> for StoreError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(reason) => Self::Unavailable(reason),
            ReadError::Corrupt(reason) => Self::Corrupt { key: String::new(), reason },
        }
    }
}
