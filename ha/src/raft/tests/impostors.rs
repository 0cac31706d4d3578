//! Processes that claim to be a member.

use super::super::messages::{Answer, Question, Wire};
use super::super::network::Peer;
use super::*;

/// A process with the name and members of the test group, on a port of its own.
fn start(group: &TestGroup, name: &str, directory: PathBuf) -> (Member, RaftProvider) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("binds");
    let me = Member { name: name.into(), address: listener.local_addr().expect("is bound").to_string() };
    let others = group.members.iter().filter(|member| member.name != name).cloned();
    let members = others.chain([me.clone()]).collect();
    let mut options = RaftOptions::new(name, Listen::Listener(listener), members, directory, "test");
    options.timing = group.timing;
    (me, RaftProvider::start(options).expect("starts"))
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).expect("creates");
    for entry in std::fs::read_dir(from).expect("lists") {
        let entry = entry.expect("lists");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("has a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("copies");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_of_a_member_at_another_address_gets_no_vote() {
    let mut group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, leadership) = granted(&mut elections).await;
    assert!(committed(&group.provider(leader).commit(&leadership, put("k", "v")).await));
    let (copied, voter) = ((leader + 1) % 3, (leader + 2) % 3);
    group.kill(copied).await;
    let directory = group.directory.path().join("copy");
    copy(&group.data_dir(copied), &directory);
    group.restart(copied);
    let (_, twin) = start(&group, &group.members[copied].name, directory);
    let mut campaign = twin.campaign(candidate("twin"));
    // The copy is the only process that stands. If a member believed it, the two would be a quorum.
    elections.remove(voter);
    group.kill(leader).await;
    let node = founder_id(&group.members[copied].name);
    let refused = || group.provider(voter).inner.group.senders.refuses(node);
    eventually("the copy asked for a vote and was refused", refused).await;
    assert!(!twin.inner.group.peer_status().leads, "the copy leads");
    assert!(campaign.next().now_or_never().is_none(), "the copy was granted leadership");
    let mut elections = vec![group.campaign_of(voter)];
    let (_, next) = granted(&mut elections).await;
    assert!(next.epoch() > leadership.epoch());
    assert!(!twin.inner.group.peer_status().leads);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_with_the_name_of_a_running_member_does_not_replace_it() {
    let mut group = TestGroup::new(3);
    let mut elections = group.campaign();
    let (leader, _) = granted(&mut elections).await;
    let victim = (leader + 1) % 3;
    let name = group.members[victim].name.clone();
    let (me, twin) = start(&group, &name, group.directory.path().join("twin"));
    eventually("the twin has an identity", || twin.inner.group.identity.get().is_some()).await;
    let node_id = twin.inner.group.peer_status().node_id.expect("has an identity");
    let peer = Peer::new(Wire::new("test"), 0, &group.members[leader].address);
    let answer = peer.ask(&Question::Join { member: me, node_id }, SOON).await.expect("answers");
    assert!(matches!(&answer, Answer::Refused(reason) if reason.contains("HA-RAFT-TWIN")), "{answer:?}");
    let nodes = || group.provider(leader).inner.group.nodes_named(&name);
    assert_eq!(nodes(), [founder_id(&name)].into());
    // A member that has ended is replaced.
    group.kill(victim).await;
    eventually("the twin is a member", || group.provider(leader).inner.group.nodes_named(&name) == [node_id].into()).await;
}
