//! Errors of a call to the cluster.

/// The reason why a call failed. The command line has an exit code for each kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// There is no such job, savepoint or member. A retry can't help.
    #[error("not found: {}", .errors.join("; "))]
    NotFound {
        /// The cluster's error messages.
        errors: Vec<String>,
    },
    /// No JobManager answered as leader within the deadline: none is reachable, or none leads. A retry may help.
    /// A submission is safe to retry with the same client token.
    #[error("CLIENT-NO-LEADER: no leading JobManager answered within {waited_ms} ms; last error: {last}")]
    NoLeader {
        waited_ms: u64,
        /// The error of the last attempt.
        last: String,
    },
    /// Nothing listens at the JobManagers' addresses, and no JobManager has ever answered this client. Only a client with
    /// [`ClusterClient::give_up_if_refused`](crate::ClusterClient::give_up_if_refused) returns it.
    #[error(
        "CLIENT-UNREACHABLE: nothing listens at {} (connection refused for {waited_ms} ms): start the cluster, or correct the \
         addresses of the JobManagers (weir: --jobmanager or WEIR_JOBMANAGER)",
        .addresses.join(", ")
    )]
    Unreachable {
        /// `host:port` of every JobManager that was tried.
        addresses: Vec<String>,
        waited_ms: u64,
    },
    /// The cluster's coordination store is unavailable. Running jobs continue, but the cluster accepts no new requests until the
    /// store answers again. The client returns this at once and does not wait for the store.
    #[error("{}{}", .errors.join("; "), .uncertain.as_ref().map_or_else(String::new, |why| format!(
        "; an earlier attempt may have been carried out ({why}): repeat a submission with the same client token"
    )))]
    StoreAway {
        /// The cluster's error messages.
        errors: Vec<String>,
        /// If an earlier attempt may have been carried out: why its outcome is unknown.
        uncertain: Option<String>,
    },
    /// The cluster answers, but the awaited event did not happen within the deadline.
    #[error("timed out after {waited_ms} ms: {what}")]
    TimedOut {
        waited_ms: u64,
        /// The state at the deadline.
        what: String,
    },
    /// The cluster, or the client itself, refuses the request as invalid. A retry can't help.
    #[error("refused: {}", .errors.join("; "))]
    Refused {
        /// The error messages, one per problem.
        errors: Vec<String>,
    },
    /// Any other error, e.g. an internal error of the cluster, or an answer that is not from a Weir cluster.
    #[error("{message}")]
    Other { message: String },
}

impl ClientError {
    pub(crate) fn other(message: impl Into<String>) -> Self {
        Self::Other { message: message.into() }
    }
}
