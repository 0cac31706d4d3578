//! Tests of jobs that read files while other files arrive.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointKind, SubtaskSnapshot};
use weir_protocol::job_graph::{JobVertex, OperatorDescriptor};
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{Deployment, Order, TaskDeployment};
use weir_protocol::{AllocationId, CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation, JobId, JobVertexId};
use weir_worker::{TaskManager, TaskManagerOptions};

use super::job_manager::{FakeJobManager, reserve};
use super::{MAX_PARALLELISM, by_operator, generation, operator, operators};

/// Rows of each input file.
const ROWS: u64 = 40;

/// A job that copies a directory: `parallelism` subtasks, each with a source and a sink.
pub struct Copy<'a> {
    pub job: JobId,
    pub format: &'a str,
    pub input: PathBuf,
    pub output: PathBuf,
    /// How often the source looks for new files; `None`: once.
    pub monitor_interval_ms: Option<u64>,
    /// Operators between source and sink.
    pub between: Vec<OperatorDescriptor>,
    pub checkpoint_dir: PathBuf,
    pub parallelism: u32,
    pub first_slot: u32,
    pub generation: Generation,
    pub task_manager: &'a TaskManager,
    pub leader: &'a FakeJobManager,
}

impl<'a> Copy<'a> {
    /// The job in its first attempt, with one subtask per slot, below the directory `root`.
    pub fn new(root: &Path, format: &'a str, files: u64, task_manager: &'a TaskManager, leader: &'a FakeJobManager) -> Self {
        Self {
            job: JobId(1),
            format,
            input: input(root, format, files),
            output: root.join(format!("out-{format}")),
            monitor_interval_ms: None,
            between: Vec::new(),
            checkpoint_dir: root.join("checkpoints"),
            parallelism: 1,
            first_slot: 0,
            generation: generation(1, 1),
            task_manager,
            leader,
        }
    }

    pub fn attempt(&self, subtask: u32) -> ExecutionAttemptId {
        let execution_vertex = ExecutionVertexId { vertex: JobVertexId::from_uid("copy"), subtask };
        ExecutionAttemptId { job: self.job, execution_vertex, generation: self.generation }
    }

    pub fn attempts(&self) -> Vec<ExecutionAttemptId> {
        (0..self.parallelism).map(|subtask| self.attempt(subtask)).collect()
    }

    pub fn deploy(&self, subtasks: std::ops::Range<u32>, restore: Option<(u64, &[SubtaskSnapshot])>) {
        let schema = json!([{"name": "id", "type": "bigint"}]);
        let mut source = json!({"path": self.input, "format": self.format, "schema": schema});
        if self.format == "csv" {
            source["header"] = json!(false);
        }
        if let Some(interval) = self.monitor_interval_ms {
            source["monitor_interval_ms"] = json!(interval);
        }
        let source = operator("source.file", source);
        let sink = operator("sink.file", json!({"path": self.output, "format": "csv", "header": false}));
        let vertex = JobVertex {
            uid: "copy".into(),
            name: String::new(),
            parallelism: self.parallelism,
            operators: [vec![source], self.between.clone(), vec![sink]].concat(),
            output_schema: Vec::new(),
            input_schemas: Vec::new(),
        };
        let task = |subtask| TaskDeployment {
            attempt: self.attempt(subtask),
            slot: self.first_slot + subtask,
            allocation: AllocationId(self.job.0 + u128::from(subtask)),
            vertex: vertex.clone(),
            restore: restore.map_or_else(Vec::new, |(_, parts)| by_operator(parts)),
            inputs: Vec::new(),
            outputs: Vec::new(),
        };
        let deployment = Deployment {
            job: self.job,
            job_name: "copy".into(),
            max_parallelism: MAX_PARALLELISM,
            checkpoint_dir: self.checkpoint_dir.to_str().unwrap().to_owned(),
            restore_checkpoint: restore.map(|(id, _)| CheckpointId(id)),
            tasks: subtasks.map(task).collect(),
        };
        self.leader.send(self.task_manager.id(), Order::Deploy(deployment));
    }

