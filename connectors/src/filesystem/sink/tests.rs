use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use arrow_array::Int64Array;
use arrow_array::cast::AsArray;
use arrow_array::types::Int64Type;
use arrow_schema::{DataType, Field, Schema};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::testing::{NoOutput, barrier, context, descriptor, drain, restored, state};

fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, false)]))
}

fn sink(directory: &Path, format: Format, subtask: u32, parallelism: u32, attempt: u32) -> FileSink {
    let options = json!({"path": directory, "format": format.extension()});
    FileSink::new(&descriptor("sink.file", options), &context(subtask, parallelism, attempt, vec![schema()])).unwrap()
}

fn write(sink: &mut FileSink, rows: std::ops::Range<i64>) {
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from_iter_values(rows))]).unwrap();
    sink.process(0, batch, &mut NoOutput).unwrap();
}

/// The rows that a reader of the directory sees. The reader is our file source, which skips hidden names.
fn visible(directory: &Path, format: Format) -> Vec<i64> {
    if !directory.exists() {
        return Vec::new();
    }
    let options = json!({"path": directory, "format": format.extension(), "schema": [{"name": "id", "type": "bigint"}]});
    let built = crate::filesystem::source::build(&descriptor("source.file", options), &context(0, 1, 1, vec![])).unwrap();
    let BuiltOperator::Source(mut source, _) = built else { panic!("not a source") };
    let batches = drain(source.as_mut(), 1000, usize::MAX).unwrap();
    let mut rows: Vec<_> =
        batches.iter().flat_map(|batch| batch.column(0).as_primitive::<Int64Type>().values().to_vec()).collect();
    rows.sort_unstable();
    rows
}

/// The parts that no reader sees.
fn hidden(directory: &Path) -> Vec<String> {
    names_in(directory).unwrap().into_iter().filter(|name| name.starts_with(".part-")).collect()
}

/// Takes all visible parts away, as a loader does.
fn take_away(directory: &Path) -> usize {
    let names: Vec<_> = names_in(directory).unwrap().into_iter().filter(|name| name.starts_with("part-")).collect();
    names.iter().for_each(|name| std::fs::remove_file(directory.join(name)).unwrap());
    names.len()
}

/// A job with only a sink. Its rows are numbers. After a crash they are replayed from the last completed checkpoint.
struct Job<'a> {
    directory: &'a Path,
    format: Format,
    attempt: u32,
    checkpoint: u64,
    next_row: i64,
    sinks: Vec<FileSink>,
    /// Attempts that were declared dead but still run.
    zombies: Vec<(FileSink, Option<u64>)>,
    taken: Option<Completed>,
    completed: Option<Completed>,
}

#[derive(Clone)]
struct Completed {
    id: u64,
    next_row: i64,
    states: Vec<Bytes>,
}

#[derive(Debug, Clone)]
enum Step {
    Write { subtask: usize, rows: i64 },
    Snapshot,
    Complete,
    Notify { who: u8 },
    Abort,
    Crash { parallelism: u32, restored: u8 },
    ZombieWakes,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        4 => (0_usize..4, 0_i64..5).prop_map(|(subtask, rows)| Step::Write { subtask, rows }),
        3 => Just(Step::Snapshot),
        3 => Just(Step::Complete),
        2 => any::<u8>().prop_map(|who| Step::Notify { who }),
        1 => Just(Step::Abort),
        2 => (1_u32..4, prop_oneof![Just(u8::MAX), any::<u8>()]).prop_map(|(parallelism, restored)| Step::Crash { parallelism, restored }),
        1 => Just(Step::ZombieWakes),
    ];
    proptest::collection::vec(step, 0..40)
}

