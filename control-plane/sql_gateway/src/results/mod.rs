//! The rows of queries: from the job of a query to the pages that clients read.
//!
//! The job of a query writes its rows to files in a directory of its own, as numbered rows that appear with checkpoints
//! ([`weir_connectors::query_results`]). The leader reads them from there. Nothing else has to be remembered, so every later leader
//! continues where the former one was.

mod sweep;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use tokio::time::Instant;
use weir_connectors::query_results::{self, ResultReader};
use weir_control_plane::Leading;
use weir_control_plane::dispatcher::effect::{CancelError, Submitted};
use weir_protocol::JobId;
use weir_protocol::job_graph::{Field, JobGraph};
use weir_protocol::job_status::JobStatus;
use weir_sql::planner::COLLECT;

use crate::error::GatewayError;

/// About how many bytes a page has at most.
const PAGE_BYTES: u64 = 4 << 20;

/// Where the rows of queries are.
#[derive(Debug, Clone)]
pub struct ResultPlace {
    /// A directory that all JobManagers and TaskManagers share. The error says why there is none.
    pub directory: Result<PathBuf, String>,
    /// A query is closed if no client asks for its rows during this time.
    pub idle_timeout_ms: u64,
}

/// A part of a query's rows.
#[derive(Debug, Clone)]
pub struct ResultPage {
    /// Number of the first row. The rows of a query count from 0.
    pub first_row: u64,
    /// The rows, in order. If they are changes, the last column is `__kind` (`weir_dataflow::changelog`).
    pub rows: Vec<arrow_array::RecordBatch>,
    /// Whether no row follows, now or later.
    pub is_end: bool,
    /// Why no row follows, if the query failed: a sentence that begins with a code.
    pub failure: Option<String>,
    /// The state of the query's job.
    pub status: JobStatus,
    /// The columns of the rows, with `__kind` if they are changes. Empty if there are no rows.
    pub columns: Vec<Field>,
}

/// The queries of this leader.
#[derive(Debug, Clone)]
pub struct Results {
    leading: Leading,
    place: ResultPlace,
    open: Arc<Mutex<HashMap<JobId, OpenQuery>>>,
}

/// What a leader knows of a query.
#[derive(Debug)]
struct OpenQuery {
    /// One call at a time reads.
    reader: Arc<Mutex<ResultReader>>,
    last_asked: Instant,
    /// Whether its rows can go as soon as its job has ended.
    is_closed: bool,
}

impl Results {
    /// The queries that `leading` runs. Queries that an earlier leader began are among them.
    pub fn new(leading: Leading, place: ResultPlace) -> Self {
        Self { leading, place, open: Arc::default() }
    }

    /// Submits the job of a query. With a client token, it can be repeated, also by a later leader, and then returns the same job.
    pub async fn submit(&self, token: Option<String>, mut graph: JobGraph) -> Result<Submitted, GatewayError> {
        let directory = self.directory()?.display().to_string();
        let operators = graph.vertices.iter_mut().flat_map(|vertex| &mut vertex.operators);
        let mut sinks: Vec<_> = operators.filter(|operator| operator.kind == COLLECT).collect();
        let [sink] = sinks.as_mut_slice() else {
            return Err(GatewayError::bad_request(format!("SQL-RESULTS: the job of a query has exactly one {COLLECT}")));
        };
        sink.options.insert("path".to_owned(), Value::from(directory));
        Ok(self.leading.submit(graph, token).await?)
    }

    fn directory(&self) -> Result<&PathBuf, GatewayError> {
        self.place.directory.as_ref().map_err(|reason| GatewayError::bad_request(format!("SQL-RESULTS: {reason}")))
    }

    /// The rows from `from_row` on, at most `max_rows`; none if there are none yet. The same call gives the same rows, also from a
    /// later leader, except that there may be more. Rows before `kept_from` are dropped.
    pub async fn page(&self, job: JobId, from_row: u64, kept_from: u64, max_rows: usize) -> Result<ResultPage, GatewayError> {
        // The state before the rows are read: an ended job adds none.
        let unknown = || GatewayError::not_found(format!("JOB-NOT-FOUND: there is no job {job}"));
        let status = self.leading.job_status(job).ok_or_else(unknown)?;
        let reader = self.reader(job)?;
        let read = weir_world::blocking(move || {
            let mut reader = reader.lock().unwrap_or_else(PoisonError::into_inner);
            reader.discard(kept_from)?;
            reader.read(from_row, max_rows as u64, PAGE_BYTES)
        });
        let page = match read.await {
            Ok(Ok(page)) => page,
            Ok(Err(error)) => return Err(GatewayError::internal(format!("SQL-RESULTS: {error}"))),
            Err(_) => {
                return Err(GatewayError::internal("SQL-RESULTS: reading the rows panicked; please report it with the log"));
            }
        };
        let is_end = status.is_globally_terminal() && !page.has_more;
        let failure = match status {
            _ if !is_end => None,
            JobStatus::Finished if page.has_gap => {
                Some(format!("SQL-RESULTS: rows from number {} on are lost; were files of the query removed?", page.end))
            }
            JobStatus::Finished => None,
            _ => {
                let cause = self.leading.describe_job(job).and_then(|job| job.cause());
                Some(cause.unwrap_or_else(|| format!("SQL-RESULTS: the job of the query is {}", status.as_str())))
            }
        };
        Ok(ResultPage { first_row: from_row, rows: page.batches, is_end, failure, status, columns: page.columns })
    }

    /// The client reads no further row: cancels the job of the query, and lets its rows go. It can be repeated.
    pub async fn close(&self, job: JobId) -> Result<(), GatewayError> {
        let Some(status) = self.leading.job_status(job) else { return Ok(()) };
        self.reader(job)?;
        if let Some(query) = self.lock().get_mut(&job) {
            query.is_closed = true;
        }
        if !status.is_globally_terminal() {
            match self.leading.cancel_job(job).await {
                // It may have ended since its state was read.
                Ok(()) | Err(CancelError::Ended { .. } | CancelError::NotFound(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.sweep().await;
        Ok(())
    }

    /// The reader of a query, which was asked for right now.
    fn reader(&self, job: JobId) -> Result<Arc<Mutex<ResultReader>>, GatewayError> {
        let directory = query_results::directory_of(self.directory()?, job);
        let mut open = self.lock();
        let query = open.entry(job).or_insert_with(|| OpenQuery::new(directory));
        query.last_asked = Instant::now();
        Ok(Arc::clone(&query.reader))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<JobId, OpenQuery>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenQuery {
    fn new(directory: PathBuf) -> Self {
        let reader = Arc::new(Mutex::new(ResultReader::new(directory)));
        Self { reader, last_asked: Instant::now(), is_closed: false }
    }
}
