//! A checkpoint that is neither complete nor aborted.

use std::collections::{BTreeMap, BTreeSet};

use weir_ha::CompletedCheckpoint;
use weir_protocol::checkpoint::{CheckpointBarrier, SubtaskSnapshot};
use weir_protocol::link::CheckpointAcknowledgement;
use weir_protocol::{CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation};
use weir_world::Millis;
use weir_world::flaw::{Flaw, is_planted};

/// The progress of a pending checkpoint.
#[derive(Debug, Clone, PartialEq, Hash)]
pub enum PendingPhase {
    /// Some acknowledgements are missing.
    Collecting,
    /// All acknowledgements are there. Earlier checkpoints complete first, so that ids of completions increase (B1).
    Acknowledged,
    /// The metadata file is being written.
    Writing,
    /// The pointer is being appended.
    Appending(Box<CompletedCheckpoint>),
    /// The append has an unknown outcome. It is repeated at the given time, and never given up (C3).
    Held(Box<CompletedCheckpoint>, Millis),
}

/// A user's request for a savepoint or a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CheckpointRequest {
    /// Number of the request, for the answer.
    pub request: u64,
    /// Whether the user wants a savepoint; otherwise a checkpoint.
    pub savepoint: bool,
    /// Directory for the savepoint; `None` means the configured one.
    pub target_directory: Option<String>,
    /// Whether the job stops with this savepoint.
    pub stop: bool,
}

/// A checkpoint that was triggered and is neither complete nor aborted.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct PendingCheckpoint {
    pub barrier: CheckpointBarrier,
    /// The newest generation of its tasks.
    pub generation: Generation,
    /// The tasks that take part, fixed at the trigger.
    pub attempts: Vec<ExecutionAttemptId>,
    /// If acknowledgements are missing at this time, the checkpoint is aborted.
    pub deadline: Millis,
    /// Set if a user requested this checkpoint.
    pub request: Option<CheckpointRequest>,
    pub phase: PendingPhase,
    waiting: BTreeSet<ExecutionAttemptId>,
    parts: BTreeMap<ExecutionVertexId, SubtaskSnapshot>,
}

/// The effect of an acknowledgement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acknowledged {
    /// It has no effect: it is a repetition, or its attempt does not take part.
    Ignored,
    /// It is not what this subtask must send, so the checkpoint can't complete.
    Malformed(String),
    /// It counts, and others are missing.
    Partly,
    /// It counts, and it was the last.
    Fully,
}

impl PendingCheckpoint {
    /// Creates a checkpoint that has just been triggered.
    pub fn new(
        barrier: CheckpointBarrier,
        generation: Generation,
        attempts: Vec<ExecutionAttemptId>,
        deadline: Millis,
        request: Option<CheckpointRequest>,
    ) -> Self {
        let waiting = attempts.iter().copied().collect();
        let phase = PendingPhase::Collecting;
        Self { barrier, generation, attempts, deadline, request, phase, waiting, parts: BTreeMap::new() }
    }

    /// The id of the checkpoint.
    pub fn id(&self) -> CheckpointId {
        self.barrier.id
    }

    /// Whether the outcome depends on the stores only, so that a failure of a task no longer aborts the checkpoint.
    pub fn is_completing(&self) -> bool {
        !matches!(self.phase, PendingPhase::Collecting | PendingPhase::Acknowledged)
    }

    /// Whether its pointer may be in the store already, so that only the store knows whether it is the newest checkpoint.
    pub fn is_appending(&self) -> bool {
        matches!(self.phase, PendingPhase::Appending(_) | PendingPhase::Held(..))
    }

    /// Takes an acknowledgement. Each attempt counts once. Attempts that take no part, such as those of an older generation, are
    /// ignored.
    pub fn acknowledge(&mut self, acknowledgement: &CheckpointAcknowledgement) -> Acknowledged {
        debug_assert_eq!(acknowledgement.checkpoint, self.id());
        if self.phase != PendingPhase::Collecting || !self.waiting.contains(&acknowledgement.attempt) {
            return Acknowledged::Ignored;
        }
        let (of, by) = (acknowledgement.snapshot.execution_vertex, acknowledgement.attempt.execution_vertex);
        if of != by {
            return Acknowledged::Malformed(format!("subtask {by} acknowledged with the state of {of}"));
        }
        self.waiting.remove(&acknowledgement.attempt);
        self.parts.insert(of, acknowledgement.snapshot.clone());
        let complete = self.waiting.is_empty() || is_planted(Flaw::FirstAcknowledgementCompletes);
        if complete { Acknowledged::Fully } else { Acknowledged::Partly }
    }

    /// Number of attempts that have not acknowledged.
    pub fn missing(&self) -> usize {
        self.waiting.len()
    }

    /// Takes the parts of all subtasks out, ordered by vertex and subtask.
    pub fn take_parts(&mut self) -> Vec<SubtaskSnapshot> {
        std::mem::take(&mut self.parts).into_values().collect()
    }
}
