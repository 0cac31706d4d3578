//! Whether a checkpoint fits a job graph (B6), and which saved state each operator takes.
//!
//! An operator takes the state that was saved under its uid, from whatever vertex and position of its chain. If there is none, it
//! takes the state at its own place: vertex id and position in the chain. At a place, state is only taken
//!
//! - if no operator takes it by uid,
//! - unless operator and state both have a uid, because these are different operators then,
//! - if the chain is as long as it was, because otherwise the position does not tell which operator is meant,
//! - if the operator is of the kind that saved the state, as far as the checkpoint says it.
//!
//! An operator that takes no state starts empty. If state is left over, the checkpoint is refused, unless the user drops it.

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::checkpoint::{CheckpointMetadata, OperatorSnapshot, SubtaskSnapshot};
use weir_protocol::job_graph::{JobGraph, JobVertex, OperatorDescriptor};
use weir_protocol::link::OperatorRestore;
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
    /// The checkpoint holds state of an operator with a uid, which the job graph does not have.
    #[error(
        "RESTORE-UNKNOWN-UID: the checkpoint holds state of the operator {uid:?} ({kind}), and no operator of the job graph has this \
         uid; give the operator its former uid back, or drop this state: submit with --allow-non-restored-state"
    )]
    UnknownUid {
        uid: String,
        /// The operator's kind.
        kind: String,
    },
    /// The chain of a vertex has changed.
    #[error(
        "RESTORE-CHAIN: vertex {uid:?} had {checkpoint} operators when the checkpoint was taken and has {graph} now; \
         state without a uid is matched by position in the chain; put the former operators back, or give the vertex a new id and \
         submit with --allow-non-restored-state to start its operators without this state"
    )]
    Chain {
        uid: String,
        /// Operators in the checkpoint.
        checkpoint: usize,
        /// Operators in the job graph.
        graph: usize,
    },
    /// An operator of another kind is at the place where state was saved.
    #[error(
        "RESTORE-OPERATOR: operator {position} of vertex {uid:?} was {checkpoint} when the checkpoint was taken and is {graph} now; \
         state without a uid is matched by position in the chain; put the former operator back, or give the vertex a new id and \
         submit with --allow-non-restored-state to start its operators without this state"
    )]
    Operator {
        uid: String,
        /// The position in the chain, from 0.
        position: usize,
        /// The operator that saved the state.
        checkpoint: String,
        /// The operator in the job graph.
        graph: String,
    },
    /// Subtasks of a vertex are missing from the checkpoint.
    #[error("RESTORE-INCOMPLETE: the checkpoint lacks subtask {subtask} of vertex {uid:?}")]
    Incomplete {
        uid: String,
        /// The first missing subtask.
        subtask: u32,
    },
}

/// The place of an operator in a checkpoint: vertex, and position in the chain.
type SavedPlace = (JobVertexId, usize);

/// Checks that a checkpoint fits the graph (B6). An operator that is new in the graph starts without state. The state of a vertex or
/// of a uid that is no longer in the graph is dropped only if the graph allows it. An operator that saved no state needs no place.
pub fn check(checkpoint: &CheckpointMetadata, graph: &JobGraph) -> Result<(), RestoreMismatch> {
    if checkpoint.max_parallelism != graph.max_parallelism {
        let (checkpoint, graph) = (checkpoint.max_parallelism, graph.max_parallelism);
        return Err(RestoreMismatch::MaxParallelism { checkpoint, graph });
    }
    let vertices: BTreeMap<JobVertexId, &JobVertex> = graph.vertices.iter().map(|vertex| (vertex.id(), vertex)).collect();
    check_subtasks(checkpoint, &vertices)?;
    let assignment = Assignment::new(checkpoint, graph);
    let taken: BTreeSet<SavedPlace> = assignment.taken.values().flatten().flatten().copied().collect();
    for (&id, parts) in &assignment.saved {
        let Some(first) = parts.first() else { continue };
        for (position, operator) in first.operators.iter().enumerate() {
            let has_state = || parts.iter().any(|part| part.operators.get(position).is_some_and(OperatorSnapshot::has_state));
            if !taken.contains(&(id, position)) && has_state() {
                refuse_left_over(graph, vertices.get(&id).copied(), first, position, operator)?;
            }
        }
    }
    Ok(())
}

/// Checks that no subtask of a vertex is missing. The last ones may be, because a checkpoint does not say how many there were.
fn check_subtasks(checkpoint: &CheckpointMetadata, vertices: &BTreeMap<JobVertexId, &JobVertex>) -> Result<(), RestoreMismatch> {
    let mut next: BTreeMap<JobVertexId, u32> = BTreeMap::new();
    for part in &checkpoint.subtasks {
        let ExecutionVertexId { vertex: id, subtask } = part.execution_vertex;
        let expected = next.entry(id).or_default();
        if subtask != *expected {
            let uid = vertices.get(&id).map_or_else(|| id.to_string(), |vertex| vertex.uid.clone());
            return Err(RestoreMismatch::Incomplete { uid, subtask: *expected });
        }
        *expected += 1;
    }
    Ok(())
}

