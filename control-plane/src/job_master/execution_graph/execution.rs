//! One deployment of one subtask.

use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::TaskMetrics;
use weir_protocol::{ExecutionAttemptId, TaskManagerId};

use crate::resource_manager::effect::GrantedSlot;

/// An attempt to run a subtask in a slot.
#[derive(Debug, Clone, PartialEq, Hash)]
pub struct Execution {
    pub attempt: ExecutionAttemptId,
    /// Where it runs.
    pub slot: GrantedSlot,
    /// Its newest counters.
    pub metrics: Option<TaskMetrics>,
    /// It has processed all of its input and waits for the final checkpoint.
    pub input_ended: bool,
    /// Wall-clock milliseconds of its deployment.
    pub started_at: u64,
    /// Wall-clock milliseconds of its end.
    pub ended_at: Option<u64>,
    state: ExecutionState,
}

/// A change of state that the table of the protocol does not allow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an execution can't go from {from:?} to {to:?}")]
pub struct IllegalTransition {
    /// The state it is in.
    pub from: ExecutionState,
    /// The state it was to take.
    pub to: ExecutionState,
}

impl Execution {
    /// An execution sent to its TaskManager.
    pub fn deploying(attempt: ExecutionAttemptId, slot: GrantedSlot, started_at: u64) -> Self {
        let state = ExecutionState::Deploying;
        Self { attempt, slot, metrics: None, input_ended: false, started_at, ended_at: None, state }
    }

    /// Its state.
    pub fn state(&self) -> ExecutionState {
        self.state
    }

    /// Its TaskManager.
    pub fn task_manager(&self) -> &TaskManagerId {
        &self.slot.task_manager
    }

    /// Whether it may still do something.
    pub fn is_live(&self) -> bool {
        !self.state.is_terminal()
    }

    /// Takes the next state if the table allows it. `wall_ms` dates the end.
    pub fn transition(&mut self, to: ExecutionState, wall_ms: u64) -> Result<(), IllegalTransition> {
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
