//! The job of the simulation: a source of numbered rows, a running sum per key, and a two-phase sink; and the ledger to which the
//! sink commits.
//!
//! Every output row names its input row (source, offset) and the state at that time (count and sum of its key). So each committed
//! row can be judged by arithmetic.

pub mod files;

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_array::{ArrayRef, Int64Array, RecordBatch};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use weir_dataflow::element::CheckpointBarrier;
use weir_dataflow::key_group::{hash_i64, key_group_of};
use weir_dataflow::operator::{
    Collector, KeyGroupSnapshot, Operator, OperatorContext, OperatorError, RestoredState, StateSnapshot,
};
use weir_dataflow::registry::{BuiltOperator, OperatorRegistry};
use weir_dataflow::source::{Source, SourcePoll};
use weir_protocol::CheckpointId;
use weir_protocol::job_graph::OperatorDescriptor;

use weir_verdict::fact::CommittedRow;
use weir_verdict::random::mix;

use crate::client::PlannedJob;

/// Number of distinct keys of a job.
pub const KEYS: i64 = 5;
/// Parallelism of both vertices.
pub const PARALLELISM: u32 = 2;

/// The last key gets only one in this many of its rows, so its state often does not change from one checkpoint to the next.
const SELDOM: u64 = 32;

/// Returns the key and the value that a source produces at an offset. The sources and the oracle both use this function.
pub fn row_at(job: &str, source: i64, offset: i64) -> (i64, i64) {
    let seed = job.bytes().fold(7, |seed, byte| mix(seed ^ u64::from(byte)));
    let value = mix(seed ^ mix(source as u64) ^ (offset as u64).wrapping_mul(31));
    let key = (value % KEYS as u64) as i64;
    let key = if key == KEYS - 1 && !(value >> 16).is_multiple_of(SELDOM) { 0 } else { key };
    (key, ((value >> 32) % 1000) as i64)
}

/// Returns the job graph of a planned job.
pub fn graph(job: &PlannedJob) -> Value {
    let PlannedJob { name, rows, checkpoint_interval_ms, pause_ms, .. } = job;
    let source = if job.files { "x.sim_files" } else { "x.sim_rows" };
    let bigint = |name: &str| json!({"name": name, "type": "bigint"});
    json!({
        "version": 1,
        "name": name,
        "vertices": [
            {"id": "rows", "parallelism": PARALLELISM,
             "operators": [{"kind": source, "options": {"job": name, "rows": rows, "pause_ms": pause_ms}}],
             "output_schema": [bigint("key"), bigint("source"), bigint("offset"), bigint("value")]},
            {"id": "sums", "parallelism": PARALLELISM,
             "operators": [{"kind": "x.sim_sum"}, {"kind": "x.sim_commit", "options": {"job": name}}]}
        ],
        "edges": [{"from": "rows", "to": "sums", "partitioning": {"type": "hash", "keys": ["key"]}}],
        "checkpointing": {"interval_ms": checkpoint_interval_ms, "timeout_ms": 8_000, "retained": 2, "tolerable_failures": 1000},
        "restart_strategy": {"type": "fixed-delay", "attempts": 1_000_000, "delay_ms": 100}
    })
}

/// Returns a registry with the operators of the pipeline.
pub fn registry() -> OperatorRegistry {
    let mut registry = OperatorRegistry::default();
    registry.register("x.sim_rows", rows);
    registry.register("x.sim_files", files::files);
    registry.register("x.sim_sum", sum);
    registry.register("x.sim_commit", commit);
    registry
}

/// The ledger of this process. It is a static, because operators are built by plain functions, which can not carry it.
static LEDGER: LazyLock<Mutex<Ledger>> = LazyLock::new(Mutex::default);

/// The transactions that sinks have committed.
#[derive(Debug, Default)]
pub struct Ledger {
    transactions: BTreeMap<(String, u32, u64), Vec<CommittedRow>>,
    news: Vec<(String, Vec<CommittedRow>)>,
    contradictions: Vec<String>,
    starts: u64,
}

impl Ledger {
    /// Locks and returns the ledger of this process.
    pub fn get() -> MutexGuard<'static, Self> {
        LEDGER.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the rows that were committed since the last call, with the name of their job.
    pub fn news(&mut self) -> Vec<(String, Vec<CommittedRow>)> {
        std::mem::take(&mut self.news)
    }

