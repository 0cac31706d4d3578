//! Runs SQL statements: keeps the session, plans queries, and submits their jobs to a cluster.
//!
//! Nothing here knows of terminals. What a statement asks for is decided in `weir_sql::command`; this file carries it out.

mod catalog;
mod error;
mod outcome;

use std::time::Duration;

use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::rest::{JobDescription, QueryRows};
use weir_sql::command::{self, Decided, Step, Submit, on_large_stack};
use weir_sql::completion::Names;
use weir_sql::script::{ScriptStatement, SqlError};
use weir_sql::session::Session;

use crate::{ClientError, ClusterClient};
use catalog::{Committed, Doubtful, Home, Prepared};
pub use error::SqlClientError;
pub use outcome::{Outcome, ResultView, RunningQuery, Submission};
pub use weir_sql::session::ResultTable;

/// How long the end of a job is waited for: in effect, without limit.
const FOREVER: Duration = Duration::from_secs(365 * 86_400);

/// How often a statement is decided because others have changed the same tables of the cluster's catalogue meanwhile.
const ATTEMPTS: u32 = 10;

/// Says what is wrong with a graph, one message for each problem.
type Check = fn(&JobGraph) -> Result<(), Vec<String>>;

/// Runs the statements of one session. Its temporary objects and options live as long as this value, and so do its databases, tables
/// and views unless they are the cluster's.
#[derive(Debug)]
pub struct SqlClient {
    session: Session,
    home: Home,
    cluster: ClusterClient,
    /// How long one call to the cluster may take.
    patience: Duration,
    check: Check,
}

/// What a statement has done so far.
#[derive(Debug)]
struct Work {
    /// All attempts to submit its job use one token, so that an attempt whose answer is lost creates no second job.
    token: String,
    job: Option<JobId>,
    /// Whether a commit of its changes got no clear answer.
    may_be_made: bool,
}

impl Work {
    /// The error of a statement that the cluster could not carry on.
    fn unfinished(&self, error: ClientError) -> SqlClientError {
        match *self {
            Self { job: None, may_be_made: false, .. } => SqlClientError::Cluster(error),
            Self { job, may_be_made, .. } => SqlClientError::Unfinished { error, may_be_made, job },
        }
    }
}

impl SqlClient {
    /// A client with a new session and a catalogue of its own. Only statements about jobs call the cluster, each for at most
    /// `patience`.
    pub fn new(cluster: ClusterClient, patience: Duration) -> Self {
        Self { session: Session::default(), home: Home::default(), cluster, patience, check: |_| Ok(()) }
    }

    /// The same client, but databases and permanent tables and views are those of the cluster. Statements that use them call the
    /// cluster.
    #[must_use]
    pub fn use_cluster_catalog(mut self) -> Self {
        self.home = Home::Cluster { generation: None };
        self
    }

    /// The same client, but `check` sees each graph before it is submitted. Its messages refuse the statement.
    #[must_use]
    pub fn check_graphs(mut self, check: Check) -> Self {
        self.check = check;
        self
    }

    /// Runs one statement. INSERT returns once its job is durable; see [`Submission::is_awaited`].
    ///
    /// If the returned future is dropped, the statement may still be carried out: its job may exist, and the cluster's catalogue may
    /// be changed.
    pub async fn run(&mut self, statement: &ScriptStatement) -> Result<Outcome, SqlClientError> {
        let mut work = Work { token: format!("{:032x}", weir_world::random_id()), job: None, may_be_made: false };
        let mut doubtful: Option<Box<Doubtful>> = None;
        for _ in 0..ATTEMPTS {
            self.prepare_catalog(statement, &work).await?;
            if let Some(doubtful) = doubtful.take()
                && let Some(outcome) = self.settle(doubtful, &work)?
            {
                return Ok(outcome);
            }
            let session = self.session.clone();
            let decided = on_large_stack(|| command::decided(session, statement))?;
            let Decided { step, session, changes } = decided.map_err(|error| SqlClientError::after(work.job, error))?;
            let outcome = self.carry_out(step, &mut work).await?;
            match self.commit(Prepared { outcome, session, changes }, &mut work).await? {
                Committed::Done(outcome) => return Ok(outcome),
                Committed::Outdated(perhaps) => doubtful = perhaps,
            }
        }
        Err(match doubtful {
            Some(doubtful) => work.unfinished(doubtful.error),
            None => SqlClientError::after(work.job, command::outdated()),
        })
    }

    /// Carries out the cluster's part of a statement.
    async fn carry_out(&self, step: Step, work: &mut Work) -> Result<Outcome, SqlClientError> {
        match step {
            Step::Submit(Submit { graph, is_awaited, notices, .. }) => {
                let job_id = match work.job {
                    Some(job) => job,
                    None => self.submit(&graph, &work.token).await?,
                };
                work.job = Some(job_id);
                Ok(Outcome::Submitted(Submission { job_id, name: graph.name, is_awaited, notices }))
            }
            // The catalogue was changed meanwhile so that the text means something else.
            _ if work.job.is_some() => {
                let error = SqlError::new("SQL-CONFLICT", "the statement no longer asks for a job");
                Err(SqlClientError::after(work.job, error))
            }
            Step::Done => Ok(Outcome::Done),
            Step::Table(table) => Ok(Outcome::Table(table)),
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

    async fn submit(&self, graph: &JobGraph, token: &str) -> Result<JobId, SqlClientError> {
        self.checked(graph)?;
        Ok(self.cluster.submit(graph, Some(token), self.patience).await?.job_id)
    }

    /// Waits, across leader changes, until a job has ended. Calls `look` with every description of it. Returns the last.
    pub async fn wait(&self, job: JobId, look: impl FnMut(&JobDescription)) -> Result<JobDescription, ClientError> {
        self.cluster.wait_with(job, FOREVER, look).await
    }

    /// Sets an option of the session, as `SET 'key' = 'value'` does.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), SqlError> {
        self.session.options.set(key, value)
    }

    /// The names that the session knows now, for completion. Those of the cluster's catalogue are as of [`Self::refresh_catalog`] and
    /// of the last statement.
    pub fn names(&self) -> Names {
        Names::of(&self.session)
    }
}

#[cfg(test)]
mod tests;