impl Job<'_> {
    fn step(&mut self, step: &Step) {
        match step {
            Step::Write { subtask, rows } => {
                let subtask = subtask % self.sinks.len();
                write(&mut self.sinks[subtask], self.next_row..self.next_row + rows);
                self.next_row += rows;
            }
            Step::Snapshot => {
                self.checkpoint += 1;
                let states = self.sinks.iter_mut().map(|sink| state(sink.snapshot(&barrier(self.checkpoint)).unwrap())).collect();
                self.taken = Some(Completed { id: self.checkpoint, next_row: self.next_row, states });
            }
            Step::Complete => {
                if let Some(taken) = self.taken.take() {
                    self.completed = Some(taken);
                }
            }
            Step::Notify { who } => {
                let Some(completed) = &self.completed else { return };
                // Attempts are only notified of a checkpoint of their own.
                for (index, sink) in self.sinks.iter_mut().enumerate().filter(|(index, _)| who & (1 << index) != 0) {
                    sink.notify_checkpoint_complete(CheckpointId(completed.id))
                        .unwrap_or_else(|error| panic!("{index}: {error}"));
                }
            }
            Step::Abort => {
                if self.taken.take().is_none() {
                    return;
                }
                self.sinks.iter_mut().for_each(|sink| sink.notify_checkpoint_aborted(CheckpointId(self.checkpoint)));
            }
            Step::Crash { parallelism, restored } => self.restart(*parallelism, *restored),
            Step::ZombieWakes => {
                for (mut zombie, completed) in std::mem::take(&mut self.zombies) {
                    if let Some(completed) = completed {
                        zombie.notify_checkpoint_complete(CheckpointId(completed)).unwrap();
                    }
                    write(&mut zombie, 1_000_000..1_000_003);
                    zombie.snapshot(&barrier(1_000_000)).unwrap();
                }
            }
        }
    }

    /// Restarts twice from the last completed checkpoint. In the first restart, only the subtasks in `restored_mask` are restored
    /// before the next crash.
    fn restart(&mut self, parallelism: u32, restored_mask: u8) {
        let known = self.completed.as_ref().map(|completed| completed.id);
        self.zombies.extend(self.sinks.drain(..).map(|sink| (sink, known)));
        self.taken = None;
        self.next_row = self.completed.as_ref().map_or(0, |completed| completed.next_row);
        for mask in [restored_mask, u8::MAX] {
            self.attempt += 1;
            self.sinks = (0..parallelism)
                .filter(|subtask| mask & (1 << subtask) != 0)
                .map(|subtask| {
                    let mut sink = sink(self.directory, self.format, subtask, parallelism, self.attempt);
                    if let Some(completed) = &self.completed {
                        sink.restore(restored(&completed.states, subtask, parallelism)).unwrap();
                    }
                    sink
                })
                .collect();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_reader_sees_each_row_once_after_any_steps(format in 0_usize..3, steps in steps()) {
        let directory = tempfile::tempdir().unwrap();
        let format = [Format::Csv, Format::Json, Format::Parquet][format];
        let mut job = Job {
            directory: directory.path(), format, attempt: 1, checkpoint: 0, next_row: 0,
            sinks: vec![sink(directory.path(), format, 0, 2, 1), sink(directory.path(), format, 1, 2, 1)],
            zombies: Vec::new(), taken: None, completed: None,
        };
        for step in &steps {
            job.step(step);
            let seen = visible(directory.path(), format);
            let completed = job.completed.as_ref().map_or(0, |completed| completed.next_row);
            prop_assert!(seen.windows(2).all(|pair| pair[0] < pair[1]), "twice: {seen:?}");
            prop_assert!(seen.last().is_none_or(|row| *row < completed), "not complete: {seen:?}");
        }
        for step in [Step::Snapshot, Step::Complete, Step::Notify { who: u8::MAX }] {
            job.step(&step);
        }
        prop_assert_eq!(visible(directory.path(), format), (0..job.next_row).collect::<Vec<_>>());
        // Without zombies, one more restart at any parallelism leaves no hidden file.
        job.zombies.clear();
        job.restart(1, u8::MAX);
        prop_assert_eq!(hidden(directory.path()), Vec::<String>::new());
        prop_assert_eq!(visible(directory.path(), format), (0..job.next_row).collect::<Vec<_>>());
    }

    #[test]
    fn arbitrary_state_is_an_error_and_never_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        let directory = tempfile::tempdir().unwrap();
        let mut sink = sink(directory.path(), Format::Csv, 0, 1, 1);
        prop_assert_eq!(sink.restore(restored(&[Bytes::from(bytes)], 0, 1)).unwrap_err().code, "SINK-STATE");
    }
}

