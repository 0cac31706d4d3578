//! What the Dispatcher decides.

use weir_ha::JobResult;
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;

use super::event::{CleanupStep, Ticket};
use crate::store_away::StoreAway;

/// A job's way into the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Submitted {
    pub job: JobId,
    /// The same submission was made before and created this job.
    pub already: bool,
}

/// Why a job was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The graph or the token is not acceptable; one sentence with a code for each reason.
    #[error("{}", .0.join("; "))]
    Invalid(Vec<String>),
    /// The job id is taken, or that job has ended.
    #[error("{0}")]
    Conflict(String),
    /// Too many jobs, or too many submissions at once.
    #[error("{0}")]
    Busy(String),
    /// It is not known whether the job was accepted: submit again with the same client token.
    #[error("{0}")]
    Unknown(String),
    /// Certainly not accepted, but a later try may be: no leader, or its store is unavailable.
    #[error("{0}")]
    Unavailable(String),
    /// Certainly not accepted: there is no store to record it in.
    #[error(transparent)]
    StoreAway(#[from] StoreAway),
}

/// Why a job can't be cancelled.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CancelError {
    /// No such job.
    #[error("JOB-NOT-FOUND: there is no job {0}")]
    NotFound(JobId),
    /// It has ended another way.
    #[error("JOB-ENDED: job {job} has already ended: {status}")]
    Ended {
        job: JobId,
        /// How it ended.
        status: &'static str,
    },
    /// The job goes on: there is no store to record its end in, and a later leader would run it again.
    #[error(transparent)]
    StoreAway(#[from] StoreAway),
    /// This JobManager no longer leads.
    #[error("NO-LEADER: this JobManager stopped leading; try again")]
    NotLeader,
}

/// Everything the Dispatcher's runner carries out, in order.
#[derive(Debug)]
pub enum Effect {
    /// Make a submitted job durable; answer with `Persisted`.
    Persist {
        ticket: Ticket,
        graph: Box<JobGraph>,
        /// The client's token.
        client_token: Option<String>,
        /// When it was submitted.
        submitted_at_ms: u64,
    },
    /// Answer a submission.
    AnswerSubmit {
        ticket: Ticket,
        /// What came of it.
        answer: Result<Submitted, SubmitError>,
    },
    /// Answer a cancellation.
    AnswerCancel {
        ticket: Ticket,
        /// What came of it.
        answer: Result<(), CancelError>,
    },
    /// Start the JobMaster of a durable job.
    StartJobMaster {
        /// The job, with its id set.
        graph: Box<JobGraph>,
        /// When it was submitted.
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
    /// Read a job from the store; answer with `Reread`.
    Reread { job: JobId },
    /// Record how a job ended, before anyone is told (R2); answer with `ResultStored`.
    StoreResult {
        /// How it ended.
        result: JobResult,
    },
    /// The result is durable: show it, and let go of the job's JobMaster and slots.
    ShowEnded {
        /// How it ended.
        result: JobResult,
    },
    /// Try a cleanup step; answer with `CleanedUp`.
    CleanUp { job: JobId, step: CleanupStep },
    /// Stop showing an ended job.
    Forget { job: JobId },
    /// Remove clean results of jobs that ended before this moment from the store.
    ForgetResults {
        /// Wall-clock milliseconds since 1970.
        ended_before_ms: u64,
    },
    /// The store says that a newer leader exists: stop leading, silently.
    StepDown {
        /// What the store said.
        reason: String,
    },
}
