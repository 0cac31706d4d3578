use std::fs::OpenOptions;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use openraft::async_runtime::{AsyncRuntime, Oneshot};
use openraft::entry::EntryPayload;
use openraft::storage::{IOFlushed, RaftLogStorage, RaftLogStorageExt};
use openraft::testing::log::{StoreBuilder, Suite};
use openraft::{RaftLogReader, StorageError, TokioRuntime};
use proptest::prelude::*;
use tempfile::TempDir;
use weir_protocol::LeaderEpoch;

use super::frame::{FRAME_BYTES, FrameBuilder, HEADER_BYTES, Record, SegmentHeader, encode_body, encode_header, scan};
use super::writer::WriterThread;
use super::*;
use crate::fenced_store::Command;
use crate::raft::machine::{Replica, StateMachine};
use crate::raft::snapshot::SnapshotDirectory;
use crate::raft::types::{Entry, LogId, TypeConfig, Vote};
use crate::{Expect, Operation};

const SEGMENT_BYTES: u64 = 64 << 10;

fn ignore() -> DiskFailureHook {
    Arc::new(|_| {})
}

struct Builder;

impl StoreBuilder<TypeConfig, LogStore, StateMachine, TempDir> for Builder {
    async fn build(&self) -> Result<(TempDir, LogStore, StateMachine), StorageError<TypeConfig>> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let (log, _) = LogStore::open(&directory.path().join("log"), SEGMENT_BYTES, ignore()).expect("opens");
        let snapshots = SnapshotDirectory::open(&directory.path().join("snapshots")).expect("opens");
        let machine = StateMachine::open(Arc::new(Replica::new()), snapshots, ignore()).expect("opens");
        Ok((directory, log, machine))
    }
}

#[tokio::test]
async fn the_stores_pass_the_suite_of_openraft() {
    Suite::test_all(Builder).await.expect("every test of the suite");
}

fn log_id(term: u64, index: u64) -> LogId {
    LogId::new(openraft::impls::leader_id_adv::LeaderId { term, node_id: 7 }, index)
}

fn entry(term: u64, index: u64, bytes: usize) -> Entry {
    let value = Bytes::from(vec![index as u8; bytes]);
    let operations = vec![Operation::Put { key: format!("k{index}"), value, expect: Expect::Any }];
    let command = Command::Commit { epoch: LeaderEpoch(term), operations };
    Entry { log_id: log_id(term, index), payload: EntryPayload::Normal(command) }
}

struct OpenLog {
    store: LogStore,
    writer: WriterThread,
}

impl OpenLog {
    fn open(directory: &Path) -> Result<Self, LogError> {
        let (store, writer) = LogStore::open(directory, SEGMENT_BYTES, ignore())?;
        Ok(Self { store, writer })
    }

    async fn append(&mut self, entries: Vec<Entry>) {
        self.store.blocking_append(entries).await.expect("appends");
    }

    async fn indices(&mut self) -> Vec<u64> {
        let entries = self.store.try_get_log_entries(..).await.expect("reads");
        entries.iter().map(|entry| entry.log_id.index).collect()
    }

    /// Closes the log, as a crash between two writes would.
    fn close(self) {
        drop(self.store);
        self.writer.ended();
    }
}

fn segments(directory: &Path) -> Vec<std::path::PathBuf> {
    let files = std::fs::read_dir(directory).expect("lists").map(|entry| entry.expect("lists").path());
    let mut files: Vec<_> = files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).collect();
    files.sort();
    files
}

#[tokio::test]
async fn no_gap_is_sent_or_written() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut log = OpenLog::open(directory.path()).expect("opens");
    log.append((0..10).map(|index| entry(1, index, 100)).collect()).await;
    log.store.purge(log_id(1, 4)).await.expect("purges");
    let mut sent = async |start, end| log.store.limited_get_log_entries(start, end).await.expect("reads").len();
    assert_eq!((sent(3, 10).await, sent(4, 10).await, sent(5, 10).await), (0, 0, 5));
    let gap = log.store.blocking_append([entry(1, 11, 100)]).await.expect_err("does not follow");
    assert!(gap.to_string().contains("does not follow"), "{gap}");
    assert_eq!(log.indices().await, [5, 6, 7, 8, 9]);
}

