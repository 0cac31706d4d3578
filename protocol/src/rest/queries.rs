//! The rows of queries: `/weir/v1/queries`. A query is submitted like a job, and its job id names it.

use serde::{Deserialize, Serialize};

use crate::job_status::JobStatus;

/// How long the answer with rows waits for some, in milliseconds.
pub const QUERY_ROWS_WAIT_MS: u64 = 500;

/// Answer to `GET /weir/v1/queries/{job}/rows?from=N&max=M`: the rows from number N on that are committed. Rows are numbered from 0
/// and never change. The leader may forget those before N.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryRows {
    /// The number of the first row.
    pub first: u64,
    /// There may be none yet.
    pub rows: Vec<QueryRow>,
    /// Whether no row follows these.
    pub is_end: bool,
    /// The state of the query's job.
    pub status: JobStatus,
    /// Why no row follows although the query has not finished.
    pub failure: Option<String>,
}

/// A row of a query, or a change of its result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueryRow {
    /// `+I`, `-U`, `+U` or `-D`.
    pub kind: String,
    /// A value is the text that a cast to STRING gives; null is NULL.
    pub fields: Vec<Option<String>>,
}
