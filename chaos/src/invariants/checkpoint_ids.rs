//! C2: ids of one job's completed checkpoints strictly increase, over all leaders.

use std::collections::BTreeMap;

use weir_protocol::{CheckpointId, JobId};

use super::{Fact, Invariant};

/// The newest checkpoint of every job.
#[derive(Debug, Default)]
pub(super) struct CheckpointIds {
    newest: BTreeMap<JobId, CheckpointId>,
}

impl Invariant for CheckpointIds {
    fn id(&self) -> &'static str {
        "C2"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), String> {
        if let Fact::CheckpointAppended { job, checkpoint, .. } = fact {
            let newest = self.newest.insert(*job, *checkpoint);
            if newest.is_some_and(|newest| newest >= *checkpoint) {
                return Err(format!("job {job}: checkpoint {checkpoint} came after {newest:?}"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_never_used_again() {
        let mut ids = CheckpointIds::default();
        let appended = |id| Fact::CheckpointAppended { job: JobId(1), checkpoint: CheckpointId(id), files: Vec::new() };
        assert!(ids.observe(&appended(1)).is_ok());
        assert!(ids.observe(&appended(3)).is_ok());
        assert!(ids.observe(&appended(3)).is_err());
    }
}
