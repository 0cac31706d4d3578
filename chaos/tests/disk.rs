//! Disks that are full, read-only or corrupt, under the raft log and under the checkpoints. Mounting needs root.

#![allow(clippy::print_stdout, reason = "a test harness captures only what the macro prints")]
#![allow(clippy::unwrap_used, reason = "a test that can't continue fails")]

use weir_chaos::cluster::small_disk::{SmallDisk, flip_a_bit};
use weir_chaos::cluster::{ClusterUnderTest, PATIENCE, newest_checkpoint};
use weir_chaos::workload::CountingJob;

/// Big enough for the raft log's preallocated segments, small enough to fill at once.
const RAFT_DISK_MIB: u64 = 128;
const CHECKPOINT_DISK_MIB: u64 = 32;

/// Moves the raft directory of `name` to a separate disk and restarts the process.
fn put_raft_on_a_small_disk(test: &mut ClusterUnderTest, name: &str) -> SmallDisk {
    test.cluster.kill(name).unwrap();
    let raft = test.cluster.raft_directory(name);
    let aside = raft.with_extension("aside");
    std::fs::rename(&raft, &aside).unwrap();
    let disk = SmallDisk::mount(&raft, RAFT_DISK_MIB).unwrap();
    let copied = std::process::Command::new("cp").arg("-a").arg(format!("{}/.", aside.display())).arg(&raft).status().unwrap();
    assert!(copied.success());
    test.cluster.restart(name).unwrap();
    disk
}

/// Breaks the disk under the leader's raft log. The process must end itself, and another JobManager must lead. After the disk is
/// repaired, the member must come back with nothing lost.
fn leader_with_a_broken_raft_disk(break_it: impl FnOnce(&SmallDisk), mend_it: impl FnOnce(&SmallDisk)) {
    // Log files are small and checkpoints are frequent, because a full disk is noticed only when the log needs a new file.
    let mut test = ClusterUnderTest::start(&["high-availability.raft.segment-size=64 kb"]);
    let job = CountingJob { checkpoint_interval_ms: 50, ..CountingJob::endless() };
    let id = test.submit(&job);
    let (leader, mut epoch) = test.await_leader_after(0);
    let disk = put_raft_on_a_small_disk(&mut test, &leader);
    // Make it lead again, so that it must write.
    let mut now_leading = test.await_leader_after(epoch);
    while now_leading.0 != leader {
        epoch = now_leading.1;
        test.until("the member with the small disk has caught up", || {
            let ha = test.ha_as_seen_by(&now_leading.0)?;
            ha.members.into_iter().find(|member| member.name == leader && member.lag_entries.is_some_and(|lag| lag < 50))
        });
        test.cluster.restart(&now_leading.0).unwrap();
        now_leading = test.await_leader_after(epoch);
    }
    let before = test.describe(id).map_or(0, |job| newest_checkpoint(&job));
    break_it(&disk);
    // The fault takes effect: the first failed write ends the process.
    let process = test.cluster.process(&leader).expect("it was started");
    let status = process.wait(PATIENCE).unwrap().expect("the leader ends itself when its log can't be written");
    assert!(!status.success(), "{status}");
    let log = test.log_of(&leader);
    let said = log.lines().rev().find(|line| line.contains("ERROR")).expect("it says why at level ERROR");
    println!("{leader} said: {said}");
    let (successor, _) = test.await_leader_after(now_leading.1);
    assert_ne!(successor, leader);
    test.await_progress(id, before);
    mend_it(&disk);
    test.cluster.restart(&leader).unwrap();
    test.until("the member with the repaired disk is back", || {
        let ha = test.ha_as_seen_by(&successor)?;
        ha.members.into_iter().find(|member| member.name == leader && member.lag_entries.is_some_and(|lag| lag < 50))
    });
    test.finish(id, &job);
    test.cluster.kill(&leader).unwrap();
}

#[test]
fn a_full_disk_under_the_leaders_raft_log_ends_it_and_another_leads() {
    leader_with_a_broken_raft_disk(|disk| assert!(disk.fill().unwrap() > 0), |disk| disk.clear().unwrap());
}

#[test]
fn a_read_only_disk_under_the_leaders_raft_log_ends_it_and_another_leads() {
    leader_with_a_broken_raft_disk(|disk| disk.make_read_only().unwrap(), |disk| disk.repair().unwrap());
}

#[test]
fn a_full_checkpoint_disk_fails_checkpoints_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let disk = SmallDisk::mount(&directory.path().join("checkpoints"), CHECKPOINT_DISK_MIB).unwrap();
    let setting = format!("execution.checkpointing.dir={}", directory.path().join("checkpoints").display());
    let test = ClusterUnderTest::start(&[&setting]);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    let before = test.describe(id).unwrap();
    assert!(disk.fill().unwrap() > 0);
    let failing =
        test.await_job(id, "checkpoints fail", |job| job.checkpoints.counts.failed > before.checkpoints.counts.failed + 2);
    assert_eq!(failing.restarts, before.restarts, "a failed checkpoint within the tolerated number restarts nothing");
    disk.clear().unwrap();
    test.await_progress(id, newest_checkpoint(&failing));
    test.finish(id, &job);
    drop(test);
}

#[test]
fn a_corrupt_newest_checkpoint_is_reported_and_never_replaced_by_an_older_one() {
    let mut test = ClusterUnderTest::start(&[]);
    let job = CountingJob::endless();
    let id = test.submit(&job);
    test.await_progress(id, 3);
    let (leader, epoch) = test.await_leader_after(0);
    // Pause the leader first, so that the newest checkpoint stays the newest.
    test.cluster.pause(&leader).unwrap();
    // The newest file may still lack its pointer. If the newest two files are corrupt, the newest pointer names a corrupt file,
    // and a third file is intact.
    let damaged = newest_metadata(&test.cluster.checkpoint_directory().join(id.to_string()), 2);
    let intact: Vec<_> = damaged.iter().map(|path| std::fs::read(path).unwrap()).collect();
    damaged.iter().for_each(|path| flip_a_bit(path).unwrap());
    test.cluster.kill(&leader).unwrap();
    test.await_leader_after(epoch);
    let stopped = test.await_job(id, "the job says that its newest checkpoint can't be read", |job| {
        job.reason.as_deref().is_some_and(|reason| reason.contains("CKPT-"))
    });
    println!("the job says: {}", stopped.reason.unwrap_or_default());
    assert!(stopped.checkpoints.latest_restored.is_none(), "C6: nothing older was used");
    damaged.iter().zip(intact).for_each(|(path, bytes)| std::fs::write(path, bytes).unwrap());
    test.await_progress(id, 3);
    test.finish(id, &job);
}

/// Metadata files of the newest `count` checkpoints, newest first.
fn newest_metadata(job: &std::path::Path, count: usize) -> Vec<std::path::PathBuf> {
    let numbered = |path: std::path::PathBuf| {
        let number: u64 = path.file_name()?.to_str()?.strip_prefix("chk-")?.parse().ok()?;
        path.join("_metadata").is_file().then(|| (number, path.join("_metadata")))
    };
    let mut checkpoints: Vec<_> = std::fs::read_dir(job).unwrap().flatten().filter_map(|entry| numbered(entry.path())).collect();
    checkpoints.sort();
    assert!(checkpoints.len() > count, "fewer completed checkpoints than expected: {checkpoints:?}");
    checkpoints.into_iter().rev().take(count).map(|(_, path)| path).collect()
}
