//! A fake JobManager for TaskManagers. It speaks the link protocol, records what it hears and sends what the test wants.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tokio_stream::{Stream, StreamExt};
use tonic::{Request, Response, Status, Streaming};
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{
    CheckpointAcknowledgement, LeaderAddress, Order, Registration, TaskFailure, TaskMetrics, ToJobManager, ToTaskManager,
};
use weir_protocol::pb::link::v1 as pb;
use weir_protocol::rpc::{JobManagerService, JobManagerServiceServer, MAX_MESSAGE_BYTES};
use weir_protocol::{CheckpointId, ExecutionAttemptId, LeaderEpoch, TaskManagerId};
use weir_world::net::{BoundListener, ConnectionLimits};

/// Longest wait of a test. It is reached only if something is broken.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Default)]
struct Heard {
    registrations: BTreeMap<String, Registration>,
    links: BTreeMap<String, mpsc::Sender<Result<pb::ToTaskManager, Status>>>,
    states: BTreeMap<ExecutionAttemptId, (ExecutionState, Option<TaskFailure>)>,
    acknowledged: BTreeMap<(CheckpointId, ExecutionAttemptId), CheckpointAcknowledgement>,
    declined: Vec<(CheckpointId, ExecutionAttemptId, String)>,
    ended: Vec<ExecutionAttemptId>,
    rows_in: BTreeMap<ExecutionAttemptId, u64>,
    /// How links ended: in order, or with an error.
    link_ends: BTreeMap<String, Result<(), String>>,
    final_counters: BTreeMap<ExecutionAttemptId, TaskMetrics>,
}

#[derive(Clone)]
struct Service {
    leader: LeaderAddress,
    heard: Arc<Mutex<Heard>>,
    news: Arc<Notify>,
}

pub struct FakeJobManager {
    service: Service,
    stop: watch::Sender<bool>,
}

type Out<T> = Pin<Box<dyn Stream<Item = Result<T, Status>> + Send>>;

#[tonic::async_trait]
impl JobManagerService for Service {
    type ConnectStream = Out<pb::ToTaskManager>;
    type WatchLeaderStream = Out<pb::LeaderInfo>;

    async fn connect(&self, request: Request<Streaming<pb::ToJobManager>>) -> Result<Response<Self::ConnectStream>, Status> {
        let mut messages = request.into_inner();
        let first = messages.message().await?.ok_or_else(|| Status::aborted("no registration"))?;
        let ToJobManager::Register(registration) = ToJobManager::try_from(first).unwrap() else {
            return Err(Status::invalid_argument("the first message is not a registration"));
        };
        let (out, orders) = mpsc::channel(1024);
        out.send(Ok(self.order(Order::Registered))).await.unwrap();
        let task_manager = registration.task_manager.0.clone();
        {
            let mut heard = self.heard.lock().unwrap();
            heard.links.insert(task_manager.clone(), out.clone());
            heard.registrations.insert(task_manager.clone(), registration);
        }
        self.news.notify_waiters();
        let service = self.clone();
        weir_world::spawn("test", async move {
            let end = loop {
                match messages.message().await {
                    Ok(Some(message)) => service.hear(ToJobManager::try_from(message).unwrap()),
                    Ok(None) => break Ok(()),
                    Err(status) => break Err(status.message().to_owned()),
                }
            };
            {
                let mut heard = service.heard.lock().unwrap();
                // The TaskManager may have a newer link.
                heard.links.retain(|_, link| !link.same_channel(&out));
                heard.link_ends.insert(task_manager, end);
            }
            service.news.notify_waiters();
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(orders))))
    }

    async fn watch_leader(&self, _: Request<pb::WatchLeaderRequest>) -> Result<Response<Self::WatchLeaderStream>, Status> {
        let info = pb::LeaderInfo::from(Some(self.leader.clone()));
        Ok(Response::new(Box::pin(tokio_stream::once(Ok::<_, Status>(info)).chain(tokio_stream::pending()))))
    }
}

impl Service {
    fn order(&self, order: Order) -> pb::ToTaskManager {
        ToTaskManager { epoch: self.leader.epoch, order }.into()
    }

    fn hear(&self, message: ToJobManager) {
        let mut heard = self.heard.lock().unwrap();
        match message {
            ToJobManager::Register(_) => panic!("registered twice over one link"),
            ToJobManager::Heartbeat(report) => {
                heard.rows_in.extend(report.tasks.iter().map(|task| (task.attempt, task.records_in)));
                let ack = self.order(Order::HeartbeatAck);
                heard.links.values().for_each(|link| drop(link.try_send(Ok(ack.clone()))));
            }
            ToJobManager::TaskState(update) => {
                heard.final_counters.extend(update.counters.map(|counters| (update.attempt, counters)));
                heard.states.insert(update.attempt, (update.state, update.failure));
            }
            ToJobManager::Acknowledge(ack) => {
                heard.acknowledged.insert((ack.checkpoint, ack.attempt), ack);
            }
            ToJobManager::Decline(decline) => heard.declined.push((decline.checkpoint, decline.attempt, decline.reason)),
            ToJobManager::InputEnded(attempt) => heard.ended.push(attempt),
        }
        drop(heard);
        self.news.notify_waiters();
    }
}

/// Binds the address of a JobManager that starts later.
pub fn reserve() -> (BoundListener, String) {
    let listener = BoundListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    (listener, address)
}