#[tokio::test]
async fn entries_votes_truncations_and_purges_survive_reopening() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut log = OpenLog::open(directory.path()).expect("opens");
    log.append((0..10).map(|index| entry(1, index, 100)).collect()).await;
    log.store.truncate_after(Some(log_id(1, 6))).await.expect("truncates");
    log.append((7..12).map(|index| entry(2, index, 100)).collect()).await;
    log.store.purge(log_id(1, 2)).await.expect("purges");
    log.store.save_vote(&Vote::new_committed(2, 7)).await.expect("saves");
    log.close();
    let mut log = OpenLog::open(directory.path()).expect("opens");
    let entries = log.store.try_get_log_entries(..).await.expect("reads");
    let expected: Vec<_> = (3..7).map(|index| entry(1, index, 100)).chain((7..12).map(|index| entry(2, index, 100))).collect();
    assert_eq!(entries, expected);
    assert_eq!(log.store.read_vote().await.expect("reads"), Some(Vote::new_committed(2, 7)));
    let state = log.store.get_log_state().await.expect("reads");
    assert_eq!((state.last_purged_log_id, state.last_log_id), (Some(log_id(1, 2)), Some(log_id(2, 11))));
}

#[tokio::test]
async fn the_log_fills_many_segments_and_purging_removes_whole_ones() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut log = OpenLog::open(directory.path()).expect("opens");
    for index in 0..60 {
        log.append(vec![entry(1, index, 8 << 10)]).await;
    }
    let before = segments(directory.path()).len();
    assert!(before > 5, "{before} segments");
    log.store.purge(log_id(1, 50)).await.expect("purges");
    assert!(segments(directory.path()).len() < 4);
    log.close();
    let mut log = OpenLog::open(directory.path()).expect("opens");
    assert_eq!(log.indices().await, (51..60).collect::<Vec<_>>());
}

#[tokio::test]
async fn an_entry_bigger_than_a_segment_gets_its_own_segment() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut log = OpenLog::open(directory.path()).expect("opens");
    log.append(vec![entry(1, 0, 10), entry(1, 1, 3 * SEGMENT_BYTES as usize), entry(1, 2, 10)]).await;
    log.close();
    let mut log = OpenLog::open(directory.path()).expect("opens");
    assert_eq!(log.indices().await, [0, 1, 2]);
}

#[tokio::test]
async fn a_torn_last_frame_is_cut_and_the_log_continues() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut log = OpenLog::open(directory.path()).expect("opens");
    log.append(vec![entry(1, 0, 500)]).await;
    // The process dies before the second frame is durable, so the mark does not count it.
    let mark = directory.path().join("acknowledged");
    let first = std::fs::read(&mark).expect("reads");
    log.append(vec![entry(1, 1, 500)]).await;
    log.close();
    std::fs::write(&mark, first).expect("puts the mark back");
    // The second frame begins where the first ends; half of it did not reach the disk.
    let path = &segments(directory.path())[0];
    let bytes = std::fs::read(path).expect("reads");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("has frames");
    let file = OpenOptions::new().write(true).open(path).expect("opens");
    file.write_all_at(&[0; 300], (end - 250) as u64).expect("tears");
    let mut log = OpenLog::open(directory.path()).expect("opens");
    assert_eq!(log.indices().await, [0]);
    log.append(vec![entry(2, 1, 500), entry(2, 2, 500)]).await;
    log.close();
    let mut log = OpenLog::open(directory.path()).expect("opens");
    assert_eq!(log.indices().await, [0, 1, 2]);
}

