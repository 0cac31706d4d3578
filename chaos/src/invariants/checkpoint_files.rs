//! C1 and C4: what a checkpoint consists of is there when its pointer becomes durable, and as long as that stays.

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::{CheckpointId, JobId};

use super::{Fact, Invariant};

/// The files of every pointer: its metadata, and the state that this names.
#[derive(Debug, Default)]
pub(super) struct CheckpointFiles {
    pointers: BTreeMap<(JobId, CheckpointId), BTreeSet<String>>,
    /// Pointers that are gone, or may be; whoever appended them may not have heard that it did until then.
    removed: BTreeSet<(JobId, CheckpointId)>,
}

impl Invariant for CheckpointFiles {
    fn id(&self) -> &'static str {
        "C1"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::CheckpointAppended { job, checkpoint, .. } if self.removed.contains(&(*job, *checkpoint)) => {}
            Fact::CheckpointAppended { job, checkpoint, files, .. } => {
                self.pointers.insert((*job, *checkpoint), files.iter().map(|(path, _)| path.clone()).collect());
                if let Some((path, _)) = files.iter().find(|(_, there)| !there) {
                    return Err(format!("job {job}: checkpoint {checkpoint} is complete, and {path} is not there"));
                }
            }
            Fact::CheckpointRemoved { job, checkpoint } => {
                self.pointers.remove(&(*job, *checkpoint));
                self.removed.insert((*job, *checkpoint));
            }
            Fact::FileDeleted { path } => {
                let named = self.pointers.iter().find(|(_, files)| files.contains(path));
                if let Some(((job, checkpoint), _)) = named {
                    return Err(format!("C4: {path} was deleted, and checkpoint {checkpoint} of job {job} names it"));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn appended(there: bool) -> Fact {
        let files = vec![("metadata".into(), true), ("state".into(), there)];
        Fact::CheckpointAppended { job: JobId(1), checkpoint: CheckpointId(1), version: 1, files }
    }

    #[test]
    fn a_pointer_names_files_that_are_there() {
        assert!(CheckpointFiles::default().observe(&appended(true)).is_ok());
        assert!(CheckpointFiles::default().observe(&appended(false)).is_err());
    }

    #[test]
    fn what_is_told_when_the_pointer_is_gone_again_needs_no_files() {
        let mut files = CheckpointFiles::default();
        assert!(files.observe(&Fact::CheckpointRemoved { job: JobId(1), checkpoint: CheckpointId(1) }).is_ok());
        assert!(files.observe(&appended(false)).is_ok());
    }

    #[test]
    fn files_outlive_their_pointer() {
        for file in ["metadata", "state"] {
            let deleted = Fact::FileDeleted { path: file.into() };
            let mut files = CheckpointFiles::default();
            assert!(files.observe(&appended(true)).is_ok());
            assert!(files.observe(&deleted).is_err());
            assert!(files.observe(&Fact::CheckpointRemoved { job: JobId(1), checkpoint: CheckpointId(1) }).is_ok());
            assert!(files.observe(&deleted).is_ok());
        }
    }
}
