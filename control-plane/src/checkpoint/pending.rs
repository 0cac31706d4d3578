//! A checkpoint under way.

use std::collections::{BTreeMap, BTreeSet};

use weir_ha::CompletedCheckpoint;
use weir_protocol::checkpoint::{CheckpointBarrier, SubtaskSnapshot};
use weir_protocol::link::CheckpointAcknowledgement;
use weir_protocol::{CheckpointId, ExecutionAttemptId, ExecutionVertexId, Generation};
use weir_world::Millis;
use weir_world::flaw::{Flaw, is_planted};

/// How far a checkpoint has come.
#[derive(Debug, Clone, PartialEq, Hash)]
pub enum PendingPhase {
    /// Acknowledgements are missing.
    Collecting,
    /// All are there; an earlier one is completed first, so that ids of completions increase (B1).
    Acknowledged,
    /// The metadata file is being written.
    Writing,
    /// The pointer is being appended.
    Appending(Box<CompletedCheckpoint>),
    /// The append has an unknown outcome: asked again at the given time, never given up (C3).
    Held(Box<CompletedCheckpoint>, Millis),
}

/// Who asked for a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CheckpointRequest {
    /// Number of the request, for the answer.
    pub request: u64,
    /// Whether a savepoint is asked for; a checkpoint otherwise.
    pub savepoint: bool,
    /// Where to; the job's checkpoint directory if absent.
    pub target_directory: Option<String>,
    /// Whether the job is to end with it.
    pub stop: bool,
}

/// A checkpoint that was triggered and is neither complete nor aborted.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct PendingCheckpoint {
    /// What travels in the stream.
    pub barrier: CheckpointBarrier,
    /// The newest generation of its tasks.
    pub generation: Generation,
    /// Everyone who takes part: the plan, fixed at the trigger.
    pub attempts: Vec<ExecutionAttemptId>,
    /// Not complete by then, it is aborted.
    pub deadline: Millis,
    /// Who asked for it, if someone did.
    pub request: Option<CheckpointRequest>,
    /// How far it has come.
    pub phase: PendingPhase,
    waiting: BTreeSet<ExecutionAttemptId>,
    parts: BTreeMap<ExecutionVertexId, SubtaskSnapshot>,
}

/// What an acknowledgement did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Acknowledged {
    /// Nothing: it was here before, or comes from an attempt that takes no part.
    Ignored,
    /// It is not what that subtask must send; the checkpoint can't complete.
    Malformed(String),
    /// It counts; others are missing.
    Partly,
    /// It was the last.
    Fully,
}

impl PendingCheckpoint {
    /// A checkpoint just triggered.
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

    /// Its id.
    pub fn id(&self) -> CheckpointId {
        self.barrier.id
    }

    /// Whether what happens to tasks can't change its fate any more, only the stores can.
    pub fn is_completing(&self) -> bool {
        !matches!(self.phase, PendingPhase::Collecting | PendingPhase::Acknowledged)
    }

    /// Takes an acknowledgement: once per attempt, and only of attempts in the plan, so none of an older generation.
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

    /// How many have not acknowledged.
    pub fn missing(&self) -> usize {
        self.waiting.len()
    }

    /// Every subtask's part, ordered by vertex and subtask.
    pub fn take_parts(&mut self) -> Vec<SubtaskSnapshot> {
        std::mem::take(&mut self.parts).into_values().collect()
    }
}
