//! A source that watches its directory without an end.

use std::collections::BTreeSet;

use tempfile::TempDir;

use super::*;

/// Longest pause between two listings here.
const INTERVAL_MS: u64 = 100;

fn watched(root: &Path, format: &str) -> Value {
    let mut options = options(root, format);
    options["monitor_interval_ms"] = json!(INTERVAL_MS);
    options
}

/// A job of one vertex, its files, and what its sink has committed.
struct Job {
    place: TempDir,
    options: Value,
    now_ms: u64,
    recorded: Option<Bytes>,
    sources: Vec<FileSource>,
    /// Rows of each subtask since the newest checkpoint.
    pending: Vec<Vec<String>>,
    /// The states of the newest checkpoint; empty if there is none.
    checkpoint: Vec<Bytes>,
    committed: Vec<String>,
    /// Each file that was moved in, with its rows.
    files: Vec<(PathBuf, Vec<String>)>,
    next_row: u64,
}

impl Job {
    fn new() -> Self {
        let place = tempfile::tempdir().unwrap();
        for name in ["in", "in/day=1", "staged"] {
            std::fs::create_dir(place.path().join(name)).unwrap();
        }
        let options = watched(&place.path().join("in"), "csv");
        let (recorded, sources, pending, checkpoint, committed, files) = Default::default();
        Self { place, options, now_ms: 1_000, recorded, sources, pending, checkpoint, committed, files, next_row: 0 }
    }

    fn root(&self) -> PathBuf {
        self.place.path().join("in")
    }

    /// Moves a complete file into the directory.
    fn arrive(&mut self, rows: u64) {
        let number = self.files.len();
        let rows: Vec<_> = (self.next_row..self.next_row + rows).map(|row| format!("{row},r")).collect();
        self.next_row += rows.len() as u64;
        let staged = self.place.path().join("staged/file");
        std::fs::write(&staged, rows.iter().map(|row| format!("{row}\n")).collect::<String>()).unwrap();
        let path =
            self.root().join(if number.is_multiple_of(3) { "day=1" } else { "" }).join(format!("f{}", number * 7919 % 1_000));
        std::fs::rename(staged, &path).unwrap();
        self.files.push((path, rows));
    }

    /// Starts a subtask, from the newest checkpoint or, without one, by the recorded list.
    fn started(&mut self, subtask: u32, parallelism: u32) -> FileSource {
        let mut source = source(&self.options, subtask, parallelism);
        if !self.checkpoint.is_empty() {
            source.restore(restored(&self.checkpoint, subtask, parallelism)).unwrap();
        }
        if source.needs_splits() {
            let recorded = self.recorded.get_or_insert_with(|| source.propose_splits().unwrap());
            source.take_splits(recorded).unwrap();
        }
        source
    }

    /// Starts all subtasks. What ran before has died.
    fn start(&mut self, parallelism: u32) {
        self.sources = (0..parallelism).map(|subtask| self.started(subtask, parallelism)).collect();
        self.pending = vec![Vec::new(); parallelism as usize];
    }

    /// Restarts one subtask alone.
    fn restart_one(&mut self, subtask: usize) {
        let parallelism = self.sources.len();
        if self.checkpoint.is_empty() || self.checkpoint.len() == parallelism {
            self.sources[subtask] = self.started(subtask as u32, parallelism as u32);
            self.pending[subtask].clear();
        }
    }

    fn poll(&mut self, subtask: usize) -> Result<SourcePoll, OperatorError> {
        self.now_ms += 7;
        let polled = self.sources[subtask].poll(self.now_ms, 3)?;
        if let SourcePoll::Batch(batch) = &polled {
            self.pending[subtask].extend(lines(std::slice::from_ref(batch)));
        }
        Ok(polled)
    }

    fn complete_checkpoint(&mut self) {
        self.checkpoint = self.sources.iter_mut().map(|source| state(source.snapshot(&barrier(1)).unwrap())).collect();
        self.committed.extend(self.pending.iter_mut().flat_map(std::mem::take));
    }

    /// Takes away files that the newest checkpoint has read to their end, each `step`-th of them.
    fn take_away(&self, step: usize) {
        let states: Vec<_> = self.checkpoint.iter().map(|state| FileSourceState::decode(state).unwrap()).collect();
        let left: BTreeSet<_> = states.iter().flat_map(|state| &state.splits).filter(|split| split.start < split.end).collect();
        let left: BTreeSet<_> = left.into_iter().map(|split| self.root().join(&split.file)).collect();
        let seen =
            states.iter().flat_map(|state| state.seen.iter().flat_map(SeenFiles::paths)).map(|file| self.root().join(file));
        let read = seen.filter(|path| !left.contains(path) && path.exists());
        read.step_by(step).for_each(|path| std::fs::remove_file(path).unwrap());
    }

