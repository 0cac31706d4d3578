//! Which files of a job's checkpoints may be deleted (C4), and deleting them as long as that is still ours to do (C5).
//!
//! No counts are kept: each run lists the files and compares them with what is referenced. So a file that a crash, an
//! abort or a lost message left behind goes with the next run, and a run that is cut short does no harm.

use std::collections::BTreeSet;
use std::future::Future;

use weir_protocol::checkpoint::CheckpointMetadata;
use weir_protocol::{CheckpointId, JobId};
use weir_world::flaw::{Flaw, is_planted};

use super::metadata::segments;
use super::{CheckpointStorage, layout};
use crate::file_system::{FileEntry, FileError};

/// Files deleted between two checks of leadership.
const BATCH: usize = 100;

/// What must stay.
#[derive(Debug, Clone, Default)]
pub struct Roots<'a> {
    /// The completed checkpoints that have a pointer, or may still be asked for: those retained, and those subsumed so
    /// lately that a pending checkpoint may build on them.
    pub kept: Vec<&'a CheckpointMetadata>,
    /// Checkpoints under way, under this leader or, for all it knows, an earlier one.
    pub pending: BTreeSet<CheckpointId>,
}

/// The files that may go, of those found in the job's directory (paths relative to the checkpoint root). In the order
/// in which they should: what makes a directory look like a checkpoint first.
///
/// Stay: whatever a kept checkpoint refers to, everything of pending checkpoints and of those newer than the newest kept
/// one, and everything that this system doesn't name so. Nothing goes while no checkpoint is kept.
pub fn deletable(job: JobId, found: &[FileEntry], roots: &Roots<'_>) -> Vec<String> {
    let Some(newest) = roots.kept.iter().map(|metadata| metadata.id).max() else { return Vec::new() };
    let prefix = format!("{}/", layout::job_directory(job));
    let mut needed: BTreeSet<&str> = BTreeSet::new();
    let mut metadata_files: BTreeSet<String> = BTreeSet::new();
    for metadata in &roots.kept {
        let own = |path: &&str| layout::checkpoint_of(path) == Some(metadata.id) || !is_planted(Flaw::ReusedCollected);
        needed.extend(segments(metadata).map(|segment| segment.path.as_str()).filter(own));
        metadata_files.insert(layout::metadata_path(job, metadata.id));
    }
    let may_go = |entry: &&FileEntry| {
        let Some(path) = entry.path.strip_prefix(&prefix) else { return false };
        let Some(id) = layout::checkpoint_of(path) else { return false };
        if is_planted(Flaw::YoungCollected) {
            return !needed.contains(path) && !metadata_files.contains(&entry.path);
        }
        id <= newest && !roots.pending.contains(&id) && !needed.contains(path) && !metadata_files.contains(&entry.path)
    };
    metadata_first(found.iter().filter(may_go).map(|entry| entry.path.clone()).collect())
}

fn metadata_first(mut paths: Vec<String>) -> Vec<String> {
    paths.sort_by_key(|path| !path.ends_with(layout::METADATA_FILE));
    paths
}

/// Paths that `metadata` refers to which are neither its own files nor those of a `kept` checkpoint: they may be gone,
/// so a checkpoint with any must not be completed.
pub fn foreign_references<'a>(metadata: &'a CheckpointMetadata, kept: &[&CheckpointMetadata]) -> BTreeSet<&'a str> {
    let known: BTreeSet<&str> = kept.iter().flat_map(|kept| segments(kept)).map(|segment| segment.path.as_str()).collect();
    let paths = segments(metadata).map(|segment| segment.path.as_str());
    paths.filter(|path| layout::checkpoint_of(path) != Some(metadata.id) && !known.contains(path)).collect()
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    pub deleted: usize,
    /// Files that could not be deleted, with the reason; the next run tries again.
    pub failed: Vec<FileError>,
    /// Whether the run stopped because the right to delete was lost.
    pub stopped: bool,
}

/// Deletes what [`deletable`] says. `still_ours` is asked before every batch, and must ask the coordination store, or
/// know otherwise that no newer leader exists (C5).
pub async fn collect<F>(
    storage: &CheckpointStorage,
    job: JobId,
    roots: &Roots<'_>,
    still_ours: impl FnMut() -> F,
) -> Result<Collected, FileError>
where
    F: Future<Output = bool>,
{
    let found = storage.files().list(&layout::job_directory(job)).await?;
    Ok(delete(storage, deletable(job, &found, roots), still_ours).await)
}

/// Deletes all checkpoint files of a job that has ended and retains none, for good: nobody will look for them again.
pub async fn delete_job<F>(storage: &CheckpointStorage, job: JobId, still_ours: impl FnMut() -> F) -> Result<Collected, FileError>
where
    F: Future<Output = bool>,
{
    let found = storage.files().list(&layout::job_directory(job)).await?;
    let paths = metadata_first(found.into_iter().map(|entry| entry.path).collect());
    let collected = delete(storage, paths, still_ours).await;
    storage.files().sync_deletes(&layout::job_directory(job)).await?;
    Ok(collected)
}

async fn delete<F>(storage: &CheckpointStorage, paths: Vec<String>, mut still_ours: impl FnMut() -> F) -> Collected
where
    F: Future<Output = bool>,
{
    let mut collected = Collected::default();
    for batch in paths.chunks(BATCH) {
        if !still_ours().await {
            collected.stopped = true;
            break;
        }
        for path in batch {
            match storage.files().delete(path).await {
                Ok(()) => collected.deleted += 1,
                Err(error) => collected.failed.push(error),
            }
        }
    }
    collected
}

#[cfg(test)]
mod tests;
