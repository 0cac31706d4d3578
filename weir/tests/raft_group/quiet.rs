//! What a leader writes to its log while another JobManager is down.

use std::time::Duration;

use super::{Group, MANY_DESCRIPTORS, wait_until};

/// How long the leader runs without the member.
const WITHOUT: Duration = Duration::from_secs(10);

/// Before, the leader wrote thousands of lines a second about the member that is down.
#[test]
fn a_leader_says_once_that_a_member_is_down() {
    let place = tempfile::tempdir().expect("a directory");
    let mut group = Group::start(place.path(), MANY_DESCRIPTORS, &[]);
    let follower = group.members.iter().position(|one| one.has_said("leading epoch=") == 0).expect("one leads");
    drop(group.members.remove(follower));
    let leader = group.members.iter().find(|one| one.has_said("leading epoch=") > 0).expect("it leads");
    wait_until("the leader misses the member", || leader.has_said("a member does not answer") > 0);
    let before = leader.lines().len();
    std::thread::sleep(WITHOUT);
    let said = leader.lines().split_off(before);
    assert!(said.len() <= 10, "{} lines in {} s: {:#?}", said.len(), WITHOUT.as_secs(), &said[..10]);
}
