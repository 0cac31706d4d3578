//! One subtask.

use std::collections::HashMap;

use arrow_array::RecordBatch;
use bytes::Bytes;
use weir_dataflow::chain::{ChainPoll, OperatorChain};
use weir_dataflow::element::{CheckpointBarrier, StreamElement};
use weir_dataflow::operator::{Collector, OperatorContext, OperatorError, StateSnapshot};
use weir_dataflow::registry::OperatorRegistry;
use weir_dataflow::schema;
use weir_dataflow::watermark::WatermarkValve;
use weir_protocol::checkpoint::CheckpointKind;
use weir_protocol::job_graph::{JobGraph, JobVertex, Partitioning};
use weir_protocol::{CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, LeaderEpoch};

use super::Choice;
use super::channel::{Channel, Output};
use super::snapshot::{Snapshot, names};

/// One subtask, with its inputs and outputs.
pub(super) struct Task {
    pub(super) chain: OperatorChain,
    vertex: String,
    /// By which the state of each operator is found.
    operators: Vec<String>,
    parallelism: u32,
    subtask: u32,
    inputs: Vec<Input>,
    valve: WatermarkValve,
    outputs: Vec<Output>,
    pub(super) ended: bool,
    /// When the source wants to be asked again.
    wait_until: u64,
    /// The checkpoint whose barrier the source must emit.
    due: Option<CheckpointId>,
    /// The last checkpoint that the subtask has acknowledged, and the state that it froze.
    pub(super) acknowledged: Option<CheckpointId>,
    frozen: Vec<StateSnapshot>,
}

/// One channel that a subtask reads.
struct Input {
    number: u32,
    channel: usize,
    ended: bool,
    /// Whether its barrier has arrived, and those of other channels have not.
    blocked: bool,
}

/// All subtasks of a job, and the channels between them. They get the state of `from`.
pub(super) fn build(
    graph: &JobGraph,
    registry: &OperatorRegistry,
    from: Option<&Snapshot>,
) -> Result<(Vec<Task>, Vec<Channel>), OperatorError> {
    let mut tasks = Vec::new();
    for vertex in &graph.vertices {
        let mut splits: Option<Bytes> = None;
        for subtask in 0..vertex.parallelism {
            let mut chain = OperatorChain::build(vertex, registry, context(graph, vertex, subtask)?)?;
            if let Some(snapshot) = from {
                let saved = names(vertex).into_iter().map(|name| {
                    let saved = snapshot.operators.get(&name);
                    saved.map(|saved| saved.share(graph.max_parallelism, vertex.parallelism, subtask)).unwrap_or_default()
                });
                chain.restore(saved.collect())?;
            }
            if chain.needs_splits() {
                let proposed = match splits.take() {
                    Some(proposed) => proposed,
                    None => chain.propose_splits()?,
                };
                chain.take_splits(&proposed)?;
                splits = Some(proposed);
            }
            tasks.push(Task {
                chain,
                vertex: vertex.uid.clone(),
                operators: names(vertex),
                parallelism: vertex.parallelism,
                subtask,
                inputs: Vec::new(),
                valve: WatermarkValve::new(0),
                outputs: Vec::new(),
                ended: false,
                wait_until: 0,
                due: None,
                acknowledged: None,
                frozen: Vec::new(),
            });
        }
    }
    let channels = connect(graph, &mut tasks, from.is_none())?;
    Ok((tasks, channels))
}

/// Connects the subtasks by the edges of the graph.
fn connect(graph: &JobGraph, tasks: &mut [Task], are_checked: bool) -> Result<Vec<Channel>, OperatorError> {
    let position: HashMap<_, _> =
        tasks.iter().enumerate().map(|(index, task)| ((task.vertex.clone(), task.subtask), index)).collect();
    let mut channels = Vec::new();
    for edge in &graph.edges {
        let (from, to) = (graph.vertex(&edge.from).unwrap(), graph.vertex(&edge.to).unwrap());
        let declared = schema::to_arrow(&from.output_schema)?;
        for producer in 0..from.parallelism {
            let emitted = tasks[position[&(edge.from.clone(), producer)]].chain.output_schema();
            assert_eq!(schema::mismatch(emitted.expect("a vertex with outputs declares their columns"), &declared), None);
            let mut of_edge = Vec::new();
            for consumer in 0..to.parallelism {
                if edge.partitioning == Partitioning::Forward && consumer != producer {
                    of_edge.push(None);
                    continue;
                }
                channels.push(Channel::new(&declared, are_checked)?);
                let channel = channels.len() - 1;
                of_edge.push(Some(channel));
                let input = Input { number: edge.input, channel, ended: false, blocked: false };
                tasks[position[&(edge.to.clone(), consumer)]].inputs.push(input);
            }
            let output = Output::new(graph, edge, producer, &declared, of_edge)?;
            tasks[position[&(edge.from.clone(), producer)]].outputs.push(output);
        }
    }
    tasks.iter_mut().for_each(|task| task.valve = WatermarkValve::new(task.inputs.len()));
    Ok(channels)
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
struct Emitted<'a> {
    elements: Vec<StreamElement>,
    choice: &'a mut Choice,
}

