//! Judges a run from its history alone, so that the same code can judge an old history again.

pub mod checkpoints;
mod leaders;
mod linearizability;
mod output;
mod quiescence;
pub mod recovery;
#[cfg(test)]
pub(crate) mod sample;
mod submissions;

use serde::Serialize;

use crate::history::{History, Phase, What};

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Judgement {
    Held {
        /// What was checked. A check that saw nothing proves nothing.
        seen: String,
    },
    /// The property was violated.
    Broken { problems: Vec<String> },
    /// The history does not contain enough to decide.
    NotJudged { why: String },
}

/// The result of one checker, with what it checks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub checker: &'static str,
    /// Invariant ids in docs/invariants.md; empty if there are none.
    pub invariants: &'static str,
    /// What must hold.
    pub sentence: &'static str,
    /// Whether it held.
    #[serde(flatten)]
    pub judgement: Judgement,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunVerdict {
    /// Every fault took effect, and everything held.
    Passed,
    /// A required property did not hold.
    Failed,
    /// Everything held, but a fault had no effect or no fault was injected. Such a run proves nothing.
    NoFootprint,
    /// The run was stopped before its end.
    Interrupted,
}

impl RunVerdict {
    /// The verdict as users see it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "PASSED",
            Self::Failed => "FAILED",
            Self::NoFootprint => "NO FOOTPRINT",
            Self::Interrupted => "INTERRUPTED",
        }
    }
}

/// The complete judgement of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judged {
    pub verdict: RunVerdict,
    pub findings: Vec<Finding>,
    /// Number of injected faults.
    pub faults: usize,
    /// Kinds of faults that could not be injected here, and why.
    pub skipped: Vec<(String, String)>,
    /// Faults that left no footprint, with what was looked for.
    pub without_footprint: Vec<String>,
    /// Number of leaders after the first one.
    pub leader_changes: usize,
    /// Number of input rows of the judged job.
    pub rows: u64,
}

type Check = fn(&History) -> Judgement;

/// Name, invariants, sentence, check.
const CHECKERS: [(&str, &str, &str, Check); 12] = [
    ("exactly-once", "X1 T1", "the committed output equals the computed result, row by row", output::exactly_once),
    ("submissions", "G2 G3", "each acknowledged submission is one job, neither lost nor duplicated", submissions::never_lost),
    ("endings", "R2", "the final status of a job never changes", submissions::endings_stay),
    ("cancellations", "R1 R2", "a cancelled job does not come back", submissions::cancelled_stays),
    ("linearizability", "", "all answers about a job are consistent with one order of events", linearizability::check),
    ("epochs", "E1 E8", "each epoch has one leader, and no observer sees an epoch go back", leaders::epochs),
    ("checkpoint-ids", "C2 C6", "ids of completed checkpoints increase, and a restore uses the newest one", checkpoints::ids),
    ("checkpoint-files", "C1 C4", "every file that a checkpoint references exists", checkpoints::files_are_there),
    ("leftovers", "", "when all jobs have ended, no unreferenced checkpoint file is left", checkpoints::leftovers),
    ("slots", "S1 S3", "the slot counts add up at all times", quiescence::slots),
    ("orphans", "", "when all jobs have ended, no task or process is left", quiescence::orphans),
    ("recovery", "", "the cluster recovers within the bound after the last fault", recovery::check),
];

/// Judges a run by all checkers.
pub fn judge(history: &History) -> Judged {
    let findings: Vec<_> = CHECKERS
        .into_iter()
        .map(|(checker, invariants, sentence, check)| Finding { checker, invariants, sentence, judgement: check(history) })
        .collect();
    let skipped: Vec<_> = history
        .events
        .iter()
        .filter_map(|event| match &event.what {
            What::Skipped { nemesis, why } => Some((nemesis.clone(), why.clone())),
            _ => None,
        })
        .collect();
    let trouble = history.events.iter().find_map(|event| match &event.what {
        What::Trouble { what } => Some(what.clone()),
        _ => None,
    });
    let without_footprint: Vec<_> = history
        .injected_faults()
        .filter_map(|(_, fault)| {
            let looked_for = fault.footprint.as_ref().err()?;
            Some(format!("fault {}: {} on {}: {looked_for}", fault.fault, fault.nemesis, fault.target))
        })
        .collect();
    let faults = history.injected_faults().count();
    let mut judged = Judged {
        verdict: RunVerdict::Passed,
        faults,
        skipped,
        without_footprint,
        leader_changes: history.leaders().len().saturating_sub(1),
        rows: history.header.job.rows(),
        findings,
    };
    judged.verdict = verdict(&judged, history);
    if let Some(what) = trouble {
        judged.verdict = RunVerdict::Failed;
        judged.findings.push(Finding {
            checker: "run",
            invariants: "",
            sentence: "the run can be completed",
            judgement: Judgement::Broken { problems: vec![what] },
        });
    }
    judged
}

fn verdict(judged: &Judged, history: &History) -> RunVerdict {
    let broken = |finding: &Finding| matches!(finding.judgement, Judgement::Broken { .. });
    if judged.findings.iter().any(broken) {
        RunVerdict::Failed
    } else if history.phase_at(Phase::Done).is_none() {
        RunVerdict::Interrupted
    } else if judged.faults == 0 || !judged.without_footprint.is_empty() {
        RunVerdict::NoFootprint
    } else {
        RunVerdict::Passed
    }
}

/// `Held` if there are no problems, otherwise `Broken`.
fn judgement(problems: Vec<String>, seen: String) -> Judgement {
    if problems.is_empty() { Judgement::Held { seen } } else { Judgement::Broken { problems } }
}

/// The result of a check that needs the whole run, if the run was stopped early.
fn cut_short() -> Judgement {
    Judgement::NotJudged { why: "the run was stopped before its end".to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Event, What};

    #[test]
    fn a_good_history_passes_and_every_checker_saw_something() {
        let judged = judge(&sample::history());
        assert_eq!(judged.verdict, RunVerdict::Passed, "{judged:#?}");
        for finding in &judged.findings {
            assert!(matches!(finding.judgement, Judgement::Held { .. }), "{finding:?}");
        }
    }

    #[test]
    fn a_fault_without_effect_is_not_a_pass() {
        let judged = judge(&sample::without_footprint());
        assert_eq!(judged.verdict, RunVerdict::NoFootprint);
        assert_eq!(judged.without_footprint.len(), 1);
    }

    #[test]
    fn a_run_without_any_fault_is_not_a_pass() {
        let mut history = sample::history();
        history.events.retain(|event| !matches!(event.what, What::FaultEnded(_)));
        let why = "no namespaces".to_owned();
        history.events.push(Event { at_ms: 1, what: What::Skipped { nemesis: "isolate-leader".into(), why } });
        assert_eq!(judge(&history).verdict, RunVerdict::NoFootprint);
    }

    #[test]
    fn a_run_that_was_stopped_is_not_a_pass() {
        let mut history = sample::history();
        history.events.retain(|event| !matches!(event.what, What::Phase { phase: Phase::Done }));
        assert_eq!(judge(&history).verdict, RunVerdict::Interrupted);
    }

    #[test]
    fn a_run_that_ran_into_trouble_fails() {
        let mut history = sample::history();
        history.events.push(Event { at_ms: 1, what: What::Trouble { what: "no cluster".into() } });
        assert_eq!(judge(&history).verdict, RunVerdict::Failed);
    }
}