    pub fn trigger(&self, id: u64, kind: CheckpointKind) {
        let barrier = CheckpointBarrier { id: CheckpointId(id), kind, timestamp_ms: 0 };
        self.leader.send(self.task_manager.id(), Order::TriggerCheckpoint { attempts: self.attempts(), barrier });
    }

    pub async fn complete(&self, id: u64, last: bool) -> Vec<SubtaskSnapshot> {
        let acknowledged = self.leader.acknowledgements(id, &self.attempts()).await;
        let (job, attempts, checkpoint) = (self.job, self.attempts(), CheckpointId(id));
        self.leader.send(self.task_manager.id(), Order::NotifyCheckpointComplete { job, attempts, checkpoint, last });
        acknowledged.into_iter().map(|one| one.snapshot).collect()
    }

    pub async fn finish(&self, id: u64) {
        self.leader.all_ended(&self.attempts()).await;
        self.trigger(id, CheckpointKind::Final);
        self.complete(id, true).await;
        self.leader.all_in(&self.attempts(), ExecutionState::Finished).await;
    }

    pub async fn cancel(&self) {
        self.leader.send(self.task_manager.id(), Order::Cancel(self.attempts()));
        self.leader.all_in(&self.attempts(), ExecutionState::Canceled).await;
    }

    /// For each input file, how often each of its rows is in the output.
    pub fn copied(&self) -> BTreeMap<u64, Vec<usize>> {
        let mut files = BTreeMap::new();
        for entry in std::fs::read_dir(&self.output).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name().to_string_lossy().starts_with('.') {
                continue;
            }
            for line in std::fs::read_to_string(entry.path()).unwrap().lines() {
                let row: u64 = line.parse().unwrap();
                files.entry(row / ROWS).or_insert_with(|| vec![0; ROWS as usize])[(row % ROWS) as usize] += 1;
            }
        }
        files
    }
}

/// Moves the input file number `number` into `directory`, complete.
fn move_in(directory: &Path, format: &str, number: u64) {
    let row = |row: u64| if format == "csv" { format!("{row}\n") } else { format!("{{\"id\": {row}}}\n") };
    let text: String = (number * ROWS..(number + 1) * ROWS).map(row).collect();
    let staged = directory.with_extension("staged").join(number.to_string());
    std::fs::write(&staged, text).unwrap();
    // The new names sort before, between and after the old ones.
    let name = format!("{:04}.{format}", number * 7919 % 10_000);
    std::fs::rename(staged, directory.join(name)).unwrap();
}

fn input(root: &Path, format: &str, files: u64) -> PathBuf {
    let directory = root.join(format!("in-{format}"));
    std::fs::create_dir(&directory).unwrap();
    std::fs::create_dir(directory.with_extension("staged")).unwrap();
    (0..files).for_each(|number| move_in(&directory, format, number));
    directory
}

pub async fn start(slots: u32, change: impl FnOnce(&mut TaskManagerOptions)) -> (TaskManager, FakeJobManager) {
    let (listener, address) = reserve();
    let mut options = TaskManagerOptions::new("tm-1", vec![address], operators::registry());
    options.heartbeat_interval_ms = 50;
    options.slots = slots;
    change(&mut options);
    let task_manager = TaskManager::start(options).unwrap();
    let leader = FakeJobManager::start(1, listener);
    leader.registration(task_manager.id()).await;
    (task_manager, leader)
}

