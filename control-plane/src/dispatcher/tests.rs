use weir_protocol::job_graph::{JobVertex, OperatorDescriptor};

use super::*;

pub(super) fn graph(job: u128) -> JobGraph {
    let operator = |kind: &str| OperatorDescriptor::new(kind, BTreeMap::new());
    JobGraph {
        version: JobGraph::VERSION,
        job_id: Some(JobId(job)),
        name: format!("job-{job}"),
        max_parallelism: 128,
        vertices: vec![JobVertex {
            uid: "all".to_string(),
            name: String::new(),
            parallelism: 1,
            operators: vec![operator("source.datagen"), operator("sink.blackhole")],
            output_schema: Vec::new(),
            input_schemas: Vec::new(),
        }],
        edges: Vec::new(),
        checkpointing: None,
        restart_strategy: None,
        restore_from: None,
        allow_non_restored_state: false,
    }
}

pub(super) fn result(job: u128, status: JobStatus) -> JobResult {
    JobResult {
        job: JobId(job),
        name: format!("job-{job}"),
        status,
        submitted_at_ms: 5,
        ended_at_ms: 9,
        failure: None,
        dirty: true,
    }
}

fn dispatcher() -> Dispatcher {
    Dispatcher::new(
        DispatcherOptions { max_jobs: 3, max_results: 2, result_retention_ms: 1000, ..DispatcherOptions::default() },
        Millis(0),
    )
}

fn submit(ticket: u64, job: u128, token: Option<&str>) -> Event {
    Event::Submit {
        ticket: Ticket(ticket),
        graph: Box::new(graph(job)),
        client_token: token.map(str::to_string),
        wall_clock_ms: 5,
    }
}

fn persisted(ticket: u64, outcome: Result<Submission, StoreError>) -> Event {
    Event::Persisted { ticket: Ticket(ticket), outcome }
}

fn ended(job: u128, status: JobStatus) -> Event {
    Event::JobEnded { job: JobId(job), status, failure: None, wall_clock_ms: 9 }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("no quorum".to_string())
}

/// A short text for each effect.
fn words(effects: &[Effect]) -> Vec<String> {
    let word = |effect: &Effect| match effect {
        Effect::Persist { graph, .. } => format!("persist {}", graph.name),
        Effect::AnswerSubmit { answer: Ok(submitted), .. } if submitted.already => format!("already {:x}", submitted.job.0),
        Effect::AnswerSubmit { answer: Ok(submitted), .. } => format!("created {:x}", submitted.job.0),
        Effect::AnswerSubmit { answer: Err(error), .. } => {
            format!("refused {}", format!("{error:?}").split('(').next().unwrap_or_default())
        }
        Effect::AnswerCancel { answer: Ok(()), .. } => "cancel accepted".to_string(),
        Effect::AnswerCancel { answer: Err(error), .. } => error.to_string().split(':').next().unwrap_or_default().to_string(),
        Effect::StartJobMaster { graph, .. } => format!("start {}", graph.name),
        Effect::CancelJob { job } => format!("cancel {:x}", job.0),
        Effect::ShowQuarantined { job, .. } => format!("quarantined {:x}", job.0),
        Effect::Reread { job } => format!("reread {:x}", job.0),
        Effect::StoreResult { result } => format!("store {:x} {}", result.job.0, result.status.as_str()),
        Effect::ShowEnded { result } => format!("ended {:x} {}", result.job.0, result.status.as_str()),
        Effect::CleanUp { job, step } => format!("clean {:x} {step:?}", job.0),
        Effect::Forget { job } => format!("forget {:x}", job.0),
        Effect::ForgetResults { jobs } => format!("forget {} from the store", jobs.len()),
        Effect::StepDown { .. } => "step down".to_string(),
    };
    effects.iter().map(word).collect()
}

#[test]
fn a_client_is_answered_and_the_job_is_started_only_when_the_job_is_durable() {
    let mut dispatcher = dispatcher();
    assert_eq!(words(&dispatcher.handle(submit(1, 1, None), Millis(0))), ["persist job-1"]);
    let effects = dispatcher.handle(persisted(1, Ok(Submission::Created)), Millis(1));
    assert_eq!(words(&effects), ["start job-1", "created 1"]);
}

