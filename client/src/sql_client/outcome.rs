//! What a statement has done.

use weir_protocol::JobId;
use weir_protocol::job_graph::DataType;

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
    /// Its query runs, and its rows come back: see [`SqlClient::query_rows`](super::SqlClient::query_rows).
    Query(RunningQuery),
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
    /// What the user should know of it, such as options of tables that have no effect.
    pub notices: Vec<String>,
}

/// A query that runs on the cluster.
#[derive(Debug, Clone, PartialEq)]
pub struct RunningQuery {
    pub job_id: JobId,
    /// Name and type of each column.
    pub columns: Vec<(String, DataType)>,
    /// Whether the rows are changes of a table, of which some take others back.
    pub is_updating: bool,
    /// What the user should know of it.
    pub notices: Vec<String>,
}

/// How the rows of a query are shown (`sql-client.execution.result-mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultView {
    /// The table as it is after all changes, as long as it has no more rows than these.
    Table { max_rows: usize },
    /// Every change, with its kind.
    Changelog,
}
