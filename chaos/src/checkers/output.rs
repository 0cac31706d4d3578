//! Checks exactly-once: compares the committed output with the computed result.

use super::{Judgement, cut_short, judgement};
use crate::history::{History, What};
use crate::workload::{CountingJob, JudgedJob, SqlJob};

/// The committed rows of the judged job are exactly the expected rows, each once.
pub(super) fn exactly_once(history: &History) -> Judgement {
    match &history.header.job {
        JudgedJob::Counting(job) => counting(history, job),
        JudgedJob::Sql(job) => sql(history, job),
        JudgedJob::Kafka(job) => counting(history, &job.counting),
    }
}

fn counting(history: &History, job: &CountingJob) -> Judgement {
    let rows = history.last(|what| match what {
        What::Rows { lines } => Some(lines),
        _ => None,
    });
    let Some(lines) = rows else { return cut_short() };
    let verdict = job.judge(lines);
    let mut problems = Vec::new();
    for (count, what) in [(verdict.lost, "lost"), (verdict.duplicated, "present more than once"), (verdict.wrong, "wrong")] {
        if count > 0 {
            problems.push(format!("{count} rows of the output are {what}"));
        }
    }
    if lines.is_empty() {
        problems.push("there is no output".to_owned());
    }
    judgement(problems, format!("{} rows in, {} rows of output", job.rows, verdict.rows))
}

/// The windows are those of the script, and the changes fold to its tables (Q2, Q3).
fn sql(history: &History, job: &SqlJob) -> Judgement {
    let tables = history.last(|what| match what {
        What::Tables { tables } => Some(tables),
        _ => None,
    });
    let Some(tables) = tables else { return cut_short() };
    let verdict = job.judge(tables);
    let seen = format!(
        "{} rows in, {} rows of {} tables of output, {} of them updates and deletes",
        job.rows,
        verdict.rows,
        tables.len(),
        verdict.changes
    );
    judgement(verdict.problems, seen)
}

#[cfg(test)]
mod tests {
    use super::super::sample::{changed, condemned, judged, of_sql};
    use super::*;

    fn with_lines(change: impl Fn(&mut Vec<String>)) -> History {
        changed(|what| {
            if let What::Rows { lines } = what {
                change(lines);
            }
        })
    }

    #[test]
    fn a_duplicated_a_lost_and_a_wrong_row_are_found() {
        assert!(condemned("exactly-once", &with_lines(|lines| lines.push(lines[0].clone()))).contains("more than once"));
        assert!(condemned("exactly-once", &with_lines(|lines| drop(lines.pop()))).contains("lost"));
        assert!(condemned("exactly-once", &with_lines(|lines| lines[0] += "0")).contains("wrong"));
        assert!(condemned("exactly-once", &with_lines(Vec::clear)).contains("no output"));
    }

    #[test]
    fn a_duplicated_and_a_lost_row_of_each_table_of_the_sql_job_are_found() {
        assert!(matches!(judged("exactly-once", &of_sql(|_, _| {})), Judgement::Held { .. }));
        for table in ["per_window", "per_product", "per_remainder", "selected"] {
            let doubled = of_sql(|name, lines| {
                if name == table {
                    lines.push(lines[0].clone())
                }
            });
            assert!(condemned("exactly-once", &doubled).contains(table));
            let lost = of_sql(|name, lines| {
                if name == table {
                    drop(lines.pop())
                }
            });
            assert!(condemned("exactly-once", &lost).contains("missing"));
        }
    }
}
