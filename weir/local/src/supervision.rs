//! Decides what a supervisor does after a process of the cluster has ended by itself.

use std::collections::BTreeMap;
use std::process::ExitStatus;
use std::time::Duration;

/// A process that ends sooner than this after its start has probably failed to start.
const EARLY: Duration = Duration::from_secs(10);
/// After this many early ends in a row the supervisor gives up.
const EARLY_ENDS: u32 = 5;

/// A process that has ended by itself.
#[derive(Debug, Clone)]
pub struct ProcessEnd {
    /// Name of the process, e.g. `jm-1`.
    pub name: String,
    pub status: ExitStatus,
    /// Time since it was started.
    pub lived: Duration,
    /// The last error in its log since it was started. If there is none, the last line.
    pub reason: Option<String>,
}

impl ProcessEnd {
    /// The reason and how the process ended, for people.
    pub fn text(&self) -> String {
        let seconds = self.lived.as_secs_f64();
        let reason = self.reason.as_ref().map_or_else(String::new, |reason| format!(": {reason}"));
        format!("after {seconds:.1} s, {}{reason}", self.status)
    }
}

/// The decision of a supervisor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    Restart,
    /// The process has failed to start too often. The number is that of its starts in a row that failed.
    GiveUp(u32),
}

/// Restarts processes that end, unless one fails to start again and again.
#[derive(Debug, Default)]
pub struct Supervisor {
    /// Early ends in a row, by the name of the process.
    early_ends: BTreeMap<String, u32>,
}

impl Supervisor {
    /// Decides about a process of this name that has ended `lived` after its start.
    pub fn ended(&mut self, name: &str, lived: Duration) -> Decision {
        if lived >= EARLY {
            self.early_ends.remove(name);
            return Decision::Restart;
        }
        let count = self.early_ends.entry(name.to_owned()).or_default();
        *count += 1;
        if *count < EARLY_ENDS { Decision::Restart } else { Decision::GiveUp(*count) }
    }
}

/// The line of a log that says why the process ended: the last error, or the last line if there is no error.
pub(crate) fn reason_in(log: &str) -> Option<String> {
    let is_error = |line: &&str| {
        line.starts_with("weir: ")
            || line.contains(" ERROR ")
            || line.contains("\"level\":\"ERROR\"")
            || line.contains("panicked at")
    };
    let mut lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    // The message of a panic is in the line after its place.
    if let Some(at) = lines.iter().position(|line| line.contains("panicked at")) {
        lines.truncate(at + 2);
        return Some(lines[at..].join(" "));
    }
    let line = lines.iter().rev().find(|line| is_error(line)).or(lines.last())?;
    Some(line.strip_prefix("weir: ").unwrap_or(line).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_supervisor_gives_up_after_five_early_ends_in_a_row() {
        let mut supervisor = Supervisor::default();
        let early = Duration::from_millis(200);
        for _ in 0..4 {
            assert_eq!(supervisor.ended("jm-1", early), Decision::Restart);
        }
        assert_eq!(supervisor.ended("jm-2", early), Decision::Restart, "each process counts by itself");
        assert_eq!(supervisor.ended("jm-1", EARLY), Decision::Restart, "it has run for a while, so counting starts again");
        for _ in 0..4 {
            assert_eq!(supervisor.ended("jm-1", early), Decision::Restart);
        }
        assert_eq!(supervisor.ended("jm-1", early), Decision::GiveUp(5));
    }

    #[test]
    fn the_reason_is_the_last_error_in_the_log() {
        let log = "2026-01-01T00:00:00Z  INFO weir: starting\nweir: JM-BIND: can't listen\n\n";
        assert_eq!(reason_in(log).as_deref(), Some("JM-BIND: can't listen"));
        assert_eq!(reason_in("a\n1 ERROR weir: b\n1 INFO weir: c\n").as_deref(), Some("1 ERROR weir: b"));
        let panic = "\nthread 'main' panicked at a.rs:1:1:\nboom\nstack backtrace:\n   0: x\n";
        assert_eq!(reason_in(panic).as_deref(), Some("thread 'main' panicked at a.rs:1:1: boom"));
        assert_eq!(reason_in("only this\n").as_deref(), Some("only this"));
        assert_eq!(reason_in("\n"), None);
    }
}
