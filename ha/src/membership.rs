//! Changing who belongs to the coordination group, for providers that are one themselves.

use serde::{Deserialize, Serialize};

/// One change of the group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "kebab-case", deny_unknown_fields)]
pub enum MemberChange {
    /// Lets in the process that runs under this name at this address, with an empty directory of its own. A member of the
    /// same name is replaced.
    Add {
        /// Its stable name, e.g. `jm-4`.
        name: String,
        /// `host:port` of its peer service.
        address: String,
    },
    /// Removes a member for good. The leader may remove itself.
    Remove { name: String },
}

/// The members of the group could not be changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MembershipError {
    /// Only the leader changes the membership: ask there.
    #[error("this JobManager does not lead")]
    NotLeader,
    /// The new member does not answer; a retry can help once it runs.
    #[error("the new member can't be reached: {0}")]
    Unreachable(String),
    /// It makes no sense; a retry can't help.
    #[error("refused: {0}")]
    Refused(String),
    /// Another change is under way; a retry can help.
    #[error("another membership change is under way")]
    InProgress,
    /// Not done within the deadline; it may still be. Look at the status before a retry.
    #[error("not done within the deadline")]
    TimedOut,
    /// Whoever contends is a member.
    #[error("this provider has no membership to change: every JobManager that contends is a member")]
    Unsupported,
}
