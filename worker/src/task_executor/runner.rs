//! The async shell of the TaskExecutor, on the agent's own thread. It waits for events, lets the TaskExecutor decide, and carries
//! out the effects.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::{mpsc, watch};
use weir_protocol::ExecutionAttemptId;
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{HeartbeatReport, LeaderAddress, TaskMetrics, ToJobManager};
use weir_world::{Millis, MonotonicClock};

use super::effect::{Effect, TaskStart};
use super::event::{Event, LinkNumber};
use super::gateway::{TaskExecutorGateway, TaskExecutorStatus};
use super::leader_watch;
use super::link::LeaderLink;
use super::search::{LeaderSearch, WatchFailures};
use super::{Identity, TaskExecutor};
use crate::checkpoint_storages::CheckpointStorages;
use crate::metrics;
use crate::network::server::AbortOnDrop;
use crate::task::control::TaskControl;
use crate::task::deploy::{Deployer, TaskOfDeployment, Unprepared};
use crate::task::report::{self, TaskReportReceiver, TaskReports};
use crate::task::slot::Slot;
use crate::task_series::TaskSeries;

/// Time between two looks at the clock, in milliseconds.
const TICK_MS: u64 = 20;
/// Time between two updates of the tasks' metrics, in milliseconds.
const PUBLISH_MS: u64 = 1_000;
/// Most waiting events of links and leader watches.
const EVENT_QUEUE: usize = 1024;
/// Longest wait for tasks to stop when the process ends, in milliseconds.
const STOP_DEADLINE_MS: u64 = 5_000;

/// The parts that a runner needs.
pub struct RunnerParts {
    pub identity: Identity,
    /// `host:port` of the gRPC services of all JobManagers.
    pub jobmanagers: Vec<String>,
    pub deployer: Arc<Deployer>,
    /// Handles to the slots' threads.
    pub slots: Vec<Slot>,
    /// The storages of checkpoints.
    pub storages: Arc<CheckpointStorages>,
    /// The series of tasks in `/metrics`.
    pub series: Arc<TaskSeries>,
    /// The runtime for network and uploads.
    pub io: Handle,
}

/// The running shell of the TaskExecutor.
pub struct Runner {
    core: TaskExecutor,
    clock: MonotonicClock,
    parts: RunnerParts,
    controls: BTreeMap<ExecutionAttemptId, Arc<TaskControl>>,
    published: BTreeMap<ExecutionAttemptId, TaskMetrics>,
    publish_at: Millis,
    link: Option<(LinkNumber, LeaderLink)>,
    search: LeaderSearch,
    failures: WatchFailures,
    events: mpsc::Sender<Event>,
    reports: TaskReports,
    status: watch::Sender<TaskExecutorStatus>,
}

impl Runner {
    /// Returns the runner, which the agent's runtime must drive, and its handle.
    pub fn launch(parts: RunnerParts) -> (impl Future<Output = ()> + Send, TaskExecutorGateway) {
        let (stop, stops) = mpsc::channel(1);
        let (status, statuses) = watch::channel(TaskExecutorStatus::default());
        let gateway = TaskExecutorGateway::new(stop, statuses);
        (Self::start(parts, status, stops), gateway)
    }

    async fn start(parts: RunnerParts, status: watch::Sender<TaskExecutorStatus>, stops: mpsc::Receiver<()>) {
        let (events, event_queue) = mpsc::channel(EVENT_QUEUE);
        let (leaders, leader_queue) = mpsc::channel(EVENT_QUEUE);
        let failures = WatchFailures::default();
        let watch = |address: &String| {
            let watch = leader_watch::watch(address.clone(), leaders.clone(), failures.clone());
            AbortOnDrop(weir_world::spawn("leader-watch", watch))
        };
        let _watches: Vec<_> = parts.jobmanagers.iter().map(watch).collect();
        drop(leaders);
        let (reports, report_queue) = report::task_reports();
        let runner = Self {
            core: TaskExecutor::new(parts.identity.clone()),
            clock: MonotonicClock::start(),
            controls: BTreeMap::new(),
            published: BTreeMap::new(),
            publish_at: Millis(0),
            link: None,
            search: LeaderSearch::default(),
            failures,
            events,
            reports,
            status,
            parts,
        };
        runner.run(event_queue, leader_queue, report_queue, stops).await;
    }

