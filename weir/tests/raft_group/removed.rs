//! A JobManager that an operator removed from the group, and that still runs.

use serde_json::Value;

use super::{Group, LOOK, MANY_DESCRIPTORS, get, wait_until};

#[test]
fn a_removed_jobmanager_says_so_once_and_is_never_ready() {
    let place = tempfile::tempdir().expect("a directory");
    let group = Group::start(place.path(), MANY_DESCRIPTORS, &[]);
    let victim = group.members.iter().position(|one| one.has_said("leading epoch=") == 0).expect("a standby");
    let (name, rest) = (format!("jm-{}", victim + 1), &group.members[victim].rest);
    let healthy = |(code, body): &(u16, String)| {
        let health: Value = serde_json::from_str(body).expect("JSON");
        (*code, health["status"].as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(get(rest, "/healthz").as_ref().map(healthy), Some((200, "ok".to_owned())));
    let clients = group.clients();
    let other = &clients[(victim + 1) % 3];
    let remove = || other.runtime.block_on(other.client.ha_remove_member(&name, LOOK));
    // The leader may change while it makes the change. Then it may have been made already.
    wait_until("it is removed", || {
        remove().is_ok_and(|group| group.members.len() == 2) || group.have_said("HA-RAFT-REMOVED") > 0
    });
    wait_until("it learns of that", || group.members[victim].has_said("HA-RAFT-REMOVED") > 0);
    assert_eq!(get(rest, "/healthz").as_ref().map(healthy), Some((200, "removed".to_owned())));
    let (code, refusal) = get(rest, "/readyz").expect("it answers");
    assert!(code == 503 && refusal.contains("was removed from the coordination group"), "{refusal}");
    wait_until("the others go on", || other.is_answered());
    assert_eq!(group.have_said("HA-RAFT-REMOVED"), 1);
}
