//! The operator chain of one task: built from a job vertex, driven by the worker's slot thread.

use std::task::Waker;

use arrow_array::RecordBatch;
use arrow_schema::SchemaRef;
use bytes::Bytes;
use weir_protocol::CheckpointId;
use weir_protocol::job_graph::{JobVertex, Partitioning};
use weir_protocol::link::TaskDeployment;

use crate::element::{CheckpointBarrier, EventTime, MAX_WATERMARK, MIN_WATERMARK};
use crate::operator::{Collector, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use crate::registry::{BuiltOperator, OperatorRegistry};
use crate::schema;
use crate::source::{Source, SourcePoll};

/// The operators of one task, called one after the other.
///
/// A method that returns `Option<EventTime>` returns a watermark. The task must send it after the collected batches. A watermark that
/// must go out between two batches of one call reaches the task's collector instead. Each watermark is higher than the one before,
/// so the task sends every one unchanged. After an error, drop the chain.
pub struct OperatorChain {
    source: Option<Box<dyn Source>>,
    operators: Vec<Box<dyn Operator>>,
    inputs: u32,
    output_schema: Option<SchemaRef>,
    watermark: EventTime,
    now_ms: u64,
    ended: bool,
}

/// The outcome of [`OperatorChain::poll_source`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChainPoll {
    /// A batch went through the chain.
    Processed {
        /// Number of rows that the source read, before any filter.
        rows: u64,
        /// The watermark that the task must send, if it rose.
        watermark: Option<EventTime>,
    },
    /// The source has no rows now. Poll again at or after this wall-clock time (milliseconds).
    NothingUntil(u64),
    /// The source will never have rows again. Call [`OperatorChain::end_of_input`].
    End,
}

impl OperatorContext {
    /// The context of the first operator of a deployed task. Its input schemas and key columns come from the task's edges. Its waker
    /// does nothing yet.
    /// Errors: `CHAIN-SCHEMA` if the edges of one input have different columns, or not those that the vertex expects;
    /// `CHAIN-SHAPE` if an input has no edge.
    pub fn of_task(task: &TaskDeployment, max_parallelism: u32) -> Result<Self, OperatorError> {
        let edges = task.inputs.iter().map(|edge| (edge.input, edge.schema.as_slice(), &edge.partitioning));
        Self::of_vertex(&task.vertex, task.attempt, max_parallelism, edges)
    }

    /// Like [`OperatorContext::of_task`], but takes `(input, schema, partitioning)` of each edge.
    pub fn of_vertex<'a>(
        vertex: &JobVertex,
        attempt: weir_protocol::ExecutionAttemptId,
        max_parallelism: u32,
        edges: impl Iterator<Item = (u32, &'a [weir_protocol::job_graph::Field], &'a Partitioning)>,
    ) -> Result<Self, OperatorError> {
        let mut inputs: Vec<Option<(SchemaRef, Vec<String>)>> = Vec::new();
        for (input, fields, partitioning) in edges {
            let brought = schema::to_arrow(fields)?;
            let keys = match partitioning {
                Partitioning::Hash { keys } => keys.clone(),
                _ => Vec::new(),
            };
            if input >= MAX_INPUTS {
                return Err(OperatorError::fatal(
                    "CHAIN-SHAPE",
                    format!("input {input}: a chain has at most {MAX_INPUTS} inputs"),
                ));
            }
            let index = input as usize;
            if inputs.len() <= index {
                inputs.resize(index + 1, None);
            }
            match &mut inputs[index] {
                slot @ None => *slot = Some((brought, keys)),
                Some((schema, _)) if *schema != brought => {
                    let (one, other) = (schema::describe(schema), schema::describe(&brought));
                    let message = format!("the edges of input {input} have different columns: {one} and {other}");
                    return Err(OperatorError::fatal("CHAIN-SCHEMA", message));
                }
                Some((_, known)) if *known != keys => known.clear(),
                Some(_) => {}
            }
        }
        let (mut input_schemas, mut key_columns) = (Vec::new(), Vec::new());
        for (input, found) in inputs.into_iter().enumerate() {
            let (mut brought, keys) =
                found.ok_or_else(|| OperatorError::fatal("CHAIN-SHAPE", format!("input {input} has no edge")))?;
            if let Some(expected) = vertex.input_schemas.get(input).filter(|fields| !fields.is_empty()) {
                let expected = schema::to_arrow(expected)?;
                if let Some(difference) = schema::mismatch(&brought, &expected) {
                    let message = format!("input {input} does not match the vertex's input_schemas: {difference}");
                    return Err(OperatorError::fatal("CHAIN-SCHEMA", message));
                }
                brought = expected;
            }
            input_schemas.push(brought);
            key_columns.push(keys);
        }
        let parallelism = vertex.parallelism;
        let waker = Waker::noop().clone();
        Ok(Self { attempt, operator_index: 0, parallelism, max_parallelism, input_schemas, key_columns, waker })
    }
}

