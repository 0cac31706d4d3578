//! The ExecutionGraph: the job graph with one node per subtask, and the state of each subtask.

pub mod execution;
mod tally;
pub mod vertex;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use weir_protocol::job_graph::{JobGraph, Partitioning};
use weir_protocol::job_status::ExecutionState;
use weir_protocol::{ExecutionAttemptId, ExecutionVertexId, JobVertexId, TaskManagerId};
use weir_world::flaw::{Flaw, is_planted};

use execution::{Execution, IllegalTransition};
use tally::Tally;
use vertex::{ExecutionJobVertex, ExecutionVertex};

/// Identifies a subtask: the number of its vertex in the job graph's order, and the number of the subtask.
pub type Place = (usize, u32);

/// An edge between two vertices.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionEdge {
    /// Number of the producing vertex.
    pub from: usize,
    /// Number of the consuming vertex.
    pub to: usize,
    /// Number of the input of the consumer.
    pub input: u32,
    pub partitioning: Partitioning,
}

/// The subtasks of a running job, with their executions.
#[derive(Debug, Clone, PartialEq)]
pub struct ExecutionGraph {
    pub graph: Arc<JobGraph>,
    /// The vertices, in the job graph's order.
    pub vertices: Vec<ExecutionJobVertex>,
    /// The edges, in the job graph's order. The number of an edge is its index here.
    pub edges: Arc<[ExecutionEdge]>,
    numbers: Arc<BTreeMap<JobVertexId, usize>>,
    tally: Tally,
}

/// A job graph that can't be executed, because an edge names a vertex that does not exist. Validation refuses such graphs.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("JG-DANGLING-EDGE: an edge names vertex {0:?}, which the job graph does not have")]
pub struct DanglingEdge(pub String);

impl Hash for ExecutionGraph {
    /// Hashes the state of the subtasks. The rest never changes.
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.vertices.iter().for_each(|vertex| vertex.subtasks.hash(state));
    }
}

impl ExecutionGraph {
    /// Creates the graph. Nothing is deployed yet.
    pub fn new(graph: Arc<JobGraph>) -> Result<Self, DanglingEdge> {
        let vertices: Vec<_> = graph.vertices.iter().cloned().map(ExecutionJobVertex::new).collect();
        let by_uid: BTreeMap<&str, usize> =
            graph.vertices.iter().enumerate().map(|(number, vertex)| (vertex.uid.as_str(), number)).collect();
        let number_of = |uid: &str| by_uid.get(uid).copied().ok_or_else(|| DanglingEdge(uid.to_string()));
        let mut edges = Vec::with_capacity(graph.edges.len());
        for edge in &graph.edges {
            let (from, to) = (number_of(&edge.from)?, number_of(&edge.to)?);
            edges.push(ExecutionEdge { from, to, input: edge.input, partitioning: edge.partitioning.clone() });
        }
        let numbers = vertices.iter().enumerate().map(|(number, vertex)| (vertex.id, number)).collect();
        let tally = tally_of(&vertices);
        Ok(Self { graph, vertices, edges: edges.into(), numbers: Arc::new(numbers), tally })
    }

