//! Tests TaskManagers with a fake JobManager: deployments, checkpoints, failures and a leader change.

#![allow(clippy::unwrap_used, unreachable_pub)]

mod files;
mod job_manager;
mod operators;
mod tasks;

use std::collections::BTreeMap;

use serde_json::json;
use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointKind, StateHandle, SubtaskSnapshot};
use weir_protocol::job_graph::{DataType, Field, JobVertex, OperatorDescriptor, Partitioning};
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{
    Deployment, InputDeployment, OperatorRestore, Order, OutputDeployment, ProducerLocation, TaskDeployment, TaskMetrics,
};
use weir_protocol::{
    AllocationId, CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch,
};
use weir_worker::{TaskManager, TaskManagerOptions};

use job_manager::{FakeJobManager, reserve};

const JOB: JobId = JobId(77);
const MAX_PARALLELISM: u32 = 16;

fn task_manager(name: &str, jobmanagers: &[String]) -> TaskManager {
    let mut options = TaskManagerOptions::new(name, jobmanagers.to_vec(), operators::registry());
    options.heartbeat_interval_ms = 50;
    options.slots = 2;
    options.max_batch_rows = 500;
    TaskManager::start(options).unwrap()
}

fn operator(kind: &str, options: serde_json::Value) -> OperatorDescriptor {
    let options = options.as_object().unwrap().clone().into_iter().collect();
    OperatorDescriptor::new(kind, options)
}

/// The state of every operator of a chain, from the parts of all former subtasks.
fn by_operator(parts: &[SubtaskSnapshot]) -> Vec<OperatorRestore> {
    let operators = parts.first().map_or(0, |part| part.operators.len());
    let of = |operator: usize| OperatorRestore {
        former_parallelism: parts.len() as u32,
        parts: parts.iter().map(|part| (part.execution_vertex.subtask, part.operators[operator].clone())).collect(),
    };
    (0..operators).map(of).collect()
}

fn fields(names: &[&str]) -> Vec<Field> {
    let field = |name: &&str| Field { name: (*name).to_owned(), data_type: DataType::Bigint, nullable: false };
    names.iter().map(field).collect()
}

/// source → hash → agg. Both vertices have one subtask per place; subtask i runs at place i.
struct Job<'a> {
    name: &'a str,
    generation: Generation,
    places: Vec<(&'a TaskManager, u32)>,
    source: Vec<OperatorDescriptor>,
    /// Columns between the vertices; the first is the key.
    edge: Vec<Field>,
    agg: Vec<OperatorDescriptor>,
    checkpoint_dir: String,
}

