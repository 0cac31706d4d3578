//! The conformance suite of file systems. The tests of every file system run it.

use bytes::Bytes;
use futures::future::join_all;

use crate::file_system::{FileEntry, FileError, FileSystemRef};

/// Size in bytes of a file that is too big for one system call or packet.
const BIG: usize = 8 * 1024 * 1024;

/// Runs the whole suite on an empty file system. `again` is a second, independent handle on the same place.
/// Panics if the file system does not conform.
pub async fn run(files: &FileSystemRef, again: &FileSystemRef) {
    run_without_contention(files, again).await;
    of_many_writers_of_one_name_exactly_one_succeeds(files, again).await;
}

/// Runs the suite without concurrent writers of one name. For a server that does not check and create a name atomically.
pub async fn run_without_contention(files: &FileSystemRef, again: &FileSystemRef) {
    assert_eq!(files.uri(), again.uri(), "both handles are on the same place");
    a_written_file_is_read_back_by_everybody(files, again).await;
    an_existing_name_is_never_overwritten(files, again).await;
    no_reader_sees_part_of_a_file(files, again).await;
    reads_keep_their_limits(files).await;
    absent_files_are_not_found_and_can_be_deleted(files).await;
    listings_are_recursive_sorted_and_bounded_by_the_directory(files).await;
    deleting_one_file_leaves_the_others(files, again).await;
    illegal_paths_are_refused_by_every_operation(files).await;
}

fn not_found(path: &str) -> FileError {
    FileError::NotFound { path: path.to_owned() }
}

fn exists(path: &str) -> FileError {
    FileError::AlreadyExists { path: path.to_owned() }
}

async fn a_written_file_is_read_back_by_everybody(files: &FileSystemRef, again: &FileSystemRef) {
    let bytes = Bytes::from_static(b"some bytes");
    assert_eq!(files.write_new("one/two/file-1", bytes.clone()).await, Ok(()));
    assert_eq!(files.write_new("one/empty", Bytes::new()).await, Ok(()));
    for files in [files, again] {
        assert_eq!(files.read("one/two/file-1", 10).await, Ok(bytes.clone()));
        assert_eq!(files.size("one/two/file-1").await, Ok(10));
        assert_eq!(files.read("one/empty", 0).await, Ok(Bytes::new()));
        assert_eq!(files.size("one/empty").await, Ok(0));
    }
}

async fn an_existing_name_is_never_overwritten(files: &FileSystemRef, again: &FileSystemRef) {
    assert_eq!(files.write_new("taken", Bytes::from_static(b"first")).await, Ok(()));
    for files in [files, again] {
        assert_eq!(files.write_new("taken", Bytes::from_static(b"second")).await, Err(exists("taken")));
        assert_eq!(files.write_new("taken", Bytes::from_static(b"first")).await, Err(exists("taken")), "same bytes");
    }
    assert_eq!(again.read("taken", 100).await, Ok(Bytes::from_static(b"first")));
}

async fn of_many_writers_of_one_name_exactly_one_succeeds(files: &FileSystemRef, again: &FileSystemRef) {
    for round in 0..5 {
        let path = format!("contended/{round}");
        let writers = (0..16u8).map(|writer| {
            let (files, path) = (if writer % 2 == 0 { files } else { again }, &path);
            async move { files.write_new(path, Bytes::from(vec![writer; 1000])).await }
        });
        let outcomes = join_all(writers).await;
        let winners: Vec<usize> = (0..outcomes.len()).filter(|writer| outcomes[*writer].is_ok()).collect();
        assert_eq!(winners.len(), 1, "round {round}: {outcomes:?}");
        for outcome in outcomes.into_iter().filter(Result::is_err) {
            assert_eq!(outcome, Err(exists(&path)));
        }
        let found = files.read(&path, 1000).await;
        assert_eq!(found, Ok(Bytes::from(vec![winners[0] as u8; 1000])), "the file has the winner's bytes");
    }
}

async fn no_reader_sees_part_of_a_file(files: &FileSystemRef, again: &FileSystemRef) {
    let bytes = Bytes::from((0..BIG).map(|i| i as u8).collect::<Vec<u8>>());
    let write = files.write_new("big/file", bytes.clone());
    let read = async {
        loop {
            match again.read("big/file", BIG as u64).await {
                Ok(found) => return found,
                Err(error) => assert_eq!(error, not_found("big/file")),
            }
            let listed = again.list("big").await;
            assert!(
                listed.as_ref().is_ok_and(|found| found.iter().all(|entry| entry.size == BIG as u64)),
                "a listing shows only complete files: {listed:?}"
            );
            tokio::task::yield_now().await;
        }
    };
    let (written, found) = futures::join!(write, read);
    assert_eq!(written, Ok(()));
    assert!(found == bytes, "the first successful read returns the complete file");
}

