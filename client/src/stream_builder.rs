//! Builds job graphs in Rust, from streams and their transformations.
//!
//! Consecutive operators without an exchange in between are chained into one vertex. A vertex gets its id from its first
//! operator. If its state must be found again after the program is edited, set the id with [`Stream::uid`].

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use weir_protocol::job_graph::validate::{GraphError, validate};
use weir_protocol::job_graph::{
    CheckpointConfig, DataType, Field, JobEdge, JobGraph, JobVertex, OperatorDescriptor, Partitioning, RestartStrategyConfig,
};

/// Builds a job graph, operator by operator.
#[derive(Debug)]
pub struct StreamBuilder {
    parallelism: u32,
    graph: RefCell<JobGraph>,
    /// Positions of vertices whose output has several readers. Their chains can't be continued.
    branched: RefCell<BTreeSet<usize>>,
}

/// The output of the operators so far. To use it twice, take a [`Stream::branch`].
#[derive(Debug)]
pub struct Stream<'a> {
    builder: &'a StreamBuilder,
    /// Position of the vertex that ends in this stream.
    vertex: usize,
    schema: Vec<Field>,
    /// How rows reach the next operator. `None` chains it.
    exchange: Option<Partitioning>,
}

/// A column that a window computes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregate {
    name: String,
    function: &'static str,
    column: Option<String>,
}

impl Aggregate {
    /// The number of rows.
    pub fn count(name: &str) -> Self {
        Self { name: name.to_owned(), function: "count", column: None }
    }

    /// The sum of a column.
    pub fn sum(name: &str, column: &str) -> Self {
        Self::over(name, "sum", column)
    }

    /// The least value of a column.
    pub fn min(name: &str, column: &str) -> Self {
        Self::over(name, "min", column)
    }

    /// The greatest value of a column.
    pub fn max(name: &str, column: &str) -> Self {
        Self::over(name, "max", column)
    }

    /// The mean of a column.
    pub fn avg(name: &str, column: &str) -> Self {
        Self::over(name, "avg", column)
    }

    /// The number of distinct values of a column.
    pub fn count_distinct(name: &str, column: &str) -> Self {
        Self::over(name, "count_distinct", column)
    }

    fn over(name: &str, function: &'static str, column: &str) -> Self {
        Self { name: name.to_owned(), function, column: Some(column.to_owned()) }
    }
}

/// Columns that hold the event times of the two inputs of a join. Both inputs need a [`Stream::watermark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventTimes<'a> {
    /// Of the rows that are enriched.
    pub time_column: &'a str,
    /// Of the rows that enrich them.
    pub right_time_column: &'a str,
}

/// How `sink.file` treats its directory and its files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct FileSink {
    /// Whether other sinks may write to the same directory. Readers then see the rows of all of them.
    pub shared: bool,
    /// What to do if a file of the restored checkpoint is missing and was perhaps never committed.
    pub on_missing: OnMissing,
}

/// What a file sink does about a file that is missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnMissing {
    /// Fail the job: its rows may be lost.
    #[default]
    Fail,
    /// Log the loss and go on.
    Continue,
}

/// The kind of the windows and their lengths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WindowSpec {
    /// Windows that follow each other without overlap.
    Tumbling {
        /// Length in milliseconds.
        size_ms: u64,
    },
    /// Windows that overlap if `slide_ms` is less than `size_ms`.
    Hopping {
        /// Length in milliseconds.
        size_ms: u64,
        /// Distance from one window's start to the next, in milliseconds.
        slide_ms: u64,
    },
}

impl StreamBuilder {
    /// Begins a job called `name`. Its vertices get `parallelism`, except windows without keys, which get 1.
    pub fn new(name: &str, parallelism: u32) -> Self {
        let graph = JobGraph {
            version: JobGraph::VERSION,
            job_id: None,
            name: name.to_owned(),
            max_parallelism: 128,
            vertices: Vec::new(),
            edges: Vec::new(),
            checkpointing: None,
            restart_strategy: None,
            restore_from: None,
            allow_non_restored_state: false,
        };
        Self { parallelism, graph: RefCell::new(graph), branched: RefCell::default() }
    }

