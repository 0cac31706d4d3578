//! The runner of the Dispatcher. Store operations run as futures of this one task, so they stop when the task stops.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::future::BoxFuture;
use futures::stream::FuturesUnordered;
use tokio::sync::{oneshot, watch};
use weir_ha::{ClientToken, GraphDigest, JobResult, Leadership, RecoveredJob, StoreError, StoreWatch};
use weir_protocol::JobId;
use weir_protocol::job_graph::JobGraph;
use weir_protocol::job_status::JobStatus;
use weir_world::{MonotonicClock, delay_at_times, random_id, wall_clock_ms};

use super::cleanup::Stores;
use super::effect::{CancelError, Effect, SubmitError, Submitted};
use super::event::{Event, Ticket};
use super::gateway::{DispatcherGateway, Request, Requests};
use super::job_registry::JobRegistry;
use super::{Dispatcher, DispatcherOptions};
use crate::job_master::effect::JobEnded;
use crate::job_master::gateway::JobMasterGateway;
use crate::job_master::view::JobView;
use crate::resource_manager::gateway::ResourceManagerGateway;

/// Starts the JobMaster of a durable job, whose id is set. The number is the wall-clock time of the submission, milliseconds
/// since 1970.
pub(crate) type StartJobMaster = Box<dyn Fn(JobGraph, u64, &DispatcherGateway) -> JobMasterGateway + Send>;

/// What the Dispatcher of one leadership needs.
pub(crate) struct DispatcherContext {
    pub(crate) options: DispatcherOptions,
    pub(crate) leadership: Leadership,
    pub(crate) stores: Stores,
    /// Whether the coordination store answers.
    pub(crate) store: StoreWatch,
    pub(crate) registry: JobRegistry,
    pub(crate) resource_manager: ResourceManagerGateway,
    pub(crate) start_job_master: StartJobMaster,
    /// Set when the store says that a newer leader exists.
    pub(crate) superseded: watch::Sender<bool>,
}

/// What the store held when leadership was granted.
#[derive(Debug, Default)]
pub(crate) struct Recovered {
    pub(crate) jobs: Vec<RecoveredJob>,
    pub(crate) results: Vec<JobResult>,
}

/// Creates a Dispatcher that does not run yet, and its gateway.
pub(crate) fn prepare(context: DispatcherContext) -> (DispatcherGateway, Runner) {
    let (gateway, requests) = super::gateway::channel();
    let clock = MonotonicClock::start();
    let core = Dispatcher::new(context.options.clone(), clock.now());
    let runner = Runner {
        clock,
        core,
        context,
        gateway: gateway.clone(),
        requests,
        running: FuturesUnordered::new(),
        tickets: 0,
        submitters: BTreeMap::new(),
        cancellers: BTreeMap::new(),
        last_views: BTreeMap::new(),
    };
    (gateway, runner)
}

/// A client that waits for the answer to its submission.
struct Submitter {
    /// The graph as it was submitted.
    graph: GraphDigest,
    reply: oneshot::Sender<Result<Submitted, SubmitError>>,
}

/// The async loop around the pure core.
pub(crate) struct Runner {
    clock: MonotonicClock,
    core: Dispatcher,
    context: DispatcherContext,
    gateway: DispatcherGateway,
    requests: Requests,
    running: FuturesUnordered<BoxFuture<'static, Option<Event>>>,
    tickets: u64,
    submitters: BTreeMap<Ticket, Submitter>,
    cancellers: BTreeMap<Ticket, oneshot::Sender<Result<(), CancelError>>>,
    /// The last views of ended jobs, kept until their results are durable.
    last_views: BTreeMap<JobId, Arc<JobView>>,
}

impl Runner {
    /// Starts the recovered jobs. The registry shows every job when this returns.
    pub(crate) fn recover(&mut self, recovered: Recovered) {
        self.handle(Event::Recovered { jobs: recovered.jobs, results: recovered.results });
    }

    /// Runs until dropped.
    pub(crate) async fn run(mut self) {
        let store = self.context.store.look();
        self.handle(Event::Store(store));
        loop {
            let deadline = self.core.next_deadline();
            tokio::select! {
                biased;
                Some(outcome) = self.running.next(), if !self.running.is_empty() => {
                    if let Some(event) = outcome {
                        self.handle(event);
                    }
                }
                store = self.context.store.changed() => self.handle(Event::Store(store)),
                Some(request) = self.requests.recv() => self.take(request),
                () = self.clock.sleep_until(deadline) => self.handle(Event::Tick),
            }
        }
    }

