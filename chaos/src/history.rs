//! What happened in a run, as seen from outside: one JSON object a line, so that it can be judged again later, elsewhere.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use serde::{Deserialize, Serialize};
use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;

use crate::workload::CountingJob;

/// Name of the history in a report's directory.
pub const HISTORY_FILE: &str = "history.jsonl";
/// Version of the format.
pub const HISTORY_VERSION: u32 = 1;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// When, in milliseconds since the run began. Of what takes time: when it ended.
    pub at_ms: u64,
    #[serde(flatten)]
    pub what: What,
}

/// What a run is: the first line of its history.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    pub version: u32,
    /// Of the program that ran it.
    pub weir_version: String,
    /// When, in milliseconds since 1970.
    pub started_at_ms: u64,
    /// The command that repeats it.
    pub command: String,
    /// What the plan of faults follows from.
    pub seed: u64,
    /// How long faults were planned for.
    pub duration_ms: u64,
    /// What the JobManagers coordinate through.
    pub coordination: String,
    /// The workload's name.
    pub workload: String,
    /// Names of the JobManagers.
    pub jobmanagers: Vec<String>,
    /// Names of the TaskManagers.
    pub taskmanagers: Vec<String>,
    /// Slots of each TaskManager.
    pub slots: u32,
    /// The job whose output is compared with arithmetic.
    pub counting: CountingJob,
    /// Within how long everything must be well again after the last fault.
    pub recovery_bound_ms: u64,
}

/// The kinds of events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum What {
    /// The first line.
    Run(RunHeader),
    /// A client's call ended, or was given up.
    Call(Call),
    /// A JobManager said who leads.
    Leader {
        /// Which JobManager, and which process of that name, counted from 1.
        seen_by: String,
        /// Who leads, if known.
        name: Option<String>,
        /// The newest epoch known.
        epoch: u64,
        /// Whether it reaches a quorum.
        quorum: bool,
        /// Whether the coordination store is away.
        #[serde(default)]
        away: bool,
    },
    /// The leader described a job.
    Job(JobSeen),
    /// The leader counted TaskManagers and slots.
    Slots {
        taskmanagers: u32,
        total: u32,
        /// Those not granted.
        available: u32,
    },
    /// Committed output of the counting job became more.
    Output { files: u64, bytes: u64 },
    /// A process was started or has ended.
    Process {
        name: String,
        pid: u32,
        /// What happened: `started`, or how it ended.
        state: String,
    },
    /// A fault begins.
    FaultBegan {
        /// Which, from 1.
        fault: u64,
        /// Of which kind.
        nemesis: String,
    },
    /// A fault is mended.
    FaultEnded(Deed),
    /// A kind of fault that this machine or cluster can't have.
    Skipped {
        /// Of which kind.
        nemesis: String,
        why: String,
    },
    /// The run goes on to this part.
    Phase { phase: Phase },
    /// All jobs the cluster knows of in the end.
    FinalJobs { jobs: Vec<FinalJob> },
    /// The files of checkpoints: of one that is complete, or what is left when all jobs have ended.
    Files {
        /// How many files the newest checkpoints name.
        referenced: u64,
        /// Of those, the ones that are not there.
        missing: Vec<String>,
        /// What is there that nobody names, once all jobs have ended; `None` if that was not looked at.
        unreferenced: Option<Vec<String>>,
    },
    /// The processes that there are in the end, besides those that there should be.
    Strangers { pids: Vec<u32> },
    /// Rows of the committed output of the counting job in the end.
    Rows { lines: Vec<String> },
    /// The run itself could not go on.
    Trouble { what: String },
}

/// A part of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// The workload has begun.
    Faults,
    /// Everything is mended.
    Healing,
    /// The jobs end.
    Ending,
    /// Everything has ended and was looked at.
    Done,
    /// The user stopped it: what comes after was not waited for.
    Interrupted,
}

/// A client's call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Which client: one makes one call after the other.
    pub client: String,
    /// When it began.
    pub began_ms: u64,
    /// The submission's token: what job it is about.
    pub key: String,
    /// What was asked.
    pub operation: Operation,
    /// What came of it.
    pub outcome: Outcome,
}

/// What is asked.
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

/// What comes of a call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "kebab-case")]
pub enum Outcome {
    /// It was done.
    Ok {
        job: Option<JobId>,
        /// Its status, if it was described.
        status: Option<JobStatus>,
        /// Epoch of the leader that answered, if it said so.
        epoch: Option<u64>,
    },
    /// There is no such thing.
    NotFound,
    /// It was certainly not done.
    Refused { why: String },
    /// It may have been done.
    Unknown {
        /// Why that is not known.
        why: String,
    },
}

/// A job as described.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JobSeen {
    pub job: JobId,
    /// Epoch of the leader that describes it.
    pub epoch: u64,
    pub status: JobStatus,
    /// Restarts under that leader.
    pub restarts: u32,
    /// Tasks that run.
    pub running: u32,
    pub tasks: u32,
    /// Id of the newest completed checkpoint that this leader knows of.
    pub checkpoint: Option<u64>,
    /// Checkpoints that failed under that leader.
    pub failed: u64,
    /// Id of the checkpoint last restored from, and when.
    pub restored: Option<(u64, i64)>,
    /// Rows that the present attempts of its sources have read.
    pub records: u64,
}

