//! The interface of sources, which read rows from outside.

use arrow_array::RecordBatch;
use weir_protocol::CheckpointId;

use crate::element::CheckpointBarrier;
use crate::operator::{OperatorError, RestoredState, StateSnapshot};

/// The first operator of a chain without inputs.
///
/// The splits that a subtask reads are a pure function of its number and the outside world, or of its restored state. There is no
/// enumerator in the JobMaster, so a new leader can adopt running tasks.
pub trait Source: Send {
    /// Reads up to about `max_rows` rows without blocking for long. `now_ms` is the wall clock.
    fn poll(&mut self, now_ms: u64, max_rows: usize) -> Result<SourcePoll, OperatorError>;

    /// Saves the current position. After a restore from it, the next row is the one that would have come next here.
    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError>;

    /// Returns to a saved position. If the task starts from a checkpoint, the chain calls it once, before the first poll.
    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError>;

    /// Handles a checkpoint that became durable. Idempotent.
    fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        let _ = checkpoint;
        Ok(())
    }
}

/// The outcome of [`Source::poll`].
#[derive(Debug, Clone)]
pub enum SourcePoll {
    /// At least one row.
    Batch(RecordBatch),
    /// There are no rows now. Poll again at or after this wall-clock time (milliseconds).
    NothingUntil(u64),
    /// There will never be rows again.
    End,
}