    /// Returns descriptions of transactions that were committed twice with different rows since the last call.
    pub fn contradictions(&mut self) -> Vec<String> {
        std::mem::take(&mut self.contradictions)
    }

    /// Returns the number of tasks that were started so far, in all attempts.
    pub fn starts(&self) -> u64 {
        self.starts
    }

    /// Commits a transaction once. If its name (job, subtask, checkpoint) is known, this is a repetition.
    fn commit(&mut self, job: &str, subtask: u32, checkpoint: u64, rows: Vec<CommittedRow>) {
        let name = (job.to_owned(), subtask, checkpoint);
        match self.transactions.get(&name) {
            Some(known) if *known == rows => {}
            Some(_) => self.contradictions.push(format!("{name:?} was committed twice, with different rows")),
            None => {
                self.news.push((job.to_owned(), rows.clone()));
                self.transactions.insert(name, rows);
            }
        }
    }
}

fn schema(names: &[&str]) -> SchemaRef {
    Arc::new(Schema::new(names.iter().map(|name| Field::new(*name, DataType::Int64, false)).collect::<Vec<_>>()))
}

fn batch(schema: &SchemaRef, rows: &[Vec<i64>]) -> Result<RecordBatch, OperatorError> {
    let column = |index: usize| Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row[index]))) as ArrayRef;
    let columns = (0..schema.fields().len()).map(column).collect();
    RecordBatch::try_new(schema.clone(), columns).map_err(|error| OperatorError::fatal("SIM-ROWS", error.to_string()))
}

fn rows_of(batch: &RecordBatch) -> Vec<Vec<i64>> {
    let columns: Vec<_> = batch.columns().iter().map(|column| column.as_primitive::<Int64Type>().values()).collect();
    (0..batch.num_rows()).map(|row| columns.iter().map(|column| column[row]).collect()).collect()
}

fn to_bytes<T: Serialize>(value: &T) -> Result<Bytes, OperatorError> {
    serde_json::to_vec(value).map(Bytes::from).map_err(|error| OperatorError::fatal("SIM-ROWS", error.to_string()))
}

fn from_bytes<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, OperatorError> {
    serde_json::from_slice(bytes).map_err(|error| OperatorError::fatal("SIM-ROWS", error.to_string()))
}

fn number(descriptor: &OperatorDescriptor, name: &str) -> i64 {
    descriptor.options.get(name).and_then(Value::as_i64).unwrap_or(0)
}

fn job_name(descriptor: &OperatorDescriptor) -> String {
    descriptor.options.get("job").and_then(Value::as_str).unwrap_or_default().to_owned()
}

struct Rows {
    job: String,
    source: i64,
    next: i64,
    rows: i64,
    pause_ms: u64,
    not_before: u64,
    schema: SchemaRef,
}

fn rows(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    Ledger::get().starts += 1;
    let schema = schema(&["key", "source", "offset", "value"]);
    let source = Rows {
        job: job_name(descriptor),
        source: i64::from(context.subtask()),
        next: 0,
        rows: number(descriptor, "rows"),
        pause_ms: number(descriptor, "pause_ms") as u64,
        not_before: 0,
        schema: schema.clone(),
    };
    Ok(BuiltOperator::Source(Box::new(source), schema))
}

