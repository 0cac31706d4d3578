//! The handle of the ResourceManager, which other actors hold.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, mpsc, watch};
use weir_protocol::{AllocationId, JobId};

use super::event::{Event, Wishes};
use super::view::ResourcesView;
use crate::job_master::gateway::JobMasterGateway;

/// Number of reports of TaskManagers that may wait. If there are more, their streams wait.
pub(super) const REPORTS: usize = 1024;

/// A cheap handle of the ResourceManager. Methods that are not `async` never block, and the order of calls for one job is kept.
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

/// Messages for the ResourceManager, which it must process in the order of these fields.
#[derive(Debug, Default)]
pub struct Mail {
    /// Jobs that will request slots, in the order in which they are served.
    pub registered: Vec<JobMasterGateway>,
    /// Requests of jobs.
    pub wishes: BTreeMap<JobId, Wishes>,
    /// Jobs that have ended.
    pub gone: Vec<JobId>,
}

impl Mail {
    fn is_empty(&self) -> bool {
        self.registered.is_empty() && self.wishes.is_empty() && self.gone.is_empty()
    }
}

/// The runner's end of the gateways.
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
    /// Takes the messages out; `None` if there are none.
    pub(super) fn take(&self) -> Option<Mail> {
        let mail = std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner));
        (!mail.is_empty()).then_some(mail)
    }

    /// Waits until [`Self::take`] has messages. Cancel-safe.
    pub(super) async fn arrived(&self) {
        self.arrived.notified().await;
    }
}

impl fmt::Debug for ResourceManagerGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ResourceManagerGateway")
    }
}

/// Creates a gateway and the runner's end of it.
pub fn channel() -> (ResourceManagerGateway, Requests) {
    let letterbox = Arc::new(Letterbox::default());
    let (reports, reports_end) = mpsc::channel(REPORTS);
    let (view, view_end) = watch::channel(Arc::new(ResourcesView::default()));
    let gateway = ResourceManagerGateway { letterbox: Arc::clone(&letterbox), reports, view: view_end };
    (gateway, Requests { letterbox, reports: reports_end, view })
}

impl ResourceManagerGateway {
    /// Registers a job that will request slots. Jobs are served in the order of these calls.
    pub fn register_job(&self, job_master: JobMasterGateway) {
        self.post(|mail| mail.registered.push(job_master));
    }

    /// Removes a job that has ended, and returns all its slots.
    pub fn job_gone(&self, job: JobId) {
        self.post(|mail| mail.gone.push(job));
    }

    /// Declares how many slots the job needs in total. The call is idempotent, and 0 returns all slots. A lower number returns
    /// no slots: use [`Self::release`] for this.
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

    /// Returns one slot. A JobMaster does this only when all tasks that it deployed there are terminal.
    pub fn release(&self, job: JobId, allocation: AllocationId) {
        self.post(|mail| {
            mail.wishes.entry(job).or_default().releases.insert(allocation);
        });
    }

    /// Passes on an event from the stream of a TaskManager. Waits while the queue of the ResourceManager is full.
    pub async fn report(&self, event: Event) {
        // If the ResourceManager has stopped, the event is not needed: all TaskManagers register again with the next one.
        let _ = self.reports.send(event).await;
    }

    /// The newest view of the registered TaskManagers.
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
    fn wishes_of_a_job_are_merged_and_a_later_declaration_does_not_hide_a_declaration_of_zero() {
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
