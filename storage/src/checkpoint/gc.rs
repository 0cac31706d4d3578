//! Finds the files of a job's checkpoints that may be deleted (C4), and deletes them.
//!
//! While a job runs, a file may go once a fenced commit has removed the last pointer that needed it. No later leader can come to
//! need such a file, because ids of checkpoints are never used again. So no check of leadership is needed after that commit (C5).
//!
//! There are no reference counts: each run lists the files and compares them with the references. So the next run deletes files
//! that a crash, an abort or a lost message left behind, and an interrupted run does no harm.

use std::collections::BTreeSet;
use std::future::Future;

use weir_protocol::checkpoint::CheckpointMetadata;
use weir_protocol::{CheckpointId, JobId};
use weir_world::flaw::{Flaw, is_planted};

use super::metadata::segments;
use super::{CheckpointStorage, layout};
use crate::file_system::{FileEntry, FileError};

/// Number of an ended job's files that are deleted between two checks.
const BATCH: usize = 100;

/// The checkpoints whose files must stay.
#[derive(Debug, Clone, Default)]
pub struct Roots<'a> {
    /// Completed checkpoints that are retained and have a pointer, or that were subsumed so recently that a pending checkpoint
    /// may build on them.
    pub kept: Vec<&'a CheckpointMetadata>,
    /// Checkpoints in progress, of this leader or possibly of an earlier one.
    pub pending: BTreeSet<CheckpointId>,
}

/// Returns those files of `found`, a listing of the job's directory, that may be deleted. Paths are relative to the checkpoint
/// root. The order is that of deletion: metadata files first, so that a directory without its state does not look like a
/// checkpoint.
///
/// These files stay: files that a kept checkpoint refers to, files of pending checkpoints, files of checkpoints newer than the
/// newest kept one, and files whose names this system does not use. If no checkpoint is kept, all files stay.
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

/// Returns the paths in `metadata` that belong neither to this checkpoint nor to a `kept` one. These files may have been deleted,
/// so a checkpoint with any such path must not be completed.
pub fn foreign_references<'a>(metadata: &'a CheckpointMetadata, kept: &[&CheckpointMetadata]) -> BTreeSet<&'a str> {
    let known: BTreeSet<&str> = kept.iter().flat_map(|kept| segments(kept)).map(|segment| segment.path.as_str()).collect();
    let paths = segments(metadata).map(|segment| segment.path.as_str());
    paths.filter(|path| layout::checkpoint_of(path) != Some(metadata.id) && !known.contains(path)).collect()
}

/// The outcome of a run.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Collected {
    pub deleted: usize,
    /// Files that could not be deleted, with the reason. The next run retries.
    pub failed: Vec<FileError>,
    /// Whether the run stopped because the job may not have ended.
    pub stopped: bool,
}

/// Deletes the files that [`deletable`] returns.
pub async fn collect(storage: &CheckpointStorage, job: JobId, roots: &Roots<'_>) -> Result<Collected, FileError> {
    let found = storage.files().list(&layout::job_directory(job)).await?;
    let mut collected = Collected::default();
    delete(storage, &deletable(job, &found, roots), &mut collected).await;
    Ok(collected)
}

/// Deletes all checkpoint files of a job that has ended and retains no checkpoint, also those that a killed process had not finished.
/// Calls `still_ended` before every batch, and stops if it returns `false` (C5). The deletes are durable when this returns, because
/// nothing will clean the job's directory later.
pub async fn delete_job<F>(
    storage: &CheckpointStorage,
    job: JobId,
    still_ended: impl FnMut() -> F,
) -> Result<Collected, FileError>
where
    F: Future<Output = bool>,
{
    delete_of_ended(storage, job, |_| true, still_ended).await
}

/// Deletes what no retained checkpoint of an ended job needs, and what nothing else will delete: the splits with which its sources
/// began, and files that a killed process had not finished. Otherwise as [`delete_job`].
pub async fn delete_leftovers<F>(
    storage: &CheckpointStorage,
    job: JobId,
    still_ended: impl FnMut() -> F,
) -> Result<Collected, FileError>
where
    F: Future<Output = bool>,
{
    delete_of_ended(storage, job, layout::is_splits, still_ended).await
}

/// Deletes the files of an ended job that `goes` picks by their path in the job's directory, and unfinished ones.
async fn delete_of_ended<F>(
    storage: &CheckpointStorage,
    job: JobId,
    goes: impl Fn(&str) -> bool,
    mut still_ended: impl FnMut() -> F,
) -> Result<Collected, FileError>
where
    F: Future<Output = bool>,
{
    let directory = layout::job_directory(job);
    let prefix = format!("{directory}/");
    let found = storage.files().list(&directory).await?;
    let paths = found.into_iter().map(|entry| entry.path).filter(|path| path.strip_prefix(&prefix).is_some_and(&goes));
    let mut collected = Collected::default();
    for batch in metadata_first(paths.collect()).chunks(BATCH) {
        if !still_ended().await {
            collected.stopped = true;
            break;
        }
        delete(storage, batch, &mut collected).await;
    }
    if !collected.stopped && still_ended().await {
        collected.deleted += storage.files().remove_unfinished(&directory).await?;
    } else {
        collected.stopped = true;
    }
    storage.files().sync_deletes(&directory).await?;
    Ok(collected)
}

async fn delete(storage: &CheckpointStorage, paths: &[String], collected: &mut Collected) {
    for path in paths {
        match storage.files().delete(path).await {
            Ok(()) => collected.deleted += 1,
            Err(error) => collected.failed.push(error),
        }
    }
}

#[cfg(test)]
mod tests;
