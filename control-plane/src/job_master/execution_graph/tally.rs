//! How many executions are in which state.

use weir_protocol::job_status::ExecutionState;

use super::execution::Execution;

/// Counts the newest executions of all subtasks, so that a question about all of them need not look at each one: every report of a task
/// asks several.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tally {
    subtasks: usize,
    /// By the number of the state.
    by_state: [usize; ExecutionState::ALL.len()],
    input_ended: usize,
}

impl Tally {
    /// Of this many subtasks, of which none was deployed.
    pub(super) fn new(subtasks: usize) -> Self {
        Self { subtasks, by_state: [0; ExecutionState::ALL.len()], input_ended: 0 }
    }

    pub(super) fn add(&mut self, execution: &Execution) {
        self.by_state[execution.state() as usize] += 1;
        self.input_ended += usize::from(execution.input_ended);
    }

    pub(super) fn remove(&mut self, execution: &Execution) {
        self.by_state[execution.state() as usize] -= 1;
        self.input_ended -= usize::from(execution.input_ended);
    }

    /// Whether every subtask has an execution in this state.
    pub(super) fn all_are(&self, state: ExecutionState) -> bool {
        self.by_state[state as usize] == self.subtasks
    }

    /// Whether every subtask has an execution that has processed all of its input.
    pub(super) fn all_inputs_ended(&self) -> bool {
        self.input_ended == self.subtasks
    }

    /// Whether every execution has ended.
    pub(super) fn nothing_lives(&self) -> bool {
        let live = ExecutionState::ALL.into_iter().filter(|state| !state.is_terminal());
        live.map(|state| self.by_state[state as usize]).sum::<usize>() == 0
    }
}