#[test]
fn g2_a_repeated_submission_starts_no_second_job() {
    let mut dispatcher = dispatcher();
    dispatcher.handle(submit(1, 1, Some("t")), Millis(0));
    dispatcher.handle(persisted(1, Ok(Submission::Created)), Millis(0));
    dispatcher.handle(submit(2, 2, Some("t")), Millis(0));
    let outcome = Ok(Submission::AlreadySubmitted { job: JobId(1) });
    assert_eq!(words(&dispatcher.handle(persisted(2, outcome), Millis(1))), ["already 1"]);
}

/// The answer to the first write was lost and is found out only after its repetition was answered.
#[test]
fn g2_a_submission_that_is_answered_after_its_repetition_starts_no_second_job() {
    let mut dispatcher = dispatcher();
    dispatcher.handle(submit(1, 1, Some("t")), Millis(0));
    dispatcher.handle(submit(2, 2, Some("t")), Millis(0));
    let outcome = Ok(Submission::AlreadySubmitted { job: JobId(1) });
    assert_eq!(words(&dispatcher.handle(persisted(2, outcome), Millis(1))), ["reread 1", "already 1"]);
    let found = RecoveredJob::Readable { job: JobId(1), graph: graph(1), submitted_at_ms: 5 };
    let effects = dispatcher.handle(Event::Reread { job: JobId(1), outcome: Ok(Some(found)) }, Millis(2));
    assert_eq!(words(&effects), ["start job-1"]);
    assert_eq!(words(&dispatcher.handle(persisted(1, Ok(Submission::Created)), Millis(3))), ["created 1"]);
}

#[test]
fn g3_after_an_unknown_outcome_the_store_is_read_until_the_job_is_found_and_started() {
    let mut dispatcher = dispatcher();
    dispatcher.handle(submit(1, 1, None), Millis(0));
    let unknown = StoreError::Unresolved { key: "k".to_string(), reason: "timeout".to_string() };
    assert_eq!(words(&dispatcher.handle(persisted(1, Err(unknown)), Millis(0))), ["refused Unknown"]);
    assert_eq!(dispatcher.next_deadline(), Millis(0), "the first retention check");
    dispatcher.handle(Event::Tick, Millis(0));
    assert_eq!(dispatcher.next_deadline(), Millis(100));
    let effects = dispatcher.handle(Event::Tick, Millis(100));
    assert_eq!(words(&effects), ["reread 1"]);
    let nothing_yet = Event::Reread { job: JobId(1), outcome: Ok(None) };
    assert_eq!(words(&dispatcher.handle(nothing_yet, Millis(100))), [""; 0]);
    assert_eq!(words(&dispatcher.handle(Event::Tick, Millis(300))), ["reread 1"]);
    let found = RecoveredJob::Readable { job: JobId(1), graph: graph(1), submitted_at_ms: 5 };
    let effects = dispatcher.handle(Event::Reread { job: JobId(1), outcome: Ok(Some(found)) }, Millis(300));
    assert_eq!(words(&effects), ["start job-1"]);
}

#[test]
fn a_repeated_submission_of_a_job_that_does_not_run_reads_the_job_again() {
    let mut dispatcher = dispatcher();
    dispatcher.handle(submit(1, 2, Some("t")), Millis(0));
    let outcome = Ok(Submission::AlreadySubmitted { job: JobId(1) });
    assert_eq!(words(&dispatcher.handle(persisted(1, outcome), Millis(0))), ["reread 1", "already 1"]);
}

