//! C1 and C4: the files of a checkpoint exist when its pointer becomes durable, and for as long as the pointer exists.

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::{CheckpointId, JobId};

use super::Invariant;
use crate::fact::Fact;

/// The files of every pointer: the metadata file, and the state files that it names.
#[derive(Debug, Default)]
pub(super) struct CheckpointFiles {
    pointers: BTreeMap<(JobId, CheckpointId), BTreeSet<String>>,
    /// Pointers that were removed, or may have been. A pointer's writer may learn only afterwards that it was appended.
    removed: BTreeMap<(JobId, CheckpointId), Removed>,
}

/// A pointer that may have been removed.
#[derive(Debug, Default)]
struct Removed {
    files: BTreeSet<String>,
    /// Number of writes that removed the pointer, or may have.
    writes: u32,
    /// A file of the pointer that was deleted after the first of these writes began.
    deleted: Option<String>,
}

impl CheckpointFiles {
    /// Notes that the store refused a write that would have removed a pointer.
    fn keep(&mut self, pointer: (JobId, CheckpointId)) -> Result<(), String> {
        let Some(removed) = self.removed.get_mut(&pointer) else { return Ok(()) };
        removed.writes = removed.writes.saturating_sub(1);
        if removed.writes > 0 {
            return Ok(());
        }
        let Removed { files, deleted, .. } = self.removed.remove(&pointer).unwrap_or_default();
        self.pointers.insert(pointer, files);
        let (job, checkpoint) = pointer;
        deleted.map_or(Ok(()), |path| Err(named_and_deleted(&path, job, checkpoint)))
    }
}

fn named_and_deleted(path: &str, job: JobId, checkpoint: CheckpointId) -> String {
    format!("C4: {path} was deleted, but checkpoint {checkpoint} of job {job} names it")
}

impl Invariant for CheckpointFiles {
    fn id(&self) -> &'static str {
        "C1"
    }

    fn observe(&mut self, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::CheckpointAppended { job, checkpoint, .. } if self.removed.contains_key(&(*job, *checkpoint)) => {}
            Fact::CheckpointAppended { job, checkpoint, files, .. } => {
                self.pointers.insert((*job, *checkpoint), files.iter().map(|(path, _)| path.clone()).collect());
                if let Some((path, _)) = files.iter().find(|(_, there)| !there) {
                    return Err(format!("job {job}: checkpoint {checkpoint} is complete, but {path} does not exist"));
                }
            }
            Fact::CheckpointRemoved { job, checkpoint } => {
                let pointer = (*job, *checkpoint);
                let removed = self.removed.entry(pointer).or_default();
                removed.files.extend(self.pointers.remove(&pointer).unwrap_or_default());
                removed.writes += 1;
            }
            Fact::CheckpointKept { job, checkpoint } => return self.keep((*job, *checkpoint)),
            Fact::FileDeleted { path } => {
                let named = self.pointers.iter().find(|(_, files)| files.contains(path));
                if let Some(((job, checkpoint), _)) = named {
                    return Err(named_and_deleted(path, *job, *checkpoint));
                }
                for removed in self.removed.values_mut().filter(|removed| removed.files.contains(path)) {
                    removed.deleted = Some(path.clone());
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
    fn a_pointer_names_files_that_exist() {
        assert!(CheckpointFiles::default().observe(&appended(true)).is_ok());
        assert!(CheckpointFiles::default().observe(&appended(false)).is_err());
    }

    #[test]
    fn a_fact_that_arrives_after_the_removal_needs_no_files() {
        let mut files = CheckpointFiles::default();
        assert!(files.observe(&Fact::CheckpointRemoved { job: JobId(1), checkpoint: CheckpointId(1) }).is_ok());
        assert!(files.observe(&appended(false)).is_ok());
    }

    #[test]
    fn a_pointer_needs_its_files_after_a_refused_removal() {
        let (job, checkpoint) = (JobId(1), CheckpointId(1));
        let (removed, kept) = (Fact::CheckpointRemoved { job, checkpoint }, Fact::CheckpointKept { job, checkpoint });
        let deleted = Fact::FileDeleted { path: "state".into() };
        let told = |facts: &[&Fact]| {
            let mut files = CheckpointFiles::default();
            facts.iter().try_for_each(|fact| files.observe(fact))
        };
        assert!(told(&[&appended(true), &removed, &kept, &deleted]).is_err());
        assert!(told(&[&appended(true), &removed, &deleted, &kept]).is_err());
        assert!(told(&[&appended(true), &removed, &removed, &kept, &deleted]).is_ok());
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
