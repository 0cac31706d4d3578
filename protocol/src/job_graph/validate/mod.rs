//! Checks whether a job graph can be executed. Client and Dispatcher apply the same rules. Every refusal has a code.
//!
//! The dataflow crate checks what can only be checked with built operators: expressions, and columns inside a chain.

mod chains;
mod edges;
mod options;
mod transactions;
mod uids;
mod windows;

use std::collections::BTreeMap;
use std::fmt;

use prost::Message;
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use transactions::KAFKA_TRANSACTION_TIMEOUT_MS;
pub use uids::is_legal_uid;

use super::catalog::MAX_DURATION_MS;
use super::{CheckpointConfig, Field, JobGraph, JobVertex, Partitioning, RestartStrategyConfig, json_words};

/// Most vertices of a graph.
pub const MAX_VERTICES: usize = 1_000;
/// Most edges of a graph.
pub const MAX_EDGES: usize = 10_000;
/// Most key groups, and therefore the highest parallelism.
pub const MAX_PARALLELISM: u32 = 32_768;
/// Most subtasks of all vertices together.
pub const MAX_SUBTASKS: u64 = 65_536;
/// Most channels (pairs of connected subtasks) of all edges together.
pub const MAX_CHANNELS: u64 = 4_194_304;
/// Most operators of one chain.
pub const MAX_OPERATORS: usize = 64;
/// Most inputs of a custom operator.
pub const MAX_INPUTS: u32 = 16;
/// Most columns of a schema.
pub const MAX_COLUMNS: usize = 2_000;
/// Most columns of one key.
pub const MAX_KEY_COLUMNS: usize = 64;
/// Longest name of anything, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// Longest `uid` of an operator, in bytes. Every checkpoint repeats it for every subtask.
pub const MAX_UID_BYTES: usize = 128;
/// Longest options of one operator as JSON, in bytes.
pub const MAX_OPTION_BYTES: usize = 256 * 1024;
/// Deepest nesting of an option's value. With the five levels of encoding around it, it stays below protobuf's limit of 100.
pub const MAX_NESTING: usize = 16;
/// Longest JSON form of a graph, in bytes.
pub const MAX_JSON_BYTES: usize = 4 * 1024 * 1024;
/// Most refusals that one check reports.
pub const MAX_ERRORS: usize = 100;
/// Most completed checkpoints that a job may ask to retain.
pub const MAX_RETAINED_CHECKPOINTS: u32 = 1_000;
/// Most checkpoints that may be in progress at once.
pub const MAX_CONCURRENT_CHECKPOINTS: u32 = 100;
/// Shortest checkpoint interval and timeout, in milliseconds.
pub const MIN_CHECKPOINT_MS: u64 = 10;

/// One problem of a job graph.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
pub struct GraphError {
    /// A stable code, e.g. `JG-CYCLE`.
    pub code: String,
    /// A vertex, an operator, an edge or a line. Empty if the problem concerns the whole graph.
    pub location: String,
    /// What is wrong, and what to try.
    pub message: String,
}

impl GraphError {
    /// An error at a place.
    pub fn new(code: &str, location: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code: code.to_owned(), location: location.into(), message: message.into() }
    }
}

impl fmt::Display for GraphError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.location.is_empty() {
            write!(f, "{}: {}", self.code, self.message)
        } else {
            write!(f, "{}: {}: {}", self.code, self.location, self.message)
        }
    }
}

/// Collects refusals and keeps the first [`MAX_ERRORS`].
#[derive(Default)]
struct Refusals(Vec<GraphError>);

impl Refusals {
    fn add(&mut self, code: &str, location: impl Into<String>, message: impl Into<String>) {
        if !self.is_full() {
            self.0.push(GraphError::new(code, location, message));
        }
    }

    /// Whether further refusals would be dropped. Then there is no use in looking for suggestions.
    fn is_full(&self) -> bool {
        self.0.len() >= MAX_ERRORS
    }

    fn into_result(self) -> Result<(), Vec<GraphError>> {
        if self.0.is_empty() { Ok(()) } else { Err(self.0) }
    }
}

impl JobGraph {
    /// Reads the JSON form and checks only its syntax and types. [`validate`] checks the rest.
    pub fn from_json(text: &str) -> Result<Self, GraphError> {
        if text.len() > MAX_JSON_BYTES {
            let message = format!("the job graph has {} bytes; the limit is {MAX_JSON_BYTES}", text.len());
            return Err(GraphError::new("JG-LIMIT", "", message));
        }
        serde_json::from_str(text).map_err(|error| {
            let location =
                if error.line() == 0 { String::new() } else { format!("line {}, column {}", error.line(), error.column()) };
            GraphError::new("JG-JSON", location, clip(&json_words::explain(text, &error)))
        })
    }
}

