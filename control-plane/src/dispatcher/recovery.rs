//! Decides how a new leader recovers the jobs that the store holds. Live jobs are started, and ended jobs are never started
//! again (R1). A job that can't be read does not affect the others (G5).

use std::collections::BTreeMap;

use weir_ha::{JobResult, RecoveredJob};
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;

use super::event::CleanupStep;

/// What a new leader must do.
#[derive(Debug, Default, PartialEq)]
pub struct RecoveryPlan {
    /// Jobs to start and when they were submitted (milliseconds since 1970), oldest first.
    pub start: Vec<(JobGraph, u64)>,
    /// Jobs that can't be read.
    pub quarantine: Vec<Quarantine>,
    /// Ended jobs whose cleanup is not complete, and the step to begin with.
    pub clean_up: Vec<(JobResult, CleanupStep)>,
    /// Ended jobs whose cleanup is complete.
    pub ended: Vec<JobResult>,
}

/// A job whose graph can't be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quarantine {
    pub job: JobId,
    /// Why the graph can't be read, for people.
    pub reason: String,
}

/// Decides what to do with all jobs and results that the store holds.
pub fn plan(jobs: Vec<RecoveredJob>, results: Vec<JobResult>) -> RecoveryPlan {
    let mut plan = RecoveryPlan::default();
    let results: BTreeMap<JobId, JobResult> = results.into_iter().map(|result| (result.job, result)).collect();
    let mut graphs: BTreeMap<JobId, Option<JobGraph>> = BTreeMap::new();
    for job in jobs {
        match job {
            RecoveredJob::Readable { job, graph, .. } if results.contains_key(&job) => {
                graphs.insert(job, Some(graph));
            }
            RecoveredJob::Unreadable { job, .. } if results.contains_key(&job) => {
                graphs.insert(job, None);
            }
            RecoveredJob::Readable { graph, submitted_at_ms, .. } => plan.start.push((graph, submitted_at_ms)),
            RecoveredJob::Unreadable { job, reason } => plan.quarantine.push(Quarantine { job, reason }),
        }
    }
    plan.start.sort_by_key(|(graph, submitted_at_ms)| (*submitted_at_ms, graph.job_id));
    for (job, result) in results {
        if !result.dirty {
            plan.ended.push(result);
            continue;
        }
        let step = match graphs.get(&job) {
            Some(graph) => first_step(&result, graph.as_ref()),
            // Checkpoints are removed before the graph. So if there is no graph, no checkpoints are left.
            None => CleanupStep::JobGraph,
        };
        plan.clean_up.push((result, step));
    }
    plan
}

/// The step that cleanup begins with. It depends on whether the job's checkpoints are retained for the user. If the graph can't
/// be read, the user's wish is not known, and the checkpoints are retained.
pub fn first_step(result: &JobResult, graph: Option<&JobGraph>) -> CleanupStep {
    use weir_protocol::job_status::JobStatus::Finished;
    match graph {
        Some(graph) if result.status == Finished || !graph.checkpoint_config().retain_on_cancellation => {
            CleanupStep::DiscardCheckpoints
        }
        _ => CleanupStep::ReleaseCheckpoints,
    }
}

#[cfg(test)]
mod tests {
    use weir_protocol::job_status::JobStatus;

    use super::super::tests::{graph, result};
    use super::*;

    fn readable(job: u128, submitted_at_ms: u64) -> RecoveredJob {
        RecoveredJob::Readable { job: JobId(job), graph: graph(job), submitted_at_ms }
    }

    #[test]
    fn jobs_start_oldest_first_and_an_unreadable_job_does_not_affect_others() {
        let unreadable = RecoveredJob::Unreadable { job: JobId(3), reason: "bad".to_string() };
        let plan = plan(vec![readable(1, 20), readable(2, 10), unreadable], Vec::new());
        assert_eq!(plan.start, [(graph(2), 10), (graph(1), 20)]);
        assert_eq!(plan.quarantine, [Quarantine { job: JobId(3), reason: "bad".to_string() }]);
    }

    #[test]
    fn r1_a_job_with_a_result_is_never_started_dirty_or_clean() {
        let dirty = result(1, JobStatus::Finished);
        let clean = JobResult { dirty: false, ..result(2, JobStatus::Failed) };
        let plan = plan(vec![readable(1, 0), readable(2, 0)], vec![dirty.clone(), clean.clone()]);
        assert_eq!(plan.start, []);
        assert_eq!(plan.clean_up, [(dirty, CleanupStep::DiscardCheckpoints)]);
        assert_eq!(plan.ended, [clean]);
    }

    #[test]
    fn checkpoints_of_a_cancelled_or_failed_job_are_retained_if_its_graph_says_so_or_is_unreadable() {
        let mut retaining = graph(1);
        retaining.checkpointing.get_or_insert_default().retain_on_cancellation = true;
        for status in [JobStatus::Canceled, JobStatus::Failed] {
            assert_eq!(first_step(&result(1, status), Some(&retaining)), CleanupStep::ReleaseCheckpoints);
            assert_eq!(first_step(&result(1, status), None), CleanupStep::ReleaseCheckpoints);
            assert_eq!(first_step(&result(1, status), Some(&graph(1))), CleanupStep::DiscardCheckpoints);
        }
        assert_eq!(first_step(&result(1, JobStatus::Finished), Some(&retaining)), CleanupStep::DiscardCheckpoints);
    }

    #[test]
    fn cleanup_of_a_job_whose_graph_was_removed_continues_after_the_checkpoints() {
        let plan = plan(Vec::new(), vec![result(1, JobStatus::Finished)]);
        assert_eq!(plan.clean_up[0].1, CleanupStep::JobGraph);
    }
}
