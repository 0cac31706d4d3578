//! C1 and C4: a pointer's metadata file is there when the pointer becomes durable, and as long as it stays.

use std::collections::BTreeMap;

use weir_protocol::{CheckpointId, JobId};

use super::{Fact, Invariant};

/// The metadata file of every pointer.
#[derive(Debug, Default)]
pub(super) struct CheckpointFiles {
    pointers: BTreeMap<(JobId, CheckpointId), String>,
}

impl Invariant for CheckpointFiles {
    fn id(&self) -> &'static str {
        "C1"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::CheckpointAppended { job, checkpoint, metadata: Some((path, there)) } => {
                self.pointers.insert((*job, *checkpoint), path.clone());
                if !there {
                    return Err(format!("job {job}: checkpoint {checkpoint} is complete, and {path} is not there"));
                }
            }
            Fact::CheckpointRemoved { job, checkpoint } => {
                self.pointers.remove(&(*job, *checkpoint));
            }
            Fact::FileDeleted { path } => {
                let named = self.pointers.iter().find(|(_, metadata)| *metadata == path);
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
        Fact::CheckpointAppended { job: JobId(1), checkpoint: CheckpointId(1), metadata: Some(("a".into(), there)) }
    }

    #[test]
    fn a_pointer_names_a_file_that_is_there() {
        assert!(CheckpointFiles::default().observe(&appended(true)).is_ok());
        assert!(CheckpointFiles::default().observe(&appended(false)).is_err());
    }

    #[test]
    fn a_file_outlives_its_pointer() {
        let deleted = Fact::FileDeleted { path: "a".into() };
        let mut files = CheckpointFiles::default();
        assert!(files.observe(&appended(true)).is_ok());
        assert!(files.observe(&deleted).is_err());
        assert!(files.observe(&Fact::CheckpointRemoved { job: JobId(1), checkpoint: CheckpointId(1) }).is_ok());
        assert!(files.observe(&deleted).is_ok());
    }
}
