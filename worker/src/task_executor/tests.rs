use weir_protocol::checkpoint::{CheckpointBarrier, CheckpointKind, SubtaskCheckpointStats, SubtaskSnapshot};
use weir_protocol::job_graph::JobVertex;
use weir_protocol::link::CheckpointAcknowledgement;
use weir_protocol::{CheckpointId, ExecutionVertexId, Generation, JobId, JobVertexId, LeaderEpoch, StaleEpoch};

use super::*;

const INTERVAL: u64 = 100;
const TIMEOUT: u64 = 1_000;
/// Milliseconds of the shortest and the longest wait between tries to reach a leader.
const FIRST_WAIT: u64 = 50;
const LONGEST_WAIT: u64 = 1_000;

fn executor() -> TaskExecutor {
    TaskExecutor::new(Identity {
        task_manager: TaskManagerId("tm-1-abc".into()),
        data_address: "h:1".into(),
        http_address: "h:2".into(),
        slots: 2,
        memory_bytes: 1,
        heartbeat_interval_ms: INTERVAL,
        heartbeat_timeout_ms: TIMEOUT,
        seed: 42,
    })
}

fn leader(epoch: u64) -> LeaderAddress {
    let name = format!("jm-{epoch}");
    LeaderAddress { epoch: LeaderEpoch(epoch), name, rpc_address: "r".into(), rest_address: "s".into() }
}

fn attempt(job: u128, vertex: u128, generation: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        job: JobId(job),
        execution_vertex: ExecutionVertexId { vertex: JobVertexId(vertex), subtask: 0 },
        generation: Generation { epoch: LeaderEpoch(1), attempt: generation },
    }
}

fn from_leader(link: u64, epoch: u64, order: Order) -> Event {
    Event::FromLeader { link: LinkNumber(link), message: ToTaskManager { epoch: LeaderEpoch(epoch), order } }
}

fn deploy(attempt: ExecutionAttemptId, slot: u32, allocation: u128) -> Order {
    let vertex = JobVertex {
        uid: "v".into(),
        name: String::new(),
        parallelism: 1,
        operators: Vec::new(),
        output_schema: Vec::new(),
        input_schemas: Vec::new(),
    };
    let allocation = AllocationId(allocation);
    let task = TaskDeployment { attempt, slot, allocation, vertex, restore: Vec::new(), inputs: Vec::new(), outputs: Vec::new() };
    Order::Deploy(Deployment {
        job: attempt.job,
        job_name: "job".into(),
        max_parallelism: 8,
        checkpoint_dir: "/x".into(),
        restore_checkpoint: None,
        tasks: vec![task],
    })
}

/// Registered with the leader of epoch 1 over link 1, at time 0.
fn registered() -> TaskExecutor {
    let mut executor = executor();
    executor.handle(Event::LeaderSeen(leader(1)), Millis(0));
    executor.handle(Event::LinkUp(LinkNumber(1)), Millis(0));
    executor.handle(from_leader(1, 1, Order::Registered), Millis(0));
    assert!(executor.registered_with().is_some());
    executor
}

fn states(effects: &[Effect]) -> Vec<(ExecutionState, Option<String>)> {
    let state = |effect: &Effect| match effect {
        Effect::Send(ToJobManager::TaskState(update)) => {
            Some((update.state, update.failure.as_ref().map(|failure| failure.code.clone())))
        }
        _ => None,
    };
    effects.iter().filter_map(state).collect()
}

fn task_state(attempt: ExecutionAttemptId, state: ExecutionState) -> Event {
    Event::FromTask(TaskReport::State(TaskStateUpdate { attempt, state, failure: None, counters: None }))
}

#[test]
fn a_new_leader_gets_a_connection_a_registration_and_heartbeats() {
    let mut executor = executor();
    let effects = executor.handle(Event::LeaderSeen(leader(1)), Millis(0));
    assert_eq!(effects, vec![Effect::Connect { link: LinkNumber(1), leader: leader(1) }]);
    let effects = executor.handle(Event::LinkUp(LinkNumber(1)), Millis(1));
    assert!(matches!(&effects[..], [Effect::Send(ToJobManager::Register(registration))] if registration.slots == 2));
    let effects = executor.handle(from_leader(1, 1, Order::Registered), Millis(2));
    assert_eq!(effects, vec![Effect::Registered(leader(1)), Effect::SendHeartbeat]);
    assert_eq!(executor.handle(Event::Tick, Millis(3)), vec![]);
    assert_eq!(executor.handle(Event::Tick, Millis(2 + INTERVAL)), vec![Effect::SendHeartbeat]);
}

#[test]
fn e4_an_order_of_a_lower_epoch_is_refused() {
    let mut executor = registered();
    executor.handle(from_leader(1, 5, Order::HeartbeatAck), Millis(1));
    let effects = executor.handle(from_leader(1, 4, deploy(attempt(1, 1, 1), 0, 1)), Millis(2));
    let stale = StaleEpoch { stale: LeaderEpoch(4), current: LeaderEpoch(5) };
    assert_eq!(effects, vec![Effect::CountStale(stale)]);
    assert_eq!(executor.tasks(), 0);
}