/// Checks everything that can be checked without building operators. Reports all problems found, up to [`MAX_ERRORS`].
pub fn validate(graph: &JobGraph) -> Result<(), Vec<GraphError>> {
    let mut refusals = Refusals::default();
    if graph.version != JobGraph::VERSION {
        let message = format!("version is {}; this build reads version {}", graph.version, JobGraph::VERSION);
        refusals.add("JG-VERSION", "", message);
        return refusals.into_result();
    }
    check_size(graph, &mut refusals);
    // The checks below take time proportional to the size, so they skip an oversized graph.
    if !refusals.0.is_empty() {
        return refusals.into_result();
    }
    check_name("the job's name", &graph.name, "", &mut refusals);
    check_checkpointing(&graph.checkpoint_config(), &mut refusals);
    check_restore_path(graph, &mut refusals);
    check_restart_strategy(&graph.restart_strategy_config(), &mut refusals);
    let vertices = index(graph, &mut refusals);
    if !(1..=MAX_PARALLELISM).contains(&graph.max_parallelism) {
        let message = format!("max_parallelism is {}; take 1 to {MAX_PARALLELISM}", graph.max_parallelism);
        refusals.add("JG-PARALLELISM", "", message);
    }
    for vertex in &graph.vertices {
        chains::check_vertex(graph, vertex, &mut refusals);
    }
    uids::check_uids(graph, &mut refusals);
    transactions::check_transactions(graph, &mut refusals);
    edges::check_edges(graph, &vertices, &mut refusals);
    if let Err(uids) = topological_order(graph) {
        let uids: Vec<_> = uids.into_iter().take(10).map(|uid| format!("{:?}", clip(uid))).collect();
        refusals.add("JG-CYCLE", "", format!("the graph has a cycle through {}; streams only flow forward", uids.join(", ")));
    }
    refusals.into_result()
}

/// Positions in `graph.vertices`, producers before consumers, otherwise in graph order. Ignores edges that name no vertex. `Err`
/// names the vertices on or after a cycle.
pub fn topological_order(graph: &JobGraph) -> Result<Vec<usize>, Vec<&str>> {
    let position: BTreeMap<&str, usize> =
        graph.vertices.iter().enumerate().rev().map(|(i, vertex)| (vertex.uid.as_str(), i)).collect();
    let mut consumers = vec![Vec::new(); graph.vertices.len()];
    let mut waiting_for = vec![0_usize; graph.vertices.len()];
    for edge in &graph.edges {
        if let (Some(&from), Some(&to)) = (position.get(edge.from.as_str()), position.get(edge.to.as_str())) {
            consumers[from].push(to);
            waiting_for[to] += 1;
        }
    }
    let mut ready: std::collections::BTreeSet<usize> = (0..graph.vertices.len()).filter(|&i| waiting_for[i] == 0).collect();
    let mut order = Vec::with_capacity(graph.vertices.len());
    while let Some(next) = ready.pop_first() {
        order.push(next);
        for &consumer in &consumers[next] {
            waiting_for[consumer] -= 1;
            if waiting_for[consumer] == 0 {
                ready.insert(consumer);
            }
        }
    }
    if order.len() == graph.vertices.len() {
        return Ok(order);
    }
    Err((0..graph.vertices.len()).filter(|&i| waiting_for[i] > 0).map(|i| graph.vertices[i].uid.as_str()).collect())
}

