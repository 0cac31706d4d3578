//! An attempt to run a subtask.

use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::TaskMetrics;
use weir_protocol::{ExecutionAttemptId, TaskManagerId};

use crate::resource_manager::effect::GrantedSlot;

/// An attempt to run a subtask in a slot.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Execution {
    pub attempt: ExecutionAttemptId,
    pub slot: GrantedSlot,
    /// The newest counters from its TaskManager.
    pub metrics: Option<TaskMetrics>,
    /// Whether it has processed all of its input and waits for the final checkpoint.
    pub(super) input_ended: bool,
    /// When it was deployed: wall-clock milliseconds since 1970.
    pub started_at: u64,
    /// When it ended: wall-clock milliseconds since 1970.
    pub ended_at: Option<u64>,
    state: ExecutionState,
}

/// A change of state that is not in the transition table of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an execution can't go from {from:?} to {to:?}")]
pub struct IllegalTransition {
    pub from: ExecutionState,
    pub to: ExecutionState,
}

impl Execution {
    /// Creates an execution that is being sent to its TaskManager. `started_at` is wall-clock milliseconds since 1970.
    pub fn deploying(attempt: ExecutionAttemptId, slot: GrantedSlot, started_at: u64) -> Self {
        let state = ExecutionState::Deploying;
        Self { attempt, slot, metrics: None, input_ended: false, started_at, ended_at: None, state }
    }

    /// The state of the execution.
    pub fn state(&self) -> ExecutionState {
        self.state
    }

    /// The TaskManager of its slot.
    pub fn task_manager(&self) -> &TaskManagerId {
        &self.slot.task_manager
    }

    /// Whether the task may still run.
    pub fn is_live(&self) -> bool {
        !self.state.is_terminal()
    }

    /// Changes the state if the transition table allows it. If the new state is terminal, `wall_ms` is recorded as the end.
    pub(super) fn transition(&mut self, to: ExecutionState, wall_ms: u64) -> Result<(), IllegalTransition> {
        if !self.state.may_become(to) {
            return Err(IllegalTransition { from: self.state, to });
        }
        self.state = to;
        if to.is_terminal() {
            self.ended_at = Some(wall_ms);
        }
        Ok(())
    }
}
