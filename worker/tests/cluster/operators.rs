//! Operators of the tests: a counting source, a keyed count, a two-phase sink, and one that panics.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use serde::{Serialize, de::DeserializeOwned};
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::key_group::{hash_i64, key_group_of};
use weir_dataflow::operator::{
    Collector, KeyGroupSnapshot, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot,
};
use weir_dataflow::registry::{BuiltOperator, OperatorRegistry};
use weir_dataflow::source::{Source, SourcePoll};
use weir_protocol::CheckpointId;
use weir_protocol::job_graph::OperatorDescriptor;

/// The rows that sinks have committed, by the sink's name and (subtask, checkpoint).
pub static COMMITTED: LazyLock<Mutex<BTreeMap<String, Committed>>> = LazyLock::new(Mutex::default);
type Committed = BTreeMap<(u32, u64), Vec<(i64, i64, i64)>>;

pub fn registry() -> OperatorRegistry {
    let mut registry = OperatorRegistry::default();
    weir_dataflow::operators::register_operators(&mut registry);
    weir_connectors::register_connectors(&mut registry);
    registry.register("x.numbers", numbers);
    registry.register("x.count", count);
    registry.register("x.collect", collect);
    registry.register("x.panic", panics);
    registry.register("x.stuck", stuck);
    registry
}

fn schema(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, false)).collect::<Vec<_>>()))
}

fn batch(schema: &SchemaRef, columns: Vec<Vec<i64>>) -> RecordBatch {
    let columns = columns.into_iter().map(|column| Arc::new(Int64Array::from(column)) as ArrayRef).collect();
    RecordBatch::try_new(schema.clone(), columns).unwrap()
}

fn column(batch: &RecordBatch, index: usize) -> &[i64] {
    batch.column(index).as_primitive::<Int64Type>().values()
}

fn option(descriptor: &OperatorDescriptor, name: &str) -> i64 {
    descriptor.options.get(name).and_then(|value| value.as_i64()).unwrap_or(0)
}

fn to_bytes<T: Serialize>(value: &T) -> Bytes {
    Bytes::from(serde_json::to_vec(value).unwrap())
}

fn from_bytes<T: DeserializeOwned>(bytes: &Bytes) -> T {
    serde_json::from_slice(bytes).unwrap()
}

struct Numbers {
    next: i64,
    step: i64,
    rows: i64,
    keys: i64,
    slow: bool,
    not_before: u64,
    schema: SchemaRef,
}

fn numbers(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let schema = schema(&["key", "value"]);
    let source = Numbers {
        next: i64::from(context.subtask()),
        step: i64::from(context.parallelism),
        rows: option(descriptor, "rows"),
        keys: option(descriptor, "keys"),
        // The source is slow only in the first generation, so that the test can act in the middle of the stream.
        slow: option(descriptor, "slow") != 0 && context.attempt.generation.epoch.0 == 1,
        not_before: 0,
        schema: schema.clone(),
    };
    Ok(BuiltOperator::Source(Box::new(source), schema))
}

