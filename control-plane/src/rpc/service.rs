//! The server's side of the links to TaskManagers.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::time::Duration;

use futures::{Stream, StreamExt, stream};
use tokio::sync::watch;
use tokio_stream::wrappers::WatchStream;
use tonic::transport::Server;
use tonic::{Request, Response, Status, Streaming};
use weir_ha::{HaServices, LeaderRecord};
use weir_protocol::link::{LeaderAddress, Registration, TaskMetrics, ToJobManager};
use weir_protocol::pb::link::v1 as pb;
use weir_protocol::rpc::{JobManagerService, JobManagerServiceServer, MAX_MESSAGE_BYTES, not_leader};
use weir_protocol::{JobId, TaskManagerId};
use weir_world::net::TcpListener;

use super::links::{LinkEnd, LinkId};
use crate::job_master::event::TaskManagerReport;
use crate::leading::Leading;
use crate::metrics;
use crate::resource_manager::event::Event;

/// A TaskManager must register within this time after it has opened a stream.
const REGISTRATION_DEADLINE: Duration = Duration::from_secs(10);
/// Maximum number of slots of one TaskManager.
const MAX_SLOTS: u32 = 4096;
/// Maximum number of attempts in a registration.
const MAX_HELD_ATTEMPTS: usize = 65_536;
/// Maximum length of an id or address, bytes.
const MAX_TEXT: usize = 512;
/// Interval of HTTP/2 pings, which detect connections whose peer no longer answers.
const KEEPALIVE: Duration = Duration::from_secs(5);
const STREAM_WINDOW: u32 = 4 * 1024 * 1024;
const CONNECTION_WINDOW: u32 = 16 * 1024 * 1024;
/// Maximum number of streams per connection. A TaskManager process needs two.
const STREAMS_PER_CONNECTION: u32 = 64;

/// Serves TaskManagers until it is dropped.
pub(crate) async fn serve(listener: TcpListener, service: LinkService) -> Result<(), tonic::transport::Error> {
    let service = JobManagerServiceServer::new(service)
        .max_decoding_message_size(MAX_MESSAGE_BYTES)
        .max_encoding_message_size(MAX_MESSAGE_BYTES);
    Server::builder()
        .http2_keepalive_interval(Some(KEEPALIVE))
        .http2_keepalive_timeout(Some(KEEPALIVE))
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_concurrent_streams(STREAMS_PER_CONNECTION)
        .add_service(service)
        .serve_with_incoming(listener.incoming())
        .await
}

/// The gRPC service. It knows the leader, and has its actors if this process leads.
#[derive(Clone)]
pub(crate) struct LinkService {
    leading: watch::Receiver<Option<Leading>>,
    ha: HaServices,
}

type BoxStream<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

impl LinkService {
    pub(crate) fn new(leading: watch::Receiver<Option<Leading>>, ha: HaServices) -> Self {
        Self { leading, ha }
    }

    fn not_leader(&self) -> Status {
        not_leader(self.ha.leader().borrow().as_ref().map(address).as_ref())
    }

    /// Decides whether a TaskManager may register with this leader.
    fn admit(&self, leading: &Leading, registration: &Registration) -> Result<(), Status> {
        let refuse = |reason: &'static str| ::metrics::counter!(metrics::REGISTRATIONS_REFUSED, "reason" => reason).increment(1);
        if registration.highest_epoch > leading.epoch() {
            refuse("superseded");
            let (ours, seen) = (leading.epoch(), registration.highest_epoch);
            tracing::warn!(%ours, %seen, task_manager = %registration.task_manager, "a TaskManager has seen a newer leader");
            return Err(self.not_leader());
        }
        check(registration).map_err(|reason| {
            refuse("invalid");
            Status::invalid_argument(format!("TM-REGISTRATION: {reason}"))
        })
    }
}

#[tonic::async_trait]
impl JobManagerService for LinkService {
    type ConnectStream = BoxStream<pb::ToTaskManager>;
    type WatchLeaderStream = BoxStream<pb::LeaderInfo>;

