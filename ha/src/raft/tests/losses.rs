//! Members that lost a part of what they had acknowledged.

use std::os::unix::fs::FileExt;

use super::*;

/// Zeros the last segment after its header. Without the mark, no start can tell this from a log that was never longer.
fn lose_the_end_of_the_log(directory: &std::path::Path) {
    let log = directory.join("log");
    let files = std::fs::read_dir(&log).expect("lists").map(|entry| entry.expect("lists").path());
    let last = files.filter(|path| path.extension().is_some_and(|extension| extension == "log")).max().expect("a segment");
    let bytes = std::fs::read(&last).expect("reads");
    let end = bytes.iter().rposition(|byte| *byte != 0).expect("has frames");
    let file = std::fs::OpenOptions::new().write(true).open(&last).expect("opens");
    // The first frames hold the founding of the group, which is not what this is about.
    file.write_all_at(&vec![0; end / 2 + 1], (end - end / 2) as u64).expect("erases");
}

#[tokio::test]
async fn a_member_that_lost_entries_and_its_mark_catches_up_under_the_same_leader() {
    let mut group = TestGroup::patient(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    for number in 0..50 {
        assert!(committed(&group.provider(leader).commit(&leadership, put(&format!("k/{number}"), "v")).await));
    }
    let victim = (leader + 1) % 3;
    let entries = |group: &TestGroup, number: usize| {
        group.provider(number).inner.group.metrics().and_then(|metrics| metrics.last_log_index)
    };
    let before = entries(&group, leader);
    eventually("the member has all entries", || entries(&group, victim) == before).await;
    group.kill(victim).await;
    lose_the_end_of_the_log(&group.data_dir(victim));
    let address = || Listen::Address(group.members[victim].address.clone());
    let refused = group.open(victim, address()).expect_err("a member that lost entries starts");
    assert!(refused.to_string().contains("frames of the log are lost"), "{refused}");
    std::fs::remove_file(group.data_dir(victim).join("log/acknowledged")).expect("removes");
    group.restart(victim);
    eventually("the member has got the entries again", || entries(&group, victim) >= before).await;
    // The third member is not needed: the victim's acknowledgements count.
    group.kill((leader + 2) % 3).await;
    assert!(committed(&group.provider(leader).commit(&leadership, put("after", "v")).await));
}