#[test]
fn a_checkpoint_without_rows_creates_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = sink(directory.path(), Format::Parquet, 0, 1, 1);
    write(&mut sink, 0..0);
    sink.snapshot(&barrier(1)).unwrap();
    sink.notify_checkpoint_complete(CheckpointId(1)).unwrap();
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn an_aborted_checkpoint_is_covered_by_the_next() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = sink(directory.path(), Format::Csv, 0, 1, 1);
    write(&mut sink, 0..3);
    sink.snapshot(&barrier(1)).unwrap();
    sink.notify_checkpoint_aborted(CheckpointId(1));
    write(&mut sink, 3..5);
    sink.snapshot(&barrier(2)).unwrap();
    write(&mut sink, 5..6);
    sink.notify_checkpoint_complete(CheckpointId(2)).unwrap();
    sink.notify_checkpoint_complete(CheckpointId(2)).unwrap();
    assert_eq!(visible(directory.path(), Format::Csv), [0, 1, 2, 3, 4]);
    assert_eq!(hidden(directory.path()).len(), 1);
}

#[test]
fn every_csv_file_has_a_header_unless_it_is_turned_off() {
    for (header, expected) in [(true, "id\n0\n1\n"), (false, "0\n1\n")] {
        let directory = tempfile::tempdir().unwrap();
        let options = json!({"path": directory.path().join("new/one"), "format": "csv", "header": header});
        let mut sink = FileSink::new(&descriptor("sink.file", options), &context(0, 1, 1, vec![schema()])).unwrap();
        write(&mut sink, 0..2);
        sink.snapshot(&barrier(1)).unwrap();
        sink.notify_checkpoint_complete(CheckpointId(1)).unwrap();
        let directory = directory.path().join("new/one");
        let names = names_in(&directory).unwrap();
        let name = names.iter().find(|name| !name.starts_with('.')).unwrap();
        assert!(name.starts_with("part-0-1-1-1-0-"));
        assert_eq!(std::fs::read_to_string(directory.join(name)).unwrap(), expected);
    }
}

#[test]
fn a_pre_committed_file_that_is_missing_or_truncated_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = sink(directory.path(), Format::Csv, 0, 1, 1);
    write(&mut first, 0..3);
    let saved = state(first.snapshot(&barrier(1)).unwrap());
    let path = directory.path().join(&hidden(directory.path())[0]);
    std::fs::write(&path, "id\n0\n").unwrap();
    let restore = || sink(directory.path(), Format::Csv, 0, 1, 2).restore(restored(std::slice::from_ref(&saved), 0, 1));
    assert_eq!(restore().unwrap_err().code, "SINK-LOST");
    std::fs::remove_file(&path).unwrap();
    let error = restore().unwrap_err();
    assert!(error.code == "SINK-LOST" && error.message.contains("3 rows of checkpoint 1 are lost"), "{error}");
    assert_eq!(first.notify_checkpoint_complete(CheckpointId(1)).unwrap_err().code, "SINK-LOST");
}

#[test]
fn a_part_that_was_committed_and_then_taken_away_is_no_loss() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = sink(directory.path(), Format::Csv, 0, 1, 1);
    write(&mut first, 0..3);
    let saved = state(first.snapshot(&barrier(1)).unwrap());
    first.notify_checkpoint_complete(CheckpointId(1)).unwrap();
    assert_eq!(take_away(directory.path()), 1);
    // A failover of the job, before its next checkpoint.
    let mut second = sink(directory.path(), Format::Csv, 0, 1, 2);
    second.restore(restored(std::slice::from_ref(&saved), 0, 1)).unwrap();
    write(&mut second, 3..5);
    let later = state(second.snapshot(&barrier(2)).unwrap());
    // This attempt ends without notice. The next one commits, and its part is taken away, too.
    sink(directory.path(), Format::Csv, 0, 1, 3).restore(restored(std::slice::from_ref(&later), 0, 1)).unwrap();
    assert_eq!(take_away(directory.path()), 1);
    sink(directory.path(), Format::Csv, 0, 1, 4).restore(restored(&[later], 0, 1)).unwrap();
    assert_eq!(names_in(directory.path()).unwrap().iter().filter(|name| name.starts_with(".commit-")).count(), 1);
    // A part of a newer checkpoint than the recorded one was never committed, so it is lost.
    let mut fifth = sink(directory.path(), Format::Csv, 0, 1, 5);
    fifth.restore(restored(&[saved], 0, 1)).unwrap();
    write(&mut fifth, 5..6);
    let lost = state(fifth.snapshot(&barrier(3)).unwrap());
    std::fs::remove_file(directory.path().join(&hidden(directory.path())[0])).unwrap();
    let error = sink(directory.path(), Format::Csv, 0, 1, 6).restore(restored(std::slice::from_ref(&lost), 0, 1)).unwrap_err();
    assert!(error.code == "SINK-LOST" && error.message.contains("on_missing"), "{error}");
    let options = json!({"path": directory.path(), "format": "csv", "on_missing": "continue"});
    let mut seventh = FileSink::new(&descriptor("sink.file", options), &context(0, 1, 7, vec![schema()])).unwrap();
    seventh.restore(restored(&[lost], 0, 1)).unwrap();
}

