//! Builds the view of a job.

use std::sync::Arc;

use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::{ExecutionState, JobStatus};
use weir_protocol::utc;
use weir_world::Millis;

use super::execution_graph::vertex::ExecutionVertex;
use super::view::{CheckpointsView, JobView, SubtaskView, VertexView};
use super::{JobMaster, Stage};

/// What a job waits for while it is not certain which checkpoint is the newest.
const STORE_TO_SAY: &str = "waits for the coordination store to say whether a checkpoint is complete";

impl JobMaster {
    /// The view of the job at this moment.
    pub fn view(&self, now: Millis) -> JobView {
        let ended_at = self.status.is_globally_terminal().then(|| self.timestamps.get(&self.status).copied()).flatten();
        JobView {
            job: self.what.job,
            graph: Arc::clone(&self.what.graph),
            status: self.status,
            reason: self.reason(now),
            submitted_at: self.what.submitted_at_ms,
            ended_at,
            timestamps: self.timestamps.clone(),
            vertices: self
                .graph
                .vertices
                .iter()
                .map(|vertex| VertexView {
                    uid: vertex.descriptor.uid.clone(),
                    subtasks: vertex.subtasks.iter().map(subtask_view).collect(),
                })
                .collect(),
            restarts: self.restarts,
            checkpoints: self.coordinator.stats().view(),
            exceptions: self.exceptions.iter().cloned().collect(),
        }
    }

    /// Why the job does not run, or what it lacks while it runs, for people.
    fn reason(&self, now: Millis) -> Option<String> {
        let trouble = self.trouble.as_deref();
        let living = || {
            let stopping = self.graph.executions().filter(|execution| execution.state() == ExecutionState::Canceling);
            stopping.count()
        };
        match &self.stage {
            Stage::New => None,
            Stage::Deployed => self.store.away_since_ms().map(|since_ms| {
                let since = utc::text(since_ms);
                format!(
                    "HA-STORE-AWAY: the coordination store has not answered since {since}: checkpoints and output wait for it"
                )
            }),
            Stage::Stopping { restart_at, .. } => {
                let why = trouble.unwrap_or("a failure");
                Some(match living() {
                    0 if !self.coordinator.is_settled() => {
                        format!("restarts after {why}; {STORE_TO_SAY}")
                    }
                    0 => format!("restarts in {} ms after {why}", restart_at.since(now)),
                    tasks => format!("restarts after {why}; waits for {tasks} tasks to stop"),
                })
            }
            Stage::Reading { .. } => Some(trouble.map_or_else(|| "reads its newest checkpoint".to_string(), str::to_string)),
            Stage::WaitingForSlots { .. } => {
                let (missing, needed) = (self.pool.missing(), self.pool.needed());
                Some(match trouble {
                    Some(why) => format!("waiting for {missing} of {needed} slots: {why}"),
                    None => format!("waiting for {missing} of {needed} slots"),
                })
            }
            Stage::Ending { failure, .. } => {
                let waits = match living() {
                    0 if !self.coordinator.is_settled() => STORE_TO_SAY.to_string(),
                    tasks => format!("waits for {tasks} tasks to stop"),
                };
                Some(failure.as_ref().map_or_else(|| waits.clone(), |failure| format!("{failure}; {waits}")))
            }
            Stage::Ended => (self.status == JobStatus::Failed).then(|| trouble.map(str::to_string)).flatten(),
        }
    }
}

impl JobView {
    /// The view of a job that was stored but can't be executed.
    pub(super) fn failed(job: JobId, graph: Arc<JobGraph>, submitted_at: u64, reason: String, wall_ms: u64) -> Self {
        Self {
            job,
            graph,
            status: JobStatus::Failed,
            reason: Some(reason),
            submitted_at,
            ended_at: Some(wall_ms),
            timestamps: [(JobStatus::Failed, wall_ms)].into(),
            vertices: Vec::new(),
            restarts: 0,
            checkpoints: CheckpointsView::default(),
            exceptions: Vec::new(),
        }
    }
}

fn subtask_view(subtask: &ExecutionVertex) -> SubtaskView {
    let execution = subtask.execution.as_ref();
    SubtaskView {
        attempt: execution.map(|execution| execution.attempt),
        state: execution.map_or(ExecutionState::Scheduled, |execution| execution.state()),
        attempt_number: subtask.former_attempts,
        task_manager: execution.map(|execution| execution.task_manager().clone()),
        started_at: execution.map(|execution| execution.started_at),
        ended_at: execution.and_then(|execution| execution.ended_at),
        metrics: execution.and_then(|execution| execution.metrics),
    }
}