fn once() -> Vec<usize> {
    vec![1; ROWS as usize]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_arrives_between_the_starts_of_two_subtasks_is_read_by_both_or_by_neither() {
    let directory = tempfile::tempdir().unwrap();
    let (task_manager, leader) = start(2, |_| {}).await;
    for (job, format) in [(1, "csv"), (2, "json")] {
        let mut copy = Copy::new(directory.path(), format, 3, &task_manager, &leader);
        (copy.job, copy.parallelism) = (JobId(job), 2);
        copy.deploy(0..1, None);
        leader.all_ended(&[copy.attempt(0)]).await;
        move_in(&copy.input, format, 100);
        copy.deploy(1..2, None);
        copy.finish(1).await;
        assert_eq!(copy.copied(), (0..3).map(|file| (file, once())).collect(), "{format}");
    }
    task_manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_without_checkpoint_and_a_rescaled_restore_read_the_files_of_the_first_start() {
    let directory = tempfile::tempdir().unwrap();
    let (task_manager, leader) = start(4, |_| {}).await;
    let mut copy = Copy::new(directory.path(), "csv", 5, &task_manager, &leader);
    copy.parallelism = 3;
    copy.deploy(0..2, None);
    leader.all_ended(&[copy.attempt(0), copy.attempt(1)]).await;
    leader.send(task_manager.id(), Order::Cancel(vec![copy.attempt(0), copy.attempt(1)]));
    leader.all_in(&[copy.attempt(0), copy.attempt(1)], ExecutionState::Canceled).await;
    move_in(&copy.input, "csv", 100);
    copy.generation = generation(1, 2);
    copy.deploy(0..3, None);
    leader.all_ended(&copy.attempts()).await;
    copy.trigger(1, CheckpointKind::Checkpoint);
    let saved = copy.complete(1, false).await;
    copy.cancel().await;
    // Like a new job that starts from a savepoint with another parallelism.
    move_in(&copy.input, "csv", 101);
    copy.job = JobId(2);
    copy.parallelism = 4;
    copy.deploy(0..4, Some((1, &saved)));
    copy.finish(2).await;
    assert_eq!(copy.copied(), (0..5).map(|file| (file, once())).collect());
    task_manager.shutdown().await;
}

/// `number` jobs that read one directory per format, on `parallelism` slots each.
fn copies<'a>(
    number: u32,
    parallelism: u32,
    root: &Path,
    inputs: &[PathBuf; 2],
    (task_manager, leader): (&'a TaskManager, &'a FakeJobManager),
) -> Vec<Copy<'a>> {
    let copy = |number: u32| Copy {
        job: JobId(1 + (u128::from(number) << 64)),
        format: ["csv", "json"][number as usize % 2],
        input: inputs[number as usize % 2].clone(),
        output: root.join(format!("out-{number}")),
        monitor_interval_ms: None,
        between: Vec::new(),
        checkpoint_dir: root.join("checkpoints"),
        parallelism,
        first_slot: number * parallelism,
        generation: generation(1, 1),
        task_manager,
        leader,
    };
    (0..number).map(copy).collect()
}