/// The refusal of state that no operator takes. `saved` is the chain that it belongs to. State is dropped only where the graph
/// clearly does not have its operator any more.
fn refuse_left_over(
    graph: &JobGraph,
    vertex: Option<&JobVertex>,
    saved: &SubtaskSnapshot,
    position: usize,
    operator: &OperatorSnapshot,
) -> Result<(), RestoreMismatch> {
    let kind = || operator.kind.clone().unwrap_or_else(|| "of unknown kind".to_string());
    match (&operator.uid, vertex) {
        (Some(_), _) | (None, None) if graph.allow_non_restored_state => Ok(()),
        (Some(uid), _) => Err(RestoreMismatch::UnknownUid { uid: uid.clone(), kind: kind() }),
        (None, None) => Err(RestoreMismatch::UnknownVertex(saved.execution_vertex.vertex)),
        (None, Some(vertex)) => {
            let uid = vertex.uid.clone();
            let now = vertex.operators.get(position).filter(|_| vertex.operators.len() == saved.operators.len());
            Err(match now {
                Some(now) => RestoreMismatch::Operator { uid, position, checkpoint: kind(), graph: described(now) },
                None => {
                    let (checkpoint, graph) = (saved.operators.len(), vertex.operators.len());
                    RestoreMismatch::Chain { uid, checkpoint, graph }
                }
            })
        }
    }
}

fn described(operator: &OperatorDescriptor) -> String {
    match &operator.uid {
        Some(uid) => format!("{} with the uid {uid:?}", operator.kind),
        None => operator.kind.clone(),
    }
}

/// The saved state that each operator of a job graph takes from a checkpoint.
#[derive(Debug)]
pub struct Assignment<'a> {
    /// The parts of each vertex of the checkpoint, in subtask order.
    saved: BTreeMap<JobVertexId, Vec<&'a SubtaskSnapshot>>,
    /// The places of the state that the operators of each vertex of the graph take, in chain order.
    taken: BTreeMap<JobVertexId, Vec<Option<SavedPlace>>>,
}

impl<'a> Assignment<'a> {
    /// Matches the operators of a checkpoint and a graph. Every saved operator is taken at most once.
    pub fn new(checkpoint: &'a CheckpointMetadata, graph: &JobGraph) -> Self {
        let mut saved: BTreeMap<JobVertexId, Vec<&SubtaskSnapshot>> = BTreeMap::new();
        for part in &checkpoint.subtasks {
            saved.entry(part.execution_vertex.vertex).or_default().push(part);
        }
        // All subtasks of a vertex have the same operators, so the first one tells them.
        let chains = || saved.iter().filter_map(|(id, parts)| parts.first().map(|first| (*id, &first.operators)));
        let places = chains().flat_map(|(id, operators)| operators.iter().enumerate().map(move |(i, saved)| ((id, i), saved)));
        let by_uid: BTreeMap<&str, SavedPlace> =
            places.filter_map(|(place, operator)| Some((operator.uid.as_deref()?, place))).collect();
        let found = |operator: &OperatorDescriptor| by_uid.get(operator.uid.as_deref()?).copied();
        let all = graph.vertices.iter().flat_map(|vertex| &vertex.operators);
        let found_by_uid: BTreeSet<SavedPlace> = all.filter_map(found).collect();
        let at_place = |vertex: &JobVertex, position: usize, operator: &OperatorDescriptor| {
            let place = (vertex.id(), position);
            let chain = &saved.get(&place.0)?.first()?.operators;
            let fits = chain.len() == vertex.operators.len() && may_take_at_place(operator, chain.get(position)?);
            (fits && !found_by_uid.contains(&place)).then_some(place)
        };
        let taken = graph.vertices.iter().map(|vertex| {
            let operators = vertex.operators.iter().enumerate();
            let places = operators.map(|(position, operator)| found(operator).or_else(|| at_place(vertex, position, operator)));
            (vertex.id(), places.collect())
        });
        let taken = taken.collect();
        Self { saved, taken }
    }

    /// The state that the operators of subtask `subtask` of `vertex` need, in chain order. Empty if none of them takes any.
    ///
    /// If as many subtasks saved an operator's state as `vertex` has now, the subtask gets only its own part. Otherwise it gets all
    /// parts, and the worker takes the key groups of the subtask from them.
    pub fn subtask_state(&self, vertex: &ExecutionJobVertex, subtask: u32) -> Vec<OperatorRestore> {
        let places = self.taken.get(&vertex.id).map(Vec::as_slice).unwrap_or_default();
        if places.iter().all(Option::is_none) {
            return Vec::new();
        }
        let restore = |place: &Option<SavedPlace>| {
            let Some((former_vertex, position)) = *place else { return OperatorRestore::default() };
            let former = self.saved.get(&former_vertex).map(Vec::as_slice).unwrap_or_default();
            let unchanged = former.len() == vertex.descriptor.parallelism as usize;
            let forgotten = is_planted(Flaw::StateNotRestored) && subtask == 0;
            let wanted = |part: &&SubtaskSnapshot| (!unchanged || part.execution_vertex.subtask == subtask) && !forgotten;
            let parts = former.iter().copied().filter(wanted).filter_map(|part| {
                let state = part.operators.get(position).filter(|state| state.has_state())?;
                Some((part.execution_vertex.subtask, state.clone()))
            });
            OperatorRestore { former_parallelism: former.len() as u32, parts: parts.collect() }
        };
        places.iter().map(restore).collect()
    }
}

/// Whether an operator may take state that was saved at its place, as far as uid and kind tell.
fn may_take_at_place(operator: &OperatorDescriptor, saved: &OperatorSnapshot) -> bool {
    let different_uids = operator.uid.is_some() && saved.uid.is_some();
    !different_uids && saved.kind.as_ref().is_none_or(|kind| *kind == operator.kind)
}

#[cfg(test)]
mod tests;
