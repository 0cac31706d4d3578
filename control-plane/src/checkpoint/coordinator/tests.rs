use weir_protocol::checkpoint::{OperatorSnapshot, SubtaskCheckpointStats, SubtaskSnapshot};
use weir_protocol::{ExecutionVertexId, JobVertexId};
use weir_storage::checkpoint::MetadataHandle;

use super::*;

const JOB: JobId = JobId(5);

fn attempt(subtask: u32, generation: u32) -> ExecutionAttemptId {
    ExecutionAttemptId {
        job: JOB,
        execution_vertex: ExecutionVertexId { vertex: JobVertexId(1), subtask },
        generation: Generation { epoch: LeaderEpoch(1), attempt: generation },
    }
}

/// A coordinator of a job with two subtasks, and a clock.
struct Bench {
    coordinator: CheckpointCoordinator,
    now: u64,
}

impl Bench {
    fn new(config: CheckpointConfig) -> Self {
        let job = CheckpointedJob { job: JOB, epoch: LeaderEpoch(1), max_parallelism: 128, graph_crc32c: 7 };
        Self { coordinator: CheckpointCoordinator::new(config, job, 10), now: 0 }
    }

    /// A bench whose tasks run and whose ids are reserved. It takes a checkpoint every 1000 ms.
    fn running(change: impl FnOnce(&mut CheckpointConfig)) -> Self {
        let mut config = CheckpointConfig { interval_ms: 1_000, timeout_ms: 5_000, ..CheckpointConfig::default() };
        change(&mut config);
        let mut bench = Self::new(config);
        let reserve = bench.start_tasks(1);
        assert_eq!(reserve, [CheckpointEffect::Store(StoreCall::ReserveIds { count: RESERVED_IDS })]);
        assert_eq!(bench.handle(CheckpointEvent::IdsReserved(1..1_001)), []);
        bench
    }

    fn handle(&mut self, event: CheckpointEvent) -> Vec<CheckpointEffect> {
        self.coordinator.handle(event, Moment { now: Millis(self.now), wall_ms: 1_000_000 + self.now })
    }

    fn stop_tasks(&mut self) -> Vec<CheckpointEffect> {
        self.handle(CheckpointEvent::TasksStopped { reason: "x".to_string() })
    }

    fn start_tasks(&mut self, generation: u32) -> Vec<CheckpointEffect> {
        let attempts = vec![attempt(0, generation), attempt(1, generation)];
        let generation = attempts[0].generation;
        self.handle(CheckpointEvent::TasksRunning { attempts, generation })
    }

    fn tick(&mut self, to: u64) -> Vec<CheckpointEffect> {
        self.now = to;
        self.handle(CheckpointEvent::Tick)
    }

    /// Ticks to `to` and expects a trigger and nothing else.
    fn trigger(&mut self, to: u64) -> CheckpointBarrier {
        match self.tick(to).as_slice() {
            [CheckpointEffect::Trigger { barrier, attempts }] if attempts.len() == 2 => *barrier,
            other => panic!("no trigger at {to}: {other:?}"),
        }
    }

    fn ack(&mut self, id: u64, attempt: ExecutionAttemptId) -> Vec<CheckpointEffect> {
        let snapshot =
            SubtaskSnapshot { execution_vertex: attempt.execution_vertex, operators: vec![OperatorSnapshot::default()] };
        let stats = SubtaskCheckpointStats { checkpointed_bytes: 10, ..SubtaskCheckpointStats::default() };
        let ack = CheckpointAcknowledgement { attempt, checkpoint: CheckpointId(id), snapshot, stats };
        self.handle(CheckpointEvent::Acknowledged(ack))
    }

    fn ack_all(&mut self, id: u64, generation: u32) -> Vec<CheckpointEffect> {
        let mut effects = self.ack(id, attempt(0, generation));
        effects.extend(self.ack(id, attempt(1, generation)));
        effects
    }

