//! The history of a run as seen from outside: one JSON object per line, so that it can be judged again later and elsewhere.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;

use crate::workload::JudgedJob;
use crate::workload::sql::CommittedTable;

/// File name of the history in a report's directory.
pub const HISTORY_FILE: &str = "history.jsonl";
/// Version of the history's format.
pub const HISTORY_VERSION: u32 = 1;

/// One event of a history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the run began. If the event takes time, this is when it ended.
    pub at_ms: u64,
    #[serde(flatten)]
    pub what: What,
}

/// Describes a run: the first line of its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    pub version: u32,
    /// Version of the program that ran it.
    pub weir_version: String,
    /// Milliseconds since 1970.
    pub started_at_ms: u64,
    /// The command that repeats the run.
    pub command: String,
    /// The plan of faults follows from this seed.
    pub seed: u64,
    /// For how long faults were planned.
    pub duration_ms: u64,
    /// What the JobManagers coordinate through.
    pub coordination: String,
    pub workload: String,
    /// Names of the JobManagers.
    pub jobmanagers: Vec<String>,
    /// Names of the TaskManagers.
    pub taskmanagers: Vec<String>,
    /// Number of slots of each TaskManager.
    pub slots: u32,
    /// The job whose output is compared with the computed result.
    #[serde(flatten)]
    pub job: JudgedJob,
    /// The cluster must recover within this time after the last fault.
    pub recovery_bound_ms: u64,
}

/// The kinds of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum What {
    /// The header: always the first line.
    Run(RunHeader),
    /// A client's call ended, or the client gave it up.
    Call(Call),
    /// A JobManager reported who leads.
    Leader {
        /// The JobManager and the number of its process, counted from 1, such as `jm-1/2`.
        seen_by: String,
        /// Name of the leader, if known.
        name: Option<String>,
        /// The newest epoch known.
        epoch: u64,
        /// Whether the JobManager reaches a quorum.
        quorum: bool,
        /// Whether the coordination store is unavailable.
        #[serde(default)]
        away: bool,
    },
    /// The leader described a job.
    Job(JobSeen),
    /// The leader reported its TaskManagers and slots.
    Slots {
        taskmanagers: u32,
        total: u32,
        /// Slots that are not granted.
        available: u32,
    },
    /// The committed output of the judged job grew.
    Output { files: u64, bytes: u64 },
    /// A process was started or has ended.
    Process {
        name: String,
        pid: u32,
        /// `started`, or how the process ended.
        state: String,
    },
    /// A fault begins.
    FaultBegan {
        /// Number of the fault, counted from 1.
        fault: u64,
        /// Name of the kind of fault.
        nemesis: String,
    },
    /// A fault is healed.
    FaultEnded(InjectedFault),
    /// This machine or cluster cannot inject a kind of fault.
    Skipped {
        /// Name of the kind of fault.
        nemesis: String,
        why: String,
    },
    /// The run enters a phase.
    Phase { phase: Phase },
    /// All jobs that the cluster lists at the end.
    FinalJobs { jobs: Vec<FinalJob> },
    /// A look at checkpoint files: those of a completed checkpoint, or those that are left when all jobs have ended.
    Files {
        /// Number of files that the newest checkpoint references.
        referenced: u64,
        /// Referenced files that are missing or too short.
        missing: Vec<String>,
        /// Files that nothing references after all jobs have ended; `None` if the run did not look for them.
        unreferenced: Option<Vec<String>>,
    },
    /// Unexpected processes that run at the end.
    Strangers { pids: Vec<u32> },
    /// Rows of the committed output at the end, of the jobs that count.
    Rows { lines: Vec<String> },
    /// Committed tables of the SQL job at the end.
    Tables { tables: BTreeMap<String, CommittedTable> },
    /// The run itself could not continue.
    Trouble { what: String },
}

/// A phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The workload has begun.
    Faults,
    /// All faults are healed.
    Healing,
    /// The run waits until the jobs end.
    Ending,
    /// All jobs have ended, and the final state is recorded.
    Done,
    /// The user stopped the run: the remaining phases are missing.
    Interrupted,
}

/// One call of a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Name of the client, which makes one call at a time.
    pub client: String,
    /// When the call began, in milliseconds since the run began.
    pub began_ms: u64,
    /// Token of the submission, which identifies the job that the call is about.
    pub key: String,
    pub operation: Operation,
    pub outcome: Outcome,
}

/// What a call asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Operation {
    Submit,
    Describe,
    Cancel,
    /// Take a savepoint.
    Savepoint,
    /// Hand leadership over.
    Transfer,
}

