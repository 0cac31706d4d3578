//! Carries out statements in this process: those of the session, queries and inserts through the engine, and EXPLAIN.

use std::collections::BTreeSet;

use weir_dataflow::operator::OperatorError;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_graph::validate::validate;
use weir_sql::dialect::{Explain, Insert, Statement, parse_statement};
use weir_sql::planner::{PlannedJob, PlannedQuery, plan_inserts, plan_query};
use weir_sql::script::{ScriptStatement, SqlError, split};
use weir_sql::session::{Outcome, ResultTable, Session};

use crate::engine;
use crate::rows::{self, Row};
use crate::script::{next_number, read_in_order, shown};
use crate::statements::heading;

/// A session, and what has been used in it.
#[derive(Default)]
pub(crate) struct Runner {
    pub(crate) session: Session,
    /// The functions that planned jobs call, by the names of programs and of aggregates.
    pub(crate) functions: BTreeSet<String>,
    /// The headings of the statements that were carried out.
    pub(crate) statements: BTreeSet<&'static str>,
}

/// What a statement gives.
pub(crate) enum Answer {
    Done,
    Table(ResultTable),
    /// The columns and the changes of a query.
    Rows(String, Vec<Row>),
    Text(String),
    /// The statement is about the jobs of a cluster.
    NeedsCluster,
}

/// Why there is no answer.
pub(crate) enum Failure {
    Refused(SqlError),
    /// The job failed.
    Failed(OperatorError),
}

impl From<SqlError> for Failure {
    fn from(error: SqlError) -> Self {
        Self::Refused(error)
    }
}

impl Failure {
    pub(crate) fn code(&self) -> &'static str {
        match self {
            Self::Refused(error) => error.code,
            Self::Failed(error) => error.code,
        }
    }

    pub(crate) fn text(&self) -> String {
        match self {
            Self::Refused(error) => format!("{error} {}", error.hint.as_deref().unwrap_or_default()),
            Self::Failed(error) => error.to_string(),
        }
    }
}

/// How the rows of a query are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    Batches,
    RowByRow,
}

impl Runner {
    /// Carries out all statements of a script. The answer is that of the last one.
    pub(crate) fn run(&mut self, script: &str, pace: Pace) -> Result<Answer, Failure> {
        let mut answer = Answer::Done;
        for statement in split(script)? {
            answer = self.statement(&statement, pace)?;
        }
        Ok(answer)
    }

    fn statement(&mut self, statement: &ScriptStatement, pace: Pace) -> Result<Answer, Failure> {
        let parsed = parse_statement(statement)?;
        let answer = self.carry_out(&parsed, pace)?;
        self.statements.insert(heading(&parsed));
        Ok(answer)
    }

    fn carry_out(&mut self, statement: &Statement, pace: Pace) -> Result<Answer, Failure> {
        if let Some(outcome) = self.session.command(statement) {
            return Ok(match outcome? {
                Outcome::Done => Answer::Done,
                Outcome::Table(table) => Answer::Table(table),
            });
        }
        match statement {
            Statement::Query(query) => {
                let number = next_number();
                let options = self.session.job_options("test");
                let planned = plan_query(self.session.environment(), query, engine::collect(number), &options)?;
                let PlannedQuery { mut job, columns, .. } = planned;
                self.note(&job.graph);
                read_in_order(&mut job.graph);
                match pace {
                    Pace::Batches => engine::run(&job.graph, number).map(drop),
                    Pace::RowByRow => engine::run_row_by_row(&job.graph),
                }
                .map_err(Failure::Failed)?;
                let rows = rows::rows(&engine::collected(number), &columns, self.session.options.local_time_zone());
                Ok(Answer::Rows(shown(&columns), rows))
            }
            Statement::Insert(insert) => self.insert(std::slice::from_ref(insert)),
            Statement::StatementSet(inserts) => self.insert(inserts),
            Statement::CreateTable(create) => {
                let Some(query) = &create.query else { return Ok(Answer::Done) };
                let columns = self.session.query_columns(query)?;
                if !self.session.create_table_as(create, &columns)? {
                    return Ok(Answer::Done);
                }
                let insert = Insert { table: create.name.clone(), columns: Vec::new(), query: query.clone() };
                self.insert(&[insert])
            }
            Statement::Explain(explain) => self.explain(explain).map(Answer::Text),
            _ => Ok(Answer::NeedsCluster),
        }
    }

    fn plan(&mut self, inserts: &[Insert]) -> Result<PlannedJob, Failure> {
        let job = plan_inserts(self.session.environment(), inserts, &self.session.job_options("test"))?;
        validate(&job.graph).unwrap_or_else(|errors| panic!("the cluster refuses the job: {errors:?}"));
        self.note(&job.graph);
        Ok(job)
    }

    /// Plans inserts, and runs them if their rows go nowhere.
    fn insert(&mut self, inserts: &[Insert]) -> Result<Answer, Failure> {
        let job = self.plan(inserts)?;
        let sinks = job.graph.vertices.iter().filter_map(|vertex| vertex.operators.last());
        let mut sinks = sinks.filter(|operator| operator.kind.starts_with("sink."));
        if sinks.all(|sink| sink.kind == "sink.blackhole") && job.graph.vertices.iter().all(is_bounded) {
            engine::run(&job.graph, 1).map_err(Failure::Failed)?;
        }
        Ok(Answer::Done)
    }

    fn explain(&mut self, explain: &Explain) -> Result<String, Failure> {
        match explain.statement.as_ref() {
            Statement::Query(query) => {
                let options = self.session.job_options("test");
                let planned = plan_query(self.session.environment(), query, engine::collect(0), &options)?;
                Ok(planned.job.explanation)
            }
            Statement::Insert(insert) => Ok(self.plan(std::slice::from_ref(insert))?.explanation),
            Statement::StatementSet(inserts) => Ok(self.plan(inserts)?.explanation),
            other => panic!("EXPLAIN of {other:?}"),
        }
    }

    /// Notes the functions that a job calls.
    fn note(&mut self, graph: &JobGraph) {
        for operator in graph.vertices.iter().flat_map(|vertex| &vertex.operators) {
            if let Some(nodes) = operator.options.get("program").and_then(|program| program["nodes"].as_array()) {
                let calls = nodes.iter().filter_map(|node| node["call"].as_str());
                self.functions.extend(calls.filter_map(|call| call.split('@').next()).map(str::to_owned));
            }
            if let Some(calls) = operator.options.get("aggregates").and_then(|calls| calls.as_array()) {
                self.functions.extend(calls.iter().filter_map(|call| call["function"].as_str()).map(str::to_owned));
            }
        }
    }
}

/// Whether the vertex ends by itself: it is no generator without a number of rows.
fn is_bounded(vertex: &weir_protocol::job_graph::JobVertex) -> bool {
    vertex.operators.iter().all(|operator| operator.kind != "source.datagen" || operator.options.contains_key("rows"))
}
