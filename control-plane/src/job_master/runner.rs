//! The runner of a JobMaster: it takes messages, passes them to the core as events, and carries out the effects.
//!
//! Calls to stores run as futures of this one task, so they stop when the task stops.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex};

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::oneshot;
use weir_ha::{CheckpointIdCounter, CompletedCheckpointStore, Leadership, StoreAvailability, StoreWatch};
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::JobStatus;
use weir_storage::StorageOptions;
use weir_storage::checkpoint::CheckpointStorage;
use weir_world::{Millis, MonotonicClock, random_id, wall_clock_ms};

use super::effect::{JobEnded, JobMasterEffect};
use super::event::JobMasterEvent;
use super::gateway::{JobMasterGateway, MailboxEnd, Message, mailbox};
use super::view::JobView;
use super::{JobMaster, JobMasterOptions, JobToRun};
use crate::checkpoint::effect::SavepointOutcome;
use crate::checkpoint::event::CheckpointEvent;
use crate::checkpoint::pending::CheckpointRequest;
use crate::checkpoint::stores::{CheckpointStores, Superseded, Unreadable};
use crate::drills::DrillWatch;
use crate::resource_manager::gateway::ResourceManagerGateway;
use crate::rpc::links::{NotSent, TaskManagerLinks};

/// Minimum time between two views of the same status, milliseconds. With many tasks it is longer, see [`VIEW_SHARE`].
const VIEW_INTERVAL_MS: u64 = 50;
/// While much happens, at most one part in this many of the time goes into views.
const VIEW_SHARE: u64 = 20;

/// Called when a job has ended, with the result and the last view. Only this call gets a view with a terminal status, because the
/// result must be durable before it is shown (R2).
pub type OnJobEnded = Arc<dyn Fn(JobEnded, Arc<JobView>) -> BoxFuture<'static, ()> + Send + Sync>;

/// What a JobMaster needs.
#[derive(Clone)]
pub struct JobMasterContext {
    /// The right to write to the coordination store.
    pub leadership: Leadership,
    pub checkpoints: CheckpointStorage,
    /// URI of the root of all checkpoints. TaskManagers open it, too.
    pub checkpoint_root_uri: String,
    /// URI of the directory for savepoints whose user names no directory.
    pub savepoint_root: String,
    /// Options for opening savepoint directories that users name.
    pub storage_options: StorageOptions,
    /// Pointers to completed checkpoints.
    pub completed_checkpoints: CompletedCheckpointStore,
    pub checkpoint_ids: CheckpointIdCounter,
    /// Whether the coordination store answers.
    pub store: StoreWatch,
    /// Until when restarts are free because of a drill.
    pub drills: DrillWatch,
    pub resource_manager: ResourceManagerGateway,
    /// The links to TaskManagers.
    pub links: TaskManagerLinks,
    /// Called when the job has ended for good.
    pub ended: OnJobEnded,
    pub options: JobMasterOptions,
}

impl fmt::Debug for JobMasterContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobMasterContext").field("leadership", &self.leadership).finish_non_exhaustive()
    }
}

/// A job whose graph is durable.
#[derive(Debug, Clone)]
pub struct SubmittedJob {
    /// The graph, with its id set.
    pub graph: Arc<JobGraph>,
    /// When it was submitted: wall-clock milliseconds since 1970.
    pub submitted_at_ms: u64,
}

impl JobMaster {
    /// Starts the JobMaster of a durable job. If the graph is invalid, only this job fails.
    pub fn start(context: JobMasterContext, submitted: SubmittedJob) -> JobMasterGateway {
        let clock = MonotonicClock::start();
        let SubmittedJob { graph, submitted_at_ms } = submitted;
        let job = graph.job_id.unwrap_or_default();
        let what = JobToRun {
            job,
            graph_crc32c: graph.fingerprint(),
            graph: Arc::clone(&graph),
            submitted_at_ms,
            epoch: context.leadership.epoch(),
            checkpoint_dir: context.checkpoint_root_uri.clone(),
            wall_at_zero_ms: wall_clock_ms(),
            seed: random_id() as u64,
        };
        match JobMaster::new(what, context.options) {
            Ok(core) => {
                let (gateway, mailbox) = mailbox(Arc::new(core.view(clock.now())));
                // The job must be registered before it asks for slots.
                context.resource_manager.register_job(gateway.clone());
                weir_world::spawn("job-master", Runner::new(core, clock, mailbox, context, graph).run());
                gateway
            }
            Err(dangling) => {
                // Validation refuses such a graph. If one was stored nevertheless, only this job fails.
                let view = Arc::new(JobView::failed(job, graph, submitted_at_ms, dangling.to_string(), wall_clock_ms()));
                let (gateway, _) = mailbox(Arc::new(JobView { status: JobStatus::Initializing, ..JobView::clone(&view) }));
                let ended = JobEnded { job, status: JobStatus::Failed, failure: Some(dangling.to_string()) };
                weir_world::spawn("job-master-broken", (context.ended)(ended, view));
                gateway
            }
        }
    }
}