    fn is_idle(&self) -> bool {
        self.sources.iter().all(|source| source.splits.as_ref().is_some_and(VecDeque::is_empty))
    }

    /// Polls every subtask through several listings.
    fn settle(&mut self) {
        for _ in 0..4 {
            self.now_ms += INTERVAL_MS;
            (0..self.sources.len()).for_each(|subtask| (0..60).for_each(|_| drop(self.poll(subtask).unwrap())));
        }
        self.complete_checkpoint();
    }

    fn read(&self) -> Vec<String> {
        let mut rows = self.committed.clone();
        rows.sort();
        rows
    }

    fn expected(&self) -> Vec<String> {
        let mut rows: Vec<_> = self.files.iter().flat_map(|(_, rows)| rows.clone()).collect();
        rows.sort();
        rows
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]
    #[test]
    fn every_row_of_every_file_is_read_once_whatever_dies(
        first in 0_u64..4, parallelism in 1_u32..5, steps in proptest::collection::vec((0_u8..12, any::<u8>()), 0..80),
    ) {
        let mut job = Job::new();
        (0..first).for_each(|rows| job.arrive(rows));
        job.start(parallelism);
        for (step, number) in steps {
            let subtask = usize::from(number) % job.sources.len();
            match step {
                0..2 => job.arrive(u64::from(number) % 8),
                2 => job.complete_checkpoint(),
                3 => job.start(1 + u32::from(number) % 5),
                4 => job.restart_one(subtask),
                5 => job.take_away(1 + usize::from(number) % 3),
                6 => job.now_ms += INTERVAL_MS * u64::from(number),
                7 if job.is_idle() => {
                    // The directory disappears for a moment.
                    std::fs::rename(job.root(), job.place.path().join("away")).unwrap();
                    (0..job.sources.len()).for_each(|subtask| drop(job.poll(subtask).unwrap()));
                    std::fs::rename(job.place.path().join("away"), job.root()).unwrap();
                }
                _ => (0..number % 8).for_each(|_| drop(job.poll(subtask).unwrap())),
            }
        }
        job.settle();
        prop_assert_eq!(job.read(), job.expected());
    }
}

#[test]
fn a_rescaled_job_starts_anew_before_its_first_checkpoint_by_the_recorded_list() {
    let mut job = Job::new();
    (0..5).for_each(|_| job.arrive(4));
    job.start(2);
    // Each of these is found by its owner alone, although the list is not made again.
    (0..5).for_each(|_| job.arrive(4));
    (0..40).for_each(|_| drop(job.poll(0).unwrap()));
    job.start(3);
    job.settle();
    assert_eq!(job.read(), job.expected());
}

#[test]
fn between_listings_the_source_rests_for_the_interval() {
    let mut job = Job::new();
    job.arrive(1);
    job.start(1);
    job.settle();
    job.now_ms += INTERVAL_MS;
    let listed = loop {
        let SourcePoll::NothingUntil(until) = job.poll(0).unwrap() else { panic!("there is nothing to read") };
        if until > job.now_ms {
            assert_eq!(until, job.now_ms + INTERVAL_MS);
            break job.now_ms;
        }
    };
    job.arrive(1);
    while job.now_ms + 7 < listed + INTERVAL_MS {
        assert!(matches!(job.poll(0).unwrap(), SourcePoll::NothingUntil(until) if until == listed + INTERVAL_MS));
    }
    job.settle();
    assert_eq!(job.read(), job.expected());
}

#[test]
fn listings_of_many_names_are_rarer() {
    let mut job = Job::new();
    for number in 0..3_000 {
        std::fs::write(job.root().join(format!(".hidden-{number}")), "").unwrap();
    }
    job.start(1);
    let rest = loop {
        match job.poll(0).unwrap() {
            SourcePoll::NothingUntil(until) if until > job.now_ms => break until - job.now_ms,
            SourcePoll::NothingUntil(_) => {}
            _ => panic!("there is nothing to read"),
        }
    };
    assert!((300..310).contains(&rest), "{rest}");
}

#[test]
fn a_file_under_a_name_that_was_read_is_refused_and_a_hidden_one_waits() {
    for change in ["longer", "other time", "shorter"] {
        let mut job = Job::new();
        job.arrive(3);
        job.start(1);
        job.settle();
        let hidden = job.root().join(".f5");
        std::fs::write(&hidden, "100,r\n").unwrap();
        job.settle();
        assert_eq!(job.read(), job.expected());
        std::fs::rename(hidden, job.root().join("f5")).unwrap();
        job.settle();
        assert_eq!(job.read().len(), 4, "it has a visible name now");
        let path = job.files[0].0.clone();
        match change {
            "longer" => std::fs::write(&path, "0,r\n1,r\n2,r\n3,r\n").unwrap(),
            "shorter" => std::fs::write(&path, "").unwrap(),
            _ => File::options().write(true).open(&path).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap(),
        }
        job.now_ms += INTERVAL_MS;
        let error = (0..20).find_map(|_| job.poll(0).err()).expect("it is noticed");
        assert!(error.code == "SOURCE-FILE-CHANGED" && error.message.contains(path.to_str().unwrap()), "{error}");
        // A restart does not make it another file.
        job.start(2);
        job.now_ms += INTERVAL_MS;
        let again = (0..40).find_map(|poll| job.poll(poll % 2).err()).expect("it is noticed");
        assert_eq!(again.code, "SOURCE-FILE-CHANGED");
    }
}

