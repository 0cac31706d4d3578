//! X1: every row is committed at most once and is correct at any time, and no row is missing in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::Invariant;
use crate::fact::{CommittedRow, Fact};

/// Returns the key and the value that a source of a job produces at an offset.
pub type Oracle = fn(job: &str, source: i64, offset: i64) -> (i64, i64);

/// What a job that finished must have committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Whole {
    /// Numbers of the sources that must be there. Others may be there as well, such as files that arrived late.
    pub sources: Range<i64>,
    /// Rows of each source that is there.
    pub rows: i64,
}

/// The rows that became visible, per job.
pub struct ExactlyOnce {
    oracle: Oracle,
    jobs: BTreeMap<String, Committed>,
}

#[derive(Debug, Default)]
struct Committed {
    offsets: BTreeMap<i64, BTreeSet<i64>>,
    /// The rows by key and count.
    rows: BTreeMap<(i64, i64), CommittedRow>,
}

impl ExactlyOnce {
    /// A judge that has seen no rows. `oracle` says what the sources produce.
    pub fn new(oracle: Oracle) -> Self {
        Self { oracle, jobs: BTreeMap::new() }
    }

    /// Judges the output of a job that has ended, and returns its number of rows. The error says what is missing or wrong.
    ///
    /// For a job that finished, all rows of `whole` must be committed. For a canceled job it is `None`: its sinks may leave rows
    /// uncommitted.
    pub fn judge(&self, job: &str, whole: Option<Whole>) -> Result<u64, String> {
        let nothing = Committed::default();
        let committed = self.jobs.get(job).unwrap_or(&nothing);
        if let Some(Whole { sources, rows }) = whole {
            for source in sources.chain(committed.offsets.keys().copied()) {
                let missing = (0..rows).find(|offset| !committed.offsets.get(&source).is_some_and(|seen| seen.contains(offset)));
                if let Some(missing) = missing {
                    return Err(format!("job {job}: offset {missing} of source {source} is lost"));
                }
            }
        }
        let mut before: Option<CommittedRow> = None;
        for ((key, count), row) in &committed.rows {
            let former = before.filter(|former| former.key == *key).map_or((0, 0), |former| (former.count, former.sum));
            if (former.0 + 1, former.1 + row.value) != (*count, row.sum) {
                return Err(format!("job {job}: {row:?} follows count {} and sum {}", former.0, former.1));
            }
            before = Some(*row);
        }
        Ok(committed.rows.len() as u64)
    }

    /// Returns the number of committed rows of all jobs together.
    pub fn rows(&self) -> u64 {
        self.jobs.values().map(|committed| committed.rows.len() as u64).sum()
    }
}

impl Invariant for ExactlyOnce {
    fn id(&self) -> &'static str {
        "X1"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), String> {
        let Fact::RowsCommitted { job, rows } = fact else { return Ok(()) };
        let committed = self.jobs.entry(job.clone()).or_default();
        for row in rows {
            if (row.key, row.value) != (self.oracle)(job, row.source, row.offset) {
                return Err(format!("job {job}: {row:?} is not what its source produced"));
            }
            if !committed.offsets.entry(row.source).or_default().insert(row.offset) {
                return Err(format!("job {job}: {row:?} has an offset that was committed before"));
            }
            if let Some(other) = committed.rows.insert((row.key, row.count), *row) {
                return Err(format!("job {job}: {row:?} has the same count as {other:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn oracle(_: &str, _: i64, offset: i64) -> (i64, i64) {
        (0, offset * 10)
    }

    fn row(offset: i64, count: i64, sum: i64) -> CommittedRow {
        CommittedRow { key: 0, source: 0, offset, value: offset * 10, count, sum }
    }

    fn whole(rows: i64) -> Option<Whole> {
        Some(Whole { sources: 0..1, rows })
    }

    fn after(rows: &[CommittedRow]) -> (ExactlyOnce, Result<(), String>) {
        let mut exactly_once = ExactlyOnce::new(oracle);
        let observed = exactly_once.observe(&Fact::RowsCommitted { job: "j".into(), rows: rows.to_vec() });
        (exactly_once, observed)
    }

    #[test]
    fn correct_rows_pass() {
        let (exactly_once, observed) = after(&[row(0, 1, 0), row(1, 2, 10), row(2, 3, 30)]);
        assert_eq!(observed, Ok(()));
        assert_eq!(exactly_once.judge("j", whole(3)), Ok(3));
    }

    #[test]
    fn a_duplicated_a_wrong_and_a_lost_row_are_found() {
        assert!(after(&[row(0, 1, 0), row(0, 2, 0)]).1.is_err());
        assert!(after(&[CommittedRow { value: 7, ..row(0, 1, 7) }]).1.is_err());
        assert!(after(&[row(0, 1, 0), row(2, 2, 20)]).0.judge("j", whole(3)).is_err());
        assert!(after(&[row(0, 1, 0), row(1, 2, 11)]).0.judge("j", None).is_err());
        assert!(after(&[row(0, 1, 0)]).0.judge("j", whole(2)).is_err());
        assert!(after(&[]).0.judge("j", whole(2)).is_err());
        let late = CommittedRow { source: 7, ..row(0, 1, 0) };
        assert!(after(&[late]).0.judge("j", whole(1)).is_err(), "source 0 is not there");
        let early = CommittedRow { source: 7, ..row(1, 3, 20) };
        assert!(after(&[row(0, 1, 0), row(1, 2, 10), early]).0.judge("j", whole(2)).is_err(), "source 7 is there in part");
    }
}