    async fn connect(&self, request: Request<Streaming<pb::ToJobManager>>) -> Result<Response<Self::ConnectStream>, Status> {
        let Some(leading) = self.leading.borrow().clone() else { return Err(self.not_leader()) };
        let mut inbound = request.into_inner();
        let first = tokio::time::timeout(REGISTRATION_DEADLINE, inbound.message()).await;
        let first = first.map_err(|_| Status::deadline_exceeded("TM-REGISTRATION: no registration arrived in time"))??;
        let registration = match first.map(ToJobManager::try_from) {
            Some(Ok(ToJobManager::Register(registration))) => registration,
            Some(Err(error)) => return Err(Status::invalid_argument(error.to_string())),
            _ => return Err(Status::invalid_argument("TM-REGISTRATION: the first message must be a registration")),
        };
        self.admit(&leading, &registration)?;
        let task_manager = registration.task_manager.clone();
        let Some(end) = leading.links.open(&task_manager) else { return Err(self.not_leader()) };
        let inbound = Inbound { leading, task_manager, link: end.id, stream: inbound, broken: end.broken.clone() };
        inbound.leading.resource_manager.report(Event::Register { registration, link: end.id }).await;
        weir_world::spawn("task-manager-link", inbound.run());
        Ok(Response::new(outbound(end, self.clone())))
    }

    async fn watch_leader(&self, _request: Request<pb::WatchLeaderRequest>) -> Result<Response<Self::WatchLeaderStream>, Status> {
        let leaders = WatchStream::new(self.ha.leader());
        let infos = leaders.map(|leader| Ok(pb::LeaderInfo::from(leader.as_ref().map(address))));
        Ok(Response::new(Box::pin(infos)))
    }
}

fn address(record: &LeaderRecord) -> LeaderAddress {
    LeaderAddress {
        epoch: record.epoch,
        name: record.leader.name.clone(),
        rpc_address: record.leader.rpc_address.clone(),
        rest_address: record.leader.rest_address.clone(),
    }
}

fn check(registration: &Registration) -> Result<(), String> {
    let texts = [&registration.task_manager.0, &registration.data_address, &registration.http_address];
    if registration.task_manager.0.is_empty() || texts.iter().any(|text| text.len() > MAX_TEXT) {
        return Err(format!("the id must have 1 to {MAX_TEXT} bytes, and addresses at most {MAX_TEXT}"));
    }
    if registration.slots == 0 || registration.slots > MAX_SLOTS {
        return Err(format!("{} slots: a TaskManager has 1 to {MAX_SLOTS}", registration.slots));
    }
    if registration.attempts.len() > MAX_HELD_ATTEMPTS {
        return Err(format!("{} attempts: the limit is {MAX_HELD_ATTEMPTS}", registration.attempts.len()));
    }
    match registration.attempts.iter().find(|held| held.slot >= registration.slots) {
        Some(held) => Err(format!("attempt {} is in slot {}, which does not exist", held.attempt, held.slot)),
        None => Ok(()),
    }
}

/// A stream of the queued orders. It ends with a status: this JobManager no longer leads, or the link was broken.
fn outbound(end: LinkEnd, service: LinkService) -> BoxStream<pb::ToTaskManager> {
    let orders = stream::unfold(Some((end, service)), |state| async move {
        let (mut end, service) = state?;
        tokio::select! {
            biased;
            reason = broken(&mut end.broken) => {
                let leads = service.leading.borrow().is_some();
                let status = if leads { Status::aborted(format!("TM-LINK: {reason}")) } else { service.not_leader() };
                Some((Err(status), None))
            }
            order = end.orders.recv() => order.map(|order| (Ok(pb::ToTaskManager::from(order)), Some((end, service)))),
        }
    });
    Box::pin(orders)
}

/// Waits until the link is broken. Returns the reason.
async fn broken(link: &mut watch::Receiver<Option<String>>) -> String {
    match link.wait_for(Option::is_some).await {
        Ok(reason) => reason.clone().unwrap_or_default(),
        // The inbound half has ended and removed the link.
        Err(_) => "the connection has ended".to_string(),
    }
}

/// The half of a link that receives messages.
struct Inbound {
    leading: Leading,
    task_manager: TaskManagerId,
    link: LinkId,
    stream: Streaming<pb::ToJobManager>,
    broken: watch::Receiver<Option<String>>,
}

