//! Runs a job graph in this thread: every subtask of every vertex, with channels between them. A seed picks how large batches are
//! and in which order channels are read.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use arrow_array::RecordBatch;
use weir_dataflow::chain::{ChainPoll, OperatorChain};
use weir_dataflow::changelog::{ChangelogCheck, kind_column};
use weir_dataflow::element::StreamElement;
use weir_dataflow::key_group::KeyPartitioner;
use weir_dataflow::operator::{Collector, Operator, OperatorContext, OperatorError};
use weir_dataflow::registry::{BuiltOperator, OperatorRegistry};
use weir_dataflow::schema;
use weir_dataflow::watermark::WatermarkValve;
use weir_protocol::job_graph::validate::validate;
use weir_protocol::job_graph::{JobEdge, JobGraph, JobVertex, OperatorDescriptor, Partitioning};
use weir_protocol::{ExecutionAttemptId, ExecutionVertexId, Generation, JobId, LeaderEpoch};

/// The kind of the sink that keeps rows for the test.
pub(crate) const COLLECT: &str = "x.collect";

static COLLECTED: Mutex<BTreeMap<u64, Vec<RecordBatch>>> = Mutex::new(BTreeMap::new());

/// A sink that keeps the rows under this number.
pub(crate) fn collect(number: u64) -> OperatorDescriptor {
    serde_json::from_value(serde_json::json!({"kind": COLLECT, "options": {"number": number}})).unwrap()
}

/// Takes the rows that the sink of this number has kept.
pub(crate) fn collected(number: u64) -> Vec<RecordBatch> {
    COLLECTED.lock().unwrap().remove(&number).unwrap_or_default()
}

struct Collect(u64);

impl Operator for Collect {
    fn process(&mut self, _: u32, batch: RecordBatch, _: &mut dyn Collector) -> Result<(), OperatorError> {
        COLLECTED.lock().unwrap().entry(self.0).or_default().push(batch);
        Ok(())
    }
}

fn build_collect(descriptor: &OperatorDescriptor, _: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let number = descriptor.options["number"].as_u64().unwrap();
    Ok(BuiltOperator::Sink(Box::new(Collect(number))))
}

/// Every operator that a job can have.
pub(crate) fn registry() -> OperatorRegistry {
    let mut registry = OperatorRegistry::default();
    weir_dataflow::operators::register_operators(&mut registry);
    weir_connectors::register_connectors(&mut registry);
    registry.register(COLLECT, build_collect);
    registry
}

/// A reproducible choice (SplitMix64).
pub(crate) struct Choice(pub(crate) u64);

impl Choice {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) as usize % bound.max(1)
    }
}

/// The elements on their way from one subtask to another.
type Channel = VecDeque<StreamElement>;

/// Runs the job until all its sources have ended.
pub(crate) fn run(graph: &JobGraph, seed: u64) -> Result<(), OperatorError> {
    run_in_batches(graph, seed, None)
}

/// Runs the job row by row: no operator sees two rows at once, so that each change is visible.
pub(crate) fn run_row_by_row(graph: &JobGraph) -> Result<(), OperatorError> {
    run_in_batches(graph, 1, Some(1))
}

/// Runs the job with source batches of this many rows; the seed picks a number if none is given.
fn run_in_batches(graph: &JobGraph, seed: u64, most: Option<usize>) -> Result<(), OperatorError> {
    if let Err(errors) = validate(graph) {
        panic!("the cluster refuses the job: {errors:?}");
    }
    let registry = registry();
    let mut choice = Choice(seed);
    // Per edge, by producer and consumer.
    let mut channels: BTreeMap<(usize, u32, u32), Channel> = BTreeMap::new();
    for vertex in in_order(graph) {
        let mut splits = None;
        for subtask in 0..vertex.parallelism {
            let mut chain = OperatorChain::build(vertex, &registry, context(graph, vertex, subtask)?)?;
            if chain.needs_splits() {
                let proposed = match splits.take() {
                    Some(proposed) => proposed,
                    None => chain.propose_splits()?,
                };
                chain.take_splits(&proposed)?;
                splits = Some(proposed);
            }
            let elements = match chain.has_source() {
                true => run_source(&mut chain, &mut choice, most)?,
                false => run_task(graph, vertex, subtask, &mut chain, &mut channels, &mut choice)?,
            };
            if vertex.parallelism == 1 {
                check_changes(&chain, &elements)?;
            }
            for (index, edge) in graph.edges.iter().enumerate().filter(|(_, edge)| edge.from == vertex.uid) {
                deal(graph, edge, index, subtask, &chain, &elements, &mut channels)?;
            }
        }
    }
    Ok(())
}

