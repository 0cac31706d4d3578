//! A mounted lossy disk: what programs do with it through the kernel, and what is left after a power loss. Mounting needs root.

#![allow(clippy::print_stdout, reason = "a test harness captures only what the macro prints")]
#![allow(clippy::unwrap_used, reason = "a test that can't continue fails")]

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::Duration;

use nix::sys::signal::Signal;
use weir_chaos::cluster::{ClusterUnderTest, newest_checkpoint};
use weir_chaos::lossy_disk::{FailedSync, LossyDisk};
use weir_chaos::workload::CountingJob;
use weir_storage::{StorageOptions, open};

const PATIENCE: Duration = Duration::from_secs(60);
const SEEDS: u64 = 10;

/// Runs a test with an empty disk. If no such disk can be mounted here, prints why and skips the test.
fn with_disk(seed: u64, run: impl FnOnce(&LossyDisk, &Path)) {
    if let Some(why) = LossyDisk::hindrance() {
        println!("skipped: {why}");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let disk = LossyDisk::mount(&place.path().join("disk"), seed).unwrap();
    run(&disk, disk.mount_point());
    drop(disk);
    assert_eq!(fs::read_dir(place.path().join("disk")).unwrap().count(), 0, "the disk is not mounted any more");
}

fn lose_power(disk: &LossyDisk) {
    disk.cut_power();
    disk.restore_power();
}

/// Replaces a file as programs do, with syncs or without.
fn replace(place: &Path, bytes: &[u8], sync: bool) {
    let mut file = File::create(place.join("unfinished")).unwrap();
    file.write_all(bytes).unwrap();
    if sync {
        file.sync_all().unwrap();
    }
    fs::rename(place.join("unfinished"), place.join("state")).unwrap();
    if sync {
        File::open(place).unwrap().sync_all().unwrap();
    }
}

#[test]
fn a_lossy_disk_is_a_file_system() {
    with_disk(1, |disk, place| {
        fs::create_dir_all(place.join("a/b")).unwrap();
        let bytes: Vec<u8> = (0..1_000_000_u32).map(|number| (number % 251) as u8).collect();
        fs::write(place.join("a/b/file"), &bytes).unwrap();
        assert_eq!(fs::read(place.join("a/b/file")).unwrap(), bytes);
        let mut file = File::options().read(true).write(true).open(place.join("a/b/file")).unwrap();
        file.write_all_at(b"over", 999_998).unwrap();
        assert_eq!(file.seek(SeekFrom::End(-4)).unwrap(), 999_998);
        let mut end = String::new();
        file.read_to_string(&mut end).unwrap();
        assert_eq!((end.as_str(), file.metadata().unwrap().len()), ("over", 1_000_002));
        file.set_len(3).unwrap();
        assert_eq!(fs::read(place.join("a/b/file")).unwrap(), bytes[..3]);
        File::options().append(true).open(place.join("a/b/file")).unwrap().write_all(b"more").unwrap();
        assert_eq!(fs::read(place.join("a/b/file")).unwrap(), [&bytes[..3], b"more"].concat());
        assert!(File::options().create_new(true).write(true).open(place.join("a/b/file")).is_err());
        fs::write(place.join("other"), b"other").unwrap();
        fs::rename(place.join("other"), place.join("a/b/file")).unwrap();
        assert_eq!(fs::read(place.join("a/b/file")).unwrap(), b"other");
        assert!(fs::remove_dir(place.join("a/b")).is_err());
        for number in 0..300 {
            fs::write(place.join(format!("a/{number}")), b"").unwrap();
        }
        assert_eq!(fs::read_dir(place.join("a")).unwrap().count(), 301);
        let lock = File::create(place.join("lock")).unwrap();
        lock.try_lock().unwrap();
        assert!(File::open(place.join("lock")).unwrap().try_lock().is_err());
        fs::remove_dir_all(place.join("a")).unwrap();
        assert!(disk.unsynced() > 0 && !place.join("a").exists());
    });
}

#[test]
fn a_program_that_syncs_loses_nothing_and_one_that_does_not_loses_data() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        with_disk(seed, |disk, place| {
            replace(place, b"acknowledged", true);
            assert_eq!(disk.unsynced(), 0);
            lose_power(disk);
            assert_eq!(fs::read(place.join("state")).unwrap(), b"acknowledged");
            replace(place, b"newer", false);
            assert_eq!(fs::read(place.join("state")).unwrap(), b"newer");
            lose_power(disk);
            lost += u32::from(fs::read(place.join("state")).unwrap() != b"newer");
        });
    }
    assert!(lost > 0 || LossyDisk::hindrance().is_some());
}