    /// The places of all subtasks, ordered by vertex and subtask.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        let subtasks = |(number, vertex): (usize, &ExecutionJobVertex)| {
            (0..vertex.descriptor.parallelism).map(move |subtask| (number, subtask))
        };
        self.vertices.iter().enumerate().flat_map(subtasks)
    }

    /// The place of a subtask; `None` if the graph does not have it.
    pub fn place_of(&self, id: ExecutionVertexId) -> Option<Place> {
        let number = *self.numbers.get(&id.vertex)?;
        (id.subtask < self.vertices[number].descriptor.parallelism).then_some((number, id.subtask))
    }

    /// The subtask at a place.
    pub fn subtask(&self, place: Place) -> &ExecutionVertex {
        &self.vertices[place.0].subtasks[place.1 as usize]
    }

    /// Gives the subtask at a place a new execution. The former one must have ended (F2).
    pub fn replace(&mut self, place: Place, execution: Execution) {
        let subtask = subtask_mut(&mut self.vertices, place);
        if let Some(former) = &subtask.execution {
            self.tally.remove(former);
        }
        self.tally.add(&execution);
        subtask.replace(execution);
    }

    /// Changes the state of the execution at a place, if there is one and the transition table allows it. If the new state is terminal,
    /// `wall_ms` is recorded as the end.
    pub fn transition(&mut self, place: Place, to: ExecutionState, wall_ms: u64) -> Result<(), IllegalTransition> {
        self.change(place, |execution| execution.transition(to, wall_ms)).unwrap_or(Ok(()))
    }

    /// Notes that a task has processed all of its input.
    pub fn input_ended(&mut self, attempt: ExecutionAttemptId) {
        if let Some((place, _)) = self.current(attempt) {
            self.change(place, |execution| execution.input_ended = true);
        }
    }

    /// Changes what the tally counts of an execution.
    fn change<T>(&mut self, place: Place, change: impl FnOnce(&mut Execution) -> T) -> Option<T> {
        let execution = subtask_mut(&mut self.vertices, place).execution.as_mut()?;
        self.tally.remove(execution);
        let changed = change(execution);
        self.tally.add(execution);
        Some(changed)
    }

    /// The newest execution of the subtask at a place, if it was deployed.
    pub fn execution(&self, place: Place) -> Option<&Execution> {
        self.subtask(place).execution.as_ref()
    }

    /// The current execution with this attempt id; `None` for former and unknown attempts.
    pub fn current(&mut self, attempt: ExecutionAttemptId) -> Option<(Place, &mut Execution)> {
        let place = self.place_of(attempt.execution_vertex)?;
        let execution = subtask_mut(&mut self.vertices, place).execution.as_mut()?;
        (execution.attempt == attempt || is_planted(Flaw::FormerAttemptBelieved)).then_some((place, execution))
    }

    /// The newest executions of all subtasks that were deployed.
    pub fn executions(&self) -> impl Iterator<Item = &Execution> {
        self.vertices.iter().flat_map(|vertex| &vertex.subtasks).filter_map(|subtask| subtask.execution.as_ref())
    }

    /// Whether the newest execution of every subtask is in this state.
    pub fn all_are(&self, state: ExecutionState) -> bool {
        self.checked_tally().all_are(state)
    }

    /// Whether all tasks have processed all of their input.
    pub fn all_inputs_ended(&self) -> bool {
        self.checked_tally().all_inputs_ended()
    }

    /// Whether no task may still run.
    pub fn nothing_lives(&self) -> bool {
        self.checked_tally().nothing_lives()
    }

    fn checked_tally(&self) -> &Tally {
        debug_assert_eq!(self.tally, tally_of(&self.vertices), "the tally misses a change");
        &self.tally
    }

    /// The places of live executions on this TaskManager.
    pub fn live_on(&self, task_manager: &TaskManagerId) -> BTreeSet<Place> {
        let on_it = |execution: &Execution| execution.is_live() && execution.task_manager() == task_manager;
        self.places().filter(|place| self.execution(*place).is_some_and(on_it)).collect()
    }

    /// Groups these attempts by TaskManager. Attempts that are not current or have ended are left out.
    pub fn by_task_manager(
        &self,
        attempts: impl IntoIterator<Item = ExecutionAttemptId>,
    ) -> BTreeMap<TaskManagerId, Vec<ExecutionAttemptId>> {
        let mut grouped: BTreeMap<TaskManagerId, Vec<ExecutionAttemptId>> = BTreeMap::new();
        for attempt in attempts {
            let Some(place) = self.place_of(attempt.execution_vertex) else { continue };
            let Some(execution) = self.execution(place) else { continue };
            if execution.attempt == attempt && execution.is_live() {
                grouped.entry(execution.task_manager().clone()).or_default().push(attempt);
            }
        }
        grouped
    }

    /// Describes a subtask for people, e.g. `name (3/4)`.
    pub fn describe(&self, place: Place) -> String {
        let vertex = &self.vertices[place.0].descriptor;
        let name = if vertex.name.is_empty() { &vertex.uid } else { &vertex.name };
        format!("{name} ({}/{})", place.1 + 1, vertex.parallelism)
    }
}

/// The subtask at a place, to be changed.
fn subtask_mut(vertices: &mut [ExecutionJobVertex], place: Place) -> &mut ExecutionVertex {
    &mut vertices[place.0].subtasks[place.1 as usize]
}

/// Counts the executions of all subtasks.
fn tally_of(vertices: &[ExecutionJobVertex]) -> Tally {
    let subtasks = || vertices.iter().flat_map(|vertex| &vertex.subtasks);
    let mut tally = Tally::new(subtasks().count());
    subtasks().filter_map(|subtask| subtask.execution.as_ref()).for_each(|execution| tally.add(execution));
    tally
}