#[test]
fn e8_a_leader_of_a_lower_epoch_never_replaces_one_of_a_higher_epoch() {
    let mut executor = executor();
    executor.handle(Event::LeaderSeen(leader(3)), Millis(0));
    assert_eq!(executor.handle(Event::LeaderSeen(leader(2)), Millis(0)), vec![]);
    let effects = executor.handle(Event::LeaderSeen(leader(4)), Millis(0));
    assert_eq!(effects, vec![Effect::Disconnect, Effect::Connect { link: LinkNumber(2), leader: leader(4) }]);
}

#[test]
fn a_silent_leader_counts_as_lost_and_tasks_continue() {
    let mut executor = registered();
    executor.handle(from_leader(1, 1, deploy(attempt(1, 1, 1), 0, 1)), Millis(1));
    let effects = executor.handle(Event::Tick, Millis(1 + TIMEOUT));
    assert!(matches!(&effects[..], [Effect::LeaderLost(_), Effect::Disconnect]), "{effects:?}");
    assert_eq!(executor.tasks(), 1);
    // Perhaps only the connection failed, so the TaskExecutor tries the same leader again.
    let effects = executor.handle(Event::Tick, Millis(1 + TIMEOUT + FIRST_WAIT));
    assert!(matches!(&effects[..], [Effect::Connect { link: LinkNumber(2), .. }]), "{effects:?}");
}

#[test]
fn waits_between_failed_tries_grow_up_to_a_second() {
    let mut executor = executor();
    executor.handle(Event::LeaderSeen(leader(1)), Millis(0));
    let mut now = Millis(0);
    let mut waits = Vec::new();
    for link in 1..12 {
        executor.handle(Event::LinkLost { link: LinkNumber(link), reason: "refused".into() }, now);
        let start = now;
        while executor.handle(Event::Tick, now).is_empty() {
            now = now.after(1);
        }
        waits.push(now.since(start));
    }
    assert!(waits[0] <= FIRST_WAIT);
    assert!(waits.iter().all(|wait| *wait <= LONGEST_WAIT));
    assert!(*waits.last().unwrap() >= LONGEST_WAIT / 2);
}

#[test]
fn events_of_an_earlier_link_are_ignored() {
    let mut executor = registered();
    executor.handle(Event::LinkLost { link: LinkNumber(1), reason: "reset".into() }, Millis(0));
    executor.handle(Event::Tick, Millis(FIRST_WAIT));
    assert_eq!(executor.handle(from_leader(1, 1, deploy(attempt(1, 1, 1), 0, 1)), Millis(60)), vec![]);
    assert_eq!(executor.handle(Event::LinkLost { link: LinkNumber(1), reason: "reset".into() }, Millis(60)), vec![]);
}

#[test]
fn a_deployed_task_is_held_until_it_is_terminal() {
    let mut executor = registered();
    let task = attempt(1, 1, 1);
    let effects = executor.handle(from_leader(1, 1, deploy(task, 0, 1)), Millis(1));
    assert!(matches!(&effects[..], [Effect::Send(_), Effect::Deploy(_)]));
    assert_eq!(states(&effects), vec![(ExecutionState::Initializing, None)]);
    assert_eq!(executor.handle(from_leader(1, 1, deploy(task, 0, 1)), Millis(1)), vec![], "a repeated order");
    let effects = executor.handle(task_state(task, ExecutionState::Running), Millis(2));
    assert_eq!(states(&effects), vec![(ExecutionState::Running, None)]);
    let effects = executor.handle(task_state(task, ExecutionState::Finished), Millis(3));
    assert_eq!(effects[0], Effect::Forget(task));
    assert_eq!(executor.tasks(), 0);
}

#[test]
fn vertices_of_one_job_share_a_slot_and_other_jobs_grants_and_attempts_are_refused() {
    let mut executor = registered();
    executor.handle(from_leader(1, 1, deploy(attempt(1, 1, 1), 0, 1)), Millis(1));
    let shared = executor.handle(from_leader(1, 1, deploy(attempt(1, 2, 1), 0, 1)), Millis(1));
    assert_eq!(states(&shared), vec![(ExecutionState::Initializing, None)]);
    let taken = vec![(ExecutionState::Failed, Some("TM-SLOT-TAKEN".to_owned()))];
    let other_job = executor.handle(from_leader(1, 1, deploy(attempt(2, 1, 1), 0, 2)), Millis(1));
    assert_eq!(states(&other_job), taken);
    let other_grant = executor.handle(from_leader(1, 1, deploy(attempt(1, 3, 1), 0, 9)), Millis(1));
    assert_eq!(states(&other_grant), taken);
    let successor = executor.handle(from_leader(1, 1, deploy(attempt(1, 1, 2), 0, 1)), Millis(1));
    assert_eq!(states(&successor), taken);
    let beyond = executor.handle(from_leader(1, 1, deploy(attempt(1, 4, 1), 7, 1)), Millis(1));
    assert_eq!(states(&beyond), vec![(ExecutionState::Failed, Some("TM-NO-SUCH-SLOT".to_owned()))]);
}

