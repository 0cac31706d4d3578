//! The size of the log on disk.

use super::*;

const VALUE_BYTES: usize = 512 << 10;
const LIMIT: u64 = 4 << 20;
/// The limit, the quarter that stays before a snapshot, and what is written while a snapshot is taken, in whole segments.
const BOUND: u64 = 12 << 20;
const COMMITS: usize = 80;

fn large(number: usize) -> Vec<Operation> {
    let value = Bytes::from(vec![number as u8; VALUE_BYTES]);
    vec![Operation::Put { key: format!("k/{}", number % 2), value, expect: Expect::Any }]
}

/// Bytes of all segments of the member's log.
fn log_bytes(group: &TestGroup, number: usize) -> u64 {
    let files = std::fs::read_dir(group.data_dir(number).join("log")).expect("lists").map(|entry| entry.expect("lists"));
    let segments = files.filter(|file| file.file_name().to_string_lossy().ends_with(".log"));
    // A segment may be removed meanwhile.
    segments.filter_map(|file| file.metadata().ok()).map(|metadata| metadata.len()).sum()
}

async fn group(size: usize) -> TestGroup {
    let mut group = TestGroup::patient(size);
    for number in 0..size {
        group.kill(number).await;
    }
    group.snapshot_after_bytes = LIMIT;
    for number in 0..size {
        group.restart(number);
    }
    group
}

async fn write(group: &TestGroup, leader: usize, leadership: &Leadership) {
    for number in 0..COMMITS {
        assert!(committed(&group.provider(leader).commit(leadership, large(number)).await));
    }
    assert!(COMMITS as u64 * VALUE_BYTES as u64 > 3 * BOUND);
}

#[tokio::test]
async fn few_large_entries_do_not_make_the_log_grow_without_end() {
    let mut group = group(1).await;
    let (_, leadership) = granted(&mut group.campaign()).await;
    write(&group, 0, &leadership).await;
    eventually("the log is short", || log_bytes(&group, 0) <= BOUND).await;
    group.kill(0).await;
    group.restart(0);
    let (_, newer) = granted(&mut group.campaign()).await;
    assert!(newer.epoch() > leadership.epoch());
    let values = group.provider(0).list("k/").await.expect("reads");
    let last: Vec<_> = values.iter().map(|(_, value)| usize::from(value.value[0])).collect();
    assert_eq!(last, [COMMITS - 2, COMMITS - 1]);
}

#[tokio::test]
async fn the_log_is_short_on_every_member_also_while_one_is_down() {
    let mut group = group(3).await;
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    let (follower, down) = ((leader + 1) % 3, (leader + 2) % 3);
    group.kill(down).await;
    write(&group, leader, &leadership).await;
    for number in [leader, follower] {
        eventually("the log is short", || log_bytes(&group, number) <= BOUND).await;
    }
    group.restart(down);
    assert_eq!(group.provider(down).list("k/").await.expect("reads").len(), 2);
    write(&group, leader, &leadership).await;
    for number in 0..3 {
        eventually("the log is short", || log_bytes(&group, number) <= BOUND).await;
    }
}