/// Maximum number of inputs of a chain.
const MAX_INPUTS: u32 = 16;

impl OperatorChain {
    /// Builds the chain of `vertex`. `context` is the context of its first operator ([`OperatorContext::of_task`]); the contexts
    /// of the other operators are derived from it. Does no I/O.
    ///
    /// Errors: those of the operators; `CHAIN-SHAPE` if a source is not first, a sink is not last, or a chain without a source
    /// has no input; `CHAIN-SCHEMA` if the chain's output columns are not the vertex's `output_schema`.
    pub fn build(vertex: &JobVertex, registry: &OperatorRegistry, context: OperatorContext) -> Result<Self, OperatorError> {
        let inputs = context.input_schemas.len() as u32;
        let mut chain = Self {
            source: None,
            operators: Vec::new(),
            inputs,
            output_schema: None,
            watermark: MIN_WATERMARK,
            now_ms: 0,
            ended: false,
        };
        let mut context = context;
        let mut yields = None;
        let last = vertex.operators.len().saturating_sub(1);
        for (index, descriptor) in vertex.operators.iter().enumerate() {
            let shape = |what: &str| {
                OperatorError::fatal(
                    "CHAIN-SHAPE",
                    format!("operator {index} ({}) of vertex {:?} {what}", descriptor.kind, vertex.uid),
                )
            };
            context.operator_index = index as u32;
            let built = registry.build(descriptor, &context).map_err(|mut error| {
                error.message = format!("operator {index} ({}) of vertex {:?}: {}", descriptor.kind, vertex.uid, error.message);
                error
            })?;
            let schema = match built {
                BuiltOperator::Source(..) if index > 0 => return Err(shape("is a source and must come first")),
                BuiltOperator::Source(..) if inputs > 0 => return Err(shape("is a source, so the vertex can't have inputs")),
                BuiltOperator::Source(source, schema) => {
                    chain.source = Some(source);
                    context.key_columns = vec![Vec::new()];
                    schema
                }
                _ if index == 0 && inputs == 0 => return Err(shape("needs an input; add an edge to the vertex")),
                BuiltOperator::Transform(operator, schema) => {
                    let kept =
                        |keys: Vec<String>| if keys.iter().all(|key| operator.keeps_column(key)) { keys } else { Vec::new() };
                    context.key_columns = vec![context.key_columns.into_iter().next().map(kept).unwrap_or_default()];
                    chain.operators.push(operator);
                    schema
                }
                BuiltOperator::Sink(_) if index < last => return Err(shape("is a sink and must come last")),
                BuiltOperator::Sink(operator) => {
                    chain.operators.push(operator);
                    yields = None;
                    continue;
                }
            };
            context.input_schemas = vec![schema.clone()];
            yields = Some(schema);
        }
        if vertex.operators.is_empty() {
            return Err(OperatorError::fatal("CHAIN-SHAPE", format!("vertex {:?} has no operators", vertex.uid)));
        }
        chain.output_schema = declared_output(vertex, yields)?;
        Ok(chain)
    }

