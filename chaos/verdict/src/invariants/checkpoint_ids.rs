//! C2: the ids of a job's completed checkpoints strictly increase, across all leaders.

use std::collections::BTreeMap;

use weir_protocol::{CheckpointId, JobId};

use super::Invariant;
use crate::fact::Fact;

/// The checkpoints of every job, by the version of their commit. Facts may arrive in another order than the commits.
#[derive(Debug, Default)]
pub(super) struct CheckpointIds {
    appended: BTreeMap<JobId, BTreeMap<u64, CheckpointId>>,
}

impl Invariant for CheckpointIds {
    fn id(&self) -> &'static str {
        "C2"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), String> {
        let Fact::CheckpointAppended { job, checkpoint, version, .. } = fact else { return Ok(()) };
        let appended = self.appended.entry(*job).or_default();
        let older = appended.range(..version).next_back().filter(|(_, older)| *older >= checkpoint);
        let newer = appended.range(version..).next().filter(|(_, newer)| *newer <= checkpoint);
        let wrong = older.map(|(_, older)| format!("job {job}: checkpoint {checkpoint} was committed after {older}"));
        let wrong = wrong.or(newer.map(|(_, newer)| format!("job {job}: checkpoint {newer} was committed after {checkpoint}")));
        appended.insert(*version, *checkpoint);
        wrong.map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(id: u64, version: u64) -> Fact {
        Fact::CheckpointAppended { job: JobId(1), checkpoint: CheckpointId(id), version, files: Vec::new() }
    }

    #[test]
    fn an_id_is_never_used_again() {
        let mut ids = CheckpointIds::default();
        assert!(ids.observe(&appended(1, 10)).is_ok());
        assert!(ids.observe(&appended(3, 12)).is_ok());
        assert!(ids.observe(&appended(3, 14)).is_err());
    }

    #[test]
    fn a_fact_that_arrives_late_is_ordered_by_its_version() {
        let mut ids = CheckpointIds::default();
        assert!(ids.observe(&appended(3, 12)).is_ok());
        assert!(ids.observe(&appended(1, 10)).is_ok());
        assert!(ids.observe(&appended(4, 11)).is_err());
        assert!(ids.observe(&appended(2, 13)).is_err());
    }
}