    async fn run(
        mut self,
        mut events: mpsc::Receiver<Event>,
        mut leaders: mpsc::Receiver<LeaderAddress>,
        mut reports: TaskReportReceiver,
        mut stops: mpsc::Receiver<()>,
    ) {
        let mut ticks = tokio::time::interval(Duration::from_millis(TICK_MS));
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
        let mut stop_by = None;
        loop {
            let event = tokio::select! {
                biased;
                _ = stops.recv(), if stop_by.is_none() => {
                    stop_by = Some(self.clock.now().after(STOP_DEADLINE_MS));
                    Event::Stop
                }
                _ = ticks.tick() => Event::Tick,
                Some(event) = events.recv() => event,
                Some(report) = reports.next() => Event::FromTask(report),
                Some(leader) = leaders.recv() => Event::LeaderSeen(leader),
            };
            self.handle(event);
            let now = self.clock.now();
            if now >= self.publish_at {
                self.publish_at = now.after(PUBLISH_MS);
                self.publish_metrics();
                self.report_search(now);
            }
            let stopped = stop_by.is_some_and(|deadline| self.core.tasks() == 0 || now >= deadline);
            if stopped && let Some((_, link)) = self.link.take() {
                link.close().await;
            }
            self.publish_status(stopped);
            if stopped {
                return;
            }
        }
    }