    /// The schema of the batches that the chain emits. `None` if it ends in a sink.
    pub fn output_schema(&self) -> Option<&SchemaRef> {
        self.output_schema.as_ref()
    }

    /// Whether the first operator is a source. If it is, call [`OperatorChain::poll_source`].
    pub fn has_source(&self) -> bool {
        self.source.is_some()
    }

    /// Number of operators, source and sink included. [`OperatorChain::snapshot`] returns one state for each.
    pub fn operators(&self) -> usize {
        self.operators.len() + usize::from(self.source.is_some())
    }

    /// Tells the operators the wall clock (milliseconds since 1970). The task calls it before each unit of work, so that functions
    /// such as `CURRENT_TIMESTAMP` see the time at which a batch is processed. The clock never goes back.
    pub fn set_now(&mut self, now_ms: u64) {
        if now_ms <= self.now_ms {
            return;
        }
        self.now_ms = now_ms;
        for operator in &mut self.operators {
            operator.set_now(now_ms);
        }
    }

    /// Reads about `max_rows` rows at most from the source and processes them. `now_ms` is the wall clock.
    pub fn poll_source(&mut self, now_ms: u64, max_rows: usize, out: &mut dyn Collector) -> Result<ChainPoll, OperatorError> {
        self.set_now(now_ms);
        let Some(source) = self.source.as_mut().filter(|_| !self.ended) else { return Ok(ChainPoll::End) };
        let polled = source.poll(now_ms, max_rows)?;
        if let Some(splits) = source.splits() {
            self.operators.iter_mut().for_each(|operator| operator.on_splits(splits));
        }
        match polled {
            SourcePoll::Batch(batch) => {
                let rows = batch.num_rows() as u64;
                self.push(0, batch, out)?;
                Ok(ChainPoll::Processed { rows, watermark: self.advance(None, None, out)? })
            }
            SourcePoll::NothingUntil(time) => Ok(ChainPoll::NothingUntil(time)),
            SourcePoll::End => Ok(ChainPoll::End),
        }
    }

