//! C2: ids of one job's completed checkpoints strictly increase, over all leaders.

use std::collections::BTreeMap;

use weir_protocol::{CheckpointId, JobId};

use super::Invariant;
use crate::fact::Fact;

/// The checkpoints of every job, by the versions of their commits: in this order, not in that in which they are told.
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
        let wrong = older.map(|(_, older)| format!("job {job}: checkpoint {checkpoint} came after {older}"));
        let wrong = wrong.or(newer.map(|(_, newer)| format!("job {job}: checkpoint {newer} came after {checkpoint}")));
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
    fn what_is_told_late_was_committed_when_its_version_says() {
        let mut ids = CheckpointIds::default();
        assert!(ids.observe(&appended(3, 12)).is_ok());
        assert!(ids.observe(&appended(1, 10)).is_ok());
        assert!(ids.observe(&appended(4, 11)).is_err());
        assert!(ids.observe(&appended(2, 13)).is_err());
    }
}
