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
                self.delete_checkpoint_files(job, true).await
            }
            CleanupStep::ReleaseCheckpoints => {
                self.completed_checkpoints.remove_all(leadership, job).await?;
                self.delete_checkpoint_files(job, false).await
            }
            CleanupStep::JobGraph => self.graphs.remove(leadership, job).await,
            CleanupStep::MarkClean => self.results.mark_clean(leadership, job).await,
        }
    }

    /// Deletes the checkpoint files of a job that has ended: all of them, or only what no checkpoint needs.
    async fn delete_checkpoint_files(&self, job: JobId, all: bool) -> Result<(), StoreError> {
        // A job that has a result never runs again (R1), so its files are not needed. Before each batch of deletions, check
        // that the result is still there (C5).
        let results = self.results.clone();
        let has_ended = move || {
            let results = results.clone();
            async move { matches!(results.get(job).await, Ok(Some(_))) }
        };
        let collected = if all {
            gc::delete_job(&self.checkpoints, job, has_ended).await?
        } else {
            gc::delete_leftovers(&self.checkpoints, job, has_ended).await?
        };
        match collected.failed.into_iter().next() {
            Some(error) => Err(error.into()),
            None if collected.stopped => Err(StoreError::Unavailable("the job's result can't be read".to_string())),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use bytes::Bytes;
    use weir_ha::{Candidate, Election, JobResult, LeadershipEvent, MemoryStore};
    use weir_protocol::JobVertexId;
    use weir_protocol::job_status::JobStatus;
    use weir_storage::{StorageOptions, open};

    use super::*;

    const JOB: JobId = JobId(7);

    async fn lead(store: &MemoryStore) -> (Leadership, weir_ha::LeaderElection) {
        let candidate = Candidate { name: "jm-1".to_string(), rpc_address: String::new(), rest_address: String::new() };
        let mut election = store.member("jm-1").campaign(candidate);
        loop {
            match election.next().await {
                Some(LeadershipEvent::Granted(leadership)) => return (leadership, election),
                Some(LeadershipEvent::Revoked) => {}
                None => panic!("the provider has stopped"),
            }
        }
    }

    /// The files of a canceled job that had made one checkpoint, and then lost a process in the middle of a write.
    async fn ended_job(root: &Path, store: &MemoryStore, leadership: &Leadership) -> Stores {
        let files = open(&root.display().to_string(), &StorageOptions::default()).expect("a path");
        let checkpoints = CheckpointStorage::new(Arc::clone(&files));
        checkpoints.record_splits(JOB, JobVertexId(1), Bytes::from("a.csv")).await.expect("written");
        checkpoints.write_state(JOB, "chk-1/x.state", Bytes::from("x")).await.expect("written");
        std::fs::write(root.join(JOB.to_string()).join("chk-1/.tmp-0"), "unfinished").expect("written");
        let stores = Stores::new(Arc::new(store.member("jm-1")), files, checkpoints);
        let result = JobResult {
            job: JOB,
            name: "job".to_string(),
            status: JobStatus::Canceled,
            submitted_at_ms: 0,
            ended_at_ms: 1,
            failure: None,
            dirty: true,
        };
        stores.results.put_dirty(leadership, &result).await.expect("stored");
        stores
    }

    /// The files below a directory, hidden ones too.
    fn files_below(place: &Path) -> Vec<String> {
        let Ok(entries) = std::fs::read_dir(place) else { return Vec::new() };
        let paths = entries.map(|entry| entry.expect("an entry").path());
        let mut found: Vec<String> =
            paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path.display().to_string()] }).collect();
        found.sort();
        found
    }

    #[tokio::test]
    async fn a_canceled_job_that_retains_its_checkpoints_leaves_neither_a_list_of_files_nor_an_unfinished_file() {
        let (root, store) = (tempfile::tempdir().expect("a directory"), MemoryStore::default());
        let (leadership, _election) = lead(&store).await;
        let stores = ended_job(root.path(), &store, &leadership).await;
        for _ in 0..2 {
            stores.clean_up(&leadership, JOB, CleanupStep::ReleaseCheckpoints).await.expect("cleaned up");
            let retained = root.path().join(JOB.to_string()).join("chk-1/x.state").display().to_string();
            assert_eq!(files_below(root.path()), [retained]);
        }
    }

    #[tokio::test]
    async fn a_job_that_retains_nothing_leaves_no_directory() {
        let (root, store) = (tempfile::tempdir().expect("a directory"), MemoryStore::default());
        let (leadership, _election) = lead(&store).await;
        let stores = ended_job(root.path(), &store, &leadership).await;
        stores.clean_up(&leadership, JOB, CleanupStep::DiscardCheckpoints).await.expect("cleaned up");
        assert!(!root.path().join(JOB.to_string()).exists(), "{:?}", files_below(root.path()));
    }
}
