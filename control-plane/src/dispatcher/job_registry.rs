//! The jobs that a leader knows, as others may see them.
//!
//! A job is shown as ended only once its result is durable (R2). The JobMaster therefore gives its last view only to the
//! Dispatcher. Until the Dispatcher has stored the result, the registry shows the previous view.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use weir_ha::JobResult;
use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;

use crate::job_master::gateway::JobMasterGateway;
use crate::job_master::view::JobView;

/// The jobs by id. Clones show the same jobs.
#[derive(Clone, Debug, Default)]
pub struct JobRegistry {
    entries: Arc<RwLock<BTreeMap<JobId, Entry>>>,
}

#[derive(Debug)]
enum Entry {
    Live(JobMasterGateway),
    Quarantined { reason: String, since_ms: u64 },
    Ended { result: JobResult, last_view: Option<Arc<JobView>> },
}

/// A job at one moment.
#[derive(Debug, Clone)]
pub struct JobSnapshot {
    pub job: JobId,
    /// The name for people. Empty if it is not known.
    pub name: String,
    pub status: JobStatus,
    /// Why the job waits or failed, for people.
    pub reason: Option<String>,
    /// Wall-clock milliseconds since 1970 of its submission.
    pub submitted_at: u64,
    /// Wall-clock milliseconds since 1970 of its end.
    pub ended_at: Option<u64>,
    /// Everything else. `None` if the job ended under an earlier leader or can't be read.
    pub view: Option<Arc<JobView>>,
}

impl JobRegistry {
    pub(super) fn show_live(&self, job_master: JobMasterGateway) {
        self.write(|entries| entries.insert(job_master.job(), Entry::Live(job_master)));
    }

    pub(super) fn show_quarantined(&self, job: JobId, reason: String, since_ms: u64) {
        self.write(|entries| entries.insert(job, Entry::Quarantined { reason, since_ms }));
    }

    pub(super) fn show_ended(&self, result: JobResult, last_view: Option<Arc<JobView>>) {
        self.write(|entries| entries.insert(result.job, Entry::Ended { result, last_view }));
    }

    pub(super) fn forget(&self, job: JobId) {
        self.write(|entries| entries.remove(&job));
    }

    /// The JobMaster of a job; `None` if the job is not running under this leader.
    pub fn job_master(&self, job: JobId) -> Option<JobMasterGateway> {
        match self.entries.read().unwrap_or_else(PoisonError::into_inner).get(&job) {
            Some(Entry::Live(job_master)) => Some(job_master.clone()),
            _ => None,
        }
    }

    /// A snapshot of one job, if it is known.
    pub fn get(&self, job: JobId) -> Option<JobSnapshot> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.get(&job).map(|entry| entry.snapshot(job))
    }

    /// Snapshots of all jobs, ordered by id.
    pub fn list(&self) -> Vec<JobSnapshot> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        entries.iter().map(|(job, entry)| entry.snapshot(*job)).collect()
    }

    /// The JobMasters of all running jobs. The registry of a former leader still shows its jobs: a request that began before the end
    /// of the leadership must not be told that they don't exist.
    pub(crate) fn job_masters(&self) -> Vec<JobMasterGateway> {
        let entries = self.entries.read().unwrap_or_else(PoisonError::into_inner);
        let live = entries.values().filter_map(|entry| match entry {
            Entry::Live(job_master) => Some(job_master.clone()),
            _ => None,
        });
        live.collect()
    }

    fn write<T>(&self, change: impl FnOnce(&mut BTreeMap<JobId, Entry>) -> T) {
        change(&mut self.entries.write().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Entry {
    fn snapshot(&self, job: JobId) -> JobSnapshot {
        match self {
            Self::Live(job_master) => live(&job_master.view()),
            Self::Quarantined { reason, since_ms } => JobSnapshot {
                job,
                name: String::new(),
                status: JobStatus::Initializing,
                reason: Some(format!("JOB-QUARANTINED: the job graph can't be read: {reason}; restore it or cancel the job")),
                submitted_at: *since_ms,
                ended_at: None,
                view: None,
            },
            Self::Ended { result, last_view } => ended(result, last_view.as_deref()),
        }
    }
}

fn live(view: &Arc<JobView>) -> JobSnapshot {
    JobSnapshot {
        job: view.job,
        name: view.graph.name.clone(),
        status: view.status,
        reason: view.reason.clone(),
        submitted_at: view.submitted_at,
        ended_at: None,
        view: Some(Arc::clone(view)),
    }
}

fn ended(result: &JobResult, last_view: Option<&JobView>) -> JobSnapshot {
    let view = last_view.map(|last| {
        let mut view = JobView { status: result.status, ended_at: Some(result.ended_at_ms), ..last.clone() };
        view.timestamps.insert(result.status, result.ended_at_ms);
        Arc::new(view)
    });
    JobSnapshot {
        job: result.job,
        name: result.name.clone(),
        status: result.status,
        reason: result.failure.clone(),
        submitted_at: result.submitted_at_ms,
        ended_at: Some(result.ended_at_ms),
        view,
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::{graph, result};
    use super::*;
    use crate::job_master::view::CheckpointsView;

    fn view(status: JobStatus) -> Arc<JobView> {
        Arc::new(JobView {
            job: JobId(1),
            graph: Arc::new(graph(1)),
            status,
            reason: None,
            submitted_at: 5,
            ended_at: Some(9),
            timestamps: BTreeMap::from([(JobStatus::Running, 6), (status, 9)]),
            vertices: Vec::new(),
            restarts: 0,
            checkpoints: CheckpointsView::default(),
            exceptions: Vec::new(),
        })
    }

    #[test]
    fn an_ended_job_shows_its_result_with_or_without_a_last_view() {
        let result = result(1, JobStatus::Canceled);
        let snapshot = ended(&result, Some(&view(JobStatus::Cancelling)));
        assert_eq!((snapshot.status, snapshot.ended_at), (JobStatus::Canceled, Some(9)));
        assert_eq!(snapshot.view.map(|view| view.status), Some(JobStatus::Canceled));
        assert!(ended(&result, None).view.is_none());
    }
}
