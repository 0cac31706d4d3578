mod chaos;
mod model;

use std::sync::Arc;

use bytes::Bytes;
use weir_protocol::checkpoint::StateHandle;
use weir_protocol::job_graph::{JobGraph, Partitioning, RestartStrategyConfig};
use weir_protocol::job_status::{ExecutionState, JobStatus};
use weir_protocol::link::{Order, TaskFailure};
use weir_protocol::{CheckpointId, TaskManagerId};
use weir_world::Millis;

use super::event::JobMasterEvent;
use super::testing::{edge, graph, metadata, vertex};
use crate::checkpoint::completed::RestorePoint;
use crate::checkpoint::effect::SavepointOutcome;
use crate::checkpoint::event::CheckpointEvent;
use crate::checkpoint::pending::CheckpointRequest;
use crate::job_master::view::SubtaskView;
use model::{FINAL_RECORDS, Model};

/// A request to stop with a savepoint.
const STOP: CheckpointRequest = CheckpointRequest { request: 5, savepoint: true, target_directory: None, stop: true };

/// One source and three windows, connected by hash: one failover region.
fn joined() -> Arc<JobGraph> {
    let hash = Partitioning::Hash { keys: vec!["k".to_string()] };
    graph(vec![vertex("source", 1), vertex("window", 3)], vec![edge("source", "window", hash)])
}

/// Two independent pipelines.
fn parallel() -> Arc<JobGraph> {
    graph(vec![vertex("source", 2), vertex("sink", 2)], vec![edge("source", "sink", Partitioning::Forward)])
}

fn with(graph: &Arc<JobGraph>, change: impl FnOnce(&mut JobGraph)) -> Arc<JobGraph> {
    let mut graph = JobGraph::clone(graph);
    change(&mut graph);
    Arc::new(graph)
}

fn tm(name: &str) -> TaskManagerId {
    TaskManagerId(name.to_string())
}

/// A model with two TaskManagers and a running job.
fn running(graph: &Arc<JobGraph>) -> Model {
    let mut model = Model::new(Arc::clone(graph), 1);
    model.add_task_manager("a");
    model.add_task_manager("b");
    model.grant();
    model.settle();
    assert_eq!(model.status(), JobStatus::Running);
    model
}

fn failure(retryable: bool) -> Option<TaskFailure> {
    Some(TaskFailure { code: "TASK-PANIC".to_string(), message: "boom".to_string(), retryable })
}

fn fail_one(model: &mut Model, retryable: bool) -> u32 {
    let (id, attempt) = model.tasks(|task| task.state == ExecutionState::Running)[0].clone();
    model.report_state(&id, attempt, ExecutionState::Failed, failure(retryable));
    attempt.execution_vertex.subtask
}

fn end_all_input(model: &mut Model) {
    for (id, attempt) in model.tasks(|task| task.state == ExecutionState::Running && !task.input_ended) {
        model.end_input(&id, attempt);
    }
}

#[test]
fn a_job_shows_that_it_waits_for_slots_and_is_deployed_when_they_are_granted() {
    let mut model = Model::new(joined(), 1);
    assert_eq!(model.status(), JobStatus::Initializing);
    model.settle();
    assert_eq!(model.status(), JobStatus::Created);
    model.handle(JobMasterEvent::SlotShortage { missing: 3, reason: "no TaskManager registered".to_string() });
    let reason = model.core.view(model.now).reason;
    assert_eq!(reason.as_deref(), Some("waiting for 3 of 3 slots: no TaskManager registered"));
    model.add_task_manager("a");
    model.add_task_manager("b");
    model.grant();
    model.settle();
    assert_eq!((model.status(), model.deployments.len()), (JobStatus::Running, 2));
    let view = model.core.view(model.now);
    assert_eq!(view.reason, None);
    assert!(view.vertices.iter().flat_map(|vertex| &vertex.subtasks).all(|subtask| subtask.state == ExecutionState::Running));
}

#[test]
fn a_bounded_job_takes_a_final_checkpoint_and_finishes() {
    for interval_ms in [0, 1_000] {
        let mut model = running(&with(&joined(), |graph| graph.checkpointing.get_or_insert_default().interval_ms = interval_ms));
        end_all_input(&mut model);
        model.run_for(10);
        assert_eq!(model.ended.as_ref().map(|ended| ended.status), Some(JobStatus::Finished));
        assert_eq!(model.store.len(), 1);
        let view = model.core.view(model.now);
        let read = |subtask: &SubtaskView| subtask.metrics.as_ref().map(|metrics| metrics.records_in);
        let subtasks: Vec<_> = view.vertices.iter().flat_map(|vertex| &vertex.subtasks).map(read).collect();
        assert!(!subtasks.is_empty() && subtasks.iter().all(|read| *read == Some(FINAL_RECORDS)), "{subtasks:?}");
    }
}

