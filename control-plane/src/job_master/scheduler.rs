//! Decides which subtask runs in which slot, and what each TaskManager deploys.

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::checkpoint::CheckpointMetadata;
use weir_protocol::job_graph::{JobGraph, JobVertex, Partitioning};
use weir_protocol::link::{Deployment, InputDeployment, OutputDeployment, ProducerLocation, TaskDeployment};
use weir_protocol::{ExecutionAttemptId, Generation, JobId, TaskManagerId};

use super::execution_graph::execution::Execution;
use super::execution_graph::{ExecutionEdge, ExecutionGraph, Place};
use super::restore::Assignment;
use crate::resource_manager::effect::GrantedSlot;

/// Number of slots that a job needs. One slot holds one subtask of every vertex.
pub fn slots_needed(graph: &JobGraph) -> u32 {
    graph.vertices.iter().map(|vertex| vertex.parallelism).max().unwrap_or(0)
}

/// What is deployed, and the checkpoint that it restores from.
#[derive(Debug, Clone, Copy)]
pub struct DeploymentPlan<'a> {
    pub job: JobId,
    /// The generation of the new attempts.
    pub generation: Generation,
    /// The subtasks to deploy: whole failover regions.
    pub places: &'a BTreeSet<Place>,
    /// The slots by their number within the job.
    pub slots: &'a BTreeMap<u32, GrantedSlot>,
    /// URI of the root of all checkpoints.
    pub checkpoint_dir: &'a str,
    /// The checkpoint that the subtasks restore from, if any.
    pub restore: Option<&'a CheckpointMetadata>,
    pub wall_ms: u64,
}

/// Puts new executions into the graph and returns one deployment for each TaskManager.
///
/// Subtask `i` of every vertex goes to slot `i`. Subtasks whose slot is missing are left out. The caller deploys only when no
/// slot is missing.
pub fn deploy(graph: &mut ExecutionGraph, plan: &DeploymentPlan<'_>) -> Vec<(TaskManagerId, Deployment)> {
    for place in plan.places {
        let Some(slot) = plan.slots.get(&place.1) else { continue };
        let id = graph.subtask(*place).id;
        let attempt = ExecutionAttemptId { job: plan.job, execution_vertex: id, generation: plan.generation };
        graph.replace(*place, Execution::deploying(attempt, slot.clone(), plan.wall_ms));
    }
    let mut tasks: BTreeMap<TaskManagerId, Vec<TaskDeployment>> = BTreeMap::new();
    let restore = plan.restore.map(|checkpoint| Assignment::new(checkpoint, &graph.graph));
    for place in plan.places {
        let Some(execution) = graph.execution(*place) else { continue };
        let task = task_deployment(graph, *place, execution, restore.as_ref());
        tasks.entry(execution.task_manager().clone()).or_default().push(task);
    }
    let deployment = |tasks| Deployment {
        job: plan.job,
        job_name: graph.graph.name.clone(),
        max_parallelism: graph.graph.max_parallelism,
        checkpoint_dir: plan.checkpoint_dir.to_string(),
        restore_checkpoint: plan.restore.map(|checkpoint| checkpoint.id),
        tasks,
    };
    tasks.into_iter().map(|(task_manager, tasks)| (task_manager, deployment(tasks))).collect()
}

fn task_deployment(
    graph: &ExecutionGraph,
    place: Place,
    execution: &Execution,
    restore: Option<&Assignment<'_>>,
) -> TaskDeployment {
    let vertex = &graph.vertices[place.0];
    let numbered = || graph.edges.iter().enumerate();
    let inputs = numbered().filter(|(_, edge)| edge.to == place.0).map(|(number, edge)| InputDeployment {
        edge: number as u32,
        input: edge.input,
        producers: producers(graph, edge, place.1),
        schema: graph.vertices[edge.from].descriptor.output_schema.clone(),
        partitioning: edge.partitioning.clone(),
    });
    let outputs = numbered().filter(|(_, edge)| edge.from == place.0).map(|(number, edge)| OutputDeployment {
        edge: number as u32,
        partitioning: edge.partitioning.clone(),
        consumers: consumers(graph, edge, place.1),
    });
    TaskDeployment {
        attempt: execution.attempt,
        slot: execution.slot.slot,
        allocation: execution.slot.allocation,
        vertex: JobVertex::clone(&vertex.descriptor),
        restore: restore.map(|state| state.subtask_state(vertex, place.1)).unwrap_or_default(),
        inputs: inputs.collect(),
        outputs: outputs.collect(),
    }
}