    fn handle(&mut self, event: Event) {
        // An effect that fails at once causes another event.
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let now = self.clock.now();
            for effect in self.core.handle(event, now) {
                events.extend(self.perform(effect));
            }
        }
    }

    fn perform(&mut self, effect: Effect) -> Option<Event> {
        match effect {
            Effect::Connect { link, leader } => {
                tracing::info!(epoch = %leader.epoch, leader = leader.name, address = leader.rpc_address, "connecting to the leader");
                self.link = Some((link, LeaderLink::open(link, leader, self.events.clone())));
            }
            Effect::Disconnect => self.link = None,
            Effect::Send(message) => return self.send(message),
            Effect::SendHeartbeat => {
                let tasks = self.controls.values().map(|control| control.counters().read(control.attempt())).collect();
                return self.send(ToJobManager::Heartbeat(HeartbeatReport { tasks }));
            }
            Effect::Deploy(start) => self.deploy(*start),
            Effect::Cancel(attempt) => {
                if let Some(control) = self.controls.get(&attempt) {
                    control.cancel();
                }
            }
            Effect::Tell { attempt, order } => {
                if let Some(control) = self.controls.get(&attempt)
                    && !control.order(order)
                {
                    tracing::warn!(%attempt, "a task does not read its orders; it will fail, because it lost some");
                }
            }
            Effect::Forget(attempt) => {
                self.publish_task(attempt);
                self.controls.remove(&attempt);
                self.published.remove(&attempt);
            }
            Effect::CountStale(stale) => {
                ::metrics::counter!(metrics::STALE_ORDERS).increment(1);
                tracing::warn!(stale = %stale.stale, current = %stale.current, "refused an order of a superseded leader");
            }
            Effect::LeaderLost(reason) => {
                ::metrics::counter!(metrics::LEADER_LOST).increment(1);
                tracing::warn!(reason, tasks = self.core.tasks(), "lost the leader; tasks continue");
            }
            Effect::Registered(leader) => {
                tracing::info!(epoch = %leader.epoch, leader = leader.name, "registered with the leader");
            }
            Effect::CountDropped => ::metrics::counter!(metrics::OUTBOX_DROPPED).increment(1),
        }
        None
    }

    fn send(&mut self, message: ToJobManager) -> Option<Event> {
        if let ToJobManager::TaskState(update) = &message
            && let Some(failure) = &update.failure
        {
            ::metrics::counter!(metrics::TASK_FAILURES, "code" => failure.code.clone()).increment(1);
            tracing::warn!(attempt = %update.attempt, code = failure.code, reason = failure.message, "a task failed");
        }
        let (link, leader) = self.link.as_ref()?;
        let lost = leader.send(message).is_err() || weir_world::rarely("link-lost");
        lost.then(|| Event::LinkLost { link: *link, reason: "the link to the leader accepts no more messages".into() })
    }

    fn deploy(&mut self, start: TaskStart) {
        let attempt = start.task.attempt;
        let Some(slot) = self.parts.slots.get(start.task.slot as usize).cloned() else { return };
        tracing::info!(%attempt, job = start.job_name, vertex = start.task.vertex.uid, slot = start.task.slot,
            restore = start.restore_checkpoint.map(|id| id.0), "deploying a task");
        let control = TaskControl::new(attempt, slot.waker().clone());
        self.controls.insert(attempt, control.clone());
        let deployer = self.parts.deployer.clone();
        // Consumers may ask at once, so the outputs must exist before anything else happens.
        let outputs = deployer.offer_outputs(&start.task, start.max_parallelism, &control);
        let (storages, reports) = (self.parts.storages.clone(), self.reports.clone());
        let _on_io = self.parts.io.enter();
        weir_world::spawn("deploy", async move {
            let prepared = match storages.open(&start.checkpoint_dir).await {
                Ok(storage) => {
                    let order = TaskOfDeployment {
                        task: start.task,
                        max_parallelism: start.max_parallelism,
                        storage,
                        restoring: start.restore_checkpoint.is_some(),
                    };
                    deployer.prepare(order, outputs, control, reports.clone()).await
                }
                Err(failure) => Err(Unprepared::Failed(failure)),
            };
            let report = match prepared {
                Ok(task) => return slot.add(task),
                Err(Unprepared::Canceled) => report::state(attempt, ExecutionState::Canceled),
                Err(Unprepared::Failed(failure)) => report::failed(attempt, failure),
            };
            deployer.channels.withdraw(&attempt);
            reports.tell(report).await;
        });
    }

    fn publish_task(&mut self, attempt: ExecutionAttemptId) {
        let Some(control) = self.controls.get(&attempt) else { return };
        let current = control.counters().read(attempt);
        let before = self.published.insert(attempt, current);
        self.parts.series.publish(&current, before.as_ref(), self.clock.now());
    }

    /// Says now and then which JobManagers were tried, while no leader has accepted this TaskManager.
    fn report_search(&mut self, now: Millis) {
        if let Some(searched_ms) = self.search.note(self.core.registered_with().is_some(), now) {
            let tried = self.failures.text(&self.parts.jobmanagers);
            tracing::warn!(seconds = searched_ms / 1_000, tried, "found no leading JobManager yet; trying on");
        }
    }

    fn publish_metrics(&mut self) {
        for attempt in self.controls.keys().copied().collect::<Vec<_>>() {
            self.publish_task(attempt);
        }
        self.parts.series.drop_ended(self.clock.now());
        ::metrics::gauge!(metrics::TASKS).set(self.core.tasks() as f64);
        ::metrics::gauge!(metrics::SLOTS).set(f64::from(self.parts.identity.slots));
        ::metrics::gauge!(metrics::REGISTERED).set(f64::from(u8::from(self.core.registered_with().is_some())));
    }

    fn publish_status(&self, stopped: bool) {
        let status = TaskExecutorStatus {
            registered_with: self.core.registered_with().map(|leader| leader.epoch),
            tasks: self.core.tasks(),
            stopped,
        };
        self.status.send_if_modified(|old| std::mem::replace(old, status) != status);
    }
}