/// The outcome of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// The operation was carried out.
    Ok {
        job: Option<JobId>,
        /// Status of the job, if the call asked for it.
        status: Option<JobStatus>,
        /// Epoch of the leader that answered, if the answer contains it.
        epoch: Option<u64>,
    },
    /// The job does not exist.
    NotFound,
    /// The operation was certainly not carried out.
    Refused { why: String },
    /// The operation may have been carried out.
    Unknown {
        /// Why the outcome is unknown.
        why: String,
    },
}

/// A job as the leader described it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSeen {
    pub job: JobId,
    /// Epoch of the leader that describes it.
    pub epoch: u64,
    pub status: JobStatus,
    /// Number of restarts under that leader.
    pub restarts: u32,
    /// Number of running tasks.
    pub running: u32,
    pub tasks: u32,
    /// Id of the newest completed checkpoint that this leader knows of.
    pub checkpoint: Option<u64>,
    /// Number of checkpoints that failed under that leader.
    pub failed: u64,
    /// Id of the checkpoint that was restored last, and when, in milliseconds since 1970.
    pub restored: Option<(u64, i64)>,
    /// Rows that the current attempts of the sources have read.
    pub records: u64,
}

/// A fault that was injected and healed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct InjectedFault {
    /// Number of the fault, counted from 1.
    pub fault: u64,
    /// Name of the kind of fault.
    pub nemesis: String,
    /// When the fault began, in milliseconds since the run began.
    pub began_ms: u64,
    pub target: String,
    /// What shows that the fault took effect. `Err` says what was looked for but not found.
    pub footprint: Result<String, String>,
}

/// A job in the final listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalJob {
    pub job: JobId,
    /// The token that the job was submitted with.
    pub name: String,
    pub status: JobStatus,
}

/// Records a history in memory and in a file. Clones record the same history.
#[derive(Debug, Clone)]
pub struct Recorder {
    began: Instant,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug)]
struct Inner {
    file: File,
    events: Vec<Event>,
    failed: Option<io::Error>,
}

impl Recorder {
    /// Creates the directory and an empty history in it.
    pub fn create(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let file = File::create(directory.join(HISTORY_FILE))?;
        Ok(Self { began: Instant::now(), inner: Arc::new(Mutex::new(Inner { file, events: Vec::new(), failed: None })) })
    }

    /// Milliseconds since the run began.
    pub fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Records an event that has just happened. A write error is kept for [`Self::finish`].
    pub fn note(&self, what: What) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // Take the time under the lock, so that it never goes back from line to line.
        let event = Event { at_ms: self.now_ms(), what };
        let line = serde_json::to_string(&event).expect("events are plain data") + "\n";
        if let Err(error) = inner.file.write_all(line.as_bytes()) {
            inner.failed.get_or_insert(error);
        }
        inner.events.push(event);
    }

    /// All events so far.
    pub fn events(&self) -> Vec<Event> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).events.clone()
    }

    /// The first write error, if a line could not be written.
    pub fn finish(&self) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.failed.take().map_or(Ok(()), Err)
    }
}

/// The history of a run, and its header.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    pub header: RunHeader,
    /// All events in order, the header included.
    pub events: Vec<Event>,
}

impl History {
    /// Builds a history from all events of a run. Fails unless the first event is a header of this format version.
    pub fn of(events: Vec<Event>) -> Result<Self, String> {
        let Some(Event { what: What::Run(header), .. }) = events.first() else {
            return Err("the history does not begin with the run's header".to_owned());
        };
        if header.version != HISTORY_VERSION {
            return Err(format!("the history has version {}, this program reads {HISTORY_VERSION}", header.version));
        }
        Ok(Self { header: header.clone(), events })
    }

    /// Reads the history in a report's directory. If the last line is incomplete because the program was killed, it is left out.
    pub fn read(directory: &Path) -> io::Result<Self> {
        let path = directory.join(HISTORY_FILE);
        let wrong = |what: String| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {what}", path.display()));
        let file = File::open(&path).map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
        let mut lines = BufReader::new(file).lines().enumerate().peekable();
        let mut events = Vec::new();
        while let Some((number, line)) = lines.next() {
            match serde_json::from_str(&line?) {
                Ok(event) => events.push(event),
                Err(_) if lines.peek().is_none() && number > 0 => break,
                Err(error) => return Err(wrong(format!("line {}: {error}", number + 1))),
            }
        }
        Self::of(events).map_err(wrong)
    }

