//! Whether a checkpoint fits a job graph (B6), and which parts of it each subtask needs.

use std::collections::BTreeMap;

use weir_protocol::checkpoint::{CheckpointMetadata, OperatorSnapshot, SubtaskSnapshot};
use weir_protocol::job_graph::JobGraph;
use weir_protocol::{ExecutionVertexId, JobVertexId};
use weir_world::flaw::{Flaw, is_planted};

use super::execution_graph::vertex::ExecutionJobVertex;

/// A checkpoint that does not fit the job graph. No retry can help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RestoreMismatch {
    /// The numbers of key groups differ, so keyed state can't be distributed.
    #[error(
        "RESTORE-MAX-PARALLELISM: the checkpoint was taken with max_parallelism {checkpoint}, the job graph says {graph}; \
         set it back to {checkpoint}"
    )]
    MaxParallelism {
        checkpoint: u32,
        /// The number in the job graph.
        graph: u32,
    },
    /// The checkpoint holds state of a vertex that the job graph does not have.
    #[error(
        "RESTORE-UNKNOWN-VERTEX: the checkpoint holds state of a vertex ({0}) that the job graph does not have; \
         give the vertex its former id back, or drop this state: submit with --allow-non-restored-state"
    )]
    UnknownVertex(JobVertexId),
    /// The chain of a vertex has changed.
    #[error(
        "RESTORE-CHAIN: vertex {uid:?} had {checkpoint} operators when the checkpoint was taken and has {graph} now; \
         state is matched by position in the chain; put the former operators back, or give the vertex a new id and submit with \
         --allow-non-restored-state to start it without state"
    )]
    Chain {
        uid: String,
        /// Operators in the checkpoint.
        checkpoint: usize,
        /// Operators in the job graph.
        graph: usize,
    },
    /// Subtasks of a vertex are missing from the checkpoint.
    #[error("RESTORE-INCOMPLETE: the checkpoint lacks subtask {subtask} of vertex {uid:?}")]
    Incomplete {
        uid: String,
        /// The first missing subtask.
        subtask: u32,
    },
}

/// Checks that a checkpoint fits the graph (B6). A vertex that is new in the graph starts without state. The state of a vertex that
/// is no longer in the graph is dropped only if the graph allows it.
pub fn check(checkpoint: &CheckpointMetadata, graph: &JobGraph) -> Result<(), RestoreMismatch> {
    if checkpoint.max_parallelism != graph.max_parallelism {
        let (checkpoint, graph) = (checkpoint.max_parallelism, graph.max_parallelism);
        return Err(RestoreMismatch::MaxParallelism { checkpoint, graph });
    }
    let vertices: BTreeMap<JobVertexId, _> = graph.vertices.iter().map(|vertex| (vertex.id(), vertex)).collect();
    let mut next: BTreeMap<JobVertexId, u32> = BTreeMap::new();
    for part in &checkpoint.subtasks {
        let ExecutionVertexId { vertex: id, subtask } = part.execution_vertex;
        let vertex = match vertices.get(&id) {
            Some(vertex) => vertex,
            // No subtask asks for this part.
            None if graph.allow_non_restored_state => continue,
            None => return Err(RestoreMismatch::UnknownVertex(id)),
        };
        if part.operators.len() != vertex.operators.len() {
            let (checkpoint, graph) = (part.operators.len(), vertex.operators.len());
            return Err(RestoreMismatch::Chain { uid: vertex.uid.clone(), checkpoint, graph });
        }
        let expected = next.entry(id).or_default();
        if subtask != *expected {
            return Err(RestoreMismatch::Incomplete { uid: vertex.uid.clone(), subtask: *expected });
        }
        *expected += 1;
    }
    Ok(())
}

