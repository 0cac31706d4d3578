//! The rows of queries: from the job of a query to the pages that clients read.

use std::fmt;

use arrow_array::RecordBatch;
use weir_control_plane::Leading;
use weir_protocol::JobId;
use weir_protocol::job_graph::{JobGraph, OperatorDescriptor};

use crate::error::GatewayError;

/// The operator that holds the rows of a query until its client has read them.
pub const COLLECT: &str = "sink.collect";

/// Names a query in the whole cluster. It is the handle of its operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueryId(pub u128);

impl fmt::Display for QueryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// A query whose job was submitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunningQuery {
    pub id: QueryId,
    pub job: JobId,
}

/// A part of a query's rows.
#[derive(Debug, Clone, Default)]
pub struct ResultPage {
    /// Number of the first row. The rows of a query count from 0.
    pub first_row: u64,
    /// The rows, in order. If they are changes, the last column is `__kind` (`weir_dataflow::changelog`).
    pub rows: Vec<RecordBatch>,
    /// Whether no row follows, now or later.
    pub is_end: bool,
    /// Why no row follows, if the query failed: a sentence that begins with a code.
    pub failure: Option<String>,
}

/// The queries of this leader.
#[derive(Debug, Clone)]
pub struct Results {
    _leading: Leading,
}

impl Results {
    /// The queries that `leading` runs. Queries that an earlier leader began are among them.
    pub fn new(leading: Leading) -> Self {
        Self { _leading: leading }
    }

    /// The operator in which the graph of a query ends. [`Self::submit`] sets what depends on the query.
    pub fn sink() -> OperatorDescriptor {
        OperatorDescriptor::new("sink.blackhole", std::collections::BTreeMap::new())
    }

    /// Submits the job of a query. It can be repeated, also by a later leader, and then returns the same job.
    pub async fn submit(&self, _query: QueryId, _graph: JobGraph) -> Result<JobId, GatewayError> {
        Err(GatewayError::bad_request(
            "SQL-UNSUPPORTED: a query whose rows come back to the client is not supported yet; INSERT INTO a filesystem or print \
             table, or EXPLAIN the query",
        ))
    }

    /// The rows from `from_row` on, at most `max_rows`; none if there are none yet. The client has all rows before `from_row`, so
    /// they can be dropped. The same call gives the same rows, also from a later leader.
    pub async fn page(&self, _query: RunningQuery, from_row: u64, _max_rows: usize) -> Result<ResultPage, GatewayError> {
        Ok(ResultPage { first_row: from_row, is_end: true, ..ResultPage::default() })
    }

    /// The client reads no further row: the job of the query can end. It can be repeated.
    pub async fn close(&self, _query: RunningQuery) -> Result<(), GatewayError> {
        Ok(())
    }
}