#[test]
fn a_savepoint_that_is_resumed_with_another_path_commits_where_its_parts_are() {
    let root = tempfile::tempdir().unwrap();
    let (former, new) = (root.path().join("former"), root.path().join("new"));
    let mut first = sink(&former, Format::Csv, 0, 1, 1);
    write(&mut first, 0..3);
    let saved = state(first.snapshot(&barrier(1)).unwrap());
    let resume = |attempt| {
        let mut sink = sink(&new, Format::Csv, 0, 1, attempt);
        sink.restore(restored(std::slice::from_ref(&saved), 0, 1)).unwrap();
        sink
    };
    let mut second = resume(2);
    assert_eq!((visible(&former, Format::Csv), visible(&new, Format::Csv)), (vec![0, 1, 2], vec![]));
    write(&mut second, 3..4);
    take_away(&former);
    drop(resume(3));
}

#[test]
fn an_attempt_that_ends_leaves_only_parts_that_a_checkpoint_may_hold() {
    let directory = tempfile::tempdir().unwrap();
    let mut canceled = sink(directory.path(), Format::Csv, 0, 1, 1);
    write(&mut canceled, 0..3);
    drop(canceled);
    assert_eq!(hidden(directory.path()), Vec::<String>::new());
    let mut canceled = sink(directory.path(), Format::Csv, 0, 1, 1);
    for checkpoint in 1..4 {
        write(&mut canceled, 0..3);
        canceled.snapshot(&barrier(checkpoint)).unwrap();
    }
    write(&mut canceled, 0..3);
    // Checkpoint 2 may be complete, and would hold the parts of 1 and 2.
    canceled.notify_checkpoint_aborted(CheckpointId(1));
    canceled.notify_checkpoint_aborted(CheckpointId(3));
    let kept: Vec<_> = canceled.pending[..2].iter().map(|transaction| transaction.hidden.clone()).collect();
    drop(canceled);
    let mut left = hidden(directory.path());
    left.sort();
    assert_eq!(left, kept);
}

#[test]
fn parts_become_durable_in_the_background_and_a_failure_is_never_forgotten() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = sink(&directory.path().join("out"), Format::Csv, 0, 1, 1);
    let mut take = |checkpoint| {
        write(&mut sink, 0..3);
        sink.snapshot(&barrier(checkpoint))
    };
    // The snapshot of checkpoint 1 is never written, so that of checkpoint 2 syncs both parts.
    drop(take(1).unwrap());
    let work = take(2).unwrap().before_durable.unwrap();
    work().unwrap();
    let work = take(3).unwrap().before_durable.unwrap();
    std::fs::remove_dir_all(directory.path().join("out")).unwrap();
    let error = work().unwrap_err();
    assert!(error.code == "SINK-IO" && error.retryable, "{error}");
    std::fs::create_dir(directory.path().join("out")).unwrap();
    assert_eq!(sink.snapshot(&barrier(4)).err().map(|error| error.code), Some("SINK-IO"));
}

fn sink_of(job: u128, directory: &Path, shared: bool, attempt: u32) -> FileSink {
    let options = json!({"path": directory, "format": "csv", "shared": shared});
    let mut context = context(0, 1, attempt, vec![schema()]);
    context.attempt.job = weir_protocol::JobId(job << 100);
    FileSink::new(&descriptor("sink.file", options), &context).unwrap()
}

