//! What others hold of the ResourceManager.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, watch};
use weir_protocol::{AllocationId, JobId};

use super::event::{Event, Wishes};
use super::view::ResourcesView;
use crate::job_master::gateway::JobMasterGateway;

/// Reports of TaskManagers that may wait. Streams that have more wait with them.
const REPORTS: usize = 1024;

/// The cheap handle of the ResourceManager. What is not `async` never blocks, and its order per job is kept.
#[derive(Clone)]
pub struct ResourceManagerGateway {
    letterbox: Arc<Letterbox>,
    reports: mpsc::Sender<Event>,
    view: watch::Receiver<Arc<ResourcesView>>,
}

#[derive(Default)]
pub(super) struct Letterbox {
    mail: Mutex<Mail>,
    arrived: Notify,
}

/// What has arrived for the ResourceManager: to be taken in this order.
#[derive(Debug, Default)]
pub struct Mail {
    /// Jobs that will ask for slots, in the order in which they are to be served.
    pub registered: Vec<JobMasterGateway>,
    /// What jobs want.
    pub wishes: BTreeMap<JobId, Wishes>,
    /// Jobs that have ended.
    pub gone: Vec<JobId>,
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.registered.is_empty() && self.wishes.is_empty() && self.gone.is_empty()
    }
}

/// The ResourceManager's end of its gateways.
pub struct Requests {
    pub(super) letterbox: Arc<Letterbox>,
    pub(super) reports: mpsc::Receiver<Event>,
    pub(super) view: watch::Sender<Arc<ResourcesView>>,
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Requests")
    }
}

impl Letterbox {
    /// Takes what jobs want, if anything.
    pub(super) fn take(&self) -> Option<Mail> {
        let mail = std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner));
        (!mail.is_empty()).then_some(mail)
    }

    /// Waits until [`Self::take`] has something. Cancel-safe.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

impl fmt::Debug for ResourceManagerGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResourceManagerGateway")
    }
}

/// A gateway and the ResourceManager's end of it.
pub fn channel() -> (ResourceManagerGateway, Requests) {
    let letterbox = Arc::new(Letterbox::default());
    let (reports, reports_end) = mpsc::channel(REPORTS);
    let (view, view_end) = watch::channel(Arc::new(ResourcesView::default()));
    let gateway = ResourceManagerGateway { letterbox: Arc::clone(&letterbox), reports, view: view_end };
    (gateway, Requests { letterbox, reports: reports_end, view })
}

impl ResourceManagerGateway {
    /// A job will ask for slots; jobs are served in the order of these calls.
    pub fn register_job(&self, job_master: JobMasterGateway) {
        self.post(|mail| mail.registered.push(job_master));
    }

    /// A job has ended: all of its slots are given back and it is forgotten.
    pub fn job_gone(&self, job: JobId) {
        self.post(|mail| mail.gone.push(job));
    }

    /// The job wants this many slots in all. Absolute and idempotent; 0 gives back every slot. Lowering the number
    /// takes nothing away: give back with [`Self::release`] what is not needed.
    pub fn declare_requirements(&self, job: JobId, slots: u32) {
        self.post(|mail| {
            let wishes = mail.wishes.entry(job).or_default();
            if slots == 0 {
                wishes.release_all = true;
                wishes.releases.clear();
            }
            wishes.slots = Some(slots);
        });
    }

    /// Gives back one slot. The JobMaster does so only once everything it deployed there is terminal.
    pub fn release(&self, job: JobId, allocation: AllocationId) {
        self.post(|mail| {
            mail.wishes.entry(job).or_default().releases.insert(allocation);
        });
    }

    /// What a TaskManager's stream has brought. Waits while the ResourceManager has enough to do.
    pub async fn report(&self, event: Event) {
        // A ResourceManager that is gone has no use for it, nor has its successor, with which everybody registers anew.
        let _ = self.reports.send(event).await;
    }

    /// The registered TaskManagers.
    pub fn view(&self) -> Arc<ResourcesView> {
        Arc::clone(&self.view.borrow())
    }

    fn post(&self, change: impl FnOnce(&mut Mail)) {
        change(&mut self.letterbox.mail.lock().unwrap_or_else(PoisonError::into_inner));
        self.letterbox.arrived.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn wishes_of_a_job_merge_and_a_declaration_of_zero_is_not_overtaken_by_the_next() {
        let (gateway, requests) = channel();
        let job = JobId(1);
        gateway.declare_requirements(job, 2);
        gateway.release(job, AllocationId(5));
        gateway.declare_requirements(job, 0);
        gateway.declare_requirements(job, 3);
        gateway.release(job, AllocationId(9));
        let expected = Wishes { release_all: true, slots: Some(3), releases: BTreeSet::from([AllocationId(9)]) };
        assert_eq!(requests.letterbox.take().map(|mail| mail.wishes), Some(BTreeMap::from([(job, expected)])));
        assert!(requests.letterbox.take().is_none());
    }
}
