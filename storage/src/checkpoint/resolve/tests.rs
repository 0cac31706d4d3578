use super::*;
use crate::checkpoint::sample::{JOB, storage, take};
use crate::file_system::{FileError, MemoryFault, MemoryFileSystem};

fn pointer(id: u64) -> Pointer {
    let path = format!("{JOB}/chk-{id}/_metadata");
    Pointer { id: CheckpointId(id), metadata: MetadataHandle { path, length: 1, crc32c: 1 } }
}

/// A storage with checkpoints 6 and 7, its files, the pointers, and the metadata.
async fn two_checkpoints() -> (CheckpointStorage, MemoryFileSystem, Vec<Pointer>, Vec<CheckpointMetadata>) {
    let (storage, files) = storage();
    let (mut pointers, mut checkpoints) = (Vec::new(), Vec::new());
    for id in [6, 7] {
        let metadata = take(&storage, id).await;
        let handle = storage.write_metadata(&metadata).await.unwrap();
        pointers.push(Pointer { id: CheckpointId(id), metadata: handle });
        checkpoints.push(metadata);
    }
    (storage, files, pointers, checkpoints)
}

#[test]
fn the_newest_pointer_is_the_last_and_a_wrong_order_is_an_error() {
    assert_eq!(newest(JOB, &[]), Ok(None));
    assert_eq!(newest(JOB, &[pointer(6), pointer(7)]), Ok(Some(&pointer(7))));
    for bad in [[pointer(7), pointer(6)], [pointer(7), pointer(7)]] {
        assert!(matches!(newest(JOB, &bad), Err(ResolveError::Unordered { .. })));
    }
}

#[tokio::test]
async fn the_newest_checkpoint_is_restored() {
    let (storage, _, pointers, checkpoints) = two_checkpoints().await;
    assert_eq!(restore_newest(&storage, JOB, 128, &pointers).await, Ok(Some(checkpoints[1].clone())));
    assert_eq!(restore_newest(&storage, JOB, 128, &[]).await, Ok(None));
}

#[tokio::test]
async fn c6_if_the_newest_checkpoint_is_damaged_no_older_one_is_used_and_no_file_is_deleted() {
    type Damage = fn(&mut Vec<u8>);
    let damages: [(&str, Damage); 4] = [
        ("CKPT-TRUNCATED", |file| file.truncate(40)),
        ("CKPT-CRC", |file| file[50] ^= 1),
        ("CKPT-MAGIC", |file| file[0] = b'X'),
        ("CKPT-INVALID", |file| file.push(0)),
    ];
    for (code, damage) in damages {
        let (storage, files, pointers, _) = two_checkpoints().await;
        let path = &pointers[1].metadata.path;
        let mut file = files.files()[path].to_vec();
        damage(&mut file);
        files.damage(path, file);
        let before = files.files();
        let error = restore_newest(&storage, JOB, 128, &pointers).await.unwrap_err();
        assert!(error.to_string().contains(code) && !error.is_retryable(), "{error}");
        assert!(error.to_string().contains("newest checkpoint 7"), "{error}");
        assert_eq!(files.files(), before);
    }
}

#[tokio::test]
async fn t36_unavailable_storage_is_retryable_and_no_older_checkpoint_is_used() {
    let (storage, files, pointers, checkpoints) = two_checkpoints().await;
    files.set_fault(MemoryFault::Unavailable);
    let error = restore_newest(&storage, JOB, 128, &pointers).await.unwrap_err();
    assert!(error.is_retryable(), "{error}");
    files.set_fault(MemoryFault::None);
    assert_eq!(restore_newest(&storage, JOB, 128, &pointers).await, Ok(Some(checkpoints[1].clone())));
}

#[tokio::test]
async fn c1_a_checkpoint_with_missing_state_is_refused() {
    let (storage, _, pointers, _) = two_checkpoints().await;
    storage.files().delete(&format!("{JOB}/{}", crate::checkpoint::sample::state_path(1, 7))).await.unwrap();
    let error = restore_newest(&storage, JOB, 128, &pointers).await.unwrap_err();
    assert!(matches!(&error, ResolveError::Incomplete { missing, .. } if missing.len() == 1), "{error}");
    assert!(error.to_string().starts_with("CKPT-STATE"), "{error}");
}

#[tokio::test]
async fn b6_another_max_parallelism_is_refused() {
    let (storage, _, pointers, _) = two_checkpoints().await;
    let error = restore_newest(&storage, JOB, 64, &pointers).await.unwrap_err();
    assert!(matches!(error, ResolveError::OtherMaxParallelism { found: 128, expected: 64, .. }), "{error}");
}

#[tokio::test]
async fn metadata_of_another_checkpoint_or_job_is_refused() {
    let (_, _, pointers, checkpoints) = two_checkpoints().await;
    let read = |metadata: &CheckpointMetadata| Ok((metadata.clone(), Vec::new()));
    let error = judge(JOB, 128, &pointers[1], read(&checkpoints[0])).unwrap_err();
    assert_eq!(error, ResolveError::OtherCheckpoint { job: JOB, id: CheckpointId(7), found: CheckpointId(6) });
    let error = judge(JobId(1), 128, &pointers[1], read(&checkpoints[1])).unwrap_err();
    assert!(error.to_string().contains("CKPT-JOB"), "{error}");
    let unavailable = FileError::Failed { path: "p".to_owned(), reason: "down".to_owned(), retryable: true };
    assert!(judge(JOB, 128, &pointers[1], Err(unavailable.into())).unwrap_err().is_retryable());
}
