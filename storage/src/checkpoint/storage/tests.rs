use weir_protocol::checkpoint::StateHandle;

use super::*;
use crate::checkpoint::sample::{JOB, segment, state_path, storage, take};
use crate::file_system::MemoryFault;

#[tokio::test]
async fn metadata_and_state_read_back() {
    let (storage, files) = storage();
    let metadata = take(&storage, 7).await;
    let handle = storage.write_metadata(&metadata).await.unwrap();
    assert_eq!(handle.path, format!("{JOB}/chk-7/_metadata"));
    assert_eq!(files.files()[&handle.path].len() as u64, handle.length);
    assert_eq!(storage.read_metadata(JOB, &handle).await, Ok(metadata.clone()));
    let operator = &metadata.subtasks[1].operators[1];
    assert_eq!(storage.read_state(JOB, &operator.key_groups[0].state).await.unwrap(), "one at 7");
    assert_eq!(storage.read_state(JOB, operator.operator_state.as_ref().unwrap()).await.unwrap(), "offset 17");
    assert_eq!(storage.verify(&metadata).await, Ok(Vec::new()));
}

#[tokio::test]
async fn t35_writing_the_same_metadata_again_succeeds_and_other_metadata_is_refused() {
    let (storage, _) = storage();
    let metadata = take(&storage, 7).await;
    let handle = storage.write_metadata(&metadata).await.unwrap();
    assert_eq!(storage.write_metadata(&metadata).await, Ok(handle.clone()));
    let other = CheckpointMetadata { completed_at_ms: metadata.completed_at_ms + 1, ..metadata.clone() };
    assert_eq!(storage.write_metadata(&other).await.unwrap_err().code(), "CKPT-EXISTS");
    assert_eq!(storage.read_metadata(JOB, &handle).await, Ok(metadata), "the first file is unchanged");
}

#[tokio::test]
async fn an_unknown_outcome_is_resolved_by_reading_back() {
    let (storage, files) = storage();
    let metadata = take(&storage, 7).await;
    files.set_fault(MemoryFault::UnknownLost);
    assert!(storage.write_metadata(&metadata).await.unwrap_err().is_retryable());
    files.set_fault(MemoryFault::UnknownApplied);
    let handle = storage.write_metadata(&metadata).await.unwrap();
    files.set_fault(MemoryFault::None);
    assert_eq!(storage.read_metadata(JOB, &handle).await, Ok(metadata));
}

#[tokio::test]
async fn failures_of_the_file_system_are_retryable_and_a_missing_file_is_not() {
    let (storage, files) = storage();
    let metadata = take(&storage, 7).await;
    let handle = storage.write_metadata(&metadata).await.unwrap();
    files.set_fault(MemoryFault::Unavailable);
    let error = storage.read_metadata(JOB, &handle).await.unwrap_err();
    assert!(error.code() == "CKPT-FILE" && error.is_retryable(), "{error}");
    assert!(storage.verify(&metadata).await.unwrap_err().is_retryable());
    files.set_fault(MemoryFault::None);
    let lost = MetadataHandle { path: format!("{JOB}/chk-8/_metadata"), ..handle };
    let error = storage.read_metadata(JOB, &lost).await.unwrap_err();
    assert!(error.code() == "CKPT-MISSING" && !error.is_retryable(), "{error}");
}

#[tokio::test]
async fn an_undamaged_file_other_than_the_recorded_one_is_refused() {
    let (storage, files) = storage();
    let metadata = take(&storage, 7).await;
    let handle = storage.write_metadata(&metadata).await.unwrap();
    let other = CheckpointMetadata { completed_at_ms: 9, ..metadata };
    files.damage(&handle.path, encode(&handle.path, &other).unwrap());
    assert_eq!(storage.read_metadata(JOB, &handle).await.unwrap_err().code(), "CKPT-HANDLE");
}

#[tokio::test]
async fn a_handle_or_segment_that_leaves_the_root_is_refused() {
    let (storage, _) = storage();
    let handle = MetadataHandle { path: "../../etc/passwd".to_owned(), length: 1, crc32c: 0 };
    assert_eq!(storage.read_metadata(JOB, &handle).await.unwrap_err().code(), "CKPT-FILE");
    let state = StateHandle::File(segment("../other/x", 0, b"x"));
    assert_eq!(storage.read_state(JOB, &state).await.unwrap_err().code(), "CKPT-PATH");
    assert!(storage.write_state(JOB, "../x", Bytes::new()).await.is_err());
}

#[tokio::test]
async fn damaged_truncated_and_missing_state_have_different_codes() {
    let (storage, files) = storage();
    let metadata = take(&storage, 7).await;
    let state = &metadata.subtasks[0].operators[1].key_groups[0].state;
    let path = format!("{JOB}/{}", state_path(0, 7));
    files.damage(&path, "zero at 8");
    assert_eq!(storage.read_state(JOB, state).await.unwrap_err().code(), "CKPT-CRC");
    files.damage(&path, "zero");
    assert_eq!(storage.read_state(JOB, state).await.unwrap_err().code(), "CKPT-TRUNCATED");
    assert_eq!(storage.verify(&metadata).await, Ok(vec![format!("{path} has 4 bytes, expected at least 9")]));
    storage.files().delete(&path).await.unwrap();
    assert_eq!(storage.read_state(JOB, state).await.unwrap_err().code(), "CKPT-MISSING");
    assert_eq!(storage.verify(&metadata).await, Ok(vec![format!("{path} is missing")]));
    let endless = StateHandle::File(weir_protocol::checkpoint::FileSegment { offset: u64::MAX, ..segment("chk-7/x", 0, b"x") });
    assert_eq!(storage.read_state(JOB, &endless).await.unwrap_err().code(), "CKPT-INVALID");
}

#[test]
fn the_uri_of_a_job_is_that_of_its_checkpoint_directory() {
    let (storage, _) = storage();
    assert_eq!(storage.job_uri(JOB), format!("memory://files/{JOB}"));
}

#[tokio::test]
async fn the_first_recorded_splits_are_those_of_all_who_ask() {
    let (storage, files) = storage();
    let vertex = JobVertexId(5);
    assert_eq!(storage.read_splits(JOB, vertex).await, Ok(None));
    assert_eq!(storage.record_splits(JOB, vertex, Bytes::from("first")).await.unwrap(), "first");
    assert_eq!(storage.record_splits(JOB, vertex, Bytes::from("second")).await.unwrap(), "first");
    assert_eq!(storage.read_splits(JOB, vertex).await.unwrap().unwrap(), "first");
    assert_eq!(storage.record_splits(JOB, JobVertexId(6), Bytes::new()).await.unwrap(), "", "another vertex has its own");

    // A write of unknown outcome is resolved by reading: the splits are those in the file, or the caller tries again.
    files.set_fault(MemoryFault::UnknownApplied);
    assert_eq!(storage.record_splits(JOB, JobVertexId(7), Bytes::from("a")).await.unwrap(), "a");
    files.set_fault(MemoryFault::UnknownLost);
    assert!(storage.record_splits(JOB, JobVertexId(8), Bytes::from("a")).await.unwrap_err().is_retryable());
    files.set_fault(MemoryFault::None);

    let path = in_job(JOB, &layout::splits_path(vertex));
    files.damage(&path, "\0\0\0\0first");
    assert_eq!(storage.read_splits(JOB, vertex).await.unwrap_err().code(), "CKPT-CRC");
}
