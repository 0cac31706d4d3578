use std::cell::Cell;

use super::*;
use crate::checkpoint::sample::{JOB, checkpoint, state_path, storage, take};
use crate::file_system::MemoryFault;

fn entries(paths: &[String]) -> Vec<FileEntry> {
    paths.iter().map(|path| FileEntry { path: path.clone(), size: 1 }).collect()
}

/// All files of checkpoint `id` with two subtasks, relative to the root.
fn files_of(id: u64) -> Vec<String> {
    let state = [state_path(0, id), state_path(1, id)].map(|path| format!("{JOB}/{path}"));
    [state.to_vec(), vec![layout::metadata_path(JOB, CheckpointId(id))]].concat()
}

fn found(ids: &[u64]) -> Vec<FileEntry> {
    let mut entries = entries(&ids.iter().flat_map(|id| files_of(*id)).collect::<Vec<_>>());
    entries.sort_by(|a, b| a.path.cmp(&b.path));
    entries
}

fn metadata(id: u64, builds_on: Option<u64>) -> CheckpointMetadata {
    let one = match builds_on {
        Some(base) => vec![(state_path(1, id), b"x".as_slice()), (state_path(1, base), b"x".as_slice())],
        None => vec![(state_path(1, id), b"x".as_slice())],
    };
    checkpoint(id, [&[(state_path(0, id), b"x")], &one])
}

fn sorted(mut paths: Vec<String>) -> Vec<String> {
    paths.sort();
    paths
}

#[test]
fn c4_a_file_of_a_kept_checkpoint_stays_even_if_an_older_checkpoint_wrote_it() {
    let seven = metadata(7, Some(5));
    let roots = Roots { kept: vec![&seven], pending: BTreeSet::new() };
    let gone = deletable(JOB, &found(&[5, 6, 7]), &roots);
    let base = format!("{JOB}/{}", state_path(1, 5));
    let expected = [files_of(5), files_of(6)].concat().into_iter().filter(|path| *path != base).collect();
    assert_eq!(sorted(gone.clone()), sorted(expected));
    assert!(gone[0].ends_with("_metadata") && gone[1].ends_with("_metadata"), "metadata is deleted first: {gone:?}");
}

#[test]
fn c4_pending_checkpoints_and_newer_ones_stay() {
    let six = metadata(6, None);
    let roots = Roots { kept: vec![&six], pending: BTreeSet::from([CheckpointId(4)]) };
    let gone = deletable(JOB, &found(&[3, 4, 5, 6, 7]), &roots);
    assert_eq!(sorted(gone), sorted([files_of(3), files_of(5)].concat()));
}

#[test]
fn c4_no_file_is_deletable_if_no_checkpoint_is_kept() {
    assert_eq!(deletable(JOB, &found(&[1, 2]), &Roots::default()), Vec::<String>::new());
}

#[test]
fn recorded_splits_stay_until_a_checkpoint_is_kept() {
    let splits = format!("{}/{}", layout::job_directory(JOB), layout::splits_path(weir_protocol::JobVertexId(5)));
    let found = entries(std::slice::from_ref(&splits));
    assert_eq!(deletable(JOB, &found, &Roots { kept: Vec::new(), pending: BTreeSet::from([CheckpointId(1)]) }), [""; 0]);
    let first = metadata(1, None);
    assert_eq!(deletable(JOB, &found, &Roots { kept: vec![&first], pending: BTreeSet::new() }), [splits]);
}

#[test]
fn files_of_other_jobs_and_unknown_files_stay() {
    let seven = metadata(7, None);
    let roots = Roots { kept: vec![&seven], pending: BTreeSet::new() };
    let foreign = [
        format!("{}/chk-1/_metadata", JobId(1)),
        format!("{JOB}/notes.txt"),
        format!("{JOB}/chk-one/x"),
        format!("{JOB}0/chk-1/x"),
        "chk-1/x".to_owned(),
    ];
    assert_eq!(deletable(JOB, &entries(&foreign), &roots), Vec::<String>::new());
}

#[test]
fn a_reference_to_a_file_that_no_checkpoint_keeps_is_found() {
    let (five, six) = (metadata(5, None), metadata(6, Some(5)));
    let seven = metadata(7, Some(5));
    assert!(foreign_references(&seven, &[&five]).is_empty());
    assert!(foreign_references(&seven, &[&six]).is_empty(), "6 keeps the file of 5");
    let path = state_path(1, 5);
    assert_eq!(foreign_references(&seven, &[]), BTreeSet::from([path.as_str()]));
}

#[tokio::test]
async fn a_run_leaves_exactly_the_needed_files_and_another_run_deletes_none() {
    let (storage, files) = storage();
    let mut last = None;
    for id in 1..=4 {
        let metadata = take(&storage, id).await;
        storage.write_metadata(&metadata).await.unwrap();
        last = Some(metadata);
    }
    let last = last.unwrap();
    let roots = Roots { kept: vec![&last], pending: BTreeSet::new() };
    let collected = collect(&storage, JOB, &roots).await.unwrap();
    assert_eq!(collected, Collected { deleted: 9, failed: Vec::new(), stopped: false });
    assert_eq!(files.files().into_keys().collect::<Vec<_>>(), sorted(files_of(4)));
    assert_eq!(storage.verify(&last).await, Ok(Vec::new()));
    let again = collect(&storage, JOB, &roots).await.unwrap();
    assert_eq!(again, Collected::default());
}