#[test]
fn cancelling_an_unknown_attempt_answers_at_once() {
    let mut executor = registered();
    let effects = executor.handle(from_leader(1, 1, Order::Cancel(vec![attempt(1, 1, 1)])), Millis(1));
    assert_eq!(states(&effects), vec![(ExecutionState::Canceled, None)]);
}

#[test]
fn a_cancel_is_passed_on_once_and_no_running_state_is_reported_after_it() {
    let mut executor = registered();
    let task = attempt(1, 1, 1);
    executor.handle(from_leader(1, 1, deploy(task, 0, 1)), Millis(1));
    let cancel = || from_leader(1, 1, Order::Cancel(vec![task]));
    assert_eq!(executor.handle(cancel(), Millis(1)), vec![Effect::Cancel(task)]);
    assert_eq!(executor.handle(cancel(), Millis(1)), vec![]);
    assert_eq!(executor.handle(task_state(task, ExecutionState::Running), Millis(2)), vec![]);
    let effects = executor.handle(task_state(task, ExecutionState::Canceled), Millis(2));
    assert_eq!(states(&effects), vec![(ExecutionState::Canceled, None)]);
}

#[test]
fn reports_without_a_leader_are_sent_to_the_next_leader_if_they_still_matter() {
    let mut executor = registered();
    let (kept, gone) = (attempt(1, 1, 1), attempt(1, 2, 1));
    executor.handle(from_leader(1, 1, deploy(kept, 0, 1)), Millis(1));
    executor.handle(from_leader(1, 1, deploy(gone, 1, 2)), Millis(1));
    executor.handle(Event::LinkLost { link: LinkNumber(1), reason: "reset".into() }, Millis(2));

    let acknowledge = |attempt: ExecutionAttemptId| {
        let snapshot = SubtaskSnapshot { execution_vertex: attempt.execution_vertex, operators: Vec::new() };
        CheckpointAcknowledgement { attempt, checkpoint: CheckpointId(3), snapshot, stats: SubtaskCheckpointStats::default() }
    };
    for attempt in [kept, gone] {
        let effects = executor.handle(Event::FromTask(TaskReport::Acknowledged(acknowledge(attempt))), Millis(3));
        assert_eq!(effects, vec![]);
    }
    executor.handle(Event::FromTask(TaskReport::InputEnded(kept)), Millis(3));
    executor.handle(task_state(gone, ExecutionState::Failed), Millis(4));

    executor.handle(Event::LeaderSeen(leader(2)), Millis(5));
    let effects = executor.handle(Event::LinkUp(LinkNumber(2)), Millis(6));
    let Some(Effect::Send(ToJobManager::Register(registration))) = effects.first() else { panic!("{effects:?}") };
    assert_eq!(registration.attempts.iter().map(|held| held.attempt).collect::<Vec<_>>(), vec![kept]);
    assert_eq!(registration.highest_epoch, LeaderEpoch(1));
    let effects = executor.handle(from_leader(2, 2, Order::Registered), Millis(7));
    let sent: Vec<_> = effects.iter().filter(|effect| matches!(effect, Effect::Send(_))).cloned().collect();
    assert_eq!(sent[0], Effect::Send(ToJobManager::Acknowledge(acknowledge(kept))));
    assert_eq!(states(&sent), vec![(ExecutionState::Failed, None)]);
    assert_eq!(sent.last(), Some(&Effect::Send(ToJobManager::InputEnded(kept))));
    assert_eq!(sent.len(), 3, "the acknowledgement of an ended attempt is dropped");
}

#[test]
fn checkpoint_orders_reach_held_attempts_and_a_trigger_for_another_is_declined() {
    let mut executor = registered();
    let (here, elsewhere) = (attempt(1, 1, 1), attempt(1, 2, 1));
    executor.handle(from_leader(1, 1, deploy(here, 0, 1)), Millis(1));
    let barrier = CheckpointBarrier { id: CheckpointId(7), kind: CheckpointKind::Checkpoint, timestamp_ms: 0 };
    let attempts = vec![here, elsewhere];
    let trigger = Order::TriggerCheckpoint { attempts: attempts.clone(), barrier };
    let effects = executor.handle(from_leader(1, 1, trigger), Millis(2));
    assert_eq!(effects[0], Effect::Tell { attempt: here, order: TaskOrder::Trigger(barrier) });
    assert!(matches!(&effects[1], Effect::Send(ToJobManager::Decline(decline)) if decline.attempt == elsewhere));
    let complete = Order::NotifyCheckpointComplete { job: here.job, attempts, checkpoint: CheckpointId(7), last: true };
    let effects = executor.handle(from_leader(1, 1, complete), Millis(3));
    let order = TaskOrder::Complete { checkpoint: CheckpointId(7), last: true };
    assert_eq!(effects, vec![Effect::Tell { attempt: here, order }]);
}