#[test]
fn a_submission_that_the_store_refuses_fails_with_a_matching_error() {
    let refusals = [
        (unavailable(), "refused Unavailable"),
        (StoreError::Conflict { key: "k".to_string(), reason: "taken".to_string() }, "refused Conflict"),
        (StoreError::Refused { reason: "token".to_string() }, "refused Invalid"),
        (StoreError::NoRoom { bytes: 2, limit: 1 }, "refused Busy"),
    ];
    for (error, expected) in refusals {
        let mut dispatcher = dispatcher();
        dispatcher.handle(submit(1, 1, None), Millis(0));
        assert_eq!(words(&dispatcher.handle(persisted(1, Err(error)), Millis(0))), [expected]);
    }
}

#[test]
fn e3_a_store_that_knows_a_newer_leader_makes_this_one_step_down() {
    let mut dispatcher = dispatcher();
    dispatcher.handle(submit(1, 1, None), Millis(0));
    let superseded = StoreError::Superseded { epoch: weir_protocol::LeaderEpoch(1), current: weir_protocol::LeaderEpoch(2) };
    let effects = dispatcher.handle(persisted(1, Err(superseded)), Millis(0));
    assert_eq!(words(&effects), ["step down", "refused Unavailable"]);
}

#[test]
fn the_number_of_live_jobs_is_limited() {
    let mut dispatcher = dispatcher();
    for job in 1..=3 {
        dispatcher.handle(submit(job, u128::from(job), None), Millis(0));
    }
    assert_eq!(words(&dispatcher.handle(submit(4, 4, None), Millis(0))), ["refused Busy"]);
}

#[test]
fn r2_the_end_of_a_job_is_durable_before_it_is_shown_and_cleanup_steps_are_in_order() {
    let mut dispatcher = dispatcher();
    dispatcher.handle(submit(1, 1, None), Millis(0));
    dispatcher.handle(persisted(1, Ok(Submission::Created)), Millis(0));
    assert_eq!(words(&dispatcher.handle(ended(1, JobStatus::Finished), Millis(1))), ["store 1 FINISHED"]);
    assert_eq!(words(&dispatcher.handle(ended(1, JobStatus::Failed), Millis(1))), [""; 0], "the first status counts");
    let stored = Event::ResultStored { job: JobId(1), outcome: Ok(()) };
    assert_eq!(words(&dispatcher.handle(stored, Millis(2))), ["ended 1 FINISHED", "clean 1 DiscardCheckpoints"]);
    let done = |step| Event::CleanedUp { job: JobId(1), step, outcome: Ok(()) };
    assert_eq!(words(&dispatcher.handle(done(CleanupStep::DiscardCheckpoints), Millis(2))), ["clean 1 JobGraph"]);
    assert_eq!(words(&dispatcher.handle(done(CleanupStep::JobGraph), Millis(2))), ["clean 1 MarkClean"]);
    assert_eq!(words(&dispatcher.handle(done(CleanupStep::MarkClean), Millis(2))), [""; 0]);
    assert_eq!(words(&dispatcher.handle(submit(2, 1, None), Millis(3))), ["refused Conflict"], "R1");
}

#[test]
fn a_failed_store_operation_is_retried_for_ever_with_backoff() {
    let mut dispatcher = dispatcher();
    let recovered = Event::Recovered { jobs: Vec::new(), results: vec![result(1, JobStatus::Finished)] };
    let effects = dispatcher.handle(recovered, Millis(0));
    assert_eq!(words(&effects), ["ended 1 FINISHED", "clean 1 JobGraph"]);
    dispatcher.handle(Event::Tick, Millis(0));
    let mut now = Millis(0);
    let mut waits = Vec::new();
    for _ in 0..12 {
        let failed = Event::CleanedUp { job: JobId(1), step: CleanupStep::JobGraph, outcome: Err(unavailable()) };
        assert_eq!(words(&dispatcher.handle(failed, now)), [""; 0]);
        let mut effects = Vec::new();
        let failed_at = now;
        while effects.is_empty() {
            now = dispatcher.next_deadline();
            effects = dispatcher.handle(Event::Tick, now);
        }
        assert_eq!(words(&effects), ["clean 1 JobGraph"]);
        waits.push(now.since(failed_at));
    }
    assert_eq!(&waits[..4], [100, 200, 400, 800]);
    assert_eq!(waits[11], RETRY.after(u32::MAX).as_millis() as u64);
}

