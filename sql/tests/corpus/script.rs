//! Scripts and the results that Flink has computed of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use weir_dataflow::changelog::RowKind;
use weir_protocol::job_graph::{JobGraph, Partitioning};
use weir_sql::dialect::{Statement, parse_statement};
use weir_sql::planner::{PlannedQuery, plan_query};
use weir_sql::script::split;
use weir_sql::session::Session;
use weir_sql::stream::Column;

use crate::engine;
use crate::rows::{self, Row};

/// A script of the corpus.
pub(crate) struct Script {
    pub(crate) name: String,
    /// The stage of the SQL work that must run it.
    pub(crate) stage: String,
    path: PathBuf,
    pub(crate) text: String,
}

/// What Flink answers.
pub(crate) enum Expected {
    Error(String),
    Rows { columns: String, rows: Vec<Row> },
}

/// What our engine answers.
pub(crate) struct Found {
    pub(crate) columns: String,
    pub(crate) rows: Vec<Row>,
}

fn tests() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests")
}

/// A number under which no other query of this process collects its rows.
pub(crate) fn next_number() -> u64 {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    NUMBER.fetch_add(1, Ordering::Relaxed)
}

impl Script {
    /// All scripts, by name.
    pub(crate) fn all() -> Vec<Self> {
        let mut paths: Vec<_> = std::fs::read_dir(tests().join("queries")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let scripts = paths.into_iter().filter(|path| path.extension().is_some_and(|extension| extension == "sql"));
        scripts.map(Self::read).collect()
    }

    fn read(path: PathBuf) -> Self {
        let text = std::fs::read_to_string(&path).unwrap();
        let stage = text.lines().next().and_then(|line| line.strip_prefix("-- stage ")).unwrap().trim().to_owned();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = text.replace("${data}", tests().join("data").to_str().unwrap());
        Self { name, stage, path, text }
    }

    /// A script that is no file, and that Flink has not run.
    pub(crate) fn of(text: &str) -> Self {
        Self { name: String::new(), stage: String::new(), path: PathBuf::new(), text: text.to_owned() }
    }

    pub(crate) fn expected(&self) -> Expected {
        let text = std::fs::read_to_string(self.path.with_extension("expected")).unwrap();
        let mut lines = text.lines();
        let first = lines.next().unwrap_or_default();
        if let Some(error) = first.strip_prefix("ERROR") {
            return Expected::Error(error.trim().to_owned());
        }
        let rows = lines.filter(|line| !line.starts_with('#')).map(row).collect();
        Expected::Rows { columns: first.strip_prefix("# ").unwrap().to_owned(), rows }
    }

    /// How many rows of the script's query are late. The session has its tables.
    pub(crate) fn late_rows(&self, session: &Session, query: &sqlparser::ast::Query) -> u64 {
        let sink = engine::collect(next_number());
        let planned = plan_query(session.environment(), query, sink, &session.job_options("late"));
        planned.ok().and_then(|planned| engine::run(&planned.job.graph, 1).ok()).unwrap_or(0)
    }

    /// Runs the script. The error is that of planning or of the job.
    pub(crate) fn run(&self, seed: u64, parallelism: u32) -> Result<Found, String> {
        let mut session = Session::default();
        session.options.set("parallelism.default", &parallelism.to_string()).map_err(|error| error.render(&self.text))?;
        let fails = |error: weir_sql::script::SqlError| error.render(&self.text);
        for statement in split(&self.text).map_err(fails)? {
            match parse_statement(&statement).map_err(fails)? {
                Statement::Query(query) => {
                    let number = next_number();
                    let environment = session.environment();
                    let options = session.job_options("corpus");
                    let PlannedQuery { mut job, columns, .. } =
                        plan_query(environment, &query, engine::collect(number), &options).map_err(fails)?;
                    read_in_order(&mut job.graph);
                    engine::run(&job.graph, seed).map_err(|error| error.to_string())?;
                    let found = engine::collected(number);
                    return Ok(Found {
                        columns: shown(&columns),
                        rows: rows::rows(&found, &columns, session.options.local_time_zone()),
                    });
                }
                other => {
                    session.command(&other).ok_or("not a command")?.map_err(fails)?;
                }
            }
        }
        Err("the script has no query".into())
    }
}

/// Lets one subtask read each source. Which rows are late depends on how a file is dealt to subtasks, and Flink's had one.
pub(crate) fn read_in_order(graph: &mut JobGraph) {
    for vertex in graph.vertices.iter_mut().filter(|vertex| vertex.operators[0].kind.starts_with("source.")) {
        vertex.parallelism = 1;
    }
    let parallelism: BTreeMap<_, _> = graph.vertices.iter().map(|vertex| (vertex.uid.clone(), vertex.parallelism)).collect();
    for edge in graph.edges.iter_mut().filter(|edge| edge.partitioning == Partitioning::Forward) {
        if parallelism[&edge.from] != parallelism[&edge.to] {
            edge.partitioning = Partitioning::Rebalance;
        }
    }
}

/// One line of a stored result.
fn row(line: &str) -> Row {
    let (_, values) = line.split_once('\t').unwrap_or((line, ""));
    let kind = [RowKind::Insert, RowKind::UpdateBefore, RowKind::UpdateAfter, RowKind::Delete];
    let kind = kind.into_iter().find(|known| line.starts_with(known.short())).unwrap_or_else(|| panic!("{line}"));
    (kind, values.split('\t').map(str::to_owned).collect())
}

/// The columns as the first line of a stored result has them.
pub(crate) fn shown(columns: &[Column]) -> String {
    let column = |column: &Column| {
        let not_null = if column.nullable { "" } else { " NOT NULL" };
        let time = if column.is_rowtime { " *ROWTIME*" } else { "" };
        format!("`{}` {}{not_null}{time}", column.name.replace('`', "``"), column.data_type)
    };
    columns.iter().map(column).collect::<Vec<_>>().join(", ")
}