#[tokio::test]
async fn c5_the_files_of_a_job_are_deleted_only_as_long_as_it_has_ended() {
    let (storage, files) = storage();
    for number in 0..250 {
        storage.write_state(JOB, &format!("chk-1/{number}.state"), bytes::Bytes::new()).await.unwrap();
    }
    let asked = Cell::new(0);
    let still_ended = || {
        asked.set(asked.get() + 1);
        let ended = asked.get() <= 2;
        async move { ended }
    };
    let collected = delete_job(&storage, JOB, still_ended).await.unwrap();
    assert_eq!(collected, Collected { deleted: 200, failed: Vec::new(), stopped: true });
    assert_eq!(files.files().len(), 50);
}

#[tokio::test]
async fn t46_failures_are_reported_and_the_next_run_finishes() {
    let (storage, files) = storage();
    take(&storage, 1).await;
    let fails_after_listing = || {
        files.set_fault(MemoryFault::Unavailable);
        async { true }
    };
    let collected = delete_job(&storage, JOB, fails_after_listing).await.unwrap();
    assert_eq!((collected.deleted, collected.failed.len()), (0, 2));
    let seven = metadata(7, None);
    let roots = Roots { kept: vec![&seven], pending: BTreeSet::new() };
    assert!(collect(&storage, JOB, &roots).await.is_err(), "if the listing fails, nothing is deleted");
    files.set_fault(MemoryFault::None);
    assert_eq!(collect(&storage, JOB, &roots).await.unwrap().deleted, 2);
}

#[tokio::test]
async fn all_files_of_an_ended_job_are_deleted_and_none_of_another_job() {
    let (storage, files) = storage();
    take(&storage, 1).await;
    storage.write_state(JobId(1), "chk-1/x.state", bytes::Bytes::new()).await.unwrap();
    assert_eq!(delete_job(&storage, JOB, || async { true }).await.unwrap().deleted, 2);
    assert_eq!(files.files().into_keys().collect::<Vec<_>>(), [format!("{}/chk-1/x.state", JobId(1))]);
}

#[tokio::test]
async fn files_that_killed_writers_left_in_an_ended_job_are_deleted_and_none_of_another_job() {
    let root = tempfile::tempdir().unwrap();
    let storage = CheckpointStorage::new(std::sync::Arc::new(crate::file_system::LocalFileSystem::new(root.path())));
    for job in [JOB, JobId(1)] {
        storage.write_state(job, "chk-1/x.state", bytes::Bytes::new()).await.unwrap();
        for place in ["", "chk-1", "chk-2"] {
            let place = root.path().join(job.to_string()).join(place);
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join(".tmp-1"), "unfinished").unwrap();
        }
    }
    let not_ours = delete_leftovers(&storage, JOB, || async { false }).await.unwrap();
    assert_eq!(not_ours, Collected { stopped: true, ..Collected::default() });
    assert_eq!(delete_leftovers(&storage, JOB, || async { true }).await.unwrap().deleted, 3);
    assert!(root.path().join(JOB.to_string()).join("chk-1/x.state").exists());
    std::fs::write(root.path().join(JOB.to_string()).join("chk-1/.tmp-2"), "unfinished").unwrap();
    assert_eq!(delete_job(&storage, JOB, || async { true }).await.unwrap().deleted, 2);
    assert!(!root.path().join(JOB.to_string()).exists());
    assert!(root.path().join(JobId(1).to_string()).join("chk-2/.tmp-1").exists());
}

/// Checks C4 over random histories: checkpoints build on older ones, some fail, and the retention is random.
mod histories {
    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    struct Step {
        builds_on_newest: bool,
        completes: bool,
        retained: usize,
    }

    fn step() -> impl Strategy<Value = Step> {
        (any::<bool>(), any::<bool>(), 1usize..4).prop_map(|(builds_on_newest, completes, retained)| Step {
            builds_on_newest,
            completes,
            retained,
        })
    }

    proptest! {
        #[test]
        fn c4_exactly_the_files_of_kept_checkpoints_remain_after_any_history(steps in proptest::collection::vec(step(), 1..20)) {
            let mut files: BTreeSet<String> = BTreeSet::new();
            let mut kept: Vec<CheckpointMetadata> = Vec::new();
            for (step, id) in steps.iter().zip(1u64..) {
                files.extend(files_of(id));
                let base = kept.last().filter(|_| step.builds_on_newest);
                let base = base.map(|base| segments(base).map(|segment| segment.path.clone()).collect::<Vec<_>>());
                if !step.completes {
                    continue;
                }
                let mut one = vec![(state_path(1, id), b"x".as_slice())];
                one.extend(base.iter().flatten().map(|path| (path.clone(), b"x".as_slice())));
                kept.push(checkpoint(id, [&[(state_path(0, id), b"x")], &one[..one.len().min(60)]]));
                kept.drain(..kept.len().saturating_sub(step.retained));
                let roots = Roots { kept: kept.iter().collect(), pending: BTreeSet::new() };
                let listing = entries(&files.iter().cloned().collect::<Vec<_>>());
                for path in deletable(JOB, &listing, &roots) {
                    files.remove(&path);
                }
                let mut needed: BTreeSet<String> = BTreeSet::new();
                for metadata in &kept {
                    needed.extend(segments(metadata).map(|segment| format!("{JOB}/{}", segment.path)));
                    needed.insert(layout::metadata_path(JOB, metadata.id));
                }
                prop_assert_eq!(&files, &needed);
            }
        }
    }
}