fn try_write(sink: &mut FileSink) -> Result<(), OperatorError> {
    let batch = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
    sink.process(0, batch, &mut NoOutput)
}

#[test]
fn a_directory_with_the_output_of_another_job_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = sink_of(1, directory.path(), false, 1);
    write(&mut first, 0..3);
    let saved = state(first.snapshot(&barrier(1)).unwrap());
    let error = try_write(&mut sink_of(2, directory.path(), false, 1)).unwrap_err();
    assert!(error.code == "SINK-SHARED" && !error.retryable && error.message.contains("\"shared\": true"), "{error}");
    // Another attempt of the same job, and a job that agrees to share.
    sink_of(1, directory.path(), false, 2).restore(restored(std::slice::from_ref(&saved), 0, 1)).unwrap();
    try_write(&mut sink_of(2, directory.path(), true, 1)).unwrap();
    // A job that continues the first from its savepoint takes the directory over. If the first still runs, it fails before it
    // hands over rows.
    let mut heir = sink_of(3, directory.path(), false, 1);
    heir.restore(restored(std::slice::from_ref(&saved), 0, 1)).unwrap();
    write(&mut heir, 3..4);
    write(&mut first, 3..4);
    assert_eq!(first.snapshot(&barrier(2)).err().map(|error| error.code), Some("SINK-SHARED"));
    // Now the heir's output is there, so the savepoint can't be continued there a second time.
    let error = sink_of(4, directory.path(), false, 1).restore(restored(&[saved], 0, 1)).unwrap_err();
    assert_eq!(error.code, "SINK-SHARED");
}

#[test]
fn a_directory_in_which_another_job_left_nothing_is_free() {
    let directory = tempfile::tempdir().unwrap();
    let mut failed = sink_of(1, directory.path(), false, 1);
    write(&mut failed, 0..3);
    drop(failed);
    let mut next = sink_of(2, directory.path(), false, 1);
    write(&mut next, 0..3);
    next.snapshot(&barrier(1)).unwrap();
    next.notify_checkpoint_complete(CheckpointId(1)).unwrap();
    take_away(directory.path());
    // The record of its commit is left, so it may still run.
    assert_eq!(try_write(&mut sink_of(3, directory.path(), false, 1)).unwrap_err().code, "SINK-SHARED");
}

#[test]
fn of_two_jobs_that_begin_at_once_one_gets_the_directory() {
    for _ in 0..20 {
        let directory = tempfile::tempdir().unwrap();
        let barrier_of_threads = std::sync::Barrier::new(2);
        let begin = |job| {
            let mut sink = sink_of(job, directory.path(), false, 1);
            barrier_of_threads.wait();
            let begun = try_write(&mut sink).and_then(|()| sink.snapshot(&barrier(1)).map(drop));
            barrier_of_threads.wait();
            begun.map_err(|error| error.code)
        };
        let (one, two) = std::thread::scope(|scope| {
            let one = scope.spawn(|| begin(1));
            (begin(2), one.join().unwrap())
        });
        assert!(!(one.is_ok() && two.is_ok()), "both got it");
        assert!([one, two].iter().all(|begun| matches!(begun, Ok(()) | Err("SINK-SHARED"))));
    }
}

#[test]
fn a_visible_file_is_never_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let mut first = sink(directory.path(), Format::Csv, 0, 1, 1);
    write(&mut first, 0..3);
    first.snapshot(&barrier(1)).unwrap();
    std::fs::write(directory.path().join(&first.pending[0].visible), "precious").unwrap();
    assert_eq!(first.notify_checkpoint_complete(CheckpointId(1)).unwrap_err().code, "SINK-CONFLICT");
    assert_eq!(std::fs::read_to_string(directory.path().join(&first.pending[0].visible)).unwrap(), "precious");
}

#[test]
fn a_state_with_names_outside_the_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut sink = sink(directory.path(), Format::Csv, 0, 1, 2);
    let forged = json!({"version": 1, "pending": [
        {"checkpoint": 1, "hidden": ".part-/../../etc/passwd", "visible": "part-x", "bytes": 0, "rows": 0}]});
    let error = sink.restore(restored(&[Bytes::from(forged.to_string())], 0, 1)).unwrap_err();
    assert_eq!(error.code, "SINK-STATE");
}