struct Runner {
    core: JobMaster,
    clock: MonotonicClock,
    mailbox: MailboxEnd,
    context: JobMasterContext,
    graph: Arc<JobGraph>,
    stores: Arc<CheckpointStores>,
    running: FuturesUnordered<BoxFuture<'static, Option<JobMasterEvent>>>,
    requests: u64,
    askers: BTreeMap<u64, oneshot::Sender<SavepointOutcome>>,
    /// Until when a view of the same status waits.
    publish_again_at: Millis,
    view_is_old: bool,
    last_word: Option<LastWord>,
    /// Whether the job has been RUNNING under this leader.
    has_run: bool,
}

enum LastWord {
    Ended(JobEnded),
    Superseded,
}

impl Runner {
    fn new(core: JobMaster, clock: MonotonicClock, mailbox: MailboxEnd, context: JobMasterContext, graph: Arc<JobGraph>) -> Self {
        let stores = CheckpointStores {
            leadership: context.leadership.clone(),
            job: graph.job_id.unwrap_or_default(),
            storage: context.checkpoints.clone(),
            savepoint_root: context.savepoint_root.clone(),
            options: context.storage_options.clone(),
            completed: context.completed_checkpoints.clone(),
            ids: context.checkpoint_ids.clone(),
            known: Mutex::default(),
        };
        Self {
            core,
            clock,
            mailbox,
            context,
            graph,
            stores: Arc::new(stores),
            running: FuturesUnordered::new(),
            requests: 0,
            askers: BTreeMap::new(),
            publish_again_at: Millis(0),
            view_is_old: false,
            last_word: None,
            has_run: false,
        }
    }