impl Source for Rows {
    fn poll(&mut self, now_ms: u64, _: usize) -> Result<SourcePoll, OperatorError> {
        let end = if self.rows == 0 { i64::MAX } else { self.rows };
        if self.next >= end {
            return Ok(SourcePoll::End);
        }
        if now_ms < self.not_before {
            return Ok(SourcePoll::NothingUntil(self.not_before));
        }
        self.not_before = now_ms + self.pause_ms;
        let row = |offset: i64| {
            let (key, value) = row_at(&self.job, self.source, offset);
            vec![key, self.source, offset, value]
        };
        let rows: Vec<_> = (self.next..(self.next + 4).min(end)).map(row).collect();
        self.next += rows.len() as i64;
        Ok(SourcePoll::Batch(batch(&self.schema, &rows)?))
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        Ok(StateSnapshot { operator_state: Some(to_bytes(&(self.source, self.next))?), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        for (_, bytes) in &restored.operator_state {
            let (source, next): (i64, i64) = from_bytes(bytes)?;
            if source == self.source {
                self.next = next;
            }
        }
        Ok(())
    }
}

#[derive(Default)]
struct Group {
    version: u64,
    /// Count and sum per key.
    sums: BTreeMap<i64, (i64, i64)>,
}

struct Sum {
    groups: BTreeMap<u32, Group>,
    max_parallelism: u32,
    changes: u64,
    schema: SchemaRef,
}

fn sum(_: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    Ledger::get().starts += 1;
    let schema = schema(&["key", "source", "offset", "value", "count", "sum"]);
    let operator = Sum { groups: BTreeMap::new(), max_parallelism: context.max_parallelism, changes: 0, schema: schema.clone() };
    Ok(BuiltOperator::Transform(Box::new(operator), schema))
}

impl Operator for Sum {
    fn process(&mut self, _: u32, input: RecordBatch, out: &mut dyn Collector) -> Result<(), OperatorError> {
        self.changes += 1;
        let mut rows = rows_of(&input);
        for row in &mut rows {
            let group = self.groups.entry(key_group_of(hash_i64(row[0]), self.max_parallelism)).or_default();
            group.version = self.changes;
            let (count, sum) = group.sums.entry(row[0]).or_default();
            *count += 1;
            *sum += row[3];
            row.extend([*count, *sum]);
        }
        out.collect(batch(&self.schema, &rows)?)
    }

    fn snapshot(&mut self, _: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        let frozen = self.groups.iter().map(|(key_group, group)| {
            let sums: Vec<_> = group.sums.iter().map(|(key, (count, sum))| (*key, *count, *sum)).collect();
            let serialize = Box::new(move || to_bytes(&sums));
            KeyGroupSnapshot { key_group: *key_group, version: group.version, serialize }
        });
        Ok(StateSnapshot { key_groups: frozen.collect(), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        for (key_group, bytes) in restored.key_groups {
            let sums: Vec<(i64, i64, i64)> = from_bytes(&bytes)?;
            let sums = sums.into_iter().map(|(key, count, sum)| (key, (count, sum))).collect();
            self.groups.insert(key_group, Group { version: 0, sums });
        }
        Ok(())
    }
}

struct Commit {
    job: String,
    subtask: u32,
    open: Vec<CommittedRow>,
    pending: BTreeMap<u64, Vec<CommittedRow>>,
}

fn commit(descriptor: &OperatorDescriptor, context: &OperatorContext) -> Result<BuiltOperator, OperatorError> {
    let sink = Commit { job: job_name(descriptor), subtask: context.subtask(), open: Vec::new(), pending: BTreeMap::new() };
    Ok(BuiltOperator::Sink(Box::new(sink)))
}

impl Operator for Commit {
    fn process(&mut self, _: u32, batch: RecordBatch, _: &mut dyn Collector) -> Result<(), OperatorError> {
        self.open.extend(rows_of(&batch).into_iter().map(|row| CommittedRow {
            key: row[0],
            source: row[1],
            offset: row[2],
            value: row[3],
            count: row[4],
            sum: row[5],
        }));
        Ok(())
    }

    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError> {
        self.pending.insert(barrier.id.0, std::mem::take(&mut self.open));
        let state = to_bytes(&(self.subtask, &self.pending))?;
        Ok(StateSnapshot { operator_state: Some(state), ..StateSnapshot::default() })
    }

    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError> {
        for (_, bytes) in &restored.operator_state {
            let (subtask, pending): (u32, BTreeMap<u64, Vec<CommittedRow>>) = from_bytes(bytes)?;
            if subtask == self.subtask {
                self.pending = pending;
            }
        }
        self.notify_checkpoint_complete(CheckpointId(u64::MAX))
    }

    fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        let later = self.pending.split_off(&checkpoint.0.saturating_add(1));
        for (id, rows) in std::mem::replace(&mut self.pending, later) {
            Ledger::get().commit(&self.job, self.subtask, id, rows);
        }
        Ok(())
    }
}
