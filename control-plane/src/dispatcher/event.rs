//! The events of the Dispatcher.

use weir_ha::{JobResult, RecoveredJob, StoreAvailability, StoreError, Submission};
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::JobStatus;

/// Identifies a caller that waits for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What is removed once a job has ended, in this order: pointers before the files that they point to. Each step is
/// idempotent, so that a later leader can start over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CleanupStep {
    /// Remove the completed checkpoints and their files.
    DiscardCheckpoints,
    /// Remove only the pointers to the checkpoints. The files are retained for the user.
    ReleaseCheckpoints,
    /// Remove the job graph.
    JobGraph,
    /// Mark the result as clean: only the result is left.
    MarkClean,
}

/// What the Dispatcher reacts to. `wall_clock_ms` is milliseconds since 1970, for records.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one event at a time")]
pub enum Event {
    /// What a new leader has read from the store. This is the first event, and it occurs once.
    Recovered { jobs: Vec<RecoveredJob>, results: Vec<JobResult> },
    /// A client submits a job.
    Submit {
        ticket: Ticket,
        /// The job, with its id set.
        graph: Box<JobGraph>,
        /// Identifies repetitions of the same submission.
        client_token: Option<String>,
        wall_clock_ms: u64,
    },
    /// The store has answered a submission.
    Persisted { ticket: Ticket, outcome: Result<Submission, StoreError> },
    /// The store was asked again for a job that it may hold.
    Reread {
        job: JobId,
        /// `None` if the store holds no such job.
        outcome: Result<Option<RecoveredJob>, StoreError>,
    },
    /// A client cancels a job.
    Cancel { ticket: Ticket, job: JobId, wall_clock_ms: u64 },
    /// A JobMaster reports that its job has ended.
    JobEnded {
        job: JobId,
        /// A globally terminal status.
        status: JobStatus,
        /// Why the job failed, if it did.
        failure: Option<String>,
        wall_clock_ms: u64,
    },
    /// The store has answered [`super::effect::Effect::StoreResult`].
    ResultStored { job: JobId, outcome: Result<(), StoreError> },
    /// A cleanup step was tried.
    CleanedUp { job: JobId, step: CleanupStep, outcome: Result<(), StoreError> },
    /// The coordination store stopped answering, or answers again.
    Store(StoreAvailability),
    /// Time has passed.
    Tick,
}