    async fn run(mut self) {
        self.handle(JobMasterEvent::Start);
        let store = self.context.store.look();
        if store != StoreAvailability::Available {
            self.handle(JobMasterEvent::Store(store));
        }
        let restarts_free_ms = self.context.drills.look();
        if restarts_free_ms > 0 {
            self.handle(JobMasterEvent::Drill { restarts_free_ms });
        }
        while self.last_word.is_none() {
            if self.mailbox.take_overrun() {
                self.handle(JobMasterEvent::MessagesLost);
            }
            // The deadline is also checked here, so that a flood of messages can't delay it.
            let deadline = self.core.next_deadline();
            if deadline.is_some_and(|deadline| deadline <= self.clock.now()) {
                self.handle(JobMasterEvent::Tick);
                tokio::task::yield_now().await;
            }
            self.publish(false);
            let publish_at = self.view_is_old.then_some(self.publish_again_at);
            let wake_at = self.core.next_deadline().into_iter().chain(publish_at).min();
            tokio::select! {
                biased;
                _ = self.mailbox.suspended.changed() => return,
                Some(outcome) = self.running.next(), if !self.running.is_empty() => {
                    if let Some(event) = outcome {
                        self.handle(event);
                    }
                }
                store = self.context.store.changed() => self.handle(JobMasterEvent::Store(store)),
                // This is before messages, because the effects of a drill come after its beginning.
                restarts_free_ms = self.context.drills.changed() => self.handle(JobMasterEvent::Drill { restarts_free_ms }),
                message = self.mailbox.messages.recv() => match message {
                    Some(message) => self.take(message),
                    None => return, // No gateway is left, because leadership has ended.
                },
                () = self.clock.sleep_until(wake_at.unwrap_or_default()), if wake_at.is_some() => {}
            }
        }
        match self.last_word.take() {
            Some(LastWord::Ended(ended)) => {
                // The Dispatcher logs it, as it does for a job that never had a JobMaster.
                tracing::debug!(job = %ended.job, status = ended.status.as_str(), "the JobMaster has ended");
                let view = Arc::new(self.core.view(self.clock.now()));
                (self.context.ended)(ended, view).await;
            }
            Some(LastWord::Superseded) => {
                tracing::info!(job = %self.stores.job, "a newer leader has taken over; this JobMaster stops");
            }
            None => {}
        }
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Event(event) => self.handle(event),
            Message::Savepoint { target_directory, stop, reply } => {
                let request = self.ask(reply);
                let request = CheckpointRequest { request, savepoint: true, target_directory, stop };
                self.handle(JobMasterEvent::Checkpoint(CheckpointEvent::Requested(request)));
            }
            Message::Checkpoint { reply } => {
                let request = self.ask(reply);
                let request = CheckpointRequest { request, savepoint: false, target_directory: None, stop: false };
                self.handle(JobMasterEvent::Checkpoint(CheckpointEvent::Requested(request)));
            }
        }
    }

    fn ask(&mut self, reply: oneshot::Sender<SavepointOutcome>) -> u64 {
        self.requests += 1;
        self.askers.insert(self.requests, reply);
        self.requests
    }

    fn handle(&mut self, event: JobMasterEvent) {
        let before = self.core.status();
        let effects = self.core.handle(event, self.clock.now());
        if before != JobStatus::Running && self.core.status() == JobStatus::Running {
            // A restart is logged as a warning, so that its end needs a line, too.
            let again = if std::mem::replace(&mut self.has_run, true) { " again" } else { "" };
            tracing::info!(job = %self.stores.job, "the job is RUNNING{again}");
        }
        let mut lost = Vec::new();
        for effect in effects {
            self.perform(effect, &mut lost);
        }
        for event in lost {
            self.handle(event);
        }
        self.view_is_old = true;
        self.publish(before != self.core.status());
    }

    fn perform(&mut self, effect: JobMasterEffect, lost: &mut Vec<JobMasterEvent>) {
        let job = self.stores.job;
        match effect {
            JobMasterEffect::DeclareRequirements { slots } => self.context.resource_manager.declare_requirements(job, slots),
            JobMasterEffect::ReleaseSlot { allocation } => self.context.resource_manager.release(job, allocation),
            JobMasterEffect::Send { task_manager, order } => match self.context.links.send(&task_manager, order) {
                Ok(()) => {}
                Err(NotSent::LinkLost { task_manager, reason }) => {
                    lost.push(JobMasterEvent::TaskManagerLost { task_manager, reason });
                }
                Err(busy @ NotSent::Busy { checkpoint, .. }) => {
                    let reason = busy.to_string();
                    lost.push(JobMasterEvent::Checkpoint(CheckpointEvent::NotTriggered { checkpoint, reason }));
                }
            },
            JobMasterEffect::Disconnect { task_manager, reason } => {
                tracing::error!(%job, %task_manager, reason, "disconnecting a TaskManager whose tasks don't stop; look at that process");
                self.context.links.break_link(&task_manager, &reason);
                lost.push(JobMasterEvent::TaskManagerLost { task_manager, reason });
            }
            JobMasterEffect::Answer { request, outcome } => {
                if let Some(asker) = self.askers.remove(&request) {
                    let _ = asker.send(outcome); // The caller may no longer wait.
                }
            }
            JobMasterEffect::End(ended) => self.last_word = Some(LastWord::Ended(ended)),
            JobMasterEffect::StopSuperseded => self.last_word = Some(LastWord::Superseded),
            JobMasterEffect::ReadNewestCheckpoint { question } => {
                let (stores, graph) = (Arc::clone(&self.stores), Arc::clone(&self.graph));
                self.running.push(Box::pin(async move { Some(read_newest(&stores, &graph, question).await) }));
            }
            JobMasterEffect::Checkpoint(call) => {
                let stores = Arc::clone(&self.stores);
                self.running.push(Box::pin(async move {
                    Some(match stores.perform(call).await {
                        Ok(answer) => JobMasterEvent::Checkpoint(answer),
                        Err(Superseded) => JobMasterEvent::Superseded,
                    })
                }));
            }
        }
    }

    /// Publishes a new view: at once if the status is another one, otherwise not too often, because thousands of tasks may report.
    fn publish(&mut self, at_once: bool) {
        let at = self.clock.now();
        // R2: the Dispatcher shows a terminal status after it has made it durable.
        if !self.view_is_old || !(at_once || at >= self.publish_again_at) || self.core.status().is_globally_terminal() {
            return;
        }
        self.view_is_old = false;
        self.mailbox.view.send_replace(Arc::new(self.core.view(at)));
        let built = self.clock.now();
        self.publish_again_at = built.after(VIEW_INTERVAL_MS.max(built.since(at) * VIEW_SHARE));
    }
}

async fn read_newest(stores: &CheckpointStores, graph: &JobGraph, question: u64) -> JobMasterEvent {
    match stores.read_newest(graph).await {
        Ok(restore) => JobMasterEvent::CheckpointRead { question, restore },
        Err(Unreadable::Superseded) => JobMasterEvent::Superseded,
        Err(Unreadable::Because { reason, retryable }) => JobMasterEvent::CheckpointUnreadable { question, reason, retryable },
    }
}

#[cfg(test)]
mod tests;