    /// Whether the source may have rows before the time that it named last.
    pub fn source_has_news(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.has_news())
    }

    /// Processes rows that arrived on `input`.
    pub fn process(
        &mut self,
        input: u32,
        batch: RecordBatch,
        out: &mut dyn Collector,
    ) -> Result<Option<EventTime>, OperatorError> {
        if input >= self.inputs {
            return Err(OperatorError::fatal(
                "CHAIN-SHAPE",
                format!("rows arrived on input {input} of a chain with {} inputs", self.inputs),
            ));
        }
        self.push(input, batch, out)?;
        self.advance(None, None, out)
    }

    /// Tells the operators that the combined watermark of the inputs has advanced.
    pub fn watermark(&mut self, watermark: EventTime, out: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        self.advance(Some(watermark), None, out)
    }

    /// Tells the operators the wall-clock time. The task calls it regularly, with or without input.
    pub fn tick(&mut self, now_ms: u64, out: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        self.set_now(now_ms);
        if self.ended {
            return Ok(None);
        }
        self.advance(None, Some(now_ms), out)
    }

    /// Call it when the source or all inputs have ended. [`MAX_WATERMARK`] passes through the chain, and every operator emits its
    /// remaining rows. The first call returns the last watermark; later calls do nothing.
    pub fn end_of_input(&mut self, out: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        if self.ended {
            return Ok(None);
        }
        self.ended = true;
        for index in 0..self.operators.len() {
            let (operator, mut downstream) = self.split(index, out);
            operator.on_watermark(MAX_WATERMARK, &mut downstream)?;
            operator.on_end_of_input(&mut downstream)?;
        }
        Ok(self.rise(Some(MAX_WATERMARK)))
    }

    /// Runs the synchronous part of a checkpoint. Returns one state per operator, in chain order, source included.
    pub fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<Vec<StateSnapshot>, OperatorError> {
        let source = self.source.iter_mut().map(|source| source.snapshot(barrier));
        let operators = self.operators.iter_mut().map(|operator| operator.snapshot(barrier));
        source.chain(operators).collect()
    }

    /// Restores the state that former subtasks saved: one entry per operator, in chain order. An operator whose entry has a former
    /// parallelism of 0 starts empty. Call it once, before any other method. Error: `CHAIN-RESTORE` if the number of entries is not
    /// the number of operators.
    pub fn restore(&mut self, restored: Vec<RestoredState>) -> Result<(), OperatorError> {
        if restored.len() != self.operators() {
            let message = format!(
                "there is an entry for each of {} operators, but the chain has {}; check that all processes run the same version of Weir",
                restored.len(),
                self.operators()
            );
            return Err(OperatorError::fatal("CHAIN-RESTORE", message));
        }
        let mut restored = restored.into_iter();
        if let Some(source) = &mut self.source
            && let Some(state) = restored.next()
            && state.former_parallelism > 0
        {
            source.restore(state)?;
        }
        for (operator, state) in self.operators.iter_mut().zip(restored) {
            if state.former_parallelism > 0 {
                operator.restore(state)?;
            }
        }
        Ok(())
    }

    /// Whether the chain's source needs splits before its first poll. Ask after the restore.
    pub fn needs_splits(&self) -> bool {
        self.source.as_ref().is_some_and(|source| source.needs_splits())
    }

    /// The splits that the source finds now, for all subtasks. May block.
    pub fn propose_splits(&mut self) -> Result<Bytes, OperatorError> {
        self.source.as_mut().map_or_else(|| Ok(Bytes::new()), |source| source.propose_splits())
    }

    /// Gives the source the splits that were recorded for the vertex.
    pub fn take_splits(&mut self, recorded: &[u8]) -> Result<(), OperatorError> {
        self.source.as_mut().map_or(Ok(()), |source| source.take_splits(recorded))
    }

    /// Tells the operators that the checkpoint is durable, so that sinks commit. Idempotent.
    pub fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        if let Some(source) = &mut self.source {
            source.notify_checkpoint_complete(checkpoint)?;
        }
        self.operators.iter_mut().try_for_each(|operator| operator.notify_checkpoint_complete(checkpoint))
    }

    /// Tells the operators that the checkpoint will never complete.
    pub fn notify_checkpoint_aborted(&mut self, checkpoint: CheckpointId) {
        for operator in &mut self.operators {
            operator.notify_checkpoint_aborted(checkpoint);
        }
    }

    /// Whether a watermark generator in the chain considers the stream idle. If so, the task reports idleness downstream; its
    /// next element ends the idleness.
    pub fn is_idle(&self) -> bool {
        self.operators.iter().any(|operator| operator.is_idle())
    }

    /// Whether all operators can take more rows. If not, give the chain no input, but ticks.
    pub fn has_room(&self) -> bool {
        self.operators.iter().all(|operator| operator.has_room())
    }

    /// The last watermark that left the chain; [`MIN_WATERMARK`] before the first.
    pub fn current_watermark(&self) -> EventTime {
        self.watermark
    }

    /// Number of rows dropped because they were too late, since the start of this attempt.
    pub fn late_records(&self) -> u64 {
        self.operators.iter().map(|operator| operator.late_records()).sum()
    }

    /// Number of values that were to be taken back and had been forgotten before, since the start of this attempt.
    pub fn missing_retractions(&self) -> u64 {
        self.operators.iter().map(|operator| operator.missing_retractions()).sum()
    }

    fn push(&mut self, input: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let (schema, watermark) = (self.output_schema.as_ref(), &mut self.watermark);
        match self.operators.split_first_mut() {
            Some((head, operators)) => head.process(input, batch, &mut Downstream { operators, schema, watermark, out }),
            None => Downstream { operators: &mut [], schema, watermark, out }.collect(batch),
        }
    }

    /// Passes a watermark or the wall-clock time (`tick`) down the chain, and with it the watermarks that generators add.
    fn advance(
        &mut self,
        watermark: Option<EventTime>,
        tick: Option<u64>,
        out: &mut dyn Collector,
    ) -> Result<Option<EventTime>, OperatorError> {
        let mut incoming = watermark;
        for index in 0..self.operators.len() {
            let (operator, mut downstream) = self.split(index, out);
            let mut outgoing = None;
            if let Some(watermark) = incoming {
                outgoing = operator.on_watermark(watermark, &mut downstream)?;
            }
            if let Some(now_ms) = tick {
                outgoing = outgoing.max(operator.on_tick(now_ms, &mut downstream)?);
            }
            incoming = outgoing.max(operator.take_watermark());
        }
        Ok(self.rise(incoming))
    }

    fn split<'a>(&'a mut self, index: usize, out: &'a mut dyn Collector) -> (&'a mut dyn Operator, Downstream<'a>) {
        let (until, operators) = self.operators.split_at_mut(index + 1);
        let (schema, watermark) = (self.output_schema.as_ref(), &mut self.watermark);
        (until[index].as_mut(), Downstream { operators, schema, watermark, out })
    }

    fn rise(&mut self, watermark: Option<EventTime>) -> Option<EventTime> {
        let risen = watermark.filter(|watermark| *watermark > self.watermark)?;
        self.watermark = risen;
        Some(risen)
    }
}