    fn take(&mut self, request: Request) {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        match request {
            Request::Submit { mut graph, client_token, reply } => {
                self.submitters.insert(ticket, Submitter { graph: GraphDigest::of(&graph), reply });
                graph.job_id.get_or_insert_with(|| JobId(random_id()));
                self.handle(Event::Submit { ticket, graph, client_token, wall_clock_ms: wall_clock_ms() });
            }
            Request::Cancel { job, reply } => {
                self.cancellers.insert(ticket, reply);
                self.handle(Event::Cancel { ticket, job, wall_clock_ms: wall_clock_ms() });
            }
            Request::JobEnded { ended: JobEnded { job, status, failure }, last_view } => {
                match status {
                    JobStatus::Failed => tracing::error!(%job, failure, "the job has FAILED, and is not restarted any more"),
                    status => tracing::info!(%job, status = status.as_str(), failure, "the job has ended"),
                }
                self.last_views.insert(job, last_view);
                self.handle(Event::JobEnded { job, status, failure, wall_clock_ms: wall_clock_ms() });
            }
        }
    }

    fn handle(&mut self, event: Event) {
        for effect in self.core.handle(event, self.clock.now()) {
            self.perform(effect);
        }
    }

    fn perform(&mut self, effect: Effect) {
        let registry = &self.context.registry;
        match effect {
            Effect::Persist { ticket, graph, client_token, submitted_at_ms } => {
                self.persist(ticket, *graph, client_token, submitted_at_ms);
            }
            Effect::AnswerSubmit { ticket, answer } => {
                if let Some(Submitter { reply, .. }) = self.submitters.remove(&ticket) {
                    // A client that has disconnected submits again with its token.
                    let _ = reply.send(answer);
                }
            }
            Effect::AnswerCancel { ticket, answer } => {
                if let Some(reply) = self.cancellers.remove(&ticket) {
                    let _ = reply.send(answer);
                }
            }
            Effect::StartJobMaster { graph, submitted_at_ms } => {
                let job_master = (self.context.start_job_master)(*graph, submitted_at_ms, &self.gateway);
                tracing::info!(job = %job_master.job(), "JobMaster started");
                registry.show_live(job_master);
            }
            Effect::CancelJob { job } => {
                if let Some(job_master) = registry.job_master(job) {
                    self.spawn(async move {
                        // If the JobMaster has stopped, its job has ended. The Dispatcher learns that anyway.
                        let _ = job_master.cancel().await;
                        None
                    });
                }
            }
            Effect::ShowQuarantined { job, reason } => registry.show_quarantined(job, reason, wall_clock_ms()),
            Effect::Reread { job } => {
                let graphs = self.context.stores.graphs.clone();
                self.spawn(async move { Some(Event::Reread { job, outcome: graphs.read(job).await.map_err(StoreError::from) }) });
            }
            Effect::StoreResult { result } => {
                let (results, leadership) = (self.context.stores.results.clone(), self.context.leadership.clone());
                self.spawn(async move {
                    let outcome = results.put_dirty(&leadership, &result).await;
                    Some(Event::ResultStored { job: result.job, outcome })
                });
            }
            Effect::ShowEnded { result } => {
                self.context.resource_manager.job_gone(result.job);
                let last_view = self.last_views.remove(&result.job);
                registry.show_ended(result, last_view);
            }
            Effect::CleanUp { job, step } => {
                let (stores, leadership) = (self.context.stores.clone(), self.context.leadership.clone());
                self.spawn(async move {
                    let outcome = stores.clean_up(&leadership, job, step).await;
                    Some(Event::CleanedUp { job, step, outcome })
                });
            }
            Effect::Forget { job } => registry.forget(job),
            Effect::ForgetResults { jobs } => self.forget_results(jobs),
            Effect::StepDown { reason } => {
                tracing::warn!(reason, "a newer leader exists: stepping down");
                self.context.superseded.send_replace(true);
            }
        }
    }

    fn persist(&mut self, ticket: Ticket, graph: JobGraph, client_token: Option<String>, submitted_at_ms: u64) {
        let (graphs, leadership) = (self.context.stores.graphs.clone(), self.context.leadership.clone());
        let digest = self.submitters.get(&ticket).map_or_else(|| GraphDigest::of(&graph), |submitter| submitter.graph);
        self.spawn(async move {
            let token = client_token.as_deref().map(|token| ClientToken { token, graph: digest });
            let outcome = graphs.submit(&leadership, &graph, token, submitted_at_ms).await;
            delay_at_times("submission-persisted").await;
            Some(Event::Persisted { ticket, outcome })
        });
    }

    fn forget_results(&mut self, jobs: Vec<JobId>) {
        let (results, leadership) = (self.context.stores.results.clone(), self.context.leadership.clone());
        self.spawn(async move {
            if let Err(error) = results.forget(&leadership, jobs).await {
                tracing::warn!(%error, "old results could not be removed from the store; a later check or the next leader will remove them");
            }
            None
        });
    }

    fn spawn(&mut self, operation: impl Future<Output = Option<Event>> + Send + 'static) {
        self.running.push(Box::pin(operation));
    }
}
