//! Checkpoint ids, reserved in blocks. They strictly increase over the life of a job, also across leaders.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use weir_protocol::JobId;
use weir_world::flaw::{Flaw, is_planted};
use weir_world::random_id;

use crate::resolved_commit::{self, Resolved};
use crate::{Expect, HaServices, Leadership, Operation, StoreError, keys, record};

/// How often a reservation is attempted if others reserve for the same job at the same time.
const ATTEMPTS: u32 = 8;

/// The most ids that one call can reserve.
const LARGEST_BLOCK: u64 = 1_000_000;

/// Hands out checkpoint ids, each at most once. The unused ids of a block are skipped.
#[derive(Clone)]
pub struct CheckpointIdCounter {
    ha: HaServices,
}

/// The value of the counter's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Counter {
    /// The first id that is not reserved yet.
    next: u64,
    /// Random for each reservation: finding it in the store proves that this reservation wrote it (G3).
    reservation: String,
}

impl CheckpointIdCounter {
    /// The counters in this store.
    pub fn new(ha: HaServices) -> Self {
        Self { ha }
    }

    /// Reserves the next `count` ids of a job. `count` is from 1 to 1 000 000; the first id of a job is 1.
    ///
    /// If the outcome of a reservation stays unknown, its ids are skipped and never handed out.
    pub async fn reserve(&self, leadership: &Leadership, job: JobId, count: u64) -> Result<Range<u64>, StoreError> {
        if !(1..=LARGEST_BLOCK).contains(&count) {
            return Err(StoreError::Refused {
                reason: format!("can't reserve {count} checkpoint ids, 1 to {LARGEST_BLOCK} are allowed"),
            });
        }
        let key = keys::checkpoint_ids(job);
        for _ in 0..ATTEMPTS {
            let (first, expect) = match self.ha.get(&key).await? {
                Some(found) => (record::decode::<Counter>(&key, &found.value)?.next, Expect::Version(found.version)),
                None => (1, Expect::Absent),
            };
            let next =
                first.checked_add(count).ok_or_else(|| StoreError::Refused { reason: format!("{key}: all ids are used up") })?;
            let counter = Counter { next, reservation: format!("{:032x}", random_id()) };
            if is_planted(Flaw::ReusedIds) {
                return Ok(first..next);
            }
            let put = Operation::Put { key: key.clone(), value: record::encode(&key, &counter)?, expect };
            match resolved_commit::commit(&*self.ha, leadership, vec![put]).await? {
                Resolved::Applied => return Ok(first..next),
                Resolved::Conflict { .. } => {}
            }
        }
        Err(StoreError::Unavailable(format!("{key}: {ATTEMPTS} reservations in a row conflicted with others")))
    }
}

#[cfg(test)]
mod tests;
