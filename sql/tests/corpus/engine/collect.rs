//! A sink that keeps rows for the test.

use std::collections::BTreeMap;
use std::sync::Mutex;

use arrow_array::RecordBatch;
use bytes::Bytes;
use weir_dataflow::element::{CheckpointBarrier, EventTime, MIN_WATERMARK};
use weir_dataflow::operator::{Collector, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::{BuiltOperator, OperatorRegistry};
use weir_protocol::job_graph::OperatorDescriptor;

/// The kind of the sink.
const COLLECT: &str = "x.collect";

static COLLECTED: Mutex<BTreeMap<u64, Collected>> = Mutex::new(BTreeMap::new());

/// What the subtasks of one sink have seen.
#[derive(Default)]
struct Collected {
    /// Batches, each with the last checkpoint before it.
    batches: Vec<(u64, RecordBatch)>,
    /// The watermark of each subtask of the present attempt.
    watermarks: BTreeMap<u32, EventTime>,
}

/// The sink that keeps the rows under this number.
pub(crate) fn collect(number: u64) -> OperatorDescriptor {
    serde_json::from_value(serde_json::json!({"kind": COLLECT, "options": {"number": number}})).unwrap()
}

/// The rows that the sink of this number has kept.
pub(crate) fn collected(number: u64) -> Vec<RecordBatch> {
    let all = COLLECTED.lock().unwrap();
    all.get(&number).into_iter().flat_map(|collected| &collected.batches).map(|(_, batch)| batch.clone()).collect()
}

/// Drops what the sink of this number has seen after a checkpoint: the attempt has failed.
pub(crate) fn forget_uncommitted(number: u64, checkpoint: u64) {
    if let Some(collected) = COLLECTED.lock().unwrap().get_mut(&number) {
        collected.batches.retain(|(before, _)| *before < checkpoint);
        collected.watermarks.clear();
    }
}

/// The lowest watermark of the subtasks of this sink.
pub(crate) fn watermark_of(number: u64) -> EventTime {
    let all = COLLECTED.lock().unwrap();
    all.get(&number).and_then(|collected| collected.watermarks.values().min().copied()).unwrap_or(MIN_WATERMARK)
}

pub(super) fn register(registry: &mut OperatorRegistry) {
    registry.register(COLLECT, |descriptor: &OperatorDescriptor, context: &OperatorContext| {
        let number = descriptor.options["number"].as_u64().unwrap();
        let subtask = context.subtask();
        COLLECTED.lock().unwrap().entry(number).or_default().watermarks.insert(subtask, MIN_WATERMARK);
        Ok(BuiltOperator::Sink(Box::new(Sink { number, subtask, checkpoint: 0 })))
    });
}

struct Sink {
    number: u64,
    subtask: u32,
    /// The last checkpoint before the rows to come.
    checkpoint: u64,
}

impl Operator for Sink {
    fn process(&mut self, _: u32, batch: RecordBatch, _: &mut dyn Collector) -> Result<(), OperatorError> {
        COLLECTED.lock().unwrap().entry(self.number).or_default().batches.push((self.checkpoint, batch));
        Ok(())
    }

    fn on_watermark(&mut self, watermark: EventTime, _: &mut dyn Collector) -> Result<Option<EventTime>, OperatorError> {
        COLLECTED.lock().unwrap().entry(self.number).or_default().watermarks.insert(self.subtask, watermark);
        Ok(Some(watermark))
    }

    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        self.checkpoint = barrier.id.0;
        let state = Bytes::from(self.checkpoint.to_string());
        Ok(StateSnapshot { operator_state: Some(state), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        let saved = |(_, bytes): &(u32, Bytes)| std::str::from_utf8(bytes).unwrap().parse().unwrap();
        self.checkpoint = restored.operator_state.iter().map(saved).max().unwrap_or(0);
        Ok(())
    }
}
