//! Prints how many rows per second of processor time one core takes through each Nexmark query that the planner accepts, without a
//! cluster: the whole job runs in this thread, from the CSV files of `nexmark_files` to a blackhole. So a profile of this process is a
//! profile of the query. Run with
//! `cargo run --release -p weir-sql --example nexmark_bench -- ops/nexmark-bench DATA_DIR [QUERY...]`.

#![allow(clippy::print_stdout, reason = "an example prints as a small program would")]

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::error::Error;
use std::path::Path;

use arrow_array::RecordBatch;
use weir_dataflow::chain::{ChainPoll, OperatorChain};
use weir_dataflow::element::EventTime;
use weir_dataflow::operator::{Collector, OperatorContext, OperatorError};
use weir_dataflow::registry::OperatorRegistry;
use weir_protocol::job_graph::{JobGraph, OperatorDescriptor};
use weir_protocol::{ExecutionAttemptId, ExecutionVertexId, Generation, JobId, LeaderEpoch};
use weir_sql::dialect::{Statement, parse_statement};
use weir_sql::planner::plan_query;
use weir_sql::script::split;
use weir_sql::session::Session;

const BATCH_ROWS: usize = 8_192;
const RUNS: usize = 3;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (Some(bench), Some(data)) = (arguments.first(), arguments.get(1)) else {
        return Err("arguments: the directory ops/nexmark-bench, the directory of the data, queries".into());
    };
    let bench = Path::new(bench);
    let tables = std::fs::read_to_string(bench.join("tables.sql"))?.replace("${data}", data);
    for number in 0..=22 {
        let name = format!("q{number}");
        let Ok(text) = std::fs::read_to_string(bench.join("queries").join(format!("{name}.sql"))) else { continue };
        if arguments.len() > 2 && !arguments[2..].contains(&name) {
            continue;
        }
        let (_, query) = text.split_once("INSERT INTO sink").ok_or("the query has no INSERT INTO sink")?;
        let Ok(graph) = plan(&format!("{tables}{query}")) else { continue };
        let mut best = (0, f64::INFINITY);
        for _ in 0..RUNS {
            let before = processor_seconds()?;
            let rows = run(&graph)?;
            let seconds = processor_seconds()? - before;
            if seconds < best.1 {
                best = (rows, seconds);
            }
        }
        println!("{name}: {} rows, {:.3} s, {:.2} M rows/s", best.0, best.1, best.0 as f64 / best.1 / 1e6);
    }
    Ok(())
}

/// The job of the last statement, which is a query. Its rows are dropped.
fn plan(script: &str) -> Result<JobGraph, Box<dyn Error>> {
    let mut session = Session::default();
    for statement in split(script).map_err(|error| error.render(script))? {
        match parse_statement(&statement).map_err(|error| error.render(script))? {
            Statement::Query(query) => {
                let sink = OperatorDescriptor::new("sink.blackhole", BTreeMap::new());
                let options = session.job_options("bench");
                let planned = plan_query(session.environment(), &query, sink, &options).map_err(|error| error.render(script))?;
                return Ok(planned.job.graph);
            }
            other => {
                session.command(&other).ok_or("not a command")?.map_err(|error| error.render(script))?;
            }
        }
    }
    Err("the script has no query".into())
}

/// The chains of the vertices. Each has at most one input, so that rows can be passed on by calls.
struct Job {
    chains: Vec<RefCell<OperatorChain>>,
    /// For each chain, those that read from it.
    readers: Vec<Vec<usize>>,
}

/// Passes on what a chain emits.
struct Readers<'a> {
    job: &'a Job,
    chain: usize,
}

impl Collector for Readers<'_> {
    fn collect(&mut self, batch: RecordBatch) -> Result<(), OperatorError> {
        for reader in &self.job.readers[self.chain] {
            let mut out = Readers { job: self.job, chain: *reader };
            let watermark = self.job.chains[*reader].borrow_mut().process(0, batch.clone(), &mut out)?;
            watermark.map_or(Ok(()), |watermark| out.watermark(watermark))?;
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: EventTime) -> Result<(), OperatorError> {
        for reader in &self.job.readers[self.chain] {
            let mut out = Readers { job: self.job, chain: *reader };
            let risen = self.job.chains[*reader].borrow_mut().watermark(watermark, &mut out)?;
            risen.map_or(Ok(()), |risen| out.watermark(risen))?;
        }
        Ok(())
    }
}

impl Readers<'_> {
    fn end(&mut self) -> Result<(), OperatorError> {
        for reader in &self.job.readers[self.chain] {
            let mut out = Readers { job: self.job, chain: *reader };
            self.job.chains[*reader].borrow_mut().end_of_input(&mut out)?;
            out.end()?;
        }
        Ok(())
    }
}

/// Runs the job to its end. Returns the number of rows that its sources have read.
fn run(graph: &JobGraph) -> Result<u64, Box<dyn Error>> {
    let mut registry = OperatorRegistry::default();
    weir_dataflow::operators::register_operators(&mut registry);
    weir_connectors::register_connectors(&mut registry);
    let position = |uid: &str| graph.vertices.iter().position(|vertex| vertex.uid == uid);
    let mut job = Job { chains: Vec::new(), readers: vec![Vec::new(); graph.vertices.len()] };
    for (index, vertex) in graph.vertices.iter().enumerate() {
        let inputs = graph.inputs_of(&vertex.uid).filter_map(|edge| {
            let producer = graph.vertex(&edge.from)?;
            Some((edge.input, producer.output_schema.as_slice(), &edge.partitioning))
        });
        let attempt = ExecutionAttemptId {
            job: JobId(1),
            execution_vertex: ExecutionVertexId { vertex: vertex.id(), subtask: 0 },
            generation: Generation { epoch: LeaderEpoch(1), attempt: 0 },
        };
        let context = OperatorContext::of_vertex(vertex, attempt, graph.max_parallelism, inputs)?;
        job.chains.push(RefCell::new(OperatorChain::build(vertex, &registry, context)?));
        for edge in graph.inputs_of(&vertex.uid) {
            job.readers[position(&edge.from).ok_or("an edge begins nowhere")?].push(index);
        }
        if graph.inputs_of(&vertex.uid).count() > 1 {
            return Err("a vertex has several inputs".into());
        }
    }
    let mut rows = 0;
    for index in 0..job.chains.len() {
        let mut chain = job.chains[index].borrow_mut();
        if !chain.has_source() {
            continue;
        }
        if chain.needs_splits() {
            let splits = chain.propose_splits()?;
            chain.take_splits(&splits)?;
        }
        let mut out = Readers { job: &job, chain: index };
        while let ChainPoll::Processed { rows: read, watermark } = chain.poll_source(0, BATCH_ROWS, &mut out)? {
            rows += read;
            watermark.map_or(Ok(()), |watermark| out.watermark(watermark))?;
        }
        chain.end_of_input(&mut out)?;
        out.end()?;
    }
    Ok(rows)
}

/// The time that this thread has spent on a processor.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanoseconds: f64 = text.split_whitespace().next().ok_or("schedstat is empty")?.parse()?;
    Ok(nanoseconds / 1e9)
}