    fn written(&mut self, id: u64) -> Vec<CheckpointEffect> {
        let handle = MetadataHandle { path: format!("chk-{id}"), length: 1, crc32c: 1 };
        let written = WrittenMetadata { handle, external_path: format!("file:///chk-{id}") };
        self.handle(CheckpointEvent::MetadataWritten { checkpoint: CheckpointId(id), result: Ok(written) })
    }

    fn appended(&mut self, id: u64, outcome: AppendOutcome) -> Vec<CheckpointEffect> {
        self.handle(CheckpointEvent::PointerAppended { checkpoint: CheckpointId(id), outcome })
    }

    /// Acknowledges the checkpoint for all tasks and completes it.
    fn complete(&mut self, id: u64, generation: u32) -> Vec<CheckpointEffect> {
        assert!(matches!(self.ack_all(id, generation).as_slice(), [CheckpointEffect::Store(StoreCall::WriteMetadata { .. })]));
        assert!(matches!(self.written(id).as_slice(), [CheckpointEffect::Store(StoreCall::AppendPointer { .. })]));
        self.appended(id, AppendOutcome::Committed)
    }

    fn decline(&mut self, id: u64) -> Vec<CheckpointEffect> {
        let decline = CheckpointDecline { attempt: attempt(0, 1), checkpoint: CheckpointId(id), reason: "no".to_string() };
        self.handle(CheckpointEvent::Declined(decline))
    }

    fn ask(&mut self, savepoint: bool, stop: bool) -> Vec<CheckpointEffect> {
        let request = CheckpointRequest { request: 77, savepoint, target_directory: Some("file:///s".to_string()), stop };
        self.handle(CheckpointEvent::Requested(request))
    }
}

fn notify(id: u64, last: bool) -> CheckpointEffect {
    CheckpointEffect::NotifyComplete { checkpoint: CheckpointId(id), attempts: vec![attempt(0, 1), attempt(1, 1)], last }
}

fn aborted(id: u64) -> CheckpointEffect {
    CheckpointEffect::NotifyAborted { checkpoint: CheckpointId(id), attempts: vec![attempt(0, 1), attempt(1, 1)] }
}

fn failed(effect: &CheckpointEffect) -> bool {
    matches!(effect, CheckpointEffect::Answer { request: 77, outcome: SavepointOutcome::Failed { .. } })
}

#[test]
fn a_checkpoint_goes_from_trigger_over_metadata_and_pointer_to_completion() {
    let mut bench = Bench::running(|_| {});
    assert_eq!(bench.coordinator.next_deadline(), Some(Millis(1_000)));
    assert_eq!(bench.tick(999), []);
    let barrier = bench.trigger(1_000);
    assert_eq!((barrier.id, barrier.kind, barrier.timestamp_ms), (CheckpointId(1), CheckpointKind::Checkpoint, 1_001_000));
    assert_eq!(bench.ack(1, attempt(1, 1)), []);
    match bench.ack(1, attempt(0, 1)).as_slice() {
        [CheckpointEffect::Store(StoreCall::WriteMetadata { metadata, target_directory: None })] => {
            let subtasks: Vec<_> = metadata.subtasks.iter().map(|part| part.execution_vertex.subtask).collect();
            assert_eq!(subtasks, [0, 1], "parts are ordered by subtask, whatever order they arrived in");
        }
        other => panic!("{other:?}"),
    }
    match bench.written(1).as_slice() {
        [CheckpointEffect::Store(StoreCall::AppendPointer { pointer, .. })] => assert_eq!(pointer.id, CheckpointId(1)),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.appended(1, AppendOutcome::Committed), [notify(1, false)]);
    let view = bench.coordinator.stats().view();
    assert_eq!((view.total, view.completed, view.in_progress, view.failed), (1, 1, 0, 0));
    assert_eq!(view.history[0].checkpointed_bytes, 20);
}

#[test]
fn b4_nothing_is_triggered_unless_all_tasks_run() {
    let mut bench = Bench::running(|_| {});
    assert_eq!(bench.stop_tasks(), []);
    assert_eq!(bench.tick(10_000), []);
    assert!(failed(&bench.ask(true, false)[0]));
    bench.start_tasks(2);
    assert_eq!(bench.trigger(11_000).id, CheckpointId(1));
}

