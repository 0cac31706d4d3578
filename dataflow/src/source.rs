//! Sources: where rows come from.

use arrow_array::RecordBatch;
use weir_protocol::CheckpointId;

use crate::element::CheckpointBarrier;
use crate::operator::{OperatorError, RestoredState, StateSnapshot};

/// The head of a chain without inputs.
///
/// Which splits a subtask reads is a pure function of the subtask and the outside world, or of its restored state: there is
/// no enumerator in the JobMaster, so that a new leader can adopt running tasks.
pub trait Source: Send {
    /// Reads up to about `max_rows` rows without blocking for long. `now_ms` is the wall clock.
    fn poll(&mut self, now_ms: u64, max_rows: usize) -> Result<SourcePoll, OperatorError>;

    /// The position as of now: after restoring it, the next row read is the one that would have come next.
    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError>;

    /// Goes back to a saved position. Called once, before the first poll, only when restoring.
    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError>;

    /// The checkpoint is durable.
    fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        let _ = checkpoint;
        Ok(())
    }
}

/// What a poll brought.
#[derive(Debug, Clone)]
pub enum SourcePoll {
    /// Some rows (not empty).
    Batch(RecordBatch),
    /// Nothing now; poll again at or after this wall-clock time (milliseconds).
    NothingUntil(u64),
    /// Nothing ever again.
    End,
}
