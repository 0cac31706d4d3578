//! What others hold of the ResourceManager.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;
use weir_protocol::{AllocationId, JobId, TaskManagerId};

/// A slot a job may deploy into. It is free: whatever ran there before has been reported terminal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GrantedSlot {
    /// The grant; never used for another job (S1).
    pub allocation: AllocationId,
    /// Where.
    pub task_manager: TaskManagerId,
    /// Index of the slot there.
    pub slot: u32,
    /// `host:port` of that TaskManager's data service.
    pub data_address: String,
}

/// What jobs want, until the ResourceManager looks. Wishes of one job merge, so that what waits is bounded by the
/// number of jobs and slots, nothing is dropped and no caller ever blocks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wishes {
    /// Give back every slot first (a declaration of 0 was made).
    pub release_all: bool,
    /// The declared number of slots, if a declaration was made.
    pub slots: Option<u32>,
    /// Grants to give back.
    pub releases: BTreeSet<AllocationId>,
}

/// The cheap handle of the ResourceManager. Its methods never block and their order per job is kept.
#[derive(Clone)]
pub struct ResourceManagerGateway {
    letterbox: Arc<Letterbox>,
}

#[derive(Default)]
struct Letterbox {
    wishes: Mutex<BTreeMap<JobId, Wishes>>,
    arrived: Notify,
}

impl fmt::Debug for ResourceManagerGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResourceManagerGateway")
    }
}

/// The ResourceManager's end: what jobs want.
pub struct Requests {
    letterbox: Arc<Letterbox>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requests")
    }
}

impl Requests {
    /// Waits for wishes and takes all of them. Cancel-safe.
    pub async fn next(&self) -> BTreeMap<JobId, Wishes> {
        loop {
            let wishes = std::mem::take(&mut *self.letterbox.wishes.lock().unwrap_or_else(PoisonError::into_inner));
            if !wishes.is_empty() {
                return wishes;
            }
            self.letterbox.arrived.notified().await;
        }
    }
}

/// A gateway and the ResourceManager's end of it.
pub fn channel() -> (ResourceManagerGateway, Requests) {
    let letterbox = Arc::new(Letterbox::default());
    (ResourceManagerGateway { letterbox: Arc::clone(&letterbox) }, Requests { letterbox })
}

impl ResourceManagerGateway {
    /// The job wants this many slots in all. Absolute and idempotent; 0 gives back every slot. Lowering the number
    /// takes nothing away: give back with [`Self::release`] what is not needed.
    pub fn declare_requirements(&self, job: JobId, slots: u32) {
        self.wish(job, |wishes| {
            if slots == 0 {
                wishes.release_all = true;
                wishes.releases.clear();
            }
            wishes.slots = Some(slots);
        });
    }

    /// Gives back one slot. The JobMaster does so only once everything it deployed there is terminal.
    pub fn release(&self, job: JobId, allocation: AllocationId) {
        self.wish(job, |wishes| {
            wishes.releases.insert(allocation);
        });
    }

    fn wish(&self, job: JobId, change: impl FnOnce(&mut Wishes)) {
        let mut wishes = self.letterbox.wishes.lock().unwrap_or_else(PoisonError::into_inner);
        change(wishes.entry(job).or_default());
        drop(wishes);
        self.letterbox.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn wishes_of_a_job_merge_and_a_declaration_of_zero_is_not_overtaken_by_the_next() {
        let (gateway, requests) = channel();
        let job = JobId(1);
        gateway.declare_requirements(job, 2);
        gateway.release(job, AllocationId(5));
        gateway.declare_requirements(job, 0);
        gateway.declare_requirements(job, 3);
        gateway.release(job, AllocationId(9));
        let wishes = requests.next().await;
        let expected = Wishes { release_all: true, slots: Some(3), releases: BTreeSet::from([AllocationId(9)]) };
        assert_eq!(wishes, BTreeMap::from([(job, expected)]));
    }
}