#[test]
fn c3_completion_is_reported_only_after_the_pointer_is_certainly_durable() {
    let mut bench = Bench::running(|_| {});
    bench.trigger(1_000);
    bench.ack_all(1, 1);
    let first = bench.written(1);
    assert_eq!(bench.appended(1, AppendOutcome::Unknown("no quorum".to_string())), []);
    assert!(!bench.coordinator.is_settled());
    // The checkpoint is held after its timeout and after its tasks stopped. It is neither aborted nor reported.
    assert_eq!(bench.stop_tasks(), []);
    assert_eq!(bench.tick(2_000), first, "the same pointer is appended again");
    bench.appended(1, AppendOutcome::Unknown("no quorum".to_string()));
    assert_eq!(bench.tick(500_000), first);
    assert_eq!(bench.appended(1, AppendOutcome::Committed), [notify(1, false)]);
    assert!(bench.coordinator.is_settled());
}

#[test]
fn an_attempt_counts_once_and_attempts_of_another_generation_never() {
    let mut bench = Bench::running(|_| {});
    bench.trigger(1_000);
    assert_eq!(bench.ack(1, attempt(0, 1)), []);
    assert_eq!(bench.ack(1, attempt(0, 1)), []);
    assert_eq!(bench.ack(1, attempt(1, 0)), []);
    assert_eq!(bench.ack(9, attempt(1, 1)), []);
    assert_eq!(bench.ack(1, attempt(1, 1)).len(), 1);
    assert_eq!(bench.ack(1, attempt(1, 1)), []);
}

#[test]
fn a_checkpoint_that_is_not_acknowledged_in_time_is_aborted_and_the_next_one_has_another_id() {
    let mut bench = Bench::running(|config| config.tolerable_failures = 1);
    bench.trigger(1_000);
    bench.ack(1, attempt(0, 1));
    let effects = bench.tick(6_000);
    assert_eq!(effects[0], aborted(1));
    assert!(matches!(&effects[1], CheckpointEffect::Trigger { barrier, .. } if barrier.id == CheckpointId(2)), "{effects:?}");
    assert_eq!(bench.ack(1, attempt(1, 1)), [], "too late");
}

#[test]
fn too_many_failures_in_a_row_fail_the_job_and_a_success_resets_the_count() {
    let mut bench = Bench::running(|config| config.tolerable_failures = 1);
    let fails = |effects: &[CheckpointEffect]| effects.iter().any(|effect| matches!(effect, CheckpointEffect::FailJob { .. }));
    bench.trigger(1_000);
    assert!(!fails(&bench.decline(1)));
    bench.trigger(2_000);
    bench.complete(2, 1);
    bench.trigger(3_000);
    assert!(!fails(&bench.decline(3)));
    bench.trigger(4_000);
    assert!(fails(&bench.decline(4)));
}

#[test]
fn stopping_the_tasks_aborts_what_is_not_acknowledged_and_counts_no_failure() {
    let mut bench = Bench::running(|_| {});
    bench.trigger(1_000);
    assert_eq!(bench.stop_tasks(), [aborted(1)]);
    assert!(bench.coordinator.is_settled());
}