/// Moves files into both directories until it is told to stop. Returns their number, with 20 that were there before.
fn keeps_moving(inputs: &[PathBuf; 2], most: u64) -> (std::sync::mpsc::SyncSender<()>, std::thread::JoinHandle<u64>) {
    let (stop, stopped) = std::sync::mpsc::sync_channel::<()>(1);
    let inputs = inputs.clone();
    let mover = std::thread::spawn(move || {
        let mut moved = 20;
        // The pause spreads the files over all starts.
        while stopped.recv_timeout(Duration::from_millis(1)).is_err() && moved < most {
            move_in(&inputs[0], "csv", moved);
            move_in(&inputs[1], "json", moved);
            moved += 1;
        }
        moved
    });
    (stop, mover)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_jobs_that_start_while_files_arrive_read_every_file_of_their_list_once() {
    const PARALLELISM: u32 = 3;
    let directory = tempfile::tempdir().unwrap();
    let (task_manager, leader) = start(40 * PARALLELISM, |_| {}).await;
    let inputs = ["csv", "json"].map(|format| input(directory.path(), format, 20));
    let copies = copies(40, PARALLELISM, directory.path(), &inputs, (&task_manager, &leader));
    let (stop, mover) = keeps_moving(&inputs, 1_000);
    for copy in &copies {
        for subtask in 0..PARALLELISM {
            copy.deploy(subtask..subtask + 1, None);
        }
    }
    for copy in &copies {
        leader.all_ended(&copy.attempts()).await;
    }
    let _ = stop.send(());
    assert!(mover.join().unwrap() > 20, "files arrived");
    for copy in &copies {
        copy.finish(1).await;
        let copied = copy.copied();
        assert!((0..20).all(|file| copied.contains_key(&file)), "{}: a file that was there is missing", copy.job);
        for (file, rows) in copied {
            assert_eq!(rows, once(), "{}: file {file}", copy.job);
        }
    }
    task_manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn forty_jobs_that_watch_a_directory_read_every_file_once() {
    const PARALLELISM: u32 = 2;
    let directory = tempfile::tempdir().unwrap();
    let (task_manager, leader) = start(40 * PARALLELISM, |_| {}).await;
    let inputs = ["csv", "json"].map(|format| input(directory.path(), format, 20));
    let mut copies = copies(40, PARALLELISM, directory.path(), &inputs, (&task_manager, &leader));
    let (stop, mover) = keeps_moving(&inputs, 200);
    for copy in &mut copies {
        copy.monitor_interval_ms = Some(300);
        copy.deploy(0..1, None);
    }
    // The second subtasks start when the first ones have begun to read.
    leader.rows_in_reach(&copies.iter().map(|copy| copy.attempt(0)).collect::<Vec<_>>(), 40).await;
    copies.iter().for_each(|copy| copy.deploy(1..2, None));
    leader.rows_in_reach(&copies.iter().map(|copy| copy.attempt(1)).collect::<Vec<_>>(), 40).await;
    let _ = stop.send(());
    let files = mover.join().unwrap();
    assert!(files > 20, "files arrived");
    for copy in &copies {
        leader.rows_in_reach(&copy.attempts(), files * ROWS).await;
        copy.trigger(1, CheckpointKind::Checkpoint);
        copy.complete(1, false).await;
        let all = (0..files).map(|file| (file, once())).collect::<BTreeMap<_, _>>();
        leader.until_true("the checkpoint's rows are committed", || copy.copied() == all).await;
        copy.cancel().await;
        assert_eq!(copy.copied(), all, "{}: nothing was read twice", copy.job);
    }
    task_manager.shutdown().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_canceled_job_leaves_no_part_that_no_checkpoint_can_hold() {
    let directory = tempfile::tempdir().unwrap();
    let (task_manager, leader) = start(2, |_| {}).await;
    let mut copy = Copy::new(directory.path(), "csv", 4, &task_manager, &leader);
    copy.parallelism = 2;
    let parts = || {
        let names = std::fs::read_dir(directory.path().join("out-csv")).unwrap();
        names.filter(|entry| entry.as_ref().unwrap().file_name().to_string_lossy().starts_with(".part-")).count()
    };
    copy.deploy(0..2, None);
    leader.all_ended(&copy.attempts()).await;
    assert_eq!(parts(), 2);
    copy.cancel().await;
    assert_eq!(parts(), 0, "open parts");

    copy.generation = generation(1, 2);
    copy.deploy(0..2, None);
    leader.all_ended(&copy.attempts()).await;
    copy.trigger(1, CheckpointKind::Checkpoint);
    leader.acknowledgements(1, &copy.attempts()).await;
    let (job, attempts, checkpoint) = (copy.job, copy.attempts(), CheckpointId(1));
    leader.send(task_manager.id(), Order::NotifyCheckpointAborted { job, attempts, checkpoint });
    copy.cancel().await;
    assert_eq!(parts(), 0, "parts of an aborted checkpoint");
    task_manager.shutdown().await;
}