/// The schema of the emitted batches: the declared one if there is one, else that of the last operator.
fn declared_output(vertex: &JobVertex, yields: Option<SchemaRef>) -> Result<Option<SchemaRef>, OperatorError> {
    if vertex.output_schema.is_empty() {
        return Ok(yields);
    }
    let mismatch = |what: &str| {
        OperatorError::fatal("CHAIN-SCHEMA", format!("vertex {:?} emits {what}; correct its output_schema", vertex.uid))
    };
    let declared = schema::to_arrow(&vertex.output_schema)?;
    let yields = yields.ok_or_else(|| mismatch("no rows, because it ends in a sink"))?;
    match schema::mismatch(&yields, &declared) {
        Some(difference) => Err(mismatch(&difference)),
        None => Ok(Some(declared)),
    }
}

/// The collector that an operator writes to: it calls the next operators of the chain, then `out`.
struct Downstream<'a> {
    operators: &'a mut [Box<dyn Operator>],
    schema: Option<&'a SchemaRef>,
    /// The last watermark that left the chain.
    watermark: &'a mut EventTime,
    out: &'a mut dyn Collector,
}

impl Downstream<'_> {
    /// The next operator, with the collector that it writes to.
    fn next(&mut self) -> Option<(&mut dyn Operator, Downstream<'_>)> {
        let (operator, operators) = self.operators.split_first_mut()?;
        let rest = Downstream { operators, schema: self.schema, watermark: self.watermark, out: self.out };
        Some((operator.as_mut(), rest))
    }
}

impl Collector for Downstream<'_> {
    fn collect(&mut self, batch: RecordBatch) -> Result<(), OperatorError> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        if let Some((operator, mut rest)) = self.next() {
            return operator.process(0, batch, &mut rest);
        }
        match self.schema {
            Some(schema) if batch.schema_ref() != schema => {
                let as_declared = batch.with_schema(schema.clone());
                self.out.collect(as_declared.map_err(|e| OperatorError::fatal("CHAIN-SCHEMA", e.to_string()))?)
            }
            _ => self.out.collect(batch),
        }
    }

    fn watermark(&mut self, watermark: EventTime) -> Result<(), OperatorError> {
        if let Some((operator, mut rest)) = self.next() {
            let outgoing = operator.on_watermark(watermark, &mut rest)?.max(operator.take_watermark());
            return outgoing.map_or(Ok(()), |watermark| rest.watermark(watermark));
        }
        if watermark > *self.watermark {
            *self.watermark = watermark;
            self.out.watermark(watermark)?;
        }
        Ok(())
    }
}
