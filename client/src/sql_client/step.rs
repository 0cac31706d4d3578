//! Decides what a statement asks for. Calls nothing: the session changes, and the cluster's part is returned as a [`Step`].

use weir_protocol::JobId;
use weir_protocol::job_graph::{CheckpointConfig, DataType, JobGraph};
use weir_sql::dialect::{CreateTable, Explain, Insert, Show, Statement, StopJob, parse_statement};
use weir_sql::planner::{PlannedJob, PlannedQuery, plan_inserts, plan_rows};
use weir_sql::script::{ScriptStatement, SqlError};
use weir_sql::session::{self, ResultTable, Session};

/// What is left to do for a statement.
#[derive(Debug)]
pub(super) enum Step {
    Done,
    Table(ResultTable),
    /// Submit a job.
    Submit {
        graph: Box<JobGraph>,
        /// Whether the statement ends only with its job.
        is_awaited: bool,
        /// The session once the job is durable, if the statement changes it.
        then: Option<Box<Session>>,
    },
    /// Run a query, whose rows come back.
    Query(Box<PlannedQuery>),
    ShowJobs,
    DescribeJob(JobId),
    Cancel(JobId),
    /// Stop with a savepoint.
    Stop {
        job: JobId,
        drain: bool,
    },
}

/// Carries out what concerns only the session. Errors change nothing.
pub(super) fn decide(session: &mut Session, statement: &ScriptStatement) -> Result<Step, SqlError> {
    let parsed = parse_statement(statement)?;
    if let Some(outcome) = session.command(&parsed) {
        return outcome.map(|outcome| match outcome {
            session::Outcome::Done => Step::Done,
            session::Outcome::Table(table) => Step::Table(table),
        });
    }
    match parsed {
        Statement::Insert(insert) => submit(session, &[insert]),
        Statement::StatementSet(inserts) => submit(session, &inserts),
        Statement::CreateTable(create) => create_table_as(session, create),
        Statement::Query(query) => {
            let mut planned = plan_rows(session.environment(), &query, &session.job_options("collect"))?;
            let graph = &mut planned.job.graph;
            settle(session, graph);
            let checkpointing = graph.checkpointing.get_or_insert_default();
            checkpointing.interval_ms = session.options.select_checkpoint_interval_ms();
            Ok(Step::Query(Box::new(planned)))
        }
        Statement::Explain(explain) => explained(session, explain),
        Statement::Show(Show::Jobs) => Ok(Step::ShowJobs),
        Statement::DescribeJob(job) => Ok(Step::DescribeJob(job_id(&job)?)),
        Statement::StopJob(StopJob { job, with_savepoint: false, .. }) => Ok(Step::Cancel(job_id(&job)?)),
        Statement::StopJob(StopJob { job, with_drain, .. }) => Ok(Step::Stop { job: job_id(&job)?, drain: with_drain }),
        _ => Err(SqlError { place: Some(statement.place()), ..SqlError::unsupported("this statement") }),
    }
}

fn submit(session: &Session, inserts: &[Insert]) -> Result<Step, SqlError> {
    let mut graph = plan_job(session, inserts)?.graph;
    settle(session, &mut graph);
    Ok(Step::Submit { graph: Box::new(graph), is_awaited: session.options.dml_sync(), then: None })
}

/// Gives a job what the session says about its checkpoints, restarts and beginning.
fn settle(session: &Session, graph: &mut JobGraph) {
    let options = &session.options;
    graph.checkpointing = options.checkpointing(CheckpointConfig::default());
    graph.restart_strategy = options.restart_strategy();
    graph.restore_from = options.restore_from().map(str::to_owned);
    graph.allow_non_restored_state = options.allows_non_restored_state();
}

fn create_table_as(session: &Session, create: CreateTable) -> Result<Step, SqlError> {
    let mut next = session.clone();
    let Some(query) = create.query.clone() else { return Ok(Step::Done) };
    if !next.create_table_as(&create, &session.query_columns(&query)?)? {
        return Ok(Step::Done);
    }
    let step = submit(&next, &[Insert { table: create.name, columns: Vec::new(), query }])?;
    Ok(match step {
        Step::Submit { graph, is_awaited, .. } => Step::Submit { graph, is_awaited, then: Some(Box::new(next)) },
        other => other,
    })
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
    // Without `pipeline.name`, a job is named after the tables that it writes, as in Flink.
    let tables = inserts.iter().map(|insert| Ok(session.catalog.resolve(&insert.table)?.to_string()));
    let name = format!("insert-into_{}", tables.collect::<Result<Vec<_>, SqlError>>()?.join(","));
    plan_inserts(session.environment(), inserts, &session.job_options(&name))
}

fn job_id(text: &str) -> Result<JobId, SqlError> {
    let error =
        || SqlError::new("SQL-JOB", format!("'{text}' is not the id of a job")).hint("SHOW JOBS lists the ids of all jobs");
    text.trim().parse().map_err(|_| error())
}
