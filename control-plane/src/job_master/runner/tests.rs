use std::time::Duration;

use bytes::Bytes;
use tokio::sync::mpsc;
use weir_ha::{
    Candidate, CommitOutcome, CoordinationStore, Expect, HaProvider, LeadershipEvent, MemoryStore, Operation, UnknownCommit,
};
use weir_protocol::checkpoint::{OperatorSnapshot, StateHandle, SubtaskCheckpointStats, SubtaskSnapshot};
use weir_protocol::job_status::ExecutionState;
use weir_protocol::link::{CheckpointAcknowledgement, Deployment, Order, TaskStateUpdate};
use weir_protocol::{CheckpointId, ExecutionAttemptId, JobId, TaskManagerId};
use weir_storage::open;

use super::super::testing::{JOB, graph, slot, vertex};
use super::*;
use crate::job_master::event::TaskManagerReport;
use crate::resource_manager::gateway as resource_manager;

/// A timeout that is long enough for any machine.
const PATIENCE: Duration = Duration::from_secs(60);

async fn lead(provider: &impl HaProvider, name: &str) -> (Leadership, weir_ha::LeaderElection) {
    let candidate = Candidate { name: name.to_string(), rpc_address: String::new(), rest_address: String::new() };
    let mut election = provider.campaign(candidate);
    loop {
        match election.next().await {
            Some(LeadershipEvent::Granted(leadership)) => return (leadership, election),
            Some(LeadershipEvent::Revoked) => {}
            None => panic!("the provider has stopped"),
        }
    }
}

/// A JobMaster with a memory store, local files, and a fake TaskManager that has one slot.
struct Stage {
    gateway: JobMasterGateway,
    ended: mpsc::Receiver<JobEnded>,
    deployments: mpsc::Receiver<Deployment>,
    completed: CompletedCheckpointStore,
}

fn start(store: &MemoryStore, leadership: &Leadership, directory: &str, graph: JobGraph) -> Stage {
    let files = open(directory, &StorageOptions::default()).expect("a path");
    let ha: weir_ha::HaServices = Arc::new(store.member("observer"));
    let completed = CompletedCheckpointStore::new(Arc::clone(&ha));
    let (resource_manager, requests) = resource_manager::channel();
    let links = TaskManagerLinks::new(leadership.epoch());
    let task_manager = TaskManagerId("tm".to_string());
    let mut link = links.open(&task_manager).expect("open");
    let (ended_sender, ended) = mpsc::channel(1);
    let context = JobMasterContext {
        leadership: leadership.clone(),
        checkpoints: CheckpointStorage::new(files),
        checkpoint_root_uri: directory.to_string(),
        savepoint_root: format!("{directory}/savepoints"),
        storage_options: StorageOptions::default(),
        completed_checkpoints: completed.clone(),
        store: ha.availability(),
        drills: DrillWatch::never(),
        checkpoint_ids: CheckpointIdCounter::new(ha),
        resource_manager,
        links,
        ended: Arc::new(move |ended, view: Arc<JobView>| {
            assert_eq!(ended.status, view.status);
            let sender = ended_sender.clone();
            Box::pin(async move { sender.send(ended).await.unwrap_or_default() })
        }),
        options: JobMasterOptions::default(),
    };
    let gateway = JobMaster::start(context, SubmittedJob { graph: Arc::new(graph), submitted_at_ms: 5 });
    let (deployed, deployments) = mpsc::channel(100);
    let master = gateway.clone();
    gateway.slots_granted(vec![slot(1, "tm", 0)]);
    weir_world::spawn("test-task-manager", async move {
        let _requests = requests; // Kept open but never read, because the only slot is already granted.
        while let Some(order) = link.orders.recv().await {
            obey(&master, &task_manager, order.order, &deployed).await;
        }
    });
    Stage { gateway, ended, deployments, completed }
}

