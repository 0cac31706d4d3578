//! Decides what a statement asks for. Calls nothing: the session changes, and the cluster's part is returned as a [`Step`].

use std::collections::BTreeMap;

use sqlparser::ast::{ObjectName, Query};
use weir_protocol::JobId;
use weir_protocol::job_graph::{CheckpointConfig, DataType, JobGraph, OperatorDescriptor};
use weir_sql::bind::Environment;
use weir_sql::dialect::{CreateTable, Explain, Insert, Show, Statement, StopJob, parse_statement};
use weir_sql::graph::JobOptions;
use weir_sql::planner::{PlannedJob, plan_inserts, plan_query};
use weir_sql::script::{ScriptStatement, SqlError};
use weir_sql::session::{self, Planner, ResultTable, Session};

use super::columns::Columns;

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
    if let Some(outcome) = session.command(&parsed, &Columns) {
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
            // What is wrong with the query is more important than what is not there yet.
            explain_query(session, &query)?;
            let error = SqlError::unsupported("a query whose rows come back to the client");
            let hint = "INSERT INTO a filesystem or print table, or EXPLAIN the query; this comes with the SQL gateway";
            Err(SqlError { place: Some(statement.place()), ..error }.hint(hint))
        }
        Statement::Explain(explain) => explained(session, explain),
        Statement::Show(Show::Jobs) => Ok(Step::ShowJobs),
        Statement::DescribeJob(job) => Ok(Step::DescribeJob(job_id(&job)?)),
        Statement::StopJob(StopJob { job, with_savepoint: false, .. }) => Ok(Step::Cancel(job_id(&job)?)),
        Statement::StopJob(StopJob { job, with_drain, .. }) => Ok(Step::Stop { job: job_id(&job)?, drain: with_drain }),
        other => Err(SqlError::new("SQL-UNSUPPORTED", format!("this statement can't be run here: {other:?}"))),
    }
}

fn submit(session: &Session, inserts: &[Insert]) -> Result<Step, SqlError> {
    let mut graph = plan(session, inserts)?.graph;
    let options = &session.options;
    graph.checkpointing = options.checkpointing(CheckpointConfig::default());
    graph.restart_strategy = options.restart_strategy();
    graph.restore_from = options.restore_from().map(str::to_owned);
    graph.allow_non_restored_state = options.allows_non_restored_state();
    Ok(Step::Submit { graph: Box::new(graph), is_awaited: options.dml_sync(), then: None })
}

fn create_table_as(session: &Session, create: CreateTable) -> Result<Step, SqlError> {
    let mut next = session.clone();
    let Some(query) = create.query.clone() else { return Ok(Step::Done) };
    let columns = Columns.query_columns(&session.catalog, &session.options, &query)?;
    if !next.create_table_as(&create, &columns, &Columns)? {
        return Ok(Step::Done);
    }
    let step = submit(&next, &[Insert { table: create.name, columns: Vec::new(), query }])?;
    Ok(match step {
        Step::Submit { graph, is_awaited, .. } => Step::Submit { graph, is_awaited, then: Some(Box::new(next)) },
        other => other,
    })
}

fn explained(session: &Session, explain: Explain) -> Result<Step, SqlError> {
    let job = match *explain.statement {
        Statement::Insert(insert) => plan(session, &[insert])?,
        Statement::StatementSet(inserts) => plan(session, &inserts)?,
        Statement::Query(query) => explain_query(session, &query)?,
        _ => return Err(SqlError::unsupported("EXPLAIN of this statement").hint("EXPLAIN takes a query, INSERT or a statement set")),
    };
    let mut text = job.explanation;
    if explain.json_execution_plan {
        let json = serde_json::to_string_pretty(&job.graph).map_err(|error| SqlError::new("SQL-JOB", error.to_string()))?;
        text.push_str(&format!("\n== Physical Execution Plan ==\n{json}\n"));
    }
    let rows = vec![vec![Some(text)]];
    Ok(Step::Table(ResultTable { columns: vec![("result".to_owned(), DataType::String)], rows }))
}

fn plan(session: &Session, inserts: &[Insert]) -> Result<PlannedJob, SqlError> {
    plan_inserts(environment(session), inserts, &job_options(session, inserts.iter().map(|insert| &insert.table))?)
}

fn explain_query(session: &Session, query: &Query) -> Result<PlannedJob, SqlError> {
    // A plan ends in a sink.
    let sink = OperatorDescriptor { kind: "sink.blackhole".to_owned(), options: BTreeMap::new() };
    plan_query(environment(session), query, sink, &job_options(session, [])?).map(|(job, _)| job)
}

fn environment(session: &Session) -> Environment<'_> {
    Environment { catalog: &session.catalog, zone: session.options.local_time_zone() }
}

/// The options of a job that writes these tables. Without `pipeline.name`, it is named after them, as in Flink.
fn job_options<'a>(session: &Session, tables: impl IntoIterator<Item = &'a ObjectName>) -> Result<JobOptions, SqlError> {
    let options = &session.options;
    let paths = tables.into_iter().map(|table| Ok(session.catalog.resolve(table)?.to_string()));
    let paths = paths.collect::<Result<Vec<_>, SqlError>>()?;
    let name = options.pipeline_name().map_or_else(|| format!("insert-into_{}", paths.join(",")), str::to_owned);
    Ok(JobOptions {
        name,
        parallelism: options.parallelism(),
        max_parallelism: options.max_parallelism(),
        auto_watermark_interval_ms: options.auto_watermark_interval_ms(),
        idle_timeout_ms: options.idle_timeout_ms(),
        state_ttl_ms: options.state_ttl_ms(),
    })
}

fn job_id(text: &str) -> Result<JobId, SqlError> {
    let error = || SqlError::new("SQL-JOB", format!("'{text}' is not the id of a job")).hint("SHOW JOBS lists the ids of all jobs");
    text.trim().parse().map_err(|_| error())
}
