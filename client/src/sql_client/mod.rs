//! Runs SQL statements: keeps the session, plans queries, and submits their jobs to a cluster.
//!
//! Nothing here knows of terminals. What a statement asks for is decided in `weir_sql::command`; this file carries it out.

mod error;
mod outcome;

use std::time::Duration;

use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::rest::{JobDescription, QueryRows};
use weir_sql::command::{self, Step, Submit, on_large_stack};
use weir_sql::completion::Names;
use weir_sql::script::{ScriptStatement, SqlError};
use weir_sql::session::Session;

use crate::{ClientError, ClusterClient};
pub use error::SqlClientError;
pub use outcome::{Outcome, ResultView, RunningQuery, Submission};
pub use weir_sql::session::ResultTable;

/// How long the end of a job is waited for: in effect, without limit.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// Says what is wrong with a graph, one message for each problem.
type Check = fn(&JobGraph) -> Result<(), Vec<String>>;

/// Runs the statements of one session. Its tables, views and options live as long as this value.
#[derive(Debug)]
pub struct SqlClient {
    session: Session,
    cluster: ClusterClient,
    /// How long one call to the cluster may take.
    patience: Duration,
    check: Check,
}

impl SqlClient {
    /// A client with a new session. Only statements about jobs call the cluster, each for at most `patience`.
    pub fn new(cluster: ClusterClient, patience: Duration) -> Self {
        Self { session: Session::default(), cluster, patience, check: |_| Ok(()) }
    }

    /// The same client, but `check` sees each graph before it is submitted. Its messages refuse the statement.
    #[must_use]
    pub fn check_graphs(mut self, check: Check) -> Self {
        self.check = check;
        self
    }

    /// Runs one statement. INSERT returns once its job is durable; see [`Submission::is_awaited`].
    ///
    /// If the returned future is dropped while a job is being submitted, the job may exist.
    pub async fn run(&mut self, statement: &ScriptStatement) -> Result<Outcome, SqlClientError> {
        let session = &mut self.session;
        match on_large_stack(|| command::decide(session, statement))?? {
            Step::Done => Ok(Outcome::Done),
            Step::Table(table) => Ok(Outcome::Table(table)),
            Step::Submit(Submit { graph, is_awaited, then, notices }) => {
                let job_id = self.submit(&graph).await?;
                if let Some(session) = then {
                    self.session = *session;
                }
                Ok(Outcome::Submitted(Submission { job_id, name: graph.name, is_awaited, notices }))
            }
            Step::Query(query) => self.start(query).await,
            Step::ShowJobs => {
                let overview = self.cluster.list(self.patience).await?;
                Ok(Outcome::Table(command::overview_table(&overview)))
            }
            Step::DescribeJob(job) => {
                let description = self.cluster.describe(job, self.patience).await?;
                Ok(Outcome::Table(command::description_table(&description)))
            }
            Step::Cancel(job) => {
                self.cluster.cancel(job, self.patience).await?;
                Ok(Outcome::Canceling(job))
            }
            Step::Stop { job, drain } => {
                let savepoint = self.cluster.stop(job, None, drain, self.patience).await?;
                Ok(Outcome::Stopped { job, savepoint })
            }
        }
    }

    /// Starts a query.
    async fn start(&self, query: command::Query) -> Result<Outcome, SqlClientError> {
        self.checked(&query.graph)?;
        let job_id = self.cluster.submit_query(&query.graph, self.patience).await?.job_id;
        let columns = query.columns.into_iter().map(|column| (column.name, column.data_type)).collect();
        Ok(Outcome::Query(RunningQuery { job_id, columns, is_updating: query.is_updating, notices: query.notices }))
    }

    /// The rows of a query from number `from` on, at most `max_rows`. The cluster may forget the rows before `from`.
    pub async fn query_rows(&self, query: JobId, from: u64, max_rows: u64) -> Result<QueryRows, ClientError> {
        let zone = self.session.options.local_time_zone();
        self.cluster.query_rows(query, from, max_rows, zone, self.patience).await
    }

    /// Ends a query, and lets the cluster forget its rows. Safe to repeat.
    pub async fn close_query(&self, query: JobId) -> Result<(), ClientError> {
        self.cluster.close_query(query, self.patience).await
    }

    /// How the session wants the rows of queries to be shown.
    pub fn result_view(&self) -> ResultView {
        match self.session.options.shows_changes() {
            true => ResultView::Changelog,
            false => ResultView::Table { max_rows: self.session.options.max_table_rows() },
        }
    }

    fn checked(&self, graph: &JobGraph) -> Result<(), SqlError> {
        (self.check)(graph).map_err(|problems| command::cannot_run(&problems))
    }

    /// Submits a job. All attempts use one token, so that an attempt whose answer is lost creates no second job.
    async fn submit(&self, graph: &JobGraph) -> Result<JobId, SqlClientError> {
        self.checked(graph)?;
        let token = format!("{:032x}", weir_world::random_id());
        Ok(self.cluster.submit(graph, Some(&token), self.patience).await?.job_id)
    }

    /// Waits, across leader changes, until a job has ended. Calls `look` with every description of it. Returns the last.
    pub async fn wait(&self, job: JobId, look: impl FnMut(&JobDescription)) -> Result<JobDescription, ClientError> {
        self.cluster.wait_with(job, FOREVER, look).await
    }

    /// Sets an option of the session, as `SET 'key' = 'value'` does.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SqlError> {
        self.session.options.set(key, value)
    }

    /// The names that the session knows now, for completion.
    pub fn names(&self) -> Names {
        Names::of(&self.session)
    }
}

#[cfg(test)]
mod tests;