#[test]
fn a_failed_task_restarts_its_region_from_the_newest_checkpoint_with_a_new_generation() {
    let mut model = running(&parallel());
    model.run_for(2_500);
    assert_eq!(model.newest(), Some(CheckpointId(2)));
    model.deployments.clear();
    let before = model.tasks(|task| task.state == ExecutionState::Running);
    let subtask = fail_one(&mut model, true);
    model.settle();
    assert_eq!(model.status(), JobStatus::Restarting);
    model.run_for(100);
    assert_eq!(model.status(), JobStatus::Running);
    let redeployed: Vec<_> = model.deployments.iter().flat_map(|(_, deployment)| &deployment.tasks).collect();
    assert_eq!(redeployed.len(), 2, "the other pipeline continues");
    for task in redeployed {
        assert_eq!(task.attempt.execution_vertex.subtask, subtask);
        assert_eq!(task.attempt.generation.attempt, 2);
        let former = before.iter().find(|(_, former)| former.execution_vertex == task.attempt.execution_vertex);
        assert_eq!(model.slot_of(task.attempt), model.slot_of(former.expect("was there").1), "the subtask keeps its slot");
    }
    model.run_for(5_000);
    assert!(model.newest() > Some(CheckpointId(4)), "checkpoints continue with tasks of both generations");
    let view = model.core.view(model.now);
    assert_eq!((view.restarts, view.exceptions.len(), view.exceptions[0].code.as_str()), (1, 1, "TASK-PANIC"));
}

#[test]
fn tasks_of_a_lost_task_manager_restart_elsewhere() {
    let mut model = running(&joined());
    model.run_for(1_500);
    model.kill(&tm("b"));
    model.settle();
    assert_eq!(model.status(), JobStatus::Restarting);
    model.run_for(200);
    let reason = model.core.view(model.now).reason;
    assert_eq!(reason.as_deref(), Some("waiting for 1 of 3 slots"));
    model.add_task_manager("c");
    model.grant();
    model.settle();
    assert_eq!(model.status(), JobStatus::Running);
    assert_eq!(model.core.view(model.now).restarts, 1);
}

#[test]
fn a_slot_timeout_is_a_failure_that_the_restart_strategy_handles() {
    let mut model = Model::new(joined(), 1);
    model.run_for(300_000);
    assert_eq!(model.core.view(model.now).restarts, 1);
    model.run_for(1_000);
    assert!(model.core.view(model.now).reason.expect("waits").starts_with("waiting for 3 of 3 slots"));
    model.run_for(1_000_000);
    let ended = model.ended.expect("three restarts are allowed");
    assert_eq!(ended.status, JobStatus::Failed);
    assert!(ended.failure.expect("says why").starts_with("SLOT-TIMEOUT"));
}

#[test]
fn a_failure_that_no_restart_can_fix_fails_the_job_after_its_tasks_have_stopped() {
    let mut model = running(&joined());
    fail_one(&mut model, false);
    model.deliver();
    assert_eq!((model.status(), model.ended.is_some()), (JobStatus::Failing, false));
    model.settle();
    let ended = model.ended.expect("ended");
    assert_eq!((ended.status, ended.failure.as_deref()), (JobStatus::Failed, Some("TASK-PANIC: boom")));
}

#[test]
fn when_the_restart_strategy_gives_up_the_job_fails() {
    let mut model = running(&with(&joined(), |graph| graph.restart_strategy = Some(RestartStrategyConfig::None)));
    fail_one(&mut model, true);
    model.settle();
    assert_eq!(model.ended.expect("ended").status, JobStatus::Failed);
}

#[test]
fn a_canceled_job_ends_when_every_task_has_stopped() {
    let mut model = running(&joined());
    model.handle(JobMasterEvent::Cancel);
    assert_eq!((model.status(), model.ended.is_some()), (JobStatus::Cancelling, false));
    model.settle();
    assert_eq!(model.ended.expect("ended").status, JobStatus::Canceled);
}

#[test]
fn a_job_can_be_canceled_before_anything_runs() {
    let mut model = Model::new(joined(), 1);
    model.handle(JobMasterEvent::Cancel);
    assert_eq!(model.ended.expect("ended").status, JobStatus::Canceled);
}

#[test]
fn tasks_that_do_not_stop_are_cancelled_again_and_finally_their_task_manager_is_disconnected() {
    let mut model = running(&joined());
    model.handle(JobMasterEvent::Cancel);
    for task_manager in model.task_managers.values_mut() {
        task_manager.orders.clear();
    }
    let before = model.now;
    while model.ended.is_none() {
        model.pass_time(model.now.after(1_000_000));
        for task_manager in model.task_managers.values_mut() {
            task_manager.orders.clear();
        }
        while model.deliver() {}
    }
    assert!(model.task_managers.is_empty());
    assert_eq!(model.now.since(before), 180_000);
}