fn producers(graph: &ExecutionGraph, edge: &ExecutionEdge, consumer: u32) -> Vec<ProducerLocation> {
    let connected = connected(graph, edge.from, edge, consumer);
    let located = |execution: &Execution| ProducerLocation {
        attempt: execution.attempt,
        task_manager: execution.task_manager().clone(),
        data_address: execution.slot.data_address.clone(),
    };
    connected.into_iter().filter_map(|place| graph.execution(place).map(located)).collect()
}

fn consumers(graph: &ExecutionGraph, edge: &ExecutionEdge, producer: u32) -> Vec<ExecutionAttemptId> {
    let connected = connected(graph, edge.to, edge, producer);
    connected.into_iter().filter_map(|place| graph.execution(place).map(|execution| execution.attempt)).collect()
}

/// The subtasks of vertex `other` to which subtask `own`, at the other end of `edge`, is connected.
fn connected(graph: &ExecutionGraph, other: usize, edge: &ExecutionEdge, own: u32) -> Vec<Place> {
    let parallelism = graph.vertices[other].descriptor.parallelism;
    match edge.partitioning {
        Partitioning::Forward => (own < parallelism).then_some((other, own)).into_iter().collect(),
        Partitioning::Hash { .. } | Partitioning::Rebalance | Partitioning::Broadcast => {
            (0..parallelism).map(|subtask| (other, subtask)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job_master::testing::{JOB, edge, graph, slot, vertex};
    use weir_protocol::LeaderEpoch;

    fn deployed() -> (ExecutionGraph, Vec<(TaskManagerId, Deployment)>) {
        let hash = Partitioning::Hash { keys: vec!["k".into()] };
        let edges = vec![edge("source", "window", hash), edge("window", "sink", Partitioning::Forward)];
        let mut graph =
            ExecutionGraph::new(graph(vec![vertex("source", 1), vertex("window", 2), vertex("sink", 2)], edges)).expect("sound");
        let slots = BTreeMap::from([(0, slot(1, "a", 0)), (1, slot(2, "b", 3))]);
        let places = graph.places().collect();
        let plan = DeploymentPlan {
            job: JOB,
            generation: Generation { epoch: LeaderEpoch(4), attempt: 1 },
            places: &places,
            slots: &slots,
            checkpoint_dir: "file:///c",
            restore: None,
            wall_ms: 5,
        };
        let deployments = deploy(&mut graph, &plan);
        (graph, deployments)
    }

    #[test]
    fn one_deployment_per_task_manager_with_one_subtask_of_every_vertex_per_slot() {
        let (graph, deployments) = deployed();
        assert_eq!(slots_needed(&graph.graph), 2);
        let shape: Vec<_> = deployments
            .iter()
            .map(|(task_manager, deployment)| {
                let tasks = deployment
                    .tasks
                    .iter()
                    .map(|task| (task.vertex.uid.clone(), task.attempt.execution_vertex.subtask, task.slot));
                (task_manager.0.clone(), tasks.collect::<Vec<_>>())
            })
            .collect();
        let expected = [
            ("a".to_string(), vec![("source".to_string(), 0, 0), ("window".to_string(), 0, 0), ("sink".to_string(), 0, 0)]),
            ("b".to_string(), vec![("window".to_string(), 1, 3), ("sink".to_string(), 1, 3)]),
        ];
        assert_eq!(shape, expected);
    }

    #[test]
    fn both_ends_of_a_channel_name_each_other() {
        let (_, deployments) = deployed();
        let tasks: Vec<_> = deployments.iter().flat_map(|(_, deployment)| &deployment.tasks).collect();
        let mut from_outputs = BTreeSet::new();
        let mut from_inputs = BTreeSet::new();
        for task in &tasks {
            for output in &task.outputs {
                from_outputs.extend(output.consumers.iter().map(|consumer| (output.edge, task.attempt, *consumer)));
            }
            for input in &task.inputs {
                from_inputs.extend(input.producers.iter().map(|producer| (input.edge, producer.attempt, task.attempt)));
            }
        }
        assert_eq!(from_outputs, from_inputs);
        assert_eq!(from_outputs.len(), 2 + 2);
    }
}