impl Collector for Emitted<'_> {
    fn collect(&mut self, batch: RecordBatch) -> Result<(), OperatorError> {
        let mut from = 0;
        while from < batch.num_rows() {
            let most = self.choice.batch_rows([1, 3, 17, 1_000_000]);
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

impl Task {
    pub(super) fn can_step(&self, channels: &[Channel], now_ms: u64) -> bool {
        if self.chain.has_source() {
            return self.due.is_some() || (!self.ended && self.wait_until <= now_ms);
        }
        self.inputs.iter().any(|input| !input.blocked && !channels[input.channel].elements.is_empty())
    }

    /// The time that the source waits for, if it does.
    pub(super) fn waits_until(&self) -> Option<u64> {
        (self.chain.has_source() && !self.ended && self.wait_until < u64::MAX).then_some(self.wait_until)
    }

    /// Lets the source emit the barrier of a checkpoint.
    pub(super) fn trigger(&mut self, checkpoint: CheckpointId) {
        self.due = self.chain.has_source().then_some(checkpoint);
    }

    /// Lets a source that waits for rows look again.
    pub(super) fn wake(&mut self) {
        self.wait_until = 0;
    }

    pub(super) fn step(&mut self, channels: &mut [Channel], now_ms: u64, choice: &mut Choice) -> Result<(), OperatorError> {
        if let Some(checkpoint) = self.due
            && (self.ended || self.wait_until > now_ms || choice.below(3) == 0)
        {
            self.due = None;
            return self.barrier(checkpoint, channels);
        }
        let mut out = Emitted { elements: Vec::new(), choice };
        if self.chain.has_source() {
            self.poll(now_ms, &mut out)?;
        } else {
            let ready = |input: &Input| !input.blocked && !channels[input.channel].elements.is_empty();
            let ready: Vec<_> = (0..self.inputs.len()).filter(|index| ready(&self.inputs[*index])).collect();
            let index = ready[out.choice.below(ready.len())];
            let Some(element) = channels[self.inputs[index].channel].elements.pop_front() else { return Ok(()) };
            if let StreamElement::Barrier(barrier) = element {
                self.inputs[index].blocked = true;
                if self.inputs.iter().all(|input| input.blocked) {
                    self.inputs.iter_mut().for_each(|input| input.blocked = false);
                    return self.barrier(barrier.id, channels);
                }
                return Ok(());
            }
            self.take(index, element, &mut out)?;
        }
        let elements = out.elements;
        self.emit(elements, channels)
    }

    fn poll(&mut self, now_ms: u64, out: &mut Emitted<'_>) -> Result<(), OperatorError> {
        let most = out.choice.batch_rows([1, 7, 100, 10_000]);
        match self.chain.poll_source(now_ms, most, out)? {
            ChainPoll::Processed { watermark, .. } => out.elements.extend(watermark.map(StreamElement::Watermark)),
            ChainPoll::NothingUntil(until) => self.wait_until = until,
            ChainPoll::End => self.end(out)?,
        }
        Ok(())
    }

    fn take(&mut self, index: usize, element: StreamElement, out: &mut Emitted<'_>) -> Result<(), OperatorError> {
        let risen = match element {
            StreamElement::Batch(batch) => {
                self.valve.on_batch(index);
                let risen = self.chain.process(self.inputs[index].number, batch, out)?;
                out.elements.extend(risen.map(StreamElement::Watermark));
                None
            }
            StreamElement::Watermark(watermark) => self.valve.on_watermark(index, watermark).watermark,
            _ => {
                self.inputs[index].ended = true;
                self.valve.on_end(index).watermark
            }
        };
        if let Some(watermark) = risen {
            let risen = self.chain.watermark(watermark, out)?;
            out.elements.extend(risen.map(StreamElement::Watermark));
        }
        if self.inputs.iter().all(|input| input.ended) && !self.ended {
            self.end(out)?;
        }
        Ok(())
    }

    fn end(&mut self, out: &mut Emitted<'_>) -> Result<(), OperatorError> {
        self.ended = true;
        let last = self.chain.end_of_input(out)?;
        out.elements.extend(last.map(StreamElement::Watermark));
        out.elements.push(StreamElement::EndOfInput);
        Ok(())
    }

    pub(super) fn tick(&mut self, channels: &mut [Channel], now_ms: u64, choice: &mut Choice) -> Result<(), OperatorError> {
        let mut out = Emitted { elements: Vec::new(), choice };
        let risen = self.chain.tick(now_ms, &mut out)?;
        out.elements.extend(risen.map(StreamElement::Watermark));
        let elements = out.elements;
        self.emit(elements, channels)
    }

    /// Freezes the state, and passes the barrier on.
    fn barrier(&mut self, id: CheckpointId, channels: &mut [Channel]) -> Result<(), OperatorError> {
        let barrier = CheckpointBarrier { id, kind: CheckpointKind::Checkpoint, timestamp_ms: 0 };
        self.frozen = self.chain.snapshot(&barrier)?;
        self.acknowledged = Some(id);
        self.emit(vec![StreamElement::Barrier(barrier)], channels)
    }

    fn emit(&mut self, elements: Vec<StreamElement>, channels: &mut [Channel]) -> Result<(), OperatorError> {
        for element in elements {
            self.outputs.iter_mut().try_for_each(|output| output.deal(&element, channels))?;
        }
        Ok(())
    }

    /// Adds the frozen state to a snapshot.
    pub(super) fn take_snapshot(&mut self, snapshot: &mut Snapshot) -> Result<(), OperatorError> {
        for (operator, frozen) in self.operators.iter().zip(std::mem::take(&mut self.frozen)) {
            let saved = snapshot.operators.entry(operator.clone()).or_default();
            saved.add(self.parallelism, self.subtask, frozen)?;
        }
        Ok(())
    }
}