#[test]
fn a_process_dies_in_the_middle_of_its_sync() {
    with_disk(1, |disk, place| {
        let file = place.join("file");
        // Writes and syncs for ever; `dd` syncs once per run.
        let script = "while :; do dd if=/dev/zero of=\"$0\" bs=1000 count=1 conv=fsync 2>/dev/null; done";
        let mut process = std::process::Command::new("sh").args(["-c", script]).arg(&file).spawn().unwrap();
        disk.lose_power_after(20);
        assert!(disk.await_darkness(PATIENCE));
        let waiting = process.try_wait().unwrap();
        process.kill().unwrap();
        let loss = disk.cut_power();
        process.wait().unwrap();
        disk.restore_power();
        assert!(waiting.is_none() && loss.at_stake > 0, "{loss:?}");
        assert_eq!(disk.unsynced(), 0);
        // Whatever is left of the file, it can be used again.
        fs::write(&file, b"again").unwrap();
        assert_eq!(fs::read(&file).unwrap(), b"again");
    });
}

#[test]
fn a_sync_fails_once_is_slow_and_bits_flip() {
    with_disk(1, |disk, place| {
        let file = File::create(place.join("file")).unwrap();
        let path = place.join("file");
        file.write_all_at(&[0; 100], 0).unwrap();
        disk.fail_next_sync(FailedSync::Keeps);
        assert_eq!(file.sync_data().unwrap_err().raw_os_error(), Some(nix::libc::EIO));
        disk.set_delay(Duration::from_millis(50));
        file.sync_data().unwrap();
        disk.set_delay(Duration::ZERO);
        assert_eq!((disk.footprint().failed_syncs, disk.footprint().delayed_syncs), (1, 1));
        assert!(fs::read(&path).unwrap().iter().all(|byte| *byte == 0));
        let (flipped, at) = disk.flip_a_bit(|_, bytes| Some(10..bytes.len())).unwrap();
        assert_eq!((flipped.as_path(), fs::read(&path).unwrap()[at].count_ones()), (Path::new("file"), 1));
        drop(file);
        disk.wipe();
        assert_eq!(fs::read_dir(place).unwrap().count(), 0);
    });
}

#[test]
fn a_program_that_holds_files_open_does_not_keep_the_disk_mounted() {
    let mut held = None;
    with_disk(1, |disk, place| {
        let file = File::create(place.join("file")).unwrap();
        disk.refuse_all();
        assert!(file.write_all_at(b"x", 0).is_err());
        held = Some(file);
    });
    drop(held);
}

/// How many files of a job come back after they were deleted and the power was lost. `for_good` says whether the deletion was
/// made durable.
async fn files_that_come_back(seed: u64, for_good: bool) -> usize {
    let directory = tempfile::tempdir().unwrap();
    let disk = LossyDisk::mount(&directory.path().join("storage"), seed).unwrap();
    let files = open(&format!("file://{}", disk.mount_point().display()), &StorageOptions::default()).unwrap();
    for name in ["job/a/1", "job/a/2", "job/b/1"] {
        files.write_new(name, "bytes".into()).await.unwrap();
    }
    for name in ["job/a/1", "job/a/2", "job/b/1"] {
        files.delete(name).await.unwrap();
    }
    assert_eq!(files.list("job").await.unwrap(), []);
    if for_good {
        files.sync_deletes("job").await.unwrap();
    }
    disk.go_dark();
    disk.cut_power();
    disk.restore_power();
    files.list("").await.unwrap().len()
}