    /// Sets when and how to checkpoint. Default: the cluster's configuration.
    pub fn checkpointing(&self, config: CheckpointConfig) -> &Self {
        self.graph.borrow_mut().checkpointing = Some(config);
        self
    }

    /// Sets what to do when a task fails. Default: the cluster's configuration.
    pub fn restart_strategy(&self, strategy: RestartStrategyConfig) -> &Self {
        self.graph.borrow_mut().restart_strategy = Some(strategy);
        self
    }

    /// Sets the number of key groups. Default: 128.
    pub fn max_parallelism(&self, max_parallelism: u32) -> &Self {
        self.graph.borrow_mut().max_parallelism = max_parallelism;
        self
    }

    /// Reads files with `source.file`. `options` sets further options of that operator.
    pub fn read_files(&self, path: &str, format: &str, schema: Vec<Field>, options: &[(&str, Value)]) -> Stream<'_> {
        let mut all = vec![("path", json!(path)), ("format", json!(format)), ("schema", json!(schema))];
        all.extend(options.iter().cloned());
        self.source(operator("source.file", all), schema)
    }

    /// Begins a stream with any source, e.g. one of your own. `schema` is the source's columns.
    pub fn source(&self, source: OperatorDescriptor, schema: Vec<Field>) -> Stream<'_> {
        let vertex = self.add_vertex(source, self.parallelism);
        Stream { builder: self, vertex, schema, exchange: None }
    }

    /// Validates the graph and returns it, or all errors found.
    pub fn build(self) -> Result<JobGraph, Vec<GraphError>> {
        let graph = self.graph.into_inner();
        validate(&graph).map(|()| graph)
    }

    fn add_vertex(&self, first: OperatorDescriptor, parallelism: u32) -> usize {
        let mut graph = self.graph.borrow_mut();
        let kind = first.kind.replace('.', "-");
        let taken = |uid: &String| graph.vertices.iter().any(|vertex| vertex.uid == *uid);
        let uid = (1..).map(|n| format!("{kind}-{n}")).find(|uid| !taken(uid)).unwrap_or(kind);
        graph.vertices.push(JobVertex {
            uid,
            name: String::new(),
            parallelism,
            operators: vec![first],
            output_schema: Vec::new(),
            input_schemas: Vec::new(),
        });
        graph.vertices.len() - 1
    }
}

impl<'a> Stream<'a> {
    /// The columns at this point.
    pub fn schema(&self) -> &[Field] {
        &self.schema
    }

    /// Sets the id of the vertex that produces this stream.
    pub fn uid(self, uid: &str) -> Self {
        {
            let mut graph = self.builder.graph.borrow_mut();
            let old = std::mem::replace(&mut graph.vertices[self.vertex].uid, uid.to_owned());
            for edge in &mut graph.edges {
                for end in [&mut edge.from, &mut edge.to] {
                    if *end == old {
                        uid.clone_into(end);
                    }
                }
            }
        }
        self
    }

    /// Returns the same stream for a second use. The operators after each of them go into new vertices.
    pub fn branch(&self) -> Self {
        self.builder.branched.borrow_mut().insert(self.vertex);
        Self { builder: self.builder, vertex: self.vertex, schema: self.schema.clone(), exchange: self.exchange.clone() }
    }

    /// Keeps the rows that satisfy a SQL predicate.
    pub fn filter(self, predicate: &str) -> Self {
        let schema = self.schema.clone();
        self.then(operator("filter", vec![("predicate", json!(predicate))]), schema)
    }

    /// Computes columns, each given by its name, SQL expression and type.
    pub fn project(self, columns: &[(&str, &str, DataType)]) -> Self {
        let options: Vec<_> = columns.iter().map(|(name, expr, _)| json!({"name": name, "expr": expr})).collect();
        let schema = columns.iter().map(|(name, _, data_type)| field(name, data_type.clone())).collect();
        self.then(operator("project", vec![("columns", Value::from(options))]), schema)
    }