async fn obey(master: &JobMasterGateway, id: &TaskManagerId, order: Order, deployed: &mpsc::Sender<Deployment>) {
    let report = |attempt, state| {
        let update = TaskStateUpdate { attempt, state, failure: None, counters: None };
        master.from_task_manager(id, TaskManagerReport::TaskState(update));
    };
    match order {
        Order::Deploy(deployment) => {
            deployment.tasks.iter().for_each(|task| report(task.attempt, ExecutionState::Running));
            deployed.send(deployment).await.expect("the test receives deployments");
        }
        Order::TriggerCheckpoint { attempts, barrier } => {
            for attempt in attempts {
                let acknowledgement = acknowledgement(attempt, barrier.id);
                master.from_task_manager(id, TaskManagerReport::Acknowledge(acknowledgement));
            }
        }
        Order::NotifyCheckpointComplete { attempts, last: true, .. } => {
            attempts.into_iter().for_each(|attempt| report(attempt, ExecutionState::Finished));
        }
        Order::Cancel(attempts) => attempts.into_iter().for_each(|attempt| report(attempt, ExecutionState::Canceled)),
        _ => {}
    }
}

/// An acknowledgement whose state is the id of the checkpoint.
fn acknowledgement(attempt: ExecutionAttemptId, checkpoint: CheckpointId) -> CheckpointAcknowledgement {
    let state = StateHandle::Inline(Bytes::from(checkpoint.to_string()));
    let operators = vec![OperatorSnapshot { operator_state: Some(state), ..OperatorSnapshot::default() }];
    let snapshot = SubtaskSnapshot { execution_vertex: attempt.execution_vertex, operators };
    CheckpointAcknowledgement { attempt, checkpoint, snapshot, stats: SubtaskCheckpointStats::default() }
}

fn one_task(interval_ms: u64, job: JobId) -> JobGraph {
    let mut graph = JobGraph::clone(&graph(vec![vertex("v", 1)], vec![]));
    graph.job_id = Some(job);
    graph.checkpointing.get_or_insert_default().interval_ms = interval_ms;
    graph
}

async fn until(gateway: &JobMasterGateway, wanted: impl Fn(&JobView) -> bool) {
    let mut watch = gateway.watch_view();
    let seen = async {
        while !wanted(&watch.current()) {
            watch.changed().await.expect("the job continues");
        }
    };
    weir_servers::within(PATIENCE, seen).await.expect("in time");
}

async fn next<T>(receiver: &mut mpsc::Receiver<T>) -> T {
    weir_servers::within(PATIENCE, receiver.recv()).await.expect("in time").expect("sent")
}

