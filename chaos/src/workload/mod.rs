//! Jobs whose correct output is known. The counting job counts numbered rows per key and window.

pub mod churn;
pub mod kafka;
mod script;
pub mod sql;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::json;
use weir_protocol::job_graph::JobGraph;

pub use kafka::KafkaJob;
pub use sql::SqlJob;

/// The job that faults happen to. Its output is compared with what it must be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JudgedJob {
    Counting(CountingJob),
    Sql(SqlJob),
    Kafka(KafkaJob),
}

impl JudgedJob {
    /// Its name, which also identifies its submission.
    pub fn key(&self) -> &'static str {
        match self {
            Self::Counting(_) => "counting",
            Self::Sql(_) => sql::KEY,
            Self::Kafka(_) => kafka::KEY,
        }
    }

    /// Number of input rows.
    pub fn rows(&self) -> u64 {
        match self {
            Self::Counting(job) => job.rows,
            Self::Sql(job) => job.rows,
            Self::Kafka(job) => job.counting.rows,
        }
    }

    /// Input rows per second.
    pub fn rows_per_second(&self) -> u64 {
        match self {
            Self::Counting(job) => job.rows_per_second,
            Self::Sql(job) => job.rows_per_second,
            Self::Kafka(job) => job.counting.rows_per_second,
        }
    }
}

/// Counts and sums the rows `0..rows` per key and window. There is one row per millisecond of event time, and its key is the
/// remainder of its number by `keys`. The expected output is computed without any part of the runtime.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CountingJob {
    pub rows: u64,
    pub rows_per_second: u64,
    pub keys: u64,
    /// Length of a window in milliseconds of event time.
    pub window_ms: u64,
    /// Parallelism of both vertices.
    pub parallelism: u32,
    /// Time between checkpoints in milliseconds.
    pub checkpoint_interval_ms: u64,
}

/// Event time of row 0. Any full hour is possible.
const START_MS: u64 = 1_600_000_000_000 / 3_600_000 * 3_600_000;

/// The result of comparing the output with the expected output.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Rows in the committed output.
    pub rows: u64,
    pub lost: u64,
    /// Rows that are present more than once.
    pub duplicated: u64,
    /// Rows with wrong numbers.
    pub wrong: u64,
}

impl Verdict {
    /// Whether every expected row is present exactly once and correct.
    pub fn is_exactly_once(&self) -> bool {
        self.rows > 0 && self.lost == 0 && self.duplicated == 0 && self.wrong == 0
    }
}

/// More rows than any test waits for.
const ENDLESS: u64 = 1_000_000_000_000;

impl CountingJob {
    /// A job that runs until it is stopped: see [`Self::up_to`].
    pub fn endless() -> Self {
        Self { rows: ENDLESS, ..Self::lasting(1) }
    }

    /// The same job, which continues from a savepoint as fast as possible and ends before this row.
    #[must_use]
    pub fn up_to(&self, rows: u64) -> Self {
        Self { rows, rows_per_second: ENDLESS, ..self.clone() }
    }

    /// Whether the job ends by itself soon enough to wait for it.
    pub fn ends(&self) -> bool {
        self.rows < ENDLESS
    }

    /// A job that lasts about this many seconds, at 5000 rows per second on two subtasks, with a checkpoint every 300 ms.
    pub fn lasting(seconds: u64) -> Self {
        let rows_per_second = 5_000;
        Self {
            rows: seconds * rows_per_second,
            rows_per_second,
            keys: 7,
            window_ms: 1_000,
            parallelism: 2,
            checkpoint_interval_ms: 300,
        }
    }

