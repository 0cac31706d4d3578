//! What happens to the Dispatcher.

use weir_ha::{JobResult, RecoveredJob, StoreAvailability, StoreError, Submission};
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::JobStatus;

/// Tells one waiting caller from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// What has to go once a job has ended, in this order: pointers before what they point to. Each step is
/// idempotent, so that a later leader can start over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum CleanupStep {
    /// Its completed checkpoints, files included.
    DiscardCheckpoints,
    /// Only what the store knows of its checkpoints: the files are retained for the user.
    ReleaseCheckpoints,
    /// Its job graph.
    JobGraph,
    /// The mark that nothing is left.
    MarkClean,
}

/// Everything the Dispatcher reacts to. `wall_clock_ms` is milliseconds since 1970, for records.
#[derive(Debug)]
pub enum Event {
    /// What a new leader has read from the store. The first event, and only once.
    Recovered { jobs: Vec<RecoveredJob>, results: Vec<JobResult> },
    /// A client submits a job.
    Submit {
        ticket: Ticket,
        /// The job, with its id set.
        graph: Box<JobGraph>,
        /// The client's token, by which a repetition is known.
        client_token: Option<String>,
        wall_clock_ms: u64,
    },
    /// The store has answered a submission.
    Persisted {
        ticket: Ticket,
        /// What came of it.
        outcome: Result<Submission, StoreError>,
    },
    /// The store was asked again for a job that it may hold.
    Reread {
        job: JobId,
        /// What it holds: `None` for no such job.
        outcome: Result<Option<RecoveredJob>, StoreError>,
    },
    /// A client cancels a job.
    Cancel { ticket: Ticket, job: JobId, wall_clock_ms: u64 },
    /// A JobMaster says that its job has ended.
    JobEnded {
        job: JobId,
        /// How: globally terminal.
        status: JobStatus,
        /// Why it failed, if it did.
        failure: Option<String>,
        wall_clock_ms: u64,
    },
    /// The store has answered [`super::effect::Effect::StoreResult`].
    ResultStored {
        job: JobId,
        /// What came of it.
        outcome: Result<(), StoreError>,
    },
    /// A cleanup step was tried.
    CleanedUp {
        job: JobId,
        step: CleanupStep,
        /// What came of it.
        outcome: Result<(), StoreError>,
    },
    /// Whether the coordination store answers has changed.
    Store(StoreAvailability),
    /// Time has passed.
    Tick { wall_clock_ms: u64 },
}