impl Source for Numbers {
    fn poll(&mut self, now_ms: u64, max_rows: usize) -> Result<SourcePoll, OperatorError> {
        if self.next >= self.rows {
            return Ok(SourcePoll::End);
        }
        if self.slow {
            if now_ms < self.not_before {
                return Ok(SourcePoll::NothingUntil(self.not_before));
            }
            self.not_before = now_ms + 2;
        }
        let count = if self.slow { 50 } else { max_rows as i64 };
        let values: Vec<i64> = (0..count).map(|n| self.next + n * self.step).take_while(|value| *value < self.rows).collect();
        self.next += values.len() as i64 * self.step;
        let keys = values.iter().map(|value| value % self.keys).collect();
        Ok(SourcePoll::Batch(batch(&self.schema, vec![keys, values])))
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        Ok(StateSnapshot { operator_state: Some(to_bytes(&self.next)), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        assert_eq!(restored.operator_state.len(), 1);
        self.next = from_bytes(&restored.operator_state[0].1);
        Ok(())
    }
}

#[derive(Default)]
struct Group {
    version: u64,
    counts: BTreeMap<i64, (i64, i64)>,
}

struct Count {
    groups: BTreeMap<u32, Group>,
    max_parallelism: u32,
    changes: u64,
    schema: SchemaRef,
}

fn count(_: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let schema = schema(&["key", "count", "sum"]);
    let operator =
        Count { groups: BTreeMap::new(), max_parallelism: context.max_parallelism, changes: 0, schema: schema.clone() };
    Ok(BuiltOperator::Transform(Box::new(operator), schema))
}

impl Operator for Count {
    fn process(&mut self, _: u32, batch: RecordBatch, _: &mut dyn Collector) -> Result<(), OperatorError> {
        self.changes += 1;
        for (key, value) in column(&batch, 0).iter().zip(column(&batch, 1)) {
            let group = self.groups.entry(key_group_of(hash_i64(*key), self.max_parallelism)).or_default();
            group.version = self.changes;
            let (count, sum) = group.counts.entry(*key).or_default();
            *count += 1;
            *sum += value;
        }
        Ok(())
    }

    fn on_end_of_input(&mut self, out: &mut dyn Collector) -> Result<(), OperatorError> {
        let rows: Vec<_> = self.groups.values().flat_map(|group| &group.counts).collect();
        let columns = vec![
            rows.iter().map(|(key, _)| **key).collect(),
            rows.iter().map(|(_, (count, _))| *count).collect(),
            rows.iter().map(|(_, (_, sum))| *sum).collect(),
        ];
        out.collect(batch(&self.schema, columns))
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let frozen = self.groups.iter().map(|(key_group, group)| {
            let counts: Vec<_> = group.counts.iter().map(|(key, (count, sum))| (*key, *count, *sum)).collect();
            let serialize = Box::new(move || Ok(to_bytes(&counts)));
            KeyGroupSnapshot { key_group: *key_group, version: group.version, serialize }
        });
        Ok(StateSnapshot { key_groups: frozen.collect(), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        for (key_group, bytes) in restored.key_groups {
            let counts: Vec<(i64, i64, i64)> = from_bytes(&bytes);
            let counts = counts.into_iter().map(|(key, count, sum)| (key, (count, sum))).collect();
            self.groups.insert(key_group, Group { version: 0, counts });
        }
        Ok(())
    }
}

struct Collect {
    name: String,
    subtask: u32,
    open: Vec<(i64, i64, i64)>,
    pending: BTreeMap<u64, Vec<(i64, i64, i64)>>,
}

fn collect(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let name = descriptor.options["name"].as_str().unwrap().to_owned();
    let sink = Collect { name, subtask: context.subtask(), open: Vec::new(), pending: BTreeMap::new() };
    Ok(BuiltOperator::Sink(Box::new(sink)))
}

impl Operator for Collect {
    fn process(&mut self, _: u32, batch: RecordBatch, _: &mut dyn Collector) -> Result<(), OperatorError> {
        for row in 0..batch.num_rows() {
            self.open.push((column(&batch, 0)[row], column(&batch, 1)[row], column(&batch, 2)[row]));
        }
        Ok(())
    }

    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        self.pending.insert(barrier.id.0, std::mem::take(&mut self.open));
        Ok(StateSnapshot { operator_state: Some(to_bytes(&self.pending)), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        self.pending = from_bytes(&restored.operator_state[0].1);
        self.notify_checkpoint_complete(CheckpointId(u64::MAX))
    }

    fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        let later = self.pending.split_off(&checkpoint.0.saturating_add(1));
        let committed = std::mem::replace(&mut self.pending, later);
        let mut all = COMMITTED.lock().unwrap();
        let own = all.entry(self.name.clone()).or_default();
        own.extend(committed.into_iter().map(|(id, rows)| ((self.subtask, id), rows)));
        Ok(())
    }
}

struct Panic {
    at: i64,
}

fn panics(descriptor: &OperatorDescriptor, _: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    Ok(BuiltOperator::Transform(Box::new(Panic { at: option(descriptor, "at") }), schema(&["key", "value"])))
}

impl Operator for Panic {
    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        assert!(!column(&batch, 1).contains(&self.at), "met the number {}", self.at);
        out.collect(batch)
    }
}

/// Blocks its thread in the first row until the file `gate` exists, like a hung disk. Creates the file `entered` before.
struct Stuck {
    entered: PathBuf,
    gate: PathBuf,
}

fn stuck(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let path = |name: &str| PathBuf::from(descriptor.options[name].as_str().unwrap());
    let operator = Stuck { entered: path("entered"), gate: path("gate") };
    Ok(BuiltOperator::Transform(Box::new(operator), context.input_schemas[0].clone()))
}

impl Operator for Stuck {
    fn process(&mut self, _: u32, batch: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        std::fs::write(&self.entered, "").unwrap();
        while !self.gate.exists() {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        out.collect(batch)
    }
}