/// The vertices, each after those that it reads from.
fn in_order(graph: &JobGraph) -> Vec<&JobVertex> {
    let mut ordered: Vec<&JobVertex> = Vec::new();
    while ordered.len() < graph.vertices.len() {
        let placed = |uid: &str| ordered.iter().any(|vertex| vertex.uid == uid);
        let next = graph.vertices.iter().find(|v| !placed(&v.uid) && graph.inputs_of(&v.uid).all(|edge| placed(&edge.from)));
        ordered.push(next.expect("the graph has a cycle"));
    }
    ordered
}

fn context(graph: &JobGraph, vertex: &JobVertex, subtask: u32) -> Result<OperatorContext, OperatorError> {
    let edges = graph.inputs_of(&vertex.uid).map(|edge| {
        let producer = graph.vertex(&edge.from).expect("the edge has a producer");
        (edge.input, producer.output_schema.as_slice(), &edge.partitioning)
    });
    let attempt = ExecutionAttemptId {
        job: JobId(1),
        execution_vertex: ExecutionVertexId { vertex: vertex.id(), subtask },
        generation: Generation { epoch: LeaderEpoch(1), attempt: 0 },
    };
    OperatorContext::of_vertex(vertex, attempt, graph.max_parallelism, edges)
}

/// Keeps what a chain emits, in pieces of chosen sizes.
struct Outputs<'a> {
    elements: Vec<StreamElement>,
    choice: &'a mut Choice,
}

impl Collector for Outputs<'_> {
    fn collect(&mut self, batch: RecordBatch) -> Result<(), OperatorError> {
        let mut from = 0;
        while from < batch.num_rows() {
            let most = [1, 3, 17, 1_000_000][self.choice.below(4)];
            let rows = (1 + self.choice.below(most)).min(batch.num_rows() - from);
            self.elements.push(StreamElement::Batch(batch.slice(from, rows)));
            from += rows;
        }
        Ok(())
    }

    fn watermark(&mut self, watermark: i64) -> Result<(), OperatorError> {
        self.elements.push(StreamElement::Watermark(watermark));
        Ok(())
    }
}

impl Outputs<'_> {
    fn rise(&mut self, watermark: Option<i64>) {
        self.elements.extend(watermark.map(StreamElement::Watermark));
    }
}

fn run_source(chain: &mut OperatorChain, choice: &mut Choice, most: Option<usize>) -> Result<Vec<StreamElement>, OperatorError> {
    let chosen = [1, 7, 100, 10_000][choice.below(4)];
    let most = most.unwrap_or(chosen);
    let mut out = Outputs { elements: Vec::new(), choice };
    let mut now_ms = 1_700_000_000_000;
    loop {
        match chain.poll_source(now_ms, most, &mut out)? {
            ChainPoll::Processed { watermark, .. } => out.rise(watermark),
            ChainPoll::NothingUntil(until) => now_ms = until.max(now_ms + 1),
            ChainPoll::End => break,
        }
    }
    let last = chain.end_of_input(&mut out)?;
    out.rise(last);
    out.elements.push(StreamElement::EndOfInput);
    Ok(out.elements)
}

