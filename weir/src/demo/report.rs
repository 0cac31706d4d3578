//! What the demo found: for people on the screen, for programs in a file.

use std::io;
use std::path::Path;

use serde::Serialize;

use super::oracle::Comparison;

/// One failover, measured from the kill. Milliseconds; `null` where a phase does not apply or was not seen.
#[derive(Debug, Clone, Default, Serialize)]
pub(super) struct FailoverReport {
    /// What was killed.
    pub cause: String,
    /// Until a survivor no longer took the dead one for the leader, or the leader no longer took the job's tasks for running.
    pub detect_ms: Option<u64>,
    /// Until another leader was granted its epoch.
    pub elect_ms: Option<u64>,
    /// Until the new leader had read the store and answered for the job.
    pub store_read_ms: Option<u64>,
    /// Until every task ran again.
    pub running_ms: Option<u64>,
    /// Until a checkpoint triggered after the kill was complete.
    pub first_checkpoint_ms: Option<u64>,
    /// Longest time without newly committed output around the kill.
    pub output_gap_ms: Option<u64>,
}

/// The whole outcome.
#[derive(Debug, Clone, Serialize)]
pub(super) struct DemoReport {
    /// `exactly-once`, or what is wrong.
    pub verdict: &'static str,
    /// Rows in the committed output.
    pub rows: u64,
    pub lost: u64,
    /// Rows there more than once.
    pub duplicated: u64,
    /// Rows with wrong figures.
    pub wrong: u64,
    /// Leaders after the first.
    pub leader_changes: u64,
    pub failovers: Vec<FailoverReport>,
}

impl DemoReport {
    /// Puts the comparison and the failovers together.
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

    /// Writes it as JSON.
    pub(super) fn write(&self, path: &Path) -> io::Result<()> {
        std::fs::write(path, serde_json::to_string_pretty(self)? + "\n")
    }

    /// The timelines and the verdict, for people.
    pub(super) fn text(&self) -> String {
        let mut lines = Vec::new();
        for failover in &self.failovers {
            lines.push(format!("\n{}", failover.cause));
            let phases = [
                ("noticed", failover.detect_ms),
                ("new leader elected", failover.elect_ms),
                ("store read, job known", failover.store_read_ms),
                ("every task running", failover.running_ms),
                ("first checkpoint since", failover.first_checkpoint_ms),
                ("longest pause in committed output", failover.output_gap_ms),
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
