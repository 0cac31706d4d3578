//! The interface of sources, which read rows from outside.

use arrow_array::RecordBatch;
use bytes::Bytes;
use weir_protocol::CheckpointId;

use crate::element::CheckpointBarrier;
use crate::operator::{OperatorError, RestoredState, StateSnapshot};

/// The first operator of a chain without inputs.
///
/// The splits that a subtask reads are a pure function of its number and its restored state, or of its number and the recorded
/// splits of the job ([`Source::propose_splits`]). Splits that are found later belong to the subtask that follows from their names.
/// There is no enumerator in the JobMaster, so a new leader can adopt running tasks.
pub trait Source: Send {
    /// Reads up to about `max_rows` rows without blocking for long. `now_ms` is the wall clock.
    fn poll(&mut self, now_ms: u64, max_rows: usize) -> Result<SourcePoll, OperatorError>;

    /// Whether rows have arrived since [`SourcePoll::NothingUntil`], so that the time it names need not be awaited. For sources that
    /// read in the background and use [`crate::operator::OperatorContext::waker`].
    fn has_news(&self) -> bool {
        false
    }

    /// The splits of this source, if each has its own order of time, as the partitions of a log have. Then all rows of a batch are of
    /// one split. `None`: the rows are one stream.
    fn splits(&self) -> Option<Splits<'_>> {
        None
    }

    /// Saves the current position. After a restore from it, the next row is the one that would have come next here.
    fn snapshot(&mut self, barrier: &CheckpointBarrier) -> Result<StateSnapshot, OperatorError>;

    /// Returns to a saved position. If the task starts from a checkpoint, the chain calls it once, before the first poll.
    fn restore(&mut self, restored: RestoredState) -> Result<(), OperatorError>;

    /// Whether this source still needs splits that all subtasks of the vertex must agree on, because they come from outside and
    /// may change meanwhile. Asked after the restore. If true, [`Source::take_splits`] follows before the first poll.
    fn needs_splits(&self) -> bool {
        false
    }

    /// Finds the splits of all subtasks, for example by listing files. May block. The worker records the first proposal of the
    /// job's attempts durably, and it alone counts.
    fn propose_splits(&mut self) -> Result<Bytes, OperatorError> {
        Ok(Bytes::new())
    }

    /// Takes this subtask's share of the recorded splits, which another subtask may have proposed.
    fn take_splits(&mut self, recorded: &[u8]) -> Result<(), OperatorError> {
        let _ = recorded;
        Ok(())
    }

    /// Handles a checkpoint that became durable. Idempotent.
    fn notify_checkpoint_complete(&mut self, checkpoint: CheckpointId) -> Result<(), OperatorError> {
        let _ = checkpoint;
        Ok(())
    }
}

/// The splits that a source reads now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Splits<'a> {
    /// Index of the split of the last batch.
    pub current: usize,
    /// For each split, whether it was read to its end. A split keeps its index while the task runs; further ones can follow.
    pub ended: &'a [bool],
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
