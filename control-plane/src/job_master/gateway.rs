//! The handle of a JobMaster, which other actors hold.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot, watch};
use weir_protocol::{JobId, TaskManagerId};

use super::event::{JobMasterEvent, TaskManagerReport};
use super::view::JobView;
use crate::checkpoint::effect::SavepointOutcome;
use crate::resource_manager::effect::GrantedSlot;

/// Number of messages that may wait for one JobMaster. If there are more, messages are dropped and the job restarts from its
/// newest checkpoint, because a dropped message could have been a grant or the end of a task.
pub const JOB_MASTER_QUEUE: usize = 8192;

/// If fewer places than this are free in the queue, metrics are dropped, because TaskManagers repeat them anyway.
const METRICS_ROOM: usize = JOB_MASTER_QUEUE / 2;

/// The job has ended, or this JobManager no longer leads. Ask the leader again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the job has ended, or its JobMaster has moved to another JobManager")]
pub struct JobGone;

/// A cheap handle of a JobMaster. Methods that are not `async` never block.
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

/// A message in the mailbox of the runner.
#[expect(clippy::large_enum_variant, reason = "almost all are events")]
pub(super) enum Message {
    /// An event for the core.
    Event(JobMasterEvent),
    /// A user requests a savepoint.
    Savepoint {
        /// `None` means the configured directory.
        target_directory: Option<String>,
        /// Whether the job stops with this savepoint.
        stop: bool,
        reply: oneshot::Sender<SavepointOutcome>,
    },
    /// A user requests a checkpoint.
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
    /// Whether messages were dropped since the last call.
    pub(super) fn take_overrun(&self) -> bool {
        self.overrun.swap(false, Ordering::AcqRel)
    }
}

/// Watches the view of a job; see [`JobMasterGateway::watch_view`].
#[derive(Debug, Clone)]
pub struct JobViewWatch {
    view: watch::Receiver<Arc<JobView>>,
}

impl JobViewWatch {
    /// The newest view of the job.
    pub fn current(&self) -> Arc<JobView> {
        Arc::clone(&self.view.borrow())
    }

    /// Waits for a view that this watch has not returned yet.
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

/// Creates a gateway and the runner's end of it.
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
    /// The id of the job.
    pub fn job(&self) -> JobId {
        self.shared.job
    }

    /// The newest view of the job.
    pub fn view(&self) -> Arc<JobView> {
        Arc::clone(&self.shared.view.borrow())
    }

    /// Watches the view for changes.
    pub fn watch_view(&self) -> JobViewWatch {
        JobViewWatch { view: self.shared.view.clone() }
    }

    /// Tells the JobMaster about slots into which the job may deploy.
    pub fn slots_granted(&self, slots: Vec<GrantedSlot>) {
        self.tell(JobMasterEvent::SlotsGranted(slots));
    }

    /// Tells the JobMaster that `missing` of the declared slots can't be granted now. `reason` is for people.
    pub fn slot_shortage(&self, missing: u32, reason: String) {
        self.tell(JobMasterEvent::SlotShortage { missing, reason });
    }

    /// Tells the JobMaster that a TaskManager is lost. The job's tasks there no longer count, and its slots are void.
    pub fn task_manager_lost(&self, task_manager: TaskManagerId, reason: String) {
        self.tell(JobMasterEvent::TaskManagerLost { task_manager, reason });
    }

    /// Passes on a TaskManager's report about this job.
    pub fn from_task_manager(&self, task_manager: &TaskManagerId, report: TaskManagerReport) {
        let metrics = matches!(report, TaskManagerReport::Metrics(_));
        if metrics && self.shared.messages.capacity() < METRICS_ROOM {
            return;
        }
        self.tell(JobMasterEvent::Report { task_manager: task_manager.clone(), report });
    }

    /// Cancels the job. Returns when the message is in the mailbox. The view then shows the progress.
    pub async fn cancel(&self) -> Result<(), JobGone> {
        self.shared.messages.send(Message::Event(JobMasterEvent::Cancel)).await.map_err(|_| JobGone)
    }

    /// Takes a savepoint. Returns when it is durable or, with `stop`, when the job has ended.
    pub async fn trigger_savepoint(&self, target_directory: Option<String>, stop: bool) -> Result<SavepointOutcome, JobGone> {
        let (reply, outcome) = oneshot::channel();
        let message = Message::Savepoint { target_directory, stop, reply };
        self.shared.messages.send(message).await.map_err(|_| JobGone)?;
        outcome.await.map_err(|_| JobGone)
    }

    /// Takes a checkpoint now. Returns when it is durable.
    pub async fn trigger_checkpoint(&self) -> Result<SavepointOutcome, JobGone> {
        let (reply, outcome) = oneshot::channel();
        self.shared.messages.send(Message::Checkpoint { reply }).await.map_err(|_| JobGone)?;
        outcome.await.map_err(|_| JobGone)
    }

    /// Stops the JobMaster at once, because leadership is lost. It deletes nothing and cancels nothing.
    pub fn suspend(self) {
        self.shared.suspended.send_replace(true);
    }

    fn tell(&self, event: JobMasterEvent) {
        match self.shared.messages.try_send(Message::Event(event)) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            Err(mpsc::error::TrySendError::Full(_)) => {
                // The runner checks this flag after every message, and many messages are in its queue.
                if !self.shared.overrun.swap(true, Ordering::AcqRel) {
                    tracing::error!(job = %self.shared.job, "the JobMaster is overrun: {JOB_MASTER_QUEUE} messages wait; its job restarts");
                }
            }
        }
    }
}
