//! A vertex of the ExecutionGraph and its subtasks.

use std::sync::Arc;

use weir_protocol::job_graph::JobVertex;
use weir_protocol::{ExecutionVertexId, JobVertexId};

use super::execution::Execution;

/// A vertex of the job graph with its subtasks.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionJobVertex {
    pub id: JobVertexId,
    pub descriptor: Arc<JobVertex>,
    pub subtasks: Vec<ExecutionVertex>,
}

/// A subtask of a vertex over all its attempts.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct ExecutionVertex {
    pub id: ExecutionVertexId,
    /// The newest execution, if the subtask was deployed.
    pub execution: Option<Execution>,
    /// Number of executions before the newest one, under this leader.
    pub former_attempts: u32,
}

impl ExecutionJobVertex {
    /// Creates a vertex whose subtasks are not deployed yet.
    pub fn new(descriptor: JobVertex) -> Self {
        let id = descriptor.id();
        let subtasks = (0..descriptor.parallelism)
            .map(|subtask| ExecutionVertex { id: ExecutionVertexId { vertex: id, subtask }, execution: None, former_attempts: 0 })
            .collect();
        Self { id, descriptor: Arc::new(descriptor), subtasks }
    }
}

impl ExecutionVertex {
    /// Replaces the execution. The former execution must have ended (F2).
    pub(super) fn replace(&mut self, execution: Execution) {
        debug_assert!(!self.execution.as_ref().is_some_and(Execution::is_live), "F2: the old attempt has ended");
        if self.execution.replace(execution).is_some() {
            self.former_attempts += 1;
        }
    }
}
