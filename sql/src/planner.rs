//! Plans statements: from a query to a JobGraph, and to the text of EXPLAIN.

use std::collections::BTreeMap;
use std::rc::Rc;

use sqlparser::ast::Query;
use weir_protocol::job_graph::{JobGraph, JobVertex, OperatorDescriptor};

use crate::bind::{self, Environment};
use crate::connector;
use crate::dialect::Insert;
use crate::graph::{self, JobOptions};
use crate::script::SqlError;
use crate::stream::{Column, Node, NodeKind, explain, prune};

/// The sink of queries whose rows come back to the client.
pub const COLLECT: &str = "sink.collect";

/// A planned job.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedJob {
    pub graph: JobGraph,
    /// What EXPLAIN shows of it.
    pub explanation: String,
    /// What the user should know of it, such as options of tables that have no effect.
    pub notices: Vec<String>,
}

/// A planned query.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedQuery {
    pub job: PlannedJob,
    /// The columns of the rows.
    pub columns: Vec<Column>,
    /// Whether the rows have kinds: they are changes of a table, and some take others back.
    pub is_updating: bool,
}

/// Plans inserts, which run as one job. Parts that several of them have in common run once.
pub fn plan_inserts(environment: Environment<'_>, inserts: &[Insert], options: &JobOptions) -> Result<PlannedJob, SqlError> {
    let bound = inserts.iter().map(|insert| bind::insert(environment, insert)).collect::<Result<Vec<_>, _>>()?;
    let sinks = prune(bound.clone());
    let graph = graph::job_graph(&sinks, options)?;
    let explanation = explanation(&bound, &sinks, &graph);
    Ok(PlannedJob { graph, explanation, notices: notices(&sinks)? })
}

/// Plans a query whose rows go to `sink`, an operator of the caller. One subtask runs it, because the rows have an order.
pub fn plan_query(
    environment: Environment<'_>,
    query: &Query,
    sink: OperatorDescriptor,
    options: &JobOptions,
) -> Result<PlannedQuery, SqlError> {
    let bound = bind::query(environment, query)?;
    let columns = bound.columns.clone();
    let kind = NodeKind::Collect { operator: sink };
    let is_updating = bound.is_updating;
    let root = Rc::new(Node { kind, columns: columns.clone(), window: None, is_updating, inputs: vec![bound] });
    let sinks = prune(vec![root.clone()]);
    let graph = graph::job_graph(&sinks, options)?;
    let explanation = explanation(&[root], &sinks, &graph);
    Ok(PlannedQuery { job: PlannedJob { graph, explanation, notices: notices(&sinks)? }, columns, is_updating })
}

/// Plans a query whose rows come back to the client. The leader tells its sink, [`COLLECT`], where to write them.
pub fn plan_rows(environment: Environment<'_>, query: &Query, options: &JobOptions) -> Result<PlannedQuery, SqlError> {
    plan_query(environment, query, OperatorDescriptor::new(COLLECT, BTreeMap::new()), options)
}

/// What the connectors of the tables say, each once.
fn notices(sinks: &[Rc<Node>]) -> Result<Vec<String>, SqlError> {
    let (mut notices, mut waiting): (Vec<String>, Vec<_>) = (Vec::new(), sinks.iter().collect());
    while let Some(node) = waiting.pop() {
        let said = match &node.kind {
            NodeKind::Scan { path, table } => connector::source(path, table, &node.names())?.notices,
            NodeKind::Sink { path, table } => connector::sink(path, table)?.notices,
            _ => Vec::new(),
        };
        notices.extend(said);
        waiting.extend(&node.inputs);
    }
    notices.sort_unstable();
    notices.dedup();
    Ok(notices)
}

fn explanation(bound: &[Rc<Node>], sinks: &[Rc<Node>], graph: &JobGraph) -> String {
    let plans = |nodes: &[Rc<Node>]| nodes.iter().map(|node| explain(node)).collect::<Vec<_>>().join("\n");
    let vertex = |vertex: &JobVertex| {
        let from: Vec<_> = graph.inputs_of(&vertex.uid).map(|edge| edge.from.as_str()).collect();
        let from = if from.is_empty() { String::new() } else { format!(", from=[{}]", from.join(", ")) };
        format!("{}(parallelism=[{}], id=[{}]{from})\n", vertex.display_name(), vertex.parallelism, vertex.uid)
    };
    format!(
        "== Abstract Syntax Tree ==\n{}\n== Optimized Physical Plan ==\n{}\n== Job Graph ==\n{}",
        plans(bound),
        plans(sinks),
        graph.vertices.iter().map(vertex).collect::<String>()
    )
}
