//! The coordination store: the epoch, the pointer to the newest checkpoint, and the counter of ids.

use std::collections::BTreeSet;

use super::Checkpoint;

/// Every operation is one atomic step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub(super) struct Store {
    /// The highest epoch granted.
    pub epoch: u8,
    /// The newest completed checkpoint.
    pub newest: Option<Checkpoint>,
    /// The highest checkpoint id handed out.
    pub ids: u8,
    /// Checkpoints whose files were deleted.
    pub deleted: BTreeSet<u8>,
}

impl Store {
    pub(super) fn newest_id(&self) -> u8 {
        self.newest.as_ref().map_or(0, |newest| newest.id)
    }
}
