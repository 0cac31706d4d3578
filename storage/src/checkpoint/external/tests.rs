use std::sync::Arc;

use weir_protocol::{Generation, LeaderEpoch};

use super::*;
use crate::checkpoint::metadata::segments;
use crate::checkpoint::sample::{JOB, take};
use crate::file_system::LocalFileSystem;

const OTHER_JOB: JobId = JobId(0xdef);

struct Fixture {
    directory: tempfile::TempDir,
    storage: CheckpointStorage,
}

fn fixture() -> Fixture {
    let directory = tempfile::tempdir().unwrap();
    let storage = CheckpointStorage::new(Arc::new(LocalFileSystem::new(directory.path().join("checkpoints"))));
    Fixture { directory, storage }
}

async fn state_of(storage: &CheckpointStorage, metadata: &CheckpointMetadata) -> Vec<Bytes> {
    let mut state = Vec::new();
    for operator in metadata.subtasks.iter().flat_map(|subtask| &subtask.operators) {
        for handle in operator.operator_state.iter().chain(operator.key_groups.iter().map(|group| &group.state)) {
            state.push(storage.read_state(metadata.job, handle).await.unwrap());
        }
    }
    state
}

#[tokio::test]
async fn a_savepoint_is_self_contained_and_starts_another_job() {
    let Fixture { directory, storage } = fixture();
    let mut metadata = take(&storage, 7).await;
    for subtask in &mut metadata.subtasks {
        (subtask.operators[1].uid, subtask.operators[1].kind) = (Some("count".to_owned()), Some("x.count".to_owned()));
    }
    let names = |metadata: &CheckpointMetadata| -> Vec<_> {
        let operators = metadata.subtasks.iter().flat_map(|subtask| &subtask.operators);
        operators.map(|operator| (operator.uid.clone(), operator.kind.clone())).collect()
    };
    let expected = state_of(&storage, &metadata).await;
    let target: FileSystemRef = Arc::new(LocalFileSystem::new(directory.path().join("savepoints")));
    let savepoint = storage.export_savepoint(&metadata, &target, 0x123).await.unwrap();
    assert!(savepoint.uri.ends_with("/savepoints/savepoint-000000-000000000123"), "{}", savepoint.uri);
    assert_eq!(storage.export_savepoint(&metadata, &target, 0x123).await, Ok(savepoint.clone()), "the call can be repeated");

    // Remove the files of the original job, and move the savepoint.
    std::fs::remove_dir_all(directory.path().join("checkpoints")).unwrap();
    let moved = directory.path().join("moved");
    std::fs::rename(directory.path().join("savepoints/savepoint-000000-000000000123"), &moved).unwrap();
    let uris = [moved.display().to_string(), format!("file://{}/_metadata", moved.display())];
    for uri in uris {
        let external = ExternalCheckpoint::open(&uri, &StorageOptions::default()).unwrap();
        let found = external.metadata().await.unwrap();
        assert_eq!((found.id, found.kind, found.job), (CheckpointId(7), CheckpointKind::Savepoint, JOB));
        let imported = storage.import(OTHER_JOB, &external).await.unwrap();
        assert_eq!((imported.id, imported.kind, imported.job), (CHECKPOINT_OF_IMPORT, CheckpointKind::Checkpoint, OTHER_JOB));
        assert_eq!(state_of(&storage, &imported).await, expected);
        assert_eq!(names(&imported), names(&metadata), "a restore finds the operators by their uids");
        storage.write_metadata(&imported).await.unwrap();
        assert_eq!(storage.verify(&imported).await, Ok(Vec::new()));
    }
}

#[tokio::test]
async fn t40_a_retained_checkpoint_starts_another_job_and_is_not_changed() {
    let Fixture { directory, storage } = fixture();
    let mut metadata = take(&storage, 7).await;
    metadata.generation = Generation { epoch: LeaderEpoch(2), attempt: 5 };
    storage.write_metadata(&metadata).await.unwrap();
    let uri = directory.path().join("checkpoints").join(JOB.to_string()).join("chk-7").display().to_string();
    let external = ExternalCheckpoint::open(&format!("{uri}/"), &StorageOptions::default()).unwrap();
    let imported = storage.import(OTHER_JOB, &external).await.unwrap();
    assert!(segments(&imported).all(|segment| segment.path.starts_with("chk-0/")));
    assert_eq!(state_of(&storage, &imported).await, state_of(&storage, &metadata).await);
    crate::checkpoint::gc::delete_job(&storage, OTHER_JOB, || async { true }).await.unwrap();
    assert_eq!(storage.verify(&metadata).await, Ok(Vec::new()));
}

#[tokio::test]
async fn damaged_state_is_not_exported() {
    let Fixture { directory, storage } = fixture();
    let metadata = take(&storage, 7).await;
    let file = directory.path().join("checkpoints").join(JOB.to_string()).join(crate::checkpoint::sample::state_path(1, 7));
    std::fs::write(file, "one at 8").unwrap();
    let target: FileSystemRef = Arc::new(LocalFileSystem::new(directory.path().join("savepoints")));
    assert_eq!(storage.export_savepoint(&metadata, &target, 1).await.unwrap_err().code(), "CKPT-CRC");
    let found = target.list("").await.unwrap();
    assert!(found.iter().all(|entry| !entry.path.ends_with("_metadata")), "no metadata file was written: {found:?}");
}

#[tokio::test]
async fn a_directory_without_a_checkpoint_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let external = ExternalCheckpoint::open(&directory.path().display().to_string(), &StorageOptions::default()).unwrap();
    assert_eq!(external.metadata().await.unwrap_err().code(), "CKPT-MISSING");
    assert!(ExternalCheckpoint::open("relative/savepoint", &StorageOptions::default()).is_err());
}
