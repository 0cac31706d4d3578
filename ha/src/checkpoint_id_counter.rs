//! Checkpoint ids, reserved in blocks: strictly increasing over a job's life and over its leaders.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use weir_protocol::JobId;
use weir_world::flaw::{Flaw, is_planted};
use weir_world::random_id;

use crate::resolved_commit::{self, Resolved};
use crate::{Expect, HaServices, Leadership, Operation, StoreError, keys, record};

/// How often a reservation is tried when others reserve for the same job at the same time.
const ATTEMPTS: u32 = 8;

/// The largest block.
const LARGEST_BLOCK: u64 = 1_000_000;

/// Hands out checkpoint ids that nobody has had or will have. Ids of a block that are never used are skipped.
#[derive(Clone)]
pub struct CheckpointIdCounter {
    ha: HaServices,
}

/// The value of the counter's key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Counter {
    /// The first id nobody has reserved.
    next: u64,
    /// Drawn for each reservation: finding it in the store proves that this reservation wrote it (G3).
    reservation: String,
}

impl CheckpointIdCounter {
    /// The counters in this store.
    pub fn new(ha: HaServices) -> Self {
        Self { ha }
    }

    /// Reserves the next `count` ids of a job, 1 to 1 000 000 of them; the first ever is 1.
    ///
    /// A reservation whose outcome stays unknown is lost: its ids are skipped, never handed out twice.
    pub async fn reserve(&self, leadership: &Leadership, job: JobId, count: u64) -> Result<Range<u64>, StoreError> {
        if !(1..=LARGEST_BLOCK).contains(&count) {
            return Err(StoreError::Refused { reason: format!("can't reserve {count} checkpoint ids, 1 to {LARGEST_BLOCK}") });
        }
        let key = keys::checkpoint_ids(job);
        for _ in 0..ATTEMPTS {
            let (first, expect) = match self.ha.get(&key).await? {
                Some(found) => (record::decode::<Counter>(&key, &found.value)?.next, Expect::Version(found.version)),
                None => (1, Expect::Absent),
            };
            let next = first.checked_add(count).ok_or_else(|| StoreError::Refused { reason: format!("{key}: used up") })?;
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
        Err(StoreError::Unavailable(format!("{key}: {ATTEMPTS} reservations in a row lost to others")))
    }
}

#[cfg(test)]
mod tests;