fn run_task(
    graph: &JobGraph,
    vertex: &JobVertex,
    subtask: u32,
    chain: &mut OperatorChain,
    channels: &mut BTreeMap<(usize, u32, u32), Channel>,
    choice: &mut Choice,
) -> Result<Vec<StreamElement>, OperatorError> {
    let mut inputs: Vec<(u32, Channel)> = Vec::new();
    for (index, edge) in graph.edges.iter().enumerate().filter(|(_, edge)| edge.to == vertex.uid) {
        let producers = graph.vertex(&edge.from).map_or(0, |producer| producer.parallelism);
        let of_edge = (0..producers).filter_map(|producer| channels.remove(&(index, producer, subtask)));
        inputs.extend(of_edge.map(|channel| (edge.input, channel)));
    }
    let mut valve = WatermarkValve::new(inputs.len());
    let mut open: Vec<usize> = (0..inputs.len()).collect();
    let mut order = Choice(choice.below(usize::MAX) as u64);
    let mut out = Outputs { elements: Vec::new(), choice };
    while !open.is_empty() {
        let at = order.below(open.len());
        let channel = open[at];
        let (input, elements) = &mut inputs[channel];
        let risen = match elements.pop_front() {
            Some(StreamElement::Batch(batch)) => {
                valve.on_batch(channel);
                let risen = chain.process(*input, batch, &mut out)?;
                out.rise(risen);
                None
            }
            Some(StreamElement::Watermark(watermark)) => valve.on_watermark(channel, watermark).watermark,
            _ => {
                open.swap_remove(at);
                valve.on_end(channel).watermark
            }
        };
        if let Some(watermark) = risen {
            let risen = chain.watermark(watermark, &mut out)?;
            out.rise(risen);
        }
    }
    let last = chain.end_of_input(&mut out)?;
    out.rise(last);
    out.elements.push(StreamElement::EndOfInput);
    Ok(out.elements)
}

/// Checks that changes take back only rows that are there (Q2). Batches were cut, so the two rows of an update may be apart.
fn check_changes(chain: &OperatorChain, elements: &[StreamElement]) -> Result<(), OperatorError> {
    let Some(schema) = chain.output_schema() else { return Ok(()) };
    let Some(kind) = kind_column(schema) else { return Ok(()) };
    let types = schema.fields()[..kind].iter().map(|field| field.data_type().clone()).collect();
    let mut check = ChangelogCheck::new(types, false)?;
    elements.iter().try_for_each(|element| match element {
        StreamElement::Batch(batch) => check.observe(batch),
        _ => Ok(()),
    })
}

/// Distributes what one subtask emits over the channels of an edge.
fn deal(
    graph: &JobGraph,
    edge: &JobEdge,
    index: usize,
    producer: u32,
    chain: &OperatorChain,
    elements: &[StreamElement],
    channels: &mut BTreeMap<(usize, u32, u32), Channel>,
) -> Result<(), OperatorError> {
    let consumers = graph.vertex(&edge.to).map_or(1, |vertex| vertex.parallelism);
    let emitted = chain.output_schema().expect("a vertex with outputs declares their columns");
    let declared = schema::to_arrow(&graph.vertex(&edge.from).unwrap().output_schema)?;
    assert_eq!(schema::mismatch(emitted, &declared), None);
    let mut partitioner = match &edge.partitioning {
        Partitioning::Hash { keys } => Some(KeyPartitioner::new(emitted, keys, graph.max_parallelism, consumers)?),
        _ => None,
    };
    let mut turn = producer;
    for element in elements {
        let StreamElement::Batch(batch) = element else {
            let receivers = if edge.partitioning == Partitioning::Forward { producer..producer + 1 } else { 0..consumers };
            receivers.for_each(|consumer| channels.entry((index, producer, consumer)).or_default().push_back(element.clone()));
            continue;
        };
        let parts = match (&edge.partitioning, &mut partitioner) {
            (_, Some(partitioner)) => partitioner.partition(batch)?,
            (Partitioning::Forward, _) => (0..consumers).map(|consumer| (consumer == producer).then(|| batch.clone())).collect(),
            (Partitioning::Broadcast, _) => vec![Some(batch.clone()); consumers as usize],
            _ => {
                turn = (turn + 1) % consumers;
                (0..consumers).map(|consumer| (consumer == turn).then(|| batch.clone())).collect()
            }
        };
        for (consumer, part) in (0..).zip(parts) {
            let channel = channels.entry((index, producer, consumer)).or_default();
            channel.extend(part.map(StreamElement::Batch));
        }
    }
    Ok(())
}