    /// Derives watermarks from a timestamp column. Rows may be out of order by up to `out_of_orderness_ms` milliseconds.
    pub fn watermark(self, column: &str, out_of_orderness_ms: u64) -> Self {
        let schema = self.schema.clone();
        let options = vec![("column", json!(column)), ("out_of_orderness_ms", json!(out_of_orderness_ms))];
        self.then(operator("watermark", options), schema)
    }

    /// Applies any transformation, e.g. one of your own. `schema` is its output columns.
    pub fn transform(self, transform: OperatorDescriptor, schema: Vec<Field>) -> Self {
        self.then(transform, schema)
    }

    /// Distributes rows by the hash of these columns.
    pub fn key_by(self, keys: &[&str]) -> Self {
        let keys = keys.iter().map(|key| (*key).to_owned()).collect();
        Self { exchange: Some(Partitioning::Hash { keys }), ..self }
    }

    /// Distributes batches round-robin.
    pub fn rebalance(self) -> Self {
        Self { exchange: Some(Partitioning::Rebalance), ..self }
    }

    /// Sends every row to every subtask.
    pub fn broadcast(self) -> Self {
        Self { exchange: Some(Partitioning::Broadcast), ..self }
    }

    /// Aggregates over windows of `time_column`. Groups by the columns of the [`Stream::key_by`] just before. Without one,
    /// aggregates all rows together in one subtask. Emits `window_start`, the keys and the aggregates.
    pub fn window(self, time_column: &str, window: WindowSpec, aggregates: &[Aggregate]) -> Self {
        let keys = match &self.exchange {
            Some(Partitioning::Hash { keys }) => keys.clone(),
            _ => Vec::new(),
        };
        let column = |name: &str| self.schema.iter().find(|field| field.name == name);
        let mut schema = vec![field("window_start", DataType::Timestamp(3))];
        schema.extend(keys.iter().filter_map(|key| column(key).cloned()));
        let mut list = Vec::with_capacity(aggregates.len());
        for Aggregate { name, function, column: over } in aggregates {
            let of = over.as_deref().and_then(column).map(|field| field.data_type.clone());
            let data_type = match (*function, of) {
                ("avg", _) => DataType::Double,
                ("sum", Some(DataType::Double)) => DataType::Double,
                ("min" | "max", Some(data_type)) => data_type,
                _ => DataType::Bigint,
            };
            schema.push(field(name, data_type));
            list.push(match over {
                Some(over) => json!({"name": name, "function": function, "column": over}),
                None => json!({"name": name, "function": function}),
            });
        }
        let mut options = vec![("time_column", json!(time_column)), ("keys", json!(keys)), ("aggregates", Value::from(list))];
        let kind = match window {
            WindowSpec::Tumbling { size_ms } => {
                options.push(("size_ms", json!(size_ms)));
                "window.tumbling"
            }
            WindowSpec::Hopping { size_ms, slide_ms } => {
                options.extend([("size_ms", json!(size_ms)), ("slide_ms", json!(slide_ms))]);
                "window.hopping"
            }
        };
        let descriptor = operator(kind, options);
        if keys.is_empty() {
            return Self { exchange: Some(Partitioning::Rebalance), ..self }.begin(descriptor, schema, 1);
        }
        self.then(descriptor, schema)
    }

    /// Adds `columns` of that row of `right` with equal keys that was the latest at the row's event time; null if there was none.
    /// The result is a function of the inputs.
    pub fn join_latest(self, keys: &[&str], right: Self, right_keys: &[&str], columns: &[&str], times: EventTimes<'_>) -> Self {
        let added = right.schema.iter().filter(|field| columns.contains(&field.name.as_str()));
        let mut schema = self.schema.clone();
        schema.extend(added.map(|added| field(&added.name, added.data_type.clone())));
        let EventTimes { time_column, right_time_column } = times;
        let options = vec![
            ("keys", json!(keys)),
            ("right_keys", json!(right_keys)),
            ("right_columns", json!(columns)),
            ("time_column", json!(time_column)),
            ("right_time_column", json!(right_time_column)),
        ];
        let parallelism = self.builder.parallelism;
        let joined = self.key_by(keys).begin(operator("join.latest", options), schema, parallelism);
        right.key_by(right_keys).connect(joined.vertex, 1);
        joined
    }

