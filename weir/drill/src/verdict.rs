//! Compares what was measured with what was declared.

use weir_protocol::rest::{DrillMeasures, DrillObjectives};

/// The result of a drill: its measures, and what else happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) measures: DrillMeasures,
    /// Why the fault was not injected, if so.
    pub(super) not_injected: Option<String>,
    /// What had not been seen when the time was up.
    pub(super) not_seen: Vec<String>,
    /// Names of the jobs that failed.
    pub(super) failed_jobs: Vec<String>,
    /// Whether a leader answered and every task ran again.
    pub(super) recovered: bool,
    /// What happened but must not, or should have happened but did not: one sentence each.
    pub(super) unexpected: Vec<String>,
    /// Processes that were expected back and did not come back.
    pub(super) still_away: Vec<String>,
}

/// Everything that was missed, one sentence each. If it is empty, the drill has passed.
pub(super) fn missed(objectives: DrillObjectives, outcome: &Outcome) -> Vec<String> {
    let measures = &outcome.measures;
    let mut missed = Vec::new();
    if let Some(why) = &outcome.not_injected {
        missed.push(format!("the fault was not injected: {why}"));
        return missed;
    }
    missed.extend(outcome.failed_jobs.iter().map(|job| format!("job {job} has FAILED")));
    if !outcome.recovered {
        missed.push(format!("the cluster did not recover in time: {}", outcome.not_seen.join("; ")));
    }
    missed.extend(outcome.unexpected.iter().cloned());
    match (objectives.rto_ms, measures.recovery_ms) {
        (Some(objective), Some(recovery)) if recovery > objective => {
            missed.push(format!("recovery took {recovery} ms, the objective is {objective} ms"));
        }
        _ => {}
    }
    match (objectives.rpo_records, measures.records_lost) {
        (Some(objective), Some(lost)) if lost > objective => {
            missed.push(format!("{lost} records were lost, the objective is {objective}"));
        }
        (Some(objective), None) if outcome.recovered => {
            missed.push(format!(
                "a job continued from a checkpoint older than its newest: more than {objective} records may be lost"
            ));
        }
        _ => {}
    }
    missed.extend(
        outcome.still_away.iter().map(|name| format!("{name} has not come back: the cluster is left with less redundancy")),
    );
    missed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recovered(recovery_ms: u64) -> Outcome {
        let measures = DrillMeasures { recovery_ms: Some(recovery_ms), records_lost: Some(0), ..DrillMeasures::default() };
        Outcome { measures, recovered: true, ..Outcome::default() }
    }

    const TWO_SECONDS: DrillObjectives = DrillObjectives { rto_ms: Some(2_000), rpo_records: Some(0) };

    #[test]
    fn an_objective_is_met_up_to_its_last_millisecond() {
        assert_eq!(missed(TWO_SECONDS, &recovered(2_000)), Vec::<String>::new());
        assert!(missed(TWO_SECONDS, &recovered(2_001))[0].contains("2001 ms"));
        assert_eq!(missed(DrillObjectives::default(), &recovered(999_999)), Vec::<String>::new(), "nothing was declared");
    }

    #[test]
    fn a_missing_measure_meets_no_objective() {
        let mut outcome = recovered(10);
        outcome.measures.records_lost = None;
        assert_eq!(missed(TWO_SECONDS, &outcome).len(), 1);
        let never = Outcome { not_seen: vec!["no leader answers".to_owned()], ..Outcome::default() };
        let missed = missed(TWO_SECONDS, &never);
        assert_eq!(missed, ["the cluster did not recover in time: no leader answers"]);
    }

    #[test]
    fn failed_jobs_and_missing_processes_fail_a_drill_without_objectives() {
        let outcome = Outcome { failed_jobs: vec!["a".to_owned()], still_away: vec!["jm-1".to_owned()], ..recovered(1) };
        assert_eq!(missed(DrillObjectives::default(), &outcome).len(), 2);
        let outcome = Outcome { unexpected: vec!["the fault had no effect".to_owned()], ..recovered(1) };
        assert_eq!(missed(DrillObjectives::default(), &outcome), ["the fault had no effect"]);
        let refused = Outcome { not_injected: Some("no way".to_owned()), ..Outcome::default() };
        assert_eq!(missed(DrillObjectives::default(), &refused), ["the fault was not injected: no way"]);
    }
}