impl Job<'_> {
    fn attempt(&self, uid: &str, subtask: u32) -> ExecutionAttemptId {
        let vertex = JobVertexId::from_uid(uid);
        ExecutionAttemptId { job: JOB, execution_vertex: ExecutionVertexId { vertex, subtask }, generation: self.generation }
    }

    fn subtasks(&self) -> std::ops::Range<u32> {
        0..self.places.len() as u32
    }

    fn attempts(&self) -> Vec<ExecutionAttemptId> {
        ["source", "agg"].iter().flat_map(|uid| self.subtasks().map(|subtask| self.attempt(uid, subtask))).collect()
    }

    fn deploy(&self, job_manager: &FakeJobManager, restore: Option<(u64, &[SubtaskSnapshot])>) {
        let parallelism = self.places.len() as u32;
        let edge_schema = self.edge.clone();
        let keys = || Partitioning::Hash { keys: vec![edge_schema[0].name.clone()] };
        let vertex = |uid: &str, operators: Vec<OperatorDescriptor>, output_schema: Vec<Field>| JobVertex {
            uid: uid.into(),
            name: String::new(),
            parallelism,
            operators,
            output_schema,
            input_schemas: Vec::new(),
        };
        let parts = |uid: &str| {
            let vertex = JobVertexId::from_uid(uid);
            let all = restore.map_or(&[][..], |(_, parts)| parts);
            by_operator(&all.iter().filter(|part| part.execution_vertex.vertex == vertex).cloned().collect::<Vec<_>>())
        };
        for (subtask, (task_manager, slot)) in (0..).zip(&self.places) {
            let allocation = AllocationId(1000 + u128::from(subtask));
            let source = TaskDeployment {
                attempt: self.attempt("source", subtask),
                slot: *slot,
                allocation,
                vertex: vertex("source", self.source.clone(), edge_schema.clone()),
                restore: parts("source"),
                inputs: Vec::new(),
                outputs: vec![OutputDeployment {
                    edge: 0,
                    partitioning: keys(),
                    consumers: self.subtasks().map(|consumer| self.attempt("agg", consumer)).collect(),
                }],
            };
            let producers = (0..).zip(&self.places).map(|(producer, (place, _))| ProducerLocation {
                attempt: self.attempt("source", producer),
                task_manager: place.id().clone(),
                data_address: place.addresses().data.clone(),
            });
            let agg = TaskDeployment {
                attempt: self.attempt("agg", subtask),
                slot: *slot,
                allocation,
                vertex: vertex("agg", self.agg.clone(), Vec::new()),
                restore: parts("agg"),
                inputs: vec![InputDeployment {
                    edge: 0,
                    input: 0,
                    schema: edge_schema.clone(),
                    partitioning: keys(),
                    producers: producers.collect(),
                }],
                outputs: Vec::new(),
            };
            let deployment = Deployment {
                job: JOB,
                job_name: self.name.into(),
                max_parallelism: MAX_PARALLELISM,
                checkpoint_dir: self.checkpoint_dir.clone(),
                restore_checkpoint: restore.map(|(id, _)| CheckpointId(id)),
                tasks: vec![agg, source],
            };
            job_manager.send(task_manager.id(), Order::Deploy(deployment));
        }
    }

    async fn checkpoint(&self, job_manager: &FakeJobManager, id: u64, kind: CheckpointKind) -> Vec<SubtaskSnapshot> {
        let barrier = CheckpointBarrier { id: CheckpointId(id), kind, timestamp_ms: 0 };
        for (subtask, (task_manager, _)) in (0..).zip(&self.places) {
            let attempts = vec![self.attempt("source", subtask)];
            job_manager.send(task_manager.id(), Order::TriggerCheckpoint { attempts, barrier });
        }
        let acknowledgements = job_manager.acknowledgements(id, &self.attempts()).await;
        for (task_manager, _) in &self.places {
            let last = kind == CheckpointKind::Final;
            let attempts = self.attempts();
            let complete = Order::NotifyCheckpointComplete { job: JOB, attempts, checkpoint: CheckpointId(id), last };
            job_manager.send(task_manager.id(), complete);
        }
        acknowledgements.into_iter().map(|acknowledgement| acknowledgement.snapshot).collect()
    }

    fn cancel(&self, job_manager: &FakeJobManager) {
        for (subtask, (task_manager, _)) in (0..).zip(&self.places) {
            let attempts = vec![self.attempt("source", subtask), self.attempt("agg", subtask)];
            job_manager.send(task_manager.id(), Order::Cancel(attempts));
        }
    }
}

/// The agg of most tests: counts per key and collects the counts under `name`.
fn count(name: &str) -> Vec<OperatorDescriptor> {
    vec![operator("x.count", json!({})), operator("x.collect", json!({"name": name}))]
}

fn generation(epoch: u64, attempt: u32) -> Generation {
    Generation { epoch: LeaderEpoch(epoch), attempt }
}

fn assert_counts(name: &str, rows: i64, keys: i64) {
    let mut expected = BTreeMap::<i64, (i64, i64)>::new();
    for value in 0..rows {
        let (count, sum) = expected.entry(value % keys).or_default();
        *count += 1;
        *sum += value;
    }
    let expected: Vec<_> = expected.into_iter().map(|(key, (count, sum))| (key, count, sum)).collect();
    let committed = operators::COMMITTED.lock().unwrap().remove(name).unwrap_or_default();
    let mut rows: Vec<_> = committed.into_values().flatten().collect();
    rows.sort_unstable();
    assert!(rows == expected, "{} rows instead of {}", rows.len(), expected.len());
}

