use std::fs;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::*;
use crate::conformance;
use crate::file_system::FileSystemRef;

#[tokio::test]
async fn a_local_file_system_conforms() {
    let directory = tempfile::tempdir().unwrap();
    let root = directory.path().join("not/yet/there");
    let open = || -> FileSystemRef { Arc::new(LocalFileSystem::new(&root)) };
    conformance::run(&open(), &open()).await;
}

#[tokio::test]
async fn temporary_files_are_invisible_and_a_listing_removes_only_old_ones() {
    let directory = tempfile::tempdir().unwrap();
    let files = LocalFileSystem::new(directory.path());
    let (fresh, old) = (directory.path().join(".tmp-fresh"), directory.path().join(".tmp-old"));
    fs::write(&fresh, "x").unwrap();
    fs::write(&old, "x").unwrap();
    let two_days_ago = SystemTime::UNIX_EPOCH + Duration::from_millis(wall_clock_ms() - 2 * LEFTOVER_AGE_MS);
    File::options().write(true).open(&old).unwrap().set_modified(two_days_ago).unwrap();
    assert_eq!(files.list("").await, Ok(Vec::new()));
    assert!(fresh.exists() && !old.exists());
}

#[tokio::test]
async fn a_write_leaves_only_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let files = LocalFileSystem::new(directory.path());
    files.write_new("d/f", Bytes::from_static(b"1")).await.unwrap();
    files.write_new("d/f", Bytes::from_static(b"2")).await.unwrap_err();
    let names: Vec<_> = fs::read_dir(directory.path().join("d")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["f"]);
}

#[tokio::test]
async fn deleting_the_last_file_removes_its_directories_but_never_the_root() {
    let directory = tempfile::tempdir().unwrap();
    let files = LocalFileSystem::new(directory.path());
    files.write_new("job/chk-1/_metadata", Bytes::new()).await.unwrap();
    files.write_new("job/chk-2/_metadata", Bytes::new()).await.unwrap();
    files.delete("job/chk-1/_metadata").await.unwrap();
    assert!(!directory.path().join("job/chk-1").exists() && directory.path().join("job/chk-2").exists());
    files.delete("job/chk-2/_metadata").await.unwrap();
    assert!(!directory.path().join("job").exists() && directory.path().exists());
    files.write_new("job/chk-1/_metadata", Bytes::new()).await.unwrap();
}

#[tokio::test]
async fn writers_and_deleters_of_one_directory_do_not_disturb_each_other() {
    let directory = tempfile::tempdir().unwrap();
    let (one, other) = (LocalFileSystem::new(directory.path()), LocalFileSystem::new(directory.path()));
    let churn = |files: LocalFileSystem, name: &'static str| async move {
        for _ in 0..100 {
            match files.write_new(name, Bytes::from_static(b"x")).await {
                Ok(()) => files.delete(name).await.unwrap(),
                // If the directory is removed in three attempts, the write fails with a retryable error.
                Err(error) => assert!(error.is_retryable(), "{error}"),
            }
        }
    };
    futures::join!(churn(one, "d/1"), churn(other, "d/2"));
}

#[tokio::test]
async fn fifos_directories_and_symlink_loops_are_refused_without_blocking() {
    let directory = tempfile::tempdir().unwrap();
    let files = LocalFileSystem::new(directory.path());
    nix::unistd::mkfifo(&directory.path().join("fifo"), nix::sys::stat::Mode::S_IRWXU).unwrap();
    std::os::unix::fs::symlink("loop", directory.path().join("loop")).unwrap();
    fs::create_dir(directory.path().join("directory")).unwrap();
    for path in ["fifo", "loop", "directory"] {
        let error = files.read(path, 100).await.unwrap_err();
        assert!(matches!(error, FileError::Failed { retryable: false, .. }), "{path}: {error}");
        let error = files.write_new(path, Bytes::new()).await.unwrap_err();
        assert!(matches!(error, FileError::AlreadyExists { .. }), "{path}: {error}");
    }
    assert_eq!(files.list("").await, Ok(Vec::new()));
}

#[tokio::test]
async fn a_write_below_a_file_is_an_error_that_names_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let files = LocalFileSystem::new(directory.path());
    files.write_new("file", Bytes::new()).await.unwrap();
    let error = files.write_new("file/below", Bytes::new()).await.unwrap_err();
    assert!(matches!(&error, FileError::Failed { path, retryable: false, .. } if path.ends_with("/file")), "{error}");
}

#[test]
fn publish_can_be_repeated_after_a_crash_at_any_point() {
    let directory = tempfile::tempdir().unwrap();
    let (temporary, published) = (directory.path().join(".part.inprogress"), directory.path().join("part"));
    fs::write(&temporary, "rows").unwrap();
    sync_file(&temporary).unwrap();
    assert_eq!(publish(&temporary, &published), Ok(Published::Now));
    assert_eq!(publish(&temporary, &published), Ok(Published::Before));
    // The fallback for file systems without exclusive rename leaves both names if it crashes between link and unlink.
    fs::hard_link(&published, &temporary).unwrap();
    assert_eq!(publish(&temporary, &published), Ok(Published::Before));
    assert!(!temporary.exists());
    assert_eq!(fs::read_to_string(&published).unwrap(), "rows");
}

#[test]
fn publish_never_overwrites_a_file_and_reports_a_lost_one() {
    let directory = tempfile::tempdir().unwrap();
    let (temporary, published) = (directory.path().join(".part"), directory.path().join("part"));
    assert!(matches!(publish(&temporary, &published), Err(FileError::NotFound { .. })));
    fs::write(&temporary, "new").unwrap();
    fs::write(&published, "old").unwrap();
    assert!(matches!(publish(&temporary, &published), Err(FileError::AlreadyExists { .. })));
    assert_eq!(fs::read_to_string(&published).unwrap(), "old");
    assert_eq!(fs::read_to_string(&temporary).unwrap(), "new");
}

#[test]
fn directories_can_be_created_twice() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("a/b/c");
    create_directories(&deep).unwrap();
    create_directories(&deep).unwrap();
    assert!(deep.is_dir());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_writer_loses_nothing_to_whoever_removes_unfinished_files() {
    let directory = tempfile::tempdir().unwrap();
    let files = LocalFileSystem::new(directory.path());
    let done = std::sync::atomic::AtomicBool::new(false);
    let sweeper = LocalFileSystem::new(directory.path());
    let writing = async {
        let mut lost = 0;
        for number in 0..300_u32 {
            let (path, content) = (format!("d/{}/{number}", number % 7), Bytes::from(vec![number as u8; 5_000]));
            match files.write_new(&path, content.clone()).await {
                Ok(()) => assert_eq!(files.read(&path, 5_000).await, Ok(content)),
                // Nothing was written.
                Err(error) => {
                    assert!(error.is_retryable(), "{error}");
                    assert!(matches!(files.read(&path, 5_000).await, Err(FileError::NotFound { .. })));
                    lost += 1;
                }
            }
        }
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        lost
    };
    let sweeping = async {
        let mut removed = 0;
        while !done.load(std::sync::atomic::Ordering::SeqCst) {
            removed += sweeper.remove_unfinished("d").await.unwrap();
        }
        removed
    };
    let (lost, _) = futures::join!(writing, sweeping);
    let written = files.list("d").await.unwrap();
    assert_eq!(written.len() + lost, 300);
    assert!(written.iter().all(|entry| entry.size == 5_000));
    assert_eq!(sweeper.remove_unfinished("d").await, Ok(0), "no writer leaves a temporary file");
}
