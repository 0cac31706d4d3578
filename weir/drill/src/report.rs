//! Shows the preconditions and the result of a drill as text.

use std::fmt::Write;

use weir_protocol::rest::DrillResult;

use crate::run::Examination;

/// Shows the plan and every precondition.
pub fn examination(examination: &Examination) -> String {
    let mut text = format!("drill {}\n", examination.drill);
    for step in &examination.steps {
        text += &format!("  would {step}\n");
    }
    for finding in &examination.preconditions {
        let mark = if finding.holds { "ok     " } else { "REFUSED" };
        text += &format!("  {mark}  {}: {}\n", finding.condition, finding.found);
    }
    text += if examination.allowed { "The drill can run." } else { "The drill is refused: nothing was changed." };
    text
}

/// The preconditions that do not hold, in one line.
pub fn refusals(examination: &Examination) -> String {
    let refused = examination.preconditions.iter().filter(|finding| !finding.holds);
    refused.map(|finding| format!("{}: {}", finding.condition, finding.found)).collect::<Vec<_>>().join("; ")
}

/// Shows measures and verdict of a drill.
pub fn result(result: &DrillResult) -> String {
    let measures = &result.measures;
    let usual = measures.usual_gap_ms.map_or_else(String::new, |usual| format!(" (usually up to {usual} ms)"));
    let milliseconds = |value: Option<u64>| value.map(|value| format!("{value} ms"));
    let records = |value: Option<u64>| value.map(|value| value.to_string());
    let rows = [
        ("detection", milliseconds(measures.detection_ms)),
        ("control-plane outage", milliseconds(measures.control_plane_outage_ms)),
        ("output gap", milliseconds(measures.output_gap_ms).map(|gap| gap + &usual)),
        ("recovery, every task running", milliseconds(measures.recovery_ms)),
        ("first checkpoint after", milliseconds(measures.first_checkpoint_ms)),
        ("back in the cluster", milliseconds(measures.back_ms)),
        ("records lost", records(measures.records_lost)),
        ("records reprocessed", records(measures.records_reprocessed)),
    ];
    let of_outages = [
        ("coordination store unavailable", milliseconds(measures.store_away_ms)),
        ("checkpoints failed", records(measures.checkpoints_failed)),
    ];
    let mut text = format!("{} on {}, {} jobs watched\n", result.drill, result.victims.join(", "), result.jobs);
    for (what, value) in rows.into_iter().chain(of_outages.into_iter().filter(|(_, value)| value.is_some())) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {what:<30} {}", value.as_deref().unwrap_or("not measured"));
    }
    for note in &result.notes {
        let _ = writeln!(text, "  note: {note}");
    }
    for missed in &result.missed {
        let _ = writeln!(text, "  MISSED: {missed}");
    }
    text + if result.passed { "PASSED" } else { "FAILED" }
}

#[cfg(test)]
mod tests {
    use weir_protocol::rest::DrillMeasures;

    use super::*;

    #[test]
    fn a_missing_measure_is_not_shown_as_zero() {
        let measures = DrillMeasures { recovery_ms: Some(480), records_lost: Some(0), ..DrillMeasures::default() };
        let text = result(&DrillResult { passed: true, measures, ..DrillResult::default() });
        assert!(text.contains("running   480 ms") && text.contains("records reprocessed            not measured"), "{text}");
        assert!(text.ends_with("PASSED"));
    }
}