#[tokio::test]
async fn durably_deleted_files_do_not_come_back_after_a_power_loss() {
    if let Some(why) = LossyDisk::hindrance() {
        println!("skipped: {why}");
        return;
    }
    let mut came_back = 0;
    for seed in 0..10 {
        came_back += files_that_come_back(seed, false).await;
        assert_eq!(files_that_come_back(seed, true).await, 0);
    }
    assert!(came_back > 0, "the power loss takes effect");
}

/// A cluster with a lossy disk under each raft log, and the disks by JobManager. If they are bound in this order, the cluster is
/// dropped first.
fn cluster_on_lossy_disks() -> (BTreeMap<String, LossyDisk>, ClusterUnderTest) {
    let mut disks = BTreeMap::new();
    let test = ClusterUnderTest::start_with(|options| {
        for (seed, name) in (1..).zip(options.jobmanager_names()) {
            let disk = LossyDisk::mount(&options.raft_directory(&name), seed).unwrap();
            disks.insert(name, disk);
        }
    });
    (disks, test)
}

/// Number of checkpoints, and so of commits, that disks which lie put at stake. After a power loss, nine in ten changes may survive,
/// but not so many in a row on one of three disks.
const AT_STAKE: u64 = 40;

/// Whether a job continues from a checkpoint at least as new as one that was complete before all machines lost power.
fn goes_on_after_power_loss(lying_disks: bool) -> bool {
    let (disks, mut test) = cluster_on_lossy_disks();
    let id = test.submit(&CountingJob { checkpoint_interval_ms: 50, ..CountingJob::endless() });
    let before = newest_checkpoint(&test.await_progress(id, 1));
    if lying_disks {
        disks.values().for_each(LossyDisk::lie);
    }
    let seen = newest_checkpoint(&test.await_progress(id, before + AT_STAKE));
    disks.values().for_each(LossyDisk::go_dark);
    for (name, disk) in &disks {
        test.cluster.process(name).unwrap().signal(Signal::SIGKILL);
        disk.cut_power();
        test.cluster.kill(name).unwrap();
    }
    for (name, disk) in &disks {
        disk.restore_power();
        test.cluster.restart(name).unwrap();
    }
    test.until("the job continues, or a log says why it can't", || {
        if disks.keys().any(|name| test.log_of(name).contains("is damaged at byte")) {
            return Some(false);
        }
        let job = test.describe(id)?;
        let refused = job.reason.is_some_and(|reason| reason.contains("CKPT-"));
        if refused { Some(false) } else { job.checkpoints.latest_restored.map(|restored| restored.id >= seen) }
    })
}

#[test]
fn no_checkpoint_is_lost_in_a_power_loss_unless_syncs_do_nothing() {
    if let Some(why) = LossyDisk::hindrance() {
        println!("skipped: {why}");
        return;
    }
    assert!(goes_on_after_power_loss(false));
    assert!(!goes_on_after_power_loss(true), "the power loss takes effect");
}

/// A JobManager that is killed between a write and its sync leaves data that can be read but is not durable. The next process
/// must make this data durable. Otherwise, a vote that was answered and then lost with the power could be cast again.
#[test]
fn a_jobmanager_makes_durable_what_a_killed_one_left() {
    if let Some(why) = LossyDisk::hindrance() {
        println!("skipped: {why}");
        return;
    }
    let (disks, mut test) = cluster_on_lossy_disks();
    let id = test.submit(&CountingJob::endless());
    test.await_progress(id, 1);
    let (leader, _) = test.await_leader_after(0);
    let disk = &disks[&leader];
    disk.lose_power_after(0);
    assert!(disk.await_darkness(PATIENCE), "a leader writes");
    // Only the process dies. Its machine continues, and what the process wrote can be read.
    test.cluster.process(&leader).unwrap().signal(Signal::SIGKILL);
    disk.refuse_all();
    test.cluster.jobmanager_names().iter().for_each(|name| test.cluster.kill(name).unwrap());
    disk.restore_power();
    assert!(disk.unsynced() > 0, "the process was killed before its sync");
    // Alone, the JobManager has no quorum. It writes nothing except what it finds.
    test.cluster.restart(&leader).unwrap();
    test.until("what it found is durable", || (disk.unsynced() == 0).then_some(()));
    drop(test);
}
