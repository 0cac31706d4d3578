//! What others hold of a JobMaster.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot, watch};
use weir_protocol::{JobId, TaskManagerId};

use super::event::{JobMasterEvent, TaskManagerReport};
use super::view::JobView;
use crate::checkpoint::effect::SavepointOutcome;
use crate::resource_manager::effect::GrantedSlot;

/// Messages that may wait for one JobMaster. When they are exceeded the job restarts from its newest checkpoint,
/// because what was dropped could have been a grant or the end of a task.
pub const JOB_MASTER_QUEUE: usize = 8192;

/// Above this many waiting messages, metrics (which are repeated anyway) are dropped.
const METRICS_ROOM: usize = JOB_MASTER_QUEUE / 2;

/// The job has ended or this JobManager no longer leads: ask again, the leader knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the job has ended, or its JobMaster has moved to another JobManager")]
pub struct JobGone;

/// The cheap handle of a JobMaster. What is not `async` never blocks.
#[derive(Clone)]
pub struct JobMasterGateway {
    shared: Arc<Mailbox>,
}

struct Mailbox {
    job: JobId,
    messages: mpsc::Sender<Message>,
    overrun: Arc<AtomicBool>,
    view: watch::Receiver<Arc<JobView>>,
    suspended: watch::Sender<bool>,
}

/// What the runner takes out of its mailbox.
pub(super) enum Message {
    /// Something for the state machine as it is.
    Event(JobMasterEvent),
    /// A savepoint is asked for.
    Savepoint {
        /// Where to; the configured directory if absent.
        target_directory: Option<String>,
        /// Whether the job is to end with it.
        stop: bool,
        reply: oneshot::Sender<SavepointOutcome>,
    },
    /// A checkpoint is asked for.
    Checkpoint { reply: oneshot::Sender<SavepointOutcome> },
}

/// The runner's end of a gateway.
pub(super) struct MailboxEnd {
    pub(super) messages: mpsc::Receiver<Message>,
    pub(super) view: watch::Sender<Arc<JobView>>,
    pub(super) suspended: watch::Receiver<bool>,
    overrun: Arc<AtomicBool>,
}

impl MailboxEnd {
    /// Whether messages were dropped since this was last asked.
    pub(super) fn take_overrun(&self) -> bool {
        self.overrun.swap(false, Ordering::AcqRel)
    }
}

/// A view that changes; see [`JobMasterGateway::watch_view`].
#[derive(Debug, Clone)]
pub struct JobViewWatch {
    view: watch::Receiver<Arc<JobView>>,
}

impl JobViewWatch {
    /// The newest view.
    pub fn current(&self) -> Arc<JobView> {
        Arc::clone(&self.view.borrow())
    }

    /// Waits for a view that was not seen through this watch yet.
    pub async fn changed(&mut self) -> Result<Arc<JobView>, JobGone> {
        self.view.changed().await.map_err(|_| JobGone)?;
        Ok(Arc::clone(&self.view.borrow_and_update()))
    }
}

impl fmt::Debug for JobMasterGateway {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobMasterGateway").field("job", &self.shared.job).finish_non_exhaustive()
    }
}

/// A gateway and the runner's end of it.
pub(super) fn mailbox(initial: Arc<JobView>) -> (JobMasterGateway, MailboxEnd) {
    let (messages, messages_end) = mpsc::channel(JOB_MASTER_QUEUE);
    let job = initial.job;
    let (view, view_end) = watch::channel(initial);
    let (suspended, suspended_end) = watch::channel(false);
    let overrun = Arc::new(AtomicBool::new(false));
    let shared = Mailbox { job, messages, overrun: Arc::clone(&overrun), view: view_end, suspended };
    let gateway = JobMasterGateway { shared: Arc::new(shared) };
    let end = MailboxEnd { messages: messages_end, view, suspended: suspended_end, overrun };
    (gateway, end)
}

impl JobMasterGateway {
    /// The job.
    pub fn job(&self) -> JobId {
        self.shared.job
    }

    /// The newest view of the job.
    pub fn view(&self) -> Arc<JobView> {
        Arc::clone(&self.shared.view.borrow())
    }

    /// The view as it changes.
    pub fn watch_view(&self) -> JobViewWatch {
        JobViewWatch { view: self.shared.view.clone() }
    }

    /// Slots the job may deploy into.
    pub fn slots_granted(&self, slots: Vec<GrantedSlot>) {
        self.tell(JobMasterEvent::SlotsGranted(slots));
    }

    /// So many of the slots declared can't be had now. `reason` says why, for people.
    pub fn slot_shortage(&self, missing: u32, reason: String) {
        self.tell(JobMasterEvent::SlotShortage { missing, reason });
    }

    /// The TaskManager is gone: nothing of the job runs there any more that counts, and its slots are void.
    pub fn task_manager_lost(&self, task_manager: TaskManagerId, reason: String) {
        self.tell(JobMasterEvent::TaskManagerLost { task_manager, reason });
    }

    /// What a TaskManager reports about this job.
    pub fn from_task_manager(&self, task_manager: &TaskManagerId, report: TaskManagerReport) {
        let metrics = matches!(report, TaskManagerReport::Metrics(_));
        if metrics && self.shared.messages.capacity() < METRICS_ROOM {
            return;
        }
        self.tell(JobMasterEvent::Report { task_manager: task_manager.clone(), report });
    }

    /// Cancels the job. Returns once the JobMaster knows; the view tells how far it is.
    pub async fn cancel(&self) -> Result<(), JobGone> {
        self.shared.messages.send(Message::Event(JobMasterEvent::Cancel)).await.map_err(|_| JobGone)
    }

    /// Takes a savepoint and returns when it is durable, or, with `stop`, when the job has ended with it.
    pub async fn trigger_savepoint(&self, target_directory: Option<String>, stop: bool) -> Result<SavepointOutcome, JobGone> {
        let (reply, outcome) = oneshot::channel();
        let message = Message::Savepoint { target_directory, stop, reply };
        self.shared.messages.send(message).await.map_err(|_| JobGone)?;
        outcome.await.map_err(|_| JobGone)
    }

    /// Takes a checkpoint now and returns when it is durable.
    pub async fn trigger_checkpoint(&self) -> Result<SavepointOutcome, JobGone> {
        let (reply, outcome) = oneshot::channel();
        self.shared.messages.send(Message::Checkpoint { reply }).await.map_err(|_| JobGone)?;
        outcome.await.map_err(|_| JobGone)
    }

    /// Leadership is lost: the JobMaster stops at once, deletes nothing and cancels nothing.
    pub fn suspend(self) {
        self.shared.suspended.send_replace(true);
    }

    fn tell(&self, event: JobMasterEvent) {
        match self.shared.messages.try_send(Message::Event(event)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                // The runner asks after every message, and there are plenty to come.
                if !self.shared.overrun.swap(true, Ordering::AcqRel) {
                    tracing::error!(job = %self.shared.job, "the JobMaster is overrun: {JOB_MASTER_QUEUE} messages wait; its job restarts");
                }
            }
        }
    }
}