/// The whole life of a job on two processes: It takes checkpoints, its leader is killed, and its tasks continue. The next leader
/// cancels it and restores it, and it finishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_job_over_two_task_managers_survives_its_leader_and_ends_with_every_row_counted_once() {
    let (name, rows, keys) = ("leader", 200_000, 5_000);
    let directory = tempfile::tempdir().unwrap();
    let ((first, first_address), (second, second_address)) = (reserve(), reserve());
    let addresses = [first_address, second_address];
    let (one, two) = (task_manager("tm-1", &addresses), task_manager("tm-2", &addresses));
    let leader = FakeJobManager::start(1, first);
    for task_manager in [&one, &two] {
        let registration = leader.registration(task_manager.id()).await;
        assert_eq!(registration.slots, 2);
        assert!(registration.attempts.is_empty());
    }

    let source = vec![operator("x.numbers", json!({"rows": rows, "keys": keys, "slow": 1}))];
    let checkpoint_dir = directory.path().to_str().unwrap().to_owned();
    let mut job = Job {
        name,
        generation: generation(1, 1),
        places: vec![(&one, 0), (&two, 0)],
        source,
        edge: fields(&["key", "value"]),
        agg: count(name),
        checkpoint_dir,
    };
    job.deploy(&leader, None);
    leader.all_in(&job.attempts(), ExecutionState::Running).await;
    leader.rows_in_above(job.attempt("agg", 1), 2_000).await;
    job.checkpoint(&leader, 1, CheckpointKind::Checkpoint).await;
    leader.rows_in_above(job.attempt("agg", 0), 8_000).await;
    let saved = job.checkpoint(&leader, 2, CheckpointKind::Checkpoint).await;
    let in_files = saved.iter().flat_map(|part| &part.operators).flat_map(|operator| &operator.key_groups);
    assert!(in_files.into_iter().any(|group| matches!(group.state, StateHandle::File(_))), "state this big goes to files");

    leader.kill();
    let leader = FakeJobManager::start(2, second);
    for task_manager in [&one, &two] {
        let registration = leader.registration(task_manager.id()).await;
        assert_eq!(registration.attempts.len(), 2, "tasks outlive their leader");
        assert!(registration.attempts.iter().all(|held| held.state == ExecutionState::Running));
        assert_eq!(registration.highest_epoch, LeaderEpoch(1));
    }
    leader.rows_in_above(job.attempt("agg", 0), 8_000).await;
    job.cancel(&leader);
    leader.all_in(&job.attempts(), ExecutionState::Canceled).await;

    job.generation = generation(2, 1);
    job.deploy(&leader, Some((2, &saved)));
    leader.all_ended(&job.attempts()).await;
    job.checkpoint(&leader, 10, CheckpointKind::Final).await;
    leader.all_in(&job.attempts(), ExecutionState::Finished).await;
    assert_counts(name, rows, keys);
    one.shutdown().await;
    two.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_end_of_a_task_manager_fails_only_the_tasks_that_read_from_it() {
    let directory = tempfile::tempdir().unwrap();
    let (listener, address) = reserve();
    let (one, two) = (task_manager("tm-1", std::slice::from_ref(&address)), task_manager("tm-2", &[address]));
    let leader = FakeJobManager::start(1, listener);
    for task_manager in [&one, &two] {
        leader.registration(task_manager.id()).await;
    }
    let source = vec![operator("x.numbers", json!({"rows": i64::MAX / 4, "keys": 10, "slow": 1}))];
    let checkpoint_dir = directory.path().to_str().unwrap().to_owned();
    let job = Job {
        name: "death",
        generation: generation(1, 1),
        places: vec![(&one, 0), (&two, 0)],
        source,
        edge: fields(&["key", "value"]),
        agg: count("death"),
        checkpoint_dir,
    };
    job.deploy(&leader, None);
    leader.all_in(&job.attempts(), ExecutionState::Running).await;
    let (reader, source) = (job.attempt("agg", 0), job.attempt("source", 0));
    drop(job);
    two.shutdown().await;
    let failure = leader.failure(reader).await;
    assert_eq!((failure.code.as_str(), failure.retryable), ("TASK-CHANNEL-LOST", true));
    assert!(failure.message.contains("lost channel to"), "{}", failure.message);
    assert_eq!(leader.state(source), Some(ExecutionState::Running));
    one.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_manager_that_stops_in_order_ends_its_link_in_order() {
    let (listener, address) = reserve();
    let job_manager = FakeJobManager::start(1, listener);
    let task_manager = task_manager("tm", &[address]);
    job_manager.registration(task_manager.id()).await;
    let id = task_manager.id().clone();
    task_manager.shutdown().await;
    assert_eq!(job_manager.link_end(&id).await, Ok(()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_task_manager_takes_the_first_free_port_and_others_reach_it_under_its_host() {
    let (_taken, taken) = reserve();
    let (free, next) = reserve();
    drop(free);
    let port = |address: &str| address.rsplit_once(':').unwrap().1.parse().unwrap();
    let start = |data_ports: Vec<u16>| {
        let mut options = TaskManagerOptions::new("", vec!["127.0.0.1:1".to_owned()], operators::registry());
        options.host = Some("worker-1".to_owned());
        options.data_ports = data_ports;
        TaskManager::start(options)
    };
    let error = start(vec![port(&taken), port(&taken)]).err().unwrap().to_string();
    assert!(error.starts_with("TM-BIND") && error.contains("2 ports"), "{error}");
    // Another program may have taken the free port meanwhile, so any port is the last one.
    let task_manager = start(vec![port(&taken), port(&next), 0]).unwrap();
    let (data, id) = (task_manager.addresses().data.clone(), task_manager.id().0.clone());
    assert!(data.starts_with("worker-1:") && port(&data) != port(&taken), "{data}");
    assert!(id.starts_with(&format!("{data}-")), "without a name, it is named after its address: {id}");
    task_manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_fails_only_its_task_and_the_slot_runs_the_next_attempt() {
    let (name, rows, keys) = ("panic", 20_000, 100);
    let directory = tempfile::tempdir().unwrap();
    let (listener, address) = reserve();
    let one = task_manager("tm-1", &[address]);
    let leader = FakeJobManager::start(1, listener);
    leader.registration(one.id()).await;
    let numbers = operator("x.numbers", json!({"rows": rows, "keys": keys}));
    let checkpoint_dir = directory.path().to_str().unwrap().to_owned();
    let mut job = Job {
        name,
        generation: generation(1, 1),
        places: vec![(&one, 0), (&one, 1)],
        source: vec![numbers.clone(), operator("x.panic", json!({"at": 10_000}))],
        edge: fields(&["key", "value"]),
        agg: count(name),
        checkpoint_dir,
    };
    job.deploy(&leader, None);
    let failure = leader.failure(job.attempt("source", 0)).await;
    assert_eq!(failure.code, "TASK-PANIC");
    assert!(failure.message.contains("met the number 10000"), "{}", failure.message);
    job.cancel(&leader);
    let others = [job.attempt("source", 1), job.attempt("agg", 0), job.attempt("agg", 1)];
    leader.all_in(&others, ExecutionState::Canceled).await;

    job.generation = generation(1, 2);
    job.source = vec![numbers];
    job.deploy(&leader, None);
    leader.all_ended(&job.attempts()).await;
    job.checkpoint(&leader, 1, CheckpointKind::Final).await;
    leader.all_in(&job.attempts(), ExecutionState::Finished).await;
    let total = |uid: &str, count: fn(&TaskMetrics) -> u64| {
        job.subtasks().map(|subtask| count(&leader.final_counters(job.attempt(uid, subtask)))).sum::<u64>()
    };
    let counted = (total("source", |counters| counters.records_out), total("agg", |counters| counters.records_in));
    assert_eq!(counted, (rows as u64, rows as u64), "the report of a task's end carries its final counters");
    assert_counts(name, rows, keys);
    one.shutdown().await;
}

/// The lines that a job of built-in operators writes: undisturbed, or with a leader change and a restore in the middle.
async fn windows(disturbed: bool) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    let ((first, first_address), (second, second_address)) = (reserve(), reserve());
    let addresses = [first_address, second_address];
    let (one, two) = (task_manager("tm-1", &addresses), task_manager("tm-2", &addresses));
    let mut leader = FakeJobManager::start(1, first);
    let generated = json!({
        "rows": 30_000,
        "rows_per_second": if disturbed { 20_000 } else { 10_000_000 },
        "seed": 7,
        "fields": [
            {"name": "auction", "type": "bigint", "kind": "random", "min": 0, "max": 300},
            {"name": "price", "type": "bigint", "kind": "random", "min": 1, "max": 1000},
            {"name": "ts", "type": "timestamp_ms", "kind": "timestamp", "min": 1_700_000_000_000_i64, "step_ms": 10},
        ],
    });
    let window = json!({
        "time_column": "ts", "size_ms": 10_000, "keys": ["auction"],
        "aggregates": [{"name": "bids", "function": "count"}, {"name": "total", "function": "sum", "column": "price"}],
    });
    let field = |name: &str, data_type| Field { name: name.into(), data_type, nullable: false };
    let mut job = Job {
        name: "windows",
        generation: generation(1, 1),
        places: vec![(&one, 0), (&two, 0)],
        source: vec![
            operator("source.datagen", generated),
            operator("watermark", json!({"column": "ts", "out_of_orderness_ms": 100})),
        ],
        edge: vec![field("auction", DataType::Bigint), field("price", DataType::Bigint), field("ts", DataType::Timestamp(3))],
        agg: vec![
            operator("window.tumbling", window),
            operator("sink.file", json!({"path": path("out"), "format": "csv", "header": false})),
        ],
        checkpoint_dir: path("checkpoints"),
    };
    for task_manager in [&one, &two] {
        leader.registration(task_manager.id()).await;
    }
    job.deploy(&leader, None);
    leader.all_in(&job.attempts(), ExecutionState::Running).await;
    if disturbed {
        leader.rows_in_above(job.attempt("agg", 0), 2_000).await;
        job.checkpoint(&leader, 1, CheckpointKind::Checkpoint).await;
        leader.rows_in_above(job.attempt("agg", 0), 5_000).await;
        let saved = job.checkpoint(&leader, 2, CheckpointKind::Checkpoint).await;
        leader.rows_in_above(job.attempt("agg", 0), 7_000).await;
        leader.kill();
        leader = FakeJobManager::start(2, second);
        for task_manager in [&one, &two] {
            assert_eq!(leader.registration(task_manager.id()).await.attempts.len(), 2);
        }
        job.cancel(&leader);
        leader.all_in(&job.attempts(), ExecutionState::Canceled).await;
        job.generation = generation(2, 1);
        job.deploy(&leader, Some((2, &saved)));
    }
    leader.all_ended(&job.attempts()).await;
    job.checkpoint(&leader, 9, CheckpointKind::Final).await;
    leader.all_in(&job.attempts(), ExecutionState::Finished).await;
    one.shutdown().await;
    two.shutdown().await;

    let mut lines = Vec::new();
    for entry in std::fs::read_dir(path("out")).unwrap() {
        let entry = entry.unwrap();
        if !entry.file_name().to_string_lossy().starts_with('.') {
            lines.extend(std::fs::read_to_string(entry.path()).unwrap().lines().map(str::to_owned));
        }
    }
    lines.sort_unstable();
    lines
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn windows_written_across_a_leader_change_equal_those_of_an_undisturbed_run() {
    let expected = windows(false).await;
    // 30 windows of 10 s over 300 s, up to 301 keys each.
    assert!(expected.len() > 30 * 200, "{} lines", expected.len());
    let written = windows(true).await;
    assert!(written == expected, "{} lines instead of {}", written.len(), expected.len());
}