/// The state that subtask `subtask` of `vertex` needs. There is one entry per former subtask, so that the worker knows their
/// number.
///
/// If the parallelism is unchanged, all entries but the subtask's own are blank. Otherwise all are complete, and the worker takes
/// the key groups of the subtask from them.
pub fn subtask_parts(checkpoint: &CheckpointMetadata, vertex: &ExecutionJobVertex, subtask: u32) -> Vec<SubtaskSnapshot> {
    let former = || checkpoint.subtasks.iter().filter(|part| part.execution_vertex.vertex == vertex.id);
    let unchanged = former().count() == vertex.descriptor.parallelism as usize;
    let wanted = |part: &SubtaskSnapshot| {
        let forgotten = is_planted(Flaw::StateNotRestored) && subtask == 0;
        if (!unchanged || part.execution_vertex.subtask == subtask) && !forgotten {
            return part.clone();
        }
        let blank = vec![OperatorSnapshot::default(); part.operators.len()];
        SubtaskSnapshot { execution_vertex: part.execution_vertex, operators: blank }
    };
    former().map(wanted).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::job_master::testing::{graph, metadata, vertex};
    use bytes::Bytes;
    use weir_protocol::checkpoint::StateHandle;

    fn checkpoint(former: u32) -> CheckpointMetadata {
        let mut checkpoint = metadata(3, &graph(vec![vertex("v", former)], vec![]));
        for part in &mut checkpoint.subtasks {
            let subtask = part.execution_vertex.subtask as u8;
            part.operators[0].operator_state = Some(StateHandle::Inline(Bytes::from(vec![subtask])));
        }
        checkpoint
    }

    fn states(parts: &[SubtaskSnapshot]) -> Vec<bool> {
        parts.iter().map(|part| part.operators[0].operator_state.is_some()).collect()
    }

    #[test]
    fn with_unchanged_parallelism_a_subtask_gets_its_own_state_and_the_number_of_former_subtasks() {
        let parts = subtask_parts(&checkpoint(3), &ExecutionJobVertex::new(vertex("v", 3)), 1);
        assert_eq!(states(&parts), [false, true, false]);
    }

    #[test]
    fn when_rescaling_a_subtask_gets_the_state_of_every_former_subtask() {
        let parts = subtask_parts(&checkpoint(1), &ExecutionJobVertex::new(vertex("v", 2)), 0);
        assert_eq!(states(&parts), [true]);
        let parts = subtask_parts(&checkpoint(3), &ExecutionJobVertex::new(vertex("v", 2)), 1);
        assert_eq!(states(&parts), [true, true, true]);
    }

    #[test]
    fn b6_a_checkpoint_that_does_not_fit_the_graph_is_refused() {
        let fits = checkpoint(2);
        assert_eq!(check(&fits, &graph(vec![vertex("v", 2), vertex("new", 1)], vec![])), Ok(()));

        let mut other = fits.clone();
        other.max_parallelism = 7;
        assert!(matches!(check(&other, &graph(vec![vertex("v", 2)], vec![])), Err(RestoreMismatch::MaxParallelism { .. })));
        assert!(matches!(check(&fits, &graph(vec![vertex("w", 2)], vec![])), Err(RestoreMismatch::UnknownVertex(_))));

        let mut without = JobGraph::clone(&graph(vec![vertex("w", 2)], vec![]));
        without.allow_non_restored_state = true;
        assert_eq!(check(&fits, &without), Ok(()), "the user drops the state of v");
        assert_eq!(subtask_parts(&fits, &ExecutionJobVertex::new(vertex("w", 2)), 0), []);

        let mut longer = vertex("v", 2);
        longer.operators.push(longer.operators[0].clone());
        assert!(matches!(check(&fits, &graph(vec![longer], vec![])), Err(RestoreMismatch::Chain { .. })));

        let mut torn = fits;
        torn.subtasks.remove(0);
        let refused = check(&torn, &graph(vec![vertex("v", 2)], vec![]));
        assert_eq!(refused, Err(RestoreMismatch::Incomplete { uid: "v".to_string(), subtask: 0 }));
    }
}
