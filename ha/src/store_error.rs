//! Why a typed store could not do what it was asked.

use weir_protocol::LeaderEpoch;
use weir_storage::file_system::FileError;

use crate::ReadError;

/// Why a typed store could not do what it was asked, and whether to try again.
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
    /// The store holds something else than this write assumes; it was not applied.
    #[error("HA-CONFLICT: {key}: {reason}")]
    Conflict {
        key: String,
        /// What is there.
        reason: String,
    },
    /// The coordination store gave no answer; nothing was changed by this call.
    #[error("HA-UNAVAILABLE: the coordination store is unavailable: {0}")]
    Unavailable(String),
    /// The write may or may not have been applied and reading back gave no answer either. Delete nothing; call again.
    #[error("HA-UNKNOWN: {key}: outcome unknown: {reason}")]
    Unresolved {
        /// The first key of the write.
        key: String,
        reason: String,
    },
    /// What is stored can't be read.
    #[error("HA-CORRUPT: {key}: {reason}")]
    Corrupt {
        key: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The call itself is not acceptable: over a limit, or an illegal argument.
    #[error("HA-REFUSED: {reason}")]
    Refused { reason: String },
    /// File storage failed.
    #[error("HA-FILE: {0}")]
    File(#[from] FileError),
}

impl StoreError {
    /// Whether the same call may succeed later, under the same leadership.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::Unresolved { .. } => true,
            Self::File(error) => error.is_retryable(),
            Self::Superseded { .. } | Self::Conflict { .. } | Self::Corrupt { .. } | Self::Refused { .. } => false,
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
