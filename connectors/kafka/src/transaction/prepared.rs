//! What a checkpoint stores of a transaction.

use serde::{Deserialize, Serialize};
use weir_protocol::CheckpointId;

use crate::client::ProducerIdentity;
use crate::producer::OffsetRange;

/// A transaction whose records are all in the log, and which is to be committed with a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PreparedTransaction {
    pub(crate) checkpoint: CheckpointId,
    pub(crate) topic: String,
    pub(crate) transactional_id: String,
    pub(crate) writer: ProducerIdentity,
    /// Where its records are.
    pub(crate) ranges: Vec<OffsetRange>,
}

impl PreparedTransaction {
    pub(crate) fn records(&self) -> u64 {
        self.ranges.iter().map(|range| range.records).sum()
    }
}
