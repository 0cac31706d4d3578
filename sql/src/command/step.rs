//! Decides what a statement asks for.

use weir_protocol::JobId;
use weir_protocol::job_graph::{CheckpointConfig, DataType, JobGraph};

use crate::catalog::CatalogChange;
use crate::dialect::{CreateTable, Explain, Insert, Show, Statement, StopJob, parse_statement, table_name};
use crate::planner::{PlannedJob, PlannedQuery, plan_inserts, plan_rows};
use crate::script::{ScriptStatement, SqlError};
use crate::session::{self, ResultTable, Session};
use crate::stream::Column;

/// What is left to do for a statement.
#[derive(Debug)]
pub enum Step {
    /// Nothing, and there is nothing to show.
    Done,
    /// Nothing but to show these rows.
    Table(ResultTable),
    Submit(Submit),
    Query(Query),
    ShowJobs,
    DescribeJob(JobId),
    /// Cancel a job.
    Cancel(JobId),
    /// Stop a job with a savepoint.
    Stop {
        job: JobId,
        drain: bool,
    },
}

/// The error (`SQL-JOB`) for a statement whose job the cluster can't run, for these reasons.
pub fn cannot_run(problems: &[String]) -> SqlError {
    SqlError::new("SQL-JOB", format!("the job can't run:\n  {}", problems.join("\n  ")))
}

/// The error (`SQL-CONFLICT`) for a statement that was decided several times, each time on a catalogue that others changed meanwhile.
pub fn outdated() -> SqlError {
    SqlError::new("SQL-CONFLICT", "other sessions change tables and views all the time; submit the statement again")
}

/// What a statement asks for, and what is the case once that is done.
#[derive(Debug)]
pub struct Decided {
    pub step: Step,
    /// The session after the statement.
    pub session: Session,
    /// Changes of databases and of permanent tables and views, for the store of the catalogue.
    pub changes: Vec<CatalogChange>,
}

/// A job to submit.
#[derive(Debug)]
pub struct Submit {
    pub graph: Box<JobGraph>,
    /// Whether the statement ends only with its job.
    pub is_awaited: bool,
    /// The session once the job is durable, if the statement changes it.
    pub then: Option<Box<Session>>,
    /// What the user should know of the job.
    pub notices: Vec<String>,
}

/// A query whose rows come back.
#[derive(Debug)]
pub struct Query {
    /// The job, which ends in one [`COLLECT`](crate::planner::COLLECT).
    pub graph: Box<JobGraph>,
    pub columns: Vec<Column>,
    /// Whether the rows are changes of a table, of which some take others back.
    pub is_updating: bool,
    /// What the user should know of the job.
    pub notices: Vec<String>,
}

/// As [`decide`], but leaves it to the caller when the session and the catalogue change.
pub fn decided(mut session: Session, statement: &ScriptStatement) -> Result<Decided, SqlError> {
    let mut step = decide(&mut session, statement)?;
    if let Step::Submit(Submit { then, .. }) = &mut step
        && let Some(then) = then.take()
    {
        session = *then;
    }
    let changes = session.catalog.take_changes();
    Ok(Decided { step, session, changes })
}

/// Carries out what concerns only the session. Errors change nothing.
pub fn decide(session: &mut Session, statement: &ScriptStatement) -> Result<Step, SqlError> {
    let parsed = parse_statement(statement)?;
    if let Some(outcome) = session.command(&parsed) {
        return outcome.map(|outcome| match outcome {
            session::Outcome::Done => Step::Done,
            session::Outcome::Table(table) => Step::Table(table),
        });
    }
    match parsed {
        Statement::Insert(insert) => submit(session, &[insert]).map(Step::Submit),
        Statement::StatementSet(inserts) => submit(session, &inserts).map(Step::Submit),
        Statement::CreateTable(create) => create_table_as(session, create),
        Statement::Query(query) => {
            let PlannedQuery { job, columns, is_updating } =
                plan_rows(session.environment(), &query, &session.job_options("collect"))?;
            let mut graph = with_options(session, job.graph);
            graph.checkpointing.get_or_insert_default().interval_ms = session.options.select_checkpoint_interval_ms();
            Ok(Step::Query(Query { graph: Box::new(graph), columns, is_updating, notices: job.notices }))
        }
        Statement::Explain(explain) => explained(session, explain),
        Statement::Show(Show::Jobs) => Ok(Step::ShowJobs),
        Statement::DescribeJob(job) => Ok(Step::DescribeJob(job_id(&job)?)),
        Statement::StopJob(StopJob { job, with_savepoint: false, .. }) => Ok(Step::Cancel(job_id(&job)?)),
        Statement::StopJob(StopJob { job, with_drain, .. }) => Ok(Step::Stop { job: job_id(&job)?, drain: with_drain }),
        _ => Err(SqlError { place: Some(statement.place()), ..SqlError::unsupported("this statement") }),
    }
}