    /// The job's graph, which writes to the directory `output`.
    pub fn graph(&self, output: &Path) -> Result<JobGraph, serde_json::Error> {
        let bigint = |name: &str| json!({"name": name, "type": "bigint"});
        serde_json::from_value(json!({
            "version": JobGraph::VERSION,
            "name": "counting",
            "vertices": [
                {
                    "id": "numbers",
                    "parallelism": self.parallelism,
                    "operators": [
                        {"kind": "source.datagen", "options": {
                            "rows": self.rows,
                            "rows_per_second": self.rows_per_second,
                            "seed": 1,
                            "fields": [
                                {"name": "id", "type": "bigint", "kind": "sequence", "min": 0},
                                {"name": "time", "type": "timestamp_ms", "kind": "timestamp", "min": START_MS, "step_ms": 1},
                            ],
                        }},
                        {"kind": "watermark", "options": {"column": "time", "out_of_orderness_ms": 0}},
                        {"kind": "project", "options": {"columns": [
                            {"name": "time", "expr": "time"},
                            {"name": "key", "expr": format!("id % {}", self.keys)},
                            {"name": "id", "expr": "id"},
                        ]}},
                    ],
                    "output_schema": [{"name": "time", "type": "timestamp_ms"}, bigint("key"), bigint("id")],
                },
                {
                    "id": "counts",
                    "parallelism": self.parallelism,
                    "operators": [
                        {"kind": "window.tumbling", "options": {
                            "time_column": "time",
                            "size_ms": self.window_ms,
                            "keys": ["key"],
                            "aggregates": [
                                {"name": "n", "function": "count"},
                                {"name": "total", "function": "sum", "column": "id"},
                                {"name": "last", "function": "max", "column": "id"},
                            ],
                        }},
                        {"kind": "project", "options": {"columns": [
                            {"name": "window", "expr": "CAST(window_start AS BIGINT)"},
                            {"name": "key", "expr": "key"},
                            {"name": "n", "expr": "n"},
                            {"name": "total", "expr": "total"},
                            {"name": "last", "expr": "last"},
                        ]}},
                        {"kind": "sink.file", "options": {"path": output, "format": "csv"}},
                    ],
                },
            ],
            "edges": [{"from": "numbers", "to": "counts", "partitioning": {"type": "hash", "keys": ["key"]}}],
            "checkpointing": {
                "interval_ms": self.checkpoint_interval_ms,
                "timeout_ms": 10_000,
                "tolerable_failures": 1_000,
                "retained": 3,
            },
            "restart_strategy": {"type": "fixed-delay", "attempts": 10_000, "delay_ms": 50},
        }))
    }

    /// The expected rows as they are written. Tests of the checks start from them.
    #[cfg(test)]
    pub(crate) fn right_lines(&self) -> Vec<String> {
        let row = |((window, key), (n, total, last)): ((u64, u64), (u64, u64, u64))| format!("{window},{key},{n},{total},{last}");
        self.expected().into_iter().map(row).collect()
    }

    /// `(window start, key) -> (count, sum, maximum)`.
    fn expected(&self) -> BTreeMap<(u64, u64), (u64, u64, u64)> {
        let mut expected = BTreeMap::new();
        for id in 0..self.rows {
            let window = (START_MS + id) / self.window_ms * self.window_ms;
            let entry = expected.entry((window, id % self.keys)).or_insert((0, 0, 0));
            *entry = (entry.0 + 1, entry.1 + id, id);
        }
        expected
    }

    /// Compares the committed output with the expected output.
    pub fn check(&self, output: &Path) -> io::Result<Verdict> {
        Ok(self.judge(&committed_lines(output)?))
    }

    /// Compares these committed lines with the expected output.
    pub fn judge(&self, lines: &[String]) -> Verdict {
        let expected = self.expected();
        let mut seen: BTreeMap<(u64, u64), u64> = BTreeMap::new();
        let mut verdict = Verdict::default();
        for line in lines {
            verdict.rows += 1;
            let numbers: Option<Vec<u64>> = line.split(',').map(|field| field.parse().ok()).collect();
            let Some([window, key, count, total, last]) = numbers.as_deref() else {
                verdict.wrong += 1;
                continue;
            };
            let times = seen.entry((*window, *key)).or_default();
            *times += 1;
            if *times > 1 {
                verdict.duplicated += 1;
            } else if expected.get(&(*window, *key)) != Some(&(*count, *total, *last)) {
                verdict.wrong += 1;
            }
        }
        verdict.lost = expected.keys().filter(|row| !seen.contains_key(*row)).count() as u64;
        verdict
    }
}

/// Rows of every visible file in a directory, without the header lines.
pub fn committed_lines(output: &Path) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    let entries = match std::fs::read_dir(output) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(lines),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        let visible = path.file_name().is_some_and(|name| !name.to_string_lossy().starts_with('.'));
        if visible && path.is_file() {
            lines.extend(std::fs::read_to_string(&path)?.lines().skip(1).map(str::to_owned));
        }
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn small() -> CountingJob {
        CountingJob { rows: 20, rows_per_second: 10, keys: 2, window_ms: 10, parallelism: 1, checkpoint_interval_ms: 100 }
    }

    fn check(rows: &[String]) -> Verdict {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("part-0"), format!("header\n{}\n", rows.join("\n"))).unwrap();
        small().check(directory.path()).unwrap()
    }

    fn right() -> Vec<String> {
        small().right_lines()
    }

    #[test]
    fn correct_output_passes_and_every_kind_of_damage_is_reported() {
        assert!(check(&right()).is_exactly_once());
        assert_eq!(check(&right()[1..]).lost, 1);
        let mut twice = right();
        twice.push(twice[0].clone());
        assert_eq!(check(&twice).duplicated, 1);
        let mut wrong = right();
        wrong[0] = format!("{START_MS},0,6,20,8");
        assert_eq!(check(&wrong).wrong, 1);
        assert!(!check(&["junk".to_owned()]).is_exactly_once());
    }
}