#[test]
fn c6_if_the_newest_checkpoint_is_unreadable_the_job_shows_this_and_waits() {
    let mut model = Model::new(joined(), 1);
    for _ in 0..3 {
        let reason = "newest checkpoint 7 unreadable: CKPT-CRC".to_string();
        let question = model.core.questions;
        model.calls.clear();
        model.handle(JobMasterEvent::CheckpointUnreadable { question, reason: reason.clone(), retryable: true });
        let view = model.core.view(model.now);
        assert_eq!((view.status, view.reason), (JobStatus::Initializing, Some(reason)));
        model.pass_time(Millis(1_000_000));
        assert_eq!(model.calls.len(), 1, "the checkpoint is read again");
    }
    model.settle();
    assert_eq!(model.status(), JobStatus::Created);
}

#[test]
fn b6_a_checkpoint_that_does_not_fit_the_graph_fails_the_job() {
    let mut model = Model::new(joined(), 1);
    let mut newest = metadata(4, &graph(vec![vertex("other", 1)], vec![]));
    newest.subtasks[0].operators[0].operator_state = Some(StateHandle::Inline(Bytes::from_static(b"state")));
    let newest = Some(Arc::new(newest));
    let restore = RestorePoint { completed: Vec::new(), newest };
    model.handle(JobMasterEvent::CheckpointRead { question: 1, restore });
    assert!(model.ended.expect("ended").failure.expect("says why").starts_with("RESTORE-UNKNOWN-VERTEX"));
}

#[test]
fn c6_a_restart_waits_until_it_is_certain_whether_a_checkpoint_is_complete() {
    let mut model = running(&joined());
    model.pass_time(Millis(1_000));
    for _ in 0..20 {
        // Everything proceeds except calls to stores.
        for id in [tm("a"), tm("b")] {
            model.obey(&id);
        }
        for (id, attempt) in model.tasks(|task| !task.barriers.is_empty()) {
            model.acknowledge(&id, attempt);
        }
        model.deliver();
    }
    assert!(model.call(true, true), "metadata");
    assert!(model.call(true, false), "the pointer is durable, but the JobMaster does not know");
    fail_one(&mut model, true);
    while model.deliver() {}
    for id in [tm("a"), tm("b")] {
        while model.obey(&id) {}
    }
    while model.deliver() {}
    model.deployments.clear();
    model.pass_time(Millis(1_100));
    assert!(model.calls.is_empty(), "no checkpoint is read before the outcome is certain");
    assert!(model.core.view(model.now).reason.expect("says so").contains("coordination store"));
    model.run_for(5_000);
    let (_, deployment) = &model.deployments[0];
    assert_eq!(deployment.restore_checkpoint, Some(CheckpointId(1)));
}

#[test]
fn stopping_with_a_savepoint_finishes_the_job_and_then_answers() {
    let mut model = running(&joined());
    model.handle(JobMasterEvent::Checkpoint(CheckpointEvent::Requested(STOP)));
    model.settle();
    assert_eq!(model.ended.as_ref().map(|ended| ended.status), Some(JobStatus::Finished));
    assert!(matches!(model.answers[&5], SavepointOutcome::Completed { checkpoint: CheckpointId(1), .. }));
}

#[test]
fn v1_when_tasks_fail_after_the_savepoint_to_stop_with_the_job_still_ends_with_it() {
    let mut model = running(&joined());
    model.handle(JobMasterEvent::Checkpoint(CheckpointEvent::Requested(STOP)));
    while model.newest().is_none() {
        for id in [tm("a"), tm("b")] {
            model.obey(&id);
        }
        for (id, attempt) in model.tasks(|task| !task.barriers.is_empty()) {
            model.acknowledge(&id, attempt);
        }
        model.deliver();
        model.call(true, true);
    }
    model.kill(&tm("b"));
    while model.deliver() {}
    assert_eq!(model.status(), JobStatus::Restarting);
    model.add_task_manager("c");
    model.run_for(10_000);
    assert_eq!(model.ended.as_ref().map(|ended| ended.status), Some(JobStatus::Finished));
    assert_eq!(model.store.len(), 1, "nothing was processed after the savepoint");
    assert!(matches!(model.answers[&5], SavepointOutcome::Completed { .. }));
}

