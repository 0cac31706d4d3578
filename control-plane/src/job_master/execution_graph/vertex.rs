//! A vertex of the ExecutionGraph and its subtasks.

use std::sync::Arc;

use weir_protocol::job_graph::JobVertex;
use weir_protocol::{ExecutionVertexId, JobVertexId};

use super::execution::Execution;

/// A vertex of the job graph with its parallel instances.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionJobVertex {
    pub id: JobVertexId,
    /// What it runs.
    pub descriptor: Arc<JobVertex>,
    /// Its parallel instances.
    pub subtasks: Vec<ExecutionVertex>,
}

/// One parallel instance of a vertex over all its attempts.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct ExecutionVertex {
    pub id: ExecutionVertexId,
    /// The current attempt, or the last one.
    pub execution: Option<Execution>,
    /// How many attempts there were before the current one, under this leader.
    pub former_attempts: u32,
}

impl ExecutionJobVertex {
    /// A vertex nothing of which was deployed yet.
    pub fn new(descriptor: JobVertex) -> Self {
        let id = descriptor.id();
        let subtasks = (0..descriptor.parallelism)
            .map(|subtask| ExecutionVertex { id: ExecutionVertexId { vertex: id, subtask }, execution: None, former_attempts: 0 })
            .collect();
        Self { id, descriptor: Arc::new(descriptor), subtasks }
    }
}

impl ExecutionVertex {
    /// Puts a new attempt in place of the last one, which must have ended.
    pub fn replace(&mut self, execution: Execution) {
        debug_assert!(!self.execution.as_ref().is_some_and(Execution::is_live), "F2: the old attempt has ended");
        if self.execution.replace(execution).is_some() {
            self.former_attempts += 1;
        }
    }
}
