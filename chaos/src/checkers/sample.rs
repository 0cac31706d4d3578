//! A short history in which everything holds. Tests change it to violate one property.

use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;

use super::{CHECKERS, Judgement};
use crate::history::{
    Call, Event, FinalJob, HISTORY_VERSION, History, InjectedFault, JobSeen, Operation, Outcome, Phase, RunHeader, What,
};
use crate::workload::{CountingJob, JudgedJob, SqlJob};

/// Ids of the judged job and of a job that was cancelled.
pub(crate) const JOBS: [JobId; 2] = [JobId(1), JobId(2)];

fn counting() -> CountingJob {
    CountingJob { rows: 20, rows_per_second: 10, keys: 2, window_ms: 10, parallelism: 1, checkpoint_interval_ms: 100 }
}

/// Name and token of the judged job.
const KEY: &str = "counting";

pub(crate) fn header() -> RunHeader {
    RunHeader {
        version: HISTORY_VERSION,
        weir_version: "0".into(),
        started_at_ms: 0,
        command: "weir chaos run".into(),
        seed: 1,
        duration_ms: 1_000,
        coordination: "raft".into(),
        workload: "churn".into(),
        jobmanagers: vec!["jm-1".into(), "jm-2".into()],
        taskmanagers: vec!["tm-1".into()],
        slots: 2,
        job: JudgedJob::Counting(counting()),
        recovery_bound_ms: 10_000,
    }
}

pub(crate) fn leader(seen_by: &str, name: &str, epoch: u64) -> What {
    What::Leader { seen_by: seen_by.into(), name: Some(name.into()), epoch, quorum: true, away: false }
}

pub(crate) fn job(epoch: u64, checkpoint: u64, restored: Option<(u64, i64)>) -> What {
    let (status, checkpoint) = (JobStatus::Running, Some(checkpoint));
    What::Job(JobSeen {
        job: JOBS[0],
        epoch,
        status,
        restarts: 0,
        running: 2,
        tasks: 2,
        checkpoint,
        failed: 0,
        restored,
        records: 5,
    })
}

pub(crate) fn call(began_ms: u64, key: &str, operation: Operation, outcome: Outcome) -> What {
    What::Call(Call { client: "c".into(), began_ms, key: key.into(), operation, outcome })
}

pub(crate) fn ok(job: JobId, status: Option<JobStatus>) -> Outcome {
    Outcome::Ok { job: Some(job), status, epoch: None }
}

pub(crate) fn phase(phase: Phase) -> What {
    What::Phase { phase }
}

/// A history in which everything holds.
pub(crate) fn history() -> History {
    let fault =
        |footprint| InjectedFault { fault: 1, nemesis: "kill-leader".into(), began_ms: 40, target: "jm-1".into(), footprint };
    let slots = |available| What::Slots { taskmanagers: 1, total: 2, available };
    let ended = |job: JobId, name: &str, status| FinalJob { job, name: name.into(), status };
    let whats = vec![
        What::Run(header()),
        leader("jm-1/1", "jm-1", 1),
        call(2, KEY, Operation::Submit, ok(JOBS[0], None)),
        phase(Phase::Faults),
        slots(1),
        job(1, 3, None),
        call(10, "other", Operation::Submit, ok(JOBS[1], None)),
        call(20, "other", Operation::Cancel, ok(JOBS[1], None)),
        What::FaultBegan { fault: 1, nemesis: "kill-leader".into() },
        leader("jm-2/1", "jm-2", 2),
        What::FaultEnded(fault(Ok("it ended".into()))),
        phase(Phase::Healing),
        leader("jm-1/2", "jm-2", 2),
        leader("jm-2/1", "jm-2", 2),
        slots(1),
        job(2, 4, Some((3, 100))),
        What::Files { referenced: 2, missing: vec![], unreferenced: None },
        phase(Phase::Ending),
        call(160, "other", Operation::Describe, ok(JOBS[1], Some(JobStatus::Canceled))),
        What::FinalJobs { jobs: vec![ended(JOBS[0], KEY, JobStatus::Finished), ended(JOBS[1], "other", JobStatus::Canceled)] },
        What::Files { referenced: 0, missing: vec![], unreferenced: Some(vec![]) },
        slots(2),
        What::Strangers { pids: vec![] },
        What::Rows { lines: counting().right_lines() },
        phase(Phase::Done),
    ];
    let events = whats.into_iter().zip(0..).map(|(what, number)| Event { at_ms: number * 10, what }).collect();
    History::of(events).unwrap()
}

/// The sample history with a change to every event.
pub(crate) fn changed(mut change: impl FnMut(&mut What)) -> History {
    let mut history = history();
    history.events.iter_mut().for_each(|event| change(&mut event.what));
    history
}

/// The sample history of the SQL job, with a change to the lines of each table.
pub(crate) fn of_sql(change: impl Fn(&str, &mut Vec<String>)) -> History {
    let job = SqlJob { rows: 100, rows_per_second: 1_000, parallelism: 1, checkpoint_interval_ms: 100 };
    let mut tables = job.right_tables();
    tables.iter_mut().for_each(|(name, table)| table.values_mut().for_each(|lines| change(name, lines)));
    let mut history = changed(|what| {
        if let What::Rows { .. } = what {
            *what = What::Tables { tables: tables.clone() };
        }
    });
    history.header.job = JudgedJob::Sql(job);
    history.events[0].what = What::Run(history.header.clone());
    history
}

/// The sample history with a fault that left no footprint.
pub(crate) fn without_footprint() -> History {
    changed(|what| {
        if let What::FaultEnded(fault) = what {
            fault.footprint = Err("no packet was dropped".into());
        }
    })
}

/// The sample history with an event inserted before the first event that `before` selects.
pub(crate) fn with(what: What, before: impl Fn(&What) -> bool) -> History {
    let mut history = history();
    let at = history.events.iter().position(|event| before(&event.what)).expect("there is one");
    let at_ms = history.events[at].at_ms;
    history.events.insert(at, Event { at_ms, what });
    history
}

/// The sample history with an event inserted just before the end.
pub(crate) fn at_the_end(what: What) -> History {
    with(what, |what| matches!(what, What::Phase { phase: Phase::Done }))
}

/// The result of one checker for a history.
pub(crate) fn judged(checker: &str, history: &History) -> Judgement {
    let found = CHECKERS.iter().find(|(name, ..)| *name == checker);
    found.expect("there is such a checker").3(history)
}

/// The problems that a checker finds in a history. Panics if it finds none.
pub(crate) fn condemned(checker: &str, history: &History) -> String {
    match judged(checker, history) {
        Judgement::Broken { problems } => problems.join("; "),
        other => panic!("{checker} says {other:?}"),
    }
}
