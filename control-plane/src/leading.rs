//! The actors and services of a leader, for the rest of its process.

use std::fmt;
use std::sync::Arc;

use weir_ha::{HaServices, Leadership, StoreWatch};
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_graph::validate::validate;
use weir_protocol::job_status::JobStatus;
use weir_protocol::rest::{JobDescription, JobsOverview};
use weir_protocol::{JobId, LeaderEpoch};
use weir_world::wall_clock_ms;

use crate::checkpoint::effect::SavepointOutcome;
use crate::dispatcher::effect::{CancelError, SubmitError, Submitted};
use crate::dispatcher::gateway::DispatcherGateway;
use crate::dispatcher::job_registry::JobRegistry;
use crate::drills::DrillTime;
use crate::resource_manager::gateway::ResourceManagerGateway;
use crate::rest::jobs;
use crate::rest::operations::Operations;
use crate::rpc::links::TaskManagerLinks;
use crate::store_away::StoreAway;

/// The actors and services of a leader, for REST, for TaskManagers, and for [`LedService`](crate::LedService)s. All clones belong to
/// the same leader.
#[derive(Clone)]
pub struct Leading {
    pub(crate) leadership: Arc<Leadership>,
    pub(crate) ha: HaServices,
    pub(crate) jobs: JobRegistry,
    pub(crate) dispatcher: DispatcherGateway,
    pub(crate) resource_manager: ResourceManagerGateway,
    pub(crate) links: TaskManagerLinks,
    pub(crate) operations: Operations,
    pub(crate) store: StoreWatch,
    pub(crate) drill_time: DrillTime,
}

impl fmt::Debug for Leading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leading").field("epoch", &self.epoch()).finish_non_exhaustive()
    }
}

/// Why a job was not stopped with a savepoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StopError {
    /// There is no such job.
    #[error("JOB-NOT-FOUND: there is no job {0}")]
    NotFound(JobId),
    /// The job has ended, or its graph can't be read.
    #[error("JOB-NOT-RUNNING: job {job} is {status} and takes no checkpoints")]
    NotRunning { job: JobId, status: &'static str },
    /// The savepoint failed, and the job goes on.
    #[error("{code}: {reason}")]
    Failed { code: String, reason: String },
    /// The job ended meanwhile, or this process no longer leads.
    #[error("JOB-GONE: job {0} has ended, or its JobMaster has moved to another JobManager")]
    Gone(JobId),
    #[error(transparent)]
    StoreAway(#[from] StoreAway),
}

impl Leading {
    /// The epoch of this leadership.
    pub fn epoch(&self) -> LeaderEpoch {
        self.leadership.epoch()
    }

    /// The right to write to the coordination store. The store refuses it once another JobManager leads.
    pub fn leadership(&self) -> &Leadership {
        &self.leadership
    }

    /// The coordination store.
    pub fn ha(&self) -> &HaServices {
        &self.ha
    }

    /// Fails if the coordination store does not answer. Requests that must be recorded fail with this at once (A1).
    pub fn check_store(&self) -> Result<(), StoreAway> {
        StoreAway::check(self.store.now())
    }

    /// Validates a job and makes it durable. With a client token, the call can be repeated after any error: the job is created
    /// once (G2).
    pub async fn submit(&self, graph: JobGraph, client_token: Option<String>) -> Result<Submitted, SubmitError> {
        validate(&graph).map_err(|errors| SubmitError::Invalid(errors.iter().map(ToString::to_string).collect()))?;
        self.dispatcher.submit(graph, client_token).await
    }

    /// All jobs that are known, also those that have ended.
    pub fn list_jobs(&self) -> JobsOverview {
        jobs::overview_of_all(self)
    }

    /// The state of a job, if it is known.
    pub fn job_status(&self, job: JobId) -> Option<JobStatus> {
        Some(self.jobs.get(job)?.status)
    }

    /// The description of a job, if it is known.
    pub fn describe_job(&self, job: JobId) -> Option<JobDescription> {
        Some(jobs::description_of(&self.jobs.get(job)?, self.epoch(), wall_clock_ms()))
    }

    /// Cancels a job. Returns when its JobMaster has been told.
    pub async fn cancel_job(&self, job: JobId) -> Result<(), CancelError> {
        self.dispatcher.cancel(job).await
    }

    /// Stops a job with a savepoint in the configured directory. Returns where the savepoint is, once the job has ended.
    pub async fn stop_job(&self, job: JobId) -> Result<String, StopError> {
        let snapshot = self.jobs.get(job).ok_or(StopError::NotFound(job))?;
        let not_running = || StopError::NotRunning { job, status: snapshot.status.as_str() };
        let job_master = self.jobs.job_master(job).ok_or_else(not_running)?;
        self.check_store()?;
        match job_master.trigger_savepoint(None, true).await {
            Ok(SavepointOutcome::Completed { location, .. }) => Ok(location),
            Ok(SavepointOutcome::Failed { code, reason }) => Err(StopError::Failed { code, reason }),
            Err(_) => Err(StopError::Gone(job)),
        }
    }
}