#[test]
fn if_some_tasks_have_finished_a_failure_restarts_all_from_the_final_checkpoint() {
    let mut model = running(&joined());
    end_all_input(&mut model);
    while model.tasks(|task| task.state == ExecutionState::Finished).is_empty() {
        model.deliver();
        model.call(true, true);
        model.obey(&tm("a"));
        if model.newest().is_none() {
            model.obey(&tm("b"));
        }
        for (id, attempt) in model.tasks(|task| !task.barriers.is_empty()) {
            model.acknowledge(&id, attempt);
        }
    }
    model.kill(&tm("b"));
    model.add_task_manager("c");
    model.deployments.clear();
    model.run_for(1_000);
    let tasks: usize = model.deployments.iter().map(|(_, deployment)| deployment.tasks.len()).sum();
    assert_eq!(tasks, 4);
    end_all_input(&mut model);
    model.run_for(1_000);
    assert_eq!(model.ended.expect("ended").status, JobStatus::Finished);
}

#[test]
fn too_many_failed_checkpoints_restart_the_job() {
    let mut model = running(&joined());
    model.pass_time(Millis(1_000));
    model.now = Millis(6_000);
    model.handle(JobMasterEvent::Tick);
    assert_eq!(model.status(), JobStatus::Restarting);
    assert_eq!(model.core.view(model.now).exceptions[0].code, "CHECKPOINTS-FAILED");
}

#[test]
fn after_dropped_messages_all_slots_are_requested_again_and_everything_restarts() {
    let mut model = running(&joined());
    model.handle(JobMasterEvent::MessagesLost);
    model.run_for(1_000);
    assert_eq!(model.status(), JobStatus::Running);
    assert_eq!(model.core.view(model.now).restarts, 1);
}

#[test]
fn failures_during_a_drill_do_not_use_up_the_restart_budget_and_later_failures_do() {
    let mut model = running(&with(&joined(), |graph| graph.restart_strategy = Some(RestartStrategyConfig::None)));
    model.run_for(1_500);
    model.handle(JobMasterEvent::Drill { restarts_free_ms: 60_000 });
    for restarts in 1..=3 {
        fail_one(&mut model, true);
        model.run_for(1_000);
        assert_eq!((model.status(), model.core.view(model.now).restarts), (JobStatus::Running, restarts));
    }
    // A failure that no restart can fix ends the job nevertheless.
    let mut hopeless = running(&joined());
    hopeless.handle(JobMasterEvent::Drill { restarts_free_ms: 60_000 });
    fail_one(&mut hopeless, false);
    hopeless.settle();
    assert_eq!(hopeless.ended.as_ref().map(|ended| ended.status), Some(JobStatus::Failed));

    model.handle(JobMasterEvent::Drill { restarts_free_ms: 0 });
    fail_one(&mut model, true);
    model.settle();
    assert_eq!(model.ended.as_ref().map(|ended| ended.status), Some(JobStatus::Failed), "the drill is over");
}

#[test]
fn a_drill_that_is_never_ended_expires() {
    let mut model = running(&with(&joined(), |graph| graph.restart_strategy = Some(RestartStrategyConfig::None)));
    model.handle(JobMasterEvent::Drill { restarts_free_ms: 2_000 });
    model.run_for(2_000);
    fail_one(&mut model, true);
    model.settle();
    assert_eq!(model.ended.as_ref().map(|ended| ended.status), Some(JobStatus::Failed));
}

#[test]
fn a_superseded_job_master_does_nothing_more() {
    let mut model = running(&joined());
    let effects = model.core.handle(JobMasterEvent::Superseded, model.now);
    assert_eq!(effects, [super::effect::JobMasterEffect::StopSuperseded]);
    assert_eq!(model.core.handle(JobMasterEvent::Cancel, model.now), []);
    assert_eq!(model.core.next_deadline(), None);
}

#[test]
fn reports_of_former_attempts_and_from_unknown_task_managers_change_nothing() {
    let mut model = running(&joined());
    let (id, attempt) = model.tasks(|_| true)[0].clone();
    let mut former = attempt;
    former.generation.attempt = 0;
    model.report_state(&id, former, ExecutionState::Failed, failure(true));
    model.report_state(&tm("stranger"), attempt, ExecutionState::Failed, failure(true));
    model.settle();
    assert_eq!((model.status(), model.core.view(model.now).exceptions.len()), (JobStatus::Running, 0));
}

/// The TaskManager registered again while a deployment was in flight. Its registration did not name those tasks, so nothing else
/// would stop them.
#[test]
fn if_a_task_manager_registers_again_before_its_loss_is_processed_its_tasks_are_cancelled() {
    let mut model = running(&parallel());
    let a = tm("a");
    let there: Vec<_> = model.tasks(|_| true).into_iter().filter(|(id, _)| *id == a).map(|(_, attempt)| attempt).collect();
    model.handle(JobMasterEvent::TaskManagerLost { task_manager: a.clone(), reason: "it registered again".to_string() });
    let orders = &model.task_managers[&a].orders;
    let canceled =
        |order: &Order| matches!(order, Order::Cancel(attempts) if there.iter().all(|attempt| attempts.contains(attempt)));
    assert!(!there.is_empty() && orders.iter().any(canceled), "{orders:?}");
}