    /// Writes files exactly once, with `sink.file`. The directory belongs to this sink alone.
    pub fn write_files(self, path: &str, format: &str) {
        self.write_files_with(path, format, FileSink::default());
    }

    /// Writes files exactly once, with `sink.file`, whose options differ from the defaults.
    pub fn write_files_with(self, path: &str, format: &str, sink: FileSink) {
        let mut options = vec![("path", json!(path)), ("format", json!(format))];
        if sink.shared {
            options.push(("shared", json!(true)));
        }
        if sink.on_missing == OnMissing::Continue {
            options.push(("on_missing", json!("continue")));
        }
        self.sink(operator("sink.file", options));
    }

    /// Prints each row after `prefix`, with `sink.print`.
    pub fn print(self, prefix: &str) {
        self.sink(operator("sink.print", vec![("prefix", json!(prefix))]));
    }

    /// Ends the stream in any sink, e.g. one of your own.
    pub fn sink(self, sink: OperatorDescriptor) {
        self.then(sink, Vec::new());
    }

    /// Appends an operator: to the chain if the stream has no exchange and one reader, else as a new vertex.
    fn then(self, next: OperatorDescriptor, schema: Vec<Field>) -> Self {
        let chains = self.exchange.is_none() && !self.builder.branched.borrow().contains(&self.vertex);
        if !chains {
            let parallelism = self.builder.parallelism;
            return self.begin(next, schema, parallelism);
        }
        self.builder.graph.borrow_mut().vertices[self.vertex].operators.push(next);
        Self { schema, ..self }
    }

    /// Begins a new vertex that reads this stream.
    fn begin(self, first: OperatorDescriptor, schema: Vec<Field>, parallelism: u32) -> Self {
        let builder = self.builder;
        let vertex = builder.add_vertex(first, parallelism);
        self.connect(vertex, 0);
        Self { builder, vertex, schema, exchange: None }
    }

    /// Connects this stream to an input of a vertex.
    fn connect(self, to: usize, input: u32) {
        let mut graph = self.builder.graph.borrow_mut();
        let equal = graph.vertices[self.vertex].parallelism == graph.vertices[to].parallelism;
        let unasked = if equal { Partitioning::Forward } else { Partitioning::Rebalance };
        let edge = JobEdge {
            from: graph.vertices[self.vertex].uid.clone(),
            to: graph.vertices[to].uid.clone(),
            input,
            partitioning: self.exchange.unwrap_or(unasked),
        };
        graph.edges.push(edge);
        graph.vertices[self.vertex].output_schema = self.schema;
    }
}

fn field(name: &str, data_type: DataType) -> Field {
    Field { name: name.to_owned(), data_type, nullable: true }
}