impl FakeJobManager {
    pub fn start(epoch: u64, listener: BoundListener) -> Self {
        let rpc_address = listener.local_addr().unwrap().to_string();
        let name = format!("jm-{epoch}");
        let leader = LeaderAddress { epoch: LeaderEpoch(epoch), name, rpc_address, rest_address: String::new() };
        let service = Service { leader, heard: Arc::default(), news: Arc::default() };
        let (stop, mut stopped) = watch::channel(false);
        let server = JobManagerServiceServer::new(service.clone())
            .max_decoding_message_size(MAX_MESSAGE_BYTES)
            .max_encoding_message_size(MAX_MESSAGE_BYTES);
        let connections = listener.serve(ConnectionLimits::processes(4)).unwrap().incoming();
        weir_world::spawn("test", async move {
            let serve = tonic::transport::Server::builder().add_service(server).serve_with_incoming(connections);
            tokio::select! {
                served = serve => served.unwrap(),
                _ = stopped.wait_for(|stopped| *stopped) => {}
            }
        });
        Self { service, stop }
    }

    /// Stops like a killed process: its links end without notice.
    pub fn kill(self) {
        self.stop.send_replace(true);
        self.service.heard.lock().unwrap().links.clear();
    }

    pub fn send(&self, task_manager: &TaskManagerId, order: Order) {
        let heard = self.service.heard.lock().unwrap();
        heard.links[&task_manager.0].try_send(Ok(self.service.order(order))).unwrap();
    }

    /// Waits until `look` finds its value in what was heard.
    async fn until<T>(&self, what: &str, mut look: impl FnMut(&Heard) -> Option<T>) -> T {
        let wait = async {
            loop {
                let news = self.service.news.notified();
                tokio::pin!(news);
                news.as_mut().enable();
                if let Some(found) = look(&self.service.heard.lock().unwrap()) {
                    return found;
                }
                news.await;
            }
        };
        match weir_servers::within(PATIENCE, wait).await {
            Some(found) => found,
            None => {
                let heard = self.service.heard.lock().unwrap();
                panic!("{what}: never came; states {:?}, declined {:?}", heard.states, heard.declined)
            }
        }
    }

    pub async fn registration(&self, task_manager: &TaskManagerId) -> Registration {
        self.until("registration", |heard| heard.registrations.get(&task_manager.0).cloned()).await
    }

    pub async fn link_end(&self, task_manager: &TaskManagerId) -> Result<(), String> {
        self.until("the end of the link", |heard| heard.link_ends.get(&task_manager.0).cloned()).await
    }

    pub async fn all_in(&self, attempts: &[ExecutionAttemptId], state: ExecutionState) {
        let what = format!("{} attempts {}", attempts.len(), state.as_str());
        self.until(&what, |heard| {
            let there = |attempt| heard.states.get(attempt).is_some_and(|(now, _)| *now == state);
            attempts.iter().all(there).then_some(())
        })
        .await;
    }

    pub async fn failure(&self, attempt: ExecutionAttemptId) -> TaskFailure {
        self.until("failure", |heard| heard.states.get(&attempt).and_then(|(_, failure)| failure.clone())).await
    }

    pub async fn declined(&self, id: u64, attempt: ExecutionAttemptId) {
        let is_it =
            |(checkpoint, of, _): &(CheckpointId, ExecutionAttemptId, String)| *checkpoint == CheckpointId(id) && *of == attempt;
        self.until("decline", |heard| heard.declined.iter().any(is_it).then_some(())).await;
    }

    /// Waits until a test operator has created this file.
    pub async fn until_exists(&self, path: &std::path::Path) {
        self.until_true(&path.display().to_string(), || path.exists()).await;
    }

    /// Waits until a condition holds whose change is not announced.
    pub async fn until_true(&self, what: &str, mut holds: impl FnMut() -> bool) {
        let wait = async {
            while !holds() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        assert!(weir_servers::within(PATIENCE, wait).await.is_some(), "{what} never came");
    }

    pub async fn acknowledgements(&self, id: u64, attempts: &[ExecutionAttemptId]) -> Vec<CheckpointAcknowledgement> {
        self.until(&format!("checkpoint {id}"), |heard| {
            attempts.iter().map(|attempt| heard.acknowledged.get(&(CheckpointId(id), *attempt)).cloned()).collect()
        })
        .await
    }

    pub async fn all_ended(&self, attempts: &[ExecutionAttemptId]) {
        self.until("end of input", |heard| attempts.iter().all(|attempt| heard.ended.contains(attempt)).then_some(())).await;
    }

    pub async fn rows_in_above(&self, attempt: ExecutionAttemptId, rows: u64) -> u64 {
        self.until("rows", |heard| heard.rows_in.get(&attempt).copied().filter(|now| *now > rows)).await
    }

    /// Waits until these attempts together have read this many rows.
    pub async fn rows_in_reach(&self, attempts: &[ExecutionAttemptId], rows: u64) {
        let read = |heard: &Heard| attempts.iter().filter_map(|attempt| heard.rows_in.get(attempt)).sum::<u64>();
        self.until(&format!("{rows} rows"), |heard| (read(heard) >= rows).then_some(())).await;
    }

    /// The counters with which an attempt reported its end.
    pub fn final_counters(&self, attempt: ExecutionAttemptId) -> TaskMetrics {
        self.service.heard.lock().unwrap().final_counters[&attempt]
    }

    pub fn state(&self, attempt: ExecutionAttemptId) -> Option<ExecutionState> {
        self.service.heard.lock().unwrap().states.get(&attempt).map(|(state, _)| *state)
    }
}