#[test]
fn a_file_that_is_taken_away_once_read_is_forgotten_after_an_hour() {
    let mut job = Job::new();
    job.arrive(3);
    job.start(1);
    job.settle();
    job.arrive(2);
    job.settle();
    job.take_away(1);
    job.settle();
    job.start(3);
    job.settle();
    let seen = |job: &Job| job.sources.iter().flat_map(|source| source.discovery.as_ref().unwrap().seen().paths()).count();
    assert_eq!(seen(&job), 2);
    job.now_ms += super::super::seen::FORGET_MS;
    job.settle();
    assert_eq!((seen(&job), job.read()), (0, job.expected()));
}

#[test]
fn a_file_that_disappears_unread_is_an_error() {
    let mut job = Job::new();
    job.start(1);
    job.arrive(3);
    while job.is_idle() {
        job.poll(0).unwrap();
    }
    std::fs::remove_file(&job.files[0].0).unwrap();
    assert_eq!(job.poll(0).unwrap_err().code, "SOURCE-FILE-GONE");
}

#[test]
fn a_directory_that_is_missing_is_an_error_only_at_the_start() {
    let mut job = Job::new();
    job.arrive(1);
    std::fs::rename(job.root(), job.place.path().join("away")).unwrap();
    assert_eq!(source(&job.options, 0, 1).propose_splits().unwrap_err().code, "SOURCE-PATH");
    std::fs::rename(job.place.path().join("away"), job.root()).unwrap();
    job.start(1);
    job.settle();
    std::fs::rename(job.root(), job.place.path().join("away")).unwrap();
    // Also a task that starts meanwhile waits for it.
    job.start(1);
    job.settle();
    std::fs::rename(job.place.path().join("away"), job.root()).unwrap();
    job.arrive(2);
    job.settle();
    assert_eq!(job.read(), job.expected());
}

#[test]
fn a_path_that_is_a_file_is_read_once_and_watched() {
    let mut job = Job::new();
    job.arrive(5);
    job.options["path"] = json!(job.files[0].0);
    job.start(3);
    job.settle();
    job.start(2);
    job.settle();
    assert_eq!(job.read(), job.expected());
}

#[test]
fn every_format_is_watched() {
    for (format, name) in (0..3).map(format_of) {
        let directory = tempfile::tempdir().unwrap();
        let mut source = source(&watched(directory.path(), name), 0, 1);
        begin(&mut source).unwrap();
        let expected = write_files(directory.path(), format, 3, 20);
        let mut seen = Vec::new();
        for now_ms in 0..200 {
            if let SourcePoll::Batch(batch) = source.poll(now_ms, 3).unwrap() {
                seen.extend(lines(&[batch]));
            }
        }
        seen.sort();
        assert_eq!(seen, expected, "{name}");
    }
}

#[test]
fn a_state_that_does_not_say_what_was_read_is_refused_and_a_source_can_be_made_to_end() {
    let mut job = Job::new();
    job.arrive(5);
    let endless = job.options.clone();
    let ends = options(&job.root(), "csv");
    job.options = ends.clone();
    job.start(1);
    job.complete_checkpoint();
    let refused = source(&endless, 0, 1).restore(restored(&job.checkpoint, 0, 1)).unwrap_err();
    assert!(refused.code == "SOURCE-STATE" && refused.message.contains("monitor_interval_ms"), "{refused}");
    job.checkpoint.clear();
    job.options = endless;
    job.start(1);
    job.complete_checkpoint();
    job.options = ends;
    job.start(2);
    let rows: usize = job.sources.iter_mut().map(|source| lines(&drain(source, 3, usize::MAX).unwrap()).len()).sum();
    assert_eq!(rows, 5);
}

#[test]
fn an_interval_of_zero_is_refused() {
    let mut options = options(Path::new("/x"), "csv");
    options["monitor_interval_ms"] = json!(0);
    let built = FileSource::new(&descriptor("source.file", options), &context(0, 1, 1, vec![]));
    assert_eq!(built.err().map(|error| error.code), Some("CONN-OPTION"));
}
