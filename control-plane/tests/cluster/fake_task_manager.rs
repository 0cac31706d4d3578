//! A TaskManager that speaks the protocol but runs no tasks. It reports tasks as running at once, and acknowledges every
//! checkpoint with empty state.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::ReceiverStream;
use tonic::Status;
use tonic::transport::{Channel, Endpoint};
use weir_protocol::checkpoint::{OperatorSnapshot, SubtaskCheckpointStats, SubtaskSnapshot};
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{
    CheckpointAcknowledgement, HeartbeatReport, HeldAttempt, LeaderAddress, Order, Registration, TaskStateUpdate, ToJobManager,
    ToTaskManager,
};
use weir_protocol::pb::link::v1 as pb;
use weir_protocol::rpc::JobManagerServiceClient;
use weir_protocol::{EpochFence, ExecutionAttemptId, LeaderEpoch, TaskManagerId};
use weir_world::net::connect_channel;

/// A running fake TaskManager. Dropping it cuts its link, as `SIGKILL` does.
pub(crate) struct FakeTaskManager {
    state: Arc<Mutex<State>>,
    to_leader: watch::Receiver<Option<mpsc::Sender<pb::ToJobManager>>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct State {
    fence: EpochFence,
    held: BTreeMap<ExecutionAttemptId, (HeldAttempt, usize)>,
    deployments: Vec<LeaderEpoch>,
    stubborn: bool,
}

impl Drop for FakeTaskManager {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl FakeTaskManager {
    /// Starts a fake TaskManager, which looks for the leader at these addresses until it is dropped.
    pub(crate) fn start(name: &str, slots: u32, rpc_addresses: Vec<String>) -> Self {
        let id = TaskManagerId(name.to_string());
        let state = Arc::new(Mutex::new(State::default()));
        let (sender, to_leader) = watch::channel(None);
        let run = run(id, slots, rpc_addresses, Arc::clone(&state), sender);
        Self { state, to_leader, task: weir_world::spawn("fake-task-manager", run) }
    }

    /// The attempts that it holds.
    pub(crate) fn held(&self) -> Vec<ExecutionAttemptId> {
        self.state.lock().unwrap().held.keys().copied().collect()
    }

    /// The epochs of all deployments that it received.
    pub(crate) fn deployments(&self) -> Vec<LeaderEpoch> {
        self.state.lock().unwrap().deployments.clone()
    }

    /// Sets whether it ignores orders to cancel.
    pub(crate) fn set_stubborn(&self, stubborn: bool) {
        self.state.lock().unwrap().stubborn = stubborn;
    }