fn submit(session: &Session, inserts: &[Insert]) -> Result<Submit, SqlError> {
    let PlannedJob { graph, notices, .. } = plan_job(session, inserts)?;
    let graph = Box::new(with_options(session, graph));
    Ok(Submit { graph, is_awaited: session.options.dml_sync(), then: None, notices })
}

/// The graph with what the session says of checkpoints, restarts and state.
fn with_options(session: &Session, mut graph: JobGraph) -> JobGraph {
    let options = &session.options;
    graph.checkpointing = options.checkpointing(CheckpointConfig::default());
    graph.restart_strategy = options.restart_strategy();
    graph.restore_from = options.restore_from().map(str::to_owned);
    graph.allow_non_restored_state = options.allows_non_restored_state();
    graph
}

fn create_table_as(session: &Session, create: CreateTable) -> Result<Step, SqlError> {
    let mut next = session.clone();
    let Some(query) = create.query.clone() else { return Ok(Step::Done) };
    if !next.create_table_as(&create, &session.query_columns(&query)?)? {
        return Ok(Step::Done);
    }
    let submit = submit(&next, &[Insert { table: create.name, columns: Vec::new(), query }])?;
    Ok(Step::Submit(Submit { then: Some(Box::new(next)), ..submit }))
}

fn explained(session: &Session, explain: Explain) -> Result<Step, SqlError> {
    let job = plan(session, *explain.statement)?;
    let mut text = job.explanation;
    if explain.json_execution_plan {
        let json = serde_json::to_string_pretty(&job.graph).map_err(|error| SqlError::new("SQL-JOB", error.to_string()))?;
        text.push_str(&format!("\n== Physical Execution Plan ==\n{json}\n"));
    }
    Ok(Step::Table(ResultTable { columns: vec![("result".to_owned(), DataType::String)], rows: vec![vec![Some(text)]] }))
}

/// Plans what a statement would run.
fn plan(session: &Session, statement: Statement) -> Result<PlannedJob, SqlError> {
    match statement {
        Statement::Insert(insert) => plan_job(session, &[insert]),
        Statement::StatementSet(inserts) => plan_job(session, &inserts),
        Statement::Query(query) => {
            plan_rows(session.environment(), &query, &session.job_options("collect")).map(|planned| planned.job)
        }
        _ => Err(SqlError::unsupported("EXPLAIN of this statement").hint("EXPLAIN takes a query, INSERT or a statement set")),
    }
}

fn plan_job(session: &Session, inserts: &[Insert]) -> Result<PlannedJob, SqlError> {
    // Without `pipeline.name`, a job is named after the tables that it writes, as in Flink. Hints are no part of a name.
    let name = |insert: &Insert| {
        let (table, _) = table_name(&insert.table)?;
        Ok(session.catalog.resolve(&table)?.to_string())
    };
    let tables = inserts.iter().map(name).collect::<Result<Vec<_>, SqlError>>()?;
    let name = format!("insert-into_{}", tables.join(","));
    plan_inserts(session.environment(), inserts, &session.job_options(&name))
}

fn job_id(text: &str) -> Result<JobId, SqlError> {
    let error =
        || SqlError::new("SQL-JOB", format!("'{text}' is not the id of a job")).hint("SHOW JOBS lists the ids of all jobs");
    text.trim().parse().map_err(|_| error())
}