#[test]
fn files_are_deleted_after_the_pointers_and_the_second_newest_keeps_its_files_for_a_while() {
    let mut bench = Bench::running(|_| {});
    bench.trigger(1_000);
    assert_eq!(bench.complete(1, 1), [notify(1, false)], "it subsumes none");
    bench.trigger(2_000);
    bench.ack_all(2, 1);
    let subsumed = vec![CheckpointId(1)];
    let append = bench.written(2);
    assert!(
        matches!(append.as_slice(), [CheckpointEffect::Store(StoreCall::AppendPointer { subsumed: found, .. })] if *found == subsumed),
        "{append:?}"
    );
    let unknown = AppendOutcome::Unknown("no answer".to_string());
    let checkpoint = CheckpointId(2);
    assert_eq!(bench.handle(CheckpointEvent::PointerAppended { checkpoint, outcome: unknown }), []);
    let again = bench.tick(2_000 + RETRY_MS);
    assert_eq!(again, append, "each attempt subsumes the same");
    match bench.handle(CheckpointEvent::PointerAppended { checkpoint, outcome: AppendOutcome::Committed }).as_slice() {
        [told, CheckpointEffect::Store(StoreCall::CollectGarbage { keep, .. }), ..] => {
            assert_eq!(*told, notify(2, false));
            assert_eq!(keep.iter().map(|one| one.id.0).collect::<Vec<_>>(), [1, 2]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_checkpoint_that_not_all_tasks_were_told_of_is_aborted_and_fails_no_job() {
    let mut bench = Bench::running(|config| config.tolerable_failures = 0);
    bench.trigger(1_000);
    let not_told = || CheckpointEvent::NotTriggered { checkpoint: CheckpointId(1), reason: "1024 orders wait".to_string() };
    assert_eq!(bench.handle(not_told()), [aborted(1)]);
    assert_eq!(bench.handle(not_told()), []);
    bench.trigger(2_000);
    assert_eq!(bench.complete(2, 1), [notify(2, false)]);
}

/// On slow file storage, runs would pile up.
#[test]
fn garbage_is_collected_by_one_run_at_a_time_which_knows_all_that_was_removed() {
    let mut bench = Bench::running(|_| {});
    let collections = |effects: &[CheckpointEffect]| -> Vec<(Vec<u64>, usize)> {
        let collection = |effect: &CheckpointEffect| match effect {
            CheckpointEffect::Store(StoreCall::CollectGarbage { keep, pending, .. }) => {
                Some((keep.iter().map(|one| one.id.0).collect(), pending.len()))
            }
            _ => None,
        };
        effects.iter().filter_map(collection).collect()
    };
    let mut runs = Vec::new();
    for id in 1..=4 {
        bench.trigger(id * 1_000);
        let effects = bench.complete(id, 1);
        runs.extend(collections(&effects));
    }
    assert_eq!(runs, [(vec![1, 2], 0)], "the first run has not ended");
    bench.trigger(5_000);
    assert_eq!(collections(&bench.handle(CheckpointEvent::GarbageCollected)), [(vec![3, 4], 1)]);
    assert_eq!(collections(&bench.handle(CheckpointEvent::GarbageCollected)), []);
}

/// A restart or a cancellation must not wait for the export of a savepoint, which can take half an hour.
#[test]
fn stopping_the_tasks_abandons_a_checkpoint_whose_files_are_being_written() {
    let mut bench = Bench::running(|_| {});
    bench.trigger(1_000);
    bench.ack_all(1, 1);
    assert!(!bench.coordinator.is_settled(), "its metadata is being written");
    assert_eq!(bench.stop_tasks(), [aborted(1)]);
    assert!(bench.coordinator.is_settled());
}

#[test]
fn b1_a_later_checkpoint_that_is_acknowledged_first_subsumes_the_earlier_one() {
    let mut bench = Bench::running(|config| config.max_concurrent = 2);
    bench.trigger(1_000);
    bench.trigger(2_000);
    let effects = bench.ack_all(2, 1);
    assert_eq!(effects[0], aborted(1));
    assert!(
        matches!(&effects[1], CheckpointEffect::Store(StoreCall::WriteMetadata { metadata, .. }) if metadata.id == CheckpointId(2))
    );
    assert_eq!(bench.ack_all(1, 1), []);
}

#[test]
fn b1_a_checkpoint_waits_for_the_earlier_one_whose_pointer_is_uncertain() {
    let mut bench = Bench::running(|config| config.max_concurrent = 2);
    bench.trigger(1_000);
    bench.trigger(2_000);
    bench.ack_all(1, 1);
    bench.written(1);
    bench.appended(1, AppendOutcome::Unknown("?".to_string()));
    assert_eq!(bench.ack_all(2, 1), []);
    bench.tick(4_000);
    let effects = bench.appended(1, AppendOutcome::Committed);
    assert_eq!(effects[0], notify(1, false));
    assert!(effects.iter().any(
        |effect| matches!(effect, CheckpointEffect::Store(StoreCall::WriteMetadata { metadata, .. }) if metadata.id.0 == 2)
    ));
}

#[test]
fn min_pause_is_kept_between_the_end_of_one_and_the_start_of_the_next() {
    let mut bench = Bench::running(|config| config.min_pause_ms = 900);
    bench.trigger(1_000);
    bench.now = 1_800;
    bench.complete(1, 1);
    assert_eq!(bench.tick(2_699), []);
    assert_eq!(bench.coordinator.next_deadline(), Some(Millis(2_700)));
    bench.trigger(2_700);
}

#[test]
fn ids_are_reserved_again_when_they_are_used_up_and_a_failed_reservation_is_retried() {
    let mut bench = Bench::running(|_| {});
    bench.coordinator.ids = 1..2;
    bench.trigger(1_000);
    assert_eq!(bench.ack(1, attempt(0, 1)), [CheckpointEffect::Store(StoreCall::ReserveIds { count: RESERVED_IDS })]);
    bench.ack(1, attempt(1, 1));
    bench.written(1);
    bench.appended(1, AppendOutcome::Committed);
    bench.handle(CheckpointEvent::IdsNotReserved);
    assert_eq!(bench.tick(2_000), [CheckpointEffect::Store(StoreCall::ReserveIds { count: RESERVED_IDS })]);
    let effects = bench.handle(CheckpointEvent::IdsReserved(2_001..3_001));
    assert!(matches!(&effects[0], CheckpointEffect::Trigger { barrier, .. } if barrier.id == CheckpointId(2_001)));
}

#[test]
fn when_all_input_has_ended_one_final_checkpoint_finishes_the_job_even_without_periodic_ones() {
    let mut bench = Bench::running(|config| config.interval_ms = 0);
    assert_eq!(bench.coordinator.next_deadline(), None);
    match bench.handle(CheckpointEvent::InputEnded).as_slice() {
        [CheckpointEffect::Trigger { barrier, .. }] => assert_eq!(barrier.kind, CheckpointKind::Final),
        other => panic!("{other:?}"),
    }
    assert_eq!(bench.complete(1, 1), [notify(1, true)]);
    assert!(bench.coordinator.is_finishing());
    assert_eq!(bench.tick(100_000), []);
    assert!(failed(&bench.ask(true, false)[0]));
}

#[test]
fn a_final_checkpoint_that_fails_tolerably_is_retried() {
    let mut bench = Bench::running(|config| config.tolerable_failures = 1);
    bench.handle(CheckpointEvent::InputEnded);
    assert_eq!(bench.decline(1), [aborted(1)]);
    assert_eq!(bench.coordinator.next_deadline(), Some(Millis(RETRY_MS)));
    assert_eq!(bench.trigger(RETRY_MS).kind, CheckpointKind::Final);
}

#[test]
fn a_savepoint_waits_for_its_turn_and_is_answered_when_it_is_durable() {
    let mut bench = Bench::running(|_| {});
    bench.trigger(1_000);
    assert_eq!(bench.ask(true, false), []);
    let effects = bench.complete(1, 1);
    assert!(matches!(&effects[1], CheckpointEffect::Trigger { barrier, .. } if barrier.kind == CheckpointKind::Savepoint));
    assert_eq!(bench.tick(2_500), [], "no checkpoint is triggered while a savepoint is pending");
    match bench.ack_all(2, 1).as_slice() {
        [CheckpointEffect::Store(StoreCall::WriteMetadata { target_directory: Some(target), .. })] => {
            assert_eq!(target, "file:///s")
        }
        other => panic!("{other:?}"),
    }
    bench.written(2);
    let location = "file:///chk-2".to_string();
    let outcome = SavepointOutcome::Completed { checkpoint: CheckpointId(2), location };
    let effects = bench.appended(2, AppendOutcome::Committed);
    assert_eq!(effects[..2], [notify(2, false), CheckpointEffect::Answer { request: 77, outcome }]);
}

#[test]
fn stopping_with_a_savepoint_finishes_the_tasks_and_answers_later() {
    let mut bench = Bench::running(|_| {});
    bench.ask(true, true);
    let effects = bench.complete(1, 1);
    assert_eq!(effects[0], notify(1, true));
    assert!(matches!(effects[1], CheckpointEffect::StoppedWithSavepoint { request: 77, .. }));
    assert_eq!(bench.tick(60_000), []);
}

#[test]
fn a_failed_savepoint_is_answered_and_does_not_count_against_the_job() {
    let mut bench = Bench::running(|_| {});
    bench.ask(true, true);
    bench.ack_all(1, 1);
    let error = Err("disk full".to_string());
    let effects = bench.handle(CheckpointEvent::MetadataWritten { checkpoint: CheckpointId(1), result: error });
    assert_eq!(effects[0], aborted(1));
    assert!(failed(&effects[1]) && effects.len() == 2, "{effects:?}");
    bench.trigger(1_000);
}

#[test]
fn requests_are_bounded() {
    let mut bench = Bench::running(|_| {});
    bench.trigger(1_000);
    for _ in 0..WAITING_REQUESTS {
        assert_eq!(bench.ask(false, false), []);
    }
    assert!(failed(&bench.ask(false, false)[0]));
}

#[test]
fn while_the_store_is_unavailable_one_checkpoint_is_held_and_nothing_fails() {
    let mut bench = Bench::running(|config| config.max_concurrent = 3);
    bench.trigger(1_000);
    bench.complete(1, 1);
    assert_eq!(bench.handle(CheckpointEvent::Store { away: true }), []);
    bench.trigger(2_000);
    bench.ack_all(2, 1);
    let held = bench.written(2);
    assert!(
        matches!(held.as_slice(), [CheckpointEffect::Store(StoreCall::AppendPointer { pointer, .. })] if pointer.id == CheckpointId(2))
    );
    // A long outage: every retry of the pointer has an unknown outcome. Nothing else is triggered, and nothing fails.
    for minute in 1..=10_u64 {
        assert_eq!(bench.appended(2, AppendOutcome::Unknown("away".to_string())), []);
        assert_eq!(bench.tick(minute * 60_000), held, "the same pointer, and nothing else");
    }
    bench.appended(2, AppendOutcome::Unknown("away".to_string()));
    assert!(failed(&bench.ask(true, false)[0]), "a savepoint fails at once, too");
    let view = bench.coordinator.stats().view();
    assert_eq!((view.total, view.completed, view.in_progress, view.failed), (2, 1, 1, 0));
    assert_eq!(bench.coordinator.failures_in_a_row, 0);

    // The store answers again: the held pointer is appended at once and completes. Checkpoints continue with higher ids.
    bench.now += 10;
    let effects = bench.handle(CheckpointEvent::Store { away: false });
    assert_eq!(effects[0], held[0]);
    assert!(matches!(&effects[1], CheckpointEffect::Trigger { barrier, .. } if barrier.id == CheckpointId(3)), "{effects:?}");
    assert_eq!(bench.appended(2, AppendOutcome::Committed)[0], notify(2, false));
    assert_eq!(bench.complete(3, 1)[0], notify(3, false));
    assert_eq!(bench.coordinator.stats().view().failed, 0, "no checkpoint was lost");
}

#[test]
fn a_checkpoint_in_flight_during_an_outage_is_held_and_ids_are_reserved_again_after_it() {
    let mut bench = Bench::running(|_| {});
    bench.coordinator.ids = 1..2;
    bench.trigger(1_000);
    let effects = bench.handle(CheckpointEvent::Store { away: true });
    assert_eq!(effects, [CheckpointEffect::Store(StoreCall::ReserveIds { count: RESERVED_IDS })]);
    bench.handle(CheckpointEvent::IdsNotReserved);
    bench.ack_all(1, 1);
    bench.written(1);
    bench.appended(1, AppendOutcome::Unknown("away".to_string()));
    let effects = bench.handle(CheckpointEvent::Store { away: false });
    assert!(matches!(effects[0], CheckpointEffect::Store(StoreCall::AppendPointer { .. })), "{effects:?}");
    assert_eq!(effects[1], CheckpointEffect::Store(StoreCall::ReserveIds { count: RESERVED_IDS }));
}