    /// Reports that every task has processed all of its input.
    pub(crate) async fn end_input(&self) {
        let sender = self.to_leader.borrow().clone().unwrap();
        for attempt in self.held() {
            sender.send(ToJobManager::InputEnded(attempt).into()).await.unwrap();
        }
    }
}

pub(crate) fn registration(id: &TaskManagerId, slots: u32, highest_epoch: LeaderEpoch) -> Registration {
    Registration {
        task_manager: id.clone(),
        highest_epoch,
        data_address: "127.0.0.1:1".to_string(),
        http_address: "127.0.0.1:2".to_string(),
        slots,
        memory_bytes: 1 << 30,
        attempts: Vec::new(),
    }
}

async fn client(address: &str) -> Result<JobManagerServiceClient<Channel>, tonic::transport::Error> {
    let endpoint = Endpoint::from_shared(format!("http://{address}"))?;
    Ok(JobManagerServiceClient::new(connect_channel(&endpoint).await?))
}

/// Opens a stream to this address and sends this first message.
pub(crate) async fn connect(
    address: &str,
    first: ToJobManager,
) -> Result<(mpsc::Sender<pb::ToJobManager>, tonic::Streaming<pb::ToTaskManager>), Status> {
    let unreachable = |error: tonic::transport::Error| Status::unavailable(error.to_string());
    let mut client = client(address).await.map_err(unreachable)?;
    let (sender, receiver) = mpsc::channel(1024);
    sender.send(first.into()).await.unwrap();
    let orders = client.connect(ReceiverStream::new(receiver)).await?.into_inner();
    Ok((sender, orders))
}

async fn run(
    id: TaskManagerId,
    slots: u32,
    addresses: Vec<String>,
    state: Arc<Mutex<State>>,
    to_leader: watch::Sender<Option<mpsc::Sender<pb::ToJobManager>>>,
) {
    loop {
        if let Some(leader) = find_leader(&addresses, &state).await {
            let registration = {
                let state = state.lock().unwrap();
                let attempts = state.held.values().map(|(held, _)| *held).collect();
                Registration { attempts, ..registration(&id, slots, state.fence.highest()) }
            };
            if let Ok((sender, orders)) = connect(&leader.rpc_address, ToJobManager::Register(registration)).await {
                to_leader.send_replace(Some(sender.clone()));
                let _ = converse(sender, orders, &state).await;
                to_leader.send_replace(None);
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

async fn find_leader(addresses: &[String], state: &Mutex<State>) -> Option<LeaderAddress> {
    let mut best: Option<LeaderAddress> = None;
    for address in addresses {
        let Ok(mut client) = client(address).await else { continue };
        let Ok(infos) = client.watch_leader(pb::WatchLeaderRequest {}).await else { continue };
        let Ok(Some(info)) = infos.into_inner().message().await else { continue };
        let info: Option<LeaderAddress> = info.into();
        best = best.into_iter().chain(info).max_by_key(|leader| leader.epoch);
    }
    best.filter(|leader| leader.epoch >= state.lock().unwrap().fence.highest())
}

async fn converse(
    sender: mpsc::Sender<pb::ToJobManager>,
    mut orders: tonic::Streaming<pb::ToTaskManager>,
    state: &Mutex<State>,
) -> Result<(), Status> {
    let mut heartbeat = tokio::time::interval(Duration::from_millis(100));
    loop {
        let replies = tokio::select! {
            order = orders.message() => {
                let Some(order) = order? else { return Ok(()) };
                let ToTaskManager { epoch, order } = ToTaskManager::try_from(order).unwrap();
                obey(&mut state.lock().unwrap(), epoch, order)
            }
            _ = heartbeat.tick() => vec![ToJobManager::Heartbeat(HeartbeatReport::default())],
        };
        for reply in replies {
            if sender.send(reply.into()).await.is_err() {
                return Ok(());
            }
        }
    }
}

fn obey(state: &mut State, epoch: LeaderEpoch, order: Order) -> Vec<ToJobManager> {
    if state.fence.admit(epoch).is_err() {
        return Vec::new();
    }
    let now_is = |attempt, state| ToJobManager::TaskState(TaskStateUpdate { attempt, state, failure: None, counters: None });
    let mut replies = Vec::new();
    match order {
        Order::Registered | Order::HeartbeatAck | Order::NotifyCheckpointAborted { .. } => {}
        Order::Deploy(deployment) => {
            state.deployments.push(epoch);
            for task in deployment.tasks {
                let busy = state.held.values().any(|(held, _)| held.slot == task.slot && held.allocation != task.allocation);
                assert!(!busy, "slot {} is granted while a task runs in it", task.slot);
                let (attempt, slot, allocation) = (task.attempt, task.slot, task.allocation);
                let held = HeldAttempt { attempt, state: ExecutionState::Running, slot, allocation };
                state.held.insert(attempt, (held, task.vertex.operators.len()));
                replies.push(now_is(attempt, ExecutionState::Initializing));
                replies.push(now_is(attempt, ExecutionState::Running));
            }
        }
        Order::Cancel(_) if state.stubborn => {}
        Order::Cancel(attempts) => {
            for attempt in attempts {
                state.held.remove(&attempt);
                replies.push(now_is(attempt, ExecutionState::Canceled));
            }
        }
        Order::TriggerCheckpoint { attempts, barrier } => {
            let job = attempts.first().map(|attempt| attempt.job);
            for (attempt, (_, operators)) in state.held.iter().filter(|(attempt, _)| Some(attempt.job) == job) {
                let operators = vec![OperatorSnapshot::default(); *operators];
                let snapshot = SubtaskSnapshot { execution_vertex: attempt.execution_vertex, operators };
                let stats = SubtaskCheckpointStats::default();
                let ack = CheckpointAcknowledgement { attempt: *attempt, checkpoint: barrier.id, snapshot, stats };
                replies.push(ToJobManager::Acknowledge(ack));
            }
        }
        Order::NotifyCheckpointComplete { attempts, last, .. } => {
            for attempt in attempts.into_iter().filter(|_| last) {
                state.held.remove(&attempt);
                replies.push(now_is(attempt, ExecutionState::Finished));
            }
        }
    }
    replies
}