/// A fault that was made and mended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Deed {
    /// Which, from 1.
    pub fault: u64,
    /// Of which kind.
    pub nemesis: String,
    /// When it began.
    pub began_ms: u64,
    pub target: String,
    /// What shows that it bit; `Err` says what was looked for in vain.
    pub footprint: Result<String, String>,
}

/// A job of the final listing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalJob {
    pub job: JobId,
    /// Its name: the token it was submitted with.
    pub name: String,
    pub status: JobStatus,
}

/// A history that grows, in memory and in a file. Clones are the same.
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
    /// A new history in this directory.
    pub fn create(directory: &Path) -> io::Result<Self> {
        std::fs::create_dir_all(directory)?;
        let file = File::create(directory.join(HISTORY_FILE))?;
        Ok(Self { began: Instant::now(), inner: Arc::new(Mutex::new(Inner { file, events: Vec::new(), failed: None })) })
    }

    /// Milliseconds since the run began.
    pub fn now_ms(&self) -> u64 {
        self.began.elapsed().as_millis() as u64
    }

    /// Notes what has just happened.
    pub fn note(&self, what: What) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        // Under the lock, so that times never go back from line to line.
        let event = Event { at_ms: self.now_ms(), what };
        let line = serde_json::to_string(&event).expect("events are plain data") + "\n";
        if let Err(error) = inner.file.write_all(line.as_bytes()) {
            inner.failed.get_or_insert(error);
        }
        inner.events.push(event);
    }

    /// Everything so far.
    pub fn events(&self) -> Vec<Event> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner).events.clone()
    }

    /// Whether every line has been written.
    pub fn finish(&self) -> io::Result<()> {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.failed.take().map_or(Ok(()), Err)
    }
}

/// A run's history, with its header apart.
#[derive(Debug, Clone, PartialEq)]
pub struct History {
    /// What the run was.
    pub header: RunHeader,
    /// What happened, in order.
    pub events: Vec<Event>,
}

impl History {
    /// From all events of a run; the first must be its header.
    pub fn of(events: Vec<Event>) -> Result<Self, String> {
        let Some(Event { what: What::Run(header), .. }) = events.first() else {
            return Err("the history does not begin with the run's header".to_owned());
        };
        if header.version != HISTORY_VERSION {
            return Err(format!("the history has version {}, this program reads {HISTORY_VERSION}", header.version));
        }
        Ok(Self { header: header.clone(), events })
    }

    /// Reads the history of a report's directory. A last line that is cut off (the program was killed) is left out.
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

    /// When the run came to this part.
    pub fn phase_at(&self, wanted: Phase) -> Option<u64> {
        self.events.iter().find_map(|event| match event.what {
            What::Phase { phase } if phase == wanted => Some(event.at_ms),
            _ => None,
        })
    }

    /// What was noted last of those that `pick` picks.
    pub fn last<'a, T>(&'a self, pick: impl Fn(&'a What) -> Option<T>) -> Option<T> {
        self.events.iter().rev().find_map(|event| pick(&event.what))
    }

    /// The faults that were mended.
    pub fn deeds(&self) -> impl Iterator<Item = (u64, &Deed)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::FaultEnded(deed) => Some((event.at_ms, deed)),
            _ => None,
        })
    }

    /// The clients' calls, by their end.
    pub fn calls(&self) -> impl Iterator<Item = (u64, &Call)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Call(call) => Some((event.at_ms, call)),
            _ => None,
        })
    }

    /// What was seen of jobs.
    pub fn jobs(&self) -> impl Iterator<Item = (u64, &JobSeen)> {
        self.events.iter().filter_map(|event| match &event.what {
            What::Job(job) => Some((event.at_ms, job)),
            _ => None,
        })
    }

    /// The job of the counting workload, if its submission was acknowledged.
    pub fn counting_job(&self) -> Option<JobId> {
        self.calls().find_map(|(_, call)| match (&call.operation, &call.outcome) {
            (Operation::Submit, Outcome::Ok { job, .. }) if call.key == COUNTING_KEY => *job,
            _ => None,
        })
    }

    /// Leaders in order: since when each was seen, its name and epoch.
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

/// Token and name of the counting job.
pub const COUNTING_KEY: &str = "counting";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_history_is_read_as_it_was_written_and_a_cut_line_is_left_out() {
        let directory = tempfile::tempdir().unwrap();
        let recorder = Recorder::create(directory.path()).unwrap();
        recorder.note(What::Run(crate::checkers::sample::header()));
        let footprint = Err("nothing".to_owned());
        recorder.note(What::FaultEnded(Deed {
            fault: 1,
            nemesis: "kill-leader".into(),
            began_ms: 0,
            target: "jm-1".into(),
            footprint,
        }));
        let outcome = Outcome::Ok { job: Some(JobId(7)), status: Some(JobStatus::Running), epoch: None };
        let call = Call { client: "c".into(), began_ms: 0, key: "k".into(), operation: Operation::Submit, outcome };
        recorder.note(What::Call(call));
        recorder.finish().unwrap();
        let written = History::of(recorder.events()).unwrap();
        assert_eq!(History::read(directory.path()).unwrap(), written);
        let path = directory.path().join(HISTORY_FILE);
        let mut text = std::fs::read_to_string(&path).unwrap();
        text.truncate(text.len() - 20);
        std::fs::write(&path, &text).unwrap();
        assert_eq!(History::read(directory.path()).unwrap().events, written.events[..2]);
        std::fs::write(&path, text.replace("fault-ended", "nonsense")).unwrap();
        assert!(History::read(directory.path()).is_err());
    }
}
