//! The result of the demo: as text on the screen, and as JSON in a file.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::oracle::Comparison;

/// One failover. All times are in milliseconds from the kill; `null` if a phase does not apply or was not seen.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct FailoverReport {
    /// What was killed.
    pub cause: String,
    /// Until a surviving JobManager no longer named the dead leader. For a TaskManager: until the job was no longer RUNNING, or had
    /// restarted.
    pub detect_ms: Option<u64>,
    /// Until another leader was granted its epoch.
    pub elect_ms: Option<u64>,
    /// Until the new leader had read the store and described the job.
    pub store_read_ms: Option<u64>,
    /// Until every task ran again.
    pub running_ms: Option<u64>,
    /// Until a checkpoint that was triggered after the kill completed.
    pub first_checkpoint_ms: Option<u64>,
    /// Time between the last output committed before the kill and the first one committed after it.
    pub output_gap_ms: Option<u64>,
}

/// The complete result of the demo.
#[derive(Debug, Clone, Serialize)]
pub(super) struct DemoReport {
    /// `exactly-once`, or what is wrong.
    pub verdict: &'static str,
    /// Number of rows in the committed output.
    pub rows: u64,
    pub lost: u64,
    /// Number of rows beyond the first row of an hour.
    pub duplicated: u64,
    /// Number of rows with wrong figures, or for hours that are not expected.
    pub wrong: u64,
    /// Number of leaderships after the first one.
    pub leader_changes: u64,
    pub failovers: Vec<FailoverReport>,
}

impl DemoReport {
    /// Derives the verdict from the comparison.
    pub(super) fn new(comparison: &Comparison, leader_changes: u64, failovers: Vec<FailoverReport>) -> Self {
        let verdict = match comparison {
            comparison if comparison.is_exact() => "exactly-once",
            Comparison { lost: 1.., .. } => "rows lost",
            Comparison { duplicated: 1.., .. } => "rows duplicated",
            Comparison { wrong: 1.., .. } => "rows wrong",
            _ => "no output",
        };
        let Comparison { rows, lost, duplicated, wrong } = *comparison;
        Self { verdict, rows, lost, duplicated, wrong, leader_changes, failovers }
    }

    /// Writes the report as JSON.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")
    }

    /// The timelines and the verdict, for people.
    pub(super) fn text(&self) -> String {
        let mut lines = Vec::new();
        for failover in &self.failovers {
            lines.push(format!("\n{}", failover.cause));
            let phases = [
                ("failure detected", failover.detect_ms),
                ("new leader elected", failover.elect_ms),
                ("new leader has read the store and knows the job", failover.store_read_ms),
                ("every task running again", failover.running_ms),
                ("first new checkpoint complete", failover.first_checkpoint_ms),
                ("gap in committed output around the kill", failover.output_gap_ms),
            ];
            for (phase, at) in phases {
                if let Some(at) = at {
                    lines.push(format!("  {at:>6} ms  {phase}"));
                }
            }
        }
        lines.push(format!(
            "\nrows {}, lost {}, duplicated {}, wrong {}: {}",
            self.rows,
            self.lost,
            self.duplicated,
            self.wrong,
            self.verdict.to_uppercase()
        ));
        lines.join("\n")
    }
}
