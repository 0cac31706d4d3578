//! What a call to the cluster can end in.

/// A call that brought no answer of the wanted kind. Each kind has its exit code on the command line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// There is no such job, savepoint or member. A retry can't help.
    #[error("not found: {}", .errors.join("; "))]
    NotFound {
        /// The cluster's words.
        errors: Vec<String>,
    },
    /// No JobManager could answer as leader within the deadline: none reachable, or none leads. A retry may help.
    /// A submission is safe to repeat with the same client token.
    #[error("no leading JobManager answered within {waited_ms} ms; last: {last}")]
    NoLeader {
        /// How long was tried.
        waited_ms: u64,
        /// What the last attempt brought.
        last: String,
    },
    /// The cluster runs on without its coordination store, and takes nothing new until that answers again. Nobody waits for it.
    #[error("{}{}", .errors.join("; "), .uncertain.as_ref().map_or_else(String::new, |why| format!(
        "; an earlier attempt may have been carried out ({why}): repeat a submission with the same client token"
    )))]
    StoreAway {
        /// The cluster's words.
        errors: Vec<String>,
        /// Why it is not certain that nothing was done, if it isn't.
        uncertain: Option<String>,
    },
    /// The cluster answers, but what was waited for did not come within the deadline.
    #[error("timed out after {waited_ms} ms: {what}")]
    TimedOut {
        /// How long was waited.
        waited_ms: u64,
        what: String,
    },
    /// The cluster refuses the request as it is. A retry can't help.
    #[error("refused: {}", .errors.join("; "))]
    Refused {
        /// The cluster's words, one entry per fault.
        errors: Vec<String>,
    },
    /// Anything else: an internal error of the cluster, an answer that is none of Weir's.
    #[error("{message}")]
    Other { message: String },
}

impl ClientError {
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::Other { message: message.into() }
    }
}
