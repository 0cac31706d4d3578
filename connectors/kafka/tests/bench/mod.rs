//! Drives sources and sinks as a worker does, against a real cluster.

pub(crate) mod certificates;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use serde_json::{Value, json};
use weir_dataflow::element::{CheckpointBarrier, EventTime};
use weir_dataflow::operator::{Collector, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot};
use weir_dataflow::registry::{BuiltOperator, OperatorRegistry};
use weir_dataflow::source::{Source, SourcePoll};
use weir_protocol::checkpoint::CheckpointKind;
use weir_protocol::job_graph::OperatorDescriptor;
use weir_protocol::{CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch};
use weir_servers::{KafkaCluster, KafkaOptions};

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(90);

/// Starts nodes that look for timed-out transactions all the time.
pub(crate) fn kafka(nodes: usize, directory: &Path) -> KafkaCluster {
    let properties = vec!["transaction.abort.timed.out.transaction.cleanup.interval.ms=100".to_owned()];
    KafkaCluster::start_with(nodes, directory, KafkaOptions { properties, ..KafkaOptions::default() }).expect("no error")
}

pub(crate) fn create_topic(kafka: &KafkaCluster, topic: &str, partitions: u32) {
    let (brokers, partitions) = (kafka.bootstrap_servers(), partitions.to_string());
    let arguments = ["--bootstrap-server", &brokers, "--create", "--topic", topic, "--partitions", &partitions];
    kafka.tool("org.apache.kafka.tools.TopicCommand", &arguments).expect("no error");
}

pub(crate) fn millis() -> u64 {
    weir_world::wall_clock_ms()
}

fn registry() -> OperatorRegistry {
    let mut registry = OperatorRegistry::default();
    weir_kafka::register_kafka(&mut registry);
    registry
}

pub(crate) fn build(
    kind: &str,
    options: &Value,
    subtask: u32,
    parallelism: u32,
    input: Option<SchemaRef>,
) -> Result<BuiltOperator, OperatorError> {
    let Value::Object(options) = options.clone() else { panic!("options are an object") };
    let context = OperatorContext {
        attempt: ExecutionAttemptId {
            job: JobId(7 << 100),
            execution_vertex: ExecutionVertexId { vertex: JobVertexId::from_uid("vertex"), subtask },
            generation: Generation { epoch: LeaderEpoch(1), attempt: 1 },
        },
        operator_index: 0,
        parallelism,
        max_parallelism: 128,
        input_schemas: input.into_iter().collect(),
        key_columns: Vec::new(),
        waker: std::task::Waker::noop().clone(),
    };
    registry().build(&OperatorDescriptor::new(kind, options.into_iter().collect()), &context)
}

pub(crate) fn barrier(id: u64) -> CheckpointBarrier {
    CheckpointBarrier { id: CheckpointId(id), kind: CheckpointKind::Checkpoint, timestamp_ms: 0 }
}

/// A batch of a single BIGINT column `id`.
pub(crate) fn ids(ids: impl IntoIterator<Item = i64>) -> RecordBatch {
    RecordBatch::try_new(id_schema(), vec![Arc::new(Int64Array::from_iter_values(ids))]).expect("no error")
}

pub(crate) fn id_schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))
}

pub(crate) struct Nowhere;

impl Collector for Nowhere {
    fn collect(&mut self, _batch: RecordBatch) -> Result<(), OperatorError> {
        Ok(())
    }

    fn watermark(&mut self, _watermark: EventTime) -> Result<(), OperatorError> {
        Ok(())
    }
}

/// One attempt of one subtask of a sink.
pub(crate) struct Sink {
    pub(crate) operator: Box<dyn Operator>,
}

impl Sink {
    /// Options of a sink that writes ids as JSON.
    pub(crate) fn options(kafka: &KafkaCluster, topic: &str, guarantee: &str, properties: Value) -> Value {
        json!({
            "bootstrap_servers": kafka.bootstrap_servers(), "topic": topic, "guarantee": guarantee, "properties": properties,
            "value": {"format": {"kind": "json"}}, "transactional_id_prefix": topic,
        })
    }

    pub(crate) fn new(options: &Value, input: SchemaRef, (subtask, parallelism): (u32, u32), former: &[Bytes]) -> Self {
        let BuiltOperator::Sink(mut operator) =
            build("sink.kafka", options, subtask, parallelism, Some(input)).expect("no error")
        else {
            panic!("a sink")
        };
        if !former.is_empty() {
            operator.restore(restored(former, subtask, parallelism)).expect("no error");
        }
        Self { operator }
    }