#[test]
fn an_unwritable_path_is_an_error_with_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let batch = || RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(vec![1]))]).unwrap();
    let error = sink(&file, Format::Csv, 0, 1, 1).process(0, batch(), &mut NoOutput).unwrap_err();
    assert!(error.code == "SINK-PATH" && !error.retryable && error.message.contains("/file"), "{error}");
    // Every write to this device fails because it is full.
    let mut part = OpenPart::on(
        File::options().write(true).open("/dev/full").unwrap(),
        "/dev/full".into(),
        &PartFormat::Csv { style: Default::default(), header: true },
        &schema(),
    )
    .unwrap();
    part.write(&batch(), 0).unwrap();
    let error = part.finish().unwrap_err();
    assert!(error.code == "SINK-IO" && error.retryable && error.message.contains("/dev/full"), "{error}");
}

#[test]
fn names_of_subtasks_attempts_checkpoints_and_parts_are_distinct() {
    let mut seen = BTreeMap::new();
    for (subtask, attempt, checkpoint, number) in [(0, 1, 1, 0), (1, 1, 1, 0), (0, 2, 1, 0), (0, 1, 2, 0), (0, 1, 1, 1)] {
        let names = PartNames::new(&context(subtask, 2, attempt, vec![]).attempt, "csv");
        assert_eq!(seen.insert(names.visible(number, CheckpointId(checkpoint)), ()), None);
    }
    assert_eq!(seen.len(), 5);
}

#[test]
fn changes_are_written_with_their_kind_in_every_format() {
    let with_kind = Schema::new(vec![Field::new("id", DataType::Int64, false), weir_dataflow::changelog::kind_field()]);
    let changes: Vec<arrow_array::ArrayRef> =
        vec![Arc::new(Int64Array::from(vec![1, 1, 2, 3])), Arc::new(arrow_array::Int8Array::from(vec![0, 1, 2, 3]))];
    let changes = RecordBatch::try_new(Arc::new(with_kind), changes).unwrap();
    let plain = RecordBatch::try_new(schema(), vec![Arc::new(Int64Array::from(vec![5]))]).unwrap();
    for (batch, expected) in [(changes, "1,+I\n1,-U\n2,+U\n3,-D\n"), (plain, "5,+I\n")] {
        for format in ["csv", "json", "parquet"] {
            let directory = tempfile::tempdir().unwrap();
            let options = json!({"path": directory.path(), "format": format, "kind_column": "op"});
            let context = self::context(0, 1, 1, vec![batch.schema()]);
            let mut sink = FileSink::new(&descriptor("sink.file", options), &context).unwrap();
            sink.process(0, batch.clone(), &mut NoOutput).unwrap();
            sink.snapshot(&barrier(1)).unwrap().before_durable.unwrap()().unwrap();
            sink.notify_checkpoint_complete(CheckpointId(1)).unwrap();
            let columns = json!([{"name": "id", "type": "bigint"}, {"name": "op", "type": "string"}]);
            let options = json!({"path": directory.path(), "format": format, "schema": columns});
            let source = crate::filesystem::source::build(&descriptor("source.file", options), &self::context(0, 1, 1, vec![]));
            let BuiltOperator::Source(mut source, _) = source.unwrap() else { panic!("not a source") };
            let rows = drain(source.as_mut(), 1000, usize::MAX).unwrap();
            let mut text = String::new();
            for batch in rows {
                for row in 0..batch.num_rows() {
                    let id = batch.column(0).as_primitive::<Int64Type>().value(row);
                    text.push_str(&format!("{id},{}\n", batch.column(1).as_string::<i32>().value(row)));
                }
            }
            assert_eq!(text, expected, "{format}");
        }
    }
    let taken = json!({"path": "/nowhere", "format": "csv", "kind_column": "id"});
    let refused = FileSink::new(&descriptor("sink.file", taken), &context(0, 1, 1, vec![schema()]));
    assert_eq!(refused.err().map(|error| error.code), Some("CONN-OPTION"));
}
