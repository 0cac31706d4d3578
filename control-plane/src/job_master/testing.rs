//! Builders for the tests of this folder.

use std::collections::BTreeMap;
use std::sync::Arc;

use weir_protocol::checkpoint::{CheckpointKind, CheckpointMetadata, OperatorSnapshot, SubtaskSnapshot};
use weir_protocol::job_graph::{
    CheckpointConfig, JobEdge, JobGraph, JobVertex, OperatorDescriptor, Partitioning, RestartStrategyConfig,
};
use weir_protocol::{AllocationId, CheckpointId, ExecutionVertexId, Generation, JobId, LeaderEpoch, TaskManagerId};

use crate::resource_manager::effect::GrantedSlot;

/// The job id in all tests.
pub(crate) const JOB: JobId = JobId(0xabc);

pub(crate) fn vertex(uid: &str, parallelism: u32) -> JobVertex {
    let operators = vec![OperatorDescriptor::new("x.test", BTreeMap::new())];
    let (input_schemas, output_schema) = (Vec::new(), Vec::new());
    JobVertex { uid: uid.to_string(), name: String::new(), parallelism, operators, output_schema, input_schemas }
}

pub(crate) fn edge(from: &str, to: &str, partitioning: Partitioning) -> JobEdge {
    JobEdge { from: from.to_string(), to: to.to_string(), input: 0, partitioning }
}

pub(crate) fn graph(vertices: Vec<JobVertex>, edges: Vec<JobEdge>) -> Arc<JobGraph> {
    Arc::new(JobGraph {
        version: JobGraph::VERSION,
        job_id: Some(JOB),
        name: "test".to_string(),
        max_parallelism: 128,
        vertices,
        edges,
        checkpointing: Some(CheckpointConfig { interval_ms: 1_000, timeout_ms: 5_000, ..CheckpointConfig::default() }),
        restart_strategy: Some(RestartStrategyConfig::FixedDelay { attempts: 3, delay_ms: 100 }),
        restore_from: None,
        allow_non_restored_state: false,
    })
}

pub(crate) fn slot(allocation: u128, task_manager: &str, slot: u32) -> GrantedSlot {
    GrantedSlot {
        allocation: AllocationId(allocation),
        task_manager: TaskManagerId(task_manager.to_string()),
        slot,
        data_address: format!("{task_manager}:7000"),
    }
}

/// A checkpoint with a part for every subtask of a graph, without state.
pub(crate) fn metadata(id: u64, graph: &JobGraph) -> CheckpointMetadata {
    let mut subtasks = Vec::new();
    for vertex in &graph.vertices {
        for subtask in 0..vertex.parallelism {
            let execution_vertex = ExecutionVertexId { vertex: vertex.id(), subtask };
            let operators = vertex.operators.iter().map(OperatorSnapshot::without_state).collect();
            subtasks.push(SubtaskSnapshot { execution_vertex, operators });
        }
    }
    subtasks.sort_by_key(|part| part.execution_vertex);
    CheckpointMetadata {
        job: JOB,
        id: CheckpointId(id),
        kind: CheckpointKind::Checkpoint,
        epoch: LeaderEpoch(1),
        generation: Generation { epoch: LeaderEpoch(1), attempt: 1 },
        max_parallelism: graph.max_parallelism,
        graph_crc32c: 7,
        triggered_at_ms: 1,
        completed_at_ms: 2,
        subtasks,
    }
}