fn check_size(graph: &JobGraph, refusals: &mut Refusals) {
    let mut limit = |what: &str, location: String, found: u64, limit: u64| {
        if found > limit {
            refusals.add("JG-LIMIT", location, format!("{found} {what}; the limit is {limit}"));
        }
    };
    limit("vertices", String::new(), graph.vertices.len() as u64, MAX_VERTICES as u64);
    limit("edges", String::new(), graph.edges.len() as u64, MAX_EDGES as u64);
    let subtasks = graph.vertices.iter().map(|vertex| u64::from(vertex.parallelism)).sum();
    limit("subtasks in all", String::new(), subtasks, MAX_SUBTASKS);
    for (i, edge) in graph.edges.iter().enumerate().take(MAX_EDGES) {
        if let Partitioning::Hash { keys } = &edge.partitioning {
            limit("key columns", format!("edge {i}"), keys.len() as u64, MAX_KEY_COLUMNS as u64);
        }
    }
    let mut too_deep = false;
    for vertex in graph.vertices.iter().take(MAX_VERTICES) {
        limit("operators", at_vertex(vertex), vertex.operators.len() as u64, MAX_OPERATORS as u64);
        limit("columns", at_vertex(vertex), vertex.output_schema.len() as u64, MAX_COLUMNS as u64);
        limit("inputs", at_vertex(vertex), vertex.input_schemas.len() as u64, u64::from(MAX_INPUTS));
        for schema in vertex.input_schemas.iter().take(MAX_INPUTS as usize) {
            limit("columns of an input", at_vertex(vertex), schema.len() as u64, MAX_COLUMNS as u64);
        }
        for (i, operator) in vertex.operators.iter().enumerate().take(MAX_OPERATORS) {
            let measures = operator.options.iter().map(|(name, value)| {
                let (bytes, depth) = measure(value);
                (bytes + name.len(), depth)
            });
            let (bytes, depth) = measures.fold((0, 0), |(bytes, depth), (b, d)| (bytes + b, depth.max(d)));
            limit("bytes of options", at_operator(vertex, i), bytes as u64, MAX_OPTION_BYTES as u64);
            limit("levels of nesting in an option", at_operator(vertex, i), depth as u64, MAX_NESTING as u64);
            too_deep |= depth > MAX_NESTING;
        }
    }
    // Encoding recurses into values, so their depth must be checked first.
    if !too_deep && refusals.0.is_empty() {
        let bytes = crate::pb::job_graph::v1::JobGraph::from(graph.clone()).encoded_len();
        if bytes + 12 > JobGraph::MAX_ENCODED_BYTES {
            refusals.add("JG-LIMIT", "", format!("{bytes} bytes encoded; the limit is {}", JobGraph::MAX_ENCODED_BYTES));
        }
    }
}

