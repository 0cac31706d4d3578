//! The steps that clean up after a job. Any leader can repeat each step at any time.

use weir_ha::{CompletedCheckpointStore, HaServices, JobGraphStore, JobResultStore, Leadership, StoreError};
use weir_protocol::JobId;
use weir_storage::checkpoint::CheckpointStorage;
use weir_storage::checkpoint::gc;
use weir_storage::file_system::FileSystemRef;

use super::event::CleanupStep;

/// The stores of job graphs, results and checkpoints.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) graphs: JobGraphStore,
    pub(crate) results: JobResultStore,
    pub(crate) completed_checkpoints: CompletedCheckpointStore,
    pub(crate) checkpoints: CheckpointStorage,
}

impl Stores {
    pub(crate) fn new(ha: HaServices, files: FileSystemRef, checkpoints: CheckpointStorage) -> Self {
        Self {
            graphs: JobGraphStore::new(ha.clone(), files),
            results: JobResultStore::new(ha.clone()),
            completed_checkpoints: CompletedCheckpointStore::new(ha),
            checkpoints,
        }
    }

    pub(super) async fn clean_up(&self, leadership: &Leadership, job: JobId, step: CleanupStep) -> Result<(), StoreError> {
        match step {
            CleanupStep::DiscardCheckpoints => {
                self.completed_checkpoints.remove_all(leadership, job).await?;
                self.delete_checkpoint_files(job).await
            }
            CleanupStep::ReleaseCheckpoints => self.completed_checkpoints.remove_all(leadership, job).await,
            CleanupStep::JobGraph => self.graphs.remove(leadership, job).await,
            CleanupStep::MarkClean => self.results.mark_clean(leadership, job).await,
        }
    }

    async fn delete_checkpoint_files(&self, job: JobId) -> Result<(), StoreError> {
        // A job that has a result never runs again (R1), so its files are not needed. Before each batch of deletions, check
        // that the result is still there (C5).
        let results = self.results.clone();
        let has_ended = move || {
            let results = results.clone();
            async move { matches!(results.get(job).await, Ok(Some(_))) }
        };
        let collected = gc::delete_job(&self.checkpoints, job, has_ended).await?;
        match collected.failed.into_iter().next() {
            Some(error) => Err(error.into()),
            None if collected.stopped => Err(StoreError::Unavailable("the job's result can't be read".to_string())),
            None => Ok(()),
        }
    }
}
