//! Judges a run by its history alone: the same code while it is fresh and years later.

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

/// What a checker has to say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "verdict", rename_all = "kebab-case")]
pub enum Judgement {
    Held {
        /// What was looked at: a check that saw nothing has shown nothing.
        seen: String,
    },
    /// It did not.
    Broken { problems: Vec<String> },
    /// The history says too little.
    NotJudged { why: String },
}

/// One checker's judgement.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub checker: &'static str,
    /// Ids in docs/invariants.md, where it has some.
    pub invariants: &'static str,
    /// What must hold.
    pub sentence: &'static str,
    /// Whether it did.
    #[serde(flatten)]
    pub judgement: Judgement,
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunVerdict {
    /// Every fault bit and everything held.
    Passed,
    /// Something that must hold did not.
    Failed,
    /// Everything held, but a fault did not bite, or none was made: nothing is shown.
    NoFootprint,
    /// The run was stopped before its end.
    Interrupted,
}

impl RunVerdict {
    /// As people read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Passed => "PASSED",
            Self::Failed => "FAILED",
            Self::NoFootprint => "NO FOOTPRINT",
            Self::Interrupted => "INTERRUPTED",
        }
    }
}

/// Everything there is to say about a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Judged {
    /// In one word.
    pub verdict: RunVerdict,
    pub findings: Vec<Finding>,
    /// Faults that were made.
    pub faults: usize,
    /// Kinds of faults that could not be made here, and why.
    pub skipped: Vec<(String, String)>,
    /// Faults of which no trace was found, and what was looked for.
    pub without_footprint: Vec<String>,
    /// Leaders after the first.
    pub leader_changes: usize,
    /// Rows that went in.
    pub rows: u64,
}

type Check = fn(&History) -> Judgement;

/// Name, invariants, sentence, check.
const CHECKERS: [(&str, &str, &str, Check); 12] = [
    ("exactly-once", "X1 T1", "committed output is what arithmetic says, row by row", output::exactly_once),
    ("submissions", "G2 G3", "an acknowledged submission is one job, neither lost nor doubled", submissions::never_lost),
    ("endings", "R2", "how a job ended never changes", submissions::endings_stay),
    ("cancellations", "R1 R2", "what was cancelled does not come back", submissions::cancelled_stays),
    ("linearizability", "", "all answers about a job fit one order of events", linearizability::check),
    ("epochs", "E1 E8", "an epoch is one leader's, and no observer goes back", leaders::epochs),
    ("checkpoint-ids", "C2 C6", "completed checkpoints' ids grow, and none is forgotten for an older one", checkpoints::ids),
    ("checkpoint-files", "C1 C4", "every file that a checkpoint names is there", checkpoints::files_are_there),
    ("leftovers", "", "no checkpoint file is left that nobody names, once all jobs have ended", checkpoints::leftovers),
    ("slots", "S1 S3", "slots add up at all times", quiescence::slots),
    ("orphans", "", "no task or process is left when all jobs have ended", quiescence::orphans),
    ("recovery", "", "everything is well again within the bound after the last fault", recovery::check),
];

/// Judges a run.
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
        .deeds()
        .filter_map(|(_, deed)| {
            let looked_for = deed.footprint.as_ref().err()?;
            Some(format!("fault {}: {} on {}: {looked_for}", deed.fault, deed.nemesis, deed.target))
        })
        .collect();
    let faults = history.deeds().count();
    let mut judged = Judged {
        verdict: RunVerdict::Passed,
        faults,
        skipped,
        without_footprint,
        leader_changes: history.leaders().len().saturating_sub(1),
        rows: history.header.counting.rows,
        findings,
    };
    judged.verdict = verdict(&judged, history);
    if let Some(what) = trouble {
        judged.verdict = RunVerdict::Failed;
        judged.findings.push(Finding {
            checker: "run",
            invariants: "",
            sentence: "the run can be made to its end",
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

/// Held if there are no problems.
fn judgement(problems: Vec<String>, seen: String) -> Judgement {
    if problems.is_empty() { Judgement::Held { seen } } else { Judgement::Broken { problems } }
}

/// Of a check that needs the whole run.
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
    fn a_fault_that_did_not_bite_is_no_pass() {
        let judged = judge(&sample::without_footprint());
        assert_eq!(judged.verdict, RunVerdict::NoFootprint);
        assert_eq!(judged.without_footprint.len(), 1);
    }

    #[test]
    fn a_run_without_any_fault_is_no_pass() {
        let mut history = sample::history();
        history.events.retain(|event| !matches!(event.what, What::FaultEnded(_)));
        let why = "no namespaces".to_owned();
        history.events.push(Event { at_ms: 1, what: What::Skipped { nemesis: "isolate-leader".into(), why } });
        assert_eq!(judge(&history).verdict, RunVerdict::NoFootprint);
    }

    #[test]
    fn a_run_that_was_stopped_is_no_pass() {
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
