use std::collections::BTreeMap;
use std::fs::File;

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

fn hidden(directory: &Path) -> Vec<String> {
    let names = std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with('.')).collect()
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
                self.taken = None;
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
        let entry = std::fs::read_dir(directory.path().join("new/one")).unwrap().next().unwrap().unwrap();
        assert!(entry.file_name().into_string().unwrap().starts_with("part-0-1-1-1-0-"));
        assert_eq!(std::fs::read_to_string(entry.path()).unwrap(), expected);
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
    let mut part =
        OpenPart::on(File::options().write(true).open("/dev/full").unwrap(), "/dev/full".into(), Format::Csv, true, &schema())
            .unwrap();
    part.write(&batch()).unwrap();
    let error = part.finish().unwrap_err();
    assert!(error.code == "SINK-IO" && error.retryable && error.message.contains("/dev/full"), "{error}");
}

#[test]
fn names_of_subtasks_attempts_checkpoints_and_parts_are_distinct() {
    let mut seen = BTreeMap::new();
    for (subtask, attempt, checkpoint, number) in [(0, 1, 1, 0), (1, 1, 1, 0), (0, 2, 1, 0), (0, 1, 2, 0), (0, 1, 1, 1)] {
        let names = PartNames::new(&context(subtask, 2, attempt, vec![]).attempt, Format::Csv);
        assert_eq!(seen.insert(names.visible(number, CheckpointId(checkpoint)), ()), None);
    }
    assert_eq!(seen.len(), 5);
}
