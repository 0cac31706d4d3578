//! Metrics of the jobs and TaskManagers of the leader, updated from their views once a second.

use std::collections::BTreeMap;
use std::time::Duration;

use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;

use crate::job_master::view::{CheckpointStatus, JobView};
use crate::leading::Leading;
use crate::metrics::{
    CHECKPOINT_BYTES, CHECKPOINT_SECONDS, CHECKPOINTS_COMPLETED, CHECKPOINTS_FAILED, JOB_RESTARTS, JOBS, MASS_SUSPICION,
    SLOTS_AVAILABLE, SLOTS_TOTAL, TASK_MANAGERS,
};

const INTERVAL: Duration = Duration::from_secs(1);

/// What this leader has already counted for a job.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
struct Counted {
    restarts: u32,
    completed: u64,
    failed: u64,
    newest_completed: u64,
}

/// Updates the metrics until it is dropped.
pub(crate) async fn run(leading: Leading) {
    let mut counted: BTreeMap<JobId, Counted> = BTreeMap::new();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let jobs = leading.jobs.list();
        let mut by_status: BTreeMap<JobStatus, u32> = JobStatus::ALL.into_iter().map(|status| (status, 0)).collect();
        for job in &jobs {
            *by_status.entry(job.status).or_default() += 1;
            if let Some(view) = &job.view {
                count(counted.entry(job.job).or_default(), view);
            }
        }
        counted.retain(|job, _| jobs.binary_search_by_key(job, |known| known.job).is_ok());
        for (status, number) in by_status {
            metrics::gauge!(JOBS, "status" => status.as_str()).set(f64::from(number));
        }
        let resources = leading.resource_manager.view();
        metrics::gauge!(TASK_MANAGERS).set(resources.task_managers.len() as f64);
        metrics::gauge!(SLOTS_TOTAL).set(f64::from(resources.slots_total()));
        metrics::gauge!(SLOTS_AVAILABLE).set(f64::from(resources.slots_free()));
    }
}

/// Sets the gauges to zero, because this process does not lead.
pub(crate) fn clear() {
    for status in JobStatus::ALL {
        metrics::gauge!(JOBS, "status" => status.as_str()).set(0.0);
    }
    for gauge in [TASK_MANAGERS, SLOTS_TOTAL, SLOTS_AVAILABLE, MASS_SUSPICION] {
        metrics::gauge!(gauge).set(0.0);
    }
}

fn count(counted: &mut Counted, view: &JobView) {
    metrics::counter!(JOB_RESTARTS).increment(u64::from(view.restarts.saturating_sub(counted.restarts)));
    metrics::counter!(CHECKPOINTS_COMPLETED).increment(view.checkpoints.completed.saturating_sub(counted.completed));
    metrics::counter!(CHECKPOINTS_FAILED).increment(view.checkpoints.failed.saturating_sub(counted.failed));
    let completed = view.checkpoints.history.iter().filter(|checkpoint| checkpoint.status == CheckpointStatus::Completed);
    let mut newest = counted.newest_completed;
    for checkpoint in completed.filter(|checkpoint| checkpoint.id.0 > counted.newest_completed) {
        newest = newest.max(checkpoint.id.0);
        if let Some(ended_at) = checkpoint.ended_at {
            let milliseconds = ended_at.saturating_sub(checkpoint.triggered_at);
            metrics::histogram!(CHECKPOINT_SECONDS).record(milliseconds as f64 / 1000.0);
        }
        metrics::histogram!(CHECKPOINT_BYTES).record(checkpoint.checkpointed_bytes as f64);
    }
    *counted = Counted {
        restarts: view.restarts,
        completed: view.checkpoints.completed,
        failed: view.checkpoints.failed,
        newest_completed: newest,
    };
}