/// Approximate bytes and nesting of a value, computed without recursion.
fn measure(value: &Value) -> (usize, usize) {
    let (mut bytes, mut deepest) = (0, 0);
    let mut open = vec![(value, 1)];
    while let Some((value, depth)) = open.pop() {
        deepest = deepest.max(depth);
        bytes += 8;
        match value {
            Value::String(text) => bytes += text.len(),
            Value::Array(items) => open.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(entries) => {
                bytes += entries.keys().map(String::len).sum::<usize>();
                open.extend(entries.values().map(|item| (item, depth + 1)));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    (bytes, deepest)
}

/// Vertices by `uid`. Refuses duplicates and keeps the first one.
fn index<'a>(graph: &'a JobGraph, refusals: &mut Refusals) -> BTreeMap<&'a str, &'a JobVertex> {
    let mut vertices = BTreeMap::new();
    if graph.vertices.is_empty() {
        refusals.add("JG-EMPTY", "", "the graph has no vertices; add a source and a sink");
    }
    for vertex in &graph.vertices {
        check_name("the vertex's id", &vertex.uid, &at_vertex(vertex), refusals);
        if vertex.uid.is_empty() {
            refusals.add("JG-NAME", "", "a vertex has an empty id; state is found by its id, so give it one that you keep");
        } else if vertices.contains_key(vertex.uid.as_str()) {
            refusals.add("JG-DUPLICATE-ID", at_vertex(vertex), "two vertices have this id; ids are unique in a graph");
        } else {
            vertices.insert(vertex.uid.as_str(), vertex);
        }
    }
    vertices
}

/// Checks the settings that a cluster fills in if a job graph has none.
pub fn validate_settings(checkpointing: &CheckpointConfig, restarts: &RestartStrategyConfig) -> Result<(), Vec<GraphError>> {
    let mut refusals = Refusals::default();
    check_checkpointing(checkpointing, &mut refusals);
    check_restart_strategy(restarts, &mut refusals);
    refusals.into_result()
}

fn check_checkpointing(config: &CheckpointConfig, refusals: &mut Refusals) {
    let mut refuse = |message: String| refusals.add("JG-CHECKPOINTING", "checkpointing", message);
    if config.interval_ms != 0 && config.interval_ms < MIN_CHECKPOINT_MS {
        refuse(format!("interval_ms is {}; take 0 for none or at least {MIN_CHECKPOINT_MS}", config.interval_ms));
    }
    if config.timeout_ms < MIN_CHECKPOINT_MS {
        refuse(format!("timeout_ms is {}; take at least {MIN_CHECKPOINT_MS}", config.timeout_ms));
    }
    for (name, value) in
        [("interval_ms", config.interval_ms), ("timeout_ms", config.timeout_ms), ("min_pause_ms", config.min_pause_ms)]
    {
        if value > MAX_DURATION_MS as u64 {
            refuse(format!("{name} is {value}; the limit is {MAX_DURATION_MS} (100 years)"));
        }
    }
    if !(1..=MAX_CONCURRENT_CHECKPOINTS).contains(&config.max_concurrent) {
        refuse(format!("max_concurrent is {}; take 1 to {MAX_CONCURRENT_CHECKPOINTS}", config.max_concurrent));
    }
    if !(1..=MAX_RETAINED_CHECKPOINTS).contains(&config.retained) {
        refuse(format!("retained is {}; take 1 to {MAX_RETAINED_CHECKPOINTS}", config.retained));
    }
}

fn check_restore_path(graph: &JobGraph, refusals: &mut Refusals) {
    if let Some(path) = &graph.restore_from
        && (path.is_empty() || path.len() > 4096 || path.contains('\0'))
    {
        refusals.add("JG-CHECKPOINTING", "restore_from", "the path is empty, longer than 4096 bytes or contains a NUL character");
    }
}

fn check_restart_strategy(strategy: &RestartStrategyConfig, refusals: &mut Refusals) {
    let mut refuse = |message: String| refusals.add("JG-RESTART", "restart_strategy", message);
    let durations = match *strategy {
        RestartStrategyConfig::None => vec![],
        RestartStrategyConfig::FixedDelay { delay_ms, .. } => vec![("delay_ms", delay_ms)],
        RestartStrategyConfig::ExponentialDelay {
            initial_backoff_ms,
            max_backoff_ms,
            backoff_multiplier,
            reset_backoff_threshold_ms,
            jitter_factor,
        } => {
            if initial_backoff_ms == 0 || initial_backoff_ms > max_backoff_ms {
                refuse(format!("initial_backoff_ms is {initial_backoff_ms}; take 1 to max_backoff_ms ({max_backoff_ms})"));
            }
            if !(1.0..=1_000.0).contains(&backoff_multiplier) {
                refuse(format!("backoff_multiplier is {backoff_multiplier}; take 1 to 1000"));
            }
            if !(0.0..=1.0).contains(&jitter_factor) {
                refuse(format!("jitter_factor is {jitter_factor}; take 0 to 1"));
            }
            vec![("max_backoff_ms", max_backoff_ms), ("reset_backoff_threshold_ms", reset_backoff_threshold_ms)]
        }
        RestartStrategyConfig::FailureRate { max_failures_per_interval, interval_ms, delay_ms } => {
            // The limit bounds memory, because every failure of an interval is remembered.
            if !(1..=10_000).contains(&max_failures_per_interval) {
                refuse(format!("max_failures_per_interval is {max_failures_per_interval}; take 1 to 10000"));
            }
            if interval_ms == 0 {
                refuse("interval_ms is 0; take at least 1".to_owned());
            }
            vec![("interval_ms", interval_ms), ("delay_ms", delay_ms)]
        }
    };
    for (name, value) in durations {
        if value > MAX_DURATION_MS as u64 {
            refuse(format!("{name} is {value}; the limit is {MAX_DURATION_MS} (100 years)"));
        }
    }
}

fn check_name(what: &str, name: &str, location: &str, refusals: &mut Refusals) {
    if name.len() > MAX_NAME_BYTES {
        refusals.add("JG-LIMIT", location, format!("{what} has {} bytes; the limit is {MAX_NAME_BYTES}", name.len()));
    } else if name.chars().any(char::is_control) {
        refusals.add("JG-NAME", location, format!("{what} contains a control character"));
    }
}

fn check_schema(what: &str, schema: &[Field], location: &str, refusals: &mut Refusals) {
    let mut names = std::collections::BTreeSet::new();
    for field in schema {
        if field.name.is_empty() || field.name.len() > MAX_NAME_BYTES || field.name.chars().any(char::is_control) {
            let message =
                format!("{what} has a column name that is empty, longer than {MAX_NAME_BYTES} bytes or has control characters");
            refusals.add("JG-SCHEMA", location, message);
        } else if !names.insert(field.name.as_str()) {
            refusals.add("JG-SCHEMA", location, format!("{what} has two columns named {:?}", field.name));
        }
    }
}

fn at_vertex(vertex: &JobVertex) -> String {
    format!("vertex {:?}", clip(&vertex.uid))
}

fn at_operator(vertex: &JobVertex, index: usize) -> String {
    let kind = vertex.operators.get(index).map_or("", |operator| operator.kind.as_str());
    format!("vertex {:?}, operator {index} ({})", clip(&vertex.uid), clip(kind))
}

/// At most 128 characters of a text, so that messages stay readable.
fn clip(text: &str) -> String {
    match text.char_indices().nth(128) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

#[cfg(test)]
pub(crate) mod tests;
