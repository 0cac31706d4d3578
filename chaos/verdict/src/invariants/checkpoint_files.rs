//! C1 and C4: what a checkpoint consists of is there when its pointer becomes durable, and as long as that stays.

use std::collections::{BTreeMap, BTreeSet};

use weir_protocol::{CheckpointId, JobId};

use super::Invariant;
use crate::fact::Fact;

/// The files of every pointer: its metadata, and the state that this names.
#[derive(Debug, Default)]
pub(super) struct CheckpointFiles {
    pointers: BTreeMap<(JobId, CheckpointId), BTreeSet<String>>,
    /// Pointers that are gone, or may be; whoever appended them may not have heard that it did until then.
    removed: BTreeMap<(JobId, CheckpointId), Removed>,
}

/// A pointer that may be gone.
#[derive(Debug, Default)]
struct Removed {
    files: BTreeSet<String>,
    /// Writes that removed it, or may have.
    writes: u32,
    /// One of its files that was deleted since.
    deleted: Option<String>,
}

impl CheckpointFiles {
    /// A write that was to remove a pointer was refused.
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
    format!("C4: {path} was deleted, and checkpoint {checkpoint} of job {job} names it")
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
                    return Err(format!("job {job}: checkpoint {checkpoint} is complete, and {path} is not there"));
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
    fn a_refused_removal_leaves_the_pointer_and_needs_its_files() {
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
