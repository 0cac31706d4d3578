//! Checks what clients were told about jobs against what became of the jobs.

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::JobId;
use weir_protocol::job_status::JobStatus;

use super::{Judgement, cut_short, judgement};
use crate::history::{FinalJob, History, Operation, Outcome, What};

fn final_jobs(history: &History) -> Option<&[FinalJob]> {
    history.last(|what| match what {
        What::FinalJobs { jobs } => Some(jobs.as_slice()),
        _ => None,
    })
}

/// The jobs that the submissions with each token returned, and when the first of them was acknowledged.
fn acknowledged(history: &History) -> BTreeMap<&str, (u64, BTreeSet<JobId>)> {
    let mut known: BTreeMap<&str, (u64, BTreeSet<JobId>)> = BTreeMap::new();
    for (at, call) in history.calls() {
        if let (Operation::Submit, Outcome::Ok { job: Some(job), .. }) = (call.operation, &call.outcome) {
            known.entry(&call.key).or_insert_with(|| (at, BTreeSet::new())).1.insert(*job);
        }
    }
    known
}

/// One token is one job. An acknowledged job is always found afterwards, and exists exactly once at the end.
pub(super) fn never_lost(history: &History) -> Judgement {
    let acknowledged = acknowledged(history);
    let mut problems = Vec::new();
    for (key, (at, jobs)) in &acknowledged {
        if jobs.len() > 1 {
            problems.push(format!("submission {key} became {} jobs: {jobs:?}", jobs.len()));
        }
        for (when, call) in history.calls().filter(|(_, call)| call.key == *key && call.began_ms > *at) {
            if call.outcome == Outcome::NotFound {
                problems.push(format!("job {key} was acknowledged after {at} ms, but is not found after {when} ms"));
            }
        }
    }
    let Some(finally) = final_jobs(history) else {
        return if problems.is_empty() { cut_short() } else { Judgement::Broken { problems } };
    };
    let mut by_name: BTreeMap<&str, BTreeSet<JobId>> = BTreeMap::new();
    for job in finally {
        by_name.entry(&job.name).or_default().insert(job.job);
    }
    for (key, (_, jobs)) in &acknowledged {
        let there = by_name.get(key).cloned().unwrap_or_default();
        problems.extend(jobs.difference(&there).map(|job| format!("job {job} ({key}) was acknowledged but is lost")));
    }
    for (name, jobs) in by_name.iter().filter(|(_, jobs)| jobs.len() > 1) {
        problems.push(format!("submission {name} made {} jobs: {jobs:?}", jobs.len()));
    }
    judgement(problems, format!("{} acknowledged submissions, {} jobs at the end", acknowledged.len(), finally.len()))
}

/// Once a job is reported as ended, its status never changes: neither in the order of epochs nor in the final listing.
pub(super) fn endings_stay(history: &History) -> Judgement {
    type Ends = BTreeMap<JobId, BTreeSet<JobStatus>>;
    let mut ends = Ends::new();
    let note = |ends: &mut Ends, job: JobId, status: JobStatus| {
        if status.is_globally_terminal() {
            ends.entry(job).or_default().insert(status);
        }
    };
    let mut looks: Vec<_> = history.jobs().collect();
    looks.sort_by_key(|(at, seen)| (seen.epoch, *at));
    let mut ended: BTreeMap<JobId, JobStatus> = BTreeMap::new();
    let mut problems = Vec::new();
    for (at, seen) in looks {
        note(&mut ends, seen.job, seen.status);
        if let Some(end) = ended.get(&seen.job).filter(|end| **end != seen.status) {
            problems.push(format!("job {} had ended as {end:?}, but is {:?} after {at} ms", seen.job, seen.status));
        } else if seen.status.is_globally_terminal() {
            ended.insert(seen.job, seen.status);
        }
    }
    for (_, call) in history.calls() {
        if let Outcome::Ok { job: Some(job), status: Some(status), .. } = &call.outcome {
            note(&mut ends, *job, *status);
        }
    }
    for job in final_jobs(history).unwrap_or_default() {
        note(&mut ends, job.job, job.status);
        if !job.status.is_globally_terminal() && ends.contains_key(&job.job) {
            problems.push(format!("job {} had ended, but is {:?} at the end", job.job, job.status));
        }
    }
    problems.extend(ends.iter().filter(|(_, ends)| ends.len() > 1).map(|(job, ends)| format!("job {job} ended as {ends:?}")));
    if ends.is_empty() { cut_short() } else { judgement(problems, format!("{} jobs ended", ends.len())) }
}