async fn reads_keep_their_limits(files: &FileSystemRef) {
    let path = "limits/ten";
    assert_eq!(files.write_new(path, Bytes::from_static(b"0123456789")).await, Ok(()));
    assert!(matches!(files.read(path, 9).await, Err(FileError::WrongSize { size: 10, .. })));
    assert_eq!(files.read_range(path, 0..10).await, Ok(Bytes::from_static(b"0123456789")));
    assert_eq!(files.read_range(path, 3..5).await, Ok(Bytes::from_static(b"34")));
    assert_eq!(files.read_range(path, 4..4).await, Ok(Bytes::new()));
    assert_eq!(files.read_range(path, 10..10).await, Ok(Bytes::new()));
    #[expect(clippy::reversed_empty_ranges, reason = "a damaged handle may ask for such a range")]
    for range in [9..11, 10..11, 11..11, 11..12, 0..u64::MAX, u64::MAX..u64::MAX, 5..4] {
        let outcome = files.read_range(path, range.clone()).await;
        assert!(matches!(outcome, Err(FileError::WrongSize { size: 10, .. })), "{range:?}: {outcome:?}");
    }
}

async fn absent_files_are_not_found_and_can_be_deleted(files: &FileSystemRef) {
    assert_eq!(files.write_new("present", Bytes::from_static(b"x")).await, Ok(()));
    for path in ["absent", "absent/below", "present/below"] {
        assert_eq!(files.read(path, 10).await, Err(not_found(path)));
        assert_eq!(files.read_range(path, 0..1).await, Err(not_found(path)));
        assert_eq!(files.read_range(path, 0..0).await, Err(not_found(path)));
        assert_eq!(files.size(path).await, Err(not_found(path)));
        assert_eq!(files.delete(path).await, Ok(()));
        assert_eq!(files.list(path).await, Ok(Vec::new()));
    }
    assert_eq!(files.size("present").await, Ok(1), "deleting below a file leaves the file");
}

async fn listings_are_recursive_sorted_and_bounded_by_the_directory(files: &FileSystemRef) {
    for path in ["list/b/2", "list/a", "list/b/1/x", "list-not/a", "listed"] {
        assert_eq!(files.write_new(path, Bytes::from(path)).await, Ok(()));
    }
    let entries = |paths: &[&str]| -> Vec<FileEntry> {
        paths.iter().map(|path| FileEntry { path: (*path).to_owned(), size: path.len() as u64 }).collect()
    };
    assert_eq!(files.list("list").await, Ok(entries(&["list/a", "list/b/1/x", "list/b/2"])));
    assert_eq!(files.list("list/b").await, Ok(entries(&["list/b/1/x", "list/b/2"])));
    let Ok(all) = files.list("").await else { panic!("the root can be listed") };
    assert!(all.is_sorted_by(|one, next| one.path < next.path), "{all:?}");
    for expected in entries(&["list/a", "list-not/a", "listed"]) {
        assert!(all.contains(&expected), "{expected:?} in {all:?}");
    }
}

async fn deleting_one_file_leaves_the_others(files: &FileSystemRef, again: &FileSystemRef) {
    for path in ["rm/d/1", "rm/d/2"] {
        assert_eq!(files.write_new(path, Bytes::from_static(b"old")).await, Ok(()));
    }
    assert_eq!(files.delete("rm/d/1").await, Ok(()));
    assert_eq!(again.read("rm/d/1", 10).await, Err(not_found("rm/d/1")));
    assert_eq!(again.read("rm/d/2", 10).await, Ok(Bytes::from_static(b"old")));
    assert_eq!(again.delete("rm/d/2").await, Ok(()));
    assert_eq!(files.list("rm").await, Ok(Vec::new()));
    assert_eq!(files.write_new("rm/d/1", Bytes::from_static(b"new")).await, Ok(()), "the name is free again");
    assert_eq!(again.read("rm/d/1", 10).await, Ok(Bytes::from_static(b"new")));
}

async fn illegal_paths_are_refused_by_every_operation(files: &FileSystemRef) {
    for path in ["/etc/passwd", "../x", "a/../../x", "a//b", "a/", ".", ".tmp-1", "a\0", "a b"] {
        let illegal = |outcome: Option<FileError>| {
            assert!(matches!(outcome, Some(FileError::IllegalPath { .. })), "{path:?}: {outcome:?}");
        };
        illegal(files.write_new(path, Bytes::new()).await.err());
        illegal(files.read(path, 1).await.err());
        illegal(files.read_range(path, 0..1).await.err());
        illegal(files.size(path).await.err());
        illegal(files.list(path).await.err());
        illegal(files.delete(path).await.err());
    }
}