type Damage<'a> = &'a dyn Fn(&Path);

/// The log with 40 entries in several segments and a vote, after `damage` was done to its files.
async fn damaged(damage: impl Fn(&Path)) -> Result<OpenLog, LogError> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut log = OpenLog::open(directory.path()).expect("opens");
    log.store.save_vote(&Vote::new_committed(1, 7)).await.expect("saves");
    for index in 0..40 {
        log.append(vec![entry(1, index, 8 << 10)]).await;
    }
    log.close();
    damage(directory.path());
    OpenLog::open(directory.path())
}

#[tokio::test]
async fn a_log_that_lost_its_end_or_its_vote_is_refused() {
    let last = |directory: &Path| segments(directory).pop().expect("a segment");
    let cut = |directory: &Path, zeros: bool| {
        let path = last(directory);
        let bytes = std::fs::read(&path).expect("reads");
        let end = bytes.iter().rposition(|byte| *byte != 0).expect("has frames");
        let kept = if zeros { bytes.len() } else { HEADER_BYTES };
        let file = OpenOptions::new().write(true).open(&path).expect("opens");
        file.write_all_at(&vec![0; end - HEADER_BYTES + 1], HEADER_BYTES as u64).expect("erases");
        file.set_len(kept as u64).expect("truncates");
    };
    let remove = |path: &Path| std::fs::remove_file(path).expect("removes");
    let losses: [(&str, Damage<'_>); 5] = [
        ("the tail of the last segment is truncated", &|directory| cut(directory, false)),
        ("the tail of the last segment is zeros", &|directory| cut(directory, true)),
        ("the last segment is deleted", &|directory| remove(&last(directory))),
        ("all segments are deleted", &|directory| segments(directory).iter().for_each(|path| remove(path))),
        ("the vote is deleted", &|directory| remove(&directory.join("vote"))),
    ];
    assert!(damaged(|_| {}).await.is_ok());
    for (what, damage) in losses {
        assert!(matches!(damaged(damage).await, Err(LogError::Lost { .. })), "{what}");
    }
}

#[tokio::test]
async fn damage_before_intact_frames_is_refused_with_file_and_offset() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut log = OpenLog::open(directory.path()).expect("opens");
    for index in 0..3 {
        log.append(vec![entry(1, index, 500)]).await;
    }
    log.close();
    let path = segments(directory.path())[0].clone();
    let file = OpenOptions::new().write(true).open(&path).expect("opens");
    file.write_all_at(&[0xff; 4], (HEADER_BYTES + FRAME_BYTES + 50) as u64).expect("damages");
    match OpenLog::open(directory.path()) {
        Err(LogError::Corrupt { path: damaged, offset, .. }) => {
            assert_eq!((damaged, offset), (path, HEADER_BYTES as u64));
        }
        _ => panic!("a damaged log was opened"),
    }
}

#[tokio::test]
async fn a_missing_segment_is_refused() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut log = OpenLog::open(directory.path()).expect("opens");
    for index in 0..40 {
        log.append(vec![entry(1, index, 8 << 10)]).await;
    }
    log.close();
    let segments = segments(directory.path());
    let kept = std::fs::read(&segments[1]).expect("reads");
    std::fs::remove_file(&segments[1]).expect("removes");
    assert!(matches!(OpenLog::open(directory.path()), Err(LogError::Corrupt { .. })));
    std::fs::write(&segments[1], kept).expect("restores");
    std::fs::remove_file(&segments[0]).expect("removes");
    assert!(matches!(OpenLog::open(directory.path()), Err(LogError::Corrupt { .. })));
}

