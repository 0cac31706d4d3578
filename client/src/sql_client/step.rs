//! Decides what a statement asks for. Calls nothing: the session changes, and the cluster's part is returned as a [`Step`].

use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_sql::dialect::{Explain, Insert, Statement, parse_statement};
use weir_sql::planner::{PlannedJob, plan_inserts, plan_query};
use weir_sql::script::{ScriptStatement, SqlError};
use weir_sql::session::{Session, SessionAnswer};

use super::{ResultTable, job_settings};

/// What is left to do for a statement.
#[derive(Debug)]
pub(super) enum Step {
    Done,
    Table(ResultTable),
    /// Submit a job, and wait for its end if `is_awaited`.
    Submit { graph: Box<JobGraph>, is_awaited: bool },
    ShowJobs,
    DescribeJob(JobId),
    Cancel(JobId),
    /// Stop with a savepoint in this directory, or in the cluster's own.
    Stop { job: JobId, directory: Option<String>, drain: bool },
}

pub(super) fn decide(_session: &mut Session, statement: &ScriptStatement) -> Result<Step, SqlError> {
    let _ = parse_statement(statement)?;
    Ok(Step::Done)
}
