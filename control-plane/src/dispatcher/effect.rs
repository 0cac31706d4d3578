//! The effects of the Dispatcher.

use weir_ha::JobResult;
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;

use super::event::{CleanupStep, Ticket};
use crate::store_away::StoreAway;

/// The answer to a successful submission.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    pub job: JobId,
    /// Whether an earlier submission with the same client token created this job.
    pub already: bool,
}

/// Why a job was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The graph or the token is invalid. Each reason is one sentence with a code.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The job id is in use, or a job with this id has ended.
    #[error("{0}")]
    Conflict(String),
    /// There are too many jobs, or too many submissions at once.
    #[error("{0}")]
    Busy(String),
    /// It is not known whether the job was accepted. Submit it again with the same client token.
    #[error("{0}")]
    Unknown(String),
    /// The job was not accepted, but a retry may succeed: there is no leader, or its store is unavailable.
    #[error("{0}")]
    Unavailable(String),
    /// The job was not accepted, because the coordination store does not answer.
    #[error(transparent)]
    StoreAway(#[from] StoreAway),
}

/// Why a job can't be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// There is no such job.
    #[error("JOB-NOT-FOUND: there is no job {0}")]
    NotFound(JobId),
    /// The job has ended, but not by cancellation.
    #[error("JOB-ENDED: job {job} has already ended: {status}")]
    Ended { job: JobId, status: &'static str },
    /// The job continues, because the coordination store does not answer. Its end could not be recorded, so a later leader would
    /// run the job again.
    #[error(transparent)]
    StoreAway(#[from] StoreAway),
    /// This JobManager no longer leads.
    #[error("NO-LEADER: this JobManager stopped leading; try again")]
    NotLeader,
}

/// What the Dispatcher's runner must do. Effects are carried out in order.
#[derive(Debug)]
pub enum Effect {
    /// Make a submitted job durable. Answer with `Persisted`.
    Persist {
        ticket: Ticket,
        graph: Box<JobGraph>,
        client_token: Option<String>,
        /// Wall-clock milliseconds since 1970.
        submitted_at_ms: u64,
    },
    /// Answer a submission.
    AnswerSubmit { ticket: Ticket, answer: Result<Submitted, SubmitError> },
    /// Answer a cancellation.
    AnswerCancel { ticket: Ticket, answer: Result<(), CancelError> },
    /// Start the JobMaster of a durable job.
    StartJobMaster {
        /// The job, with its id set.
        graph: Box<JobGraph>,
        /// Wall-clock milliseconds since 1970.
        submitted_at_ms: u64,
    },
    /// Tell a job's JobMaster to cancel it.
    CancelJob { job: JobId },
    /// Show a job that can't be started, and why.
    ShowQuarantined {
        job: JobId,
        /// Why, for people.
        reason: String,
    },
    /// Read a job from the store. Answer with `Reread`.
    Reread { job: JobId },
    /// Record how a job ended. The result must be durable before it is reported (R2). Answer with `ResultStored`.
    StoreResult { result: JobResult },
    /// The result is durable: show it, and release the job's JobMaster and slots.
    ShowEnded { result: JobResult },
    /// Try a cleanup step. Answer with `CleanedUp`.
    CleanUp { job: JobId, step: CleanupStep },
    /// Stop showing an ended job.
    Forget { job: JobId },
    /// Remove from the store the results of these jobs, which are clean.
    ForgetResults { jobs: Vec<JobId> },
    /// The store says that a newer leader exists: stop leading, and change nothing.
    StepDown {
        /// What the store said.
        reason: String,
    },
}
