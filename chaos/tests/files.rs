//! Files come and go while processes die or are frozen.

#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "a test harness captures only what the macro prints")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::json;
use weir_chaos::cluster::{ClusterUnderTest, newest_checkpoint};
use weir_chaos::workload::{CountingJob, committed_lines};
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::JobStatus;

/// Rows of each input file.
const ROWS: u64 = 50;

/// Does something again and again in a thread until it is stopped.
struct Doing {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Doing {
    /// `act` gets a number that counts from 0, and returns how much it has done.
    fn start(pause: Duration, mut act: impl FnMut(u64) -> u64 + Send + 'static) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut done = 0;
            for number in 0.. {
                if stopped.load(Ordering::Relaxed) {
                    break;
                }
                done += act(number);
                std::thread::sleep(pause);
            }
            done
        });
        Self { stop, thread }
    }

    /// Stops it. Returns how much it has done.
    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap()
    }
}

/// A directory that complete files are moved into.
#[derive(Clone)]
struct Input {
    directory: PathBuf,
    arrived: Arc<AtomicU64>,
}

impl Input {
    fn new(test: &ClusterUnderTest, files: u64) -> Self {
        let directory = test.directory().join("input");
        std::fs::create_dir(&directory).unwrap();
        let input = Self { directory, arrived: Arc::default() };
        (0..files).for_each(|_| input.arrive());
        input
    }

    fn arrive(&self) {
        let number = self.arrived.fetch_add(1, Ordering::SeqCst);
        let hidden = self.directory.join(format!(".{number}"));
        let rows: String = (number * ROWS..(number + 1) * ROWS).map(|row| format!("{row}\n")).collect();
        std::fs::write(&hidden, rows).unwrap();
        std::fs::rename(hidden, self.directory.join(format!("{number}.csv"))).unwrap();
    }

    fn keeps_arriving(&self) -> Doing {
        let input = self.clone();
        Doing::start(Duration::from_millis(20), move |_| {
            input.arrive();
            1
        })
    }

    /// A job that copies the directory on four subtasks; with `watches` without an end.
    fn copied_to(&self, output: &Path, watches: bool) -> JobGraph {
        let mut source = json!({"path": self.directory, "format": "csv", "header": false,
            "schema": [{"name": "id", "type": "bigint"}]});
        if watches {
            source["monitor_interval_ms"] = json!(50);
        }
        let graph = json!({
            "version": JobGraph::VERSION,
            "name": "copy",
            "vertices": [{
                "id": "copy",
                "parallelism": 4,
                "operators": [
                    {"kind": "source.file", "options": source},
                    {"kind": "sink.file", "options": {"path": output, "format": "csv"}},
                ],
            }],
            "checkpointing": {"interval_ms": 200},
            "restart_strategy": {"type": "fixed-delay", "attempts": 1_000, "delay_ms": 100},
        });
        serde_json::from_value(graph).unwrap()
    }
}

/// For each file of which a row is in the output: how often each row is.
fn copies(output: &Path) -> BTreeMap<u64, Vec<u32>> {
    let mut files = BTreeMap::new();
    for line in committed_lines(output).unwrap_or_default() {
        let row: u64 = line.parse().unwrap();
        files.entry(row / ROWS).or_insert_with(|| vec![0; ROWS as usize])[(row % ROWS) as usize] += 1;
    }
    files
}

fn is_complete_and_nothing_twice(files: &BTreeMap<u64, Vec<u32>>) -> bool {
    files.values().flatten().all(|count| *count == 1)
}

/// How many lists of files are recorded below a directory. They are deleted when a checkpoint is complete.
fn recorded_lists(directory: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(directory) else { return 0 };
    let count = |path: PathBuf| {
        if path.is_dir() { recorded_lists(&path) } else { usize::from(path.extension().is_some_and(|ending| ending == "splits")) }
    };
    entries.filter_map(Result::ok).map(|entry| count(entry.path())).sum()
}

fn runs(test: &ClusterUnderTest, job: JobId) {
    test.await_job(job, "it runs and has a checkpoint", |job| {
        job.status == JobStatus::Running && job.checkpoints.latest_completed.is_some()
    });
}

/// Waits until the endless job has copied what arrived, and checks that it copied nothing twice.
fn copies_everything(test: &ClusterUnderTest, input: &Input, output: &Path) {
    let arrived = input.arrived.load(Ordering::SeqCst);
    let files = test.until("every row of every file is in the output", || {
        let files = copies(output);
        let rows: u64 = files.values().flatten().map(|count| u64::from(*count > 0)).sum();
        (rows == arrived * ROWS).then_some(files)
    });
    assert!(is_complete_and_nothing_twice(&files), "{files:?}");
    println!("{arrived} files");
}

/// Submits a job while one of two TaskManagers, which both must run two of its tasks, is frozen. Files arrive after the others
/// have listed the directory, and before it wakes up.
fn submit_half_frozen(test: &mut ClusterUnderTest, input: &Input, graph: &JobGraph) -> (JobId, Doing) {
    test.until("both TaskManagers are registered", || (test.slots()? == (4, 4)).then_some(()));
    let frozen = test.cluster.taskmanager_names().pop().unwrap();
    test.cluster.pause(&frozen).unwrap();
    let job = test.submit_graph(graph);
    test.until("a list is recorded", || (recorded_lists(test.directory()) > 0).then_some(()));
    let listed = input.arrived.load(Ordering::SeqCst);
    let arriving = input.keeps_arriving();
    test.until("files arrive", || (input.arrived.load(Ordering::SeqCst) > listed + 40).then_some(()));
    test.cluster.resume(&frozen).unwrap();
    (job, arriving)
}

