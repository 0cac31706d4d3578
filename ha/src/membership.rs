//! Changes of the membership, for providers whose processes form the coordination group themselves.

use serde::{Deserialize, Serialize};

/// One change of the group's membership.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MemberChange {
    /// Adds the process that runs under this name at this address. It must have been started with an empty directory of its own.
    /// It replaces a member of the same name.
    Add {
        /// Its stable name, e.g. `jm-4`.
        name: String,
        /// `host:port` of its peer service.
        address: String,
    },
    /// Removes a member for good. The leader may remove itself.
    Remove { name: String },
}

/// Why the members of the group were not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Only the leader can change the membership: ask the leader.
    #[error("this JobManager does not lead")]
    NotLeader,
    /// The new member does not answer. A retry can help once it runs.
    #[error("the new member can't be reached: {0}")]
    Unreachable(String),
    /// The change is not valid. A retry can't help.
    #[error("refused: {0}")]
    Refused(String),
    /// Another change is in progress. A retry can help.
    #[error("another membership change is in progress")]
    InProgress,
    /// The change was not complete within the deadline, but may still complete. Look at the status before a retry.
    #[error("the change was not complete within the deadline; it may still complete")]
    TimedOut,
    /// This provider has no membership to change.
    #[error("this provider has no membership to change: every JobManager that contends is a member")]
    Unsupported,
}