/// At the end, a job whose cancellation was accepted has ended. A job that was seen cancelled stays cancelled.
pub(super) fn cancelled_stays(history: &History) -> Judgement {
    let jobs = acknowledged(history);
    let (mut problems, mut cancelled) = (Vec::new(), BTreeSet::new());
    let mut seen_cancelled: BTreeMap<&str, u64> = BTreeMap::new();
    for (at, call) in history.calls() {
        match (&call.operation, &call.outcome) {
            (Operation::Cancel, Outcome::Ok { .. }) => {
                cancelled.insert(call.key.as_str());
            }
            (Operation::Describe, Outcome::Ok { status: Some(status), .. }) => {
                let earlier = seen_cancelled.get(call.key.as_str()).filter(|earlier| **earlier < call.began_ms);
                if *status == JobStatus::Canceled {
                    seen_cancelled.entry(&call.key).or_insert(at);
                } else if let Some(earlier) = earlier {
                    let key = &call.key;
                    problems.push(format!("job {key} was cancelled after {earlier} ms, but is {status:?} after {at} ms"));
                }
            }
            _ => {}
        }
    }
    let Some(finally) = final_jobs(history) else {
        return if problems.is_empty() { cut_short() } else { Judgement::Broken { problems } };
    };
    let of = |key: &str| jobs.get(key).and_then(|(_, jobs)| jobs.first());
    for key in &cancelled {
        let status = finally.iter().find(|job| Some(&job.job) == of(key)).map(|job| job.status);
        if status.is_some_and(|status| !status.is_globally_terminal()) {
            problems.push(format!("the cancellation of job {key} was accepted, but it is {status:?} at the end"));
        }
        if seen_cancelled.contains_key(key) && status.is_some_and(|status| status != JobStatus::Canceled) {
            problems.push(format!("job {key} was cancelled, but is {status:?} at the end"));
        }
    }
    if cancelled.is_empty() {
        return Judgement::Held { seen: "nothing was cancelled".to_owned() };
    }
    judgement(problems, format!("{} jobs were cancelled", cancelled.len()))
}

#[cfg(test)]
mod tests {
    use super::super::sample::{JOBS, at_the_end, call, changed, condemned, ok};
    use super::*;

    fn finally(change: impl Fn(&mut Vec<FinalJob>)) -> History {
        changed(|what| {
            if let What::FinalJobs { jobs } = what {
                change(jobs);
            }
        })
    }

    #[test]
    fn a_lost_submission_is_found() {
        assert!(condemned("submissions", &finally(|jobs| drop(jobs.pop()))).contains("is lost"));
        let gone = at_the_end(call(200, "other", Operation::Describe, Outcome::NotFound));
        assert!(condemned("submissions", &gone).contains("is not found"));
    }

    #[test]
    fn a_duplicated_submission_is_found() {
        let twice = at_the_end(call(200, "other", Operation::Submit, ok(JobId(3), None)));
        assert!(condemned("submissions", &twice).contains("became 2 jobs"));
        let twin = finally(|jobs| jobs.push(FinalJob { job: JobId(3), ..jobs[1].clone() }));
        assert!(condemned("submissions", &twin).contains("made 2 jobs"));
    }

    #[test]
    fn a_final_status_that_changes_is_found() {
        let other = finally(|jobs| jobs[1].status = JobStatus::Finished);
        assert!(condemned("endings", &other).contains("ended as"));
        let alive = finally(|jobs| jobs[1].status = JobStatus::Running);
        assert!(condemned("endings", &alive).contains("is Running"));
    }

    #[test]
    fn a_cancelled_job_that_comes_back_is_found() {
        let back = at_the_end(call(200, "other", Operation::Describe, ok(JOBS[1], Some(JobStatus::Running))));
        assert!(condemned("cancellations", &back).contains("is Running"));
        let never = finally(|jobs| jobs[1].status = JobStatus::Running);
        assert!(condemned("cancellations", &never).contains("at the end"));
    }
}