fn operator(kind: &str, options: Vec<(&str, Value)>) -> OperatorDescriptor {
    let options: BTreeMap<_, _> = options.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    OperatorDescriptor::new(kind, options)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bids() -> Vec<Field> {
        vec![field("auction", DataType::Bigint), field("price", DataType::Double), field("ts", DataType::Timestamp(3))]
    }

    #[test]
    fn consecutive_operators_are_chained_and_an_exchange_begins_a_vertex() {
        let job = StreamBuilder::new("bids", 2);
        job.read_files("/in", "csv", bids(), &[("header", json!(false))])
            .uid("bids")
            .filter("price > 0")
            .watermark("ts", 0)
            .key_by(&["auction"])
            .window("ts", WindowSpec::Tumbling { size_ms: 1_000 }, &[Aggregate::count("n"), Aggregate::sum("total", "price")])
            .uid("per-auction")
            .write_files("/out", "csv");
        let graph = job.build().unwrap();
        let kinds: Vec<Vec<&str>> =
            graph.vertices.iter().map(|vertex| vertex.operators.iter().map(|o| o.kind.as_str()).collect()).collect();
        assert_eq!(kinds, [vec!["source.file", "filter", "watermark"], vec!["window.tumbling", "sink.file"]]);
        assert_eq!(graph.vertices[0].output_schema, bids());
        assert_eq!((graph.edges[0].from.as_str(), graph.edges[0].to.as_str()), ("bids", "per-auction"));
    }

    #[test]
    fn a_window_without_keys_runs_in_one_subtask_and_its_columns_have_types() {
        let job = StreamBuilder::new("bids", 2);
        let window = job.read_files("/in", "csv", bids(), &[]).watermark("ts", 0).window(
            "ts",
            WindowSpec::Hopping { size_ms: 1_000, slide_ms: 500 },
            &[
                Aggregate::max("latest", "ts"),
                Aggregate::avg("mean", "auction"),
                Aggregate::count_distinct("auctions", "auction"),
            ],
        );
        let types: Vec<_> = window.schema().iter().map(|field| field.data_type.clone()).collect();
        assert_eq!(types, [DataType::Timestamp(3), DataType::Timestamp(3), DataType::Double, DataType::Bigint]);
        window.print("");
        let graph = job.build().unwrap();
        assert_eq!((graph.vertices[1].parallelism, &graph.edges[0].partitioning), (1, &Partitioning::Rebalance));
    }

    #[test]
    fn a_stream_may_be_continued_twice_and_joined() {
        let job = StreamBuilder::new("bids", 2);
        let all = job.read_files("/in", "csv", bids(), &[]);
        let names = vec![field("id", DataType::Bigint), field("name", DataType::String), field("since", DataType::Timestamp(3))];
        let names = job.read_files("/names", "json", names, &[]);
        all.branch().print("all");
        let times = EventTimes { time_column: "ts", right_time_column: "since" };
        let joined = all.join_latest(&["auction"], names, &["id"], &["name"], times);
        assert_eq!(joined.schema().last().map(|field| field.name.as_str()), Some("name"));
        joined.write_files("/out", "parquet");
        let graph = job.build().unwrap();
        let edges: Vec<_> = graph.edges.iter().map(|edge| (edge.from.as_str(), edge.to.as_str(), edge.input)).collect();
        let expected =
            [("source-file-1", "sink-print-1", 0), ("source-file-1", "join-latest-1", 0), ("source-file-2", "join-latest-1", 1)];
        assert_eq!(edges, expected);
    }

    #[test]
    fn a_join_in_event_time_names_the_times_of_both_inputs() {
        let job = StreamBuilder::new("bids", 2);
        let prices = vec![field("id", DataType::Bigint), field("since", DataType::Timestamp(3)), field("rate", DataType::Double)];
        let bids = job.read_files("/in", "csv", bids(), &[]).watermark("ts", 0);
        let prices = job.read_files("/prices", "csv", prices, &[]).watermark("since", 0);
        let times = EventTimes { time_column: "ts", right_time_column: "since" };
        bids.join_latest(&["auction"], prices, &["id"], &["rate"], times).print("");
        let graph = job.build().unwrap();
        let join = graph.vertices.iter().flat_map(|vertex| &vertex.operators).find(|operator| operator.kind == "join.latest");
        let options = &join.unwrap().options;
        assert_eq!((&options["time_column"], &options["right_time_column"]), (&json!("ts"), &json!("since")));
    }

    #[test]
    fn a_file_sink_may_share_its_directory_and_continue_without_a_missing_file() {
        let options_of = |sink: FileSink| {
            let job = StreamBuilder::new("bids", 2);
            job.read_files("/in", "csv", bids(), &[]).write_files_with("/out", "csv", sink);
            let mut graph = job.build().unwrap();
            graph.vertices.remove(0).operators.pop().unwrap().options
        };
        let plain = options_of(FileSink::default());
        assert_eq!(plain.keys().collect::<Vec<_>>(), ["format", "path"]);
        let other = options_of(FileSink { shared: true, on_missing: OnMissing::Continue });
        assert_eq!((&other["shared"], &other["on_missing"]), (&json!(true), &json!("continue")));
    }
}