#[tokio::test]
async fn old_entries_are_read_from_disk() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (mut store, _writer) = LogStore::open(directory.path(), 16 << 20, ignore()).expect("opens");
    // More than the cache holds.
    for index in 0..50 {
        store.blocking_append(vec![entry(1, index, 1 << 20)]).await.expect("appends");
    }
    let entries = store.try_get_log_entries(0..3).await.expect("reads");
    assert_eq!(entries, (0..3).map(|index| entry(1, index, 1 << 20)).collect::<Vec<_>>());
    // A message to a follower has a limit in bytes.
    assert!(store.limited_get_log_entries(0, 50).await.expect("reads").len() < 4);
}

#[tokio::test]
async fn the_first_failed_write_is_reported_once_and_nothing_is_acknowledged_after_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let path = directory.path().join("log");
    let failures = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&failures);
    let hook: DiskFailureHook = Arc::new(move |_| {
        counted.fetch_add(1, Ordering::Relaxed);
    });
    let (mut store, _writer) = LogStore::open(&path, SEGMENT_BYTES, hook).expect("opens");
    std::fs::remove_dir_all(&path).expect("the directory is removed");
    for index in 0..3 {
        // The entry needs its own segment, which can't be created any more.
        let (done, flushed) = <<TokioRuntime as AsyncRuntime>::Oneshot as Oneshot>::channel();
        let big = entry(1, index, 2 * SEGMENT_BYTES as usize);
        store.append([big], IOFlushed::signal(done)).await.expect("is queued");
        assert!(flushed.await.expect("is answered").is_err());
    }
    assert!(store.save_vote(&Vote::new(1, 7)).await.is_err());
    assert_eq!(failures.load(Ordering::Relaxed), 1);
}

fn segment_bytes(frames: &[Vec<u8>]) -> Vec<u8> {
    let header = SegmentHeader { number: 3, salt: 0x5eed };
    let mut bytes = encode_header(header).to_vec();
    for (sequence, values) in frames.iter().enumerate() {
        let mut frame = FrameBuilder::default();
        for (position, value) in values.iter().enumerate() {
            let record = Record::Entry(entry(1, position as u64, *value as usize));
            frame.push(&encode_body(&record).expect("encodes"));
        }
        frame.push(&encode_body(&Record::TruncateAfter(None)).expect("encodes"));
        bytes.extend(frame.finish(header.salt, sequence as u64));
    }
    bytes.resize(bytes.len() + 512, 0);
    bytes
}

fn frames() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(0u8..60, 0..4), 1..6)
}

proptest! {
    #[test]
    fn any_bytes_scan_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..600), last in any::<bool>()) {
        let _ = scan(&bytes, None, last);
        let mut headed = encode_header(SegmentHeader { number: 0, salt: 1 }).to_vec();
        headed.extend(bytes);
        let _ = scan(&headed, Some(4), last);
    }

    #[test]
    fn what_was_written_is_read_back(frames in frames()) {
        let scanned = scan(&segment_bytes(&frames), None, true).expect("is whole");
        let records: usize = frames.iter().map(|frame| frame.len() + 1).sum();
        prop_assert_eq!(scanned.records.len(), records);
        prop_assert!(!scanned.torn);
        prop_assert_eq!(scanned.last_sequence, Some(frames.len() as u64 - 1));
    }

    /// Whatever happens to the bytes, a scan returns a prefix of the written records and nothing else.
    #[test]
    fn damage_is_refused_or_cuts_the_end(frames in frames(), at in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>()) {
        let whole = segment_bytes(&frames);
        let expected = scan(&whole, None, true).expect("is whole").records;
        let at = at.index(whole.len());
        let mut bytes = whole;
        if cut {
            bytes.truncate(at);
        } else {
            bytes[at] ^= 1 << bit;
        }
        if let Ok(scanned) = scan(&bytes, None, true) {
            prop_assert_eq!(&scanned.records[..], &expected[..scanned.records.len()]);
        }
        // In a segment before the last one, no record may be missing.
        if !cut && let Ok(scanned) = scan(&bytes, None, false) {
            prop_assert_eq!(scanned.records, expected);
        }
    }
}
