//! The splits of the source: partitions, how far they are read, and which subtask reads them.

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use weir_dataflow::operator::OperatorError;

/// One partition that is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct SourcePartition {
    pub(super) topic: String,
    pub(super) id: i32,
    /// Offset of the next record.
    pub(super) next: i64,
    /// The first offset that is not read any more; `None` to read for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stop: Option<i64>,
}

impl SourcePartition {
    pub(super) fn is_done(&self) -> bool {
        self.stop.is_some_and(|stop| self.next >= stop)
    }
}

/// The subtask that reads a partition. A pure function, so that every subtask can tell by itself which new partitions are its own.
pub(super) fn owner(topic: &str, partition: i32, parallelism: u32) -> u32 {
    let first = crc32c::crc32c(topic.as_bytes()) % parallelism.max(1);
    ((u64::from(first) + partition.unsigned_abs() as u64) % u64::from(parallelism.max(1))) as u32
}

/// The state of a subtask. The splits recorded for the job have the same form.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct SourceState {
    version: u32,
    pub(super) partitions: Vec<SourcePartition>,
    #[serde(default)]
    pub(super) bad_rows: u64,
}

const VERSION: u32 = 1;

impl SourceState {
    pub(super) fn new(partitions: Vec<SourcePartition>, bad_rows: u64) -> Self {
        Self { version: VERSION, partitions, bad_rows }
    }

    /// The state as a checkpoint stores it. Error: `SOURCE-STATE`.
    pub(super) fn encode(&self) -> Result<Bytes, OperatorError> {
        serde_json::to_vec(self).map(Bytes::from).map_err(|error| unusable(error.to_string()))
    }

    /// Reads what [`Self::encode`] wrote. Error: `SOURCE-STATE`.
    pub(super) fn decode(bytes: &[u8]) -> Result<Self, OperatorError> {
        let state: Self = serde_json::from_slice(bytes).map_err(|error| unusable(format!("the state can't be read: {error}")))?;
        if state.version != VERSION {
            return Err(unusable(format!("the state has an unknown version: {}", state.version)));
        }
        Ok(state)
    }
}

fn unusable(reason: String) -> OperatorError {
    OperatorError::fatal("SOURCE-STATE", format!("source.kafka: {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbouring_partitions_have_different_owners() {
        for parallelism in 1..9 {
            let mut counts = vec![0; parallelism as usize];
            for partition in 0..24 {
                counts[owner("orders", partition, parallelism) as usize] += 1;
            }
            assert!(counts.iter().max().unwrap() - counts.iter().min().unwrap() <= 1, "{counts:?}");
        }
    }
}
