//! Checks that all answers that clients got about a job fit one order of events: Wing and Gong's search, for one job at a time.
//!
//! Every call takes effect at one moment between its start and its end. If its outcome is unknown, it takes effect at any later
//! moment, or never. A job may fail or finish by itself at any moment. It may become cancelled at any moment after a
//! cancellation.

use std::collections::{BTreeMap, HashSet};

use weir_protocol::job_status::JobStatus;

use super::{Judgement, judgement};
use crate::history::{Call, History, Operation, Outcome};

/// The state of a job, as far as clients can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Job {
    Absent,
    Live { cancel: bool },
    Ended(JobStatus),
}

/// A call about one job.
#[derive(Debug, Clone, Copy)]
struct Step {
    began: u64,
    /// `None`: the call may take effect at any time after its start, or never.
    ended: Option<u64>,
    effect: Effect,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Effect {
    Submitted,
    Cancelled,
    Found(JobStatus),
    NotFound,
}

impl Job {
    /// The job after this effect, given what it may have done by itself before. `None` if the effect is impossible.
    fn after(self, effect: Effect) -> Option<Self> {
        match (self, effect) {
            (Self::Absent, Effect::Submitted) => Some(Self::Live { cancel: false }),
            // Submitting the same token again changes nothing.
            (known, Effect::Submitted) => Some(known),
            (Self::Live { .. }, Effect::Cancelled) => Some(Self::Live { cancel: true }),
            (Self::Ended(status), Effect::Cancelled) => Some(Self::Ended(status)),
            (Self::Live { cancel }, Effect::Found(status)) if !status.is_globally_terminal() => {
                (status != JobStatus::Cancelling || cancel).then_some(self)
            }
            (Self::Live { cancel }, Effect::Found(JobStatus::Canceled)) => cancel.then_some(Self::Ended(JobStatus::Canceled)),
            (Self::Live { .. }, Effect::Found(ended)) => Some(Self::Ended(ended)),
            (Self::Ended(status), Effect::Found(found)) => (status == found).then_some(self),
            (Self::Absent, Effect::NotFound) => Some(self),
            (_, Effect::NotFound) | (Self::Absent, _) => None,
        }
    }
}

fn step(at: u64, call: &Call) -> Option<Step> {
    let certain = |effect| Some(Step { began: call.began_ms, ended: Some(at), effect });
    match (call.operation, &call.outcome) {
        (Operation::Submit, Outcome::Ok { .. }) => certain(Effect::Submitted),
        (Operation::Cancel, Outcome::Ok { .. }) => certain(Effect::Cancelled),
        (Operation::Describe, Outcome::Ok { status: Some(status), .. }) => certain(Effect::Found(*status)),
        (Operation::Describe | Operation::Cancel, Outcome::NotFound) => certain(Effect::NotFound),
        (Operation::Submit, Outcome::Unknown { .. }) => {
            Some(Step { began: call.began_ms, ended: None, effect: Effect::Submitted })
        }
        (Operation::Cancel, Outcome::Unknown { .. }) => {
            Some(Step { began: call.began_ms, ended: None, effect: Effect::Cancelled })
        }
        _ => None,
    }
}

/// Whether some order explains all steps.
fn explained(steps: &[Step]) -> bool {
    let mut visited = HashSet::new();
    let mut open = vec![(vec![false; steps.len()], Job::Absent)];
    while let Some((done, job)) = open.pop() {
        let certain_left = |index: usize| !done[index] && steps[index].ended.is_some();
        if !(0..steps.len()).any(certain_left) {
            return true;
        }
        // A call takes effect after every call that ended before it began.
        let horizon = (0..steps.len()).filter(|index| certain_left(*index)).filter_map(|index| steps[index].ended).min();
        for index in 0..steps.len() {
            if done[index] || horizon.is_some_and(|horizon| steps[index].began > horizon) {
                continue;
            }
            let Some(next) = job.after(steps[index].effect) else { continue };
            let mut after = done.clone();
            after[index] = true;
            if visited.insert((after.clone(), next)) {
                open.push((after, next));
            }
        }
    }
    false
}

/// All answers about each job fit one order. If a newer epoch had answered before a call began, the call's answer is left out:
/// the client can see that it is from a former leader.
pub(super) fn check(history: &History) -> Judgement {
    let mut answered: Vec<(u64, u64)> = Vec::new();
    let mut by_key: BTreeMap<&str, Vec<Step>> = BTreeMap::new();
    let (mut calls, mut old, mut unknown) = (0, 0, 0);
    for (at, call) in history.calls() {
        let epoch = if let Outcome::Ok { epoch, .. } = &call.outcome { *epoch } else { None };
        if let Some(epoch) = epoch {
            let is_old = answered.iter().any(|(when, newer)| *when < call.began_ms && *newer > epoch);
            answered.push((at, epoch));
            if is_old {
                old += 1;
                continue;
            }
        }
        if let Some(step) = step(at, call) {
            calls += 1;
            unknown += u64::from(step.ended.is_none());
            by_key.entry(&call.key).or_default().push(step);
        }
    }
    if calls == 0 {
        return Judgement::NotJudged { why: "there were no calls".to_owned() };
    }
    let jobs = by_key.len();
    let problems = by_key.iter().filter(|(_, steps)| !explained(steps)).map(|(key, steps)| {
        let effects: Vec<_> = steps.iter().map(|step| format!("{:?} {}..{:?}", step.effect, step.began, step.ended)).collect();
        format!("no order of events explains the answers about {key}: {}", effects.join(", "))
    });
    let seen = format!("{calls} calls about {jobs} jobs, {unknown} of unknown outcome, {old} answers of former leaders");
    judgement(problems.collect(), seen)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(began: u64, ended: u64, effect: Effect) -> Step {
        Step { began, ended: Some(ended), effect }
    }

    fn unknown(began: u64, effect: Effect) -> Step {
        Step { began, ended: None, effect }
    }

    #[test]
    fn an_order_is_found_where_there_is_one() {
        let found = Effect::Found(JobStatus::Running);
        assert!(explained(&[step(0, 10, Effect::Submitted), step(5, 6, Effect::NotFound), step(7, 8, found)]));
        let unknown_submission = unknown(0, Effect::Submitted);
        assert!(explained(&[unknown_submission, step(5, 6, Effect::NotFound), step(7, 8, found)]));
        assert!(explained(&[unknown_submission, step(5, 6, Effect::NotFound), step(7, 8, Effect::NotFound)]));
        let canceled = Effect::Found(JobStatus::Canceled);
        assert!(explained(&[
            step(0, 1, Effect::Submitted),
            unknown(2, Effect::Cancelled),
            step(5, 6, found),
            step(7, 8, canceled)
        ]));
    }

    #[test]
    fn steps_that_no_order_explains_are_rejected() {
        let (found, canceled) = (Effect::Found(JobStatus::Running), Effect::Found(JobStatus::Canceled));
        let submitted = step(0, 1, Effect::Submitted);
        assert!(!explained(&[submitted, step(2, 3, Effect::NotFound)]), "lost");
        assert!(!explained(&[step(2, 3, found)]), "found before it was submitted");
        assert!(
            !explained(&[unknown(0, Effect::Submitted), step(5, 6, found), step(7, 8, Effect::NotFound)]),
            "found, then lost"
        );
        assert!(!explained(&[submitted, step(2, 3, canceled)]), "cancelled without a request");
        assert!(!explained(&[submitted, step(2, 3, Effect::Cancelled), step(4, 5, canceled), step(6, 7, found)]), "came back");
        let finished = Effect::Found(JobStatus::Finished);
        assert!(!explained(&[submitted, step(2, 3, finished), step(4, 5, Effect::Found(JobStatus::Failed))]), "ended twice");
    }

    #[test]
    fn a_history_that_no_order_explains_is_rejected() {
        use super::super::sample::{call, condemned, with};
        let what = call(200, "other", Operation::Describe, Outcome::NotFound);
        let gone = with(what, |what| matches!(what, crate::history::What::Phase { phase: crate::history::Phase::Done }));
        assert!(condemned("linearizability", &gone).contains("other"));
    }
}