    /// When the run entered this phase, in milliseconds since it began.
    pub fn phase_at(&self, wanted: Phase) -> Option<u64> {
        self.events.iter().find_map(|event| match event.what {
            What::Phase { phase } if phase == wanted => Some(event.at_ms),
            _ => None,
        })
    }

    /// The value that `pick` returns for the last event that it accepts.
    pub fn last<'a, T>(&'a self, pick: impl Fn(&'a What) -> Option<T>) -> Option<T> {
        self.events.iter().rev().find_map(|event| pick(&event.what))
    }

    /// The injected faults, with the time when each was healed.
    pub fn injected_faults(&self) -> impl Iterator<Item = (u64, &InjectedFault)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::FaultEnded(fault) => Some((event.at_ms, fault)),
            _ => None,
        })
    }

    /// The clients' calls, in the order in which they ended, with that time.
    pub fn calls(&self) -> impl Iterator<Item = (u64, &Call)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Call(call) => Some((event.at_ms, call)),
            _ => None,
        })
    }

    /// The descriptions of jobs, with the time of each.
    pub fn jobs(&self) -> impl Iterator<Item = (u64, &JobSeen)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Job(job) => Some((event.at_ms, job)),
            _ => None,
        })
    }

    /// The judged job, if its submission was acknowledged.
    pub fn judged_job(&self) -> Option<JobId> {
        self.calls().find_map(|(_, call)| match (&call.operation, &call.outcome) {
            (Operation::Submit, Outcome::Ok { job, .. }) if call.key == self.header.job.key() => *job,
            _ => None,
        })
    }

    /// Leaders in order: when each was first seen, its name and its epoch.
    pub fn leaders(&self) -> Vec<(u64, String, u64)> {
        let mut leaders: Vec<(u64, String, u64)> = Vec::new();
        for event in &self.events {
            let What::Leader { name: Some(name), epoch, .. } = &event.what else { continue };
            if leaders.last().is_none_or(|(_, _, newest)| epoch > newest) {
                leaders.push((event.at_ms, name.clone(), *epoch));
            }
        }
        leaders
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_says_which_job_is_judged() {
        use crate::workload::{CountingJob, KafkaJob, SqlJob};
        let jobs = [
            JudgedJob::Counting(CountingJob::lasting(1)),
            JudgedJob::Sql(SqlJob { rows: 5, rows_per_second: 5, parallelism: 1, checkpoint_interval_ms: 100 }),
            JudgedJob::Kafka(KafkaJob { counting: CountingJob::lasting(1), transaction_timeout_ms: 10_000 }),
        ];
        for job in jobs {
            let directory = tempfile::tempdir().unwrap();
            let recorder = Recorder::create(directory.path()).unwrap();
            recorder.note(What::Run(RunHeader { job: job.clone(), ..crate::checkers::sample::header() }));
            recorder.finish().unwrap();
            assert_eq!(History::read(directory.path()).unwrap().header.job, job);
            let text = std::fs::read_to_string(directory.path().join(HISTORY_FILE)).unwrap();
            assert!(text.contains(&format!("\"{}\":{{", job.key())), "{text}");
        }
    }

    #[test]
    fn a_history_is_read_as_it_was_written_and_a_cut_line_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(directory.path()).unwrap();
        recorder.note(What::Run(crate::checkers::sample::header()));
        let footprint = Err("nothing".to_owned());
        recorder.note(What::FaultEnded(InjectedFault {
            fault: 1,
            nemesis: "kill-leader".into(),
            began_ms: 0,
            target: "jm-1".into(),
            footprint,
        }));
        let outcome = Outcome::Ok { job: Some(JobId(7)), status: Some(JobStatus::Running), epoch: None };
        let call = Call { client: "c".into(), began_ms: 0, key: "k".into(), operation: Operation::Submit, outcome };
        recorder.note(What::Call(call));
        let lines = BTreeMap::from([("0".to_owned(), vec!["a,1".to_owned()])]);
        recorder.note(What::Tables { tables: [("t".to_owned(), lines)].into() });
        recorder.finish().unwrap();
        let written = History::of(recorder.events()).unwrap();
        assert_eq!(History::read(directory.path()).unwrap(), written);
        let path = directory.path().join(HISTORY_FILE);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.truncate(text.len() - 20);
        std::fs::write(&path, &text).unwrap();
        assert_eq!(History::read(directory.path()).unwrap().events, written.events[..3]);
        std::fs::write(&path, text.replace("fault-ended", "nonsense")).unwrap();
        assert!(History::read(directory.path()).is_err());
    }
}
