//! The numbers of the rows that a subtask of a generator makes: subtask s of p makes rows s, s + p, s + 2p, ... The position is saved
//! in checkpoints and restored, at another parallelism too.

mod sequences;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_dataflow::operator::{OperatorContext, OperatorError, RestoredState, StateSnapshot};

use self::sequences::Sequences;

/// The rows that one subtask has still to make.
pub(crate) struct RowNumbers {
    /// Kind of the operator, for messages.
    kind: &'static str,
    /// Total number of rows of all subtasks.
    rows: u64,
    subtask: u32,
    parallelism: u32,
    sequences: Sequences,
}

#[derive(Debug, Serialize, Deserialize)]
struct SavedRowNumbers {
    version: u32,
    sequences: Sequences,
}

const STATE_VERSION: u32 = 1;

impl RowNumbers {
    /// The share of this subtask of `rows` rows; `None` means that rows do not end.
    pub(crate) fn new(kind: &'static str, rows: Option<u64>, context: &OperatorContext) -> Self {
        let rows = rows.unwrap_or(u64::MAX);
        let sequences = Sequences::share(0, rows, context.subtask(), context.parallelism);
        Self { kind, rows, subtask: context.subtask(), parallelism: context.parallelism, sequences }
    }

    /// Whether no rows are left.
    pub(crate) fn is_empty(&self) -> bool {
        self.sequences.is_empty()
    }

    /// Takes up to `count` row numbers, lowest first, in place of those in `numbers`.
    pub(crate) fn take(&mut self, count: usize, numbers: &mut Vec<u64>) {
        numbers.clear();
        self.sequences.take(count, numbers);
    }

    /// Saves the position.
    pub(crate) fn snapshot(&self) -> Result<StateSnapshot, OperatorError> {
        let saved = SavedRowNumbers { version: STATE_VERSION, sequences: self.sequences.clone() };
        let bytes = serde_json::to_vec(&saved).map_err(|error| OperatorError::fatal("DATAGEN-STATE", error.to_string()))?;
        Ok(StateSnapshot { operator_state: Some(Bytes::from(bytes)), ..StateSnapshot::default() })
    }

    /// Returns to a saved position. Errors: `DATAGEN-STATE` if it can't be read, `DATAGEN-ROWS` if it is beyond the last row.
    pub(crate) fn restore(&mut self, restored: &RestoredState) -> Result<(), OperatorError> {
        if restored.operator_state.is_empty() {
            // The checkpoint was taken before the job had this operator, so start at the first row.
            return Ok(());
        }
        let kind = self.kind;
        let rescaled = restored.former_parallelism != self.parallelism;
        let mut former = Vec::new();
        for (subtask, bytes) in &restored.operator_state {
            if rescaled || *subtask == self.subtask {
                former.push(self.decode(bytes)?);
            }
        }
        let generated = former.iter().map(Sequences::generated).max().unwrap_or_default();
        if generated > self.rows {
            return Err(OperatorError::fatal(
                "DATAGEN-ROWS",
                format!(
                    "{kind}: rows is {}, but the restored job has already generated {generated} rows; set rows to at least \
                     {generated}, or start without the checkpoint",
                    self.rows
                ),
            ));
        }
        let restored = if rescaled { Sequences::redeal(&former, self.subtask, self.parallelism) } else { former.pop() };
        let restored = restored.ok_or_else(|| {
            OperatorError::fatal("DATAGEN-STATE", format!("{kind}: the state of subtask {} is missing", self.subtask))
        })?;
        self.sequences = restored.until(self.rows);
        Ok(())
    }

    fn decode(&self, bytes: &[u8]) -> Result<Sequences, OperatorError> {
        let kind = self.kind;
        let unusable = |reason: String| OperatorError::fatal("DATAGEN-STATE", format!("{kind}: {reason}"));
        let saved: SavedRowNumbers =
            serde_json::from_slice(bytes).map_err(|error| unusable(format!("the state can't be read: {error}")))?;
        if saved.version != STATE_VERSION || !saved.sequences.is_legal() {
            return Err(unusable("the state has an unknown version or an illegal sequence".to_owned()));
        }
        Ok(saved.sequences)
    }
}