fn restored(deployment: &Deployment) -> Option<String> {
    let state = deployment.tasks[0].restore.first()?.parts.first()?.1.operator_state.clone()?;
    let StateHandle::Inline(bytes) = state else { panic!("inline state stays inline") };
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

#[tokio::test]
async fn a_job_survives_a_leader_change_and_another_job_starts_from_its_savepoint() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("utf-8");
    let store = MemoryStore::new();
    let provider = store.member("a");
    let (first, election) = lead(&provider, "a").await;

    // The first leader.
    let mut stage = start(&store, &first, path, one_task(5, JOB));
    assert_eq!(restored(&next(&mut stage.deployments).await), None);
    until(&stage.gateway, |view| view.checkpoints.completed >= 2).await;
    store.next_commit_unknown(UnknownCommit::Applied);
    let before = stage.gateway.view().checkpoints.completed;
    until(&stage.gateway, |view| view.checkpoints.completed >= before + 4).await;
    stage.gateway.suspend();
    drop(election);

    // The second leader continues where the first one stopped. The JobMaster of the first leader can change nothing any more.
    let second_provider = store.member("b");
    let (second, _election) = lead(&second_provider, "b").await;
    assert!(second.epoch() > first.epoch());
    let newest = stage.completed.latest(JOB).await.expect("read").expect("there is one");
    let mut stale = start(&store, &first, path, one_task(5, JOB));
    next(&mut stale.deployments).await;
    let stopped = async { while stale.gateway.trigger_checkpoint().await.is_ok() {} };
    weir_servers::within(PATIENCE, stopped).await.expect("a superseded JobMaster stops");
    assert_eq!(stage.completed.latest(JOB).await.expect("read"), Some(newest.clone()));

    let mut stage = start(&store, &second, path, one_task(5, JOB));
    let deployment = next(&mut stage.deployments).await;
    assert_eq!((deployment.restore_checkpoint, restored(&deployment)), (Some(newest.id), Some(newest.id.to_string())));
    until(&stage.gateway, |view| view.checkpoints.completed >= 3).await;
    assert!(stage.completed.list(JOB).await.expect("read").len() <= 3, "subsumed checkpoints are removed");

    // The job stops with a savepoint.
    let target = format!("{path}/elsewhere");
    let outcome = stage.gateway.trigger_savepoint(Some(target.clone()), true).await.expect("answered");
    let SavepointOutcome::Completed { checkpoint, location } = outcome else { panic!("{outcome:?}") };
    assert!(location.contains("/elsewhere/savepoint-"), "{location}");
    let ended = next(&mut stage.ended).await;
    assert_eq!((ended.job, ended.status), (JOB, JobStatus::Finished));
    assert!(!stage.gateway.view().status.is_globally_terminal(), "R2: the JobMaster does not show the end before it is durable");

    // Another job starts from the savepoint.
    let mut graph = one_task(0, JobId(0xdef));
    let savepoint = Some(location);
    graph.restore_from.clone_from(&savepoint);
    let mut stage = start(&store, &second, path, graph);
    let deployment = next(&mut stage.deployments).await;
    let expected = (Some(CheckpointId(0)), Some(checkpoint.to_string()));
    assert_eq!((deployment.restore_checkpoint, restored(&deployment)), expected);
    stage.gateway.cancel().await.expect("the JobMaster takes it");
    assert_eq!(next(&mut stage.ended).await.status, JobStatus::Canceled);

    // The vertex gets a new id, because its operators have changed. The savepoint is refused until the user drops its state.
    let mut edited = one_task(0, JobId(0xfed));
    edited.vertices[0].uid = "edited".to_string();
    edited.restore_from = savepoint;
    let mut stage = start(&store, &second, path, edited.clone());
    let failure = next(&mut stage.ended).await.failure.expect("says why");
    assert!(failure.contains("RESTORE-UNKNOWN-VERTEX") && failure.contains("--allow-non-restored-state"), "{failure}");
    (edited.job_id, edited.allow_non_restored_state) = (Some(JobId(0xfee)), true);
    let mut stage = start(&store, &second, path, edited);
    let deployment = next(&mut stage.deployments).await;
    assert_eq!((deployment.restore_checkpoint, restored(&deployment)), (Some(CheckpointId(0)), None));
    stage.gateway.cancel().await.expect("the JobMaster takes it");
    assert_eq!(next(&mut stage.ended).await.status, JobStatus::Canceled);
}

#[tokio::test]
async fn c6_a_job_whose_newest_checkpoint_is_damaged_shows_this_and_waits_until_it_is_canceled() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("utf-8");
    let store = MemoryStore::new();
    let provider = store.member("a");
    let (leadership, _election) = lead(&provider, "a").await;
    let stage = start(&store, &leadership, path, one_task(5, JOB));
    until(&stage.gateway, |view| view.checkpoints.completed >= 2).await;
    stage.gateway.suspend();
    // The suspended JobMaster may still complete a checkpoint. Wait until the newest one no longer changes.
    let newest = loop {
        let newest = stage.completed.latest(JOB).await.expect("read").expect("there is one");
        tokio::time::sleep(Duration::from_millis(50)).await;
        if stage.completed.latest(JOB).await.expect("read").as_ref() == Some(&newest) {
            break newest;
        }
    };
    let file = directory.path().join(&newest.metadata.path);
    let mut bytes = std::fs::read(&file).expect("the metadata file");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).expect("damaged");

    let mut stage = start(&store, &leadership, path, one_task(5, JOB));
    until(&stage.gateway, |view| view.reason.as_ref().is_some_and(|reason| reason.contains("CKPT-"))).await;
    let view = stage.gateway.view();
    assert_eq!(view.status, JobStatus::Initializing);
    assert!(view.reason.as_ref().is_some_and(|reason| reason.contains(&newest.id.to_string())), "{:?}", view.reason);
    stage.gateway.cancel().await.expect("the JobMaster takes it");
    assert_eq!(next(&mut stage.ended).await.status, JobStatus::Canceled);
}