#[test]
fn a_live_job_is_cancelled_by_its_job_master_and_an_ended_job_can_not_be_cancelled() {
    let mut dispatcher = dispatcher();
    let jobs = vec![RecoveredJob::Readable { job: JobId(1), graph: graph(1), submitted_at_ms: 5 }];
    let results = vec![result(2, JobStatus::Finished), result(3, JobStatus::Canceled)];
    dispatcher.handle(Event::Recovered { jobs, results }, Millis(0));
    let cancel = |job| Event::Cancel { ticket: Ticket(9), job: JobId(job), wall_clock_ms: 9 };
    assert_eq!(words(&dispatcher.handle(cancel(1), Millis(0))), ["cancel 1", "cancel accepted"]);
    assert_eq!(words(&dispatcher.handle(cancel(2), Millis(0))), ["JOB-ENDED"]);
    assert_eq!(words(&dispatcher.handle(cancel(3), Millis(0))), ["cancel accepted"], "it is canceled already");
    assert_eq!(words(&dispatcher.handle(cancel(4), Millis(0))), ["JOB-NOT-FOUND"]);
}

#[test]
fn g5_a_quarantined_job_is_shown_and_retried_and_can_be_cancelled() {
    let mut dispatcher = dispatcher();
    let unreadable = |job| RecoveredJob::Unreadable { job: JobId(job), reason: "bad".to_string() };
    let jobs = vec![unreadable(1), unreadable(2)];
    let effects = dispatcher.handle(Event::Recovered { jobs, results: Vec::new() }, Millis(0));
    assert_eq!(words(&effects), ["quarantined 1", "quarantined 2"]);
    assert_eq!(words(&dispatcher.handle(Event::Tick, Millis(200))), ["reread 1", "reread 2"]);
    let restored = RecoveredJob::Readable { job: JobId(2), graph: graph(2), submitted_at_ms: 5 };
    let effects = dispatcher.handle(Event::Reread { job: JobId(2), outcome: Ok(Some(restored)) }, Millis(200));
    assert_eq!(words(&effects), ["start job-2"]);
    let still = Event::Reread { job: JobId(1), outcome: Ok(Some(unreadable(1))) };
    assert_eq!(words(&dispatcher.handle(still, Millis(200))), ["quarantined 1"]);
    let cancel = Event::Cancel { ticket: Ticket(9), job: JobId(1), wall_clock_ms: 9 };
    assert_eq!(words(&dispatcher.handle(cancel, Millis(200))), ["store 1 CANCELED", "cancel accepted"]);
    let stored = Event::ResultStored { job: JobId(1), outcome: Ok(()) };
    assert_eq!(
        words(&dispatcher.handle(stored, Millis(200))),
        ["ended 1 CANCELED", "clean 1 ReleaseCheckpoints"],
        "checkpoint files of a job that can't be read are retained"
    );
}

#[test]
fn results_over_the_limit_and_of_age_are_forgotten() {
    let mut dispatcher = dispatcher();
    let clean = |job, ended_at_ms| JobResult { ended_at_ms, dirty: false, ..result(job, JobStatus::Finished) };
    let results = vec![clean(1, 5_002), clean(2, 5_001), clean(3, 5_003)];
    dispatcher.handle(Event::Recovered { jobs: Vec::new(), results }, Millis(0));
    assert_eq!(words(&dispatcher.handle(Event::Tick, Millis(0))), ["forget 2", "forget 1 from the store"]);
    let effects = dispatcher.handle(Event::Tick, Millis(60_000));
    assert_eq!(words(&effects), ["forget 1", "forget 3", "forget 2 from the store"]);
}