impl Inbound {
    async fn run(mut self) {
        let reason = self.listen().await;
        self.leading.links.remove(&self.task_manager, self.link);
        tracing::info!(task_manager = %self.task_manager, reason, "link ended");
        let lost = Event::LinkLost { task_manager: self.task_manager, link: self.link, reason };
        self.leading.resource_manager.report(lost).await;
    }

    /// Receives messages until the link ends. Returns the reason.
    async fn listen(&mut self) -> String {
        loop {
            let message = tokio::select! {
                biased;
                reason = broken(&mut self.broken) => return reason,
                message = self.stream.message() => message,
            };
            match message {
                Ok(Some(message)) => match ToJobManager::try_from(message) {
                    Ok(message) => {
                        if let Err(reason) = self.take(message).await {
                            return reason;
                        }
                    }
                    Err(error) => {
                        tracing::error!(task_manager = %self.task_manager, %error, "unreadable message: breaking the link");
                        return error.to_string();
                    }
                },
                Ok(None) => return "the TaskManager closed the connection".to_string(),
                Err(status) => return format!("connection lost: {}", status.message()),
            }
        }
    }

    async fn take(&self, message: ToJobManager) -> Result<(), String> {
        match message {
            ToJobManager::Register(_) => return Err("a second registration on one link".to_string()),
            ToJobManager::Heartbeat(report) => {
                self.report(Event::Heartbeat { task_manager: self.task_manager.clone(), link: self.link }).await;
                let mut by_job: BTreeMap<JobId, Vec<TaskMetrics>> = BTreeMap::new();
                for metrics in report.tasks {
                    by_job.entry(metrics.attempt.job).or_default().push(metrics);
                }
                for (job, metrics) in by_job {
                    self.forward(job, TaskManagerReport::Metrics(metrics));
                }
            }
            ToJobManager::TaskState(update) => {
                let (attempt, ended) = (update.attempt, update.state.is_terminal());
                // The JobMaster is told first, so that it returns the slot before the ResourceManager could grant it again.
                self.forward(attempt.job, TaskManagerReport::TaskState(update));
                if ended {
                    let task_manager = self.task_manager.clone();
                    self.report(Event::AttemptEnded { task_manager, link: self.link, attempt }).await;
                }
            }
            ToJobManager::Acknowledge(acknowledgement) => {
                self.forward(acknowledgement.attempt.job, TaskManagerReport::Acknowledge(acknowledgement));
            }
            ToJobManager::Decline(decline) => self.forward(decline.attempt.job, TaskManagerReport::Decline(decline)),
            ToJobManager::InputEnded(attempt) => self.forward(attempt.job, TaskManagerReport::InputEnded(attempt)),
        }
        Ok(())
    }

    async fn report(&self, event: Event) {
        self.leading.resource_manager.report(event).await;
    }

    fn forward(&self, job: JobId, report: TaskManagerReport) {
        match self.leading.jobs.job_master(job) {
            Some(job_master) => job_master.from_task_manager(&self.task_manager, report),
            None => tracing::debug!(%job, task_manager = %self.task_manager, "ignored a report about a job that has ended"),
        }
    }
}

#[cfg(test)]
mod tests {
    use weir_protocol::LeaderEpoch;

    use super::*;

    fn registration() -> Registration {
        Registration {
            task_manager: TaskManagerId("tm".to_string()),
            highest_epoch: LeaderEpoch(1),
            data_address: "a:1".to_string(),
            http_address: "a:2".to_string(),
            slots: 2,
            memory_bytes: 0,
            attempts: Vec::new(),
        }
    }

    #[test]
    fn a_registration_that_exceeds_a_limit_is_refused() {
        assert_eq!(check(&registration()), Ok(()));
        assert!(check(&Registration { slots: 0, ..registration() }).is_err());
        assert!(check(&Registration { slots: u32::MAX, ..registration() }).is_err());
        assert!(check(&Registration { data_address: "x".repeat(1000), ..registration() }).is_err());
        assert!(check(&Registration { task_manager: TaskManagerId(String::new()), ..registration() }).is_err());
    }
}