#[test]
fn files_that_arrive_while_half_of_a_source_is_frozen_are_read_once() {
    let mut test = ClusterUnderTest::start(&[]);
    let input = Input::new(&test, 20);
    let output = test.directory().join("copy");
    let (job, arriving) = submit_half_frozen(&mut test, &input, &input.copied_to(&output, false));
    let ended = test.await_job(job, "the job ends", |job| job.status.is_globally_terminal());
    assert!(arriving.stop() > 0);
    assert_eq!(ended.status, JobStatus::Finished, "{:#?}", ended.exceptions);
    let files = copies(&output);
    assert_eq!(files.keys().copied().collect::<Vec<_>>(), (0..20).collect::<Vec<_>>(), "the recorded list has no other files");
    assert!(is_complete_and_nothing_twice(&files), "{files:?}");
}

#[test]
fn files_that_arrive_while_half_of_a_watching_source_is_frozen_are_read_once() {
    let mut test = ClusterUnderTest::start(&[]);
    let input = Input::new(&test, 20);
    let output = test.directory().join("copy");
    let (job, arriving) = submit_half_frozen(&mut test, &input, &input.copied_to(&output, true));
    runs(&test, job);
    // It freezes once more, in the middle of everything, for longer than it counts as alive.
    let before = test.describe(job).unwrap();
    let frozen = test.cluster.taskmanager_names().pop().unwrap();
    test.cluster.pause(&frozen).unwrap();
    test.await_job(job, "the TaskManager counts as lost", |job| job.restarts > before.restarts);
    test.cluster.resume(&frozen).unwrap();
    test.await_progress(job, newest_checkpoint(&before));
    assert!(arriving.stop() > 0);
    copies_everything(&test, &input, &output);
}

#[test]
fn a_watched_directory_is_read_once_while_leaders_and_taskmanagers_die() {
    let mut test = ClusterUnderTest::start(&[]);
    let input = Input::new(&test, 5);
    let output = test.directory().join("copy");
    let job = test.submit_graph(&input.copied_to(&output, true));
    runs(&test, job);
    let arriving = input.keeps_arriving();
    for (round, victim) in [0, 1, 0, 1].into_iter().enumerate() {
        let before = test.describe(job).map_or(0, |job| newest_checkpoint(&job));
        if round % 2 == 0 {
            let (leader, epoch) = test.await_leader_after(0);
            test.cluster.kill(&leader).unwrap();
            test.await_leader_after(epoch);
            test.cluster.restart(&leader).unwrap();
        }
        let victim = test.cluster.taskmanager_names()[victim].clone();
        test.cluster.kill(&victim).unwrap();
        test.cluster.restart(&victim).unwrap();
        test.await_progress(job, before);
    }
    assert!(arriving.stop() > 0);
    copies_everything(&test, &input, &output);
}

/// Takes the visible files of a directory away, as soon as they appear.
fn loader(from: PathBuf, to: PathBuf) -> Doing {
    std::fs::create_dir(&to).unwrap();
    Doing::start(Duration::from_millis(1), move |_| {
        let Ok(entries) = std::fs::read_dir(&from) else { return 0 };
        let names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
        let visible = names.iter().filter(|name| !name.to_string_lossy().starts_with('.'));
        visible.map(|name| std::fs::rename(from.join(name), to.join(name)).map_or(0, |()| 1)).sum()
    })
}

#[test]
fn a_loader_takes_committed_files_while_leaders_and_taskmanagers_die() {
    let mut test = ClusterUnderTest::start(&[]);
    let taken = test.directory().join("taken");
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let loading = loader(test.output(), taken.clone());
    let noticed = |test: &ClusterUnderTest| {
        let names = test.cluster.taskmanager_names();
        names.iter().any(|name| test.log_of(name).contains("a committed part was taken away"))
    };
    let mut round = 0;
    // The sinks look for the parts of the checkpoint that they are restored from: at least once, the loader must have been faster.
    while round < 4 || (round < 20 && !noticed(&test)) {
        let before = test.describe(id).unwrap();
        let names = test.cluster.taskmanager_names();
        test.cluster.kill(&names[round % names.len()]).unwrap();
        if round % 2 == 1 {
            let (leader, epoch) = test.await_leader_after(0);
            test.cluster.kill(&leader).unwrap();
            test.await_leader_after(epoch);
            test.cluster.restart(&leader).unwrap();
        }
        test.cluster.restart(&names[round % names.len()]).unwrap();
        test.await_progress(id, newest_checkpoint(&before));
        round += 1;
    }
    assert!(noticed(&test), "the loader took parts that a restored checkpoint names");
    let count = loading.stop();
    assert!(count > 0);
    // Everything is put back, so that it can be judged.
    let names: BTreeSet<_> = std::fs::read_dir(&taken).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.iter().for_each(|name| std::fs::rename(taken.join(name), test.output().join(name)).unwrap());
    println!("{} files taken, {:?}", names.len(), test.finish(id, &job));
}