/// The ends of jobs are stamped by wall clocks, which may be days ahead or behind.
#[test]
fn no_wall_clock_makes_a_leader_forget_a_result_before_its_time() {
    const DAYS_MS: u64 = 3 * 24 * 3_600_000;
    for ended_at_ms in [0, DAYS_MS, u64::MAX] {
        let mut dispatcher = Dispatcher::new(DispatcherOptions::default(), Millis(0));
        let clean = JobResult { ended_at_ms, dirty: false, ..result(1, JobStatus::Finished) };
        dispatcher.handle(Event::Recovered { jobs: Vec::new(), results: vec![clean] }, Millis(0));
        let retention_ms = DispatcherOptions::default().result_retention_ms;
        assert_eq!(words(&dispatcher.handle(Event::Tick, Millis(retention_ms - 1))), [""; 0]);
        assert_eq!(
            words(&dispatcher.handle(Event::Tick, Millis(retention_ms + 60_000))),
            ["forget 1", "forget 1 from the store"]
        );
    }
}

fn away() -> Event {
    Event::Store(StoreAvailability::Away { since_ms: 60_000 })
}

#[test]
fn while_the_store_is_unavailable_requests_fail_at_once() {
    let mut dispatcher = dispatcher();
    dispatcher.handle(submit(1, 1, None), Millis(0));
    dispatcher.handle(persisted(1, Ok(Submission::Created)), Millis(0));
    dispatcher.handle(submit(2, 2, Some("t")), Millis(0));
    assert_eq!(words(&dispatcher.handle(away(), Millis(1))), ["refused Unknown"], "it may have been recorded");
    let effects = dispatcher.handle(submit(3, 3, None), Millis(2));
    assert_eq!(words(&effects), ["refused StoreAway"]);
    let Effect::AnswerSubmit { answer: Err(error), .. } = &effects[0] else { panic!("{effects:?}") };
    assert!(error.to_string().starts_with("HA-STORE-AWAY: ") && error.to_string().contains("1970-01-01T00:01:00Z"), "{error}");
    let cancel = |job| Event::Cancel { ticket: Ticket(9), job: JobId(job), wall_clock_ms: 9 };
    assert_eq!(words(&dispatcher.handle(cancel(1), Millis(2))), ["HA-STORE-AWAY"], "a later leader would run the job again");
    assert_eq!(words(&dispatcher.handle(cancel(7), Millis(2))), ["JOB-NOT-FOUND"]);
    // A write that was in flight when the outage began continues. Its client already has an answer.
    assert_eq!(words(&dispatcher.handle(persisted(2, Ok(Submission::Created)), Millis(3))), ["start job-2", "created 2"]);
    assert_eq!(words(&dispatcher.handle(Event::Store(StoreAvailability::Available), Millis(4))), [""; 0]);
    assert_eq!(words(&dispatcher.handle(submit(4, 3, None), Millis(4))), ["persist job-3"]);
    assert_eq!(words(&dispatcher.handle(cancel(1), Millis(4))), ["cancel 1", "cancel accepted"]);
}

#[test]
fn failed_operations_are_retried_at_once_when_the_store_answers_again() {
    let mut dispatcher = dispatcher();
    dispatcher.handle(Event::Tick, Millis(0));
    let jobs = vec![RecoveredJob::Readable { job: JobId(1), graph: graph(1), submitted_at_ms: 5 }];
    dispatcher.handle(Event::Recovered { jobs, results: Vec::new() }, Millis(0));
    dispatcher.handle(away(), Millis(0));
    assert_eq!(words(&dispatcher.handle(ended(1, JobStatus::Finished), Millis(0))), ["store 1 FINISHED"]);
    for now in [0, 1_000, 10_000, 20_000] {
        dispatcher.handle(Event::ResultStored { job: JobId(1), outcome: Err(unavailable()) }, Millis(now));
        dispatcher.handle(Event::Tick, Millis(now + 900));
    }
    dispatcher.handle(Event::ResultStored { job: JobId(1), outcome: Err(unavailable()) }, Millis(30_000));
    assert!(dispatcher.next_deadline() > Millis(30_500));
    dispatcher.handle(Event::Store(StoreAvailability::Available), Millis(30_500));
    assert_eq!(dispatcher.next_deadline(), Millis(30_500));
    assert_eq!(words(&dispatcher.handle(Event::Tick, Millis(30_500))), ["store 1 FINISHED"]);
}
