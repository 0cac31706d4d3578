//! The series of `/metrics` per task. A recorder of metrics keeps every series until the process ends, so these have their own
//! place: a series is dropped some time after its task has ended.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::{Mutex, MutexGuard, PoisonError};

use weir_protocol::link::TaskMetrics;
use weir_protocol::{ExecutionVertexId, JobId};
use weir_world::Millis;

use crate::metrics::{COUNTERS_OF_TASKS, WATERMARK, WATERMARK_DOC};

/// A task over all its attempts on this TaskManager. Its counters continue when it restarts.
type Key = (JobId, ExecutionVertexId);

#[derive(Debug, Default)]
struct Series {
    /// In the order of [`COUNTERS_OF_TASKS`].
    totals: [u64; COUNTERS_OF_TASKS.len()],
    watermark_ms: Option<i64>,
    updated: Millis,
}

/// The series of all tasks that run here or ended recently. The agent writes them, and `/metrics` reads them.
#[derive(Debug)]
pub struct TaskSeries {
    /// How long the series of a task that has ended stays, in milliseconds.
    keep_ended_ms: u64,
    series: Mutex<BTreeMap<Key, Series>>,
}

impl TaskSeries {
    /// No series yet. A series stays for `keep_ended_ms` milliseconds after its last update, so that it can be read once more.
    pub fn new(keep_ended_ms: u64) -> Self {
        Self { keep_ended_ms, series: Mutex::new(BTreeMap::new()) }
    }

    /// Adds what an attempt has counted since `before`, and keeps its series.
    pub fn publish(&self, current: &TaskMetrics, before: Option<&TaskMetrics>, now: Millis) {
        let mut all = self.lock();
        let series = all.entry((current.attempt.job, current.attempt.execution_vertex)).or_default();
        for (total, (_, _, read)) in series.totals.iter_mut().zip(COUNTERS_OF_TASKS) {
            *total += read(current).saturating_sub(before.map_or(0, read));
        }
        series.watermark_ms = (current.watermark_ms != i64::MIN).then_some(current.watermark_ms).or(series.watermark_ms);
        series.updated = now;
    }

    /// Drops the series of tasks that ended long enough ago. Publish the running ones first.
    pub fn drop_ended(&self, now: Millis) {
        self.lock().retain(|_, series| now.since(series.updated) <= self.keep_ended_ms);
    }

    /// The series in the text format of Prometheus.
    pub fn render(&self) -> String {
        let all = self.lock();
        let mut text = String::new();
        let mut write = |name: &str, kind: &str, doc: &str, value: &dyn Fn(&Series) -> Option<i128>| {
            let mut values = all.iter().filter_map(|(key, series)| Some((key, value(series)?))).peekable();
            if values.peek().is_some() {
                let _ = writeln!(text, "# HELP {name} {doc}\n# TYPE {name} {kind}");
            }
            for ((job, task), value) in values {
                let ExecutionVertexId { vertex, subtask } = task;
                let _ = writeln!(text, "{name}{{job=\"{job}\",vertex=\"{vertex}\",subtask=\"{subtask}\"}} {value}");
            }
        };
        for (index, (name, doc, _)) in COUNTERS_OF_TASKS.iter().enumerate() {
            write(name, "counter", doc, &|series| Some(i128::from(series.totals[index])));
        }
        write(WATERMARK, "gauge", WATERMARK_DOC, &|series| series.watermark_ms.map(i128::from));
        text
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Key, Series>> {
        self.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use weir_protocol::{ExecutionAttemptId, Generation, JobVertexId, LeaderEpoch};

    use super::*;
    use crate::metrics::TaskCounters;

    fn counted(job: u128, attempt: u32, rows: u64) -> TaskMetrics {
        let counters = TaskCounters::default();
        counters.received(rows, 0);
        counters.read(ExecutionAttemptId {
            job: JobId(job),
            execution_vertex: ExecutionVertexId { vertex: JobVertexId(5), subtask: 1 },
            generation: Generation { epoch: LeaderEpoch(1), attempt },
        })
    }

    #[test]
    fn counters_continue_over_attempts_and_end_with_their_job() {
        let series = TaskSeries::new(1_000);
        assert_eq!(series.render(), "");
        let (first, later) = (counted(7, 1, 10), counted(7, 1, 15));
        series.publish(&first, None, Millis(0));
        series.publish(&later, Some(&first), Millis(500));
        series.publish(&counted(7, 2, 3), None, Millis(900));
        series.publish(&counted(8, 1, 4), None, Millis(2_000));
        let line = |job: u128, rows: u64| {
            let (job, vertex) = (JobId(job), JobVertexId(5));
            format!("weir_task_records_in_total{{job=\"{job}\",vertex=\"{vertex}\",subtask=\"1\"}} {rows}\n")
        };
        let text = series.render();
        assert!(text.contains(&line(7, 18)) && text.contains(&line(8, 4)), "{text}");
        assert!(text.contains("# HELP weir_task_records_in_total Rows received") && !text.contains("watermark"), "{text}");
        series.drop_ended(Millis(1_900));
        assert!(series.render().contains(&line(7, 18)));
        series.drop_ended(Millis(2_000));
        let text = series.render();
        assert!(!text.contains(&JobId(7).to_string()) && text.contains(&line(8, 4)), "{text}");
        series.drop_ended(Millis(9_000));
        assert_eq!(series.render(), "");
    }
}
