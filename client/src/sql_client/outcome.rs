//! What a statement has done.

use weir_protocol::JobId;

use super::ResultTable;

/// What a statement has done.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// It changed the session, and there is nothing to show.
    Done,
    /// It has rows.
    Table(ResultTable),
    /// Its job is durable and will run.
    Submitted(Submission),
    /// The job will be canceled. It may still run.
    Canceling(JobId),
    /// The job has stopped. A new job can continue from the savepoint.
    Stopped {
        job: JobId,
        /// Where the savepoint is.
        savepoint: String,
    },
}

/// A job that a statement has submitted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    pub job_id: JobId,
    pub name: String,
    /// Whether the statement ends only with its job (`table.dml-sync`): the caller then waits with
    /// [`SqlClient::wait`](super::SqlClient::wait).
    pub is_awaited: bool,
}