#[tokio::test]
async fn a_job_whose_restore_path_does_not_exist_fails_with_the_reason() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("utf-8");
    let store = MemoryStore::new();
    let provider = store.member("a");
    let (leadership, _election) = lead(&provider, "a").await;
    let mut graph = one_task(5, JOB);
    graph.restore_from = Some(format!("{path}/nowhere"));
    let mut stage = start(&store, &leadership, path, graph);
    let ended = next(&mut stage.ended).await;
    assert_eq!(ended.status, JobStatus::Failed);
    assert!(ended.failure.as_ref().is_some_and(|failure| failure.contains("CKPT-MISSING")), "{:?}", ended.failure);
}

#[tokio::test]
async fn a_superseded_job_master_that_imports_a_savepoint_stops() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("utf-8");
    let store = MemoryStore::new();
    let provider = store.member("a");
    let (first, election) = lead(&provider, "a").await;
    let mut stage = start(&store, &first, path, one_task(0, JOB));
    next(&mut stage.deployments).await;
    until(&stage.gateway, |view| view.status == JobStatus::Running).await;
    let outcome = stage.gateway.trigger_savepoint(None, false).await.expect("answered");
    let SavepointOutcome::Completed { location, .. } = outcome else { panic!("{outcome:?}") };
    drop(election);

    let second_provider = store.member("b");
    let (_second, _election) = lead(&second_provider, "b").await;
    let mut graph = one_task(0, JobId(0xdef));
    graph.restore_from = Some(location);
    let stale = start(&store, &first, path, graph);
    let stopped = async { while stale.gateway.trigger_checkpoint().await.is_ok() {} };
    weir_servers::within(PATIENCE, stopped).await.expect("it stops instead of trying again");
}

#[tokio::test]
async fn a_checkpoint_whose_pointer_may_be_there_is_kept_until_the_store_can_be_read_again() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().to_str().expect("utf-8");
    let store = MemoryStore::new();
    let provider = store.member("a");
    let (leadership, _election) = lead(&provider, "a").await;
    let stage = start(&store, &leadership, path, one_task(0, JOB));
    until(&stage.gateway, |view| view.status == JobStatus::Running).await;
    let completed = || async { stage.gateway.trigger_checkpoint().await.expect("answered") };
    assert!(matches!(completed().await, SavepointOutcome::Completed { .. }));

    let key = weir_ha::keys::checkpoint_head(JOB);
    let head = provider.get(&key).await.expect("read").expect("is there").value;
    let write = |value: Bytes| {
        let put = Operation::Put { key: key.clone(), value, expect: Expect::Any };
        provider.commit(&leadership, vec![put])
    };
    assert!(matches!(write(Bytes::from_static(b"damaged")).await, CommitOutcome::Committed { .. }));
    let mut second = Box::pin(completed());
    let early = tokio::time::timeout(Duration::from_millis(500), &mut second).await;
    assert!(early.is_err(), "it is neither complete nor aborted: {early:?}");
    assert!(matches!(write(head).await, CommitOutcome::Committed { .. }));
    let outcome = weir_servers::within(PATIENCE, second).await.expect("in time");
    assert!(matches!(outcome, SavepointOutcome::Completed { .. }), "{outcome:?}");
}