    /// Ticks until the sink takes rows.
    pub(crate) fn try_ready(&mut self) -> Result<(), OperatorError> {
        let end = Instant::now() + PATIENCE;
        while !self.operator.has_room() {
            assert!(Instant::now() < end, "the sink takes no rows");
            self.operator.on_tick(millis(), &mut Nowhere)?;
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    pub(crate) fn write(&mut self, batch: RecordBatch) {
        self.try_ready().expect("no error");
        self.operator.set_now(millis());
        self.operator.process(0, batch, &mut Nowhere).expect("no error");
    }

    /// Notices what has failed in the background.
    pub(crate) fn tick(&mut self) {
        self.operator.on_tick(millis(), &mut Nowhere).expect("no error");
    }

    /// Takes a snapshot and waits until it is durable.
    pub(crate) fn checkpoint(&mut self, id: u64) -> Bytes {
        state(self.operator.snapshot(&barrier(id)).expect("no error")).expect("no error")
    }

    pub(crate) fn complete(&mut self, id: u64) {
        self.operator.notify_checkpoint_complete(CheckpointId(id)).expect("no error");
    }
}

/// The operator state of a snapshot, after its slow work.
pub(crate) fn state(snapshot: StateSnapshot) -> Result<Bytes, OperatorError> {
    match snapshot.late_operator_state {
        Some(state) => state(),
        None => Ok(snapshot.operator_state.expect("a state")),
    }
}

/// The state that the worker passes to `subtask`.
pub(crate) fn restored(states: &[Bytes], subtask: u32, parallelism: u32) -> RestoredState {
    let former_parallelism = states.len() as u32;
    let all = (0..).zip(states.iter().cloned());
    let operator_state = all.filter(|(former, _)| former_parallelism != parallelism || *former == subtask).collect();
    RestoredState { operator_state, former_parallelism, key_groups: Vec::new() }
}

/// One attempt of one subtask of a source.
pub(crate) struct Reader {
    pub(crate) source: Box<dyn Source>,
}

impl Reader {
    /// Options of a source that reads ids as JSON.
    pub(crate) fn options(kafka: &KafkaCluster, topic: &str, isolation: &str) -> Value {
        json!({
            "bootstrap_servers": kafka.bootstrap_servers(), "topics": [topic], "properties": {"isolation.level": isolation},
            "schema": [{"name": "id", "type": "bigint", "nullable": false}], "value": {"format": {"kind": "json"}},
        })
    }

    pub(crate) fn new(options: &Value, (subtask, parallelism): (u32, u32), former: &[Bytes]) -> Self {
        let BuiltOperator::Source(mut source, _) = build("source.kafka", options, subtask, parallelism, None).expect("no error")
        else {
            panic!("a source")
        };
        if !former.is_empty() {
            source.restore(restored(former, subtask, parallelism)).expect("no error");
        }
        if source.needs_splits() {
            let splits = source.propose_splits().expect("no error");
            source.take_splits(&splits).expect("no error");
        }
        Self { source }
    }

    /// Reads batches until `count` rows have come, or the source has ended.
    pub(crate) fn read(&mut self, count: usize) -> Vec<RecordBatch> {
        self.read_while(count, || ())
    }

    /// The same. Something else goes on meanwhile.
    pub(crate) fn read_while(&mut self, count: usize, mut meanwhile: impl FnMut()) -> Vec<RecordBatch> {
        let end = Instant::now() + PATIENCE;
        let (mut batches, mut rows) = (Vec::new(), 0);
        while rows < count {
            meanwhile();
            match self.source.poll(millis(), 100).expect("no error") {
                SourcePoll::Batch(batch) => {
                    rows += batch.num_rows();
                    batches.push(batch);
                }
                SourcePoll::NothingUntil(_) => {
                    assert!(Instant::now() < end, "only {rows} of {count} rows have come");
                    std::thread::sleep(Duration::from_millis(2));
                }
                SourcePoll::End => break,
            }
        }
        batches
    }

    pub(crate) fn read_ids(&mut self, count: usize) -> Vec<i64> {
        sorted_ids(&self.read(count))
    }
}

fn ids_of(batches: &[RecordBatch]) -> Vec<i64> {
    batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect()
}

pub(crate) fn sorted_ids(batches: &[RecordBatch]) -> Vec<i64> {
    let mut ids = ids_of(batches);
    ids.sort_unstable();
    ids
}

/// All ids of a topic, as a reader of this isolation sees them now: in the order of the log, if the topic has one partition.
pub(crate) fn all_in_order(kafka: &KafkaCluster, topic: &str, isolation: &str) -> Vec<i64> {
    let mut options = Reader::options(kafka, topic, isolation);
    options["stop"] = json!({"mode": "latest"});
    ids_of(&Reader::new(&options, (0, 1), &[]).read(usize::MAX))
}

/// The same, sorted.
pub(crate) fn all_ids(kafka: &KafkaCluster, topic: &str, isolation: &str) -> Vec<i64> {
    let mut ids = all_in_order(kafka, topic, isolation);
    ids.sort_unstable();
    ids
}

/// Waits until a reader of committed records sees this many, then returns them. Commit markers follow a commit.
pub(crate) fn committed_ids(kafka: &KafkaCluster, topic: &str, count: usize) -> Vec<i64> {
    let end = Instant::now() + PATIENCE;
    loop {
        let ids = all_ids(kafka, topic, "read_committed");
        if ids.len() >= count || Instant::now() > end {
            return ids;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
